"""Records as an API sends them, one after the other, without a database: for a look, a sample, a script."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from itertools import islice
from typing import Any

import msgspec

from connector_resources.days import days_between, window, within_horizon
from connector_resources.errors import InvalidSlice, MalformedPage
from connector_resources.resource import Source
from connector_resources.streams import ParentRow, Slice, Stream

_PARENTS_AT_ONCE = 20
"""A substream is read under so many parents at a time, so that a look at its first records asks for few."""


def records(source: Source, stream: Stream, first: date, today: date) -> Iterator[dict[str, Any]]:
    """Yield the records of a stream as JSON objects, from `first` until today (UTC) where it can be asked for that.

    What a record has from its parent is in it, under the column's name. Records come in the order of the API; nothing
    is on disk, and what was asked for before is asked for again. Parents of a substream are read on the way.
    """
    asked_window = None
    if stream.selects_a_window:
        try:
            days = within_horizon(stream, days_between(first, today), datetime.now(UTC))
        except InvalidSlice:
            return
        asked_window = window(days)
    if stream.parent is None:
        yield from _read(source, stream, Slice(asked_window))
        return
    parents = _parents(source, stream, first, today)
    while some := tuple(islice(parents, _PARENTS_AT_ONCE)):
        yield from _read(source, stream, Slice(asked_window, some))


def _parents(source: Source, stream: Stream, first: date, today: date) -> Iterator[ParentRow]:
    """Yield the parents of a substream, each once."""
    parent = stream.parent
    assert parent is not None
    seen: set[tuple[Any, ...]] = set()
    for record in records(source, parent.stream, first, today):
        fields = {name: record.get(column) for name, column in parent.fields.items()}
        key = tuple(fields.values())
        is_childless = parent.unless_empty is not None and record.get(parent.unless_empty) in (0, [])
        if None not in key and key not in seen and not is_childless:
            seen.add(key)
            yield ParentRow({name: value for name, value in fields.items() if isinstance(value, str | int)})


def _read(source: Source, stream: Stream, asked: Slice) -> Iterator[dict[str, Any]]:
    given = [(column.name, column.parent) for column in stream.columns if column.parent is not None]
    for page in source.read(stream, asked):
        of_parent = {} if page.parent is None else {name: page.parent.fields[field] for name, field in given}
        for record in page.records:
            try:
                yield {**msgspec.json.decode(record, type=dict[str, Any]), **of_parent}
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                raise MalformedPage(
                    f"{source.name}.{stream.name}: a record is no JSON object ({error}). read() puts such records "
                    "aside and goes on."
                ) from None
