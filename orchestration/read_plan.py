"""What a run is going to ask of an API, told before it asks: from what runs have cost, and what the account has left.

The estimate is what the run that was most like this one has cost, in proportion: of as many days, or under as many
parents. A run is refused by it before its first request. What it gets wrong, the count makes good: no permit is given
beyond the budget (`RateLimiter.per_day`), and a reading that is stopped there is gone on with, never landed in part.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import dagster as dg

from connector_resources.errors import RequestBudgetSpent
from connector_resources.http.rate_limit import MORE_REQUESTS
from connector_resources.resource import HttpSource, Source
from connector_resources.spool import OnDisk
from connector_resources.streams import Slice, Stream
from connector_resources.words import counted

_RECENT_MATERIALIZATIONS = 40
"""Each is a partition, so these may be those of one run over a range."""


@dataclass(frozen=True, slots=True)
class Past:
    """What a run has cost: requests for so many partitions, under so many parents (0 where the stream has none)."""

    requests: int
    partitions: int
    parents: int


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """What a run is going to ask for one stream.

    `requests` is what is expected, None where nothing is known. `per_minute` is how many an account may send at most,
    `used_today` what this host has sent since midnight (UTC), `budget` how many a day may have, 0 for any number.
    """

    stream: str
    partitions: Sequence[str]
    requests: int | None
    basis: str
    per_minute: float
    used_today: int
    budget: int

    @property
    def minutes(self) -> float | None:
        """How long the requests take at the allowed rate, if the vendor is quick; None where nothing is known."""
        return None if self.requests is None else self.requests / self.per_minute

    def __str__(self) -> str:
        days = self.partitions[0] if len(self.partitions) == 1 else f"{self.partitions[0]} … {self.partitions[-1]}"
        count = f"{counted(len(self.partitions), 'partition')} ({days})"
        pace = "" if math.isinf(self.per_minute) else f" at {self.per_minute:,.0f} a minute"
        if self.requests is None or self.minutes is None:
            cost = f"nobody knows how many requests ({self.basis}){pace}"
        else:
            cost = f"about {counted(self.requests, 'request')} ({self.basis}), {_minutes(self.minutes)}{pace}"
        left = f"; {self.used_today:,} of today's {self.budget:,} are used" if self.budget else ""
        return f"{self.stream}, the plan: {count}, {cost}{left}."

    def metadata(self) -> dict[str, Any]:
        """Return the plan as Dagster shows it."""
        known: dict[str, Any] = {"expected_requests_basis": self.basis}
        if self.requests is not None and self.minutes is not None:
            known |= {"expected_requests": self.requests, "expected_minutes": round(self.minutes, 2)}
        if self.budget:
            known |= {"requests_used_today": self.used_today, "daily_request_budget": self.budget}
        return known

    @property
    def left_today(self) -> int:
        """How many requests the day has left; means nothing without a budget."""
        return max(self.budget - self.used_today, 0)

    @property
    def is_beyond_budget(self) -> bool:
        """Whether the requests that are expected, one where nobody knows, are more than what the day has left."""
        expected = 1 if self.requests is None else self.requests
        return bool(self.budget) and expected > self.left_today

    def after(self, found: OnDisk) -> "ReadPlan":
        """Return the plan of what is left to ask, where each page on disk was a request at least."""
        if found.is_complete:
            return replace(self, requests=0)
        return self if self.requests is None else replace(self, requests=max(self.requests - found.pages, 1))

    def require_budget(self) -> None:
        """Raise RequestBudgetSpent where the requests that are expected are more than what the day has left."""
        if self.is_beyond_budget:
            needed = (
                "an unknown number of requests"
                if self.requests is None
                else f"about {counted(self.requests, 'request')}"
            )
            raise RequestBudgetSpent(
                f"{self.stream}: this needs {needed}, and today (UTC) has {self.left_today:,} of "
                f"{self.budget:,} left. Nothing was asked. Read fewer days, or: "
                f"{MORE_REQUESTS[0].lower()}{MORE_REQUESTS[1:]}"
            )


def read_plan(
    instance: dg.DagsterInstance, source: Source, stream: Stream, partitions: Sequence[str], slice: Slice, now: datetime
) -> ReadPlan:
    """Return the plan of a run that reads `slice` for `partitions`."""
    name = f"{source.name}.{stream.name}"
    if not isinstance(source, HttpSource):
        return ReadPlan(name, partitions, 0, "it is not read over HTTP", math.inf, 0, 0)
    parents = None if slice.parents is None else len(slice.parents)
    requests, basis = expected(past_runs(instance, dg.AssetKey([source.name, stream.name])), len(partitions), parents)
    budget = source.daily_request_budget
    used = source.requests_on_day_of(now) if budget else 0
    return ReadPlan(name, partitions, requests, basis, source.requests_per_minute(stream), used, budget)


def expected(past: Sequence[Past], partitions: int, parents: int | None) -> tuple[int | None, str]:
    """Return how many requests are to be expected, None for nobody knows, and by what."""
    if parents is not None:
        if parents == 0:
            return 0, "there are no parents to ask for"
        known = [run for run in past if run.parents]
        if not known:
            return parents, "one for each parent at least; it was never read"
        nearest = min(known, key=lambda run: abs(math.log(run.parents / parents)))
        return max(math.ceil(nearest.requests * parents / nearest.parents), parents), (
            f"{nearest.requests:,} for {counted(nearest.parents, 'parent')} before, and {parents:,} now"
        )
    if not past:
        return None, "it was never read"
    nearest = min(past, key=lambda run: abs(math.log(run.partitions / partitions)))
    requests = max(math.ceil(nearest.requests * partitions / nearest.partitions), 1)
    return requests, f"{nearest.requests:,} for {counted(nearest.partitions, 'partition')} before"


def past_runs(
    instance: dg.DagsterInstance, key: dg.AssetKey, materializations: int = _RECENT_MATERIALIZATIONS
) -> Sequence[Past]:
    """Return what the last runs of a stream have cost, the newest first; those that made no request do not count.

    Nor do those that went on with what was on disk: they asked for a part only.
    """
    runs: dict[str, Past] = {}
    for record in instance.fetch_materializations(key, limit=materializations).records:
        said = record.asset_materialization.metadata if record.asset_materialization is not None else {}
        numbers = {name: value.value for name, value in said.items() if isinstance(value, dg.IntMetadataValue)}
        requests, partitions = numbers.get("requests"), numbers.get("partitions_in_run")
        if requests and partitions and not numbers.get("pages_resumed"):
            runs.setdefault(record.run_id, Past(requests, partitions, numbers.get("parents") or 0))
    return list(runs.values())


def _minutes(minutes: float) -> str:
    if minutes == 0:
        return "no time"
    if minutes < 1:
        return f"{max(round(60 * minutes), 1)} s"
    return f"{minutes:,.0f} minutes" if minutes >= 10 else f"{minutes:.1f} minutes"
