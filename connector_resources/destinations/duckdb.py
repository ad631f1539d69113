"""DuckDB: partitions landed exactly, in one transaction, one writer at a time.

A database file admits one process. So records are parsed and staged in a private in-memory database first; then the
side-car lock is taken, the file attached, one transaction committed, the file detached, the lock released. The lock
goes around attach and detach, for readers (shared) too: DuckDB 2.0.0 reads a file's header before it takes its own
lock, and two processes that race there lose an acknowledged commit without an error.

What a table holds beside the declared columns:

    _extra JSON             fields nobody declared
    _partition VARCHAR      the partition the row was landed under; `all` for a snapshot
    _is_current BOOLEAN     whether this is the newest version of the record (by cursor, then partition)
    _page INTEGER           where in the extraction it came from
    _loaded_at TIMESTAMPTZ  when it was committed
    _run_id VARCHAR         by which run

`<stream>_current` is a view of the current rows. A flag is kept instead of a second table: at 10 million rows and a
1 % batch the commit takes 0.45 s against 1.0 s and the file is half as large, and reading through the flag costs less
than twice a plain scan.
"""

import contextlib
import datetime as dt
import errno
import hashlib
import json
import logging
import os
import random
import re
import shutil
import time
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import portalocker

from connector_resources.errors import (
    DestinationBusy,
    DestinationUnwritable,
    IncompleteRead,
    InvalidSlice,
    MalformedPage,
    PartitionMissing,
    SchemaConflict,
    TooManyQuarantined,
)
from connector_resources.schema import Checked, Undeclared, check
from connector_resources.spool import Spool
from connector_resources.streams import SNAPSHOT, Column, ColumnType, ParentRow, Stream, Window

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

CONNECTION_SETTINGS: Mapping[str, str] = {"TimeZone": "UTC"}
"""What every connection of ours to a database has in common; connections of one process must agree."""

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

_READ_AS: Mapping[ColumnType, str] = {**TYPES, "decimal": "JSON", "epoch_ms": "BIGINT"}
_HOUSEKEEPING = {
    "_extra": "JSON",
    "_partition": "VARCHAR",
    "_is_current": "BOOLEAN",
    "_page": "INTEGER",
    "_loaded_at": "TIMESTAMP WITH TIME ZONE",
    "_run_id": "VARCHAR",
}
_RESERVED = {*_HOUSEKEEPING, "_line"}
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

MEMORY_LIMIT = "192MB"
"""What DuckDB may take to land, unless told otherwise: a run then stays below 450 MB however many rows there are."""

_SMALLEST_READ_BYTES = 16 << 20
"""DuckDB's reader takes twice the largest object it is told of as a buffer, per thread, and never less than this."""
_THREADS = 1
"""One loads as fast as two for half of the CPU, and each takes its buffers out of the memory limit."""
_FIRST_WARNING_SECONDS, _NEXT_WARNING_SECONDS = 5.0, 30.0
_STALE_AFTER_SECONDS = 24 * 3600.0
"""What a process that was killed has left in the temporary folder is removed after this time."""


def quoted(name: str) -> str:
    """Quote a name from an API for SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Quote a text for SQL where no parameter can stand."""
    return "'" + text.replace("'", "''") + "'"


@dataclass(frozen=True, slots=True)
class PartitionFacts:
    """What one partition holds after a commit. `data_version` is the same for the same rows, whatever their order."""

    rows: int
    data_version: str
    first_cursor: dt.datetime | None = None
    last_cursor: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class Landed:
    """What a commit did. `left_out` counts records outside the window, `duplicates` older copies of the same record."""

    table: str
    partitions: Mapping[str, PartitionFacts]
    received: int
    left_out: int
    duplicates: int
    quarantined: int
    first_reason: str | None
    undeclared: Sequence[Undeclared]
    preview: Sequence[Mapping[str, Any]]

    @property
    def rows(self) -> int:
        """How many rows the partitions hold together."""
        return sum(facts.rows for facts in self.partitions.values())

    @property
    def data_version(self) -> str:
        """One version for all partitions together."""
        return combined_version(self.partitions)


def combined_version(partitions: Mapping[str, PartitionFacts]) -> str:
    """Return one version for several partitions together: it changes when the version of any of them does."""
    if len(partitions) == 1:
        return next(iter(partitions.values())).data_version
    versions = sorted((key, facts.data_version) for key, facts in partitions.items())
    return hashlib.blake2b(json.dumps(versions).encode(), digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True)
class DuckDB:
    """One database file.

    `memory_limit` bounds what a load takes, the rest goes to `temporary_folder`. `lock_timeout_seconds` is how long
    to wait for other processes. An extraction where any partition has more than `max_quarantined_share` of its records
    quarantined is not committed.
    """

    path: Path
    temporary_folder: Path
    memory_limit: str = MEMORY_LIMIT
    lock_timeout_seconds: float = 600.0
    max_quarantined_share: float = 0.1
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)

    # -- connections -------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _workbench(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Yield a private in-memory database to stage in."""
        try:
            self.temporary_folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._unwritable(error) from error
        for stale in self.temporary_folder.glob("spill-*"):
            with contextlib.suppress(FileNotFoundError):  # another process may have been quicker
                if time.time() - stale.stat().st_mtime > _STALE_AFTER_SECONDS:
                    shutil.rmtree(stale, ignore_errors=True)
        # Each its own folder, made only when memory runs out: in a common one, processes overwrite each other's files.
        folder = self.temporary_folder / f"spill-{uuid.uuid4().hex}"
        connection = duckdb.connect(
            ":memory:",
            config={
                "memory_limit": self.memory_limit,
                "temp_directory": str(folder),
                "threads": _THREADS,
                "python_enable_replacements": False,  # a table that is missing is no Python variable of its name
            },
        )
        try:
            for name, value in CONNECTION_SETTINGS.items():
                connection.execute(f"SET {name} = {literal(value)}")
            yield connection
        finally:
            connection.close()

    @contextlib.contextmanager
    def _attached(self, connection: duckdb.DuckDBPyConnection, *, read_only: bool) -> Iterator[None]:
        """Attach the database as `store` for the time of a block, under the lock all our processes take."""
        if read_only and not self.path.exists():
            raise PartitionMissing(f"There is no database {self.path} yet. Materialise an asset first.")
        with self.locked(shared=read_only):
            self._attach(connection, read_only=read_only)
            try:
                yield
            except BaseException:
                with contextlib.suppress(duckdb.Error):  # the block's error is the one to tell
                    _detach(connection)
                raise
            try:
                _detach(connection)
            except duckdb.Error as error:
                # What was committed is in the log beside the file, and the next one to attach it takes it in.
                logger.warning("%s: committed, but the file could not be brought up to date: %s", self.path, error)

    @contextlib.contextmanager
    def locked(self, *, shared: bool) -> Iterator[None]:
        """Hold the lock that all our processes take around opening and closing the file, for the time of a block.

        Readers may share it. Raises DestinationBusy after `lock_timeout_seconds`.
        """
        flags = portalocker.LockFlags.SHARED if shared else portalocker.LockFlags.EXCLUSIVE
        wait = _Wait(self)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle = Path(f"{self.path}.lock").open("ab")  # noqa: SIM115 -- closed by the `with` below
        except OSError as error:
            raise self._unwritable(error) from error
        with handle:
            while True:
                try:
                    portalocker.lock(handle, flags | portalocker.LockFlags.NON_BLOCKING)
                    break
                except portalocker.LockException:
                    wait.once("another process of this project holds its lock")
            yield

    def _attach(self, connection: duckdb.DuckDBPyConnection, *, read_only: bool) -> None:
        wait = _Wait(self)
        options = "(TYPE duckdb)"  # else a file of another program is opened by whatever extension knows it
        if read_only:
            options = "(TYPE duckdb, READ_ONLY)"
        elif not duckdb.__version__.startswith("1.") and not (self.path.exists() and self.path.stat().st_size):
            # So that DuckDB 1.5 can open it too. A database that is there already keeps the format it has.
            options = "(TYPE duckdb, STORAGE_VERSION 'v1.5.0')"
        while True:
            try:
                connection.execute(f"ATTACH {literal(str(self.path))} AS store {options}")
                return
            except duckdb.Error as error:
                # Other programs (a DuckDB shell, a notebook) do not know our lock, nor does a connection that was
                # opened in this process; and DuckDB lets a process have a file open once, for reading too.
                text = str(error)
                if "Could not set lock" in text:
                    holder = text.split("Conflicting lock is held in ")[-1].split(". ")[0]
                elif "already attached" in text:
                    holder = f"another connection of this process, PID {os.getpid()}"
                else:
                    raise self._unwritable(error) from error
                wait.once(holder, error)

    def _unwritable(self, error: Exception) -> DestinationUnwritable:
        if (wrong := _what_is_wrong(self.path, error)) is not None:
            return DestinationUnwritable(
                f"{self.path} {wrong}. Move it away, so that a new one is made, or restore a copy of the database; "
                "what was read is kept."
            )
        reason = "no space left" if _is_disk_full(error) else str(error).splitlines()[0]
        advice = "Make room, or set a folder that can be written"
        if isinstance(error, duckdb.OutOfMemoryException):
            advice = f"Raise memory_limit, which is {self.memory_limit}"
        return DestinationUnwritable(
            f"{self.path} cannot be opened or written ({reason}). {advice}; the tables are as they were, and what was "
            "read is kept."
        )

    @contextlib.contextmanager
    def _refusals_named(self, where: str) -> Iterator[None]:
        """Raise what DuckDB refuses in a block as errors of ours."""
        try:
            yield
        except (duckdb.ProgrammingError, duckdb.DataError, duckdb.IntegrityError) as error:
            raise SchemaConflict(
                f"{where}: the table is not as it was left, or cannot take the rows ({str(error).splitlines()[0]}). "
                "Compare it with the declaration; it is as it was."
            ) from error
        except (duckdb.OperationalError, duckdb.FatalException, OSError) as error:
            raise self._unwritable(error) from error

    # -- landing streams ---------------------------------------------------------------------------------------------

    def land(
        self,
        source: str,
        stream: Stream,
        spool: Spool,
        *,
        partitions: Sequence[str],
        window: Window | None,
        run_id: str,
    ) -> Landed:
        """Replace `partitions` of a stream's table by the rows of a spool, in one transaction.

        A row's partition is the UTC day of its cursor, its parent's, or `all`. Rows outside `window` are left out.
        Raises IncompleteRead, TooManyQuarantined, MalformedPage, InvalidSlice (a row of another partition),
        SchemaConflict, DestinationBusy or DestinationUnwritable; the table is then as it was, and the spool is kept
        for the next run.
        """
        where = f"{source}.{stream.name} {_named(partitions)}"
        if not spool.is_complete:
            raise IncompleteRead(
                f"{where}: the extraction has not come to its end. Run it again; it goes on from there."
            )
        with self._refusals_named(where), self._workbench() as connection:
            batch = _Batch(connection, source, stream, tuple(partitions), window, run_id)
            try:
                checked = self._checked(spool, stream, one_by_one=False)
                batch.stage(checked)
            except (duckdb.DataError, duckdb.InvalidInputException):
                checked = self._checked(spool, stream, one_by_one=True)
                try:
                    batch.stage(checked)
                except (duckdb.DataError, duckdb.InvalidInputException) as error:
                    raise MalformedPage(
                        f"{where}: the store cannot read the extraction {spool.folder} ({str(error).splitlines()[0]}). "
                        "The table is as it was."
                    ) from error
            batch.require_share(self.max_quarantined_share)
            facts = batch.facts()
            preview = batch.preview()
            with self._attached(connection, read_only=False):
                batch.commit(where, facts)
        return Landed(
            batch.table,
            facts,
            checked.received,
            batch.left_out,
            batch.duplicates,
            batch.quarantined,
            batch.first_reason,
            tuple(checked.undeclared.values()),
            preview,
        )

    def _checked(self, spool: Spool, stream: Stream, *, one_by_one: bool) -> Checked:
        return check(spool, stream, one_by_one=one_by_one)

    # -- reading streams ---------------------------------------------------------------------------------------------

    def parent_rows(self, source: str, stream: Stream, partitions: Sequence[str] | None) -> tuple[ParentRow, ...]:
        """Return the rows that the substream `stream` is read under, each distinct parent once, in a stable order.

        `partitions` are those of the parent to read; None is all current rows of a snapshot parent. Where the
        substream lands in its parent's partitions, each parent row says which those are.
        """
        parent = stream.parent
        assert parent is not None
        names = list(parent.fields)
        columns = ", ".join(f"{quoted(column)} AS {quoted(name)}" for name, column in parent.fields.items())
        filled = " AND ".join(f"{quoted(column)} IS NOT NULL" for column in parent.fields.values())
        table = f"store.{quoted(source)}.{quoted(parent.stream.name)}"
        conditions = [filled]
        if partitions is None:
            conditions.append("_is_current")
        else:
            conditions.append(f"_partition IN ({_listed(partitions)})")
        if parent.unless_empty is not None:
            counter = quoted(parent.unless_empty)
            if parent.stream.column(parent.unless_empty).type == "json":
                conditions.append(f"({counter} IS NULL OR json_array_length({counter}) > 0)")
            else:
                conditions.append(f"({counter} IS NULL OR {counter} > 0)")
        lands_in = "list(DISTINCT _partition ORDER BY _partition)" if stream.inherits_partitions else "[]"
        query = (
            f"SELECT {columns}, {lands_in} FROM {table} WHERE {' AND '.join(conditions)} "
            f"GROUP BY ALL ORDER BY {', '.join(map(quoted, names))}"
        )
        with self._workbench() as connection, self._attached(connection, read_only=True):
            self._require_landed(connection, source, parent.stream.name, partitions)
            needed = [*parent.fields.values(), *([parent.unless_empty] if parent.unless_empty is not None else [])]
            _require_columns(connection, source, parent.stream.name, needed)
            rows = connection.execute(query).fetchall()
        return tuple(ParentRow(dict(zip(names, row, strict=False)), tuple(row[-1])) for row in rows)

    def landed_partitions(self, source: str, name: str) -> list[str]:
        """Return the partitions of a table that have ever been landed, empty ones included, in order."""
        if not self.path.exists():
            return []
        with self._workbench() as connection, self._attached(connection, read_only=True):
            return sorted(_landed(connection, source, name))

    def landed_at(self, source: str, name: str, partitions: Sequence[str]) -> dt.datetime | None:
        """Return when any of these partitions was last landed; None for never."""
        if not self.path.exists():
            return None
        with self._workbench() as connection, self._attached(connection, read_only=True):
            if not _columns(connection, "main", "_state"):
                return None
            row = connection.execute(
                f"SELECT max(loaded_at) FROM store._state WHERE schema = {literal(source)} AND name = {literal(name)} "
                f"AND partition IN ({_listed(partitions)})"
            ).fetchone()
        return None if row is None else row[0]

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a reading query with the database as the current one, under the shared lock, and return all rows.

        Raises SchemaConflict for a column that its tables do not have.
        """
        with self._workbench() as connection, self._attached(connection, read_only=True):
            connection.execute("USE store")
            try:
                return connection.execute(sql, parameters).fetchall()
            except duckdb.BinderException as error:
                if (missing := _MISSING_COLUMN.search(str(error))) is None:
                    raise
                raise SchemaConflict(_lacks(_tables_of(connection, sql), missing[1])) from error

    def _require_landed(
        self, connection: duckdb.DuckDBPyConnection, source: str, name: str, partitions: Sequence[str] | None
    ) -> None:
        landed = _landed(connection, source, name)
        missing = [key for key in (partitions or ()) if key not in landed]
        if not landed or missing:
            what = f"partition {missing[0]} has not" if missing else "nothing has"
            more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
            raise PartitionMissing(
                f"{source}.{name}: {what} been landed in {self.path}{more}. Materialise {source}/{name} first."
            )

    # -- frames ------------------------------------------------------------------------------------------------------

    def write_frame(
        self,
        schema: str,
        name: str,
        frame: "pd.DataFrame",
        *,
        partitions: Sequence[str],
        run_id: str,
        partition_column: str | None = None,
    ) -> Mapping[str, PartitionFacts]:
        """Replace `partitions` of a frame's table by `frame`, in one transaction, and return what each holds.

        With several partitions, `partition_column` names the column whose UTC day is a row's partition. Columns are
        matched by name; a frame that is written whole replaces its table with its columns. Dtypes the store does not
        know are restored when the frame is read. Raises InvalidSlice for a row of another partition, SchemaConflict
        for a column that cannot be stored exactly, DestinationBusy or DestinationUnwritable.
        """
        stored, texts, dtypes = _storable(f"{schema}.{name}", frame)
        # DuckDB takes a column without any text for numbers.
        as_text = ", ".join(f"{quoted(column)}::VARCHAR AS {quoted(column)}" for column in texts)
        values = f"* REPLACE ({as_text})" if texts else "*"
        where = f"{schema}.{name} {_named(partitions)}"
        table = f"store.{quoted(schema)}.{quoted(name)}"
        with self._refusals_named(where), self._workbench() as connection:
            connection.register("given", stored)
            day = f"strftime({quoted(partition_column)}, '%Y-%m-%d')" if partition_column else literal(partitions[0])
            connection.execute(f"CREATE TEMP TABLE batch AS SELECT {values}, {day}::VARCHAR AS _partition FROM given")
            declared = _described(connection, "batch")
            facts = _facts(connection, [column for column in declared if column != "_partition"], partitions, None)
            with self._attached(connection, read_only=False):
                stored_columns = _columns(connection, schema, name)
                with _transaction(connection):
                    connection.execute(f"CREATE SCHEMA IF NOT EXISTS store.{quoted(schema)}")
                    if tuple(partitions) == (SNAPSHOT,):  # all of it is written anew, columns too
                        connection.execute(f"DROP TABLE IF EXISTS {table}")
                        stored_columns = {}
                    _make_table(connection, where, table, stored_columns, {**declared, **_FRAME_HOUSEKEEPING})
                    connection.execute(f"DELETE FROM {table} WHERE _partition IN ({_listed(partitions)})")
                    connection.execute(
                        f"INSERT INTO {table} BY NAME "
                        f"SELECT *, now() AS _loaded_at, {literal(run_id)} AS _run_id FROM batch"
                    )
                    _make_state(connection)
                    _write_state(connection, schema, name, facts, run_id)
                    connection.execute("DELETE FROM store._frames WHERE schema = ? AND name = ?", [schema, name])
                    connection.execute("INSERT INTO store._frames VALUES (?, ?, ?)", [schema, name, dtypes])
        return facts

    def read_frame(
        self,
        schema: str,
        name: str,
        *,
        partitions: Sequence[str] | None = None,
        columns: Mapping[str, str] | None = None,
        current: bool = False,
    ) -> "pd.DataFrame":
        """Return a table as a frame: all of it, or some partitions; times are aware and in UTC.

        `columns` maps the frame's column names to paths into the table (`workflow_status.name` reaches into a JSON
        column and gives text); without it, all declared columns come. `current` keeps the newest version of each
        record. Decimals come as float64, pandas having no other number for them; select them with `query` where that
        matters. Raises PartitionMissing for a partition that was never landed, SchemaConflict for a column that the
        table does not have.
        """
        with self._workbench() as connection, self._attached(connection, read_only=True):
            self._require_landed(connection, schema, name, partitions)
            table = f"store.{quoted(schema)}.{quoted(name)}"
            stored = _described(connection, table)
            if columns is None:
                columns = {column: column for column in stored if column not in _HOUSEKEEPING}
            needed = [path if path in stored else path.partition(".")[0] or path for path in columns.values()]
            _require_columns(connection, schema, name, needed)
            # pandas is told the zone below: DuckDB's own way of telling it is deprecated by pandas 3.1.
            instants = [alias for alias, path in columns.items() if stored.get(path) == TYPES["timestamp"]]
            texts = [alias for alias, path in columns.items() if stored.get(path, "JSON") in ("VARCHAR", "JSON")]
            selected = ", ".join(
                f"{_reached(path, stored)}{' AT TIME ZONE ' + literal('UTC') if alias in instants else ''} "
                f"AS {quoted(alias)}"
                for alias, path in columns.items()
            )
            conditions = ["_is_current"] if current and "_is_current" in stored else []
            if partitions is not None:
                conditions.append(f"_partition IN ({_listed(partitions)})")
            where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
            frame = connection.sql(f"SELECT {selected} FROM {table} {where} ORDER BY _partition, rowid").df()
            kinds = connection.execute(
                "SELECT dtypes FROM store._frames WHERE schema = ? AND name = ?", [schema, name]
            ).fetchone()
        for alias in instants:
            frame[alias] = frame[alias].dt.tz_localize("UTC")
        for alias in texts:
            frame[alias] = _restored(frame[alias], "str")  # without any text DuckDB gives objects
        restored = json.loads(kinds[0]) if kinds else {}
        for alias, path in columns.items():
            if path in restored:
                frame[alias] = _restored(frame[alias], restored[path])
        return frame


_FRAME_HOUSEKEEPING = {"_loaded_at": "TIMESTAMP WITH TIME ZONE", "_run_id": "VARCHAR"}
_RESTORED = ("string", "boolean", *(f"{sign}Int{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)))
_RESTORED += ("Float32", "Float64")
"""Frame dtypes that DuckDB gives back only where there is a null, or never; categories beside."""


class _Wait:
    """Waiting for whoever holds a database: not silently, and not for ever."""

    def __init__(self, database: DuckDB) -> None:
        self._database = database
        self._start = database.clock()
        self._warn_after = _FIRST_WARNING_SECONDS

    def once(self, holder: str, error: Exception | None = None) -> None:
        """Sleep for a moment. Raises DestinationBusy when the time is over."""
        database = self._database
        waited = database.clock() - self._start
        if waited > database.lock_timeout_seconds:
            raise DestinationBusy(
                f"{database.path} was held for {database.lock_timeout_seconds:g} s ({holder}). Close what has it open "
                "and run again; what was read is kept and not asked for again."
            ) from error
        if waited >= self._warn_after:
            logger.warning(
                "%s has been held for %.0f s (%s); waiting up to %g s. Close what has it open.",
                database.path,
                waited,
                holder,
                database.lock_timeout_seconds,
            )
            self._warn_after = waited + _NEXT_WARNING_SECONDS
        database.sleep(random.uniform(0.01, 0.05))


class _Batch:
    """The rows of one extraction on their way from a spool to a table."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        source: str,
        stream: Stream,
        partitions: tuple[str, ...],
        window: Window | None,
        run_id: str,
    ) -> None:
        if reserved := [column.name for column in stream.columns if column.name.casefold() in _RESERVED]:
            raise SchemaConflict(f"{source}.{stream.name}: the column name {reserved[0]!r} is taken by our own.")
        self._connection = connection
        self._source = source
        self._stream = stream
        self._partitions = partitions
        self._window = window
        self._run_id = run_id
        self._quarantined: list[tuple[str, str, int, str]] = []
        self._fitting: dict[str, int] = {}
        self._key = ", ".join(map(quoted, (*stream.primary_key, "_partition")))
        self.table = f"{source}.{stream.name}"
        self.left_out = 0
        self.duplicates = 0
        self.quarantined = 0

    def stage(self, checked: Checked) -> None:
        """Parse the checked lines into a temporary table, each row under its partition, one row a record."""
        stream, run = self._stream, self._connection.execute
        columns = ", ".join(
            f"{_extracted(column, checked.exact)} AS {quoted(column.name)}" for column in stream.columns
        )
        run(
            f"CREATE TEMP TABLE batch AS SELECT {columns}, _extra::JSON AS _extra, {self._partition()} AS _partition, "
            f"_page FROM {self._lines(checked)} {self._condition()}"
        )
        counted = run("SELECT _partition, count(*) FROM batch GROUP BY _partition").fetchall()
        self._fitting = {str(key): rows for key, rows in counted}
        staged = sum(self._fitting.values())
        keys = [self._quarantine_keys(bad) for bad in checked.quarantined]
        self.quarantined = sum(map(bool, keys))
        self._quarantined = [
            (bad.record, bad.reason, bad.page, key)
            for bad, its in zip(checked.quarantined, keys, strict=True)
            for key in its
        ]
        if self._window is not None:
            self.left_out = checked.received - self.quarantined - staged
        if _count(self._connection, f"(SELECT DISTINCT {self._key} FROM batch)") != staged:
            newest = f"{quoted(stream.cursor.column)} DESC NULLS LAST, " if stream.cursor is not None else ""
            run("ALTER TABLE batch RENAME TO doubled")
            run(
                "CREATE TEMP TABLE batch AS SELECT * EXCLUDE (_line) FROM "
                "(SELECT *, row_number() OVER () AS _line FROM doubled) QUALIFY row_number() OVER "
                f"(PARTITION BY {self._key} ORDER BY {newest}_page DESC, _line DESC) = 1"
            )
            run("DROP TABLE doubled")
            self.duplicates = staged - _count(self._connection, "batch")

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
        return _facts(self._connection, columns, self._partitions, cursor)

    def preview(self) -> list[dict[str, Any]]:
        """Return the newest five rows of the batch."""
        order = f"ORDER BY {quoted(self._stream.cursor.column)} DESC NULLS LAST" if self._stream.cursor else ""
        names = [column.name for column in self._stream.columns]
        query = f"SELECT {', '.join(map(quoted, names))} FROM batch {order} LIMIT 5"
        return [dict(zip(names, row, strict=True)) for row in self._connection.execute(query).fetchall()]

    def commit(self, where: str, facts: Mapping[str, PartitionFacts]) -> None:
        """Write everything of the batch in one transaction."""
        # Looked up before the transaction, which DuckDB 2 ends when a table is not there.
        stored = _columns(self._connection, self._source, self._stream.name)
        has_quarantine = bool(_columns(self._connection, self._source, f"{self._stream.name}_quarantine"))
        with _transaction(self._connection):
            self._replace(where, stored)
            if has_quarantine or self._quarantined:
                self._replace_quarantine()
            _make_state(self._connection)
            _write_state(self._connection, self._source, self._stream.name, facts, self._run_id)

    def _replace(self, where: str, stored: Mapping[str, str]) -> None:
        run, stream = self._connection.execute, self._stream
        table = f"store.{quoted(self._source)}.{quoted(stream.name)}"
        replaced = f"_partition IN ({_listed(self._partitions)})"
        declared = {column.name: TYPES[column.type] for column in stream.columns}
        run(f"CREATE SCHEMA IF NOT EXISTS store.{quoted(self._source)}")
        changed = _make_table(self._connection, where, table, stored, {**declared, **_HOUSEKEEPING})
        key = ", ".join(map(quoted, stream.primary_key))
        if stream.is_partitioned:
            run(f"CREATE OR REPLACE TEMP TABLE touched AS SELECT DISTINCT {key} FROM batch "
                f"UNION SELECT DISTINCT {key} FROM {table} WHERE {replaced}")  # fmt: skip
        run(f"DELETE FROM {table} WHERE {replaced}")
        run(f"INSERT INTO {table} BY NAME SELECT *, true AS _is_current, now() AS _loaded_at, "
            f"{literal(self._run_id)} AS _run_id FROM batch")  # fmt: skip
        if stream.is_partitioned:
            self._mark_current(table, key)
        if changed:
            # A view holds the columns there were when it was made, so it is made again when they change. Names in it
            # are not qualified by a database, for the file is attached under different names by different readers.
            view = f"{quoted(self._source)}.{quoted(stream.name + '_current')}"
            run("USE store")
            run(f"CREATE OR REPLACE VIEW {view} AS SELECT * EXCLUDE (_is_current) "
                f"FROM {quoted(self._source)}.{quoted(stream.name)} WHERE _is_current")  # fmt: skip
            run("USE memory")

    def _mark_current(self, table: str, key: str) -> None:
        """Set `_is_current` right for every record the batch has touched, wherever its versions lie."""
        names = [*self._stream.primary_key, "_partition"]
        same = " AND ".join(f"target.{quoted(name)} = wrong.{quoted(name)}" for name in names)
        newest = f"{quoted(self._stream.cursor.column)} DESC NULLS LAST, " if self._stream.cursor is not None else ""
        self._connection.execute(
            f"UPDATE {table} AS target SET _is_current = NOT target._is_current FROM ("
            f"SELECT {self._key} FROM {table} SEMI JOIN touched USING ({key}) "
            f"QUALIFY (row_number() OVER (PARTITION BY {key} ORDER BY {newest}_partition DESC) = 1) <> _is_current"
            f") AS wrong WHERE {same}"
        )

    def _replace_quarantine(self) -> None:
        name = f"{self._stream.name}_quarantine"
        table = f"store.{quoted(self._source)}.{quoted(name)}"
        self._connection.execute(
            f"CREATE TABLE IF NOT EXISTS {table} (record VARCHAR, reason VARCHAR, _page INTEGER, _partition VARCHAR, "
            "_loaded_at TIMESTAMP WITH TIME ZONE, _run_id VARCHAR)"
        )
        self._connection.execute(f"DELETE FROM {table} WHERE _partition IN ({_listed(self._partitions)})")
        kinds = {"record": "VARCHAR", "reason": "VARCHAR", "_page": "INTEGER", "_partition": "VARCHAR"}
        rows = [(*row, self._run_id) for row in self._quarantined]
        _insert(self._connection, table, {**kinds, "_run_id": "VARCHAR"}, rows, loaded_at="_loaded_at")

    def _quarantine_keys(self, bad: Any) -> tuple[str, ...]:
        """Return the partitions a bad record belongs to; the first one where its cursor cannot be read."""
        if bad.partitions:
            return tuple(bad.partitions)
        if self._window is None or bad.cursor is None:
            return self._partitions[:1]
        if not self._window.start <= bad.cursor < self._window.end:
            return ()
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
            f"maximum_object_size = {max(_SMALLEST_READ_BYTES, checked.longest_line_bytes)})"
        )

    def _partition(self) -> str:
        if self._stream.inherits_partitions:
            return "unnest(_partitions)"
        if self._window is not None and self._stream.cursor is not None:
            return f"strftime({_extracted(self._stream.column(self._stream.cursor.column))}, '%Y-%m-%d')"
        return literal(SNAPSHOT)

    def _condition(self) -> str:
        if self._window is None or self._stream.cursor is None:
            return ""
        cursor = _extracted(self._stream.column(self._stream.cursor.column))
        start, end = (
            f"TIMESTAMPTZ {literal(instant.isoformat())}" for instant in (self._window.start, self._window.end)
        )
        return f"WHERE {cursor} >= {start} AND {cursor} < {end}"


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


def _facts(
    connection: duckdb.DuckDBPyConnection, columns: Sequence[str], partitions: Sequence[str], cursor: str | None
) -> dict[str, PartitionFacts]:
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
            f"There are rows of {strays[0]}, which is not among the partitions being written ({_named(partitions)}). "
            "Leave them out, or write that partition too."
        )
    return {key: found.get(key, PartitionFacts(0, f"{0:016x}")) for key in partitions}


def _make_table(
    connection: duckdb.DuckDBPyConnection,
    where: str,
    table: str,
    stored: Mapping[str, str],
    columns: Mapping[str, str],
) -> bool:
    """Create a table, or add and widen its columns; returns whether anything changed. Raises SchemaConflict."""
    if not stored:
        listed = ", ".join(f"{quoted(column)} {kind}" for column, kind in columns.items())
        connection.execute(f"CREATE TABLE {table} ({listed})")
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
    return _count(connection, f"{table} WHERE {name} <> TRY_CAST(TRY_CAST({name} AS {after}) AS {before}) OR "
                  f"({name} IS NOT NULL AND TRY_CAST({name} AS {after}) IS NULL)") == 0  # fmt: skip


def _columns(connection: duckdb.DuckDBPyConnection, schema: str, name: str) -> dict[str, str]:
    """Return the types of a stored table's columns by their folded names; empty where there is no such table."""
    try:  # the catalogue's own table of columns takes twenty times longer
        described = _described(connection, f"store.{quoted(schema)}.{quoted(name)}")
    except duckdb.CatalogException:
        return {}
    return {column.casefold(): kind for column, kind in described.items()}


_MISSING_COLUMN = re.compile(r'(?:Referenced column|does not have a column named) "(.+?)"')


def _require_columns(connection: duckdb.DuckDBPyConnection, schema: str, name: str, needed: Collection[str]) -> None:
    stored = _columns(connection, schema, name)
    for column in needed:
        if column.casefold() not in stored:
            there = ", ".join(each for each in stored if each not in _HOUSEKEEPING)
            raise SchemaConflict(_lacks(f"{schema}.{name}", column, f" (columns: {there})"))


def _tables_of(connection: duckdb.DuckDBPyConnection, sql: str) -> str:
    try:
        names = {name.partition(" AS ")[0].replace('"', "") for name in connection.get_table_names(sql, qualified=True)}
        return ", ".join(sorted(names)) or "The query"
    except duckdb.Error:  # what cannot be resolved, such as a join by a column that is missing
        return f"A table of {sql!r}"


def _lacks(tables: str, column: str, there: str = "") -> str:
    return (
        f"{tables} has no column {column!r}{there}. It may have been landed before the column was declared: "
        "materialise it again, and then what is made from it."
    )


def _make_state(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute(
        "CREATE TABLE IF NOT EXISTS store._state (schema VARCHAR, name VARCHAR, partition VARCHAR, rows BIGINT, "
        "data_version VARCHAR, first_cursor TIMESTAMPTZ, last_cursor TIMESTAMPTZ, run_id VARCHAR, "
        "loaded_at TIMESTAMPTZ)"
    )
    connection.execute("CREATE TABLE IF NOT EXISTS store._frames (schema VARCHAR, name VARCHAR, dtypes VARCHAR)")


def _write_state(
    connection: duckdb.DuckDBPyConnection, schema: str, name: str, facts: Mapping[str, PartitionFacts], run_id: str
) -> None:
    # Literals, for the first statement with a parameter makes DuckDB 1.5 import pandas, which takes 0.3 s.
    connection.execute(
        f"DELETE FROM store._state WHERE {_is_table(schema, name)} AND partition IN ({_listed(tuple(facts))})"
    )
    rows = ", ".join(
        f"({literal(schema)}, {literal(name)}, {literal(key)}, {fact.rows}, {literal(fact.data_version)}, "
        f"{_instant(fact.first_cursor)}, {_instant(fact.last_cursor)}, {literal(run_id)}, now())"
        for key, fact in facts.items()
    )
    connection.execute(
        "INSERT INTO store._state (schema, name, partition, rows, data_version, first_cursor, last_cursor, run_id, "
        f"loaded_at) VALUES {rows}"
    )


def _is_table(schema: str, name: str) -> str:
    return f"schema = {literal(schema)} AND name = {literal(name)}"


def _instant(value: dt.datetime | None) -> str:
    return "NULL" if value is None else f"TIMESTAMPTZ {literal(value.isoformat())}"


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


def _landed(connection: duckdb.DuckDBPyConnection, schema: str, name: str) -> set[str]:
    try:
        rows = connection.execute(f"SELECT partition FROM store._state WHERE {_is_table(schema, name)}")
    except duckdb.CatalogException:
        return set()
    return {key for (key,) in rows.fetchall()}


@contextlib.contextmanager
def _transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Commit what a block does to the attached database, all of it or nothing."""
    connection.execute("BEGIN")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(duckdb.Error):  # a fatal error has ended the transaction already
            connection.execute("ROLLBACK")
        raise


def _storable(name: str, frame: "pd.DataFrame") -> tuple["pd.DataFrame", list[str], str]:
    """Return the frame as DuckDB can take it, which columns are text, and the dtypes to restore when read, as JSON."""
    import pandas as pd

    seen: dict[str, str] = {}
    for column in map(str, frame.columns):
        if column.casefold() in _RESERVED:
            raise SchemaConflict(f"{name}: the column name {column!r} is taken by our own.")
        if (folded := column.casefold()) in seen:
            raise SchemaConflict(
                f"{name}: the columns {seen[folded]!r} and {column!r} differ at most in case. Rename one."
            )
        seen[folded] = column
    stored = frame.copy(deep=False)
    dtypes: dict[str, str] = {}
    texts: list[str] = []
    for column in frame.columns:
        kind = frame[column].dtype
        is_object = pd.api.types.is_object_dtype(kind)
        if isinstance(kind, pd.CategoricalDtype):
            stored[column] = frame[column].astype(object)
            dtypes[str(column)] = "category"
            if kind.categories.empty or _is_text(kind.categories.dtype):
                texts.append(str(column))
        elif str(kind) in _RESTORED:
            dtypes[str(column)] = str(kind)
        elif isinstance(kind, pd.StringDtype):
            stored[column] = frame[column].astype(object)
            dtypes[str(column)] = "str"
        elif is_object and not frame[column].dropna().map(lambda value: isinstance(value, str)).all():
            raise SchemaConflict(f"{name}: the column {column!r} holds objects that are not text. Give it a dtype.")
        if _is_text(kind):
            texts.append(str(column))
        if is_object or str(column) in dtypes:
            stored[column] = stored[column].where(frame[column].notna(), None)
    return stored, texts, json.dumps(dtypes)


def _is_text(kind: Any) -> bool:
    import pandas as pd

    return isinstance(kind, pd.StringDtype) or pd.api.types.is_object_dtype(kind)


def _restored(column: "pd.Series[Any]", kind: str) -> "pd.Series[Any]":
    """Return a column under the dtype it was written with. One without a value comes back without a type."""
    import pandas as pd

    if kind == "str" or (kind == "category" and pd.api.types.is_object_dtype(column.dtype)):
        column = column.astype(pd.StringDtype(na_value=float("nan")))
    return column if kind == "str" else column.astype(kind)  # type: ignore[call-overload]  # stubs want literals


def _reached(path: str, stored: Mapping[str, str]) -> str:
    """Return the SQL for a column, or for the text at a path inside a JSON column."""
    column, _, inner = path.partition(".")
    if path in stored or not inner:
        return quoted(path)
    return f"json_extract_string({quoted(column)}, {literal('$.' + inner)})"


def _described(connection: duckdb.DuckDBPyConnection, table: str) -> dict[str, str]:
    return {row[0]: row[1] for row in connection.execute(f"DESCRIBE {table}").fetchall()}


def _count(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    assert row is not None
    return int(row[0])


def _listed(values: Sequence[str]) -> str:
    return ", ".join(map(literal, values)) or "NULL"


def _named(partitions: Sequence[str]) -> str:
    return partitions[0] if len(partitions) == 1 else f"{partitions[0]}…{partitions[-1]}"


def _is_disk_full(error: Exception) -> bool:
    full = ("No space left", "File too large", "Disk quota exceeded")
    return getattr(error, "errno", None) == errno.ENOSPC or any(text in str(error) for text in full)


def _what_is_wrong(path: Path, error: Exception) -> str | None:
    """Return why what lies at the path is no database DuckDB can open; None where the error has another cause."""
    if not isinstance(error, duckdb.Error):
        return None
    if path.is_dir():
        return "is a folder and no DuckDB database"
    try:
        with path.open("rb") as file:
            start = file.read(_MAGIC_END)
    except OSError:
        return None  # not to be read: the error says why
    if start and start[_MAGIC_START:] != _MAGIC and "not a valid DuckDB" in str(error):
        return "is no DuckDB database"
    damaged = ("Corrupt database file", f'Could not read enough bytes from file "{path}"', "not a valid DuckDB")
    if any(text in str(error) for text in damaged):
        return f"is a damaged DuckDB database ({str(error).splitlines()[0]})"
    return None


_MAGIC, _MAGIC_START, _MAGIC_END = b"DUCK", 8, 12
"""What every DuckDB database has behind the checksum of its first block."""


def _detach(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("USE memory")
    connection.execute("DETACH store")
