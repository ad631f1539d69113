"""What Dagster calls stale: what is made from data that has changed, and nothing else."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest
import requests
from dagster._core.definitions.data_version import CachingStaleStatusResolver
from dagster._core.loader import LoadingContextForTest

from connector_resources.sandbox.process import SandboxProcess
from connector_resources.sandbox.settings import Settings as SandboxSettings
from orchestration.frames.asset import frame_asset, read
from orchestration.frames.columns import Columns, text
from tests.orchestration.conftest import DAYS, TODAY, Project

if TYPE_CHECKING:
    import pandas as pd

GOALS, FEATURES, REQUIREMENTS = "aha/goals", "aha/features", "aha/requirements"
LAST = DAYS[-1]


def aims(goals: "pd.DataFrame") -> "pd.DataFrame":
    """One row per goal."""
    return goals


def planned(features: "pd.DataFrame") -> "pd.DataFrame":
    """One row per feature."""
    return features


NAMES = Columns(id=text("Which."), name=text("What it is called."))
AIMS = frame_asset(aims, NAMES, goals=read("aha", "goals", {"id": "id", "name": "name"}))
PLANNED = frame_asset(planned, NAMES, features=read("aha", "features", {"id": "id", "name": "name"}))


class Account(Project):
    """A project on a sandbox of its own, and what Dagster says of its assets."""

    def change(self, path: str) -> None:
        """Let a record of a list be renamed as soon as the list is read."""
        fault = {"pattern": f"GET /aha/api/v1/{path}*", "kind": "drift_row", "change": "update"}
        requests.post(f"{self.url}/_sandbox/faults", json=[fault], timeout=10).raise_for_status()

    def stale(self, *names: str, days: Sequence[str] = ()) -> list[str | tuple[str, str]]:
        """Return the assets that are stale, by name or by name and day."""
        assets = [AIMS, PLANNED, *(self.asset(name) for name in (GOALS, FEATURES, REQUIREMENTS))]
        graph = dg.Definitions(assets, resources=self.resources()).resolve_asset_graph()
        resolver = CachingStaleStatusResolver(self.instance, graph, LoadingContextForTest(self.instance))
        asked: list[str | tuple[str, str]] = [(name, day) for name in names for day in days] if days else [*names]
        found = []
        for each in asked:
            name, day = (each, None) if isinstance(each, str) else each
            status = resolver.get_status(dg.AssetKey(name.split("/")), day).value
            assert status != "MISSING", each
            if status == "STALE":
                found.append(each)
        return found

    def versions(self, name: str) -> dict[str | None, str]:
        """Return the version Dagster knows of each partition of an asset."""
        events = self.instance.fetch_materializations(dg.AssetKey(name.split("/")), limit=500, ascending=True).records
        return {
            each.partition_key: (each.asset_materialization.tags or {})["dagster/data_version"]
            for each in events
            if each.asset_materialization is not None
        }

    def done(self, *assets: Any, days: Sequence[str] = ()) -> None:
        """Materialise assets; they succeed."""
        assert self.run(*assets, days=days).success


@pytest.fixture
def account(tmp_path: Path) -> Iterator[Account]:
    with SandboxProcess(SandboxSettings(limits=0, today=TODAY)) as process:
        yield Account(tmp_path, process.url)


def test_a_snapshot_materialised_three_times_has_one_version_and_leaves_its_frame_fresh(account: Account) -> None:
    account.done(GOALS, AIMS)
    rows, version = account.rows("aha.goals"), account.versions(GOALS)
    for _ in range(2):
        account.done(GOALS)
        assert (account.rows("aha.goals"), account.versions(GOALS)) == (rows, version)
        assert account.stale("frames/aims") == []
    assert len(rows) > 3


def test_one_changed_field_is_a_new_version_and_makes_the_frame_stale_until_it_is_made_again(account: Account) -> None:
    account.done(GOALS, AIMS)
    before = account.versions(GOALS)
    account.change("goals")
    account.done(GOALS)
    assert (account.versions(GOALS) != before, account.stale("frames/aims")) == (True, ["frames/aims"])
    assert account.run(AIMS, GOALS, only="frames/aims").success
    assert account.stale("frames/aims") == []


def test_a_day_materialised_three_times_has_one_version_and_leaves_its_substream_fresh(account: Account) -> None:
    account.done(FEATURES, REQUIREMENTS, days=[LAST])
    rows, version = account.rows("aha.features"), account.versions(FEATURES)
    for _ in range(2):
        account.done(FEATURES, days=[LAST])
        assert (account.rows("aha.features"), account.versions(FEATURES)) == (rows, version)
        assert account.stale(REQUIREMENTS, days=[LAST]) == []
    assert rows != []


def test_days_run_alone_after_their_range_make_nothing_stale(account: Account) -> None:
    account.done(FEATURES, REQUIREMENTS, days=DAYS)
    account.done(FEATURES, days=DAYS)
    for day in DAYS[-3:]:
        account.done(FEATURES, days=[day])
    account.done(FEATURES, days=DAYS[-5:])
    assert account.stale(REQUIREMENTS, days=DAYS) == []
    assert len(set(account.versions(FEATURES).values())) == 1


def test_a_day_that_changed_after_its_range_is_stale_and_the_other_days_are_not(account: Account) -> None:
    account.done(FEATURES, REQUIREMENTS, days=DAYS)
    account.change("features")
    for day in DAYS[-3:]:
        account.done(FEATURES, days=[day])
    assert account.stale(REQUIREMENTS, days=DAYS) == [(REQUIREMENTS, LAST)]
    assert account.run(FEATURES, REQUIREMENTS, days=[LAST], only=REQUIREMENTS).success
    assert account.stale(REQUIREMENTS, days=DAYS) == []


def test_a_change_is_never_hidden_by_a_version_that_dagster_knew_before(account: Account) -> None:
    """A commit whose event was lost: the table has not changed since, but what Dagster knows of it has."""
    account.done(FEATURES, REQUIREMENTS, days=DAYS)
    account.change("features")
    lost = Account(account.folder, account.url)
    lost.done(FEATURES, days=[LAST])  # another instance: this one never hears of it
    account.done(FEATURES, days=[LAST])
    assert account.stale(REQUIREMENTS, days=DAYS) == [(REQUIREMENTS, LAST)]


def test_a_day_that_changed_stays_stale_when_its_range_is_run_again(account: Account) -> None:
    account.done(FEATURES, REQUIREMENTS, days=DAYS)
    account.change("features")
    account.done(FEATURES, days=[LAST])
    account.done(FEATURES, days=DAYS[-3:])
    assert (REQUIREMENTS, LAST) in account.stale(REQUIREMENTS, days=DAYS)


def test_in_a_range_in_which_one_day_changed_all_its_days_look_changed(account: Account) -> None:
    """Dagster keeps one version for all partitions of a run; the error is on the side of making too much again."""
    account.done(FEATURES, REQUIREMENTS, days=DAYS)
    account.change("features")
    account.done(FEATURES, days=DAYS[-3:])
    assert account.stale(REQUIREMENTS, days=DAYS) == [(REQUIREMENTS, day) for day in DAYS[-3:]]


def test_dagster_does_not_look_whether_the_days_a_frame_is_made_of_have_changed(account: Account) -> None:
    """It leaves daily partitions out where an asset without partitions is made of all of them, however few."""
    account.done(FEATURES, days=DAYS)
    assert account.run(FEATURES, PLANNED, only="frames/planned").success
    account.change("features")
    account.done(FEATURES, days=[LAST])
    assert account.stale("frames/planned") == []
