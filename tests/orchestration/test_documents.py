"""The documents of a source as an asset: a row a piece, made of what has been landed, and what is checked of them."""

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pandas as pd
import pytest

from connector_resources.resource import Source
from connector_resources.sources.aha import Aha, comments, ideas
from connector_resources.sources.drift import Drift
from connector_resources.sources.faker import Faker
from orchestration.checks import document_checks
from orchestration.documents import DOCUMENTS, document_assets
from orchestration.io_manager import Warehouse
from tests.frames.landing import Landing
from tests.orchestration.conftest import Project, failures, materialized

IDEA = {"id": "1", "name": "Export", "description": {"body": "<p>All of it.</p>"}, "updated_at": "2026-03-01T10:00:00Z"}
COMMENT = {"id": "7", "idea_id": "1", "body": "Me too", "created_at": "2026-03-02T10:00:00Z"}


@dataclass
class Shelf:
    """A database, and the documents made of it."""

    landing: Landing
    instance: dg.DagsterInstance

    def make(self, kind: type[Source] = Aha, **config: Any) -> dg.ExecuteInProcessResult:
        """Make the documents of a source in a run, and look at them."""
        (asset,) = document_assets(kind, kind.streams, "sandbox")
        return dg.materialize(
            [asset, document_checks(kind, kind.streams)],
            instance=self.instance,
            resources={"warehouse": warehouse(self.landing.store.path)},
            run_config={"ops": {asset.op.name: {"config": config}}},
            raise_on_error=False,
        )

    def rows(self, columns: str, table: str = "aha") -> list[tuple[Any, ...]]:
        return self.landing.store.query(f"SELECT {columns} FROM documents.{table} ORDER BY id")

    def checks(self) -> Mapping[str, dg.AssetCheckEvaluation]:
        """Look at what is there, without making it anew."""
        (asset,) = document_assets(Aha, Aha.streams, "sandbox")
        result = dg.materialize(
            [asset, document_checks(Aha, Aha.streams)],
            instance=self.instance,
            resources={"warehouse": warehouse(self.landing.store.path)},
            selection=dg.AssetSelection.all_asset_checks(),
            raise_on_error=False,
        )
        return {each.check_name: each for each in result.get_asset_check_evaluations()}


def warehouse(database: Path) -> Warehouse:
    return Warehouse(database=str(database), spools=str(database.parent / "spools"), lock_timeout_seconds=5.0)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    """A database with an idea and a comment on it."""
    landing = Landing(tmp_path)
    landing.land("aha", "ideas", [IDEA])
    landing.land("aha", "idea_comments", [COMMENT])
    (tmp_path / "dagster").mkdir()
    return Shelf(landing, dg.DagsterInstance.ephemeral(tempdir=str(tmp_path / "dagster")))


def test_a_record_is_a_row_with_its_text_its_facts_and_when_it_changed(shelf: Shelf) -> None:
    result = shelf.make()
    assert failures(result) == {}
    assert shelf.rows("* EXCLUDE (_partition, _loaded_at, _run_id)") == [
        (
            "aha/ideas/1#1",
            "aha/ideas/1",
            "ideas",
            "Export",
            "# Export\n\nAll of it.\n\n## Comments\n\nSomebody (2026-03-02 10:00 UTC):\nMe too",
            *(1, 1, 0),
            datetime(2026, 3, 2, 10, tzinfo=UTC),
            '{"title":"Export","source":"aha","stream":"ideas","updated_at":"2026-03-01T10:00:00+00:00"}',
        )
    ]
    assert [each.check_name for each in result.get_asset_check_evaluations() if not each.passed] == []


def test_a_long_document_is_several_rows_of_the_size_that_the_run_was_told(shelf: Shelf) -> None:
    shelf.landing.land("aha", "ideas", [{**IDEA, "description": {"body": "<p>It is so. </p>" * 50}}])
    shelf.make(chunk_size=100, chunk_overlap=20)
    pieces = shelf.rows("content, chunk, chunks, document_id")
    assert len(pieces) > 5
    assert {(chunks, document) for *_, chunks, document in pieces} == {(len(pieces), "aha/ideas/1")}
    assert max(len(content) for content, *_ in pieces) <= 100
    assert failures(shelf.make(chunk_size=10, chunk_overlap=10))["documents__aha"][0] == "PyAirbyteInputError"


def test_what_was_not_landed_is_named_and_the_rest_is_made(shelf: Shelf) -> None:
    metadata = materialized(shelf.make(), "documents/aha")[None]
    assert (metadata["documents"], metadata["dagster/row_count"]) == (1, 1)
    assert metadata["made_without"].split(", ")[:2] == ["products", "initiatives"]
    assert "ideas" not in metadata["made_without"].split(", ")
    assert "| ideas | 1 | 1 | 74 | 74 |" in metadata["by_stream"]


def test_without_anything_landed_the_run_says_what_to_materialise(shelf: Shelf) -> None:
    error, message = failures(shelf.make(Drift))["documents__drift"]
    assert error == "PartitionMissing"
    assert message.endswith("Materialise one of drift/conversations, meetings first.")


def test_documents_of_no_record_are_a_table_all_the_same(shelf: Shelf) -> None:
    shelf.landing.land("drift", "conversations", [])
    assert failures(shelf.make(Drift)) == {}
    assert shelf.rows("*", "drift") == []
    frame = shelf.landing.store.read_frame("documents", "drift")
    pd.testing.assert_frame_equal(frame, DOCUMENTS.cast(frame))


def test_another_account_has_documents_of_its_own(shelf: Shelf) -> None:
    emea = Aha.named("aha_emea")
    with duckdb.connect(str(shelf.landing.store.path)) as connection:
        connection.execute("CREATE SCHEMA aha_emea")
        connection.execute("CREATE TABLE aha_emea.ideas AS SELECT * REPLACE ('EMEA' AS name) FROM aha.ideas")
    shelf.make()
    shelf.make(emea)
    assert shelf.rows("document_id, title") == [("aha/ideas/1", "Export")]
    assert shelf.rows("document_id, title", "aha_emea") == [("aha_emea/ideas/1", "EMEA")]


def test_documents_are_made_of_the_streams_that_are_on() -> None:
    (asset,) = document_assets(Aha, [ideas, comments], "sandbox")
    assert {key.to_user_string() for key in asset.dependency_keys} == {"aha/ideas", "aha/comments"}
    assert document_assets(Faker, Faker.streams, "sandbox") == []


def test_what_changes_documents_changes_their_version() -> None:
    def version(kind: type[Source]) -> str:
        (asset,) = document_assets(kind, kind.streams, "sandbox")
        found = asset.code_versions_by_key[asset.key]
        assert found is not None
        return found

    assert version(Aha) == version(Aha.named("aha_emea"))
    assert version(Aha) != version(Drift)  # declared in another file


# What is checked


def test_a_record_that_is_landed_later_is_missed_until_the_documents_are_made_anew(shelf: Shelf) -> None:
    shelf.make()
    shelf.landing.land("aha", "ideas", [{**IDEA, "id": "2"}, IDEA])
    missed = shelf.checks()["every_record_is_there"]
    assert (missed.passed, missed.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "ideas | 2 | 1" in str(missed.metadata["sample"].value)
    shelf.make()
    assert shelf.checks()["every_record_is_there"].passed


@pytest.mark.parametrize(
    ("check", "meddling"),
    [
        ("key_unique", "INSERT INTO documents.aha FROM documents.aha"),
        ("says_something", "UPDATE documents.aha SET content = ' '"),
        ("is_a_piece_of_its_document", "UPDATE documents.aha SET chunk = 2, id = 'aha/ideas/1#2'"),
        ("is_a_piece_of_its_document", "UPDATE documents.aha SET document_id = 'aha/ideas/2'"),
        ("holds_facts", "UPDATE documents.aha SET metadata = 'title'"),
        ("every_record_is_there", "UPDATE documents.aha SET stream = 'epics'"),
    ],
)
def test_exactly_the_check_that_is_meant_for_it_finds_what_is_wrong(shelf: Shelf, check: str, meddling: str) -> None:
    shelf.make()
    with duckdb.connect(str(shelf.landing.store.path)) as connection:
        connection.execute(meddling)
    assert [name for name, each in shelf.checks().items() if not each.passed] == [check]


# Of a whole organization


def test_every_conversation_of_an_organization_is_a_document(
    landed: tuple[Project, dg.ExecuteInProcessResult], tmp_path: Path
) -> None:
    database = tmp_path / "copy.duckdb"
    shutil.copy(landed[0].settings.database, database)
    landing = Landing(tmp_path)
    landing.store = replace(landing.store, path=database)
    (tmp_path / "dagster").mkdir()
    shelf = Shelf(landing, dg.DagsterInstance.ephemeral(tempdir=str(tmp_path / "dagster")))
    result = shelf.make(Drift)
    assert failures(result) == {}
    assert [each.check_name for each in result.get_asset_check_evaluations() if not each.passed] == []
    (spoken,) = landing.store.query(
        "SELECT count(DISTINCT conversationId) FROM drift.messages WHERE _is_current AND type = 'chat'"
    )
    rows = shelf.rows("content, metadata, last_modified", "drift")
    assert len(rows) >= spoken[0] > 10
    assert all("<p>" not in content and "&nbsp;" not in content for content, *_ in rows)
    assert all(json.loads(facts)["stream"] == "conversations" and when is not None for _, facts, when in rows)
    assert any("(bot) (20" in content for content, *_ in rows)


def test_the_query_that_the_page_shows_finds_what_has_changed(shelf: Shelf) -> None:
    page = (Path(__file__).parents[2] / "docs" / "python_api.md").read_text()
    (query,) = re.findall(r"```sql\n(.*documents\.aha.*;)\n```", page)
    shelf.make()
    ((number, content, status),) = shelf.landing.store.query(query)
    assert (number, content.partition("\n")[0], status) == ("aha/ideas/1#1", "# Export", None)
