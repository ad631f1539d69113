"""Posting a form to an OAuth 2 token endpoint (RFC 6749, 3.2), with errors that hold nothing of what was sent."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import msgspec
import requests
import requests.utils
import urllib3.exceptions

from connector_resources.errors import MalformedPage, RequestRejected
from connector_resources.http.retry import TryAgain, demanded_wait

_LARGEST_ANSWER_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class FormTokenEndpoint:
    """Posts `application/x-www-form-urlencoded` to `url` and returns the JSON object it answers with.

    One call is one try. A connection that fails, a 429 and a 5xx are worth another one, which the caller's retry
    policy makes; any other refusal is final. A redirect is not followed: the form holds the client's secret.
    """

    name: str
    url: str
    advice: str
    connect_timeout_seconds: float = 10.0
    read_timeout_seconds: float = 60.0
    session: requests.Session = field(default_factory=requests.Session, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Left to itself, requests adds an Authorization header from ~/.netrc; the rest is taken over by hand.
        self.session.trust_env = False
        self.session.proxies.update(requests.utils.get_environ_proxies(self.url, no_proxy=None))
        self.session.verify = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True

    def __call__(self, form: Mapping[str, str]) -> Mapping[str, Any]:
        """Return the decoded answer. Raises RequestRejected, TryAgain or MalformedPage."""
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
                body = b"".join(answer.iter_content(1 << 16)) if _is_small(headers) else b""
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise TryAgain(
                f"{where}: no whole answer from {parts.netloc} ({type(error).__name__}). "
                "Check the host and the network.",
                status=None,
                wait_seconds=None,
            ) from None
        if status == 429 or status >= 500:
            raise TryAgain(f"{where}: {status} in every try.", status=status, wait_seconds=demanded_wait(headers))
        if not 200 <= status < 300:
            raise RequestRejected(f"{where}: {status}. {self.advice}", status=status)
        try:
            return msgspec.json.decode(body, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise MalformedPage(f"{where}: the answer is not a JSON object ({len(body):,} bytes).") from None


def _is_small(headers: Mapping[str, str]) -> bool:
    return int(headers.get("content-length") or 0) <= _LARGEST_ANSWER_BYTES
