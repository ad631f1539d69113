"""The rows of a landed stream as people want them: Python values, a frame of pandas, a file of Parquet.

Every way out shows the same rows: the newest version of each record that is not deleted, or, where reads only ever add
to the table, all of them. And all show the same values: instants aware and in UTC, decimals to the last place, the
columns of JSON as what they hold, and the fields nobody declared.

The database is opened for the time of a query and no longer. What is walked through at leisure, or streamed, is copied
into a private place first.
"""

import contextlib
import functools
import gc
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import msgspec

from connector_resources.destinations.duckdb import DuckDB, tells_of_damage
from connector_resources.destinations.duckdb_frames import restored
from connector_resources.destinations.duckdb_tables import (
    HOUSEKEEPING,
    TYPES,
    columns_of,
    count_rows,
    described,
    is_table,
    literal,
    quoted,
    refusal,
)
from connector_resources.errors import ConfigurationError, DestinationUnwritable, PartitionMissing

if TYPE_CHECKING:
    import pandas as pd

_INSTANT, _JSON, _DECIMAL = TYPES["timestamp"], TYPES["json"], TYPES["decimal"]
_OF_A_QUERY = re.compile(r"\b(from|table|pivot|unpivot|describe|show|summarize|call)\b", re.ASCII | re.IGNORECASE)
"""A word without which a condition looks at nothing but its row; it may also be in a text or a name."""
_CHUNK = 1_000
_FIRST, _FEW = 1_000, 100
"""A column of JSON is taken for one of few texts where its first rows have no more different ones."""
_DOUBLE_DIGITS = 15
"""As many decimal digits as any double keeps."""


def _number(text: str) -> float | Decimal:
    """Return a number with a point as a float, or as a Decimal where a float would lose digits of it."""
    value = float(text)
    return value if len(text) <= _DOUBLE_DIGITS or Decimal(text) == Decimal(repr(value)) else Decimal(text)


decoded: Callable[[str], Any] = msgspec.json.Decoder(float_hook=_number).decode
"""Return what a JSON text holds; a number that a float cannot keep is a Decimal."""


def _text(column: str, kind: str) -> str:
    """Return the SQL for the text of a column.

    A decimal below a thousand million is written as one of 64 bits, in the same characters for a quarter of the time.
    """
    if kind != _DECIMAL:
        return f"{column}::VARCHAR"
    return f"coalesce(TRY_CAST({column} AS DECIMAL(18,9))::VARCHAR, {column}::VARCHAR)"


def _read(reader: Callable[[str], Any], texts: Any) -> "pd.Series[Any]":
    """Return what a reader makes of each text of an array that DuckDB gave, None of those that are null."""
    import numpy as np
    import pandas as pd

    listed = texts.tolist()
    if reader is decoded and len(set(listed[:_FIRST])) <= _FEW:
        found: Iterator[Any] = map(operator.call, map(_Makers().__getitem__, listed))
    elif hasattr(texts, "mask"):  # which it has where any is null
        found = (None if text is None else reader(text) for text in listed)
    else:
        found = map(reader, listed)
    return pd.Series(np.fromiter(found, dtype=object, count=len(listed)), dtype=object, copy=False)


class _Makers(dict[str | None, Callable[[], Any]]):
    """What makes a new object of what a JSON text holds, by the text: where a few come again and again.

    An object or a list of scalars is decoded once and copied, which takes a third of the time.
    """

    def __missing__(self, text: str | None) -> Callable[[], Any]:
        if text is None:
            return self.setdefault(None, _nothing)
        if len(self) >= _FEW:
            return functools.partial(decoded, text)
        value = decoded(text)
        within = value.values() if isinstance(value, dict) else value if isinstance(value, list) else (value,)
        is_copied = isinstance(value, (dict, list)) and not any(isinstance(each, (dict, list)) for each in within)
        return self.setdefault(text, value.copy if is_copied else functools.partial(decoded, text))


def _nothing() -> None:
    return None


@contextlib.contextmanager
def _without_collector() -> Iterator[None]:
    """Keep Python from looking for garbage while a block makes many objects that are all kept, none in a circle.

    It would look through all of them again and again, which takes longer than to make them.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def aware(instant: datetime) -> datetime:
    """Return an instant that was selected without its zone, which is UTC."""
    return instant.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Shape:
    """What a table has: its columns and their types, whether it has `_extra`, and which rows count."""

    columns: Mapping[str, str]
    has_extra: bool
    condition: str

    def all_columns(self) -> Mapping[str, str]:
        """Return the declared columns and `_extra`, where it is, and their types."""
        return {**self.columns, **({"_extra": _JSON} if self.has_extra else {})}

    def selected(self) -> str:
        """Return what to select: instants without their zone, which they are told afterwards, for that is faster.

        They are taken by their microseconds: AT TIME ZONE would look into the calendar for each of them.
        """
        return ", ".join(
            f"make_timestamp(epoch_us({quoted(name)})) AS {quoted(name)}" if kind == _INSTANT else quoted(name)
            for name, kind in self.all_columns().items()
        )


@dataclass(frozen=True, slots=True)
class Selection:
    """Rows of a table that a stream was landed in: those that count, and of these the ones that meet all `conditions`.

    A condition is SQL about the table's columns, those of our housekeeping included. Every method opens the database
    anew and raises PartitionMissing where the stream was never landed, ConfigurationError for a condition that cannot
    be met by any row because it is wrong, DestinationBusy or DestinationUnwritable.
    """

    store: DuckDB
    schema: str
    name: str
    conditions: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"

    def where(self, *conditions: str) -> "Selection":
        """Return those of the rows that meet these conditions too."""
        return replace(self, conditions=(*self.conditions, *conditions))

    def columns(self) -> Mapping[str, str]:
        """Return the declared columns and their types in DuckDB, in order."""
        with self._reading() as connection:
            return dict(self._shape(connection).columns)

    def count(self) -> int:
        """Return how many rows there are."""
        with self._reading() as connection:
            return count_rows(connection, f"{self._table} WHERE {self._shape(connection).condition}")

    def records(self) -> Iterator[dict[str, Any]]:
        """Yield every row as a record: its declared columns, then the fields nobody declared, by their names.

        The rows are those of the moment in which the first one is asked for.
        """

        def copy(connection: duckdb.DuckDBPyConnection) -> _Shape:
            shape = self._shape(connection)
            connection.execute(
                f"CREATE TEMP TABLE taken AS SELECT {shape.selected()} FROM {self._table} WHERE {shape.condition}"
            )
            return shape

        with contextlib.ExitStack() as held:
            with self._opened():
                connection, shape = held.enter_context(self.store.copying(copy, is_kept=self._is_plain))
            names = list(shape.columns)
            readers = [
                (name, aware if kind == _INSTANT else decoded)
                for name, kind in shape.columns.items()
                if kind in (_INSTANT, _JSON)
            ]
            rows = connection.execute("SELECT * FROM taken")
            while chunk := rows.fetchmany(_CHUNK):
                for row in chunk:
                    record = dict(zip(names, row, strict=False))
                    for name, read in readers:
                        if (value := record[name]) is not None:
                            record[name] = read(value)
                    if shape.has_extra and row[-1] is not None:
                        for name, value in decoded(row[-1]).items():
                            record.setdefault(name, value)
                    yield record

    def frame(self) -> "pd.DataFrame":
        """Return all rows as a frame: the declared columns, and `_extra` where any row has fields nobody declared.

        Instants are `datetime64[us, UTC]`, whole numbers and truth values with gaps `Int64` and `boolean`, decimals
        objects of Decimal, columns of JSON objects of what they hold, None where they are null.
        """
        import pandas as pd

        readers: Mapping[str, Callable[[Any], Any]] = {_JSON: decoded, _DECIMAL: Decimal}
        with self._reading() as connection:
            shape = self._shape(connection)
            kinds = shape.all_columns()
            # What is read from text goes another way, or pandas would make a column of its own kind of text first. With
            # the one thread that a connection of ours has, rows come in the order of the table both times.
            read = [name for name, kind in kinds.items() if kind in readers]
            plain = replace(shape, columns={n: k for n, k in shape.columns.items() if n not in read}, has_extra=False)
            rows = f"FROM {self._table} WHERE {shape.condition}"
            frame = connection.execute(f"SELECT {plain.selected() or 'NULL'} {rows}").df()
            frame = frame if plain.columns else frame.iloc[:, :0]
            texts = ", ".join(f"{_text(quoted(name), kinds[name])} AS {quoted(name)}" for name in read)
            values = connection.execute(f"SELECT {texts} {rows}").fetchnumpy() if read else {}
        for name, kind in plain.columns.items():
            if kind == _INSTANT:
                frame[name] = frame[name].dt.tz_localize("UTC")
            elif kind == TYPES["string"] and pd.api.types.is_object_dtype(frame[name].dtype):
                frame[name] = restored(frame[name], "str")  # without any text DuckDB gives objects
        with _without_collector():
            for name in read:
                frame.insert(list(kinds).index(name), name, _read(readers[kinds[name]], values.pop(name)))
        return frame

    def copy_to(self, file: Path, options: str, *, instants_as_text: bool = False) -> int:
        """Write all rows to a file by DuckDB's `COPY` with these options, and return how many there are.

        `_extra` is there where any row has fields nobody declared. With `instants_as_text` they are as ISO 8601 has
        them, in UTC with six places of a second: `2026-03-01T10:00:00.000000Z`.
        """
        with self._reading() as connection:
            shape = self._shape(connection)
            columns = ", ".join(
                f"strftime({quoted(name)}, '%Y-%m-%dT%H:%M:%S.%fZ') AS {quoted(name)}"
                if instants_as_text and kind == _INSTANT
                else quoted(name)
                for name, kind in shape.all_columns().items()
            )
            rows = f"SELECT {columns} FROM {self._table} WHERE {shape.condition}"
            copied = connection.execute(f"COPY ({rows}) TO {literal(str(file))} ({options})").fetchone()
            return int(copied[0]) if copied else 0

    def copy_into(self, other: DuckDB, schema: str, table: str) -> int:
        """Make a table in another database of all rows, in one statement, and return how many there are.

        A table of that name is replaced, or left as it was.
        """

        def copy(connection: duckdb.DuckDBPyConnection) -> None:
            shape = self._shape(connection)
            names = ", ".join(map(quoted, shape.all_columns()))
            connection.execute(f"CREATE TEMP TABLE taken AS SELECT {names} FROM {self._table} WHERE {shape.condition}")

        with contextlib.ExitStack() as held:
            with self._opened():
                connection, _ = held.enter_context(self.store.copying(copy, is_kept=self._is_plain))
            held.enter_context(other.attached_to(connection))
            held.enter_context(other.refusals_named(f"{schema}.{table}"))
            target = f"store.{quoted(schema)}.{quoted(table)}"
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS store.{quoted(schema)}")
            connection.execute(f"CREATE OR REPLACE TABLE {target} AS SELECT * FROM temp.main.taken")
            return count_rows(connection, "temp.main.taken")

    def relation(self) -> tuple[str, Mapping[str, str]]:
        """Return the name of the table or view that has the rows, whatever the conditions, and its columns' types."""
        with self._reading() as connection:
            shape = self._shape(connection)
            name = self.name if shape.condition == "true" else f"{self.name}_current"
            return name, described(connection, f"store.{quoted(self.schema)}.{quoted(name)}")

    def query(self, connection: duckdb.DuckDBPyConnection) -> str:
        """Return the query for the rows with all columns there are, on a connection that has the database."""
        return f"SELECT * FROM {self._table} WHERE {self._stored(connection)[1]}"

    @property
    def _table(self) -> str:
        return f"store.{quoted(self.schema)}.{quoted(self.name)}"

    def _missing(self) -> PartitionMissing:
        return PartitionMissing(
            f"{self}: nothing has been read into {self.store.path} yet. Read the stream, or materialise it, first."
        )

    @contextlib.contextmanager
    def _reading(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Yield a connection that has the database; nobody has its workbench after what may have done anything."""
        with self._opened(), self.store.attached(read_only=True, is_kept=self._is_plain) as connection:
            yield connection

    @property
    def _is_plain(self) -> bool:
        """Whether no condition has a query in it, which could read another file or change a setting."""
        return not any(map(_OF_A_QUERY.search, self.conditions))

    @contextlib.contextmanager
    def _opened(self) -> Iterator[None]:
        """Raise what is wrong with a condition as an error of ours."""
        if not self.store.path.exists():
            raise self._missing()
        try:
            yield
        except (duckdb.ProgrammingError, duckdb.DataError) as error:
            raise ConfigurationError(
                f"{self}: the filter cannot be applied ({refusal(error)}). It is SQL about the columns of "
                "the table; a name that is not a plain word stands in double quotes, a text in single ones."
            ) from error
        except duckdb.Error as error:
            if not tells_of_damage(error):
                raise
            raise DestinationUnwritable(
                f"{self}: a database is damaged ({str(error).splitlines()[0]}). It is {self.store.path}, or one that "
                "the filter reads. Restore a copy of it; nothing was changed."
            ) from error

    def _shape(self, connection: duckdb.DuckDBPyConnection) -> _Shape:
        stored, condition = self._stored(connection)
        table = f"{self._table} WHERE {condition}"
        has_extra = "_extra" in stored and bool(
            connection.execute(f"SELECT 1 FROM {table} AND _extra IS NOT NULL LIMIT 1").fetchone()
        )
        columns = {name: kind for name, kind in stored.items() if name not in HOUSEKEEPING}
        return _Shape(columns, has_extra, condition)

    def _stored(self, connection: duckdb.DuckDBPyConnection) -> tuple[Mapping[str, str], str]:
        """Return the types of all columns there are, and which rows count; no row is looked at."""
        connection.execute("USE store")
        try:
            stored = described(connection, self._table)
        except duckdb.CatalogException as error:
            raise self._missing() from error
        for condition in self.conditions:  # by itself, for one with a stray bracket would undo those before it
            duckdb.extract_statements(f"SELECT 1 WHERE {condition}")
        conditions = [f"(\n{condition}\n)" for condition in self.conditions]
        if "_is_current" in stored and not self._is_added_to(connection):
            conditions.insert(0, "_is_current")
        return stored, " AND ".join(conditions) or "true"

    def _is_added_to(self, connection: duckdb.DuckDBPyConnection) -> bool:
        """Whether every read adds its rows to the table, so that all versions of a record are wanted."""
        if not columns_of(connection, "main", "_claims"):
            return False
        found = connection.execute(
            f"SELECT layout FROM store._claims WHERE {is_table(self.schema, self.name)}"
        ).fetchone()
        return found is not None and found[0] == "reads"
