"""exports.toml: files of streams and frames as assets, and what it says of a mistake."""

from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from connector_resources.errors import ConfigurationError
from connector_resources.sources.aha import ideas
from orchestration.exports import Export, export_asset, read_exports
from orchestration.io_manager import Warehouse
from tests.frames.landing import Landing
from tests.test_definitions import definitions

ROOT = Path(__file__).parents[2]
TABLES = {"aha.ideas", "frames.ideas"}
IDEA = {"id": "1", "name": "A, and B", "updated_at": "2026-03-01T10:00:00Z"}


def read(folder: Path, text: str) -> list[Export]:
    path = folder / "exports.toml"
    path.write_text(text, encoding="utf-8")
    return read_exports(path, TABLES, folder / "data", "sandbox")


def made(landing: Landing, export: Export) -> dg.ExecuteInProcessResult:
    warehouse = Warehouse(database=str(landing.store.path), spools=str(landing.store.path.parent / "spools"))
    return dg.materialize([export_asset(export, "sandbox")], resources={"warehouse": warehouse}, raise_on_error=False)


# What there is


def test_without_a_file_there_is_no_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_exports(None, TABLES, tmp_path, "sandbox") == []
    (tmp_path / "exports.toml").write_text('[ideas]\ntable = "aha.ideas"\n')
    assert [export.name for export in read_exports(None, TABLES, tmp_path, "sandbox")] == ["ideas"]


def test_an_entry_is_a_file_of_a_table_and_may_say_more(tmp_path: Path) -> None:
    first, second = read(
        tmp_path,
        '[ideas]\ntable = "aha.ideas"\n'
        '[flat]\ntable = "frames.ideas"\nformat = "parquet"\nfolder = "out"\nwhere = "votes > 1"\n',
    )
    assert first == Export("ideas", "aha", "ideas", "csv", tmp_path / "data" / "exports" / "sandbox" / "ideas.csv")
    assert second == Export("flat", "frames", "ideas", "parquet", Path("out/flat.parquet"), ("votes > 1",))


def test_the_example_is_one_that_can_be_read() -> None:
    tables = {"aha.ideas", "frames.conversations", "drift.users"}
    exports = read_exports(ROOT / "exports.example.toml", tables, Path("data"), "live")
    assert [export.path for export in exports] == [
        Path("data/exports/live/ideas.csv"),
        Path("exports/open_conversations.parquet"),
        Path("data/exports/live/users.csv"),
    ]


MISTAKES = {
    "no such table": (
        '[a]\ntable = "aha.nope"',
        r"\[a\]: table must be one that is made here: aha.ideas, frames.ideas",
    ),
    "no table": ("[a]", r"\[a\]: table must be one"),
    "no such key": (
        '[a]\ntable = "aha.ideas"\nformats = "csv"',
        r"there is no key formats. table: the stream or frame",
    ),
    "no such format": ('[a]\ntable = "aha.ideas"\nformat = "xlsx"', "format must be one of csv, jsonl, parquet"),
    "no text": ('[a]\ntable = "aha.ideas"\nwhere = 5', "where must be a text"),
    "a delimiter beyond ASCII": ('[a]\ntable = "aha.ideas"\ndelimiter = "é"', "delimiter must be one character"),
    "a delimiter": ('[a]\ntable = "aha.ideas"\ndelimiter = ";;"', "delimiter must be one character"),
    "a path for a name": ('["../a"]\ntable = "aha.ideas"', "a name is small letters, digits and underscores"),
    "names that differ in case": (
        '[a]\ntable = "aha.ideas"\n[A]\ntable = "aha.ideas"',
        r"\[A\]: a name is small letters",
    ),
    "outside of an entry": ('table = "aha.ideas"', r"\[table\]: an entry is a table of keys"),
    "no TOML": ("[a", "is no TOML in UTF-8"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_said_with_the_file_the_entry_and_what_to_do(tmp_path: Path, mistake: str) -> None:
    text, said = MISTAKES[mistake]
    with pytest.raises(ConfigurationError, match=said) as raised:
        read(tmp_path, text)
    assert str(raised.value).startswith(str(tmp_path / "exports.toml"))


# In Dagster


def test_an_export_is_the_file_of_the_current_rows_and_says_where_and_how_many(tmp_path: Path) -> None:
    landing = Landing(tmp_path)
    landing.land("aha", "ideas", [IDEA, {**IDEA, "id": "2", "name": None}])
    export = Export("ideas", "aha", "ideas", "csv", tmp_path / "out" / "ideas.csv", ("name IS NOT NULL",))
    result = made(landing, export)
    assert result.success
    (event,) = result.get_asset_materialization_events()
    metadata = event.materialization.metadata
    assert metadata["dagster/row_count"].value == 1
    assert metadata["path"].value == str(export.path)
    assert pd.read_csv(export.path)["name"].tolist() == ["A, and B"]


def test_an_export_of_what_was_never_landed_fails_with_what_to_do_and_leaves_the_old_file(tmp_path: Path) -> None:
    export = Export("ideas", "aha", "ideas", "csv", tmp_path / "ideas.csv")
    export.path.write_text("old")
    result = made(Landing(tmp_path), export)
    assert not result.success
    (failed,) = result.get_step_failure_events()
    error = failed.step_failure_data.error
    assert error is not None
    assert error.cls_name == "Failure"  # with what to do, and without a traceback
    assert "aha.ideas: nothing has been read into" in error.message
    assert export.path.read_text() == "old"


def test_exports_are_assets_of_the_project_below_their_tables(tmp_path: Path) -> None:
    path = tmp_path / "exports.toml"
    path.write_text('[votes]\ntable = "frames.ideas"\nformat = "jsonl"\n[raw]\ntable = "aha.ideas"\n')
    graph = definitions(EXPORTS_FILE=str(path)).resolve_asset_graph()
    assert graph.get(dg.AssetKey(["exports", "votes"])).parent_keys == {dg.AssetKey(["frames", "ideas"])}
    assert graph.get(dg.AssetKey(["exports", "raw"])).parent_keys == {dg.AssetKey(["aha", ideas.name])}
    assert graph.get(dg.AssetKey(["exports", "raw"])).automation_condition is not None
    path = tmp_path / "wrong.toml"
    path.write_text('[raw]\ntable = "aha.record_links"\n')
    with pytest.raises(ConfigurationError, match=r"wrong.toml, \[raw\]: table must be one that is made here"):
        definitions(EXPORTS_FILE=str(path))
    with pytest.raises(ConfigurationError, match="EXPORTS_FILE names it"):
        definitions(EXPORTS_FILE=str(tmp_path / "none.toml"))
