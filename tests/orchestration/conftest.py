"""The project as it runs, on a sandbox without limits, in a folder of the test's own."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import requests

from connector_resources.destinations.duckdb import DuckDB
from connector_resources.resource import Source
from connector_resources.sandbox.process import SandboxProcess
from connector_resources.sandbox.settings import Settings as SandboxSettings
from connector_resources.sources import discover
from connector_resources.sources.drift import Drift
from orchestration.assets import stream_asset
from orchestration.connection import connection, source_resource
from orchestration.io_manager import Warehouse
from orchestration.partitions import daily
from orchestration.settings import Settings

TODAY = datetime.now(UTC).date()
"""The sandbox's data ends with yesterday, and so do daily partitions: this is the one place that reads the clock."""
FIRST_DAY = TODAY - timedelta(days=12)
DAYS = tuple((TODAY - timedelta(days)).isoformat() for days in range(12, 0, -1))

Fail = Callable[..., None]


class DriftInTurn(Drift):
    """Drift, asked for one thing after the other: which request a fault hits is then told by how many it skips."""

    concurrency: int = 1


@dataclass
class Project:
    """What `orchestration.definitions` assembles, for some of the assets, in one folder.

    `warehouse` are other settings of the IO manager, `sources` other classes of sources, by name, `changes` other
    settings of the project.
    """

    folder: Path
    url: str
    warehouse: dict[str, Any] = field(default_factory=dict)
    instance: dg.DagsterInstance = field(default_factory=dg.DagsterInstance.ephemeral)
    start: date = FIRST_DAY
    sources: dict[str, type[Source]] = field(default_factory=dict)
    changes: dict[str, Any] = field(default_factory=dict)

    @property
    def settings(self) -> Settings:
        """The settings of the folder."""
        standard = Settings("sandbox", self.folder, self.start, sandbox_url=self.url, sandbox_limits=0)
        return replace(standard, **self.changes)

    @property
    def store(self) -> DuckDB:
        """The database."""
        return DuckDB(self.settings.database, self.folder / "temporary", lock_timeout_seconds=5)

    def asset(self, name: str, **changes: Any) -> dg.AssetsDefinition:
        """Return the asset `source/stream`, its declaration changed by `changes`."""
        source, stream = name.split("/")
        kind = self.sources.get(source) or kind_of(source)
        return stream_asset(kind, replace(kind.stream(stream), **changes), daily(self.start), "sandbox")

    def resources(self) -> dict[str, Any]:
        """Return the resources as the definitions make them."""
        settings = self.settings
        warehouse = Warehouse(
            **{
                "database": str(settings.database),
                "spools": str(self.folder / "spools"),
                "lock_timeout_seconds": 5.0,
                **self.warehouse,
            }
        )
        kinds = {kind.name: kind for kind in discover()} | self.sources
        sources = {name: source_resource(kind, settings) for name, kind in kinds.items()}
        return {"connection": connection(settings), "warehouse": warehouse, **sources}

    def run(
        self, *assets: str | dg.AssetsDefinition, days: Sequence[str] = (), only: str = "", **config: Any
    ) -> dg.ExecuteInProcessResult:
        """Materialise assets in one run: without a partition, for a day, or from the first to the last of `days`.

        With `only`, the others are there and not materialised. `config` is what each of them is told.
        """
        tags = {}
        if len(days) > 1:
            tags = {"dagster/asset_partition_range_start": days[0], "dagster/asset_partition_range_end": days[-1]}
        every = [self.asset(asset) if isinstance(asset, str) else asset for asset in assets]
        ops = {each.op.name: {"config": config} for each in every} if config else {}
        return dg.materialize(
            every,
            run_config={"ops": ops},
            instance=self.instance,
            resources=self.resources(),
            partition_key=days[0] if len(days) == 1 else None,
            tags=tags,
            selection=only or None,
            raise_on_error=False,
        )

    def days(self) -> list[str]:
        """Return all partitions."""
        return list(daily(self.start).get_partition_keys())

    def rows(self, table: str) -> list[tuple[Any, ...]]:
        """Return a whole table but for what a run adds: when it was loaded, and by which run."""
        columns = self.store.query(f"DESCRIBE {table}")
        names = [f'"{name}"' for name, *_ in columns if name not in ("_loaded_at", "_run_id")]
        return self.store.query(f"SELECT {', '.join(names)} FROM {table} ORDER BY ALL")


def kind_of(source: str) -> type[Source]:
    """Return the source class of that name."""
    return next(kind for kind in discover() if kind.name == source)


def materialized(result: dg.ExecuteInProcessResult, name: str) -> dict[str | None, dict[str, Any]]:
    """Return the metadata of an asset's materializations by partition, None where it has none."""
    return {
        event.partition: {key: value.value for key, value in event.materialization.metadata.items()}
        for event in result.get_asset_materialization_events()
        if event.asset_key == dg.AssetKey(name.split("/"))
    }


def failures(result: dg.ExecuteInProcessResult) -> dict[str, tuple[str, str]]:
    """Return the steps that failed: the class of the error as we name it, and the message."""
    found = {}
    for event in result.all_events:
        if event.is_step_failure and event.step_key is not None:
            data = event.step_failure_data
            shown = data.user_failure_data
            assert shown is not None, data.error
            found[event.step_key] = (str(shown.metadata["error"].value), shown.description or "")
    return found


@pytest.fixture(scope="session")
def sandbox_url() -> Iterator[str]:
    """A sandbox for everybody; who switches faults on switches them off again."""
    with SandboxProcess(SandboxSettings(scale=2.0, limits=0, today=TODAY)) as process:
        yield process.url


@pytest.fixture
def fail(sandbox_url: str) -> Iterator[Fail]:
    """Switch faults on; they are off again after the test."""

    def switch_on(*faults: dict[str, Any]) -> None:
        requests.post(f"{sandbox_url}/_sandbox/faults", json=faults, timeout=10).raise_for_status()

    yield switch_on
    switch_on()


@pytest.fixture
def project(tmp_path: Path, sandbox_url: str) -> Project:
    """A project in which nothing has been landed."""
    return Project(tmp_path, sandbox_url)


@pytest.fixture(scope="session")
def landed(tmp_path_factory: pytest.TempPathFactory, sandbox_url: str) -> tuple[Project, dg.ExecuteInProcessResult]:
    """A project with snapshots, a daily stream and its substreams, landed in one run; nobody changes it."""
    project = Project(tmp_path_factory.mktemp("landed"), sandbox_url)
    result = project.run(
        "faker/users", "drift/users", "drift/conversations", "drift/messages", "drift/contacts", days=DAYS
    )
    assert result.success
    return project, result
