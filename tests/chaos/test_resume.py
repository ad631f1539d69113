"""A reading that is killed anywhere goes on where it was, and ends in the table that an undisturbed one makes.

Real processes, real kills, a real server that counts its requests. One process imports what is needed and forks once
for each kill: a reading is killed so many bytes into one of its files, or at one of the statements of its commit. It is
gone on with here, and what was asked for and what was landed are compared with a reading nobody disturbed.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
import requests

from connector_resources.destinations.duckdb import DuckDB
from connector_resources.http.paginators import PageNumber
from connector_resources.http.stream import HttpStream
from connector_resources.landing import Landing, landings_of
from connector_resources.resource import HttpSource, Source
from connector_resources.sandbox.accounts import lasting_credentials
from connector_resources.sandbox.process import SandboxProcess
from connector_resources.sandbox.settings import Settings
from connector_resources.sources import discover
from connector_resources.spool import Spool, kept
from connector_resources.streams import SNAPSHOT, Slice, Stream, Window
from tests.landing import ROOT, child, days

TODAY = date.fromisoformat(os.environ.get("TODAY_OF_THE_TESTS") or f"{datetime.now(UTC):%Y-%m-%d}")
"""The child processes are told of it: midnight may come between."""
LONG, SHORT = 30, 8
"""How many days of a stream are read, up to yesterday: of one with many pages a day fewer."""
SEED = 20260301


@dataclass(frozen=True)
class Subject:
    """A stream, how it is read here, and how it pages."""

    name: str
    pages: str
    last_days: int

    @property
    def source(self) -> str:
        return self.name.split("/")[0]

    @property
    def window(self) -> Window:
        end = datetime(TODAY.year, TODAY.month, TODAY.day, tzinfo=UTC)
        return Window(end - timedelta(days=self.last_days), end)

    @property
    def stream(self) -> Stream:
        """The stream, with pages so small that there are many."""
        stream = kind(self.source).stream(self.name.split("/")[1])
        if isinstance(stream, HttpStream) and isinstance(stream.paginator, PageNumber):
            return replace(stream, paginator=replace(stream.paginator, size=8))
        return stream

    @property
    def partitions(self) -> list[str]:
        return days(self.window) if self.stream.is_partitioned else [SNAPSHOT]


SUBJECTS = {
    subject.name: subject
    for subject in (
        Subject("aha/features", "numbered pages", LONG),
        Subject("drift/conversations", "a cursor", LONG),
        Subject("aha/releases", "numbered pages under each parent", LONG),
        Subject("drift/messages", "a token under each parent", SHORT),
        Subject("drift/conversation_details", "one page for each parent", SHORT),
        Subject("aha/products", "a parent", LONG),
    )
}
PARENTS = ("aha/products", "drift/conversations")


def kind(source: str) -> type[Source]:
    return next(each for each in discover() if each.name == source)


@dataclass(frozen=True)
class Place:
    """Where one reading has its database and its spools, and whom it asks."""

    folder: Path
    url: str
    database: str = "store.duckdb"
    concurrency: int = 8

    @property
    def store(self) -> DuckDB:
        return DuckDB(self.folder / self.database, self.folder / "temporary", lock_timeout_seconds=20)

    def read(self, name: str) -> Spool:
        """Read a stream; what is on disk already is not asked for."""
        subject, source = SUBJECTS[name], self.connected(name)
        stream, parent = subject.stream, subject.stream.parent

        def not_before(runs: Any) -> float:
            landings = self.landings(subject).values()
            return max((each.landed_at.timestamp() for each in landings if each.run_id not in runs), default=0.0)

        rows = None
        if parent is not None:
            of = subject.partitions if parent.stream.is_partitioned else None
            rows = self.store.parent_rows(subject.source, stream, of)
        asked = Slice(subject.window if stream.selects_a_window else None, rows)
        return source.extract(
            stream, asked, self.folder / "spools", partitions=subject.partitions, not_before=not_before
        )

    def landings(self, subject: Subject) -> Mapping[str, Landing]:
        """Return which run landed which partition."""
        return landings_of(self.store, subject.source, subject.stream.name, subject.partitions)

    def land(self, name: str, spool: Spool, run_id: str) -> None:
        """Land a stream as a run does."""
        subject = SUBJECTS[name]
        window = subject.window if subject.stream.selects_a_window else None
        spool.note_landing(run_id)
        self.store.land(
            subject.source, subject.stream, spool, partitions=subject.partitions, window=window, run_id=run_id
        )
        spool.mark_committed()
        spool.close()

    def connected(self, name: str) -> Source:
        source = name.split("/")[0]
        fields: dict[str, Any] = {**lasting_credentials(source), "base_url": f"{self.url}/{source}"}
        if source == "drift":
            fields["conversations_page_size"] = 5
        state = str(self.folder / "state")
        made = kind(source)(**fields, rate_limit_factor=0.0, state_folder=state, concurrency=self.concurrency)  # type: ignore[call-arg]  # a source over HTTP
        assert isinstance(made, HttpSource)
        return made

    def rows(self, name: str) -> list[tuple[Any, ...]]:
        """Return the table cell by cell, and what the state says of it; not when, nor by which run."""
        subject = SUBJECTS[name]
        names = [*(column.name for column in subject.stream.columns), "_extra", "_partition", "_is_current", "_page"]
        table = ", ".join(f'"{each}"' for each in names)
        rows = self.store.query(f"SELECT {table} FROM {subject.name.replace('/', '.')} ORDER BY ALL")
        facts = "partition, rows, data_version, first_cursor, last_cursor"
        state = f"SELECT {facts} FROM _state WHERE name = '{subject.stream.name}' ORDER BY ALL"
        return [*rows, *self.store.query(state)]


# Killing


FORKING = """
import json, os, signal, sys
from pathlib import Path
from tests.chaos.test_resume import Place, die_at

for line in sys.stdin:
    job = json.loads(line)
    process = os.fork()
    if not process:
        place = Place(Path(job["folder"]), job["url"], concurrency=job["concurrency"])
        die_at(job)
        place.land(job["name"], place.read(job["name"]), "killed")
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)
"""


class Fatal:
    """A file of a spool whose process is killed so many bytes into its n-th write, or right after the whole of it."""

    def __init__(self, file: Any, write: int, share: float) -> None:
        self._file, self._left, self._share = file, write, share

    def write(self, content: Any) -> int:
        self._left -= 1
        if self._left < 0:
            whole = bytes(content)
            self._file.write(whole[: round(len(whole) * self._share)])
            os.kill(os.getpid(), signal.SIGKILL)
        return int(self._file.write(content))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class FatalConnection:
    """A DuckDB connection whose process is killed before or after the n-th statement since a transaction was begun."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, statement: int) -> None:
        self._connection, self._left, self._is_counting = connection, statement, False

    def execute(self, query: str, *parameters: Any) -> Any:
        self._is_counting = self._is_counting or query == "BEGIN"
        self._left -= self._is_counting
        if self._left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        result = self._connection.execute(query, *parameters)
        if self._left == 0 and query == "COMMIT":
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def die_at(job: Mapping[str, Any]) -> None:
    """Arrange for this process to be killed: in a file of the spool, in the commit, or before that is noted."""
    from connector_resources import spool
    from connector_resources.destinations import duckdb as destination

    if job["in"] in ("pages", "index"):
        made = spool.SpoolWriter.__init__

        def opened(self: Any, *arguments: Any) -> None:
            made(self, *arguments)
            file = f"_{job['in']}"
            setattr(self, file, Fatal(getattr(self, file), job["write"], job["share"]))

        spool.SpoolWriter.__init__ = opened  # type: ignore[assignment, method-assign]  # in a process that is about to die
    elif job["in"] == "commit":
        workbench = destination.DuckDB._workbench

        @contextmanager
        def fatal(self: DuckDB, **how: Any) -> Iterator[Any]:
            with workbench(self, **how) as connection:
                yield FatalConnection(connection, job["statement"])

        destination.DuckDB._workbench = fatal  # type: ignore[method-assign]  # as above
    else:
        spool.Spool.mark_committed = lambda self: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[method-assign]


# The world


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with SandboxProcess(Settings(scale=2.0, limits=0, today=TODAY)) as process:
        yield process.url


@pytest.fixture(scope="module")
def parents(tmp_path_factory: pytest.TempPathFactory, url: str) -> Path:
    """A folder with a database in which the parents are landed, to be copied."""
    place = Place(tmp_path_factory.mktemp("parents"), url)
    for name in PARENTS:
        place.land(name, place.read(name), "parents")
    return place.folder


@dataclass(frozen=True)
class Undisturbed:
    """What a stream comes to when nobody disturbs it, and how many requests and statements of a commit that takes."""

    rows: list[tuple[Any, ...]]
    requests: int
    pages_with_records: int
    statements: int


@pytest.fixture(scope="module")
def killer() -> Iterator[Callable[..., None]]:
    process = child(FORKING, TODAY_OF_THE_TESTS=f"{TODAY}")
    assert process.stdin is not None
    assert process.stdout is not None

    def kill(place: Place, name: str, **where: Any) -> None:
        job = {"folder": str(place.folder), "url": place.url, "concurrency": place.concurrency, "name": name, **where}
        process.stdin.write(json.dumps(job) + "\n")  # type: ignore[union-attr]  # seen above
        process.stdin.flush()  # type: ignore[union-attr]
        status = process.stdout.readline().strip()  # type: ignore[union-attr]
        assert status == str(-signal.SIGKILL), (job, status)

    with process:
        try:
            yield kill
        finally:
            process.kill()


def count(url: str) -> int:
    """Return how many requests the sandbox has had."""
    return int(requests.get(f"{url}/_sandbox/requests", timeout=10).json()["total"])


def copied(parents: Path, folder: Path, url: str, concurrency: int = 8) -> Place:
    folder.mkdir()
    shutil.copy(parents / "store.duckdb", folder)
    return Place(folder, url, concurrency=concurrency)


ANSWERS_LOST = {1: 1, 8: 1 + 2 * 2 * 8}
"""How many answers a kill loses at most, by how many requests are on their way: the page that was being written, and
what was asked for before its turn, which is of the list and of those behind it twice as many each."""


@pytest.fixture(scope="module")
def undisturbed(parents: Path, tmp_path_factory: pytest.TempPathFactory, url: str) -> Callable[[str], Undisturbed]:
    known: dict[str, Undisturbed] = {}

    def of(name: str) -> Undisturbed:
        if name not in known:
            place = copied(parents, tmp_path_factory.mktemp("undisturbed") / "data", url)
            before = count(url)
            spool = place.read(name)
            made, filled = count(url) - before, sum(mark.received > 0 for mark in spool.marks)
            statements: list[str] = []
            workbench = DuckDB._workbench

            class Listening:
                def __init__(self, connection: Any) -> None:
                    self._connection = connection

                def execute(self, query: str, *parameters: Any) -> Any:
                    statements.append(query)
                    return self._connection.execute(query, *parameters)

                def __getattr__(self, name: str) -> Any:
                    return getattr(self._connection, name)

            @contextmanager
            def listening(self: DuckDB, **how: Any) -> Iterator[Any]:
                with workbench(self, **how) as connection:
                    yield Listening(connection)

            with pytest.MonkeyPatch.context() as patched:
                patched.setattr(DuckDB, "_workbench", listening)
                place.land(name, spool, "undisturbed")
            inside = statements.index("COMMIT") - statements.index("BEGIN") + 1
            known[name] = Undisturbed(place.rows(name), made, filled, inside)
        return known[name]

    return of


def resumed(place: Place, name: str, expected: Undisturbed) -> tuple[int, int]:
    """Go on with a reading that was killed; returns how many pages were on disk, and how many requests were made."""
    before = count(place.url)
    spool = place.read(name)
    on_disk, asked = spool.resumed_pages, count(place.url) - before
    place.land(name, spool, "resumed")
    assert place.rows(name) == expected.rows
    return on_disk, asked


# The promises


@pytest.mark.parametrize("name", [name for name in SUBJECTS if name != "aha/products"])
def test_a_reading_killed_anywhere_goes_on_with_the_page_it_has_not_got(
    name: str,
    tmp_path: Path,
    url: str,
    parents: Path,
    killer: Callable[..., None],
    undisturbed: Callable[[str], Undisturbed],
) -> None:
    expected = undisturbed(name)
    draw = random.Random(f"{SEED} {name}")
    places = [
        *(("pages", share) for share in (0.0, draw.uniform(0.01, 0.99), 1.0)),
        *(("index", share) for share in (draw.uniform(0.01, 0.99), 1.0)),
    ]
    assert expected.requests > 5
    for number, (file, share) in enumerate(places):
        place = copied(parents, tmp_path / str(number), url)
        whole = draw.randrange(1, (expected.pages_with_records if file == "pages" else expected.requests) - 1)
        killer(place, name, **{"in": file, "write": whole, "share": share})
        on_disk, asked = resumed(place, name, expected)
        assert on_disk >= 1
        assert on_disk + asked <= expected.requests + 1, (file, share, whole)
        assert asked < expected.requests
        if (file, share) == ("index", 1.0):
            assert (on_disk, asked) == (whole + 1, expected.requests - whole - 1)


@pytest.mark.parametrize("concurrency", [1, 8])
@pytest.mark.parametrize("name", ["aha/features", "drift/messages"])
def test_a_reading_killed_over_and_over_ends_all_the_same(
    name: str,
    concurrency: int,
    tmp_path: Path,
    url: str,
    parents: Path,
    killer: Callable[..., None],
    undisturbed: Callable[[str], Undisturbed],
) -> None:
    expected = undisturbed(name)
    draw = random.Random(f"{SEED} again {name}")
    place = copied(parents, tmp_path / "data", url, concurrency)
    before, kills = count(url), 0
    while kills < 3 or count(url) - before < expected.requests - 4:
        killer(place, name, **{"in": "pages", "write": draw.randrange(0, 3), "share": draw.random()})
        kills += 1
    on_disk, asked = resumed(place, name, expected)
    assert kills > 2
    assert on_disk + asked <= expected.requests + 1
    assert count(url) - before <= expected.requests + kills * ANSWERS_LOST[concurrency]


@pytest.mark.parametrize("name", ["aha/features", "drift/messages"])
def test_a_run_killed_in_its_commit_asks_for_nothing_again(
    name: str,
    tmp_path: Path,
    url: str,
    parents: Path,
    killer: Callable[..., None],
    undisturbed: Callable[[str], Undisturbed],
) -> None:
    expected = undisturbed(name)
    draw = random.Random(f"{SEED} commit {name}")
    inside = sorted(draw.sample(range(1, expected.statements - 1), 2))
    for statement in (0, *inside, expected.statements - 1, expected.statements):
        place = copied(parents, tmp_path / str(statement), url)
        killer(place, name, **{"in": "commit", "statement": statement})
        is_landed = place.landings(SUBJECTS[name]) != {}
        assert is_landed == (statement == expected.statements), statement
        on_disk, asked = resumed(place, name, expected)
        assert (asked, on_disk > 1) == (0, True)


def test_a_run_killed_between_its_commit_and_its_being_noted_asks_for_nothing_again(
    tmp_path: Path,
    url: str,
    parents: Path,
    killer: Callable[..., None],
    undisturbed: Callable[[str], Undisturbed],
) -> None:
    expected = undisturbed("aha/features")
    place = copied(parents, tmp_path / "data", url)
    killer(place, "aha/features", **{"in": "note"})
    assert place.rows("aha/features") == expected.rows
    assert resumed(place, "aha/features", expected)[1] == 0
    assert [each.state for each in kept(place.folder / "spools")] == ["committed"]


READING = """
import signal, sys
from pathlib import Path
from tests.chaos.test_resume import Place

signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever started this may have it ignored
Place(Path(sys.argv[1]), sys.argv[2]).read(sys.argv[3])
"""


def test_ctrl_c_ends_a_reading_at_once_though_its_requests_are_on_their_way(
    tmp_path: Path, url: str, parents: Path, undisturbed: Callable[[str], Undisturbed]
) -> None:
    name, place = "aha/features", copied(parents, tmp_path / "data", url)
    expected, before = undisturbed(name), count(url)
    # How many requests are on their way follows from how long the first ones take.
    late = {"pattern": "GET /aha/*", "kind": "slow", "seconds": 0.1, "times": 5}
    hangs = {"pattern": "GET /aha/*", "kind": "slow", "seconds": 60, "times": 1_000}
    requests.post(f"{url}/_sandbox/faults", json=[late, hangs], timeout=10).raise_for_status()
    try:
        with child(READING, place.folder, url, name, TODAY_OF_THE_TESTS=f"{TODAY}") as process:
            try:
                for _ in range(1200):
                    if count(url) - before >= 5 + 4:
                        break
                    time.sleep(0.05)
                else:
                    raise AssertionError("four requests never were on their way at once")
                process.send_signal(signal.SIGINT)
                assert process.wait(30) != 0
            finally:
                process.kill()
    finally:
        requests.post(f"{url}/_sandbox/faults", json=[], timeout=10).raise_for_status()

    on_disk, asked = resumed(place, name, expected)
    assert (on_disk > 0, on_disk + asked) == (True, expected.requests)


# Through Dagster


MESSAGES = "drift/messages"


@dataclass(frozen=True)
class Project:
    """A folder in which the command is run, with the parents landed."""

    place: Place
    environment: Mapping[str, str]

    def started(self) -> "subprocess.Popen[bytes]":
        """Start the command a user types."""
        partitions = SUBJECTS[MESSAGES].partitions
        command = [sys.executable, "-m", "dagster", "asset", "materialize", "-m", "orchestration.definitions"]
        command += ["--select", MESSAGES, "--partition-range", f"{partitions[0]}...{partitions[-1]}"]
        return subprocess.Popen(
            command, cwd=ROOT, env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def spool(self) -> int:
        """Return how many whole pages of the extraction are on disk."""
        return sum(each.pages for each in kept(self.place.folder / "spools" / "sandbox"))


@pytest.fixture
def project(tmp_path: Path, url: str, parents: Path) -> Project:
    (tmp_path / "data").mkdir()
    shutil.copy(parents / "store.duckdb", tmp_path / "data" / "sandbox.duckdb")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    environment = {
        **{name: os.environ[name] for name in ("PATH", "HOME")},
        "CONNECTOR_MODE": "sandbox",
        "DAGSTER_HOME": str(tmp_path / "home"),
        "DATA_FOLDER": str(tmp_path / "data"),
        "ENABLED_STREAMS": "",
        "PARTITIONS_START": SUBJECTS[MESSAGES].partitions[0],
        "SANDBOX_LIMITS": "0",
        "SANDBOX_URL": url,
    }
    return Project(Place(tmp_path / "data", url, "sandbox.duckdb"), environment)


def killed_when(process: "subprocess.Popen[bytes]", it_is_time: Callable[[], bool]) -> None:
    """Kill a process as soon as it is time."""
    with process:
        try:
            for _ in range(1200):
                if it_is_time():
                    break
                assert process.poll() is None, "the command ended before it could be killed"
                time.sleep(0.05)
            else:
                raise AssertionError("it never was time")
        finally:
            process.kill()
    assert process.returncode == -signal.SIGKILL


def finished(project: Project) -> int:
    """Run the command to its end; returns how many requests it made."""
    before = count(project.place.url)
    with project.started() as process:
        assert process.wait(120) == 0
    return count(project.place.url) - before


def test_a_dagster_run_killed_at_a_page_goes_on_with_the_next(
    project: Project, undisturbed: Callable[[str], Undisturbed]
) -> None:
    expected, url = undisturbed(MESSAGES), project.place.url
    before, whole = count(url), random.Random(f"{SEED} dagster").randrange(3, expected.requests - 3)
    hangs = [{"pattern": "GET /drift/*", "kind": "slow", "seconds": 30, "skip": whole, "times": 1000}]
    requests.post(f"{url}/_sandbox/faults", json=hangs, timeout=10).raise_for_status()
    try:
        killed_when(project.started(), lambda: count(url) - before > whole and project.spool() > 0)
    finally:
        requests.post(f"{url}/_sandbox/faults", json=[], timeout=10).raise_for_status()
    on_disk = project.spool()
    assert 0 < on_disk <= whole  # those are missing whose turn had not come
    assert finished(project) == expected.requests - on_disk
    assert project.place.rows(MESSAGES) == expected.rows


def test_a_dagster_run_killed_while_it_waits_to_commit_asks_for_nothing_again(
    project: Project, undisturbed: Callable[[str], Undisturbed]
) -> None:
    expected = undisturbed(MESSAGES)

    def is_landing() -> bool:
        return any(each.landed_by for each in kept(project.place.folder / "spools" / "sandbox"))

    with project.place.store.locked(shared=True):  # as a reader: the run may read, and not commit
        killed_when(project.started(), is_landing)
    assert project.place.landings(SUBJECTS[MESSAGES]) == {}
    assert finished(project) == 0
    assert project.place.rows(MESSAGES) == expected.rows
