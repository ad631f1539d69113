"""Many processes at one database: whoever reads sees a whole version, whoever commits comes to his turn."""

import json
import os
import random
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.chaos.committing import (
    FEW,
    SEED,
    disagreements,
    known_contents,
    land_version,
    read_anew,
    reading,
    spool_versions,
    twenty_batches,
)
from tests.landing import child, close_spools, days, said


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    close_spools()


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts child processes that end with the test, however it ends."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: object) -> "subprocess.Popen[str]":
        started.append(child(*arguments))  # type: ignore[arg-type]
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def ready(*processes: "subprocess.Popen[str]") -> None:
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"


def go(*processes: "subprocess.Popen[str]") -> None:
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()


# -- readers, while others commit -------------------------------------------------------------------------------------

COMMIT_TWELVE = """
import sys
from pathlib import Path
from tests.chaos.committing import land_version
print("ready", flush=True)
sys.stdin.readline()
for number in range(12):
    land_version(Path(sys.argv[1]), "BA"[number % 2], f"run {number}")
"""

READ_ON = """
import json, os, sys
from pathlib import Path
import duckdb
from tests.chaos.committing import VERSIONS, content, reading, run_ids, store_in, wrong_in
folder, how = Path(sys.argv[1]), sys.argv[2]
known = [[tuple(row) for row in rows] for rows in json.loads(Path(sys.argv[3]).read_text())]
store, reads, refused, bad = store_in(folder), 0, 0, []
pair = ["2026-03-02", "2026-03-03"]
print("ready", flush=True)
parent = os.getppid()
while not (folder / "done").exists() and os.getppid() == parent:
    try:
        if how == "frames":
            frame = store.read_frame("source", "numbers", partitions=pair)
            assert len(set(frame["version"])) == 1 and sorted(frame["n"]) == sorted(
                n for n in range(400) if n % 4 != VERSIONS.index(frame["version"][0])
            ), frame
        else:
            if how == "ours":
                connected = reading(folder)
            else:
                connected = duckdb.connect(str(store.path), read_only=True)
            with connected as connection:
                connection.execute("SET TimeZone = 'UTC'")
                assert content(connection) in known and len(run_ids(connection)) == 1 and not wrong_in(connection)
        reads += 1
    except duckdb.Error as error:
        if how != "plain":
            bad.append(f"{type(error).__name__} {error}")
        refused += 1
    except Exception as error:
        bad.append(f"{type(error).__name__} {error}")
print(json.dumps([reads, refused, bad]))
"""


def test_every_read_during_twelve_commits_sees_a_whole_version(folder: Path, start: Start) -> None:
    """A reader that does not know our lock gets a whole version too, or an error of DuckDB's own.

    DuckDB 1 tells it of its lock. DuckDB 2 lets it open a file that is being written, and it may find that short.
    """
    known = known_contents(folder / "undisturbed", FEW)
    (folder / "known.json").write_text(json.dumps(list(known.values())))
    spool_versions(folder / "spools", FEW)
    land_version(folder, "old", "run")
    land_version(folder, "A", "run")
    readers = {how: start(READ_ON, folder, how, folder / "known.json") for how in ("frames", "ours", "plain")}
    writer = start(COMMIT_TWELVE, folder)
    ready(*readers.values(), writer)
    go(writer)
    said(writer, seconds=240)
    (folder / "done").touch()
    for how, process in readers.items():
        reads, refused, bad = json.loads(said(process))
        print(how, reads, refused)
        assert (reads > 0, bad) == (True, []), how
    assert read_anew(folder) == (known["A"], ["run 11"], [])


# -- many at once -----------------------------------------------------------------------------------------------------

COMMIT_TWENTY = """
import json, os, sys, time
from pathlib import Path
from tests.chaos.committing import twenty_batches, store_in
from tests.landing import days, key, page, spooled
from connector_resources.streams import Slice
folder, begins = Path(sys.argv[1]), os.pipe()

def commit(process):
    store = store_in(folder, lock_timeout_seconds=300)
    ended, waits = [], []
    os.close(begins[1])
    os.read(begins[0], 1)
    for number, (stream, its, records) in enumerate(twenty_batches(process)):
        spool = spooled(folder / f"spools {process}", stream, [page(*records)], Slice(its))
        spool.started_at = 0.0  # as if all had been read at once: the one day of all goes to whoever comes last
        started = time.monotonic()
        run_id = f"{process} {number}"
        store.land("source", stream, spool, partitions=days(its), window=its, run_id=run_id)
        ended.append(time.monotonic())
        waits.append(ended[-1] - started)
        spool.discard()
    (folder / f"told {process}").write_text(json.dumps([ended, max(waits)]))

processes = []
for process in range(8):
    processes.append(os.fork())
    if not processes[-1]:
        status = 1
        try:
            commit(process)
            status = 0
        except BaseException:
            import traceback
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
os.close(begins[1])
sys.exit(any([os.waitpid(process, 0)[1] for process in processes]))
"""
"""Forks the processes from one in which all is imported, which takes as long as five commits."""


def test_eight_processes_commit_twenty_batches_each_and_none_starves(folder: Path, start: Start) -> None:
    """Two tables, a day of each for every process, and one day that all of them replace."""
    said(start(COMMIT_TWENTY, folder), seconds=240)
    told = [json.loads((folder / f"told {process}").read_text()) for process in range(8)]
    first = min(ended[-1] for ended, _ in told)
    shares = [sum(instant <= first for instant in ended) for ended, _ in told]
    print(f"done when the first had done its twenty: {shares}, longest: {max(wait for _, wait in told):.2f} s")
    assert [len(ended) for ended, _ in told] == [20] * 8
    assert min(shares) >= 4

    all_batches = [twenty_batches(process) for process in range(8)]
    with reading(folder) as connection:
        for name in ("even", "odd"):
            assert disagreements(connection, name, ["id", "at", "n"]) == []
            lasts: dict[str, dict[str, list[int]]] = {}
            for writer, batches in enumerate(all_batches):
                for number, (stream, its, its_records) in enumerate(batches):
                    if stream.name == name:
                        of_day = lasts.setdefault(days(its)[0], {})
                        for replaced in [run for run in of_day if run.startswith(f"{writer} ")]:
                            del of_day[replaced]
                        of_day[f"{writer} {number}"] = [record["n"] for record in its_records]
            state = connection.execute(f"SELECT partition, run_id FROM _state WHERE name = '{name}'").fetchall()
            rows = connection.execute(f"SELECT _partition, n FROM source.{name} ORDER BY ALL").fetchall()
            assert {day for day, _ in state} == set(lasts)
            assert rows == sorted((day, n) for day, run in state for n in lasts[day][run])


# -- for minutes ------------------------------------------------------------------------------------------------------

WRITE_ON = """
import json, os, sys
from pathlib import Path
from tests.chaos.committing import land_version, store_in
from tests.landing import daily, days, page, spooled, window
from connector_resources.errors import PartitionMissing
from connector_resources.streams import Slice
folder, writer, life = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
store, log = store_in(folder, lock_timeout_seconds=300), folder / f"acknowledged {writer}"
own, day = daily("own", n="integer"), window(f"2026-03-{writer + 1:02}")
try:
    found = store.read_frame("source", "own", partitions=days(day))["n"].tolist()
except PartitionMissing:
    found = []
acknowledged = int(log.read_text()) if log.exists() else 0
# What was acknowledged is there; at most the commit in which the last life ended has come after it.
if found not in ([acknowledged] * 3, [acknowledged + 1] * 3) and (found or acknowledged):
    (folder / f"violation {writer} {life}").write_text(f"acknowledged {acknowledged}, found {found}")
number = found[0] if found else 0
parent = os.getppid()
while os.getppid() == parent:
    number += 1
    rows = [{"id": f"{writer} {n}", "at": day.start.isoformat(), "n": number} for n in range(3)]
    spool = spooled(folder / f"own spools {writer}", own, [page(*rows)], Slice(day))
    store.land("source", own, spool, partitions=days(day), window=day, run_id=f"{writer} {life} {number}")
    log.with_suffix(".new").write_text(str(number))
    log.with_suffix(".new").replace(log)
    spool.discard()
    land_version(folder, "AB"[number % 2], f"{writer} {life} {number}", folder / f"spools {writer}")
    with (folder / "commits").open("a") as commits:
        commits.write("..")
"""

READ_ALWAYS = """
import json, os, sys
from pathlib import Path
from tests.chaos.committing import disagreements, read
folder, reader, life = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
known = [[tuple(row) for row in rows] for rows in json.loads((folder / "known.json").read_text())]
parent = os.getppid()
while os.getppid() == parent:
    content, runs, wrong = read(folder)
    with (folder / "reads").open("a") as reads:
        reads.write(".")
    if content not in known or len(runs) != 1 or wrong:
        (folder / f"violation {reader} {life}").write_text(f"{content} {runs} {wrong}")
"""


@pytest.mark.soak
def test_four_writers_and_two_readers_are_killed_for_minutes_and_nothing_is_lost(folder: Path, start: Start) -> None:
    """`SOAK_SECONDS` says how long; 300 unless told."""
    seconds = float(os.environ.get("SOAK_SECONDS", "300"))
    rows = 4000
    known = known_contents(folder / "undisturbed", rows)
    (folder / "known.json").write_text(json.dumps(list(known.values())))
    for writer in range(4):
        spool_versions(folder / f"spools {writer}", rows)
    land_version(folder, "old", "run", folder / "spools 0")
    land_version(folder, "A", "run", folder / "spools 0")
    (folder / "commits").touch()
    (folder / "reads").touch()

    def born(number: int, life: int) -> "subprocess.Popen[str]":
        return start(WRITE_ON if number < 4 else READ_ALWAYS, folder, number, life)

    chance = random.Random(SEED)
    processes = [born(number, 0) for number in range(6)]
    ends = time.monotonic() + seconds
    kills = {"writers": 0, "readers": 0}
    while time.monotonic() < ends:
        time.sleep(chance.uniform(0.2, 1.2))
        number = chance.randrange(6)
        assert [process.communicate()[1] for process in processes if process.poll() is not None] == []
        processes[number].kill()
        processes[number].communicate()
        kills["writers" if number < 4 else "readers"] += 1
        processes[number] = born(number, sum(kills.values()))
    for process in processes:
        process.kill()
        process.communicate()
    content, runs, wrong = read_anew(folder)
    with reading(folder) as connection:
        wrong += disagreements(connection, "own", ["id", "at", "n"])
    violations = [path.read_text() for path in folder.glob("violation *")]
    commits, reads = ((folder / name).stat().st_size for name in ("commits", "reads"))
    print(
        f"{seconds:.0f} s: {kills['writers']} writers and {kills['readers']} readers killed, {commits} commits, "
        f"{reads} reads, {len(violations)} violations"
    )
    assert content in known.values()
    assert (len(runs), wrong, violations) == (1, [], [])
    assert commits > 0 < reads
    land_version(folder, "A", "last", folder / "spools 0")
    assert read_anew(folder) == (known["A"], ["last"], [])
