"""Readings that go on in threads of their own, while what only the calling thread may do is done there.

A reading is made in steps. Some may be made anywhere: those that wait for a vendor. The others are the calling
thread's, one at a time: whatever asks the database or commits to it. So the work of several readings needs no lock,
and no more than one batch is in memory. The threads end with the block, however it ends.
"""

import queue
import threading
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from types import TracebackType
from typing import Generic, Self, TypeVar

from connector_resources.http.deadline import hang_up_until_ended

Made = TypeVar("Made")

CALLING_THREAD = object()
"""What a reading yields where its next step is the calling thread's."""


@dataclass(slots=True, eq=False)
class Reading(Generic[Made]):
    """A reading: its `steps` yield CALLING_THREAD, or anything else where any thread may make the next one.

    What they return was made. `in_thread` is the block for a thread that makes steps. `hang_up` lets a step end with an
    error at once, wherever it waits, and may be called again until it has.
    """

    name: str
    steps: Generator[object, None, Made]
    in_thread: Callable[[], AbstractContextManager[None]] = nullcontext
    hang_up: Callable[[], None] = lambda: None
    _thread: threading.Thread | None = field(default=None, init=False, repr=False)
    _error: BaseException | None = field(default=None, init=False, repr=False)
    _is_stopped: bool = field(default=False, init=False, repr=False)

    def step(self) -> bool:
        """Make the next step, and return whether the one after it may be made in any thread.

        Raises what the step raises, here or in another thread, and StopIteration with what was made.
        """
        if self._error is not None:
            raise self._error
        return next(self.steps) is not CALLING_THREAD

    def _go_on(self) -> None:
        try:
            with self.in_thread():
                while not self._is_stopped and next(self.steps) is not CALLING_THREAD:
                    pass
        except BaseException as error:  # raised again by the next step, in the calling thread
            self._error = error


class SideBySide(Generic[Made]):
    """The readings that are under way in other threads; a context manager, whose end is that of all it began."""

    def __init__(self) -> None:
        self._begun: list[Reading[Made]] = []
        self._under_way: list[Reading[Made]] = []
        self._back: queue.SimpleQueue[Reading[Made]] = queue.SimpleQueue()

    def __len__(self) -> int:
        return len(self._under_way)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for reading in self._under_way:
            reading._is_stopped = True
        hang_up_until_ended([(each._thread, each.hang_up) for each in self._under_way if each._thread is not None])
        for reading in self._begun:
            if not _is_alive(reading):
                reading.steps.close()

    def begin(self, reading: Reading[Made]) -> Reading[Made]:
        """Take note of a reading, whose first step is the calling thread's, and return it."""
        self._begun.append(reading)
        return reading

    def go_on(self, reading: Reading[Made]) -> None:
        """Let the steps of a reading that may be made anywhere be made in another thread."""
        self._under_way.append(reading)
        reading._thread = threading.Thread(target=self._work, args=(reading,), name="reading", daemon=True)
        reading._thread.start()

    def next_back(self) -> Reading[Made]:
        """Wait for a reading whose next step is the calling thread's, and return it."""
        reading = self._back.get()
        assert reading._thread is not None
        reading._thread.join()
        self._under_way.remove(reading)
        return reading

    def _work(self, reading: Reading[Made]) -> None:
        reading._go_on()
        self._back.put(reading)


def _is_alive(reading: Reading[Made]) -> bool:
    return reading._thread is not None and reading._thread.is_alive()
