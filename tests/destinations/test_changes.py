"""What a commit says of the rows it replaced, and of fields that nobody declared."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from connector_resources.destinations.duckdb import DuckDB, Landed
from connector_resources.destinations.duckdb_changes import Change, changes
from connector_resources.destinations.duckdb_tables import PartitionFacts
from connector_resources.streams import Stream, Window
from tests.destinations.things import MARCH_1, destination, land
from tests.landing import Record, close_spools, daily, snapshot, window

GOALS = snapshot("goals", id="string", n="integer", note="json", score="decimal")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DuckDB]:
    yield destination(tmp_path)
    close_spools()


def change(store: DuckDB, *records: Record, stream: Stream = GOALS, window: Window | None = None) -> Change:
    (change,) = land(store, *records, stream=stream, window=window).changes.values()
    return change


def goal(id: int, **values: Any) -> dict[str, Any]:
    return {"id": f"{id}", "n": id, "note": {"a": id}, "score": 0.5, **values}


def test_everything_of_a_first_landing_is_added(store: DuckDB) -> None:
    assert change(store, goal(1), goal(2)) == Change(added=2)
    assert change(store, stream=snapshot("none", id="string")) == Change()


def test_three_landings_of_the_same_change_nothing(store: DuckDB) -> None:
    versions = {land(store, goal(1), goal(2), stream=GOALS, window=None).data_version for _ in range(3)}
    assert len(versions) == 1
    assert change(store, goal(2), goal(1)) == Change()


def test_the_columns_of_two_partitions_are_compared_without_reading_those_between(tmp_path: Path) -> None:
    report = tmp_path / "profile.json"
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute(
            "ATTACH ':memory:' AS store; CREATE SCHEMA store.source; CREATE TABLE store.source.things AS "
            "SELECT range AS id, 1 AS n, format('day {:03d}', range // 1000) AS _partition FROM range(500_000); "
            "CREATE TABLE store._state AS SELECT 'source' AS schema, 'things' AS name, 'before' AS data_version, "
            "unnest(['day 001', 'day 499']) AS partition; CREATE TEMP TABLE batch AS SELECT id, 2 AS n, _partition "
            "FROM store.source.things WHERE _partition IN ('day 001', 'day 499')"
        )
        connection.execute(f"SET enable_profiling = 'json'; SET profiling_output = '{report}'")
        after = dict.fromkeys(("day 001", "day 499"), PartitionFacts(1000, "after"))
        found = changes(connection, "source", "things", ["id"], {"id": "BIGINT", "n": "INTEGER"}, after)
    assert found == dict.fromkeys(after, Change(changed=1000, columns={"n": 1000}))
    assert 2_000 < _rows_scanned(json.loads(report.read_text())) < 300_000


def _rows_scanned(profile: Any) -> int:
    """Sum up what the scans of a profile say, under the name of DuckDB 1 or of DuckDB 2."""
    if isinstance(profile, list):
        return sum(map(_rows_scanned, profile))
    if not isinstance(profile, dict):
        return 0
    own = sum(int(profile.get(name, 0)) for name in ("operator_rows_scanned", "rows_scanned"))
    return own + sum(map(_rows_scanned, profile.values()))


def test_rows_added_changed_and_removed_are_counted_and_the_columns_that_differ_named(store: DuckDB) -> None:
    land(store, *(goal(n) for n in range(10)), stream=GOALS, window=None)
    records = [goal(0), goal(1, n=None), goal(2, n=9), goal(3, n=9, note=[]), goal(4, score=0.500000001)]
    found = change(store, *records, *(goal(n) for n in range(5, 9)), goal(20), goal(21))
    assert found == Change(added=2, changed=4, removed=1, columns={"n": 3, "note": 1, "score": 1})
    assert list(found.columns) == ["n", "note", "score"]


def test_each_partition_has_changes_of_its_own(store: DuckDB) -> None:
    things = daily(n="integer")
    both = window("2026-03-01", "2026-03-03")
    first = [{"id": "1", "at": "2026-03-01T10:00:00Z", "n": 1}, {"id": "2", "at": "2026-03-02T10:00:00Z", "n": 1}]
    land(store, *first, stream=things, window=both)
    landed = land(store, first[0], {**first[1], "n": 2}, stream=things, window=both)
    assert landed.changes == {"2026-03-01": Change(), "2026-03-02": Change(changed=1, columns={"n": 1})}


def test_a_record_that_moved_to_a_later_day_is_removed_there_and_added_here(store: DuckDB) -> None:
    things, both = daily(n="integer"), window("2026-03-01", "2026-03-03")
    land(store, {"id": "1", "at": "2026-03-01T10:00:00Z"}, stream=things, window=MARCH_1)
    landed = land(store, {"id": "1", "at": "2026-03-02T10:00:00Z"}, stream=things, window=both)
    assert landed.changes == {"2026-03-01": Change(removed=1), "2026-03-02": Change(added=1)}
    assert store.query("SELECT _partition FROM source.things_current") == [("2026-03-02",)]


def test_a_column_that_is_new_or_wider_is_a_change_where_it_has_a_value(store: DuckDB) -> None:
    land(
        store, {"id": "1", "n": 1}, {"id": "2", "n": 2}, stream=snapshot("goals", id="string", n="integer"), window=None
    )
    wider = snapshot("goals", id="string", n="string", more="integer")
    found = change(store, {"id": "1", "n": "1", "more": 1}, {"id": "2", "n": "x"}, stream=wider)
    assert found == Change(changed=2, columns={"n": 1, "more": 1})


def test_a_column_that_is_no_longer_declared_is_no_change(store: DuckDB) -> None:
    land(store, {"id": "1", "n": 1}, stream=snapshot("goals", id="string", n="integer"), window=None)
    assert change(store, {"id": "1"}, stream=snapshot("goals", id="string")).changed == 0


def test_many_changed_rows_are_all_counted(store: DuckDB) -> None:
    many = snapshot("many", id="integer", n="integer")
    land(store, *({"id": n, "n": 0} for n in range(120_000)), stream=many, window=None)
    found = change(store, *({"id": n, "n": 1} for n in range(120_000)), stream=many)
    assert (found.changed, dict(found.columns)) == (120_000, {"n": 100_000})


def seen(landed: Landed) -> dict[str, bool]:
    return {name: first is None for name, first in landed.first_seen.items()}


def test_a_field_nobody_declared_is_new_once(store: DuckDB) -> None:
    assert seen(land(store, goal(1, color="red"), stream=GOALS, window=None)) == {"color": True}
    assert seen(land(store, goal(1, color="red", size=3), stream=GOALS, window=None)) == {"color": False, "size": True}
    fields = store.query("SELECT name, path, type, first_seen IS NOT NULL, run_id FROM _fields ORDER BY path")
    assert fields == [("goals", "$.color", "string", True, "run"), ("goals", "$.size", "integer", True, "run")]
    assert store.query("SELECT _extra FROM source.goals") == [('{"color":"red","size":3}',)]
