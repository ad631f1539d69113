"""Where sources read from: the vendors, or the local sandbox that stands in for them."""

import os
from collections.abc import Mapping
from datetime import date
from types import MappingProxyType
from typing import Any, Literal

import dagster as dg
from pydantic import Field

from connector_resources.errors import ConfigurationError
from connector_resources.resource import HttpSource, Source
from connector_resources.sandbox.accounts import lasting_credentials, place
from connector_resources.sandbox.vendors import require_stand_in
from orchestration.as_resource import SourceResource, as_resource, from_environment
from orchestration.settings import Settings

_MASK = "********"
"""What Dagster's launchpad puts into its form, and so into what a run is told, in place of every secret (1.13.27)."""


class Connection(dg.ConfigurableResource):  # type: ignore[type-arg]  # Dagster's base is generic over what it creates
    """Sandbox or live: the one switch that decides whom all sources talk to.

    In the sandbox a local server, started when a run first needs it, keeps the vendors' rules over real HTTP; no
    account and no key are needed. Live reads the vendors; a missing credential is an error, never a fallback.
    """

    mode: Literal["sandbox", "live"] = Field(description="Set by CONNECTOR_MODE.")
    sandbox_url: str = Field(default="", description="A sandbox that runs already; empty starts one. SANDBOX_URL.")
    sandbox_seed: int = Field(default=1, description="The same seed gives the same data. SANDBOX_SEED.")
    sandbox_scale: float = Field(default=1.0, description="Multiplies how much data there is. SANDBOX_SCALE.")
    sandbox_limits: float = Field(default=1.0, description="Multiplies the rate limits, 0 is none. SANDBOX_LIMITS.")
    sandbox_today: str = Field(default="", description="The day after the newest record. SANDBOX_TODAY.")

    def connected(self, source: Source) -> Source:
        """Return the source as this mode reads it. Raises ConfigurationError for a vendor that has no stand-in."""
        source = self.with_secrets(source)
        if self.mode == "live" or not isinstance(source, HttpSource) or source.base_url:
            return source
        require_stand_in(source.connector)
        url = self.sandbox_url or self._started_url()
        return source.changed(base_url=f"{url}/{place(source.connector, source.name)}")

    def with_secrets(self, source: Source) -> Source:
        """Return the source with the secrets that the launchpad has masked, from where they are configured."""
        masked = [name for name in type(source).model_fields if getattr(source, name) == _MASK]
        if not masked:
            return source
        known = lasting_credentials(source.connector) if self.mode == "sandbox" else _environment(source)
        defaults = {name: type(source).model_fields[name].default for name in masked}
        return source.changed(**{**defaults, **{name: known[name] for name in masked if name in known}})

    def _started_url(self) -> str:
        from connector_resources.sandbox.process import running_sandbox
        from connector_resources.sandbox.settings import Settings as SandboxSettings

        return running_sandbox(
            SandboxSettings(
                seed=self.sandbox_seed,
                scale=self.sandbox_scale,
                limits=self.sandbox_limits,
                today=date.fromisoformat(self.sandbox_today),
            )
        ).url


def _environment(source: Source) -> dict[str, str]:
    """Return what the environment has for the fields of a source."""
    return {name: os.environ[variable] for name, variable in source.variables().items() if os.environ.get(variable)}


def connection(settings: Settings) -> Connection:
    """Return the connection the settings ask for."""
    return Connection(
        mode=settings.mode,
        sandbox_url=settings.sandbox_url,
        sandbox_seed=settings.sandbox_seed,
        sandbox_scale=settings.sandbox_scale,
        sandbox_limits=settings.sandbox_limits,
        sandbox_today=settings.sandbox_today.isoformat(),
    )


def source_resource(
    kind: type[Source], settings: Settings, configured: Mapping[str, Any] = MappingProxyType({})
) -> SourceResource:
    """Return the resource of one account: bound to the environment, or with the sandbox's well-known credentials.

    `configured` are fields that the configuration file sets for it. In the sandbox its address is left out, which is
    the vendor's, and its factor multiplies that of the sandbox.
    """
    fields: dict[str, Any] = {}
    if issubclass(kind, HttpSource):
        fields["state_folder"] = str(settings.data_folder / "state" / settings.mode)
        fields["daily_request_budget"] = settings.daily_request_budget
        fields |= configured
        if settings.mode == "sandbox":
            fields.pop("base_url", None)
            fields["rate_limit_factor"] = settings.sandbox_limits * fields.get("rate_limit_factor", 1.0)
            return as_resource(kind)(**fields, **_well_known(kind))
    elif settings.mode == "sandbox":
        said = kind.said_by(os.environ)  # there is nobody whose credentials could get into the wrong place
        fields |= {name: value for name, value in _well_known(kind).items() if name not in said}
    return from_environment(kind, **fields)


def _well_known(kind: type[Source]) -> dict[str, Any]:
    """Return the fields that open a stand-in. Raises ConfigurationError for one that the source does not have."""
    found = lasting_credentials(kind.connector)
    if unknown := sorted(found.keys() - kind.model_fields.keys()):
        raise ConfigurationError(
            f"{kind.connector}: the credentials of its stand-in have {', '.join(unknown)}, which is no field of "
            f"{kind.__name__}. Fields: {', '.join(sorted(kind.model_fields))}."
        )
    return found
