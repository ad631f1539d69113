"""What a sandbox is told when it starts."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime

from connector_resources.sandbox.faults import Fault


def today_utc() -> date:
    """Return the day it is now, in UTC."""
    return datetime.now(UTC).date()


@dataclass(frozen=True, slots=True)
class Settings:
    """Size, seed, rules and faults of one sandbox.

    The same settings always give the same data. `today` is the day after the newest record: everything that can
    change did so in the 90 complete UTC days before it. `scale` multiplies the number of records (1.0 is about
    10,000 over all vendors together with Faker's). `limits` multiplies the vendor's rate limits (2.0 allows twice
    as much, 0 switches them off). `latency_seconds` is added to every answer.
    """

    seed: int = 1
    scale: float = 1.0
    limits: float = 1.0
    today: date = field(default_factory=today_utc)
    latency_seconds: float = 0.0
    faults: tuple[Fault, ...] = ()
