"""How a stream's record is read as a document: facts that a connector declares beside its columns.

A path is dotted and begins with a column: `description.body` is the field `body` of the JSON column `description`.
Through a list it leads to each of its items: `tags.name` of two tags is two names.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Protocol

Record = Mapping[str, Any]
IN_BRACES = re.compile(r"\{([^{}]+)\}")


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document's text: where it is in the record, its heading, and whether it is HTML.

    Where nobody has said whether it is (None), it is if it has a tag that texts have. With `each`, the value is a list
    of records, or one, and each becomes a passage of its own: the path of its title in it and the path of its text.
    """

    path: str
    heading: str = ""
    is_html: bool | None = True
    each: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Rows of another stream of the same source: those whose `column` holds what is at `path`.

    `columns` are the ones that are needed of them; the first is `column`.
    """

    stream: str
    columns: tuple[str, ...]
    path: str

    @property
    def column(self) -> str:
        """The column of that stream by which its rows are found."""
        return self.columns[0]


class Beside(Protocol):
    """Where the rows of other streams come from that documents are made with; one call for many records."""

    def __call__(self, stream: str, columns: Sequence[str], keys: Collection[Any]) -> Iterable[Record]:
        """Return the current rows of a stream whose first column of `columns` holds one of `keys`, in any order."""
        ...


@dataclass(frozen=True, slots=True)
class Remark:
    """What somebody said: who, when (None where that is not known), and the text, as HTML or plain."""

    author: str
    at: datetime | None
    text: str


People = Mapping[str, Mapping[Any, Record]]
"""Rows by the name of their stream and the value they were found by."""


@dataclass(frozen=True, slots=True)
class Thread:
    """What was said about a record, or makes it up: a conversation's messages, an idea's comments.

    `rows` are they, `path` leading from the record to its key. `people` are found by paths from those rows, to name who
    said it. `said` makes remarks of the rows of one record, in the order in which they are to be read.
    """

    rows: Neighbours
    said: Callable[[Sequence[Record], People], Iterable[Remark]]
    people: tuple[Neighbours, ...] = ()
    heading: str = ""


@dataclass(frozen=True, slots=True)
class DocumentFields:
    """What a record's document is made of.

    `title` is the path of what it is called, or a text with paths in braces: `Conversation {id}`. `body` is what there
    is to read, in order, `thread` what was said about it. `metadata` maps names to paths of facts to search and filter
    by. `changed` is the column that says when the record last changed; the stream's cursor where it is empty.
    """

    title: str = ""
    body: tuple[Passage, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    thread: Thread | None = None
    changed: str = ""

    @property
    def title_paths(self) -> tuple[str, ...]:
        """The paths in the title."""
        return tuple(IN_BRACES.findall(self.title)) if "{" in self.title else ((self.title,) if self.title else ())

    @property
    def columns(self) -> tuple[str, ...]:
        """The stream's own columns that are needed, besides its key and its cursor."""
        paths = [*self.title_paths, self.changed, *(passage.path for passage in self.body), *self.metadata.values()]
        if self.thread is not None:
            paths.append(self.thread.rows.path)
        return tuple(dict.fromkeys(path.partition(".")[0] for path in paths if path))


def value_at(record: Any, path: str) -> Any:
    """Return what is at a path; None where any part of it is missing. Through a list it is a list of what is there."""
    value = record
    for part in path.split(".") if "." in path else (path,):
        if type(value) is dict or isinstance(value, Mapping):  # the former costs a fifth of the latter
            value = value.get(part)
        elif isinstance(value, list):
            value = [found for item in value if (found := value_at(item, part)) is not None]
        else:
            return None
    return value


def instant_of(value: Any) -> datetime | None:
    """Return an instant in UTC of what stands for one: a datetime, a date, milliseconds since 1970 or an ISO 8601 text.

    One without a zone is taken for UTC, as tables have it. None for anything else.
    """
    try:
        match value:
            case datetime():
                found = value
            case date():
                found = datetime(value.year, value.month, value.day)  # noqa: DTZ001 -- gets its zone below
            case bool():
                return None
            case int():
                return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=value)
            case str():
                found = datetime.fromisoformat(value)
            case _:
                return None
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
