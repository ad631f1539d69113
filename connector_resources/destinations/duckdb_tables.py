"""The tables of a DuckDB database in SQL: their columns and types, what a partition of one holds, and its state.

What a stream's table holds beside the declared columns:

    _extra JSON             fields nobody declared
    _partition VARCHAR      the partition the row was landed under; `all` for a snapshot
    _is_current BOOLEAN     whether this is the newest version of the record (by cursor, then partition)
    _page INTEGER           where in the extraction it came from
    _loaded_at TIMESTAMPTZ  when it was committed
    _run_id VARCHAR         by which run

The functions take a connection to which the database is attached as `store`.
"""

import contextlib
import datetime as dt
import hashlib
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import duckdb

from connector_resources.errors import InvalidSlice, SchemaConflict, TableTaken
from connector_resources.streams import ColumnType

if TYPE_CHECKING:
    from connector_resources.destinations.duckdb_changes import Change

TYPES: Mapping[ColumnType, str] = {
    "string": "VARCHAR",
    "integer": "BIGINT",
    "number": "DOUBLE",
    "decimal": "DECIMAL(38,9)",
    "boolean": "BOOLEAN",
    "timestamp": "TIMESTAMP WITH TIME ZONE",
    "epoch_ms": "TIMESTAMP WITH TIME ZONE",
    "date": "DATE",
    "json": "JSON",
}

HOUSEKEEPING = {
    "_extra": "JSON",
    "_partition": "VARCHAR",
    "_is_current": "BOOLEAN",
    "_page": "INTEGER",
    "_loaded_at": "TIMESTAMP WITH TIME ZONE",
    "_run_id": "VARCHAR",
}

RESERVED = {*HOUSEKEEPING, "_line"}

_WIDER: Mapping[str, tuple[str, ...]] = {
    "BOOLEAN": ("VARCHAR", "JSON"),
    "TINYINT": ("SMALLINT", "INTEGER", "BIGINT", "FLOAT", "DOUBLE", "VARCHAR"),
    "UTINYINT": ("SMALLINT", "INTEGER", "BIGINT", "FLOAT", "DOUBLE", "VARCHAR"),
    "SMALLINT": ("INTEGER", "BIGINT", "FLOAT", "DOUBLE", "VARCHAR"),
    "USMALLINT": ("INTEGER", "BIGINT", "FLOAT", "DOUBLE", "VARCHAR"),
    "INTEGER": ("BIGINT", "DOUBLE", "VARCHAR"),
    "UINTEGER": ("BIGINT", "DOUBLE", "VARCHAR"),
    "UBIGINT": ("DOUBLE", "VARCHAR"),
    "BIGINT": ("DECIMAL(38,9)", "DOUBLE", "VARCHAR", "JSON"),
    "DECIMAL(38,9)": ("VARCHAR",),
    "FLOAT": ("DOUBLE", "VARCHAR"),
    "DOUBLE": ("VARCHAR",),
    "DATE": ("VARCHAR",),
    "TIMESTAMP WITH TIME ZONE": ("VARCHAR",),
    "TIMESTAMP_S": ("TIMESTAMP_MS", "TIMESTAMP", "TIMESTAMP_NS", "VARCHAR"),
    "TIMESTAMP_MS": ("TIMESTAMP", "TIMESTAMP_NS", "VARCHAR"),
    "TIMESTAMP": ("TIMESTAMP_NS", "VARCHAR"),
    "JSON": ("VARCHAR",),
}
"""What a stored type may become. Whether every stored value stays what it was is looked at each time: a BIGINT of
seventeen digits is not the same as a DOUBLE."""


def is_wider(stored: str, declared: str) -> bool:
    """Whether a column stored as the one type may hold every value of the other."""
    return stored in _WIDER.get(declared, ())


def quoted(name: str) -> str:
    """Quote a name from an API for SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Quote a text for SQL where no parameter can stand."""
    if "\0" in text:  # ends a statement, wherever it stands
        return f"({' || chr(0) || '.join(map(literal, text.split(chr(0))))})"
    return "'" + text.replace("'", "''") + "'"


@dataclass(frozen=True, slots=True)
class PartitionFacts:
    """What one partition holds after a commit. `data_version` is the same for the same rows, whatever their order."""

    rows: int
    data_version: str
    first_cursor: dt.datetime | None = None
    last_cursor: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of the records of one landing, of all its partitions together.

    `vanished` are records that were there before and are in no day any more, though nobody said that they were deleted.
    `counted` is how many the server says there are, None where it does not.
    """

    received: int
    left_out: int = 0
    duplicates: int = 0
    quarantined: int = 0
    vanished: int = 0
    counted: int | None = None


def combined_version(partitions: Mapping[str, PartitionFacts]) -> str:
    """Return one version for several partitions together: it changes when the version of any of them does."""
    if len(partitions) == 1:
        return next(iter(partitions.values())).data_version
    versions = sorted((key, facts.data_version) for key, facts in partitions.items())
    return hashlib.blake2b(json.dumps(versions).encode(), digest_size=8).hexdigest()


def facts_of(
    connection: duckdb.DuckDBPyConnection, columns: Sequence[str], partitions: Sequence[str], cursor: str | None
) -> dict[str, PartitionFacts]:
    """Return what each of `partitions` has in the temporary table `batch`. Raises InvalidSlice for rows of others."""
    values = ", ".join(map(quoted, columns))
    ends = f"min({quoted(cursor)}), max({quoted(cursor)})" if cursor is not None else "NULL, NULL"
    # The sum of the hashes does not depend on the order of the rows, and a row that is there twice counts twice.
    rows = connection.execute(
        f"SELECT _partition, count(*), (sum(hash({values})::HUGEINT) % 18446744073709551616)::UBIGINT, {ends} "
        "FROM batch GROUP BY _partition"
    ).fetchall()
    found = {key: PartitionFacts(count, f"{version:016x}", first, last) for key, count, version, first, last in rows}
    if strays := sorted(str(key) for key in found.keys() - set(partitions)):
        raise InvalidSlice(
            f"There are rows of {strays[0]}, which is not among the partitions being written ({named(partitions)}). "
            "Leave them out, or write that partition too."
        )
    return {key: found.get(key, PartitionFacts(0, f"{0:016x}")) for key in partitions}


def make_table(
    connection: duckdb.DuckDBPyConnection,
    where: str,
    table: str,
    stored: Mapping[str, str],
    columns: Mapping[str, str],
) -> bool:
    """Create a table, or add and widen its columns; returns whether anything changed. Raises SchemaConflict."""
    if not stored:
        declared = ", ".join(f"{quoted(column)} {kind}" for column, kind in columns.items())
        connection.execute(f"CREATE TABLE {table} ({declared})")
        return True
    changed = False
    for column, kind in columns.items():
        before = stored.get(column.casefold())
        if before == kind:
            continue
        if before is None:
            connection.execute(f"ALTER TABLE {table} ADD COLUMN {quoted(column)} {kind}")
            changed = True
        elif kind in _WIDER.get(before, ()) and _survives(connection, table, column, before, kind):
            connection.execute(f"ALTER TABLE {table} ALTER COLUMN {quoted(column)} SET DATA TYPE {kind}")
            changed = True
        elif before not in _WIDER.get(kind, ()) or not _survives(connection, "batch", column, kind, before):
            raise SchemaConflict(
                f"{where}: column {column!r} is stored as {before} and declared as {kind}; values would not survive "
                f"the change. Declare it as {' or '.join((before, *_WIDER.get(before, ())))}, or drop the table and "
                "materialise all partitions again."
            )
    return changed


def _survives(connection: duckdb.DuckDBPyConnection, table: str, column: str, before: str, after: str) -> bool:
    """Whether every value of a column is the same once it has been through another type."""
    name = quoted(column)
    return count_rows(connection, f"{table} WHERE {name} <> TRY_CAST(TRY_CAST({name} AS {after}) AS {before}) OR "
                  f"({name} IS NOT NULL AND TRY_CAST({name} AS {after}) IS NULL)") == 0  # fmt: skip


def columns_of(connection: duckdb.DuckDBPyConnection, schema: str, name: str) -> dict[str, str]:
    """Return the types of a stored table's columns by their folded names; empty where there is no such table."""
    try:  # the catalogue's own table of columns takes twenty times longer
        kinds = described(connection, f"store.{quoted(schema)}.{quoted(name)}")
    except duckdb.CatalogException:
        return {}
    return {column.casefold(): kind for column, kind in kinds.items()}


_OURS = {
    "": {"_partition", "_loaded_at", "_run_id"},
    "_current": {"_partition", "_loaded_at", "_run_id"},
    "_deleted": {"_deleted_at", "_run_id"},
    "_quarantine": {"record", "reason", "_partition", "_run_id"},
}
"""What the tables of a stream have had in every version of this project, by the ends of their names."""

_THEIRS = {"_airbyte_": "of Airbyte or PyAirbyte", "_dlt_": "of dlt", "_sdc_": "of a Singer target",
           "_fivetran_": "of Fivetran"}  # fmt: skip
"""Whose a table is, by how its columns begin."""


def require_ours(
    connection: duckdb.DuckDBPyConnection, path: Path, schema: str, name: str, endings: Collection[str] = tuple(_OURS)
) -> None:
    """Raise TableTaken where another program has made what a table's name stands for, or that of one beside it.

    `endings` are those of the tables to look at. Asked before a transaction, which a failed look-up ends in DuckDB 2.
    """
    for ending in endings:
        columns = columns_of(connection, schema, f"{name}{ending}")
        if columns and not columns.keys() >= _OURS[ending]:
            whose = next(
                (who for start, who in _THEIRS.items() if any(column.startswith(start) for column in columns)),
                "of another program, or made by hand",
            )
            few = ", ".join(list(columns)[:5]) + (", …" if len(columns) > 5 else "")
            raise TableTaken(
                f"{schema}.{name}{ending} in {path} is there already and was not made by this project: it seems to be "
                f"{whose} (columns: {few}). Nothing was changed. Rename or drop it, or land somewhere else: in another "
                "file, with another schema_name or table_prefix of the cache, for assets in another DATA_FOLDER."
            )


MISSING_COLUMN = re.compile(r'(?:Referenced column|does not have a column named) "(.+?)"')


_NEAR_NAMES = re.compile(r"^(Candidate bindings|Did you mean)[: ]*(.+)$", re.MULTILINE)


def refusal(error: duckdb.Error) -> str:
    """Return what DuckDB has against a query, and the names it takes for those that were meant; not the query."""
    text = str(error)
    first = text.splitlines()[0]
    return f"{first.rstrip('!')}; {near[1]} {near[2]}" if (near := _NEAR_NAMES.search(text)) else first


def require_columns(connection: duckdb.DuckDBPyConnection, schema: str, name: str, needed: Collection[str]) -> None:
    """Raise SchemaConflict, listing the columns there are, where a table lacks one of those needed."""
    stored = columns_of(connection, schema, name)
    for column in needed:
        if column.casefold() not in stored:
            there = ", ".join(each for each in stored if each not in HOUSEKEEPING)
            raise SchemaConflict(lacks(f"{schema}.{name}", column, f" (columns: {there})"))


def tables_of(connection: duckdb.DuckDBPyConnection, sql: str) -> str:
    """Name the tables a query reads, for a message."""
    try:
        names = {name.partition(" AS ")[0].replace('"', "") for name in connection.get_table_names(sql, qualified=True)}
        return ", ".join(sorted(names)) or "The query"
    except duckdb.Error:  # what cannot be resolved, such as a join by a column that is missing
        return f"A table of {sql!r}"


def lacks(tables: str, column: str, there: str = "") -> str:
    """Say that a table has no such column, and what to do."""
    return (
        f"{tables} has no column {column!r}{there}. It may have been landed before the column was declared: "
        "materialise it again, and then what is made from it."
    )


_STATE_SINCE = {
    "extracted_at": "TIMESTAMPTZ",
    "rows_added": "BIGINT",
    "rows_removed": "BIGINT",
    "counted": "BIGINT",
    "received": "BIGINT",
    "left_out": "BIGINT",
    "duplicates": "BIGINT",
    "quarantined": "BIGINT",
    "vanished": "BIGINT",
}
"""Columns of the state that a database of an earlier version lacks; null where that landed last. The first three are of
the partition, the others of all partitions that were landed with it."""


def make_state(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the tables that say what the others hold, where they are missing."""
    connection.execute(
        "CREATE TABLE IF NOT EXISTS store._state (schema VARCHAR, name VARCHAR, partition VARCHAR, rows BIGINT, "
        "data_version VARCHAR, first_cursor TIMESTAMPTZ, last_cursor TIMESTAMPTZ, run_id VARCHAR, "
        f"loaded_at TIMESTAMPTZ, {', '.join(f'{column} {kind}' for column, kind in _STATE_SINCE.items())})"
    )
    for column, kind in _STATE_SINCE.items():
        connection.execute(f"ALTER TABLE store._state ADD COLUMN IF NOT EXISTS {column} {kind}")
    connection.execute(
        "CREATE TABLE IF NOT EXISTS store._fields (schema VARCHAR, name VARCHAR, path VARCHAR, type VARCHAR, "
        "first_seen TIMESTAMPTZ, run_id VARCHAR)"
    )
    connection.execute("CREATE TABLE IF NOT EXISTS store._frames (schema VARCHAR, name VARCHAR, dtypes VARCHAR)")


_ROWS = json.dumps([{
    "partition": "VARCHAR", "rows": "BIGINT", "data_version": "VARCHAR", "first_cursor": "VARCHAR",
    "last_cursor": "VARCHAR", "rows_added": "BIGINT", "rows_removed": "BIGINT",
}])  # fmt: skip


def write_state(
    connection: duckdb.DuckDBPyConnection,
    schema: str,
    name: str,
    facts: Mapping[str, PartitionFacts],
    run_id: str,
    extracted_at: dt.datetime | None = None,
    changes: "Mapping[str, Change]" = MappingProxyType({}),
    counts: Counts | None = None,
) -> None:
    """Replace the state of the partitions in `facts`; `extracted_at` is when their reading was begun."""
    # Literals, for the first statement with a parameter makes DuckDB 1.5 import pandas, which takes 0.3 s.
    connection.execute(
        f"DELETE FROM store._state WHERE {is_table(schema, name)} AND partition IN ({listed(tuple(facts))})"
    )
    of_landing = (
        (None,) * 6
        if counts is None
        else (counts.counted, counts.received, counts.left_out, counts.duplicates, counts.quarantined, counts.vanished)
    )
    of_partition = {key: (changed.added, changed.removed) for key, changed in changes.items()}
    rows = [
        {
            "partition": key,
            "rows": fact.rows,
            "data_version": fact.data_version,
            "first_cursor": None if fact.first_cursor is None else fact.first_cursor.isoformat(),
            "last_cursor": None if fact.last_cursor is None else fact.last_cursor.isoformat(),
            "rows_added": of_partition.get(key, (None, None))[0],
            "rows_removed": of_partition.get(key, (None, None))[1],
        }
        for key, fact in facts.items()
    ]
    # One literal: of a row for each of 600 days the parser alone makes a tenth of a second.
    connection.execute(
        "INSERT INTO store._state (schema, name, partition, rows, data_version, first_cursor, last_cursor, run_id, "
        f"loaded_at, {', '.join(_STATE_SINCE)}) SELECT {literal(schema)}, {literal(name)}, partition, rows, "
        f"data_version, first_cursor::TIMESTAMPTZ, last_cursor::TIMESTAMPTZ, {literal(run_id)}, now(), "
        f"{_instant(extracted_at)}, rows_added, rows_removed, {_numbers(*of_landing)} FROM "
        f"(SELECT unnest(from_json({literal(json.dumps(rows))}, {literal(_ROWS)}), recursive := true))"
    )


def newer_reading(
    connection: duckdb.DuckDBPyConnection,
    schema: str,
    name: str,
    partitions: Sequence[str],
    begun_at: dt.datetime,
    believed_until: dt.datetime,
) -> tuple[str, dt.datetime, str] | None:
    """Return a partition whose rows were read in a reading begun after `begun_at`: its key, when, and by which run.

    One that says it was begun after `believed_until`, which lies in the future, was read under a clock that was wrong.
    """
    found = connection.execute(
        f"SELECT partition, extracted_at, run_id FROM store._state WHERE {is_table(schema, name)} "
        f"AND partition IN ({listed(partitions)}) AND extracted_at > {_instant(begun_at)} "
        f"AND extracted_at <= {_instant(believed_until)} ORDER BY extracted_at DESC, partition LIMIT 1"
    ).fetchone()
    return None if found is None else (str(found[0]), found[1], str(found[2]))


def rows_in(connection: duckdb.DuckDBPyConnection, schema: str, name: str) -> int:
    """Return how many rows a table holds, all partitions together, older versions of records included."""
    row = connection.execute(f"SELECT sum(rows)::BIGINT FROM store._state WHERE {is_table(schema, name)}").fetchone()
    return 0 if row is None or row[0] is None else int(row[0])


def landed_keys(connection: duckdb.DuckDBPyConnection, schema: str, name: str) -> set[str]:
    """Return the partitions of a table that have ever been landed."""
    try:
        rows = connection.execute(f"SELECT partition FROM store._state WHERE {is_table(schema, name)}")
    except duckdb.CatalogException:
        return set()
    return {key for (key,) in rows.fetchall()}


def is_there(connection: duckdb.DuckDBPyConnection, schema: str, name: str) -> bool:
    """Return whether the database has such a table, in a transaction too, which a failed look-up may end."""
    found = connection.execute(
        "SELECT 1 FROM duckdb_tables() WHERE database_name = 'store' "
        f"AND schema_name = {literal(schema)} AND table_name = {literal(name)}"
    )
    return found.fetchone() is not None


def is_table(schema: str, name: str) -> str:
    """Return the condition for the rows of the state that are about one table."""
    return f"schema = {literal(schema)} AND name = {literal(name)}"


def _numbers(*values: int | None) -> str:
    return ", ".join("NULL" if value is None else str(value) for value in values)


def _instant(value: dt.datetime | None) -> str:
    return "NULL" if value is None else f"TIMESTAMPTZ {literal(value.isoformat())}"


@contextlib.contextmanager
def transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Commit what a block does to the attached database, all of it or nothing."""
    connection.execute("BEGIN")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(duckdb.Error):  # a fatal error has ended the transaction already
            connection.execute("ROLLBACK")
        raise


def described(connection: duckdb.DuckDBPyConnection, table: str) -> dict[str, str]:
    """Return the columns of a table or a query and their types, in order."""
    return {row[0]: row[1] for row in connection.execute(f"DESCRIBE {table}").fetchall()}


def count_rows(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    """Count the rows of a table, or of what may stand where one does."""
    row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    assert row is not None
    return int(row[0])


def listed(values: Sequence[str]) -> str:
    """Return values for an `IN (…)`."""
    return ", ".join(map(literal, values)) or "NULL"


def named(partitions: Sequence[str]) -> str:
    """Name partitions in a message: one, or the first and the last."""
    return partitions[0] if len(partitions) == 1 else f"{partitions[0]}…{partitions[-1]}"
