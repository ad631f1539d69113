"""Catching up on the days that an outage has left out, within a budget of requests.

A day is missed when it has to be there (`DailyTick.due`) and an asset was never materialised for it, or its last run
failed. Days that follow one another and miss the same assets of a source are one run, which reads them as one window.
The oldest go first, since some vendors list records for a while only. What a run will cost is estimated from what runs
have cost before. Estimates are booked when a run is asked for and stay booked when it fails, so that an outage that
lasts is paid for once a day and not once a tick. What the Python API has landed is not missed: Dagster is told of it.
"""

import hashlib
import json
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta

import dagster as dg

from connector_resources.days import within_horizon
from connector_resources.errors import InvalidSlice
from connector_resources.streams import Stream
from connector_resources.words import counted
from orchestration.landed_elsewhere import Elsewhere, nowhere
from orchestration.pace import DailyTick
from orchestration.read_plan import past_runs
from orchestration.schedules import DAILY_JOB, UNFINISHED, Streams, range_tags, run_tags

UNKNOWN_REQUESTS_PER_DAY = 10.0
"""What an asset's day is taken to cost before any run of it has said."""
_RECENT_MATERIALIZATIONS = 100
_DEAD_AFTER = timedelta(hours=24)


Missing = Mapping[str, Mapping[str, Collection[str]]]
"""The assets that are missing, by source and day."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Days that follow one another, for which the same assets of a source are missing."""

    source: str
    assets: tuple[str, ...]
    days: tuple[str, ...]

    @property
    def key(self) -> str:
        """What tells gaps apart."""
        assets = hashlib.blake2b(" ".join(self.assets).encode(), digest_size=4).hexdigest()
        return f"{self.source}:{self.days[0]}:{self.days[-1]}:{assets}"

    def __str__(self) -> str:
        days = self.days[0] if len(self.days) == 1 else f"{self.days[0]}…{self.days[-1]}"
        return f"{self.source} {days} ({counted(len(self.assets), 'asset')})"


@dataclass(frozen=True, slots=True)
class Spent:
    """What was asked for today (UTC): requests by estimate, and the days of each source. The sensor's cursor."""

    today: str
    requests: int = 0
    tried: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @classmethod
    def from_cursor(cls, cursor: str | None, today: date) -> "Spent":
        """Return what was asked for today; what the cursor says of another day is over."""
        said = json.loads(cursor) if cursor else {}
        if said.get("today") != today.isoformat():
            return cls(today.isoformat())
        return cls(said["today"], said["requests"], said["tried"])

    def cursor(self) -> str:
        """Return the text that `from_cursor` reads."""
        return json.dumps({"today": self.today, "requests": self.requests, "tried": self.tried})

    def with_gap(self, gap: Gap, requests: int) -> "Spent":
        """Return this, and a gap that is asked for now."""
        tried = {**self.tried, gap.source: [*self.tried.get(gap.source, ()), *gap.days]}
        return Spent(self.today, self.requests + requests, tried)


@dataclass(frozen=True, slots=True)
class Plan:
    """Which gaps to read now, each with its estimate of requests, why others are left, and what is spent then."""

    chosen: Sequence[tuple[Gap, int]]
    left: Sequence[str]
    spent: Spent


def gaps(missing: Missing) -> Sequence[Gap]:
    """Return the gaps, those that begin first at the front."""
    found: list[Gap] = []
    for source, by_day in missing.items():
        begun: Gap | None = None
        for day in sorted(by_day):
            assets = tuple(sorted(by_day[day]))
            before = (date.fromisoformat(day) - timedelta(days=1)).isoformat()
            if begun is not None and begun.days[-1] == before and begun.assets == assets:
                begun = found[-1] = replace(begun, days=(*begun.days, day))
            else:
                begun = Gap(source, assets, (day,))
                found.append(begun)
    return sorted(found, key=lambda gap: (gap.days[0], gap.source))


def plan(missing: Missing, cost: Callable[[str], float], spent: Spent, budget: int) -> Plan:
    """Return what is to be read within what is left of the day's budget.

    `cost` is how many requests a day of an asset takes. A gap that does not fit is read in part, its oldest days first.
    A day of a source that was asked for today and is missing still has failed, and is left until tomorrow.
    """
    chosen: list[tuple[Gap, int]] = []
    left: list[str] = []
    untried = {
        source: {day: assets for day, assets in by_day.items() if day not in spent.tried.get(source, ())}
        for source, by_day in missing.items()
    }
    failed = {
        source: {day: assets for day, assets in by_day.items() if day in spent.tried.get(source, ())}
        for source, by_day in missing.items()
    }
    for gap in gaps(untried):
        a_day = sum(max(cost(asset), 1.0) for asset in gap.assets)
        fitting = gap.days[: int(max(budget - spent.requests, 0) // a_day)]
        if fitting:
            requests = math.ceil(a_day * len(fitting))
            chosen.append((replace(gap, days=fitting), requests))
            spent = spent.with_gap(chosen[-1][0], requests)
        if rest := gap.days[len(fitting) :]:
            needed, room = math.ceil(a_day * len(rest)), max(budget - spent.requests, 0)
            left.append(
                f"{replace(gap, days=rest)}: about {counted(needed, 'request')}, and the budget of today (UTC) has "
                f"{room:,} of {budget:,} left; CATCH_UP_REQUESTS_PER_DAY sets it."
                + (" One of these days is more than all of it: materialise it by hand." if a_day > budget else "")
            )
    left += [f"{gap}: was tried today (UTC) and is still missing; see its run." for gap in gaps(failed)]
    return Plan(chosen, left, spent)


def catch_up_sensor(
    streams: Streams,
    partitions: dg.DailyPartitionsDefinition,
    tick: DailyTick,
    *,
    days: int,
    requests_per_day: int,
    running: bool,
    elsewhere: Elsewhere = nowhere,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    every_seconds: int = 600,
) -> dg.SensorDefinition:
    """Return the sensor that reads what is missing of the last `days` days, within `requests_per_day` a day (UTC).

    Of what `elsewhere` finds to be there, Dagster is told instead.
    """
    daily = {
        dg.AssetKey([source, stream.name]): stream
        for source, every in streams.items()
        for stream in every
        if stream.is_partitioned
    }

    @dg.sensor(
        name="catch_up",
        job_name=DAILY_JOB,
        minimum_interval_seconds=every_seconds,
        description=f"Reads days of the last {days} that are missing after an outage, with {requests_per_day:,} "
        "requests a day (UTC) at most, by estimate.",
        default_status=dg.DefaultSensorStatus.RUNNING if running else dg.DefaultSensorStatus.STOPPED,
    )
    def catch_up(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        at = now()
        missing, being_read = _missing(context.instance, daily, partitions, tick, at, days)
        missing, found = _without(missing, elsewhere)
        costs: dict[str, float] = {}

        def cost(asset: str) -> float:
            if asset not in costs:
                costs[asset] = requests_of_a_day(context.instance, dg.AssetKey(asset.split("/")))
            return costs[asset]

        planned = plan(missing, cost, Spent.from_cursor(context.cursor, at.date()), requests_per_day)
        left = [*planned.left, *being_read]
        for reason in left:
            context.log.info(f"Left: {reason}")
        if not planned.chosen:
            told = f"Nothing is missing of the last {days} days." if not left else "Left: " + "\n".join(left)
            return dg.SensorResult(skip_reason=told, cursor=planned.spent.cursor(), asset_events=found)
        return dg.SensorResult(
            run_requests=[
                dg.RunRequest(
                    run_key=f"catch_up:{gap.key}:{at.date()}",
                    asset_selection=[dg.AssetKey(asset.split("/")) for asset in gap.assets],
                    tags={
                        **run_tags("catch_up", gap.source),
                        "expected_requests": str(requests),
                        **range_tags(gap.days[0], gap.days[-1]),
                    },
                )
                for gap, requests in planned.chosen
            ],
            cursor=planned.spent.cursor(),
            asset_events=found,
        )

    return catch_up


def _without(missing: Missing, elsewhere: Elsewhere) -> tuple[Missing, Sequence[dg.AssetMaterialization]]:
    """Return what is missing still without what is there all the same, and that, as Dagster is to be told of it."""
    days: dict[str, list[str]] = {}
    for by_day in missing.values():
        for day, assets in by_day.items():
            for asset in assets:
                days.setdefault(asset, []).append(day)
    found = [event for asset, its in days.items() for event in elsewhere(dg.AssetKey(asset.split("/")), its)]
    there = {(event.asset_key.to_user_string(), event.partition) for event in found}
    left = {
        source: {
            day: still
            for day, assets in by_day.items()
            if (still := {asset for asset in assets if (asset, day) not in there})
        }
        for source, by_day in missing.items()
    }
    return {source: by_day for source, by_day in left.items() if by_day}, found


def requests_of_a_day(instance: dg.DagsterInstance, key: dg.AssetKey) -> float:
    """Return how many requests a partition of an asset has cost in its last runs, on average.

    A run over a range says what all of it cost, with each of its partitions. Runs that made no request, from what was
    on disk, do not count.
    """
    runs = past_runs(instance, key, _RECENT_MATERIALIZATIONS)
    if not runs:
        return UNKNOWN_REQUESTS_PER_DAY
    return sum(run.requests for run in runs) / sum(run.partitions for run in runs)


def _missing(
    instance: dg.DagsterInstance,
    daily: Mapping[dg.AssetKey, Stream],
    partitions: dg.DailyPartitionsDefinition,
    tick: DailyTick,
    now: datetime,
    days: int,
) -> tuple[Missing, Sequence[str]]:
    """Return what is missing and may be read now, and in words what a run is reading already."""
    keys = [key for key in partitions.get_partition_keys(now) if tick.due(date.fromisoformat(key)) <= now]
    keys = [key for key in keys if date.fromisoformat(key) >= now.date() - timedelta(days=days)]
    missing: dict[str, dict[str, set[str]]] = {}
    reading, dead = _unfinished(instance, daily, keys, now)
    told: set[str] = set()
    for asset, stream in daily.items():
        if (parent := _unread_snapshot(instance, asset, stream)) is not None:
            told.add(f"{asset.to_user_string()}: {parent} has to be landed first; the hourly schedule does.")
            continue
        try:
            readable = list(within_horizon(stream, keys, now)) if keys else []
        except InvalidSlice:  # none of these days is listed any more
            continue
        statuses = instance.get_status_by_partition(asset, readable, partitions) or {}
        for key in readable:
            status = statuses.get(key)
            in_progress = status == dg.AssetPartitionStatus.IN_PROGRESS
            if (run := reading.get((asset, key))) is not None or (in_progress and (asset, key) not in dead):
                told.add(f"{asset.path[0]} {key}: {f'run {run}' if run else 'a run'} is in progress.")
            elif status != dg.AssetPartitionStatus.MATERIALIZED:
                missing.setdefault(asset.path[0], {}).setdefault(key, set()).add(asset.to_user_string())
    return missing, sorted(told)


def _unread_snapshot(instance: dg.DagsterInstance, asset: dg.AssetKey, stream: Stream) -> str | None:
    """Return the snapshot that a stream is read for where that was never landed."""
    if stream.parent is None or stream.parent.stream.is_partitioned:
        return None
    parent = dg.AssetKey([asset.path[0], stream.parent.stream.name])
    return None if instance.get_latest_materialization_event(parent) is not None else parent.to_user_string()


def _unfinished(
    instance: dg.DagsterInstance, assets: Collection[dg.AssetKey], keys: Sequence[str], now: datetime
) -> tuple[Mapping[tuple[dg.AssetKey, str], str], Collection[tuple[dg.AssetKey, str]]]:
    """Return the run of each partition that a queued or running run is about to read, and those of dead runs.

    Their tags are looked at beside the events that Dagster goes by: a run that waits in the queue has written none. A
    run that was begun a day ago died with its machine, for that is longer than any takes.
    """
    reading: dict[tuple[dg.AssetKey, str], str] = {}
    dead: set[tuple[dg.AssetKey, str]] = set()
    for record in instance.get_run_records(dg.RunsFilter(statuses=list(UNFINISHED))):
        run = record.dagster_run
        first = run.tags.get("dagster/asset_partition_range_start") or run.tags.get("dagster/partition")
        last = run.tags.get("dagster/asset_partition_range_end") or first
        if first is None or last is None:
            continue
        partitions = [(asset, key) for asset in run.asset_selection or assets for key in keys if first <= key <= last]
        if now - record.create_timestamp < _DEAD_AFTER:
            reading |= dict.fromkeys(partitions, run.run_id[:8])
        else:
            dead.update(partitions)
    return reading, dead
