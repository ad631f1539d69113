"""A DuckDB database of things, for tests and for the processes they start: light to import."""

import os
from pathlib import Path
from typing import Any

from connector_resources.destinations.duckdb import DuckDB, Landed
from connector_resources.streams import Slice, Stream, Window
from tests.landing import Record, daily, page, partitions_of, spooled, window

THINGS = daily(n="integer")
MARCH_1 = window("2026-03-01")


def destination(folder: Path, **settings: Any) -> DuckDB:
    return DuckDB(folder / "store.duckdb", folder / "temporary", **{"lock_timeout_seconds": 10, **settings})


def land(store: DuckDB, *records: Record, stream: Stream = THINGS, window: Window | None = MARCH_1) -> Landed:
    """Land records that this process has read."""
    spools = store.temporary_folder.parent / f"spools {os.getpid()}"
    spool = spooled(spools, stream, [page(*records)], Slice(window))
    try:
        partitions = partitions_of(stream, window)
        return store.land("source", stream, spool, partitions=partitions, window=window, run_id="run")
    finally:
        spool.discard()


def thing(number: int, day: int = 1) -> dict[str, Any]:
    return {"id": f"{number}", "at": f"2026-03-{day:02}T10:00:00Z", "n": number}


def numbers(store: DuckDB) -> list[int]:
    return [n for (n,) in store.query("SELECT n FROM source.things ORDER BY n")]
