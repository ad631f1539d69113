"""One sandbox and one database for the contract: every stream of every connector is landed once, then looked at."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import requests

from connector_resources.destinations.duckdb import DuckDB, Landed
from connector_resources.resource import HttpSource, Source
from connector_resources.sandbox.accounts import credentials
from connector_resources.sandbox.process import SandboxProcess
from connector_resources.sandbox.settings import Settings
from connector_resources.sources import discover
from connector_resources.spool import PageMark, Spool
from connector_resources.streams import SNAPSHOT, Slice, Stream, Window

TODAY = date(2026, 3, 15)
DAYS = tuple((TODAY - timedelta(days)).isoformat() for days in range(90, 0, -1))
"""Every day the sandbox's changing records lie in, as partition keys."""

SETTINGS: dict[str, dict[str, Any]] = {
    "drift": {"conversations_page_size": 20},
    "faker": {"count": 60, "seed": 7, "records_per_slice": 25, "always_updated": False},
}
"""Settings with which small data makes several pages, and is the same at every reading."""


@dataclass(frozen=True)
class Subject:
    """One stream of one connector, the thing under test."""

    kind: type[Source]
    stream: Stream

    def __str__(self) -> str:
        return f"{self.kind.name}.{self.stream.name}"

    @property
    def parent(self) -> "Subject | None":
        """The stream whose rows this one is read under."""
        return None if self.stream.parent is None else Subject(self.kind, self.stream.parent.stream)


SUBJECTS = tuple(Subject(kind, stream) for kind in discover() for stream in kind.streams)


class Sandbox:
    """A running sandbox and its control API."""

    def __init__(self, url: str) -> None:
        self.url = url

    def fail(self, *faults: dict[str, Any]) -> None:
        """Switch on these faults instead of those before."""
        requests.post(f"{self.url}/_sandbox/faults", json=faults, timeout=10).raise_for_status()

    def calls(self) -> int:
        """How many requests have come so far."""
        return int(requests.get(f"{self.url}/_sandbox/requests", timeout=10).json()["total"])

    def last_request(self) -> dict[str, Any]:
        """The newest request: method, path, query, status, time."""
        counted = requests.get(f"{self.url}/_sandbox/requests", timeout=10).json()
        return dict(counted["last"][-1])


def never(seconds: float) -> None:
    """Stand in for sleep where nobody is to wait."""
    raise AssertionError(f"A wait of {seconds} s in a sandbox without limits and faults.")


@dataclass(frozen=True)
class Table:
    """What the rows of a landed stream are like; `counts` are the values in each column that are not null.

    `deleted_rows` are those whose own flag says that the record was deleted: `_current` leaves them out.
    """

    rows: int
    keys: int
    keys_with_null: int
    current_rows: int
    deleted_rows: int
    counts: dict[str, int]


@dataclass(frozen=True)
class Reading:
    """What reading and landing one stream gave: `costs` are the requests each page took."""

    landed: Landed
    marks: list[PageMark]
    costs: list[int]
    table: Table


@dataclass
class Contract:
    """Reads streams from a sandbox and lands them; each stream once, its parent before it."""

    sandbox: Sandbox
    folder: Path
    _readings: dict[str, "Reading | Exception"] = field(default_factory=dict)
    _slices: dict[tuple[str, tuple[str, ...]], Slice] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.store = self.database("contract")

    def database(self, name: str) -> DuckDB:
        """Return the database of this name."""
        return DuckDB(self.folder / f"{name}.duckdb", self.folder / "temporary", lock_timeout_seconds=5)

    def source(self, kind: type[Source], concurrency: int = 8, **fields: Any) -> Source:
        """Return a source that reads the sandbox; it fails the test that makes it wait."""
        given: dict[str, Any] = {**credentials(kind.name), **SETTINGS.get(kind.name, {})}
        if issubclass(kind, HttpSource):
            given |= {"concurrency": concurrency}
            given |= {"base_url": f"{self.sandbox.url}/{kind.name}", "rate_limit_factor": 0.0}
            given |= {"state_folder": str(self.folder / "state")}
        source = kind(**{**given, **fields})
        if isinstance(source, HttpSource):
            source.client.sleep = never
        return source

    def slice(self, subject: Subject, days: tuple[str, ...] = DAYS) -> Slice:
        """Return what a run over `days` asks for; parents come from the session's database, which keeps them."""
        name = str(subject), days
        if name not in self._slices:
            self._slices[name] = self._slice(subject, days)
        return self._slices[name]

    def _slice(self, subject: Subject, days: tuple[str, ...]) -> Slice:
        stream = subject.stream
        parents = None
        if subject.parent is not None:
            self.reading(subject.parent)
            partitions = days if subject.parent.stream.is_partitioned else None
            parents = self.store.parent_rows(subject.kind.name, stream, partitions)
        return Slice(window_of(days) if stream.selects_a_window else None, parents)

    def land(self, store: DuckDB, subject: Subject, spool: Spool, days: tuple[str, ...] = DAYS) -> Landed:
        """Land what was read, as the IO manager does."""
        stream = subject.stream
        try:
            return store.land(
                subject.kind.name,
                stream,
                spool,
                partitions=days if stream.is_partitioned else (SNAPSHOT,),
                window=window_of(days) if stream.selects_a_window else None,
                run_id="contract",
            )
        finally:
            spool.close()

    def reading(self, subject: Subject) -> Reading:
        """Return how the stream was landed in the session's database; reads it at the first call."""
        name = str(subject)
        if name not in self._readings:
            try:
                self._readings[name] = self._read(subject)
            except Exception as error:
                self._readings[name] = error
        reading = self._readings[name]
        if isinstance(reading, Exception):
            raise reading
        return reading

    def _read(self, subject: Subject) -> Reading:
        asked = self.slice(subject)
        source = self.source(subject.kind, concurrency=1)  # or a page would cost what was asked for while it was read
        sent = [0]
        spool = source.extract(
            subject.stream, asked, self.folder / "spools", lambda spool: sent.append(source.statistics.requests)
        )
        landed = self.land(self.store, subject, spool)
        costs = [after - before for before, after in pairwise(sent)]
        return Reading(landed, spool.marks, costs, self.table(subject))

    def table(self, subject: Subject) -> Table:
        """Return what a stream's table in the session's database is like."""
        key = ", ".join(f'"{name}"' for name in subject.stream.primary_key)
        has_null = " OR ".join(f'"{name}" IS NULL' for name in subject.stream.primary_key)
        names = [column.name for column in subject.stream.columns]
        counts = ", ".join(f'count("{name}")' for name in names)
        current = f'"{subject.kind.name}"."{subject.stream.name}_current"'
        flag = subject.stream.deleted_flag
        is_deleted = "false" if flag is None else f'"{flag}"'
        ((rows, keys, keys_with_null, current_rows, deleted_rows, *found),) = self.store.query(
            f"SELECT count(*), count(DISTINCT row({key})), count(*) FILTER ({has_null}), "
            f"(SELECT count(*) FROM {current}), count(*) FILTER ({is_deleted}), {counts} FROM {table(subject)}"
        )
        return Table(rows, keys, keys_with_null, current_rows, deleted_rows, dict(zip(names, found, strict=True)))

    def rows(self, store: DuckDB, subject: Subject, days: tuple[str, ...] | None = None) -> list[tuple[Any, ...]]:
        """Return what a table holds of the API's data, cell by cell, in the order of the rows' text."""
        names = ", ".join(f'"{column.name}"' for column in subject.stream.columns)
        chosen = "" if days is None else f"WHERE _partition IN {(*days, '')}"
        return store.query(
            f"SELECT {names}, _extra, _partition FROM {table(subject)} {chosen} ORDER BY _partition, {names}"
        )


def table(subject: Subject) -> str:
    """Return the name of a stream's table in SQL."""
    return f'"{subject.kind.name}"."{subject.stream.name}"'


def window_of(days: tuple[str, ...]) -> Window:
    """Return the window of consecutive days, from the first midnight to the last (UTC)."""
    first, last = (datetime.fromisoformat(day).replace(tzinfo=UTC) for day in (days[0], days[-1]))
    return Window(first, last + timedelta(days=1))


@contextmanager
def running_contract(folder: Path) -> Iterator[Contract]:
    """Yield a contract with a sandbox of its own, stopped after the block."""
    with SandboxProcess(Settings(seed=1, limits=0, today=TODAY)) as process:
        yield Contract(Sandbox(process.url), folder)


@pytest.fixture(scope="session")
def contract(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Contract]:
    """The sandbox everybody reads and nobody changes, and the database all streams are landed in."""
    with running_contract(tmp_path_factory.mktemp("contract")) as contract:
        yield contract
