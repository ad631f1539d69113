"""The two clocks: which days the daily schedule reads in any time zone and season, and what the hourly one reads."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice, pairwise

import dagster as dg
import pytest
from dagster._core.definitions.schedule_definition import ScheduleExecutionData
from dagster._utils.schedules import schedule_execution_time_iterator

from connector_resources.streams import Stream
from orchestration.automatic_runs import is_scheduled, schedules
from orchestration.pace import GRACE, SETTLED, DailyTick
from orchestration.settings import Settings
from tests.landing import children, daily, snapshot
from tests.orchestration.conftest import DAYS, TODAY, Project, kind_of, materialized

DEEDS = daily("deeds")
SOURCES: dict[str, Sequence[Stream]] = {
    "north": [snapshot("lands", id="string"), DEEDS, children(DEEDS)],
    "south": [snapshot("coasts", id="string")],
}
FIRST = date(2026, 1, 1)
ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/St_Johns",
    "Australia/Lord_Howe",
    "Pacific/Kiritimati",
    "Pacific/Pago_Pago",
    "Africa/Casablanca",
]


def clocks(tick: DailyTick, *, lookback_days: int = 0) -> Sequence[dg.ScheduleDefinition]:
    settings = Settings.from_environment({})
    settings = Settings(
        settings.mode, settings.data_folder, FIRST, automatic_runs=True, tick=tick, lookback_days=lookback_days
    )
    return schedules(settings, SOURCES, [dg.AssetKey(["north", "budget"]), dg.AssetKey(["east", "budget"])])


def ticks(tick: DailyTick, start: datetime, count: int) -> list[datetime]:
    """When Dagster's daemon evaluates the schedule."""
    return list(islice(schedule_execution_time_iterator(start.timestamp(), tick.cron, tick.timezone), count))


@pytest.fixture(scope="module")
def storage() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as instance:  # an ephemeral one cannot be given to a schedule
        yield instance


@pytest.fixture
def instance(storage: dg.DagsterInstance) -> dg.DagsterInstance:
    """An instance that knows of no run."""
    storage.wipe()
    return storage


def asked(schedule: dg.ScheduleDefinition, at: datetime, instance: dg.DagsterInstance) -> ScheduleExecutionData:
    with dg.build_schedule_context(instance=instance, scheduled_execution_time=at) as context:
        return schedule.evaluate_tick(context)


def requests(schedule: dg.ScheduleDefinition, at: datetime, instance: dg.DagsterInstance) -> dict[str, dg.RunRequest]:
    """The runs that a schedule asks for, by source."""
    return {request.tags["source"]: request for request in asked(schedule, at, instance).run_requests or ()}


def selection(request: dg.RunRequest) -> set[str]:
    return {key.to_user_string() for key in request.asset_selection or ()}


# Which day


@pytest.mark.parametrize("at", [time(0, 0), time(0, 30), time(1, 30), time(2, 30), time(9, 0), time(23, 45)])
@pytest.mark.parametrize("zone", ZONES)
def test_a_year_of_ticks_reads_every_utc_day_once_and_when_it_is_over(zone: str, at: time) -> None:
    tick = DailyTick(at, zone)
    when = ticks(tick, datetime(2026, 1, 3, tzinfo=UTC), 400)
    days = [tick.day(each) for each in when]
    assert {after - before for before, after in pairwise(dict.fromkeys(days))} == {timedelta(days=1)}
    # Dagster's cron may tick twice within the hour that comes twice in autumn; the run's key is the same then.
    assert len(days) - len(set(days)) <= 1
    ends = [datetime.combine(day, time(), UTC) + timedelta(days=1) for day in days]
    waited = [each - end for each, end in zip(when, ends, strict=True)]
    assert min(waited) >= SETTLED
    assert max(waited) < timedelta(days=1) + SETTLED + timedelta(hours=2)


def test_a_day_is_due_four_hours_after_the_tick_that_reads_it() -> None:
    for zone in ZONES:
        tick = DailyTick(time(1, 30), zone)
        for when in ticks(tick, datetime(2026, 1, 3, tzinfo=UTC), 400):
            waited = tick.due(tick.day(when)) - when
            # Of an hour that comes twice in autumn Dagster takes the second.
            assert waited == GRACE or (when.fold and GRACE - timedelta(hours=1) <= waited < GRACE), (zone, when)


def test_half_past_one_in_berlin_asks_for_each_day_once_when_the_clocks_change(
    instance: dg.DagsterInstance,
) -> None:
    tick = DailyTick(time(1, 30), "Europe/Berlin")
    schedule, _ = clocks(tick)
    for friday, first in (("2026-03-27", 26), ("2026-10-23", 22)):
        when = ticks(tick, datetime.fromisoformat(f"{friday}T12:00Z"), 4)
        days = [requests(schedule, each, instance)["north"].tags["dagster/partition"] for each in when]
        assert days == [f"{friday[:8]}{first + number}" for number in range(4)]


def test_the_schedule_ticks_in_the_zone_it_states() -> None:
    for schedule in clocks(DailyTick(time(5, 15), "Europe/Berlin")):
        assert schedule.execution_timezone == "Europe/Berlin"
    assert [each.cron_schedule for each in clocks(DailyTick(time(5, 15)))] == ["15 5 * * *", "0 * * * *"]


# What


def test_the_daily_schedule_reads_the_daily_streams_of_each_source_in_one_run(instance: dg.DagsterInstance) -> None:
    schedule, _ = clocks(DailyTick())
    found = requests(schedule, datetime(2026, 3, 5, 1, 30, tzinfo=UTC), instance)
    assert {source: selection(request) for source, request in found.items()} == {
        "north": {"north/deeds", "north/parts"}
    }
    assert found["north"].run_key == "daily:north:2026-03-04:2026-03-04"
    assert found["north"].tags == {
        "trigger": "daily",
        "source": "north",
        "dagster/partition": "2026-03-04",
        "dagster/max_runtime": "21600",
        "dagster/schedule_name": "daily",
    }


def test_days_before_are_read_once_more_in_the_same_run_and_none_before_the_first(instance: dg.DagsterInstance) -> None:
    schedule, _ = clocks(DailyTick(), lookback_days=2)
    ranges = {
        at.date().isoformat(): [
            requests(schedule, at, instance)["north"].tags[f"dagster/asset_partition_range_{end}"]
            for end in ("start", "end")
        ]
        for at in (datetime(2026, 3, 5, 1, 30, tzinfo=UTC), datetime(2026, 1, 3, 1, 30, tzinfo=UTC))
    }
    assert ranges == {"2026-03-05": ["2026-03-02", "2026-03-04"], "2026-01-03": ["2026-01-01", "2026-01-02"]}


def test_a_day_before_the_first_partition_is_not_asked_for(instance: dg.DagsterInstance) -> None:
    schedule, _ = clocks(DailyTick())
    data = asked(schedule, datetime(2026, 1, 1, 1, 30, tzinfo=UTC), instance)
    assert (data.run_requests, data.skip_message) == (
        [],
        "2025-12-31 is before the first daily partition, 2026-01-01 (UTC).",
    )


AT = datetime(2026, 3, 5, 8, tzinfo=UTC)


def test_the_hourly_schedule_reads_the_snapshots_and_what_is_beside_them(instance: dg.DagsterInstance) -> None:
    _, schedule = clocks(DailyTick())
    found = requests(schedule, AT, instance)
    assert {source: selection(request) for source, request in found.items()} == {
        "north": {"north/lands", "north/budget"},
        "south": {"south/coasts"},
    }
    assert found["north"].run_key == "hourly:north:2026-03-05T08:00Z"
    assert all("dagster/partition" not in request.tags for request in found.values())


def begun(instance: dg.DagsterInstance, source: str, status: dg.DagsterRunStatus, at: datetime) -> None:
    """A run of the hourly schedule that was begun earlier."""
    run = dg.DagsterRun(job_name="snapshots", tags={"trigger": "hourly", "source": source}, status=status)
    instance.run_storage.add_historical_run(run, run_creation_time=at)


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTED])
def test_a_source_that_is_still_being_read_is_left_out(
    instance: dg.DagsterInstance, status: dg.DagsterRunStatus
) -> None:
    _, schedule = clocks(DailyTick())
    begun(instance, "north", status, AT - timedelta(hours=1))
    assert requests(schedule, AT, instance).keys() == {"south"}


def test_when_every_source_is_still_being_read_the_tick_says_so(instance: dg.DagsterInstance) -> None:
    _, schedule = clocks(DailyTick())
    for source in SOURCES:
        begun(instance, source, dg.DagsterRunStatus.STARTED, AT - timedelta(hours=1))
    data = asked(schedule, AT, instance)
    assert (data.run_requests, data.skip_message) == ([], "The runs of the hours before are still reading.")


@pytest.mark.parametrize(
    ("status", "hours_ago"),
    [(dg.DagsterRunStatus.FAILURE, 1), (dg.DagsterRunStatus.SUCCESS, 1), (dg.DagsterRunStatus.STARTED, 7)],
)
def test_a_run_that_is_over_or_died_with_its_machine_keeps_none_from_starting(
    instance: dg.DagsterInstance, status: dg.DagsterRunStatus, hours_ago: int
) -> None:
    _, schedule = clocks(DailyTick())
    begun(instance, "north", status, AT - timedelta(hours=hours_ago))
    assert requests(schedule, AT, instance).keys() == {"north", "south"}


def test_live_a_source_without_an_account_is_read_when_it_is_asked_for_only() -> None:
    assert {name: is_scheduled(kind_of(name), "live") for name in ("aha", "drift", "faker")} == {
        "aha": True,
        "drift": True,
        "faker": False,
    }
    assert is_scheduled(kind_of("faker"), "sandbox")


# Run for real


def test_what_the_schedules_ask_for_lands_the_day_that_is_over_and_the_snapshots(
    project: Project, instance: dg.DagsterInstance
) -> None:
    streams = {"drift": [kind_of("drift").stream(name) for name in ("users", "conversations", "messages")]}
    both = schedules(project.settings, streams, [])
    names = [f"drift/{stream.name}" for stream in streams["drift"]]
    defs = dg.Definitions(assets=[project.asset(name) for name in names], schedules=both, resources=project.resources())
    at = datetime.combine(TODAY, time(1, 30), UTC)
    landed: dict[str, list[str | None]] = {}
    for schedule in both:
        request = requests(schedule, at, instance)["drift"]
        assert request.asset_selection is not None
        result = defs.resolve_job_def(schedule.job_name).execute_in_process(
            instance=instance, tags=dict(request.tags), asset_selection=list(request.asset_selection)
        )
        landed |= {name: list(found) for name in names if (found := materialized(result, name))}
    assert landed == {"drift/users": [None], "drift/conversations": [DAYS[-1]], "drift/messages": [DAYS[-1]]}
