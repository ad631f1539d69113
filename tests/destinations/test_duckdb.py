"""What is DuckDB's own: one process at a time, its log, its file, its memory."""

import os
import shutil
import sqlite3
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest

from connector_resources.destinations import duckdb_workbench
from connector_resources.destinations.duckdb import DuckDB
from connector_resources.errors import (
    ConfigurationError,
    ConnectorError,
    DestinationBusy,
    DestinationUnwritable,
    MalformedPage,
    SchemaConflict,
    TableTaken,
)
from connector_resources.streams import Slice
from tests.destinations.things import MARCH_1, THINGS, destination, land, numbers, thing
from tests.landing import child, close_spools, daily, page, said, snapshot, spooled, window


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DuckDB]:
    yield destination(tmp_path)
    close_spools()


@contextmanager
def running(process: "subprocess.Popen[str]") -> Iterator["subprocess.Popen[str]"]:
    """A child process that has said that it is ready, ended with the block."""
    assert process.stdout is not None
    with process:
        try:
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


CHILD = """
import logging, os, signal, sys, threading
from pathlib import Path
import duckdb
from connector_resources.destinations import duckdb as module, duckdb_batch
from tests.destinations.things import MARCH_1, THINGS, destination, land, numbers, thing
from tests.landing import daily, key, window

folder = Path(sys.argv[1])
store = destination(folder)
"""


LAND_SPOOLED = """
    from connector_resources.spool import open_spool
    from connector_resources.streams import Slice
    spool = open_spool(folder / "spools", key(THINGS, Slice(MARCH_1)))
    store.land("source", THINGS, spool, partitions=["2026-03-01"], window=MARCH_1, run_id="run")
"""


# -- processes that die -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dies_in", "numbers_after"),
    [
        ("duckdb_batch.make_table", [1, 2]),
        ("duckdb_batch.CurrentRows.mark", [1, 2]),
        ("duckdb_batch.make_state", [1, 2]),
        ("duckdb_batch.write_state", [1, 2]),
        ("module._detach", [3, 4]),
    ],
)
def test_a_process_killed_in_the_middle_of_a_commit_has_committed_all_or_nothing(
    store: DuckDB, tmp_path: Path, dies_in: str, numbers_after: list[int]
) -> None:
    land(store, thing(1), thing(2))
    code = f"""{CHILD}
def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)
{dies_in} = die
land(store, thing(3), thing(4))
"""
    said(child(code, tmp_path), returncode=-9)
    assert numbers(store) == numbers_after
    assert [n for (n,) in store.query("SELECT n FROM source.things_current ORDER BY n")] == numbers_after
    assert store.query("SELECT rows FROM _state") == [(2,)]
    land(store, thing(5))
    assert numbers(store) == [5]


def test_a_full_disk_at_the_commit_is_named_and_the_table_is_as_it_was(store: DuckDB, tmp_path: Path) -> None:
    land(store, thing(1), thing(2))
    code = f"""{CHILD}
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, resource.RLIM_INFINITY))
try:{LAND_SPOOLED}
except Exception as error:
    print(type(error).__name__, error)
"""
    spooled(tmp_path / "spools", THINGS, [page(*map(thing, range(1000)))], Slice(MARCH_1)).close()
    assert said(child(code, tmp_path)) == (
        f"DestinationUnwritable {tmp_path}/store.duckdb cannot be opened or written (no space left). Make room, or set "
        "a folder that can be written; the tables are as they were, and what was read is kept."
    )
    assert numbers(store) == [1, 2]
    assert store.query("SELECT rows FROM _state") == [(2,)]


def test_a_disk_that_fills_up_after_the_commit_loses_nothing(store: DuckDB, tmp_path: Path) -> None:
    land(store, thing(1), thing(2))
    spooled(tmp_path / "spools", THINGS, [page(*map(thing, range(1000)))], Slice(MARCH_1)).close()
    code = f"""{CHILD}
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
logging.basicConfig(format="%(levelname)s %(message)s", stream=sys.stdout)
if True:{LAND_SPOOLED}
"""
    told = said(child(code, tmp_path))
    assert told.startswith(
        f"WARNING {tmp_path}/store.duckdb: committed, but the file could not be brought up to date: "
    )
    assert numbers(store) == list(range(1000))


# -- other processes, and other connections of this one ---------------------------------------------------------------

HOLD = """
import sys, duckdb
connection = duckdb.connect(sys.argv[1], read_only=len(sys.argv) > 2)
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("read_only", [(), ("read only",)])
def test_a_foreign_process_that_holds_the_file_is_named_after_waiting(
    store: DuckDB, tmp_path: Path, read_only: tuple[str, ...]
) -> None:
    land(store, thing(1))
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        time.sleep(0.01)

    impatient = replace(store, lock_timeout_seconds=0.05, sleep=wait)
    with running(child(HOLD, store.path, *read_only)) as process:
        with pytest.raises(DestinationBusy) as told:
            land(impatient, thing(2))
        assert f"(PID {process.pid})" in str(told.value)
    assert str(told.value).startswith(f"{store.path} was held for 0.05 s (")
    assert str(told.value).endswith(
        "Close what has it open and run again; what was read is kept and not asked for again."
    )
    assert waits
    assert numbers(store) == [1]


def test_a_foreign_process_that_lets_the_file_go_is_waited_for(store: DuckDB) -> None:
    land(store, thing(1))
    with running(child(HOLD, store.path)) as process:

        def release(_: float) -> None:
            process.kill()
            process.wait()

        land(replace(store, sleep=release), thing(2))
    assert numbers(store) == [2]


def test_a_process_of_ours_that_holds_the_lock_is_waited_for_and_named(store: DuckDB, tmp_path: Path) -> None:
    land(store, thing(1))
    code = f"""{CHILD}
with store.locked(shared=False):
    print("ready", flush=True)
    sys.stdin.read()
"""
    with running(child(code, tmp_path)) as process:
        with pytest.raises(DestinationBusy) as told:
            land(replace(store, lock_timeout_seconds=0.02), thing(2))
        with pytest.raises(DestinationBusy):
            numbers(replace(store, lock_timeout_seconds=0.02))

        def release(_: float) -> None:
            process.kill()
            process.wait()

        assert numbers(replace(store, sleep=release)) == [1]
    assert str(told.value).startswith(
        f"{store.path} was held for 0.02 s (another process of this project holds its lock)."
    )


@pytest.mark.parametrize("holds", ["the lock", "the file"])
def test_waiting_is_told_after_five_seconds_and_then_every_thirty(
    store: DuckDB, caplog: pytest.LogCaptureFixture, holds: str
) -> None:
    land(store, thing(1))
    now = [0.0]

    def wait(_: float) -> None:
        now[0] += 1

    waiting = replace(store, lock_timeout_seconds=70, sleep=wait, clock=lambda: now[0])
    held = store.locked(shared=False) if holds == "the lock" else duckdb.connect(str(store.path))
    holder = {
        "the lock": "another process of this project holds its lock",
        "the file": f"another connection of this process, PID {os.getpid()}",
    }[holds]
    with held, pytest.raises(DestinationBusy):
        numbers(waiting)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        (
            "WARNING",
            f"{store.path} has been held for {seconds} s ({holder}); waiting up to 70 s. Close what has it open.",
        )
        for seconds in (5, 35, 65)
    ]


def test_readers_of_ours_do_not_wait_for_each_other(store: DuckDB, tmp_path: Path) -> None:
    land(store, thing(1))
    code = f"""{CHILD}
with store._workbench() as connection, store._attached(connection, read_only=True):
    print("ready", flush=True)
    sys.stdin.read()
"""
    with running(child(code, tmp_path)):
        assert numbers(replace(store, lock_timeout_seconds=0, sleep=_never)) == [1]


def test_readers_that_come_while_a_writer_waits_let_it_go_first(store: DuckDB) -> None:
    land(store, thing(1))
    with ExitStack() as first_reader:
        first_reader.enter_context(store.locked(shared=True))

        def wait(_: float) -> None:
            with pytest.raises(DestinationBusy):
                numbers(replace(store, lock_timeout_seconds=0.02))
            first_reader.close()

        land(replace(store, sleep=wait), thing(2))
    assert numbers(store) == [2]


def _never(_: float) -> None:
    raise AssertionError("nobody has to wait")


def test_a_connection_of_this_process_is_waited_for_and_named(store: DuckDB) -> None:
    land(store, thing(1))
    with duckdb.connect(str(store.path)) as connection:
        for read_or_write in (numbers, lambda store: land(store, thing(2))):
            with pytest.raises(DestinationBusy) as told:
                read_or_write(replace(store, lock_timeout_seconds=0.02))
            assert f"(another connection of this process, PID {os.getpid()})" in str(told.value)
        land(replace(store, sleep=lambda _: connection.close()), thing(3))
    assert numbers(store) == [3]


def test_threads_read_and_write_at_the_same_time(store: DuckDB) -> None:
    land(store, thing(0), stream=snapshot(id="string"), window=None)

    def work(number: int) -> int:
        day = window(f"2026-03-{number + 1:02}")
        land(store, thing(number, day=number + 1), stream=daily(f"t{number}", n="integer"), window=day)
        return int(store.query(f"SELECT n FROM source.t{number}")[0][0])

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(work, range(8))) == list(range(8))


COMMIT = f"""{CHILD}
process = int(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
for number in range(5):
    day = 1 + process * 3 + number % 3
    records = [thing(1000 * process + 10 * number + n, day) for n in range(10)]
    land(destination(folder, lock_timeout_seconds=60), *records, window=window(f"2026-03-{{day:02}}"))
"""


def test_four_processes_commit_at_once_while_others_read(store: DuckDB, tmp_path: Path) -> None:
    land(store, window=window("2026-03-31"))
    patient = replace(store, lock_timeout_seconds=60)
    processes = [child(COMMIT, tmp_path, n) for n in range(4)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "ready\n"
        process.stdin.write("go\n")
        process.stdin.flush()
    seen = []
    while any(process.poll() is None for process in processes):
        seen.append(patient.query("SELECT _partition, count(*), max(n) - min(n) FROM source.things GROUP BY ALL"))
        time.sleep(0.02)
    for process in processes:
        said(process)
    assert all((rows, spread) == (10, 9) for each in seen for _, rows, spread in each)
    # The days a process wrote twice hold what it wrote last: of 0 to 4, numbers 3 and 4 replaced 0 and 1.
    assert numbers(store) == [
        1000 * process + 10 * number + n for process in range(4) for number in (2, 3, 4) for n in range(10)
    ]
    assert store.query("SELECT count(*), sum(rows) FROM _state") == [(13, 120)]


def test_the_state_says_what_became_of_the_records_of_the_last_landing(store: DuckDB) -> None:
    columns = "partition, rows, rows_added, rows_removed, counted, received, left_out, duplicates, quarantined"
    both = window("2026-03-01", "2026-03-03")
    land(store, thing(1), thing(1), thing(2, 2), thing(3, 3), thing(4) | {"n": "x"}, *map(thing, range(10, 20)),
         window=both)  # fmt: skip
    assert store.query(f"SELECT {columns} FROM _state ORDER BY ALL") == [
        ("2026-03-01", 11, 11, 0, None, 15, 1, 1, 1),
        ("2026-03-02", 1, 1, 0, None, 15, 1, 1, 1),
    ]
    land(store, thing(1), thing(5), window=MARCH_1)
    assert store.query(f"SELECT {columns} FROM _state ORDER BY ALL") == [
        ("2026-03-01", 2, 1, 10, None, 2, 0, 0, 0),
        ("2026-03-02", 1, 1, 0, None, 15, 1, 1, 1),
    ]


def test_a_record_that_is_in_no_day_any_more_has_vanished_unless_it_was_deleted(store: DuckDB) -> None:
    land(store, *map(thing, range(5)), window=MARCH_1)
    land(store, thing(1, 2), window=window("2026-03-02"))
    with duckdb.connect(str(store.path)) as connection:
        connection.execute("CREATE TABLE source.things_deleted AS SELECT '2' AS id, now() AS _deleted_at, "
                           "'' AS _reason, '' AS _found_in, '' AS _run_id")  # fmt: skip
    land(store, thing(0), window=MARCH_1)  # 1 is in the other day, 2 was deleted
    assert store.query("SELECT partition, rows_removed, vanished FROM _state ORDER BY ALL") == [
        ("2026-03-01", 4, 2),
        ("2026-03-02", 0, 0),
    ]
    land(store, thing(0), thing(5), window=MARCH_1)
    assert store.query("SELECT vanished FROM _state") == [(0,), (0,)]


def test_a_state_of_before_landings_were_counted_is_kept_and_gets_the_columns(store: DuckDB) -> None:
    land(store, thing(1))
    columns = ("rows_added", "rows_removed", "counted", "received", "left_out", "duplicates", "quarantined", "vanished")
    with duckdb.connect(str(store.path)) as connection:
        for column in columns:
            connection.execute(f"ALTER TABLE _state DROP COLUMN {column}")
    land(store, thing(2, 2), window=window("2026-03-02"))
    assert store.query("SELECT partition, rows, rows_added, received FROM _state ORDER BY ALL") == [
        ("2026-03-01", 1, None, None),
        ("2026-03-02", 1, 1, 1),
    ]


# -- the file ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["store.duckdb", "renamed [1].db"])
def test_tables_and_views_can_be_read_without_us(store: DuckDB, tmp_path: Path, name: str) -> None:
    land(store, thing(1), thing(2))
    land(store, thing(3, 2), stream=daily(n="integer", j="json"), window=window("2026-03-02"))
    copy = tmp_path / name
    if copy != store.path:
        shutil.copy(store.path, copy)
    with duckdb.connect(str(copy), read_only=True) as connection:
        assert connection.execute("SELECT n FROM source.things ORDER BY n").fetchall() == [(1,), (2,), (3,)]
        assert connection.execute("SELECT n FROM source.things_current ORDER BY n").fetchall() == [(1,), (2,), (3,)]
        assert connection.execute("SELECT count(*) FROM _state").fetchall() == [(2,)]
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{copy}' AS other (READ_ONLY)")
        assert connection.execute("SELECT count(*) FROM other.source.things_current").fetchall() == [(3,)]


def test_a_file_can_be_read_by_every_version_we_support(store: DuckDB) -> None:
    land(store, thing(1))
    version = int.from_bytes(store.path.read_bytes()[12:20], "little")
    assert 64 <= version <= 68  # 68 is what 1.5 can still read; 2.0 by itself writes 69


@pytest.mark.parametrize("folder", ["a*", "a[b]", "it's", "_page=3", "ä 😀"])
def test_paths_are_only_paths(tmp_path: Path, folder: str) -> None:
    for name in (folder, "axb", "ab"):
        (tmp_path / name).mkdir(parents=True)
        land(destination(tmp_path / name), thing(len(name)))
    assert numbers(destination(tmp_path / folder)) == [len(folder)]
    beside = spooled(tmp_path / "ab" / "spools", THINGS, [page(thing(99))], Slice(MARCH_1))
    ours = spooled(tmp_path / folder / "spools", THINGS, [page(thing(7))], Slice(MARCH_1))
    assert beside.folder.name == ours.folder.name
    landed = destination(tmp_path / folder).land(
        "source", THINGS, ours, partitions=["2026-03-01"], window=MARCH_1, run_id="run"
    )
    close_spools()
    rows = destination(tmp_path / folder).query("SELECT n, _page FROM source.things")
    assert (landed.rows, rows) == (1, [(7, 0)])


def unreachable(folder: Path) -> tuple[Path, str]:
    (folder / "file").touch()
    return folder / "file" / "store.duckdb", "[Errno 17] File exists: '"


def test_a_path_that_cannot_be_a_database_is_named(tmp_path: Path) -> None:
    path, reason = unreachable(tmp_path)
    with pytest.raises(DestinationUnwritable) as told:
        land(DuckDB(path, tmp_path / "temporary"), thing(1))
    close_spools()
    assert str(told.value).startswith(f"{path} cannot be opened or written ({reason}")
    assert str(told.value).endswith(
        "). Make room, or set a folder that can be written; the tables are as they were, and what was read is kept."
    )


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def no_database(path: Path) -> None:
    path.write_bytes(b"something else" * 1000)


def of_sqlite(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE things (id)")


def overwritten(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096:12288] = b"x" * 8192  # both headers
    path.write_bytes(content)


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:6000])


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (a_folder, " is a folder and no DuckDB database. "),
        (no_database, " is no DuckDB database. "),
        (of_sqlite, " is no DuckDB database. "),
        (overwritten, " is a damaged DuckDB database ("),  # and why, in the words of the DuckDB at hand
        (cut_off, " is a damaged DuckDB database ("),
    ],
)
def test_what_is_no_database_is_told_to_be_moved_away(store: DuckDB, spoil: Callable[[Path], None], what: str) -> None:
    land(store, thing(1))
    spoil(store.path)
    for read_or_write in (numbers, lambda store: land(store, thing(2))):
        with pytest.raises(DestinationUnwritable) as told:
            read_or_write(store)
        assert str(told.value).startswith(f"{store.path}{what}")
        assert str(told.value).endswith(
            ". Move it away, so that a new one is made, or restore a copy of the database; what was read is kept."
        )


@pytest.mark.parametrize("read_only", ["file", "folder"])
def test_a_file_or_folder_that_is_read_only_is_named_and_stays(read_only: str) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        store = destination(folder)
        land(store, thing(1))
        content = store.path.read_bytes()
        for each in (folder, folder / "temporary", Path(f"{store.path}.lock"), Path(f"{store.path}.turn")):
            each.chmod(0o777)
        if read_only == "file":
            store.path.chmod(0o444)
        else:
            Path(f"{store.path}.lock").unlink()
            folder.chmod(0o555)
        spools = Path(tempfile.mkdtemp(dir=folder.parent))
        spools.chmod(0o777)
        code = f"""{CHILD}
import duckdb, pandas  # what is imported late may not be readable by another user
if os.getuid() == 0:
    os.setuid(65534)
try:
    spools = Path(sys.argv[2])
    land(module.DuckDB(folder / "store.duckdb", spools / "temporary"), thing(2))
except Exception as error:
    print(type(error).__name__, error)
"""
        told = said(child(code, folder, spools))
        assert told.startswith(f"DestinationUnwritable {store.path} cannot be opened or written (")
        assert "ermission denied" in told
        assert store.path.read_bytes() == content
    finally:
        folder.chmod(0o777)
        shutil.rmtree(folder)
        shutil.rmtree(spools)
        close_spools()


def test_the_log_of_a_process_that_died_is_read(store: DuckDB, tmp_path: Path) -> None:
    land(store, thing(1))
    code = f"""{CHILD}
module._detach = lambda connection: os.kill(os.getpid(), signal.SIGKILL)
land(store, thing(2))
"""
    said(child(code, tmp_path), returncode=-9)
    assert Path(f"{store.path}.wal").stat().st_size > 0
    assert numbers(store) == [2]
    assert Path(f"{store.path}.wal").exists()  # a reader does not write


# -- tables that are not as we left them ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "meddling",
    [
        "DROP VIEW source.things_current; CREATE TABLE source.things_current AS FROM source.things",
        "ALTER TABLE source.things ADD COLUMN mine INTEGER; ALTER TABLE source.things ALTER COLUMN mine SET NOT NULL",
        "DROP TABLE _state; CREATE TABLE _state (partition VARCHAR)",
    ],
)
def test_a_statement_that_fails_in_the_middle_leaves_everything_as_it_was(store: DuckDB, meddling: str) -> None:
    tolerant = replace(store, max_quarantined_share=1.0)
    land(store, thing(1), thing(2))
    with duckdb.connect(str(store.path)) as connection:
        if "NOT NULL" in meddling:
            connection.execute("DELETE FROM source.things")
        connection.execute(meddling)
        rows = connection.execute("SELECT * FROM source.things ORDER BY ALL").fetchall()
        state = connection.execute("SELECT * FROM _state ORDER BY ALL").fetchall()
    with pytest.raises(SchemaConflict) as told:
        land(
            tolerant,
            thing(3),
            {"id": "4", "at": "2026-03-01T10:00:00Z", "n": "x"},
            stream=daily(n="integer", new="string"),
        )
    assert str(told.value).startswith("source.things 2026-03-01: ")
    assert store.query("SELECT * FROM source.things ORDER BY ALL") == rows
    assert store.query("SELECT * FROM _state ORDER BY ALL") == state


@pytest.mark.parametrize(
    ("meddling", "table", "whose"),
    [
        ("CREATE TABLE source.things (_airbyte_raw_id VARCHAR, id VARCHAR)", "things", "of Airbyte or PyAirbyte"),
        ("CREATE TABLE source.things (id VARCHAR, _dlt_id VARCHAR)", "things", "of dlt"),
        ("CREATE TABLE source.things (id VARCHAR)", "things", "of another program, or made by hand"),
        ("CREATE VIEW source.things AS SELECT 1 AS id", "things", "of another program, or made by hand"),
        ("CREATE TABLE source.things_quarantine (id INTEGER)", "things_quarantine", "of another program"),
        ("CREATE VIEW source.things_current AS SELECT 1 AS id", "things_current", "of another program"),
        ("CREATE TABLE source.things_deleted (id VARCHAR)", "things_deleted", "of another program"),
    ],
)
@pytest.mark.parametrize("kind", ["day", "snapshot"])
def test_a_table_of_another_program_is_not_landed_into(
    store: DuckDB, meddling: str, table: str, whose: str, kind: str
) -> None:
    if table != "things":
        land(store, thing(1), stream=daily(n="integer"))
    store.path.parent.mkdir(parents=True, exist_ok=True)
    with duckdb.connect(str(store.path)) as connection:
        connection.execute("CREATE SCHEMA IF NOT EXISTS source;" + meddling.replace("CREATE ", "CREATE OR REPLACE "))
        before = everything(connection)
    stream = snapshot("things", id="string", n="integer") if kind == "snapshot" else daily(n="integer")
    with pytest.raises(
        TableTaken, match=rf"^source\.{table} in .*{store.path.name} is there already .*{whose}.*_prefix"
    ):
        land(store, thing(1), stream=stream, window=None if kind == "snapshot" else window("2026-03-01"))
    with duckdb.connect(str(store.path)) as connection:
        assert everything(connection) == before


def test_a_frame_does_not_take_the_place_of_another_programs_table(store: DuckDB) -> None:
    frame = pd.DataFrame({"n": [1]})
    store.path.parent.mkdir(parents=True, exist_ok=True)
    with duckdb.connect(str(store.path)) as connection:
        connection.execute("CREATE SCHEMA frames; CREATE TABLE frames.per_day AS SELECT 5 AS n")
    with pytest.raises(TableTaken, match=r"^frames\.per_day in .* made by hand \(columns: n\)"):
        store.write_frame("frames", "per_day", frame, partitions=["all"], run_id="run")
    assert store.query("FROM frames.per_day") == [(5,)]


def test_a_table_of_ours_whose_state_is_gone_is_landed_into(store: DuckDB) -> None:
    land(store, thing(1))
    with duckdb.connect(str(store.path)) as connection:
        connection.execute("DROP TABLE _state; ALTER TABLE source.things DROP COLUMN _extra")
    land(store, thing(2))
    assert numbers(store) == [2]


def everything(connection: duckdb.DuckDBPyConnection) -> list[Any]:
    """Return the tables and views there are, and their rows."""
    names = connection.execute(
        "SELECT table_schema, table_name, table_type FROM information_schema.tables ORDER BY ALL"
    ).fetchall()
    return [(name, connection.execute(f'FROM "{name[0]}"."{name[1]}" ORDER BY ALL').fetchall()) for name in names]


def test_what_the_reader_cannot_read_at_all_is_named(store: DuckDB) -> None:
    """Whatever the checker lets through and the store does not take: here, a file that was changed in between."""

    class Changed(DuckDB):
        def _checked(self, *arguments: Any, **options: Any) -> Any:
            checked = super()._checked(*arguments, **options)
            changed = store.temporary_folder / "changed.ndjson"
            changed.write_bytes(checked.file.read_bytes().replace(b"2026-03", b"2026-99"))
            checked.file = changed
            return checked

    changed = Changed(store.path, store.temporary_folder)
    land(store, thing(1))
    with pytest.raises(MalformedPage) as told:
        land(changed, thing(2))
    assert str(told.value).startswith("source.things 2026-03-01: the store cannot read the extraction ")
    assert numbers(store) == [1]


# -- checked and parsed at the same time ------------------------------------------------------------------------------


def large(n: int = 1) -> list[dict[str, Any]]:
    """A thousand records of 2 KB, more than is checked before it is parsed."""
    return [{"id": f"{number}", "at": "2026-03-01T10:00:00Z", "n": n, "text": "x" * 2000} for number in range(1000)]


LARGE = daily(n="integer", text="string")


@pytest.mark.parametrize(
    ("last", "rows", "aside", "extra"),
    [
        ({}, 1000, [], 0),
        ({"new": 1}, 1000, [], 1),
        ({"n": "x"}, 999, ['expected integer, got "x" @ $.n'], 0),
        ({"id": "0"}, 999, [], 0),  # the same record twice
        ({"id": "0", "n": "5"}, 999, ['expected integer, got "5" @ $.n'], 0),  # the reader would take it
    ],
)
def test_a_large_extraction_is_landed_as_a_small_one_is(
    store: DuckDB, last: dict[str, Any], rows: int, aside: list[str], extra: int
) -> None:
    for n in (1, 2):  # the second time it replaces the first
        *others, record = large(n)
        landed = land(store, *others, record | last, stream=LARGE)
        found = store.query("SELECT count(*), count(_extra), count(*) FILTER (n >= ?) FROM source.things", [n])
        assert found == [(rows, extra, rows)]
        assert landed.duplicates == (last == {"id": "0"})
        reasons = store.query("SELECT reason FROM source.things_quarantine") if aside else []
        assert reasons == [(reason,) for reason in aside]


def test_bytes_that_are_no_text_are_put_aside_of_a_large_extraction(store: DuckDB) -> None:
    bad = b'{"id": "bad", "at": "2026-03-01T10:00:00Z", "text": "\xff\xfe"}'
    landed = land(store, bad, *large(), bad, stream=LARGE)
    assert (landed.rows, landed.quarantined) == (1000, 2)


def test_a_check_that_is_broken_off_ends_the_parsing(store: DuckDB) -> None:
    land(store, *large(5), stream=LARGE)
    before = threading.active_count()

    class Broken(DuckDB):
        def _checked(self, *arguments: Any, **how: Any) -> Any:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        land(Broken(store.path, store.temporary_folder), *large(), stream=LARGE)
    assert threading.active_count() == before
    assert store.query("SELECT DISTINCT n FROM source.things") == [(5,)]


def test_what_fits_and_the_reader_refuses_is_looked_at_record_by_record_of_a_large_extraction(store: DuckDB) -> None:
    twice = b'{"id": "twice", "at": "2026-03-01T10:00:00Z", "n": 1, "n": 2}'
    landed = land(store, *large(), twice, stream=LARGE)
    assert (landed.rows, landed.quarantined) == (1000, 1)
    assert landed.first_reason == "expected each field once, got 'n' twice @ $ (page 0)"


# -- time zone, memory, temporary files -------------------------------------------------------------------------------


def test_duckdb_draws_no_bar_on_the_output_of_a_shell(store: DuckDB, tmp_path: Path) -> None:
    """Where there is no script, DuckDB takes Python for a shell, and draws bars of its own."""
    code = f"{CHILD}\nland(store, thing(1))\nprint(store.query(\"SELECT current_setting('enable_progress_bar')\"))"
    assert said(child(code, tmp_path)) == "[(False,)]"


def test_instants_are_in_utc_whatever_zone_the_machine_has(store: DuckDB, tmp_path: Path) -> None:
    code = f"""{CHILD}
from connector_resources.streams import Window
import pandas as pd
from tests.landing import daily
stamps = {{"id": "1", "at": "2026-03-01T03:00:00", "ms": 1772334000000, "day": "2026-03-01"}}
land(store, stamps, stream=daily(ms="epoch_ms", day="date"))
frame = store.read_frame("source", "things")
store.write_frame("frames", "f", frame, partitions=["2026-03-01"], run_id="run", partition_column="at")
print(frame.to_json(orient="records", date_format="iso"))
print(store.query('SELECT "at"::VARCHAR, ms::VARCHAR, day::VARCHAR, _partition FROM source.things'))
"""
    zones = ("America/New_York", "Pacific/Kiritimati")
    told = []
    for zone in zones:
        told.append(said(child(code, tmp_path, TZ=zone)))
        store.path.unlink()
    assert told == [told[0]] * len(zones)
    assert told[0].splitlines()[1] == (
        "[('2026-03-01 03:00:00+00', '2026-03-01 03:00:00+00', '2026-03-01', '2026-03-01')]"
    )


def test_too_little_memory_is_named(store: DuckDB) -> None:
    with pytest.raises(DestinationUnwritable) as told:
        land(replace(store, memory_limit="8MB"), {"id": "x" * 5_000_000, "at": "2026-03-01T10:00:00Z"})
    assert str(told.value).startswith(f"{store.path} needs more memory than DuckDB may take (Out of Memory Error: ")
    assert "). Raise DUCKDB_MEMORY_LIMIT (memory_limit), which is 8MB; the tables are as they were" in str(told.value)


def test_what_does_not_fit_in_memory_goes_to_disk_and_is_removed(store: DuckDB) -> None:
    small = replace(store, memory_limit="48MB")
    spills: list[int] = []
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.002):
            spills.append(sum(1 for _ in store.temporary_folder.glob("spill-*/*")))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        text = "".join(chr(33 + n % 90) for n in range(1000))
        landed = land(
            small,
            *(
                {"id": f"{n}", "at": "2026-03-01T10:00:00Z", "text": f"{n}{text[n % 900 :]}{n * 7919}" * 4}
                for n in range(15_000)
            ),
            stream=daily(text="string"),
        )
    finally:
        done.set()
        watcher.join()
    assert landed.rows == 15_000
    assert max(spills) > 0
    assert list(store.temporary_folder.iterdir()) == []


def test_what_killed_processes_have_left_is_removed_after_a_day(store: DuckDB) -> None:
    for name, hours in (("spill-old", 25), ("spill-young", 23), ("something-else", 100)):
        folder = store.temporary_folder / name
        folder.mkdir(parents=True)
        (folder / "duckdb_temp_storage.tmp").touch()
        os.utime(folder, (time.time() - hours * 3600,) * 2)
    land(store, thing(1))
    assert sorted(path.name for path in store.temporary_folder.iterdir()) == ["something-else", "spill-young"]


def test_a_failed_frame_leaves_the_table_as_it_was(store: DuckDB) -> None:
    first = pd.DataFrame({"at": pd.Series([datetime(2026, 3, 1, tzinfo=UTC)]), "n": [1]})
    write: dict[str, Any] = {"partitions": ["2026-03-01"], "run_id": "run", "partition_column": "at"}
    store.write_frame("frames", "f", first, **write)
    before = store.query("SELECT * FROM frames.f"), store.query("SELECT * FROM _state")
    with pytest.raises(ConnectorError) as told:
        store.write_frame("frames", "f", first.assign(n=pd.Series([datetime(2026, 3, 1, tzinfo=UTC)])), **write)
    assert str(told.value).startswith("frames.f 2026-03-01: column 'n' is stored as BIGINT and declared as TIMESTAMP ")
    assert (store.query("SELECT * FROM frames.f"), store.query("SELECT * FROM _state")) == before


def test_a_state_that_is_another_programs_is_named_and_left_alone(store: DuckDB) -> None:
    store.path.parent.mkdir(parents=True, exist_ok=True)
    with duckdb.connect(str(store.path)) as connection:
        connection.execute("CREATE TABLE _state AS SELECT 1 AS version")
    for look in (
        lambda: store.landed_at("source", "things", ["all"]),
        lambda: store.landed_partitions("source", "things"),
        lambda: store.read_frame("source", "things"),
    ):
        with pytest.raises(SchemaConflict, match=r"its table _state is not the one of this project .*DATA_FOLDER"):
            look()
    assert store.query("FROM _state") == [(1,)]


@pytest.mark.parametrize("limit", ["99999999999999999999TB", "much"])
def test_a_memory_limit_that_duckdb_does_not_take_is_named(store: DuckDB, limit: str) -> None:
    wrong = replace(store, memory_limit=limit)
    with pytest.raises(ConfigurationError, match=f"limit of {limit} .*Set DUCKDB_MEMORY_LIMIT"), wrong._workbench():
        pass


INTERRUPTED = """
import os, signal, sys, threading
from pathlib import Path
from connector_resources.destinations.duckdb import DuckDB

class Told(BaseException):
    pass

def told(*_):
    raise Told

# Said in either case, for who is started in the background ignores it.
signal.signal(signal.SIGINT, told if sys.argv[2] == "Told" else signal.default_int_handler)
folder = Path(sys.argv[1])
try:
    with DuckDB(folder / "x.duckdb", folder / "temporary").attached(read_only=False) as connection:
        connection.execute("CREATE TABLE store.made AS SELECT 1 AS n")
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        connection.execute("SELECT sum(a.range * b.range) FROM range(10000000) a, range(10000000) b")
except BaseException as error:
    print(type(error).__name__)
"""


@pytest.mark.parametrize("raised", ["KeyboardInterrupt", "Told"])
def test_an_interrupt_while_the_database_is_at_work_is_what_it_is_elsewhere(tmp_path: Path, raised: str) -> None:
    is_told = duckdb.__version__.startswith("1.")  # DuckDB 2 keeps nothing of what a handler raised
    assert said(child(INTERRUPTED, tmp_path, raised)) == (raised if is_told else "KeyboardInterrupt")


@pytest.mark.parametrize("step", ["literal", "_is_empty"])
def test_an_interrupt_while_the_database_is_made_ready_or_put_away_is_one_too(
    store: DuckDB, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def interrupted(*_: object) -> None:
        raise RuntimeError("Query interrupted") from KeyboardInterrupt()  # as DuckDB does in any statement

    with monkeypatch.context() as patched:
        patched.setattr(duckdb_workbench, step, interrupted)
        with pytest.raises(KeyboardInterrupt), store._workbench():
            pass
    assert list(store.temporary_folder.iterdir()) == []
