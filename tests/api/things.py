"""Caches with streams in them, as reads of the assets or of the Python API leave them."""

import dataclasses
from pathlib import Path
from typing import Any

from connector_resources.caches import DuckDBCache
from connector_resources.destinations.duckdb import Landed
from connector_resources.destinations.duckdb_claims import Claim, claim
from connector_resources.streams import Slice, Stream, Window
from tests.landing import Record, page, partitions_of, snapshot, spooled

USERS = snapshot(
    "users",
    id="integer",
    name="string",
    price="decimal",
    score="number",
    active="boolean",
    created_at="timestamp",
    day="date",
    plan="json",
)


def user(id: int, /, **fields: Any) -> dict[str, Any]:
    return {
        "id": id,
        "name": f"Person {id}",
        "price": 1.5,
        "score": 0.25,
        "active": True,
        "created_at": "2026-03-01T12:00:00+02:00",
        "day": "2026-03-01",
        "plan": {"name": "basic", "seats": [1, 2]},
        **fields,
    }


def cache_in(folder: Path, **given: Any) -> DuckDBCache:
    return DuckDBCache(folder / "own.duckdb", **given)


def land(
    cache: DuckDBCache,
    *records: Record,
    stream: Stream = USERS,
    source: str = "crm",
    window: Window | None = None,
    read: str | None = None,
) -> Landed:
    """Land records as a run of an asset does; with `read`, as one of the reads that only ever add to the table."""
    schema, stored = cache.schema_of(source), dataclasses.replace(stream, name=cache.table_of(stream.name))
    if read is not None:
        claim(cache.store, schema, stored.name, Claim("sandbox", source, stream.name, "account", "reads"))
    spool = spooled(cache.spools, stored, [page(*records)], Slice(window))
    try:
        partitions = partitions_of(stored, window)
        return cache.store.land(
            schema, stored, spool, partitions=partitions, window=window, run_id="run", read=read, may_shrink=True
        )
    finally:
        spool.discard()
