import heapq
import itertools
import math
import struct
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from connector_resources.errors import DestinationUnwritable, RequestBudgetSpent
from connector_resources.http.rate_limit import RateLimit, RateLimiter, Standing, usage_path
from connector_resources.http.rate_usage import MinuteOfUse, UsageLog
from connector_resources.sandbox.limits import SlidingWindows
from tests.http.fake_api import Clock


def limiter(folder: Path, clock: Clock, limit: RateLimit, per_day: int = 0) -> RateLimiter:
    return RateLimiter(limit, folder / "permits", clock=clock, sleep=clock.sleep, wall=clock, per_day=per_day)


def permits(limiter: RateLimiter, clock: Clock, count: int) -> list[float]:
    """Acquire `count` permits as fast as allowed and return when each was given."""
    given_at = []
    for _ in range(count):
        limiter.acquire()
        given_at.append(clock.now)
    return given_at


def most_in_any_window(instants: list[float], seconds: float) -> int:
    return max(sum(start <= instant < start + seconds for instant in instants) for start in instants)


@pytest.mark.parametrize(
    ("limit", "count"),
    [
        (RateLimit(per_second=5), 40),
        (RateLimit(per_second=0.5), 10),
        (RateLimit(per_second=2.5), 30),
        (RateLimit(per_minute=60), 200),
        (RateLimit(per_minute=3), 12),
        (RateLimit(per_second=20, per_minute=300), 1_000),
        (RateLimit(per_second=1, per_minute=10), 40),
        (RateLimit(per_second=20, per_minute=300).scaled(0.5), 400),
    ],
    ids=str,
)
def test_no_window_ever_holds_more_than_the_limit(tmp_path: Path, limit: RateLimit, count: int) -> None:
    clock = Clock()

    given_at = permits(limiter(tmp_path, clock, limit), clock, count)

    if limit.per_second is not None:
        assert most_in_any_window(given_at, 1.0) <= math.ceil(limit.per_second)
    if limit.per_minute is not None:
        assert most_in_any_window(given_at, 60.0) <= math.ceil(limit.per_minute)


@pytest.mark.parametrize(
    ("limit", "count", "seconds"),
    [
        (RateLimit(per_second=20), 2_000, 100.0),
        (RateLimit(per_minute=60), 600, 540.0),
        (RateLimit(per_second=20, per_minute=300), 3_000, 540.0),
    ],
    ids=str,
)
def test_at_least_95_per_cent_of_the_limit_is_used(
    tmp_path: Path, limit: RateLimit, count: int, seconds: float
) -> None:
    clock = Clock(now=0.0)

    given_at = permits(limiter(tmp_path, clock, limit), clock, count)

    assert given_at[-1] <= seconds / 0.95


def test_the_first_permit_is_free_and_the_wait_is_told(tmp_path: Path) -> None:
    clock = Clock()
    one = limiter(tmp_path, clock, RateLimit(per_second=2))

    assert [one.acquire(), one.acquire()] == [0.0, pytest.approx(0.515)]
    assert clock.slept == [pytest.approx(0.515)]


def test_two_limiters_of_one_account_share_one_budget(tmp_path: Path) -> None:
    clock = Clock()
    limit = RateLimit(per_second=5, per_minute=20)
    pair = limiter(tmp_path, clock, limit), limiter(tmp_path, clock, limit)

    given_at = list(itertools.chain.from_iterable(permits(one, clock, 1) for one in pair * 30))

    assert most_in_any_window(given_at, 1.0) <= 5
    assert most_in_any_window(given_at, 60.0) <= 20


def test_permits_are_planned_in_order_before_anybody_sleeps(tmp_path: Path) -> None:
    clock = Clock()
    waiting = [limiter(tmp_path, clock, RateLimit(per_second=1)).waits() for _ in range(4)]

    assert [next(waits, None) for waits in waiting] == [
        None,
        pytest.approx(1.03),
        pytest.approx(2.06),
        pytest.approx(3.09),
    ]


def test_who_wakes_late_puts_off_those_that_would_come_too_soon_after(tmp_path: Path) -> None:
    clock = Clock(now=0.0)
    first, second, third = (limiter(tmp_path, clock, RateLimit(per_second=1)).waits() for _ in range(3))
    assert [next(waits, None) for waits in (first, second, third)] == [
        None,
        pytest.approx(1.03),
        pytest.approx(2.06),
    ]

    clock.now = 2.0
    assert next(second, None) is None
    clock.now = 2.06

    assert next(third, None) == pytest.approx(0.96)


def test_a_request_whose_answer_was_slow_counts_from_when_it_came_at_the_latest(tmp_path: Path) -> None:
    clock = Clock(now=0.0)
    slow, next_one = (limiter(tmp_path, clock, RateLimit(per_second=1)) for _ in range(2))
    for took_seconds in (0.1, 0.5):
        slow.acquire()
        given_at = clock.now
        clock.now += took_seconds
        slow.answered()
    slow.acquire()
    assert clock.now == pytest.approx(given_at + 0.4 + 1.03)

    waits = next_one.acquire()
    assert waits == pytest.approx(1.03)


def test_a_request_that_came_late_counts_so_for_others_though_its_thread_asks_for_nothing_more(tmp_path: Path) -> None:
    clock = Clock(now=0.0)
    slow, next_one = (limiter(tmp_path, clock, RateLimit(per_second=1)) for _ in range(2))
    slow.acquire()
    clock.now += 0.1
    slow.answered()
    slow.acquire()
    clock.now += 0.5
    sleeps = next_one.waits()
    assert next(sleeps) == pytest.approx(0.53)
    slow.answered()
    clock.now += 0.53

    assert next(sleeps) == pytest.approx(0.39)


def test_a_block_holds_those_too_that_sleep_already_and_keeps_their_order(tmp_path: Path) -> None:
    clock = Clock(now=0.0)
    limit = RateLimit(per_second=1)
    first, second, third = (limiter(tmp_path, clock, limit).waits() for _ in range(3))
    assert next(first, None) is None
    next(second)
    clock.now = next(third)

    limiter(tmp_path, clock, limit).block(30)

    assert [next(third), next(second)] == [pytest.approx(31.03), pytest.approx(30)]


def test_a_process_that_dies_while_it_waits_costs_its_own_permit_and_no_other(tmp_path: Path) -> None:
    clock = Clock(now=0.0)
    limit = RateLimit(per_second=1)
    limiter(tmp_path, clock, limit).acquire()
    assert next(limiter(tmp_path, clock, limit).waits()) == pytest.approx(1.03)  # and it never comes back

    given_at = permits(limiter(tmp_path, clock, limit), clock, 3)

    assert given_at == [pytest.approx(2.06), pytest.approx(3.09), pytest.approx(4.12)]
    clock.now += 100
    assert limiter(tmp_path, clock, limit).acquire() == 0.0


def test_a_block_holds_everybody_back_and_a_shorter_one_does_not_shorten_it(tmp_path: Path) -> None:
    clock = Clock()
    limit = RateLimit(per_second=100)
    limiter(tmp_path, clock, limit).block(30)
    limiter(tmp_path, clock, limit).block(5)

    assert limiter(tmp_path, clock, limit).acquire() == 30


def test_a_block_of_more_than_an_hour_holds_for_an_hour(tmp_path: Path) -> None:
    clock = Clock()
    one = limiter(tmp_path, clock, RateLimit(per_second=100))
    one.block(1e9)
    waiting = [limiter(tmp_path, clock, RateLimit(per_second=100)).waits() for _ in range(2)]

    assert [next(waits) for waits in waiting] == [3600, pytest.approx(3600.0103)]


@pytest.mark.parametrize("seconds", [61.0, 3_000.0, 3_600.0])
def test_a_demanded_wait_of_up_to_an_hour_is_not_clamped(tmp_path: Path, seconds: float) -> None:
    clock = Clock(now=0.0)
    one = limiter(tmp_path, clock, RateLimit(per_second=100))
    one.refused(seconds)

    assert one.acquire() == seconds


def test_no_limit_waits_for_nothing_and_is_counted_all_the_same(tmp_path: Path) -> None:
    clock = Clock(now=120.0)
    one = limiter(tmp_path, clock, RateLimit(per_second=20, per_minute=300).scaled(0))

    assert permits(one, clock, 100) == [clock.now] * 100
    one.refused(None)
    one.block(5.0)
    assert permits(one, clock, 1) == [clock.now]
    assert UsageLog(usage_path(one.path)).read(clock.now) == [MinuteOfUse(2, math.inf, 101, 0.0, 1)]


@pytest.mark.parametrize("limit", [RateLimit(), RateLimit(per_second=20, per_minute=300)], ids=["no limit", "a limit"])
def test_a_day_gives_no_more_permits_than_it_may_to_all_together(tmp_path: Path, limit: RateLimit) -> None:
    clock = Clock(now=10 * 86_400.0 - 3.0)
    pair = [limiter(tmp_path, clock, limit, per_day=4) for _ in range(2)]
    for _ in range(2):
        for one in pair:
            one.acquire()
    for one in pair:
        with pytest.raises(
            RequestBudgetSpent, match=r"permits: .* sent 4 requests today .*a day may have 4\. Wait for"
        ):
            one.acquire()
    limiter(tmp_path, clock, limit).acquire()
    clock.now = 10 * 86_400.0
    pair[0].acquire()

    log = UsageLog(usage_path(pair[0].path))
    assert [log.used_on_day_of(day * 86_400.0 + 5) for day in (8, 9, 10, 11)] == [0, 5, 1, 0]


def test_a_day_is_counted_whatever_else_lies_in_the_ring(tmp_path: Path) -> None:
    log = UsageLog(tmp_path / "usage")
    for day in range(1, 10):
        for minute in (0, 1, 700, 1_439):
            log.add(day * 86_400 + minute * 60, 300, used=day)

    assert [log.used_on_day_of(day * 86_400.0) // 4 for day in range(1, 11)] == [0, 0, 3, 4, 5, 6, 7, 8, 9, 0]


NOT_TO_BE_WRITTEN = {
    "a file in place of the folder": lambda folder: folder.write_text(""),
    "a folder in place of the account": lambda folder: (folder / "permits").mkdir(parents=True),
    "a folder in place of the record": lambda folder: (folder / "permits.usage").mkdir(parents=True),
}


@pytest.mark.parametrize("spoil", NOT_TO_BE_WRITTEN.values(), ids=NOT_TO_BE_WRITTEN)
@pytest.mark.parametrize("limit", [RateLimit(), RateLimit(per_second=20)], ids=["no limit", "a limit"])
def test_what_cannot_be_counted_is_not_sent_and_says_where_it_lies(
    tmp_path: Path, limit: RateLimit, spoil: Callable[[Path], object]
) -> None:
    spoil(tmp_path / "limits")
    one = limiter(tmp_path / "limits", Clock(), limit)
    for act in (one.acquire, lambda: one.refused(None)):
        with pytest.raises(DestinationUnwritable, match=rf"requests sent, {tmp_path}/limits.*, cannot be .*Make room"):
            act()


def test_a_full_disk_gives_no_permit_and_says_so(tmp_path: Path) -> None:
    one = limiter(tmp_path, Clock(), RateLimit(per_second=20))
    (tmp_path / "permits.usage").symlink_to("/dev/full")
    with pytest.raises(DestinationUnwritable, match=r"permits.*, cannot be written \(No space left on device\)"):
        one.acquire()


@pytest.mark.parametrize(
    ("limit", "factor", "expected"),
    [
        (RateLimit(per_second=20, per_minute=300), 0.5, RateLimit(per_second=10, per_minute=150)),
        (RateLimit(per_second=20), 2.0, RateLimit(per_second=40)),
        (RateLimit(per_minute=60), 0, RateLimit()),
        (RateLimit(), 3.0, RateLimit()),
    ],
)
def test_a_limit_scales(limit: RateLimit, factor: float, expected: RateLimit) -> None:
    assert limit.scaled(factor) == expected


def whole_file(folder: Path, clock: Clock) -> bytes:
    """The file of an account that is blocked for an hour."""
    one = limiter(folder, clock, RateLimit(per_second=1, per_minute=60))
    one.acquire()
    one.block(3600)
    return (folder / "permits").read_bytes()


@pytest.mark.parametrize(
    "content",
    [b"", b"\x00\x01\x02", struct.pack("<3d", 4_000.0, 1_010.0, 1_020.0), b"HEADRA2\x7f" + bytes(200)],
    ids=["empty", "cut off", "of the first version", "of zeros"],
)
def test_a_file_that_cannot_be_read_is_begun_anew(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "permits").write_bytes(content)
    one = limiter(tmp_path, Clock(), RateLimit(per_second=1, per_minute=60))

    assert [one.acquire(), one.acquire()] == [0.0, pytest.approx(1.03)]


def test_a_damaged_file_is_begun_anew_wherever_the_damage_is(tmp_path: Path) -> None:
    clock = Clock()
    whole = whole_file(tmp_path, clock)
    one = limiter(tmp_path, clock, RateLimit(per_second=1, per_minute=60))
    damaged = [whole[:place] + bytes([whole[place] ^ 0x41]) + whole[place + 1 :] for place in range(len(whole))]
    for content in (*damaged, *(whole[:length] for length in range(len(whole)))):
        (tmp_path / "permits").write_bytes(content)
        assert next(one.waits(), None) is None


def test_a_file_of_an_earlier_boot_holds_nobody(tmp_path: Path) -> None:
    whole_file(tmp_path, Clock(now=1_000.0))
    after = Clock(now=30.0)
    one = RateLimiter(
        RateLimit(per_second=1, per_minute=60),
        tmp_path / "permits",
        clock=after,
        sleep=after.sleep,
        wall=lambda: after() + 1_500,
    )

    assert one.acquire() == 0.0


def test_the_first_version_takes_a_file_of_this_one_for_stale() -> None:
    assert struct.unpack("<d", b"HEADRA2\x7f")[0] > 1e300


def test_the_file_stays_small_and_private(tmp_path: Path) -> None:
    clock = Clock()
    permits(limiter(tmp_path, clock, RateLimit(per_second=100, per_minute=60)), clock, 300)
    status = (tmp_path / "permits").stat()

    assert (status.st_size, status.st_mode & 0o777) == (8 * 100 + 84, 0o600)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    per_second=st.floats(0.3, 50),
    per_minute=st.floats(2, 300),
    pauses=st.lists(st.floats(0, 20), min_size=5, max_size=60),
)
def test_however_requests_come_no_window_is_broken(
    tmp_path_factory: pytest.TempPathFactory, per_second: float, per_minute: float, pauses: list[float]
) -> None:
    clock = Clock()
    one = limiter(tmp_path_factory.mktemp("limit"), clock, RateLimit(per_second, per_minute))
    given_at = []
    for pause in pauses:
        clock.now += pause
        one.acquire()
        given_at.append(clock.now)

    assert most_in_any_window(given_at, 1.0) <= math.ceil(per_second)
    assert most_in_any_window(given_at, 60.0) <= per_minute


# Many processes, a server that counts, and other programs


@dataclass
class Account:
    """Processes and a server with the vendor's windows, in a time of their own; everything is drawn from `delays`.

    A process asks for a permit, wakes up to `late_seconds` late, and its request is on its way for a while.
    """

    folder: Path
    limit: RateLimit = RateLimit(per_second=20, per_minute=300)  # noqa: RUF009 -- a value
    windows: Sequence[tuple[int, float]] = ((20, 1), (300, 60))
    delays: Sequence[float] = (0.004, 0.009, 0.006, 0.011, 0.002)
    late_seconds: float = 0.002
    clock: Clock = field(default_factory=lambda: Clock(now=0.0))
    accepted: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    by_process: Counter[int] = field(default_factory=Counter)
    longest_wait_seconds: float = 0.0

    def run(
        self,
        seconds: float,
        starts: Sequence[float] = (0.0,) * 8,
        *,
        thinks: Sequence[float] = (0.0,),
        others: Sequence[float] = (),
        dies_at: Sequence[float] = (),
        blocks: Sequence[tuple[float, float]] = (),
        hears: bool = True,
    ) -> None:
        """Let processes that begin at `starts` and pause for `thinks` send as much as they may.

        At each of `dies_at` one that waits dies and begins again; at each of `blocks` somebody blocks all. The server
        is asked by `others` too. Without `hears` nobody listens to what it tells about the budget.
        """
        server = SlidingWindows(self.windows, self.clock)
        limiters = [limiter(self.folder, self.clock, self.limit) for _ in starts]
        waiting: dict[int, Iterator[float]] = {}
        asked_at: dict[int, float] = {}
        lives: Counter[int] = Counter()
        delays, pauses = itertools.cycle(self.delays), itertools.cycle(thinks)
        numbers = itertools.count()
        events: list[tuple[float, int, str, int, object]] = []

        def later(at: float, what: str, process: int = 0, about: object = None) -> None:
            heapq.heappush(events, (at, next(numbers), what, process, about))

        for process, start in enumerate(starts):
            later(start, "ask", process, 0)
        for at in others:
            later(at, "other")
        for process, at in enumerate(dies_at):
            later(at, "die", process % len(starts))
        for at, length in blocks:
            later(at, "block", 0, length)
        while events and events[0][0] <= seconds:
            at, _, what, process, about = heapq.heappop(events)
            self.clock.now = max(self.clock.now, at)
            if what == "ask" and about == lives[process]:
                asked_at.setdefault(process, at)
                wait = next(waiting.setdefault(process, limiters[process].waits()), None)
                if wait is not None:
                    later(at + wait + next(delays) * self.late_seconds / max(self.delays), "ask", process, about)
                    continue
                del waiting[process]
                self.longest_wait_seconds = max(self.longest_wait_seconds, at - asked_at.pop(process))
                later(at + next(delays), "arrive", process, about)
            elif what == "arrive":
                verdict = server.admit()
                limiters[process].answered()
                (self.refused if verdict.is_refused else self.accepted).append(at)
                self.by_process[process] += not verdict.is_refused
                if verdict.is_refused:
                    limiters[process].refused(max(0.0, verdict.reset - at))
                elif hears:
                    limiters[process].told(verdict.limit, verdict.remaining)
                    if not verdict.remaining:
                        limiters[process].block(max(0.0, verdict.reset - at))
                later(at + next(pauses), "ask", process, about)
            elif what == "other":
                server.admit()
            elif what == "die" and process in waiting:
                lives[process] += 1
                del waiting[process], asked_at[process]
                later(at, "ask", process, lives[process])
            elif what == "block":
                limiters[0].block(float(str(about)))


def test_eight_processes_get_95_per_cent_of_both_limits_and_no_refusal_in_a_quarter_of_an_hour(tmp_path: Path) -> None:
    account = Account(tmp_path)
    account.run(900)

    assert account.refused == []
    assert len(account.accepted) >= 0.95 * 300 * 15
    assert max(account.by_process.values()) <= 1.05 * min(account.by_process.values())


def test_eight_processes_get_95_per_cent_of_a_limit_by_the_second_and_no_refusal(tmp_path: Path) -> None:
    account = Account(tmp_path, RateLimit(per_second=20), ((20, 1),))
    account.run(100, hears=False)

    assert account.refused == []
    assert len(account.accepted) >= 0.95 * 20 * 100
    assert max(account.by_process.values()) <= 1.05 * min(account.by_process.values())


HOWEVER = {
    "starts": st.lists(st.floats(0, 3), min_size=8, max_size=8),
    "thinks": st.lists(st.floats(0, 2), min_size=1, max_size=7),
    "late_seconds": st.floats(0, 4.0),
    "dies_at": st.lists(st.floats(0, 60), max_size=8),
    "blocks": st.lists(st.tuples(st.floats(0, 60), st.floats(0, 10)), max_size=3),
}


@settings(max_examples=40, deadline=None, derandomize=True)
@given(way_seconds=st.floats(0.001, 0.5), jitter=st.lists(st.floats(0, 0.015), min_size=1, max_size=9), **HOWEVER)
@example(way_seconds=0.25, jitter=[0.0125, 0.0], starts=[0, 0, 0, 0, 0, 1, 2, 0.25], thinks=[0], late_seconds=0,
         dies_at=[], blocks=[])  # fmt: skip
def test_however_processes_come_wake_and_die_the_server_refuses_none_and_nobody_starves(
    tmp_path_factory: pytest.TempPathFactory,
    way_seconds: float,
    jitter: list[float],
    starts: list[float],
    thinks: list[float],
    late_seconds: float,
    dies_at: list[float],
    blocks: list[tuple[float, float]],
) -> None:
    delays = [way_seconds + seconds for seconds in jitter]
    account = Account(tmp_path_factory.mktemp("account"), delays=delays, late_seconds=late_seconds)
    account.run(70, starts, thinks=thinks, dies_at=dies_at, blocks=blocks)

    assert account.refused == []
    assert most_in_any_window(account.accepted, 1.0) <= 20
    assert most_in_any_window(account.accepted, 60.0) <= 300
    assert account.longest_wait_seconds <= 60.6 + sum(length for _, length in blocks) + 8 * (late_seconds + 0.6)
    assert len(account.by_process) == 8


@settings(max_examples=40, deadline=None, derandomize=True)
@given(delays=st.lists(st.floats(0.001, 0.5), min_size=1, max_size=9), **HOWEVER)
@example(delays=[0.375, 0.25], starts=[0, 0, 0, 0, 0, 1, 2, 0.25], thinks=[0], late_seconds=0, dies_at=[], blocks=[])
def test_where_requests_are_on_their_way_for_very_different_times_few_are_refused_and_the_account_goes_on(
    tmp_path_factory: pytest.TempPathFactory,
    delays: list[float],
    starts: list[float],
    thinks: list[float],
    late_seconds: float,
    dies_at: list[float],
    blocks: list[tuple[float, float]],
) -> None:
    """Nobody can tell beforehand that a request will overtake the one before it by more than the margin of a second."""
    account = Account(tmp_path_factory.mktemp("account"), delays=delays, late_seconds=late_seconds)
    account.run(70, starts, thinks=thinks, dies_at=dies_at, blocks=blocks)

    assert len(account.refused) <= 8
    assert len(account.by_process) == 8


def test_no_permit_is_lost_where_processes_only_wait(tmp_path: Path) -> None:
    account = Account(tmp_path, RateLimit(per_second=20), ((20, 1),), late_seconds=0.015)
    account.run(50, hears=False)

    assert len(account.accepted) >= 50 * 20 / 1.05


def test_what_another_program_takes_of_the_budget_is_left_to_it(tmp_path: Path) -> None:
    others = [number * 0.6 for number in range(1_000)]
    deaf, hearing = Account(tmp_path / "deaf"), Account(tmp_path / "hearing")
    deaf.run(600, others=others, hears=False)
    hearing.run(600, starts=(30.0,) * 8, others=others)

    assert len(deaf.refused) > 10
    assert hearing.refused == []
    assert len(hearing.accepted) >= 0.8 * 200 * 9.5


def test_the_server_corrects_a_host_that_has_forgotten_what_it_sent(tmp_path: Path) -> None:
    clock = Clock()
    one = limiter(tmp_path, clock, RateLimit(per_second=20, per_minute=300))
    one.acquire()
    one.told(300, 40)
    given_at = permits(one, clock, 30)

    assert given_at[-1] - given_at[0] > 10


@pytest.mark.parametrize(
    ("limit", "remaining"),
    [(300, 299), (300, 270), (300, 400), (20, 3)],
    ids=["ours alone", "ours on their way", "a budget that grew", "of a second"],
)
def test_an_answer_that_says_nothing_of_others_slows_nobody(tmp_path: Path, limit: float, remaining: float) -> None:
    clock = Clock()
    one = limiter(tmp_path, clock, RateLimit(per_second=20, per_minute=300))
    permits(one, clock, 20)
    one.told(limit, remaining)
    given_at = permits(one, clock, 40)

    assert given_at[-1] - given_at[0] == pytest.approx(39 * 1.03 / 20)


# After a refusal


def gaps(one: RateLimiter, clock: Clock, seconds: float) -> list[float]:
    """The waits between the permits of some seconds."""
    end, given_at = clock.now + seconds, [clock.now]
    while given_at[-1] < end:
        given_at += permits(one, clock, 1)
    return [later - earlier for earlier, later in itertools.pairwise(given_at[1:])]


def test_after_a_refusal_everybody_goes_at_half_the_pace_and_within_a_minute_at_the_whole(tmp_path: Path) -> None:
    clock = Clock(now=0.0)
    limit = RateLimit(per_second=10)
    refused, other = limiter(tmp_path, clock, limit), limiter(tmp_path, clock, limit)
    refused.acquire()
    refused.refused(None)

    slowed = gaps(other, clock, 49)
    clock.now = 60.0
    recovered = gaps(other, clock, 10)

    assert slowed[0] == pytest.approx(0.206, rel=0.02)
    assert slowed == sorted(slowed, reverse=True)
    assert recovered == [pytest.approx(0.103)] * len(recovered)


def test_a_limit_by_the_minute_is_slowed_too(tmp_path: Path) -> None:
    clock = Clock(now=0.0)
    one = limiter(tmp_path, clock, RateLimit(per_minute=60))
    one.acquire()
    one.refused(None)

    assert gaps(one, clock, 10)[0] == pytest.approx(2.02, rel=0.05)


def test_after_a_demanded_wait_the_pace_grows_from_its_end(tmp_path: Path) -> None:
    clock = Clock(now=0.0)
    one = limiter(tmp_path, clock, RateLimit(per_second=10))
    one.acquire()
    one.refused(30)

    assert one.standing() == Standing(30.0, 0.5)
    clock.now = 55.0
    assert one.standing() == Standing(0.0, 0.75)
    clock.now = 80.0
    assert one.standing() == Standing(0.0, 1.0)


def test_refusals_of_requests_that_were_on_their_way_together_slow_once(tmp_path: Path) -> None:
    clock = Clock()
    eight = [limiter(tmp_path, clock, RateLimit(per_second=10)) for _ in range(8)]
    for one in eight:
        one.acquire()
    for one in eight:
        one.refused(None)
    assert eight[0].standing() == Standing(0.0, 0.5)

    eight[0].acquire()
    eight[0].refused(None)
    assert eight[0].standing().pace_share == pytest.approx(0.25, abs=0.01)


def test_however_often_it_is_refused_an_account_is_not_stopped(tmp_path: Path) -> None:
    clock = Clock()
    one = limiter(tmp_path, clock, RateLimit(per_second=10))
    for _ in range(50):
        one.acquire()
        one.refused(0)

    assert one.standing().pace_share == 1 / 16


def test_looking_at_an_account_changes_nothing(tmp_path: Path) -> None:
    clock = Clock()
    permits(limiter(tmp_path, clock, RateLimit(per_second=100, per_minute=60)), clock, 70)
    before = (tmp_path / "permits").read_bytes()
    assert limiter(tmp_path, clock, RateLimit()).standing() == Standing(0.0, 1.0)

    assert (tmp_path / "permits").read_bytes() == before


# What was used


def test_use_waits_and_refusals_are_counted_by_the_minute(tmp_path: Path) -> None:
    clock = Clock(now=120.0)
    pair = [limiter(tmp_path, clock, RateLimit(per_second=1, per_minute=30)) for _ in range(2)]
    for one in pair:
        one.acquire()
    clock.now = 185.0
    pair[1].acquire()
    pair[1].refused(None)

    assert UsageLog(usage_path(tmp_path / "permits")).read(clock.now) == [
        MinuteOfUse(2, 30.0, 2, clock.slept[0], 0),
        MinuteOfUse(3, 30.0, 1, 0.0, 1),
    ]


def test_the_record_of_use_forgets_what_is_older_than_seven_days_and_stays_small(tmp_path: Path) -> None:
    log = UsageLog(tmp_path / "usage")
    for day in range(30):
        for minute in range(0, 1_440, 7):
            log.add(day * 86_400 + minute * 60 + 60, 300, used=1)
    now = 30 * 86_400.0
    kept = log.read(now)

    assert (kept[0].minute > 23 * 1_440, len(kept)) == (True, 7 * 206)
    assert log.path.stat().st_size <= 7 * 1_440 * 40
    assert log.path.stat().st_mode & 0o777 == 0o600


def test_a_damaged_record_of_use_stops_nobody(tmp_path: Path) -> None:
    log = UsageLog(tmp_path / "usage")
    log.path.write_bytes(b"\xff" * 5_003)
    log.add(120, 300, used=2)

    assert log.read(130) == [MinuteOfUse(2, 300, 2, 0.0, 0)]


def test_what_a_minute_has_left_is_told_and_others_have_their_part_of_it(tmp_path: Path) -> None:
    clock = Clock()
    one = limiter(tmp_path, clock, RateLimit(per_second=20, per_minute=300))
    left = [one.standing().left_in_minute]
    for _ in range(5):
        one.acquire()
    left.append(one.standing().left_in_minute)
    one.answered()
    one.told(300, 195)  # a hundred more than ours
    one.acquire()
    left.append(one.standing().left_in_minute)
    clock.now += 61
    left.append(one.standing().left_in_minute)
    assert left == [300, 295, 184, 300]
    assert limiter(tmp_path / "other", clock, RateLimit(per_second=5)).standing().left_in_minute is None


def test_a_minute_that_is_used_up_has_none_left(tmp_path: Path) -> None:
    clock = Clock()
    one = limiter(tmp_path, clock, RateLimit(per_minute=3))
    permits(one, clock, 3)
    assert one.standing().left_in_minute == 0
