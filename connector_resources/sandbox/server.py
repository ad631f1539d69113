"""One server for all vendors: `/aha/…`, `/drift/…`, and a control API for tests below `/_sandbox`.

    GET  /_sandbox/health     {"status": "ok"}
    GET  /_sandbox/requests   how many requests came, by vendor and path, and the last thousand of them
    POST /_sandbox/faults     a JSON list of faults, instead of those before
    POST /_sandbox/reset      counters to zero

A vendor's data is made when its first request comes.
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from connector_resources.sandbox.faults import Fault, FaultPlan, Faulty
from connector_resources.sandbox.settings import Settings

VENDORS = ("aha", "drift")


class _Vendor:
    """The application of one vendor, built at its first request."""

    def __init__(self, name: str, settings: Settings) -> None:
        self._name = name
        self._settings = settings
        self._app: Starlette | None = None

    @property
    def app(self) -> Starlette:
        """The application."""
        if self._app is None:
            module = import_module(f"connector_resources.sandbox.{self._name}")
            self._app = module.build(self._settings)
        assert self._app is not None
        return self._app

    def hooks(self) -> Mapping[str, Callable[[], Any]]:
        """Return what the vendor's own rules and data can do to a reader."""
        vendor = getattr(self.app.state, self._name)
        return {"too_many_requests": vendor.too_many_requests, "drift_row": vendor.drift_row}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


class _Counting:
    """ASGI middleware that counts requests and adds latency."""

    def __init__(self, app: ASGIApp, latency_seconds: float) -> None:
        self._app = app
        self._latency_seconds = latency_seconds
        self.reset()

    def reset(self) -> None:
        """Count from zero."""
        self.paths: Counter[str] = Counter()
        self.last: deque[dict[str, Any]] = deque(maxlen=1000)

    def answer(self) -> dict[str, Any]:
        """Return the counts."""
        vendors: Counter[str] = Counter()
        for path, count in self.paths.items():
            vendors[path.split("/")[1]] += count
        return {
            "total": self.paths.total(), "vendors": vendors, "paths": self.paths, "last": list(self.last)
        }  # fmt: skip

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/_sandbox"):
            await self._app(scope, receive, send)
            return
        if self._latency_seconds:
            await asyncio.sleep(self._latency_seconds)
        entry = {
            "method": scope["method"],
            "path": scope["path"],
            "query": scope["query_string"].decode(),
            "status": None,
            "time": time.time(),
        }
        self.paths[scope["path"]] += 1
        self.last.append(entry)

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                entry["status"] = message["status"]
            await send(message)

        await self._app(scope, receive, noted)


def build(settings: Settings) -> ASGIApp:
    """Return the application of all vendors."""
    vendors = {name: _Vendor(name, settings) for name in VENDORS}
    plan = FaultPlan(settings.faults)

    async def health(request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def requests(request: Request) -> Response:
        return Response(msgspec.json.encode(counting.answer()), media_type="application/json")

    async def faults(request: Request) -> Response:
        plan.replace(tuple(Fault(**fault) for fault in await request.json()))
        return JSONResponse({"faults": len(plan.faults)})

    async def reset(request: Request) -> Response:
        counting.reset()
        return JSONResponse({"status": "ok"})

    app = Starlette(
        routes=[
            Route("/_sandbox/health", health),
            Route("/_sandbox/requests", requests),
            Route("/_sandbox/faults", faults, methods=["POST"]),
            Route("/_sandbox/reset", reset, methods=["POST"]),
            *(Mount(f"/{name}", vendor) for name, vendor in vendors.items()),
        ]
    )
    counting = _Counting(app, settings.latency_seconds)
    none: Mapping[str, Callable[[], Any]] = {}
    return Faulty(counting, plan, lambda name: vendors[name].hooks() if name in vendors and plan.faults else none)
