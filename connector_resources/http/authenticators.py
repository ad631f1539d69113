"""Authenticators: each puts one kind of credential on a request.

They are values with two methods. `sign` returns the headers and query parameters to add; `refresh` is called once
when an answer says that the credential has expired, and tells whether trying again makes sense. Only the OAuth
authenticators ever talk to a server, through the `TokenEndpoint` they are given.
"""

import base64
import logging
import math
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import msgspec

from connector_resources.errors import (
    ConfigurationError,
    ConnectorError,
    DestinationUnwritable,
    MalformedPage,
    RequestError,
    RequestRejected,
)
from connector_resources.http.deadline import not_hung_up_on
from connector_resources.http.messages import hidden, shown_keys
from connector_resources.http.token_store import Attempt, Tokens, TokenStore, fingerprint

logger = logging.getLogger(__name__)


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

    def secrets(self) -> Collection[str]:
        """Return all that must not be shown, wherever a server may echo it."""
        ...


@dataclass(frozen=True, slots=True)
class InTurn:
    """A credential that several threads sign with, one after the other: while one renews it, the others wait for it.

    Nobody hangs up on that: a vendor may take each refresh token only once, and the next would be in the lost answer.
    """

    inner: Authenticator
    _turn: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def sign(self) -> Signature:
        """Return what to add to the next request."""
        with self._turn, not_hung_up_on():
            return self.inner.sign()

    def refresh(self, used: Signature) -> bool:
        """Replace a credential that was refused, unless another thread has done so since it was `used`."""
        with self._turn, not_hung_up_on():
            return self.inner.refresh(used)

    def secrets(self) -> Collection[str]:
        """Return all that must not be shown."""
        return self.inner.secrets()


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

    def secrets(self) -> Collection[str]:
        """Return nothing: there is none."""
        return ()


@dataclass(frozen=True, slots=True)
class BearerToken(_Fixed):
    """`Authorization: Bearer …`."""

    token: str = field(repr=False)

    def sign(self) -> Signature:
        """Return the header."""
        return Signature({"Authorization": f"Bearer {self.token}"})

    def secrets(self) -> Collection[str]:
        """Return the token."""
        return (self.token,)


@dataclass(frozen=True, slots=True)
class ApiKeyHeader(_Fixed):
    """A key in a header of the vendor's own: `X-Api-Key: …`."""

    key: str = field(repr=False)
    header: str = "X-Api-Key"

    def sign(self) -> Signature:
        """Return the header."""
        return Signature({self.header: self.key})

    def secrets(self) -> Collection[str]:
        """Return the key."""
        return (self.key,)


@dataclass(frozen=True, slots=True)
class ApiKeyQuery(_Fixed):
    """A key in the query: `?api_key=…`. The client keeps queries out of every message."""

    key: str = field(repr=False)
    parameter: str = "api_key"

    def sign(self) -> Signature:
        """Return the parameter."""
        return Signature(params={self.parameter: self.key})

    def secrets(self) -> Collection[str]:
        """Return the key."""
        return (self.key,)


@dataclass(frozen=True, slots=True)
class BasicAuthentication(_Fixed):
    """`Authorization: Basic …` (RFC 7617), both parts as UTF-8."""

    user: str
    password: str = field(repr=False)

    def sign(self) -> Signature:
        """Return the header."""
        return Signature({"Authorization": f"Basic {self._pair}"})

    def secrets(self) -> Collection[str]:
        """Return both parts, because some vendors take a key in the place of the user, and the pair as it is sent."""
        return (self.user, self.password, self._pair)

    @property
    def _pair(self) -> str:
        return base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


TokenEndpoint = Callable[[Mapping[str, str]], bytes]
"""Posts a form to an OAuth token endpoint and returns the body of its answer, unread. Raises RequestError."""


class GrantRefused(RequestRejected):
    """The token endpoint does not take this refresh token, which says nothing about another one."""


_USUAL_LIFE_SECONDS = 3600.0
_LONGEST_LIFE_SECONDS = 86_400.0


def _tokens(body: bytes, asked_at: float, refresh_token: str | None, secrets: Collection[str]) -> Tokens:
    """Read a token answer in snake_case or camelCase; `asked_at` is when its life began at the earliest.

    `expires_in` is in seconds by RFC 6749; some vendors send milliseconds, so more than a day is read as those. A
    token is renewed after nine tenths of its life. A refresh token that does not come back stays what it was.
    """
    try:
        answer = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise MalformedPage(f"The token endpoint's answer is not a JSON object ({len(body):,} bytes).") from None
    access = answer.get("access_token") or answer.get("accessToken")
    if not access:
        keys = hidden(shown_keys(answer), secrets)
        raise RequestRejected(f"The token endpoint answered without an access token (keys: {keys}).")
    life = _life_seconds(answer.get("expires_in") or answer.get("expiresIn"))
    newest = answer.get("refresh_token") or answer.get("refreshToken")
    return Tokens(str(access), refresh_token if newest is None else str(newest), asked_at + 0.9 * life, asked_at + life)


def _life_seconds(expires_in: Any) -> float:
    try:
        life = float(expires_in)
    except (OverflowError, TypeError, ValueError):
        return _USUAL_LIFE_SECONDS
    if not math.isfinite(life) or life < 1:  # 0 and less are said of tokens that do not expire
        return _USUAL_LIFE_SECONDS
    return life if life <= _LONGEST_LIFE_SECONDS else min(life / 1000, _LONGEST_LIFE_SECONDS)


@dataclass(slots=True)
class OAuth2ClientCredentials:
    """OAuth 2 client credentials (RFC 6749, 4.4): a token is fetched when there is none that is fresh."""

    client_id: str
    client_secret: str = field(repr=False)
    endpoint: TokenEndpoint = field(repr=False)
    clock: Callable[[], float] = field(default=time.time, repr=False)
    _current: Tokens | None = field(default=None, init=False, repr=False)

    def sign(self) -> Signature:
        """Return the header, with a token fetched first where none is fresh."""
        if self._current is None or not self._current.are_fresh(self.clock()):
            self._fetch()
        assert self._current is not None
        return _bearer(self._current)

    def refresh(self, used: Signature) -> bool:
        """Fetch a new token; always worth one more try."""
        self._fetch()
        return True

    def secrets(self) -> Collection[str]:
        """Return the client's secret and the token."""
        return (self.client_secret, *(() if self._current is None else (self._current.access,)))

    def _fetch(self) -> None:
        form = {
            "grant_type": "client_credentials",
            "client_id": self.client_id,
            "client_secret": self.client_secret,
        }
        asked_at = self.clock()
        self._current = _tokens(self.endpoint(form), asked_at, None, self.secrets())


def _bearer(tokens: Tokens) -> Signature:
    return Signature({"Authorization": f"Bearer {tokens.access}"})


_PAUSE_SECONDS = 60.0
"""How long nobody asks again for a token that could not be renewed while the one before it is still good."""


@dataclass(slots=True)
class OAuth2Refresh:
    """OAuth 2 with a refresh token that the vendor replaces at each use (RFC 6749, 6).

    The newest pair lives in `store`, shared by every process of the account. A refresh happens under a lock, after the
    store was read again: when several processes find the token expired, one refreshes and the others take what it
    stored. The `refresh_token` given here is only the first one; a changed one (a new installation) starts over.

    Processes die. One that dies before it asks, or once the answer is on disk, changes nothing: the next one finds the
    answer, kept as it came, and goes on. In between are windows that nobody can close from this side:

    - From the moment the vendor makes a new refresh token until the answer is on our disk (the way through the network,
      and one write), the new one is known to nobody here. Whoever comes next finds word that a question was asked. It
      uses the access token as long as that lives, then asks once more with the same refresh token: right where the
      vendor never got the question, or takes an old refresh token until the new one is used, or for a time. Where the
      vendor takes each only once, somebody has to authorize the app again, and the error says what happened.
    - A vendor that revokes a whole grant when an old refresh token comes back kills, by that second question, the
      access token of the lost answer; nobody has that one either.
    - A disk that fails between the question and the answer: the tokens are then good until this process ends.

    A refresh token that is refused is followed, once, by the one it replaced and the configured one: a vendor may have
    taken its new pair back. That is never done while an access token lives, because a replay may revoke it.
    """

    client_id: str
    client_secret: str = field(repr=False)
    refresh_token: str = field(repr=False)
    store: Path
    endpoint: TokenEndpoint = field(repr=False)
    clock: Callable[[], float] = field(default=time.time, repr=False)
    _unsaved: tuple[Tokens, str] | None = field(default=None, init=False, repr=False)
    _no_question_before: float = field(default=-math.inf, init=False, repr=False)

    def sign(self) -> Signature:
        """Return the header, with the token refreshed first where it is not fresh.

        Raises RequestError where the vendor gives none, ConfigurationError where it never will again, and
        DestinationUnwritable, before anything is asked, where a new one could not be stored.
        """
        tokens = self._known()
        now = self.clock()
        if tokens is not None and tokens.are_fresh(now) and self._unsaved is None:
            return _bearer(tokens)
        if tokens is not None and now < min(tokens.expires_at, self._no_question_before):
            return _bearer(tokens)
        try:
            return _bearer(self._renewed(refused=None))
        except ConnectorError as error:
            tokens = self._known()
            if tokens is None or now >= tokens.expires_at:
                raise
            self._no_question_before = now + _PAUSE_SECONDS
            logger.warning("%s The access token is used until it expires, in %.0f s.", error, tokens.expires_at - now)
            return _bearer(tokens)

    def refresh(self, used: Signature) -> bool:
        """Refresh a token the API refused, unless another process has done so meanwhile."""
        self._renewed(refused=used)
        return True

    def secrets(self) -> Collection[str]:
        """Return the client's secret and all tokens that are known."""
        try:
            tokens = self._known()
        except ConnectorError:  # the store cannot be read, which whoever signs is told
            tokens = None
        known = () if tokens is None else (tokens.access, tokens.refresh, tokens.previous)
        return tuple(filter(None, (self.client_secret, self.refresh_token, *known)))

    def _renewed(self, refused: Signature | None) -> Tokens:
        files = self._files()
        with files.locked():
            self._save(files)
            attempt = self._taken_up(files)
            tokens = self._known()
            is_refused = tokens is not None and refused is not None and refused.headers == _bearer(tokens).headers
            now = self.clock()
            is_alive = tokens is not None and now < tokens.expires_at and not is_refused
            if tokens is not None and is_alive and tokens.are_fresh(now):
                return tokens
            if tokens is not None and is_alive and attempt is not None:
                self._no_question_before = now + _PAUSE_SECONDS
                return tokens
            return self._asked(
                files, tokens, is_alive, None if attempt is None else attempt.lost_at or attempt.asked_at
            )

    def _asked(self, files: TokenStore, tokens: Tokens | None, is_alive: bool, lost_at: float | None) -> Tokens:
        """Ask for new tokens with the newest refresh token and then, where that can do no harm, with older ones."""
        newest = self._newest(tokens)
        older = () if tokens is None or is_alive or tokens.is_last_hope else (tokens.previous, self.refresh_token)
        refused: GrantRefused | None = None
        for refresh_token in dict.fromkeys(token for token in (newest, *older) if token):
            asked_at = self.clock()
            with files.asking(Attempt(asked_at, lost_at)) as keep:
                try:
                    answer = self.endpoint(
                        {
                            "grant_type": "refresh_token",
                            "client_id": self.client_id,
                            "client_secret": self.client_secret,
                            "refresh_token": refresh_token,
                        }
                    )
                except GrantRefused as error:
                    refused = refused or error
                    continue
                except RequestError as error:
                    if lost_at is None and error.status is not None and error.status < 500:
                        files.forget_attempt()  # the vendor says that it has done nothing
                    raise
                try:
                    keep(answer)
                except OSError as error:
                    logger.warning("%s: the answer could not be kept (%s).", self.store, error.strerror)
            renewed = self._read(answer, asked_at, refresh_token)
            self._unsaved = renewed, fingerprint(newest)
            if self._save(files):
                files.forget_attempt()
            return renewed
        assert refused is not None
        if tokens is not None and older:
            files.write(replace(tokens, previous=None, is_last_hope=True))
        if lost_at is None:
            files.forget_attempt()
            raise refused
        when = datetime.fromtimestamp(lost_at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        raise ConfigurationError(
            f"{refused} At {when} a process asked for a new token and died, or lost the connection, before the answer "
            f"was in {self.store}: the vendor's newest refresh token is lost, and it takes none of those before. "
            "Authorize the app again and set the new refresh token."
        )

    def _taken_up(self, files: TokenStore) -> Attempt | None:
        """Store an answer that a process kept before it died; returns the attempt of which there is no answer."""
        attempt = files.attempt()
        if attempt is None or attempt.answer is None:
            return attempt
        known = self._known()
        try:
            found = self._read(attempt.answer, attempt.asked_at, self._newest(known))
        except (RequestRejected, MalformedPage):
            return attempt
        if known is None or (found.access, found.refresh) != (known.access, known.refresh):
            self._unsaved = found, fingerprint(self._newest(files.tokens()))
        if self._save(files):
            files.forget_attempt()
        return None

    def _read(self, answer: bytes, asked_at: float, refresh_token: str) -> Tokens:
        tokens = _tokens(answer, asked_at, refresh_token, self.secrets())
        is_known_anyway = refresh_token in (tokens.refresh, self.refresh_token)
        return replace(tokens, previous=None if is_known_anyway else refresh_token)

    def _save(self, files: TokenStore) -> bool:
        """Store what only this process has, unless the store has moved on; returns whether it has nothing left."""
        if self._unsaved is None:
            return True
        tokens, followed = self._unsaved
        if fingerprint(self._newest(files.tokens())) == followed:
            try:
                files.write(tokens)
            except DestinationUnwritable as error:
                self._no_question_before = self.clock() + _PAUSE_SECONDS
                logger.warning("%s This process has new ones and goes on with them.", error)
                return False
        self._unsaved = None
        return True

    def _known(self) -> Tokens | None:
        return self._files().tokens() if self._unsaved is None else self._unsaved[0]

    def _newest(self, tokens: Tokens | None) -> str:
        return (None if tokens is None else tokens.refresh) or self.refresh_token

    def _files(self) -> TokenStore:
        return TokenStore(self.store, fingerprint(self.refresh_token))
