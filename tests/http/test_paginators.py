import json
from typing import Any

import msgspec
import pytest

from connector_resources.errors import MalformedPage
from connector_resources.http.messages import Answer, Request, Response
from connector_resources.http.paginators import LinkHeader, NextUrl, Offset, PageNumber, Paginator, SinglePage, Token

Params = dict[str, str | tuple[str, ...]]


def page(count: int = 0, envelope: dict[str, Any] | None = None, link: str | None = None) -> Answer:
    records = tuple(msgspec.Raw(b'{"id":%d}' % number) for number in range(count))
    raw = {key: msgspec.Raw(json.dumps(value).encode()) for key, value in (envelope or {}).items()}
    return Answer(Response(200, {} if link is None else {"link": link}, b""), records, raw)


COUNTED_PAGES = PageNumber(size=2, total_pages="pagination.total_pages", total_records="pagination.total_records")
COUNTED_OFFSET = Offset(size=2, total_records="total")
NEXT_URL = NextUrl("data.next", params={"index": "0", "size": "65"})
KEPT_TOKEN = NextUrl("links.next", keep=("page_token",))
TOKEN = Token("pagination.next", "next", more="pagination.more")

FIRST: list[tuple[Paginator, Params]] = [
    (SinglePage(), {"fields": "*"}),
    (PageNumber(size=200), {"fields": "*", "page": "1", "per_page": "200"}),
    (PageNumber(size=5, page="p", per_page="n", start=0), {"fields": "*", "p": "0", "n": "5"}),
    (Offset(size=100), {"fields": "*", "offset": "0", "limit": "100"}),
    (NEXT_URL, {"fields": "*", "index": "0", "size": "65"}),
    (LinkHeader(params={"per_page": "100"}), {"fields": "*", "per_page": "100"}),
    (TOKEN, {"fields": "*"}),
]


@pytest.mark.parametrize(("paginator", "expected"), FIRST, ids=lambda value: type(value).__name__)
def test_the_first_request_has_the_lists_own_parameters(paginator: Paginator, expected: Params) -> None:
    assert paginator.first(Request("/things", params={"fields": "*"})) == Request("/things", params=expected)


NEXT: dict[str, tuple[Paginator, Params, Answer, Params | None]] = {
    "a single page has no next": (SinglePage(), {}, page(3), None),
    "numbered: a full page": (PageNumber(size=2), {"page": "1"}, page(2), {"page": "2"}),
    "numbered: a short page is the last": (PageNumber(size=2), {"page": "4"}, page(1), None),
    "numbered: an empty page is the last": (PageNumber(size=2), {"page": "1"}, page(0), None),
    "numbered and counted: a page before the last": (
        COUNTED_PAGES, {"page": "9"}, page(2, {"pagination": {"total_pages": 10}}), {"page": "10"},
    ),
    "numbered and counted: a full last page": (
        COUNTED_PAGES, {"page": "10"}, page(2, {"pagination": {"total_pages": 10}}), None,
    ),
    "numbered and counted: a short page in the middle": (
        COUNTED_PAGES, {"page": "2"}, page(1, {"pagination": {"total_pages": 3}}), {"page": "3"},
    ),
    "numbered and counted: no pages at all": (
        COUNTED_PAGES, {"page": "1"}, page(0, {"pagination": {"total_pages": 0}}), None,
    ),
    "numbered and counted: the count is missing on a full page": (COUNTED_PAGES, {"page": "1"}, page(2), {"page": "2"}),
    "numbered and counted: the count is null on a full page": (
        COUNTED_PAGES, {"page": "1"}, page(2, {"pagination": {"total_pages": None}}), {"page": "2"},
    ),
    "numbered and counted: the count is missing on a short page": (COUNTED_PAGES, {"page": "2"}, page(1), None),
    "numbered and counted: the count is missing on an empty page": (COUNTED_PAGES, {"page": "2"}, page(0), None),
    "numbered and counted: the count is missing on a list that comes whole": (
        COUNTED_PAGES, {"page": "1"}, page(3), None,
    ),
    "numbered and counted: the count is a text": (
        COUNTED_PAGES, {"page": "1"}, page(2, {"pagination": {"total_pages": "2"}}), {"page": "2"},
    ),
    "numbered from 0 and counted: the last": (
        PageNumber(size=2, start=0, total_pages="pages"), {"page": "1"}, page(2, {"pages": 2}), None,
    ),
    "numbered from 0 and counted: not yet": (
        PageNumber(size=2, start=0, total_pages="pages"), {"page": "0"}, page(2, {"pages": 2}), {"page": "1"},
    ),
    "offset: a full page": (Offset(size=2), {"offset": "4"}, page(2), {"offset": "6"}),
    "offset: a short page is the last": (Offset(size=2), {"offset": "4"}, page(1), None),
    "offset: an empty page is the last": (Offset(size=2), {"offset": "4"}, page(0), None),
    "offset and counted: a short page in the middle": (
        COUNTED_OFFSET, {"offset": "4"}, page(1, {"total": 6}), {"offset": "5"},
    ),
    "offset and counted: a full last page": (COUNTED_OFFSET, {"offset": "4"}, page(2, {"total": 6}), None),
    "offset and counted: an empty page": (COUNTED_OFFSET, {"offset": "4"}, page(0, {"total": 6}), None),
    "offset and counted: the count is missing": (COUNTED_OFFSET, {"offset": "4"}, page(1), None),
    "offset and counted: the count is a text": (
        COUNTED_OFFSET, {"offset": "0"}, page(2, {"total": "3"}), {"offset": "2"},
    ),
    "link: relative": (
        NEXT_URL, {"index": "0", "size": "65"}, page(65, {"data": {"next": "/accounts?index=65&size=65"}}),
        {"index": "65", "size": "65"},
    ),
    "link: on an empty page": (
        NEXT_URL, {"index": "0"}, page(0, {"data": {"next": "/accounts?index=65"}}), {"index": "65"},
    ),
    "link: to another host, of which only the query is taken": (
        NEXT_URL, {}, page(1, {"data": {"next": "https://elsewhere.test/steal?index=1"}}), {"index": "1"},
    ),
    "link: what it does not repeat is not sent": (
        NEXT_URL, {"size": "65", "index": "0"}, page(1, {"data": {"next": "?index=9"}}), {"index": "9"},
    ),
    "link: a repeated parameter": (
        NEXT_URL, {}, page(1, {"data": {"next": "?s=1&s=2&s=3&i=é%20b"}}), {"s": ("1", "2", "3"), "i": "é b"},
    ),
    "link: absent": (NEXT_URL, {}, page(65, {"data": {}}), None),
    "link: null": (NEXT_URL, {}, page(65, {"data": {"next": None}}), None),
    "link: empty": (NEXT_URL, {}, page(65, {"data": {"next": ""}}), None),
    "kept: only the named parameter": (
        KEPT_TOKEN, {"limit": "50"}, page(1, {"links": {"next": "https://elsewhere.test/x?limit=5&page_token=t%3D"}}),
        {"page_token": "t="},
    ),
    "header: next": (
        LinkHeader(), {}, page(1, link='<https://x.test/?page=1>; rel="prev", <https://x.test/?page=3>; rel="next"'),
        {"page": "3"},
    ),
    "header: two relations": (LinkHeader(), {}, page(1, link='<?page=3>; rel="Next Last"'), {"page": "3"}),
    "header: single quotes": (LinkHeader(), {}, page(1, link="<?page=3>; rel='next'"), {"page": "3"}),
    "header: no next": (LinkHeader(), {}, page(1, link='<https://x.test/v1?page=1>; rel="prev"'), None),
    "header: absent": (LinkHeader(), {}, page(1), None),
    "token: with more": (
        TOKEN, {"a": "b"}, page(50, {"pagination": {"more": True, "next": "17"}}), {"a": "b", "next": "17"},
    ),
    "token: a number": (TOKEN, {}, page(50, {"pagination": {"next": 17}}), {"next": "17"}),
    "token: the number 0": (TOKEN, {}, page(50, {"pagination": {"next": 0}}), {"next": "0"}),
    "token: on an empty page": (TOKEN, {}, page(0, {"pagination": {"more": True, "next": "17"}}), {"next": "17"}),
    "token: replaces the one before": (TOKEN, {"next": "1"}, page(1, {"pagination": {"next": "2"}}), {"next": "2"}),
    "token: no more": (TOKEN, {}, page(50, {"pagination": {"more": False, "next": "17"}}), None),
    "token: false": (TOKEN, {}, page(50, {"pagination": {"more": True, "next": False}}), None),
    "token: empty": (TOKEN, {}, page(50, {"pagination": {"next": ""}}), None),
    "token: null": (TOKEN, {}, page(50, {"pagination": {"next": None}}), None),
    "token: absent": (TOKEN, {}, page(50), None),
}  # fmt: skip


@pytest.mark.parametrize(("paginator", "params", "answer", "expected"), NEXT.values(), ids=NEXT)
def test_the_next_request_follows_from_the_answer_alone(
    paginator: Paginator, params: Params, answer: Answer, expected: Params | None
) -> None:
    request = Request("/things", "POST", params, {"body": 1}, {"carried": 2})

    following = paginator.next(request, answer)

    assert following == (
        None if expected is None else Request("/things", "POST", expected, {"body": 1}, {"carried": 2})
    )


@pytest.mark.parametrize(
    ("paginator", "answer", "expected"),
    [
        (SinglePage(), page(3), None),
        (COUNTED_PAGES, page(2, {"pagination": {"total_records": 401}}), 401),
        (COUNTED_PAGES, page(2, {"pagination": {"total_records": "401"}}), 401),
        (COUNTED_PAGES, page(2), None),
        (PageNumber(size=2), page(2, {"pagination": {"total_records": 401}}), None),
        (COUNTED_OFFSET, page(2, {"total": 0}), 0),
        (NextUrl("next", total_records="data.total"), page(2, {"data": {"total": 1432}}), 1432),
        (NEXT_URL, page(2, {"data": {"total": 1432}}), None),
        (LinkHeader(), page(2), None),
        (TOKEN, page(2), None),
    ],
)
def test_the_total_is_what_the_envelope_counts(paginator: Paginator, answer: Answer, expected: int | None) -> None:
    assert paginator.total(answer) == expected


@pytest.mark.parametrize("value", ["many", "-1", "1.0", 1.5, True, [1], {"n": 1}, ""])
def test_a_count_that_is_no_whole_number_is_an_error(value: Any) -> None:
    with pytest.raises(MalformedPage, match="expected a whole number at 'total' of the envelope"):
        COUNTED_OFFSET.next(Request("/things", params={"offset": "0"}), page(2, {"total": value}))


@pytest.mark.parametrize("link", ["/accounts", "https://elsewhere.test/", "https://x.test/v1?other=1"])
def test_a_link_without_the_kept_parameter_is_an_error_and_no_endless_list(link: str) -> None:
    with pytest.raises(MalformedPage, match="none of the parameters page_token"):
        KEPT_TOKEN.next(Request("/things"), page(1, {"links": {"next": link}}))


def test_a_request_survives_being_written_down() -> None:
    request = Request("/things", "POST", {"a": "é", "s": ("1", "2")}, {"filters": [1]}, {"start": 0})

    assert Request.decode(json.loads(json.dumps(request.encode()))) == request


@pytest.mark.parametrize(
    ("path", "expected"),
    [("a", {"b": [1], "n": None}), ("a.b", [1]), ("a.n", None), ("a.b.c", None), ("x", None), ("a.x.y", None)],
)
def test_a_value_of_the_envelope_is_none_where_any_part_is_absent(path: str, expected: Any) -> None:
    assert page(0, {"a": {"b": [1], "n": None}}).value(path) == expected


UNBELIEVABLE: dict[str, tuple[Paginator, Params, dict[str, Any]]] = {
    "fewer pages than have been read": (COUNTED_PAGES, {"page": "2"}, {"pagination": {"total_pages": 1}}),
    "no pages, and records": (COUNTED_PAGES, {"page": "1"}, {"pagination": {"total_pages": 0}}),
    "a negative count": (COUNTED_PAGES, {"page": "1"}, {"pagination": {"total_pages": -1}}),
    "a count of 5,000 digits": (COUNTED_PAGES, {"page": "1"}, {"pagination": {"total_pages": "1" * 5000}}),
    "a link that is no address": (NEXT_URL, {}, {"data": {"next": "http://[::1?index=1"}}),
    "a link that is an object": (NEXT_URL, {}, {"data": {"next": {"index": 1}}}),
    "a token that is an object": (TOKEN, {}, {"pagination": {"next": {"a": 1}}}),
    "a token that is a list": (TOKEN, {}, {"pagination": {"next": [1]}}),
    "a token that is true": (TOKEN, {}, {"pagination": {"next": True}}),
}


@pytest.mark.parametrize(("paginator", "params", "envelope"), UNBELIEVABLE.values(), ids=UNBELIEVABLE)
def test_what_names_no_next_page_is_an_error_and_no_end(
    paginator: Paginator, params: Params, envelope: dict[str, Any]
) -> None:
    with pytest.raises(MalformedPage):
        paginator.next(Request("/things", params=params), page(2, envelope))


def test_a_page_behind_the_last_may_be_empty() -> None:
    behind = page(0, {"pagination": {"total_pages": 1}})

    assert COUNTED_PAGES.next(Request("/things", params={"page": "2"}), behind) is None


@pytest.mark.parametrize("number", [b"1" * 5000, b"1e999"])
def test_a_number_of_the_envelope_that_nothing_can_hold_is_malformed(number: bytes) -> None:
    answer = Answer(Response(200, {}, b""), (), {"total": msgspec.Raw(number)})

    with pytest.raises(MalformedPage, match=r"^'total' of the envelope cannot be read"):
        answer.value("total")
