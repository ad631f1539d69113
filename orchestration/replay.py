"""Landing again what was read before, from disk: `python -m orchestration.replay aha/features --partition 2026-03-01`.

For after a correction, of a declaration say: the newest complete extraction of each stream is parsed anew and its
partitions are replaced, as by any other run, and no request is made. `--list` shows what there is on disk.
"""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dagster as dg
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from connector_resources.environment import load_env_file
from connector_resources.errors import ConfigurationError
from connector_resources.spool import Kept, kept, prune
from connector_resources.terminal import bars
from orchestration.main_job import progress_lines

_ROOT = Path(__file__).parents[1]


def main(arguments: Sequence[str] | None = None) -> int:
    """Replay what the command line names, list it, or remove it; returns the exit status."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    os.chdir(_ROOT)
    os.environ.setdefault("DAGSTER_HOME", str(_ROOT))
    try:
        load_env_file(_ROOT / ".env")
        from orchestration.definitions import defs, partitions, settings, sources
    except ConfigurationError as error:
        parser.error(str(error))

    streams = {f"{source.name}/{stream.name}" for source in sources for stream in source.streams}
    if unknown := sorted(set(asked.assets) - streams):
        parser.error(f"{unknown[0]} is no stream; `--list` shows what is on disk, such as aha/features.")
    console = Console()
    if asked.list:
        found = [each for each in kept(settings.spools) if not asked.assets or _asset(each) in asked.assets]
        _print_whole(console, _table(found))
        return 0
    if asked.remove:
        removed = prune(settings.spools, keep_days=0, keep_bytes=0)
        console.print(f"{len(removed)} extractions removed from {settings.spools}.", soft_wrap=True, highlight=False)
        return 0
    if not asked.assets:
        parser.error("name a stream, such as aha/features, or --list.")
    if wrong := _unknown_day(asked, partitions.get_partition_keys()):
        parser.error(wrong)
    return _replayed(defs, asked)


def _replayed(defs: dg.Definitions, asked: argparse.Namespace) -> int:
    keys = [dg.AssetKey(name.split("/")) for name in asked.assets]
    off = [name for name, key in zip(asked.assets, keys, strict=True) if key not in defs.resolve_all_asset_keys()]
    if off:
        Console().print(f"{off[0]} is off; turn it on with ENABLED_STREAMS.", style="red", highlight=False)
        return 1
    told = {"replay": True, "confirm_shrink": asked.confirm_shrink}
    lines = dg.LoggerDefinition(_lines, config_schema={}, description="What a person wants to know of a run.")
    job = dg.Definitions.merge(defs, dg.Definitions(loggers={"console": lines})).resolve_implicit_global_asset_job_def()
    first, _, last = (asked.partition_range or "").partition("...")
    tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last} if first else {}
    with dg.DagsterInstance.get() as instance, bars(Console(), len(keys)):
        result = job.execute_in_process(
            instance=instance,
            asset_selection=keys,
            partition_key=asked.partition,
            tags=tags,
            run_config={
                "ops": {"__".join(key.path): {"config": told} for key in keys},
                "loggers": {"console": {"config": {}}},
            },
            raise_on_error=False,
        )
    for event in result.all_events:
        if event.is_step_failure and event.step_key is not None:
            told_by = event.step_failure_data.user_failure_data
            reason = (told_by.description if told_by else None) or event.message
            print(f"{event.step_key.replace('__', '/')} failed: {reason}", file=sys.stderr)  # noqa: T201 -- a command
    return 0 if result.success else 1


def _lines(context: dg.InitLoggerContext) -> logging.Logger:
    """Return a logger that says what happens; what fails is said at the end, where Dagster does not leave it out."""
    logger = progress_lines(context)
    logger.handlers[0].addFilter(lambda record: record.levelno < logging.ERROR)
    return logger


class _Once(argparse.Action):
    """Keeps a value that may be given once: of two, nobody knows which was meant."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        """Keep the value; ends the command where there is one."""
        if getattr(namespace, self.dest) is not None:
            parser.error(f"{option} is there twice; days that follow one another are --partition-range DAY...DAY.")
        setattr(namespace, self.dest, values)


def _unknown_day(asked: argparse.Namespace, days: Sequence[str]) -> str | None:
    """Return what is wrong with the days that are asked for; None where they are partitions, in order."""
    first, dots, last = (asked.partition_range or asked.partition or "").partition("...")
    for day in filter(None, (first, last)):
        if day not in days:
            return f"{day} is no partition; they are days from {days[0]} to {days[-1]} (UTC), such as {days[-1]}."
    return f"{first}...{last} ends before it begins." if dots and first > last else None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m orchestration.replay", description=__doc__.splitlines()[0])
    parser.add_argument("assets", nargs="*", metavar="source/stream", help="what to land again, such as aha/features")
    days = parser.add_mutually_exclusive_group()
    days.add_argument("--partition", metavar="DAY", action=_Once, help="a day, for streams that land by day")
    days.add_argument(
        "--partition-range", metavar="DAY...DAY", action=_Once, type=_range, help="days, the first and the last"
    )
    parser.add_argument("--confirm-shrink", action="store_true", help="land a snapshot with far fewer rows than before")
    other = parser.add_mutually_exclusive_group()
    other.add_argument("--list", action="store_true", help="show what is on disk, and replay nothing")
    other.add_argument("--remove", action="store_true", help="remove what was landed or refused, and replay nothing")
    return parser


def _range(text: str) -> str:
    first, dots, last = text.partition("...")
    if not (first and dots and last):
        raise argparse.ArgumentTypeError(f"{text!r} is no range; write it as 2026-03-01...2026-03-07")
    return text


def _print_whole(console: Console, table: Table) -> None:
    """Print a table in which no name is broken: as wide as it is where nobody looks at it, else as it has to be."""
    needed = Measurement.get(console, console.options.update(max_width=1_000), table)
    console.width = max(console.width, needed.minimum) if console.is_terminal else needed.maximum
    console.print(table)


def _table(found: Sequence[Kept]) -> Table:
    size_bytes = sum(each.size_bytes for each in found)
    table = Table(title=f"{len(found)} extractions on disk, {size_bytes / 1e6:,.1f} MB", title_justify="left")
    table.add_column("stream", no_wrap=True)
    for heading in ("partitions", "read (UTC)"):
        table.add_column(heading)
    for heading in ("pages", "records", "MB"):
        table.add_column(heading, justify="right")
    table.add_column("state")
    for each in found:
        table.add_row(
            _asset(each),
            each.shown_partitions.replace("…", " … "),
            f"{each.read_at:%Y-%m-%d %H:%M:%S}",
            "–" if each.state == "damaged" else f"{each.pages:,}",
            "–" if each.state == "damaged" else f"{each.records:,}",
            f"{each.size_bytes / 1e6:,.1f}",
            each.state,
            style={"unfinished": "dim", "damaged": "red"}.get(each.state, ""),
        )
    return table


def _asset(each: Kept) -> str:
    return f"{each.key.source}/{each.key.stream}"


if __name__ == "__main__":
    sys.exit(main())
