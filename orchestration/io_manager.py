"""The IO manager: extractions and frames into DuckDB, tables out of it as pandas frames."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from connector_resources.destinations.duckdb import DuckDB, Landed
from connector_resources.destinations.duckdb_changes import Change
from connector_resources.destinations.duckdb_tables import PartitionFacts, combined_version
from connector_resources.errors import ConnectorError, SchemaConflict
from connector_resources.http.client import Statistics
from connector_resources.landing import land
from connector_resources.spool import Spool, prune
from connector_resources.streams import SNAPSHOT, Stream, Window
from connector_resources.words import counted
from orchestration import markdown
from orchestration.lineage import COLUMN_LINEAGE, COLUMN_SCHEMA
from orchestration.read_plan import ReadPlan

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Extraction:
    """What a stream's asset hands to the IO manager: a complete spool, and which partitions it replaces.

    `may_shrink` says that somebody has confirmed that a snapshot holds far less than the one before. `parents` is how
    many the stream was read under, `plan` what was expected of the reading.
    """

    source: str
    stream: Stream
    spool: Spool
    partitions: Sequence[str]
    window: Window | None
    statistics: Statistics
    may_shrink: bool = False
    parents: int = 0
    plan: ReadPlan | None = None


class Warehouse(dg.ConfigurableIOManager):
    """The DuckDB database that streams land in and frames live in.

    A partition is replaced in one transaction, or left as it was. Several processes may write: each holds the
    database only for the moment of its commit.
    """

    database: str = Field(description="The database file. Each mode, sandbox and live, has its own.")
    spools: str = Field(description="Where extractions are kept until they are landed, and for replays after that.")
    memory_limit: str = Field(
        default="",
        description="What DuckDB may take to load, the rest goes to disk; empty is 128MB, and more where wide rows "
        "need it. DUCKDB_MEMORY_LIMIT.",
    )
    lock_timeout_seconds: float = Field(default=600.0, description="How long to wait for other processes.")
    max_quarantined_share: float = Field(
        default=0.1, ge=0, le=1, description="A partition with a larger share of bad records is not committed."
    )
    max_shrunk_share: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="A snapshot that loses a larger share of its rows, or all of them, is not committed unless the run "
        "says confirm_shrink.",
    )
    keep_spools_days: float = Field(default=7.0, description="How long landed extractions are kept for a replay.")
    keep_spools_bytes: int = Field(default=2_000_000_000, description="How much disk landed extractions may take.")

    @property
    def store(self) -> DuckDB:
        """The database, to read and write directly."""
        return DuckDB(
            Path(self.database),
            Path(self.spools) / "temporary",
            memory_limit=self.memory_limit or None,
            lock_timeout_seconds=self.lock_timeout_seconds,
            max_quarantined_share=self.max_quarantined_share,
            max_shrunk_share=self.max_shrunk_share,
        )

    @property
    def spool_folder(self) -> Path:
        """Where extractions are spooled."""
        return Path(self.spools)

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Commit an extraction, or a frame, to the partitions of the run."""
        try:
            if isinstance(obj, Extraction):
                self._land(context, obj)
            else:
                self._write_frame(context, obj)
        except ConnectorError as error:
            raise failure(error) from error

    def load_input(self, context: dg.InputContext) -> "pd.DataFrame":
        """Return the upstream table as a frame: the newest version of each record, times aware and in UTC.

        The input's metadata may name `columns`, a mapping of the frame's columns to paths into the table
        (`{"status": "workflow_status.name"}`). An asset without partitions gets all that has been landed.
        """
        *schema, name = context.asset_key.path
        metadata = context.definition_metadata or {}
        try:
            return self.store.read_frame(
                ".".join(schema) or "main",
                name,
                partitions=_asked_partitions(context),
                columns=metadata.get("columns"),
                current=True,
            )
        except ConnectorError as error:
            raise failure(error) from error

    def _land(self, context: dg.OutputContext, extraction: Extraction) -> None:
        spool, stream = extraction.spool, extraction.stream
        landed = land(
            self.store,
            extraction.source,
            stream,
            spool,
            partitions=extraction.partitions,
            window=extraction.window,
            run_id=context.run_id,
            may_shrink=extraction.may_shrink,
        )
        try:
            prune(self.spool_folder, keep_days=self.keep_spools_days, keep_bytes=self.keep_spools_bytes)
        except OSError as error:
            context.log.warning(f"Old extractions in {self.spool_folder} could not be removed ({error.strerror}).")
        where = counted(len(landed.partitions), "partition") if stream.is_partitioned else "a snapshot"
        context.log.info(
            f"{landed.table}: {counted(landed.rows, 'row')} in {where} from {counted(len(spool.marks), 'page')}"
        )
        for undeclared in landed.undeclared:
            if landed.first_seen.get(undeclared.name) is None:  # told once, when it is new
                context.log.warning(
                    f"{landed.table}: a new field that nobody declared, $.{undeclared.name} ({undeclared.type}), in "
                    f"{counted(undeclared.records, 'record')} from page {undeclared.first_page} on. "
                    "It is kept in _extra."
                )
        if landed.quarantined:
            context.log.warning(
                f"{landed.table}: {counted(landed.quarantined, 'record')} did not fit, kept in "
                f"{landed.table}_quarantine; the first: {landed.first_reason}."
            )
        told = {landed.table: landed.deleted, **landed.deleted_elsewhere}
        if any(told.values()):
            marked = ", ".join(f"{counted(count, 'record')} of {table}" for table, count in told.items() if count)
            context.log.info(f"Found to be deleted, and no longer current: {marked}.")
        context.add_output_metadata({**_stream_metadata(extraction, landed), **self._place(landed.table)})
        wide = {
            **_declared(context),
            "dagster/row_count": landed.rows_in_table,
            "preview": dg.MetadataValue.md(markdown.table(landed.preview, _readable_first(stream))),
        }
        landed_at = datetime.now(UTC)
        _add_facts(context, landed.partitions, landed.data_version, wide, landed.changes, landed_at)
        _tell_others(context, landed, landed_at)

    def _write_frame(self, context: dg.OutputContext, frame: Any) -> None:
        import pandas as pd

        *schema, name = context.asset_key.path
        if not isinstance(frame, pd.DataFrame):
            raise SchemaConflict(
                f"{context.asset_key.to_user_string()} returned {type(frame).__name__}; return a pandas.DataFrame."
            )
        metadata = context.definition_metadata or {}
        partitions = context.asset_partition_keys if context.has_asset_partitions else (SNAPSHOT,)
        facts = self.store.write_frame(
            ".".join(schema) or "main",
            name,
            frame,
            partitions=partitions,
            run_id=context.run_id,
            partition_column=metadata.get("partition_column"),
        )
        table = f"{'.'.join(schema) or 'main'}.{name}"
        context.log.info(f"{table}: {counted(len(frame), 'row')}")
        declared = metadata.get(COLUMN_SCHEMA)
        described = {column.name: column for column in declared.columns} if declared is not None else {}
        columns = [
            dg.TableColumn(name, str(kind), known.description, known.constraints, known.tags)
            if (known := described.get(name := str(column))) is not None
            else dg.TableColumn(name, str(kind))
            for column, kind in frame.dtypes.items()
        ]
        context.add_output_metadata(self._place(table))
        wide = {
            **_declared(context),
            COLUMN_SCHEMA: dg.TableSchema(columns),
            "preview": dg.MetadataValue.md(markdown.table(frame.head(5).to_dict("records"), list(frame.columns))),
        }
        _add_facts(context, facts, combined_version(facts), wide)

    def _place(self, table: str) -> dict[str, Any]:
        """Return where a table is, as Dagster shows it."""
        return {
            "dagster/table_name": f"{Path(self.database).stem}.{table}",
            "dagster/uri": Path(self.database).resolve().as_uri(),
        }


def failure(error: ConnectorError) -> dg.Failure:
    """Return the one clear message a run ends with."""
    return dg.Failure(description=str(error), metadata={"error": type(error).__name__})


def _declared(context: dg.OutputContext) -> dict[str, Any]:
    """Return what the asset's definition says of its columns; Dagster looks for it in materializations too."""
    metadata = context.definition_metadata or {}
    return {name: metadata[name] for name in (COLUMN_SCHEMA, COLUMN_LINEAGE) if name in metadata}


def _asked_partitions(context: dg.InputContext) -> Sequence[str] | None:
    """Return the upstream partitions an input stands for; None where that is all of them."""
    if not context.has_asset_partitions:
        return None
    asked = context.asset_partition_keys
    return None if len(asked) > 1 and set(asked) == set(context.asset_partitions_def.get_partition_keys()) else asked


def _stream_metadata(extraction: Extraction, landed: Landed) -> dict[str, Any]:
    """Return what the reading cost and what became of its records; in a range, that of the whole run."""
    spool, statistics = extraction.spool, extraction.statistics
    return {
        "partitions_in_run": len(landed.partitions),
        "records_received": landed.received,
        "records_outside_the_window": landed.left_out,
        "older_copies_left_out": landed.duplicates,
        "quarantined": landed.quarantined,
        "undeclared_fields": _undeclared(landed),
        "records_deleted": landed.deleted,
        "deleted_elsewhere": ", ".join(f"{table} {count}" for table, count in landed.deleted_elsewhere.items())
        or "none",
        "pages": len(spool.marks),
        "pages_resumed": spool.resumed_pages,
        "parents": extraction.parents,
        "parents_gone": spool.parents_gone,
        "requests": statistics.requests,
        "retries": statistics.retries,
        "bytes": statistics.bytes or spool.size_bytes,
        "seconds_waiting": round(statistics.wait_seconds, 3),
        **(extraction.plan.metadata() if extraction.plan is not None else {}),
    }


def _add_facts(
    context: dg.OutputContext,
    facts: Mapping[str, PartitionFacts],
    version: str,
    wide: Mapping[str, Any],
    changes: Mapping[str, Change] = MappingProxyType({}),
    landed_at: datetime | None = None,
) -> None:
    """Say what each partition holds, and which version of the data this is.

    `wide` is metadata too large to be stored with each partition of a range: it goes to the last one.
    """
    version = _version_to_tell(context, facts, version)
    context.step_context.set_data_version(context.asset_key, dg.DataVersion(version))
    if not context.has_asset_partitions:
        held = {"dagster/row_count": facts[SNAPSHOT].rows, **_held(facts[SNAPSHOT], changes.get(SNAPSHOT), landed_at)}
        context.add_output_metadata({**wide, **held})
        return
    for key in context.asset_partition_keys:
        about: dict[str, Any] = dict(wide) if key == context.asset_partition_keys[-1] else {}
        if key in facts:
            about |= {"dagster/partition_row_count": facts[key].rows, **_held(facts[key], changes.get(key), landed_at)}
        else:
            about["left_as_it_was"] = "older than what the API lists"
        context.step_context.add_asset_metadata(about, asset_key=context.asset_key, partition_key=key)


def _tell_others(context: dg.OutputContext, landed: Landed, landed_at: datetime) -> None:
    """Tell Dagster of the partitions that were landed beside those of the run: days that it looked back to."""
    if not context.has_asset_partitions:
        return
    for key in sorted(landed.partitions.keys() - set(context.asset_partition_keys)):
        facts = landed.partitions[key]
        held = _held(facts, landed.changes.get(key), landed_at)
        context.log_event(
            dg.AssetMaterialization(
                context.asset_key,
                partition=key,
                metadata={"dagster/partition_row_count": facts.rows, **held},
                tags={"dagster/data_version": facts.data_version},
            )
        )


def _version_to_tell(context: dg.OutputContext, facts: Mapping[str, PartitionFacts], version: str) -> str:
    """Return the version that Dagster is told: the one it knows, where no partition of the run has changed since.

    Dagster keeps one version for all partitions of a run. After a range the days of it, run alone, would otherwise go
    by another name than the range gave them, and what is made from them would look stale though nothing has changed.
    What Dagster knows is compared, not the tables: a run may have died between its commit and its event.
    """
    if not context.has_asset_partitions:
        return version
    keys = context.asset_partition_keys
    latest: dict[str | None, dg.AssetMaterialization | None] = {}
    for record in _newest(context, keys):
        latest.setdefault(record.partition_key, record.asset_materialization)
    known: list[str | None] = []
    for key in keys:
        if key not in latest:  # another was materialised twice since
            latest[key] = next((record.asset_materialization for record in _newest(context, [key])), None)
        event = latest[key]
        said = None if event is None else event.metadata.get("data_version")
        if event is None or (key in facts and (said is None or said.value != facts[key].data_version)):
            return version
        known.append((event.tags or {}).get("dagster/data_version"))
    return known[0] if known[0] is not None and len(set(known)) == 1 else version


def _newest(context: dg.OutputContext, keys: Sequence[str]) -> Sequence[dg.EventLogRecord]:
    """Return the newest materializations of partitions, as many as there are partitions, the newest first."""
    asked = dg.AssetRecordsFilter(asset_key=context.asset_key, asset_partitions=list(keys))
    return context.step_context.instance.fetch_materializations(asked, limit=len(keys)).records


def _held(facts: PartitionFacts, change: Change | None, landed_at: datetime | None) -> dict[str, Any]:
    """Return what one partition holds, and how that differs from what it held before.

    `seconds_behind` is how old its newest record, by the cursor, was when it was landed. Of the newest partition, and
    of a snapshot that has a cursor, that is how far we are behind the vendor, or how long nothing was edited there. Of
    a partition of the past it is how late this landing was: hours for a daily run, days after an outage, months in a
    backfill. It is negative where the vendor dates ahead, as with meetings.
    """
    held: dict[str, Any] = {"rows": facts.rows, "data_version": facts.data_version}
    if change is not None:
        held |= {"rows_added": change.added, "rows_changed": change.changed, "rows_removed": change.removed}
        if change.columns:
            most = list(change.columns.items())[:_MOST_CHANGED_COLUMNS]
            held["most_changed_columns"] = ", ".join(f"{column} ({count:,})" for column, count in most)
    if facts.first_cursor is not None and facts.last_cursor is not None:
        held["cursor_range"] = f"{facts.first_cursor.isoformat()} … {facts.last_cursor.isoformat()}"
        if landed_at is not None:
            held["seconds_behind"] = round((landed_at - facts.last_cursor).total_seconds())
    return held


def _undeclared(landed: Landed) -> dg.MetadataValue[Any]:
    """Return the fields nobody declared: where they are, of which type, and since when they are there."""
    if not landed.undeclared:
        return dg.MetadataValue.text("none")
    lines = ["| path | type | records | first seen (UTC) |", "| --- | --- | --- | --- |"]
    for each in landed.undeclared:
        first = landed.first_seen.get(each.name)
        since = "in this run" if first is None else f"{first:%Y-%m-%d %H:%M}"
        lines.append(f"| {markdown.cell('$.' + each.name)} | {each.type} | {each.records:,} | {since} |")
    return dg.MetadataValue.md("\n".join(lines))


_MOST_CHANGED_COLUMNS = 5


def _readable_first(stream: Stream) -> list[str]:
    """Return the names of a stream's columns, those with nested values last."""
    return [column.name for column in sorted(stream.columns, key=lambda column: column.type == "json")]
