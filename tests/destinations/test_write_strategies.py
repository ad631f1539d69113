"""Rows beside those that are there, or over them, instead of in their place: what the Python API lands."""

from pathlib import Path
from typing import Any

import pytest

from connector_resources.destinations.duckdb import DuckDB, Landed
from connector_resources.errors import ShrunkSnapshot
from connector_resources.streams import SNAPSHOT, Slice, Stream, Window
from tests.destinations.things import THINGS, destination, thing
from tests.landing import Record, page, snapshot, spooled, window

NAMES = snapshot(id="string", name="string")


def land(store: DuckDB, stream: Stream, *records: Record, window: Window | None = None, **how: Any) -> Landed:
    spool = spooled(store.temporary_folder.parent / "spools", stream, [page(*records)], Slice(window))
    try:
        return store.land("source", stream, spool, partitions=[SNAPSHOT], window=window, run_id="run", **how)
    finally:
        spool.discard()


def name(key: str, value: str) -> dict[str, Any]:
    return {"id": key, "name": value}


def rows(store: DuckDB, table: str = "things") -> list[tuple[Any, ...]]:
    return store.query(f"SELECT id, name FROM source.{table} ORDER BY ALL")


def test_what_a_read_appends_is_beside_what_others_brought_and_the_newest_version_is_current(tmp_path: Path) -> None:
    store = destination(tmp_path)
    land(store, NAMES, name("a", "old"), name("b", "one"), read="2026-03-01T10:00:00Z")
    landed = land(store, NAMES, name("a", "new"), read="2026-03-02T10:00:00Z")
    assert rows(store) == [("a", "new"), ("a", "old"), ("b", "one")]
    assert rows(store, "things_current") == [("a", "new"), ("b", "one")]
    assert (landed.rows, landed.rows_in_table) == (1, 3)


def test_a_read_that_is_landed_again_is_there_once(tmp_path: Path) -> None:
    store = destination(tmp_path)
    for _ in range(2):
        land(store, NAMES, name("a", "one"), read="2026-03-01T10:00:00Z")
    assert rows(store) == [("a", "one")]


def test_a_read_of_a_window_is_appended_with_the_records_of_the_window_that_are_not_there(tmp_path: Path) -> None:
    store = destination(tmp_path)
    march = window("2026-03-01", "2026-03-04")
    for read, version, known in (("2026-03-04T00:00:00Z", 1, 0), ("2026-03-05T00:00:00Z", 2, 1)):
        landed = land(store, THINGS, thing(1, 1) | {"n": version}, thing(2, 3), thing(3, 9), window=march, read=read)
        assert (landed.rows, landed.left_out, list(landed.partitions)) == (2 - known, 1 + known, [read])
    current = store.query("SELECT id, n, _partition FROM source.things_current ORDER BY id")
    assert current == [("1", 2, "2026-03-05T00:00:00Z"), ("2", 2, "2026-03-04T00:00:00Z")]


def test_of_a_snapshot_that_is_merged_rows_stay_that_it_does_not_have(tmp_path: Path) -> None:
    store = destination(tmp_path)
    land(store, NAMES, name("a", "old"), name("b", "one"), name("c", "two"), name("d", "three"))
    landed = land(store, NAMES, name("a", "new"), name("e", "four"), keep_missing=True)
    assert rows(store) == [("a", "new"), ("b", "one"), ("c", "two"), ("d", "three"), ("e", "four")]
    assert rows(store, "things_current") == rows(store)
    assert (landed.rows, landed.rows_in_table, landed.deleted) == (5, 5, 0)
    assert (landed.changes[SNAPSHOT].added, landed.changes[SNAPSHOT].removed) == (1, 0)


def test_a_merge_takes_the_last_of_several_versions_in_one_batch(tmp_path: Path) -> None:
    store = destination(tmp_path)
    land(store, NAMES, name("a", "first"), name("a", "second"), keep_missing=True)
    land(store, NAMES, name("a", "third"), name("a", "fourth"), keep_missing=True)
    assert rows(store) == [("a", "fourth")]


def test_a_merge_into_a_table_of_fewer_columns_keeps_what_was_there(tmp_path: Path) -> None:
    store = destination(tmp_path)
    land(store, snapshot(id="string"), {"id": "a"}, {"id": "b"})
    land(store, NAMES, name("b", "one"), keep_missing=True)
    assert rows(store) == [("a", None), ("b", "one")]


def test_an_empty_snapshot_replaces_the_rows_once_that_is_confirmed(tmp_path: Path) -> None:
    store = destination(tmp_path)
    land(store, NAMES, name("a", "one"))
    with pytest.raises(ShrunkSnapshot):
        land(store, NAMES)
    assert rows(store) == [("a", "one")]
    land(store, NAMES, may_shrink=True)
    assert rows(store) == []


def test_an_empty_merge_or_append_takes_nothing_away(tmp_path: Path) -> None:
    store = destination(tmp_path)
    land(store, NAMES, name("a", "one"))
    land(store, NAMES, keep_missing=True, may_shrink=True)
    land(store, NAMES, read="2026-03-01T10:00:00Z")
    assert rows(store) == [("a", "one")]


def test_a_bad_record_of_an_appended_read_is_put_aside_under_that_read(tmp_path: Path) -> None:
    store = destination(tmp_path)
    store = DuckDB(store.path, store.temporary_folder, max_quarantined_share=0.6)
    land(store, NAMES, name("a", "one"), {"id": None}, read="2026-03-01T10:00:00Z")
    assert store.query("SELECT _partition FROM source.things_quarantine") == [("2026-03-01T10:00:00Z",)]
