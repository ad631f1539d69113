"""Faults on demand: what real servers do to readers, switched on per request pattern.

A fault is counted, not drawn, so the same requests meet the same faults in every run. Which of several matching
requests is hit can be spread with `every` and `skip`.
"""

import asyncio
import fnmatch
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self
from urllib.parse import unquote

from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

Kind = Literal["429", "500", "drop", "truncate", "html", "repeat_page", "drift_row", "slow"]
KINDS: tuple[Kind, ...] = ("429", "500", "drop", "truncate", "html", "repeat_page", "drift_row", "slow")


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong for some requests.

    `pattern` is a glob over `METHOD /vendor/path?query` (`GET /aha/api/v1/features*page=2*`). Of the requests it
    matches, the first `skip` pass, then each `every`-th is hit, `times` times in all. Kinds: `429` and `500` refuse;
    `drop` closes the socket without an answer; `truncate` sends half of the body; `html` sends a web page with status
    200; `repeat_page` sends the answer before this one again; `drift_row` changes a row behind the reader's back and
    answers truly; `slow` waits `seconds` first. `retry_after` is the header a 429 or 500 carries, none where empty.
    """

    pattern: str
    kind: Kind
    times: int = 1
    every: int = 1
    skip: int = 0
    seconds: float = 1.0
    retry_after: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"There is no fault {self.kind!r}. Faults: {', '.join(KINDS)}.")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a fault from JSON: `{"pattern": "GET /drift/*", "kind": "500", "times": 2}`."""
        return cls(**json.loads(text))


@dataclass(slots=True)
class FaultPlan:
    """Which faults are on, and how often each has been met. Replaced at run time through the control API."""

    faults: tuple[Fault, ...] = ()
    _met: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.replace(self.faults)

    def replace(self, faults: tuple[Fault, ...]) -> None:
        """Switch on these faults instead of those before, counted from zero."""
        self.faults = faults
        self._met = [0] * len(faults)

    def hit(self, request: str) -> Fault | None:
        """Count a request and return the fault it meets, None where it passes."""
        for number, fault in enumerate(self.faults):
            if not fnmatch.fnmatchcase(request, fault.pattern):
                continue
            met = self._met[number] - fault.skip
            self._met[number] += 1
            if met >= 0 and met % fault.every == 0 and met // fault.every < fault.times:
                return fault
        return None


class Faulty:
    """ASGI middleware that lets requests meet the plan's faults. It must be the outermost: `drop` needs the socket.

    `hooks` gives, by vendor, what the vendor's sandbox can do itself: `too_many_requests` builds its refusal and
    `drift_row` changes a row.
    """

    def __init__(self, app: ASGIApp, plan: FaultPlan, hooks: Callable[[str], Mapping[str, Callable[[], Any]]]) -> None:
        self._app = app
        self._plan = plan
        self._hooks = hooks
        self._last_bodies: dict[str, list[Message]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["path"].startswith("/_sandbox"):
            await self._app(scope, receive, send)
            return
        query = unquote(scope["query_string"].decode())
        fault = self._plan.hit(f"{scope['method']} {scope['path']}{'?' if query else ''}{query}")
        hooks = self._hooks(scope["path"].split("/")[1])
        headers = {"Retry-After": fault.retry_after} if fault is not None and fault.retry_after else None
        match fault.kind if fault is not None else None:
            case "429":
                response: Response = hooks["too_many_requests"]()
                response.headers.update(headers or {})
                await response(scope, receive, send)
            case "500":
                body = {"error": {"type": "internal_error", "message": "Something went wrong."}}
                await JSONResponse(body, 500, headers)(scope, receive, send)
            case "drop":
                send.__self__.transport.abort()  # type: ignore[attr-defined]  # uvicorn's request cycle
            case "truncate":
                await self._app(scope, receive, _Half(send))
            case "html":
                page = "<!DOCTYPE html><html><body><h1>We'll be right back</h1></body></html>"
                await Response(page, 200, media_type="text/html")(scope, receive, send)
            case "repeat_page" if scope["path"] in self._last_bodies:
                for message in self._last_bodies[scope["path"]]:
                    await send(message)
            case "drift_row":
                hooks["drift_row"]()
                await self._app(scope, receive, send)
            case "slow":
                await asyncio.sleep(fault.seconds if fault is not None else 0)
                await self._app(scope, receive, send)
            case _:
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
        self._last_bodies[scope["path"]] = messages


class _Half:
    """Sends the first half of a body under the headers of the whole, then ends the answer."""

    def __init__(self, send: Send) -> None:
        self._send = send

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.body":
            body = message.get("body", b"")
            await self._send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
            await asyncio.sleep(0.01)  # lets the half leave before the socket is closed
            self._send.__self__.transport.close()  # type: ignore[attr-defined]  # uvicorn's request cycle
        else:
            await self._send(message)
