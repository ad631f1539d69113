"""Faults on demand: what real servers do to readers, switched on per request pattern.

A fault is counted, not drawn, so the same requests meet the same faults in every run. Which of several matching
requests is hit can be spread with `every` and `skip`. What can be done to any answer is done here; a refusal in the
vendor's own words and a change of its rows are asked of the vendor.
"""

import asyncio
import fnmatch
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol, Self
from urllib.parse import unquote

from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

Kind = Literal["429", "500", "drop", "truncate", "html", "repeat_page", "drift_row", "slow"]
Change = Literal["insert", "remove", "update"]
KINDS: tuple[Kind, ...] = ("429", "500", "drop", "truncate", "html", "repeat_page", "drift_row", "slow")


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong for some requests.

    `pattern` is a glob over `METHOD /vendor/path?query`, the query decoded (`GET /aha/api/v1/features?*&page=2*`), or,
    where it starts with `^`, a regular expression. Of the requests it matches, the first `skip` pass, then each
    `every`-th is hit, `times` times in all. Kinds: `429` and `500` refuse; `drop` closes the socket without an answer;
    `truncate` sends half of the body under the length of the whole, and closes; `html` sends a web page with status
    200; `repeat_page` sends the last answer of the same path again; `drift_row` lets a row come, go or be edited, as
    `change` says, behind the reader's back and answers truly; `slow` waits `seconds` first. `retry_after` is the
    header a 429 or 500 carries, none where empty.
    """

    pattern: str
    kind: Kind
    times: int = 1
    every: int = 1
    skip: int = 0
    seconds: float = 1.0
    retry_after: str = ""
    change: Change = "update"

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"There is no fault {self.kind!r}. Faults: {', '.join(KINDS)}.")
        if self.change not in ("insert", "remove", "update"):
            raise ValueError(f"A row cannot {self.change!r}. Changes: insert, remove, update.")
        if self.times < 1 or self.every < 1 or self.skip < 0 or self.seconds < 0:
            raise ValueError("A fault needs times and every of at least 1, and skip and seconds of at least 0.")
        if self.pattern.startswith("^"):
            re.compile(self.pattern)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a fault from JSON: `{"pattern": "GET /drift/*", "kind": "500", "times": 2}`."""
        return cls(**json.loads(text))

    def matches(self, request: str) -> bool:
        """Whether a request, as `METHOD /path?query`, is one this fault is about."""
        if self.pattern.startswith("^"):
            return re.search(self.pattern, request) is not None
        return fnmatch.fnmatchcase(request, self.pattern)


@dataclass(slots=True)
class FaultPlan:
    """Which faults are on, and how often each has been met. Replaced at run time through the control API.

    `last_answers` are those of each path since then, kept where a fault may repeat them.
    """

    faults: tuple[Fault, ...] = ()
    last_answers: dict[str, list[Message]] = field(default_factory=dict)
    _met: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.replace(self.faults)

    def replace(self, faults: tuple[Fault, ...]) -> None:
        """Switch on these faults instead of those before, counted from zero."""
        self.faults = faults
        self._met = [0] * len(faults)
        self.last_answers = {}

    def hit(self, request: str) -> Fault | None:
        """Count a request and return the fault it meets, None where it passes."""
        for number, fault in enumerate(self.faults):
            if not fault.matches(request):
                continue
            met = self._met[number] - fault.skip
            self._met[number] += 1
            if met >= 0 and met % fault.every == 0 and met // fault.every < fault.times:
                return fault
        return None


class Vendor(Protocol):
    """What a vendor's sandbox does itself when a fault asks for it."""

    def too_many_requests(self) -> Response:
        """Return the vendor's refusal of one request too many."""
        ...

    def drift_row(self, path: str, change: Change) -> object:
        """Change a row of the list at `path`, as far as rows of that list come, go and change."""
        ...


class Faulty:
    """ASGI middleware that lets requests meet the plan's faults.

    `vendor_at` gives the vendor that a path is served by. Breaking a connection needs the server's own `send`: it is
    the one this is called with, or, below other middleware, the one in the scope under `sandbox.send`.
    """

    def __init__(self, app: ASGIApp, plan: FaultPlan, vendor_at: Callable[[str], Vendor]) -> None:
        self._app = app
        self._plan = plan
        self._vendor_at = vendor_at

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        query = unquote(scope["query_string"].decode())
        fault = self._plan.hit(f"{scope['method']} {scope['path']}{'?' if query else ''}{query}")
        if fault is None:
            await self._remembering(scope, receive, send)
            return
        headers = {"Retry-After": fault.retry_after} if fault.retry_after else {}
        path = scope["path"]
        match fault.kind:
            case "429":
                refusal = self._vendor_at(path).too_many_requests()
                refusal.headers.update(headers)
                await refusal(scope, receive, send)
            case "500":
                body = {"error": {"type": "internal_error", "message": "Something went wrong."}}
                await JSONResponse(body, 500, headers)(scope, receive, send)
            case "drop":
                _connection(scope, send).abort()
                await _closed(receive)
            case "truncate":
                await self._app(scope, receive, _Half(send, _connection(scope, send)))
                await _closed(receive)
            case "html":
                page = "<!DOCTYPE html><html><body><h1>We'll be right back</h1></body></html>"
                await Response(page, 200, media_type="text/html")(scope, receive, send)
            case "repeat_page" if path in self._plan.last_answers:
                for message in self._plan.last_answers[path]:
                    await send(message)
            case "repeat_page":
                await self._remembering(scope, receive, send)
            case "drift_row":
                self._vendor_at(path).drift_row(path, fault.change)
                await self._remembering(scope, receive, send)
            case "slow":
                await asyncio.sleep(fault.seconds)
                await self._remembering(scope, receive, send)

    async def _remembering(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, and keep its answer where a fault may repeat it."""
        if not any(fault.kind == "repeat_page" for fault in self._plan.faults):
            await self._app(scope, receive, send)
            return
        messages: list[Message] = []

        async def keep(message: Message) -> None:
            messages.append(message)
            await send(message)

        await self._app(scope, receive, keep)
        self._plan.last_answers[scope["path"]] = messages


def _connection(scope: Scope, send: Send) -> asyncio.Transport:
    # ASGI has no word for breaking a connection; uvicorn's request cycle, whose method `send` is, knows its socket.
    connection: asyncio.Transport = scope.get("sandbox.send", send).__self__.transport
    return connection


async def _closed(receive: Receive) -> None:
    """Wait until the server has seen that the connection is gone: else it complains about a missing answer."""
    while (await receive())["type"] != "http.disconnect":
        pass


class _Half:
    """Sends the first half of a body under the headers of the whole, then closes the connection."""

    def __init__(self, send: Send, connection: asyncio.Transport) -> None:
        self._send, self._connection = send, connection

    async def __call__(self, message: Message) -> None:
        if message["type"] != "http.response.body":
            await self._send(message)
            return
        body = message.get("body", b"")
        await self._send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
        self._connection.close()  # what is written is sent first
