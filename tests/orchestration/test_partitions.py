"""Days and the windows they stand for: each instant lies in one of them, whatever zone anybody lives in."""

from datetime import UTC, date, datetime, timedelta, timezone
from itertools import islice, pairwise
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from dagster._utils.schedules import schedule_execution_time_iterator
from hypothesis import example, given, settings
from hypothesis import strategies as st

from connector_resources.days import window, within_horizon
from connector_resources.errors import InvalidSlice
from connector_resources.streams import Cursor, Stream, Window
from orchestration.partitions import daily
from tests.landing import columns

SEEDED = settings(deadline=None, derandomize=True)
FIRST, LAST = date(1970, 1, 1), date(2199, 12, 31)
A_DAY, A_MOMENT = timedelta(days=1), timedelta(microseconds=1)

ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
INSTANTS = st.datetimes(
    datetime(1970, 1, 2), datetime(2199, 12, 30),  # noqa: DTZ001 -- hypothesis takes naive bounds
    timezones=ZONES | st.just(ZoneInfo("Europe/Berlin")),
)  # fmt: skip


def keys_from(day: date, count: int) -> list[str]:
    return [(day + timedelta(number)).isoformat() for number in range(count)]


RUNS = st.builds(keys_from, st.dates(FIRST, LAST), st.integers(1, 120))
"""Days that follow one another, as keys."""


def holds(window: Window, instant: datetime) -> bool:
    return window.start <= instant < window.end


# A window is its days


@SEEDED
@given(RUNS)
@example(keys_from(date(2028, 2, 28), 3))
@example(keys_from(date(2100, 2, 28), 2))
@example(keys_from(date(2026, 12, 31), 2))
def test_a_window_is_the_days_of_its_keys_without_a_gap_or_an_overlap(keys: list[str]) -> None:
    days = [window([key]) for key in keys]
    assert [(before.end, before.end - before.start) for before in days[:-1]] == [
        (after.start, A_DAY) for after in days[1:]
    ]
    assert window(keys) == Window(days[0].start, days[-1].end)


@SEEDED
@given(INSTANTS)
@example(datetime(2026, 3, 1, 23, 59, 59, 999_999, UTC))
@example(datetime(2026, 3, 2, tzinfo=UTC))
@example(datetime(2028, 2, 29, 23, 59, 59, 999_999, UTC))
@example(datetime(2100, 3, 1, tzinfo=UTC))
@example(datetime(2026, 3, 2, 5, 29, 59, tzinfo=timezone(timedelta(hours=5, minutes=30))))
@example(datetime(2026, 3, 1, 16, tzinfo=timezone(timedelta(hours=-8))))
@example(datetime(2026, 3, 29, 1, 59, 59, tzinfo=ZoneInfo("Europe/Berlin")))
@example(datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=1))
def test_an_instant_lies_in_the_window_of_its_utc_day_and_in_no_other(instant: datetime) -> None:
    day = instant.astimezone(UTC).date()
    around = keys_from(day - A_DAY, 3)
    assert [key for key in around if holds(window([key]), instant)] == [day.isoformat()]


@SEEDED
@given(st.dates(FIRST, LAST))
def test_a_window_has_its_start_and_not_its_end(day: date) -> None:
    bounds = window([day.isoformat()])
    found = [holds(bounds, instant) for instant in (bounds.start, bounds.end - A_MOMENT)]
    outside = [holds(bounds, instant) for instant in (bounds.start - A_MOMENT, bounds.end)]
    assert (found, outside) == ([True, True], [False, False])


@SEEDED
@given(RUNS, st.data())
def test_a_range_split_in_any_way_has_every_instant_once(keys: list[str], data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(1, len(keys) - 1)))) if len(keys) > 1 else []
    parts = [window(keys[start:end]) for start, end in pairwise([0, *cuts, len(keys)])]
    whole = window(keys)
    seconds = data.draw(st.integers(0, len(keys) * 86_400 * 1_000_000 - 1))
    instants = [whole.start, whole.end - A_MOMENT, whole.start + seconds * A_MOMENT]
    instants += [bound + step for part in parts[1:] for bound in (part.start,) for step in (-A_MOMENT, 0 * A_MOMENT)]
    assert [sum(holds(part, instant) for part in parts) for instant in instants] == [1] * len(instants)
    assert (parts[0].start, parts[-1].end) == (whole.start, whole.end)


@pytest.mark.parametrize(
    ("day", "following"),
    [
        ("2028-02-28", "2028-02-29"),
        ("2028-02-29", "2028-03-01"),
        ("2100-02-28", "2100-03-01"),
        ("2026-12-31", "2027-01-01"),
    ],
)
def test_the_day_after_a_day_is_that_of_the_calendar(day: str, following: str) -> None:
    assert window([day, following]) == Window(window([day]).start, window([following]).end)
    assert window([day]).end == window([following]).start


# Days that do not follow one another

GAPS = [
    ["2026-01-02", "2026-01-04"],
    ["2026-01-02", "2026-01-02"],
    ["2026-01-03", "2026-01-02"],
    ["2026-01-01", "2026-01-03", "2026-01-02"],
    ["2100-02-28", "2100-03-02"],
]


@pytest.mark.parametrize("keys", GAPS, ids=" ".join)
def test_days_that_do_not_follow_one_another_make_no_window(keys: list[str]) -> None:
    with pytest.raises(InvalidSlice, match=r"^\S+ is not followed by \S+, and a run reads one window of time\. "):
        window(keys)


@SEEDED
@given(st.lists(st.dates(date(2026, 1, 1), date(2026, 1, 12)), min_size=2, max_size=6))
def test_a_window_never_covers_a_day_that_is_not_among_its_keys(days: list[date]) -> None:
    keys = [day.isoformat() for day in days]
    try:
        covered = window(keys)
    except InvalidSlice:
        assert keys != keys_from(days[0], len(days))
    else:
        assert keys == keys_from(days[0], (covered.end - covered.start).days)


def asked_for(partitions: dg.PartitionsDefinition[str], first: str, last: str) -> list[str]:
    """Return the partition keys of a run over a range."""
    keys: list[str] = []

    @dg.asset(partitions_def=partitions, backfill_policy=dg.BackfillPolicy.single_run())
    def asset(context: dg.AssetExecutionContext) -> None:
        keys.extend(context.partition_keys)

    tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
    with dg.DagsterInstance.ephemeral() as instance:
        assert dg.materialize([asset], tags=tags, instance=instance).success
    return keys


def test_a_range_of_our_days_has_no_gap_and_one_of_a_definition_that_leaves_days_out_is_refused() -> None:
    ours = asked_for(daily(date(2026, 1, 1)), "2026-01-01", "2026-01-05")
    assert window(ours) == Window(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 6, tzinfo=UTC))
    without_the_third = dg.DailyPartitionsDefinition(
        "2026-01-01", timezone="UTC", exclusions=[datetime(2026, 1, 3, tzinfo=UTC)]
    )
    theirs = asked_for(without_the_third, "2026-01-01", "2026-01-05")
    assert theirs == ["2026-01-01", "2026-01-02", "2026-01-04", "2026-01-05"]
    with pytest.raises(InvalidSlice, match="2026-01-02 is not followed by 2026-01-04"):
        window(theirs)


# What an API no longer lists


def listing(horizon: timedelta | None) -> Stream:
    """A daily stream whose API lists the records of the last `horizon`."""
    return Stream(
        name="things",
        description="",
        columns=columns(id="string", at="timestamp"),
        primary_key=("id",),
        cursor=Cursor("at", since="since", horizon=horizon),
    )


@SEEDED
@given(RUNS, st.timedeltas(timedelta(0), timedelta(days=60)), st.integers(-5, 125), st.timedeltas(timedelta(0), A_DAY))
@example(keys_from(date(2026, 3, 1), 10), timedelta(days=4), 10, timedelta(0))
@example(keys_from(date(2026, 3, 1), 10), timedelta(days=4), 10, A_MOMENT)
def test_a_day_that_is_partly_beyond_the_horizon_is_not_read(
    keys: list[str], horizon: timedelta, day: int, time: timedelta
) -> None:
    now = datetime.fromisoformat(keys[0]).replace(tzinfo=UTC) + timedelta(day) + time
    oldest = now - horizon
    whole = [key for key in keys if window([key]).start >= oldest]
    if whole:
        assert within_horizon(listing(horizon), keys, now) == whole == keys[len(keys) - len(whole) :]
    else:
        with pytest.raises(InvalidSlice, match="the API lists the last"):
            within_horizon(listing(horizon), keys, now)


@SEEDED
@given(RUNS)
def test_without_a_horizon_every_day_is_read(keys: list[str]) -> None:
    assert within_horizon(listing(None), keys, datetime(2300, 1, 1, tzinfo=UTC)) == keys


# Schedules, whose zone may have summer time

BOTH_CHANGES = pytest.mark.parametrize("first", [date(2026, 3, 26), date(2026, 10, 22)], ids=["spring", "autumn"])
"""The clocks of Europe change on 29 March and 25 October of 2026."""


@dg.asset(partitions_def=daily(date(2026, 1, 1)))
def an_asset() -> None:
    """Something that a schedule materialises."""


JOB = dg.define_asset_job("job", [an_asset])


def every(cron: str, zone: str) -> dg.ScheduleDefinition:
    """A schedule over the last day that is over when it ticks."""

    @dg.schedule(job=JOB, cron_schedule=cron, execution_timezone=zone)
    def schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        days = daily(date(2026, 1, 1)).get_partition_keys(current_time=context.scheduled_execution_time)
        return dg.RunRequest(partition_key=days[-1])

    return schedule


def ticked(schedule: Any, first: date, count: int) -> list[tuple[datetime, str]]:
    """Return the ticks of a schedule from a day of its zone on, in UTC, and the partition each asks for."""
    repository = dg.Definitions([an_asset], schedules=[schedule], jobs=[JOB]).get_repository_def()
    resolved = repository.get_schedule_def(schedule.name)
    zone, cron = resolved.execution_timezone, resolved.cron_schedule
    assert zone is not None
    since = datetime(first.year, first.month, first.day, tzinfo=ZoneInfo(zone)).timestamp()
    found = []
    for tick in islice(schedule_execution_time_iterator(since, cron, zone), count):
        with dg.build_schedule_context(scheduled_execution_time=tick, repository_def=repository) as context:
            (request,) = resolved.evaluate_tick(context).run_requests or ()
        assert request.partition_key is not None
        found.append((tick.astimezone(UTC), request.partition_key))
    return found


@BOTH_CHANGES
@pytest.mark.parametrize(
    ("cron", "zone"),
    [
        ("0 3 * * *", "Europe/Berlin"),
        ("30 2 * * *", "Europe/Berlin"),  # an hour that spring leaves out and autumn has twice
        ("59 23 * * *", "Europe/Berlin"),
        ("0 9 * * *", "Asia/Tokyo"),
        ("15 0 * * *", "UTC"),
    ],
)
def test_a_schedule_asks_for_yesterdays_utc_day_once_each_around_a_change_of_the_clocks(
    first: date, cron: str, zone: str
) -> None:
    asked = ticked(every(cron, zone), first, 7)
    assert [key for _, key in asked] == [(tick.date() - A_DAY).isoformat() for tick, _ in asked]
    assert [key for _, key in asked] == keys_from(date.fromisoformat(asked[0][1]), 7)


@pytest.mark.filterwarnings("ignore:Function `JobDefinition.run_request_for_partition`")  # Dagster's call of its own
@BOTH_CHANGES
def test_the_schedule_that_dagster_makes_of_our_days_ticks_in_utc_and_asks_for_each_once(first: date) -> None:
    asked = ticked(dg.build_schedule_from_partitioned_job(JOB, hour_of_day=0, minute_of_hour=30), first, 7)
    assert [key for _, key in asked] == keys_from(first - A_DAY, 7)
    assert [(tick.hour, tick.minute) for tick, _ in asked] == [(0, 30)] * 7


@pytest.mark.parametrize(
    ("first", "asked_for"),
    [
        (date(2026, 3, 28), ["2026-03-27", "2026-03-28", "2026-03-28", "2026-03-29"]),
        (date(2026, 10, 24), ["2026-10-22", "2026-10-23", "2026-10-25", "2026-10-26"]),
    ],
    ids=["spring", "autumn"],
)
def test_a_tick_that_summer_time_moves_over_midnight_utc_repeats_a_day_or_leaves_one_out(
    first: date, asked_for: list[str]
) -> None:
    """Why a schedule belongs in UTC: half past one in Berlin is on one UTC day in winter, on another in summer."""
    assert [key for _, key in ticked(every("30 1 * * *", "Europe/Berlin"), first, 4)] == asked_for
