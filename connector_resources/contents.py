"""What is in a database, and what waits on disk to get there."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import duckdb

from connector_resources.caches import CacheBase
from connector_resources.destinations.duckdb_rows import Selection
from connector_resources.destinations.duckdb_tables import columns_of
from connector_resources.spool import kept
from connector_resources.streams import SNAPSHOT
from connector_resources.sync import RUN_PREFIX

_DAY = "____-__-__"
"""A partition that is a day, as a pattern of SQL; of what was appended it is an instant."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What is there of a stream.

    `rows` are those that a reader of the stream gets: the newest version of each record that is not deleted. `days` are
    UTC days, and 0 where it is read whole or appended. Instants are in UTC; `newest_record` is the largest cursor.
    """

    table: str
    rows: int
    days: int
    first_day: str | None
    last_day: str | None
    newest_record: datetime | None
    landed_at: datetime
    landed_by: str
    run_id: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """A reading on disk that is not in the database."""

    stream: str
    partitions: str
    state: str
    meaning: str
    pages: int
    records: int
    begun_at: datetime


def contents(cache: CacheBase) -> list[Contents]:
    """Return what is in a cache, by table; nothing for a database that is not there yet."""
    if not cache.store.path.exists():
        return []
    with cache.store.attached(read_only=True) as connection:
        if not columns_of(connection, "main", "_state"):
            return []
        found: list[tuple[Any, ...]] = connection.execute(
            f"SELECT schema, name, count(*) FILTER (partition LIKE '{_DAY}'), min(partition) FILTER (partition LIKE "
            f"'{_DAY}'), max(partition) FILTER (partition LIKE '{_DAY}'), max(last_cursor), max(loaded_at), "
            "arg_max(run_id, loaded_at) FROM store._state ANTI JOIN store._frames USING (schema, name) "
            "GROUP BY ALL ORDER BY ALL"
        ).fetchall()
        counted = [_rows(connection, cache, schema, name) for schema, name, *_ in found]
    return [
        Contents(
            f"{schema}.{name}",
            rows,
            days,
            first,
            last,
            _in_utc(newest),
            _in_utc(landed_at),
            "read" if run_id.startswith(RUN_PREFIX) else "Dagster",
            run_id,
        )
        for (schema, name, days, first, last, newest, landed_at, run_id), rows in zip(found, counted, strict=True)
    ]


def _rows(connection: duckdb.DuckDBPyConnection, cache: CacheBase, schema: str, name: str) -> int:
    query = Selection(cache.store, schema, name).query(connection)
    row = connection.execute(f"SELECT count(*) FROM ({query})").fetchone()
    return 0 if row is None else int(row[0])


def waiting(cache: CacheBase) -> list[Waiting]:
    """Return what was read into a cache and is not in it, newest first."""
    return [
        Waiting(
            f"{each.key.source}.{each.key.stream}",
            "whole" if each.partitions == (SNAPSHOT,) else each.shown_partitions,
            each.state,
            _MEANING[each.state],
            each.pages,
            each.records,
            each.read_at,
        )
        for each in kept(cache.spools)
        if each.state in _MEANING
    ]


_MEANING = {
    "unfinished": "being read, or interrupted: a read within six hours of its beginning goes on with it",
    "complete": "read to its end and not landed: the next read lands it without a request",
    "refused": "read to its end and refused by its checks: the next read asks anew",
    "damaged": "cannot be read: the next read asks anew",
}


def _in_utc(instant: Any) -> Any:
    return None if instant is None else instant.astimezone(UTC)
