"""One asset per stream: read into a spool, hand it to the warehouse."""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import dagster as dg

from connector_resources.errors import ConnectorError, RateLimited
from connector_resources.resource import Source
from connector_resources.spool import Spool
from connector_resources.streams import Slice, Stream
from orchestration.connection import Connection
from orchestration.io_manager import Extraction, Warehouse, column_schema, failure
from orchestration.partitions import partition_keys, window, within_horizon
from orchestration.run_config import StreamConfig

_REPORT_EVERY_SECONDS = 5.0
_LONGEST_PAUSE_SECONDS = 900.0
"""A vendor that asks for a longer pause than a run may last gets none: the run fails and says so."""
_GIVEN_BACK = 10
"""How often a step that the vendor asks to wait gives its place back before that is an error."""


def stream_asset(
    kind: type[Source], stream: Stream, partitions: dg.PartitionsDefinition[str], mode: str
) -> dg.AssetsDefinition:
    """Return the asset `[source, stream]`, made from the stream's declaration."""
    key = dg.AssetKey([kind.name, stream.name])

    @dg.asset(
        key=key,
        deps=[] if stream.parent is None else [dg.AssetKey([kind.name, stream.parent.stream.name])],
        description=_description(stream),
        group_name=kind.name,
        kinds={"duckdb", "python"},
        tags={"source": kind.name, "mode": mode},
        metadata={
            "dagster/column_schema": column_schema(stream),
            "dagster/table_name": f"{mode}.{kind.name}.{stream.name}",
            "primary_key": ", ".join(stream.primary_key),
        },
        code_version=stream.declaration_hash,
        io_manager_key="warehouse",
        required_resource_keys={kind.name, "connection", "warehouse"},
        partitions_def=partitions if stream.is_partitioned else None,
        backfill_policy=dg.BackfillPolicy.single_run(),
        pool=f"{kind.name}_api",
    )
    def extraction(context: dg.AssetExecutionContext, config: StreamConfig) -> Extraction:
        try:
            return _extracted(context, config, kind, stream)
        except RateLimited as error:
            context.log.warning(str(error))
            if error.wait_seconds > _LONGEST_PAUSE_SECONDS:
                raise failure(error) from error
            raise dg.RetryRequested(max_retries=_GIVEN_BACK, seconds_to_wait=error.wait_seconds) from error
        except ConnectorError as error:
            raise failure(error) from error

    return extraction


def _extracted(
    context: dg.AssetExecutionContext, config: StreamConfig, kind: type[Source], stream: Stream
) -> Extraction:
    warehouse: Warehouse = context.resources.warehouse
    connection: Connection = context.resources.connection
    source = connection.connected(getattr(context.resources, kind.name))
    keys = within_horizon(stream, partition_keys(context, stream), datetime.now(UTC))
    asked = Slice(
        window=window(keys) if stream.selects_a_window else None,
        parents=None if stream.parent is None else warehouse.store.parent_rows(
            kind.name, stream, keys if stream.parent.stream.is_partitioned else None
        ),
    )  # fmt: skip
    before = replace(source.statistics)

    def last_landed() -> float:
        landed_at = warehouse.store.landed_at(kind.name, stream.name, keys)
        return 0.0 if landed_at is None else landed_at.timestamp()

    spool = source.extract(
        stream,
        asked,
        warehouse.spool_folder,
        _reporter(context, stream),
        not_before=last_landed,
    )
    if spool.resumed_pages:
        context.log.info(f"{stream.name}: {spool.resumed_pages} pages were on disk already and not asked for again.")
    if spool.parents_gone:
        context.log.warning(
            f"{stream.name}: {spool.parents_gone} of {len(asked.parents or ())} parents are not known to the vendor "
            "any more (404); they have no rows."
        )
    return Extraction(
        kind.name,
        stream,
        spool,
        keys,
        asked.window,
        source.statistics.since(before),
        may_shrink=config.confirm_shrink,
    )


def _reporter(context: dg.AssetExecutionContext, stream: Stream) -> Callable[[Spool], None]:
    """Return what tells the run's log, every few seconds, how far the reading has come."""
    reported_at = time.monotonic()

    def report(spool: Spool) -> None:
        nonlocal reported_at
        if time.monotonic() - reported_at >= _REPORT_EVERY_SECONDS:
            reported_at = time.monotonic()
            context.log.info(f"{stream.name}: {spool.records:,} records in {len(spool.marks)} pages so far")

    return report


def _description(stream: Stream) -> str:
    if stream.inherits_partitions and stream.parent is not None:
        landing = f"Lands in the daily partition of its {stream.parent.stream.name} record (UTC)."
    elif stream.is_partitioned and stream.cursor is not None:
        landing = f"Daily partitions by `{stream.cursor.column}` (UTC)."
    else:
        landing = "A snapshot, replaced whole."
    key = ", ".join(f"`{name}`" for name in stream.primary_key)
    return (
        f"{stream.description}\n\n{landing} Key: {key}. The newest version of each record, without those known to be "
        f"deleted: `{stream.name}_current`; those that are, where there are any: `{stream.name}_deleted`."
    )
