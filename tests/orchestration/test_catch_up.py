"""Days that an outage has left out: which are missing, what they cost, and what is read of them today."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.test_utils import freeze_time

from connector_resources.streams import Column, Cursor, Parent, Stream
from orchestration.catch_up import UNKNOWN_REQUESTS_PER_DAY, Gap, Spent, catch_up_sensor, gaps, plan, requests_of_a_day
from orchestration.landed_elsewhere import landed_elsewhere
from orchestration.pace import DailyTick
from orchestration.partitions import daily as daily_partitions
from orchestration.schedules import daily_job
from tests.landing import children, columns, daily, snapshot
from tests.orchestration.conftest import DAYS as SANDBOX_DAYS
from tests.orchestration.conftest import TODAY, Project, kind_of, materialized

NOW = datetime(2026, 3, 11, 8, tzinfo=UTC)
START = date(2026, 3, 1)
DAYS = [f"2026-03-{number:02}" for number in range(1, 11)]
"""The days that are due, all of them."""
DEEDS = daily("deeds")
SHORT = replace(daily("calls"), cursor=Cursor("at", since="since", horizon=timedelta(days=4)))
LANDS = snapshot("lands", id="string")
CENSUS = Stream(
    name="census",
    description="",
    columns=(*columns(id="string", at="timestamp"), Column("land", "string", "", parent="land")),
    primary_key=("id",),
    cursor=Cursor("at", since="since"),
    parent=Parent(LANDS, {"land": "id"}),
)
"""Daily, and read for each record of a snapshot."""
STREAMS = {
    "east": [LANDS, CENSUS],
    "north": [DEEDS, children(DEEDS), LANDS],
    "south": [SHORT, replace(daily("moments"), cursor=Cursor("at", since="since", horizon=timedelta(hours=6)))],
}
NORTH, SOUTH = ("north/deeds", "north/parts"), ("south/calls",)


# Which days belong together


def missing(**by_source: Mapping[str, Sequence[str]]) -> Mapping[str, Mapping[str, Sequence[str]]]:
    return by_source


def test_days_that_follow_one_another_and_miss_the_same_are_one_gap() -> None:
    asked = missing(
        north={
            "2026-02-27": NORTH,
            "2026-02-28": NORTH,
            "2026-03-01": NORTH,
            "2026-03-03": NORTH,
            "2026-03-04": NORTH[:1],
        },
        south={"2026-02-28": SOUTH},
    )
    assert gaps(asked) == [
        Gap("north", NORTH, ("2026-02-27", "2026-02-28", "2026-03-01")),
        Gap("south", SOUTH, ("2026-02-28",)),
        Gap("north", NORTH, ("2026-03-03",)),
        Gap("north", NORTH[:1], ("2026-03-04",)),
    ]


def planned(budget: int, spent: int = 0, cost: float = 10.0) -> tuple[list[tuple[Sequence[str], int]], list[str], int]:
    """What is read of ten days of two assets and four of another, with its requests; what is left; what is spent."""
    asked = missing(north=dict.fromkeys(DAYS, NORTH), south=dict.fromkeys(DAYS[-4:], SOUTH))
    made = plan(asked, lambda _: cost, Spent("2026-03-11", spent), budget)
    return [(gap.days, requests) for gap, requests in made.chosen], list(made.left), made.spent.requests


def test_what_fits_in_the_budget_is_read_whole() -> None:
    assert planned(240) == ([(tuple(DAYS), 200), (tuple(DAYS[-4:]), 40)], [], 240)


def test_a_gap_that_does_not_fit_is_read_in_part_its_oldest_days_first() -> None:
    chosen, left, spent = planned(100)
    assert (chosen, spent) == ([(tuple(DAYS[:5]), 100)], 100)
    rest = "requests, and the budget of today (UTC) has 0 of 100 left; CATCH_UP_REQUESTS_PER_DAY sets it."
    assert left == [
        f"north 2026-03-06…2026-03-10 (2 assets): about 100 {rest}",
        f"south 2026-03-07…2026-03-10 (1 asset): about 40 {rest}",
    ]


def test_a_smaller_gap_may_fit_where_a_larger_one_does_not() -> None:
    assert planned(100, spent=85)[0] == [(("2026-03-07",), 10)]


def test_never_more_is_asked_for_than_the_budget() -> None:
    for budget in range(0, 300, 7):
        for spent in (0, 5, 90, 400):
            chosen, _, after = planned(budget, spent, cost=3.3)
            assert after == spent + sum(requests for _, requests in chosen)
            assert after <= max(budget, spent)


def test_an_estimate_is_rounded_up() -> None:
    assert planned(100, cost=3.3)[0] == [(tuple(DAYS), 66), (tuple(DAYS[-4:]), 14)]


def test_a_day_that_is_more_than_the_whole_budget_is_left_to_people() -> None:
    chosen, left, _ = planned(15)
    assert chosen == [(("2026-03-07",), 10)]
    assert left[0].endswith("One of these days is more than all of it: materialise it by hand.")


def test_a_day_costs_a_request_at_least() -> None:
    assert planned(10, cost=0.0)[0] == [(tuple(DAYS[:5]), 10)]


# What is missing, as the sensor sees it


@dataclass
class Outage:
    """A project whose daily streams have landed on some days, and the sensor that looks at it."""

    instance: dg.DagsterInstance
    cursor: str | None = None
    now: datetime = NOW
    days: int = 14
    budget: int = 1_000
    requests: Sequence[dg.RunRequest] = ()

    def land(self, *assets: str, days: Sequence[str], metadata: Mapping[str, Any] | None = None) -> None:
        for asset in assets:
            for day in days:
                event = dg.AssetMaterialization(asset.split("/"), partition=day, metadata=metadata)
                self.instance.report_runless_asset_event(event)

    def begin(self, *assets: str, days: Sequence[str], at: datetime, status: dg.DagsterRunStatus) -> str:
        """A run of some days that was begun at a time, with what Dagster notes at its beginning."""
        job = self.definitions().resolve_job_def("daily_streams")
        tags = {"dagster/asset_partition_range_start": days[0], "dagster/asset_partition_range_end": days[-1]}
        keys = frozenset(dg.AssetKey(asset.split("/")) for asset in assets)
        with freeze_time(at):
            run = self.instance.create_run_for_job(
                job.get_subset(asset_selection=set(keys)), tags=tags, asset_selection=keys, status=status
            )
        return run.run_id

    def sensor(self) -> dg.SensorDefinition:
        return catch_up_sensor(
            STREAMS,
            daily_partitions(START),
            DailyTick(),
            days=self.days,
            requests_per_day=self.budget,
            running=True,
            now=lambda: self.now,
        )

    def definitions(self) -> dg.Definitions:
        def asset(source: str, stream: Stream) -> dg.AssetsDefinition:
            @dg.asset(
                key=[source, stream.name],
                partitions_def=daily_partitions(START) if stream.is_partitioned else None,
                backfill_policy=dg.BackfillPolicy.single_run(),
            )
            def landed() -> None: ...

            return landed

        assets = [asset(source, stream) for source, every in STREAMS.items() for stream in every]
        return dg.Definitions(assets, jobs=[daily_job(STREAMS)], sensors=[self.sensor()])

    def tick(self) -> tuple[dict[str, tuple[set[str], str]], str]:
        """What the sensor asks for, by source: the assets and the days; and why it asks for nothing."""
        context = dg.build_sensor_context(
            instance=self.instance, cursor=self.cursor, definitions=self.definitions(), sensor_name="catch_up"
        )
        data = self.sensor().evaluate_tick(context)
        self.cursor = data.cursor
        self.requests = data.run_requests or ()
        found = {}
        for request in self.requests:
            assets = {key.to_user_string() for key in request.asset_selection or ()}
            found[request.tags["source"]] = (assets, days_of(request.tags))
        return found, data.skip_message or ""


def days_of(tags: Mapping[str, str]) -> str:
    if "dagster/partition" in tags:
        return tags["dagster/partition"]
    return f"{tags['dagster/asset_partition_range_start']}…{tags['dagster/asset_partition_range_end']}"


@pytest.fixture
def outage(tmp_path: Path) -> Outage:
    """A project in which no day of the north has landed, and of the south those that are listed still."""
    outage = Outage(dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)))
    outage.land(*SOUTH, days=DAYS[-4:])
    outage.land("east/census", days=DAYS)
    outage.instance.report_runless_asset_event(dg.AssetMaterialization(["east", "lands"]))
    return outage


NOTHING = "Nothing is missing of the last 14 days."


def test_where_nothing_is_missing_nothing_is_read(outage: Outage) -> None:
    without(outage)
    assert outage.tick() == ({}, NOTHING)


def without(outage: Outage, *days: str) -> Outage:
    """The same where the streams of the north have landed on all days but some."""
    outage.land(*NORTH, days=[day for day in DAYS if day not in days])
    return outage


def test_the_days_of_an_outage_are_one_run_of_their_source(outage: Outage) -> None:
    without(outage, *DAYS[3:7])
    assert outage.tick() == ({"north": (set(NORTH), "2026-03-04…2026-03-07")}, "")
    (request,) = outage.requests
    assert request.tags["trigger"] == "catch_up"
    assert request.tags["dagster/max_runtime"] == "21600"
    assert request.tags["expected_requests"] == "80"


def test_a_day_is_not_missed_before_it_is_due(outage: Outage) -> None:
    without(outage, DAYS[-1])  # due at half past five
    outage.now = datetime(2026, 3, 11, 5, 29, tzinfo=UTC)
    assert outage.tick() == ({}, NOTHING)
    outage.now = datetime(2026, 3, 11, 5, 30, tzinfo=UTC)
    assert outage.tick() == ({"north": (set(NORTH), DAYS[-1])}, "")


def test_only_the_days_it_is_told_to_look_back_are_looked_at(outage: Outage) -> None:
    outage.days = 3
    assert outage.tick()[0] == {"north": (set(NORTH), "2026-03-08…2026-03-10")}


def test_a_day_that_the_vendor_lists_no_more_is_not_missed(outage: Outage) -> None:
    without(outage)
    outage.instance.wipe_assets([dg.AssetKey(["south", "calls"])])
    assert outage.tick() == ({"south": (set(SOUTH), "2026-03-08…2026-03-10")}, "")  # four days, to the hour


def test_a_stream_is_left_until_the_snapshot_it_is_read_for_has_landed(outage: Outage) -> None:
    without(outage)
    for name in ("lands", "census"):
        outage.instance.wipe_assets([dg.AssetKey(["east", name])])
    assert outage.tick() == ({}, "Left: east/census: east/lands has to be landed first; the hourly schedule does.")
    outage.instance.report_runless_asset_event(dg.AssetMaterialization(["east", "lands"]))
    assert outage.tick()[0] == {"east": ({"east/census"}, f"{DAYS[0]}…{DAYS[-1]}")}


def test_a_day_that_was_asked_for_is_not_asked_for_again_today_but_tomorrow(outage: Outage) -> None:
    without(outage, *DAYS[3:7])
    assert outage.tick()[0] == {"north": (set(NORTH), "2026-03-04…2026-03-07")}
    keys = {request.run_key for request in outage.requests}
    found, why = outage.tick()
    assert (found, why) == (
        {},
        "Left: north 2026-03-04…2026-03-07 (2 assets): was tried today (UTC) and is still missing; see its run.",
    )
    outage.now += timedelta(hours=16)  # midnight
    assert outage.tick()[0] == {"north": (set(NORTH), "2026-03-04…2026-03-07")}
    assert keys.isdisjoint(request.run_key for request in outage.requests)


def test_the_budget_of_a_day_is_for_all_ticks_of_it(outage: Outage) -> None:
    outage.budget = 120
    assert outage.tick()[0] == {"north": (set(NORTH), "2026-03-01…2026-03-06")}
    outage.land(*NORTH, days=DAYS[:6])
    found, why = outage.tick()
    assert found == {}
    assert why.startswith("Left: north 2026-03-07…2026-03-10 (2 assets): about 80 requests, and the budget of today")
    outage.now += timedelta(hours=16)
    assert outage.tick()[0] == {"north": (set(NORTH), "2026-03-07…2026-03-10")}


def test_what_runs_have_cost_is_what_they_are_taken_to_cost(outage: Outage) -> None:
    without(outage, DAYS[-1])
    key = dg.AssetKey(["north", "deeds"])
    assert requests_of_a_day(outage.instance, key) == UNKNOWN_REQUESTS_PER_DAY

    @dg.asset(key=key, partitions_def=daily_partitions(START), backfill_policy=dg.BackfillPolicy.single_run())
    def deeds(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        requests, days = int(context.run.tags["requests"]), len(context.partition_keys)
        return dg.MaterializeResult(metadata={"requests": requests, "partitions_in_run": days})

    for first, last, requests in ((1, 6, 300), (7, 8, 20), (9, 9, 0)):  # the last was read from what was on disk
        tags = {
            "requests": str(requests),
            "dagster/asset_partition_range_start": DAYS[first - 1],
            "dagster/asset_partition_range_end": DAYS[last - 1],
        }
        assert dg.materialize([deeds], instance=outage.instance, tags=tags).success
    assert requests_of_a_day(outage.instance, key) == 40
    outage.tick()
    assert [request.tags["expected_requests"] for request in outage.requests] == ["50"]


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTED])
def test_what_a_run_is_about_to_read_is_left_to_it(outage: Outage, status: dg.DagsterRunStatus) -> None:
    without(outage, *DAYS[3:7])
    run = outage.begin(*NORTH, days=DAYS[3:6], at=NOW - timedelta(hours=2), status=status)
    found, why = outage.tick()
    assert (found, why) == ({"north": (set(NORTH), "2026-03-07")}, "")
    outage.land(*NORTH, days=[DAYS[6]])
    found, why = outage.tick()
    assert (found, why.splitlines()[0]) == ({}, f"Left: north 2026-03-04: run {run[:8]} is in progress.")


def test_a_run_that_died_with_its_machine_a_day_ago_is_waited_for_no_longer(outage: Outage) -> None:
    without(outage, *DAYS[3:7])
    outage.begin(*NORTH, days=DAYS[3:7], at=NOW - timedelta(hours=25), status=dg.DagsterRunStatus.STARTED)
    assert outage.tick()[0] == {"north": (set(NORTH), "2026-03-04…2026-03-07")}


def test_a_day_whose_last_run_failed_is_read_again(outage: Outage) -> None:
    without(outage)
    run = outage.begin(*NORTH, days=DAYS[4:5], at=NOW - timedelta(hours=3), status=dg.DagsterRunStatus.STARTED)
    failed = outage.instance.get_run_by_id(run)
    assert failed is not None
    outage.instance.report_run_failed(failed)
    assert outage.tick()[0] == {"north": (set(NORTH), DAYS[4])}


# For real


def test_what_the_sensor_asks_for_lands_the_days_and_then_nothing_is_missing(project: Project) -> None:
    streams = {"drift": [kind_of("drift").stream(name) for name in ("conversations", "messages")]}
    names = [f"drift/{stream.name}" for stream in streams["drift"]]
    sensor = catch_up_sensor(
        streams,
        daily_partitions(project.start),
        DailyTick(),
        days=14,
        requests_per_day=10_000,
        running=True,
        now=lambda: datetime.combine(TODAY, time(8), UTC),
    )
    defs = dg.Definitions(
        [project.asset(name) for name in names],
        jobs=[daily_job(streams)],
        sensors=[sensor],
        resources=project.resources(),
        executor=dg.in_process_executor,
    )
    for days in (SANDBOX_DAYS[:3], SANDBOX_DAYS[7:]):
        assert project.run(*names, days=days).success

    def tick() -> dg.SensorResult:
        result = sensor(dg.build_sensor_context(instance=project.instance, definitions=defs, sensor_name="catch_up"))
        assert isinstance(result, dg.SensorResult)
        return result

    (request,) = tick().run_requests or ()
    assert days_of(request.tags) == f"{SANDBOX_DAYS[3]}…{SANDBOX_DAYS[6]}"
    result = defs.resolve_job_def("daily_streams").execute_in_process(
        instance=project.instance, tags=dict(request.tags), asset_selection=list(request.asset_selection or ())
    )
    assert {name: list(materialized(result, name)) for name in names} == {
        name: list(SANDBOX_DAYS[3:7]) for name in names
    }
    assert str(tick().skip_reason) == str(dg.SkipReason(NOTHING))


# What the Python API has landed


def test_a_day_that_a_script_has_landed_is_not_missed_and_dagster_is_told_of_it(project: Project) -> None:
    stream = kind_of("drift").stream("conversations")
    store = project.store
    key = dg.AssetKey(["drift", "conversations"])
    landings = [  # who landed a day, and when its reading was begun
        (SANDBOX_DAYS[3], "read-1", f"{SANDBOX_DAYS[4]}T01:00:00+00:00"),  # an hour after its end
        (SANDBOX_DAYS[4], "read-1", f"{SANDBOX_DAYS[5]}T00:59:59+00:00"),  # a second too early
        (SANDBOX_DAYS[5], "a run of Dagster's", f"{SANDBOX_DAYS[6]}T01:00:00+00:00"),
    ]
    for days in (SANDBOX_DAYS[:3], SANDBOX_DAYS[6:]):
        assert project.run("drift/conversations", days=days).success
    with store.attached(read_only=False) as connection:
        for landing in landings:
            connection.execute(
                "INSERT INTO store._state (schema, name, partition, run_id, loaded_at, extracted_at, rows) "
                "VALUES ('drift', 'conversations', ?, ?, now(), ?, 7)",
                landing,
            )
    sensor = catch_up_sensor(
        {"drift": [stream]},
        daily_partitions(project.start),
        DailyTick(),
        days=14,
        requests_per_day=10_000,
        running=True,
        elsewhere=landed_elsewhere(store),
        now=lambda: datetime.combine(TODAY, time(8), UTC),
    )
    defs = dg.Definitions(
        [project.asset("drift/conversations")],
        jobs=[daily_job({"drift": [stream]})],
        sensors=[sensor],
        resources=project.resources(),
    )
    result = sensor(dg.build_sensor_context(instance=project.instance, definitions=defs, sensor_name="catch_up"))
    assert isinstance(result, dg.SensorResult)
    assert [days_of(request.tags) for request in result.run_requests or ()] == [f"{SANDBOX_DAYS[4]}…{SANDBOX_DAYS[5]}"]
    (event,) = result.asset_events
    assert isinstance(event, dg.AssetMaterialization)
    assert (event.asset_key, event.partition, event.metadata["rows"].value) == (key, SANDBOX_DAYS[3], 7)
    assert event.metadata["landed_by"].value == "read-1"
