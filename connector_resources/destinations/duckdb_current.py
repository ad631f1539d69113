"""Which rows are current: the newest version of every record that has not been deleted.

`_is_current` on a row says so, and `<stream>_current` is the view of those rows. `<stream>_deleted` has a row, a
tombstone, for each record that is known to be deleted; it is made when there is one:

    the columns of the key
    _deleted_at TIMESTAMPTZ  when the vendor deleted it, where the vendor says so; else when the first complete reading
                             without it was begun
    _reason VARCHAR          how it is known
    _found_in VARCHAR        the table and partition that told: `aha.audits 2026-03-01`
    _run_id VARCHAR          by which run

A deletion is known from a complete snapshot that a record is missing in, from a column that says so
(`Stream.deleted_flag`), and from another stream that tells of it (`Stream.deletions`). Where two tell, the vendor's own
word stays. A record that an extraction begun after its deletion holds is there again, and its tombstone goes. Versions
of a deleted record stay in the table, where it is landed by day.
"""

import json
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta

import duckdb

from connector_resources.destinations.duckdb_tables import (
    TYPES,
    columns_of,
    count_rows,
    is_table,
    listed,
    literal,
    make_table,
    quoted,
)
from connector_resources.streams import Deletions, Stream

CLOCKS_APART = timedelta(minutes=10)
"""What is said to have happened later than this from now was told by a clock that was wrong."""
MISSING = "missing in a complete snapshot"
_TOMBSTONE = {
    "_deleted_at": "TIMESTAMP WITH TIME ZONE",
    "_reason": "VARCHAR",
    "_found_in": "VARCHAR",
    "_run_id": "VARCHAR",
}


class CurrentRows:
    """The flag and the tombstones of one stream, for the time of a commit.

    `has_versions` says whether a record may lie in several partitions; unless it is told, that is so of days.

    Made before the transaction, which DuckDB 2 ends when a table is looked up that is not there.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        source: str,
        stream: Stream,
        run_id: str,
        now: datetime,
        *,
        has_versions: bool | None = None,
    ) -> None:
        self.name = stream.name
        self._connection = connection
        self._source = source
        self._stream = stream
        self._run_id = run_id
        self._now = now
        self._has_versions = stream.is_partitioned if has_versions is None else has_versions
        self._key = ", ".join(map(quoted, stream.primary_key))
        self._table = f"store.{quoted(source)}.{quoted(stream.name)}"
        self._tombstones = f"store.{quoted(source)}.{quoted(stream.name + '_deleted')}"
        self._has_rows = bool(columns_of(connection, source, stream.name))
        self._stored = columns_of(connection, source, f"{stream.name}_deleted")
        self.deleted = 0
        """How many records were found to be deleted."""

    # -- a commit of the stream itself: before its rows are replaced, and after -------------------------------------

    def remember_touched(self, replaced: Sequence[str]) -> None:
        """Note which records have a version in the batch or in the partitions that it replaces."""
        if self._has_versions:
            self._run(
                f"CREATE OR REPLACE TEMP TABLE touched AS SELECT DISTINCT {self._key} FROM batch "
                f"UNION SELECT DISTINCT {self._key} FROM {self._table} WHERE _partition IN ({listed(replaced)})"
            )

    def bury_missing(self, partition: str, begun_at: float, quarantined: Collection[str]) -> None:
        """Mark the records of the last snapshot that the batch, which is a complete one, does not have.

        A record among `quarantined`, which are as they came, is there, though not in the batch.
        """
        self._run(
            f"CREATE OR REPLACE TEMP TABLE missing AS SELECT DISTINCT {self._key} FROM {self._table} "
            f"ANTI JOIN batch USING ({self._key})"
        )
        own = [name for name in self._stream.primary_key if self._stream.column(name).parent is None]
        for record in quarantined:
            if (values := _values(record, own)) is not None:
                same = " AND ".join(f"{quoted(n)}::VARCHAR = {literal(v)}" for n, v in zip(own, values, strict=True))
                self._run(f"DELETE FROM missing WHERE {same}")
        if count_rows(self._connection, "missing"):
            self._make_tombstones()
            self._bury(
                f"SELECT {self._key}, {_instant(begun_at)} AS _deleted_at, {literal(MISSING)} AS _reason, "
                f"{literal(f'{self._source}.{self._stream.name} {partition}')} AS _found_in "
                f"FROM missing ANTI JOIN {self._tombstones} USING ({self._key})"
            )

    def mark(self, begun_at: float) -> None:
        """Set the flag right for every record that was touched, wherever its versions lie, once the rows are in."""
        if self._stored:
            # A record that has a tombstone younger than this reading was deleted since; any other one is there again,
            # and so is one whose tombstone is of the future.
            future = (self._now + CLOCKS_APART).timestamp()
            self._run(
                f"DELETE FROM {self._tombstones} AS old USING batch WHERE {self._same('old', 'batch')} "
                f"AND (old._deleted_at < {_instant(begun_at)} OR old._deleted_at > {_instant(future)})"
            )
        if self._has_versions:
            self._mark_newest()
        if (flag := self._stream.deleted_flag) is not None:
            of_batch = f"{self._table} SEMI JOIN batch USING ({self._key}) WHERE _is_current AND {quoted(flag)}"
            if count_rows(self._connection, of_batch):
                self._make_tombstones()
                cursor = self._stream.cursor
                deleted_at = (
                    _instant(begun_at)
                    if cursor is None
                    else f"coalesce({quoted(cursor.column)}::TIMESTAMPTZ, {_instant(begun_at)})"
                )
                self._bury(
                    f"SELECT {self._key}, {deleted_at} AS _deleted_at, {literal(f'{flag} is true')} AS _reason, "
                    f"{literal(f'{self._source}.{self._stream.name} ')} || _partition AS _found_in "
                    f"FROM (SELECT * FROM {of_batch}) ANTI JOIN {self._tombstones} USING ({self._key})"
                )
        self._leave_out_deleted()

    def count_vanished(self) -> int:
        """Return how many records that were touched have no row any more, in any partition, and no tombstone."""
        deleted = f" ANTI JOIN {self._tombstones} USING ({self._key})" if self._stored else ""
        return count_rows(self._connection, f"(FROM touched ANTI JOIN {self._table} USING ({self._key}){deleted})")

    # -- a commit of another stream, which tells what was deleted --------------------------------------------------

    def bury_told(self, told_by: str, deletions: Deletions, types: Collection[str], replaced: Sequence[str]) -> None:
        """Mark the records that the batch, rows of the stream `told_by`, says were deleted.

        What its partitions `replaced` had told before is taken back first.
        """
        found_in = ", ".join(literal(f"{told_by} {key}") for key in replaced)
        (name,) = self._stream.primary_key
        key, kind = quoted(name), TYPES[self._stream.column(name).type]
        told, at = quoted(deletions.id), quoted(deletions.at)
        self._run(
            f"CREATE OR REPLACE TEMP TABLE told AS SELECT CAST({told} AS {kind}) AS {key}, max({at}) AS _deleted_at, "
            f"{literal(told_by + ' ')} || max_by(_partition, {at}) AS _found_in FROM batch "
            f"WHERE {quoted(deletions.action)} = {literal(deletions.deleted)} "
            f"AND {quoted(deletions.type)} IN ({listed(tuple(types))}) AND {told} IS NOT NULL GROUP BY 1"
        )
        self._run(f"CREATE OR REPLACE TEMP TABLE touched AS SELECT {key} FROM told")
        if self._stored:
            self._run(f"INSERT INTO touched SELECT {key} FROM {self._tombstones} WHERE _found_in IN ({found_in})")
            self._run(f"DELETE FROM {self._tombstones} WHERE _found_in IN ({found_in})")
        if self._has_rows:
            # What was read after its deletion has been restored since.
            self._run(
                f"DELETE FROM told USING (SELECT {key}, max(_seen_at) AS _seen_at FROM "
                f"(SELECT {key}, _partition FROM {self._table} SEMI JOIN told USING ({key})) JOIN "
                "(SELECT partition AS _partition, coalesce(extracted_at, loaded_at) AS _seen_at FROM store._state "
                f"WHERE {is_table(self._source, self._stream.name)}) USING (_partition) GROUP BY {key}) AS seen "
                f"WHERE told.{key} = seen.{key} AND seen._seen_at > told._deleted_at"
            )
        if count_rows(self._connection, "told"):
            self._make_tombstones()
            self._run(
                f"DELETE FROM {self._tombstones} AS old USING told WHERE {self._same('old', 'told')} "
                f"AND (old._reason = {literal(MISSING)} OR old._deleted_at <= told._deleted_at)"
            )
            self._bury(
                f"SELECT *, {literal(f'{told_by} says so')} AS _reason FROM told "
                f"ANTI JOIN {self._tombstones} USING ({key})"
            )
        if self._has_rows and count_rows(self._connection, "touched"):
            self._mark_newest()
            self._leave_out_deleted()

    # -- the parts ---------------------------------------------------------------------------------------------------

    def _make_tombstones(self) -> None:
        columns = {name: TYPES[self._stream.column(name).type] for name in self._stream.primary_key}
        where = f"{self._source}.{self._stream.name}_deleted"
        make_table(self._connection, where, self._tombstones, self._stored, {**columns, **_TOMBSTONE})
        self._stored = {name.casefold(): kind for name, kind in {**columns, **_TOMBSTONE}.items()}

    def _bury(self, query: str) -> None:
        before = count_rows(self._connection, self._tombstones)
        self._run(f"INSERT INTO {self._tombstones} BY NAME SELECT *, {literal(self._run_id)} AS _run_id FROM ({query})")
        self.deleted += count_rows(self._connection, self._tombstones) - before

    def _mark_newest(self) -> None:
        names = (*self._stream.primary_key, "_partition")
        same = " AND ".join(f"target.{quoted(name)} = wrong.{quoted(name)}" for name in names)
        newest = f"{quoted(self._stream.cursor.column)} DESC NULLS LAST, " if self._stream.cursor is not None else ""
        self._run(
            f"UPDATE {self._table} AS target SET _is_current = NOT target._is_current FROM ("
            f"SELECT {', '.join(map(quoted, names))} FROM {self._table} SEMI JOIN touched USING ({self._key}) QUALIFY "
            f"(row_number() OVER (PARTITION BY {self._key} ORDER BY {newest}_partition DESC) = 1) <> _is_current"
            f") AS wrong WHERE {same}"
        )

    def _leave_out_deleted(self) -> None:
        if self._stored:
            self._run(
                f"UPDATE {self._table} AS target SET _is_current = false FROM {self._tombstones} AS gone "
                f"WHERE target._is_current AND {self._same('target', 'gone')}"
            )

    def _same(self, left: str, right: str) -> str:
        return " AND ".join(f"{left}.{quoted(name)} = {right}.{quoted(name)}" for name in self._stream.primary_key)

    def _run(self, sql: str) -> None:
        self._connection.execute(sql)


def _values(record: str, names: Sequence[str]) -> list[str] | None:
    """Return the values of a quarantined record as text; None where it has not all of them or cannot be read."""
    try:
        fields = json.loads(record)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict) or any(not isinstance(fields.get(name), str | int) for name in names):
        return None
    return [str(fields[name]) for name in names]


def _instant(epoch_seconds: float) -> str:
    return f"TIMESTAMPTZ {literal(datetime.fromtimestamp(epoch_seconds, UTC).isoformat())}"
