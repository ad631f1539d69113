"""Documents of many records: `python -m tests.benchmarks.documents CASE RECORDS FOLDER`.

An idea has a body of 900 characters with 27 tags; a conversation has ten messages. The floor is what the standard
library takes to parse the same HTML, and nothing else.
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from connector_resources.destinations.duckdb import DuckDB
from connector_resources.documents import StoredNeighbours, documents_of, stored_rows
from connector_resources.sources.aha import ideas
from connector_resources.sources.drift import conversations
from connector_resources.streams import Stream
from tests.benchmarks.own_cost import own_cpu_seconds

MESSAGES = 10
BODY = (
    "<h2>Why</h2><p>People asked for it <strong>three</strong> times &amp; more.</p>"
    '<ul><li>first</li><li>second</li></ul><p>See <a href="https://wiki.example/page?a=1&amp;b=2">the page</a>.</p>'
    + "<p>It saves an hour a week, and nobody has to look twice at what was left out. Or so they say.</p>"
    * 6
)
_DAY = "TIMESTAMPTZ '2026-03-01 10:00:00+00'"


def rows(records: int) -> Iterator[Mapping[str, Any]]:
    """Yield ideas as an API sends them."""
    for number in range(records):
        yield {
            "id": str(number),
            "name": f"Idea {number}",
            "reference_num": f"APP-I-{number}",
            "description": {"body": BODY},
            "workflow_status": {"name": "Planned"},
            "product": {"name": "App"},
            "tags": ["csv", "export"],
            "votes": number % 7,
            "created_at": "2026-03-01T10:00:00.000Z",
            "updated_at": "2026-03-01T10:00:00.000Z",
        }


def prepare(records: int, folder: Path) -> None:
    """Write a database of ideas and of conversations."""
    import duckdb

    idea = json.dumps(next(rows(1)))
    with duckdb.connect(str(folder / "documents.duckdb")) as connection:
        for schema in ("aha", "drift"):
            connection.execute(f"CREATE SCHEMA {schema}")
        connection.execute("SET VARIABLE idea = ?::JSON", [idea])
        for table, count, columns in (
            (
                "aha.ideas",
                records,
                (
                    "range::VARCHAR AS id, 'Idea ' || range AS name, 'APP-I' AS reference_num, range % 7 AS votes, "
                    "getvariable('idea') -> 'description' AS description, getvariable('idea') -> 'tags' AS tags, "
                    "getvariable('idea') -> 'workflow_status' AS workflow_status, "
                    f"getvariable('idea') -> 'product' AS product, {_DAY} AS created_at, {_DAY} AS updated_at"
                ),
            ),
            (
                "aha.idea_comments",
                records,
                (
                    f"range::VARCHAR AS idea_id, range::VARCHAR AS id, '<p>Me too</p>' AS body, {_DAY} AS created_at, "
                    "json_object('name', 'Ada') AS idea_commenter_user"
                ),
            ),
            (
                "drift.conversations",
                records,
                (
                    "range AS id, 'open' AS status, range % 97 AS contactId, 1 AS inboxId, "
                    f"{_DAY} AS createdAt, {_DAY} AS updatedAt"
                ),
            ),
            (
                "drift.messages",
                MESSAGES * records,
                (
                    f"range AS id, range // {MESSAGES} AS conversationId, 'chat' AS type, "
                    "'<p>Do you offer a plan for 40&nbsp;seats?</p>' AS body, "
                    "json_object('id', range % 97, 'type', if(range % 2 = 0, 'contact', 'user')) AS author, "
                    f"{_DAY} + to_seconds(range) AS createdAt, NULL::JSON AS attachments, "
                    "NULL::BIGINT AS editedMessageId, NULL::VARCHAR AS editType"
                ),
            ),
            ("drift.users", 97, "range AS id, 'User ' || range AS name, NULL::VARCHAR AS alias"),
            ("drift.contacts", 97, "range AS id, json_object('name', 'Contact ' || range) AS attributes"),
        ):
            connection.execute(f"CREATE TABLE {table} AS SELECT {columns}, true AS _is_current FROM range({count})")


class _Parser(HTMLParser):
    pass


def parsed(records: int, folder: Path) -> int:
    """Parse each body with the standard library."""
    for _ in range(records):
        parser = _Parser()
        parser.feed(BODY)
        parser.close()
    return records


def in_memory(records: int, folder: Path) -> int:
    """Make documents of ideas that are in memory."""
    return sum(1 for _ in documents_of(rows(records), ideas))


def stored_ideas(records: int, folder: Path) -> int:
    """Make documents of ideas in a database, with a comment each."""
    return _of_stored(folder, "aha", ideas)


def stored_conversations(records: int, folder: Path) -> int:
    """Make documents of conversations in a database, with their messages."""
    return _of_stored(folder, "drift", conversations)


def _of_stored(folder: Path, source: str, stream: Stream) -> int:
    store = DuckDB(folder / "documents.duckdb", folder / "temporary")
    assert stream.document is not None
    assert stream.cursor is not None
    columns: Sequence[str] = [*stream.document.columns, stream.cursor.column]
    beside = StoredNeighbours(store, lambda name: (source, name))
    found = documents_of(stored_rows(store, source, stream.name, stream, columns), stream, beside=beside, source=source)
    return sum(len(document.content) > 100 for document in found)


CASES: Mapping[str, Callable[[int, Path], int]] = {
    "html.parser over the same bodies": parsed,
    "ideas, in memory": in_memory,
    "ideas with a comment, in DuckDB": stored_ideas,
    f"conversations of {MESSAGES} messages, in DuckDB": stored_conversations,
}

if __name__ == "__main__":
    name, records, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    before = own_cpu_seconds()
    if (made := CASES[name](records, folder)) != records:
        sys.exit(f"{name}: {made} documents of {records} records.")
    (folder / "cpu_after_imports").write_text(str(own_cpu_seconds() - before))
