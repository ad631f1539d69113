"""Requests not yet made and answers received, as values."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any
from urllib.parse import quote, quote_plus

import msgspec

from connector_resources.errors import MalformedPage


@dataclass(frozen=True, slots=True)
class Request:
    """A call not yet made.

    `path` is relative to the source's base URL. `params` is the query, in order, values already text. `json` is sent
    as the body when it is not None. `carried` is never sent: it travels with the request from page to page, for a
    paginator that needs to remember where it is going.
    """

    path: str
    method: str = "GET"
    params: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    json: Any = None
    carried: Mapping[str, Any] = field(default_factory=dict)
    _key: bytes | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def key(self) -> bytes:
        """What tells this request from any other, made at its first use."""
        if self._key is None:
            object.__setattr__(self, "_key", msgspec.json.encode(self.encode(), order="sorted"))
        assert self._key is not None
        return self._key

    def with_params(self, **params: str | None) -> "Request":
        """Return the same request with these parameters set, or taken out where the value is None."""
        merged = {**self.params, **params}
        return replace(self, params={name: value for name, value in merged.items() if value is not None})

    def encode(self) -> dict[str, Any]:
        """Return plain JSON data that `decode` turns back into this request."""
        return {
            "path": self.path,
            "method": self.method,
            "params": dict(self.params),
            "json": self.json,
            "carried": dict(self.carried),
        }

    @classmethod
    def decode(cls, data: Mapping[str, Any]) -> "Request":
        """Return the request that `encode` was given."""
        params = {name: tuple(value) if isinstance(value, list) else value for name, value in data["params"].items()}
        return cls(data["path"], data["method"], params, data["json"], data["carried"])


@dataclass(frozen=True, slots=True)
class Response:
    """An answer with a status below 300, its body read whole. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """An opened page: the raw records, and the envelope around them for the paginator to look at."""

    response: Response
    records: tuple[msgspec.Raw, ...]
    envelope: Mapping[str, msgspec.Raw]

    def value(self, path: str) -> Any:
        """Return the decoded value at a dotted path of the envelope, None where any part of it is absent or null.

        Raises MalformedPage for a number that no number of ours can hold.
        """
        node: Any = self.envelope
        for key in path.split("."):
            node = _decoded(node, path)
            node = node.get(key) if isinstance(node, Mapping) else None
            if node is None:
                return None
        return _decoded(node, path)


def _decoded(node: Any, path: str) -> Any:
    if not isinstance(node, msgspec.Raw):
        return node
    try:
        return msgspec.json.decode(node)
    except msgspec.DecodeError as error:
        raise MalformedPage(f"'{path}' of the envelope cannot be read ({str(error)[:120]}).") from None


def hidden(text: str, secrets: Iterable[str]) -> str:
    """Return a text that has `…` where a secret was, as it is or quoted for a URL, in capitals or not.

    A server may echo what it was sent wherever a message shows something of its answer. What has fewer than four
    characters is in many words, and no secret.
    """
    forms = {
        form for secret in secrets if len(secret) >= 4 for form in (secret, quote(secret, safe=""), quote_plus(secret))
    }
    if not forms:
        return text
    longest_first = sorted(forms, key=len, reverse=True)
    return re.sub("|".join(map(re.escape, longest_first)), "…", text, flags=re.IGNORECASE)


_HARMLESS_KEY = re.compile(r"[A-Za-z0-9_.-]{1,40}")


def shown_keys(keys: Iterable[str]) -> str:
    """List the keys of an answer for a message: at most 20, and `…` for one that may be more than a name."""
    shown = (key if _HARMLESS_KEY.fullmatch(key) else "…" for key in islice(keys, 20))
    return ", ".join(repr(key) for key in shown) or "none"
