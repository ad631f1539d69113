"""How a vendor refuses what is too much: exact sliding windows."""

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a request: the window that decides, how much is left in it, and when it has room again.

    `reset` is whole seconds since the epoch, rounded up: a client that waits until then is not refused for this window.
    """

    is_refused: bool
    limit: int
    remaining: int
    reset: int


class SlidingWindows:
    """Allows `count` requests in any `seconds`, for each of several windows at once, the longest last.

    Refused requests count nowhere. `clock` tells the time in seconds since the epoch.
    """

    def __init__(self, windows: Sequence[tuple[int, float]], clock: Callable[[], float]) -> None:
        self._windows = [(count, seconds, deque[float]()) for count, seconds in windows]
        self._clock = clock

    def admit(self) -> Verdict:
        """Take a request in or refuse it. A request that is taken in is told about the longest window."""
        now = self._clock()
        for count, seconds, times in self._windows:
            while times and times[0] <= now - seconds:
                times.popleft()
            if len(times) >= count:
                return Verdict(True, count, 0, math.ceil(times[0] + seconds))
        for _, _, times in self._windows:
            times.append(now)
        count, seconds, times = self._windows[-1]
        return Verdict(False, count, count - len(times), math.ceil(times[0] + seconds))
