"""What a commit costs beside the table it goes to: `python -m tests.benchmarks.commits CASE FOLDER NUMBER BATCH`.

`prepare` writes a table of Aha!'s features with NUMBER rows, ten thousand a day, by SQL, as landings would have left
it. `land` lands days of BATCH records on a table of NUMBER rows, half of them edits of records all over the table, and
lands each day again with other values, as a replay does. `read` reads `features_current` beside a plain table of the
same rows. `replay` lands a day in the middle of the table NUMBER times, with other values each time, and notes how
large the file is.

Each leaves what it measured in the JSON file `figures.json` of the folder; seconds are of CPU, of this process.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from connector_resources.destinations.duckdb import DuckDB
from connector_resources.sources.aha import Aha
from connector_resources.spool import Spool, SpoolKey, open_spool
from connector_resources.streams import Page, Slice, Window
from tests.benchmarks.own_cost import own_cpu_seconds
from tests.benchmarks.server import record

REPEATS = 3

_FEATURES = Aha.stream("features")
_FIRST_DAY = datetime(2020, 1, 1, tzinfo=UTC)
_ROWS_A_DAY = 10_000
_PAGE_SIZE = 200

_READS = {
    "count and sum": "SELECT count(*), sum(score), max(updated_at) FROM {table}",
    "group by a column": "SELECT position, count(*), avg(score) FROM {table} GROUP BY position",
    "one record": "SELECT * FROM {table} WHERE id = '{id}'",
    "a day": "SELECT count(name), max(length(description::VARCHAR)) FROM {table} WHERE updated_at >= '{day}' "
    "AND updated_at < '{day}'::TIMESTAMPTZ + INTERVAL 1 DAY",
}


def store(folder: Path) -> DuckDB:
    """Return the database of a folder."""
    return DuckDB(folder / "table.duckdb", folder / "temporary")


def prepare(folder: Path, rows: int, batch: int, rows_a_day: int = _ROWS_A_DAY) -> None:
    """Write the table: one record is landed, and all others are made of it."""
    _land(folder, [record(0, _FIRST_DAY, 0)], _FIRST_DAY)
    with duckdb.connect(str(folder / "table.duckdb")) as connection:
        connection.execute("SET TimeZone = 'UTC'; SET preserve_insertion_order = true")
        connection.execute("CREATE TEMP TABLE first AS FROM aha.features; DELETE FROM aha.features")
        step = timedelta(days=1) / rows_a_day
        connection.execute(
            "INSERT INTO aha.features BY NAME SELECT first.* REPLACE (format('70123456{:09d}', range) AS id, "
            "'Bulk import of contacts number ' || range AS name, 'APP-' || range AS reference_num, "
            "range % 50 AS position, range % 100 AS score, "
            "format('https://acme.aha.io/features/APP-{}', range) AS url, "
            f"updated_at + to_microseconds(range * {step // timedelta(microseconds=1)}) AS updated_at, "
            f"strftime(updated_at + to_microseconds(range * {step // timedelta(microseconds=1)}), '%Y-%m-%d') "
            f"AS _partition) FROM range({rows}), first"
        )
        connection.execute(
            "CREATE TEMP TABLE state AS FROM _state; DELETE FROM _state; "
            "INSERT INTO _state BY NAME SELECT state.* REPLACE (found._partition AS partition, found.rows AS rows, "
            "found.first AS first_cursor, found.last AS last_cursor) FROM state, (SELECT _partition, count(*) AS rows, "
            "min(updated_at) AS first, max(updated_at) AS last FROM aha.features GROUP BY _partition) AS found"
        )


def land(folder: Path, rows: int, batch: int) -> dict[str, Any]:
    """Land batches on the table, and return the seconds of each: all of the landing, and the commit in it."""
    edited = range(0, rows, max(1, rows // (batch // 2)))[: batch // 2]
    figures: dict[str, Any] = {"a new day": [], "the same day again": []}
    for number in range(REPEATS):
        day = _FIRST_DAY + timedelta(days=rows // _ROWS_A_DAY + 1 + number)
        ids = [*edited, *range(rows + number * batch, rows + number * batch + batch - len(edited))]
        for what, score in (("a new day", 1), ("the same day again", 2)):
            records = [record(each, day + timedelta(milliseconds=place), score) for place, each in enumerate(ids)]
            figures[what].append(_land(folder, records, day))
    return figures


def read(folder: Path, rows: int, batch: int) -> dict[str, Any]:
    """Read through the view and from a plain table of the same rows, in turns."""
    plain = folder / "plain.duckdb"
    with duckdb.connect(str(plain)) as connection:
        connection.execute(f"ATTACH '{folder / 'table.duckdb'}' AS store (READ_ONLY)")
        connection.execute("CREATE TABLE features AS SELECT * EXCLUDE (_is_current) FROM store.aha.features "
                           "WHERE _is_current")  # fmt: skip
    names = {"id": f"70123456{rows // 2:09d}", "day": f"{_FIRST_DAY + timedelta(days=rows // _ROWS_A_DAY // 2):%F}"}
    figures: dict[str, Any] = {}
    for what, query in _READS.items():
        taken: dict[str, list[float]] = {"view": [], "plain": []}
        for _ in range(REPEATS + 1):
            answers = []
            for kind, file, table in (
                ("view", folder / "table.duckdb", "aha.features_current"),
                ("plain", plain, "features"),
            ):
                with duckdb.connect(str(file), read_only=True, config={"threads": 1}) as connection:
                    connection.execute("SET TimeZone = 'UTC'")
                    before = own_cpu_seconds()
                    answers.append(sorted(connection.execute(query.format(table=table, **names)).fetchall()))
                    taken[kind].append(own_cpu_seconds() - before)
            if answers[0] != answers[1]:
                raise ValueError(f"{what}: the view and the plain table answer differently.")
        figures[what] = {kind: seconds[1:] for kind, seconds in taken.items()}  # the first had to read the file
    return figures


def replay(folder: Path, times: int, batch: int) -> dict[str, Any]:
    """Land one day over and over, and return the sizes of the file in bytes: before, and after each time."""
    file = folder / "table.duckdb"
    with duckdb.connect(str(file), read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        keys = "SELECT DISTINCT _partition FROM aha.features ORDER BY _partition"
        days = [key for (key,) in connection.execute(keys).fetchall()]
        day = datetime.fromisoformat(days[len(days) // 2]).replace(tzinfo=UTC)
        of_day = f"SELECT id[9:]::BIGINT FROM aha.features WHERE _partition = '{day:%F}' ORDER BY id"
        ids = [each for (each,) in connection.execute(of_day).fetchall()]
    sizes = [file.stat().st_size]
    for number in range(times):
        _land(folder, [record(each, day + timedelta(seconds=place), number) for place, each in enumerate(ids)], day)
        sizes.append(file.stat().st_size)
    return {"sizes": sizes}


def _land(folder: Path, records: list[bytes], day: datetime) -> dict[str, float]:
    window = Window(day, day + timedelta(days=1))
    spool = _spooled(folder, records, window)
    began: list[tuple[float, float]] = []
    before = own_cpu_seconds(), time.monotonic()
    store(folder).land(
        "aha",
        _FEATURES,
        spool,
        partitions=[f"{day:%Y-%m-%d}"],
        window=window,
        run_id="benchmark",
        within=lambda connection: began.append((own_cpu_seconds(), time.monotonic())),
    )
    after = own_cpu_seconds(), time.monotonic()
    spool.discard()
    return {
        "landing": after[0] - before[0],
        "commit": after[0] - began[0][0],
        "commit_wall": after[1] - began[0][1],
    }


def _spooled(folder: Path, records: list[bytes], window: Window) -> Spool:
    key = SpoolKey.of("account", "aha", _FEATURES, Slice(window))
    spool = open_spool(folder / "spools", key)
    with spool.writing() as writer:
        for page in _pages(records):
            writer.append(page)
        writer.finish()
    return spool


def _pages(records: list[bytes]) -> Iterator[Page]:
    for first in range(0, len(records), _PAGE_SIZE):
        yield Page(records[first : first + _PAGE_SIZE], None)


CASES: dict[str, Callable[[Path, int, int], Any]] = {"prepare": prepare, "land": land, "read": read, "replay": replay}

if __name__ == "__main__":
    figures = CASES[sys.argv[1]](Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
    (Path(sys.argv[2]) / "figures.json").write_text(json.dumps(figures))
