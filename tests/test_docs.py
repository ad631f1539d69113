import re
import subprocess
import sys
from pathlib import Path

import pytest

from connector_resources import errors

ROOT = Path(__file__).parents[1]


def test_the_pages_of_connectors_are_what_they_declare() -> None:
    check = subprocess.run(
        [sys.executable, "docs/make_pages.py", "--check"],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert check.returncode == 0, "Run python docs/make_pages.py and look at what has changed."


@pytest.mark.parametrize("page", ["README.md", "docs/migrate_from_pyairbyte.md", "docs/reliability.md"])
def test_a_promise_names_a_test_that_there_is(page: str) -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / page).read_text())
    assert len(named) > 10
    missing = [f"{file}::{name}" for file, name in named if f"def {name}(" not in _text(file)]
    assert missing == []


def _text(file: str) -> str:
    path = ROOT / file
    return path.read_text() if path.exists() else ""


def test_every_error_is_explained_to_who_runs_this_and_no_other() -> None:
    explained = re.findall(r"(?m)^\| `(\w+)` \|", (ROOT / "docs/operations.md").read_text().split("# What an error")[1])
    branches = {"ConnectorError", "RequestError", "DestinationError"}
    assert sorted(explained) == sorted(
        name for name, each in vars(errors).items() if isinstance(each, type) and name not in branches
    )


@pytest.mark.parametrize("page", sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("docs/**/*.md")))
def test_a_page_links_to_what_there_is_and_is_linked_to(page: str) -> None:
    text = (ROOT / page).read_text()
    links = [link.partition("#")[0] for link in re.findall(r"\]\((?!https?://|mailto:)([^)\s]+)\)", text)]
    missing = [link for link in links if link and not (ROOT / page).parent.joinpath(link).exists()]
    assert missing == []
    others = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md")]
    assert any(f"{Path(page).name})" in other.read_text() for other in others if other != ROOT / page)


def test_every_picture_is_small_in_a_document_and_made_by_a_test_or_the_benchmark() -> None:
    pages = "".join(path.read_text() for path in (ROOT / "README.md", *ROOT.glob("docs/**/*.md")))
    made = set(re.findall(r'\bpicture\(page, "(\w+)"\)', _text("tests/browser/test_web_ui.py")))
    made |= set(re.findall(r"--plot docs/images/(\w+)\.png", _text("docs/performance.md")))
    pictures = list((ROOT / "docs/images").iterdir())
    assert {path.stem for path in pictures} == made
    assert [path.name for path in pictures if f"images/{path.name})" not in pages] == []
    assert [path.name for path in pictures if path.stat().st_size > 150_000] == []
