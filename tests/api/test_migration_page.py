"""What docs/migrate_from_pyairbyte.md shows runs, and what it promises is held by a test."""

import importlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import connector_resources as ab
from connector_resources.caches import DuckDBCache
from connector_resources.sandbox.accounts import credentials
from connector_resources.sandbox.process import SandboxProcess
from connector_resources.sandbox.settings import Settings
from connector_resources.streams import Page

PAGE = (Path(__file__).parents[2] / "docs" / "migrate_from_pyairbyte.md").read_text()
GUIDES = {"The guide to Aha!": "ideas_stream", "The guide to Drift": "messages"}
OVERVIEW = "The overview of the API"
PROMISES = ("What is different", "Where PyAirbyte fails, and this does not")

CREDENTIALS = {
    "your_api_key_here": credentials("aha")["api_key"],
    "your_aha_instance_url_here": "sandbox.aha.io",
    "test@test.com": credentials("drift")["contact_emails"][0],
    "your_client_id_here": credentials("drift")["client_id"],
    "your_client_secret_here": credentials("drift")["client_secret"],
    "your_access_token_here": credentials("drift")["access_token"],
    "your_refresh_token_here": credentials("drift")["refresh_token"],
}


def section(name: str) -> str:
    """Return the text below a heading, up to the next one."""
    return re.split(r"(?m)^## ", PAGE.split(f"\n## {name}\n")[1])[0]


def rows(name: str) -> list[tuple[str, str]]:
    """Return the snippets of a section: PyAirbyte's, and ours beside it."""
    cell = r"<td>\n\n```python\n(.*?)```\n\n</td>"
    return re.findall(rf"<tr>{cell}{cell}</tr>", section(name), re.DOTALL)


def run(snippet: str, stream: str = "") -> dict[str, Any]:
    """Run a snippet with the sandbox's credentials in the place of the user's, and return what it has defined."""
    for placeholder, value in {**CREDENTIALS, "your_stream": stream}.items():
        snippet = snippet.replace(placeholder, value)
    defined: dict[str, Any] = {"__name__": "page"}
    exec(compile(snippet, "docs/migrate_from_pyairbyte.md", "exec"), defined)
    return defined


@pytest.fixture(scope="module")
def fresh_sandbox() -> Iterator[SandboxProcess]:
    """A sandbox of few records, in which no token was renewed yet."""
    with SandboxProcess(Settings(scale=0.05, limits=0)) as process:
        yield process


@pytest.fixture
def fresh_desk(desk: Path, fresh_sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory whose environment names that sandbox, and the secret that the overview asks for."""
    monkeypatch.setenv("SANDBOX_URL", fresh_sandbox.url)
    monkeypatch.setenv("PARTITIONS_START", (datetime.now(UTC) - timedelta(days=30)).date().isoformat())
    monkeypatch.setenv("AHA_API_KEY", CREDENTIALS["your_api_key_here"])
    return desk


@pytest.mark.parametrize("name", [*GUIDES, OVERVIEW])
def test_our_snippet_is_theirs_with_another_import(name: str) -> None:
    assert len(rows(name)) == section(name).count("</td></tr>") == section(name).count("```python") / 2
    for theirs, ours in rows(name):
        assert theirs != ours
        assert re.sub(r"(?m)^(import|from) airbyte\b", r"\1 connector_resources", theirs) == ours


@pytest.mark.parametrize("name", list(GUIDES))
def test_a_guide_runs_with_only_the_import_and_the_credentials_changed(fresh_desk: Path, name: str) -> None:
    ((_, ours),) = rows(name)
    defined = run(ours, GUIDES[name])
    assert (defined["source"].mode, defined["source"].account) == ("sandbox", defined["source"].name[7:])
    assert list(defined["result"]) == defined["source"].get_selected_streams()
    assert len(defined["df"]) == len(defined["result"][GUIDES[name]]) > 0
    assert (fresh_desk / "data" / "sandbox.duckdb").exists()


@pytest.mark.parametrize("number", range(len(rows(OVERVIEW))))
def test_the_overview_runs_with_only_the_import_changed(
    fresh_desk: Path, capsys: pytest.CaptureFixture[str], number: int
) -> None:
    defined = run(rows(OVERVIEW)[number][1])
    printed = capsys.readouterr().out.splitlines()
    if number == 0:
        assert printed == 2 * [str(record) for record in defined["read_result"]["users"]]
        assert len(printed) == 2000
    elif number == 1:
        assert printed == [f"{name}: {len(dataset)} records" for name, dataset in defined["result"].items()]
        assert printed[0] == "users: 5000 records"
    elif number == 2:
        assert isinstance(defined["source"], defined["Source"])
        assert defined["cache"].run_sql_query("SELECT count(*) AS n FROM myschema.users") == [{"n": 10}]
    elif number == 3:
        assert sorted(path.name for path in Path("out").iterdir()) == ["products.csv", "purchases.csv", "users.csv"]
        assert len(Path("out/users.csv").read_text().splitlines()) == 11
    else:
        assert repr(defined["source"].get_config()["api_key"]) == "<SecretString: ****>"


@pytest.mark.parametrize("name", PROMISES)
def test_each_promise_of_the_page_names_its_test(name: str) -> None:
    lines = [line for line in section(name).splitlines() if line.startswith("| ")][2:]
    assert len(lines) > 10
    assert [line for line in lines if not re.search(r"\| `tests/[\w/]+\.py::test_\w+` \|$", line)] == []


# Promises that no other test holds


def sending(source: ab.Source, monkeypatch: pytest.MonkeyPatch, *pages: Sequence[Mapping[str, Any]]) -> ab.Source:
    """Let a source send these pages of records."""

    def read(*asked: Any) -> Iterator[Page]:
        return iter([Page([json.dumps(record).encode() for record in page]) for page in pages])

    monkeypatch.setattr(type(source.connected), "read", read)
    return source


@pytest.fixture
def users(desk: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., ab.Source]:
    """Make a source whose stream `users` is what it is given, after eleven users of no concern."""
    others = [{"id": number, "name": f"Person {number}"} for number in range(100, 111)]

    def make(*pages: Sequence[Mapping[str, Any]]) -> ab.Source:
        source = ab.get_source("source-faker", config={}, streams="users", progress=False)
        return sending(source, monkeypatch, others, *pages)

    return make


def test_a_merge_leaves_one_row_of_each_key_and_a_record_without_a_key_is_put_aside(
    users: Callable[..., ab.Source], desk: Path
) -> None:
    cache = DuckDBCache(desk / "mine.duckdb")
    source = users([{"id": 1, "name": "Old"}, {"id": 1, "name": "New"}], [{"id": None, "name": "Nobody"}])
    for _ in range(2):
        result = source.read(cache, write_strategy="merge")
        assert len(result["users"]) == 12
        assert [record["name"] for record in result["users"].with_filter(id=1)] == ["New"]
        assert cache.run_sql_query("SELECT count(*) AS n FROM faker.users_quarantine") == [{"n": 1}]


def test_a_record_that_does_not_fit_is_put_aside_and_the_others_are_read(
    users: Callable[..., ab.Source], desk: Path
) -> None:
    cache = DuckDBCache(desk / "mine.duckdb")
    result = users([{"id": 1, "age": 30}, {"id": 2, "age": "thirty"}]).read(cache)
    assert [record["id"] for record in result["users"].with_filter("id < 100")] == [1]
    (aside,) = cache.run_sql_query("FROM faker.users_quarantine")
    assert "thirty" in str(aside)
    assert "integer" in str(aside)


def test_columns_keep_their_spelling_and_sql_takes_any(desk: Path) -> None:
    source = ab.get_source("source-drift", config=ab.sandbox_config("source-drift"), progress=False)
    result = source.read(streams="conversations")
    assert "contactId" in result["conversations"].to_pandas().columns
    counted = [
        result.cache.run_sql_query(f"SELECT count({column}) AS n FROM conversations")
        for column in ("contactId", "contactid")
    ]
    assert counted[0] == counted[1] != [{"n": 0}]


def test_the_contact_of_an_address_is_a_stream_of_its_own(desk: Path) -> None:
    config = ab.sandbox_config("source-drift")
    source = ab.get_source("source-drift", config=config, progress=False, streams=["contacts", "contacts_by_email"])
    result = source.read()
    (contact,) = result["contacts_by_email"]
    assert contact["attributes"]["email"] == config["email"]
    assert len(result["contacts"]) > 1


LEFT_OUT = next(line for line in section("What is different").splitlines() if line.startswith("| `PostgresCache`"))


@pytest.mark.parametrize("name", re.findall(r"`(\w+)`", LEFT_OUT.split(" | ")[0]))
def test_a_name_that_only_pyairbyte_has_is_told_with_what_to_take_instead(name: str) -> None:
    said = rf"{name} of PyAirbyte is not here\. \w.{{30}}"
    modules = ["connector_resources", *(["connector_resources.caches"] if name.endswith("Cache") else [])]
    for module in modules:
        with pytest.raises(ImportError, match=said):
            exec(f"from {module} import {name}")
        with pytest.raises(ImportError, match=said):
            getattr(importlib.import_module(module), name)


@pytest.mark.parametrize("module", ["connector_resources", "connector_resources.caches"])
def test_a_name_that_nobody_has_is_an_attribute_error_as_ever(module: str) -> None:
    assert not hasattr(importlib.import_module(module), "get_sauce")
    with pytest.raises(ImportError, match="cannot import name 'get_sauce'"):
        exec(f"from {module} import get_sauce")
