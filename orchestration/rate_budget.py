"""One asset per HTTP source: what became of its accounts' request budgets, minute by minute."""

import math
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from connector_resources.errors import ConnectorError
from connector_resources.http.rate_limit import RateLimit, RateLimiter, Standing, usage_path
from connector_resources.http.rate_usage import MinuteOfUse, UsageLog
from connector_resources.resource import HttpSource, Source
from orchestration.frames.columns import Columns, category, instant, number, whole
from orchestration.io_manager import failure

if TYPE_CHECKING:
    import pandas as pd

RATE_BUDGET = Columns(
    account=category("The account as its files name it: the source and a digest, no credential."),
    limit_name=category("`account` for the limit of the whole account, else the stream that has a limit of its own."),
    minute=instant("When the minute began."),
    allowed=number("How many requests the limit allows in a minute; null where there is no limit."),
    used=whole("How many requests were sent in it, by all processes of this host."),
    wait_seconds=number("How long all processes together waited for those requests' permits."),
    refused_429=whole("How many requests the vendor refused as too many."),
)
_LAST = -1_000
_SHOWN_MINUTES = 60


def rate_budget_assets(kinds: Sequence[type[Source]], mode: str) -> list[dg.AssetsDefinition]:
    """Return the asset `[source, "rate_budget"]` of every source that is read over HTTP."""
    return [_rate_budget(kind, mode) for kind in kinds if issubclass(kind, HttpSource)]


def _rate_budget(kind: type[HttpSource], mode: str) -> dg.AssetsDefinition:
    # It depends on no stream, so that a stream that fails does not hide why; its priority lets it run last.
    @dg.asset(
        key=[kind.name, "rate_budget"],
        description=(
            f"What became of the request budgets of {kind.name}'s accounts: one row per account, limit and minute "
            "(UTC) of the last seven days in which one was sent or refused."
        ),
        group_name=kind.name,
        kinds={"pandas", "duckdb"},
        tags={"source": kind.connector, "mode": mode},
        metadata={
            "dagster/column_schema": dg.TableSchema(
                [dg.TableColumn(name, column.dtype, column.description) for name, column in RATE_BUDGET.by_name.items()]
            ),
            "dagster/table_name": f"{mode}.{kind.name}.rate_budget",
        },
        op_tags={"dagster/priority": str(_LAST)},
        io_manager_key="warehouse",
        required_resource_keys={kind.name},
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def rate_budget(context: dg.AssetExecutionContext) -> Any:  # a more exact annotation would import pandas
        folder = Path(getattr(context.resources, kind.name).state_folder) / "rate_limits"
        now = time.time()
        limits = sorted(limits_in(folder, kind.name))
        try:
            minutes = [
                (account, limit, use)
                for account, limit, path in limits
                for use in UsageLog(usage_path(path)).read(now)
            ]  # fmt: skip
            standings = {f"{account} {limit}": standing(path) for account, limit, path in limits}
        except ConnectorError as error:
            raise failure(error) from error
        context.add_output_metadata(
            {
                "used": sum(use.used for *_, use in minutes),
                "seconds_waiting": round(sum(use.wait_seconds for *_, use in minutes), 3),
                "refused_429": sum(use.refused for *_, use in minutes),
                "now": dg.MetadataValue.md(_standing_table(standings, now)),
                "last_hour": dg.MetadataValue.md(_last_hour(minutes, now)),
            }
        )
        return _frame(minutes)

    return rate_budget


def standing(path: Path) -> Standing:
    """Return what holds the account back now whose limiter has its file at `path`."""
    return RateLimiter(RateLimit(), path).standing()


def limits_in(folder: Path, source: str) -> Iterator[tuple[str, str, Path]]:
    """Yield account, limit and the limiter's file of every limit of the source's accounts that was ever used."""
    for log in folder.glob(f"{source}-*.usage"):
        account, _, limit = log.stem.partition(".")
        yield account, limit, log.with_suffix("")


def _frame(minutes: Sequence[tuple[str, str, MinuteOfUse]]) -> "pd.DataFrame":
    import pandas as pd

    rows = [
        (
            account,
            limit,
            _began(use),
            _allowed(use),
            use.used,
            use.wait_seconds,
            use.refused,
        )
        for account, limit, use in minutes
    ]
    return RATE_BUDGET.cast(pd.DataFrame(rows, columns=list(RATE_BUDGET.by_name)))


def _told(allowed: float) -> str:
    return "any number" if math.isinf(allowed) else f"{allowed:g}"


def _allowed(use: MinuteOfUse) -> float | None:
    return None if math.isinf(use.allowed) else use.allowed


def _began(use: MinuteOfUse) -> datetime:
    return datetime.fromtimestamp(use.minute * 60, UTC)


def _standing_table(standings: dict[str, Standing], now: float) -> str:
    if not standings:
        return "Nothing was sent yet."
    lines = ["| account and limit | blocked until (UTC) | pace |", "| --- | --- | --- |"]
    for name, held in standings.items():
        until = datetime.fromtimestamp(now, UTC) + timedelta(seconds=held.blocked_seconds)
        blocked = until.isoformat(sep=" ", timespec="seconds") if held.blocked_seconds else "not blocked"
        lines.append(f"| {name} | {blocked} | {held.pace_share:.0%} |")
    return "\n".join(lines)


def _last_hour(minutes: Sequence[tuple[str, str, MinuteOfUse]], now: float) -> str:
    shown = [row for row in minutes if row[2].minute > now // 60 - _SHOWN_MINUTES]
    if not shown:
        return "Nothing was sent in the last hour."
    lines = [
        "| minute (UTC) | account | limit | used | of | waited | 429s |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {_began(use):%H:%M} | {account} | {limit} | {use.used} | {_told(use.allowed)} | {use.wait_seconds:.1f} s "
        f"| {use.refused} |"
        for account, limit, use in sorted(shown, key=lambda row: row[2].minute)
    ]
    return "\n".join(lines)
