import itertools
import math
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector_resources.http.rate_limit import RateLimit, RateLimiter
from tests.http.fake_api import Clock


def limiter(folder: Path, clock: Clock, limit: RateLimit) -> RateLimiter:
    return RateLimiter(limit, folder / "permits", clock=clock, sleep=clock.sleep)


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


def test_permits_are_reserved_in_order_before_anybody_sleeps(tmp_path: Path) -> None:
    clock = Clock()
    waits: list[float] = []
    limit = RateLimit(per_second=1)
    waiting = [RateLimiter(limit, tmp_path / "permits", clock=clock, sleep=waits.append) for _ in range(4)]

    for one in waiting:
        one.acquire()

    assert waits == [pytest.approx(1.03), pytest.approx(2.06), pytest.approx(3.09)]


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

    assert one.acquire() == 3600


def test_no_limit_waits_for_nothing_and_touches_no_file(tmp_path: Path) -> None:
    clock = Clock()
    one = limiter(tmp_path, clock, RateLimit(per_second=20, per_minute=300).scaled(0))

    assert (permits(one, clock, 100), list(tmp_path.iterdir())) == ([clock.now] * 100, [])


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


@pytest.mark.parametrize(
    "content",
    [b"", b"\x00\x01\x02", struct.pack("<3d", 0.0, 5e6, 6e6), struct.pack("<2d", 0.0, 999.0) + b"half"],
    ids=["empty", "cut off", "of an earlier boot", "cut off after a permit"],
)
def test_a_file_from_another_life_does_not_hold_anybody_for_ever(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "permits").write_bytes(content)
    clock = Clock(now=1_000.0)

    assert limiter(tmp_path, clock, RateLimit(per_second=1, per_minute=60)).acquire() <= 1.03


def test_the_file_stays_small_and_private(tmp_path: Path) -> None:
    clock = Clock()
    permits(limiter(tmp_path, clock, RateLimit(per_second=100, per_minute=60)), clock, 300)
    status = (tmp_path / "permits").stat()

    assert (status.st_size, status.st_mode & 0o777) == (8 * 61, 0o600)


@settings(max_examples=30, deadline=None)
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
