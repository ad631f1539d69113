"""Sending one request: limit, sign, send, judge, retry.

Every foreign exception is mapped here, the only place that calls `requests`. Messages name the method and the path,
never the query, a header or the body.
"""

import logging
import math
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

import requests
import urllib3.exceptions

from connector_resources.errors import ConfigurationError, ConnectorError, RateLimited, RequestRejected
from connector_resources.http.ahead import Stopped
from connector_resources.http.authenticators import Authenticator, Signature
from connector_resources.http.messages import Request, Response, hidden
from connector_resources.http.rate_limit import RateLimiter
from connector_resources.http.retry import RetryPolicy, TryAgain, budget_told, demanded_wait, exhausted_wait
from connector_resources.http.session import Session

_CHUNK_BYTES = 1 << 16
"""Room is made for so much before each read, however little comes."""
_UNSENDABLE = (
    requests.exceptions.InvalidHeader,
    requests.exceptions.InvalidSchema,
    requests.exceptions.InvalidURL,
    requests.exceptions.MissingSchema,
    UnicodeError,
)


@dataclass(slots=True)
class Statistics:
    """What reading has cost so far: requests sent (retries among them), body bytes received, seconds waited."""

    requests: int = 0
    retries: int = 0
    bytes: int = 0
    wait_seconds: float = 0.0

    def __add__(self, other: "Statistics") -> "Statistics":
        return Statistics(
            self.requests + other.requests,
            self.retries + other.retries,
            self.bytes + other.bytes,
            self.wait_seconds + other.wait_seconds,
        )

    def since(self, before: "Statistics") -> "Statistics":
        """Return what has been added since `before`, a copy made earlier."""
        return Statistics(
            self.requests - before.requests,
            self.retries - before.retries,
            self.bytes - before.bytes,
            self.wait_seconds - before.wait_seconds,
        )


@dataclass(slots=True)
class Held:
    """Until when one of the clients that share this waits to try again, on their clock: the others wait with it."""

    until: float = -math.inf


@dataclass(slots=True)
class Client:
    """Sends requests to one base URL.

    `expired` are the statuses after which a credential is refreshed once (`401`, and `403` where a vendor uses it for
    expired tokens). A body larger than `largest_body_bytes` or slower than `total_timeout_seconds` is given up:
    neither a compressed bomb nor a dripping socket holds a run for ever. `tell` is told of each try that has failed and
    is followed by another.
    """

    name: str
    base_url: str
    authenticator: Authenticator
    limiter: RateLimiter
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    headers: dict[str, str] = field(default_factory=dict)
    expired: tuple[int, ...] = (401,)
    connect_timeout_seconds: float = 10.0
    read_timeout_seconds: float = 60.0
    total_timeout_seconds: float = 300.0
    largest_body_bytes: int = 512 << 20
    statistics: Statistics = field(default_factory=Statistics)
    held: Held = field(default_factory=Held, repr=False)
    session: Session = field(init=False, repr=False)
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)
    tell: Callable[[str], None] = field(default=logging.getLogger(__name__).warning, repr=False)

    def __post_init__(self) -> None:
        self.session = Session(self.name, self.base_url, lambda: self.total_timeout_seconds)

    def helper(self, stopped: threading.Event) -> "Client":
        """Return a client that does the same in another thread, until `stopped` is set: no wait outlasts that.

        Connections, credential, budget and what the server demands are the same; cookies and statistics are its own.
        """

        def tell(line: str) -> None:
            if not stopped.is_set():
                self.tell(line)

        limiter = replace(self.limiter, sleep=until(stopped, self.limiter.sleep))
        sleep = until(stopped, self.sleep)
        helper = replace(self, limiter=limiter, statistics=Statistics(), sleep=sleep, tell=tell)
        helper.session.adapters = self.session.adapters
        return helper

    def send(self, request: Request, limiters: Sequence[RateLimiter] = ()) -> Response:
        """Send `request`, waiting for the account's limiter and for `limiters`, and return a usable answer.

        Raises RequestRejected for a final refusal, RequestRetryable once every try is spent, and RateLimited where
        the server demands a wait longer than the retry policy sleeps; ConfigurationError for a host or a credential
        that cannot be put on the wire.
        """
        where = f"{self.name}: {request.method} {request.path}"
        with self.hiding():
            return self._sent(where, request, limiters)

    @contextmanager
    def hiding(self) -> Iterator[None]:
        """Take every secret that a server may have echoed out of the message of an error that leaves the block."""
        try:
            yield
        except ConnectorError as error:
            error.args = tuple(hidden(str(part), self.authenticator.secrets()) for part in error.args)
            raise

    def _sent(self, where: str, request: Request, limiters: Sequence[RateLimiter]) -> Response:
        is_renewed = False
        if (held_seconds := self.held.until - self.clock()) > 0:
            self._wait(held_seconds)
        for attempt in self.retry.retrying(self._wait_to_try_again, self.clock, self._tell):
            with attempt:
                self.statistics.retries += attempt.retry_state.attempt_number > 1
                signature = self.authenticator.sign()
                response = self._send_once(where, request, signature, limiters)
                if response.status in self.expired and not is_renewed:
                    is_renewed = True
                    if self.authenticator.refresh(signature):
                        signature = self.authenticator.sign()
                        response = self._send_once(where, request, signature, limiters)
                return self._judged(where, response, limiters)
        raise AssertionError("tenacity re-raises the last error")

    def _tell(self, line: str) -> None:
        self.tell(hidden(line, self.authenticator.secrets()))

    def _wait_to_try_again(self, seconds: float) -> None:
        until = self.clock() + seconds
        self.held.until = max(self.held.until, until)
        try:
            self._wait(seconds)
        finally:
            if self.held.until == until:
                self.held.until = -math.inf

    def _wait(self, seconds: float) -> None:
        self.statistics.wait_seconds += seconds
        self.sleep(seconds)

    def _send_once(
        self, where: str, request: Request, signature: Signature, limiters: Sequence[RateLimiter]
    ) -> Response:
        for limiter in (*limiters, self.limiter):  # the account's last: others send what is left by it meanwhile
            self.statistics.wait_seconds += limiter.acquire()
        self.statistics.requests += 1
        try:
            with self.session.ask(
                request.method,
                self.base_url + request.path,
                params={**request.params, **signature.params},
                json=request.json,
                headers={"Accept": "application/json", **self.headers, **signature.headers},
                timeout=(self.connect_timeout_seconds, self.read_timeout_seconds),
            ) as answer:
                for limiter in (self.limiter, *limiters):
                    limiter.answered()
                headers = {name.lower(): value for name, value in answer.headers.items()}
                is_redirect = 300 <= answer.status_code < 400  # nobody needs the body of one
                return Response(answer.status_code, headers, b"" if is_redirect else self._body(where, answer))
        except _UNSENDABLE as error:
            raise ConfigurationError(
                f"{where}: this cannot be sent ({type(error).__name__}). The base URL must read https://host or "
                "https://host/path; a credential must be plain letters, digits and signs, without a line break."
            ) from None
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            # The exception's own text holds the URL with its query, so only its kind is told.
            raise TryAgain(
                f"{where}: no whole answer from {urlsplit(self.base_url).netloc} ({_kind(error)})",
                ". Check the host and the network; a run may be repeated, what was read is kept.",
                status=None,
                wait_seconds=None,
            ) from None

    def _body(self, where: str, answer: requests.Response) -> bytes:
        end = self.clock() + self.total_timeout_seconds
        chunks: list[bytes] = []
        size = 0
        # `read1` returns what is there: `stream` would gather a whole chunk first, however slowly it drips.
        while chunk := answer.raw.read1(_CHUNK_BYTES, decode_content=True):
            size += len(chunk)
            chunks.append(chunk)
            if size > self.largest_body_bytes:
                raise RequestRejected(
                    f"{where}: the answer is larger than {self.largest_body_bytes:,} bytes. Ask for smaller pages."
                )
            if self.clock() > end:
                raise TryAgain(
                    f"{where}: the answer was not there after {self.total_timeout_seconds:.0f} s",
                    ".",
                    status=answer.status_code,
                    wait_seconds=None,
                )
        self.statistics.bytes += size
        return b"".join(chunks)

    def _judged(self, where: str, response: Response, limiters: Sequence[RateLimiter]) -> Response:
        """Return a usable answer as it is; raise what any other one means."""
        status = response.status
        if 200 <= status < 300:
            if (budget := budget_told(response.headers)) is not None:
                self.limiter.told(*budget)
            if (pause_seconds := exhausted_wait(response.headers)) is not None:
                self.limiter.block(min(pause_seconds, self.retry.longest_wait_seconds))
            return response
        if status == 429 or status >= 500:
            demanded_seconds = demanded_wait(response.headers)
            if status == 429:
                for limiter in (self.limiter, *limiters):
                    limiter.refused(demanded_seconds)
            if demanded_seconds is not None and demanded_seconds > self.retry.longest_wait_seconds:
                raise RateLimited(
                    f"{where}: {status}, and the server asks to wait {demanded_seconds:.0f} s. Run it again then; "
                    "what was read is kept.",
                    wait_seconds=demanded_seconds,
                    status=status,
                )
            raise TryAgain(f"{where}: {status}", " in every try.", status=status, wait_seconds=demanded_seconds)
        if 300 <= status < 400:
            raise RequestRejected(
                f"{where}: {status}, a redirect to {_target(response)}, which is not followed so that the credential "
                "stays here. Set the host to the one the API is served from.",
                status=status,
            )
        raise RequestRejected(f"{where}: {status}. {_ADVICE.get(status, _OTHER_ADVICE)}", status=status)


def until(stopped: threading.Event, sleep: Callable[[float], None]) -> Callable[[float], None]:
    """Return what sleeps as `sleep` does, and raises Stopped once that is so."""
    return _Until(stopped, sleep.sleep if isinstance(sleep, _Until) else sleep)  # a helper's helper has its own end


@dataclass(frozen=True, slots=True)
class _Until:
    stopped: threading.Event
    sleep: Callable[[float], None]

    def __call__(self, seconds: float) -> None:
        if self.sleep is time.sleep:
            self.stopped.wait(seconds)
        elif not self.stopped.is_set():
            self.sleep(seconds)
        if self.stopped.is_set():
            raise Stopped


def _target(redirect: Response) -> str:
    """Name where a redirect leads, by its host alone; whatever else is in the address may be a secret."""
    try:
        host = urlsplit(redirect.headers.get("location", "")).hostname
    except ValueError:
        return "what is no address"
    return "another path" if host is None else host if _HOST.fullmatch(host) else "another host"


_HOST = re.compile(r"[a-z0-9.-]{1,100}")
_ADVICE = {
    400: "The API does not accept a parameter; compare the stream's declaration with the reference.",
    401: "The credential is not accepted; check it.",
    403: "The credential is not accepted, or may not read this; check it and its permissions.",
    404: "There is no such path or record, or the credential may not see it; check the host.",
    422: "The API does not accept a parameter; compare the stream's declaration with the reference.",
}
_OTHER_ADVICE = "The API refuses the request for good."


def _kind(error: BaseException) -> str:
    """Name the innermost cause: 'ConnectTimeoutError', 'NameResolutionError', 'ConnectionRefusedError'."""
    causes = [error]
    while True:
        reason = getattr(causes[-1], "reason", None)
        inner = next(
            (
                candidate
                for candidate in (reason, causes[-1].__cause__, *causes[-1].args, causes[-1].__context__)
                if isinstance(candidate, BaseException) and candidate not in causes
            ),
            None,
        )
        if inner is None:
            return type(causes[-1]).__name__
        causes.append(inner)
