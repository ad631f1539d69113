"""Declared types against what was received: every record is checked, never a sample.

A page whose records all fit goes to the store as it is. Checking decodes each record once into a struct made from the
declaration, which costs about two microseconds a record; only pages that do not fit are looked at record by record.
There, a field nobody declared moves to `_extra` and is reported, and a record with a value that does not fit is put
aside, as it came, with the reason. Nothing is dropped, rounded or nulled on the way, except what a type says by itself:
a number is a double, a timestamp has microseconds.

Where the store's reader would change a value that fits, the line is rewritten so that it does not: it reads decimals
and the numbers inside JSON as doubles, so those with more digits than a double holds travel as text.
"""

import datetime as dt
import itertools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import msgspec

from connector_resources.spool import Spool, unwritable
from connector_resources.streams import Column, ColumnType, Stream

_Integer = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_EpochMs = Annotated[int, msgspec.Meta(ge=-62_135_596_800_000, le=253_402_300_799_999)]
"""Milliseconds from year 1 to year 9999."""

_PYTHON_TYPES: dict[ColumnType, Any] = {
    "string": str | int,  # some APIs send the same id as text in one place and as a number in another
    "integer": _Integer,
    "number": float,
    "decimal": Decimal,
    "boolean": bool,
    "timestamp": dt.datetime,
    "epoch_ms": _EpochMs,
    "date": dt.date,
    "json": msgspec.Raw,
}
_UNSPEAKABLE = re.compile(r'[\\"\x00-\x1f]')
"""What msgspec cannot have in the name of a field."""
_VECTOR = 2048
"""How many lines DuckDB's reader takes at a time."""
_NOT_A_VALUE = (msgspec.MsgspecError, ValueError, RecursionError)

_MANY_DIGITS = re.compile(rb"\.(?:\d{9}|(?<=\d{9}\.)\d)")
_MORE_DIGITS_THAN_A_DOUBLE = re.compile(
    rb"\.(?:\d{18}|(?<=[1-9]\.)\d{17}|"
    + b"|".join(rb"(?<=\d{%d}\.)\d{%d}" % (whole, 18 - whole) for whole in range(2, 18))
    + rb")"
)
"""Eighteen digits around a point; servers print doubles with up to seventeen. The first pattern finds all these and
little else, in a third of the time."""
_DOUBLE_DIGITS = 15
"""As many decimal digits as any double keeps."""


@dataclass(frozen=True, slots=True)
class Undeclared:
    """A field that records have and the declaration has not."""

    name: str
    type: str
    records: int
    first_page: int


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A record that does not fit: as it came, why, and where it came from."""

    record: str
    reason: str
    page: int
    partitions: tuple[str, ...]
    cursor: dt.datetime | None


@dataclass(slots=True)
class Checked:
    """A spool after checking: `file` holds the lines that fit, in the spool's format.

    A line of it may have two more fields: `_extra`, the text of the JSON object of undeclared fields, and `_exact`, the
    texts of the values of JSON columns, of those in `exact`, that a reader would round.
    """

    file: Path
    exact: set[str] = field(default_factory=set)
    received: int = 0
    longest_line_bytes: int = 0
    vector_bytes: int = 0
    """How many bytes the lines have at most that DuckDB's reader takes at a time."""
    quarantined: list[Quarantined] = field(default_factory=list)
    undeclared: dict[str, Undeclared] = field(default_factory=dict)

    @property
    def first_reason(self) -> str:
        """The reason and page of the first record put aside."""
        first = self.quarantined[0]
        return f"{first.reason} (page {first.page})"


def check(
    spool: Spool, stream: Stream, *, one_by_one: bool = False, misfit: Callable[[], None] = lambda: None
) -> Checked:
    """Check every record of `spool` against the declaration of `stream`.

    The file returned is the spool's own where everything fits as it is, else a rewritten copy beside it. With
    `one_by_one` each record is looked at by itself, which also finds what the quick way over whole pages cannot see: a
    field that is there twice. `misfit` is called for each page that does not fit, as soon as that is known. Raises
    DataError for a damaged page, DestinationUnwritable where there is no room.
    """
    checker, checked, dirty = _Checker(stream), as_it_is(spool), set[int]()
    try:
        with spool.pages_file.open("rb") as pages:
            for mark in spool.marks:
                if mark.received and (one_by_one or not checker.fits(spool.page_lines(mark, pages))):
                    dirty.add(mark.number)
                    misfit()
            if dirty:
                checked.file, sizes = spool.folder / "checked.ndjson", []
                with checked.file.open("wb") as output:
                    for mark in spool.marks:
                        lines = spool.page_lines(mark, pages)
                        if mark.number in dirty:
                            lines = b"".join(checker.repaired(line, checked) for line in lines.split(b"\n")[:-1])
                        sizes.append(output.write(lines))
                checked.vector_bytes = _vector_bytes(spool, sizes, checked.longest_line_bytes)
    except OSError as error:
        raise unwritable(spool.folder, error) from error
    return checked


def as_it_is(spool: Spool) -> Checked:
    """Return what `check` does where every record of `spool` fits."""
    longest = max((mark.longest for mark in spool.marks), default=0)
    sizes = [end - start for start, end in itertools.pairwise([0, *(mark.end for mark in spool.marks)])]
    return Checked(
        spool.pages_file,
        received=spool.records,
        longest_line_bytes=longest,
        vector_bytes=_vector_bytes(spool, sizes, longest),
    )


def _vector_bytes(spool: Spool, sizes: Sequence[int], longest_line_bytes: int) -> int:
    return min(_most_together([mark.received for mark in spool.marks], sizes), _VECTOR * longest_line_bytes)


def _most_together(records: Sequence[int], sizes: Sequence[int]) -> int:
    """Return the most bytes of pages, one after another, that a vector of lines may lie in."""
    most = first = counted = together = 0
    for last, (count, size) in enumerate(zip(records, sizes, strict=True)):
        while first < last and counted - records[first] > _VECTOR - 2:  # a line of the first, and one of the last
            counted -= records[first]
            together -= sizes[first]
            first += 1
        counted += count
        together += size
        most = max(most, together)
    return most


class _Checker:
    def __init__(self, stream: Stream) -> None:
        self._columns = {column.name: column for column in stream.columns if column.parent is None}
        self._required = {name for name in stream.primary_key if name in self._columns}
        if stream.selects_a_window and stream.cursor is not None:
            self._required.add(stream.cursor.column)
        self._cursor = stream.cursor if stream.selects_a_window else None
        # The columns of the struct. A record with another one is looked at by itself, like one with a new field.
        known = [column for column in self._columns.values() if not _UNSPEAKABLE.search(column.name)]
        self._is_quick = self._required <= {column.name for column in known}
        self._decimals = [f"f{number}" for number, column in enumerate(known) if column.type == "decimal"]
        record = msgspec.defstruct(
            "Record",
            [self._field(number, column) for number, column in enumerate(known)],
            rename={f"f{number}": column.name for number, column in enumerate(known)},
            forbid_unknown_fields=True,
            kw_only=True,
            gc=False,
        )
        line = msgspec.defstruct(
            "Line",
            [
                ("page", int),
                ("record", record),
                ("partitions", msgspec.Raw, msgspec.Raw(b"[]")),
                ("parent", msgspec.Raw, msgspec.Raw(b"{}")),
            ],
            rename={"page": "_page", "record": "_record", "partitions": "_partitions", "parent": "_parent"},
            kw_only=True,
            gc=False,
        )
        self._lines: msgspec.json.Decoder[Any] = msgspec.json.Decoder(line)
        self._values = {
            name: msgspec.json.Decoder(_PYTHON_TYPES[column.type] | None if column.type != "json" else Any)
            for name, column in self._columns.items()
        }
        self._json = [name for name, column in self._columns.items() if column.type == "json"]

    def _field(self, number: int, column: Column) -> tuple[str, Any] | tuple[str, Any, Any]:
        kind = _PYTHON_TYPES[column.type]
        if column.name in self._required:
            return (f"f{number}", kind)
        if column.type == "json":
            return (f"f{number}", kind, msgspec.Raw(b"null"))
        return (f"f{number}", kind | None, None)

    def fits(self, lines: bytes) -> bool:
        """Whether every record of a page fits as it is."""
        if not self._is_quick:
            return False
        if self._json and _MANY_DIGITS.search(lines) and _MORE_DIGITS_THAN_A_DOUBLE.search(lines):
            return False
        try:  # half of a surrogate pair, which the store's reader refuses, is refused inside JSON values too
            decoded = self._lines.decode_lines(lines)
        except _NOT_A_VALUE:
            return False
        return all(_is_short(getattr(line.record, name)) for name in self._decimals for line in decoded)

    def repaired(self, line: bytes, checked: Checked) -> bytes:
        """Return the line that fits, or b"" after putting the record aside."""
        head, _, rest = line.partition(b'"_record":')
        text = rest.removesuffix(b"}")
        whole = msgspec.json.decode(head + b'"_record":null}', type=dict[str, msgspec.Raw])
        page = int(bytes(whole["_page"]))
        record: dict[str, msgspec.Raw] = {}
        try:
            record = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
            reason = self._misfit(record) or _repetition(text, record)
        except _NOT_A_VALUE:
            reason = _unreadable(text)
        if reason is not None:
            partitions = tuple(msgspec.json.decode(whole["_partitions"])) if "_partitions" in whole else ()
            readable = text.decode(errors="backslashreplace")
            checked.quarantined.append(Quarantined(readable, reason, page, partitions, self._instant(record)))
            return b""
        extra = {name: record.pop(name) for name in list(record) if name not in self._columns}
        for name, value in extra.items():
            seen = checked.undeclared.get(name, Undeclared(name, "null", 0, page))
            kind = _json_type(value) if seen.type == "null" else seen.type
            checked.undeclared[name] = Undeclared(name, kind, seen.records + 1, seen.first_page)
        if extra:
            whole["_extra"] = _as_text(msgspec.json.encode(extra))
        if exact := self._exact(record):
            whole["_exact"] = msgspec.Raw(msgspec.json.encode(exact))
            checked.exact.update(exact)
        whole["_record"] = msgspec.Raw(msgspec.json.encode(record))
        written = msgspec.json.encode(whole) + b"\n"
        checked.longest_line_bytes = max(checked.longest_line_bytes, len(written))
        return written

    def _exact(self, record: dict[str, msgspec.Raw]) -> dict[str, msgspec.Raw]:
        """Put the values of `record` as the store reads them; take out and return those JSON values it would round."""
        for name, column in self._columns.items():
            value = record.get(name, _NULL)
            if column.type == "decimal" and value != _NULL:
                record[name] = msgspec.Raw(b'"%s"' % format(self._values[name].decode(value), "f").encode())
            elif column.type == "timestamp" and value != _NULL:
                record[name] = msgspec.Raw(bytes(value).upper())  # RFC 3339 allows `t` and `z`, the store does not
        return {
            name: _as_text(bytes(record.pop(name)))
            for name in self._json
            if _MORE_DIGITS_THAN_A_DOUBLE.search(bytes(record.get(name, _NULL)))
        }

    def _misfit(self, record: Mapping[str, msgspec.Raw]) -> str | None:
        for name, column in self._columns.items():
            value = record.get(name)
            if value is None or value == _NULL:
                if name in self._required:
                    return f"expected {column.type}, got {'nothing' if value is None else 'null'} @ $.{name}"
                continue
            try:
                decoded = self._values[name].decode(value)
            except _NOT_A_VALUE:
                return f"expected {column.type}, got {_shown(bytes(value))} @ $.{name}"
            if column.type == "decimal" and not _is_exact(decoded):
                return f"expected decimal of at most 29 and 9 digits, got {_shown(bytes(value))} @ $.{name}"
        for name, value in record.items():
            if name not in self._columns:
                try:
                    msgspec.json.decode(value)
                except _NOT_A_VALUE:
                    return f"expected JSON in UTF-8, got {_shown(bytes(value))} @ $.{name}"
        return None

    def _instant(self, record: Mapping[str, msgspec.Raw]) -> dt.datetime | None:
        """Return the cursor of a record that may not fit; None where it cannot be read."""
        if self._cursor is None or self._cursor.column not in record:
            return None
        try:
            value = self._values[self._cursor.column].decode(record[self._cursor.column])
        except _NOT_A_VALUE:
            return None
        if isinstance(value, int):
            return dt.datetime.fromtimestamp(value / 1000, dt.UTC)
        if isinstance(value, dt.datetime):
            return value if value.tzinfo else value.replace(tzinfo=dt.UTC)
        if isinstance(value, dt.date):
            return dt.datetime(value.year, value.month, value.day, tzinfo=dt.UTC)
        return None


_NULL = msgspec.Raw(b"null")


def _is_exact(value: Decimal | None) -> bool:
    """Whether a decimal fits 29 digits before and 9 after the point."""
    if value is None:
        return True
    exponent = value.as_tuple().exponent
    return isinstance(exponent, int) and exponent >= -9 and value.adjusted() < 29


def _is_short(value: Decimal | None) -> bool:
    """Whether a decimal is exact and would still be if it were read as a double."""
    return value is None or (_is_exact(value) and len(value.as_tuple().digits) <= _DOUBLE_DIGITS)


def _as_text(value: bytes) -> msgspec.Raw:
    """Return the JSON string that holds the text of a JSON value."""
    return msgspec.Raw(msgspec.json.encode(value.decode()))


def _repetition(text: bytes, record: Mapping[str, msgspec.Raw]) -> str | None:
    """Return the reason not to take a record that has a field twice."""
    if len(msgspec.json.encode(record)) == len(text):
        return None  # all of the text is in the fields
    names = [name for name, _ in json.loads(text, object_pairs_hook=list)]
    twice = next((name for name in names if names.count(name) > 1), None)
    return None if twice is None else f"expected each field once, got {twice!r} twice @ $"


def _unreadable(text: bytes) -> str:
    """Return the reason not to take a record that is not a JSON object in Unicode."""
    try:
        record = json.loads(text)  # takes half a surrogate pair, so that the field can be named
    except UnicodeDecodeError as error:
        return f"expected JSON in UTF-8, got byte 0x{text[error.start]:02x} @ $"
    except RecursionError:
        return "expected JSON, got an object nested too deeply to be read @ $"
    except ValueError:
        return f"expected JSON, got {_shown(text)} @ $"
    if not isinstance(record, dict):
        return f"expected object, got {_shown(text)} @ $"
    for name, value in record.items():
        try:
            json.dumps({name: value}, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            shown = name.encode(errors="backslashreplace").decode()
            return f"expected text in Unicode, got half of a surrogate pair @ $.{shown}"
    return f"expected JSON, got {_shown(text)} @ $"


def _json_type(value: msgspec.Raw) -> str:
    decoded = msgspec.json.decode(value)
    for kind, name in ((bool, "boolean"), (int, "integer"), (float, "number"), (str, "string"), (list, "array")):
        if isinstance(decoded, kind):
            return name
    return "null" if decoded is None else "object"


def _shown(text: bytes) -> str:
    shown = text.decode(errors="replace")
    return shown if len(shown) <= 40 else f"{shown[:40]}…"
