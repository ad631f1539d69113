"""The one daily partitions definition, and the partitions of a run. Days are UTC."""

from collections.abc import Sequence
from datetime import date

import dagster as dg

from connector_resources.errors import InvalidSlice, StreamNotPartitioned
from connector_resources.streams import SNAPSHOT, Stream


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
