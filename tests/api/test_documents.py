"""Documents: what is read of a record, who said what about it, and pieces of a size."""

import subprocess
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector_resources.document_fields import DocumentFields, instant_of, value_at
from connector_resources.documents import Document, StoredNeighbours, documents_of, stored_rows
from connector_resources.errors import PartitionMissing
from connector_resources.exceptions import PyAirbyteInputError
from connector_resources.sources.aha import features, ideas, requirements
from connector_resources.sources.drift import conversations, meetings
from connector_resources.sources.faker import users
from connector_resources.streams import Column, Stream
from tests.frames.landing import Landing, milliseconds
from tests.landing import columns, snapshot

ROOT = Path(__file__).parents[2]
Row = Mapping[str, Any]

IDEA: Row = {
    "id": "7012345678901234567",
    "name": "Export  to CSV",
    "reference_num": "APP-I-12",
    "description": {"body": "<p>Read it &amp; say what was left out.</p><ul><li>first</li></ul>", "attachments": []},
    "url": "https://acme.aha.io/ideas/APP-I-12",
    "workflow_status": {"id": "1", "name": "Planned"},
    "product": {"id": "2", "name": "App"},
    "votes": 3,
    "tags": ["csv", "export"],
    "categories": [{"id": "5", "name": "Files"}],
    "admin_response": {"body": "<p>We will.</p>"},
    "created_at": datetime(2026, 3, 1, 8, tzinfo=UTC),
    "updated_at": datetime(2026, 3, 2, 9, 30, tzinfo=UTC),
}
COMMENTS = [
    {
        "idea_id": IDEA["id"],
        "id": "9",
        "body": "<p>Me too</p>",
        "created_at": datetime(2026, 3, 4, tzinfo=UTC),
        "idea_commenter_user": {"name": "Ada"},
    },
    {
        "idea_id": IDEA["id"],
        "id": "8",
        "body": "When?",
        "created_at": datetime(2026, 3, 3, 7, 5, tzinfo=UTC),
        "idea_commenter_user": None,
    },
]


@pytest.fixture
def landing(tmp_path: Path) -> Landing:
    """A database of one test."""
    return Landing(tmp_path)


@dataclass
class Kept:
    """Rows of other streams that are in memory, and what was asked for."""

    rows: Mapping[str, Sequence[Row]]
    asked: list[tuple[str, int]] = field(default_factory=list)

    def __call__(self, stream: str, columns: Sequence[str], keys: Collection[Any]) -> Iterable[Row]:
        self.asked.append((stream, len(keys)))
        found = (row for row in self.rows.get(stream, ()) if row[columns[0]] in keys)
        return [{column: row.get(column) for column in columns} for row in found]


def only(documents: Iterable[Document]) -> Document:
    (document,) = documents
    return document


# What is read of a record


def test_an_idea_is_its_name_its_text_the_response_and_what_was_said_about_it() -> None:
    assert only(documents_of([IDEA], ideas, source="aha", beside=Kept({"idea_comments": COMMENTS}))) == Document(
        "# Export to CSV\n\n"
        "Read it & say what was left out.\n\n- first\n\n"
        "## Response\n\nWe will.\n\n"
        "## Comments\n\nSomebody (2026-03-03 07:05 UTC):\nWhen?\n\nAda (2026-03-04 00:00 UTC):\nMe too",
        {
            "title": "Export to CSV",
            "source": "aha",
            "stream": "ideas",
            "url": "https://acme.aha.io/ideas/APP-I-12",
            "reference_num": "APP-I-12",
            "status": "Planned",
            "workspace": "App",
            "votes": 3,
            "tags": ["csv", "export"],
            "categories": ["Files"],
            "created_at": "2026-03-01T08:00:00+00:00",
            "updated_at": "2026-03-02T09:30:00+00:00",
        },
        "aha/ideas/7012345678901234567",
        datetime(2026, 3, 4, tzinfo=UTC),
    )


def test_a_feature_holds_its_requirements() -> None:
    row = {
        "id": "1",
        "name": "Export",
        "description": {"body": "<p>All of it.</p>"},
        "requirements": [
            {"name": "Quotes", "description": {"body": "<p>Exact.</p>"}},
            {"name": "Dates", "description": None},
        ],
    }
    document = only(documents_of([row], features))
    assert document.content == "# Export\n\nAll of it.\n\n## Requirements\n\n### Quotes\n\nExact.\n\n### Dates"


def test_a_conversation_is_what_its_visitor_saw_as_one_thread(landing: Landing) -> None:
    at = milliseconds("2026-03-01T10:00:00+00:00")
    contact, agent, bot = (
        {"id": number, "type": kind, "bot": is_bot}
        for number, kind, is_bot in ((7, "contact", False), (1, "user", False), (2, "user", True))
    )

    def message(number: int, author: Row, body: str | None, kind: str = "chat", **more: Any) -> Row:
        return {
            "id": number, "conversationId": 50, "type": kind, "body": body, "author": author,
            "createdAt": at + number * 60_000, **more,
        }  # fmt: skip

    landing.land(
        "drift", "conversations", [{"id": 50, "status": "open", "contactId": 7, "createdAt": at, "updatedAt": at}]
    )
    landing.land("drift", "contacts", [{"id": 7, "attributes": {"name": "Ada"}}])
    landing.land("drift", "users", [{"id": 1, "name": None, "alias": "Grace"}, {"id": 7, "name": "Not the contact"}])
    edits = {"editedMessageId": 4, "editType": "replace"}
    landing.land(
        "drift",
        "messages",
        [
            message(9, agent, None, "edit", editedMessageId=8, editType="delete"),
            message(5, agent, "<p>Forty <b>euros</b></p>", "edit", **edits),
            message(6, agent, "<p>Seems a good fit</p>", "private_note"),
            message(7, contact, None, attachments=[{"id": 1, "fileName": "a<b>.pdf"}]),
            message(8, agent, "<p>Secret</p>"),
            message(4, agent, "<p>Four euros</p>"),
            message(3, bot, "<p>One moment</p>"),
            message(2, contact, "<p>What is it?<br>Per seat</p>"),
            {**message(1, contact, "<p>Of another one</p>"), "conversationId": 51},
            message(10, {"id": 99, "type": "user", "bot": False}, "<p>Bye</p>"),
            message(11, agent, "<p> </p>"),
            message(12, {"id": 7, "type": "user", "bot": False}, "<p>Hi</p>"),
        ],
    )
    rows = stored_rows(landing.store, "drift", "conversations", conversations, ["contactId", "updatedAt"])
    beside = StoredNeighbours(landing.store, lambda stream: ("drift", stream))
    document = only(documents_of(rows, conversations, beside=beside))
    assert document.content == (
        "# Conversation 50\n\n"
        "Ada (2026-03-01 10:02 UTC):\nWhat is it?\nPer seat\n\n"
        "Bot (2026-03-01 10:03 UTC):\nOne moment\n\n"
        "Grace (2026-03-01 10:04 UTC):\nForty euros\n\n"
        "Ada (2026-03-01 10:07 UTC):\nAttached: a<b>.pdf\n\n"
        "Agent (2026-03-01 10:10 UTC):\nBye\n\n"
        "Not the contact (2026-03-01 10:12 UTC):\nHi"
    )
    assert (document.id, document.metadata["contact_id"]) == ("conversations/50", 7)
    assert document.last_modified == datetime(2026, 3, 1, 10, 12, tzinfo=UTC)


def test_rows_beside_many_records_are_asked_for_together() -> None:
    beside = Kept({"idea_comments": COMMENTS})
    rows = [{**IDEA, "id": str(number)} for number in range(2_000)] + [IDEA]
    documents = list(documents_of(rows, ideas, beside=beside))
    assert beside.asked == [("idea_comments", 1_000), ("idea_comments", 1_000), ("idea_comments", 1)]
    assert ["## Comments" in document.content for document in documents] == [False] * 2_000 + [True]


def test_a_row_that_two_reads_have_appended_is_said_once() -> None:
    document = only(documents_of([IDEA], ideas, beside=Kept({"idea_comments": [*COMMENTS, *COMMENTS]})))
    assert document.content.count("Me too") == 1


def test_without_rows_beside_it_a_record_is_a_document_all_the_same() -> None:
    row = {"id": 5, "status": "open", "updatedAt": 1_772_359_200_000}
    assert only(documents_of([row], conversations)) == Document(
        "# Conversation 5",
        {
            "title": "Conversation 5",
            "stream": "conversations",
            "status": "open",
            "updated_at": "2026-03-01T10:00:00+00:00",
        },
        "conversations/5",
        datetime(2026, 3, 1, 10, tzinfo=UTC),
    )


def test_a_document_is_made_when_it_is_asked_for() -> None:
    taken = 0

    def rows() -> Iterator[Row]:
        nonlocal taken
        while True:
            taken += 1
            yield {**IDEA, "id": str(taken)}

    next(documents_of(rows(), ideas))
    assert taken == 1
    next(documents_of(rows(), ideas, beside=Kept({})))
    assert taken == 1 + 1_000


@pytest.mark.parametrize("stream", [ideas, None])
def test_of_no_rows_there_are_no_documents(stream: Stream | None) -> None:
    assert list(documents_of([], stream, title_property="nothing")) == []


def test_meetings_changed_when_they_were_changed_and_not_when_they_begin() -> None:
    row = {"meetingKey": "a", "meetingType": "Demo", "slotStart": 1_772_445_600_000, "updatedAt": 1_772_359_200_000}
    assert only(documents_of([row], meetings)).last_modified == datetime(2026, 3, 1, 10, tzinfo=UTC)


# Streams that declare nothing


def test_a_stream_that_declares_nothing_is_read_by_the_names_of_its_columns() -> None:
    row = {
        "id": "1",
        "feature_id": "2",
        "name": "Quotes",
        "description": {"body": "<p>Exact.</p>"},
        "updated_at": datetime(2026, 3, 2, tzinfo=UTC),
        "position": 4,
    }
    assert only(documents_of([row], requirements)) == Document(
        "# Quotes\n\nExact.",
        {
            "title": "Quotes", "stream": "requirements", "id": "1", "feature_id": "2", "position": 4,
            "updated_at": "2026-03-02T00:00:00+00:00",
        },
        "requirements/1",
        datetime(2026, 3, 2, tzinfo=UTC),
    )  # fmt: skip


def test_a_record_without_a_text_is_its_facts() -> None:
    row = {"id": 1, "name": "Ada", "age": 36, "email": None, "title": "Dr."}
    assert only(documents_of([row], users)).content == "# Dr.\n\nId: 1\n\nName: Ada\n\nAge: 36"


def test_rows_of_no_stream_have_no_ids() -> None:
    document = only(documents_of([{"title": "A", "body": "a List<Text> &amp; more", "note": "<p>z</p>"}], None))
    assert document == Document("# A\n\n## Body\n\na List<Text> &amp; more\n\n## Note\n\nz", {"title": "A"})


# Properties that are named, as PyAirbyte's users name them


def test_one_property_is_the_content_and_all_named_facts_the_metadata() -> None:
    document = only(
        documents_of(
            [IDEA],
            ideas,
            title_property="reference_num",
            content_properties=["description"],
            metadata_properties=["votes", "workflow_status.name", "created_at"],
        )
    )
    assert document.content == "# APP-I-12\n\nRead it & say what was left out.\n\n- first"
    assert document.metadata == {"votes": 3, "workflow_status.name": "Planned", "created_at": IDEA["created_at"]}


def test_several_properties_have_a_heading_each() -> None:
    beside = Kept({"idea_comments": COMMENTS})
    document = only(documents_of([IDEA], ideas, content_properties=["reference_num", "admin_response"], beside=beside))
    assert document.content == "## Reference Num\n\nAPP-I-12\n\n## Admin Response\n\nWe will."


def test_metadata_stand_above_the_text_where_they_are_asked_for() -> None:
    row = {"id": 1, "name": 'A: "b"', "at": date(2026, 3, 1), "body": "c"}
    document = only(documents_of([row], None, metadata_properties=["name", "at"], render_metadata=True))
    assert document.content == '# A: "b"\n\n```yaml\nname: "A: \\"b\\""\nat: "2026-03-01"\n```\n\nc'


@pytest.mark.parametrize("argument", ["title_property", "content_properties", "metadata_properties"])
def test_a_property_that_is_not_there_is_named_with_those_that_are(argument: str) -> None:
    given: Any = "headline" if argument == "title_property" else ["headline"]
    with pytest.raises(PyAirbyteInputError) as caught:
        list(documents_of([{"id": 1, "extra": 2}], snapshot(id="integer", body="string"), **{argument: given}))
    assert str(caught.value) == (
        "things: there is no property 'headline' to make documents of. Properties: id, body, extra."
    )


# Ids, facts, times


def test_no_two_keys_have_one_id() -> None:
    stream = Stream(name="parts", description="", columns=columns(a="string", b="string"), primary_key=("a", "b"))
    keys = [("a/b", "c"), ("a", "b/c"), ("a%2Fb", "c"), ("a#1", "c"), ("a", "")]
    ids = [document.id for document in documents_of([{"a": a, "b": b} for a, b in keys], stream)]
    assert ids == ["parts/a%2Fb/c", "parts/a/b%2Fc", "parts/a%252Fb/c", "parts/a%231/c", "parts/a/"]


def test_metadata_hold_what_vector_stores_take() -> None:
    stream = snapshot(
        id="string", at="epoch_ms", day="date", money="decimal", flag="boolean", many="json", none="string"
    )
    stream = replace(stream, document=DocumentFields(metadata={column.name: column.name for column in stream.columns}))
    row = {
        "id": "x" * 301, "at": 1_772_359_200_000, "day": date(2026, 3, 1), "money": Decimal("1.50"), "flag": False,
        "many": [{"a": 1}, 2, None, "b"], "none": None,
    }  # fmt: skip
    assert only(documents_of([row], stream)).metadata == {
        "stream": "things",
        "at": "2026-03-01T10:00:00+00:00",
        "day": "2026-03-01",
        "money": "1.50",
        "flag": False,
        "many": ['{"a": 1}', "2", "b"],
    }


@pytest.mark.parametrize(
    "value",
    [
        datetime(2026, 3, 1, 10, tzinfo=UTC),
        datetime(2026, 3, 1, 10),  # noqa: DTZ001 -- as a table without zones has it
        "2026-03-01T11:00:00+01:00",
        "2026-03-01T10:00:00.000Z",
        1_772_359_200_000,
    ],
)
def test_an_instant_is_in_utc_however_it_comes(value: Any) -> None:
    assert instant_of(value) == datetime(2026, 3, 1, 10, tzinfo=UTC)


@pytest.mark.parametrize("value", [None, True, "yesterday", 10**30, 1.5, {}])
def test_what_is_no_instant_is_none(value: Any) -> None:
    assert instant_of(value) is None


def test_a_path_leads_through_objects_and_lists() -> None:
    record = {"a": {"b": [{"c": 1}, {"c": None}, {"d": 2}, {"c": 3}]}, "e": None}
    paths = ("a.b.c", "e.f", "a.x", "a.b.c.g")
    assert [value_at(record, path) for path in paths] == [[1, 3], None, None, []]


def test_a_document_has_what_langchain_takes() -> None:
    document = Document("text", {"a": 1}, "id")
    assert (document.page_content, document.metadata, document.id, str(document)) == ("text", {"a": 1}, "id", "text")


# Declarations


def test_how_records_are_read_changes_neither_a_declaration_nor_its_hash() -> None:
    bare = replace(ideas, document=None)
    assert ideas.document is not None
    assert (bare, bare.declaration_hash) == (ideas, ideas.declaration_hash)


def test_documents_of_columns_that_are_not_declared_are_refused() -> None:
    with pytest.raises(ValueError, match=r"things: columns that documents are made of and are not declared: body\."):
        Stream(
            name="things",
            description="",
            columns=(Column("id", "string", ""),),
            primary_key=("id",),
            document=DocumentFields(title="Thing {id} of {body.title}"),
        )


# Out of a database


def test_rows_come_by_key_however_many_are_asked_for_together(landing: Landing) -> None:
    records = [{"id": number, "name": f"n{number}", "updatedAt": 1} for number in (5, 3, 1, 4, 2)]
    landing.land("drift", "users", records)
    stream = snapshot("users", id="integer", name="string")
    for together in (1, 2, 5, 6):
        rows = list(stored_rows(landing.store, "drift", "users", stream, ["name", "since"], together=together))
        assert rows == [{"id": number, "name": f"n{number}", "since": None} for number in range(1, 6)]


def test_only_the_newest_version_of_a_record_is_read(landing: Landing) -> None:
    landing.land("aha", "ideas", [{"id": "1", "name": "old", "updated_at": "2026-03-01T00:00:00Z"}])
    landing.land("aha", "ideas", [{"id": "1", "name": "new", "updated_at": "2026-03-02T00:00:00Z"}])
    assert [row["name"] for row in stored_rows(landing.store, "aha", "ideas", ideas, ["name"])] == ["new"]


def test_a_table_that_was_never_landed_is_named(landing: Landing) -> None:
    landing.land("drift", "users", [])
    with pytest.raises(
        PartitionMissing, match=r"aha\.ideas: nothing has been landed in .*test\.duckdb\. Read it first\."
    ):
        list(stored_rows(landing.store, "aha", "ideas", ideas, ["name"]))


def test_a_stream_beside_that_was_never_landed_is_told_of(landing: Landing, caplog: pytest.LogCaptureFixture) -> None:
    landing.land("drift", "users", [])
    beside = StoredNeighbours(landing.store, lambda stream: ("aha", stream))
    assert "## Comments" not in only(documents_of([IDEA], ideas, beside=beside)).content
    assert "aha.idea_comments has not been landed in" in caplog.text


def test_the_database_is_free_while_documents_are_read(landing: Landing) -> None:
    landing.land("aha", "ideas", [{"id": "1", "name": "a", "updated_at": "2026-03-01T00:00:00Z"}])
    landing.land("aha", "idea_comments", [])
    rows = stored_rows(landing.store, "aha", "ideas", ideas, ["name"])
    beside = StoredNeighbours(landing.store, lambda stream: ("aha", stream))
    documents = documents_of(rows, ideas, beside=beside)
    next(documents)
    store = replace(landing.store, lock_timeout_seconds=0)
    with store.locked(shared=False):  # as a landing holds it
        assert list(documents) == []


# Pieces


TEXTS = st.lists(
    st.sampled_from(["a", "bc ", " ", "\n\n", "\n", ". ", "世", "。", "e\u0301", "\U0001f469\u200d\U0001f467"]),
    max_size=80,
).map("".join)


@given(TEXTS, st.integers(1, 30), st.data())
@settings(max_examples=300, deadline=None, derandomize=True)
def test_pieces_are_parts_of_the_content_and_together_all_of_it(content: str, size: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(0, size - 1))
    pieces = list(Document(content, {}, "x").chunks(size, overlap))
    covered, last = [False] * len(content), -1
    for piece in pieces:
        start = piece.metadata["start_index"]
        assert content[start : start + len(piece.content)] == piece.content
        assert len(piece.content) <= size
        assert last < start
        shared = sum(covered[start:])
        assert shared <= overlap
        covered[start : start + len(piece.content)] = [True] * len(piece.content)
        last = start
    assert [
        letter for letter, is_there in zip(content, covered, strict=True) if not is_there and not letter.isspace()
    ] == []
    assert len(pieces) <= 1 + 2 * len(content) / (size - overlap)


def test_pieces_say_where_they_are_from() -> None:
    moment = datetime(2026, 3, 1, tzinfo=UTC)
    assert list(Document("one two", {"title": "t"}, "a/1", moment).chunks(4, 0)) == [
        Document("one", {"title": "t", "chunk": 1, "chunks": 2, "start_index": 0}, "a/1#1", moment),
        Document("two", {"title": "t", "chunk": 2, "chunks": 2, "start_index": 4}, "a/1#2", moment),
    ]


@pytest.mark.parametrize(
    ("content", "size", "overlap", "pieces"),
    [
        ("one two\n\nthree four five", 16, 0, ["one two", "three four five"]),
        ("one two\nthree four five", 16, 0, ["one two", "three four five"]),
        ("It is so. Is it? Yes it is", 18, 0, ["It is so. Is it?", "Yes it is"]),
        ("one two three four", 10, 5, ["one two", "two three", "three four"]),
        ("見積もり。お願いします。", 8, 0, ["見積もり。", "お願いします。"]),
        ("aaaaaaaaaa", 4, 0, ["aaaa", "aaaa", "aa"]),
        ("aaae\u0301e\u0301", 4, 0, ["aaa", "e\u0301e\u0301"]),
        ("short", 100, 10, ["short"]),
        ("", 100, 10, [""]),
    ],
)
def test_a_piece_ends_where_a_text_does(content: str, size: int, overlap: int, pieces: list[str]) -> None:
    assert [piece.content for piece in Document(content, {}).chunks(size, overlap)] == pieces


@pytest.mark.parametrize(("size", "overlap"), [(0, 0), (5, 5), (5, -1)])
def test_pieces_that_cannot_be_are_refused(size: int, overlap: int) -> None:
    with pytest.raises(PyAirbyteInputError, match=r"Give a size of 1 or more and an overlap that is smaller"):
        next(Document("text", {}).chunks(size, overlap))


# What it costs


def test_documents_load_nothing_that_takes_long() -> None:
    code = "import sys, connector_resources.documents; print(*{name.split('.')[0] for name in sys.modules})"
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "connector_resources" in said.stdout.split()
    assert not {"dagster", "duckdb", "numpy", "pandas", "pyarrow", "pydantic", "requests"} & set(said.stdout.split())
