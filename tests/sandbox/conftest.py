"""Ways to a sandbox: a server of its own, or the application in this process with a clock that stands."""

import asyncio
from collections.abc import Iterator
from datetime import date
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from requests.adapters import BaseAdapter
from starlette.types import ASGIApp, Message

from connector_resources.sandbox.accounts import credentials
from connector_resources.sandbox.aha import Aha, Rules, build
from connector_resources.sandbox.process import SandboxProcess
from connector_resources.sandbox.settings import Settings

TODAY = date(2026, 3, 15)
KEY = credentials("aha")["api_key"]


class Clock:
    """A clock that only moves when it is told to."""

    def __init__(self) -> None:
        self.now = 1_773_532_800.0

    def __call__(self) -> float:
        return self.now


class AsgiAdapter(BaseAdapter):
    """Carries requests to an application in this process, through its ASGI seam."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__()
        self.app = app

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        url = urlsplit(request.url or "")
        body = request.body.encode() if isinstance(request.body, str) else request.body or b""
        scope = {
            "type": "http",
            "method": request.method,
            "path": url.path,
            "root_path": "",
            "query_string": str(url.query).encode(),
            "headers": [(name.lower().encode(), str(value).encode()) for name, value in request.headers.items()],
        }
        sent: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            sent.append(message)

        async def serve() -> None:
            await self.app(scope, receive, send)

        asyncio.run(serve())
        response = requests.Response()
        response.request, response.url = request, request.url or ""
        response.status_code = sent[0]["status"]
        response.headers.update({name.decode(): value.decode() for name, value in sent[0]["headers"]})
        response._content = b"".join(message.get("body", b"") for message in sent[1:])
        response.encoding = "utf-8"
        return response

    def close(self) -> None:
        return None


class AhaClient:
    """One caller of one Aha! sandbox in this process."""

    def __init__(self, rules: Rules | None = None, *, key: str = KEY, **settings: Any) -> None:
        self.app = build(Settings(**{"today": TODAY, "limits": 0, **settings}), rules)
        self.aha: Aha = self.app.state.aha
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.mount("http://aha", AsgiAdapter(self.app))
        self.session.headers["Authorization"] = f"Bearer {key}"

    def get(self, path: str, **query: Any) -> requests.Response:
        return self.session.get(f"http://aha/api/v1{path}", params=query)

    def post(self, path: str, body: Any) -> requests.Response:
        return self.session.post(f"http://aha/api/v1{path}", json=body)

    def json(self, path: str, **query: Any) -> dict[str, Any]:
        response = self.get(path, **query)
        assert response.status_code == 200, f"{path}: {response.status_code} {response.text[:200]}"
        body: dict[str, Any] = response.json()
        return body

    def all(self, path: str, **query: Any) -> list[dict[str, Any]]:
        """Read every page of a list."""
        records: list[dict[str, Any]] = []
        page = 1
        while True:
            body = self.json(path, **{"per_page": 200, "page": page, **query})
            (rows,) = (value for name, value in body.items() if name != "pagination")
            records += rows
            if page >= body["pagination"]["total_pages"]:
                assert len(records) == body["pagination"]["total_records"]
                return records
            page += 1


@pytest.fixture(scope="session")
def aha() -> AhaClient:
    """The account of the usual size, which nobody changes."""
    return AhaClient()


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The address of a running sandbox with small data and no limits; whoever switches faults on switches them off."""
    with SandboxProcess(Settings(today=TODAY, scale=0.05, limits=0)) as sandbox:
        yield sandbox.url
