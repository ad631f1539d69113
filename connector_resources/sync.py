"""Reading streams into a database without Dagster: what is due, in which order, and how it lands.

A stream in days is read for the days that are not complete yet: those that were never landed, and those whose reading
was begun before the day had been over for an hour. Days that follow one another are one reading. The tables, the spools
and the state are those of the assets, so whoever comes later goes on where the other has stopped.

Each stream is committed by itself. One that fails takes those below it along and no other; what was landed stays.

Where answers take time, streams of one account are read side by side, a substream when its parent has landed. What is
asked of the database, and each landing, is made in the calling thread, one after the other.
"""

import logging
import threading
import time
import uuid
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, Protocol

from connector_resources.days import SETTLED, days_between, is_complete, window, within_horizon
from connector_resources.destinations.duckdb import DuckDB, Landed
from connector_resources.destinations.duckdb_claims import BY, Claim, Layout, claim, held
from connector_resources.destinations.duckdb_current import CLOCKS_APART
from connector_resources.environment import Mode
from connector_resources.errors import (
    ConnectorError,
    DestinationBusy,
    DestinationUnwritable,
    InvalidSlice,
    MissingCredential,
    RateLimited,
)
from connector_resources.landing import land, landings_of
from connector_resources.resource import HttpSource, Source
from connector_resources.side_by_side import CALLING_THREAD, Reading, SideBySide
from connector_resources.spool import Spool, prune
from connector_resources.streams import SNAPSHOT, ParentRow, Slice, Stream, Window

logger = logging.getLogger(__name__)

Strategy = Literal["auto", "append", "replace", "merge"]
"""auto: days that are due are read and replaced, snapshots are replaced whole · merge: the same, but records that a
snapshot does not have any more stay · replace: everything is read, and replaces all there is · append: what is new
since the last read is put beside what is there."""

RUN_PREFIX = "read-"
"""How the runs of the Python API begin; Dagster's are UUIDs."""

_LONGEST_WAIT_SECONDS, _WAITS = 3600.0, 10
"""How long a vendor is waited for at once, and how often for one stream, before that is an error."""

_SIDE_BY_SIDE = 4
"""So many streams are read at a time at most: as many spools are open, and pages in memory."""
_WHERE_ALL_FAIL = (DestinationBusy, DestinationUnwritable, MissingCredential)
"""What every other stream would meet, too."""

KEEP_SPOOLS_DAYS, KEEP_SPOOLS_BYTES = 7.0, 2_000_000_000


class Cache(Protocol):
    """Where a reading lands."""

    @property
    def store(self) -> DuckDB:
        """The database."""
        ...

    @property
    def spools(self) -> Path:
        """Where readings are kept until they have landed, and for a while after that."""
        ...

    def schema_of(self, source: str) -> str:
        """Return the schema of a source's tables."""
        ...

    def table_of(self, stream: str) -> str:
        """Return the name of a stream's table."""
        ...


@dataclass(frozen=True, slots=True)
class StreamRead:
    """What the reading of one stream has brought: `landed` are its commits, none where nothing was due."""

    stream: Stream
    landed: Sequence[Landed] = ()
    requests: int = 0
    seconds: float = 0.0

    @property
    def records(self) -> int:
        """How many records the source sent that belong to what was asked for."""
        return sum(each.received - each.left_out for each in self.landed)


class Watcher(Protocol):
    """Whoever wants to know where a reading is; told in any thread, one thing at a time.

    Several streams may be under way at once. What one has cost is counted by the source it is read from, a copy of the
    account.
    """

    def planned(self, streams: Sequence[Stream]) -> None:
        """Take note of the streams that are going to be read, in their order."""
        ...

    def began(self, stream: Stream, partitions: Sequence[str], asked: Slice, source: Source) -> None:
        """Take note that a stream is going to be asked for these partitions, of this source."""
        ...

    def paged(self, stream: Stream, spool: Spool) -> None:
        """Take note of a page."""
        ...

    def ended(self, stream: Stream, outcome: StreamRead | ConnectorError) -> None:
        """Take note of what became of a stream."""
        ...


class Unwatched:
    """A watcher that does nothing."""

    def planned(self, streams: Sequence[Stream]) -> None:
        """Do nothing."""

    def began(self, stream: Stream, partitions: Sequence[str], asked: Slice, source: Source) -> None:
        """Do nothing."""

    def paged(self, stream: Stream, spool: Spool) -> None:
        """Do nothing."""

    def ended(self, stream: Stream, outcome: StreamRead | ConnectorError) -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of each stream: read, or failed and why; by name, parents before their substreams."""

    read: Mapping[str, StreamRead]
    failed: Mapping[str, ConnectorError]


@dataclass(slots=True)
class Sync:
    """One reading of streams of a source into a cache.

    `start` is the first day (UTC) to be read of a stream in days. With `is_full`, days that are complete are read
    again, too, and from their first page even where an interrupted reading has left some on disk.
    """

    source: Source
    cache: Cache
    mode: Mode
    start: date
    strategy: Strategy = "auto"
    is_full: bool = False
    watcher: Watcher = field(default_factory=Unwatched)
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    sleep: Callable[[float], None] = time.sleep
    run_id: str = field(default_factory=lambda: f"{RUN_PREFIX}{uuid.uuid4()}")
    _appended: dict[str, list[str]] = field(default_factory=dict)
    _now: datetime | None = None
    _telling: threading.Lock = field(default_factory=threading.Lock)

    def read(self, streams: Sequence[Stream]) -> Outcome:
        """Read streams and the parents they need. Raises nothing of ours: what failed is in the outcome.

        Where the database as a whole, or a credential, is what fails, the streams that are left are not tried, and the
        readings that are under way end. What they have is kept, and gone on with by the next read.
        """
        ordered = with_parents(streams)
        self._now = self.clock()  # one for all: after midnight a substream would want a day that its parent has not
        with self._telling:
            self.watcher.planned(ordered)
        waiting, outcomes = list(ordered), dict[str, StreamRead | ConnectorError]()
        with ExitStack() as copies, SideBySide[StreamRead]() as others:
            while (stream := self._next(waiting, outcomes, others)) is not None or others:
                if stream is None:
                    reading = others.next_back()
                else:
                    waiting.remove(stream)
                    reading = others.begin(self._reading(stream, outcomes, copies, is_alone=len(ordered) == 1))
                outcome = self._gone_on(reading, waiting, outcomes, others)
                if outcome is None:
                    continue
                outcomes[reading.name] = outcome
                with self._telling:
                    self.watcher.ended(next(each for each in ordered if each.name == reading.name), outcome)
                if isinstance(outcome, _WHERE_ALL_FAIL):
                    break
        prune(self.cache.spools, keep_days=KEEP_SPOOLS_DAYS, keep_bytes=KEEP_SPOOLS_BYTES)
        found = [(stream.name, outcomes[stream.name]) for stream in ordered if stream.name in outcomes]
        return Outcome(
            {name: outcome for name, outcome in found if isinstance(outcome, StreamRead)},
            {name: outcome for name, outcome in found if isinstance(outcome, ConnectorError)},
        )

    def _next(
        self, waiting: Sequence[Stream], outcomes: Mapping[str, object], others: SideBySide[StreamRead]
    ) -> Stream | None:
        """Return the stream to begin now; None where there is none, or those under way are better waited for."""
        if others and (len(others) >= _SIDE_BY_SIDE or not self._keeps_waiting):
            return None
        return next((stream for stream in waiting if stream.parent is None or _above(stream) in outcomes), None)

    @property
    def _keeps_waiting(self) -> bool:
        return isinstance(self.source, HttpSource) and self.source.keeps_waiting

    def _reading(
        self,
        stream: Stream,
        outcomes: Mapping[str, StreamRead | ConnectorError],
        copies: ExitStack,
        *,
        is_alone: bool,
    ) -> Reading[StreamRead]:
        above = outcomes.get(_above(stream))
        if isinstance(self.source, HttpSource) and not is_alone:
            copy = copies.enter_context(self.source.beside())
            return Reading(stream.name, self._read(stream, above, copy), copy.in_thread, copy.hang_up)
        return Reading(stream.name, self._read(stream, above, self.source))

    def _gone_on(
        self,
        reading: Reading[StreamRead],
        waiting: Sequence[Stream],
        outcomes: Mapping[str, object],
        others: SideBySide[StreamRead],
    ) -> StreamRead | ConnectorError | None:
        """Make the next steps of a reading here, and return its outcome; None where it goes on in another thread.

        It does where others are under way, or it waits for answers while another could be begun.
        """
        try:
            while True:
                may_go = reading.step()
                if may_go and (others or (self._keeps_waiting and self._next(waiting, outcomes, others) is not None)):
                    others.go_on(reading)
                    return None
        except StopIteration as end:
            made: StreamRead = end.value
            return made
        except ConnectorError as error:
            return error

    def _read(self, stream: Stream, above: object, source: Source) -> Generator[object, None, StreamRead]:
        if isinstance(above, ConnectorError):
            raise _below(_above(stream), above) from above
        began, before = time.monotonic(), replace(source.statistics)
        stored = stored_as(stream, self.cache)
        schema = self.cache.schema_of(self.source.name)
        ours, is_replaced = self._claim(stream), self.strategy == "replace"
        is_others = claim(self.cache.store, schema, stored.name, ours, replace=is_replaced)
        # Days beyond the horizon stay, but not beside another account's, nor beside those that hold them too.
        replaces_all = is_replaced and (is_others or not _has_horizon(stream))
        landed = []
        for keys in self._due(stream, stored, schema):
            landed.append((yield from self._landed(stream, stored, schema, keys, ours, source, replaces_all)))
        requests = source.statistics.since(before).requests
        return StreamRead(stream, tuple(landed), requests, time.monotonic() - began)

    def _claim(self, stream: Stream) -> Claim:
        account = self.source.account if isinstance(self.source, HttpSource) and self.mode == "live" else self.mode
        # By another key other rows are the same record: what one key has left out, nobody would read by the other.
        key = next((each.primary_key for each in self.source.streams if each.name == stream.name), stream.primary_key)
        what = stream.name if stream.primary_key == key else f"{stream.name}{BY}{', '.join(stream.primary_key)}"
        return Claim(self.mode, self.source.connector, what, account, self._layout(stream), self.source.name)

    def _layout(self, stream: Stream) -> Layout:
        if self.strategy == "append":
            return "reads"
        return "days" if stream.is_partitioned else "snapshot"

    def _due(self, stream: Stream, stored: Stream, schema: str) -> Sequence[Sequence[str]]:
        """Return the partitions to read, those that follow one another together."""
        if not stream.is_partitioned:
            return ((SNAPSHOT,),)
        now = self._now or self.clock()
        days = days_between(self.start, now.date())
        if not days:
            raise InvalidSlice(f"The first day to read, {self.start}, has not begun (UTC).")
        readings = _believed(self.cache.store, schema, stored.name)
        if self.strategy == "append" and (last := _last(readings)) is not None:
            days = days_between((last - SETTLED).date(), now.date())
        elif self.strategy in ("auto", "merge") and not self.is_full:
            above = _landed_above(self.cache.store, schema, stored, days)
            days = tuple(day for day in days if _is_due(day, readings.get(day), above.get(day)))
        return blocks(_listed(stream, days, now))

    def _landed(
        self,
        stream: Stream,
        stored: Stream,
        schema: str,
        keys: Sequence[str],
        ours: Claim,
        source: Source,
        replaces_all: bool,
    ) -> Generator[object, None, Landed]:
        store, is_append = self.cache.store, self.strategy == "append"
        asked = Slice(self._window(stream, stored, schema, keys), self._parents(stored, schema, keys))
        with self._telling:
            self.watcher.began(stream, keys, asked, source)
        spool = yield from self._extracted(
            stream, asked, keys, lambda runs: self._last_landed(schema, stored.name, keys, runs), source
        )
        try:
            yield CALLING_THREAD
        except BaseException:  # nobody lands it now
            spool.close()
            raise
        keeps_missing = self.strategy == "merge" and not stream.is_partitioned
        may_shrink = self.strategy == "replace" or self.source.is_made_up or keeps_missing
        how: dict[str, Any] = {"replace_all": replaces_all, "may_shrink": may_shrink, "keep_missing": keeps_missing}
        if is_append:
            begun_at = datetime.fromtimestamp(spool.started_at, UTC)
            how["read"] = begun_at.isoformat(timespec="microseconds")
        landed = land(
            store,
            schema,
            stored,
            spool,
            partitions=keys,
            window=asked.window,
            run_id=self.run_id,
            within=partial(held, store.path, schema, stored.name, ours, replaces_all),
            **how,
        )
        if is_append:
            self._appended.setdefault(stored.name, []).append(how["read"])
        return landed

    def _extracted(
        self,
        stream: Stream,
        asked: Slice,
        keys: Sequence[str],
        not_before: Callable[[Collection[str]], float],
        source: Source,
    ) -> Generator[object, None, Spool]:
        """Return the reading, complete; a wait that the vendor asks for is waited for, up to an hour at a time."""
        for attempt in range(_WAITS + 1):
            try:
                return (
                    yield from source.extracting(
                        stream,
                        asked,
                        self.cache.spools,
                        partial(self._paged, stream),
                        partitions=keys,
                        not_before=not_before,
                        anew=self.is_full and not attempt,
                    )
                )
            except RateLimited as error:
                if error.wait_seconds > _LONGEST_WAIT_SECONDS or attempt == _WAITS:
                    raise
                logger.warning("%s", error)
                wait_seconds = error.wait_seconds
            if isinstance(source, HttpSource):
                source.pause(wait_seconds, self.sleep)
            else:
                self.sleep(wait_seconds)
            yield CALLING_THREAD  # to open the spool anew asks the database
        raise AssertionError("The last attempt returns or raises.")

    def _paged(self, stream: Stream, spool: Spool) -> None:
        with self._telling:
            self.watcher.paged(stream, spool)

    def _window(self, stream: Stream, stored: Stream, schema: str, keys: Sequence[str]) -> Window | None:
        if not stream.selects_a_window:
            return None
        whole = window(keys)
        last = _last(_believed(self.cache.store, schema, stored.name)) if self.strategy == "append" else None
        # An API may be slow to list a record, or its clock be late. What is met again is left out when it lands.
        return whole if last is None else Window(max(last - SETTLED, whole.start), whole.end)

    def _parents(self, stored: Stream, schema: str, keys: Sequence[str]) -> tuple[ParentRow, ...] | None:
        """Return the parents to read a substream under, None for a stream that has none."""
        if stored.parent is None:
            return None
        parent, partitions = stored.parent.stream, None if not stored.parent.stream.is_partitioned else keys
        if partitions is not None and self.strategy == "append":
            partitions = self._not_read_under(stored, parent, schema)
        return () if partitions == [] else self.cache.store.parent_rows(schema, stored, partitions)

    def _not_read_under(self, stored: Stream, parent: Stream, schema: str) -> list[str]:
        """Return what was appended of a parent since its substream was read last: now, or by a read that failed."""
        store, last = self.cache.store, _last(_believed(self.cache.store, schema, stored.name))
        landings = landings_of(store, schema, parent.name, store.landed_partitions(schema, parent.name))
        return sorted(
            key
            for key, landing in landings.items()
            if last is None or landing.landed_at >= last or key in self._appended.get(parent.name, ())
        )

    def _last_landed(self, schema: str, name: str, keys: Sequence[str], runs: Collection[str]) -> float:
        """Return when any of the partitions was last landed by another run than these."""
        landings = landings_of(self.cache.store, schema, name, keys).values()
        return max((each.landed_at.timestamp() for each in landings if each.run_id not in runs), default=0.0)


def with_parents(streams: Sequence[Stream]) -> Sequence[Stream]:
    """Return streams and the parents they are read under, each once and parents first."""
    found: dict[str, Stream] = {}
    for stream in streams:
        lineage = [stream]
        while (parent := lineage[-1].parent) is not None:
            lineage.append(parent.stream)
        for each in reversed(lineage):
            # What was asked for counts, not what is known of it as a parent: it may have another key.
            found.setdefault(each.name, next((asked for asked in streams if asked.name == each.name), each))
    return tuple(found.values())


def stored_as(stream: Stream, cache: Cache) -> Stream:
    """Return a stream under the names of a cache's tables, its parents and what it tells of among them."""
    renamed = replace(stream, name=cache.table_of(stream.name))
    if stream.parent is not None:
        renamed = replace(renamed, parent=replace(stream.parent, stream=stored_as(stream.parent.stream, cache)))
    if stream.deletions is not None:
        told = {kind: stored_as(each, cache) for kind, each in stream.deletions.streams.items()}
        renamed = replace(renamed, deletions=replace(stream.deletions, streams=told))
    return renamed


def blocks(days: Sequence[str]) -> Sequence[Sequence[str]]:
    """Return days in groups that follow one another."""
    found: list[list[str]] = [list(days[:1])] if days else []
    for day, following in pairwise(map(date.fromisoformat, days)):
        if following - day == timedelta(days=1):
            found[-1].append(following.isoformat())
        else:
            found.append([following.isoformat()])
    return found


def days_left(
    cache: Cache, schema: str, stream: Stream, days: Sequence[str], since: datetime, *, is_full: bool
) -> Sequence[str]:
    """Return which of these days nobody has landed for a read that was begun at `since`.

    Those are left that were not read since, unless they were complete before and that is enough, which it is not where
    everything was asked for again (`is_full`); and those that were read before their parents were there. Days that the
    API did not list any more are left out.
    """
    stored = stored_as(stream, cache)
    readings = _believed(cache.store, schema, stored.name)
    above = _landed_above(cache.store, schema, stored, days)

    def is_left(day: str) -> bool:
        read = readings.get(day)
        is_asked_again = is_full and read is not None and read < since
        return is_asked_again or _is_due(day, read, above.get(day), since)

    return _listed(stream, [day for day in days if is_left(day)], since)


def _listed(stream: Stream, days: Sequence[str], at: datetime) -> Sequence[str]:
    """Return those of these days that the API still listed at an instant."""
    try:
        return tuple(within_horizon(stream, days, at)) if days else ()
    except InvalidSlice:  # none of them
        return ()


def _believed(store: DuckDB, schema: str, name: str) -> Mapping[str, datetime | None]:
    """Return when the reading was begun that each partition holds; None where a wrong clock has told it."""
    believed_until = datetime.fromtimestamp(store.wall(), UTC) + CLOCKS_APART
    readings = store.readings(schema, name)
    return {key: None if at is not None and at > believed_until else at for key, at in readings.items()}


def _landed_above(store: DuckDB, schema: str, stored: Stream, days: Sequence[str]) -> Mapping[str, datetime]:
    """Return when the parents of a substream were landed, by day.

    Not when their reading was begun: until it has landed, others read under what was there before.
    """
    if stored.parent is None or not stored.parent.stream.is_partitioned:
        return {}
    landings = landings_of(store, schema, stored.parent.stream.name, days)
    return {day: landing.landed_at for day, landing in landings.items()}


def _is_due(
    day: str, read: datetime | None, landed_above: datetime | None, enough_since: datetime | None = None
) -> bool:
    """Whether a day has to be read: it was not, or before it was complete, or before its parents were there.

    What was read at `enough_since` or later counts as complete.
    """
    if read is None or (landed_above is not None and read < landed_above):
        return True
    return not is_complete(day, read) and (enough_since is None or read < enough_since)


def _last(readings: Mapping[str, datetime | None]) -> datetime | None:
    return max((at.astimezone(UTC) for at in readings.values() if at is not None), default=None)


def _has_horizon(stream: Stream) -> bool:
    lineage: Stream | None = stream
    while lineage is not None:
        if lineage.cursor is not None and lineage.cursor.horizon is not None:
            return True
        lineage = None if lineage.parent is None else lineage.parent.stream
    return False


def _above(stream: Stream) -> str:
    return "" if stream.parent is None else stream.parent.stream.name


def _below(parent: str, reason: ConnectorError) -> ConnectorError:
    return ConnectorError(f"Not read, for it is read under {parent}, which failed: {reason}")
