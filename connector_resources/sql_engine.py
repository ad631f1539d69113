"""SQLAlchemy on a cache without holding its file: duckdb_engine speaks DuckDB's dialect, the connections are ours.

A connection of SQLAlchemy lives as long as somebody keeps it, and one of DuckDB's own would keep every other process
out for that long. So each query opens the database, takes all rows over and closes it again. The first statement that
changes something opens it for writing, in a transaction that ends with its commit or rollback.
"""

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import duckdb

from connector_resources.caches import CacheBase, StreamNames, in_utc, is_query
from connector_resources.destinations.duckdb_tables import TYPES

if TYPE_CHECKING:
    import sqlalchemy


def engine(cache: CacheBase) -> "sqlalchemy.Engine":
    """Return an engine on the database of a cache."""
    import sqlalchemy

    made = sqlalchemy.create_engine(
        f"duckdb:///{cache.store.path}", creator=lambda: _Connection(cache), poolclass=sqlalchemy.pool.NullPool
    )
    _know_of_no_constraints(made.dialect)
    return made


def _know_of_no_constraints(dialect: Any) -> None:
    """Let a dialect say that no table has keys, constraints or indexes: none of those that are landed has any.

    duckdb_engine 0.17 asks DuckDB for them as if it were PostgreSQL, which fails with SQLAlchemy 2.0.58; so no table
    could be reflected. Drop once `inspect(engine).get_pk_constraint(…)` works without.
    """
    from sqlalchemy.engine.reflection import ReflectionDefaults

    def none_of(empty: Callable[[], Any]) -> Callable[..., Any]:
        def found(connection: Any, schema: str | None = None, filter_names: Any = None, **others: Any) -> Any:
            names = filter_names or [
                *dialect.get_table_names(connection, schema=schema),
                *dialect.get_view_names(connection, schema=schema),
            ]
            return [((schema, name), empty()) for name in names]

        return found

    for what in ("pk_constraint", "foreign_keys", "unique_constraints", "check_constraints", "indexes"):
        setattr(dialect, f"get_multi_{what}", none_of(getattr(ReflectionDefaults, what)))
    dialect.get_indexes = lambda *_, **__: []


class _Connection:
    """A connection as Python's database interface has it (PEP 249), as far as duckdb_engine asks for it."""

    notices: Sequence[str] = ()

    def __init__(self, cache: CacheBase) -> None:
        self._cache = cache
        self._held = contextlib.ExitStack()
        self._writing: StreamNames | None = None

    def cursor(self) -> "_Cursor":
        return _Cursor(self)

    def begin(self) -> None:
        """Do nothing: a transaction begins with the first statement that changes something."""

    def commit(self) -> None:
        self._end("COMMIT")

    def rollback(self) -> None:
        self._end("ROLLBACK")

    def close(self) -> None:
        self.rollback()

    @contextlib.contextmanager
    def opened(self, sql: str) -> Iterator[tuple[duckdb.DuckDBPyConnection, str]]:
        """Yield a connection of DuckDB's to run a statement on, and the statement as it is to be run."""
        with contextlib.ExitStack() as held:
            if (names := self._writing) is None:
                if is_query(sql):
                    names = held.enter_context(self._cache.reading())
                else:
                    names = self._writing = self._held.enter_context(self._cache.writing())
                    names.connection.execute("BEGIN")
            yield names.connection, held.enter_context(names.known_in(sql))

    def _end(self, statement: str) -> None:
        if self._writing is not None:
            try:
                self._writing.connection.execute(statement)
            finally:
                self._writing = None
                self._held.close()


class _Cursor:
    """A result whose rows were all taken over when its statement was run."""

    arraysize = 1
    rowcount = -1

    def __init__(self, connection: _Connection) -> None:
        self.connection = connection
        self.description: Sequence[tuple[Any, ...]] | None = None
        self._rows: Iterator[tuple[Any, ...]] = iter(())

    def execute(self, statement: str, parameters: Any = None) -> None:
        with self.connection.opened(statement) as (connection, sql):
            result = connection.execute(sql, parameters or None)
            self.description = result.description
            rows = result.fetchall() if result.description else []
        instants = [
            position for position, column in enumerate(self.description or ()) if str(column[1]) == TYPES["timestamp"]
        ]
        for position in instants:
            rows = [
                row if row[position] is None else (*row[:position], in_utc(row[position]), *row[position + 1 :])
                for row in rows
            ]
        self._rows = iter(rows)

    def executemany(self, statement: str, parameters: Any = None) -> None:
        with self.connection.opened(statement) as (connection, sql):
            connection.executemany(sql, list(parameters or ()))

    def fetchone(self) -> tuple[Any, ...] | None:
        return next(self._rows, None)

    def fetchmany(self, size: int | None = None) -> list[tuple[Any, ...]]:
        return list(itertools.islice(self._rows, size or self.arraysize))

    def fetchall(self) -> list[tuple[Any, ...]]:
        return list(self._rows)

    def close(self) -> None:
        """Do nothing: the database is closed already."""
