"""How fresh each asset has to be, as Dagster's own evaluation sees it, and how far behind the vendor a landing was."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from dagster._core.definitions.freshness import FreshnessState
from dagster._core.definitions.freshness_evaluator import FRESHNESS_EVALUATORS_BY_POLICY_TYPE
from dagster._core.loader import LoadingContextForTest
from dagster._core.test_utils import freeze_time

from orchestration.automation import frame_freshness, freshness
from orchestration.pace import DailyTick
from tests.landing import daily, snapshot
from tests.orchestration.conftest import DAYS, Project, kind_of, materialized

BERLIN = ZoneInfo("Europe/Berlin")
DAILY = freshness(daily("deeds"), DailyTick(time(1, 30), "Europe/Berlin"))
SNAPSHOT = freshness(snapshot("lands", id="string"), DailyTick())


def state(policy: dg.FreshnessPolicy, landed: datetime, now: datetime) -> FreshnessState:
    """What Dagster says at a time of an asset that was landed at another."""
    spec = dg.AssetSpec("asset", freshness_policy=policy)
    instance = dg.DagsterInstance.ephemeral()
    with freeze_time(landed.astimezone(UTC)):
        instance.report_runless_asset_event(dg.AssetMaterialization("asset"))
    node = dg.Definitions([spec]).resolve_asset_graph().get(spec.key)
    evaluator = FRESHNESS_EVALUATORS_BY_POLICY_TYPE[type(policy)]()
    with freeze_time(now.astimezone(UTC)):
        return asyncio.run(evaluator.evaluate_freshness(LoadingContextForTest(instance), node))


def local(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN)


@pytest.mark.parametrize(
    ("landed", "now", "expected"),
    [
        ("2026-06-10T01:40", "2026-06-10T05:31", FreshnessState.PASS),
        ("2026-06-10T05:20", "2026-06-10T05:31", FreshnessState.PASS),
        ("2026-06-10T01:40", "2026-06-11T05:29", FreshnessState.PASS),
        ("2026-06-10T01:40", "2026-06-11T05:31", FreshnessState.FAIL),
        ("2026-06-11T07:00", "2026-06-11T07:01", FreshnessState.PASS),
        # Three hours lie between half past one and half past five in the one night, five in the other.
        ("2026-03-29T01:35", "2026-03-29T06:00", FreshnessState.PASS),
        ("2026-10-25T01:35", "2026-10-25T06:00", FreshnessState.PASS),
        ("2026-03-28T01:35", "2026-03-29T06:00", FreshnessState.FAIL),
        ("2026-10-24T01:35", "2026-10-25T06:00", FreshnessState.FAIL),
    ],
)
def test_a_daily_stream_is_late_four_hours_after_the_tick_that_did_not_land_it(
    landed: str, now: str, expected: FreshnessState
) -> None:
    assert state(DAILY, local(landed), local(now)) == expected


@pytest.mark.parametrize(
    ("policy", "ages"),
    [
        (SNAPSHOT, {1: "PASS", 2: "PASS", 4: "WARN", 23: "WARN", 25: "FAIL"}),
        (frame_freshness(), {1: "PASS", 27: "PASS", 29: "WARN", 35: "WARN", 37: "FAIL"}),
    ],
)
def test_a_snapshot_and_a_frame_are_late_by_their_age(policy: dg.FreshnessPolicy, ages: Mapping[int, str]) -> None:
    now = datetime(2026, 6, 11, 12, tzinfo=UTC)
    assert {age: state(policy, now - timedelta(hours=age), now).value for age in ages} == ages


def test_what_was_never_landed_is_not_called_late() -> None:
    spec = dg.AssetSpec("asset", freshness_policy=SNAPSHOT)
    node = dg.Definitions([spec]).resolve_asset_graph().get(spec.key)
    evaluator = FRESHNESS_EVALUATORS_BY_POLICY_TYPE[type(SNAPSHOT)]()
    context = LoadingContextForTest(dg.DagsterInstance.ephemeral())
    assert asyncio.run(evaluator.evaluate_freshness(context, node)) == FreshnessState.UNKNOWN


def test_a_source_that_no_schedule_reads_is_never_late(project: Project) -> None:
    (spec,) = project.asset("faker/users").specs
    assert spec.freshness_policy is None


# How far behind


def test_each_partition_says_how_old_its_newest_record_was_when_it_was_landed(project: Project) -> None:
    began = datetime.now(UTC)
    result = project.run("aha/features", days=DAYS)
    ended = datetime.now(UTC)
    found = {key: facts for key, facts in materialized(result, "aha/features").items() if facts["rows"]}
    assert len(found) > 3
    for facts in found.values():
        newest = datetime.fromisoformat(facts["cursor_range"].split(" … ")[1])
        assert round((began - newest).total_seconds()) <= facts["seconds_behind"]
        assert facts["seconds_behind"] <= round((ended - newest).total_seconds())


def test_a_snapshot_with_a_cursor_says_how_far_behind_it_is_and_one_without_does_not(project: Project) -> None:
    result = project.run("drift/accounts", "drift/contact_attributes")
    assert kind_of("drift").stream("contact_attributes").cursor is None
    told = {
        name: "seconds_behind" in materialized(result, name)[None]
        for name in ("drift/accounts", "drift/contact_attributes")
    }
    assert told == {"drift/accounts": True, "drift/contact_attributes": False}
