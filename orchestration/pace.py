"""When daily partitions are read: one tick a day, in a stated time zone, and the UTC day that it stands for."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

SETTLED = timedelta(hours=1)
"""How long a day is over before it is read. Vendors list a record minutes after they have dated it: the longest
`lookback` that a stream declares is five minutes."""
GRACE = timedelta(hours=4)
"""How long after its tick a day has to be there, and is missed when it is not."""


@dataclass(frozen=True, slots=True)
class DailyTick:
    """A local time of the day at which the newest UTC day that is over is read.

    The day is found from the tick's local date, less as many days as make it be over, and settled, whatever the season:
    at half past one in Berlin that is two, for in summer yesterday's UTC day goes on for half an hour. Taking the
    newest day at the moment of the tick instead would read one day twice in spring and leave one out in autumn.
    """

    time: time = time(1, 30)
    timezone: str = "UTC"

    @property
    def cron(self) -> str:
        """The tick as a cron line, to be read in `timezone`."""
        return f"{self.time.minute} {self.time.hour} * * *"

    @property
    def deadline_cron(self) -> str:
        """When the day has to be there, in `timezone`."""
        return f"{self.time.minute} {(self.time.hour + int(GRACE / timedelta(hours=1))) % 24} * * *"

    def day(self, tick: datetime) -> date:
        """Return the UTC day that a tick reads; it has been over for an hour at least."""
        local = tick.astimezone(ZoneInfo(self.timezone)).date()
        return local - timedelta(days=self._days_back(local.year))

    def due(self, day: date) -> datetime:
        """Return when a UTC day has to be there (UTC): from then on it is missed."""
        local = day + timedelta(days=self._days_back(day.year))
        return datetime.combine(local, self.time, ZoneInfo(self.timezone)).astimezone(UTC) + GRACE

    def _days_back(self, year: int) -> int:
        zone = ZoneInfo(self.timezone)
        offsets = (datetime(year, month, 1, tzinfo=zone).utcoffset() or timedelta(0) for month in range(1, 13))
        since_midnight = timedelta(hours=self.time.hour, minutes=self.time.minute)
        return 1 - (since_midnight - max(offsets) - SETTLED) // timedelta(days=1)
