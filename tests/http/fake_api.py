"""A world at the seam of `requests`: an adapter that plays prepared answers, and a clock that only sleeping moves."""

import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import requests
import urllib3
from requests.adapters import BaseAdapter

from connector_resources.http.authenticators import Authenticator, NoAuthentication
from connector_resources.http.client import Client
from connector_resources.http.rate_limit import RateLimit, RateLimiter
from connector_resources.http.retry import RetryPolicy

BASE_URL = "https://api.test/v1"


@dataclass
class Clock:
    """A clock that stands still until somebody sleeps; `slept` are the waits, in order."""

    now: float = 1_000.0
    slept: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@dataclass(frozen=True)
class Prepared:
    """One answer to come: its status, its body as bytes or as data to be written as JSON, and its headers."""

    status: int = 200
    body: Any = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)

    def response(self, request: requests.PreparedRequest) -> requests.Response:
        content = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        headers = {"Content-Type": "application/json", "Content-Length": str(len(content)), **self.headers}
        return answer(request, self.status, io.BytesIO(content), headers)


def answer(
    request: requests.PreparedRequest, status: int, stream: Any, headers: Mapping[str, str]
) -> requests.Response:
    response = requests.Response()
    response.status_code = status
    response.headers.update(headers)
    response.request = request
    response.url = request.url or ""
    response.raw = urllib3.HTTPResponse(
        body=stream, headers=headers, status=status, preload_content=False, request_method=request.method
    )
    return response


Step = Prepared | Exception | Callable[[requests.PreparedRequest], requests.Response]


class FakeApi(BaseAdapter):
    """Plays `steps` in order: an answer, an exception to raise, or a function of the request.

    A request nobody prepared for fails, and so does, on leaving the `with` block, an answer nobody asked for.
    """

    def __init__(self, *steps: Step) -> None:
        super().__init__()
        self.steps = list(steps)
        self.requests: list[requests.PreparedRequest] = []

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        self.requests.append(request)
        assert self.steps, f"nobody prepared for {request.method} {request.url}"
        step = self.steps.pop(0)
        if isinstance(step, Exception):
            raise step
        return step.response(request) if isinstance(step, Prepared) else step(request)

    def close(self) -> None:
        return None

    def mount(self, session: requests.Session) -> None:
        session.adapters.clear()
        session.mount("https://", self)
        session.mount("http://", self)

    def __enter__(self) -> "FakeApi":
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None:
            assert not self.steps, f"{len(self.steps)} prepared answers were not asked for"

    @property
    def urls(self) -> list[str]:
        return [str(request.url) for request in self.requests]

    @property
    def queries(self) -> list[dict[str, str]]:
        return [dict(parse_qsl(urlsplit(url).query, keep_blank_values=True)) for url in self.urls]

    @property
    def paths(self) -> list[str]:
        return [urlsplit(url).path for url in self.urls]


def client(
    api: FakeApi,
    folder: Path,
    *,
    clock: Clock | None = None,
    authenticator: Authenticator | None = None,
    limit: RateLimit | None = None,
    retry: RetryPolicy | None = None,
    expired: Sequence[int] = (401,),
    base_url: str = BASE_URL,
    **settings: Any,
) -> Client:
    """Return a client whose world is `api` and `clock`."""
    clock = clock or Clock()
    made = Client(
        name="test",
        base_url=base_url,
        authenticator=authenticator or NoAuthentication(),
        limiter=RateLimiter(limit or RateLimit(), folder / "limit", clock=clock, sleep=clock.sleep, wall=clock),
        retry=retry or RetryPolicy(),
        expired=tuple(expired),
        sleep=clock.sleep,
        clock=clock,
        **settings,
    )
    api.mount(made.session)
    return made
