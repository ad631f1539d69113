"""One table, however it was read: a range in one run, its days one by one, the whole list, or any mixture of them.

Read from the real sandbox over HTTP, with the slices that `orchestration.partitions` makes of partition keys.
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from connector_resources.days import window
from connector_resources.destinations.duckdb import DuckDB, Landed
from connector_resources.resource import HttpSource
from connector_resources.sandbox.accounts import lasting_credentials
from connector_resources.sandbox.drift import MESSAGES_PER_PAGE
from connector_resources.sandbox.process import SandboxProcess
from connector_resources.sandbox.settings import Settings
from connector_resources.sources.aha import PAGES
from connector_resources.streams import ColumnType, Cursor, Slice, Stream
from tests.landing import Record, close_spools, daily, page, spooled
from tests.orchestration.conftest import Project, kind_of

TODAY = date(2024, 3, 20)
DAYS = tuple((TODAY - timedelta(days)).isoformat() for days in range(90, 0, -1))
"""A year's end and a leap day are among them."""

CONVERSATIONS_PER_PAGE = 20

Days = Sequence[str]
Plan = Callable[[random.Random], Iterator[Days]]


@dataclass(frozen=True)
class Streams:
    """A daily stream with those that land in its partitions; `page_sizes` are how many records an answer holds."""

    names: tuple[str, ...]
    page_sizes: tuple[int, ...]
    has_whole_list: bool = True

    def __str__(self) -> str:
        return self.names[0]


FILTERED = Streams(("aha.features", "aha.requirements"), (PAGES.size, PAGES.size))
"""By a parameter that takes the start only, so that what lies behind the end is left out again."""
BOUNDED = Streams(("aha.audits",), (PAGES.size,))
"""By parameters for both ends."""
WALKED = Streams(("drift.conversations", "drift.messages"), (CONVERSATIONS_PER_PAGE, MESSAGES_PER_PAGE))
"""Down from now, the cursor in milliseconds since 1970."""
WINDOWED = Streams(("drift.meetings",), (0,), has_whole_list=False)
"""In bounded windows, for there is no list of them all."""

KINDS = (FILTERED, BOUNDED, WALKED, WINDOWED)
EACH = pytest.mark.parametrize("streams", KINDS, ids=str)
LISTED = pytest.mark.parametrize("streams", [kind for kind in KINDS if kind.has_whole_list], ids=str)


@dataclass(frozen=True)
class Account:
    """A sandbox, and a database that its streams are landed in as a run does."""

    url: str
    folder: Path

    @property
    def store(self) -> DuckDB:
        return DuckDB(self.folder / "landed.duckdb", self.folder / "temporary", lock_timeout_seconds=5)

    def calls(self) -> int:
        return int(requests.get(f"{self.url}/_sandbox/requests", timeout=10).json()["total"])

    def land(self, streams: Streams, days: Days) -> list[int]:
        """Read and land days of streams; returns the calls each took, as the sandbox has counted them."""
        return [self._land(name, days, is_whole=False) for name in streams.names]

    def land_whole(self, streams: Streams) -> list[int]:
        """Read the whole lists, asking for no window, and land all days of them."""
        return [self._land(name, DAYS, is_whole=True) for name in streams.names]

    def _land(self, name: str, days: Days, *, is_whole: bool) -> int:
        kind, stream = kind_of(name.split(".")[0]), kind_of(name.split(".")[0]).stream(name.split(".")[1])
        settings: dict[str, Any] = {"base_url": f"{self.url}/{kind.name}", "rate_limit_factor": 0.0}
        settings["state_folder"] = str(self.folder / "state")
        if kind.name == "drift":
            settings |= {"conversations_page_size": CONVERSATIONS_PER_PAGE}
        source = kind(**lasting_credentials(kind.name), **settings)
        assert isinstance(source, HttpSource)
        covered = window(days) if stream.selects_a_window else None
        parents = None if stream.parent is None else self.store.parent_rows(kind.name, stream, days)
        calls = self.calls()
        if is_whole:
            spool = source.extract(without_a_filter(stream), Slice(None, parents), self.folder / "spools")
        else:
            spool = source.extract(stream, Slice(covered, parents), self.folder / "spools")
        calls = self.calls() - calls
        try:
            self.store.land(kind.name, stream, spool, partitions=days, window=covered, run_id="run")
            spool.mark_committed()
        finally:
            spool.close()
        return calls

    def tables(self, streams: Streams) -> dict[str, list[tuple[Any, ...]]]:
        """Return the rows of streams cell by cell, and the state of their partitions; not when or by which run."""
        found = {name: table(self.store, name) for name in streams.names}
        return found | {f"state of {name}": state(self.store, name, DAYS) for name in streams.names}


def without_a_filter(stream: Stream) -> Stream:
    """Return a stream as it would be if its API could not be asked for a window."""
    if stream.cursor is None or not stream.selects_a_window:
        return stream
    return replace(stream, cursor=Cursor(stream.cursor.column, format=stream.cursor.format))


def table(store: DuckDB, name: str, days: Days = DAYS) -> list[tuple[Any, ...]]:
    source, stream = name.split(".")
    columns = ", ".join(f'"{column.name}"' for column in kind_of(source).stream(stream).columns)
    return store.query(
        f"SELECT {columns}, _extra, _partition, _is_current FROM {name} WHERE _partition IN {(*days, '')} ORDER BY ALL"
    )


def state(store: DuckDB, name: str, days: Days) -> list[tuple[Any, ...]]:
    source, stream = name.split(".")
    return store.query(
        "SELECT partition, rows, data_version, first_cursor, last_cursor FROM _state "
        f"WHERE schema = ? AND name = ? AND partition IN {(*days, '')} ORDER BY partition",
        [source, stream],
    )


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    close_spools()


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with SandboxProcess(Settings(scale=0.5, limits=0, today=TODAY)) as process:
        yield process.url


@dataclass
class Ranges:
    """What one run over all days landed of each kind of stream, and the calls it took."""

    account: Account
    calls: dict[Streams, list[int]]


@pytest.fixture(scope="module")
def ranges(url: str, tmp_path_factory: pytest.TempPathFactory) -> Ranges:
    account = Account(url, tmp_path_factory.mktemp("ranges"))
    return Ranges(account, {streams: account.land(streams, DAYS) for streams in KINDS})


@pytest.fixture
def account(url: str, tmp_path: Path) -> Account:
    """A database in which nothing has been landed."""
    return Account(url, tmp_path)


@EACH
def test_there_are_rows_on_many_days_to_tell_tables_apart_by(ranges: Ranges, streams: Streams) -> None:
    for name in streams.names:
        filled = [rows for _, rows, *_ in state(ranges.account.store, name, DAYS) if rows]
        assert len(filled) > 5


@LISTED
def test_a_range_is_the_whole_list_cell_by_cell(ranges: Ranges, account: Account, streams: Streams) -> None:
    account.land_whole(streams)
    assert account.tables(streams) == ranges.account.tables(streams)


@LISTED
def test_the_whole_list_was_read_without_any_filter(account: Account, streams: Streams) -> None:
    account.land_whole(replace(streams, names=streams.names[:1]))
    last = requests.get(f"{account.url}/_sandbox/requests", timeout=10).json()["last"][-1]["query"]
    assert [word for word in ("since", "before", "start", "updated", "created") if word in last] == []


@LISTED
def test_a_range_makes_as_many_calls_as_its_rows_have_pages_and_asks_each_parent_once(
    ranges: Ranges, streams: Streams
) -> None:
    store = ranges.account.store
    expected = []
    for name, size in zip(streams.names, streams.page_sizes, strict=True):
        stream = kind_of(name.split(".")[0]).stream(name.split(".")[1])
        if stream.parent is None:
            expected.append(pages(len(table(store, name)), size))
        else:
            ((parent, column),) = ((key, column) for key, column in stream.parent.fields.items())
            own = next(each.name for each in stream.columns if each.parent == parent or each.name == parent)
            parents = store.parent_rows(name.split(".")[0], stream, DAYS)
            counted = dict(store.query(f'SELECT "{own}", count(*) FROM {name} GROUP BY ALL'))
            expected.append(sum(pages(counted.get(each.fields[parent], 0), size) for each in parents))
            assert (len(parents) > 5, column) == (True, "id")
    assert ranges.calls[streams] == expected


def pages(rows: int, size: int) -> int:
    return max(1, -(-rows // size))


# Plans: ways to come to all days


def overlapping_ranges_the_earlier_first(order: random.Random) -> Iterator[Days]:
    yield from (DAYS[:55], DAYS[35:])


def overlapping_ranges_the_later_first(order: random.Random) -> Iterator[Days]:
    yield from (DAYS[35:], DAYS[:55])


def the_range_after_singles_and_before_others(order: random.Random) -> Iterator[Days]:
    singles = [(day,) for day in order.sample(DAYS, 6)]
    yield from (*singles[:3], DAYS, *singles[3:])


def ranges_in_any_order_of_which_some_come_again(order: random.Random) -> Iterator[Days]:
    cuts = [0, *sorted(order.sample(range(1, len(DAYS)), 4)), len(DAYS)]
    parts = [DAYS[start:end] for start, end in pairwise(cuts)]
    yield from order.sample(parts, len(parts))
    for start in order.sample(range(len(DAYS)), 2):
        yield DAYS[start : start + order.randrange(1, 30)]


def singles_in_any_order_among_the_ranges_between_them(order: random.Random) -> Iterator[Days]:
    """The days around a year's end and a leap day, and two others."""
    alone = {10, 11, 69, 70, 71, *order.sample(range(len(DAYS)), 2)}
    parts: list[Days] = [(DAYS[number],) for number in alone]
    for is_alone, numbers in groupby(range(len(DAYS)), alone.__contains__):
        if not is_alone:
            parts.append([DAYS[number] for number in numbers])
    yield from order.sample(parts, len(parts))


def ninety_singles_in_any_order(order: random.Random) -> Iterator[Days]:
    yield from ((day,) for day in order.sample(DAYS, len(DAYS)))


PLANS = (
    *((streams, ranges_in_any_order_of_which_some_come_again) for streams in KINDS),
    *((streams, overlapping_ranges_the_earlier_first) for streams in (FILTERED, WALKED)),
    *((streams, overlapping_ranges_the_later_first) for streams in (FILTERED, WALKED)),
    *((streams, the_range_after_singles_and_before_others) for streams in (FILTERED, WALKED)),
    *((streams, singles_in_any_order_among_the_ranges_between_them) for streams in (FILTERED, WALKED)),
)
LONG_PLANS = tuple((streams, ninety_singles_in_any_order) for streams in (FILTERED, WALKED))


def named(plan: tuple[Streams, Plan]) -> str:
    return f"{plan[0]} {plan[1].__name__.replace('_', ' ')}"


@pytest.mark.parametrize(
    ("streams", "plan"),
    [
        *(pytest.param(*plan, id=named(plan)) for plan in PLANS),
        *(pytest.param(*plan, id=named(plan), marks=pytest.mark.soak) for plan in LONG_PLANS),
    ],
)
def test_days_read_in_any_parts_and_order_are_the_range_cell_by_cell(
    ranges: Ranges, account: Account, streams: Streams, plan: Plan
) -> None:
    read: set[str] = set()
    for days in plan(random.Random(f"{streams} {plan.__name__}")):
        account.land(streams, days)
        read.update(days)
    assert read == set(DAYS)
    assert account.tables(streams) == ranges.account.tables(streams)


# The same through Dagster


@pytest.fixture(scope="module")
def run_of_the_range(url: str, tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("range"), url, start=date.fromisoformat(DAYS[0]))
    assert project.run("drift/conversations", "drift/messages", days=DAYS).success
    return project


def test_a_run_over_ninety_days_lands_what_the_range_is(ranges: Ranges, run_of_the_range: Project) -> None:
    for name in WALKED.names:
        assert table(run_of_the_range.store, name) == table(ranges.account.store, name)
        assert state(run_of_the_range.store, name, DAYS) == state(ranges.account.store, name, DAYS)


def test_runs_of_single_days_land_what_those_days_are_in_the_range(ranges: Ranges, url: str, tmp_path: Path) -> None:
    project = Project(tmp_path, url, start=date.fromisoformat(DAYS[0]))
    days = random.Random(4).sample(DAYS, 4)
    for day in days:
        assert project.run("drift/conversations", "drift/messages", days=[day]).success
    for name in WALKED.names:
        assert table(project.store, name, days) == table(ranges.account.store, name, days)
        assert state(project.store, name, days) == state(ranges.account.store, name, days)
    assert {row[0] for row in state(project.store, WALKED.names[0], DAYS)} == set(days)


# Records on a bound


Cases = Mapping[str | int, str]
"""What a record's cursor holds, and the UTC day it lies on."""

LEAP_DAY: Cases = {
    "2028-02-28T23:59:59.999999Z": "2028-02-28",
    "2028-02-29T00:00:00Z": "2028-02-29",
    "2028-02-29T00:00:00.000Z": "2028-02-29",
    "2028-02-29T00:00:00.000001Z": "2028-02-29",
    "2028-02-29T23:59:59.999Z": "2028-02-29",
    "2028-02-29T23:59:59.999999Z": "2028-02-29",
    "2028-02-29T23:59:59.999999999Z": "2028-02-29",  # finer than a microsecond: cut off, never rounded to another day
    "2028-03-01T00:00:00Z": "2028-03-01",
    # Half past five in Delhi is midnight UTC, and four in the afternoon is it in Los Angeles.
    "2028-02-29T05:29:59.999999+05:30": "2028-02-28",
    "2028-02-29T05:30:00+05:30": "2028-02-29",
    "2028-03-01T05:29:59+05:30": "2028-02-29",
    "2028-03-01T05:30:00+05:30": "2028-03-01",
    "2028-02-28T15:59:59.999999-08:00": "2028-02-28",
    "2028-02-28T16:00:00-08:00": "2028-02-29",
    "2028-02-29T15:59:59-08:00": "2028-02-29",
    "2028-02-29T16:00:00-08:00": "2028-03-01",
}
NO_LEAP_DAY: Cases = {
    "2100-02-28T23:59:59.999999Z": "2100-02-28",
    "2100-03-01T00:00:00Z": "2100-03-01",
    "2100-02-28T16:00:00-08:00": "2100-03-01",
}
END_OF_A_YEAR: Cases = {
    "2026-12-31T00:00:00Z": "2026-12-31",
    "2026-12-31T23:59:59.999999Z": "2026-12-31",
    "2027-01-01T00:00:00Z": "2027-01-01",
    "2027-01-01T05:29:59+05:30": "2026-12-31",
    "2026-12-31T16:00:00-08:00": "2027-01-01",
}
SUMMER_TIME: Cases = {
    "2026-03-29T00:59:59.999999+01:00": "2026-03-28",
    "2026-03-29T01:59:59+01:00": "2026-03-29",
    "2026-03-29T03:00:00+02:00": "2026-03-29",
    "2026-03-30T01:59:59+02:00": "2026-03-29",
    "2026-03-30T02:00:00+02:00": "2026-03-30",
}
MIDNIGHT_MS = 1_835_395_200_000  # 2028-02-29T00:00:00Z
MILLISECONDS: Cases = {
    MIDNIGHT_MS + bound + step: day
    for bound, before, after in ((0, "2028-02-28", "2028-02-29"), (86_400_000, "2028-02-29", "2028-03-01"))
    for step, day in [(step, before if step < 0 else after) for step in range(-9, 10)]
}
CALENDAR_DAYS: Cases = {day: day for day in ("2028-02-28", "2028-02-29", "2028-03-01", "2028-03-02")}


@pytest.mark.parametrize(
    ("kind", "cases"),
    [
        ("timestamp", LEAP_DAY),
        ("timestamp", NO_LEAP_DAY),
        ("timestamp", END_OF_A_YEAR),
        ("timestamp", SUMMER_TIME),
        ("epoch_ms", MILLISECONDS),
        ("date", CALENDAR_DAYS),
    ],
    ids=["a leap day", "no leap day", "a year's end", "summer time", "milliseconds", "calendar days"],
)
def test_a_record_on_a_bound_lands_on_its_utc_day_once_however_it_is_read(
    kind: ColumnType, cases: Cases, tmp_path: Path
) -> None:
    things = daily(cursor_type=kind)
    records = [{"id": str(number), "at": at} for number, at in enumerate(cases)]
    days = sorted(set(cases.values()))
    whole, singles = (DuckDB(tmp_path / f"{name}.duckdb", tmp_path / "temporary") for name in ("whole", "singles"))
    land_all(whole, things, records, days)
    for day in random.Random(len(cases)).sample(days, len(days)):
        land_all(singles, things, records, [day])
    expected = sorted((str(number), day) for number, day in enumerate(cases.values()))
    assert whole.query("SELECT id, _partition FROM source.things ORDER BY ALL") == expected
    assert rows_of(singles) == rows_of(whole)


def land_all(store: DuckDB, stream: Stream, records: Sequence[Record], days: Days) -> Landed:
    """Land days of an API that cannot filter: it sends all there is, three records a page."""
    pages = [page(*records[first : first + 3]) for first in range(0, len(records), 3)]
    spool = spooled(store.temporary_folder / str(uuid4()), stream, pages, Slice(window(days)))
    return store.land("source", stream, spool, partitions=days, window=window(days), run_id="run")


def rows_of(store: DuckDB) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """Return the rows of the one table, and the state of its partitions."""
    rows = "SELECT * EXCLUDE (_page, _loaded_at, _run_id) FROM source.things ORDER BY ALL"
    state = "SELECT partition, rows, data_version, first_cursor, last_cursor FROM _state ORDER BY ALL"
    return store.query(rows), store.query(state)


@pytest.mark.parametrize("at", ["2026-12-31T23:59:60Z", "2026-12-31T24:00:00Z", "2027-02-29T12:00:00Z"])
def test_an_instant_that_is_on_no_calendar_is_put_aside_by_name_and_loses_no_other(at: str, tmp_path: Path) -> None:
    store = DuckDB(tmp_path / "landed.duckdb", tmp_path / "temporary")
    others = [{"id": str(hour), "at": f"2026-12-31T{hour:02}:59:59.999999Z"} for hour in range(24)]
    landed = land_all(store, daily(), [*others, {"id": "odd", "at": at}], ["2026-12-31", "2027-01-01"])
    assert (landed.rows, landed.quarantined) == (24, 1)
    ((record, reason),) = store.query("SELECT record, reason FROM source.things_quarantine")
    assert (at in record, reason) == (True, f'expected timestamp, got "{at}" @ $.at')


WEEK = [(date(2028, 2, 25) + timedelta(number)).isoformat() for number in range(7)]
WITHIN_A_WEEK = st.integers(-1, 7 * 24 * 4).map(lambda quarters: timedelta(minutes=15 * quarters))
MOMENTS = st.sampled_from([timedelta(0), timedelta(microseconds=-1), timedelta(microseconds=1)])
VERSIONS = st.lists(st.tuples(st.integers(1, 5), WITHIN_A_WEEK, MOMENTS, st.integers(0, 3)), max_size=25)


@st.composite
def parts_of_a_week(draw: st.DrawFn) -> list[Days]:
    """Ranges that make up the week, in any order, and some that come again."""
    cuts = sorted(draw(st.sets(st.integers(1, len(WEEK) - 1))))
    parts = [WEEK[start:end] for start, end in pairwise([0, *cuts, len(WEEK)])]
    ends = st.tuples(st.integers(0, len(WEEK) - 1), st.integers(1, len(WEEK)))
    again = draw(st.lists(ends.filter(lambda pair: pair[0] < pair[1]), max_size=2))
    return draw(st.permutations([*parts, *(WEEK[start:end] for start, end in again)]))


@pytest.mark.parametrize("examples", [8, pytest.param(100, marks=pytest.mark.soak)])
def test_any_records_in_any_parts_of_a_week_make_one_table_with_the_same_newest_versions(
    tmp_path_factory: pytest.TempPathFactory, examples: int
) -> None:
    # Nothing is shrunk, for that takes minutes.
    @settings(max_examples=examples, deadline=None, derandomize=True, phases=(Phase.generate,))
    @given(VERSIONS, parts_of_a_week())
    def check(versions: list[tuple[int, timedelta, timedelta, int]], parts: list[Days]) -> None:
        a_week_in_parts_is_one_table(tmp_path_factory.mktemp("week"), versions, parts)

    check()


def a_week_in_parts_is_one_table(
    folder: Path, versions: list[tuple[int, timedelta, timedelta, int]], parts: list[Days]
) -> None:
    start = window(WEEK).start
    instants = [start + time + moment for _, time, moment, _ in versions]
    records = [
        {"id": str(number), "at": at.isoformat(), "n": n}
        for (number, _, _, n), at in zip(versions, instants, strict=True)
    ]
    newest: dict[tuple[str, str], tuple[datetime, int]] = {}
    for (number, _, _, n), at in zip(versions, instants, strict=True):
        key = (str(number), at.date().isoformat())
        if key[1] in WEEK and (key not in newest or at >= newest[key][0]):
            newest[key] = (at, n)
    current = {number: max(at for (other, _), (at, _) in newest.items() if other == number) for number, _ in newest}
    expected = sorted((number, at, n, day, at == current[number]) for (number, day), (at, n) in newest.items())
    whole, parted = (DuckDB(folder / f"{name}.duckdb", folder / "temporary") for name in ("whole", "parted"))
    land_all(whole, daily(n="integer"), records, WEEK)
    for days in parts:
        land_all(parted, daily(n="integer"), records, days)
    close_spools()
    assert whole.query('SELECT id, "at", n, _partition, _is_current FROM source.things ORDER BY ALL') == expected
    assert rows_of(parted) == rows_of(whole)
