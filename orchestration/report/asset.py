"""The asset `sync_report`: the page as a file beside the database, and its picture and figures in Dagster."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg

from connector_resources.errors import ConnectorError, DestinationUnwritable
from connector_resources.resource import HttpSource, Source
from orchestration.io_manager import Warehouse, failure

_LAST = -2_000
_SHOWN = 20


def sync_report_asset(
    assets: Sequence[dg.AssetsDefinition], kinds: Sequence[type[Source]], mode: str
) -> dg.AssetsDefinition:
    """Return the asset `sync_report`, which tells of `assets`: streams and frames."""
    specs = [spec for asset in assets for spec in asset.specs]
    http = [kind.name for kind in kinds if issubclass(kind, HttpSource)]

    # Like the budgets it depends on nothing, so that it tells of failures too; its priority lets it run last.
    @dg.asset(
        name="sync_report",
        description=(
            "One page about every stream and frame: rows, freshness, requests, waits, failures and their trends. An "
            "HTML file beside the database that needs nothing else, for a browser or a mail. It is made last in a run, "
            "even where the rest has failed, and of what the database and Dagster's history know already."
        ),
        group_name="overview",
        kinds={"html"},
        tags={"mode": mode},
        op_tags={"dagster/priority": str(_LAST)},
        io_manager_key="warehouse",  # it is given nothing; without a key Dagster makes a folder for one of its own
        required_resource_keys={"warehouse", *http},
        backfill_policy=dg.BackfillPolicy.single_run(),
        automation_condition=dg.AutomationCondition.on_cron("30 * * * *"),
    )
    def sync_report(context: dg.AssetExecutionContext) -> dg.MaterializeResult:  # type: ignore[type-arg]  # of nothing
        from orchestration.report.charts import REQUESTS_BY_HOUR, ROWS_BY_DAY, by_hour, rows_by_day
        from orchestration.report.facts import collected
        from orchestration.report.page import page

        warehouse: Warehouse = context.resources.warehouse
        path = report_path(Path(warehouse.database))
        try:
            report = collected(
                specs,
                warehouse.store,
                context.instance,
                {name: Path(getattr(context.resources, name).state_folder) for name in http},
                mode=mode,
                run_id=context.run.run_id,
                now=datetime.now(UTC),
            )
            _write(path, page(report))
        except ConnectorError as error:
            raise failure(error) from error
        for why in report.unknown:
            context.log.warning(why)
        context.log.info(f"sync_report: {report.finding} {path}")
        requests = by_hour(report, lambda use: use.used)
        return dg.MaterializeResult(
            metadata={
                "finding": report.finding,
                "page": dg.MetadataValue.path(path.resolve()),
                "rows_by_day": dg.MetadataValue.md(ROWS_BY_DAY.image(rows_by_day(report)).markdown),
                "requests_by_hour": dg.MetadataValue.md(REQUESTS_BY_HOUR.image(requests).markdown),
                "failed": _names(report.of("failed")),
                "never_landed": _names(report.of("missing")),
                "late": _names(report.of("late")),
                "assets_failed": len(report.of("failed")),
                "assets_never_landed": len(report.of("missing")),
                "assets_late": len(report.of("late")),
                "rows": sum(asset.rows or 0 for asset in report.assets if asset.group != "frames"),
                "requests_in_7_days": sum(use.used for use in report.uses),
                "seconds_waiting_in_7_days": round(sum(use.wait_seconds for use in report.uses), 3),
                "refused_429_in_7_days": sum(use.refused for use in report.uses),
                "quarantined": sum(asset.quarantined for asset in report.assets),
                "failed_runs_in_30_days": sum(run.outcome == "failed" for run in report.runs),
                "database_bytes": report.size_bytes,
            }
        )

    return sync_report


def report_path(database: Path) -> Path:
    """Return where the page about a database is."""
    return database.with_name(f"{database.stem}_sync_report.html")


def _write(path: Path, text: str) -> None:
    """Replace the page whole: whoever has it open never loads half of one. Raises DestinationUnwritable."""
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # What no encoding knows, half a character in a field's name, becomes a question mark.
        new.write_text(text, encoding="utf-8", errors="replace")
        new.replace(path)
    except OSError as error:
        new.unlink(missing_ok=True)
        raise DestinationUnwritable(
            f"sync_report: {path} cannot be written ({error.strerror}). Make room, or move away what lies in its place."
        ) from error


def _names(assets: Sequence[object]) -> str:
    keys = [getattr(asset, "key", "") for asset in assets]
    more = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
    return f"{', '.join(keys[:_SHOWN])}{more}" or "none"
