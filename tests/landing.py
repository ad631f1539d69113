"""What tests of the way from a page to a table are made with: streams, spools, windows, and real child processes."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from connector_resources.spool import Spool, SpoolKey, open_spool
from connector_resources.streams import (
    SNAPSHOT,
    Column,
    ColumnType,
    Cursor,
    Page,
    Parent,
    ParentRow,
    Slice,
    Stream,
    Window,
)

ROOT = Path(__file__).parents[1]

Record = Mapping[str, Any] | bytes


def columns(**types: ColumnType) -> tuple[Column, ...]:
    return tuple(Column(name, kind, "") for name, kind in types.items())


def snapshot(name: str = "things", /, *, cursor: str | None = None, **types: ColumnType) -> Stream:
    """A stream that is read whole; its key is its first column."""
    key = next(iter(types))
    return Stream(
        name=name,
        description="",
        columns=columns(**types),
        primary_key=(key,),
        cursor=None if cursor is None else Cursor(cursor),
    )


def daily(name: str = "things", /, *, cursor_type: ColumnType = "timestamp", **types: ColumnType) -> Stream:
    """A stream that is read by day: `id` is its key and `at` its cursor."""
    return Stream(
        name=name,
        description="",
        columns=columns(id="string", at=cursor_type, **types),
        primary_key=("id",),
        cursor=Cursor("at", since="since"),
    )


def children(parent: Stream, name: str = "parts", /, *, unless_empty: str | None = None, **types: ColumnType) -> Stream:
    """A substream: it knows its parent's `id` as `parent_id`, and its key is both ids."""
    return Stream(
        name=name,
        description="",
        columns=(*columns(id="string", **types), Column("parent_id", "string", "", parent="thing")),
        primary_key=("parent_id", "id"),
        parent=Parent(parent, {"thing": "id"}, unless_empty),
    )


def window(start: str, end: str | None = None) -> Window:
    """The window between two instants, or the whole day of one."""
    first = datetime.fromisoformat(start).replace(tzinfo=UTC)
    return Window(first, first + timedelta(days=1) if end is None else datetime.fromisoformat(end).replace(tzinfo=UTC))


def days(window: Window) -> list[str]:
    count = (window.end - window.start).days
    return [(window.start + timedelta(days=number)).strftime("%Y-%m-%d") for number in range(count)]


def raw(record: Record) -> bytes:
    return record if isinstance(record, bytes) else json.dumps(record, ensure_ascii=False).encode()


def page(*records: Record, token: str | None = None, parent: ParentRow | None = None) -> Page:
    return Page([raw(record) for record in records], token, parent)


def key(stream: Stream, slice: Slice = Slice(), account: str = "account") -> SpoolKey:  # noqa: B008 -- a value
    return SpoolKey.of(account, "source", stream, slice)


_opened: list[Spool] = []


def opened(folder: Path, key: SpoolKey) -> Spool:
    """The spool of a key, which `close_spools` closes at the end of the test."""
    spool = open_spool(folder, key)
    _opened.append(spool)
    return spool


def close_spools() -> None:
    while _opened:
        _opened.pop().close()


def spooled(folder: Path, stream: Stream, pages: Iterable[Page], slice: Slice = Slice()) -> Spool:  # noqa: B008
    """A whole extraction on disk."""
    spool = opened(folder, key(stream, slice))
    with spool.writing() as writer:
        for each in pages:
            writer.append(each)
        writer.finish()
    return spool


def partitions_of(stream: Stream, window: Window | None) -> Sequence[str]:
    return [SNAPSHOT] if window is None else days(window)


def child(code: str, *arguments: object, **environment: str) -> "subprocess.Popen[str]":
    """Start a Python process that can import this project; its standard streams are pipes of text."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path, **environment},
    )


def said(process: "subprocess.Popen[str]", *, returncode: int = 0, seconds: float = 60) -> str:
    """What a child process printed, once it has ended as it should."""
    output, errors = process.communicate(timeout=seconds)
    assert process.returncode == returncode, errors
    return output.strip()
