"""Records as documents: texts that people and language models read, with facts to search and filter by.

    for document in documents_of(rows, stream, beside=neighbours):
        for chunk in document.chunks(size=1_000, overlap=100):
            store.add(chunk.id, chunk.page_content, chunk.metadata)

What a document is made of is declared beside the stream's columns (`Stream.document`). A stream that declares nothing
is read by the names of its columns: a title, whatever is called body, description or text, and plain facts. Who names
properties gets these and no others.

A document holds what was said about its record too: a conversation its messages, an idea its comments. These are rows
of other streams, and are asked for together for many records (`Beside`): from a database that is one query for each
thousand records and stream.

Metadata that is chosen here fits what vector stores take: text, numbers, booleans and lists of text; instants are ISO
8601 in UTC, and what has no value is left out. Properties that are named are given as the row has them.
"""

import datetime as dt
import json
import logging
import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain, islice
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

from connector_resources.document_fields import (
    IN_BRACES,
    Beside,
    DocumentFields,
    Neighbours,
    Passage,
    Record,
    Remark,
    instant_of,
    value_at,
)
from connector_resources.errors import PartitionMissing
from connector_resources.exceptions import PyAirbyteInputError
from connector_resources.html_text import text_of, tidy
from connector_resources.streams import Stream

if TYPE_CHECKING:
    import duckdb

    from connector_resources.destinations.duckdb import DuckDB

logger = logging.getLogger(__name__)

_TOGETHER = 1_000
"""For so many records the rows beside them are asked for at once. Opening a database costs 20 ms each time."""
_PAGE = 2_000
_LONGEST_FACT = 300
"""A longer text is something to read and no fact to filter by."""


@dataclass(slots=True)
class Document:
    """A record as a text, and what is known of it.

    `id` is the stream and the key (`ideas/7012…`), with the source in front where that is known: the same record has
    the same id whenever it is read. `last_modified` is in UTC: when the record last changed, or somebody last said
    something about it. `page_content`, `metadata` and `id` are all that LangChain's `Document` has, so its splitters,
    vector stores and chains take this one as it is.
    """

    content: str
    metadata: dict[str, Any]
    id: str | None = None
    last_modified: dt.datetime | None = None

    def __str__(self) -> str:
        return self.content

    @property
    def page_content(self) -> str:
        """The content, by LangChain's name for it."""
        return self.content

    def chunks(self, size: int = 1_000, overlap: int = 100) -> "Iterator[Document]":
        """Yield pieces of at most `size` characters, each a part of the content as it is, in order.

        A piece ends at a paragraph, else at a line, a sentence, a word, and in the middle of one only where nothing
        else is there in its second half. The next one begins up to `overlap` characters before, at a word. Together
        they hold all of the content but blanks between pieces. Each has the document's metadata and besides its place:
        `chunk` from 1, `chunks`, and `start_index` in characters; its id is the document's, `#` and its place. Raises
        PyAirbyteInputError unless 0 <= overlap < size.
        """
        if not 0 <= overlap < size:
            raise PyAirbyteInputError(
                f"A document cannot be cut into pieces of {size:,} characters, {overlap:,} of them in the next one.",
                guidance="Give a size of 1 or more and an overlap that is smaller: chunks(size=1000, overlap=100).",
            )
        spans = list(_spans(self.content, size, overlap))
        for place, (start, end) in enumerate(spans, start=1):
            yield Document(
                self.content[start:end],
                {**self.metadata, "chunk": place, "chunks": len(spans), "start_index": start},
                None if self.id is None else f"{self.id}#{place}",
                self.last_modified,
            )


def _spans(text: str, size: int, overlap: int) -> Iterator[tuple[int, int]]:
    start, whole = 0, len(text)
    while whole - start > size:
        # Where a piece ends in front of this, so little of it would be new that there would be many more of them.
        least = start + overlap + (size - overlap + 1) // 2
        cut = _cut(text, least, start + size)
        end = cut
        while end > start + 1 and text[end - 1].isspace():
            end -= 1
        yield start, end
        start = _resumed(text, max(end - overlap, start + 1), end, cut) if overlap else cut
        while start < whole and text[start].isspace():
            start += 1
    if start < whole or not text:
        yield start, whole


_ENDS = (("\n\n",), ("\n",), (". ", "! ", "? ", "。", "！", "？"), (" ", "\t"))


def _cut(text: str, least: int, most: int) -> int:
    """Return where to end a piece: behind the last of the best ends between two places."""
    for ends in _ENDS:
        found = max(
            text.rfind(end, least - len(end), most) + len(end) if end in text[least - 1 : most] else 0 for end in ends
        )
        if found >= least:
            return found
    return _between_characters(text, least, most)


def _between_characters(text: str, least: int, place: int) -> int:
    """Return the last place up to `place` that is not inside what is seen as one character."""
    at = place
    while at > least and at < len(text) and (_joins(text[at]) or text[at - 1] == _JOINER):
        at -= 1
    return at if at > least else place


_JOINER = "\u200d"


def _joins(character: str) -> bool:
    """Whether a character is one with that before it: an accent, the colour of a skin, a joined emoji."""
    return (
        character == _JOINER
        or unicodedata.combining(character) > 0
        or "\ufe00" <= character <= "\ufe0f"
        or "\U0001f3fb" <= character <= "\U0001f3ff"
    )


def _resumed(text: str, first: int, end: int, cut: int) -> int:
    """Return where the next piece begins: at the first word from `first` on, at its letter where there is no word."""
    if text[first - 1].isspace():
        return first
    for place in range(first, end):
        if text[place].isspace():
            return place + 1
    return _between_characters(text, first - 1, first) if not text[cut - 1].isspace() else cut


# -- documents of rows ------------------------------------------------------------------------------------------------


def documents_of(
    rows: Iterable[Record],
    stream: Stream | None,
    *,
    title_property: str | None = None,
    content_properties: Sequence[str] | None = None,
    metadata_properties: Sequence[str] | None = None,
    render_metadata: bool = False,
    beside: Beside | None = None,
    source: str = "",
) -> Iterator[Document]:
    """Yield a document of each row, in order, without holding more than a thousand of them.

    A row has Python values (instants, or as the API sends them; JSON decoded) under the names of the stream's columns.
    `stream` is None where nobody knows it: then the first row's keys are the columns, and there are no ids. Properties
    may be paths into JSON columns, `workflow_status.name`. Several of `content_properties` get a heading each; the
    metadata stand above them with `render_metadata`. `beside` gives the rows of other streams that belong to these;
    without it a document is made of its own row, and the log says what it lacks. `source` goes into ids and metadata.

    Raises PyAirbyteInputError for a property that neither the stream nor the first row has.
    """
    every = iter(rows)
    first = next(every, None)
    if first is None:
        return
    names = list(dict.fromkeys((*((column.name for column in stream.columns) if stream else ()), *first)))
    asked = [*([title_property] if title_property else []), *(content_properties or ()), *(metadata_properties or ())]
    for name in asked:
        if name not in names and name.partition(".")[0] not in names:
            raise PyAirbyteInputError(
                f"{stream.name if stream else 'The rows'}: there is no property {name!r} to make documents of.",
                guidance=f"Properties: {', '.join(names)}.",
            )
    fields = (stream.document if stream else None) or fields_by_name(names, stream)
    passages = fields.body
    if content_properties is not None:
        several = len(content_properties) > 1
        passages = tuple(Passage(name, _title_case(name) if several else "", None) for name in content_properties)
    made = _Maker(
        stream,
        source,
        DocumentFields(
            fields.title if title_property is None else title_property,
            passages,
            fields.metadata,
            fields.thread if content_properties is None else None,
            fields.changed,
        ),
        metadata_properties,
        render_metadata=render_metadata,
        has_title=title_property is not None or content_properties is None,
    )
    rows = chain((first,), every)
    if made.thread is None or beside is None:
        if made.thread is not None:
            logger.warning(
                "%s: documents are made without %s, which are another stream. read() both streams, and take "
                "to_documents() of the result.",
                *(".".join(filter(None, (source, stream.name if stream else ""))), made.thread.rows.stream),
            )
        for row in rows:
            yield made.document(row)
        return
    while batch := list(islice(rows, _TOGETHER)):
        yield from made.with_remarks(batch, beside)


_TITLES = ("title", "name", "subject", "headline", "label", "display_name", "displayName", "full_name")
_BODIES = frozenset(
    {
        "body",
        "description",
        "content",
        "text",
        "message",
        "summary",
        "notes",
        "note",
        "comment",
        "details",
        "transcript",
    }
    | {"question", "answer", "abstract", "bio"}
)
_CHANGED = ("updated_at", "updatedAt", "updated", "modified_at", "modified", "last_modified", "updateDateTime")


def fields_by_name(names: Sequence[str], stream: Stream | None = None) -> DocumentFields:
    """Return what documents are made of where nobody has declared it, by the names of columns and their types."""
    types = {column.name: column.type for column in stream.columns} if stream else {}
    texts = [name for name in names if types.get(name, "string") in ("string", "json") and not name.startswith("_")]
    title = next((name for name in _TITLES if name in texts), "")
    body = [name for name in texts if name.casefold() in _BODIES and name != title]
    facts = [
        name
        for name in names
        if name != title and name not in body and types.get(name) != "json" and not name.startswith("_")
    ]
    changed = next((name for name in _CHANGED if name in names), "")
    several = len(body) > 1
    return DocumentFields(
        title,
        tuple(Passage(name, _title_case(name) if several else "", None) for name in body),
        {name: name for name in facts},
        changed=changed,
    )


def _title_case(name: str) -> str:
    return " ".join(word[:1].upper() + word[1:] for word in re.split(r"[_.]", name) if word)


class _Maker:
    """What makes documents of one stream's rows: all that is the same for each of them, worked out once."""

    def __init__(
        self,
        stream: Stream | None,
        source: str,
        fields: DocumentFields,
        named: Sequence[str] | None,
        *,
        render_metadata: bool,
        has_title: bool,
    ) -> None:
        self.thread = fields.thread
        self._fields = fields
        self._title = [(path, _getter(path)) for path in fields.title_paths]
        self._has_title = has_title
        self._passages = [(passage, _getter(passage.path)) for passage in fields.body]
        instants = (
            {column.name for column in stream.columns if column.type in ("epoch_ms", "timestamp")} if stream else set()
        )
        self._facts = [(name, _getter(path), path in instants) for name, path in fields.metadata.items()]
        self._named = None if named is None else [(name, _getter(name)) for name in named]
        self._render_metadata = render_metadata
        self._key = stream.primary_key if stream else ()
        self._name = stream.name if stream else ""
        self._prefix = "".join(f"{_part(part)}/" for part in (source, self._name) if part)
        origin = {"source": source, "stream": self._name}
        self._origin = {name: value for name, value in origin.items() if value}
        changed = fields.changed or (stream.cursor.column if stream and stream.cursor else "")
        self._changed = _getter(changed) if changed else None

    def with_remarks(self, rows: Sequence[Record], beside: Beside) -> Iterator[Document]:
        """Yield the documents of some rows with what was said about them."""
        assert self.thread is not None
        thread = self.thread
        said = _grouped(rows, thread.rows, beside)
        spoken = [remark for remarks in said.values() for remark in remarks]
        people = {
            people.stream: {key: found[0] for key, found in _grouped(spoken, people, beside).items()}
            for people in thread.people
        }
        path = _getter(thread.rows.path)
        for row in rows:
            yield self.document(row, thread.said(said.get(path(row), ()), people))

    def document(self, row: Record, remarks: Iterable[Remark] = ()) -> Document:
        """Return the document of one row."""
        title = self._title_of(row)
        metadata = self._metadata(row, title)
        parts = [f"# {title}"] if title and self._has_title else []
        if self._render_metadata:
            parts.append(_as_yaml(metadata))
        has_text = False
        for passage, value in self._passages:
            if text := _passage_text(passage, value(row)):
                has_text = True
                parts.append(f"## {passage.heading}\n\n{text}" if passage.heading else text)
        last = instant_of(self._changed(row)) if self._changed is not None else None
        heading = self.thread.heading if self.thread is not None else ""
        for remark in remarks:
            if not (text := text_of(remark.text)):
                continue
            when = f" ({remark.at:%Y-%m-%d %H:%M} UTC)" if remark.at is not None else ""
            said = f"{remark.author}{when}:\n{text}"
            parts.append(f"## {heading}\n\n{said}" if heading else said)
            has_text, heading = True, ""
            if remark.at is not None and (last is None or remark.at > last):
                last = remark.at
        if not (has_text or self._passages or self.thread or self._render_metadata):
            parts += [f"{_title_case(name)}: {_shown(value)}" for name, value in self._plain(row).items()]
        key = "/".join(_part(row.get(name)) for name in self._key)
        content = "\n\n".join(parts) or f"{_title_case(self._name)} {key}".strip()
        return Document(content, metadata, f"{self._prefix}{key}" if self._key else None, last)

    def _title_of(self, row: Record) -> str:
        if "{" not in self._fields.title:
            return " ".join(_shown(self._title[0][1](row)).split()) if self._title else ""
        values = {path: _shown(value(row)) for path, value in self._title}
        return " ".join(IN_BRACES.sub(lambda found: values[found[1]], self._fields.title).split())

    def _metadata(self, row: Record, title: str) -> dict[str, Any]:
        if self._named is not None:
            return {name: value(row) for name, value in self._named}
        return {**({"title": title} if title else {}), **self._origin, **self._plain(row)}

    def _plain(self, row: Record) -> dict[str, Any]:
        found = {}
        for name, value, is_instant in self._facts:
            fact = value(row)
            if fact is None:
                continue
            fact = _plain(instant_of(fact) if is_instant else fact)
            if fact is not None:
                found[name] = fact
        return found


def _getter(path: str) -> Callable[[Record], Any]:
    if "." not in path:
        return lambda row: row.get(path)
    return lambda row: row[path] if path in row else value_at(row, path)


def _grouped(rows: Sequence[Record], neighbours: Neighbours, beside: Beside) -> dict[Any, list[Record]]:
    """Return the rows beside these, by the value at the path that leads to them."""
    path, column = _getter(neighbours.path), neighbours.column
    keys = {key for row in rows if isinstance(key := path(row), (str, int))}
    found: dict[Any, dict[bytes, Record]] = {}
    if keys:
        for row in beside(neighbours.stream, neighbours.columns, keys):
            # Where reads are appended, the same row may be there more than once.
            found.setdefault(row[column], {}).setdefault(msgspec.json.encode(row), row)
    return {key: list(each.values()) for key, each in found.items()}


_TAGS_OF_TEXTS = re.compile(
    r"<(?:p|br|div|span|a|b|i|u|em|strong|ul|ol|li|h[1-6]|table|tr|td|pre|code|blockquote|img|hr)(?:\s[^<>]*)?/?>", re.I
)


def _passage_text(passage: Passage, value: Any) -> str:
    if value is None:
        return ""
    if passage.each is None:
        return _readable(value, passage.is_html)
    title, text = passage.each
    found = []
    for item in value if isinstance(value, list) else [value]:
        name, body = _shown(value_at(item, title)).strip(), _readable(value_at(item, text), passage.is_html)
        if name or body:
            found.append("\n\n".join(part for part in (f"### {name}" if name else "", body) if part))
    return "\n\n".join(found)


def _readable(value: Any, is_html: bool | None) -> str:
    """Return a value as text to read: rich text without its markup, lists with an item a line."""
    if isinstance(value, str):
        return text_of(value) if is_html or (is_html is None and _TAGS_OF_TEXTS.search(value)) else tidy(value)
    if isinstance(value, Mapping):
        rich = next(
            (value[name] for name in ("body", "html", "text", "content") if isinstance(value.get(name), str)), None
        )
        return _readable(rich, is_html) if rich is not None else _shown(value)
    if isinstance(value, list):
        return "\n".join(f"- {text}" for item in value if (text := _readable(item, is_html)))
    return _shown(value)


def _shown(value: Any) -> str:
    """Return a value as people write it; nothing for null."""
    match value:
        case None:
            return ""
        case str():
            return value
        case bool():
            return "yes" if value else "no"
        case dt.datetime():
            return (instant_of(value) or value).isoformat()
        case Mapping() | list():
            return json.dumps(value, ensure_ascii=False, default=_shown)
        case _:
            return str(value)


def _plain(value: Any) -> Any:
    """Return a fact as a text, a number, a boolean or a list of texts; None for an empty one or one too long."""
    match value:
        case str():
            return value if 0 < len(value) <= _LONGEST_FACT else None
        case bool() | int() | float():
            return value
        case dt.datetime():
            return (instant_of(value) or value).isoformat()
        case dt.date() | Decimal():
            return str(value)
        case list():
            return [_shown(item) for item in value if item is not None] or None
        case None:
            return None
        case _:
            return _shown(value) or None


def _part(value: Any) -> str:
    """Return a part of an id, in which a slash or a hash is escaped."""
    text = _shown(value)
    return quote(text, safe=" @:+,;=!$&'()*") if "/" in text or "#" in text or "%" in text else text


def _as_yaml(metadata: Mapping[str, Any]) -> str:
    """Return metadata as YAML, of which JSON is a part, in a fence."""
    lines = [f"{name}: {json.dumps(value, ensure_ascii=False, default=_shown)}" for name, value in metadata.items()]
    return "\n".join(("```yaml", *lines, "```"))


# -- out of a database ------------------------------------------------------------------------------------------------


def stored_rows(
    store: "DuckDB", schema: str, table: str, stream: Stream, columns: Sequence[str], *, together: int = 2_000
) -> Iterator[Record]:
    """Yield the current rows of a stream's table with its key and some of its columns, in the order of the key.

    The file is open for the moment of a query, one for so many rows `together`. A row that is landed meanwhile comes as
    it was or as it is, and never twice. Raises PartitionMissing where there is no database or no such table.
    """
    from connector_resources.destinations.duckdb_tables import columns_of

    key = stream.primary_key
    names = tuple(dict.fromkeys((*key, *columns)))
    after: tuple[Any, ...] | None = None
    while True:
        with store.reading() as connection:
            if not columns_of(connection, schema, table):
                raise PartitionMissing(f"{schema}.{table}: nothing has been landed in {store.path}. Read it first.")
            rows = _selected(connection, schema, table, names, _after(key, after), after or (), key, together)
        yield from rows
        if len(rows) < together:
            return
        after = tuple(rows[-1][name] for name in key)


def _after(key: Sequence[str], after: Sequence[Any] | None) -> str:
    from connector_resources.destinations.duckdb_tables import quoted

    if after is None:
        return ""
    return f"({', '.join(map(quoted, key))}) > ({', '.join('?' for _ in key)})"


@dataclass(frozen=True, slots=True)
class StoredNeighbours:
    """Rows beside others out of a database (`Beside`): one query a call, for which the file is open and no longer.

    `table_of` says in which schema and table the rows of a stream are. A stream that was never landed has no rows, and
    the log says so.
    """

    store: "DuckDB"
    table_of: Callable[[str], tuple[str, str]]

    def __call__(self, stream: str, columns: Sequence[str], keys: Collection[Any]) -> Iterable[Record]:
        """Return the current rows of a stream whose first column of `columns` holds one of `keys`."""
        from connector_resources.destinations.duckdb_tables import columns_of, quoted

        schema, table = self.table_of(stream)
        with self.store.reading() as connection:
            if not columns_of(connection, schema, table):
                logger.warning(
                    "%s.%s has not been landed in %s: documents are made without it. Read it too.",
                    *(schema, table, self.store.path),
                )
                return ()
            found = f"{quoted(columns[0])} IN (SELECT unnest(?))"
            return _selected(connection, schema, table, columns, found, ([*keys],))


def _selected(
    connection: "duckdb.DuckDBPyConnection",
    schema: str,
    table: str,
    columns: Sequence[str],
    condition: str,
    parameters: Sequence[Any],
    order: Sequence[str] = (),
    most: int = 0,
) -> list[Record]:
    """Return current rows; a column that the table has not got yet is null in them. JSON is decoded."""
    from connector_resources.destinations.duckdb_tables import columns_of, quoted

    stored = columns_of(connection, schema, table)
    conditions = [*(["_is_current"] if "_is_current" in stored else []), *([condition] if condition else [])]
    selected = ", ".join(quoted(name) if name.casefold() in stored else f"NULL AS {quoted(name)}" for name in columns)
    query = f"SELECT {selected} FROM {quoted(schema)}.{quoted(table)}"
    if conditions:
        query += f" WHERE {' AND '.join(conditions)}"
    if order:
        query += f" ORDER BY {', '.join(map(quoted, order))} LIMIT {most}"
    cursor = connection.execute(query, list(parameters))
    nested = [place for place, name in enumerate(columns) if stored.get(name.casefold()) == "JSON"]
    rows: list[Record] = []
    for values in cursor.fetchall():
        row = list(values)
        for place in nested:
            if row[place] is not None:
                row[place] = msgspec.json.decode(row[place])
        rows.append(dict(zip(columns, row, strict=True)))
    return rows
