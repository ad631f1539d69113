"""Authenticators: each puts one kind of credential on a request.

They are values with two methods. `sign` returns the headers and query parameters to add; `refresh` is called once
when an answer says that the credential has expired, and tells whether trying again makes sense. Only the OAuth
authenticators ever talk to a server, through the `TokenEndpoint` they are given.
"""

import base64
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import portalocker

from connector_resources.errors import ConfigurationError, RequestRejected, RequestRetryable
from connector_resources.http.messages import shown_keys


@dataclass(frozen=True, slots=True)
class Signature:
    """What a credential adds to a request; never printed."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    params: Mapping[str, str] = field(default_factory=dict, repr=False)


class Authenticator(Protocol):
    """Puts a credential on a request."""

    def sign(self) -> Signature:
        """Return what to add to the next request."""
        ...

    def refresh(self, used: Signature) -> bool:
        """Replace a credential that was refused; `used` is the signature refused. Returns whether it changed."""
        ...


class _Fixed:
    """A credential that stays what it is: refusing it is final."""

    __slots__ = ()

    def refresh(self, used: Signature) -> bool:
        """Return False: there is nothing to replace it with."""
        return False


@dataclass(frozen=True, slots=True)
class NoAuthentication(_Fixed):
    """For APIs that are open."""

    def sign(self) -> Signature:
        """Return nothing to add."""
        return Signature()


@dataclass(frozen=True, slots=True)
class BearerToken(_Fixed):
    """`Authorization: Bearer …`."""

    token: str = field(repr=False)

    def sign(self) -> Signature:
        """Return the header."""
        return Signature({"Authorization": f"Bearer {self.token}"})


@dataclass(frozen=True, slots=True)
class ApiKeyHeader(_Fixed):
    """A key in a header of the vendor's own: `X-Api-Key: …`."""

    key: str = field(repr=False)
    header: str = "X-Api-Key"

    def sign(self) -> Signature:
        """Return the header."""
        return Signature({self.header: self.key})


@dataclass(frozen=True, slots=True)
class ApiKeyQuery(_Fixed):
    """A key in the query: `?api_key=…`. The client keeps queries out of every message."""

    key: str = field(repr=False)
    parameter: str = "api_key"

    def sign(self) -> Signature:
        """Return the parameter."""
        return Signature(params={self.parameter: self.key})


@dataclass(frozen=True, slots=True)
class BasicAuthentication(_Fixed):
    """`Authorization: Basic …` (RFC 7617), both parts as UTF-8."""

    user: str
    password: str = field(repr=False)

    def sign(self) -> Signature:
        """Return the header."""
        pair = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        return Signature({"Authorization": f"Basic {pair}"})


TokenEndpoint = Callable[[Mapping[str, str]], Mapping[str, Any]]
"""Posts a form to an OAuth token endpoint and returns the decoded JSON answer. Raises RequestError."""


@dataclass(frozen=True, slots=True)
class _Tokens:
    access: str = field(repr=False)
    refresh: str | None = field(repr=False)
    expires_at: float

    def are_fresh(self, now: float) -> bool:
        return now < self.expires_at


_USUAL_LIFE_SECONDS = 3600.0


def _tokens(answer: Mapping[str, Any], now: float, refresh_token: str | None) -> _Tokens:
    """Read a token answer in snake_case or camelCase.

    `expires_in` is in seconds by RFC 6749; some vendors send milliseconds, so more than a day is read as those. A
    token is renewed after nine tenths of its life. A refresh token that does not come back stays what it was.
    """
    access = answer.get("access_token") or answer.get("accessToken")
    if not access:
        raise RequestRejected(f"The token endpoint answered without an access token (keys: {shown_keys(answer)}).")
    try:
        life = float(answer.get("expires_in") or answer.get("expiresIn") or _USUAL_LIFE_SECONDS)
    except (TypeError, ValueError):
        life = _USUAL_LIFE_SECONDS
    if life > 86_400:
        life /= 1000
    return _Tokens(
        str(access), answer.get("refresh_token") or answer.get("refreshToken") or refresh_token, now + 0.9 * life
    )


@dataclass(slots=True)
class OAuth2ClientCredentials:
    """OAuth 2 client credentials (RFC 6749, 4.4): a token is fetched when there is none that is fresh."""

    client_id: str
    client_secret: str = field(repr=False)
    endpoint: TokenEndpoint = field(repr=False)
    clock: Callable[[], float] = field(default=time.time, repr=False)
    _current: _Tokens | None = field(default=None, init=False, repr=False)

    def sign(self) -> Signature:
        """Return the header, with a token fetched first where none is fresh."""
        if self._current is None or not self._current.are_fresh(self.clock()):
            self._fetch()
        assert self._current is not None
        return Signature({"Authorization": f"Bearer {self._current.access}"})

    def refresh(self, used: Signature) -> bool:
        """Fetch a new token; always worth one more try."""
        self._fetch()
        return True

    def _fetch(self) -> None:
        form = {
            "grant_type": "client_credentials",
            "client_id": self.client_id,
            "client_secret": self.client_secret,
        }
        self._current = _tokens(self.endpoint(form), self.clock(), None)


_LOCK_TIMEOUT_SECONDS = 120


@dataclass(slots=True)
class OAuth2Refresh:
    """OAuth 2 with a refresh token that the vendor replaces at each use (RFC 6749, 6).

    The newest pair lives in `store`, a file readable by its owner only and shared by every process of the account.
    A refresh happens under a lock beside it, after the file was read again: when two processes find the token
    expired, one refreshes and the other takes what it stored. The new pair is on disk before it is used. The
    `refresh_token` given here is only the first one; a changed one (a new installation) starts over.
    """

    client_id: str
    client_secret: str = field(repr=False)
    refresh_token: str = field(repr=False)
    store: Path
    endpoint: TokenEndpoint = field(repr=False)
    clock: Callable[[], float] = field(default=time.time, repr=False)

    def sign(self) -> Signature:
        """Return the header, with the token refreshed first where it is not fresh."""
        tokens = self._stored()
        if tokens is None or not tokens.are_fresh(self.clock()):
            tokens = self._renew(refused=None)
        return Signature({"Authorization": f"Bearer {tokens.access}"})

    def refresh(self, used: Signature) -> bool:
        """Refresh a token the API refused, unless another process has done so meanwhile."""
        self._renew(refused=used.headers.get("Authorization"))
        return True

    def _renew(self, refused: str | None) -> _Tokens:
        self.store.parent.mkdir(parents=True, exist_ok=True)
        with self._locked():
            tokens = self._stored()
            is_refused = tokens is not None and refused == f"Bearer {tokens.access}"
            if tokens is not None and tokens.are_fresh(self.clock()) and not is_refused:
                return tokens
            newest = (tokens.refresh if tokens is not None else None) or self.refresh_token
            form = {
                "grant_type": "refresh_token",
                "client_id": self.client_id,
                "client_secret": self.client_secret,
                "refresh_token": newest,
            }
            tokens = _tokens(self.endpoint(form), self.clock(), newest)
            self._write(tokens)
            return tokens

    @contextmanager
    def _locked(self) -> Iterator[None]:
        lock = portalocker.Lock(f"{self.store}.lock", mode="a", timeout=_LOCK_TIMEOUT_SECONDS)
        try:
            lock.acquire()
        except portalocker.LockException:
            raise RequestRetryable(
                f"another process has been refreshing the token for {_LOCK_TIMEOUT_SECONDS} s "
                f"({self.store.name}.lock). Run it again."
            ) from None
        try:
            yield
        finally:
            lock.release()

    def _stored(self) -> _Tokens | None:
        try:
            data = json.loads(self.store.read_text())
            if data["first_refresh_token"] != self._fingerprint():
                return None
            return _Tokens(str(data["access_token"]), data["refresh_token"], float(data["expires_at"]))
        except FileNotFoundError:
            return None
        except (KeyError, TypeError, ValueError):
            # Starting over by ourselves could use a refresh token a second time, which revokes the whole grant.
            raise ConfigurationError(
                f"{self.store} is not the token file it should be. Remove it, authorize the app again and set the new "
                "refresh token."
            ) from None

    def _fingerprint(self) -> str:
        """Tell one configured refresh token from another without keeping it."""
        return hashlib.blake2b(self.refresh_token.encode(), digest_size=16).hexdigest()

    def _write(self, tokens: _Tokens) -> None:
        data = {
            "access_token": tokens.access,
            "refresh_token": tokens.refresh,
            "expires_at": tokens.expires_at,
            "first_refresh_token": self._fingerprint(),
        }
        handle, name = tempfile.mkstemp(dir=self.store.parent, prefix=self.store.name)  # created with mode 600
        with os.fdopen(handle, "w") as file:
            json.dump(data, file)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(self.store)
