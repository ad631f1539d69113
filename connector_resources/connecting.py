"""Which account a source of the Python API reads: a vendor's, or the sandbox's that stands in for it."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

from connector_resources import environment
from connector_resources.configs import fields_of
from connector_resources.environment import Mode
from connector_resources.errors import ConfigurationError
from connector_resources.exceptions import PyAirbyteInputError
from connector_resources.resource import HttpSource, Source
from connector_resources.sandbox.accounts import credentials, lasting_credentials, place
from connector_resources.sandbox.vendors import require_stand_in

EARLIEST = date(2010, 1, 1)
"""Older than the products whose data is read: from here on means all of it."""

_OLDEST = date(1970, 1, 1)
"""What is asked for before it, as with 0001-01-01 for everything, is asked for from here on."""


def mode_of(kind: type[Source], opens: Mode | None, asked: Mode | None) -> Mode:
    """Return where a source reads whose credentials open what they `opens`; None where it has none.

    What was asked for counts, then CONNECTOR_MODE, then the credentials: the sandbox's well-known ones open nothing
    else, and without any the sandbox is read. Raises PyAirbyteInputError where the two do not go together: nobody
    who gives real credentials gets the sandbox's data, and nobody who gives none gets another's.
    """
    wanted = asked or environment.mode()
    if wanted is None:
        return opens or "sandbox"
    if opens is not None and opens != wanted:
        said = "mode" if asked is not None else "CONNECTOR_MODE"
        whose = "the sandbox's" if opens == "sandbox" else "not the sandbox's"
        raise PyAirbyteInputError(
            f"{kind.name}: {said} is {wanted}, and the credentials in the config are {whose}.",
            guidance=f"Give it mode={opens!r}, or other credentials; with config=None it takes those of {wanted}.",
        )
    return wanted


def opened_by(kind: type[Source], config: Mapping[str, Any] | None) -> Mode | None:
    """Return what the credentials in a configuration open; None where it has none.

    Raises AirbyteConnectorValidationFailedError for one that does not fit.
    """
    if config is None:
        return None
    fields, known = fields_of(kind, config), credentials(kind.connector)
    secret = {name for name, variable in kind.variables().items() if variable in kind.secrets() and fields.get(name)}
    if not secret:
        return None
    return "sandbox" if all(fields[name] == known.get(name) for name in secret) else "live"


def connected(kind: type[Source], config: Mapping[str, Any] | None, mode: Mode) -> Source:
    """Return the source, ready to be read: with `config`, else with the credentials that the mode has by itself.

    In the sandbox, a server is started where none is given, and only what needs no account is as the environment says.
    Raises ConfigurationError naming keys or variables, and no secret.
    """
    known, is_http = environment.environment(), issubclass(kind, HttpSource)
    if config is not None:
        fields = dict(fields_of(kind, config))
    elif mode == "sandbox":
        fields = {**lasting_credentials(kind.connector), **({} if is_http else kind.said_by(known))}
    else:
        fields = kind.said_by(known)
    if is_http:
        fields.setdefault("state_folder", str(environment.data_folder() / "state" / mode))
        fields.setdefault("daily_request_budget", environment.whole("DAILY_REQUEST_BUDGET", 0))
        if mode == "sandbox":
            fields.setdefault("rate_limit_factor", environment.number("SANDBOX_LIMITS", 1.0))
            if not fields.get("base_url"):
                require_stand_in(kind.connector)
                fields["base_url"] = f"{_sandbox_url()}/{place(kind.connector, kind.name)}"
    return kind(**fields)


def account_of_assets(kind: type[Source]) -> str | None:
    """Return the account that the assets read live, by the environment; None where it has no credentials."""
    known = environment.environment()
    if not issubclass(kind, HttpSource) or not any(known.get(variable) for variable in kind.secrets()):
        return None
    try:
        return connected(kind, None, "live").account
    except ConfigurationError:  # half of what is needed: the assets read nothing
        return None


def first_day(mode: Mode, asked: date | str | None) -> date:
    """Return the first day (UTC) to read: the one asked for, else PARTITIONS_START, else the first that can be.

    Raises PyAirbyteInputError for what is no day.
    """
    if isinstance(asked, str):
        try:
            asked = datetime.fromisoformat(asked)
        except ValueError:
            raise PyAirbyteInputError(
                "start_date is no day.", guidance="Write it as YYYY-MM-DD.", input_value=asked
            ) from None
    if isinstance(asked, datetime):
        asked = asked.astimezone(UTC).date() if asked.tzinfo is not None else asked.date()
    if asked is not None:
        if not isinstance(asked, date):
            raise PyAirbyteInputError("start_date is no day.", guidance="Write it as YYYY-MM-DD.")
        return max(asked, _OLDEST)
    default = EARLIEST if mode == "live" else sandbox_today() - timedelta(days=environment.SANDBOX_DAYS)
    return max(environment.day("PARTITIONS_START") or default, _OLDEST)


def sandbox_today() -> date:
    """Return the day after the newest record of the sandbox."""
    return environment.day("SANDBOX_TODAY") or datetime.now(UTC).date()


def _sandbox_url() -> str:
    if url := environment.environment().get("SANDBOX_URL"):
        return url.rstrip("/")
    from connector_resources.sandbox.process import running_sandbox
    from connector_resources.sandbox.settings import Settings

    return running_sandbox(
        Settings(
            seed=environment.whole("SANDBOX_SEED", 1),
            scale=environment.number("SANDBOX_SCALE", 1.0),
            limits=environment.number("SANDBOX_LIMITS", 1.0),
            today=sandbox_today(),
        )
    ).url
