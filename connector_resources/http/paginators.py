"""Paginators: pure functions from a request and its answer to the next request, or None at the end.

None of them holds state, so one value serves every partition and thread. Each docstring shows the answer it expects.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable
from urllib.parse import parse_qsl, urlsplit

import requests.utils

from connector_resources.errors import MalformedPage
from connector_resources.http.messages import Answer, Request


class Paginator(Protocol):
    """Decides what to ask for next."""

    def first(self, request: Request) -> Request:
        """Return the first request of a list: `request` with the paginator's own parameters added."""
        ...

    def next(self, request: Request, answer: Answer) -> Request | None:
        """Return the request for the page after `answer`, None when it was the last."""
        ...

    def total(self, answer: Answer) -> int | None:
        """Return how many records the server says the whole list has, None where it does not say."""
        ...


@runtime_checkable
class Foresighted(Protocol):
    """A paginator that can tell from one answer which requests follow, and not only the next one."""

    def ahead(self, request: Request, answer: Answer) -> Iterator[Request]:
        """Yield the requests for the pages after `answer` that are certain to be asked for, in their order."""
        ...


@dataclass(frozen=True, slots=True)
class SinglePage:
    """The whole list in one answer: `[…]`, `{"users": […]}`."""

    def first(self, request: Request) -> Request:
        """Return the request as it is."""
        return request

    def next(self, request: Request, answer: Answer) -> Request | None:
        """Return None: there is no other page."""
        return None

    def total(self, answer: Answer) -> int | None:
        """Return None: such a list does not count itself."""
        return None


@dataclass(frozen=True, slots=True)
class PageNumber:
    """Numbered pages: `{"features": […], "pagination": {"total_records": 401, "total_pages": 3, "current_page": 1}}`.

    With `total_pages` (a path in the envelope) the list ends at that page. Where an answer has no such value only a
    page of exactly `size` records has a next: fewer are the last, and more than was asked for are a list that comes
    whole. Without `total_pages` the list ends at the first page that holds fewer than `size` records. Records on a page
    behind the last are a count that cannot be believed.
    """

    size: int
    page: str = "page"
    per_page: str = "per_page"
    start: int = 1
    total_pages: str | None = None
    total_records: str | None = None

    def first(self, request: Request) -> Request:
        """Return the request for the page numbered `start`."""
        return request.with_params(**{self.page: str(self.start), self.per_page: str(self.size)})

    def next(self, request: Request, answer: Answer) -> Request | None:
        """Return the request for the page numbered one higher."""
        number = int(str(request.params[self.page]))
        if self.total_pages is None:
            is_last = len(answer.records) < self.size
        else:
            pages = _integer(answer, self.total_pages)
            if pages is not None and answer.records and number > pages + self.start - 1:
                raise MalformedPage(f"page {number} has records, and '{self.total_pages}' counts {pages} pages.")
            is_last = len(answer.records) != self.size if pages is None else number >= pages + self.start - 1
        return None if is_last else request.with_params(**{self.page: str(number + 1)})

    def ahead(self, request: Request, answer: Answer) -> Iterator[Request]:
        """Yield the requests for the pages that the envelope counts behind this one."""
        pages = None if self.total_pages is None else _integer(answer, self.total_pages)
        number = int(str(request.params[self.page]))
        for page in range(number + 1, (pages or 0) + self.start):
            yield request.with_params(**{self.page: str(page)})

    def total(self, answer: Answer) -> int | None:
        """Return the envelope's own count."""
        return None if self.total_records is None else _integer(answer, self.total_records)


@dataclass(frozen=True, slots=True)
class Offset:
    """Records counted from an offset: `?offset=200&limit=100` → `{"items": […], "total": 1432}`.

    The list ends when the offset reaches `total_records`, or, without that, at a page of fewer than `size` records.
    """

    size: int
    offset: str = "offset"
    limit: str = "limit"
    total_records: str | None = None

    def first(self, request: Request) -> Request:
        """Return the request for offset 0."""
        return request.with_params(**{self.offset: "0", self.limit: str(self.size)})

    def next(self, request: Request, answer: Answer) -> Request | None:
        """Return the request for the offset after the records received."""
        offset = int(str(request.params[self.offset])) + len(answer.records)
        total = self.total(answer)
        is_last = not answer.records if total is not None else len(answer.records) < self.size
        if is_last or (total is not None and offset >= total):
            return None
        return request.with_params(**{self.offset: str(offset)})

    def ahead(self, request: Request, answer: Answer) -> Iterator[Request]:
        """Yield the requests for the records that the envelope counts behind this page, where that is a full one."""
        total = self.total(answer)
        if total is not None and len(answer.records) == self.size:
            first = int(str(request.params[self.offset])) + self.size
            for offset in range(first, total, self.size):
                yield request.with_params(**{self.offset: str(offset)})

    def total(self, answer: Answer) -> int | None:
        """Return the envelope's own count."""
        return None if self.total_records is None else _integer(answer, self.total_records)


@dataclass(frozen=True, slots=True)
class NextUrl:
    """A link to the next page in the body: `{"data": {"accounts": […], "next": "/accounts?index=65&size=65"}}`.

    Only the link's query is followed, on the path and host already being read, so that a credential never leaves
    them. With `keep`, only those parameters are taken from the link and nothing else is sent beside them.
    """

    link: str
    params: Mapping[str, str] | None = None
    keep: tuple[str, ...] = ()
    total_records: str | None = None

    def first(self, request: Request) -> Request:
        """Return the request with the list's own parameters (`params`, such as a page size) added."""
        return request.with_params(**(self.params or {}))

    def next(self, request: Request, answer: Answer) -> Request | None:
        """Return the request with the link's query."""
        link = answer.value(self.link)
        return None if not link else _follow(request, str(link), self.keep)

    def total(self, answer: Answer) -> int | None:
        """Return the envelope's own count."""
        return None if self.total_records is None else _integer(answer, self.total_records)


@dataclass(frozen=True, slots=True)
class LinkHeader:
    """A `Link: <https://…?page=2>; rel="next"` header (RFC 8288); its query is followed as `NextUrl` does."""

    params: Mapping[str, str] | None = None

    def first(self, request: Request) -> Request:
        """Return the request with the list's own parameters added."""
        return request.with_params(**(self.params or {}))

    def next(self, request: Request, answer: Answer) -> Request | None:
        """Return the request with the query of the link whose `rel` is next."""
        for link in requests.utils.parse_header_links(answer.response.headers.get("link", "")):
            if "next" in link.get("rel", "").casefold().split():
                return _follow(request, link["url"], ())
        return None

    def total(self, answer: Answer) -> int | None:
        """Return None: the header does not count."""
        return None


@dataclass(frozen=True, slots=True)
class Token:
    """A token for the next page in the body: `{"data": […], "pagination": {"more": true, "next": "1709990000500"}}`."""

    token: str
    parameter: str
    params: Mapping[str, str] | None = None
    more: str | None = None

    def first(self, request: Request) -> Request:
        """Return the request with the list's own parameters added, and no token."""
        return request.with_params(**(self.params or {}))

    def next(self, request: Request, answer: Answer) -> Request | None:
        """Return the request with the token; None without one, or where `more` is false."""
        token = answer.value(self.token)
        if (
            token is None
            or token is False
            or token == ""
            or (self.more is not None and answer.value(self.more) is False)
        ):
            return None
        if not isinstance(token, str | int) or token is True:
            raise MalformedPage(f"expected a text or a number at '{self.token}' of the envelope.")
        return request.with_params(**{self.parameter: str(token)})

    def total(self, answer: Answer) -> int | None:
        """Return None: such a list does not count itself."""
        return None


_LONGEST_COUNT = 40
"""Characters; Python refuses to read a number of thousands of digits, and none of these counts anything."""


def _integer(answer: Answer, path: str) -> int | None:
    value = answer.value(path)
    if value is None:
        return None
    if isinstance(value, str) and value.strip().isdecimal() and len(value) <= _LONGEST_COUNT:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise MalformedPage(f"expected a whole number at '{path}' of the envelope.")


def _follow(request: Request, link: str, keep: tuple[str, ...]) -> Request:
    """Return the request for `link`, on the path being read.

    A link without any parameter we could follow would send the same request again for ever.
    """
    query: dict[str, str | tuple[str, ...]] = {}
    try:
        pairs = parse_qsl(urlsplit(link).query, keep_blank_values=True)
    except ValueError:
        raise MalformedPage("the link to the next page is no address.") from None
    for name, value in pairs:
        if not keep or name in keep:
            before = query.get(name)
            query[name] = value if before is None else (*((before,) if isinstance(before, str) else before), value)
    if not query:
        raise MalformedPage(f"the link to the next page has none of the parameters {', '.join(keep) or '(any)'}.")
    return Request(request.path, request.method, query, request.json, request.carried)
