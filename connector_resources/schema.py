"""Declared types against what was received: every record is checked, never a sample.

A page whose records all fit goes to the store as it is. Checking decodes each record once into a struct made from the
declaration, which costs about a microsecond a record; only pages that do not fit are looked at record by record. There,
a field nobody declared moves to `_extra` and is reported, and a record with a value that does not fit is put aside, as
it came, with the reason. Nothing is dropped, rounded or nulled on the way.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import msgspec

from connector_resources.spool import Spool
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
    """A spool after checking: `file` holds the lines that fit, in the spool's format and possibly with `_extra`."""

    file: Path
    received: int = 0
    longest_line_bytes: int = 0
    quarantined: list[Quarantined] = field(default_factory=list)
    undeclared: dict[str, Undeclared] = field(default_factory=dict)

    @property
    def first_reason(self) -> str:
        """The reason and page of the first record put aside."""
        first = self.quarantined[0]
        return f"{first.reason} (page {first.page})"


def check(spool: Spool, stream: Stream) -> Checked:
    """Check every record of `spool` against the declaration of `stream`.

    The file returned is the spool's own where everything fits as it is, else a rewritten copy beside it.
    """
    checker = _Checker(stream)
    checked = Checked(spool.pages_file)
    dirty = {mark.number for mark in spool.marks if mark.received and not checker.fits(spool, mark.number)}
    checked.received = spool.records
    checked.longest_line_bytes = max((mark.longest for mark in spool.marks), default=0)
    checker.close()
    if not dirty:
        return checked
    checked.file = spool.folder / "checked.ndjson"
    with spool.pages_file.open("rb") as pages, checked.file.open("wb") as output:
        for mark in spool.marks:
            lines = spool.page_lines(mark, pages)
            if mark.number in dirty:
                lines = b"".join(checker.repaired(line, checked) for line in lines.splitlines(keepends=True))
            output.write(lines)
    return checked


class _Checker:
    def __init__(self, stream: Stream) -> None:
        self._columns = {column.name: column for column in stream.columns if column.parent is None}
        self._required = {name for name in stream.primary_key if name in self._columns}
        if stream.selects_a_window and stream.cursor is not None:
            self._required.add(stream.cursor.column)
        self._cursor = stream.cursor if stream.selects_a_window else None
        self._decimals = [
            f"f{number}" for number, column in enumerate(self._columns.values()) if column.type == "decimal"
        ]
        record = msgspec.defstruct(
            "Record",
            [self._field(number, column) for number, column in enumerate(self._columns.values())],
            rename={f"f{number}": name for number, name in enumerate(self._columns)},
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
        self._pages: Any = None

    def _field(self, number: int, column: Column) -> tuple[str, Any] | tuple[str, Any, Any]:
        kind = _PYTHON_TYPES[column.type]
        if column.name in self._required:
            return (f"f{number}", kind)
        if column.type == "json":
            return (f"f{number}", kind, msgspec.Raw(b"null"))
        return (f"f{number}", kind | None, None)

    def fits(self, spool: Spool, number: int) -> bool:
        """Whether every record of a page fits as it is."""
        if self._pages is None:
            self._pages = spool.pages_file.open("rb")
        lines = spool.page_lines(spool.marks[number], self._pages)
        if b"\\ud" in lines or b"\\uD" in lines:
            return False  # half of a surrogate pair would make the store refuse the whole file; looked at one by one
        try:
            decoded = self._lines.decode_lines(lines)
        except msgspec.MsgspecError:
            return False
        return all(_is_exact(getattr(line.record, name)) for name in self._decimals for line in decoded)

    def close(self) -> None:
        """Close the pages file."""
        if self._pages is not None:
            self._pages.close()

    def repaired(self, line: bytes, checked: Checked) -> bytes:
        """Return the line that fits, or b"" after putting the record aside."""
        whole = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
        page = int(bytes(whole["_page"]))
        record = msgspec.json.decode(whole["_record"], type=dict[str, msgspec.Raw])
        partitions = tuple(msgspec.json.decode(whole["_partitions"])) if "_partitions" in whole else ()
        reason = self._misfit(record)
        if reason is not None:
            text = bytes(whole["_record"]).decode()
            checked.quarantined.append(Quarantined(text, reason, page, partitions, self._instant(record)))
            return b""
        extra = {name: value for name, value in record.items() if name not in self._columns}
        for name, value in extra.items():
            seen = checked.undeclared.get(name)
            checked.undeclared[name] = Undeclared(
                name,
                seen.type if seen else _json_type(value),
                seen.records + 1 if seen else 1,
                seen.first_page if seen else page,
            )
        if not extra:
            return line
        whole["_extra"] = msgspec.Raw(msgspec.json.encode(extra))
        declared = {name: value for name, value in record.items() if name in self._columns}
        whole["_record"] = msgspec.Raw(msgspec.json.encode(declared))
        return msgspec.json.encode(whole) + b"\n"

    def _misfit(self, record: Mapping[str, msgspec.Raw]) -> str | None:
        for name, column in self._columns.items():
            value = record.get(name)
            if value is None or bytes(value) == b"null":
                if name in self._required:
                    return f"expected {column.type}, got {'nothing' if value is None else 'null'} @ $.{name}"
                continue
            try:
                decoded = self._values[name].decode(value)
            except (msgspec.MsgspecError, ValueError):
                return f"expected {column.type}, got {_shown(value)} @ $.{name}"
            if column.type == "decimal" and not _is_exact(decoded):
                return f"expected decimal of at most 29 and 9 digits, got {_shown(value)} @ $.{name}"
        for name, value in record.items():
            if name not in self._columns:
                try:
                    msgspec.json.decode(value)
                except msgspec.MsgspecError:
                    return f"expected JSON text in Unicode, got {_shown(value)} @ $.{name}"
        return None

    def _instant(self, record: Mapping[str, msgspec.Raw]) -> dt.datetime | None:
        if self._cursor is None or self._cursor.column not in record:
            return None
        try:
            value = self._values[self._cursor.column].decode(record[self._cursor.column])
        except msgspec.MsgspecError:
            return None
        if isinstance(value, int):
            return dt.datetime.fromtimestamp(value / 1000, dt.UTC)
        if isinstance(value, dt.datetime):
            return value if value.tzinfo else value.replace(tzinfo=dt.UTC)
        return None


def _is_exact(value: Decimal | None) -> bool:
    """Whether a decimal fits 29 digits before and 9 after the point."""
    if value is None:
        return True
    exponent = value.as_tuple().exponent
    return isinstance(exponent, int) and exponent >= -9 and value.adjusted() < 29


def _json_type(value: msgspec.Raw) -> str:
    decoded = msgspec.json.decode(value)
    for kind, name in ((bool, "boolean"), (int, "integer"), (float, "number"), (str, "string"), (list, "array")):
        if isinstance(decoded, kind):
            return name
    return "null" if decoded is None else "object"


def _shown(value: msgspec.Raw) -> str:
    text = bytes(value).decode(errors="replace")
    return text if len(text) <= 40 else f"{text[:40]}…"
