import math
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_resources.errors import RateLimited, RequestRejected
from connector_resources.http.retry import RetryPolicy, TryAgain, budget_told, demanded_wait, exhausted_wait
from tests.http.fake_api import Clock

NOW = 1_700_000_000.0  # 2023-11-14 22:13:20 UTC

RETRY_AFTER: list[tuple[str, float | None]] = [
    ("30", 30.0),
    ("0", 0.0),
    ("1.5", 1.5),
    ("-5", 0.0),
    ("Tue, 14 Nov 2023 22:14:20 GMT", 60.0),
    ("Tue, 14 Nov 2023 23:14:20 +0100", 60.0),
    ("Tue, 14 Nov 2023 22:14:20", 60.0),
    ("Tue, 14 Nov 2023 22:13:00 GMT", 0.0),
    ("soon", None),
    ("", None),
    ("inf", None),
    ("nan", None),
    ("Tue, 99 Nov 2023 22:14:20 GMT", None),
]

RESET: list[tuple[str, float | None]] = [
    ("30", 30.0),
    ("-1", 0.0),
    (str(int(NOW) + 45), 45.0),
    (str(int(NOW) - 45), 0.0),
    (str((int(NOW) + 45) * 1000), 45.0),
    ("2023-11-14T22:14:05Z", 45.0),
    ("2023-11-14T22:14:05", 45.0),
    ("2023-11-15T00:14:05+02:00", 45.0),
    ("later", None),
    ("inf", None),
    ("nan", None),
]


@pytest.mark.parametrize(("text", "expected"), RETRY_AFTER)
def test_retry_after_is_seconds_or_a_date(text: str, expected: float | None) -> None:
    assert demanded_wait({"retry-after": text}, now=lambda: NOW) == expected


@pytest.mark.parametrize(("text", "expected"), RESET)
def test_a_reset_is_seconds_or_an_instant(text: str, expected: float | None) -> None:
    assert demanded_wait({"x-ratelimit-reset": text}, now=lambda: NOW) == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"retry-after": "7", "x-ratelimit-reset": "30"}, 7.0),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "30"}, 30.0),
    ],
)
def test_retry_after_wins_over_a_reset(headers: Mapping[str, str], expected: float | None) -> None:
    assert demanded_wait(headers, now=lambda: NOW) == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "30"}, 30.0),
        ({"x-ratelimit-remaining": "-1", "x-ratelimit-reset": "30"}, 30.0),
        ({"x-ratelimit-remaining": "1", "x-ratelimit-reset": "30"}, None),
        ({"x-ratelimit-remaining": "none", "x-ratelimit-reset": "30"}, None),
        ({"x-ratelimit-remaining": "0"}, None),
        ({"x-ratelimit-reset": "30"}, None),
        ({}, None),
    ],
)
def test_a_budget_is_spent_where_nothing_remains(headers: Mapping[str, str], expected: float | None) -> None:
    assert exhausted_wait(headers, now=lambda: NOW) == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"x-ratelimit-limit": "300", "x-ratelimit-remaining": "299"}, (300.0, 299.0)),
        ({"x-ratelimit-limit": "300", "x-ratelimit-remaining": "-2"}, (300.0, 0.0)),
        ({"x-ratelimit-limit": "300, 20;w=1", "x-ratelimit-remaining": "7"}, None),
        ({"x-ratelimit-limit": "300"}, None),
        ({"x-ratelimit-remaining": "7"}, None),
        ({}, None),
    ],
)
def test_a_budget_is_told_by_its_limit_and_what_remains(
    headers: Mapping[str, str], expected: tuple[float, float] | None
) -> None:
    assert budget_told(headers) == expected


@given(st.text(), st.sampled_from(["retry-after", "x-ratelimit-reset"]))
def test_any_header_is_a_finite_wait_or_none(text: str, name: str) -> None:
    wait_seconds = demanded_wait({name: text}, now=lambda: NOW)

    assert wait_seconds is None or (wait_seconds >= 0 and math.isfinite(wait_seconds))


def failing(
    policy: RetryPolicy, clock: Clock, *errors: Exception, tell: Callable[[str], None] = lambda line: None
) -> None:
    """Run a call that fails with each error in turn, and with the last one for ever."""
    waiting = list(errors)
    for attempt in policy.retrying(clock.sleep, clock, tell):
        with attempt:
            raise waiting.pop(0) if len(waiting) > 1 else waiting[0]


def test_each_try_that_is_followed_by_another_is_told_with_why_and_when() -> None:
    clock, told = Clock(), list[str]()
    lost = TryAgain("no answer", ". Check the network.", status=None, wait_seconds=7)
    waiting = iter([lost, again(30), again(0.04)])

    for attempt in RetryPolicy(tries=4).retrying(clock.sleep, clock, told.append):
        with attempt:
            if (error := next(waiting, None)) is not None:
                raise error

    assert told == [
        "no answer; try 2 of 4 in 7.0 s.",
        "failed; try 3 of 4 in 30 s.",
        "failed; try 4 of 4 in 0.0 s.",
    ]


def test_the_last_try_is_told_by_its_error_alone() -> None:
    told: list[str] = []

    with pytest.raises(TryAgain):
        failing(RetryPolicy(tries=1), Clock(), again(), tell=told.append)

    assert told == []


def again(wait_seconds: float | None = None) -> TryAgain:
    return TryAgain("failed", status=429, wait_seconds=wait_seconds)


@pytest.mark.parametrize("tries", [1, 4, 10])
def test_tries_are_bounded(tries: int) -> None:
    clock = Clock()

    with pytest.raises(TryAgain):
        failing(RetryPolicy(tries=tries, total_seconds=1e9), clock, again())

    assert len(clock.slept) == tries - 1


def test_time_is_bounded_and_no_wait_is_begun_that_would_end_too_late() -> None:
    clock = Clock()

    with pytest.raises(TryAgain):
        failing(RetryPolicy(tries=100, total_seconds=100), clock, again(30))

    assert clock.slept == [30, 30, 30]


def test_waits_double_and_are_drawn_from_their_whole_interval() -> None:
    policy = RetryPolicy(tries=10, total_seconds=1e9, first_wait_seconds=1, longest_wait_seconds=60)
    drawn: list[list[float]] = []
    for _ in range(200):
        clock = Clock()
        with pytest.raises(TryAgain):
            failing(policy, clock, again())
        drawn.append(clock.slept)

    bounds = [1, 2, 4, 8, 16, 32, 60, 60, 60]
    for waits, bound in zip(zip(*drawn, strict=True), bounds, strict=True):
        assert 0 <= min(waits) < 0.2 * bound
        assert 0.8 * bound < max(waits) <= bound


def test_the_servers_word_is_kept_to_the_second() -> None:
    clock = Clock()

    with pytest.raises(TryAgain):
        failing(RetryPolicy(tries=3), clock, again(7), again(9), again())

    assert clock.slept == [7, 9]


def test_a_refusal_that_says_at_once_is_waited_for_all_the_same() -> None:
    clock = Clock()

    with pytest.raises(TryAgain):
        failing(RetryPolicy(tries=5), clock, again(0))

    assert len(clock.slept) == 4
    assert sum(clock.slept) > 0


@pytest.mark.parametrize(
    "error", [RequestRejected("no", status=400), RateLimited("later", wait_seconds=900), ValueError("a bug")]
)
def test_what_cannot_get_better_is_tried_once(error: Exception) -> None:
    clock = Clock()

    with pytest.raises(type(error)):
        failing(RetryPolicy(), clock, error)

    assert clock.slept == []
