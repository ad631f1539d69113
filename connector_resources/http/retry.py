"""What is tried again, how often, and after which wait: values for tenacity.

Only what can get better is tried again: a connection that fails or breaks, a 429, a 5xx. The server's own word comes
first (`Retry-After` in seconds or as a date, `X-Ratelimit-Reset` as seconds or as an epoch), else the wait is drawn
from the whole of a growing interval ("full jitter"), so that processes that failed together do not come back together.
Tries and total time are bounded.
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import tenacity

from connector_resources.errors import RateLimited, RequestRetryable
from connector_resources.words import duration

_EPOCH_FROM = 1_000_000_000
"""A reset value at least this large is an instant, a smaller one a number of seconds."""
_EPOCH_MS_FROM = 1_000_000_000_000
"""A reset value at least this large is an instant in milliseconds."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how long a request is tried.

    `longest_wait_seconds` bounds one wait that the server demands: a longer one is not slept but raised as
    `RateLimited`, so that the run can give its place to another.
    """

    tries: int = 6
    total_seconds: float = 300.0
    first_wait_seconds: float = 1.0
    longest_wait_seconds: float = 60.0

    def retrying(
        self,
        sleep: Callable[[float], None],
        clock: Callable[[], float] = time.monotonic,
        tell: Callable[[str], None] = lambda line: None,
    ) -> tenacity.Retrying:
        """Return the tenacity loop of this policy; a wait that would end after `total_seconds` is not begun.

        Before each wait `tell` is told why the try has failed, and when the next one comes.
        """
        return tenacity.Retrying(
            stop=tenacity.stop_after_attempt(self.tries) | _OutOfTime(clock() + self.total_seconds, clock),
            wait=_DemandedOrJitter(self.first_wait_seconds, self.longest_wait_seconds),
            retry=tenacity.retry_if_exception(_is_worth_another_try),
            sleep=sleep,
            before_sleep=lambda state: tell(self._next_try(state)),
            reraise=True,
        )

    def _next_try(self, state: tenacity.RetryCallState) -> str:
        error = state.outcome.exception() if state.outcome is not None else None
        what = error.what if isinstance(error, TryAgain) else type(error).__name__
        seconds = state.upcoming_sleep
        wait = f"{seconds:.1f} s" if seconds < 10 else duration(seconds)
        return f"{what}; try {state.attempt_number + 1} of {self.tries} in {wait}."


class TryAgain(RequestRetryable):
    """One failed try: `what` happened, and what is to be said beside that if it was the last.

    `wait_seconds` is what the server demands, None where it demands nothing.
    """

    def __init__(self, what: str, at_last: str = "", *, status: int | None, wait_seconds: float | None) -> None:
        super().__init__(f"{what}{at_last}", status=status)
        self.what = what
        self.wait_seconds = wait_seconds


@dataclass(frozen=True, slots=True)
class _OutOfTime(tenacity.stop.stop_base):
    end: float
    clock: Callable[[], float]

    def __call__(self, retry_state: tenacity.RetryCallState) -> bool:
        return self.clock() + retry_state.upcoming_sleep > self.end


def _is_worth_another_try(error: BaseException) -> bool:
    return isinstance(error, TryAgain) and not isinstance(error, RateLimited)


@dataclass(frozen=True, slots=True)
class _DemandedOrJitter(tenacity.wait.wait_base):
    first_wait_seconds: float
    longest_wait_seconds: float

    def __call__(self, retry_state: tenacity.RetryCallState) -> float:
        error = retry_state.outcome.exception() if retry_state.outcome is not None else None
        if isinstance(error, TryAgain) and error.wait_seconds:  # "at once", said with a refusal, is no advice
            return error.wait_seconds
        jitter = tenacity.wait_random_exponential(multiplier=self.first_wait_seconds, max=self.longest_wait_seconds)
        return jitter(retry_state)


def demanded_wait(headers: Mapping[str, str], now: Callable[[], float] = time.time) -> float | None:
    """Return how many seconds the server asks to wait, None where it does not say.

    `Retry-After` (RFC 9110, 10.2.3) wins over `X-Ratelimit-Reset`; a time that has passed is a wait of 0. What cannot
    be read says nothing. Header names are lower case.
    """
    if (after := headers.get("retry-after")) is not None:
        if (seconds := _number(after)) is not None:
            return max(0.0, seconds)
        try:
            return max(0.0, _epoch(parsedate_to_datetime(after)) - now())
        except (ValueError, OverflowError):
            return None
    return _reset_wait(headers.get("x-ratelimit-reset"), now)


def exhausted_wait(headers: Mapping[str, str], now: Callable[[], float] = time.time) -> float | None:
    """Return how long to wait before the next request where an answer says that the budget is spent, else None."""
    remaining = _number(headers.get("x-ratelimit-remaining", ""))
    if remaining is None or remaining > 0:
        return None
    return _reset_wait(headers.get("x-ratelimit-reset"), now)


def budget_told(headers: Mapping[str, str]) -> tuple[float, float] | None:
    """Return the limit that an answer tells and how many requests of it remain; None where it does not tell both."""
    limit = _number(headers.get("x-ratelimit-limit", ""))
    remaining = _number(headers.get("x-ratelimit-remaining", ""))
    return None if limit is None or remaining is None else (limit, max(0.0, remaining))


def _reset_wait(reset: str | None, now: Callable[[], float]) -> float | None:
    if reset is None:
        return None
    value = _number(reset)
    if value is None:
        try:
            value = _epoch(datetime.fromisoformat(reset))
        except (ValueError, OverflowError):
            return None
    if value >= _EPOCH_MS_FROM:
        value /= 1000
    return max(0.0, value - now() if value >= _EPOCH_FROM else value)


def _number(text: str) -> float | None:
    """Read a number; None for any other text, and for "inf" and "nan", which are no time to wait."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _epoch(instant: datetime) -> float:
    """Return the seconds since 1970 of an instant; one without a zone is in UTC."""
    return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).timestamp()
