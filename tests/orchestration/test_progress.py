"""What a reading tells of itself while it goes on: how much of what, how long it will take, what may still be sent."""

import io
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import dagster as dg
import pytest
from rich.console import Console

from connector_resources.http.authenticators import Authenticator, BearerToken
from connector_resources.http.client import Statistics
from connector_resources.http.rate_limit import RateLimit
from connector_resources.http.stream import HttpStream
from connector_resources.progress import Course, Progress, Reporter, ending, is_watched, log_progress, watched_by
from connector_resources.resource import HttpSource
from connector_resources.spool import PageMark, Spool, SpoolKey
from connector_resources.streams import Column, Cursor, ParentRow, Slice, Stream
from connector_resources.terminal import bars
from orchestration.main_job import progress_lines
from orchestration.read_plan import ReadPlan
from tests.orchestration.conftest import DAYS, Project

THINGS = HttpStream(name="things", description="", path="/", columns=(Column("id", "string", ""),), primary_key=("id",))
NEWEST_FIRST = HttpStream(
    name="things",
    description="",
    path="/",
    columns=(Column("id", "string", ""), Column("at", "timestamp", "")),
    primary_key=("id",),
    cursor=Cursor("at", newest_first=True),
)


class Vendor(HttpSource):
    name: ClassVar[str] = "vendor"
    streams: ClassVar[tuple[Stream, ...]] = (THINGS,)
    rate_limit: ClassVar[RateLimit] = RateLimit(per_second=20, per_minute=300)

    @property
    def url(self) -> str:
        return "http://localhost"

    def authenticator(self) -> Authenticator:
        return BearerToken("secret")


class Hasty(Vendor):
    rate_limit: ClassVar[RateLimit] = RateLimit(per_second=5)


@dataclass
class Clock:
    """A clock that stands still until somebody moves it."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Reading:
    """A reading of which a test says when which page comes."""

    folder: Path
    stream: Stream = THINGS
    parents: int | None = None
    expected_requests: int | None = None
    budget: int = 0
    per_minute: float = 300
    kind: type[HttpSource] = Vendor
    resumed: Sequence[dict[str, Any]] = ()
    clock: Clock = field(default_factory=Clock)
    begun: int = 0

    def __post_init__(self) -> None:
        self.source = self.kind(state_folder=str(self.folder / "state"))
        parents = None if self.parents is None else tuple(ParentRow({"id": number}) for number in range(self.parents))
        plan = ReadPlan("vendor.things", ["all"], self.expected_requests, "", self.per_minute, 100, self.budget)
        before = Statistics(**vars_of(self.source.statistics))
        self.course = Course(self.source, self.stream, Slice(parents=parents), plan, before, self.clock)
        self.begin()

    def begin(self) -> None:
        """Begin a spool, as at the start and where the list has changed."""
        self.begun += 1
        self.spool = Spool(self.folder / f"spool{self.begun}", SpoolKey("", "vendor", "things", "", ""))
        for page in self.resumed:
            self.spool.marks.append(mark(**page))
        self.spool.resumed_pages = len(self.resumed)

    def page(self, seconds: float = 1.0, **page: Any) -> Progress:
        """Let a page come after so many seconds, with a request; returns what is told then."""
        self.clock.now += seconds
        self.source.client.statistics.requests += 1
        self.spool.marks.append(mark(**page))
        return self.course.at(self.spool)


def vars_of(statistics: Statistics) -> dict[str, Any]:
    return {name: getattr(statistics, name) for name in ("requests", "retries", "bytes", "wait_seconds")}


def mark(received: int = 100, total: int | None = None, parent: int | None = None) -> PageMark:
    token = None if parent is None else f'{{"parent":{parent}}}'
    return PageMark(0, received, 0, 0, 0, token, total)


@pytest.fixture
def reading(tmp_path: Path) -> Callable[..., Reading]:
    return lambda **facts: Reading(tmp_path, **facts)


Begin = Callable[..., Reading]


# Of how much


def test_a_list_that_the_server_counts_is_measured_by_that(reading: Begin) -> None:
    list_read = reading(expected_requests=7)
    told = [list_read.page(total=1000) for _ in range(4)][-1]
    assert (told.unit, told.done, told.total, told.seconds_left) == ("records", 400, 1000, 6.0)
    assert str(told).startswith("vendor.things: 400 of 1,000 records in 4 pages, 40 %, about 6 s left; ")


def test_a_substream_is_measured_by_its_parents(reading: Begin) -> None:
    children = reading(parents=200, expected_requests=900)
    told = [children.page(parent=number, total=100) for number in (1, 1, 2, 40)][-1]
    assert (told.unit, told.done, told.total, told.seconds_left) == ("parents", 40, 200, 16.0)
    assert str(told).startswith("vendor.things: 400 records in 4 pages, 40 of 200 parents, 20 %, about 16 s left; ")
    at_its_end = children.page(parent=None)
    assert (at_its_end.done, at_its_end.seconds_left) == (200, None)


def test_what_nobody_counts_is_measured_by_the_requests_of_earlier_runs(reading: Begin) -> None:
    for stream, total in ((THINGS, None), (NEWEST_FIRST, 5000)):  # one that stops early does not read what is counted
        walk = reading(stream=stream, expected_requests=10)
        told = [walk.page(total=total) for _ in range(4)][-1]
        assert (told.unit, told.done, told.total, told.seconds_left) == ("requests", 4, 10, 6.0)
        assert str(told).startswith("vendor.things: 400 records in 4 pages, 4 of about 10 requests, 40 %, about 6 s")


@pytest.mark.parametrize("expected", [None, 0, 3])
def test_where_nobody_knows_or_more_comes_than_expected_only_what_came_is_told(
    reading: Begin, expected: int | None
) -> None:
    walk = reading(expected_requests=expected)
    told = [walk.page() for _ in range(4)][-1]
    assert (told.total, told.seconds_left) == (None, None)
    assert str(told).startswith("vendor.things: 400 records in 4 pages; ")


# How long


def test_no_time_is_told_before_three_pages_have_come(reading: Begin) -> None:
    list_read = reading()
    assert [list_read.page(total=1000).seconds_left for _ in range(3)] == [None, None, 7.0]


def test_no_time_is_told_where_no_time_went_by_or_nothing_was_gained(reading: Begin) -> None:
    at_once, stuck = reading(), reading(parents=10)
    assert [at_once.page(0.0, total=1000).seconds_left for _ in range(4)] == [None] * 4
    assert [stuck.page(parent=0).seconds_left for _ in range(4)] == [None] * 4


def test_pages_that_were_on_disk_already_do_not_count_for_the_pace(reading: Begin) -> None:
    list_read = reading(resumed=[{"total": 1000}] * 4)
    told = [list_read.page(total=1000).seconds_left for _ in range(3)]
    assert told == [None, None, 3.0]
    children = reading(parents=100, resumed=[{"parent": 40}])
    assert [children.page(parent=number).seconds_left for number in (50, 60, 70)] == [None, None, 3.0]


def test_a_list_that_is_read_anew_begins_anew(reading: Begin) -> None:
    for facts, page in (({}, {"total": 1000}), ({"expected_requests": 10}, {})):
        list_read = reading(**facts)
        for _ in range(5):
            list_read.page(10.0, **page)
        list_read.begin()
        assert [list_read.page(**page).seconds_left for _ in range(4)] == [None, None, 7.0, 6.0]


# What may still be sent


def test_what_the_minute_has_left_is_told(reading: Begin) -> None:
    walk = reading()
    assert str(walk.page()) == "vendor.things: 100 records in 1 page; 300 of 300 requests left this minute"
    walk.source.client.limiter.acquire()
    assert walk.page().budget == "299 of 300 requests left this minute"


def test_what_the_days_budget_has_left_comes_first(reading: Begin) -> None:
    walk = reading(budget=1_500)
    assert [walk.page().budget for _ in range(2)] == [
        "1,399 of today's 1,500 requests left",
        "1,398 of today's 1,500 requests left",
    ]


def test_without_a_limit_by_the_minute_the_pace_is_told(reading: Begin) -> None:
    assert reading(kind=Hasty).page().budget == "at most 300 requests a minute"
    assert reading(per_minute=float("inf")).page().budget == ""


# Who is told


@dataclass
class Notes:
    """Notes what is told."""

    told_of: list[Progress] = field(default_factory=list)
    ended_ones: list[str] = field(default_factory=list)

    def told(self, progress: Progress) -> None:
        self.told_of.append(progress)

    def ended(self, name: str) -> None:
        self.ended_ones.append(name)


def test_the_log_is_told_every_five_seconds_and_who_watches_every_fifth_of_a_second(reading: Begin) -> None:
    walk, lines, notes = reading(), list[str](), Notes()
    reporter = Reporter(walk.course, lines.append)
    walk.page()
    walk.clock.now = 1000.0
    with watched_by(notes):
        for _ in range(60):
            walk.clock.now += 0.125
            reporter(walk.spool)
    reporter(walk.spool)
    walk.clock.now += 2.5
    reporter(walk.spool)
    assert (len(lines), len(notes.told_of)) == (2, 30)
    assert lines[0] == str(notes.told_of[0])


def test_a_run_tells_how_far_its_readings_are_and_when_they_end(project: Project) -> None:
    notes = Notes()
    with watched_by(notes):
        assert project.run("drift/conversations", "drift/messages", days=DAYS).success
    first = {each.name: each for each in reversed(notes.told_of)}
    parents = len(project.store.query("SELECT DISTINCT id FROM drift.conversations"))
    assert notes.ended_ones == ["drift.conversations", "drift.messages"]
    assert list(first) == ["drift.messages", "drift.conversations"]
    assert (first["drift.messages"].unit, first["drift.messages"].total) == ("parents", parents)


def test_a_reading_that_fails_ends_too(project: Project) -> None:
    notes = Notes()
    with watched_by(notes):
        assert not project.run("drift/messages", days=DAYS).success  # there are no conversations
    assert notes.ended_ones == ["drift.messages"]


# On a terminal


def test_a_terminal_shows_a_bar_for_all_streams_and_one_for_each_that_is_read(reading: Begin) -> None:
    walk, screen = reading(), io.StringIO()
    with bars(Console(file=screen, force_terminal=True, width=150), 3):
        with ending("vendor.others"):
            pass
        for _ in range(2):  # it waits for its vendor in between
            with ending("vendor.things"):
                for _ in range(4):
                    walk.page(total=1000)
                Reporter(walk.course, print)(walk.spool)
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|[━╸╺]", "", screen.getvalue().replace("\r", "\n"))
    lines = [line for line in (" ".join(line.split()) for line in text.splitlines()) if line]
    assert lines[-1] == "streams 2 of 3"
    assert list(dict.fromkeys(lines)) == [
        "streams 0 of 3",
        "streams 1 of 3",
        "vendor.things",
        "vendor.things 400 of 1,000 records in 4 pages, 40 %; about 6 s left; 300 of 300 requests left this minute",
        "streams 2 of 3",
        "vendor.things 800 of 1,000 records in 8 pages, 80 %; about 2 s left; 300 of 300 requests left this minute",
    ]


def test_bars_stay_on_the_terminal_while_a_run_turns_stdout_into_a_file(tmp_path: Path) -> None:
    """Dagster does that with the descriptor, while a step runs."""
    terminal = (tmp_path / "terminal").open("w")
    with terminal, (tmp_path / "captured").open("w") as file, bars(Console(file=terminal, force_terminal=True), 3):
        os.dup2(file.fileno(), terminal.fileno())
        with ending("vendor.things"):
            pass
    assert "1 of 3" in (tmp_path / "terminal").read_text()
    assert (tmp_path / "captured").read_text() == ""


def test_where_stdout_is_no_terminal_nothing_is_drawn(reading: Begin) -> None:
    walk, file = reading(), io.StringIO()
    with bars(Console(file=file), 3), ending("vendor.things"):
        walk.page()
        Reporter(walk.course, print)(walk.spool)
        assert not is_watched()
    assert file.getvalue() == ""


@pytest.mark.parametrize(("is_terminal", "lines"), [(True, ["landed"]), (False, ["100 records", "landed"])])
def test_lines_of_progress_are_left_out_where_bars_are_drawn(
    capsys: pytest.CaptureFixture[str], is_terminal: bool, lines: list[str]
) -> None:
    @dg.op
    def read(context: dg.OpExecutionContext) -> None:
        log_progress(context.log)("100 records")
        context.log.info("landed")

    @dg.job(logger_defs={"console": dg.LoggerDefinition(progress_lines, config_schema={})})
    def reading() -> None:
        read()

    with bars(Console(file=io.StringIO(), force_terminal=is_terminal), 1):
        reading.execute_in_process(run_config={"loggers": {"console": {"config": {}}}})
    assert capsys.readouterr().err.splitlines() == lines
