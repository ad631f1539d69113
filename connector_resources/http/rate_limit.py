"""Rate limits as values, and the limiter that waits for them.

A limit belongs to the account, not to the process: every process of one account on one host draws from one budget,
kept in a small file. A permit is reserved under the file's lock and waited for outside it, so permits are handed out
in order and nobody starves.

The file holds the instants of the last permits. A request that the server sees a little later than the one before it
was sent would break a limit that is used to the last permit, so permits keep a margin: 3 % of a window up to a second,
1 % of longer ones.
"""

import math
import os
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import portalocker


@dataclass(frozen=True, slots=True)
class RateLimit:
    """How many requests an API allows in any second, in any minute, or both; None where it names no such limit."""

    per_second: float | None = None
    per_minute: float | None = None

    def scaled(self, factor: float) -> "RateLimit":
        """Return the limit times `factor`; 0 means no limit at all."""
        if factor == 0:
            return RateLimit()
        return RateLimit(
            None if self.per_second is None else self.per_second * factor,
            None if self.per_minute is None else self.per_minute * factor,
        )


_HEADER = struct.Struct("<d")
_STALE_SECONDS = 3600.0
"""A permit further ahead than this was written before the machine's clock started anew."""


@dataclass(slots=True)
class RateLimiter:
    """Waits until the account's budget allows one more request.

    `path` is the file the processes of the account share. Clock and sleep are injected in tests; the clock must be
    one that all processes share, as CLOCK_MONOTONIC is between the processes of one boot.
    """

    limit: RateLimit
    path: Path
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)

    def acquire(self) -> float:
        """Wait for a permit; returns the seconds waited."""
        if self.limit == RateLimit():
            return 0.0
        wait_seconds = self._reserve()
        if wait_seconds > 0:
            self.sleep(wait_seconds)
        return max(0.0, wait_seconds)

    def block(self, seconds: float) -> None:
        """Give no permit to anybody for `seconds`: the server asked for it.

        An hour is the longest, since the file cannot tell a later instant from one of an earlier boot.
        """
        seconds = min(seconds, _STALE_SECONDS)

        def push(blocked_until: float, permits: list[float], now: float) -> tuple[float, list[float]]:
            return max(blocked_until, now + seconds), permits

        self._update(push)

    def _reserve(self) -> float:
        reserved = 0.0

        def take(blocked_until: float, permits: list[float], now: float) -> tuple[float, list[float]]:
            nonlocal reserved
            slot = max(now, blocked_until)
            if self.limit.per_second is not None and permits:
                slot = max(slot, permits[-1] + 1.03 / self.limit.per_second)
            if self.limit.per_minute is not None:
                allowed = max(1, math.floor(self.limit.per_minute))
                if len(permits) >= allowed:
                    # Rounded down, never made up for by a shorter window: two bursts would fit into one minute.
                    slot = max(slot, permits[-allowed] + 60.6 / min(1.0, self.limit.per_minute))
            reserved = slot - now
            return blocked_until, [*permits, slot]

        self._update(take)
        return reserved

    def _update(self, change: Callable[[float, list[float], float], tuple[float, list[float]]]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            portalocker.lock(descriptor, portalocker.LockFlags.EXCLUSIVE)
            now = self.clock()
            content = os.pread(descriptor, 1 << 20, 0)
            numbers = [number for (number,) in _HEADER.iter_unpack(content[: len(content) // 8 * 8])]
            blocked_until, permits = (numbers[0], numbers[1:]) if numbers else (0.0, [])
            if max(numbers, default=0.0) > now + _STALE_SECONDS:
                blocked_until, permits = 0.0, []
            blocked_until, permits = change(blocked_until, permits, now)
            keep = max(1, math.floor(self.limit.per_minute or 1))
            numbers = [blocked_until, *permits[-keep:]]
            os.pwrite(descriptor, struct.pack(f"<{len(numbers)}d", *numbers), 0)
            os.ftruncate(descriptor, 8 * len(numbers))
        finally:
            os.close(descriptor)  # the lock goes with it, as it does when the process dies
