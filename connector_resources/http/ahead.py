"""Requests that are sent before it is their answers' turn, by a few threads.

A walk asks one request after the other and looks at each answer before it asks the next. Where it is known what will be
asked (the other pages of a list that is counted, the page after this one, the first page under each parent) the answers
may be on their way meanwhile. The walk itself stays as it is: it takes the answers in its own order, and what it makes
of them does not depend on when they came.

1. Only what the walk is certain to ask is sent, and nothing before the first answer is there: a credential that is
   refused is refused once.
2. Pages that are asked for together are answered in any order. Where a list changes meanwhile, which its count tells,
   the walk asks anew for the first page that was answered after that, and for those behind it.
3. An error belongs to its request, and is raised when the walk asks that. Every page before it has been given out then,
   and nothing that was sent behind it is looked at.
4. As many requests are on their way as keep the reader from waiting, or as the rate limit has a use for, which are rate
   times latency (Little's law), and never more than were allowed at once. A request that had to be tried again halves
   that, and each answer after it gives a little back, as TCP does.
5. Of the current list, and of those behind it, twice as many answers as may be on their way are kept at most.
6. The threads end with the block. One that waits for an answer then is hung up on.
"""

import math
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from itertools import chain
from types import TracebackType
from typing import Self

from connector_resources.http.deadline import Line, hang_up_until_ended
from connector_resources.http.messages import Request, Response

_NEWEST_WEIGHT = 0.3
"""How much the newest answer, or page, counts in how long they usually take."""
_WORTH_SECONDS = 0.005
"""An answer that is there sooner costs less to wait for than to hand from one thread to another."""
_ANSWERS_EACH = 2
"""So many answers are kept for each request that may be on its way: a slow one does not stop those behind it."""


class Stopped(BaseException):
    """Nobody waits for the answer any more."""


@dataclass(slots=True)
class InFlight:
    """How many requests of an account may be on their way, and how many are: one for all that read by one source.

    `concurrency` is the most there may be. `answer_seconds` is how long an answer takes, waits for a permit left out,
    None before the first one.
    """

    concurrency: int
    answer_seconds: float | None = None
    _allowed: float = field(default=math.inf, init=False, repr=False)
    _on_their_way: int = field(default=0, init=False, repr=False)
    _kept_waiting: int = field(default=0, init=False, repr=False)  # readers of shares, by what other shares have
    _given: threading.Condition = field(default_factory=threading.Condition, init=False, repr=False)

    def most(self, rate: float) -> int:
        """Return how many requests there is a use for where answers are wanted at `rate` a second."""
        if self.answer_seconds is None or self.answer_seconds < _WORTH_SECONDS:
            return 1
        allowed = self.allowed
        wanted = rate * self.answer_seconds
        return allowed if wanted >= allowed else min(allowed, 1 + math.ceil(wanted))

    @property
    def allowed(self) -> int:
        """How many requests may be on their way after what had to be tried again."""
        return int(min(self.concurrency, self._allowed))

    def answered(self, seconds: float, *, is_troubled: bool) -> None:
        """Take note of an answer, how long it took, and whether it had to be asked for more than once."""
        with self._given:
            self.answer_seconds = _smoothed(self.answer_seconds, max(0.0, seconds))
            if is_troubled:
                self._allowed = max(1.0, min(self._allowed, self.concurrency) / 2)
            else:
                self._allowed = min(self.concurrency, self._allowed + 1 / self._allowed)

    def enter(self, most: int) -> None:
        """Wait until fewer than `most` are on their way, and count one more."""
        with self._given:
            self._given.wait_for(lambda: self._on_their_way < most)
            self._on_their_way += 1

    def take(self, most: int) -> bool:
        """Count one more on its way where fewer than `most` are; returns whether that is so."""
        with self._given:
            is_free = self._on_their_way < most
            self._on_their_way += is_free
        return is_free

    def is_room(self, most: int) -> bool:
        """Whether fewer than `most` are on their way."""
        return self._on_their_way < most

    def give(self) -> None:
        """Count one less."""
        with self._given:
            self._on_their_way -= 1
            self._given.notify_all()  # who has waited longest may not be one who may go on


@dataclass(slots=True)
class Share:
    """What one of several readings of an account has on its way: all together have no more than one alone might.

    What a reader itself waits for goes before what is asked ahead. Nobody waits any more once `stopped` is set.
    """

    whole: InFlight
    stopped: threading.Event
    _on_their_way: int = field(default=0, init=False, repr=False)

    def most(self, rate: float) -> int:
        """Return how many requests there is a use for where answers are wanted at `rate` a second."""
        return self.whole.most(rate)

    def answered(self, seconds: float, *, is_troubled: bool) -> None:
        """Take note of an answer, how long it took, and whether it had to be asked for more than once."""
        self.whole.answered(seconds, is_troubled=is_troubled)

    def enter(self, most: int) -> None:
        """Wait until fewer than `most` are on their way here, and fewer than may be in all; count one more.

        Raises Stopped.
        """
        whole = self.whole
        with whole._given:
            while not self._is_room(most):
                if self.stopped.is_set():
                    raise Stopped
                is_kept = self._on_their_way < most
                whole._kept_waiting += is_kept
                try:
                    whole._given.wait()
                finally:
                    whole._kept_waiting -= is_kept
            self._count(1)

    def take(self, most: int) -> bool:
        """Count one more where there is room for it, and no reader waits for that; returns whether that is so."""
        with self.whole._given:
            is_free = self.is_room(most)
            self._count(is_free)
        return is_free

    def is_room(self, most: int) -> bool:
        """Whether one more could be taken."""
        return self._is_room(most) and not self.whole._kept_waiting

    def give(self) -> None:
        """Count one less."""
        with self.whole._given:
            self._count(-1)
            self.whole._given.notify_all()

    def stop(self) -> None:
        """Let nobody wait any more."""
        with self.whole._given:
            self.stopped.set()
            self.whole._given.notify_all()

    def _is_room(self, most: int) -> bool:
        return self._on_their_way < most and self.whole._on_their_way < self.whole.allowed

    def _count(self, more: int) -> None:
        self._on_their_way += more
        self.whole._on_their_way += more


def _smoothed(usual: float | None, newest: float) -> float:
    return newest if usual is None else usual + (newest - usual) * _NEWEST_WEIGHT


@dataclass(frozen=True, slots=True)
class _Sent:
    """A request that was sent ahead, in which list of the walk it is, and whether it is that list's first."""

    list: int
    is_first: bool
    answer: "Future[Response]" = field(default_factory=Future)


class Ahead:
    """Sends the requests of one walk that are certain to be asked.

    `fetch` is called for each, in this thread or in another, which is in a block of what `thread` returns; `thread` is
    given what is set when nobody waits any more. `rate` is how many requests a second are allowed.
    """

    def __init__(
        self,
        fetch: Callable[[Request], Response],
        in_flight: InFlight | Share,
        rate: float = math.inf,
        thread: Callable[[threading.Event], AbstractContextManager[None]] = lambda stopped: nullcontext(),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fetch = fetch
        self._in_flight = in_flight
        self._rate = rate
        self._thread = thread
        self._clock = clock
        self.is_early = False
        """Whether the answer given last was asked for before its turn."""
        self._list = self._next_list = self._lists = 0
        self._first: Callable[[int], Request] | None = None
        self._pages: Iterator[Request] = iter(())
        self._next_page: Request | None = None
        self._sent: dict[bytes, _Sent] = {}
        self._is_begun = self._is_next = False  # whether the reader's own request is the next to be sent
        self._given_at: float | None = None
        self._page_seconds: float | None = None  # for which the reader is busy with an answer
        self._changed = threading.Condition()
        self._stopped = threading.Event()
        self._threads: list[tuple[threading.Thread, Line]] = []
        self._idle = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def expect_lists(self, first: Callable[[int], Request], begin: int, end: int) -> None:
        """Take note that the walk begins with list `begin`; those up to `end`, left out, begin with `first(list)`."""
        self._first, self._list, self._next_list, self._lists = first, begin, begin + 1, end

    def expect(self, following: Request, ahead: Callable[[], Iterator[Request]] = lambda: iter(())) -> None:
        """Take note of what is asked next in the current list, and, where that is news, what `ahead` knows of it."""
        key = following.key
        with self._changed:
            if key not in self._sent and (self._next_page is None or key != self._next_page.key):
                self._forget_list()
                rest = ahead()
                first = next(rest, following)
                # Whoever foresees something else than what is asked next is not believed.
                self._pages = chain((first,), rest) if first.key == key else iter((following,))
                self._next_page = next(self._pages)
            self._go_on()

    def forget_list(self) -> None:
        """Take note that what was sent of the current list is not wanted, and nothing is known of it."""
        with self._changed:
            self._forget_list()

    def end_list(self) -> None:
        """Take note that nothing more is asked of the current list, whatever was expected of it."""
        with self._changed:
            self._forget_list()
            self._is_begun = True  # a list may end with its first request, when its parent is gone
            self._list += 1
            self._next_list = max(self._next_list, self._list + 1)
            self._go_on()

    def fetch(self, request: Request) -> Response:
        """Return the answer to a request, which may be there already or on its way."""
        key = request.key
        with self._changed:
            if self._given_at is not None:
                self._page_seconds = _smoothed(self._page_seconds, self._clock() - self._given_at)
            sent = self._sent.pop(key, None)
            self.is_early, self._is_next = sent is not None, sent is None
            if sent is None:
                if self._next_page is not None and key == self._next_page.key:
                    self._next_page = next(self._pages, None)
            most = self._most()
            self._go_on()
        if sent is None:
            self._in_flight.enter(most)
            with self._changed:
                self._is_next = False
                self._go_on()
        answer = self._alone(request) if sent is None else sent.answer.result()
        self._is_begun, self._given_at = True, self._clock()
        return answer

    def hang_up(self) -> None:
        """Let nobody wait for an answer any more. May be called in any thread, and again where one still waits."""
        with self._changed:
            self._stopped.set()
            self._changed.notify_all()
        for _, line in tuple(self._threads):
            line.hang_up()

    def close(self) -> None:
        """Send nothing any more, and let go of what is on its way."""
        with self._changed:
            self._stopped.set()
            self._sent.clear()
            self._changed.notify_all()
        hang_up_until_ended([(thread, line.hang_up) for thread, line in self._threads])
        self._threads.clear()

    def _alone(self, request: Request) -> Response:
        try:
            return self._fetch(request)
        finally:
            self._in_flight.give()

    def _forget_list(self) -> None:
        self._sent = {key: sent for key, sent in self._sent.items() if sent.list != self._list}
        self._pages, self._next_page = iter(()), None

    # What follows is called, and what is above is changed, by who holds the lock of `_changed`.

    def _most(self) -> int:
        """Return how many requests may be on their way."""
        rate = min(self._rate, 1 / self._page_seconds) if self._page_seconds else self._rate
        return self._in_flight.most(rate)

    def _is_expected(self, most: int) -> bool:
        """Whether there is a request to be sent, and room for its answer."""
        if not self._is_begun or most == 1:
            return False
        firsts = sum(sent.is_first for sent in self._sent.values())
        if self._next_page is not None:
            return len(self._sent) - firsts < _ANSWERS_EACH * most
        return self._next_list < self._lists and firsts < _ANSWERS_EACH * most

    def _go_on(self) -> None:
        """Let a thread send what is to be sent."""
        most = self._most()
        if self._is_expected(most) and self._in_flight.is_room(most - self._is_next):
            if self._idle:
                self._changed.notify()
            elif len(self._threads) < most:
                line = Line()
                arguments = line, self._thread(self._stopped)
                thread = threading.Thread(target=self._work, args=arguments, name="ahead", daemon=True)
                self._threads.append((thread, line))
                thread.start()

    def _taken(self) -> tuple[Request, "Future[Response]"] | None:
        """Return what is to be sent now, and where its answer goes; None where nothing is."""
        most = self._most()
        while self._is_expected(most) and self._in_flight.take(most - self._is_next):
            if self._next_page is not None:
                request, sent = self._next_page, _Sent(self._list, is_first=False)
                self._next_page = next(self._pages, None)
            else:
                assert self._first is not None
                try:
                    request, sent = self._first(self._next_list), _Sent(self._next_list, is_first=True)
                except Exception:  # it belongs to that list, and is raised when the walk begins it
                    self._next_list = self._lists
                    self._in_flight.give()
                    return None
                self._next_list += 1
            if (key := request.key) not in self._sent:
                self._sent[key] = sent
                return request, sent.answer
            self._in_flight.give()  # two parents with one path: for the second the reader asks
        return None

    def _work(self, line: Line, block: AbstractContextManager[None]) -> None:
        with block, line:
            while (task := self._task()) is not None:
                request, answer = task
                try:
                    response = self._alone(request)
                except BaseException as error:
                    answer.set_exception(error)
                else:
                    answer.set_result(response)
                    del response
                del task, request, answer  # an idle thread holds no page

    def _task(self) -> tuple[Request, "Future[Response]"] | None:
        with self._changed:
            while not self._stopped.is_set():
                if (task := self._taken()) is not None:
                    self._go_on()
                    return task
                self._idle += 1
                self._changed.wait()
                self._idle -= 1
        return None


def in_order(fetch: Callable[[Request], Response]) -> Ahead:
    """Return what sends one request after the other."""
    return Ahead(fetch, InFlight(1))


__all__ = ["Ahead", "InFlight", "Share", "Stopped", "in_order"]
