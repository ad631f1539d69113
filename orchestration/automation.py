"""How fresh each asset has to be, and what is made without being asked for: frames and substreams.

The pace is a rule from the kind of stream: a daily partition is read once, after its day is over; a snapshot every
hour; a frame is made when what it is made of has changed. Streams at the root are read by the schedules and never by
a condition: what costs requests has a clock that people can read.
"""

from datetime import timedelta
from functools import cache
from typing import Any

import dagster as dg

from connector_resources.streams import Stream
from orchestration.pace import GRACE, DailyTick


def freshness(stream: Stream, tick: DailyTick) -> dg.FreshnessPolicy:
    """Return by when a stream has to be read anew.

    Daily partitions: yesterday's has to be landed four hours after the daily tick. Dagster looks at when the asset was
    last materialised and not at which partition: a backfill of old days within these hours passes for the new day,
    which the catch-up sensor tells apart. Snapshots: a warning when two hourly readings have failed, a failure after a
    day.
    """
    if stream.is_partitioned:
        return _of_days(tick)
    return dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=24), warn_window=timedelta(hours=3))


@cache  # Dagster walks through a thousand ticks of each policy, 6 ms
def _of_days(tick: DailyTick) -> dg.FreshnessPolicy:
    # From an hour before the tick on, for an hour goes or comes where the clocks are changed in between.
    return dg.FreshnessPolicy.cron(tick.deadline_cron, GRACE + timedelta(hours=1), tick.timezone)


def frame_freshness() -> dg.FreshnessPolicy:
    """Return by when a frame has to be made anew: a day, as its slowest stream, and the hours that one may take."""
    return dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=36), warn_window=timedelta(hours=24) + GRACE)


def follows() -> dg.AutomationCondition[Any]:
    """Return the condition of a frame: it is made after what it is made of was updated.

    What is updated while the frame is being made may have been read before or not, so the frame is made once more then.
    It also is where a run over a range of days has made both, which Dagster does not see; a frame costs no request.
    """
    a = dg.AutomationCondition
    return _after_updates(a.newly_requested() | a.initial_evaluation())


def follows_its_parent(stream: Stream) -> dg.AutomationCondition[Any] | None:
    """Return the condition of a substream: it is read after its parent was, if not in the same run or by hand since.

    None for a stream that the schedules alone read. That is also a daily substream whose parent is a snapshot: it would
    read its day anew every hour, for parents that are the same.
    """
    if stream.parent is None or stream.is_partitioned != stream.parent.stream.is_partitioned:
        return None
    a = dg.AutomationCondition
    return _after_updates(a.newly_requested() | a.newly_updated() | a.initial_evaluation())


def _after_updates(handled: dg.AutomationCondition[Any]) -> dg.AutomationCondition[Any]:
    """Return whether something upstream was updated since the asset was `handled`, and nothing is being read now.

    As Dagster's `eager`, with two differences. It does not ask for every partition upstream: a frame is made of all
    that has been landed, and `eager` would wait until the last of ninety days is. Something of each dependency is
    enough. And it makes nothing because it is missing: turning automation on starts no run by itself.

    A backfill of ninety days asks for one run at most: of partitions the newest only, of a frame one when the last run
    upstream is over. A run that failed is not repeated before the next update.
    """
    a = dg.AutomationCondition
    return (
        a.in_latest_time_window()
        & a.any_deps_updated().since(handled)
        & a.all_deps_match(~a.missing() | a.will_be_requested()).with_label("something of each dependency is there")
        & ~a.any_deps_in_progress()
        & ~a.in_progress()
    ).with_label("follows")


def automation_sensor(*, running: bool) -> dg.AutomationConditionSensorDefinition:
    """Return what starts the runs that the conditions ask for, every half minute; on if `running`, unless told."""
    return dg.AutomationConditionSensorDefinition(
        "automation",
        target=dg.AssetSelection.all(),
        description="Frames follow the streams they are made of, and substreams their parents.",
        run_tags={"trigger": "automation"},
        default_status=dg.DefaultSensorStatus.RUNNING if running else dg.DefaultSensorStatus.STOPPED,
    )
