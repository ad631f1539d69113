"""Deleted records: what is known of them, and that `_current` leaves them out, whoever tells and in whatever order."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector_resources.destinations.duckdb import DuckDB, Landed
from connector_resources.errors import OutdatedReading, ShrunkSnapshot, TooManyQuarantined
from connector_resources.streams import SNAPSHOT, Column, Cursor, Deletions, Page, Parent, ParentRow, Stream, Window
from tests.landing import Record, children, close_spools, columns, daily, days, page, snapshot, spooled, window

GOALS = snapshot("goals", id="string", n="integer")
THINGS = daily(n="integer", name="string", partition="string", schema="string")  # names of our own columns too
ACCOUNTS = Stream(
    name="accounts",
    description="",
    columns=columns(id="string", deleted="boolean", changed_at="epoch_ms"),
    primary_key=("id",),
    cursor=Cursor("changed_at"),
    deleted_flag="deleted",
)
AUDITS = Stream(
    name="audits",
    description="",
    columns=columns(id="string", at="timestamp", action="string", kind="string", about="integer"),
    primary_key=("id",),
    cursor=Cursor("at", since="since"),
    deletions=Deletions("action", "destroy", "kind", "about", "at", {"Goal": GOALS, "Thing": THINGS, "Item": THINGS}),
)
MARCH_1, MARCH_2, MARCH = window("2026-03-01"), window("2026-03-02"), window("2026-03-01", "2026-03-04")


class Store:
    """A database, and extractions that were begun when a test says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.destination = DuckDB(folder / "store.duckdb", folder / "temporary", lock_timeout_seconds=5)

    def land(
        self,
        stream: Stream,
        *records: Record,
        window: Window | None = None,
        begun: str = "2026-03-10T00:00",
        may_shrink: bool = True,
        parent: ParentRow | None = None,
    ) -> Landed:
        spool = spooled(self.folder / "spools", stream, [page(*records, parent=parent)])
        spool.started_at = instant(begun).timestamp()
        partitions = [SNAPSHOT] if window is None else days(window)
        try:
            return self.destination.land(
                "source", stream, spool, partitions=partitions, window=window, run_id="run", may_shrink=may_shrink
            )
        finally:
            spool.discard()

    def current(self, stream: Stream) -> list[str]:
        return [key for (key,) in self.destination.query(f"SELECT id FROM source.{stream.name}_current ORDER BY ALL")]

    def deleted(self, stream: Stream) -> list[tuple[Any, ...]]:
        """The tombstones of a stream; none where nobody has made their table."""
        tables = self.destination.query("SELECT table_name FROM information_schema.tables")
        if (f"{stream.name}_deleted",) not in tables:
            return []
        return self.destination.query(
            f"SELECT id, _deleted_at, _reason, _found_in FROM source.{stream.name}_deleted ORDER BY ALL"
        )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    yield Store(tmp_path)
    close_spools()


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def goal(id: str) -> dict[str, Any]:
    return {"id": id, "n": 1}


def thing(id: int, day: int = 1) -> dict[str, Any]:
    return {"id": f"{id}", "at": f"2026-03-{day:02}T10:00:00Z", "n": 1}


def audit(id: str, about: int, at: str = "2026-03-01T12:00", kind: str = "Thing", action: str = "destroy") -> Record:
    return {"id": id, "at": f"{at}:00Z", "action": action, "kind": kind, "about": about}


MISSING = "missing in a complete snapshot"

# -- snapshots --------------------------------------------------------------------------------------------------------


def test_a_record_that_vanished_between_two_snapshots_has_a_tombstone_with_the_time(store: Store) -> None:
    store.land(GOALS, goal("1"), goal("2"), goal("3"))
    landed = store.land(GOALS, goal("1"), begun="2026-03-11T06:00")
    assert store.deleted(GOALS) == [
        ("2", instant("2026-03-11T06:00"), MISSING, "source.goals all"),
        ("3", instant("2026-03-11T06:00"), MISSING, "source.goals all"),
    ]
    assert landed.deleted == 2
    assert store.current(GOALS) == ["1"]


def test_a_tombstone_keeps_the_time_of_the_first_snapshot_without_the_record(store: Store) -> None:
    store.land(GOALS, goal("1"), goal("2"))
    store.land(GOALS, goal("1"), begun="2026-03-11T00:00")
    landed = store.land(GOALS, goal("1"), begun="2026-03-12T00:00")
    assert [(key, at) for key, at, *_ in store.deleted(GOALS)] == [("2", instant("2026-03-11T00:00"))]
    assert landed.deleted == 0


def test_a_record_that_is_back_has_no_tombstone(store: Store) -> None:
    store.land(GOALS, goal("1"), goal("2"))
    store.land(GOALS, goal("1"), begun="2026-03-11T00:00")
    store.land(GOALS, goal("1"), goal("2"), begun="2026-03-12T00:00")
    assert store.deleted(GOALS) == []
    assert store.current(GOALS) == ["1", "2"]


def test_the_first_snapshot_and_equal_ones_make_no_tombstones(store: Store) -> None:
    for _ in range(2):
        store.land(GOALS, goal("1"), goal("2"))
    assert ("goals_deleted",) not in store.destination.query("SELECT table_name FROM information_schema.tables")


def test_a_record_in_quarantine_is_not_taken_for_deleted(store: Store) -> None:
    store.land(GOALS, *(goal(f"{n}") for n in range(20)))
    store.land(GOALS, *(goal(f"{n}") for n in range(1, 19)), {"id": "0", "n": "many"})
    assert [key for key, *_ in store.deleted(GOALS)] == ["19"]


def test_a_substream_read_whole_has_tombstones_by_its_whole_key(store: Store) -> None:
    parts = Stream(
        name="parts",
        description="",
        columns=(*columns(id="string"), Column("goal_id", "string", "", parent="goal_id")),
        primary_key=("goal_id", "id"),
        parent=Parent(GOALS, {"goal_id": "id"}),
    )
    store.land(parts, {"id": "1"}, {"id": "2"}, {"id": "3"}, parent=ParentRow({"goal_id": "7"}))
    store.land(parts, {"id": "1"}, {"id": "3"}, parent=ParentRow({"goal_id": "7"}))
    assert store.destination.query("SELECT goal_id, id FROM source.parts_deleted") == [("7", "2")]


def test_current_says_in_its_description_that_it_leaves_deleted_records_out(store: Store) -> None:
    store.land(GOALS, goal("1"))
    ((comment,),) = store.destination.query("SELECT comment FROM duckdb_views() WHERE view_name = 'goals_current'")
    assert "deleted are left out; goals_deleted" in comment


# -- a flag on the record ---------------------------------------------------------------------------------------------


def test_a_record_whose_flag_says_deleted_is_kept_and_not_current(store: Store) -> None:
    changed_at = instant("2026-03-05T00:00")
    gone = {"id": "2", "deleted": True, "changed_at": int(changed_at.timestamp() * 1000)}
    landed = store.land(ACCOUNTS, {"id": "1", "deleted": False}, gone, {"id": "3"})
    assert store.current(ACCOUNTS) == ["1", "3"]
    assert store.destination.query("SELECT count(*) FROM source.accounts") == [(3,)]
    assert store.deleted(ACCOUNTS) == [("2", changed_at, "deleted is true", "source.accounts all")]
    assert landed.deleted == 1


def test_a_record_whose_flag_is_taken_back_is_current(store: Store) -> None:
    store.land(ACCOUNTS, {"id": "1", "deleted": True})
    store.land(ACCOUNTS, {"id": "1", "deleted": False}, begun="2026-03-11T00:00")
    assert store.current(ACCOUNTS) == ["1"]
    assert store.deleted(ACCOUNTS) == []


def test_a_flag_that_stays_is_one_tombstone(store: Store) -> None:
    for begun in ("2026-03-10T00:00", "2026-03-11T00:00"):
        store.land(ACCOUNTS, {"id": "1", "deleted": True}, begun=begun)
    assert len(store.deleted(ACCOUNTS)) == 1
    assert store.current(ACCOUNTS) == []


# -- a stream that tells of others ------------------------------------------------------------------------------------

TOLD = ("source.audits says so", "source.audits 2026-03-01")


@pytest.mark.parametrize("order", [(THINGS, AUDITS), (AUDITS, THINGS)], ids=["records first", "audits first"])
def test_a_record_that_another_stream_says_was_deleted_is_not_current(store: Store, order: list[Stream]) -> None:
    records: dict[str, list[Record]] = {
        THINGS.name: [thing(1), thing(2), thing(3)],
        AUDITS.name: [audit("a", 2), audit("b", 3, kind="Item"), audit("c", 9)],
    }
    for stream in order:
        store.land(stream, *records[stream.name], window=MARCH_1, begun="2026-03-01T11:00")
    assert store.current(THINGS) == ["1"]
    assert store.deleted(THINGS) == [
        ("2", instant("2026-03-01T12:00"), *TOLD),
        ("3", instant("2026-03-01T12:00"), *TOLD),
        ("9", instant("2026-03-01T12:00"), *TOLD),
    ]
    assert store.destination.query("SELECT count(*) FROM source.things") == [(3,)]


def test_all_versions_of_a_deleted_record_are_left_out_and_kept(store: Store) -> None:
    store.land(THINGS, thing(1, 1), thing(1, 2), thing(2, 1), window=MARCH, begun="2026-03-02T00:00")
    landed = store.land(AUDITS, audit("a", 1, at="2026-03-02T12:00"), window=MARCH_2)
    assert store.current(THINGS) == ["2"]
    assert store.destination.query("SELECT count(*) FROM source.things WHERE id = '1'") == [(2,)]
    assert landed.deleted_elsewhere == {"things": 1}


@pytest.mark.parametrize("order", [(THINGS, AUDITS), (AUDITS, THINGS)], ids=["records first", "audits first"])
def test_a_record_that_was_read_after_its_deletion_has_been_restored(store: Store, order: list[Stream]) -> None:
    records: dict[str, list[Record]] = {THINGS.name: [thing(1)], AUDITS.name: [audit("a", 1)]}
    for stream in order:
        store.land(stream, *records[stream.name], window=MARCH_1, begun="2026-03-01T13:00")
    assert store.current(THINGS) == ["1"]
    assert store.deleted(THINGS) == []


def test_a_restored_record_stays_when_the_audits_are_landed_again(store: Store) -> None:
    store.land(AUDITS, audit("a", 1), window=MARCH_1)
    store.land(THINGS, thing(1), window=MARCH_1, begun="2026-03-01T13:00")
    store.land(AUDITS, audit("a", 1), window=MARCH_1)
    assert store.current(THINGS) == ["1"]


def test_what_an_earlier_landing_of_the_audits_told_is_taken_back_with_it(store: Store) -> None:
    store.land(THINGS, thing(1), thing(2), window=MARCH_1, begun="2026-03-01T11:00")
    store.land(AUDITS, audit("a", 1), audit("b", 2), window=MARCH_1)
    store.land(AUDITS, audit("b", 2), window=MARCH_1)
    assert store.current(THINGS) == ["1"]
    store.land(AUDITS, audit("b", 2, action="update"), window=MARCH_1)
    assert store.current(THINGS) == ["1", "2"]


def test_other_days_of_the_audits_keep_what_they_told(store: Store) -> None:
    store.land(THINGS, thing(1), thing(2), window=MARCH_1, begun="2026-03-01T11:00")
    store.land(AUDITS, audit("a", 1), audit("b", 2, at="2026-03-02T12:00"), window=MARCH)
    store.land(AUDITS, window=MARCH_1)
    assert store.current(THINGS) == ["1"]
    assert [found_in for *_, found_in in store.deleted(THINGS)] == ["source.audits 2026-03-02"]


def test_a_record_deleted_restored_and_deleted_again_is_deleted(store: Store) -> None:
    store.land(AUDITS, audit("a", 1), window=MARCH_1)
    store.land(THINGS, thing(1), window=MARCH_1, begun="2026-03-01T13:00")
    store.land(AUDITS, audit("b", 1, at="2026-03-02T12:00"), window=MARCH_2)
    assert store.current(THINGS) == []
    assert [at for _, at, *_ in store.deleted(THINGS)] == [instant("2026-03-02T12:00")]


def test_the_vendors_own_word_takes_the_place_of_a_missing_one(store: Store) -> None:
    store.land(GOALS, goal("1"), goal("2"), begun="2026-03-01T00:00")
    store.land(GOALS, goal("1"), begun="2026-03-03T00:00")
    store.land(AUDITS, audit("a", 2, kind="Goal"), window=MARCH_1)
    assert store.deleted(GOALS) == [("2", instant("2026-03-01T12:00"), *TOLD)]


def test_a_missing_record_of_which_the_vendor_has_told_keeps_the_vendors_time(store: Store) -> None:
    store.land(GOALS, goal("1"), goal("2"), begun="2026-03-01T00:00")
    store.land(AUDITS, audit("a", 2, kind="Goal"), window=MARCH_1)
    assert store.current(GOALS) == ["1"]
    store.land(GOALS, goal("1"), begun="2026-03-03T00:00")
    assert store.deleted(GOALS) == [("2", instant("2026-03-01T12:00"), *TOLD)]


def test_what_tells_of_deletions_and_what_it_tells_are_committed_together(store: Store) -> None:
    store.land(THINGS, thing(1), window=MARCH_1, begun="2026-03-01T11:00")
    bad = [{"id": f"{n}", "at": "2026-03-01T12:00:00Z", "about": "x"} for n in range(5)]
    with pytest.raises(TooManyQuarantined):
        store.land(AUDITS, audit("a", 1), *bad, window=MARCH_1)
    assert store.current(THINGS) == ["1"]


# -- a snapshot that shrinks ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("left", "is_refused"), [(0, True), (9, True), (10, False), (25, False)])
def test_a_snapshot_that_lost_more_than_half_of_its_rows_is_refused(store: Store, left: int, is_refused: bool) -> None:
    store.land(GOALS, *(goal(f"{n:02}") for n in range(20)), may_shrink=False)
    if not is_refused:
        store.land(GOALS, *(goal(f"{n:02}") for n in range(left)), may_shrink=False)
        return
    with pytest.raises(ShrunkSnapshot, match=f"the snapshot has {left} records, and there were 20.*confirm_shrink"):
        store.land(GOALS, *(goal(f"{n:02}") for n in range(left)), may_shrink=False)
    assert store.current(GOALS) == [f"{n:02}" for n in range(20)]
    assert store.destination.query("SELECT rows FROM _state") == [(20,)]


def test_one_row_that_goes_leaves_nothing_and_is_refused(store: Store) -> None:
    store.land(GOALS, goal("1"))
    with pytest.raises(ShrunkSnapshot):
        store.land(GOALS, may_shrink=False)


def test_a_shrunk_snapshot_that_is_confirmed_is_landed_with_its_tombstones(store: Store) -> None:
    store.land(GOALS, goal("1"), goal("2"))
    assert store.land(GOALS, may_shrink=True).deleted == 2
    assert store.current(GOALS) == []
    store.land(GOALS, may_shrink=False)


def test_a_day_may_lose_all_its_rows(store: Store) -> None:
    store.land(THINGS, thing(1), window=MARCH_1)
    store.land(THINGS, window=MARCH_1, may_shrink=False)
    assert store.current(THINGS) == []


PARTS = children(THINGS)


def land_parts(store: Store, *pages: Page, may_shrink: bool = False) -> Landed:
    spool = spooled(store.folder / "spools", PARTS, pages)
    try:
        return store.destination.land(
            "source", PARTS, spool, partitions=days(MARCH_1), window=None, run_id="run", may_shrink=may_shrink
        )
    finally:
        spool.discard()


def parent(number: int) -> ParentRow:
    return ParentRow({"thing": f"{number}"}, ("2026-03-01",))


def gone(number: int) -> Page:
    return Page((), None, parent(number), is_gone=True)


def test_a_day_whose_parents_are_all_gone_keeps_its_children_until_the_run_confirms_it(store: Store) -> None:
    first = [page({"id": f"{number}"}, parent=parent(number)) for number in (1, 2)]
    land_parts(store, *first)
    with pytest.raises(ShrunkSnapshot, match=r"answered 404 for 2 parents, and all 2 records .*confirm_shrink"):
        land_parts(store, gone(1), gone(2))
    assert store.destination.query("SELECT id FROM source.parts ORDER BY id") == [("1",), ("2",)]
    land_parts(store, gone(1), gone(2), may_shrink=True)
    assert store.destination.query("SELECT id FROM source.parts") == []
    land_parts(store, gone(1), gone(2))


@pytest.mark.parametrize(
    "left",
    [
        pytest.param((gone(1), page(parent=parent(2))), id="one parent gone"),
        pytest.param((gone(1), gone(2), page({"id": "3"}, parent=parent(3))), id="a child left"),
        pytest.param((page(parent=parent(1)), page(parent=parent(2))), id="no parent gone"),
    ],
)
def test_a_day_loses_the_children_of_a_parent_that_is_gone(store: Store, left: tuple[Page, ...]) -> None:
    land_parts(store, page({"id": "1"}, parent=parent(1)), page({"id": "2"}, parent=parent(2)))
    land_parts(store, *left)
    assert store.destination.query("SELECT id FROM source.parts WHERE id < '3'") == []


# -- any order --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("examples", [12, pytest.param(200, marks=pytest.mark.soak)])
def test_current_rows_are_those_of_a_simple_model_in_any_order(
    tmp_path_factory: pytest.TempPathFactory, examples: int
) -> None:
    """A record is current unless it was deleted at or after the moment when the reading that holds it was begun.

    Readings are landed in the order they were begun; what tells of deletions comes at any time, of any day.
    """

    @settings(max_examples=examples, deadline=None, derandomize=True)
    @given(
        commits=st.lists(
            st.tuples(st.sampled_from(["things", "audits"]), st.integers(1, 3), st.sets(st.integers(1, 3), max_size=3)),
            max_size=8,
        ),
        hours=st.lists(st.integers(0, 71), min_size=8, max_size=8),
    )
    def check(commits: list[tuple[str, int, set[int]]], hours: list[int]) -> None:
        store = Store(tmp_path_factory.mktemp("any order"))
        held: dict[int, tuple[set[int], int]] = {}
        told: dict[int, tuple[set[int], int]] = {}
        begun = iter(sorted(hours))
        for (what, day, numbers), deleted_hour in zip(commits, hours, strict=False):
            ids = {10 * day + number for number in numbers}
            march = window(f"2026-03-{day:02}")
            if what == "things":
                held[day] = (ids, next(begun))
                store.land(THINGS, *(thing(each, day) for each in ids), window=march, begun=hour(held[day][1]))
            else:
                told[day] = (ids, (day - 1) * 24 + deleted_hour % 24)
                store.land(AUDITS, *(audit(f"{each}", each, at=hour(told[day][1])) for each in ids), window=march)
        alive = {each for ids, _ in held.values() for each in ids}
        for day, (ids, deleted_at) in told.items():
            if day in held and held[day][1] <= deleted_at:
                alive -= ids
        assert set(map(int, store.current(THINGS) if held else [])) == alive
        close_spools()

    check()


def hour(number: int) -> str:
    """The instant so many hours after the start of March."""
    return f"2026-03-{1 + number // 24:02}T{number % 24:02}:00"


# -- who reads first and lands last -----------------------------------------------------------------------------------


def test_rows_that_were_read_earlier_never_replace_rows_that_were_read_later(store: Store) -> None:
    store.land(GOALS, goal("1"), goal("2"), begun="2026-03-10T08:00")
    store.land(THINGS, thing(1), window=MARCH, begun="2026-03-10T08:00")
    before = [store.destination.query(f"SELECT * FROM {table} ORDER BY ALL") for table in ("source.goals", "_state")]
    message = "read from 2026-03-10 07:59:59 UTC on, and run run has landed"
    with pytest.raises(OutdatedReading, match=f"source.goals all: this was {message} all as it was read from"):
        store.land(GOALS, goal("1"), begun="2026-03-10T07:59:59")
    with pytest.raises(OutdatedReading, match=f"source.things 2026-03-02: this was {message} 2026-03-02 as it was"):
        store.land(THINGS, thing(2, 2), window=MARCH_2, begun="2026-03-10T07:59:59")
    after = [store.destination.query(f"SELECT * FROM {table} ORDER BY ALL") for table in ("source.goals", "_state")]
    assert (after, store.deleted(GOALS), store.current(GOALS)) == (before, [], ["1", "2"])


def test_a_reading_is_landed_again_and_beside_a_later_one_of_other_days(store: Store) -> None:
    store.land(THINGS, thing(1), window=MARCH_1, begun="2026-03-10T08:00")
    store.land(THINGS, thing(2, 2), window=MARCH_2, begun="2026-03-10T07:00")
    store.land(THINGS, thing(1), window=MARCH_1, begun="2026-03-10T08:00")
    assert store.current(THINGS) == ["1", "2"]


def test_a_clock_that_was_ahead_once_blocks_nobody_and_hides_nothing(tmp_path: Path) -> None:
    now = instant("2026-03-10T08:00")
    store = Store(tmp_path)
    store.destination = replace(store.destination, wall=lambda: now.timestamp())
    store.land(GOALS, goal("1"), goal("2"), begun="2026-03-10T07:00")
    store.land(GOALS, goal("1"), begun="2026-03-10T09:00")
    assert store.current(GOALS) == ["1"]
    store.land(GOALS, goal("1"), goal("2"), begun="2026-03-10T07:30")
    assert (store.current(GOALS), store.deleted(GOALS)) == (["1", "2"], [])
    close_spools()
