"""How fresh each asset has to be.

The pace is a rule from the kind of stream: a daily partition is read once, after its day is over; a snapshot every
hour; a frame is made when what it is made of has changed.
"""

from datetime import timedelta

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
        # From an hour before the tick on, for an hour goes or comes where the clocks are changed in between.
        return dg.FreshnessPolicy.cron(tick.deadline_cron, GRACE + timedelta(hours=1), tick.timezone)
    return dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=24), warn_window=timedelta(hours=3))


def frame_freshness() -> dg.FreshnessPolicy:
    """Return by when a frame has to be made anew: a day, as its slowest stream, and the hours that one may take."""
    return dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=36), warn_window=timedelta(hours=24) + GRACE)
