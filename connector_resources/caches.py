"""Caches: the DuckDB database of the assets, or one of one's own, under the word that PyAirbyte has for it.

A cache is no copy of the destination but the destination itself: `<schema>.<stream>` is the table that the asset of
a stream has, and a read goes on where the last run of the asset stopped. The file is opened for the time of a query,
under the lock that all processes of this project take, and never held: nothing has to be closed before another one may
work.
"""

import contextlib
import uuid
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import duckdb

from connector_resources import environment
from connector_resources.datasets import DEFAULT_ARROW_MAX_CHUNK_SIZE, CachedDataset, Record, near
from connector_resources.destinations.duckdb import DuckDB
from connector_resources.destinations.duckdb_claims import claims
from connector_resources.destinations.duckdb_rows import Selection, decoded
from connector_resources.destinations.duckdb_tables import (
    MISSING_COLUMN,
    TYPES,
    columns_of,
    quoted,
    refusal,
    transaction,
)
from connector_resources.environment import Mode
from connector_resources.errors import ConnectorError, PartitionMissing
from connector_resources.exceptions import AirbyteStreamNotFoundError, PyAirbyteCacheError, PyAirbyteInputError
from connector_resources.paths import local
from connector_resources.sql_text import changed, first_word, keeps_its_text, mentioned, told_apart
from connector_resources.streams import Stream

if TYPE_CHECKING:
    import pandas as pd
    import sqlalchemy

    from connector_resources.resource import Source

_CACHE_FOLDER = Path(".cache")
"""Where `new_local_cache` makes its files, below the working directory, as PyAirbyte does."""


class StreamNotInCache(AirbyteStreamNotFoundError, KeyError):
    """There is no stream of that name in the cache, or there are several."""


class CacheBase(ABC):
    """Streams that were read into a DuckDB database, and SQL about them.

    `cache["users"]` is the stream of that name where only one source in the cache has one; `cache["drift.users"]` is
    always. A name that Airbyte's connector has for a stream is as good as its own.
    """

    schema_name: str | None
    table_prefix: str

    # -- where it is -------------------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def store(self) -> DuckDB:
        """The database. Asking for it decides the mode of a cache that is not bound to one yet."""

    @property
    @abstractmethod
    def spools(self) -> Path:
        """Where extractions are kept until they have been landed, and for replays."""

    @abstractmethod
    def bind(self, mode: Mode) -> None:
        """Bind the cache to the sandbox or to live accounts: what is read from the two never shares a database.

        Raises PyAirbyteInputError where it is bound to the other one already.
        """

    @property
    def is_of_assets(self) -> bool:
        """Whether it is the database that the assets write into."""
        return False

    @property
    def cache_dir(self) -> Path:
        """The folder the database is in."""
        return self.store.path.parent

    @property
    def name(self) -> str:
        """What the cache is called."""
        return type(self).__name__

    def get_database_name(self) -> str:
        """Return the name of the database, which is that of its file."""
        return self.store.path.stem

    def schema_of(self, source_name: str) -> str:
        """Return the schema that the tables of a source are in."""
        return self.schema_name or source_name

    def table_of(self, stream_name: str) -> str:
        """Return the name of a stream's table in its schema."""
        return f"{self.table_prefix}{stream_name}"

    # -- streams -----------------------------------------------------------------------------------------------------

    def found(self, stream_name: str) -> tuple[str, str]:
        """Return the schema and the stream that a name stands for. Raises StreamNotInCache, listing those there are."""
        return self._found(stream_name, self._streams())

    def _found(self, stream_name: str, there: Sequence[tuple[str, str]]) -> tuple[str, str]:
        found = [(schema, name) for schema, name in there if stream_name in (name, f"{schema}.{name}")]
        found = found or self._known_as(stream_name, there)
        exact = [each for each in found if ".".join(each) == stream_name]
        if len(found) == 1 or len(exact) == 1:
            return (exact or found)[0]
        if found:
            names = [".".join(each) for each in found]
            raise StreamNotInCache(
                f"Several sources in {self.store.path} have a stream {stream_name}.",
                guidance=f"Say which: {' or '.join(names)}.",
                stream_name=stream_name,
                available_streams=names,
            )
        raise StreamNotInCache(
            f"There is no stream {stream_name} in {self.store.path}.",
            guidance="Take one that is there, or read it first.",
            stream_name=stream_name,
            available_streams=self._names(there),
        )

    def dataset(self, source_name: str, stream_name: str, **given: Any) -> CachedDataset:
        """Return a stream of a source; nothing is looked up before it is used."""
        return CachedDataset(self, stream_name, schema=self.schema_of(source_name), **given)

    def declared(self, schema: str, stream_name: str) -> Stream | None:
        """Return the declaration of a stream in the cache; None where no connector here has it.

        The connector is the one that the table's claim names, else the one whose name the schema has.
        """
        (kind,) = self._connectors([(schema, stream_name)])
        streams = () if kind is None else kind.streams
        return next((stream for stream in streams if stream.name == stream_name), None)

    def _known_as(self, other_name: str, there: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        """Return the streams whose connectors know them by another name, too."""
        return [
            (schema, name)
            for (schema, name), kind in zip(there, self._connectors(there), strict=True)
            if kind is not None and kind.stream_aliases.get(other_name.removeprefix(f"{schema}.")) == name
        ]

    def _connectors(self, streams: Sequence[tuple[str, str]]) -> "list[type[Source] | None]":
        """Return the connector of each stream; None where there is none here."""
        if not streams:
            return []
        from connector_resources.sources import discover  # which takes Dagster along

        claimed, kinds = claims(self.store), {kind.name: kind for kind in discover()}
        held = (claimed.get((schema, self.table_of(name))) for schema, name in streams)
        return [
            kinds.get(schema if claim is None else claim.source)
            for (schema, _), claim in zip(streams, held, strict=True)
        ]

    @property
    def streams(self) -> dict[str, CachedDataset]:
        """The streams there are, by their names; by `source.stream` where several sources have one of that name."""
        there = self._streams()
        named = zip(self._names(there), there, strict=True)
        return {shown: CachedDataset(self, name, schema=schema) for shown, (schema, name) in named}

    def __getitem__(self, stream: str) -> CachedDataset:
        return CachedDataset(self, stream)

    def __contains__(self, stream: object) -> bool:
        there = self._streams()
        is_own = any(stream in (name, f"{schema}.{name}") for schema, name in there)
        return is_own or (isinstance(stream, str) and bool(self._known_as(stream, there)))

    def __iter__(self) -> Iterator[tuple[str, CachedDataset]]:
        """Yield the name and the dataset of each stream, as PyAirbyte does."""
        return iter(self.streams.items())

    def __len__(self) -> int:
        return len(self._streams())

    def __bool__(self) -> bool:
        return True  # a cache without streams is a cache all the same

    def get_records(self, stream_name: str) -> CachedDataset:
        """Return a stream."""
        return self[stream_name]

    def get_pandas_dataframe(self, stream_name: str) -> "pd.DataFrame":
        """Return all rows of a stream as a frame."""
        return self[stream_name].to_pandas()

    def get_arrow_dataset(self, stream_name: str, *, max_chunk_size: int = DEFAULT_ARROW_MAX_CHUNK_SIZE) -> Any:
        """Return all rows of a stream as a `pyarrow.dataset.Dataset`, streamed from disk. Needs the extra `arrow`."""
        return self[stream_name].to_arrow(max_chunk_size=max_chunk_size)

    def _streams(self) -> list[tuple[str, str]]:
        """Return the schema and the name of every stream there is, in order."""
        if not self.store.path.exists():
            return []
        with self.store.attached(read_only=True) as connection:
            return self._listed(connection)

    def _listed(self, connection: duckdb.DuckDBPyConnection) -> list[tuple[str, str]]:
        if not columns_of(connection, "main", "_state"):
            return []
        rows = connection.execute(
            "SELECT DISTINCT schema, name FROM store._state ANTI JOIN store._frames USING (schema, name) ORDER BY ALL"
        ).fetchall()
        prefix = self.table_prefix
        return [
            (schema, name.removeprefix(prefix))
            for schema, name in rows
            if name.startswith(prefix) and self.schema_name in (None, schema)
        ]

    @staticmethod
    def _names(there: Sequence[tuple[str, str]]) -> list[str]:
        count = Counter(name for _, name in there)
        return [name if count[name] == 1 else f"{schema}.{name}" for schema, name in there]

    # -- SQL ---------------------------------------------------------------------------------------------------------

    def run_sql_query(
        self, sql_query: "str | sqlalchemy.TextClause", *, max_records: int | None = None
    ) -> list[Record]:
        """Run a query and return its rows, `max_records` of them at most.

        `drift.users` is the table with every version of every record, `users` alone stands for the rows that
        `cache["users"]` has, where the name is unique. Instants are aware and in UTC, JSON comes as what it holds. A
        statement that changes something is run, too, and returns no rows. Raises PyAirbyteInputError for what DuckDB
        refuses.
        """
        if max_records is not None and max_records < 0:
            raise PyAirbyteInputError("max_records is below 0.", input_value=max_records)
        if not str(sql_query).strip("; \t\r\n"):
            raise PyAirbyteInputError("There is no query in this text.", guidance="Such as SELECT * FROM users.")
        with _refusals_named():
            if not is_query(sql := str(sql_query)):
                self.execute_sql(sql)
                return []
            with self.reading() as names, names.known_in(sql) as query:
                cursor = names.connection.execute(query)
                columns, readers = _described(cursor)
                rows = cursor.fetchall() if max_records is None else cursor.fetchmany(max_records)
        for position, read in readers.items():
            rows = [
                row if row[position] is None else (*row[:position], read(row[position]), *row[position + 1 :])
                for row in rows
            ]
        return [dict(zip(columns, row, strict=True)) for row in rows]

    def execute_sql(self, sql: str | Sequence[str]) -> None:
        """Run one or several statements that change something, in one transaction.

        For tables of one's own: the name of a stream alone stands for its rows, as in `run_sql_query`, and cannot be
        written to; a table of one's own by that name is `main.<name>`. A statement holds the database for its time, and
        all that land records wait for it. Raises PyAirbyteInputError for what DuckDB refuses.
        """
        with _refusals_named(), self.writing() as names, transaction(names.connection):
            for text in (sql,) if isinstance(sql, str) else sql:
                for statement in _statements(text):
                    with names.known_in(statement) as known:
                        names.connection.execute(known)

    def get_sql_engine(self) -> "sqlalchemy.Engine":
        """Return an engine of SQLAlchemy on the database.

        A query opens the database for its own time, however long its connection is kept; a statement that changes
        something holds it until it is committed or rolled back.
        """
        from connector_resources.sql_engine import engine

        return engine(self)

    def close(self) -> None:  # noqa: B027 -- no child of this class has to do more
        """Do nothing: the database is open for the time of a query, and never between two."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextlib.contextmanager
    def reading(self) -> "Iterator[StreamNames]":
        """Yield a connection to run queries on, and the names of streams for it.

        Raises PyAirbyteCacheError where nothing was ever read into the cache.
        """
        if not self.store.path.exists():
            raise PyAirbyteCacheError(
                f"There is no database {self.store.path} yet.", guidance="Read a source into this cache first."
            )
        with self.store.attached(read_only=True, is_kept=False) as connection:
            connection.execute("USE store")
            yield StreamNames(self, connection, self._listed(connection))

    @contextlib.contextmanager
    def writing(self) -> "Iterator[StreamNames]":
        """Yield a connection to run statements on that change something, and the names of streams for it."""
        with self.store.attached(read_only=False, is_kept=False) as connection:
            connection.execute("USE store")
            yield StreamNames(self, connection, self._listed(connection))


class StreamNames:
    """The names of streams in SQL: each alone stands for the rows of its dataset, whatever else has that name.

    A name that a text has becomes a temporary view, which comes before any table of the database. One that stands for
    no single table becomes a view that fails when it is used, for the text may have it as that of a column.
    """

    def __init__(
        self, cache: CacheBase, connection: duckdb.DuckDBPyConnection, there: Sequence[tuple[str, str]]
    ) -> None:
        self.connection = connection
        self._cache = cache
        self._there = there
        self._made: list[str] = []
        self._unclear: dict[str, ConnectorError] = {}

    @contextlib.contextmanager
    def known_in(self, sql: str) -> Iterator[str]:
        """Make the names in a text known, and yield it as it is to be run.

        Raises PyAirbyteInputError where it changes a stream by its name alone; in the block, what is wrong with a name.
        """
        used = mentioned(sql, sorted({name for _, name in self._there}))
        if (target := changed(sql)) in {name.casefold() for name in used}:
            raise self._no_target(str(target))
        for name in self._made:  # those of the statement before, which this one may not know
            self.connection.execute(f"DROP VIEW IF EXISTS temp.main.{quoted(name)}")
        self._made, self._unclear = [], {}
        is_kept = keeps_its_text(sql)
        for name in () if is_kept else used:
            self._make_view(name)
        try:
            yield told_apart(sql, () if is_kept else used)
        except duckdb.CatalogException as error:
            for marker, told in self._unclear.items():
                if marker in str(error):
                    raise told from error
            if is_kept and (unknown := next((name for name in used if f"name {name} " in str(error)), None)):
                raise PyAirbyteInputError(
                    f"A view or a macro is kept as text, and {unknown} alone is known in queries of this cache only.",
                    guidance=f"Write {self._said(unknown)}.",
                ) from error
            raise

    def _make_view(self, name: str) -> None:
        try:
            schema, _ = self._cache._found(name, self._there)
            with self.connection.cursor() as looking:  # a look-up that fails ends a transaction of DuckDB 2
                looking.execute("USE store")
                query = Selection(self._cache.store, schema, self._cache.table_of(name)).query(looking)
        except (StreamNotInCache, PartitionMissing) as error:
            marker = f"no table for {name}"
            self._unclear[marker] = error
            table = f"temp.main.{quoted(marker)}"
            self.connection.execute(f"CREATE TEMP TABLE {quoted(marker)} (nothing INTEGER)")
            self.connection.execute(f"CREATE OR REPLACE TEMP VIEW {quoted(name)} AS FROM {table}")
            self.connection.execute(f"DROP TABLE {table}")
        else:
            self.connection.execute(f"CREATE OR REPLACE TEMP VIEW {quoted(name)} AS {query}")
        self._made.append(name)

    def _no_target(self, target: str) -> PyAirbyteInputError:
        return PyAirbyteInputError(
            f"{target} alone stands for the rows of a stream, and cannot be made, changed or dropped.",
            guidance=f"A table of your own by that name is main.{target}; the stream's own is "
            f"{self._said(target, '')}, where the next read does not notice that rows were changed or deleted: "
            "read with force_full_refresh=True then.",
        )

    def _said(self, stream_name: str, ending: str = "_current") -> str:
        """Name the tables of a stream for certain."""
        tables = [
            f"{schema}.{self._cache.table_of(name)}{ending}"
            for schema, name in self._there
            if name.casefold() == stream_name.casefold()
        ]
        return " or ".join(tables)


class DuckDBCache(CacheBase):
    """A cache in a DuckDB file of one's own.

    Each source has its schema, or all have `schema_name`; each table's name begins with `table_prefix`. What is read
    waits in `<cache_dir>/<file>.spools`, by default beside the file. The file holds the sandbox's rows or live ones,
    whichever are read first. `cleanup` is taken for PyAirbyte's sake: nothing is left to be cleaned up.
    """

    def __init__(
        self,
        db_path: str | Path,
        *,
        schema_name: str | None = None,
        table_prefix: str = "",
        cache_dir: str | Path | None = None,
        cleanup: bool = True,
    ) -> None:
        self._path = local(db_path, "A cache's db_path").absolute()
        self._folder = self._path.parent if cache_dir is None else local(cache_dir, "A cache's cache_dir").absolute()
        for what, name in (("schema_name", schema_name or ""), ("table_prefix", table_prefix)):
            if (what == "schema_name" and name.lower() in _OF_DUCKDB) or "\0" in name:
                raise PyAirbyteInputError(f"{what} cannot be that.", guidance="Take another.", input_value=name)
        # DuckDB takes names that differ in case for one, and whose a table is goes by its name.
        self.schema_name = schema_name.lower() if schema_name else None
        self.table_prefix = table_prefix.lower()
        self.cleanup = cleanup
        self._mode: Mode | None = None

    @property
    def db_path(self) -> Path:
        """The database's file, as an absolute path."""
        return self._path

    @property
    def store(self) -> DuckDB:
        """The database."""
        return _store(self._path, self.spools)

    @property
    def spools(self) -> Path:
        """Where extractions are kept until they have been landed, and for replays."""
        return self._folder / f"{self._path.name}.spools"

    def bind(self, mode: Mode) -> None:
        """Bind the cache to the sandbox or to live accounts. Raises PyAirbyteInputError where it is the other's."""
        held = {claim.mode for claim in claims(self.store).values()}
        held |= {other for other in _MODES if self._path.resolve().name == f"{other}.duckdb" or self._is_of(other)}
        _require_mode(self._path, mode, held | ({self._mode} if self._mode else set()))
        self._mode = mode

    @property
    def is_of_assets(self) -> bool:
        """Whether it is the database that the assets write into."""
        return any(map(self._is_of, _MODES))

    def _is_of(self, mode: Mode) -> bool:
        return self.db_path.resolve() == _of_assets(mode).resolve()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.store.path)!r})"


class DefaultCache(DuckDBCache):
    """The database of the assets: `DATA_FOLDER/sandbox.duckdb` or `live.duckdb`, where `data` is the folder by default.

    Which one is decided by the first source that is read into it; by CONNECTOR_MODE where it is asked something before
    any.
    """

    def __init__(self, mode: Mode | None = None) -> None:
        super().__init__(_of_assets("sandbox"))
        self._mode = mode

    @property
    def db_path(self) -> Path:
        """The database's file, as an absolute path."""
        return self._folder / f"{self.mode}.duckdb"

    @property
    def mode(self) -> Mode:
        """What the cache is bound to; asking for it binds it, by CONNECTOR_MODE."""
        if self._mode is None:
            self._mode = environment.mode() or "sandbox"
        return self._mode

    @property
    def store(self) -> DuckDB:
        """The database. Asking for it decides the mode of a cache that is not bound to one yet."""
        return _store(self.db_path, self.spools)

    @property
    def spools(self) -> Path:
        """Where the assets' extractions of this mode are kept, too."""
        return self._folder / "spools" / self.mode

    def bind(self, mode: Mode) -> None:
        """Bind the cache to the sandbox or to live accounts. Raises PyAirbyteInputError where it is the other's."""
        if self._mode is not None:
            _require_mode(self.db_path, mode, {self._mode})
        self._mode = mode

    def __repr__(self) -> str:
        if self._mode is not None:
            return f"{type(self).__name__}({str(near(self.db_path))!r})"
        either = " or ".join(str(near(self._folder / f"{mode}.duckdb")) for mode in _MODES)
        return f"{type(self).__name__}(the database of the assets, {either}: the first read decides)"


def get_default_cache(mode: Mode | None = None) -> DuckDBCache:
    """Return the database of the assets as a cache.

    It is the sandbox's or the live one's, as `mode` says; without it, as the first source that is read into it.
    """
    if mode not in (None, *_MODES):
        raise PyAirbyteInputError("mode is sandbox or live.", input_value=mode)
    return DefaultCache(mode)


def cache_to_read_into(given: object) -> CacheBase:
    """Return the cache that a read was given, the database of the assets for None. Raises PyAirbyteInputError."""
    if given is None:
        return get_default_cache()
    if not isinstance(given, CacheBase):
        raise PyAirbyteInputError(
            "This is no cache to read into.",
            guidance="Give a DuckDBCache, such as ab.DuckDBCache('mine.duckdb'), or leave it out: the default one is "
            "the database of the assets. get_records() reads without a cache.",
            context={"type": type(given).__name__},
        )
    return given


def new_local_cache(
    cache_name: str | None = None, cache_dir: str | Path | None = None, *, cleanup: bool = True
) -> DuckDBCache:
    """Return a cache of one's own in `.cache/<name>/db_<name>.duckdb`, or in `cache_dir`.

    A name is letters, digits and underscores; without one the cache is new, with one it is there again next time.
    """
    if cache_name is not None and not (cache_name.isascii() and cache_name.replace("_", "a").isalnum()):
        raise PyAirbyteInputError("The name of a cache is letters, digits and underscores.", input_value=cache_name)
    name = cache_name or uuid.uuid4().hex
    folder = _CACHE_FOLDER / name if cache_dir is None else local(cache_dir, "cache_dir")
    return DuckDBCache(folder / f"db_{name}.duckdb", cache_dir=folder, cleanup=cleanup)


# Where things are


_MODES: tuple[Mode, ...] = ("sandbox", "live")

_OF_DUCKDB = ("temp", "system", "memory", "pg_catalog", "information_schema", "store")
"""Databases and schemas that are always there, and the name of ours in a commit."""


def _of_assets(mode: Mode) -> Path:
    """Return the database of the assets in a mode."""
    return environment.data_folder().absolute() / f"{mode}.duckdb"


def _store(path: Path, spools: Path) -> DuckDB:
    limit = environment.environment().get("DUCKDB_MEMORY_LIMIT") or None
    return DuckDB(path, spools / "temporary", memory_limit=limit)


def _require_mode(path: Path, mode: Mode, held: Collection[Mode]) -> None:
    if others := set(held) - {mode}:
        raise PyAirbyteInputError(
            f"{path} is for {others.pop()} rows, and these are {mode} ones. They never share a database.",
            guidance="Give each a cache of its own.",
        )


# Queries

_READS = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN)

_READING = {"pivot", "unpivot", "select", "from", "with", "("}
"""How a text begins that only reads, where DuckDB does not tell."""


def is_query(sql: str) -> bool:
    """Return whether all statements of a text only read. Raises what DuckDB says of a text that is no SQL."""
    found = duckdb.extract_statements(sql)
    if any(not statement.query or statement.type.name == "MULTI" for statement in found):
        return first_word(sql) in _READING  # a PIVOT, of which DuckDB makes several statements
    return all(statement.type in _READS for statement in found)


def _statements(sql: str) -> list[str]:
    """Return the statements of a text, one by one; together where one is a PIVOT, which DuckDB makes several of."""
    found = [statement.query for statement in duckdb.extract_statements(sql)]
    return found if all(found) else [sql]


def _described(cursor: duckdb.DuckDBPyConnection) -> tuple[list[str], Mapping[int, Callable[[Any], Any]]]:
    """Return the names of a result's columns, and how the values are read of those that need it, by position."""
    names = [column[0] for column in cursor.description or ()]
    kinds = [str(column[1]) for column in cursor.description or ()]
    readers: dict[str, Callable[[Any], Any]] = {TYPES["timestamp"]: in_utc, TYPES["json"]: decoded}
    return names, {position: readers[kind] for position, kind in enumerate(kinds) if kind in readers}


def in_utc(instant: datetime) -> datetime:
    """Return an instant with Python's own UTC; DuckDB gives that of another package."""
    return instant.astimezone(UTC)


@contextlib.contextmanager
def _refusals_named() -> Iterator[None]:
    """Raise what DuckDB refuses in a query by the name that PyAirbyte's users know."""
    try:
        yield
    except duckdb.Error as error:
        raise PyAirbyteInputError(
            f"The query could not be run ({refusal(error)}).",
            guidance="`cache['<stream>'].column_names` has the columns of a stream."
            if MISSING_COLUMN.search(str(error))
            else "Tables are `<source>.<stream>`; `cache.streams` has those there are.",
        ) from error


if not TYPE_CHECKING:  # a type checker would take every name for one that is there

    def __getattr__(name: str) -> Any:
        """Raise AttributeError for what this module has not, or LeftOut with the reason for a cache of PyAirbyte's."""
        from connector_resources.left_out import left_out

        raise left_out(__name__, name)
