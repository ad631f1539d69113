"""Posting a form to an OAuth 2 token endpoint (RFC 6749, 3.2), with errors that hold nothing of what was sent."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import msgspec
import requests
import urllib3.exceptions

from connector_resources.errors import RequestRejected
from connector_resources.http.authenticators import GrantRefused
from connector_resources.http.retry import TryAgain, demanded_wait
from connector_resources.http.session import Session

_LARGEST_ANSWER_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class FormTokenEndpoint:
    """Posts `application/x-www-form-urlencoded` to `url` and returns the body of the answer, unread.

    One call is one try. A connection that fails, a 429 and a 5xx are worth another one, which the caller's retry
    policy makes; any other refusal is final. A redirect is not followed: the form holds the client's secret.
    """

    name: str
    url: str
    advice: str
    connect_timeout_seconds: float = 10.0
    read_timeout_seconds: float = 60.0
    clock: Callable[[], float] = field(default=time.monotonic, repr=False, compare=False)
    session: Session = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "session", Session(self.name, self.url, lambda: self.read_timeout_seconds))

    def __call__(self, form: Mapping[str, str]) -> bytes:
        """Return the body of the answer. Raises GrantRefused, another RequestRejected, or TryAgain."""
        parts = urlsplit(self.url)
        where = f"{self.name}: POST {parts.path}"
        try:
            with self.session.post(
                self.url,
                data=dict(form),
                headers={"Accept": "application/json"},
                timeout=(self.connect_timeout_seconds, self.read_timeout_seconds),
                allow_redirects=False,
                stream=True,
            ) as answer:
                status = answer.status_code
                headers = {name.lower(): value for name, value in answer.headers.items()}
                body = b"" if 300 <= status < 400 else self._body(where, answer)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise TryAgain(
                f"{where}: no whole answer from {parts.netloc} ({type(error).__name__})",
                ". Check the host and the network.",
                status=None,
                wait_seconds=None,
            ) from None
        if status == 429 or status >= 500:
            raise TryAgain(f"{where}: {status}", " in every try.", status=status, wait_seconds=demanded_wait(headers))
        if not 200 <= status < 300:
            refusal = GrantRefused if status == 400 and _may_be_about_the_grant(body) else RequestRejected
            raise refusal(f"{where}: {status}. {self.advice}", status=status)
        return body

    def _body(self, where: str, answer: requests.Response) -> bytes:
        end = self.clock() + self.read_timeout_seconds
        body = b""
        while chunk := answer.raw.read1(_LARGEST_ANSWER_BYTES, decode_content=True):
            body += chunk
            if len(body) > _LARGEST_ANSWER_BYTES:
                raise RequestRejected(f"{where}: the answer is larger than {_LARGEST_ANSWER_BYTES:,} bytes.")
            if self.clock() > end:
                raise TryAgain(
                    f"{where}: the answer was not there after {self.read_timeout_seconds:.0f} s",
                    ".",
                    status=None,
                    wait_seconds=None,
                )
        return body


_ABOUT_SOMETHING_ELSE = (
    "invalid_request",
    "invalid_client",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
)
"""The errors of RFC 6749, 5.2, but for `invalid_grant`."""


def _may_be_about_the_grant(body: bytes) -> bool:
    """Whether a refusal is the vendor's own and names no other error; not every vendor sends those of the RFC."""
    try:
        return msgspec.json.decode(body, type=dict[str, Any]).get("error") not in _ABOUT_SOMETHING_ELSE
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False  # a page of some proxy: the vendor may not even have been asked
