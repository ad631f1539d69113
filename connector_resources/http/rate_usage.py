"""What became of an account's budget, minute by minute, in a small file that all its processes write.

The file is a ring of one record a minute over seven days, at most 0.4 MB, however many requests there are. It holds
counts and no request. The limiter writes it under the lock that it holds for the permit anyway.
"""

import math
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from connector_resources.errors import DestinationUnwritable

_DAY_MINUTES = 24 * 60
_MINUTES = 7 * _DAY_MINUTES
_RECORD = struct.Struct("<qdqdq")
_MINUTE_AND_USED = struct.Struct("<q8xq16x")


@dataclass(frozen=True, slots=True)
class MinuteOfUse:
    """One minute of one limit.

    `minute` counts from 1970 in UTC, `allowed` is how many requests the limit allows in a minute, infinite where there
    is none, `wait_seconds` how long the processes together waited for the permits used in it, `refused` how many
    requests got a 429.
    """

    minute: int
    allowed: float
    used: int
    wait_seconds: float
    refused: int


@dataclass(frozen=True, slots=True)
class UsageLog:
    """The record of one limit; without a file there is none yet. Whoever adds to it holds the limiter's lock.

    Raises DestinationUnwritable where the file cannot be written, or read.
    """

    path: Path

    def add(self, at: float, allowed: float, *, used: int = 0, wait_seconds: float = 0.0, refused: int = 0) -> None:
        """Add to the minute of `at`, seconds since the epoch; the minute of seven days before is forgotten."""
        minute = int(at // 60)
        offset = minute % _MINUTES * _RECORD.size
        with self._opened(os.O_RDWR | os.O_CREAT) as descriptor:
            before = _minute_of_use(os.pread(descriptor, _RECORD.size, offset))
            if before is not None and before.minute == minute:
                used += before.used
                wait_seconds += before.wait_seconds
                refused += before.refused
            os.pwrite(descriptor, _RECORD.pack(minute, allowed, used, wait_seconds, refused), offset)

    def used_on_day_of(self, at: float) -> int:
        """Return how many requests were sent on the UTC day of `at`, seconds since the epoch."""
        first = int(at // 86_400) * _DAY_MINUTES
        if not self.path.exists():
            return 0
        with self._opened(os.O_RDONLY) as descriptor:  # seven days fill the ring, so one lies in it in one piece
            content = os.pread(descriptor, _DAY_MINUTES * _RECORD.size, first % _MINUTES * _RECORD.size)
        records = _MINUTE_AND_USED.iter_unpack(content[: len(content) // _RECORD.size * _RECORD.size])
        return sum(used for minute, used in records if first <= minute < first + _DAY_MINUTES and 0 <= used < 1 << 53)

    def read(self, now: float) -> list[MinuteOfUse]:
        """Return the minutes of the seven days before `now`, seconds since the epoch, in which something was done."""
        content = b""
        if self.path.exists():
            with self._opened(os.O_RDONLY) as descriptor:
                content = os.pread(descriptor, _MINUTES * _RECORD.size, 0)
        last = int(now // 60)
        return sorted(
            (use for use in _records(content) if last - _MINUTES < use.minute <= last), key=lambda use: use.minute
        )

    @contextmanager
    def _opened(self, flags: int) -> Iterator[int]:
        try:
            descriptor = os.open(self.path, flags, 0o600)
            try:
                yield descriptor
            finally:
                os.close(descriptor)
        except OSError as error:
            raise unwritable(self.path, error) from error


def unwritable(path: Path, error: Exception) -> DestinationUnwritable:
    """Return the error to raise where what was sent cannot be noted or looked up."""
    reason = getattr(error, "strerror", None) or type(error).__name__
    return DestinationUnwritable(
        f"The record of the requests sent, {getattr(error, 'filename', None) or path}, cannot be written ({reason}). "
        "Without it no request is made. Make room, or move away what lies in its place; the tables are as they were, "
        "and what was read is kept."
    )


def _records(content: bytes) -> Iterator[MinuteOfUse]:
    for number in range(len(content) // _RECORD.size):
        use = _minute_of_use(content[number * _RECORD.size : (number + 1) * _RECORD.size])
        if use is not None and use.minute % _MINUTES == number:
            yield use


def _minute_of_use(record: bytes) -> MinuteOfUse | None:
    """Return what a record says, None where there is none or it is damaged."""
    if len(record) < _RECORD.size:
        return None
    use = MinuteOfUse(*_RECORD.unpack(record))
    counts = (use.minute, use.used, use.wait_seconds, use.refused)
    is_sound = use.minute > 0 and all(0 <= count < 1 << 53 for count in counts)
    is_sound &= use.allowed == math.inf or 0 <= use.allowed < 1 << 53
    return use if is_sound else None
