"""What a read gives back, to be walked through or taken over by pandas, Arrow or SQLAlchemy.

A `CachedDataset` is a table of a cache, a `SQLDataset` those rows of it that meet filters; both open the database for
the time of a query and never hold it. A `LazyDataset` reads a source while it is walked through, an `InMemoryDataset`
is a list.
"""

import contextlib
import importlib
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from connector_resources.destinations.duckdb_rows import Selection
from connector_resources.destinations.duckdb_tables import literal, quoted
from connector_resources.errors import ConfigurationError
from connector_resources.exceptions import PyAirbyteInputError
from connector_resources.streams import Stream
from connector_resources.words import counted

if TYPE_CHECKING:
    import pandas as pd
    import sqlalchemy

    from connector_resources.caches import CacheBase
    from connector_resources.document_fields import Beside
    from connector_resources.documents import Document

Record = dict[str, Any]

DEFAULT_ARROW_MAX_CHUNK_SIZE = 100_000
"""How many rows a batch of Arrow has at most."""


class DatasetBase(ABC):
    """Records of one stream. `stream` is its declaration, where it is known."""

    stream: Stream | None = None

    @abstractmethod
    def __iter__(self) -> Iterator[Record]:
        """Yield the records, each as a dict of its own."""

    @property
    @abstractmethod
    def column_names(self) -> list[str]:
        """The names of the declared columns, in order."""

    @property
    def records(self) -> Self:
        """These records: the overview of PyAirbyte's API walks through `read_result["users"].records`."""
        return self

    def to_pandas(self) -> "pd.DataFrame":
        """Return all records as a frame."""
        import pandas as pd

        frame = pd.DataFrame(list(self))
        return frame.reindex(columns=self.column_names) if frame.empty else frame

    def to_arrow(self, *, max_chunk_size: int = DEFAULT_ARROW_MAX_CHUNK_SIZE) -> Any:
        """Return the records as a `pyarrow.dataset.Dataset`, in batches of `max_chunk_size` rows at most.

        Needs the extra `arrow`.
        """
        arrow = _pyarrow()
        batches = arrow.Table.from_pylist(list(self)).to_batches(max_chunksize=max_chunk_size)
        return arrow.dataset.InMemoryDataset(batches)

    def to_documents(
        self,
        title_property: str | None = None,
        content_properties: Sequence[str] | None = None,
        metadata_properties: Sequence[str] | None = None,
        *,
        render_metadata: bool = False,
    ) -> "Iterator[Document]":
        """Yield a document of each record, for search and language models.

        Title, content and metadata are chosen by what the stream is, a conversation with its messages as one thread;
        the arguments choose other properties. With `render_metadata` they stand above the content, too.
        """
        from connector_resources.documents import documents_of

        yield from documents_of(
            self,
            self._declared(),
            title_property=title_property,
            content_properties=content_properties,
            metadata_properties=metadata_properties,
            render_metadata=render_metadata,
            beside=self._beside(),
            source=self._source_name(),
        )

    def _declared(self) -> Stream | None:
        """Return the stream's declaration, if anybody knows it."""
        return self.stream

    def _beside(self) -> "Beside | None":
        """Return what finds rows of other streams that belong to a record; None where they are nowhere."""
        return None

    def _source_name(self) -> str:
        return ""


class InMemoryDataset(DatasetBase):
    """Records that are in memory already."""

    def __init__(self, records: Iterable[Record], *, stream: Stream | None = None) -> None:
        self._records = list(records)
        self.stream = stream

    def __repr__(self) -> str:
        return f"{type(self).__name__}({counted(len(self), 'record')}{_of(self.stream)})"

    def __iter__(self) -> Iterator[Record]:
        return iter(self._records)

    def __len__(self) -> int:
        return len(self._records)

    @property
    def column_names(self) -> list[str]:
        """The names of the declared columns; where no declaration is known, of all fields, as they are met."""
        return _column_names(self.stream, self._records)


class LazyDataset(DatasetBase):
    """Records that are read while they are walked through.

    `records` begins to read anew each time: two loops over a dataset read the source twice, `fetch_all` keeps what it
    has read. `next()` walks one reading of its own. A reading that was begun and left is ended by `close`.
    """

    def __init__(
        self,
        records: Callable[[], Iterator[Record]],
        *,
        stream: Stream | None = None,
    ) -> None:
        self._begin = records
        self._reading: Iterator[Record] | None = None
        self.stream = stream

    def __repr__(self) -> str:
        return f"{type(self).__name__}(records{_of(self.stream)}, read while they are walked through)"

    def __iter__(self) -> Iterator[Record]:
        return self._begin()

    def __next__(self) -> Record:
        if self._reading is None:
            self._reading = self._begin()
        return next(self._reading)

    @property
    def column_names(self) -> list[str]:
        """The names of the declared columns; where no declaration is known, of the fields of the first record."""
        if self.stream is not None:
            return _column_names(self.stream, ())
        return list(next(self._begin(), {}))

    def fetch_all(self) -> InMemoryDataset:
        """Read everything and return it in memory."""
        return InMemoryDataset(self, stream=self.stream)

    def close(self) -> None:
        """End the reading that `next()` has begun; another `next()` begins anew."""
        if (close := getattr(self._reading, "close", None)) is not None:
            close()
        self._reading = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class SQLDataset(DatasetBase):
    """Rows of a table of a cache, those that meet all filters.

    Which rows there are is decided anew at each use: the newest version of each record that is not deleted; where the
    table was written with `write_strategy="append"`, all of them.
    """

    def __init__(
        self, cache: "CacheBase", stream_name: str, selection: Selection, stream: Stream | None = None
    ) -> None:
        self._cache = cache
        self._stream_name = stream_name
        self._selection = selection
        self.stream = stream

    def __repr__(self) -> str:
        selection = self._selection
        filters = f", {counted(len(selection.conditions), 'filter')}" if selection.conditions else ""
        return f"{type(self).__name__}({selection.schema}.{self._stream_name} in {near(selection.store.path)}{filters})"

    @property
    def stream_name(self) -> str:
        """The name of the stream."""
        return self._stream_name

    @property
    def selection(self) -> Selection:
        """The rows in the database."""
        return self._selection

    def __iter__(self) -> Iterator[Record]:
        """Yield the rows there are when the first one is asked for, as records.

        Declared columns come first, as Python values (instants aware and in UTC, decimals exact, JSON as what it
        holds), then the fields that nobody declared.
        """
        with _filters_named():
            yield from self._selection.records()

    def __len__(self) -> int:
        with _filters_named():
            return self._selection.count()

    @property
    def column_names(self) -> list[str]:
        """The names of the declared columns, in the order of the table."""
        with _filters_named():
            return list(self._selection.columns())

    def to_pandas(self) -> "pd.DataFrame":
        """Return all rows as a frame.

        Instants are `datetime64[us, UTC]`, whole numbers and truth values with gaps `Int64` and `boolean`, decimals
        objects of Decimal, columns of JSON objects of what they hold. A column `_extra`, a dict or None, is there where
        any row has fields that nobody declared.
        """
        with _filters_named():
            return self._selection.frame()

    def to_arrow(self, *, max_chunk_size: int = DEFAULT_ARROW_MAX_CHUNK_SIZE) -> Any:
        """Return the rows of this moment as a `pyarrow.dataset.Dataset` that is streamed from disk, in flat memory.

        It may be scanned, filtered and joined any number of times, and takes the disk's space while it is there.
        Batches have `max_chunk_size` rows at most; columns of JSON are text. Needs the extra `arrow`.
        """
        arrow = _pyarrow()
        if max_chunk_size < 1:
            raise PyAirbyteInputError("A batch has one row at least.", input_value=max_chunk_size)
        folder = self._selection.store.temporary_folder
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"spill-{uuid.uuid4().hex}.parquet"
        try:
            with _filters_named():
                self._selection.copy_to(file, f"FORMAT parquet, ROW_GROUP_SIZE {min(max_chunk_size, 20_000)}")
            opened = arrow.OSFile(str(file))
        finally:
            # What is open stays readable. Where an open file cannot go, the next one to use the folder removes it.
            with contextlib.suppress(OSError):
                file.unlink()
        options = arrow.dataset.ParquetFragmentScanOptions(pre_buffer=False)
        form = arrow.dataset.ParquetFileFormat(default_fragment_scan_options=options)
        fragment = form.make_fragment(opened)
        return _streaming(arrow, max_chunk_size)([fragment], fragment.physical_schema, form, None)

    def _declared(self) -> Stream | None:
        """Return the declaration that was given, else that of the connector whose stream this is."""
        return self.stream or self._cache.declared(self._selection.schema, self._stream_name)

    def _beside(self) -> "Beside | None":
        from connector_resources.documents import StoredNeighbours

        schema, table_of = self._selection.schema, self._cache.table_of
        return StoredNeighbours(self._cache.store, lambda stream: (schema, table_of(stream)))

    def _source_name(self) -> str:
        return self._selection.schema

    def with_filter(
        self, *filter_expressions: "str | sqlalchemy.ColumnElement[bool] | sqlalchemy.TextClause", **equal: object
    ) -> "SQLDataset":
        """Return the rows that meet all conditions: SQL, expressions of SQLAlchemy, or values that columns are to have.

        A list stands for any of its values, None for no value. Filters add up, and hold for every way out.

            users.with_filter("id > 5", country="Germany", plan=["basic", "pro"]).to_pandas()
        """
        conditions = [
            *map(_condition, filter_expressions),
            *(_equal(name, value) for name, value in equal.items()),
        ]
        return SQLDataset(self._cache, self._stream_name, self._selection.where(*conditions), self.stream)


class CachedDataset(SQLDataset):
    """All rows of a stream in a cache.

    `stream_name` is the stream's name where only one source in the cache has such a stream, else `source.stream`; with
    `schema` it is the name of the stream in that schema.
    """

    def __init__(
        self, cache: "CacheBase", stream_name: str, *, schema: str | None = None, stream: Stream | None = None
    ) -> None:
        if schema is None:
            schema, stream_name = cache.found(stream_name)
        selection = Selection(cache.store, schema, cache.table_of(stream_name))
        super().__init__(cache, stream_name, selection, stream)

    def to_sql_table(self) -> "sqlalchemy.Table":
        """Return the table for queries with SQLAlchemy, on the engine that `get_sql_engine` gives.

        It is the view of the rows that this dataset shows, `<stream>_current`; the table itself where all its rows are
        shown.
        """
        import sqlalchemy

        with _filters_named():
            name, columns = self._selection.relation()
        return sqlalchemy.Table(
            name,
            sqlalchemy.MetaData(),
            *(sqlalchemy.Column(column, _sql_type(kind)) for column, kind in columns.items()),
            schema=self._selection.schema,
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CachedDataset) and self._cache is other._cache and self._selection == other._selection

    def __hash__(self) -> int:
        return hash((self._selection.schema, self._selection.name))


# Filters


@contextlib.contextmanager
def _filters_named() -> Iterator[None]:
    """Raise what is wrong with a filter by the name that PyAirbyte's users know."""
    try:
        yield
    except PyAirbyteInputError:
        raise
    except ConfigurationError as error:
        raise PyAirbyteInputError(str(error)) from error


def _condition(expression: Any) -> str:
    """Return a filter as SQL."""
    if isinstance(expression, str):
        return expression
    if not hasattr(expression, "compile"):
        raise PyAirbyteInputError(
            "A filter is SQL as a text, or an expression of SQLAlchemy.", input_value=type(expression)
        )
    from sqlalchemy.engine.default import DefaultDialect

    return str(expression.compile(dialect=DefaultDialect(), compile_kwargs={"literal_binds": True}))


def _equal(name: str, value: object) -> str:
    """Return the condition that a column has a value, or one of several."""
    column = quoted(name)
    if not isinstance(value, (list, tuple, set, frozenset)):
        return f"{column} IS NULL" if value is None else f"{column} = {_literal(name, value)}"
    given = [_literal(name, each) for each in value if each is not None]
    ways = [f"{column} IN ({', '.join(given)})"] if given else []
    if None in value:
        ways.append(f"{column} IS NULL")
    return " OR ".join(ways) or "false"


def _literal(name: str, value: object) -> str:
    """Return a value as SQL. Raises PyAirbyteInputError for one no column can have, or an instant without a zone."""
    if isinstance(value, (bool, int)):
        return str(value)
    if isinstance(value, str):
        return literal(value)
    if isinstance(value, (float, Decimal)):
        return f"{literal(str(value))}::{'DOUBLE' if isinstance(value, float) else 'DECIMAL(38,9)'}"
    if isinstance(value, datetime) and value.tzinfo is not None:
        return f"TIMESTAMPTZ {literal(value.isoformat())}"
    if isinstance(value, date) and not isinstance(value, datetime):
        return f"DATE {literal(value.isoformat())}"
    raise PyAirbyteInputError(
        f"The column {name} cannot be compared with this value.",
        guidance="Give a text, a number, a date, an instant with its time zone, None, or a list of these.",
        context={"type": type(value).__name__},
    )


# Arrow and SQLAlchemy


def _pyarrow() -> Any:
    """Return pyarrow. Raises PyAirbyteInputError where the extra is not installed."""
    try:
        importlib.import_module("pyarrow.dataset")
        return importlib.import_module("pyarrow")
    except ImportError as error:
        raise PyAirbyteInputError(
            "Arrow needs the package pyarrow, which is not installed.",
            guidance="Install the extra: pip install 'headrace[arrow]'.",
        ) from error


def _streaming(arrow: Any, most_rows: int) -> Any:
    """Return a class of datasets whose scans keep little ahead: by default Arrow reads two million rows ahead."""

    class StreamedDataset(arrow.dataset.FileSystemDataset):  # type: ignore[misc]  # pyarrow has no types
        """Rows that are read from disk while they are walked through."""

        def to_batches(self, columns: Any = None, filter: Any = None, **options: Any) -> Any:
            return super().to_batches(columns, filter, **{**ahead, **options})

        def scanner(self, columns: Any = None, filter: Any = None, **options: Any) -> Any:
            return super().scanner(columns, filter, **{**ahead, **options})

    ahead = {"batch_size": most_rows, "batch_readahead": 2}
    return StreamedDataset


def _sql_type(kind: str) -> Any:
    """Return SQLAlchemy's type for one of DuckDB's."""
    import sqlalchemy as sa

    types: dict[str, Any] = {
        "VARCHAR": sa.String(),
        "BIGINT": sa.BigInteger(),
        "INTEGER": sa.Integer(),
        "DOUBLE": sa.Double(),
        "DECIMAL(38,9)": sa.Numeric(38, 9),
        "BOOLEAN": sa.Boolean(),
        "TIMESTAMP WITH TIME ZONE": sa.DateTime(timezone=True),
        "DATE": sa.Date(),
        "JSON": sa.JSON(),
    }
    return types.get(kind, sa.types.NullType())


def near(path: Path) -> Path:
    """Return a path as a person writes it: from the working directory on, where it is below that."""
    return path.relative_to(here) if path.is_relative_to(here := Path.cwd()) else path


def _of(stream: Stream | None) -> str:
    return "" if stream is None else f" of {stream.name}"


def _column_names(stream: Stream | None, records: Sequence[Record]) -> list[str]:
    if stream is not None:
        return [column.name for column in stream.columns]
    return list(dict.fromkeys(name for record in records for name in record))
