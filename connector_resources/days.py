"""Daily partitions: which days there are, and the windows of time they stand for. Days are UTC."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

from connector_resources.errors import InvalidSlice
from connector_resources.streams import Stream, Window

SETTLED = timedelta(hours=1)
"""A day counts as complete when its reading was begun so long after its end, as the daily schedule does it."""


def is_complete(day: str, read: datetime) -> bool:
    """Return whether a day (UTC) was over, and had been for an hour, when its reading was begun."""
    return read >= datetime.fromisoformat(day).replace(tzinfo=UTC) + timedelta(days=1) + SETTLED


def days_between(first: date, last: date) -> tuple[str, ...]:
    """Return the keys of the days from `first` to `last`, both included; none where `last` is before `first`."""
    return tuple((first + timedelta(days)).isoformat() for days in range((last - first).days + 1))


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
