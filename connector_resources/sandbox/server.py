"""One server for all vendors: `/aha/…`, `/drift/…`, and a control API for tests below `/_sandbox`.

    GET  /_sandbox/health     {"status": "ok"}
    GET  /_sandbox/requests   how many requests came, by vendor and path, and the last thousand of them
    POST /_sandbox/faults     a JSON list of faults, instead of those before
    POST /_sandbox/reset      counters to zero, and vendors as they were at the start; faults stay

`/aha.<account>/…` is another account of the vendor: the same data and credentials, with limits, tokens and changes of
its own. An account's data is made when its first request comes.
"""

import asyncio
import time
from collections import Counter, deque
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from connector_resources.sandbox.accounts import vendor_at
from connector_resources.sandbox.faults import Fault, FaultPlan, Faulty, Vendor
from connector_resources.sandbox.settings import Settings
from connector_resources.sandbox.vendors import stand_in, vendors


class _Mounted:
    """The application of one vendor, built at its first request."""

    def __init__(self, name: str, settings: Settings) -> None:
        self._name = name
        self._settings = settings
        self._app: Starlette | None = None

    @property
    def app(self) -> Starlette:
        """The application."""
        if self._app is None:
            self._app = stand_in(self._name).build(self._settings)
        assert self._app is not None
        return self._app

    @property
    def vendor(self) -> Vendor:
        """The vendor behind the application."""
        vendor: Vendor = getattr(self.app.state, self._name)
        return vendor

    def reset(self) -> None:
        """Forget the application: limits, changed rows and given-out tokens are as at the start."""
        self._app = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


class _Accounts(dict[str, _Mounted]):
    """The applications, by the first segment of a path; made when it is first asked for."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._settings = settings

    def __missing__(self, first: str) -> _Mounted:
        self[first] = _Mounted(vendor_at(first), self._settings)
        return self[first]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self[scope["path_params"]["account"]](scope, receive, send)


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
            vendors[_first(path)] += count
        return {"total": self.paths.total(), "vendors": vendors, "paths": self.paths, "last": list(self.last)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        entry = {
            "method": scope["method"],
            "path": scope["path"],
            "query": scope["query_string"].decode(),
            "status": None,
            "time": time.time(),
        }
        self.paths[scope["path"]] += 1
        self.last.append(entry)

        if self._latency_seconds:
            await asyncio.sleep(self._latency_seconds)

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                entry["status"] = message["status"]
            await send(message)

        # Below this, `send` is ours; a fault that breaks the connection needs the server's.
        await self._app({**scope, "sandbox.send": send}, receive, noted)


def build(settings: Settings) -> ASGIApp:
    """Return the application of all vendors."""
    names = vendors()
    accounts = _Accounts(settings)
    plan = FaultPlan(settings.faults)

    async def health(request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def requests(request: Request) -> Response:
        return Response(msgspec.json.encode(counting.answer()), media_type="application/json")

    async def faults(request: Request) -> Response:
        try:
            plan.replace(tuple(Fault(**fault) for fault in await request.json()))
        except (TypeError, ValueError) as error:
            return JSONResponse({"error": str(error)}, 400)
        return JSONResponse({"faults": len(plan.faults)})

    async def reset(request: Request) -> Response:
        counting.reset()
        for account in accounts.values():
            account.reset()
        return JSONResponse({"status": "ok"})

    control = Starlette(
        routes=[
            Route("/_sandbox/health", health),
            Route("/_sandbox/requests", requests),
            Route("/_sandbox/faults", faults, methods=["POST"]),
            Route("/_sandbox/reset", reset, methods=["POST"]),
        ]
    )
    mounts = Starlette(routes=[Mount("/{account}", accounts)])
    counting = _Counting(Faulty(mounts, plan, lambda path: accounts[_first(path)].vendor), settings.latency_seconds)

    # No Starlette around it all: what breaks connections needs the server's own `send`.
    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        app = counting if scope["type"] == "http" and vendor_at(_first(scope["path"])) in names else control
        await app(scope, receive, send)

    return serve


def _first(path: str) -> str:
    """Return the first segment of a path: the place of an account, where it is a vendor's."""
    return path.split("/")[1]
