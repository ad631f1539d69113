"""How far the reading of a stream has come: for the run's log, and for whoever watches this process.

What a reading is measured by is the best there is: the server's own count of the list, else how many of the parents
are done, else how many requests such a run has taken before. The time left is what is missing at the pace since the
reading was begun; where there is nothing to go by yet, none is told.
"""

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from connector_resources.http.client import Statistics
from connector_resources.http.stream import parents_behind
from connector_resources.resource import HttpSource, Source
from connector_resources.spool import PageMark, Spool
from connector_resources.streams import Slice, Stream
from connector_resources.words import counted, duration, share

_PAGES_TO_GO_BY = 3
"""So many pages tell a pace; the first has more to do than the others."""

IS_PROGRESS = "is_progress"
"""Marks the lines of the log that somebody who watches need not see."""

Unit = Literal["records", "parents", "requests"]


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a reading is: `done` of `total` of some unit, None where nobody knows how much there is.

    `budget` says in words what the account may still send.
    """

    name: str
    records: int
    pages: int
    unit: Unit = "records"
    done: int = 0
    total: int | None = None
    seconds_left: float | None = None
    budget: str = ""

    @property
    def came(self) -> str:
        """What was read, and of how much: `1,200 of 4,000 records in 6 pages, 30 %`."""
        pages = f"in {counted(self.pages, 'page')}"
        if self.total is None:
            return f"{counted(self.records, 'record')} {pages}"
        part = share(self.done, self.total)
        if self.unit == "records":
            return f"{self.records:,} of {self.total:,} records {pages}, {part}"
        about = "about " if self.unit == "requests" else ""
        return f"{counted(self.records, 'record')} {pages}, {self.done:,} of {about}{self.total:,} {self.unit}, {part}"

    @property
    def left(self) -> str:
        """The time left in words; empty where nobody knows."""
        return "" if self.seconds_left is None else f"about {duration(self.seconds_left)} left"

    def __str__(self) -> str:
        where = ", ".join(part for part in (self.came, self.left) if part)
        return f"{self.name}: {where}{f'; {self.budget}' if self.budget else ''}"


class Expected(Protocol):
    """What is known of a reading before it begins.

    `stream` is its name for people, `requests` how many are expected, None where nobody knows. `per_minute` is how many
    an account may send at most, `used_today` what this host has sent since midnight (UTC), `budget` how many a day may
    have, 0 for any number.
    """

    @property
    def stream(self) -> str: ...  # noqa: D102 -- said above
    @property
    def requests(self) -> int | None: ...  # noqa: D102 -- said above
    @property
    def per_minute(self) -> float: ...  # noqa: D102 -- said above
    @property
    def used_today(self) -> int: ...  # noqa: D102 -- said above
    @property
    def budget(self) -> int: ...  # noqa: D102 -- said above


@dataclass(slots=True)
class Course:
    """One reading, followed: what is on disk at its start does not count for its pace."""

    source: Source
    stream: Stream
    asked: Slice
    plan: Expected
    before: Statistics
    clock: Callable[[], float] = time.monotonic
    _began: float = field(init=False)
    _requests_before: int = field(init=False)
    _seen: tuple[float, int] = field(init=False)
    _others_before: int = field(init=False)
    _folder: Path | None = None

    def __post_init__(self) -> None:
        self._began, self._requests_before = self._seen = self.clock(), self.before.requests
        self._others_before = self._of_others()

    def at(self, spool: Spool) -> Progress:
        """Return where the reading is, after a page."""
        now = self.clock()
        if self._folder not in (None, spool.folder):  # the list has changed, and is read from the start
            self._began, self._requests_before = self._seen
        self._folder, self._seen = spool.folder, (now, self.source.statistics.requests)
        unit, total = self._measure(spool)
        done = self._done(unit, spool.marks)
        if total is not None and (done > total or total == 0):
            total = None  # more than was expected: then nobody knows
        return Progress(
            self.plan.stream,
            spool.records,
            len(spool.marks),
            unit,
            done,
            total,
            self._seconds_left(unit, spool, done, total, now - self._began),
            self._budget(),
        )

    def _measure(self, spool: Spool) -> tuple[Unit, int | None]:
        cursor = self.stream.cursor
        if self.asked.parents is not None:
            return "parents", len(self.asked.parents)
        if spool.marks[-1].total is not None and (cursor is None or not cursor.newest_first):  # else it is cut short
            return "records", spool.marks[-1].total
        return ("requests", self.plan.requests) if self.plan.requests else ("records", None)

    def _done(self, unit: Unit, marks: list[PageMark]) -> int:
        if unit == "requests":
            return self.source.statistics.requests - self._requests_before
        if unit == "parents":
            parents = len(self.asked.parents or ())
            return parents_behind(marks[-1].token, parents) if marks else 0
        return sum(mark.received for mark in marks)

    def _seconds_left(self, unit: Unit, spool: Spool, done: int, total: int | None, seconds: float) -> float | None:
        resumed = spool.marks[: spool.resumed_pages]
        gained = done if unit == "requests" else done - self._done(unit, resumed)
        if (
            total is None
            or done == total
            or gained <= 0
            or seconds <= 0
            or len(spool.marks) - len(resumed) < _PAGES_TO_GO_BY
        ):
            return None
        return (total - done) * seconds / gained

    def _budget(self) -> str:
        """Say what is left of the day's budget where there is one, else of the minute's, else what a minute allows."""
        if not isinstance(self.source, HttpSource) or math.isinf(self.plan.per_minute):
            return ""
        if self.plan.budget:
            own = self.source.statistics.requests - self.before.requests
            spent = self.plan.used_today + own + self._of_others() - self._others_before
            return f"{max(self.plan.budget - spent, 0):,} of today's {self.plan.budget:,} requests left"
        left = self.source.standing().left_in_minute
        if left is None:
            return f"at most {self.plan.per_minute:,.0f} requests a minute"
        return f"{left:,} of {self.plan.per_minute:,.0f} requests left this minute"

    def _of_others(self) -> int:
        """Return how many requests other readings of the account have sent that are under way beside this one."""
        if not isinstance(self.source, HttpSource):
            return 0
        return self.source.whole.statistics.requests - self.source.statistics.requests


class Watcher(Protocol):
    """Somebody who wants to know at once what the streams of this process are doing."""

    def told(self, progress: Progress) -> None:
        """Take note of where a reading is."""
        ...

    def ended(self, name: str) -> None:
        """Take note that a stream is read, or is not to be."""
        ...


_watchers: list[Watcher] = []


@contextmanager
def watched_by(watcher: Watcher) -> Iterator[None]:
    """Tell `watcher` what streams of this process do while the block runs."""
    _watchers.append(watcher)
    try:
        yield
    finally:
        _watchers.remove(watcher)


def is_watched() -> bool:
    """Whether anybody watches."""
    return bool(_watchers)


@contextmanager
def ending(name: str) -> Iterator[None]:
    """Tell watchers that the stream has ended when the block is left, however it is left."""
    try:
        yield
    finally:
        tell_ended(name)


def tell_ended(name: str) -> None:
    """Tell watchers that the stream has ended."""
    for watcher in _watchers:
        watcher.ended(name)


def log_progress(log: logging.Logger) -> Callable[[str], None]:
    """Return what writes a line of progress to a run's log, marked for those who see it otherwise."""
    return lambda line: log.info(line, extra={IS_PROGRESS: True})


@dataclass(slots=True)
class Reporter:
    """Tells the run's log every few seconds, and watchers more often, where a reading is; called after each page."""

    course: Course
    log: Callable[[str], None]
    log_every_seconds: float = 5.0
    tell_every_seconds: float = 0.2
    _logged_at: float = field(init=False)
    _told_at: float = -math.inf

    def __post_init__(self) -> None:
        self._logged_at = self.course.clock()

    def __call__(self, spool: Spool) -> None:
        """Report, if it is time."""
        now = self.course.clock()
        is_told = bool(_watchers) and now - self._told_at >= self.tell_every_seconds
        is_logged = now - self._logged_at >= self.log_every_seconds
        if not (is_told or is_logged):
            return
        progress = self.course.at(spool)
        if is_logged:
            self._logged_at = now
            self.log(str(progress))
        if is_told:
            self._told_at = now
            for watcher in _watchers:
                watcher.told(progress)
