"""The session that every request of ours goes through: nothing of it is left to chance or to the environment."""

import os
import re
from collections.abc import Callable, Mapping
from copy import copy
from typing import Any
from urllib.parse import urlencode, urlsplit

import requests
import requests.utils

from connector_resources.errors import ConfigurationError
from connector_resources.http.deadline import DeadlineAdapter


class Session(requests.Session):
    """Sends requests to one address, follows no redirect, and waits at most `seconds()` for a whole answer.

    Proxies and certificates are those of the environment. Raises ConfigurationError for an address with a user name or
    a password in it, which `requests` would send in the place of the credential.
    """

    def __init__(self, name: str, url: str, seconds: Callable[[], float]) -> None:
        _require_plain(name, url)
        super().__init__()
        self._base = url
        self._prepared: tuple[tuple[Any, ...], requests.PreparedRequest] | None = None
        # Left to itself, requests replaces our Authorization header by what ~/.netrc holds for the host.
        # What else the environment says is taken over by hand.
        self.trust_env = False
        for scheme in ("https://", "http://"):
            self.mount(scheme, DeadlineAdapter(seconds))
        self.proxies.update(requests.utils.get_environ_proxies(url, no_proxy=None))
        self.verify = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True

    def ask(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str | tuple[str, ...]],
        json: Any,
        headers: Mapping[str, str],
        timeout: tuple[float, float],
    ) -> requests.Response:
        """Send a request and return its answer, the body yet to be read.

        Most requests differ from the one before in their path and their parameters alone: what `requests` makes of the
        rest, a third of a request's price, is kept.
        """
        path = url.removeprefix(self._base)
        if json is not None or len(self.cookies) or "?" in url or "#" in url or not _PLAIN_PATH.fullmatch(path):
            prepared = self.prepare_request(requests.Request(method, url, params=params, json=json, headers=headers))
        else:
            asked = (method, tuple(headers.items()))
            if self._prepared is None or self._prepared[0] != asked:
                request = requests.Request(method, self._base + _ANY_PATH, headers=headers)
                self._prepared = asked, self.prepare_request(request)
            prepared = copy(self._prepared[1])  # nobody changes what the two share
            query = f"?{urlencode(params, doseq=True)}" if params else ""
            prepared.url = f"{str(prepared.url).removesuffix(_ANY_PATH)}{path}{query}"
        return self.send(prepared, timeout=timeout, allow_redirects=False, stream=True)

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Return None: to prepare the next request, requests would read the body of a redirect, however large."""


_ANY_PATH = "/any"
_PLAIN_PATH = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9_.~-]*)+")
"""What stands in an address as it is: nothing to be quoted, and no way up. An address that is not below the base begins
with its scheme, and is none."""


def _require_plain(name: str, url: str) -> None:
    try:
        is_plain = "@" not in urlsplit(url).netloc
    except ValueError:
        is_plain = False
    if not is_plain:
        raise ConfigurationError(
            f"{name}: the base URL must read https://host or https://host/path, without a user name or a password. "
            "Set credentials in the variables for them."
        )
