"""DuckDB: partitions landed exactly, in one transaction, one writer at a time.

A database file admits one process. So records are parsed and staged in a private in-memory database first; then the
side-car lock is taken, the file attached, one transaction committed, the file detached, the lock released. The lock
goes around attach and detach, for readers (shared) too: DuckDB 2.0.0 reads a file's header before it takes its own
lock, and two processes that race there lose an acknowledged commit without an error.

`<stream>_current` is a view of the current rows. A flag is kept instead of a second table: at 10 million rows and a
1 % batch the commit takes 0.45 s against 1.0 s and the file is half as large, and reading through the flag costs less
than twice a plain scan.
"""

import contextlib
import datetime as dt
import errno
import json
import logging
import os
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import duckdb
import portalocker

from connector_resources.destinations.duckdb_batch import Batch, read_buffer_bytes
from connector_resources.destinations.duckdb_changes import Change
from connector_resources.destinations.duckdb_frames import FRAME_HOUSEKEEPING, reached, restored, storable
from connector_resources.destinations.duckdb_tables import (
    HOUSEKEEPING,
    MISSING_COLUMN,
    TYPES,
    PartitionFacts,
    columns_of,
    combined_version,
    described,
    facts_of,
    is_table,
    lacks,
    landed_keys,
    listed,
    literal,
    make_state,
    make_table,
    named,
    quoted,
    require_columns,
    require_ours,
    tables_of,
    transaction,
    write_state,
)
from connector_resources.destinations.duckdb_workbench import workbench
from connector_resources.errors import (
    ConfigurationError,
    DestinationBusy,
    DestinationUnwritable,
    IncompleteRead,
    MalformedPage,
    PartitionMissing,
    SchemaConflict,
)
from connector_resources.schema import Checked, Undeclared, as_it_is, check
from connector_resources.spool import Spool
from connector_resources.streams import SNAPSHOT, ParentRow, Stream, Window

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

_Copied = TypeVar("_Copied")

MEMORY_LIMIT = "192MB"
"""What DuckDB may take, unless told otherwise, for what is not a landing."""

_LEAST_TO_LAND = 128_000_000
"""What DuckDB may take to land, unless told otherwise: a run stays below 350 MB however many rows there are."""

_TO_LAND_ANYTHING, _TO_LAND_A_COLUMN, _TO_LAND_A_BYTE = 64_000_000, 650_000, 11
"""What it needs where rows are wide or long: all that the reader takes at a time is in memory several times.

Measured with DuckDB 1.5.6, landing twice what had changed: 0.6 MB for each of 200 to 1,000 columns, and of records of
20 KB to 64 MB 7 to 10 times the lines. With less, it fails.
"""

_WORTH_A_THREAD_BYTES = 1_000_000
"""What is smaller is checked before it is parsed, in one thread."""

_FIRST_WARNING_SECONDS, _NEXT_WARNING_SECONDS = 5.0, 30.0

_INTERRUPTED = "Query interrupted"
"""What DuckDB makes a RuntimeError of when a signal comes while it is at work, whatever the signal's handler raised."""


@dataclass(frozen=True, slots=True)
class Landed:
    """What a commit did.

    `left_out` counts records outside the window, `duplicates` older copies of the same record. `changes` says how each
    partition differs from what it held before. `deleted` counts the records of the stream that were found to be
    deleted, `deleted_elsewhere` those of other streams that this one told of. `first_seen` says of each undeclared
    field when it was seen first, None for now. `rows_in_table` counts those of all partitions that were ever landed.
    """

    table: str
    partitions: Mapping[str, PartitionFacts]
    received: int
    left_out: int
    duplicates: int
    quarantined: int
    first_reason: str | None
    undeclared: Sequence[Undeclared]
    preview: Sequence[Mapping[str, Any]]
    changes: Mapping[str, Change] = field(default_factory=dict)
    deleted: int = 0
    deleted_elsewhere: Mapping[str, int] = field(default_factory=dict)
    first_seen: Mapping[str, dt.datetime | None] = field(default_factory=dict)
    rows_in_table: int = 0

    @property
    def rows(self) -> int:
        """How many rows the partitions hold together."""
        return sum(facts.rows for facts in self.partitions.values())

    @property
    def data_version(self) -> str:
        """One version for all partitions together."""
        return combined_version(self.partitions)


@dataclass(frozen=True, slots=True)
class DuckDB:
    """One database file.

    `memory_limit` bounds what a load takes, the rest goes to `temporary_folder`; None is 192 MB, and to land 128 MB, or
    what wide rows need. `lock_timeout_seconds` is how long to wait for other processes. An extraction where any
    partition has more than `max_quarantined_share` of its records quarantined is not committed, nor is a snapshot that
    has lost more than `max_shrunk_share` of its rows, or all, nor children that have all gone where the vendor does not
    know several of their parents.
    """

    path: Path
    temporary_folder: Path
    memory_limit: str | None = None
    lock_timeout_seconds: float = 600.0
    max_quarantined_share: float = 0.1
    max_shrunk_share: float = 0.5
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)
    wall: Callable[[], float] = field(default=time.time, repr=False)

    def __post_init__(self) -> None:
        if self.path.is_symlink():  # by two names a database would have two locks, and two logs of what was committed
            object.__setattr__(self, "path", self.path.resolve())

    # -- connections -------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _workbench(self, *, is_kept: bool = True) -> Iterator[duckdb.DuckDBPyConnection]:
        """Yield a private in-memory database to stage in; see `workbench`."""
        try:
            self.temporary_folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._unwritable(error) from error
        memory_limit = self.memory_limit or MEMORY_LIMIT
        try:
            with contextlib.ExitStack() as held:
                try:
                    connection = held.enter_context(workbench(self.temporary_folder, memory_limit, is_kept=is_kept))
                except duckdb.Error as error:
                    raise ConfigurationError(
                        f"DuckDB cannot be started with a memory limit of {memory_limit} "
                        f"({str(error).splitlines()[0]}). Set DUCKDB_MEMORY_LIMIT to another one, such as "
                        f"{MEMORY_LIMIT}."
                    ) from error
                yield connection
        except duckdb.OutOfMemoryException as error:
            raise self._unwritable(error) from error
        except RuntimeError as error:  # while it is made ready or put away, too
            if type(error) is RuntimeError and str(error) == _INTERRUPTED:
                raise _interrupt(error) from None
            raise

    @contextlib.contextmanager
    def _attached(
        self, connection: duckdb.DuckDBPyConnection, *, read_only: bool, is_ours: bool = True
    ) -> Iterator[None]:
        """Attach the database as `store` for the time of a block, under the lock all our processes take.

        Damage that a block of ours finds is that of the file. SQL of others may have read or attached another one, and
        DuckDB does not say in which of them it is.
        """
        if read_only and not self.path.exists():
            raise PartitionMissing(f"There is no database {self.path} yet. Materialise an asset first.")
        with self.locked(shared=read_only):
            self._attach(connection, read_only=read_only)
            try:
                yield
            except BaseException as error:
                with contextlib.suppress(duckdb.Error):  # the block's error is the one to tell
                    _detach(connection)
                if is_ours and isinstance(error, duckdb.Error) and _what_is_wrong(self.path, error) is not None:
                    raise self._unwritable(error) from error
                raise
            try:
                _detach(connection)
            except duckdb.Error as error:
                # What was committed is in the log beside the file, and the next one to attach it takes it in.
                logger.warning("%s: committed, but the file could not be brought up to date: %s", self.path, error)

    @contextlib.contextmanager
    def attached(self, *, read_only: bool, is_kept: bool = True) -> Iterator[duckdb.DuckDBPyConnection]:
        """Yield a connection of our own with the database attached as `store`, under the lock of all our processes.

        For SQL of others, which may do anything, without `is_kept`: nobody has the connection's workbench after it, and
        its errors are DuckDB's. Raises PartitionMissing where there is nothing to read yet, DestinationBusy or
        DestinationUnwritable.
        """
        with (
            self._workbench(is_kept=is_kept) as connection,
            self._attached(connection, read_only=read_only, is_ours=is_kept),
        ):
            yield connection

    @contextlib.contextmanager
    def copying(
        self, copy: Callable[[duckdb.DuckDBPyConnection], _Copied], *, is_kept: bool = True
    ) -> Iterator[tuple[duckdb.DuckDBPyConnection, _Copied]]:
        """Yield a connection of our own and what `copy` returned on it, with the file closed again.

        `copy` has the database as the current one, for reading, and takes what the block needs into temporary tables of
        its connection: so a block may last as long as it likes without keeping anybody waiting. `is_kept` is that of
        `attached`.
        """
        with self._workbench(is_kept=is_kept) as connection:
            with self._attached(connection, read_only=True, is_ours=is_kept):
                connection.execute("USE store")
                copied = copy(connection)
            yield connection, copied

    @contextlib.contextmanager
    def attached_to(self, connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
        """Attach the database, for writing, as `store` to the connection that `copying` of another one has given."""
        with self._attached(connection, read_only=False):
            yield

    @contextlib.contextmanager
    def locked(self, *, shared: bool) -> Iterator[None]:
        """Hold the lock that all our processes take around opening and closing the file, for the time of a block.

        Readers may share it. Whoever waits for it holds the turn, without which nobody takes it: else readers that
        come one after another, never all gone at once, would keep a writer waiting for ever. Raises DestinationBusy
        after `lock_timeout_seconds`.
        """
        flags = portalocker.LockFlags.SHARED if shared else portalocker.LockFlags.EXCLUSIVE
        wait = _Wait(self)
        with contextlib.ExitStack() as held:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                handle = held.enter_context(Path(f"{self.path}.lock").open("ab"))
                turn = held.enter_context(Path(f"{self.path}.turn").open("ab"))
            except OSError as error:
                raise self._unwritable(error) from error
            for file in (turn, handle):
                while True:
                    try:
                        portalocker.lock(file, flags | portalocker.LockFlags.NON_BLOCKING)
                        break
                    except portalocker.LockException:
                        wait.once("another process of this project holds its lock")
            turn.close()
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
        what = f"cannot be opened or written ({reason}). Make room, or set a folder that can be written"
        if isinstance(error, duckdb.OutOfMemoryException):
            what = (
                f"needs more memory than DuckDB may take ({reason}). Raise DUCKDB_MEMORY_LIMIT (memory_limit), which "
                f"is {self.memory_limit or 'not set'}"
            )
        return DestinationUnwritable(f"{self.path} {what}; the tables are as they were, and what was read is kept.")

    @contextlib.contextmanager
    def refusals_named(self, where: str) -> Iterator[None]:
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

    @contextlib.contextmanager
    def _state_read(self) -> Iterator[None]:
        """Raise SchemaConflict where a block finds another program's table in place of the state."""
        try:
            yield
        except duckdb.BinderException as error:
            raise SchemaConflict(
                f"{self.path}: its table _state is not the one of this project ({str(error).splitlines()[0]}). Set "
                "DATA_FOLDER to a folder without another program's database, or rename that table; nothing was changed."
            ) from error

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
        may_shrink: bool = False,
        read: str | None = None,
        keep_missing: bool = False,
        replace_all: bool = False,
        within: Callable[[duckdb.DuckDBPyConnection], None] = lambda connection: None,
    ) -> Landed:
        """Replace `partitions` of a stream's table by the rows of a spool, in one transaction.

        A row's partition is the UTC day of its cursor, its parent's, or `all`. Rows outside `window` are left out, and
        those of partitions that the spool was read for and that are not replaced now. With `may_shrink` a snapshot may
        lose any number of rows, and children all of theirs. With `read` nothing is replaced: the rows become a
        partition of that name, which a repetition replaces; of a window, without those that another has brought as
        they are. With `keep_missing` rows stay whose records the spool does not have. With `replace_all` every other
        partition that was ever landed goes. `within` is called in the transaction before any row is touched, and may
        refuse it. Raises IncompleteRead, TooManyQuarantined, ShrunkSnapshot, OutdatedReading, MalformedPage,
        InvalidSlice (a row of another partition), TableTaken, SchemaConflict, DestinationBusy or DestinationUnwritable;
        the table is then as it was, and the spool is kept for the next run.
        """
        where = f"{source}.{stream.name} {named(partitions)}"
        if not spool.is_complete:
            raise IncompleteRead(
                f"{where}: the extraction has not come to its end. Run it again; it goes on from there."
            )
        with self.refusals_named(where), self._workbench() as connection:
            batch = Batch(
                connection,
                source,
                stream,
                tuple(partitions),
                window,
                run_id,
                spool.started_at,
                now=dt.datetime.fromtimestamp(self.wall(), dt.UTC),
                read_for=spool.partitions,
                counted=spool.counted,
                read=read,
                keep_missing=keep_missing,
                replace_all=replace_all,
            )
            try:
                checked = self._staged(connection, batch, spool, stream)
            except (duckdb.DataError, duckdb.InvalidInputException):
                checked = self._checked(spool, stream, one_by_one=True)
                try:
                    self._make_room(connection, checked, stream)
                    batch.stage(checked)
                except (duckdb.DataError, duckdb.InvalidInputException) as error:
                    raise MalformedPage(
                        f"{where}: the store cannot read the extraction {spool.folder} ({str(error).splitlines()[0]}). "
                        "The table is as it was."
                    ) from error
            batch.require_share(self.max_quarantined_share)
            facts: Mapping[str, PartitionFacts] = batch.facts()
            preview = batch.preview()
            with self._attached(connection, read_only=False):
                require_ours(connection, self.path, source, stream.name)
                undeclared = tuple(checked.undeclared.values())
                if not may_shrink:
                    batch.require_rows(where, self.max_shrunk_share, spool.parents_gone)
                facts = batch.commit(where, facts, undeclared, within)
        return Landed(
            batch.table,
            facts,
            checked.received,
            batch.left_out,
            batch.duplicates,
            batch.quarantined,
            batch.first_reason,
            undeclared,
            preview,
            batch.changes,
            batch.deleted,
            batch.deleted_elsewhere,
            batch.first_seen,
            batch.rows_in_table,
        )

    def _staged(self, connection: duckdb.DuckDBPyConnection, batch: Batch, spool: Spool, stream: Stream) -> Checked:
        """Check a spool and parse it into the batch: at the same time, for nearly always everything fits as it is."""
        expected = as_it_is(spool)
        if expected.file.stat().st_size < _WORTH_A_THREAD_BYTES:
            checked = self._checked(spool, stream)
        else:
            self._make_room(connection, expected, stream)
            with ThreadPoolExecutor(1, thread_name_prefix="headrace-staging") as beside:
                staging = beside.submit(batch.stage, expected)
                try:
                    checked = self._checked(spool, stream, misfit=connection.interrupt)
                except BaseException:
                    connection.interrupt()
                    raise
            if checked.file == expected.file:
                staging.result()
                return checked
            # It was interrupted, or met what does not fit; of that, DuckDB 2 makes messages that are no text.
            with contextlib.suppress(duckdb.Error, UnicodeDecodeError):
                staging.result()
        self._make_room(connection, checked, stream)
        batch.stage(checked)
        return checked

    def _checked(self, spool: Spool, stream: Stream, **how: Any) -> Checked:
        return check(spool, stream, **how)

    def _make_room(self, connection: duckdb.DuckDBPyConnection, checked: Checked, stream: Stream) -> None:
        """Give a connection the memory that it needs to land what was checked, unless that was told."""
        if self.memory_limit is None:
            lines = min(checked.vector_bytes, read_buffer_bytes(checked))
            need = _TO_LAND_ANYTHING + _TO_LAND_A_COLUMN * len(stream.columns) + _TO_LAND_A_BYTE * lines
            connection.execute(f"SET memory_limit = '{max(_LEAST_TO_LAND, need) // 1_000_000}MB'")

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
            conditions.append(f"_partition IN ({listed(partitions)})")
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
            require_columns(connection, source, parent.stream.name, needed)
            rows = connection.execute(query).fetchall()
        return tuple(ParentRow(dict(zip(names, row, strict=False)), tuple(row[-1])) for row in rows)

    def landed_partitions(self, source: str, name: str) -> list[str]:
        """Return the partitions of a table that have ever been landed, empty ones included, in order."""
        if not self.path.exists():
            return []
        with self._state_read(), self._workbench() as connection, self._attached(connection, read_only=True):
            return sorted(landed_keys(connection, source, name))

    def landed_at(self, source: str, name: str, partitions: Sequence[str]) -> dt.datetime | None:
        """Return when any of these partitions was last landed; None for never."""
        if not self.path.exists():
            return None
        with self._state_read(), self._workbench() as connection, self._attached(connection, read_only=True):
            if not columns_of(connection, "main", "_state"):
                return None
            row = connection.execute(
                f"SELECT max(loaded_at) FROM store._state WHERE schema = {literal(source)} AND name = {literal(name)} "
                f"AND partition IN ({listed(partitions)})"
            ).fetchone()
        return None if row is None else row[0]

    def readings(self, source: str, name: str) -> Mapping[str, dt.datetime | None]:
        """Return when the reading was begun that each partition of a table holds, None where that is not known."""
        if not self.path.exists():
            return {}
        with self._state_read(), self.attached(read_only=True) as connection:
            stored = columns_of(connection, "main", "_state")
            if not stored or not columns_of(connection, source, name):  # whoever dropped the table wants it anew
                return {}
            begun = "extracted_at" if "extracted_at" in stored else "NULL"
            rows = connection.execute(
                f"SELECT partition, {begun} FROM store._state WHERE {is_table(source, name)} ORDER BY partition"
            )
            return dict(rows.fetchall())

    @contextlib.contextmanager
    def reading(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Yield a connection with the database as the current one, for several queries under one shared lock."""
        with self._workbench() as connection, self._attached(connection, read_only=True):
            connection.execute("USE store")
            yield connection

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a reading query with the database as the current one, under the shared lock, and return all rows.

        Raises SchemaConflict for a column that its tables do not have.
        """
        with self.reading() as connection:
            try:
                return connection.execute(sql, parameters).fetchall()
            except duckdb.BinderException as error:
                if (missing := MISSING_COLUMN.search(str(error))) is None:
                    raise
                raise SchemaConflict(lacks(tables_of(connection, sql), missing[1])) from error

    def _require_landed(
        self, connection: duckdb.DuckDBPyConnection, source: str, name: str, partitions: Sequence[str] | None
    ) -> None:
        with self._state_read():
            landed = landed_keys(connection, source, name)
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
        know are restored when the frame is read. Raises InvalidSlice for a row of another partition, TableTaken
        for a table of another program, SchemaConflict for a column that cannot be stored exactly, DestinationBusy or
        DestinationUnwritable.
        """
        stored, texts, dtypes = storable(f"{schema}.{name}", frame)
        # DuckDB takes a column without any text for numbers.
        as_text = ", ".join(f"{quoted(column)}::VARCHAR AS {quoted(column)}" for column in texts)
        values = f"* REPLACE ({as_text})" if texts else "*"
        where = f"{schema}.{name} {named(partitions)}"
        table = f"store.{quoted(schema)}.{quoted(name)}"
        with self.refusals_named(where), self._workbench() as connection:
            connection.register("given", stored)
            day = f"strftime({quoted(partition_column)}, '%Y-%m-%d')" if partition_column else literal(partitions[0])
            connection.execute(f"CREATE TEMP TABLE batch AS SELECT {values}, {day}::VARCHAR AS _partition FROM given")
            declared = described(connection, "batch")
            facts = facts_of(connection, [column for column in declared if column != "_partition"], partitions, None)
            with self._attached(connection, read_only=False):
                require_ours(connection, self.path, schema, name, endings=("",))
                stored_columns = columns_of(connection, schema, name)
                with transaction(connection):
                    connection.execute(f"CREATE SCHEMA IF NOT EXISTS store.{quoted(schema)}")
                    if tuple(partitions) == (SNAPSHOT,):  # all of it is written anew, columns too
                        connection.execute(f"DROP TABLE IF EXISTS {table}")
                        stored_columns = {}
                    make_table(connection, where, table, stored_columns, {**declared, **FRAME_HOUSEKEEPING})
                    connection.execute(f"DELETE FROM {table} WHERE _partition IN ({listed(partitions)})")
                    connection.execute(
                        f"INSERT INTO {table} BY NAME "
                        f"SELECT *, now() AS _loaded_at, {literal(run_id)} AS _run_id FROM batch"
                    )
                    make_state(connection)
                    write_state(connection, schema, name, facts, run_id)
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
            stored = described(connection, table)
            if columns is None:
                columns = {column: column for column in stored if column not in HOUSEKEEPING}
            needed = [path if path in stored else path.partition(".")[0] or path for path in columns.values()]
            require_columns(connection, schema, name, needed)
            # pandas is told the zone below: DuckDB's own way of telling it is deprecated by pandas 3.1.
            instants = [alias for alias, path in columns.items() if stored.get(path) == TYPES["timestamp"]]
            texts = [alias for alias, path in columns.items() if stored.get(path, "JSON") in ("VARCHAR", "JSON")]
            selected = ", ".join(
                f"{reached(path, stored)}{' AT TIME ZONE ' + literal('UTC') if alias in instants else ''} "
                f"AS {quoted(alias)}"
                for alias, path in columns.items()
            )
            conditions = ["_is_current"] if current and "_is_current" in stored else []
            if partitions is not None:
                conditions.append(f"_partition IN ({listed(partitions)})")
            where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
            frame = connection.sql(f"SELECT {selected} FROM {table} {where} ORDER BY _partition, rowid").df()
            kinds = connection.execute(
                "SELECT dtypes FROM store._frames WHERE schema = ? AND name = ?", [schema, name]
            ).fetchone()
        for alias in instants:
            frame[alias] = frame[alias].dt.tz_localize("UTC")
        for alias in texts:
            frame[alias] = restored(frame[alias], "str")  # without any text DuckDB gives objects
        dtypes = json.loads(kinds[0]) if kinds else {}
        for alias, path in columns.items():
            if path in dtypes:
                frame[alias] = restored(frame[alias], dtypes[path])
        return frame


def _interrupt(error: BaseException) -> BaseException:
    """Return what a signal's handler raised while DuckDB was at work, which makes an error of its own of that.

    DuckDB 2 keeps nothing of it.
    """
    while (reason := error.__cause__ or error.__context__) is not None:
        if not isinstance(reason, Exception):
            return reason
        error = reason
    return KeyboardInterrupt()


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
    if tells_of_damage(error, f'{path}"'):
        return f"is a damaged DuckDB database ({str(error).splitlines()[0]})"
    return None


def tells_of_damage(error: duckdb.Error, file: str = "") -> bool:
    """Whether DuckDB says that a database is damaged, or none; where it names a file, one that begins so."""
    damaged = ("Corrupt database file", f'Could not read enough bytes from file "{file}', "not a valid DuckDB")
    return any(text in str(error) for text in damaged)


_MAGIC, _MAGIC_START, _MAGIC_END = b"DUCK", 8, 12
"""What every DuckDB database has behind the checksum of its first block."""


def _detach(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("USE memory")
    connection.execute("DETACH store")
