"""What the environment sets for the whole project, read once when the definitions load."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from connector_resources.environment import SANDBOX_DAYS, Mode, day, number, whole
from connector_resources.environment import mode as mode_of
from connector_resources.errors import ConfigurationError
from connector_resources.paths import local
from connector_resources.streams import Stream
from orchestration.pace import DailyTick

_LIVE_START = date(2026, 1, 1)
_SANDBOX_FROM = date(2000, 1, 1)
_MOST_DAYS = 36_500
_MOST_GB = 1e6
_LEAST_MEMORY, _MOST_MEMORY = 16e6, 1e18
"""In bytes: less is too little for the smallest load, and what DuckDB takes for a number ends a little later."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The project's settings.

    `mode` chooses where the sources read: `sandbox` is a local server that keeps the vendors' rules, `live` the
    vendors. Each has its own database file, so their rows never mix. `start` is the first daily partition (UTC); in
    the sandbox, whose data always ends with yesterday, it is 90 days before today. `automatic_runs` says whether
    schedules and sensors are on where nobody has switched them in the web UI. `accounts_file` is None for accounts.toml
    where there is one, `exports_file` for exports.toml.
    """

    mode: Mode
    data_folder: Path
    start: date
    enabled: frozenset[str] = frozenset()
    sandbox_url: str = ""
    sandbox_scale: float = 1.0
    sandbox_limits: float = 1.0
    sandbox_seed: int = 1
    sandbox_today: date = field(default_factory=lambda: datetime.now(UTC).date())
    memory_limit: str = ""
    keep_spools_days: float = 7.0
    keep_spools_bytes: int = 2_000_000_000
    automatic_runs: bool = False
    tick: DailyTick = field(default_factory=DailyTick)
    lookback_days: int = 0
    catch_up_days: int = 14
    catch_up_requests_per_day: int = 5_000
    failure_webhook_url: str = field(default="", repr=False)
    webserver_url: str = ""
    daily_request_budget: int = 0
    owners: tuple[str, ...] = ()
    accounts_file: Path | None = None
    exports_file: Path | None = None

    @property
    def spools(self) -> Path:
        """Where extractions of this mode are kept."""
        return self.data_folder / "spools" / self.mode

    @property
    def database(self) -> Path:
        """The database file of this mode."""
        return self.data_folder / f"{self.mode}.duckdb"

    def selected(self, source: str, streams: Sequence[Stream]) -> list[Stream]:
        """Return the streams that are on: by default or by ENABLED_STREAMS, and the parents those need."""
        wanted: set[str] = set()
        for stream in streams:
            if stream.enabled or self.enabled & {f"{source}.{stream.name}", f"{source}.*"}:
                lineage: Stream | None = stream
                while lineage is not None:
                    wanted.add(lineage.name)
                    lineage = None if lineage.parent is None else lineage.parent.stream
        return [stream for stream in streams if stream.name in wanted]

    def require_known(self, sources: Mapping[str, Sequence[Stream]]) -> None:
        """Raise ConfigurationError where ENABLED_STREAMS names a stream that no source has, listing those it may."""
        optional = {f"{name}.{stream.name}" for name, streams in sources.items() for stream in streams}
        unknown = self.enabled - optional - {f"{name}.*" for name in sources}
        if unknown:
            off = sorted(
                f"{name}.{stream.name}" for name, streams in sources.items() for stream in streams if not stream.enabled
            )
            raise ConfigurationError(
                f"ENABLED_STREAMS names {', '.join(sorted(unknown))}, which is no stream. Off by default and to be "
                f"turned on: {', '.join(off)}, or all of a source, such as {next(iter(sources))}.*."
            )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Read the settings. Raises ConfigurationError, naming the variable and what it may be."""
        mode = mode_of(environment) or "sandbox"
        today = day("SANDBOX_TODAY", environment) or datetime.now(UTC).date()
        if today > datetime.now(UTC).date():
            raise ConfigurationError(f"SANDBOX_TODAY is {today}; it may not lie in the future (UTC).")
        if today < _SANDBOX_FROM:
            raise ConfigurationError(f"SANDBOX_TODAY is {today}; set it to {_SANDBOX_FROM} or a later day.")
        default_start = today - timedelta(days=SANDBOX_DAYS) if mode == "sandbox" else _LIVE_START
        start = day("PARTITIONS_START", environment) or default_start
        if start >= datetime.now(UTC).date():
            raise ConfigurationError(f"PARTITIONS_START is {start}; set it to a day that is over (UTC).")
        names = (name.strip() for name in environment.get("ENABLED_STREAMS", "").split(","))
        return cls(
            mode=mode,
            data_folder=_folder(environment, "DATA_FOLDER", "data"),
            start=start,
            enabled=frozenset(name for name in names if name),
            sandbox_url=environment.get("SANDBOX_URL", ""),
            sandbox_scale=number("SANDBOX_SCALE", 1.0, environment),
            sandbox_limits=number("SANDBOX_LIMITS", 1.0, environment),
            sandbox_seed=whole("SANDBOX_SEED", 1, environment),
            sandbox_today=today,
            memory_limit=_memory(environment, "DUCKDB_MEMORY_LIMIT"),
            keep_spools_days=number("KEEP_SPOOLS_DAYS", 7.0, environment, most=_MOST_DAYS),
            keep_spools_bytes=round(number("KEEP_SPOOLS_GB", 2.0, environment, most=_MOST_GB) * 1e9),
            automatic_runs=_switch(environment, "AUTOMATIC_RUNS"),
            tick=DailyTick(_time(environment, "SCHEDULE_TIME", DailyTick().time), _zone(environment)),
            lookback_days=whole("SCHEDULE_LOOKBACK_DAYS", 0, environment, most=_MOST_DAYS),
            catch_up_days=whole("CATCH_UP_DAYS", 14, environment, most=_MOST_DAYS),
            catch_up_requests_per_day=whole("CATCH_UP_REQUESTS_PER_DAY", 5_000, environment),
            failure_webhook_url=_address(environment, "FAILURE_WEBHOOK_URL"),
            webserver_url=_address(environment, "DAGSTER_WEBSERVER_URL").rstrip("/"),
            daily_request_budget=whole("DAILY_REQUEST_BUDGET", 0, environment),
            owners=_owners(environment),
            accounts_file=_file(environment, "ACCOUNTS_FILE"),
            exports_file=_file(environment, "EXPORTS_FILE"),
        )


def _time(environment: Mapping[str, str], variable: str, default: time) -> time:
    text = environment.get(variable)
    if not text:
        return default
    if re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", text, re.ASCII) is None:
        raise ConfigurationError(f"{variable} is {text!r}; set it to a time of the day as HH:MM.")
    return time.fromisoformat(text)


def _zone(environment: Mapping[str, str]) -> str:
    name = environment.get("SCHEDULE_TIMEZONE") or "UTC"
    try:
        return ZoneInfo(name).key
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:  # the latter two for what cannot be a file's name
        raise ConfigurationError(
            f"SCHEDULE_TIMEZONE is {name!r}; set it to a name of the IANA database, such as UTC or Europe/Berlin."
        ) from error


def _switch(environment: Mapping[str, str], variable: str) -> bool:
    text = environment.get(variable) or "off"
    if text not in ("on", "off"):
        raise ConfigurationError(f"{variable} is {text!r}; set it to on or off.")
    return text == "on"


def _address(environment: Mapping[str, str], variable: str) -> str:
    """Return an address; what is wrong with one is said without it, for that of a webhook is a secret."""
    text = environment.get(variable) or ""
    if text and re.fullmatch(r"https?://[^\s/]\S*", text) is None:
        raise ConfigurationError(f"{variable} is no address; set it to one that begins with https:// or http://.")
    return text


def _folder(environment: Mapping[str, str], variable: str, default: str) -> Path:
    path = local(environment.get(variable) or default, variable)
    lowest = next((each for each in (path, *path.parents) if each.exists()), path)
    if lowest.exists() and not lowest.is_dir():
        raise ConfigurationError(f"{variable} is {str(path)!r}, and {lowest} is no folder; set it to one.")
    return path


def _file(environment: Mapping[str, str], variable: str) -> Path | None:
    path = environment.get(variable)
    return local(path, variable) if path else None


def _memory(environment: Mapping[str, str], variable: str) -> str:
    text = (environment.get(variable) or "").strip()
    if not text:
        return ""
    # Not a percentage, which DuckDB documents and refuses; and it takes less than nothing for no limit.
    size = re.fullmatch(r"(\d+(?:\.\d+)?) ?([KMGT]i?B)", text, re.ASCII | re.IGNORECASE)
    if size is None or not _LEAST_MEMORY <= float(size[1]) * _unit(size[2]) <= _MOST_MEMORY:
        raise ConfigurationError(
            f"{variable} is {text!r}; set it to a number and a unit (KB, MB, GB, TB, KiB, MiB, GiB or TiB), such as "
            "256MB, and to 16MB at least."
        )
    return text


def _unit(name: str) -> float:
    """Return how many bytes a unit such as MB or MiB has."""
    return float((1024 if "i" in name.lower() else 1000) ** ("KMGT".index(name[0].upper()) + 1))


def _owners(environment: Mapping[str, str]) -> tuple[str, ...]:
    names = (name.strip() for name in environment.get("ASSET_OWNERS", "").split(","))
    owners = tuple(name for name in names if name)
    for owner in owners:
        if re.fullmatch(r"team:[A-Za-z0-9_-]+|[^\s@]+@[^\s@]+\.[^\s@]+", owner) is None:
            raise ConfigurationError(
                f"ASSET_OWNERS names {owner!r}; an owner is an e-mail address or a team, such as team:crm."
            )
    return owners
