"""From a spool into a table, and which run landed which partition last."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from connector_resources.destinations.duckdb import DuckDB, Landed
from connector_resources.destinations.duckdb_tables import listed, literal
from connector_resources.errors import DataError
from connector_resources.spool import Spool
from connector_resources.streams import Stream, Window


def land(
    store: DuckDB,
    source: str,
    stream: Stream,
    spool: Spool,
    *,
    partitions: Sequence[str],
    window: Window | None,
    run_id: str,
    **how: Any,
) -> Landed:
    """Land a complete spool as `DuckDB.land` does, and close it: as committed, or refused where its data is at fault.

    Where the store is at fault the spool stays as it is, and the next reading of the same takes it up.
    """
    try:
        spool.note_landing(run_id)
        landed = store.land(source, stream, spool, partitions=partitions, window=window, run_id=run_id, **how)
        spool.mark_committed()
    except DataError:
        spool.mark_refused()
        raise
    finally:
        spool.close()
    return landed


@dataclass(frozen=True, slots=True)
class Landing:
    """The last landing of a partition: when (UTC), by which run, and how many rows it has held since."""

    landed_at: datetime
    run_id: str
    rows: int


def landings_of(store: DuckDB, source: str, name: str, partitions: Collection[str]) -> Mapping[str, Landing]:
    """Return the last landing of each of these partitions that has ever been landed."""
    if store.landed_at(source, name, tuple(partitions)) is None:
        return {}
    rows = store.query(
        "SELECT partition, loaded_at, run_id, rows FROM _state "
        f"WHERE schema = {literal(source)} AND name = {literal(name)} AND partition IN ({listed(tuple(partitions))})"
    )
    return {partition: Landing(*landing) for partition, *landing in rows}
