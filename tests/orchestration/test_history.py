"""Dagster's history is one per mode: what the sandbox has landed, cost and switched on is nothing to live."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, time
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.instance.ref import InstanceRef
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorType,
    SensorInstigatorData,
)
from dagster._serdes import deserialize_value, serialize_value

from connector_resources.errors import ConfigurationError
from connector_resources.streams import Slice
from orchestration.catch_up import catch_up_sensor
from orchestration.main_job import history_held_open
from orchestration.pace import DailyTick
from orchestration.partitions import daily
from orchestration.read_plan import read_plan
from orchestration.report.facts import collected
from orchestration.schedules import daily_job
from tests.landing import ROOT
from tests.orchestration.conftest import DAYS, TODAY, Project, kind_of

FEATURES = dg.AssetKey(["aha", "features"])
NOW = datetime.combine(TODAY, time(8), UTC)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the project's dagster.yaml, in which commands are run; nobody has set a mode."""
    (tmp_path / "dagster.yaml").write_text((ROOT / "dagster.yaml").read_text())
    monkeypatch.delenv("CONNECTOR_MODE", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@contextmanager
def history(home: Path) -> Iterator[dg.DagsterInstance]:
    """The instance as a command opens it that is run in the folder, and as the processes do that are handed its ref."""
    handed_on = deserialize_value(serialize_value(InstanceRef.from_dir(str(home))), InstanceRef)
    with dg.DagsterInstance.from_ref(handed_on) as instance:
        yield instance


def due(project: Project) -> list[tuple[str, str]]:
    """The first and the last day that catching up asks for."""
    streams = {"aha": [kind_of("aha").stream("features")]}
    sensor = catch_up_sensor(
        streams, daily(project.start), DailyTick(), days=14, requests_per_day=10_000, running=True, now=lambda: NOW
    )
    asset, resources = project.asset("aha/features"), project.resources()
    defs = dg.Definitions([asset], jobs=[daily_job(streams)], sensors=[sensor], resources=resources)
    with dg.build_sensor_context(instance=project.instance, definitions=defs, sensor_name="catch_up") as context:
        asked = sensor.evaluate_tick(context).run_requests or ()
    prefix = "dagster/asset_partition_range_"
    return [(request.tags[f"{prefix}start"], request.tags[f"{prefix}end"]) for request in asked]


def planned(project: Project) -> str:
    source = project.resources()["aha"].process_config_and_initialize()
    return read_plan(project.instance, source, source.stream("features"), DAYS, Slice(), NOW).basis


def never_landed(project: Project, mode: str) -> list[str]:
    specs = list(project.asset("aha/features").specs)
    report = collected(specs, project.store, project.instance, {}, mode=mode, run_id="none", now=NOW)
    return [asset.key for asset in report.of("missing")]


def test_live_knows_nothing_of_what_the_sandbox_has_landed_and_the_sandbox_goes_on_with_it(
    home: Path, sandbox_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with history(home) as instance:
        sandbox = Project(home, sandbox_url, instance=instance)
        assert sandbox.run("aha/features", days=DAYS).success
        known = (due(sandbox), planned(sandbox), never_landed(sandbox, "sandbox"))
        assert (known[0], known[2]) == ([], [])
        assert known[1].endswith("for 12 partitions before")
    monkeypatch.setenv("CONNECTOR_MODE", "live")
    with history(home) as instance:
        live = Project(home, sandbox_url, instance=instance, changes={"mode": "live"})
        assert (due(live), planned(live), never_landed(live, "live")) == (
            [(DAYS[0], DAYS[-1])], "it was never read", ["aha/features"],
        )  # fmt: skip
        assert instance.get_runs() == []
        assert instance.get_latest_materialization_event(FEATURES) is None
    monkeypatch.setenv("CONNECTOR_MODE", "sandbox")
    with history(home) as instance:
        again = replace(sandbox, instance=instance)
        assert (due(again), planned(again), never_landed(again, "sandbox")) == known


def test_what_is_switched_on_in_the_sandbox_is_not_on_in_live(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("headrace"), "__repository__")
    origin = RemoteInstigatorOrigin(repository, "catch_up")
    on = InstigatorState(origin, InstigatorType.SENSOR, InstigatorStatus.RUNNING, SensorInstigatorData())
    with history(home) as instance:
        instance.add_instigator_state(on)
        assert instance.all_instigator_state() == [on]
    monkeypatch.setenv("CONNECTOR_MODE", "live")
    with history(home) as instance:
        assert instance.all_instigator_state() == []


def test_the_mode_of_env_counts_where_the_environment_has_none(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / ".env").write_text("CONNECTOR_MODE=live\n")
    with history(home):
        assert histories(home) == ["live"]
    monkeypatch.setenv("CONNECTOR_MODE", "sandbox")
    with history(home):
        assert histories(home) == ["live", "sandbox"]


def histories(home: Path) -> list[str]:
    """The modes that have a history."""
    return sorted(path.parent.name for path in (home / ".dagster").glob("*/history"))


def test_a_mode_that_is_neither_opens_no_history(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONNECTOR_MODE", "Live")
    with pytest.raises(ConfigurationError, match="set it to sandbox or live"), history(home):
        pass
    assert not (home / ".dagster").exists()


def test_the_main_job_holds_the_files_of_its_mode_open(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONNECTOR_MODE", "live")
    with history(home) as instance, history_held_open(instance, "run"):
        instance.report_runless_asset_event(dg.AssetMaterialization(FEATURES))
        held = [path.relative_to(home) for path in home.rglob("index.db-wal")]
    assert held == [Path(".dagster/live/history/runs/index.db-wal")]


def test_a_plain_command_writes_to_the_history_of_its_mode(home: Path) -> None:
    (home / ".env").write_text("CONNECTOR_MODE=live\n")
    (home / "things.py").write_text("import dagster as dg\n\n@dg.asset\ndef thing() -> None: ...\n")
    command = [sys.executable, "-m", "dagster", "asset", "materialize", "-f", "things.py", "--select", "thing"]
    environment = {name: os.environ[name] for name in ("PATH", "HOME")} | {"PYTHONPATH": str(ROOT)}
    subprocess.run(command, cwd=home, env=environment, check=True, capture_output=True)
    assert histories(home) == ["live"]
    with history(home) as instance:
        assert instance.get_latest_materialization_event(dg.AssetKey("thing")) is not None
