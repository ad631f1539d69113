"""Two accounts of one source, side by side in one run: what each has of its own."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import requests

from connector_resources.sandbox.process import SandboxProcess
from connector_resources.sandbox.settings import Settings as SandboxSettings
from connector_resources.spool import kept
from orchestration.rate_budget import rate_budget_assets
from tests.orchestration.conftest import DAYS, TODAY, Project, failures, kind_of, materialized

EMEA = kind_of("aha").named("aha_emea")
SUPPORT = kind_of("drift").named("drift_support")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A sandbox that keeps the vendors' limits, four times as high."""
    with SandboxProcess(SandboxSettings(limits=4, today=TODAY)) as process:
        yield process.url


@pytest.fixture
def project(tmp_path: Path, url: str) -> Project:
    """A project with a second account of each vendor."""
    return Project(tmp_path, url, sources={"aha_emea": EMEA, "drift_support": SUPPORT}, changes={"sandbox_limits": 4})


def paths(url: str) -> set[str]:
    """The accounts that the sandbox was asked as."""
    counted = requests.get(f"{url}/_sandbox/requests", timeout=10).json()
    return {path.split("/")[1] for path in counted["paths"]}


def test_two_accounts_in_one_run_land_in_schemas_of_their_own(project: Project, url: str) -> None:
    streams = ("aha/features", "aha/requirements", "aha/users")
    result = project.run(*streams, *(f"aha_emea/{name.split('/')[1]}" for name in streams), days=DAYS)
    assert failures(result) == {}
    assert {"aha", "aha.aha_emea"} <= paths(url)
    for stream in ("features", "requirements", "users"):
        rows = project.rows(f"aha_emea.{stream}")
        assert rows
        assert rows == project.rows(f"aha.{stream}")
        assert project.store.landed_partitions("aha_emea", stream) == project.store.landed_partitions("aha", stream)
    assert {each.key.source for each in kept(project.folder / "spools")} == {"aha", "aha_emea"}


def test_an_account_that_is_read_alone_leaves_the_other_as_it_is(project: Project) -> None:
    assert project.run("drift/users", "drift_support/users").success
    before = project.store.query("SELECT DISTINCT _run_id FROM drift.users")
    again = project.run("drift_support/users")
    assert project.store.query("SELECT DISTINCT _run_id FROM drift.users") == before
    assert project.store.query("SELECT DISTINCT _run_id FROM drift_support.users") == [(again.run_id,)]


def test_what_one_account_has_sent_is_not_the_others_budget(project: Project) -> None:
    project.changes["daily_request_budget"] = 1
    assert project.run("drift/users").success
    assert [error for error, _ in failures(project.run("drift/users")).values()] == ["RequestBudgetSpent"]
    (read,) = materialized(project.run("drift_support/users"), "drift_support/users").values()
    assert (read["requests_used_today"], read["requests"]) == (0, 1)


def test_each_account_shows_its_own_budget(project: Project) -> None:
    assert project.run("drift/users", "drift_support/users", "drift_support/teams").success
    budgets = {asset.key.path[0]: asset for asset in rate_budget_assets([kind_of("drift"), SUPPORT], "sandbox")}
    result = dg.materialize(list(budgets.values()), resources=project.resources())
    used = {name: materialized(result, f"{name}/rate_budget")[None]["used"] for name in budgets}
    assert used == {"drift": 1, "drift_support": 2}
    limits = {file.name.split("-")[0] for file in (project.folder / "state" / "sandbox" / "rate_limits").iterdir()}
    assert limits == {"drift", "drift_support"}


def test_a_replay_of_one_account_takes_what_that_account_was_read_as(project: Project, url: str) -> None:
    assert project.run("drift/users", "drift_support/users").success
    asked = requests.get(f"{url}/_sandbox/requests", timeout=10).json()["total"]
    again = project.run("drift_support/users", replay=True)
    assert failures(again) == {}
    assert requests.get(f"{url}/_sandbox/requests", timeout=10).json()["total"] == asked
    assert project.store.query("SELECT DISTINCT _run_id FROM drift_support.users") == [(again.run_id,)]
