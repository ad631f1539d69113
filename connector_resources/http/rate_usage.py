"""What became of an account's budget, minute by minute, in a small file that all its processes write.

The file is a ring of one record a minute over seven days, at most 0.4 MB, however many requests there are. It holds
counts and no request. The limiter writes it under the lock that it holds for the permit anyway.
"""

import math
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_MINUTES = 7 * 24 * 60
_RECORD = struct.Struct("<qdqdq")


@dataclass(frozen=True, slots=True)
class MinuteOfUse:
    """One minute of one limit.

    `minute` counts from 1970 in UTC, `allowed` is how many requests the limit allows in a minute, `wait_seconds` how
    long the processes together waited for the permits used in it, `refused` how many requests got a 429.
    """

    minute: int
    allowed: float
    used: int
    wait_seconds: float
    refused: int


@dataclass(frozen=True, slots=True)
class UsageLog:
    """The record of one limit; without a file there is none yet. Whoever adds to it holds the limiter's lock."""

    path: Path

    def add(self, at: float, allowed: float, *, used: int = 0, wait_seconds: float = 0.0, refused: int = 0) -> None:
        """Add to the minute of `at`, seconds since the epoch; the minute of seven days before is forgotten."""
        minute = int(at // 60)
        offset = minute % _MINUTES * _RECORD.size
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            before = _minute_of_use(os.pread(descriptor, _RECORD.size, offset))
            if before is not None and before.minute == minute:
                used += before.used
                wait_seconds += before.wait_seconds
                refused += before.refused
            os.pwrite(descriptor, _RECORD.pack(minute, allowed, used, wait_seconds, refused), offset)
        finally:
            os.close(descriptor)

    def read(self, now: float) -> list[MinuteOfUse]:
        """Return the minutes of the seven days before `now`, seconds since the epoch, in which something was done."""
        content = self.path.read_bytes() if self.path.exists() else b""
        last = int(now // 60)
        return sorted(
            (use for use in _records(content) if last - _MINUTES < use.minute <= last), key=lambda use: use.minute
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
    counts = (use.minute, use.allowed, use.used, use.wait_seconds, use.refused)
    is_sound = use.minute > 0 and all(math.isfinite(count) and 0 <= count < 1 << 53 for count in counts)
    return use if is_sound else None
