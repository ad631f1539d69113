"""The accounts that are read: one of each source under the source's name, or those of one configuration file.

    [aha_emea]
    source = "aha"
    credentials = { api_key = "AHA_EMEA_API_KEY" }

The file speaks of the sources that it names; any other has its one account as without the file. It holds names of
environment variables and never a secret: a value that could be one is refused, and not repeated.
"""

import keyword
import math
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from connector_resources.errors import ConfigurationError
from connector_resources.resource import HttpSource, Source

DEFAULT_FILE = Path("accounts.toml")

_NAME = r"[a-z][a-z0-9]*(_[a-z0-9]+)*"
_LONGEST_NAME = 40
_VARIABLE = r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)+"
"""With an underscore in it, for a key of capitals and digits has none."""
_LONGEST_VARIABLE = 64
_TAKEN = {
    # by the project: groups and assets, resources, databases
    *(
        "frames",
        "documents",
        "exports",
        "overview",
        "sync_report",
        "connection",
        "warehouse",
        "duckdb",
        "io_manager",
        "sandbox",
        "live",
    ),
    # by DuckDB: databases and schemas that are always there, and the name of ours in a commit
    *("main", "temp", "system", "memory", "pg_catalog", "information_schema", "store"),
}
_OF_AN_APP = ("client_id", "client_secret")
"""What several accounts may share: one OAuth app is installed in several organizations."""


@dataclass(frozen=True, slots=True)
class Account:
    """One account: its source, under the account's name, and what is configured for it.

    `streams` are on beside those that are on by default. `fields` are the source's fields that the file sets.
    """

    kind: type[Source]
    streams: Sequence[str] = ()
    fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def enabled(self) -> frozenset[str]:
        """The streams that the file turns on, as ENABLED_STREAMS has them."""
        return frozenset(f"{self.kind.name}.{stream}" for stream in self.streams)


def read_accounts(path: Path | None, sources: Sequence[type[Source]]) -> Sequence[Account]:
    """Return the accounts of `sources` that the file at `path` asks for, None for accounts.toml where there is one.

    Raises ConfigurationError saying which file, which entry, and what to do.
    """
    if path is None and not DEFAULT_FILE.exists():
        return [Account(source) for source in sources]
    path = path or DEFAULT_FILE
    found = [read_account(str(path), name, said, sources) for name, said in _entries(path).items()]
    of = {source: [each for each in found if each.kind.connector == source.name] for source in sources}
    unnamed = [source for source in sources if not of[source]]
    _require_own_credentials(str(path), [*unnamed, *(account.kind for account in found)])
    return [account for source in sources for account in of[source] or [Account(source)]]


def read_account(where: str, name: str, said: Any, sources: Sequence[type[Source]]) -> Account:
    """Return the account of that name, as `said` by what is `where`. Raises ConfigurationError naming both."""
    return _account(_Entry(where, name, said), sources)


def _entries(path: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(
            f"{path}: {error.strerror}. ACCOUNTS_FILE names the configuration of accounts; correct it or unset it."
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is not UTF-8; save it as that.") from error
    except tomllib.TOMLDecodeError as error:
        where = re.search(r"\(at .*\)$", str(error))  # the rest may hold a piece of a value
        raise ConfigurationError(
            f"{path} is no TOML{' ' + where[0] if where else ''}; accounts.example.toml has an example."
        ) from None


@dataclass(frozen=True, slots=True)
class _Entry:
    """One table of the file."""

    path: str
    name: str
    said: Any

    def wrong(self, what: str) -> ConfigurationError:
        """Return the error about this entry."""
        return ConfigurationError(f"{self.path}, [{self.name}]: {what}")

    def get(self, key: str, wanted: str, fits: Callable[[Any], bool], default: Any) -> Any:
        """Return a value, which is not repeated where it does not fit."""
        value = self.said.get(key, default)
        if not (value is default or fits(value)):
            raise self.wrong(f"{key} must be {wanted}.")
        return value


def _account(entry: _Entry, sources: Sequence[type[Source]]) -> Account:
    by_name = {source.name: source for source in sources}
    if not isinstance(entry.said, Mapping):
        raise ConfigurationError(
            f"{entry.path}: {entry.name} is outside of an entry; an account begins with its name in brackets, such as "
            f'[aha_emea], and below it source = "aha".'
        )
    name = entry.get("source", "a text", lambda value: isinstance(value, str), entry.name)
    if name not in by_name:
        missing = "" if "source" in entry.said else "source is not set, and the entry has no source's name. "
        raise entry.wrong(f"{missing}source must be one of {', '.join(by_name)}.")
    source = by_name[name]
    _require_name(entry, source, by_name)
    settable = _settable(source)
    if unknown := sorted(entry.said.keys() - settable):
        raise entry.wrong(f"{source.name} has no setting {', '.join(unknown)}. Settings: {', '.join(settable)}.")
    streams = entry.get("streams", "a list of names of streams", _is_list_of_texts, ())
    if unknown := [each for each in streams if each not in {stream.name for stream in source.streams}]:
        off = sorted(stream.name for stream in source.streams if not stream.enabled)
        raise entry.wrong(
            f"streams has {', '.join(unknown)}, which {source.name} does not have. Off by default and to be turned on: "
            f"{', '.join(off) or 'none'}."
        )
    return Account(source.named(entry.name, _variables(entry, source)), tuple(streams), _fields(entry))


def _require_name(entry: _Entry, source: type[Source], sources: Mapping[str, type[Source]]) -> None:
    if re.fullmatch(_NAME, entry.name) is None or len(entry.name) > _LONGEST_NAME:
        raise entry.wrong(
            "this is no name for an account: small letters, digits and single underscores, a letter first, at most "
            f"{_LONGEST_NAME} of them, such as aha_emea. Assets, schemas and files have it."
        )
    if entry.name in _TAKEN or keyword.iskeyword(entry.name):
        raise entry.wrong(f"this name means something else already; take another, such as {source.name}_{entry.name}.")
    if entry.name in sources and entry.name != source.name:
        raise entry.wrong(
            f"this is the name of a source, and the entry is of {source.name}; take another, such as "
            f"{source.name}_{entry.name}."
        )


def _settable(source: type[Source]) -> Sequence[str]:
    common = ("source", "credentials", "streams")
    return (*common, "daily_request_budget", "rate_limit_factor", "base_url") if _is_http(source) else common


def _is_http(source: type[Source]) -> bool:
    return issubclass(source, HttpSource)


def _is_list_of_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _variables(entry: _Entry, source: type[Source]) -> Mapping[str, str]:
    """Return the variables by field. What is written in place of one may be a secret, and is not repeated."""
    said = entry.get("credentials", "a table of names of environment variables", lambda v: isinstance(v, Mapping), {})
    known = source.variables()
    if unknown := sorted(said.keys() - known.keys()):
        raise entry.wrong(
            f"credentials has {', '.join(unknown)}, which {source.name} does not take. Keys: {', '.join(known)}."
        )
    for name, variable in said.items():
        if (
            not isinstance(variable, str)
            or re.fullmatch(_VARIABLE, variable) is None
            or len(variable) > _LONGEST_VARIABLE
        ):
            raise entry.wrong(
                f"credentials.{name} must be the name of an environment variable, in capitals and with an underscore, "
                f"such as {entry.name.upper()}_{name.upper()}; set that variable to the value, in the environment or "
                "in the file .env. What is written there is not repeated here, for it may be a secret: if it is one "
                "and the file was shared, replace it."
            )
    return dict(said)


def _fields(entry: _Entry) -> Mapping[str, Any]:
    return {
        name: entry.get(name, wanted, fits, None)
        for name, wanted, fits in (
            ("daily_request_budget", "a whole number of requests a day; 0 is no budget", _is_whole),
            ("rate_limit_factor", "a number that is not negative; 0 is no limit at all", _is_factor),
            ("base_url", "an address that begins with https:// or http://, without a user in it", _is_address),
        )
        if name in entry.said
    }


def _is_whole(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_factor(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and value >= 0


def _is_address(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"https?://[^\s/?#@]+[^\s?#@]*", value) is not None


def _require_own_credentials(path: str, kinds: Sequence[type[Source]]) -> None:
    """Refuse two accounts with one credential: they would draw on one limit twice, and use up one refresh token."""
    used: dict[str, str] = {}
    for kind in kinds:
        for name, variable in kind.variables().items():
            if variable in kind.secrets() and name not in _OF_AN_APP:
                if variable in used:
                    raise ConfigurationError(
                        f"{path}, [{kind.name}]: credentials.{name} is {variable}, which {used[variable]} reads "
                        "already. Each account has credentials of its own; give it another variable, or remove one of "
                        "the two."
                    )
                used[variable] = kind.name
