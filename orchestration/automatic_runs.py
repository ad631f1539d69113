"""Everything that starts a run by itself, or tells people of one; off unless the settings say on."""

from collections.abc import Collection, Sequence

import dagster as dg

from connector_resources.destinations.duckdb import DuckDB
from connector_resources.environment import Mode
from connector_resources.resource import HttpSource, Source
from orchestration.automation import automation_sensor
from orchestration.catch_up import catch_up_sensor
from orchestration.failure_webhook import failure_webhook
from orchestration.landed_elsewhere import landed_elsewhere
from orchestration.schedules import Streams, daily_schedule, hourly_schedule
from orchestration.settings import Settings


def is_scheduled(source: type[Source], mode: Mode) -> bool:
    """Return whether schedules read a source: live, one with an account only, for made-up rows come when asked for."""
    return mode == "sandbox" or issubclass(source, HttpSource)


def schedules(settings: Settings, streams: Streams, beside: Collection[dg.AssetKey]) -> Sequence[dg.ScheduleDefinition]:
    """Return the daily schedule and the hourly one, which makes the assets `beside` the streams too."""
    return [
        daily_schedule(
            streams,
            settings.start,
            settings.tick,
            lookback_days=settings.lookback_days,
            running=settings.automatic_runs,
        ),
        hourly_schedule(streams, timezone=settings.tick.timezone, running=settings.automatic_runs, beside=beside),
    ]


def sensors(
    settings: Settings, streams: Streams, partitions: dg.DailyPartitionsDefinition, sources: Sequence[type[Source]]
) -> Sequence[dg.SensorDefinition]:
    """Return automation, the catch-up, and where its address is set the webhook for failures."""
    found: list[dg.SensorDefinition] = [
        automation_sensor(running=settings.automatic_runs),
        catch_up_sensor(
            streams,
            partitions,
            settings.tick,
            days=settings.catch_up_days,
            requests_per_day=settings.catch_up_requests_per_day,
            running=settings.automatic_runs,
            elsewhere=landed_elsewhere(DuckDB(settings.database, settings.spools / "temporary")),
        ),
    ]
    if settings.failure_webhook_url:
        secrets = [name for source in sources for name in source.secrets()]
        url, webserver = settings.failure_webhook_url, settings.webserver_url
        found.append(failure_webhook(url, webserver_url=webserver, secrets=secrets))
    return found
