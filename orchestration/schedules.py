"""The two clocks: daily partitions once their day is over, snapshots every hour. One run a source and tick.

A run reads one source, so that a vendor's outage is the failure of one run and the others are landed. The runs' keys
say what they read: Dagster starts none twice.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg

from connector_resources.streams import Stream
from orchestration.pace import DailyTick

if TYPE_CHECKING:  # what dg.define_asset_job returns has no public name
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

UNFINISHED = (
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)
DAILY_JOB = "daily_streams"
LONGEST_RUN = timedelta(hours=6)
"""What a run that nobody asked for may take. Dagster's monitoring ends one that is older, and so tells of those that
died with their machine; where it is off, such a run is taken for dead and keeps no other from starting."""

Streams = Mapping[str, Sequence[Stream]]
"""The streams that are on, by source."""


def daily_job(streams: Streams) -> "UnresolvedAssetJobDefinition":
    """Return the job of all streams that land in daily partitions."""
    return dg.define_asset_job(
        DAILY_JOB,
        dg.AssetSelection.assets(*(key for keys in daily_keys(streams).values() for key in keys)),
        description="Every stream that lands in daily partitions.",
    )


def daily_keys(streams: Streams) -> Mapping[str, Sequence[dg.AssetKey]]:
    """Return the assets with daily partitions of each source that has any."""
    return _keys(streams, is_partitioned=True)


def snapshot_keys(streams: Streams) -> Mapping[str, Sequence[dg.AssetKey]]:
    """Return the snapshots of each source that has any."""
    return _keys(streams, is_partitioned=False)


def _keys(streams: Streams, *, is_partitioned: bool) -> Mapping[str, Sequence[dg.AssetKey]]:
    found = {
        source: [dg.AssetKey([source, stream.name]) for stream in every if stream.is_partitioned == is_partitioned]
        for source, every in streams.items()
    }
    return {source: keys for source, keys in found.items() if keys}


def daily_schedule(
    streams: Streams,
    first_day: date,
    tick: DailyTick,
    *,
    lookback_days: int,
    running: bool,
) -> dg.ScheduleDefinition:
    """Return the schedule that reads the newest UTC day that is over, and `lookback_days` before it once more.

    No days before it by default, for a day is read an hour after its end at the earliest, when late records are there.
    Reading a day again costs something else: a record that was edited since midnight has left it in the vendor's list,
    and is in no partition until the day after.
    """

    @dg.schedule(
        name="daily",
        job=daily_job(streams),
        cron_schedule=tick.cron,
        execution_timezone=tick.timezone,
        description=f"Reads the newest UTC day that has been over for an hour, at {tick.time:%H:%M} {tick.timezone}.",
        default_status=_status(running),
    )
    def daily(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        last = tick.day(context.scheduled_execution_time)
        if last < first_day:
            yield dg.SkipReason(f"{last} is before the first daily partition, {first_day} (UTC).")
            return
        first = max(last - timedelta(days=lookback_days), first_day)
        for source, keys in daily_keys(streams).items():
            yield dg.RunRequest(
                run_key=f"daily:{source}:{first}:{last}",
                asset_selection=list(keys),
                tags={**run_tags("daily", source), **range_tags(first.isoformat(), last.isoformat())},
            )

    return daily


def hourly_schedule(
    streams: Streams, *, timezone: str, running: bool, beside: Collection[dg.AssetKey] = ()
) -> dg.ScheduleDefinition:
    """Return the schedule that reads the snapshots on the hour, and makes what of their sources is `beside` them.

    A source whose run of the last hours is still reading is left out, and not read twice at a time.
    """
    keys_of = {
        source: [*keys, *(key for key in beside if key.path[0] == source)]
        for source, keys in snapshot_keys(streams).items()
    }

    @dg.schedule(
        name="hourly",
        job=dg.define_asset_job(
            "snapshots",
            dg.AssetSelection.assets(*(key for keys in keys_of.values() for key in keys)),
            description="Every stream that is read and replaced whole.",
        ),
        cron_schedule="0 * * * *",
        execution_timezone=timezone,
        description="Reads every snapshot, on the hour.",
        default_status=_status(running),
    )
    def hourly(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        at = context.scheduled_execution_time.astimezone(UTC)
        reading = _reading(context.instance, at)
        if keys_of.keys() <= reading:
            yield dg.SkipReason("The runs of the hours before are still reading.")
        for source, keys in keys_of.items():
            if source in reading:
                context.log.warning(f"{source} is left out: its run of an hour before is still reading.")
                continue
            yield dg.RunRequest(
                run_key=f"hourly:{source}:{at:%Y-%m-%dT%H:%MZ}",
                asset_selection=list(keys),
                tags=run_tags("hourly", source),
            )

    return hourly


def run_tags(trigger: str, source: str) -> Mapping[str, str]:
    """Return the tags of a run that nobody asked for: what started it, what it reads, and how long it may take."""
    longest = f"{LONGEST_RUN.total_seconds():.0f}"
    return {"trigger": trigger, "source": source, "dagster/max_runtime": longest}


def range_tags(first: str, last: str) -> Mapping[str, str]:
    """Return the tags that make one run of a range of partitions; `last` is included."""
    if first == last:
        return {"dagster/partition": first}
    return {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}


def _reading(instance: dg.DagsterInstance, at: datetime) -> set[str]:
    """Return the sources whose snapshots a run of the last hours is still reading."""
    unfinished = dg.RunsFilter(tags={"trigger": "hourly"}, statuses=list(UNFINISHED), created_after=at - LONGEST_RUN)
    return {run.tags["source"] for run in instance.get_runs(unfinished)}


def _status(running: bool) -> dg.DefaultScheduleStatus:
    return dg.DefaultScheduleStatus.RUNNING if running else dg.DefaultScheduleStatus.STOPPED
