"""Destinations: results, datasets and sources into files and tables."""

import json
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

import connector_resources as ab
from connector_resources.caches import DuckDBCache
from connector_resources.datasets import InMemoryDataset
from connector_resources.errors import PartitionMissing, SchemaConflict
from connector_resources.exceptions import (
    AirbyteConnectorCheckFailedError,
    AirbyteConnectorNotRegisteredError,
    PyAirbyteInputError,
)
from connector_resources.results import ReadResult
from connector_resources.writing import get_available_destinations, get_destination
from tests.api.things import USERS, cache_in, land, user
from tests.landing import snapshot


@pytest.fixture
def result(tmp_path: Path) -> ReadResult:
    cache = cache_in(tmp_path)
    land(cache, user(1, owner="Ada"), user(2))
    land(cache, {"order": 1}, stream=snapshot("order", order="integer"))
    return ReadResult(3, cache, cache.streams, "source-crm")


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_result_is_a_file_a_stream(result: ReadResult, tmp_path: Path, kind: str) -> None:
    out = tmp_path / "out"
    written = ab.get_destination(f"destination-{kind}", {"destination_path": str(out)}).write(result)
    assert written.files == {"users": out / f"users.{kind}", "order": out / f"order.{kind}"}
    assert (dict(written.records), written.processed_records) == ({"users": 2, "order": 1}, 3)
    assert sorted(path.name for path in out.iterdir()) == [f"order.{kind}", f"users.{kind}"]
    with duckdb.connect() as connection:
        assert connection.execute(f"SELECT count(*) FROM '{out / f'users.{kind}'}'").fetchone() == (2,)


def test_a_dataset_is_written_with_its_filter_and_streams_may_be_chosen(result: ReadResult, tmp_path: Path) -> None:
    destination = get_destination("csv", {"destination_path": tmp_path / "out", "delimiter": ";"})
    assert destination.write(result["users"].with_filter(id=2)).records == {"users": 1}
    assert destination.write(result, streams="order").records == {"order": 1}
    assert destination.write(result, streams=["users", "order"], write_strategy="replace").processed_records == 3
    assert (tmp_path / "out" / "order.csv").read_text() == "order\n1\n"
    with pytest.raises(PyAirbyteInputError, match=r"nope was not read. .*users"):
        destination.write(result, streams=["nope"])


def test_a_source_is_read_into_a_cache_and_then_written(result: ReadResult, tmp_path: Path) -> None:
    asked: list[Any] = []

    class Reading:
        def read(self, cache: DuckDBCache, *, streams: Any, force_full_refresh: bool) -> ReadResult:
            asked.append((cache, streams, force_full_refresh))
            return result

    destination = get_destination("destination-local-json", {"destination_path": str(tmp_path / "out")})
    written = destination.write(Reading(), streams=["order"], cache=result.cache, force_full_refresh=True)  # type: ignore[arg-type]  # a source
    assert asked == [(result.cache, ["order"], True)]
    assert written.files == {"order": tmp_path / "out" / "order.jsonl"}


def test_rows_are_tables_of_another_database_with_their_types(result: ReadResult, tmp_path: Path) -> None:
    path = tmp_path / "other.duckdb"
    destination = get_destination("duckdb", {"destination_path": str(path), "schema": "crm"})
    written = destination.write(result)
    assert destination.write(result).tables == written.tables == {"users": "crm.users", "order": "crm.order"}
    with duckdb.connect(str(path)) as connection:
        described = {name: kind for name, kind, *_ in connection.execute("DESCRIBE crm.users").fetchall()}
        assert (described["created_at"], described["plan"], described["price"], described["_extra"]) == (
            "TIMESTAMP WITH TIME ZONE",
            "JSON",
            "DECIMAL(38,9)",
            "JSON",
        )
        assert connection.execute("SELECT count(*) FROM crm.users").fetchone() == (2,)
        assert connection.execute('SELECT "order" FROM crm."order"').fetchall() == [(1,)]


def test_a_database_that_sources_are_read_into_is_not_written_to(result: ReadResult, tmp_path: Path) -> None:
    other = cache_in(tmp_path / "other")
    land(other, user(1))
    for path in (result.cache.store.path, other.store.path):
        with pytest.raises(PyAirbyteInputError, match="a database that sources are read into"):
            get_destination("duckdb", {"destination_path": str(path)}).write(result)
    assert len(other["users"]) == 1


def test_what_a_destination_cannot_do_is_refused_with_the_reason(result: ReadResult, tmp_path: Path) -> None:
    with pytest.raises(AirbyteConnectorNotRegisteredError, match="destination-csv, destination-jsonl"):
        get_destination("destination-snowflake")
    with pytest.raises(
        PyAirbyteInputError, match=r"has to be told its destination_path. Keys: destination_path, the f"
    ):
        get_destination("destination-csv").write(result)
    for kind in ("csv", "duckdb"):
        with pytest.raises(PyAirbyteInputError, match="destination_path begins with s3:/"):
            get_destination(kind, {"destination_path": "s3://bucket"})
    with pytest.raises(PyAirbyteInputError, match="destination-jsonl takes no 'delimiter'"):
        get_destination("destination-jsonl", {"destination_path": "out", "delimiter": ";"})
    with pytest.raises(PyAirbyteInputError, match="docker_image means nothing here"):
        get_destination("destination-csv", {"destination_path": "out"}, docker_image="airbyte/destination-csv")
    destination = get_destination("destination-csv", {"destination_path": str(tmp_path / "out")}, version=None)
    with pytest.raises(PyAirbyteInputError, match="Read with write_strategy='append'"):
        destination.write(result, write_strategy="append")
    with pytest.raises(PyAirbyteInputError, match="no such write_strategy"):
        destination.write(result, write_strategy="upsert")
    with pytest.raises(PyAirbyteInputError, match="what is in a cache, or what a source reads"):
        destination.write(InMemoryDataset([{"id": 1}]))  # type: ignore[arg-type]  # that is what is refused
    for name in ("of/users", ".users"):
        with pytest.raises(PyAirbyteInputError, match="cannot be that of a file"):
            destination.write(ReadResult(1, result.cache, {name: result["users"]}))
    assert not (tmp_path / "out").exists()
    assert get_available_destinations() == [f"destination-{kind}" for kind in ("csv", "jsonl", "parquet", "duckdb")]


def test_a_stream_that_fails_leaves_those_before_it_written(result: ReadResult, tmp_path: Path) -> None:
    broken = ReadResult(1, result.cache, {"order": result["order"], "gone": result.cache.dataset("crm", "gone")})
    with pytest.raises(PartitionMissing):
        get_destination("csv", {"destination_path": str(tmp_path / "out")}).write(broken)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["order.csv"]


def test_a_table_that_cannot_be_made_in_another_database_is_named_and_what_is_there_stays(
    result: ReadResult, tmp_path: Path
) -> None:
    with duckdb.connect(tmp_path / "other.duckdb") as connection:
        connection.execute("CREATE VIEW users AS SELECT 1 AS theirs")
    with pytest.raises(SchemaConflict, match=r"main.users: .*cannot take the rows"):
        get_destination("duckdb", {"destination_path": tmp_path / "other.duckdb"}).write(result, streams="users")
    with duckdb.connect(tmp_path / "other.duckdb") as connection:
        assert connection.execute("SELECT theirs FROM users").fetchall() == [(1,)]


@pytest.mark.parametrize("kind", ["csv", "duckdb"])
def test_a_place_that_can_be_written_to_is_left_as_it_was_by_a_check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    get_destination(kind, {"destination_path": str(tmp_path / "new" / "out")}).check()
    assert f"succeeded for `destination-{kind}`" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_check_says_why_a_place_cannot_be_written_to(result: ReadResult, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("no folder, and no database")
    places = {
        ("csv", tmp_path / "taken"): r"destination-csv cannot write. .*taken: Not a directory. .*another destination_",
        ("duckdb", tmp_path / "taken" / "out.duckdb"): r"taken: Not a directory",
        ("duckdb", tmp_path / "taken"): "is no DuckDB database",
        ("duckdb", result.cache.store.path): "a database that sources are read into",
    }
    for (kind, path), why in places.items():
        with pytest.raises(AirbyteConnectorCheckFailedError, match=why):
            get_destination(kind, {"destination_path": path}).check()
    with pytest.raises(PyAirbyteInputError, match="has to be told its destination_path"):
        get_destination("csv").check()


def test_a_destination_says_what_it_takes(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    destination = get_destination("csv")
    assert list(destination.config_spec["properties"]) == ["destination_path", "delimiter"]
    assert destination.config_spec["required"] == ["destination_path"]
    destination.print_config_spec()
    assert yaml.safe_load(capsys.readouterr().out) == destination.config_spec
    destination.print_config_spec("json", stderr=True)
    assert json.loads(capsys.readouterr().err) == destination.config_spec
    destination.print_config_spec(output_file=tmp_path / "spec.yaml")
    assert yaml.safe_load((tmp_path / "spec.yaml").read_text()) == destination.config_spec


def test_a_second_write_takes_the_place_of_the_first(result: ReadResult, tmp_path: Path) -> None:
    destination = get_destination("csv", {"destination_path": tmp_path / "out"})
    destination.write(result["users"])
    destination.write(result["users"].with_filter(id=2))
    header, row = (tmp_path / "out" / "users.csv").read_text().splitlines()
    assert header.split(",") == [column.name for column in USERS.columns]
    assert row.startswith("2,")
