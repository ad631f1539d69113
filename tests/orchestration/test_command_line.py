"""The commands a Dagster user types, each in a process of its own from the root of the project.

A command costs five seconds, most of them Dagster's, so they run once, two at a time, and the tests look at what they
left. Those that read share one database: they also show that commands may run at the same time.
"""

import os
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from connector_resources.destinations.duckdb import DuckDB
from tests.orchestration.conftest import DAYS

ROOT = Path(__file__).parents[2]
DAGSTER = str(Path(sys.executable).with_name("dagster"))
BARE = {name: os.environ[name] for name in ("PATH", "HOME")}
CREDENTIALS = ("AHA_API_KEY", "DRIFT_ACCESS_TOKEN", "DRIFT_CLIENT_ID", "DRIFT_CLIENT_SECRET", "DRIFT_REFRESH_TOKEN")
FIRST, LAST = DAYS[-5], DAYS[-2]

MATERIALIZE = ("asset", "materialize", "-m", "orchestration.definitions", "--select")
COMMANDS: Mapping[str, tuple[str, ...]] = {
    "snapshots": (*MATERIALIZE, "drift/users,aha/goals"),
    "a day": (*MATERIALIZE, "aha/features", "--partition", DAYS[0]),
    "a range": (*MATERIALIZE, "group:drift", "--partition-range", f"{FIRST}...{LAST}"),
    "one of two fails": (*MATERIALIZE, "aha/users,aha/teams"),
    "live without credentials": (*MATERIALIZE, "aha/users,drift/users"),
    "a wrong setting": ("asset", "list", "-m", "orchestration.definitions"),
    "validate": ("definitions", "validate"),
}


class Commands:
    """What every command gave, and the database they shared."""

    def __init__(self, folder: Path, url: str) -> None:
        self.data = folder / "data"
        self.store = DuckDB(self.data / "sandbox.duckdb", folder / "temporary")
        self._folder = folder
        self._url = url
        with ThreadPoolExecutor(2) as pool:
            self.done = dict(zip(COMMANDS, pool.map(self._run, COMMANDS), strict=True))

    def _run(self, name: str) -> "subprocess.CompletedProcess[str]":
        environment = BARE if name == "validate" else self._environment(name)
        command = [DAGSTER, *COMMANDS[name]]
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    def _environment(self, name: str) -> dict[str, str]:
        """Return an environment in which nothing of the developer's is left, not even from a file .env."""
        home = self._folder / name
        home.mkdir()
        (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
        return {
            **BARE,
            **dict.fromkeys(CREDENTIALS, ""),
            "AHA_SUBDOMAIN": "acme",
            "CONNECTOR_MODE": "live" if name.startswith("live") else "sandbox",
            "DAGSTER_HOME": str(home),
            "DATA_FOLDER": str(self.data),
            "ENABLED_STREAMS": "",
            "PARTITIONS_START": DAYS[0],
            "SANDBOX_LIMITS": "0",
            "SANDBOX_URL": self._url,
            "SCHEDULE_TIMEZONE": "Mars" if name == "a wrong setting" else "UTC",
        }


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory, sandbox_url: str) -> Commands:
    """All commands, run. Aha!'s list of teams is broken for them."""
    broken = [{"pattern": "GET /aha/api/v1/teams*", "kind": "html", "times": 100}]
    requests.post(f"{sandbox_url}/_sandbox/faults", json=broken, timeout=10).raise_for_status()
    try:
        return Commands(tmp_path_factory.mktemp("commands"), sandbox_url)
    finally:
        requests.post(f"{sandbox_url}/_sandbox/faults", json=[], timeout=10).raise_for_status()


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("snapshots", 0),
        ("a day", 0),
        ("a range", 0),
        ("one of two fails", 1),
        ("live without credentials", 1),
        ("a wrong setting", 1),
        ("validate", 0),
    ],
)
def test_a_command_ends_with_its_status(commands: Commands, name: str, status: int) -> None:
    done = commands.done[name]
    assert done.returncode == status, done.stderr[-3_000:]


def test_snapshots_are_landed(commands: Commands) -> None:
    assert commands.store.query("SELECT DISTINCT _partition FROM aha.goals") == [("all",)]


def test_a_day_is_landed_and_no_other(commands: Commands) -> None:
    assert commands.store.landed_partitions("aha", "features") == [DAYS[0]]


@pytest.mark.parametrize("stream", ["conversations", "messages", "meetings", "conversation_metrics"])
def test_a_range_is_landed_day_by_day(commands: Commands, stream: str) -> None:
    assert commands.store.landed_partitions("drift", stream) == list(DAYS[-5:-1])


def test_snapshots_beside_a_range_are_landed_whole(commands: Commands) -> None:
    assert commands.store.landed_partitions("drift", "users") == ["all"]


def test_what_does_not_fail_is_landed(commands: Commands) -> None:
    assert commands.store.landed_partitions("aha", "users") == ["all"]
    assert commands.store.landed_partitions("aha", "teams") == []
    assert "aha.teams: GET /teams" in commands.done["one of two fails"].stderr


@pytest.mark.parametrize("variable", ["AHA_API_KEY", "DRIFT_ACCESS_TOKEN"])
def test_live_names_the_credential_that_is_missing_and_never_reads_the_sandbox(
    commands: Commands, variable: str
) -> None:
    assert f"{variable} is not set. Set it in the environment or in the file .env" in commands.done[
        "live without credentials"
    ].stderr.replace("(or DRIFT_CLIENT_ID, DRIFT_CLIENT_SECRET and DRIFT_REFRESH_TOKEN) ", "")
    assert not (commands.data / "live.duckdb").exists()


NO_ZONE = "SCHEDULE_TIMEZONE is 'Mars'; set it to a name of the IANA database, such as UTC or Europe/Berlin."


def test_a_wrong_setting_is_told_in_one_line(commands: Commands) -> None:
    done = commands.done["a wrong setting"]
    told = [line for line in done.stderr.splitlines() if "SupersessionWarning" not in line and "callback(" not in line]
    assert (done.stdout, told) == ("", [f"Error: {NO_ZONE}"])


def test_the_main_job_tells_a_wrong_setting_in_one_line() -> None:
    command = [sys.executable, "-m", "orchestration.main_job"]
    done = subprocess.run(
        command, cwd=ROOT, env={**BARE, "SCHEDULE_TIMEZONE": "Mars"}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, f"{NO_ZONE}\n", "")


def test_the_definitions_are_valid_in_an_empty_environment(commands: Commands) -> None:
    assert "Validation successful for code location headrace" in commands.done["validate"].stdout
