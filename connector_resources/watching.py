"""What a person sees of a reading: bars on a terminal or in a notebook, lines where neither is, all on stderr."""

import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from connector_resources import sync
from connector_resources.errors import ConnectorError
from connector_resources.progress import Course, Reporter, is_watched, tell_ended
from connector_resources.resource import HttpSource, Source
from connector_resources.spool import Spool
from connector_resources.streams import SNAPSHOT, Slice, Stream
from connector_resources.words import counted, duration


@dataclass(frozen=True, slots=True)
class Expectation:
    """What is known of a reading before it begins; see `progress.Expected`."""

    stream: str
    per_minute: float = math.inf
    used_today: int = 0
    budget: int = 0
    requests: int | None = None

    @classmethod
    def of(cls, source: Source, stream: Stream) -> "Expectation":
        """Return what is known of reading a stream of a source now."""
        name = f"{source.name}.{stream.name}"
        if not isinstance(source, HttpSource):
            return cls(name)
        budget = source.daily_request_budget
        used = source.requests_on_day_of(datetime.now(UTC)) if budget else 0
        return cls(name, source.requests_per_minute(stream), used, budget)


@contextmanager
def watcher(
    source: Source, is_shown: bool | None, clock: Callable[[], float] = time.monotonic
) -> Iterator[sync.Watcher]:
    """Yield what shows a reading for the time of a block; with `False` it shows nothing."""
    if is_shown is False:
        yield sync.Unwatched()
        return
    with ExitStack() as shown:
        yield _Shown(source, shown, clock)


class _Shown(sync.Watcher):
    def __init__(self, source: Source, shown: ExitStack, clock: Callable[[], float]) -> None:
        self._source = source
        self._block = shown
        self._clock = clock
        self._reporters: dict[str, Reporter] = {}

    def planned(self, streams: Sequence[Stream]) -> None:
        if not _may_be_watched():  # without bars it takes a tenth of a second to find that none can be drawn
            return
        from rich.console import Console

        from connector_resources.terminal import bars

        self._block.enter_context(bars(Console(stderr=True), len(streams)))

    def began(self, stream: Stream, partitions: Sequence[str], asked: Slice, source: Source) -> None:
        if partitions and partitions[0] != SNAPSHOT:
            days = partitions[0] if len(partitions) == 1 else f"{partitions[0]} … {partitions[-1]}"
            _say(f"{self._name(stream)}: reading {days}.")
        before = replace(source.statistics)
        expected = Expectation.of(source, stream)
        course = Course(source, stream, asked, expected, before, self._clock)
        self._reporters[stream.name] = Reporter(course, _say_unless_watched)

    def paged(self, stream: Stream, spool: Spool) -> None:
        self._reporters[stream.name](spool)

    def ended(self, stream: Stream, outcome: "sync.StreamRead | ConnectorError") -> None:
        self._reporters.pop(stream.name, None)
        tell_ended(self._name(stream))
        if isinstance(outcome, ConnectorError):
            _say(f"{self._name(stream)}: failed. {outcome}")
        elif not outcome.landed:
            _say(f"{self._name(stream)}: nothing is due; all days are complete.")
        else:
            requests = f", {counted(outcome.requests, 'request')}" if isinstance(self._source, HttpSource) else ""
            _say(
                f"{self._name(stream)}: {counted(outcome.records, 'record')} read{requests}, "
                f"{duration(outcome.seconds)}."
            )

    def _name(self, stream: Stream) -> str:
        return f"{self._source.name}.{stream.name}"


def _may_be_watched() -> bool:
    """Whether stderr may be a terminal or a notebook, or is said to be one; rich knows it exactly."""
    asked_for = any(os.environ.get(name) for name in ("FORCE_COLOR", "TTY_COMPATIBLE"))
    return asked_for or "IPython" in sys.modules or (hasattr(sys.stderr, "isatty") and sys.stderr.isatty())


def _say_unless_watched(line: str) -> None:
    """Say where a reading is, unless bars show it."""
    if not is_watched():
        _say(line)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201 -- what a person watches
