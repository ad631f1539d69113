"""The main job: everything materialised in one run, and a table of what is there afterwards.

`python -m orchestration.main_job` reads every stream of every source over the whole range of partitions, then makes
every frame. It leaves with status 1 when a step fails; what the other steps landed is there all the same.
"""

import contextlib
import logging
import os
import sqlite3
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import dagster as dg
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME, SqliteEventLogStorage
from rich.console import Console
from rich.table import Table

from connector_resources.environment import load_env_file
from connector_resources.errors import ConfigurationError, MissingCredential
from connector_resources.progress import IS_PROGRESS, is_watched
from connector_resources.resource import HttpSource
from connector_resources.terminal import bars

_ROOT = Path(__file__).parents[1]


def main() -> int:
    """Materialise everything and print the table; returns the exit status."""
    os.chdir(_ROOT)
    os.environ.setdefault("DAGSTER_HOME", str(_ROOT))
    console = Console()
    try:
        load_env_file(_ROOT / ".env")
        from orchestration.definitions import defs, partitions, settings, sources
    except ConfigurationError as error:
        console.print(str(error), style="red", soft_wrap=True, highlight=False, markup=False)
        return 1

    keys = partitions.get_partition_keys()
    started_at = time.monotonic()
    specs = list(defs.resolve_all_asset_specs())
    console.print(
        f"{len(specs)} assets, {len(keys)} days from {keys[0]} to {keys[-1]} (UTC), "
        f"{'from the sandbox' if settings.mode == 'sandbox' else 'live'}, into {settings.database}",
        soft_wrap=True,
    )
    if missing := _missing_credentials([(defs.resources or {})[source.name] for source in sources]):
        for message in missing:
            console.print(message, style="red", soft_wrap=True, highlight=False)
        console.print(
            "Nothing was read. To read only the accounts you have, select them: "
            "dagster asset materialize -m orchestration.definitions --select 'group:drift' --partition …",
            soft_wrap=True,
            highlight=False,
        )
        return 1
    planned = sum(len(keys) if spec.partitions_def is not None else 1 for spec in specs)
    console.print(f"Dagster notes the {planned:,} partitions that are planned; this takes a while on a slow disk …")
    lines = dg.LoggerDefinition(progress_lines, config_schema={}, description="What a person wants to know of a run.")
    told = dg.Definitions.merge(defs, dg.Definitions(loggers={"console": lines}))
    streams = sum("primary_key" in spec.metadata for spec in specs)
    run_id = str(uuid4())
    with dg.DagsterInstance.get() as instance:
        with bars(console, streams), history_held_open(instance, run_id):
            result = told.resolve_implicit_global_asset_job_def().execute_in_process(
                instance=instance,
                run_id=run_id,
                tags={"dagster/asset_partition_range_start": keys[0], "dagster/asset_partition_range_end": keys[-1]},
                run_config={"loggers": {"console": {"config": {}}}},
                raise_on_error=False,
            )
        names = [spec.key.to_user_string() for spec in specs]
        console.print(_table(instance, result, names, time.monotonic() - started_at))
        for line, style in _checks(result):
            console.print(line, style=style, soft_wrap=True, highlight=False)
    return 0 if result.success else 1


@contextlib.contextmanager
def history_held_open(instance: dg.DagsterInstance, run_id: str) -> Iterator[None]:
    """Keep a connection of our own to the files that Dagster notes a run's events in, where they are SQLite's.

    Dagster opens and closes them for every event, and SQLite writes its log into the file and syncs both whenever the
    last connection is closed: half of the time, and a quarter of the CPU, that noting the results of the checks took.
    """
    storage = instance.event_log_storage
    with contextlib.ExitStack() as held:
        if isinstance(storage, SqliteEventLogStorage):
            for shard in (INDEX_SHARD_NAME, run_id):
                with storage.run_connection(shard):
                    pass  # makes the file
                connection = held.enter_context(contextlib.closing(sqlite3.connect(storage.path_for_shard(shard))))
                connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # SQLite opens the file when asked
        yield


def _missing_credentials(resources: Sequence[Any]) -> list[str]:
    """Return what is not set that the sources need, by the names of the variables."""
    messages: list[str] = []
    for resource in resources:
        source = resource.process_config_and_initialize()
        if isinstance(source, HttpSource):
            for needed in (lambda source=source: source.url, source.authenticator):
                try:
                    needed()
                except MissingCredential as error:
                    messages.append(str(error))
    return messages


def progress_lines(context: dg.InitLoggerContext) -> logging.Logger:
    """Return a logger that writes what assets say and what fails, and leaves Dagster's own events to the web UI.

    Where bars show how far a reading is, lines do not.
    """
    handler = logging.StreamHandler()
    handler.setLevel(logging.INFO)
    handler.setFormatter(_ProgressLine())
    handler.addFilter(lambda record: not (is_watched() and getattr(record, IS_PROGRESS, False)))
    logger = logging.Logger("progress", logging.INFO)
    logger.addHandler(handler)
    return logger


class _ProgressLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """Return the message without the run's id and the step's key before it."""
        meta = getattr(record, "dagster_meta", {})
        message = meta.get("orig_message") or record.getMessage()
        event = meta.get("dagster_event")
        if record.levelno >= logging.ERROR and event is not None and event.is_failure and event.is_step_event:
            error = getattr(event.event_specific_data, "error", None)
            message = f"{event.step_key.replace('__', '/')} failed: {_reason(error) or message}"
        return f"{record.levelname.lower() + ': ' if record.levelno > logging.INFO else ''}{message}"


def _reason(error: Any) -> str | None:
    """Return the message of the innermost failure of a step, which is the one written for people."""
    while error is not None and error.cause is not None and error.cls_name != "Failure":
        error = error.cause
    return None if error is None else str(error.message).strip().removeprefix(f"{dg.Failure.__module__}.Failure: ")


def _table(
    instance: dg.DagsterInstance, result: dg.ExecuteInProcessResult, names: Sequence[str], seconds: float
) -> Table:
    """Return what the run landed of each asset: rows, partitions, and the seconds its step took."""
    durations = {
        stats.step_key.replace("__", "/"): (stats.end_time or 0.0) - (stats.start_time or 0.0)
        for stats in instance.get_run_step_stats(result.run_id)
    }
    rows: dict[str, int] = {}
    landed: dict[str, int] = {}
    for event in result.get_asset_materialization_events():
        name = event.asset_key.to_user_string() if event.asset_key else ""
        metadata = event.materialization.metadata
        if "left_as_it_was" in metadata:
            continue
        count = metadata.get("dagster/partition_row_count") or metadata.get("dagster/row_count")
        rows[name] = rows.get(name, 0) + (count.value if isinstance(count, dg.IntMetadataValue) and count.value else 0)
        landed[name] = landed.get(name, 0) + (1 if event.partition else 0)
    table = Table(title=f"{sum(rows.values()):,} rows in {seconds:.0f} s", title_justify="left")
    table.add_column("stream")
    for heading in ("rows", "partitions", "seconds"):
        table.add_column(heading, justify="right")
    for name in sorted(names):
        if name in rows:
            table.add_row(name, f"{rows[name]:,}", str(landed[name] or "–"), f"{durations.get(name, 0):.1f}")
        elif name in durations:
            table.add_row(name, "failed", "–", f"{durations[name]:.1f}", style="red")
        else:
            table.add_row(name, "skipped", "–", "–", style="yellow")
    return table


def _checks(result: dg.ExecuteInProcessResult) -> Iterator[tuple[str, str]]:
    """Yield what the checks say, and in which style: how many passed, then each that did not."""
    found = result.get_asset_check_evaluations()
    bad = [each for each in found if not each.passed]
    failed = [each for each in bad if each.severity == dg.AssetCheckSeverity.ERROR]
    yield f"{len(found) - len(bad)} checks passed, {len(bad) - len(failed)} warn, {len(failed)} failed", ""
    for each in sorted(bad, key=lambda each: (each not in failed, each.asset_key, each.check_name)):
        name = f"{each.asset_key.to_user_string()} {each.check_name}"
        yield f"{name}: {each.description}", "red" if each in failed else "yellow"


if __name__ == "__main__":
    sys.exit(main())
