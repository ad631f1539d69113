"""Reading without Dagster: what is due, in which order, what a failure takes along, and how each strategy lands."""

import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest

from connector_resources.destinations.duckdb import DuckDB
from connector_resources.errors import (
    ConnectorError,
    DestinationBusy,
    DestinationUnwritable,
    RateLimited,
    RequestRejected,
    RequestRetryable,
    SchemaConflict,
    ShrunkSnapshot,
    TableTaken,
)
from connector_resources.resource import Source
from connector_resources.spool import Spool
from connector_resources.streams import Column, Cursor, Deletions, Page, Parent, Slice, Stream, Window
from connector_resources.sync import Outcome, Strategy, Sync, Unwatched, blocks, stored_as, with_parents

THINGS = Stream(
    name="things",
    description="",
    columns=(Column("id", "string", ""), Column("at", "timestamp", ""), Column("n", "integer", "")),
    primary_key=("id",),
    cursor=Cursor("at", since="since"),
)
PARTS = Stream(
    name="parts",
    description="",
    columns=(Column("id", "string", ""), Column("thing_id", "string", "", parent="thing")),
    primary_key=("thing_id", "id"),
    parent=Parent(THINGS, {"thing": "id"}),
)
NAMES = Stream(
    name="names",
    description="",
    columns=(Column("id", "string", ""), Column("name", "string", "")),
    primary_key=("id",),
)
NOON = datetime(2026, 3, 5, 12, tzinfo=UTC)
START = date(2026, 3, 1)


class Shelf(Source):
    """A source of what the test puts there; it notes what it is asked for."""

    name: ClassVar[str] = "shelf"
    streams: ClassVar[tuple[Stream, ...]] = (THINGS, PARTS, NAMES)

    room: str = "kitchen"

    def read(self, stream: Stream, slice: Slice, token: str | None = None) -> Iterator[Page]:
        """Yield a page a record, those in the window."""
        there = _shelves[self.account]
        there.asked.append((stream.name, slice.window, token))
        if stream.name == "parts":
            meanwhile, there.meanwhile = there.meanwhile, lambda: None
            meanwhile()
            pages = [
                Page([json.dumps({"id": f"{n}"}).encode()], parent=parent)
                for parent in slice.parents or ()
                for n in range(there.parts)
            ]
        else:
            records = [
                record
                for record in there.records[stream.name]
                if slice.window is None or slice.window.start <= datetime.fromisoformat(record["at"]) < slice.window.end
            ]
            pages = [Page([json.dumps(record).encode()]) for record in records]
        for number, page in enumerate(pages):
            if number <= int(token or -1):
                continue
            if there.fails.get(stream.name) == number:
                raise there.error
            is_last = number == len(pages) - 1
            yield Page(page.records, None if is_last else str(number), page.parent)


@dataclass
class Contents:
    """What is on a shelf."""

    records: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {"things": [], "names": []})
    parts: int = 1
    fails: dict[str, int] = field(default_factory=dict)
    error: Exception = field(default_factory=lambda: RequestRetryable("The shelf is out of reach."))
    asked: list[tuple[str, Window | None, str | None]] = field(default_factory=list)
    meanwhile: Callable[[], object] = lambda: None


_shelves: dict[str, Contents] = {}


@dataclass
class Place:
    """A cache of the test."""

    folder: Path
    prefix: str = ""
    schema: str = ""

    @property
    def store(self) -> DuckDB:
        return DuckDB(self.folder / "store.duckdb", self.folder / "temporary", lock_timeout_seconds=5)

    @property
    def spools(self) -> Path:
        return self.folder / "spools"

    def schema_of(self, source: str) -> str:
        return self.schema or source

    def table_of(self, stream: str) -> str:
        return self.prefix + stream

    def rows(self, query: str) -> list[Any]:
        found = self.store.query(query)
        return [row[0] if len(row) == 1 else row for row in found]


@pytest.fixture
def shelf() -> Iterator[Contents]:
    _shelves["shelf"] = Contents()
    yield _shelves["shelf"]
    _shelves.clear()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def thing(number: int, day: int, n: int = 0) -> dict[str, Any]:
    return {"id": f"{number}", "at": f"2026-03-{day:02}T10:00:00+00:00", "n": n}


def read(
    place: Place,
    *streams: Stream,
    now: datetime = NOON,
    strategy: Strategy = "auto",
    is_full: bool = False,
    start: date = START,
    sleep: Any = None,
) -> Outcome:
    sync = Sync(Shelf(), place, "sandbox", start, strategy, is_full, clock=lambda: now)
    if sleep is not None:
        sync.sleep = sleep
    return sync.read(streams or (THINGS,))


def as_if_read(place: Place, instant: datetime) -> None:
    """Let what is there have been read at this instant."""
    with place.store.attached(read_only=False) as connection:
        connection.execute(f"UPDATE store._state SET extracted_at = TIMESTAMPTZ '{instant.isoformat()}'")


def days_asked(shelf: Contents, stream: str = "things") -> list[tuple[int, int]]:
    """The first and the last day of each window that was asked for since the last look."""
    asked = [
        (window.start.day, (window.end - timedelta(seconds=1)).day)
        for name, window, _ in shelf.asked
        if name == stream and window is not None
    ]
    shelf.asked.clear()
    return asked


# What is due


def test_the_first_reading_takes_every_day_and_the_next_one_the_day_that_was_not_over(
    place: Place, shelf: Contents
) -> None:
    shelf.records["things"] = [thing(1, 1), thing(2, 5)]
    outcome = read(place)
    assert (outcome.read["things"].records, days_asked(shelf)) == (2, [(1, 5)])
    as_if_read(place, NOON)
    shelf.records["things"].append(thing(3, 5))
    outcome = read(place)
    assert (outcome.read["things"].records, days_asked(shelf)) == (2, [(5, 5)])
    assert place.rows("SELECT id FROM shelf.things_current ORDER BY id") == ["1", "2", "3"]


@pytest.mark.parametrize(("hours", "asked"), [(12.5, [(5, 6)]), (13, [(6, 6)])])
def test_a_day_is_complete_an_hour_after_its_end(
    place: Place, shelf: Contents, hours: float, asked: list[tuple[int, int]]
) -> None:
    instant = NOON + timedelta(hours=hours)
    read(place, now=instant)
    as_if_read(place, instant)
    days_asked(shelf)
    read(place, now=instant + timedelta(minutes=1))
    assert days_asked(shelf) == asked


def test_holes_are_read_and_what_is_complete_is_not(place: Place, shelf: Contents) -> None:
    later = NOON + timedelta(days=30)
    read(place, now=later, start=date(2026, 3, 2))
    with place.store.attached(read_only=False) as connection:
        connection.execute("DELETE FROM store._state WHERE partition IN ('2026-03-10', '2026-03-11', '2026-03-20')")
    days_asked(shelf)
    read(place, now=later)
    assert days_asked(shelf)[:3] == [(1, 1), (10, 11), (20, 20)]


def test_complete_days_are_read_again_where_everything_is_asked_for(place: Place, shelf: Contents) -> None:
    read(place)
    days_asked(shelf)
    read(place, is_full=True)
    assert days_asked(shelf) == [(1, 5)]


def test_nothing_is_asked_for_where_every_day_is_complete(place: Place, shelf: Contents) -> None:
    read(place)
    as_if_read(place, NOON + timedelta(days=3))
    shelf.asked.clear()
    outcome = read(place)
    assert (outcome.read["things"].landed, shelf.asked) == ((), [])


def test_a_day_that_was_read_under_a_clock_of_the_future_is_read_again(place: Place, shelf: Contents) -> None:
    read(place)
    as_if_read(place, datetime.now(UTC) + timedelta(days=3))
    days_asked(shelf)
    read(place)
    assert days_asked(shelf) == [(1, 5)]


def test_a_read_is_appended_after_one_under_a_clock_of_the_future(place: Place, shelf: Contents) -> None:
    read(place, strategy="append")
    as_if_read(place, datetime.now(UTC) + timedelta(days=3))
    shelf.records["things"] = [thing(1, 5)]
    assert read(place, strategy="append").read["things"].records == 1


def test_midnight_between_a_stream_and_its_substream_asks_for_no_day_that_the_first_has_not(
    place: Place, shelf: Contents
) -> None:
    shelf.records["things"] = [thing(1, 1)]
    instants = iter([NOON, NOON])
    sync = Sync(Shelf(), place, "sandbox", START, clock=lambda: next(instants, NOON + timedelta(days=1)))
    assert not sync.read((PARTS,)).failed
    assert place.rows("SELECT thing_id FROM shelf.parts") == ["1"]


def test_a_first_day_that_has_not_begun_is_refused(place: Place, shelf: Contents) -> None:
    outcome = read(place, start=date(2026, 3, 6))
    assert str(outcome.failed["things"]).startswith("The first day to read, ")


def test_days_in_groups_that_follow_one_another() -> None:
    assert blocks([]) == []
    assert blocks(["2026-02-28"]) == [["2026-02-28"]]
    assert blocks(["2026-02-28", "2026-03-01", "2026-03-03"]) == [["2026-02-28", "2026-03-01"], ["2026-03-03"]]


# Parents


def test_parents_come_first_and_are_read_though_nobody_asked_for_them(place: Place, shelf: Contents) -> None:
    shelf.records["things"] = [thing(1, 2), thing(2, 4)]
    outcome = read(place, NAMES, PARTS)
    assert list(outcome.read) == ["names", "things", "parts"]
    assert place.rows("SELECT thing_id, _partition FROM shelf.parts ORDER BY ALL") == [
        ("1", "2026-03-02"),
        ("2", "2026-03-04"),
    ]


def test_of_a_stream_that_is_asked_for_the_one_asked_for_is_read_and_not_the_parent_of_another() -> None:
    other = Stream(name="things", description="", columns=THINGS.columns, primary_key=("id", "n"), cursor=THINGS.cursor)
    assert with_parents([PARTS, other]) == (other, PARTS)


def test_a_day_of_parts_is_read_again_when_its_things_were(place: Place, shelf: Contents) -> None:
    shelf.records["things"] = [thing(1, 2)]
    read(place, PARTS)
    as_if_read(place, NOON + timedelta(days=3))
    shelf.records["things"].append(thing(2, 2))
    read(place, THINGS, is_full=True)
    outcome = read(place, PARTS)
    assert outcome.read["things"].landed == ()
    assert place.rows("SELECT thing_id FROM shelf.parts ORDER BY ALL") == ["1", "2"]


# Failures


def test_a_day_of_parts_that_was_read_while_its_things_were_is_read_again(place: Place, shelf: Contents) -> None:
    shelf.records["things"] = [thing(1, 2)]
    read(place, PARTS)
    shelf.records["things"].append(thing(2, 2))
    sync = Sync(Shelf(), place, "sandbox", START, is_full=True, clock=lambda: NOON)

    class Meanwhile(Unwatched):
        def paged(self, stream: Stream, spool: Spool) -> None:
            if len(spool.marks) == 1:
                with place.store.attached(read_only=False) as connection:
                    connection.execute("DELETE FROM store._state WHERE name = 'parts'")
                assert read(place, PARTS).read["parts"].records == 1

    sync.watcher = Meanwhile()
    assert sync.read((THINGS,)).read["things"].records == 2
    assert read(place, PARTS).read["parts"].records == 2
    assert read(place, PARTS).read["parts"].landed == ()


def test_a_stream_that_fails_takes_those_below_it_along_and_no_other(place: Place, shelf: Contents) -> None:
    shelf.records = {"things": [thing(1, 1), thing(2, 2)], "names": [{"id": "a", "name": "A"}]}
    shelf.fails["things"] = 1
    outcome = read(place, PARTS, NAMES)
    assert list(outcome.read) == ["names"]
    assert str(outcome.failed["things"]) == "The shelf is out of reach."
    assert "Not read, for it is read under things, which failed" in str(outcome.failed["parts"])
    assert place.rows("SELECT id FROM shelf.names") == ["a"]


def test_what_was_landed_before_is_there_when_a_later_reading_fails(place: Place, shelf: Contents) -> None:
    shelf.records["things"] = [thing(1, 5)]
    read(place)
    shelf.records["things"] = [thing(2, 5), thing(3, 5)]
    shelf.fails["things"] = 1
    read(place)
    assert place.rows("SELECT id FROM shelf.things") == ["1"]


def test_a_reading_that_failed_goes_on_after_the_pages_it_has(place: Place, shelf: Contents) -> None:
    shelf.records["things"] = [thing(number, 5) for number in range(5)]
    shelf.fails["things"] = 3
    assert read(place).failed
    shelf.fails.clear()
    shelf.asked.clear()
    outcome = read(place)
    assert [token for _, _, token in shelf.asked] == ["2"]
    assert (outcome.read["things"].records, place.rows("SELECT count(*) FROM shelf.things")) == (5, [5])


def test_a_reading_of_everything_begins_with_the_first_page(place: Place, shelf: Contents) -> None:
    shelf.records["things"] = [thing(number, 5) for number in range(5)]
    shelf.fails["things"] = 3
    read(place)
    shelf.fails.clear()
    shelf.asked.clear()
    read(place, is_full=True)
    assert [token for _, _, token in shelf.asked] == [None]


@pytest.mark.parametrize("error", [DestinationUnwritable("The disk is full."), DestinationBusy("Somebody has it.")])
def test_no_other_stream_is_tried_where_the_database_fails(
    place: Place, shelf: Contents, error: ConnectorError
) -> None:
    shelf.records["things"] = [thing(1, 1)]
    shelf.error, shelf.fails["things"] = error, 0
    outcome = read(place, THINGS, NAMES)
    assert (list(outcome.read), list(outcome.failed)) == ([], ["things"])


def test_a_table_that_cannot_take_its_stream_stops_no_other(place: Place, shelf: Contents) -> None:
    shelf.records |= {"things": [thing(1, 1)], "names": [{"id": "a", "name": "A"}]}
    read(place, THINGS)
    with place.store.attached(read_only=False) as connection:
        connection.execute("ALTER TABLE store.shelf.things ALTER n TYPE INTEGER[] USING [1]")
    outcome = read(place, THINGS, NAMES, is_full=True)
    assert isinstance(outcome.failed["things"], SchemaConflict)
    assert place.rows("SELECT id FROM shelf.names") == ["a"]


def test_an_error_that_is_none_of_ours_is_not_swallowed(place: Place, shelf: Contents) -> None:
    shelf.records["things"] = [thing(1, 1)]
    shelf.error, shelf.fails["things"] = ZeroDivisionError(), 0
    with pytest.raises(ZeroDivisionError):
        read(place)


def test_a_wait_that_the_vendor_asks_for_is_waited_for_and_then_gone_on_with(place: Place, shelf: Contents) -> None:
    shelf.records["things"] = [thing(1, 1), thing(2, 2)]
    shelf.error, shelf.fails["things"] = RateLimited("Wait.", wait_seconds=90), 1
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        shelf.fails.clear()

    assert not read(place, sleep=sleep).failed
    assert (slept, [token for _, _, token in shelf.asked]) == ([90], [None, "0"])


def test_a_vendor_that_asks_for_a_day_is_not_waited_for(place: Place, shelf: Contents) -> None:
    shelf.records["things"] = [thing(1, 1)]
    shelf.error, shelf.fails["things"] = RateLimited("Wait.", wait_seconds=86_400), 0
    outcome = read(place, sleep=lambda seconds: pytest.fail("slept"))
    assert isinstance(outcome.failed["things"], RateLimited)


def test_a_vendor_that_asks_to_wait_for_ever_ends_in_an_error(place: Place, shelf: Contents) -> None:
    shelf.records["things"] = [thing(1, 1)]
    shelf.error, shelf.fails["things"] = RateLimited("Wait.", wait_seconds=1), 0
    slept: list[float] = []
    outcome = read(place, sleep=slept.append)
    assert (len(slept), isinstance(outcome.failed["things"], RateLimited)) == (10, True)


# Strategies


def test_a_snapshot_that_shrank_is_refused_until_it_is_asked_to_replace(place: Place, shelf: Contents) -> None:
    shelf.records["names"] = [{"id": f"{n}", "name": "x"} for n in range(3)]
    read(place, NAMES)
    shelf.records["names"] = []
    assert isinstance(read(place, NAMES).failed["names"], ShrunkSnapshot)
    assert place.rows("SELECT count(*) FROM shelf.names") == [3]
    read(place, NAMES, strategy="replace")
    assert place.rows("SELECT count(*) FROM shelf.names") == [0]


def test_to_replace_throws_away_days_that_are_not_read_any_more(place: Place, shelf: Contents) -> None:
    shelf.records["things"] = [thing(1, 1), thing(2, 4)]
    read(place)
    read(place, strategy="replace", start=date(2026, 3, 3))
    assert place.rows("SELECT id FROM shelf.things") == ["2"]


def test_days_that_the_api_does_not_list_any_more_are_left_by_every_strategy(place: Place, shelf: Contents) -> None:
    recent = Stream(
        name="things", description="", columns=THINGS.columns, primary_key=("id",),
        cursor=Cursor("at", since="since", horizon=timedelta(days=2)),
    )  # fmt: skip
    shelf.records["things"] = [thing(1, 1), thing(2, 5)]
    read(place, THINGS)
    days_asked(shelf)
    read(place, recent, strategy="replace")
    assert days_asked(shelf) == [(4, 5)]
    assert place.rows("SELECT id FROM shelf.things ORDER BY id") == ["1", "2"]


def test_a_stream_of_which_nothing_is_listed_any_more_has_nothing_due(place: Place, shelf: Contents) -> None:
    recent = Stream(
        name="things", description="", columns=THINGS.columns, primary_key=("id",),
        cursor=Cursor("at", since="since", horizon=timedelta(hours=1)),
    )  # fmt: skip
    outcome = read(place, recent)
    assert (outcome.read["things"].landed, shelf.asked) == ((), [])


def test_to_merge_keeps_what_a_snapshot_does_not_have_any_more(place: Place, shelf: Contents) -> None:
    shelf.records["names"] = [{"id": each, "name": each.upper()} for each in "abc"]
    read(place, NAMES)
    shelf.records["names"] = [{"id": "b", "name": "new"}]
    assert not read(place, NAMES, strategy="merge").failed  # though it has shrunk by more than half: nothing is lost
    assert place.rows("SELECT id, name FROM shelf.names_current ORDER BY id") == [("a", "A"), ("b", "new"), ("c", "C")]


def test_to_append_asks_for_what_is_new_and_keeps_every_version(place: Place, shelf: Contents) -> None:
    shelf.records["things"] = [thing(1, 1, n=1)]
    read(place, PARTS, strategy="append")
    shelf.records["things"] = [thing(1, 1, n=1), thing(2, 5)]
    began = place.rows("SELECT max(extracted_at) FROM _state WHERE name = 'things'")[0].astimezone(UTC)
    shelf.records["things"][1]["at"] = (began + timedelta(seconds=1)).isoformat()
    outcome = read(place, PARTS, strategy="append", now=began + timedelta(minutes=1))
    assert outcome.read["things"].records == 1
    assert place.rows("SELECT id FROM shelf.things ORDER BY id") == ["1", "2"]
    assert place.rows("SELECT thing_id FROM shelf.parts ORDER BY ALL") == ["1", "2"]


class Elsewhere(Place):
    """The same cache, of another process that keeps what it reads elsewhere."""

    @property
    def spools(self) -> Path:
        return self.folder / "elsewhere"


def test_parts_that_another_append_brings_meanwhile_are_not_brought_again(place: Place, shelf: Contents) -> None:
    shelf.records["things"], shelf.parts = [thing(1, 1), thing(2, 5)], 2
    shelf.meanwhile = lambda: read(Elsewhere(place.folder), THINGS, PARTS, strategy="append")
    assert not read(place, THINGS, PARTS, strategy="append").failed
    assert place.rows("SELECT thing_id, id FROM shelf.parts ORDER BY ALL") == [
        ("1", "0"), ("1", "1"), ("2", "0"), ("2", "1")
    ]  # fmt: skip


@pytest.mark.parametrize("first", [(THINGS,), (THINGS, PARTS)], ids=["parents alone", "parts failed"])
def test_parts_are_appended_of_all_that_was_appended_before_them(
    place: Place, shelf: Contents, first: tuple[Stream, ...]
) -> None:
    shelf.records["things"], shelf.fails = [thing(1, 1)], {"parts": 0}
    read(place, *first, strategy="append")
    shelf.fails.clear()
    assert read(place, PARTS, strategy="append").read["parts"].records == 1
    assert place.rows("SELECT thing_id FROM shelf.parts") == ["1"]
    again = read(place, PARTS, strategy="append", now=datetime.now(UTC)).read
    assert (len(again["parts"].landed), again["parts"].records) == (1, 0)


def test_what_two_read_at_once_is_appended_once(place: Place, shelf: Contents) -> None:
    shelf.records["things"] = [thing(1, 1), {**thing(2, 2), "new": True}]
    sync = Sync(Shelf(), place, "sandbox", START, "append", clock=lambda: NOON)
    sync.watcher = _Meanwhile(lambda: read(place, strategy="append"))
    assert sync.read((THINGS,)).read["things"].records == 0
    assert place.rows("SELECT id FROM shelf.things ORDER BY id") == ["1", "2"]


def test_what_an_api_lists_an_hour_late_is_appended_and_what_is_there_is_not_again(
    place: Place, shelf: Contents
) -> None:
    began = datetime.now(UTC)
    known, late = ({**thing(n, 1, n=1), "at": (began - timedelta(minutes=30)).isoformat()} for n in (1, 2))
    shelf.records["things"] = [known]
    start = began.date() - timedelta(days=1)
    read(place, strategy="append", start=start, now=began)
    shelf.records["things"] = [known, late, {**known, "n": 2}]
    read(place, strategy="append", start=start, now=began + timedelta(seconds=1))
    assert place.rows("SELECT id, n FROM shelf.things ORDER BY ALL") == [("1", 1), ("1", 2), ("2", 1)]


def test_a_snapshot_is_appended_whole_every_time(place: Place, shelf: Contents) -> None:
    shelf.records["names"] = [{"id": "a", "name": "A"}]
    for _ in range(2):
        read(place, NAMES, strategy="append")
    assert place.rows("SELECT id FROM shelf.names") == ["a", "a"]
    assert place.rows("SELECT id FROM shelf.names_current") == ["a"]


@pytest.mark.parametrize(("first", "then"), [("auto", "append"), ("append", "auto"), ("append", "merge")])
def test_a_table_goes_on_being_written_as_it_was(
    place: Place, shelf: Contents, first: Strategy, then: Strategy
) -> None:
    shelf.records["things"] = [thing(1, 1)]
    read(place, strategy=first)
    assert isinstance(read(place, strategy=then).failed["things"], TableTaken)
    read(place, strategy="replace")
    assert place.rows("SELECT id, _partition FROM shelf.things") == [("1", "2026-03-01")]


@pytest.mark.parametrize("stream", [THINGS, NAMES], ids=["days", "snapshot"])
def test_a_table_stays_what_it_was_until_what_replaces_it_has_landed(
    place: Place, shelf: Contents, stream: Stream
) -> None:
    shelf.records = {"things": [thing(1, 1)], "names": [{"id": "a", "name": "A"}]}
    read(place, stream, strategy="append")
    shelf.fails = {stream.name: 0}
    assert read(place, stream, strategy="replace").failed
    shelf.fails.clear()
    assert isinstance(read(place, stream).failed[stream.name], TableTaken), "its rows would be there twice"
    assert not read(place, stream, strategy="append").failed
    read(place, stream, strategy="replace")
    assert len(place.rows(f"SELECT id FROM shelf.{stream.name}")) == 1


def test_what_is_appended_while_the_table_is_replaced_is_refused(place: Place, shelf: Contents) -> None:
    shelf.records["names"] = [{"id": "a", "name": "A"}]
    read(place, NAMES, strategy="append")
    sync = Sync(Shelf(), place, "sandbox", START, "append")
    sync.watcher = _Meanwhile(lambda: read(place, NAMES, strategy="replace"))
    assert isinstance(sync.read((NAMES,)).failed["names"], TableTaken)
    assert place.rows("SELECT id, _partition FROM shelf.names") == [("a", "all")]


def test_what_is_landed_while_everything_is_replaced_is_replaced_too(place: Place, shelf: Contents) -> None:
    shelf.records["things"] = [thing(1, 1), thing(2, 4)]
    sync = Sync(Shelf(), place, "sandbox", date(2026, 3, 3), "replace", clock=lambda: NOON)
    sync.watcher = _Meanwhile(lambda: read(place))
    assert not sync.read((THINGS,)).failed
    assert place.rows("SELECT id FROM shelf.things") == ["2"]


class _Meanwhile(Unwatched):
    """Something that happens once, when a reading is about to begin."""

    def __init__(self, happens: Callable[[], object]) -> None:
        self._happens: Callable[[], object] | None = happens

    def began(self, stream: Stream, partitions: Sequence[str], asked: Slice, source: Source) -> None:
        """Let it happen."""
        happens, self._happens = self._happens, None
        if happens is not None:
            happens()


@pytest.mark.parametrize("stream", [THINGS, NAMES], ids=["days", "snapshot"])
def test_nothing_of_another_account_is_left_in_a_table_that_was_taken_over(
    place: Place, shelf: Contents, stream: Stream
) -> None:
    shelf.records = {"things": [thing(1, 1)], "names": [{"id": "a", "name": "A"}, {"id": "b", "name": "B"}]}
    read(place, stream)
    shelf.records["names"].pop(0)
    read(place, stream, strategy="replace")
    with place.store.attached(read_only=False) as connection:
        connection.execute("UPDATE store._claims SET account = 'another'")
    assert isinstance(read(place, stream).failed[stream.name], TableTaken)
    shelf.fails = {stream.name: 0}
    assert read(place, stream, strategy="replace").failed
    shelf.fails.clear()
    assert isinstance(read(place, stream).failed[stream.name], TableTaken), "the rows are the other's"
    shelf.records = {"things": [thing(3, 2)], "names": [{"id": "c", "name": "C"}]}
    assert not read(place, stream, strategy="replace").failed
    assert len(place.rows(f"SELECT id FROM shelf.{stream.name}")) == 1
    if stream is NAMES:
        assert place.rows("SELECT * FROM shelf.names_deleted") == []


@pytest.mark.parametrize("landed_by", ["a script", "an asset"])
def test_a_table_is_not_read_by_another_key_than_its_rows_were(place: Place, shelf: Contents, landed_by: str) -> None:
    shelf.records["things"] = [thing(1, 1, n=1), thing(2, 1, n=1)]
    coarse = dataclasses.replace(THINGS, primary_key=("n",))
    read(place)
    if landed_by == "an asset":
        with place.store.attached(read_only=False) as connection:
            connection.execute("DROP TABLE store._claims")
    assert "holds shelf.things, the sandbox's, and this is shelf.things by n" in str(
        read(place, coarse, is_full=True).failed["things"]
    )
    assert place.rows("SELECT id FROM shelf.things ORDER BY id") == ["1", "2"]
    assert not read(place, coarse, strategy="replace").failed
    assert not read(place, coarse, is_full=True).failed
    assert isinstance(read(place).failed["things"], TableTaken), "a record of it is in no row"


def test_rows_of_an_asset_are_not_appended_to(place: Place, shelf: Contents) -> None:
    shelf.records["things"] = [thing(1, 1)]
    read(place)
    with place.store.attached(read_only=False) as connection:
        connection.execute("DROP TABLE store._claims")
    assert isinstance(read(place, strategy="append").failed["things"], TableTaken)
    assert not read(place).failed


# Names


def test_tables_have_the_names_of_the_cache_and_parents_are_found_under_theirs(tmp_path: Path, shelf: Contents) -> None:
    place = Place(tmp_path, prefix="raw_", schema="mine")
    shelf.records["things"] = [thing(1, 1)]
    assert not read(place, PARTS).failed
    assert place.rows("SELECT thing_id FROM mine.raw_parts_current") == ["1"]
    assert not read(place, PARTS).failed


def test_deletions_are_told_to_the_tables_of_the_cache(tmp_path: Path) -> None:
    events = Stream(
        name="events",
        description="",
        columns=(*(Column(name, "string", "") for name in ("id", "action", "type", "of")), THINGS.columns[1]),
        primary_key=("id",),
        deletions=Deletions("action", "destroy", "type", "of", "at", {"thing": THINGS}),
    )
    stored = stored_as(events, Place(tmp_path, prefix="raw_"))
    assert stored.deletions is not None
    assert (stored.name, stored.deletions.streams["thing"].name) == ("raw_events", "raw_things")


def test_a_source_whose_every_answer_is_a_refusal_is_told_of_by_stream(place: Place, shelf: Contents) -> None:
    shelf.records = {"things": [thing(1, 1)], "names": [{"id": "a", "name": "A"}]}
    shelf.error = RequestRejected("403", status=403)
    shelf.fails = {"things": 0, "names": 0}
    assert list(read(place, THINGS, NAMES).failed) == ["things", "names"]
