"""The one daily partitions definition, and the slices its partitions stand for. Days are UTC."""

from collections.abc import Sequence
from datetime import UTC, date

import dagster as dg

from connector_resources.errors import StreamNotPartitioned
from connector_resources.streams import SNAPSHOT, Stream, Window


def daily(start: date) -> dg.DailyPartitionsDefinition:
    """Return daily partitions from `start` on, each from midnight to midnight UTC; the last one is yesterday's."""
    return dg.DailyPartitionsDefinition(start_date=start.isoformat(), timezone="UTC")


def partition_keys(context: dg.AssetExecutionContext, stream: Stream) -> Sequence[str]:
    """Return the partitions a run replaces: those it was asked for, or the one of a snapshot."""
    if not stream.is_partitioned:
        return (SNAPSHOT,)
    if not context.has_partition_key and not context.has_partition_key_range:
        raise StreamNotPartitioned(f"{stream.name} lands in daily partitions; name one with --partition.")
    keys: Sequence[str] = context.partition_keys
    return keys


def window(context: dg.AssetExecutionContext) -> Window:
    """Return the window of the partitions a run was asked for, from the first one's start to the last one's end."""
    bounds = context.partition_time_window
    return Window(bounds.start.astimezone(UTC), bounds.end.astimezone(UTC))
