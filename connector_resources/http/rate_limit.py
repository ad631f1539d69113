"""Rate limits as values, and the limiter that waits for them.

A limit belongs to the account, not to the process: every process of one account on one host draws from one budget,
kept in a small file that is only touched under its lock. The lock is held for moments and goes with its process.

1. A permit is planned under the lock, behind those planned before it, and slept for outside the lock; so permits come
   in order and nobody starves. Who wakes asks again, and is only let go when what was really sent allows it: a process
   that wakes late, a block or a refusal that came meanwhile put it off, and those behind it with it.
2. The server sees requests a little later than they are sent, some more than others, and would count one too many in a
   limit that is used to the last permit. So windows keep a margin: 2 % of a second, 1 % of a minute, measured between
   the instants at which permits were really given, not those they were planned for. A request whose answer took
   longer than the quickest counts, as soon as that is there, from when it came to the server at the latest.
3. The server's word wins. A 429 halves the pace of the whole account, which then grows back in 50 seconds. Where the
   server counts more than this host has sent, somebody else uses the account, and is left what they take.
4. A file that is damaged, of another version or of an earlier boot is begun anew: it costs the server a surprise,
   which rule 3 mends, and blocks nobody.
5. Every permit is counted, where there is no limit too, and none is given beyond what a day may have of them: that is
   looked up and counted under the same lock, so it holds for all processes together.
"""

import math
import os
import struct
import time
import zlib
from array import array
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import portalocker

from connector_resources.errors import RequestBudgetSpent
from connector_resources.http.rate_usage import UsageLog, unwritable

_SECOND_MARGIN = 1.02
_MINUTE_SECONDS = 60.6
_PACE_MARGIN = 1.03
_SLOWED_SHARE, _SLOWEST_SHARE = 0.5, 1 / 16
_RECOVERY_SECONDS = 50.0
_LONGEST_BLOCK_SECONDS = 3600.0
"""No single answer stops all processes of an account for longer than this."""
_ABANDONED_SECONDS = 5.0
"""Who has not come for a permit by then has died, or asks for another one."""
_SAME_BOOT_SECONDS = 60.0
"""Two processes of one boot agree on when it was, but for somebody setting the clock."""
_OTHERS_FROM_SHARE = 0.05
"""What the server counts beyond our own requests is theirs from this share of a limit on; less is ours on its way."""
_OTHERS_GROW = 1.1
"""Others are left a tenth more than they took."""
_LATE_FROM_SECONDS = 0.005
_LOOK_AGAIN_SECONDS = 1.0
_PROMPT_SECONDS = 0.0001
"""A clock that sleeping moves may end up this much before the instant it should."""

MORE_REQUESTS = (
    "Wait for tomorrow, raise DAILY_REQUEST_BUDGET (an account of the configuration file: its daily_request_budget), "
    "or run it with `ignore_budget: true` in its run config."
)
"""What to do where a day's requests are spent."""


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

    @property
    def at_a_time(self) -> float:
        """How many requests a second are allowed for a short time; infinite without a limit."""
        if self.per_second is not None:
            return self.per_second
        return math.inf if self.per_minute is None else self.per_minute / _MINUTE_SECONDS

    @property
    def in_a_minute(self) -> float:
        """How many requests a minute are allowed for long; infinite without a limit."""
        by_seconds = math.inf if self.per_second is None else 60 * self.per_second
        return min(by_seconds, math.inf if self.per_minute is None else self.per_minute)


@dataclass(frozen=True, slots=True)
class Standing:
    """What holds an account back now: for how long nobody gets a permit, and the share of its pace after that.

    `left_in_minute` is how many requests of a limit by the minute are left; None where there is no such limit.
    """

    blocked_seconds: float
    pace_share: float
    left_in_minute: int | None = None


@dataclass(slots=True)
class RateLimiter:
    """Waits until the account's budget allows one more request.

    `path` is the file the processes of the account share; beside it, with the ending `.usage`, is what they used. Of
    `per_day` permits a day (UTC) all of them together get no more; 0 is any number. Raises DestinationUnwritable where
    the files cannot be written.

    Clocks and sleep are injected in tests; `clock` must be one that all processes share, as CLOCK_MONOTONIC is between
    the processes of one boot, and `wall` tells the seconds since the epoch.
    """

    limit: RateLimit
    path: Path
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)
    wall: Callable[[], float] = field(default=time.time, repr=False)
    per_day: int = 0
    _given_at: float = field(default=-math.inf, init=False, repr=False)
    _counted_at: float = field(default=-math.inf, init=False, repr=False)
    _quickest_seconds: float = field(default=0.0, init=False, repr=False)
    _told: tuple[float, float] | None = field(default=None, init=False, repr=False)

    def acquire(self) -> float:
        """Wait for a permit; returns the seconds waited. Raises RequestBudgetSpent where the day has none left."""
        waited_seconds = 0.0
        for wait_seconds in self.waits():
            self.sleep(wait_seconds)
            waited_seconds += wait_seconds
        return waited_seconds

    def waits(self) -> Iterator[float]:
        """Yield how many seconds to sleep, one sleep after the other, until a permit is given."""
        if self.limit == RateLimit():
            with self._locked():
                self._require_day()
                self._usage().add(self.wall(), self.limit.in_a_minute, used=1)
            return
        ticket: float | None = None
        waited_seconds = 0.0
        while True:
            with self._account() as account:
                self._require_day()
                now = self.clock()
                self._hand_over(account)
                has_others = account.others_at(now) > 0
                if ticket not in account.waiting:
                    ticket, slot = account.tickets, self._planned(account, account.waiting.values(), now)
                    account.tickets += 1
                elif has_others:
                    ahead = [slot for other, slot in account.waiting.items() if other < ticket]
                    slot = self._planned(account, ahead, now)
                else:
                    slot = max(account.waiting[ticket], self._allowed(account, now))
                if slot <= now + _PROMPT_SECONDS:
                    account.waiting.pop(ticket, None)
                    account.sent.append(max(slot, now))
                    del account.sent[: -math.floor(max(1, self.limit.per_minute or 1, self.limit.per_second or 1))]
                    self._given_at = self._counted_at = account.sent[-1]
                    self._usage().add(self.wall(), self.limit.in_a_minute, used=1, wait_seconds=waited_seconds)
                    return
                account.waiting[ticket] = slot
                # What others leave changes with every answer, so a wait for it is not slept through.
                wait_seconds = min(slot - now, _LOOK_AGAIN_SECONDS) if has_others else slot - now
            yield wait_seconds
            waited_seconds += wait_seconds

    def block(self, seconds: float) -> None:
        """Give no permit to anybody for `seconds`, an hour at most: the server asked for it."""
        if self.limit == RateLimit():
            return
        with self._account() as account:
            now = self.clock()
            account.blocked_until = max(account.blocked_until, now + min(seconds, _LONGEST_BLOCK_SECONDS))
            self._plan_anew(account, now)

    def refused(self, wait_seconds: float | None) -> None:
        """Take note of a 429: everybody waits as long as the server demands, then goes slower for a while.

        Refusals of requests that were on their way together slow the account once.
        """
        if self.limit == RateLimit():
            with self._locked():
                self._usage().add(self.wall(), self.limit.in_a_minute, refused=1)
            return
        with self._account() as account:
            now = self.clock()
            account.blocked_until = max(account.blocked_until, now + min(wait_seconds or 0.0, _LONGEST_BLOCK_SECONDS))
            if self._given_at > account.slowed_at:
                account.share = max(_SLOWEST_SHARE, account.share_at(now) * _SLOWED_SHARE)
                account.slowed_at = now
                account.grows_from = max(now, account.blocked_until)
            self._usage().add(self.wall(), self.limit.in_a_minute, refused=1)
            self._plan_anew(account, now)

    def answered(self) -> None:
        """Take note that the request of the last permit is answered, and so has come to the server.

        If it took longer than the quickest, it may have come late by that much, and counts from then, at once: this
        thread may ask for nothing more, or not soon.
        """
        took_seconds = self.clock() - self._given_at
        late_seconds = took_seconds - self._quickest_seconds
        self._quickest_seconds = min(took_seconds, self._quickest_seconds or took_seconds)
        if late_seconds > _LATE_FROM_SECONDS and self.limit != RateLimit():
            with self._account() as account:
                place = bisect_left(account.sent, self._given_at)
                if account.sent[place : place + 1] == [self._given_at]:
                    del account.sent[place]
                    self._counted_at += late_seconds
                    insort(account.sent, self._counted_at)

    def told(self, limit: float, remaining: float) -> None:
        """Take note of what an answer said: the limit of a window, and how many requests of it remain.

        It is compared at the next permit with what this host has sent in a minute; less than that remains where others
        use the account. Of a shorter window more remains, and nothing follows from it.
        """
        self._told = (limit, remaining)

    def standing(self) -> Standing:
        """Return what holds the account back now."""
        if not self.path.exists():
            return Standing(0.0, 1.0, None if self.limit.per_minute is None else math.floor(self.limit.per_minute))
        with self._account() as account:
            now = self.clock()
            blocked_seconds = max(0.0, account.blocked_until - now)
            return Standing(blocked_seconds, account.share_at(now), self._left_in_minute(account, now))

    def _left_in_minute(self, account: "_Account", now: float) -> int | None:
        if self.limit.per_minute is None:
            return None
        ours = len(account.sent) - bisect_right(account.sent, now - _MINUTE_SECONDS)
        return max(0, math.floor(self.limit.per_minute - account.others_at(now) * _OTHERS_GROW) - ours)

    def _planned(self, account: "_Account", ahead: Iterable[float], now: float) -> float:
        """Return when the next permit behind those `ahead`, which are planned and not given yet, can be given."""
        taken = [*account.sent, *sorted(max(slot, now) for slot in ahead)]  # who is late may come at any moment
        slot = self._windows_open(account, taken, max(now, account.blocked_until))
        return max(slot, taken[-1] + self._pace(account, max(now, taken[-1]))) if taken else slot

    def _allowed(self, account: "_Account", now: float) -> float:
        """Return when a permit can be given after those that really were: closer together than planned, if need be."""
        slot = self._windows_open(account, account.sent, max(now, account.blocked_until))
        return max(slot, account.sent[-1] + self._pace(account, now) / 2) if account.sent else slot

    def _windows_open(self, account: "_Account", taken: list[float], slot: float) -> float:
        if self.limit.per_second is not None:
            allowed = max(1, math.floor(self.limit.per_second))
            if len(taken) >= allowed:
                slot = max(slot, taken[-allowed] + _SECOND_MARGIN * allowed / self.limit.per_second)
        if self.limit.per_minute is not None:
            allowed = max(1, math.floor(self.limit.per_minute - account.others_at(slot) * _OTHERS_GROW))
            if len(taken) >= allowed:
                # Rounded down, never made up for by a shorter window: two bursts would fit into one minute.
                slot = max(slot, taken[-allowed] + _MINUTE_SECONDS / min(1.0, self.limit.per_minute))
        return slot

    def _pace(self, account: "_Account", at: float) -> float:
        """Return the seconds between two permits.

        A limit by the minute may be used up in a burst, unless it is slowed or others use the account too.
        """
        share, others = account.share_at(at), account.others_at(at)
        pace = 0.0 if self.limit.per_second is None else _PACE_MARGIN / self.limit.per_second / share
        if self.limit.per_minute is not None and (others or (share < 1 and not pace)):
            pace = max(pace, _MINUTE_SECONDS / max(1.0, self.limit.per_minute - others * _OTHERS_GROW) / share)
        return pace

    def _plan_anew(self, account: "_Account", now: float) -> None:
        """Put off who waits, in their order."""
        slots: list[float] = []
        for ticket in sorted(account.waiting):
            slots.append(max(account.waiting[ticket], self._planned(account, slots, now)))
            account.waiting[ticket] = slots[-1]

    def _hand_over(self, account: "_Account") -> None:
        """Tell the account what the last answer said of others, unless a later request was told something already."""
        if self._told is None or self.limit.per_minute is None or self._given_at < account.told_at:
            return
        (limit, remaining), self._told = self._told, None
        last = bisect_right(account.sent, self._counted_at)
        ours = last - bisect_right(account.sent, self._counted_at - 60.0)
        others = limit - remaining - ours
        account.told_at = self._given_at
        account.others = others if others > _OTHERS_FROM_SHARE * limit else 0.0

    def _usage(self) -> UsageLog:
        return UsageLog(usage_path(self.path))

    def _require_day(self) -> None:
        if self.per_day and (sent := self._usage().used_on_day_of(self.wall())) >= self.per_day:
            raise RequestBudgetSpent(
                f"{self.path.name}: all runs on this host have sent {sent:,} requests today (UTC), and a day may have "
                f"{self.per_day:,}. {MORE_REQUESTS}"
            )

    @contextmanager
    def _account(self) -> "Iterator[_Account]":
        """Give out what the processes share, under the lock, and write it back."""
        with self._locked() as descriptor:
            now = self.clock()
            booted_at = self.wall() - now
            account = _Account.unpacked(os.pread(descriptor, 1 << 20, 0), booted_at)
            account.forget_the_dead(now)
            yield account
            content = account.packed(booted_at)
            os.pwrite(descriptor, content, 0)
            os.ftruncate(descriptor, len(content))

    @contextmanager
    def _locked(self) -> Iterator[int]:
        """Hold the lock for a block, which may write the account's files: what they refuse is named."""
        try:
            try:
                descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
            except FileNotFoundError:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                portalocker.lock(descriptor, portalocker.LockFlags.EXCLUSIVE)
                yield descriptor
            finally:
                os.close(descriptor)  # the lock goes with it, as it does when the process dies
        except (OSError, portalocker.LockException) as error:
            raise unwritable(self.path, error) from error


def usage_path(path: Path) -> Path:
    """Return where the usage is recorded of the limiter whose file is `path`."""
    return path.with_name(f"{path.name}.usage")


_MAGIC = b"HEADRA2\x7f"
"""Names the format. Read as a number, as the first format began with one, it is an instant beyond all bounds."""
_FRAME = struct.Struct("<8sI")
_FACTS = struct.Struct("<8dII")


@dataclass(slots=True)
class _Account:
    """What the processes of an account share: instants of the clock, and who waits until when, by ticket."""

    tickets: float = 0.0
    blocked_until: float = 0.0
    share: float = 1.0
    slowed_at: float = -math.inf
    grows_from: float = -math.inf
    others: float = 0.0
    told_at: float = -math.inf
    sent: list[float] = field(default_factory=list)
    waiting: dict[float, float] = field(default_factory=dict)

    def share_at(self, at: float) -> float:
        """Return the share of the pace that is left after a 429; it grows back evenly."""
        grown = max(0.0, at - self.grows_from) / _RECOVERY_SECONDS
        return 1.0 if grown >= 1 else self.share + (1 - self.share) * grown

    def others_at(self, at: float) -> float:
        """Return how many of the requests that others made still count: they leave the minute one by one."""
        return self.others * max(0.0, 1 - (at - self.told_at) / _MINUTE_SECONDS) if self.others else 0.0

    def forget_the_dead(self, now: float) -> None:
        """Forget who has not come for a permit."""
        if any(slot < now - _ABANDONED_SECONDS for slot in self.waiting.values()):
            self.waiting = {ticket: slot for ticket, slot in self.waiting.items() if slot >= now - _ABANDONED_SECONDS}

    def packed(self, booted_at: float) -> bytes:
        """Return the file's content."""
        facts = _FACTS.pack(
            booted_at,
            self.tickets,
            self.blocked_until,
            self.share,
            self.slowed_at,
            self.grows_from,
            self.others,
            self.told_at,
            len(self.sent),
            len(self.waiting),
        )
        lists = array("d", [*self.sent, *self.waiting.keys(), *self.waiting.values()])
        content = facts + lists.tobytes()
        return _FRAME.pack(_MAGIC, zlib.crc32(content)) + content

    @classmethod
    def unpacked(cls, content: bytes, booted_at: float) -> "_Account":
        """Return what a file says; nothing where it is not a whole one of this version and this boot."""
        if len(content) < _FRAME.size + _FACTS.size:
            return cls()
        magic, checksum = _FRAME.unpack_from(content)
        if magic != _MAGIC or checksum != zlib.crc32(content[_FRAME.size :]):
            return cls()
        then, *facts, sent, waiting = _FACTS.unpack_from(content, _FRAME.size)
        if abs(then - booted_at) > _SAME_BOOT_SECONDS:
            return cls()
        lists = array("d")
        lists.frombytes(content[_FRAME.size + _FACTS.size :])
        numbers = lists.tolist()
        tickets, slots = numbers[sent : sent + waiting], numbers[sent + waiting :]
        account = cls(*facts)
        account.sent, account.waiting = numbers[:sent], dict(zip(tickets, slots, strict=True))
        return account
