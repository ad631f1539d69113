"""The one daily partitions definition, and the slices its partitions stand for. Days are UTC."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import dagster as dg

from connector_resources.errors import InvalidSlice, StreamNotPartitioned
from connector_resources.streams import SNAPSHOT, Stream, Window


def daily(start: date) -> dg.DailyPartitionsDefinition:
    """Return daily partitions from `start` on, each from midnight to midnight UTC; the last one is yesterday's.

    A schedule over them belongs in UTC too, as `build_schedule_from_partitioned_job` makes it: half past one in Berlin
    is on one UTC day in winter and on another in summer, which repeats a day in spring and leaves one out in autumn.
    """
    return dg.DailyPartitionsDefinition(start_date=start.isoformat(), timezone="UTC")


def partition_keys(context: dg.AssetExecutionContext, stream: Stream) -> Sequence[str]:
    """Return the partitions a run replaces: those it was asked for, or the one of a snapshot."""
    if not stream.is_partitioned:
        return (SNAPSHOT,)
    if not context.has_partition_key and not context.has_partition_key_range:
        raise StreamNotPartitioned(f"{stream.name} lands in daily partitions; name one with --partition.")
    keys: Sequence[str] = context.partition_keys
    if not keys:
        raise InvalidSlice(f"{stream.name}: the range of partitions ends before it begins. Name the earlier day first.")
    return keys


def looking_back(context: dg.AssetExecutionContext, stream: Stream, keys: Sequence[str], days: int) -> Sequence[str]:
    """Return the partitions of a run and those of so many days before them, as far as there are any.

    Raises InvalidSlice for a stream that has no days to look back to.
    """
    if not days:
        return keys
    if not stream.is_partitioned:
        raise InvalidSlice(f"{stream.name} is a snapshot, replaced whole: lookback_days means nothing to it.")
    every = context.assets_def.partitions_def
    assert every is not None  # a partitioned stream's asset has partitions
    known = every.get_partition_keys()
    first = known.index(keys[0])
    return (*known[max(first - days, 0) : first], *keys)


def within_horizon(stream: Stream, keys: Sequence[str], now: datetime) -> Sequence[str]:
    """Return the partitions the API can still list; those beyond its horizon are left as they are.

    Raises InvalidSlice where none of them is left: such a run could only lose what was landed before.
    """
    horizon = stream.cursor.horizon if stream.cursor is not None and stream.selects_a_window else None
    if horizon is None:
        return keys
    readable = [key for key in keys if window((key,)).start >= now - horizon]
    if not readable:
        raise InvalidSlice(
            f"{stream.name}: the API lists the last {horizon.days} days only, and {keys[-1]} is older. What was landed "
            f"for it is unchanged. Ask for {now - horizon + timedelta(days=1):%Y-%m-%d} or later."
        )
    return readable


def window(keys: Sequence[str]) -> Window:
    """Return the window of consecutive daily partitions, from the first one's start to the last one's end (UTC).

    Raises InvalidSlice for days that do not follow one another, which a definition that leaves days out makes of a
    range: the window would cover days that nobody asked for.
    """
    days = [datetime.fromisoformat(key).replace(tzinfo=UTC) for key in keys]
    for day, following in pairwise(days):
        if following - day != timedelta(days=1):
            raise InvalidSlice(
                f"{day:%Y-%m-%d} is not followed by {following:%Y-%m-%d}, and a run reads one window of time. Nothing "
                "was read; run the days before the gap and those after it apart."
            )
    return Window(days[0], days[-1] + timedelta(days=1))
