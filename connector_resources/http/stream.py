"""Streams read over HTTP, and the one loop that reads them.

A read is a walk: for each parent (or once, where there is none) the paginator names request after request until it
names none. Where the walk stands after a page is that page's token: the parent's position and the next request, as
JSON. A read that is given a token goes on from there and makes no request it has made before.

What stops a walk that an API would keep going for ever: the same request twice, or the same records twice, under one
parent.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

import msgspec

from connector_resources.errors import (
    ConnectorError,
    IncompleteRead,
    MalformedPage,
    PaginationLoop,
    RecordsNotFound,
    RequestRejected,
)
from connector_resources.http.messages import Answer, Request, Response
from connector_resources.http.paginators import Paginator, SinglePage
from connector_resources.http.rate_limit import RateLimit
from connector_resources.streams import Cursor, Page, ParentRow, Slice, Stream


@dataclass(frozen=True, kw_only=True)
class HttpStream(Stream):
    """A stream behind a URL.

    `path` may name fields of the parent in braces: `/goals/{goal_id}/key_results`. `records` is the dotted path to
    the list in the answer, "" where the answer is the list; an object there is one record. `rate_limit` comes on top
    of the source's own.
    """

    path: str
    records: str = ""
    paginator: Paginator = field(default_factory=SinglePage)
    params: Mapping[str, str] = field(default_factory=dict)
    method: str = "GET"
    rate_limit: RateLimit | None = None


class Walk(Protocol):
    """What the loop needs from a source; `HttpSource` has it all, and a connector overrides what its vendor does else."""

    def first_request(self, stream: HttpStream, slice: Slice, parent: ParentRow | None) -> Request:
        """Return the first request under a parent."""
        ...

    def fetch(self, stream: HttpStream, request: Request) -> Response:
        """Send a request, with limits, credentials and retries."""
        ...

    def open(self, stream: HttpStream, request: Request, response: Response) -> Answer:
        """Find the records in an answer."""
        ...

    def next_request(self, stream: HttpStream, slice: Slice, request: Request, answer: Answer) -> Request | None:
        """Return the request after this one."""
        ...
