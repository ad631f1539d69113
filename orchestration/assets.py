"""One asset per stream: read into a spool, hand it to the warehouse."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from connector_resources.days import window, within_horizon
from connector_resources.errors import ConnectorError, MissingCredential, RateLimited
from connector_resources.http.client import Statistics
from connector_resources.http.stream import HttpStream
from connector_resources.landing import landings_of
from connector_resources.progress import Course, Reporter, ending, log_progress
from connector_resources.resource import HttpSource, Source
from connector_resources.streams import Slice, Stream
from connector_resources.words import counted
from orchestration.automation import follows_its_parent, freshness
from orchestration.connection import Connection
from orchestration.io_manager import Extraction, Warehouse, failure
from orchestration.landings import replayable
from orchestration.lineage import CODE_REFERENCES, COLUMN_SCHEMA, code_reference, stream_columns, stream_lineage
from orchestration.looking import first_request, observe, sample
from orchestration.pace import DailyTick
from orchestration.partitions import looking_back, partition_keys
from orchestration.read_plan import ReadPlan, read_plan
from orchestration.run_config import StreamConfig

_CONFIG_SCHEMA = StreamConfig.to_config_schema().as_field()
"""Made once: from the annotation of a parameter, Dagster makes it for each stream, 2 ms of every command's start."""
_LONGEST_PAUSE_SECONDS = 3600.0
"""As long as the account's limiter can wait. A vendor that asks for more gets none: the run fails and says so."""
_GIVEN_BACK = 10
"""How often a step that the vendor asks to wait gives its place back before that is an error."""


def stream_asset(
    kind: type[Source],
    stream: Stream,
    partitions: dg.PartitionsDefinition[str],
    mode: str,
    tick: DailyTick | None = None,
    owners: Sequence[str] = (),
) -> dg.AssetsDefinition:
    """Return the asset `[source, stream]`, made from the stream's declaration.

    `tick` is when days are read, for a source that the schedules read; without, nobody says how fresh it has to be.
    """
    key = dg.AssetKey([kind.name, stream.name])

    @dg.asset(
        key=key,
        deps=[] if stream.parent is None else [dg.AssetKey([kind.name, stream.parent.stream.name])],
        description=_description(stream),
        group_name=kind.name,
        kinds={"duckdb", "python"},
        tags={"source": kind.connector, "mode": mode},
        metadata={
            COLUMN_SCHEMA: stream_columns(kind.name, stream),
            **stream_lineage(kind.name, stream),
            CODE_REFERENCES: code_reference(*stream.declared_at),
            "dagster/table_name": f"{mode}.{kind.name}.{stream.name}",
            "primary_key": ", ".join(stream.primary_key),
            **({"endpoint": stream.endpoint} if isinstance(stream, HttpStream) else {}),
        },
        code_version=stream.declaration_hash,
        io_manager_key="warehouse",
        required_resource_keys={kind.name, "connection", "warehouse"},
        partitions_def=partitions if stream.is_partitioned else None,
        backfill_policy=dg.BackfillPolicy.single_run(),
        pool=f"{kind.name}_api",
        freshness_policy=None if tick is None else freshness(stream, tick),
        automation_condition=follows_its_parent(stream),
        owners=list(owners),
        config_schema=_CONFIG_SCHEMA,
        output_required=False,  # a run that only looks writes nothing
    )
    def extraction(context: dg.AssetExecutionContext) -> Iterator[dg.Output[Any]]:
        config = StreamConfig(**context.op_execution_context.op_config)
        try:
            config.require_consistent()
            read = _replayed if config.replay else _read
            with ending(f"{kind.name}.{stream.name}"):
                found = read(context, config, kind, stream)
        except RateLimited as error:
            context.log.warning(str(error))
            if error.wait_seconds > _LONGEST_PAUSE_SECONDS:
                raise failure(error) from error
            raise dg.RetryRequested(max_retries=_GIVEN_BACK, seconds_to_wait=error.wait_seconds) from error
        except ConnectorError as error:
            raise failure(error) from error
        if found is not None:
            yield dg.Output(found)

    return extraction


def _read(
    context: dg.AssetExecutionContext, config: StreamConfig, kind: type[Source], stream: Stream
) -> Extraction | None:
    """Plan, and read what is planned; None where the run is only to look."""
    warehouse: Warehouse = context.resources.warehouse
    connection: Connection = context.resources.connection
    source = connection.connected(getattr(context.resources, kind.name))
    now = datetime.now(UTC)
    asked_keys = looking_back(context, stream, partition_keys(context, stream), config.lookback_days)
    keys = within_horizon(stream, asked_keys, now)
    asked = Slice(
        window=window(keys) if stream.selects_a_window else None,
        parents=None if stream.parent is None else warehouse.store.parent_rows(
            kind.name, stream, keys if stream.parent.stream.is_partitioned else None
        ),
    )  # fmt: skip
    plan = read_plan(context.instance, source, stream, keys, asked, now)
    context.log.info(str(plan))
    if config.dry_run:
        held = sum(each.rows for each in landings_of(warehouse.store, kind.name, stream.name, keys).values())
        observe(context, {**plan.metadata(), **first_request(source, stream, asked), "rows_to_be_replaced": held})
        return None
    last_landed = _last_landed(warehouse, source, stream, keys)
    if isinstance(source, HttpSource) and config.ignore_budget:
        source = source.without_budget()
    elif config.limit:
        replace(plan, requests=1).require_budget()
    elif plan.is_beyond_budget and not _is_anew(context, config):
        plan.after(source.on_disk(stream, asked, warehouse.spool_folder, last_landed)).require_budget()
    else:
        plan.require_budget()
    if isinstance(source, HttpSource):
        source.tell_retries(context.log.warning)
    if config.limit:
        observe(context, sample(source, stream, asked, config.limit))
        return None
    return _extracted(context, config, source, stream, keys, asked, plan, last_landed)


def _is_anew(context: dg.AssetExecutionContext, config: StreamConfig) -> bool:
    return config.full_refresh and context.retry_number == 0  # a retry goes on with what this run has read


def _last_landed(
    warehouse: Warehouse, source: Source, stream: Stream, keys: Sequence[str]
) -> Callable[[Collection[str]], float]:
    def last_landed(runs: Collection[str]) -> float:
        """Return when any of the partitions was last landed by another run than these."""
        landings = landings_of(warehouse.store, source.name, stream.name, keys).values()
        return max((each.landed_at.timestamp() for each in landings if each.run_id not in runs), default=0.0)

    return last_landed


def _extracted(
    context: dg.AssetExecutionContext,
    config: StreamConfig,
    source: Source,
    stream: Stream,
    keys: Sequence[str],
    asked: Slice,
    plan: ReadPlan,
    last_landed: Callable[[Collection[str]], float],
) -> Extraction:
    warehouse: Warehouse = context.resources.warehouse
    name = f"{source.name}.{stream.name}"
    before = replace(source.statistics)
    spool = source.extract(
        stream,
        asked,
        warehouse.spool_folder,
        Reporter(Course(source, stream, asked, plan, before), log_progress(context.log)),
        partitions=keys,
        not_before=last_landed,
        started_over=lambda told: context.log.warning(str(told)),
        anew=_is_anew(context, config),
    )
    if spool.resumed_pages:
        context.log.info(f"{name}: {counted(spool.resumed_pages, 'page')} on disk already, not asked for again.")
    if spool.parents_gone:
        context.log.warning(
            f"{name}: {spool.parents_gone} of {len(asked.parents or ())} parents are not known to the vendor "
            "any more (404); they have no rows."
        )
    return Extraction(
        source.name,
        stream,
        spool,
        keys,
        asked.window,
        source.statistics.since(before),
        may_shrink=config.confirm_shrink or source.is_made_up,
        parents=len(asked.parents or ()),
        plan=plan,
    )


def _replayed(
    context: dg.AssetExecutionContext, config: StreamConfig, kind: type[Source], stream: Stream
) -> Extraction:
    """Return what was read before and is on disk; nobody is asked."""
    warehouse: Warehouse = context.resources.warehouse
    keys = partition_keys(context, stream)
    connection: Connection = context.resources.connection
    found = replayable(
        warehouse.store,
        warehouse.spool_folder,
        kind.name,
        stream,
        keys,
        account=_known_account(connection, connection.with_secrets(getattr(context.resources, kind.name))),
        is_one_account=connection.mode == "sandbox",  # wherever it was served
    )
    spool = found.taken_up()
    read_at = f"{found.read_at:%Y-%m-%d %H:%M:%S} UTC"
    context.log.info(
        f"{kind.name}.{stream.name}: {counted(found.pages, 'page')}, read at {read_at}, landed again; "
        "no request is made."
    )
    context.add_output_metadata({"replayed_from": f"read {read_at} by run {(found.landed_by or ('unknown',))[0]}"})
    asked = window(keys) if stream.selects_a_window else None
    may_shrink = config.confirm_shrink or kind.is_made_up
    return Extraction(kind.name, stream, spool, keys, asked, Statistics(), may_shrink=may_shrink)


def _known_account(connection: Connection, source: Source) -> str | None:
    """Return the account that would be read; None where a credential is missing, and in the sandbox.

    The sandbox's accounts are named after where it is served, which is known once it is started.
    """
    if not isinstance(source, HttpSource):
        return source.account
    if connection.mode == "sandbox":
        return None
    try:
        source.authenticator()
        return source.account
    except MissingCredential:
        return None


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
