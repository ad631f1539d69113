"""What a commit changes in partitions that have been landed before: rows added, changed and removed, and in what."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import duckdb

from connector_resources.destinations.duckdb_tables import PartitionFacts, is_table, listed, quoted

_MOST_ROWS_COMPARED = 100_000
"""Of so many changed rows the columns are compared; beyond them, which ones change most is known well enough."""


@dataclass(frozen=True, slots=True)
class Change:
    """How a partition differs from what it held before.

    `columns` counts the changed rows by the column that differs, most first, over 100,000 of them at most.
    """

    added: int = 0
    changed: int = 0
    removed: int = 0
    columns: Mapping[str, int] = field(default_factory=dict)


def changes(
    connection: duckdb.DuckDBPyConnection,
    source: str,
    name: str,
    key: Sequence[str],
    stored: Mapping[str, str],
    facts: Mapping[str, PartitionFacts],
) -> dict[str, Change]:
    """Compare the temporary table `batch` with the rows it is about to replace, partition by partition.

    `stored` are the columns of the table, wide enough for the batch, with their types. A partition whose data version
    stays the same has not changed and is not looked at.
    """
    before = dict(
        connection.execute(
            f"SELECT partition, data_version FROM store._state WHERE {is_table(source, name)} "
            f"AND partition IN ({listed(tuple(facts))})"
        ).fetchall()
    )
    found = {partition: Change() if partition in before else Change(added=its.rows) for partition, its in facts.items()}
    differing = [key for key in before if before[key] != facts[key].data_version]
    if differing:
        found |= _compared(connection, f"store.{quoted(source)}.{quoted(name)}", key, stored, differing)
    return found


def _compared(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    key: Sequence[str],
    stored: Mapping[str, str],
    partitions: Sequence[str],
) -> dict[str, Change]:
    names = ", ".join(map(quoted, (*key, "_partition")))
    given = ", ".join(f"{quoted(column)}::{kind}" for column, kind in stored.items())
    kept = ", ".join(map(quoted, stored))
    of_them = f"_partition IN ({listed(partitions)})"
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE compared AS SELECT * FROM "
        f"(SELECT {names}, hash({given}) AS _hash_after FROM batch WHERE {of_them}) FULL JOIN "
        f"(SELECT {names}, hash({kept}) AS _hash_before FROM {table} WHERE {of_them}) USING ({names})"
    )
    counted = connection.execute(
        "SELECT _partition, count(*) FILTER (_hash_before IS NULL), count(*) FILTER (_hash_before <> _hash_after), "
        "count(*) FILTER (_hash_after IS NULL) FROM compared GROUP BY _partition"
    ).fetchall()
    columns: dict[str, dict[str, int]] = {partition: {} for partition in partitions}
    if any(changed for _, _, changed, _ in counted):
        differs = ", ".join(
            f"count(*) FILTER (batch.{quoted(column)}::{kind} IS DISTINCT FROM before.{quoted(column)})"
            for column, kind in stored.items()
        )
        rows = connection.execute(
            f"SELECT _partition, {differs} FROM (SELECT {names} FROM compared WHERE _hash_before <> _hash_after "
            f"LIMIT {_MOST_ROWS_COMPARED}) JOIN batch USING ({names}) "
            f"JOIN (FROM {table} WHERE {of_them}) AS before USING ({names}) GROUP BY _partition"
        ).fetchall()
        for partition, *counts in rows:
            most_first = sorted(zip(stored, counts, strict=True), key=lambda pair: -pair[1])
            columns[partition] = {column: count for column, count in most_first if count}
    found = {partition: Change() for partition in partitions}
    return found | {
        partition: Change(added, changed, removed, columns[partition]) for partition, added, changed, removed in counted
    }
