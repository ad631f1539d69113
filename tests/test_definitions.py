"""The asset graph as Dagster sees it, and the settings it is made from.

`asset_graph.txt` is the catalogue of assets, reviewed like code. After a change that is meant, write it anew:

    python -m tests.test_definitions
"""

import json
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import click
import dagster as dg
import duckdb
import pytest
from dagster._core.definitions.freshness import CronFreshnessPolicy, TimeWindowFreshnessPolicy

from connector_resources.errors import ConfigurationError
from connector_resources.sources import discover
from orchestration.io_manager import Warehouse
from orchestration.pace import DailyTick
from orchestration.settings import Settings

ROOT = Path(__file__).parents[1]
CATALOGUE = Path(__file__).with_name("asset_graph.txt")
ALL_STREAMS = ",".join(f"{source.name}.*" for source in discover())
HEADING = """\
# Every asset: its key, its group, how it lands, whether it is on by default, how fresh it has to be, whether it follows
# what it is made from, what that is, and what is checked (! stops what is made from the asset). Below them what starts
# runs.
# Written by `python -m tests.test_definitions`; review a change of it like a change of code.

"""


@cache
def definitions(**environment: str) -> dg.Definitions:
    """Return the definitions as they load with nothing in the environment but this."""
    with patch.dict(os.environ, environment, clear=True):
        defs = runpy.run_path(str(ROOT / "orchestration" / "definitions.py"))["defs"]
    assert isinstance(defs, dg.Definitions)
    return defs


def specs(**environment: str) -> dict[str, dg.AssetSpec]:
    """Return every asset by its key."""
    found = definitions(**environment).resolve_all_asset_specs()
    return {spec.key.to_user_string(): spec for spec in found}


def is_stream(spec: dg.AssetSpec) -> bool:
    """Return whether an asset is a stream of a connector, rather than made here."""
    return spec.group_name not in ("frames", "documents", "overview") and spec.key.path[-1] != "rate_budget"


def pace(spec: dg.AssetSpec) -> str:
    """Return how fresh an asset has to be, and whether automation makes it."""
    policy = spec.freshness_policy
    if isinstance(policy, CronFreshnessPolicy):
        fresh = f"by {policy.deadline_cron} {policy.timezone}"
    elif isinstance(policy, TimeWindowFreshnessPolicy):
        fresh = f"within {policy.fail_window.to_timedelta() // timedelta(hours=1)} h"
    else:
        fresh = "whenever"
    return fresh + (f", {spec.automation_condition.get_label()}" if spec.automation_condition is not None else "")


def starters(**environment: str) -> list[str]:
    """Return what starts runs or tells of them, and whether it is on where nobody has switched it."""
    repository = definitions(FAILURE_WEBHOOK_URL="http://127.0.0.1/hook", **environment).get_repository_def()
    schedules = [
        f"schedule {each.name}: {each.cron_schedule} {each.execution_timezone}, {each.default_status.value}"
        for each in repository.schedule_defs
    ]
    sensors = [f"sensor {each.name}: {each.default_status.value}" for each in repository.sensor_defs]
    return sorted(schedules) + sorted(sensors)


def checks(**environment: str) -> dict[str, list[str]]:
    """Return the names of the checks of every asset by its key, each with a mark where it blocks."""
    found: dict[str, list[str]] = {}
    graph = definitions(**environment).resolve_asset_graph()
    for check in graph.asset_check_keys:
        spec = graph.get_check_spec(check)
        found.setdefault(check.asset_key.to_user_string(), []).append(f"{check.name}{'!' if spec.blocking else ''}")
    return {key: sorted(names) for key, names in found.items()}


def catalogue() -> str:
    """Return the text of `asset_graph.txt`: one line an asset."""
    on, checked = specs(), checks(ENABLED_STREAMS=ALL_STREAMS)
    lines = [
        f"{key}: {spec.group_name}, {'daily' if spec.partitions_def else 'whole'}, {'on' if key in on else 'off'}, "
        + pace(spec)
        + "".join(
            f"\n    from {dep.asset_key.to_user_string()}" for dep in sorted(spec.deps, key=lambda dep: dep.asset_key)
        )
        + (f"\n    checks {' '.join(checked[key])}" if key in checked else "")
        for key, spec in sorted(specs(ENABLED_STREAMS=ALL_STREAMS).items())
    ]
    return HEADING + "\n".join(lines) + "\n\n" + "\n".join(starters()) + "\n"


# The graph


def test_the_catalogue_of_assets_is_the_reviewed_one() -> None:
    assert catalogue() == CATALOGUE.read_text()


def test_one_setting_turns_on_what_starts_runs_by_itself_and_nothing_else_does() -> None:
    assert [line for line in starters() if "RUNNING" in line] == ["sensor failure_webhook: RUNNING"]
    assert [line for line in starters(CONNECTOR_MODE="live") if "STOPPED" in line] == [
        line for line in starters() if "STOPPED" in line
    ]
    assert [line for line in starters(AUTOMATIC_RUNS="on") if "STOPPED" in line] == []


def test_live_no_schedule_reads_a_source_without_an_account() -> None:
    sources = {}
    for mode in ("live", "sandbox"):
        repository = definitions(CONNECTOR_MODE=mode).get_repository_def()
        jobs = [repository.get_job(schedule.job_name) for schedule in repository.schedule_defs]
        sources[mode] = {key.path[0] for job in jobs for key in job.asset_layer.executable_asset_keys}
    assert (sources["sandbox"], sources["sandbox"] - sources["live"]) == ({kind.name for kind in discover()}, {"faker"})


def test_every_stream_of_every_connector_is_an_asset() -> None:
    streams = {f"{source.name}/{stream.name}" for source in discover() for stream in source.streams}
    frames = {key for key, spec in specs(ENABLED_STREAMS=ALL_STREAMS).items() if not is_stream(spec)}
    assert specs(ENABLED_STREAMS=ALL_STREAMS).keys() - frames == streams


def test_only_what_is_enabled_by_default_is_on() -> None:
    on = {f"{source.name}/{stream.name}" for source in discover() for stream in source.streams if stream.enabled}
    assert {key for key, spec in specs().items() if is_stream(spec)} == on


@pytest.mark.parametrize(
    ("enabled", "turned_on"),
    [
        ("drift.transcripts", {"drift/transcripts"}),
        (" drift.transcripts , drift.users,", {"drift/transcripts"}),
        ("drift.*", {"drift/transcripts", "drift/contacts_by_email"}),
    ],
)
def test_a_setting_turns_streams_on(enabled: str, turned_on: set[str]) -> None:
    assert specs(ENABLED_STREAMS=enabled).keys() - specs().keys() == turned_on


def test_every_asset_has_a_place_upstream_of_which_everything_is_there() -> None:
    every = specs(ENABLED_STREAMS=ALL_STREAMS)
    assert {dep.asset_key.to_user_string() for spec in every.values() for dep in spec.deps} - every.keys() == set()


def test_every_asset_has_a_blocking_check_of_its_key_and_others() -> None:
    checked = checks(ENABLED_STREAMS=ALL_STREAMS)
    every = specs(ENABLED_STREAMS=ALL_STREAMS)
    assert checked.keys() == {
        key for key, spec in every.items() if is_stream(spec) or spec.group_name in ("frames", "documents")
    }
    assert [key for key, names in checked.items() if "key_unique!" not in names or len(names) < 2] == []


def test_every_asset_names_its_table() -> None:
    unnamed = {
        key: spec.metadata.get("dagster/table_name")
        for key, spec in specs(ENABLED_STREAMS=ALL_STREAMS).items()
        if key != "sync_report" and spec.metadata.get("dagster/table_name") != f"sandbox.{key.replace('/', '.')}"
    }
    assert unnamed == {}


def test_every_asset_says_what_it_is_and_what_each_column_holds() -> None:
    silent = {}
    every = specs(ENABLED_STREAMS=ALL_STREAMS)
    page = every.pop("sync_report")  # the only one that is no table
    assert len(page.description or "") >= 40
    for key, spec in every.items():
        schema = spec.metadata["dagster/column_schema"]
        assert isinstance(schema, dg.TableSchema)
        undescribed = [column.name for column in schema.columns if len(column.description or "") < 10]
        if undescribed or not schema.columns or len(spec.description or "") < 40 or "duckdb" not in spec.kinds:
            silent[key] = undescribed
    assert silent == {}


# Loading it


@pytest.mark.parametrize(
    ("variable", "value"),
    [("SCHEDULE_TIMEZONE", "Mars"), ("ENABLED_STREAMS", "aha.no"), ("ACCOUNTS_FILE", "/no/such/file.toml")],
)
def test_a_wrong_setting_is_an_error_that_dagsters_command_line_tells_in_one_line(variable: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=variable) as refused:
        definitions(**{variable: value})
    assert isinstance(refused.value, click.ClickException)
    assert refused.value.format_message() == str(refused.value)
    assert (refused.value.exit_code, refused.value.__suppress_context__) == (1, True)


CHILD = """
import json, sys
events = []
sys.addaudithook(lambda event, arguments: events.append(event) if event.startswith("socket.") else None)
import orchestration.definitions
packages = sorted({name.partition(".")[0] for name in sys.modules})
print(json.dumps({"events": sorted(set(events)), "packages": packages}))
"""
SLOW = {
    "alembic",
    "airbyte_cdk",
    "matplotlib",
    "mimesis",
    "numpy",
    "pandas",
    "pyarrow",
    "sqlalchemy",
    "starlette",
    "uvicorn",
}
"""What a process that only lists assets would wait for; it is imported where it is used."""


@pytest.fixture(scope="module")
def child() -> Mapping[str, Any]:
    """What importing the definitions does in a process of its own with an empty environment."""
    environment = {name: os.environ[name] for name in ("PATH", "HOME")}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", CHILD],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    answer: Mapping[str, Any] = json.loads(done.stdout)
    return answer


def test_loading_the_graph_imports_nothing_slow(child: Mapping[str, Any]) -> None:
    assert SLOW.intersection(child["packages"]) == set()
    assert {"dagster", "orchestration"} <= set(child["packages"])


def test_loading_the_graph_talks_to_nobody(child: Mapping[str, Any]) -> None:
    # urllib3 binds a socket to ::1 to see whether there is IPv6.
    assert set(child["events"]) <= {"socket.__new__", "socket.bind"}


# The settings


@pytest.mark.parametrize("mode", ["sandbox", "live"])
def test_each_mode_has_its_own_database_and_spools(mode: str) -> None:
    defs = definitions(CONNECTOR_MODE=mode, DATA_FOLDER="/srv/headrace")
    warehouse, connection = (defs.resources or {})["warehouse"], (defs.resources or {})["connection"]
    assert (warehouse.database, warehouse.spools, connection.mode) == (
        f"/srv/headrace/{mode}.duckdb",
        f"/srv/headrace/spools/{mode}",
        mode,
    )


def test_assets_say_in_which_mode_they_are() -> None:
    assert {spec.tags["mode"] for spec in specs(CONNECTOR_MODE="live").values() if spec.group_name != "frames"} == {
        "live"
    }


def test_nothing_set_is_a_sandbox_of_ninety_days_in_the_folder_data() -> None:
    today = datetime.now(UTC).date()
    assert Settings.from_environment({}) == Settings("sandbox", Path("data"), today - timedelta(days=90))


def test_live_starts_with_the_year_and_in_a_database_of_its_own() -> None:
    settings = Settings.from_environment({"CONNECTOR_MODE": "live"})
    assert (settings.start, settings.database) == (date(2026, 1, 1), Path("data/live.duckdb"))


def test_every_variable_is_read() -> None:
    read = Settings.from_environment(
        {
            "CONNECTOR_MODE": "live",
            "DATA_FOLDER": "/srv/headrace",
            "PARTITIONS_START": "2024-02-29",
            "ENABLED_STREAMS": "aha.record_links, drift.*",
            "SANDBOX_URL": "http://127.0.0.1:8787",
            "SANDBOX_SCALE": "0.5",
            "SANDBOX_LIMITS": "0",
            "SANDBOX_SEED": "7",
            "SANDBOX_TODAY": "2025-03-01",
            "DUCKDB_MEMORY_LIMIT": "1GB",
            "KEEP_SPOOLS_DAYS": "0.5",
            "KEEP_SPOOLS_GB": "0.1",
            "AUTOMATIC_RUNS": "on",
            "SCHEDULE_TIME": "05:15",
            "SCHEDULE_TIMEZONE": "Europe/Berlin",
            "SCHEDULE_LOOKBACK_DAYS": "2",
            "CATCH_UP_DAYS": "7",
            "CATCH_UP_REQUESTS_PER_DAY": "300",
            "FAILURE_WEBHOOK_URL": "https://hooks.example.com/services/T0/B0/secret",
            "DAGSTER_WEBSERVER_URL": "https://dagster.example.com/",
            "DAILY_REQUEST_BUDGET": "5000",
            "ASSET_OWNERS": "team:crm, jane@example.com",
            "ACCOUNTS_FILE": "/srv/accounts.toml",
        }
    )
    assert read == Settings(
        mode="live",
        data_folder=Path("/srv/headrace"),
        start=date(2024, 2, 29),
        enabled=frozenset({"aha.record_links", "drift.*"}),
        sandbox_url="http://127.0.0.1:8787",
        sandbox_scale=0.5,
        sandbox_limits=0.0,
        sandbox_seed=7,
        sandbox_today=date(2025, 3, 1),
        memory_limit="1GB",
        keep_spools_days=0.5,
        keep_spools_bytes=100_000_000,
        automatic_runs=True,
        tick=DailyTick(time(5, 15), "Europe/Berlin"),
        lookback_days=2,
        catch_up_days=7,
        catch_up_requests_per_day=300,
        failure_webhook_url="https://hooks.example.com/services/T0/B0/secret",
        webserver_url="https://dagster.example.com",
        daily_request_budget=5000,
        owners=("team:crm", "jane@example.com"),
        accounts_file=Path("/srv/accounts.toml"),
    )
    assert "hooks.example.com" not in repr(read)


def test_what_is_set_reaches_the_warehouse() -> None:
    resources = definitions(KEEP_SPOOLS_DAYS="0.5", KEEP_SPOOLS_GB="0.1", DUCKDB_MEMORY_LIMIT="1GB").resources or {}
    warehouse = resources["warehouse"]
    assert isinstance(warehouse, Warehouse)
    assert (warehouse.keep_spools_days, warehouse.keep_spools_bytes, warehouse.memory_limit) == (0.5, 10**8, "1GB")


def test_owners_and_the_budget_reach_every_stream_and_source() -> None:
    defs = definitions(ASSET_OWNERS="team:crm", DAILY_REQUEST_BUDGET="5000")
    specs = [asset for asset in defs.resolve_all_asset_specs() if asset.kinds == {"duckdb", "python"}]
    assert {tuple(spec.owners) for spec in specs} == {("team:crm",)}
    resources = defs.resources or {}
    assert {resources[name].daily_request_budget for name in ("aha", "drift")} == {5000}


def test_what_is_set_to_nothing_is_not_set() -> None:
    names = ("CONNECTOR_MODE", "DATA_FOLDER", "PARTITIONS_START", "ENABLED_STREAMS", "SANDBOX_SCALE", "SANDBOX_TODAY")
    assert Settings.from_environment(dict.fromkeys(names, "")) == Settings.from_environment({})


@pytest.mark.parametrize(
    ("variable", "value", "complaint"),
    [
        ("CONNECTOR_MODE", "prod", "CONNECTOR_MODE is 'prod'; set it to sandbox or live."),
        ("CONNECTOR_MODE", "Live", "CONNECTOR_MODE is 'Live'; set it to sandbox or live."),
        ("PARTITIONS_START", "yesterday", "PARTITIONS_START is 'yesterday'; set it to a day as YYYY-MM-DD."),
        ("PARTITIONS_START", "2025-02-29", "PARTITIONS_START is '2025-02-29'; set it to a day as YYYY-MM-DD."),
        ("PARTITIONS_START", "2999-01-01", "PARTITIONS_START is 2999-01-01; set it to a day that is over (UTC)."),
        ("SANDBOX_TODAY", "today", "SANDBOX_TODAY is 'today'; set it to a day as YYYY-MM-DD."),
        ("SANDBOX_TODAY", "2999-01-01", "SANDBOX_TODAY is 2999-01-01; it may not lie in the future (UTC)."),
        ("SANDBOX_SCALE", "much", "SANDBOX_SCALE is 'much'; set it to a number."),
        ("SANDBOX_SCALE", "nan", "SANDBOX_SCALE is 'nan'; set it to a finite number that is not negative."),
        ("SANDBOX_LIMITS", "-1", "SANDBOX_LIMITS is '-1'; set it to a finite number that is not negative."),
        ("SANDBOX_LIMITS", "inf", "SANDBOX_LIMITS is 'inf'; set it to a finite number that is not negative."),
        ("KEEP_SPOOLS_DAYS", "-1", "KEEP_SPOOLS_DAYS is '-1'; set it to a finite number that is not negative."),
        ("DAILY_REQUEST_BUDGET", "1.5", "DAILY_REQUEST_BUDGET is '1.5'; set it to a whole number."),
        ("ASSET_OWNERS", "crm", "ASSET_OWNERS names 'crm'; an owner is an e-mail address or a team, such as team:crm."),
        ("KEEP_SPOOLS_GB", "2GB", "KEEP_SPOOLS_GB is '2GB'; set it to a number."),
        ("KEEP_SPOOLS_GB", "1e300", "KEEP_SPOOLS_GB is '1e300'; set it to 1,000,000 at most."),
        ("KEEP_SPOOLS_DAYS", "1e300", "KEEP_SPOOLS_DAYS is '1e300'; set it to 36,500 at most."),
        ("CATCH_UP_DAYS", "1000000", "CATCH_UP_DAYS is '1000000'; set it to 36,500 at most."),
        ("SCHEDULE_LOOKBACK_DAYS", "1000000", "SCHEDULE_LOOKBACK_DAYS is '1000000'; set it to 36,500 at most."),
        ("SANDBOX_TODAY", "0001-02-01", "SANDBOX_TODAY is 0001-02-01; set it to 2000-01-01 or a later day."),
        ("DATA_FOLDER", __file__, f"DATA_FOLDER is {__file__!r}, and {__file__} is no folder; set it to one."),
        (
            "DATA_FOLDER",
            f"{__file__}/below",
            f"DATA_FOLDER is '{__file__}/below', and {__file__} is no folder; set it to one.",
        ),
        *(
            (
                variable,
                "s3://bucket/it",
                (
                    f"{variable} begins with s3:/ and is no path on this machine. Give a path of a disk here, and copy "
                    "from it to where it is wanted."
                ),
            )
            for variable in ("DATA_FOLDER", "ACCOUNTS_FILE", "EXPORTS_FILE")
        ),
        ("AUTOMATIC_RUNS", "yes", "AUTOMATIC_RUNS is 'yes'; set it to on or off."),
        ("SCHEDULE_TIME", "24:00", "SCHEDULE_TIME is '24:00'; set it to a time of the day as HH:MM."),
        ("SCHEDULE_TIME", "1:30", "SCHEDULE_TIME is '1:30'; set it to a time of the day as HH:MM."),
        *(
            (
                "SCHEDULE_TIMEZONE",
                zone,
                (
                    f"SCHEDULE_TIMEZONE is {zone!r}; set it to a name of the IANA database, such as UTC or "
                    "Europe/Berlin."
                ),
            )
            for zone in ("Berlin", "../etc", "Europe")
        ),
        (
            "FAILURE_WEBHOOK_URL",
            "hooks.example.com/a-secret",
            "FAILURE_WEBHOOK_URL is no address; set it to one that begins with https:// or http://.",
        ),
        ("SANDBOX_SEED", "1.5", "SANDBOX_SEED is '1.5'; set it to a whole number."),
        *(
            (
                "DUCKDB_MEMORY_LIMIT",
                value,
                (
                    f"DUCKDB_MEMORY_LIMIT is {value!r}; set it to a number and a unit (KB, MB, GB, TB, KiB, MiB, GiB "
                    "or TiB), such as 256MB, and to 16MB at least."
                ),
            )
            for value in (
                *("lots", "192", "GB", "-1GB", "0MB", "80%", "1PB", "1GB more"),
                *("1KB", "15.9MB", "15MiB", "99999999999999999999TB"),
            )
        ),
    ],
)
def test_a_wrong_setting_is_named_with_what_it_may_be(variable: str, value: str, complaint: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        Settings.from_environment({variable: value})
    assert str(raised.value) == complaint


@pytest.mark.parametrize("value", ["1GB", "1.5 GiB", "500mb", "200000KB", "200000KiB", "256MiB", "0.5TB", "1TiB"])
def test_a_memory_limit_that_is_taken_is_one_duckdb_takes(value: str) -> None:
    limit = Settings.from_environment({"DUCKDB_MEMORY_LIMIT": value}).memory_limit
    with duckdb.connect(config={"memory_limit": limit}) as connection:
        assert connection.execute("SELECT 1").fetchall() == [(1,)]


@pytest.mark.parametrize("enabled", ["drift.transcript", "drift", "drive.*", "*", "drift.transcripts,aha.feature"])
def test_a_stream_that_is_not_there_cannot_be_turned_on(enabled: str) -> None:
    wrong = enabled.split(",")[-1]
    with pytest.raises(ConfigurationError, match=rf"ENABLED_STREAMS names {re.escape(wrong)}, .* drift\.transcripts"):
        definitions(ENABLED_STREAMS=enabled)


if __name__ == "__main__":
    CATALOGUE.write_text(catalogue())
