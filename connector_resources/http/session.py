"""The session that every request of ours goes through: nothing of it is left to chance or to the environment."""

import os
from collections.abc import Callable
from urllib.parse import urlsplit

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
        # Left to itself, requests replaces our Authorization header by what ~/.netrc holds for the host.
        # What else the environment says is taken over by hand.
        self.trust_env = False
        for scheme in ("https://", "http://"):
            self.mount(scheme, DeadlineAdapter(seconds))
        self.proxies.update(requests.utils.get_environ_proxies(url, no_proxy=None))
        self.verify = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Return None: to prepare the next request, requests would read the body of a redirect, however large."""


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
