"""What there is to read, as values: streams and their columns, slices, pages.

Nothing here acts. A stream is a frozen dataclass that says once what everything else is made from: the table, the
asset, the checks, the documentation. Times are aware datetimes in UTC and intervals are half-open: the start is
included, the end is not.
"""

import dataclasses
import hashlib
import inspect
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

from connector_resources.document_fields import DocumentFields
from connector_resources.errors import InvalidSlice

ColumnType = Literal["string", "integer", "number", "decimal", "boolean", "timestamp", "epoch_ms", "date", "json"]
"""string: text · integer: 64 bit · number: a double, never for money or ids · decimal: exact, 29 digits before and 9
after the point · timestamp: an ISO 8601 instant in the record, a UTC instant in the table · epoch_ms: milliseconds
since 1970 in the record, a UTC instant in the table · date: a calendar day without a zone · json: anything, kept as
the API sent it."""

SNAPSHOT = "all"
"""The one partition of a stream that is read and replaced whole."""


@dataclass(frozen=True, slots=True)
class Column:
    """One declared field of a record: its key in the record, which is also its name in the table.

    With `parent`, the value is not in the record: it is that field of the parent row the record was read under
    (a name in `Parent.fields`). `path` is for people: the JSON path of the value below the record, or from `$`, where
    the connector takes it from elsewhere than its own key; "" where it is in no answer.
    """

    name: str
    type: ColumnType
    description: str = field(repr=False)
    parent: str | None = None
    path: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Cursor:
    """The column that orders a stream's records in time, and how the API filters by it.

    `since` and `until` are the query parameters that take the bounds of a window, in `format`. `newest_first` says
    that the API lists records by this column descending, so that a reader may stop at the window's start. A cursor
    with neither is only good for telling the newest version of a record: the stream is read whole. `lookback` is
    subtracted from the start of a window before it is sent; records outside the window are left out again afterwards.
    `horizon` is how far back from now the API lists records at all, where it does not list them for ever.
    """

    column: str
    since: str | None = None
    until: str | None = None
    format: Literal["iso", "epoch_ms"] = "iso"
    newest_first: bool = False
    lookback: timedelta = timedelta(0)
    horizon: timedelta | None = None

    @property
    def selects_a_window(self) -> bool:
        """Whether the API can be asked for, or walked down to, a window of time."""
        return self.since is not None or self.newest_first


@dataclass(frozen=True, slots=True)
class Parent:
    """Where a substream's path parameters come from: one read per distinct parent row.

    `fields` maps a name, usable in the substream's path and in `Column.parent`, to a column of the parent stream.
    Parents whose column `unless_empty` holds 0 or an empty list have no children by their own count, and are not
    asked; where it is null the count is unknown and they are. `told_as` names the substream's column in which a record
    itself says that field, where the column has another name; for checks, so it does not count in the hash.
    """

    stream: "Stream"
    fields: Mapping[str, str]
    unless_empty: str | None = None
    told_as: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Deletions:
    """How a stream of events says which records of other streams were deleted.

    An event tells of a deletion where the column `action` holds `deleted`. Its columns `type` and `id` say which record
    it was, `at` when. `streams` has the stream of each type; the key of such a stream is one column.
    """

    action: str
    deleted: str
    type: str
    id: str
    at: str
    streams: Mapping[str, "Stream"]


def _declared_at() -> tuple[str, int]:
    """Return the file and the line where a stream is being made, seen from its `__post_init__`.

    Where a function of the same file makes it, that is where the module, or a class in it, calls that function.
    """
    frame = sys._getframe(1)
    while frame.f_code.co_filename in _MAKERS and frame.f_back is not None:
        frame = frame.f_back
    file = frame.f_code.co_filename
    while frame.f_code.co_flags & inspect.CO_OPTIMIZED and frame.f_back and frame.f_back.f_code.co_filename == file:
        frame = frame.f_back
    return file, frame.f_lineno


_MAKERS = frozenset({__file__, dataclasses.__file__, "<string>"})
"""Files of what stands between a declaration and `__post_init__`; dataclasses write `__init__` as a string."""


@dataclass(frozen=True, kw_only=True)
class Stream:
    """One kind of record of one source: one asset, one table.

    `primary_key` names the columns whose values tell records apart. A stream is partitioned by day when its cursor
    selects a window; a substream without such a cursor lands in the partitions of its parent; any other stream is a
    snapshot, replaced whole. A stream that is not `enabled` is there but off until the configuration turns it on.
    `deleted_flag` names a column that is true where the vendor has deleted the record and lists it nevertheless;
    `deletions` says what the stream tells of the deletion of other records. `document` says how a record is read as a
    text; like descriptions it changes no table, so it counts neither in comparisons nor in the hash. `declared_at` is
    the file and the line of the statement that declares the stream; it does not count when streams are compared.
    """

    name: str
    description: str = field(repr=False)
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...]
    cursor: Cursor | None = None
    parent: Parent | None = None
    enabled: bool = True
    deleted_flag: str | None = None
    deletions: Deletions | None = field(default=None, repr=False)
    document: DocumentFields | None = field(default=None, repr=False, compare=False)
    declared_at: tuple[str, int] = field(default=("", 0), init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "declared_at", _declared_at())
        names = [column.name for column in self.columns]
        folded = [name.casefold() for name in names]
        if twice := sorted({name for name in names if folded.count(name.casefold()) > 1}):
            raise ValueError(f"{self.name}: columns that differ at most in case: {', '.join(twice)}.")
        if missing := [name for name in self.primary_key if name not in names]:
            raise ValueError(f"{self.name}: primary key columns that are not declared: {', '.join(missing)}.")
        if self.cursor is not None and self.cursor.column not in names:
            raise ValueError(f"{self.name}: the cursor column {self.cursor.column!r} is not declared.")
        if self.deleted_flag is not None and self.deleted_flag not in names:
            raise ValueError(f"{self.name}: the column {self.deleted_flag!r}, which says deleted, is not declared.")
        if (told := self.deletions) is not None:
            if missing := [name for name in (told.action, told.type, told.id, told.at) if name not in names]:
                raise ValueError(f"{self.name}: columns that tell of deletions and are not declared: {missing[0]}.")
            if several := [stream.name for stream in told.streams.values() if len(stream.primary_key) != 1]:
                raise ValueError(
                    f"{self.name}: one id cannot name a record of {several[0]}, whose key has more columns."
                )
        if self.document is not None and (missing := [name for name in self.document.columns if name not in names]):
            raise ValueError(f"{self.name}: columns that documents are made of and are not declared: {missing[0]}.")
        for column in self.columns:
            if column.parent is not None and (self.parent is None or column.parent not in self.parent.fields):
                raise ValueError(f"{self.name}.{column.name}: the parent has no field {column.parent!r}.")
        if (parent := self.parent) is not None:
            for of, name in parent.told_as.items():
                if of not in parent.fields:
                    raise ValueError(f"{self.name}.{name}: the parent has no field {of!r}.")
                if name not in names:
                    raise ValueError(f"{self.name}: the column {name!r}, which tells the parent, is not declared.")

    @property
    def selects_a_window(self) -> bool:
        """Whether a read of this stream can be bounded by its own cursor."""
        return self.cursor is not None and self.cursor.selects_a_window

    @property
    def is_partitioned(self) -> bool:
        """Whether the stream lands in daily partitions, its own or its parent's."""
        return self.selects_a_window or (self.parent is not None and self.parent.stream.is_partitioned)

    @property
    def inherits_partitions(self) -> bool:
        """Whether a row lands in the partition of its parent's row instead of one of its own cursor."""
        return self.is_partitioned and not self.selects_a_window

    @property
    def references(self) -> Mapping[str, str]:
        """The columns that say which parent a row belongs to, and which columns of the parent they hold."""
        if self.parent is None:
            return {}
        fields, told = self.parent.fields, {name: of for of, name in self.parent.told_as.items()}
        of_parent = {column.name: column.parent or told.get(column.name, column.name) for column in self.columns}
        return {name: fields[of] for name, of in of_parent.items() if of in fields}

    @property
    def declaration_hash(self) -> str:
        """Sixteen hex digits that change when the declaration does; descriptions do not count."""
        return hashlib.blake2b(repr(self).encode(), digest_size=8).hexdigest()

    def column(self, name: str) -> Column:
        """Return the column of that name; raises KeyError."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)


@dataclass(frozen=True, slots=True)
class Window:
    """Two instants in UTC; `start` is included, `end` is not."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.start.tzinfo is None or self.end.tzinfo is None:
            raise InvalidSlice(f"A window needs aware instants, not {self.start} to {self.end}. Add a time zone.")
        if self.start >= self.end:
            raise InvalidSlice(f"A window needs a start before its end, not {self.start} to {self.end}.")
        object.__setattr__(self, "start", self.start.astimezone(UTC))
        object.__setattr__(self, "end", self.end.astimezone(UTC))


@dataclass(frozen=True, slots=True)
class ParentRow:
    """One parent to read a substream under.

    `fields` holds the values by the names of `Parent.fields`. `partitions` are the partitions the parent lies in, so
    the children land there too; empty where the substream is not partitioned by its parent.
    """

    fields: Mapping[str, str | int]
    partitions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Slice:
    """What one read asks for: a window, parents, both, or (with neither) the whole stream."""

    window: Window | None = None
    parents: tuple[ParentRow, ...] | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """One answer: its records as raw JSON objects, and the token with which reading goes on after it.

    `token` is None on the last page of a slice. `parent` is the row the records were read under. `total` is how many
    records the server says the whole list has, None where it does not say. `ends_list` says whether it is the last page
    of a list that was read to its end; None where the reader does not know, or stops before. `is_gone` says that the
    vendor does not know the parent any more.
    """

    records: Sequence[bytes]
    token: str | None = None
    parent: ParentRow | None = None
    total: int | None = None
    is_gone: bool = False
    ends_list: bool | None = None
