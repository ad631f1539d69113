"""A commit under fire: whatever dies or fails in it, the old partition is there or the new one, and all agrees."""

import functools
import os
import random
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from connector_resources.destinations.duckdb_tables import TYPES
from connector_resources.errors import DestinationUnwritable, SchemaConflict
from connector_resources.streams import ColumnType, Window
from tests.chaos.committing import (
    FEW,
    ROWS,
    SEED,
    VERSIONS,
    Forks,
    known_contents,
    land_version,
    read,
    read_anew,
    records,
    seconds_of_statements,
    spool_key,
    spool_versions,
    watched,
)
from tests.destinations.things import destination, land
from tests.landing import child, close_spools, daily, opened, page, said, window


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    close_spools()


Known = dict[str, list[tuple[Any, ...]]]


@pytest.fixture(scope="module")
def known_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Known]:
    """What is stored where a version of so many rows has been landed and nothing has disturbed it."""

    @functools.cache
    def known(rows: int) -> Known:
        return known_contents(tmp_path_factory.mktemp("undisturbed"), rows)

    return known


StartForks = Callable[[str], Forks]


@pytest.fixture
def forks() -> Iterator[StartForks]:
    """Runs a code in processes that end with the test, however it ends."""
    with ExitStack() as started:
        yield lambda code: started.enter_context(Forks(code))


def other(version: str) -> str:
    return VERSIONS[1 - VERSIONS.index(version)]


# -- processes that die -----------------------------------------------------------------------------------------------

DIE = """
import os, signal, sys
from pathlib import Path
from tests.chaos.committing import land_version, watch
folder, version, run_id, number = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])

def tell(at, statement):
    if at == number:
        print(os.getpid(), flush=True)

watch(tell)
land_version(folder, version, run_id)
tell(number if number < 0 else -1, "")
signal.pause()
"""
DIE_AFTER = -1


def moments(durations: list[float], count: int, chance: random.Random) -> list[tuple[int, float]]:
    """Where to kill: in which statement, and how many seconds after it has begun; spread over the whole commit.

    Half are spread evenly over the time a commit takes, half over its statements, for most of them are short.
    """
    found = [(DIE_AFTER, 0.0)]
    for number in range(count // 2):
        left = sum(durations) * (number + chance.random()) / (count // 2)
        statement = 0
        while left > durations[statement]:
            left -= durations[statement]
            statement += 1
        found.append((statement, left))
    for number in range(count - len(found)):
        statement = number * len(durations) // (count - count // 2 - 1)
        found.append((statement, durations[statement] * chance.random()))
    return chance.sample(found, len(found))


def test_twelve_kills_inside_a_commit_leave_the_old_partitions_or_the_new_ones(
    folder: Path, forks: StartForks, known_of: Callable[[int], Known]
) -> None:
    known = known_of(ROWS)
    spool_versions(folder / "spools")
    land_version(folder, "old", "run")
    land_version(folder, "B", "run 0")
    durations = seconds_of_statements(lambda: land_version(folder, "A", "run 1"))
    there, run, outcomes = "A", "run 1", set()
    processes = forks(DIE)
    for number, (statement, seconds) in enumerate(moments(durations, 12, random.Random(SEED)), start=2):
        new = other(there)
        processes.start(folder, new, f"run {number}", statement)
        process = int(processes.line())
        time.sleep(seconds)
        os.kill(process, signal.SIGKILL)
        assert processes.ended() == (-signal.SIGKILL, "")
        found, runs, wrong = read(folder)  # which opens the file, and so its log, as another process would
        assert found in (known[there], known[new]), (statement, seconds)
        outcome = "new" if found == known[new] else "old"
        assert (runs, wrong) == ([f"run {number}" if outcome == "new" else run], []), (statement, seconds)
        outcomes.add(outcome)
        if statement == DIE_AFTER:
            assert outcome == "new"
        if outcome == "new":
            there, run = new, runs[0]
    assert outcomes == {"old", "new"}
    land_version(folder, other(there), "last")
    assert read_anew(folder) == (known[other(there)], ["last"], [])


# -- writes that fail -------------------------------------------------------------------------------------------------

NO_SPACE = duckdb.IOException("IO Error: Could not write to file: No space left on device")
FATAL = duckdb.FatalException("FATAL Error: Failed: database has been invalidated because of a previous fatal error")
ERRORS: tuple[tuple[BaseException, bool], ...] = ((NO_SPACE, False), (FATAL, True), (KeyboardInterrupt(), False))
"""And whether each statement from then on fails with it too."""


@pytest.mark.parametrize(
    "only_one_each", [True, pytest.param(False, marks=pytest.mark.soak)], ids=["one of each", "all of each"]
)
def test_an_error_at_any_statement_of_a_commit_leaves_the_old_partitions_or_the_new_ones(
    folder: Path, monkeypatch: pytest.MonkeyPatch, known_of: Callable[[int], Known], only_one_each: bool
) -> None:
    """From the commit on, each statement meets each kind of error; before it, they take turns."""
    known = known_of(FEW)
    spool_versions(folder / "spools", FEW)
    land_version(folder, "old", "run")
    land_version(folder, "B", "run")
    statements: list[str] = []
    connect = duckdb.connect
    with monkeypatch.context() as patched:
        patched.setattr(duckdb, "connect", watched(connect, lambda _, statement: statements.append(statement)))
        land_version(folder, "A", "run")
    committed = len(statements) - 1 - statements[::-1].index("COMMIT")
    there, run = "A", "run"
    for failing in range(len(statements)):
        for number, (error, stays) in enumerate(ERRORS):
            if only_one_each and failing < committed and failing % len(ERRORS) != number:
                continue

            def fail(
                at: int, _: str, failing: int = failing, error: BaseException = error, stays: bool = stays
            ) -> None:
                if at == failing or (stays and at > failing):
                    raise error

            new = other(there)
            told: BaseException | None = None
            with monkeypatch.context() as patched:
                patched.setattr(duckdb, "connect", watched(connect, fail))
                try:
                    land_version(folder, new, f"run {failing} {number}")
                except (DestinationUnwritable, KeyboardInterrupt) as caught:
                    told = caught
            if failing > committed:
                there, run = new, f"run {failing} {number}"
            assert (told is None) == (failing > committed and isinstance(error, duckdb.Error))
            assert read(folder) == (known[there], [run], []), (statements[failing], error)
    land_version(folder, other(there), "last")
    assert read_anew(folder) == (known[other(there)], ["last"], [])


FILL = """
import resource, sys
from pathlib import Path
from connector_resources.destinations.duckdb_tables import TYPES
from connector_resources.errors import DestinationUnwritable, SchemaConflict
from connector_resources.streams import ColumnType, Window
from tests.chaos.committing import land_version, watch
folder, version, run_id, largest, memory = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5]

def fill(at=0, _=""):
    if at == 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, resource.RLIM_INFINITY))

watch(fill) if memory == "192MB" else fill()
try:
    land_version(folder, version, run_id, memory_limit=memory)
except DestinationUnwritable as error:
    print(error)
"""


def test_twelve_disks_that_are_full_at_a_commit_leave_the_old_partitions_or_the_new_ones(
    folder: Path, forks: StartForks, known_of: Callable[[int], Known]
) -> None:
    """No file may grow beyond a limit: the log where it is low, the database where it is high."""
    rows = 4000
    known = known_of(rows)
    spool_versions(folder / "spools", rows)
    land_version(folder, "old", "run")
    land_version(folder, "A", "run 0")
    size = (folder / "store.duckdb").stat().st_size
    chance = random.Random(SEED)
    there, run, refused = "A", "run 0", 0
    processes = forks(FILL)
    for number in range(1, 13):
        new = other(there)
        largest = int(size * (2 ** chance.uniform(-10, -1) if number % 4 else chance.uniform(0.5, 2)))
        processes.start(folder, new, f"run {number}", largest, "192MB")
        status, told = processes.ended()
        assert status == 0, told
        found, runs, wrong = read(folder)
        assert "cannot be opened or written (no space left)" in told or not told
        assert found == known[there if told else new], (largest, told)
        if told:
            refused += 1
        else:
            there, run = new, f"run {number}"
        assert (runs, wrong) == ([run], []), (largest, told)
    assert 6 <= refused < 12
    land_version(folder, other(there), "last")
    assert read_anew(folder) == (known[other(there)], ["last"], [])


def test_a_disk_that_is_full_before_the_commit_leaves_the_old_partitions(
    folder: Path, known_of: Callable[[int], Known]
) -> None:
    """What does not fit in memory goes to disk before the database is touched."""
    known = known_of(ROWS)
    spool_versions(folder / "spools")
    land_version(folder, "old", "run")
    land_version(folder, "A", "run")
    for largest, memory in ((10_000, "191MB"), (4_000_000, "24MB")):
        told = said(child(FILL, folder, "B", "failed", largest, memory))
        assert told.endswith("; the tables are as they were, and what was read is kept."), told
        assert read_anew(folder) == (known["A"], ["run"], [])
    land_version(folder, "B", "last")
    assert read_anew(folder) == (known["B"], ["last"], [])


SPOOL = """
import resource, sys
from pathlib import Path
from connector_resources.destinations.duckdb_tables import TYPES
from connector_resources.errors import DestinationUnwritable, SchemaConflict
from connector_resources.streams import ColumnType, Window
from connector_resources.spool import open_spool
from tests.chaos.committing import records, spool_key
from tests.landing import page
spool = open_spool(Path(sys.argv[1]) / "spools", spool_key("B"))
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
pages = records("B", 4000)
try:
    with spool.writing() as writer:
        while True:
            start = 100 * len(spool.marks)
            writer.append(page(*pages[start:start + 100], token="more"))
except DestinationUnwritable as error:
    print(len(spool.marks), error)
"""


def test_a_disk_that_fills_up_while_spooling_keeps_whole_pages_for_the_next_run(
    folder: Path, known_of: Callable[[int], Known]
) -> None:
    rows = 4000
    known = known_of(rows)
    spool_versions(folder / "old", rows)
    land_version(folder, "old", "run", folder / "old")
    land_version(folder, "A", "run", folder / "old")
    kept = 0
    for largest in (1_000, 50_000, 123_456, 300_000):
        pages, _, told = said(child(SPOOL, folder, largest)).partition(" ")
        assert told.startswith("The spool ")
        assert told.endswith("; the tables are as they were, and what was read is kept.")
        assert read_anew(folder) == (known["A"], ["run"], [])
        assert int(pages) >= kept
        kept = int(pages)
    assert kept > 5
    spool = opened(folder / "spools", spool_key("B"))
    assert spool.resumed_pages == kept
    with spool.writing() as writer:
        writer.append(page(*records("B", rows)[100 * kept :]))
        writer.finish()
    spool.close()
    land_version(folder, "B", "last")
    assert read_anew(folder) == (known["B"], ["last"], [])


# -- declarations that change -----------------------------------------------------------------------------------------

_TEXTS = st.sampled_from(["", "a", "1", "2.50", "true", "null", "2026-03-01", "[1]", "ä 😀"])
VALUES: dict[ColumnType, st.SearchStrategy[Any]] = {
    "string": _TEXTS,
    "integer": st.integers(-(2**63), 2**63 - 1) | st.integers(-9, 9),
    "number": st.floats(allow_nan=False, allow_infinity=False) | st.integers(-9, 9).map(float),
    "decimal": st.decimals("-1e20", "1e20", places=9).map(str) | st.integers(-9, 9).map(str),
    "boolean": st.booleans(),
    "timestamp": st.datetimes().map(lambda instant: instant.isoformat() + "Z"),
    "epoch_ms": st.integers(-62_135_596_800_000, 253_402_300_799_999),
    "date": st.dates().map(str),
    "json": st.recursive(st.integers(-9, 9) | _TEXTS, lambda inner: st.lists(inner, max_size=3), max_leaves=5),
}


@st.composite
def declared(draw: st.DrawFn) -> tuple[ColumnType, list[Any]]:
    """A type, and values of it, some of them missing."""
    kind = draw(st.sampled_from(sorted(VALUES)))
    return kind, draw(st.lists(st.none() | VALUES[kind], min_size=1, max_size=4))


@pytest.mark.parametrize("examples", [10, pytest.param(200, marks=pytest.mark.soak)])
def test_values_survive_a_change_of_their_declaration_or_the_table_stays_as_it_was(examples: int) -> None:
    """Under the type that is stored now, each value of either declaration is what it was under its own."""

    @settings(max_examples=examples, deadline=None, derandomize=True)
    @given(declared(), declared())
    @example(("integer", [2**53 + 1]), ("number", [0.5]))
    @example(("number", [0.5]), ("integer", [2**53 + 1]))
    def check(first: tuple[ColumnType, list[Any]], second: tuple[ColumnType, list[Any]]) -> None:
        values_survive(first, second)

    check()


def values_survive(first: tuple[ColumnType, list[Any]], second: tuple[ColumnType, list[Any]]) -> None:

    def write(folder: Path, which: int, day: Window) -> None:
        kind, values = (first, second)[which]
        rows = [{"id": f"{which}{n}", "at": day.start.isoformat(), "v": value} for n, value in enumerate(values)]
        land(destination(folder), *rows, stream=daily(v=kind), window=day)

    def stored(folder: Path, columns: str = "v") -> list[tuple[Any, ...]]:
        return destination(folder).query(f"SELECT id, {columns} FROM source.things ORDER BY id")

    with tempfile.TemporaryDirectory() as name:
        both, alone = Path(name) / "both", Path(name) / "alone"
        write(both, 0, window("2026-03-01"))
        before = destination(both).query("SELECT * FROM source.things"), destination(both).query("SELECT * FROM _state")
        rows = stored(both)
        write(alone, 1, window("2026-03-02"))
        try:
            write(both, 1, window("2026-03-02"))
        except SchemaConflict:
            after = (
                destination(both).query("SELECT * FROM source.things"),
                destination(both).query("SELECT * FROM _state"),
            )
            assert after == before
            return
        assert stored(both, f"TRY_CAST(v AS {TYPES[first[0]]})")[: len(rows)] == rows
        assert stored(both, f"TRY_CAST(v AS {TYPES[second[0]]})")[len(rows) :] == stored(alone)
