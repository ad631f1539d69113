"""A connector as a component of Dagster's `dg`: an account declared in a `defs.yaml`, by the project that wants it.

    type: orchestration.component.ConnectorComponent
    attributes:
      source: aha
      account: aha_emea
      credentials:
        api_key: AHA_EMEA_API_KEY

It is made by what `orchestration.definitions` is made by, and reads the same environment. It brings no schedule, no
sensor and no frame: those belong to the project around it.
"""

import os
from dataclasses import replace
from datetime import date
from functools import lru_cache
from typing import Any

import dagster as dg
from pydantic import Field

from connector_resources.errors import ConfigurationError
from connector_resources.sources import discover
from orchestration.accounts import read_account
from orchestration.assets import stream_asset
from orchestration.checks import stream_checks
from orchestration.connection import source_resource
from orchestration.partitions import daily
from orchestration.rate_budget import rate_budget_assets
from orchestration.resources import shared_resources
from orchestration.settings import Settings

_OF_THE_ACCOUNT = ("source", "credentials", "streams", "daily_request_budget", "rate_limit_factor", "base_url")
_OF_THE_PROJECT = {"mode": "CONNECTOR_MODE", "partitions_start": "PARTITIONS_START", "data_folder": "DATA_FOLDER"}


class ConnectorComponent(dg.Component, dg.Resolvable, dg.Model):
    """One account of a source: its streams as assets with checks, its request budget, and the resources they need."""

    source: str = Field(description="Which source it is an account of: aha, drift, faker.", examples=["aha"])
    account: str | None = Field(
        default=None,
        description="The account's name, which its assets, schema and files have; else the source's.",
        examples=["aha_emea"],
    )
    credentials: dict[str, Any] | None = Field(
        default=None,
        description="Names of the environment variables that hold the credentials, by field; never the secrets. What "
        "is left out is the source's variable with the account's name in front.",
        examples=[{"api_key": "AHA_EMEA_API_KEY"}],
    )
    streams: list[str] | None = Field(
        default=None, description="Streams that are off by default and are to be read too.", examples=[["record_links"]]
    )
    daily_request_budget: int | None = Field(
        default=None, description="How many requests the account may be sent in a day (UTC); 0 is no budget."
    )
    rate_limit_factor: float | None = Field(
        default=None, description="Multiplies the vendor's published rate limit; 0 is no limit at all."
    )
    base_url: str | None = Field(
        default=None, description="Where the account's API is, when it is not the vendor's usual place."
    )
    mode: str | None = Field(default=None, description="sandbox or live, for all components; else CONNECTOR_MODE.")
    partitions_start: str | None = Field(
        default=None, description="The first daily partition (UTC); else PARTITIONS_START.", examples=["2026-01-01"]
    )
    data_folder: str | None = Field(
        default=None,
        description="The directory of the database (live.duckdb or sandbox.duckdb) and the spools, one for all "
        "components of a project; else DATA_FOLDER.",
    )

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Return the account's assets, checks and resources. Raises ConfigurationError, saying in which file."""
        where = str(context.path)
        said = {name: value for name in _OF_THE_ACCOUNT if (value := getattr(self, name)) is not None}
        account = read_account(where, self.account or self.source, said, discover())
        kind, settings = account.kind, self._settings(where)
        partitions = daily(settings.start)
        streams = replace(settings, enabled=settings.enabled | account.enabled).selected(kind.name, kind.streams)
        return dg.Definitions(
            assets=[
                *(stream_asset(kind, each, partitions, settings.mode, owners=settings.owners) for each in streams),
                *rate_budget_assets([kind], settings.mode),
            ],
            asset_checks=[stream_checks(kind, each) for each in streams],
            resources={**_shared(_of_all(settings)), kind.name: source_resource(kind, settings, account.fields)},
        )

    def _settings(self, where: str) -> Settings:
        said = {variable: getattr(self, name) for name, variable in _OF_THE_PROJECT.items()}
        environment = {**os.environ, **{variable: value for variable, value in said.items() if value is not None}}
        try:
            return Settings.from_environment(environment)
        except ConfigurationError as error:
            raise ConfigurationError(f"{where}: {error}") from error


def _of_all(settings: Settings) -> Settings:
    """Return the settings without what components may differ in."""
    return replace(settings, start=date.min, enabled=frozenset())


@lru_cache
def _shared(settings: Settings) -> dict[str, Any]:
    # Dagster merges the definitions of several components only where a key stands for one and the same object.
    return shared_resources(settings)
