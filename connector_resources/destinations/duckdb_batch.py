"""One extraction on its way into its table: parsed into a temporary table, counted, committed in one transaction."""

import datetime as dt
import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb

from connector_resources.destinations.duckdb_changes import Change, changes
from connector_resources.destinations.duckdb_current import CLOCKS_APART, CurrentRows
from connector_resources.destinations.duckdb_tables import (
    HOUSEKEEPING,
    RESERVED,
    TYPES,
    Counts,
    PartitionFacts,
    columns_of,
    count_rows,
    described,
    facts_of,
    is_table,
    landed_keys,
    listed,
    literal,
    make_state,
    make_table,
    newer_reading,
    quoted,
    rows_in,
    transaction,
    write_state,
)
from connector_resources.errors import OutdatedReading, SchemaConflict, ShrunkSnapshot, TooManyQuarantined
from connector_resources.schema import Checked, Undeclared
from connector_resources.streams import SNAPSHOT, Column, ColumnType, Stream, Window

_READ_AS: Mapping[ColumnType, str] = {**TYPES, "decimal": "JSON", "epoch_ms": "BIGINT"}

_SMALLEST_READ_BYTES = 16 << 20
"""DuckDB's reader takes twice the largest object it is told of as a buffer, per thread, and of never less than this."""

_SUSPICIOUS_PARENTS = 2

_CURRENT = (
    "The newest version of each record of {0}. Records that are known to be deleted are left out; {0}_deleted, where "
    "there is one, lists them."
)


class Batch:
    """The rows of one extraction on their way from a spool to a table.

    With `read`, they become a partition of that name, beside all that others have brought. With `keep_missing`, rows
    whose records the extraction does not have stay in the partitions that are replaced. With `replace_all` every
    partition is replaced that was ever landed.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        source: str,
        stream: Stream,
        partitions: tuple[str, ...],
        window: Window | None,
        run_id: str,
        begun_at: float,
        *,
        now: dt.datetime,
        read_for: Collection[str] = (),
        counted: int | None = None,
        read: str | None = None,
        keep_missing: bool = False,
        replace_all: bool = False,
    ) -> None:
        if reserved := [column.name for column in stream.columns if column.name.casefold() in RESERVED]:
            raise SchemaConflict(f"{source}.{stream.name}: the column name {reserved[0]!r} is taken by our own.")
        self._connection = connection
        self._source = source
        self._stream = stream
        self._partitions = partitions if read is None else (read,)
        self._read = read
        self._keeps_missing = keep_missing
        self._replaces_all = replace_all
        self._has_versions = stream.is_partitioned or read is not None
        self._window = window
        self._run_id = run_id
        self._begun_at = begun_at
        self._now = now
        self._others = sorted(set(read_for) - set(partitions)) if stream.inherits_partitions and read is None else []
        self._counted = counted
        self._quarantined: list[tuple[str, str, int, str]] = []
        self._fitting: dict[str, int] = {}
        self._key = ", ".join(map(quoted, (*stream.primary_key, "_partition")))
        self.table = f"{source}.{stream.name}"
        self.received = 0
        self.left_out = 0
        self.duplicates = 0
        self.quarantined = 0
        self.vanished = 0
        self.changes: Mapping[str, Change] = {}
        self.deleted = 0
        self.deleted_elsewhere: dict[str, int] = {}
        self.rows_in_table = 0
        self.first_seen: dict[str, dt.datetime | None] = {}

    def stage(self, checked: Checked) -> None:
        """Parse the checked lines into a temporary table, each row under its partition, one row a record."""
        stream, run = self._stream, self._connection.execute
        columns = ", ".join(
            f"{_extracted(column, checked.exact)} AS {quoted(column.name)}" for column in stream.columns
        )
        run("DROP TABLE IF EXISTS batch")  # of a try that was given up
        run("DROP TABLE IF EXISTS doubled")
        self.duplicates = 0
        run(
            f"CREATE TEMP TABLE batch AS SELECT {columns}, _extra::JSON AS _extra, {self._partition()} AS _partition, "
            f"_page FROM {self._lines(checked)} {self._condition()}"
        )
        counted = run("SELECT _partition, count(*) FROM batch GROUP BY _partition").fetchall()
        self._fitting = {str(key): rows for key, rows in counted}
        staged = sum(self._fitting.values())
        self.received = checked.received
        keys = [self._quarantine_keys(bad) for bad in checked.quarantined]
        self.quarantined = sum(map(bool, keys))
        self._quarantined = [
            (bad.record, bad.reason, bad.page, key)
            for bad, its in zip(checked.quarantined, keys, strict=True)
            for key in its
        ]
        if self._window is not None:
            self.left_out = checked.received - self.quarantined - staged
        elif self._others:
            without = f"{self._lines(checked)} WHERE len({self._landing_in()}) = 0"
            self.left_out = count_rows(self._connection, without) + keys.count(())
        if count_rows(self._connection, f"(SELECT DISTINCT {self._key} FROM batch)") != staged:
            newest = f"{quoted(stream.cursor.column)} DESC NULLS LAST, " if stream.cursor is not None else ""
            run("ALTER TABLE batch RENAME TO doubled")
            run(
                "CREATE TEMP TABLE batch AS SELECT * EXCLUDE (_line) FROM "
                "(SELECT *, row_number() OVER () AS _line FROM doubled) QUALIFY row_number() OVER "
                f"(PARTITION BY {self._key} ORDER BY {newest}_page DESC, _line DESC) = 1"
            )
            run("DROP TABLE doubled")
            self.duplicates = staged - count_rows(self._connection, "batch")

    @property
    def first_reason(self) -> str | None:
        """The reason and page of the first record put aside."""
        return next((f"{reason} (page {page})" for _, reason, page, _ in self._quarantined), None)

    def require_share(self, limit: float) -> None:
        """Raise TooManyQuarantined where the bad records of any partition are more than `limit` of all it has.

        By partition, for one that loses all its rows is lost however much was received for others, or for no one: an
        API may list far more than the window. A slice whose partitions are all within the limit is so itself.
        """
        bad = Counter(key for *_, key in self._quarantined)
        over = sorted(key for key, count in bad.items() if count > limit * (count + self._fitting.get(key, 0)))
        if over:
            worst, count = over[0], bad[over[0]]
            reason, page = next((reason, page) for _, reason, page, key in self._quarantined if key == worst)
            more = f" (and too many in {len(over) - 1} more partitions)" if len(over) > 1 else ""
            raise TooManyQuarantined(
                f"{self.table} {worst}: {count} of {count + self._fitting.get(worst, 0)} records do not fit their "
                f"declaration; the first: {reason} (page {page}){more}. The table is as it was. Correct the "
                "declaration of the column and run again."
            )

    def facts(self) -> dict[str, PartitionFacts]:
        """Return what each of the partitions will hold."""
        columns = [*(column.name for column in self._stream.columns), "_extra"]
        cursor = self._stream.cursor.column if self._stream.cursor is not None else None
        return facts_of(self._connection, columns, self._partitions, cursor)

    def preview(self) -> list[dict[str, Any]]:
        """Return the newest five rows of the batch."""
        order = f"ORDER BY {quoted(self._stream.cursor.column)} DESC NULLS LAST" if self._stream.cursor else ""
        names = [column.name for column in self._stream.columns]
        query = f"SELECT {', '.join(map(quoted, names))} FROM batch {order} LIMIT 5"
        return [dict(zip(names, row, strict=True)) for row in self._connection.execute(query).fetchall()]

    def commit(
        self,
        where: str,
        facts: Mapping[str, PartitionFacts],
        undeclared: Sequence[Undeclared],
        within: Callable[[duckdb.DuckDBPyConnection], None] = lambda connection: None,
    ) -> Mapping[str, PartitionFacts]:
        """Write everything of the batch in one transaction, and return what each of the partitions holds then.

        Raises OutdatedReading where rows of a later reading are there: who reads first may come to land last.
        """
        connection, source, stream = self._connection, self._source, self._stream
        # Looked up before the transaction, which DuckDB 2 ends when a table is not there.
        stored = columns_of(connection, source, stream.name)
        has_quarantine = bool(columns_of(connection, source, f"{stream.name}_quarantine"))
        current = CurrentRows(connection, source, stream, self._run_id, self._now, has_versions=self._has_versions)
        told_of = self._told_of()
        with transaction(connection):
            make_state(connection)
            within(connection)
            if self._replaces_all:
                others = landed_keys(connection, source, stream.name) - set(self._partitions)
                self._partitions = (*self._partitions, *sorted(others))
                facts = self.facts()
            self._require_newest(where)
            if self._keeps_missing and stored:
                self._take_missing(stored)
                facts = self.facts()
            if self._read is not None and stored and (self._window is not None or self._stream.inherits_partitions):
                self._leave_out_known(stored)
                facts = self.facts()
            self._replace(where, stored, facts, current)
            if has_quarantine or self._quarantined:
                self._replace_quarantine()
            if stream.deletions is not None:
                for other, types in told_of:
                    other.bury_told(self.table, stream.deletions, types, self._partitions)
            counts = Counts(
                self.received, self.left_out, self.duplicates, self.quarantined, self.vanished, self._counted
            )
            write_state(connection, source, stream.name, facts, self._run_id, self._extracted_at, self.changes, counts)
            self.rows_in_table = rows_in(connection, source, stream.name)
            self._note_fields(undeclared)
        self.deleted = current.deleted
        self.deleted_elsewhere = {other.name: other.deleted for other, _ in told_of if other.deleted}
        return facts

    def require_rows(self, where: str, max_shrunk_share: float, parents_gone: int) -> None:
        """Raise ShrunkSnapshot where fewer rows than before are more likely a fault than the truth.

        That is so of a snapshot that lost more than `max_shrunk_share` of its rows, or all; and of days that lost all
        of theirs while the vendor answered 404 for two of their parents or more.
        """
        is_snapshot = not self._has_versions
        if not (is_snapshot or parents_gone >= _SUSPICIOUS_PARENTS):
            return
        if not columns_of(self._connection, self._source, self._stream.name):
            return
        stored = f"store.{quoted(self._source)}.{quoted(self._stream.name)}"
        before = count_rows(self._connection, f"{stored} WHERE _partition IN ({listed(self._partitions)})")
        after = count_rows(self._connection, "batch") + self.quarantined
        advice = (
            "The table is as it was. If the records are really gone, say so: with `confirm_shrink: true` in the run "
            "config of its asset, or with write_strategy='replace' in a script."
        )
        if is_snapshot and before and (not after or after < before * (1 - max_shrunk_share)):
            raise ShrunkSnapshot(
                f"{where}: the snapshot has {after} records, and there were {before}. All gone, or more than "
                f"{max_shrunk_share:.0%}, is more likely a credential that sees less, or a fault of the API. {advice}"
            )
        if not is_snapshot and before and not after:
            raise ShrunkSnapshot(
                f"{where}: the vendor answered 404 for {parents_gone} parents, and all {before} records that were "
                f"there are gone. That is more likely a credential that sees less, or a fault of the API. {advice}"
            )

    def _require_newest(self, where: str) -> None:
        newer = newer_reading(
            self._connection,
            self._source,
            self._stream.name,
            self._partitions,
            self._extracted_at,
            self._now + CLOCKS_APART,
        )
        if newer is not None:
            partition, begun_at, run_id = newer
            raise OutdatedReading(
                f"{where}: this was read from {_second(self._extracted_at)} on, and run {run_id} has landed "
                f"{partition} as it was read from {_second(begun_at)} on. The newer rows stay. Run it again if it had "
                "other partitions besides."
            )

    def _told_of(self) -> list[tuple[CurrentRows, list[str]]]:
        """Return the streams whose deletions this one tells of, and by which names."""
        if self._stream.deletions is None:
            return []
        types: dict[str, tuple[Stream, list[str]]] = {}
        for kind, stream in self._stream.deletions.streams.items():
            types.setdefault(stream.name, (stream, []))[1].append(kind)
        return [
            (CurrentRows(self._connection, self._source, stream, self._run_id, self._now), kinds)
            for stream, kinds in types.values()
        ]

    @property
    def _extracted_at(self) -> dt.datetime:
        return dt.datetime.fromtimestamp(self._begun_at, dt.UTC)

    def _replace(
        self, where: str, stored: Mapping[str, str], facts: Mapping[str, PartitionFacts], current: CurrentRows
    ) -> None:
        run, stream = self._connection.execute, self._stream
        table = f"store.{quoted(self._source)}.{quoted(stream.name)}"
        replaced = f"_partition IN ({listed(self._partitions)})"
        declared = {column.name: TYPES[column.type] for column in stream.columns}
        run(f"CREATE SCHEMA IF NOT EXISTS store.{quoted(self._source)}")
        changed = make_table(self._connection, where, table, stored, {**declared, **HOUSEKEEPING})
        compared = {
            name: kind
            for name, kind in (described(self._connection, table) if changed else stored).items()
            if name.casefold() in {column.casefold() for column in (*declared, "_extra")}
        }
        self.changes = changes(self._connection, self._source, stream.name, stream.primary_key, compared, facts)
        current.remember_touched(self._partitions)
        if stored and not self._has_versions:
            current.bury_missing(SNAPSHOT, self._begun_at, [record for record, *_ in self._quarantined])
        run(f"DELETE FROM {table} WHERE {replaced}")
        run(f"INSERT INTO {table} BY NAME SELECT *, true AS _is_current, now() AS _loaded_at, "
            f"{literal(self._run_id)} AS _run_id FROM batch")  # fmt: skip
        current.mark(self._begun_at)
        if self._has_versions and any(change.removed for change in self.changes.values()):
            self.vanished = current.count_vanished()
        if changed:
            # A view holds the columns there were when it was made, so it is made again when they change. Names in it
            # are not qualified by a database, for the file is attached under different names by different readers.
            view = f"{quoted(self._source)}.{quoted(stream.name + '_current')}"
            run("USE store")
            run(f"CREATE OR REPLACE VIEW {view} AS SELECT * EXCLUDE (_is_current) "
                f"FROM {quoted(self._source)}.{quoted(stream.name)} WHERE _is_current")  # fmt: skip
            run(f"COMMENT ON VIEW {view} IS {literal(_CURRENT.format(stream.name))}")
            run("USE memory")

    def _take_missing(self, stored: Mapping[str, str]) -> None:
        """Take into the batch the rows of its partitions whose records it does not have."""
        names = ", ".join(quoted(name) for name in described(self._connection, "batch") if name.casefold() in stored)
        same = " AND ".join(f"old.{quoted(name)} = batch.{quoted(name)}" for name in self._stream.primary_key)
        self._connection.execute(
            f"INSERT INTO batch BY NAME SELECT {names} FROM store.{quoted(self._source)}.{quoted(self._stream.name)} "
            f"AS old WHERE _partition IN ({listed(self._partitions)}) "
            f"AND NOT EXISTS (SELECT 1 FROM batch WHERE {same} AND old._partition = batch._partition)"
        )

    def _leave_out_known(self, stored: Mapping[str, str]) -> None:
        """Leave out of the batch what other reads have brought, as it is: the same window may be read twice."""
        names = [name for name in described(self._connection, "batch") if name not in ("_partition", "_page")]
        known = " AND ".join(
            f"batch.{quoted(name)}::VARCHAR IS NOT DISTINCT FROM "
            + (f"old.{quoted(name)}::VARCHAR" if name.casefold() in stored else "NULL")
            for name in names
        )
        same = " AND ".join(f"old.{quoted(name)} = batch.{quoted(name)}" for name in self._stream.primary_key)
        before = count_rows(self._connection, "batch")
        self._connection.execute(
            f"DELETE FROM batch USING store.{quoted(self._source)}.{quoted(self._stream.name)} AS old "
            f"WHERE {same} AND old._partition <> {literal(str(self._read))} AND {known}"
        )
        self.left_out += before - count_rows(self._connection, "batch")

    def _note_fields(self, undeclared: Sequence[Undeclared]) -> None:
        """Note when a field nobody declared was seen first, and find out for those that were seen before."""
        if not undeclared:
            return
        run, paths = self._connection.execute, [f"$.{field.name}" for field in undeclared]
        about = f"{is_table(self._source, self._stream.name)} AND path IN ({listed(paths)})"
        seen = dict(run(f"SELECT path, first_seen FROM store._fields WHERE {about}").fetchall())
        self.first_seen = {field.name: seen.get(path) for field, path in zip(undeclared, paths, strict=True)}
        new = [
            f"({literal(self._source)}, {literal(self._stream.name)}, {literal(path)}, {literal(field.type)}, "
            f"TIMESTAMPTZ {literal(self._extracted_at.isoformat())}, {literal(self._run_id)})"
            for field, path in zip(undeclared, paths, strict=True)
            if path not in seen
        ]
        if new:
            run(f"INSERT INTO store._fields VALUES {', '.join(new)}")

    def _replace_quarantine(self) -> None:
        name = f"{self._stream.name}_quarantine"
        table = f"store.{quoted(self._source)}.{quoted(name)}"
        self._connection.execute(
            f"CREATE TABLE IF NOT EXISTS {table} (record VARCHAR, reason VARCHAR, _page INTEGER, _partition VARCHAR, "
            "_loaded_at TIMESTAMP WITH TIME ZONE, _run_id VARCHAR)"
        )
        self._connection.execute(f"DELETE FROM {table} WHERE _partition IN ({listed(self._partitions)})")
        kinds = {"record": "VARCHAR", "reason": "VARCHAR", "_page": "INTEGER", "_partition": "VARCHAR"}
        rows = [(*row, self._run_id) for row in self._quarantined]
        _insert(self._connection, table, {**kinds, "_run_id": "VARCHAR"}, rows, loaded_at="_loaded_at")

    def _quarantine_keys(self, bad: Any) -> tuple[str, ...]:
        """Return the partitions a bad record belongs to; the first one where its cursor cannot be read."""
        if self._read is not None and (self._window is None or bad.cursor is None):
            return self._partitions
        if bad.partitions:
            return tuple(key for key in bad.partitions if key not in self._others)
        if self._window is None or bad.cursor is None:
            return self._partitions[:1]
        if not self._window.start <= bad.cursor < self._window.end:
            return ()
        if self._read is not None:
            return self._partitions
        return (bad.cursor.astimezone(dt.UTC).strftime("%Y-%m-%d"),)

    def _lines(self, checked: Checked) -> str:
        own = [column for column in self._stream.columns if column.parent is None]
        given = [column for column in self._stream.columns if column.parent is not None]
        shape = {"_page": "INTEGER", "_extra": "VARCHAR", "_record": _struct((c.name, _READ_AS[c.type]) for c in own)}
        if checked.exact:
            shape["_exact"] = _struct((name, "VARCHAR") for name in sorted(checked.exact))
        if self._stream.parent is not None:
            shape["_partitions"] = "VARCHAR[]"
            if given:
                shape["_parent"] = _struct({str(c.parent): _READ_AS[c.type] for c in given}.items())
        columns = ", ".join(f"{literal(name)}: {literal(kind)}" for name, kind in shape.items())
        return (
            f"read_json({literal(_as_pattern(checked.file))}, format = 'newline_delimited', columns = {{{columns}}}, "
            "hive_partitioning = false, "
            f"maximum_object_size = {read_buffer_bytes(checked) // 2})"
        )

    def _partition(self) -> str:
        if self._read is not None:
            return literal(self._read)
        if self._stream.inherits_partitions:
            return f"unnest({self._landing_in()})"
        if self._window is not None and self._stream.cursor is not None:
            return f"strftime({_extracted(self._stream.column(self._stream.cursor.column))}, '%Y-%m-%d')"
        return literal(SNAPSHOT)

    def _landing_in(self) -> str:
        """Return the SQL for the partitions that a substream's row lands in."""
        if not self._others:
            return "_partitions"
        return f"list_filter(_partitions, lambda each: each NOT IN ({listed(self._others)}))"

    def _condition(self) -> str:
        if self._window is None or self._stream.cursor is None:
            return ""
        cursor = _extracted(self._stream.column(self._stream.cursor.column))
        start, end = (
            f"TIMESTAMPTZ {literal(instant.isoformat())}" for instant in (self._window.start, self._window.end)
        )
        return f"WHERE {cursor} >= {start} AND {cursor} < {end}"


def read_buffer_bytes(checked: Checked) -> int:
    """Return how much of the lines DuckDB's reader has in memory, for each of its threads."""
    return 2 * max(_SMALLEST_READ_BYTES, checked.longest_line_bytes)


def _extracted(column: Column, exact: Collection[str] = ()) -> str:
    value = f"_record.{quoted(column.name)}" if column.parent is None else f"_parent.{quoted(column.parent)}"
    if column.type == "epoch_ms":
        return f"epoch_ms({value})::TIMESTAMPTZ"
    if column.type == "decimal":
        return f"CAST({value} ->> '$' AS DECIMAL(38,9))"
    if column.name in exact:
        return f"coalesce(CAST(_exact.{quoted(column.name)} AS JSON), {value})"
    return value


def _as_pattern(path: Path) -> str:
    """Return the pattern that matches a path alone, for the store takes paths as patterns."""
    return re.sub(r"([*?\[])", r"[\1]", str(path))


def _struct(fields: Any) -> str:
    return f"STRUCT({', '.join(f'{quoted(name)} {kind}' for name, kind in fields)})"


def _insert(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    kinds: Mapping[str, str],
    rows: Sequence[tuple[Any, ...]],
    *,
    loaded_at: str,
) -> None:
    """Insert rows from Python, and the instant into `loaded_at`, in one statement; one by one is much slower."""
    if rows:
        values = ", ".join(f"unnest(?::{kind}[]) AS {quoted(column)}" for column, kind in kinds.items())
        connection.execute(
            f"INSERT INTO {table} BY NAME SELECT *, now() AS {loaded_at} FROM (SELECT {values})",
            [list(column) for column in zip(*rows, strict=True)],
        )


def _second(instant: dt.datetime) -> str:
    return f"{instant.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S} UTC"
