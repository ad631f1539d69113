"""What docs/python_api.md shows is run as it stands there."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from connector_resources import secrets
from connector_resources.configs import fields_of
from connector_resources.exceptions import AirbyteConnectorValidationFailedError
from connector_resources.sources.aha import Aha

PAGE = (Path(__file__).parents[2] / "docs" / "python_api.md").read_text()
SECTIONS = ("Read a source", "Caches", "Files", "Configurations", "Secrets", "Documents")


def section(name: str) -> str:
    """Return the text below a heading, up to the next of its level."""
    return re.split(r"(?m)^## ", PAGE.split(f"\n## {name}\n")[1])[0]


def blocks(name: str) -> list[str]:
    """Return the Python of a section."""
    return re.findall(r"```python\n(.*?)```", section(name), re.DOTALL)


@pytest.fixture(autouse=True)
def _a_place_with_secrets(desk: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AHA_API_KEY", "key")
    monkeypatch.delenv("DRIFT_ACCESS_TOKEN", raising=False)
    (desk / "secrets").mkdir()
    (desk / "secrets" / "DRIFT_ACCESS_TOKEN").write_text("token\n")
    secrets.reset_secret_sources()
    yield
    secrets.reset_secret_sources()


@pytest.mark.parametrize("block", [block for name in SECTIONS for block in blocks(name)])
def test_what_the_page_shows_runs(block: str) -> None:
    assert "assert " in block
    exec(compile(block, "docs/python_api.md", "exec"), {"__name__": "page"})


def test_the_refusal_on_the_page_is_the_one_that_comes() -> None:
    (shown,) = re.findall(r"```\n(The configuration does not fit.*)\n```", section("Configurations"))
    with pytest.raises(AirbyteConnectorValidationFailedError) as caught:
        fields_of(Aha, {"subdomain": "acme", "api_key": None, "ulr": "https://acme.aha.io"})
    assert caught.value.message == shown


def test_the_page_names_every_manager_of_a_cloud() -> None:
    clouds = [
        name for name, thing in vars(secrets).items() if name.endswith("SecretManager") and hasattr(thing, "store")
    ]
    assert len(clouds) == 4
    assert [name for name in clouds if f"`{name}(" not in section("Secrets")] == []
