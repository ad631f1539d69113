"""Days that the Python API has landed: Dagster is told of them, so that nobody reads them again."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

import dagster as dg

from connector_resources.days import is_complete
from connector_resources.destinations.duckdb import DuckDB
from connector_resources.landing import landings_of
from connector_resources.sync import RUN_PREFIX

Elsewhere = Callable[[dg.AssetKey, Collection[str]], Sequence[dg.AssetMaterialization]]
"""Returns what is there of these partitions of an asset though Dagster knows nothing of it."""

_WAIT_SECONDS = 30.0
"""How long a tick waits for whoever holds the database; the next one is soon enough."""


def nowhere(key: dg.AssetKey, partitions: Collection[str]) -> Sequence[dg.AssetMaterialization]:
    """Return nothing."""
    return ()


def landed_elsewhere(store: DuckDB) -> Elsewhere:
    """Return what finds the days in a database that a script or a notebook has landed whole."""
    patient = replace(store, lock_timeout_seconds=_WAIT_SECONDS)

    def found(key: dg.AssetKey, partitions: Collection[str]) -> Sequence[dg.AssetMaterialization]:
        source, name = key.path
        begun = patient.readings(source, name)
        landings = landings_of(patient, source, name, partitions)
        return [
            dg.AssetMaterialization(
                key,
                partition=day,
                description="Landed by the Python API, and found by catch_up.",
                metadata={
                    "dagster/partition_row_count": landing.rows,
                    "rows": landing.rows,
                    "landed_by": landing.run_id,
                    "landed_at": dg.MetadataValue.timestamp(landing.landed_at),
                },
            )
            for day, landing in sorted(landings.items())
            if landing.run_id.startswith(RUN_PREFIX) and (read := begun.get(day)) is not None and is_complete(day, read)
        ]

    return found
