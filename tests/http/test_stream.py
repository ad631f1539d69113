import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import count
from typing import Any

import msgspec
import pytest

from connector_resources.errors import (
    IncompleteRead,
    MalformedPage,
    PaginationLoop,
    RecordsNotFound,
    RequestRejected,
    RequestRetryable,
)
from connector_resources.http.messages import Answer, Request, Response
from connector_resources.http.paginators import NextUrl, Offset, PageNumber, SinglePage, Token
from connector_resources.http.stream import HttpStream, bound, is_before, open_answer, parents_behind, read_pages
from connector_resources.streams import Column, Cursor, Page, Parent, ParentRow, Slice

WHOLE = Slice()
PAGES = PageNumber(size=2, total_pages="pages", total_records="total")
COLUMNS = (Column("id", "integer", "An id."), Column("updated_at", "timestamp", "When it changed."))


def stream(**facts: Any) -> HttpStream:
    defaults: dict[str, Any] = {
        "name": "things", "description": "Things.", "columns": COLUMNS, "primary_key": ("id",), "path": "/things",
        "records": "data",
    }  # fmt: skip
    return HttpStream(**(defaults | facts))


@dataclass
class World:
    """A walk over answers by path and parameters; it sends nothing."""

    reply: Callable[[Request], Any]
    asked: list[Request] = field(default_factory=list)

    def first_request(self, stream: HttpStream, slice: Slice, parent: ParentRow | None) -> Request:
        path = stream.path if parent is None else stream.path.format_map(parent.fields)
        return stream.paginator.first(Request(path, stream.method))

    def fetch(self, stream: HttpStream, request: Request) -> Response:
        self.asked.append(request)
        reply = self.reply(request)
        if isinstance(reply, Exception):
            raise reply
        return Response(200, {"content-type": "application/json"}, json.dumps(reply).encode())

    def open(self, stream: HttpStream, request: Request, response: Response) -> Answer:
        return open_answer(f"test.{stream.name}", stream.records, request, response)

    def next_request(self, stream: HttpStream, slice: Slice, request: Request, answer: Answer) -> Request | None:
        return stream.paginator.next(request, answer)


def ids(page: Page) -> list[int]:
    return [json.loads(bytes(record))["id"] for record in page.records]


def numbered(count: int, size: int = 2, **also: Any) -> Callable[[Request], Any]:
    """Serve `count` records in numbered pages."""

    def reply(request: Request) -> Any:
        start = (int(str(request.params["page"])) - 1) * size
        records = [{"id": number} for number in range(count)[start : start + size]]
        return {"data": records, "pages": -(-count // size), "total": count, **also}

    return reply


@pytest.mark.parametrize(
    ("count", "expected"),
    [(0, [[]]), (1, [[0]]), (2, [[0, 1]]), (3, [[0, 1], [2]]), (4, [[0, 1], [2, 3]])],
)
def test_pages_come_in_order_and_end_where_the_envelope_says(count: int, expected: list[list[int]]) -> None:
    world = World(numbered(count))

    pages = list(read_pages(world, stream(paginator=PAGES), WHOLE))

    assert [ids(page) for page in pages] == expected
    assert [page.total for page in pages] == [count] * len(pages)
    assert [page.token is None for page in pages] == [False] * (len(pages) - 1) + [True]


@pytest.mark.parametrize(
    ("newest_first", "expected"), [(False, [False, True, False, True]), (True, [None, None, None, None])]
)
def test_a_page_says_whether_a_list_ends_with_it_unless_that_list_may_be_cut_short(
    newest_first: bool, expected: list[bool | None]
) -> None:
    cursor = Cursor("id", newest_first=True) if newest_first else None
    parents = Slice(parents=(ParentRow({}), ParentRow({})))

    pages = list(read_pages(World(numbered(3)), stream(paginator=PAGES, cursor=cursor), parents))

    assert [page.ends_list for page in pages] == expected


@pytest.mark.parametrize("stop", range(5))
def test_a_read_goes_on_after_any_page_without_asking_again_for_what_it_has(stop: int) -> None:
    whole = list(read_pages(World(numbered(11)), stream(paginator=PAGES), WHOLE))
    again = World(numbered(11))

    rest = list(read_pages(again, stream(paginator=PAGES), WHOLE, whole[stop].token))

    assert [ids(page) for page in rest] == [ids(page) for page in whole[stop + 1 :]]
    assert [request.params["page"] for request in again.asked] == [str(number) for number in range(stop + 2, 7)]


PARENTS = (ParentRow({"id": 7}, ("2026-03-01",)), ParentRow({"id": 8}), ParentRow({"id": 9}))
CHILDREN: dict[str, Any] = {
    "path": "/parents/{id}/things",
    "parent": Parent(stream(name="parents"), {"id": "id"}),
    "paginator": Token("next", "next"),
}


def children(request: Request) -> Any:
    """Serve two pages for parent 7, nothing for 8, a page for 9."""
    pages: Mapping[tuple[str, Any], Any] = {
        ("/parents/7/things", None): {"data": [{"id": 71}], "next": "b"},
        ("/parents/7/things", "b"): {"data": [{"id": 72}]},
        ("/parents/8/things", None): {"data": []},
        ("/parents/9/things", None): {"data": [{"id": 91}]},
    }
    return pages[request.path, request.params.get("next")]


def test_every_parent_is_read_and_its_pages_name_it() -> None:
    pages = list(read_pages(World(children), stream(**CHILDREN), Slice(parents=PARENTS)))

    assert [(page.parent, ids(page)) for page in pages] == [
        (PARENTS[0], [71]),
        (PARENTS[0], [72]),
        (PARENTS[1], []),
        (PARENTS[2], [91]),
    ]
    assert pages[-1].token is None


@pytest.mark.parametrize("stop", range(3))
def test_a_read_under_parents_goes_on_after_any_page(stop: int) -> None:
    whole = list(read_pages(World(children), stream(**CHILDREN), Slice(parents=PARENTS)))
    again = World(children)

    rest = list(read_pages(again, stream(**CHILDREN), Slice(parents=PARENTS), whole[stop].token))

    assert rest == whole[stop + 1 :]
    assert len(again.asked) == 3 - stop


def test_no_parents_are_no_pages_and_no_request() -> None:
    world = World(children)

    assert (list(read_pages(world, stream(**CHILDREN), Slice(parents=()))), world.asked) == ([], [])


def test_a_parent_that_is_gone_has_no_children() -> None:
    def reply(request: Request) -> Any:
        return RequestRejected("gone", status=404) if "7" in request.path else children(request)

    pages = list(read_pages(World(reply), stream(**CHILDREN), Slice(parents=PARENTS)))

    assert [(page.parent, ids(page)) for page in pages] == [(PARENTS[0], []), (PARENTS[1], []), (PARENTS[2], [91])]


@pytest.mark.parametrize("resumed", [False, True])
def test_a_parent_is_not_gone_in_the_middle_of_its_list(resumed: bool) -> None:
    """Its first pages are there: to take a 404 after them for the end would lose the rest."""

    def reply(request: Request) -> Any:
        gone = request.params["page"] == "2"
        return RequestRejected("gone", status=404) if gone else numbered(3)(request)

    parents = Slice(parents=(ParentRow({"thing_id": 1}),))
    child = stream(path="/things/{thing_id}/children", parent=Parent(stream(), {"thing_id": "id"}), paginator=PAGES)
    walk = read_pages(World(reply), child, parents)
    token = next(walk).token

    with pytest.raises(RequestRejected, match="gone"):
        list(read_pages(World(reply), child, parents, token) if resumed else walk)


def test_a_list_that_is_not_there_is_an_error_where_there_is_no_parent() -> None:
    with pytest.raises(RequestRejected):
        list(read_pages(World(lambda request: RequestRejected("gone", status=404)), stream(), WHOLE))


@pytest.mark.parametrize(
    "error", [RequestRejected("no", status=403), RequestRetryable("later", status=503), RequestRejected("no")]
)
def test_any_other_refusal_under_a_parent_is_an_error(error: Exception) -> None:
    with pytest.raises(type(error)):
        list(read_pages(World(lambda request: error), stream(**CHILDREN), Slice(parents=PARENTS)))


GROWING = count(9, 9)
LOOPS: dict[str, tuple[Any, Callable[[Request], Any], str]] = {
    "the next link leads back to the first page": (
        NextUrl("next", params={"p": "1"}),
        lambda request: {
            "data": [{"id": int(str(request.params["p"]))}], "next": f"?p={3 - int(str(request.params['p']))}"
        },
        "page 3: the same request again",
    ),
    "a token never changes": (
        Token("next", "next"),
        lambda request: {"data": [{"id": len(request.params)}], "next": "same"},
        "page 3: the same request again",
    ),
    "the page number is ignored": (
        PageNumber(size=1),
        lambda request: {"data": [{"id": 1}]},
        "page 2: only records that earlier pages had",
    ),
    "the page number is ignored and the count grows": (
        PAGES,
        lambda request: {"data": [{"id": 1}, {"id": 2}], "pages": 9, "total": next(GROWING)},
        "page 2: only records that earlier pages had",
    ),
    "the page number is ignored, and the records are as many as are counted": (
        PAGES,
        lambda request: {"data": [{"id": 1}, {"id": 2}], "pages": 9, "total": 2},
        "page 2: only records that earlier pages had",
    ),
    "pages of two records go round": (
        Token("next", "next"),
        lambda request: {
            "data": [{"id": 2 * (len(request.params.get("next", "")) % 3) + each} for each in (0, 1)],
            "next": "x" * (1 + len(request.params.get("next", ""))),
        },
        "page 4: only records that earlier pages had",
    ),
    "the offset is ignored": (
        Offset(size=1),
        lambda request: {"data": [{"id": 1}]},
        "page 2: only records that earlier pages had",
    ),
    "empty pages go round": (
        Token("next", "next"),
        lambda request: {"data": [], "next": "same"},
        "page 3: the same request again",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("paginator", "reply", "message"), LOOPS.values(), ids=LOOPS)
def test_a_list_that_goes_in_circles_fails(paginator: Any, reply: Callable[[Request], Any], message: str) -> None:
    world = World(reply)

    with pytest.raises(PaginationLoop, match=f"things: GET /things, {message}"):
        list(read_pages(world, stream(paginator=paginator), WHOLE))

    assert len(world.asked) <= int(message[5]) + 2


def test_a_list_of_records_that_only_look_new_goes_in_circles() -> None:
    world = World(lambda request: {"data": [{"id": 1, "asked": len(world.asked)}]})

    with pytest.raises(PaginationLoop, match="things: GET /things, page 2: only records that earlier pages had"):
        list(read_pages(world, stream(paginator=PageNumber(size=1)), WHOLE))


def test_a_hundred_empty_pages_are_no_list() -> None:
    world = World(lambda request: {"data": [], "next": len(world.asked)})

    with pytest.raises(PaginationLoop, match="page 101: 101 empty pages, and each names a next one"):
        list(read_pages(world, stream(paginator=Token("next", "next")), WHOLE))


def test_a_walk_that_the_connector_plans_may_meet_many_empty_pages() -> None:
    class Planned(World):
        def next_request(self, stream: HttpStream, slice: Slice, request: Request, answer: Answer) -> Request | None:
            left = request.carried.get("left", 300) - 1
            return Request("/things", params={"left": str(left)}, carried={"left": left}) if left else None

    # The first request carries nothing here; all others do.
    assert len(list(read_pages(Planned(lambda request: {"data": []}), stream(), WHOLE))) == 300


def test_a_list_of_more_records_than_the_server_counts_is_not_read_on() -> None:
    world = World(lambda request: numbered(10**9)(request) | {"total": 3})

    with pytest.raises(IncompleteRead, match="page 2: the server counts 3 records and sent 4 in 2 pages"):
        list(read_pages(world, stream(paginator=PAGES), WHOLE))


def test_a_list_without_end_ends_after_a_hundred_thousand_pages() -> None:
    served = iter(range(10**9))

    class Endless(World):
        def open(self, stream: HttpStream, request: Request, response: Response) -> Answer:
            return Answer(response, (msgspec.Raw(b'{"id":%d}' % next(served)),), {})

        def fetch(self, stream: HttpStream, request: Request) -> Response:
            return Response(200, {}, b"")

        def next_request(self, stream: HttpStream, slice: Slice, request: Request, answer: Answer) -> Request | None:
            return Request("/things", params={"page": str(next(served))})

    with pytest.raises(PaginationLoop, match="page 100001: 100,001 pages, and each names a next one"):
        for _ in read_pages(Endless(lambda request: None), stream(paginator=SinglePage()), WHOLE):
            pass


def test_what_is_wrong_with_a_value_of_the_envelope_is_told_with_its_page() -> None:
    world = World(lambda request: {"data": [{"id": 1}], "pages": 2, "total": "many"})

    with pytest.raises(MalformedPage, match=r"^things: GET /things, page 1: expected a whole number"):
        list(read_pages(world, stream(paginator=PAGES), WHOLE))


def test_two_parents_with_the_same_children_are_no_circle() -> None:
    world = World(lambda request: {"data": [{"id": 1}]})

    assert len(list(read_pages(world, stream(**CHILDREN), Slice(parents=PARENTS)))) == 3


def test_empty_pages_with_new_tokens_are_no_circle() -> None:
    world = World(lambda request: {"data": [], "next": None if len(world.asked) == 4 else str(len(world.asked))})

    assert len(list(read_pages(world, stream(paginator=Token("next", "next")), WHOLE))) == 4


def test_a_total_that_shrinks_while_pages_are_read_is_an_incomplete_read() -> None:
    def reply(request: Request) -> Any:
        return numbered(5)(request) | {"total": 5 - int(str(request.params["page"])) // 2}

    with pytest.raises(IncompleteRead) as caught:
        list(read_pages(World(reply), stream(paginator=PAGES), WHOLE))

    assert str(caught.value) == (
        "things: GET /things, page 2: the server counted 5 records before and 4 now. Records went while the list was "
        "read, so others may have been missed; it is read again."
    )


def test_records_that_come_while_pages_are_read_move_others_back_and_none_is_missed() -> None:
    def reply(request: Request) -> Any:
        page = int(str(request.params["page"]))
        shifted = [{"id": 0}, *({"id": number} for number in range(1, 6))] if page > 1 else [{"id": 1}, {"id": 2}]
        records = shifted[(page - 1) * 2 : page * 2] if page > 1 else shifted
        return {"data": records, "pages": 3, "total": 5 if page == 1 else 6}

    pages = list(read_pages(World(reply), stream(paginator=PAGES), WHOLE))

    assert [json.loads(bytes(record))["id"] for page in pages for record in page.records] == [1, 2, 2, 3, 4, 5]


def test_not_all_of_many_parents_can_be_gone() -> None:
    parents = tuple(ParentRow({"thing_id": str(number)}) for number in range(10))
    gone = World(lambda request: RequestRejected("gone", status=404))
    child = stream(path="/things/{thing_id}/children", parent=Parent(stream(), {"thing_id": "id"}))

    with pytest.raises(RequestRejected, match="404 for every one of 10 parents, the last at /things/9/children"):
        list(read_pages(gone, child, Slice(parents=parents)))


@pytest.mark.parametrize("total", [4, 6])
def test_a_total_that_was_not_received_is_an_incomplete_read(total: int) -> None:
    with pytest.raises(IncompleteRead, match=f"the server counts {total} records and sent 5 in 3 pages"):
        list(read_pages(World(numbered(5, total=total)), stream(paginator=PAGES), WHOLE))


def test_a_total_that_is_missing_on_a_later_page_still_counts() -> None:
    def reply(request: Request) -> Any:
        page = numbered(5, total=6)(request)
        return page if request.params["page"] == "1" else page | {"total": None}

    with pytest.raises(IncompleteRead):
        list(read_pages(World(reply), stream(paginator=PAGES), WHOLE))


def test_a_total_says_nothing_about_a_walk_that_is_cut_short() -> None:
    class Short(World):
        def next_request(self, stream: HttpStream, slice: Slice, request: Request, answer: Answer) -> Request | None:
            return None

    cursor = Cursor("updated_at", newest_first=True)

    assert len(list(read_pages(Short(numbered(5)), stream(paginator=PAGES, cursor=cursor), WHOLE))) == 1


def opened(body: bytes, records: str = "data.things", content_type: str = "application/json") -> Answer:
    return open_answer("test.things", records, Request("/things"), Response(200, {"content-type": content_type}, body))


OPENED: dict[str, tuple[str, str, list[str], dict[str, Any]]] = {
    "a nested list": (
        '{"data": {"things": [{"id": 1}, {"id": 2}], "next": "/x"}, "total": 2}', "data.things",
        ['{"id": 1}', '{"id": 2}'], {"data.next": "/x", "total": 2, "data.things": None},
    ),
    "an empty list": ('{"data": {"things": []}}', "data.things", [], {"data": None}),
    "a bare list": (' [{"id": 1}]\n', "", ['{"id": 1}'], {}),
    "a bare object is one record": ('{"id": 1}', "", ['{"id": 1}'], {}),
    "an object at the path is one record": ('{"data": {"id": 1}, "x": 1}', "data", ['{"id": 1}'], {"x": 1}),
    "space everywhere": (
        ' { "data" : { "things" : [ { "id" : 1 } , {} ] } } ', "data.things", ['{ "id" : 1 }', "{}"], {},
    ),
    "unicode, big numbers and order stay as they came": (
        '[{"b": "é\\u00e9", "a": 12345678901234567890.10, "n": null}]', "",
        ['{"b": "é\\u00e9", "a": 12345678901234567890.10, "n": null}'], {},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("body", "path", "records", "values"), OPENED.values(), ids=OPENED)
def test_records_are_cut_out_as_they_came(body: str, path: str, records: list[str], values: dict[str, Any]) -> None:
    answer = opened(body.encode(), path)

    assert [bytes(record).decode() for record in answer.records] == records
    assert {name: answer.value(name) for name in values} == values


MALFORMED: dict[str, tuple[bytes, str]] = {
    "cut off": (b'{"data": {"things": [{"id": 1}, {"id"', "the answer is not whole JSON"),
    "cut off inside the envelope": (b'{"data": {"things": [{"id": 1}]}', "the answer is not whole JSON"),
    "empty": (b"", "the answer is not whole JSON"),
    "HTML": (b"<!doctype html><title>Sign in</title>", "the answer is not whole JSON"),
    "not UTF-8": (b'{"data": {"things": [{"id": "\xff"}]}}', "the answer is not whole JSON"),
    "UTF-16": ('{"data": {"things": []}}'.encode("utf-16"), "the answer is not whole JSON"),
    "two values": (b'{"data": {"things": []}} {}', "the answer is not whole JSON"),
    "NaN": (b'{"data": {"things": [{"id": NaN}]}}', "the answer is not whole JSON"),
    "a list of numbers": (b'{"data": {"things": [1, 2]}}', "expected a list of objects at 'data.things'"),
    "null among the records": (b'{"data": {"things": [{"id": 1}, null]}}', "expected a list of objects"),
    "a text at the path": (b'{"data": {"things": "none"}}', "expected a list of objects at 'data.things'"),
}


@pytest.mark.parametrize(("body", "message"), MALFORMED.values(), ids=MALFORMED)
def test_an_answer_that_is_not_what_it_should_be_is_malformed(body: bytes, message: str) -> None:
    with pytest.raises(MalformedPage, match=f"^test.things: GET /things: {message}") as caught:
        opened(body, content_type="text/html")

    assert "Sign in" not in str(caught.value)


def test_a_malformed_answer_tells_its_kind_and_size() -> None:
    with pytest.raises(MalformedPage, match=r"text/html, 6 bytes"):
        opened(b"<html>", content_type="text/html")


MISSING: dict[str, tuple[bytes, str]] = {
    "another key": (b'{"error": "s3cret", "ok": false}', "(keys: 'error', 'ok'). "),
    "no key": (b"{}", "(keys: none). "),
    "a key on the way": (b'{"data": {"records": []}}', "(keys: 'records'). "),
    "null": (b'{"data": {"things": null}}', "(keys: 'things'). "),
    "a list on the way": (b'{"data": []}', ", which is not an object. "),
    "a bare list": (b"[]", ", which is not an object. "),
}


@pytest.mark.parametrize(("body", "keys"), MISSING.values(), ids=MISSING)
def test_a_record_path_that_is_missing_names_the_keys_that_are_there(body: bytes, keys: str) -> None:
    with pytest.raises(RecordsNotFound) as caught:
        opened(body)

    assert str(caught.value).startswith(
        f"test.things: GET /things: no 'data.things' in the answer{'' if keys[0] == ',' else ' '}{keys}The API"
    )
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("instant", "format", "expected"),
    [
        (datetime(2026, 3, 1, tzinfo=UTC), "iso", "2026-03-01T00:00:00.000Z"),
        (datetime(2026, 3, 1, 9, 30, 0, 123456, tzinfo=UTC), "iso", "2026-03-01T09:30:00.123Z"),
        (datetime.fromisoformat("2026-03-01T01:00:00+02:00"), "iso", "2026-02-28T23:00:00.000Z"),
        (datetime(2026, 3, 1, tzinfo=UTC), "epoch_ms", "1772323200000"),
        (datetime.fromisoformat("2026-03-01T02:00:00.001+02:00"), "epoch_ms", "1772323200001"),
    ],
)
def test_a_bound_is_written_in_utc(instant: datetime, format: str, expected: str) -> None:
    assert bound(instant, format) == expected


ISO, EPOCH = Cursor("t", newest_first=True), Cursor("t", newest_first=True, format="epoch_ms")
INSTANT = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("cursor", "record", "expected"),
    [
        (ISO, {"t": "2026-02-28T23:59:59.999Z"}, True),
        (ISO, {"t": "2026-03-01T00:00:00Z"}, False),
        (ISO, {"t": "2026-03-01T01:00:00+02:00"}, True),
        (ISO, {"t": "2026-02-28T23:59:59"}, True),
        (ISO, {"t": None}, False),
        (ISO, {}, False),
        (EPOCH, {"t": 1772323199999}, True),
        (EPOCH, {"t": 1772323200000}, False),
        (EPOCH, {"t": None}, False),
    ],
)
def test_a_record_is_before_an_instant_by_its_cursor(cursor: Cursor, record: Any, expected: bool) -> None:
    assert is_before(cursor, msgspec.Raw(json.dumps(record).encode()), INSTANT) is expected


@pytest.mark.parametrize(("cursor", "value"), [(ISO, "yesterday"), (ISO, True), (EPOCH, "yesterday"), (EPOCH, 1.5)])
def test_a_cursor_that_is_no_instant_is_malformed(cursor: Cursor, value: Any) -> None:
    with pytest.raises(MalformedPage, match="the cursor 't' of a record is no instant"):
        is_before(cursor, msgspec.Raw(json.dumps({"t": value}).encode()), INSTANT + timedelta(days=1))


# Taken up again


def token_after_first_page(count: int) -> str:
    first = next(read_pages(World(numbered(count)), stream(paginator=PAGES), WHOLE))
    assert first.token is not None
    return first.token


def test_a_walk_taken_up_again_yields_what_is_missing_and_adds_up() -> None:
    pages = list(read_pages(World(numbered(6)), stream(paginator=PAGES), WHOLE, token_after_first_page(6)))

    assert [ids(page) for page in pages] == [[2, 3], [4, 5]]


def test_a_list_that_shrank_before_it_was_taken_up_again_is_an_incomplete_read() -> None:
    with pytest.raises(IncompleteRead, match="the server counted 6 records before and 5 now"):
        list(read_pages(World(numbered(5)), stream(paginator=PAGES), WHOLE, token_after_first_page(6)))


def test_the_page_a_walk_was_broken_off_after_may_not_come_again() -> None:
    def reply(request: Request) -> Any:
        return numbered(6)(request.with_params(page="1") if request.params["page"] == "2" else request)

    with pytest.raises(PaginationLoop, match="the same page of records again"):
        list(read_pages(World(reply), stream(paginator=PAGES), WHOLE, token_after_first_page(6)))


def test_a_token_that_leads_past_a_page_is_an_incomplete_read() -> None:
    skipping = token_after_first_page(6).replace('"page":"2"', '"page":"3"')

    with pytest.raises(IncompleteRead, match="the server counts 6 records and sent 4"):
        list(read_pages(World(numbered(6)), stream(paginator=PAGES), WHOLE, skipping))


def test_parents_that_were_gone_before_a_walk_was_taken_up_again_count() -> None:
    parents = Slice(parents=tuple(ParentRow({"thing_id": str(number)}) for number in range(10)))
    child = stream(path="/things/{thing_id}/children", parent=Parent(stream(), {"thing_id": "id"}))
    gone = World(lambda request: RequestRejected("gone", status=404))
    first = next(read_pages(gone, child, parents))

    assert first.is_gone
    with pytest.raises(RequestRejected, match="404 for every one of 10 parents"):
        list(read_pages(gone, child, parents, first.token))


# Rows that come and go while a list is read

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@dataclass
class Busy(World):
    """A list of `rows` in pages of two; before the answer to each request, `events` (by its number) change it.

    Rows are ids with the minute of their last change after noon, when the first page is answered.
    """

    reply: Callable[[Request], Any] = field(default=lambda request: None)
    rows: list[tuple[int, int]] = field(default_factory=lambda: [(number, -60) for number in range(1, 7)])
    events: dict[int, Callable[[list[tuple[int, int]]], object]] = field(default_factory=dict)
    dated: bool = True

    def fetch(self, stream: HttpStream, request: Request) -> Response:
        self.asked.append(request)
        if event := self.events.get(len(self.asked)):
            event(self.rows)
        start = 2 * int(str(request.params["page"])) - 2
        records = [
            {"id": number, "updated_at": (NOW + timedelta(minutes=minute)).isoformat()}
            for number, minute in self.rows[start : start + 2]
        ]
        body = {"data": records, "pages": -(-len(self.rows) // 2), "total": len(self.rows)}
        headers = {"date": format_datetime(NOW, usegmt=True)} if self.dated else {}
        return Response(200, headers, json.dumps(body).encode())


BUSY = stream(paginator=PAGES, cursor=Cursor("updated_at"))


def gone_and_come(rows: list[tuple[int, int]]) -> None:
    new = max(number for number, _ in rows) + 1
    del rows[0]
    rows.append((new, 0))


def test_a_record_that_goes_while_another_comes_is_an_incomplete_read_although_the_count_stays() -> None:
    world = Busy(events={2: gone_and_come})

    with pytest.raises(IncompleteRead) as caught:
        list(read_pages(world, BUSY, WHOLE))

    assert str(caught.value) == (
        "things: GET /things, page 3: 1 records went while the list was read, and 1 were missed; it is read again."
    )


@pytest.mark.parametrize(
    "events",
    [
        {2: lambda rows: rows.insert(0, (rows.pop(4)[0], 0))},
        {3: lambda rows: rows.insert(2, (rows.pop(5)[0], 0))},
    ],
    ids=["to the first page", "to the second page"],
)
def test_a_record_that_moves_to_the_front_unread_is_an_incomplete_read(events: dict[int, Any]) -> None:
    with pytest.raises(IncompleteRead, match="0 records went while the list was read, and 1 were missed"):
        list(read_pages(Busy(events=events), BUSY, WHOLE))


def test_a_record_that_both_walks_miss_is_betrayed_by_the_one_that_went() -> None:
    events: dict[int, Any] = {2: gone_and_come, 4: lambda rows: rows.insert(0, (8, 0)), 5: gone_and_come}

    with pytest.raises(IncompleteRead, match="1 records went while the list was read, and 0 were missed"):
        list(read_pages(Busy(events=events), BUSY, WHOLE))


@pytest.mark.parametrize(
    ("event", "read"),
    [
        (lambda rows: rows.insert(0, (7, 0)), [1, 2, 2, 3, 4, 5, 6]),
        (lambda rows: rows.append((7, 0)), [1, 2, 3, 4, 5, 6, 7]),
        (lambda rows: rows.__setitem__(3, (4, 0)), [1, 2, 3, 4, 5, 6]),
        (lambda rows: rows.__setitem__(0, (1, 0)), [1, 2, 3, 4, 5, 6]),
    ],
    ids=["comes first", "comes last", "is edited unread", "is edited after it was read"],
)
def test_a_record_that_comes_or_is_edited_leaves_a_list_complete(event: Callable[..., None], read: list[int]) -> None:
    pages = list(read_pages(Busy(events={2: event}), BUSY, WHOLE))

    assert [number for page in pages for number in ids(page)] == read


@pytest.mark.parametrize(("events", "calls"), [({}, 3), ({2: lambda rows: rows.__setitem__(3, (4, 0))}, 6)])
def test_a_list_is_walked_twice_only_where_something_in_it_is_newer(events: dict[int, Any], calls: int) -> None:
    world = Busy(events=events)

    list(read_pages(world, BUSY, WHOLE))

    assert len(world.asked) == calls


def test_a_list_that_repeats_a_record_and_does_not_change_is_read() -> None:
    rows = [(number, -60) for number in (1, 2, 2, 3)]

    assert len(list(read_pages(Busy(rows=rows), BUSY, WHOLE))) == 2


@pytest.mark.parametrize("dated", [True, False])
def test_a_list_that_changed_before_it_was_taken_up_again_is_an_incomplete_read(dated: bool) -> None:
    first = next(read_pages(Busy(dated=dated), BUSY, WHOLE))
    world = Busy(dated=dated)
    gone_and_come(world.rows)
    world.rows.insert(0, (8, 0))
    if dated:
        with pytest.raises(IncompleteRead, match="the list changed since its first pages were read"):
            list(read_pages(world, BUSY, WHOLE, first.token))
    else:  # a server that does not date its answers cannot be checked
        assert len(list(read_pages(world, BUSY, WHOLE, first.token))) == 3


@pytest.mark.parametrize(
    ("cursor", "changed_at"),
    [
        (Cursor("updated_at"), {"updated_at": "soon"}),
        (Cursor("updated_at"), {"updated_at": 7}),
        (Cursor("updated_at"), {"updated_at": None}),
        (Cursor("updated_at"), {}),
        (Cursor("id", format="epoch_ms"), {}),
    ],
)
def test_a_record_is_known_again_by_its_key_whatever_cursors_its_page_has(cursor: Cursor, changed_at: Any) -> None:
    class Dated(World):
        def fetch(self, stream: HttpStream, request: Request) -> Response:
            answer = super().fetch(stream, request)
            return Response(answer.status, {"date": format_datetime(NOW, usegmt=True)}, answer.body)

    first = [{"id": number, "updated_at": "2020-01-01T00:00:00Z"} for number in (10**12, 10**13)]
    second = [{"id": 10**12, **changed_at}, {"id": 10**13, "updated_at": "2020-01-01T00:00:00Z", "edited": True}]
    world = Dated(lambda request: {"data": first if request.params["page"] == "1" else second})

    with pytest.raises(PaginationLoop, match="page 2: only records that earlier pages had"):
        list(read_pages(world, stream(paginator=PageNumber(size=2), cursor=cursor), WHOLE))


@pytest.mark.parametrize("key", [("name",), ("name", "id"), ('na"me',)])
def test_records_are_told_apart_by_their_keys_one_of_which_may_be_missing(key: tuple[str, ...]) -> None:
    def reply(request: Request) -> Any:
        number = int(str(request.params["page"]))
        records = [{**dict.fromkeys(key, 1), key[-1]: number}, {**dict.fromkeys(key, 1), key[-1]: -number}]
        if number == 2:
            records[1] = {"x": 1}
        return {"data": records if number < 4 else []}

    columns = tuple(Column(name, "integer", "A number.") for name in ("id", "name", 'na"me', "x"))
    listed = stream(paginator=PageNumber(size=2), columns=columns, primary_key=key)

    assert len(list(read_pages(World(reply), listed, WHOLE))) == 4


def come(*numbers: int, before: int = 0) -> Callable[[list[tuple[int, int]]], None]:
    """Let records come, and as many go at the end where they are negative: the count stays."""

    def event(rows: list[tuple[int, int]]) -> None:
        rows[before:before] = [(abs(number), -60) for number in numbers]
        if numbers[0] < 0:
            del rows[-len(numbers) :]

    return event


@pytest.mark.parametrize(
    ("event", "read"),
    [
        ((7, 8), [1, 2, 1, 2, 3, 4, 5, 6]),
        ((7, 8, 9, 10), [1, 2, 9, 10, 1, 2, 3, 4, 5, 6]),
        ((7, 8, 9), [1, 2, 9, 1, 2, 3, 4, 5, 6]),
    ],
)
def test_a_page_that_comes_again_because_as_many_records_came_before_it_is_no_circle(
    event: tuple[int, ...], read: list[int]
) -> None:
    world = Busy(events={2: come(*event)})

    assert [number for page in read_pages(world, BUSY, WHOLE) for number in ids(page)] == read


@pytest.mark.parametrize(
    "events",
    [
        {2: come(-11, -12)},
        {3: come(-11, -12, -13, -14, before=2)},  # the page just before stands still; the one that had them does not
        {4: come(-11, -12, before=1)},
        {5: lambda rows: rows.insert(8, rows.pop(0))},  # an edited one goes to the end of a list that is sorted so
    ],
    ids=["at the front", "between two pages", "far before", "by an edit"],
)
def test_a_list_that_moves_by_a_page_and_counts_what_it_did_is_an_incomplete_read_and_no_circle(
    events: dict[int, Any],
) -> None:
    world = Busy(rows=[(number, -60) for number in range(1, 10)], events=events)

    with pytest.raises(IncompleteRead, match=r"only records that earlier pages had\. The list moved"):
        list(read_pages(world, BUSY, WHOLE))


def test_a_token_tells_how_many_parents_are_done() -> None:
    assert [parents_behind(token, 7) for token in ('{"parent":3}', '{"request":{}}', None)] == [3, 0, 7]
