"""Answers with something in them that a JSON reader refuses: what is cut out, and what is said."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from connector_resources.errors import MalformedPage, RecordsNotFound
from connector_resources.http.messages import Answer, Request, Response, hidden
from connector_resources.http.stream import is_before, open_answer
from connector_resources.schema import check
from connector_resources.streams import Cursor
from tests.landing import page, snapshot, spooled


def opened(body: bytes, records: str = "data.things", **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return open_answer("test.things", records, Request("/things"), Response(200, named, body))


HALVES: dict[str, tuple[list[bytes], set[int]]] = {
    "the first half": ([rb'{"id":"1","name":"x\ud800"}', rb'{"id":"2","name":"y"}'], {0}),
    "the second half": ([rb'{"id":"1"}', rb'{"id":"2","name":"\uDFFFx"}', rb'{"id":"3"}'], {1}),
    "the halves the wrong way round": ([rb'{"id":"1","name":"\udc00\ud83d"}', rb'{"id":"2"}'], {0}),
    "two first halves before a second": ([rb'{"id":"1","name":"\ud83d\ud83d\ude00"}', rb'{"id":"2"}'], {0}),
    "beside a whole pair": ([rb'{"id":"1","name":"\ud83d\ude00\ud83d"}', rb'{"id":"2","name":"\ud83d\ude00"}'], {0}),
    "beside what is no escape": ([rb'{"id":"1","name":"\\ud800"}', rb'{"id":"2","name":"\\\ud800"}'], {1}),
    "in the name of a field": ([rb'{"id":"1"}', rb'{"id":"2","\ud800":1}'], {1}),
    "deep inside, in two records": (
        [rb'{"id":"1","tags":[{"a":"\ud800"}]}', rb'{"id":"2"}', rb'{ "id" : "3",  "name": "\udBff\n" }'], {0, 2},
    ),
    "beside what it is masked with": ([rb'{"id":"1","name":"<half><half~>\ud800<half"}', rb'{"id":"2"}'], {0}),
}  # fmt: skip


@pytest.mark.parametrize(("records", "bad"), HALVES.values(), ids=HALVES)
@pytest.mark.parametrize(
    ("path", "before", "after"),
    [("data.things", b'{"data": {"things": [', b'], "next": "/x"}}'), ("", b" [", b"]")],
    ids=["in an envelope", "bare"],
)
def test_a_record_with_half_of_a_surrogate_pair_is_put_aside_alone(
    tmp_path: Path, records: list[bytes], bad: set[int], path: str, before: bytes, after: bytes
) -> None:
    answer = opened(before + b" ,".join(records) + after, path)

    assert [bytes(record) for record in answer.records] == records
    assert answer.value("data.next") == ("/x" if path else None)
    stream = snapshot(id="string", name="string", tags="json")
    checked = check(spooled(tmp_path, stream, [page(*map(bytes, answer.records))]), stream)
    assert [each.record.encode() for each in checked.quarantined] == [records[number] for number in sorted(bad)]
    assert all("half of a surrogate pair" in each.reason for each in checked.quarantined)
    landed = [json.loads(line)["_record"]["id"] for line in checked.file.read_bytes().splitlines()]
    assert landed == [json.loads(record)["id"] for number, record in enumerate(records) if number not in bad]


def test_an_answer_that_is_one_record_keeps_half_of_a_surrogate_pair() -> None:
    assert [bytes(record) for record in opened(rb'{"data":{"id":"\ud800"}}', "data").records] == [rb'{"id":"\ud800"}']


def test_an_answer_with_half_of_a_surrogate_pair_that_is_cut_off_is_malformed() -> None:
    with pytest.raises(MalformedPage, match=r"^test\.things: GET /things: the answer is not whole JSON"):
        opened(rb'{"data": {"things": [{"id": "\ud800"}, {"id"')


def test_half_of_a_surrogate_pair_outside_the_records_is_malformed() -> None:
    with pytest.raises(
        MalformedPage, match=r"^test\.things: GET /things: half of a surrogate pair outside the records"
    ):
        opened(rb'{"data": {"things": [{"id": "\ud800"}], "next": "\ud800"}}')


@pytest.mark.parametrize(("day", "expected"), [(1, False), (3, True)])
def test_the_cursor_of_a_record_with_half_of_a_surrogate_pair_is_read(day: int, expected: bool) -> None:
    record = msgspec.Raw(rb'{"name":"\ud800","at":"2026-03-02T00:00:00Z"}')

    assert is_before(Cursor("at"), record, datetime(2026, 3, day, tzinfo=UTC)) is expected


@pytest.mark.parametrize(
    ("path", "before", "after"),
    [("data.things", b'{"data": {"things": [', b"]}}"), ("", b"[", b"]"), ("", b"", b"")],
    ids=["in an envelope", "a bare list", "a bare record"],
)
@pytest.mark.parametrize("name", [b"x", rb"\ud800"], ids=["in Unicode", "with half of a surrogate pair"])
def test_an_answer_nested_too_deeply_names_its_stream_and_request(
    path: str, before: bytes, after: bytes, name: bytes
) -> None:
    record = b'{"name":"%s","deep":%s%s}' % (name, b"[" * 3000, b"]" * 3000)

    with pytest.raises(MalformedPage, match=r"^test\.things: GET /things: the answer is nested too deeply to be read"):
        opened(before + record + after, path)


SECRET = "sk:0123456789"

KEYS: dict[str, tuple[list[str], str]] = {
    "names": (["error", "next_page", "x-y.z9"], "'error', 'next_page', 'x-y.z9'"),
    "a secret echoed": ([f"Bearer {SECRET}", "error"], "'…', 'error'"),
    "a secret on a line of its own": ([f"error\n{SECRET}", "error\n"], "'…', '…'"),
    "long": (["k" * 40, "k" * 41], f"'{'k' * 40}', '…'"),
    "none": ([], "none"),
    "more than twenty": ([f"k{number}" for number in range(21)], ", ".join(f"'k{number}'" for number in range(20))),
}


@pytest.mark.parametrize(("keys", "shown"), KEYS.values(), ids=KEYS)
def test_only_keys_that_look_like_names_are_shown(keys: list[str], shown: str) -> None:
    with pytest.raises(RecordsNotFound) as caught:
        opened(json.dumps(dict.fromkeys(keys, 1)).encode(), "things")

    assert f"(keys: {shown})." in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("at sk:12/é now", "at … now"),
        ("AT SK:12/É NOW", "AT … NOW"),
        ("sk%3A12%2F%C3%A9, sk%3a12%2f%c3%a9", "…, …"),
        ("sk:12/é-and-more and sk:12/é", "… and …"),
        ("an abc", "an abc"),
        ("", ""),
    ],
)
def test_a_secret_is_hidden_as_it_is_and_as_it_is_quoted(text: str, expected: str) -> None:
    assert hidden(text, ["sk:12/é", "sk:12/é-and-more", "abc", ""]) == expected


def test_where_there_is_no_secret_nothing_is_hidden() -> None:
    assert hidden("as it is", []) == "as it is"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("Application/problem+json; charset=utf-8", "application/problem+json"),
        (f"text/html; {SECRET}", "text/html"),
        (f"text/{SECRET}", "an unusual content type"),
        (f"text/{'x' * 29}", "an unusual content type"),
        (SECRET, "an unusual content type"),
        (" ; x", "no content type"),
    ],
)
def test_of_a_content_type_only_a_usual_one_is_shown(said: str, shown: str) -> None:
    with pytest.raises(MalformedPage) as caught:
        opened(b"<", content_type=said)

    assert f"; {shown}, 1 bytes)" in str(caught.value)


TWICE: dict[str, tuple[bytes, str]] = {
    "the records": (b'{"data":{"things":[{"id":1}],"things":[]}}', "'things', 'things'"),
    "what holds the records": (b'{"data": {"things": [{"id": 1}]}, "data": {"things": []}}', "'data', 'data'"),
    "the count of pages": (b'{"data":{"things":[]},"pages":{"n":3,"n":1}}', "'n', 'n'"),
    "the same records": (b'{"data":{"things":[{"id":1}],"things":[{"id":1}]}}', "'things', 'things'"),
    "what holds the same records": (b'{"data":{"things":[]},"data":{"things":[]}}', "'data', 'data'"),
    "in two spellings": (rb'{"data":{"things":[{"id":1}],"thing\u0073":[]}}', "'things', 'things'"),
    "after something that looks like the records": (b'{"a":[],"data":{"things":[]},"a":[]}', "'a', 'data', 'a'"),
}


@pytest.mark.parametrize(("body", "keys"), TWICE.values(), ids=TWICE)
def test_an_answer_with_a_key_that_is_there_twice_is_malformed(body: bytes, keys: str) -> None:
    with pytest.raises(
        MalformedPage, match=r"^test\.things: GET /things: a key of the answer is there twice"
    ) as caught:
        opened(body)

    assert f"(keys: {keys})" in str(caught.value)


def test_what_is_twice_in_a_record_is_left_to_the_check_of_records() -> None:
    body = b'{"a":[{"id":1,"id":1}],"data":{"things":[{"id":1,"id":2}]}}'.replace(b'"a":[{"id":1,"id":1}],', b'"a":[],')

    assert [bytes(record) for record in opened(body).records] == [b'{"id":1,"id":2}']


@pytest.mark.parametrize(("status", "what"), [(202, "a promise"), (204, "no content"), (206, "a part")])
def test_a_success_without_the_whole_list_is_malformed(status: int, what: str) -> None:
    response = Response(status, {}, b'{"data": {"things": []}}')

    with pytest.raises(MalformedPage, match=f"^test.things: GET /things: status {status}, which is {what}"):
        open_answer("test.things", "data.things", Request("/things"), response)


BODIES = {
    "records first": b'{"data":{"things":[{"id":1},{"id":2}],"next":"/x"},"pages":{"n":2},"total":null}',
    "no records": b'{"data":{"things":[]}}',
    "blanks between the records": b'{"data":{"things":[{"id":1}, {"id":2}],"next":"/x"}}',
    "blanks, and an end where it would be without": b'{"data":{"things":[  {"id":[]}]}}',
    "a blank in an empty list": b'{"data":{"things":[ ]}}',
    "a line end at the end": b'{"data":{"things":[{"id":1}]}}\n',
    "blanks inside a record": b'{"data":{"things":[{ "id" : 1 }]},"next":[1, 2]}',
    "records that look like the end": b'{"data":{"things":[{"id":"]}"},{"id":[[]]}],"next":"]"}}',
    "numbers in the place of records": b'{"data":{"things":[1,2]}}',
    "null in the place of records": b'{"data":{"things":[null]}}',
    "something behind the answer": b'{"data":{"things":[{"id":1}]}}}',
    "cut off in the records": b'{"data":{"things":[{"id":1},{"id"',
    "cut off behind the records": b'{"data":{"things":[{"id":1}]',
    "a wrong envelope": b'{"data":{"things":[{"id":1}]},"next":x}',
    "a key that is no text in it": b'{"data":{"things":[{"id":1}]},7:8}',
    "bytes that are no text": b'{"data":{"things":[{"id":"\xff"}]}}',
    "half of a surrogate pair": rb'{"data":{"things":[{"id":"\ud800"},{"id":2}],"next":"/x"}}',
    "half of a pair in the envelope": rb'{"data":{"things":[{"id":1}],"next":"\ud800"}}',
    "a number like no other": b'{"data":{"things":[{"id":1}],"next":01}}',
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("path", ["data.things", "data", "data.things.more"])
def test_what_an_answer_says_does_not_depend_on_a_blank_before_it(body: bytes, path: str) -> None:
    def told(body: bytes) -> object:
        try:
            answer = opened(body, path)
        except (MalformedPage, RecordsNotFound) as error:
            return re.sub(r"whole JSON \(.*?;|[\d,]+ bytes", "", str(error))
        return [*map(bytes, answer.records)], _plain(answer.envelope)

    assert told(body) == told(b" " + body)


def _plain(envelope: object) -> object:
    if isinstance(envelope, dict):
        return {name: _plain(value) for name, value in envelope.items()}
    return bytes(envelope) if isinstance(envelope, msgspec.Raw) else envelope
