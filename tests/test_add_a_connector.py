"""The tutorial `docs/add_a_connector.md`, done: its files are made, its commands run, and what it shows is compared.

The package is installed as pip would leave it, in a folder that only the processes started here have on their path.
"""

import json
import os
import re
import runpy
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connector_resources.destinations.duckdb import DuckDB
from connector_resources.sources import discover

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "add_a_connector.md").read_text()
PLACE = "../headrace-library"
TODAY = datetime.now(UTC).date()

TYPED = """
import json, runpy, shlex, sys

for name, command in json.loads(sys.argv[1]).items():
    sys.argv = shlex.split(command)
    print(f"== {name}")
    if sys.argv[0] == "python":
        sys.argv = sys.argv[1:]
    try:
        run = runpy.run_path if sys.argv[0].endswith(".py") else runpy.run_module
        run(sys.argv[0], run_name="__main__")
    except SystemExit as ended:
        assert not ended.code, f"{name} ended with {ended.code}"
    sys.stdout.flush()

import dagster as dg
with dg.DagsterInstance.get() as instance:
    seen = instance.fetch_observations(dg.AssetKey(["library", "books"]), limit=10, ascending=True).records
print("== seen")
print(json.dumps([{name: value.value for name, value in each.asset_observation.metadata.items()} for each in seen]))
"""
"""Types commands in one process, which saves four seconds each, and tells what the runs that only looked saw."""


def files() -> Mapping[str, str]:
    """Return what the page puts into each file: its blocks of that name, in their order."""
    found: dict[str, str] = {}
    for name, block in re.findall(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```\n", PAGE, re.DOTALL):
        found[name] = f"{found[name]}\n\n{block}" if name in found else block
    return found


def commands() -> Mapping[str, str]:
    """Return the commands of the page, each on one line, with the days they are about."""
    found = re.findall(r"<!-- run: (\w+) -->\n```\n(.*?)```\n", PAGE, re.DOTALL)
    return {
        name: re.sub(r"\$\(day (\d+)\)", lambda days: f"{TODAY - timedelta(int(days[1]))}", block.replace("\\\n", " "))
        for name, block in found
    }


def shown(name: str) -> str:
    """Return what the page shows after a command."""
    (block,) = re.findall(rf"<!-- shows: {name} -->\n(.*?)\n\n", PAGE, re.DOTALL)
    return str(block)


@dataclass(frozen=True)
class Done:
    """What the page's commands gave: the output of each, the log of all, what was seen, and the database."""

    outputs: Mapping[str, str]
    log: str
    seen: list[dict[str, Any]]
    store: DuckDB


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reader's package: the files of the page, and what pip writes beside them."""
    folder = tmp_path_factory.mktemp("headrace-library")
    for name, text in files().items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    facts = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = project["entry-points"].items()
    lines = [f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in each.items()) for group, each in groups]
    (facts / "entry_points.txt").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="module")
def done(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Done:
    """Everything the page says to type, typed: the tests in one process, beside the other commands in one more."""
    home = tmp_path_factory.mktemp("home")
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    environment = {
        **{name: os.environ[name] for name in ("PATH", "HOME")},
        "PYTHONPATH": os.pathsep.join((str(ROOT), str(package))),
        "DAGSTER_HOME": str(home),
        "DATA_FOLDER": str(home / "data"),
        "SANDBOX_LIMITS": "0",
        "SANDBOX_TODAY": TODAY.isoformat(),
    }
    typed = {name: command.partition(">")[0] for name, command in commands().items()}
    tests = shlex.split(typed.pop("tests").replace(PLACE, str(package)))[1:]

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        call = [sys.executable, *arguments]
        ended = subprocess.run(call, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stdout[-8_000:] + ended.stderr[-8_000:]
        return ended

    with ThreadPoolExecutor(2) as pool:
        tested = pool.submit(run, *tests, "-p", "no:cacheprovider", f"--basetemp={home / 'tests'}")
        others = run("-c", TYPED, json.dumps(typed))
    outputs = dict(re.findall(r"== (\w+)\n(.*?)(?=^== |\Z)", others.stdout, re.DOTALL | re.MULTILINE))
    seen = json.loads(outputs.pop("seen"))
    store = DuckDB(home / "data" / "sandbox.duckdb", home / "temporary")
    return Done({**outputs, "tests": tested.result().stdout}, others.stderr, seen, store)


def test_the_example_is_no_connector_of_this_project() -> None:
    assert "library" not in {kind.name for kind in discover()}


def test_the_streams_are_the_assets_that_the_page_lists(done: Done) -> None:
    assert f"```\n{done.outputs['list']}```" == shown("list")


def test_a_dry_run_and_a_limit_show_what_the_page_says(done: Done) -> None:
    dry_run, limited = done.seen
    (request,) = re.findall(r"`(GET /books\S+)…`", PAGE)
    assert dry_run["first_request"].startswith(request)
    declared = re.search(r"books = HttpStream\(.*?\n\)", files()["headrace_library/source.py"], re.DOTALL)
    assert declared is not None
    assert sorted(limited["first_record"]) == sorted(re.findall(r'Column\("(\w+)"', declared[0]))
    assert limited["records_seen"] == 2


def test_what_is_landed_are_the_rows_of_the_page(done: Done) -> None:
    tables = re.findall(r"\| `([\w.]+)` \| (\d+) \|", shown("tables"))
    assert len(tables) == 5
    counted = [(name, str(done.store.query(f"SELECT count(*) FROM {name}")[0][0])) for name, _ in tables]
    assert counted == tables


def test_every_check_of_every_asset_passes(done: Done) -> None:
    checks = re.findall(r"Asset check '(\w+)' on '([\w/]+)' (.*)\.", done.log)
    assert [check for check in checks if check[2] != "passed"] == []
    assert {asset for _, asset, _ in checks} == {
        "library/authors",
        "library/books",
        "library/loans",
        "frames/books_out",
    }


def test_the_contract_holds_the_example_and_so_do_its_own_tests(done: Done) -> None:
    own = len(re.findall(r"^def test_", files()["tests/test_library.py"], re.MULTILINE))
    (passed,) = re.findall(r"(\d+) passed, \d+ deselected", done.outputs["tests"])
    assert int(passed) >= own + 40


def test_the_frame_is_made_of_the_streams(done: Done) -> None:
    ((out,),) = done.store.query("SELECT count(*) FROM library.loans_current WHERE returned_at IS NULL")
    ((rows, longest_first),) = done.store.query(
        "SELECT count(*), list(lent_at) = list_sort(list(lent_at)) FROM frames.books_out"
    )
    assert 0 < rows <= out
    assert longest_first


def test_the_connectors_own_page_says_what_its_docstring_and_its_settings_do(done: Done) -> None:
    page = done.outputs["page"]
    assert page.startswith("# library\n")
    assert "A book that is withdrawn stays in the list" in page
    assert "| `LIBRARY_API_KEY` |" in page


def test_two_branches_are_two_entries_of_the_accounts(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (entries,) = re.findall(r"<!-- accounts -->\n  ```toml\n(.*?)  ```\n", PAGE, re.DOTALL)
    (tmp_path / "accounts.toml").write_text(entries.replace("\n  ", "\n").strip())
    monkeypatch.syspath_prepend(str(package))
    monkeypatch.setenv("ACCOUNTS_FILE", str(tmp_path / "accounts.toml"))
    defs = runpy.run_path(str(ROOT / "orchestration" / "definitions.py"))["defs"]
    keys = {spec.key.to_user_string() for spec in defs.resolve_all_asset_specs()}
    assert {f"library_{branch}/{name}" for branch in ("north", "south") for name in ("authors", "loans")} <= keys
    assert {kind for kind in defs.resources if kind.startswith("library")} == {"library_north", "library_south"}


@pytest.mark.parametrize("command", [("format", "--diff"), ("check", "--extend-ignore=D103,I001")])
def test_the_code_of_the_page_is_in_our_style(package: Path, command: tuple[str, str]) -> None:
    # How many blank lines are between two blocks, and after imports, is not for the page to show.
    ruff = [sys.executable, "-m", "ruff", command[0], "--config", str(ROOT / "pyproject.toml"), "--no-cache"]
    ended = subprocess.run([*ruff, command[1], str(package)], capture_output=True, text=True, check=False)
    changed = [line for line in ended.stdout.splitlines() if re.match(r"[-+](?!--|\+\+)\s*\S", line)]
    assert (changed, "All checks passed!" in ended.stdout) == ([], command[0] == "check")
