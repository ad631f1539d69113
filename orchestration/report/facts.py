"""What the sync report tells, collected from where it is known already; nobody is asked over the network.

Rows, days and quarantine come from the database, landings and failures from Dagster's history, requests and waits from
the limiters' records of the last seven days. All instants are UTC.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import dagster as dg

from connector_resources.destinations.duckdb import DuckDB
from connector_resources.destinations.duckdb_tables import literal, quoted
from connector_resources.errors import ConnectorError
from connector_resources.http.rate_limit import usage_path
from connector_resources.http.rate_usage import MinuteOfUse, UsageLog
from connector_resources.streams import SNAPSHOT
from orchestration.failure_webhook import reason
from orchestration.rate_budget import limits_in

State = Literal["failed", "missing", "late", "fine"]

DAYS_OF_RUNS = 30
_DAYS_OF_ROWS = 60
_LANDINGS = 30
_RUNS = 2_000
_FAILED_RUNS = 20
_REASONS = 50


@dataclass(frozen=True, slots=True)
class Landing:
    """What one run landed of an asset; `rows` is None where the run was about some of its days."""

    at: datetime
    run_id: str
    rows: int | None = None
    requests: int | None = None
    retries: int | None = None
    wait_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """One step that failed, or a run that did without one. `key` is the asset's, or else the step's or the job's."""

    at: datetime
    run_id: str
    key: str
    message: str


@dataclass(frozen=True, slots=True)
class Quarantine:
    """How many records are put aside for one reason."""

    key: str
    reason: str
    records: int


@dataclass(frozen=True, slots=True)
class NewField:
    """A field that nobody declared."""

    key: str
    path: str
    type: str
    first_seen: datetime


@dataclass(frozen=True, slots=True)
class Use:
    """The minutes of the last seven days in which something was sent under one limit of an account."""

    source: str
    account: str
    limit: str
    minutes: Sequence[MinuteOfUse]

    @property
    def used(self) -> int:
        """How many requests were sent."""
        return sum(use.used for use in self.minutes)

    @property
    def busiest(self) -> int:
        """How many were sent in the fullest minute."""
        return max((use.used for use in self.minutes), default=0)

    @property
    def allowed(self) -> float | None:
        """How many the limit allowed in the last of these minutes; None where there was no limit."""
        last = self.minutes[-1].allowed if self.minutes else 0.0
        return None if math.isinf(last) else last

    @property
    def wait_seconds(self) -> float:
        """How long all processes together waited for their permits."""
        return sum(use.wait_seconds for use in self.minutes)

    @property
    def refused(self) -> int:
        """How many requests the vendor refused as too many."""
        return sum(use.refused for use in self.minutes)


@dataclass(frozen=True, slots=True)
class Run:
    """A run: when it was asked for and what became of it; `unfinished` goes on, or was ended by somebody."""

    at: datetime
    outcome: Literal["succeeded", "failed", "unfinished"]


@dataclass(frozen=True, slots=True)
class AssetFacts:
    """What is known of a stream or a frame.

    `rows` is None where nothing was landed. `days` is how many of its `planned_days` have been landed, both 0 where it
    is replaced whole. `newest` is the newest value of its cursor. `trend` is how many rows each of the last 60 days
    holds, None for one that was not landed, or how many each landing brought, the oldest first.
    """

    key: str
    group: str
    rows: int | None = None
    days: int = 0
    planned_days: int = 0
    landed_at: datetime | None = None
    newest: datetime | None = None
    is_late: bool = False
    landing: Landing | None = None
    trend: Sequence[int | None] = ()
    failed_at: datetime | None = None
    quarantined: int = 0
    new_fields: int = 0

    @property
    def name(self) -> str:
        """The key within its group."""
        return self.key.removeprefix(f"{self.group}/")

    @property
    def state(self) -> State:
        """How it stands, the worst first."""
        if self.failed_at is not None and (self.landed_at is None or self.failed_at > self.landed_at):
            return "failed"
        if self.landed_at is None:
            return "missing"
        return "late" if self.is_late else "fine"


@dataclass(frozen=True, slots=True)
class Report:
    """Everything on the page.

    `runs` are all but the one that makes it, `rows_by_day` has the rows of each day and source, `unknown` why something
    is missing.
    """

    made_at: datetime
    mode: str
    database: str
    size_bytes: int
    run_id: str
    assets: Sequence[AssetFacts]
    failures: Sequence[Failure] = ()
    quarantine: Sequence[Quarantine] = ()
    new_fields: Sequence[NewField] = ()
    uses: Sequence[Use] = ()
    runs: Sequence[Run] = ()
    rows_by_day: Mapping[date, Mapping[str, int]] = field(default_factory=dict)
    unknown: Sequence[str] = ()

    def of(self, *states: State) -> list[AssetFacts]:
        """Return the assets that are in one of these states."""
        return [asset for asset in self.assets if asset.state in states]

    @property
    def finding(self) -> str:
        """How things stand, in one sentence."""
        words: Mapping[State, str] = {"failed": "failed", "missing": "never landed", "late": "late"}
        told = [f"{len(found)} {word}" for state, word in words.items() if (found := self.of(state))]
        every = f"{len(self.assets):,} streams and frames"
        return f"Of {every} {', '.join(told)}." if told else f"All {every} are landed and none is late."

    def account_name(self, use: Use) -> str:
        """Return how an account is called on the page: as its source is, with its digest where there are several."""
        is_only_one = all(each.account == use.account for each in self.uses if each.source == use.source)
        return use.source if is_only_one else use.account


def collected(
    specs: Sequence[dg.AssetSpec],
    store: DuckDB,
    instance: dg.DagsterInstance,
    state_folders: Mapping[str, Path],
    *,
    mode: str,
    run_id: str,
    now: datetime,
) -> Report:
    """Return the report on these assets as of `now`; `state_folders` has where each HTTP source keeps its limits.

    What the database and the history do not know is missing from the report, never an error: a report on nothing says
    that nothing was landed. A limiter's record that cannot be read is `unknown`. Raises ConnectorError where the
    database cannot be read.
    """
    keys = {spec.key.to_user_string(): spec for spec in specs}
    tables = _tables(store, keys)
    runs = _runs(instance, now)
    failures = _failures(instance, keys, runs, run_id)
    failed_at: dict[str, datetime] = {}
    for failure in failures:
        failed_at.setdefault(failure.key, failure.at)
    uses, unknown = _uses(state_folders, now)
    assets = []
    for key, spec in sorted(keys.items()):
        landings = _landings(instance, spec.key)
        held = tables.held.get(key, _Held())
        landed_at = max((at for at in (held.landed_at, landings[0].at if landings else None) if at), default=None)
        days = _days(spec, now)
        by_landing = [each.rows for each in reversed(landings) if each.rows is not None]
        assets.append(
            AssetFacts(
                key,
                spec.group_name or "default",
                rows=held.rows if key in tables.held else None,
                days=len(held.days.keys() & set(days)),
                planned_days=len(days),
                landed_at=landed_at,
                newest=held.newest,
                is_late=landed_at is not None and is_late(spec.freshness_policy, landed_at, now),
                landing=landings[0] if landings else None,
                trend=[held.days.get(day) for day in days[-_DAYS_OF_ROWS:]] if days else by_landing,
                failed_at=failed_at.get(key),
                quarantined=sum(each.records for each in tables.quarantine if each.key == key),
                new_fields=sum(each.key == key for each in tables.new_fields),
            )
        )
    return Report(
        made_at=now,
        mode=mode,
        database=str(store.path),
        size_bytes=store.path.stat().st_size if store.path.exists() else 0,
        run_id=run_id,
        assets=assets,
        failures=failures,
        quarantine=sorted(tables.quarantine, key=lambda each: (-each.records, each.key, each.reason))[:_REASONS],
        new_fields=tables.new_fields,
        uses=uses,
        runs=[run for run, its in runs if its != run_id],
        rows_by_day=_rows_by_day(keys, tables.held, now),
        unknown=unknown,
    )


def is_late(policy: dg.FreshnessPolicy | None, landed_at: datetime, now: datetime) -> bool:
    """Return whether an asset breaks its freshness policy, as Dagster's daemon would find; without one it cannot."""
    from dagster._core.definitions.freshness import CronFreshnessPolicy, TimeWindowFreshnessPolicy
    from dagster._utils.schedules import get_latest_completed_cron_tick  # the one that Dagster's own evaluation takes

    if isinstance(policy, TimeWindowFreshnessPolicy):
        return now - landed_at >= policy.fail_window.to_timedelta()
    if isinstance(policy, CronFreshnessPolicy):
        deadline = get_latest_completed_cron_tick(policy.deadline_cron, now, policy.timezone)
        return landed_at < deadline - policy.lower_bound_delta
    return False


# The database


@dataclass(slots=True)
class _Held:
    rows: int = 0
    landed_at: datetime | None = None
    newest: datetime | None = None
    days: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Tables:
    held: dict[str, _Held] = field(default_factory=dict)
    quarantine: list[Quarantine] = field(default_factory=list)
    new_fields: list[NewField] = field(default_factory=list)


def _tables(store: DuckDB, keys: Iterable[str]) -> _Tables:
    """Return what the tables of these assets hold."""
    found = _Tables()
    if not store.path.exists():
        return found
    names = {_table(key): key for key in keys}
    there = set(store.query("SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = 'store'"))
    if ("main", "_state") in there:
        rows = store.query("SELECT schema, name, partition, rows, loaded_at, last_cursor FROM _state")
        for schema, name, partition, count, loaded_at, newest in rows:
            if (key := names.get((schema, name))) is None:
                continue
            held = found.held.setdefault(key, _Held())
            held.rows += count
            held.landed_at = max(filter(None, (held.landed_at, loaded_at)), default=None)
            held.newest = max(filter(None, (held.newest, newest)), default=None)
            if partition != SNAPSHOT:
                held.days[partition] = count
    if ("main", "_fields") in there:
        found.new_fields = [
            NewField(names[schema, name], path, kind, first_seen)
            for schema, name, path, kind, first_seen in store.query(
                "SELECT schema, name, path, type, first_seen FROM _fields ORDER BY first_seen DESC, schema, name, path"
            )
            if (schema, name) in names
        ]
    reasons = [
        f"SELECT {literal(key)}, reason, count(*) FROM {quoted(schema)}.{quoted(f'{name}_quarantine')} GROUP BY reason"
        for (schema, name), key in names.items()
        if (schema, f"{name}_quarantine") in there
    ]
    if reasons:
        found.quarantine = [Quarantine(*row) for row in store.query(" UNION ALL ".join(reasons))]
    return found


def _table(key: str) -> tuple[str, str]:
    schema, _, name = key.replace("/", ".").rpartition(".")
    return schema or "main", name


def _rows_by_day(
    keys: Mapping[str, dg.AssetSpec], held: Mapping[str, _Held], now: datetime
) -> dict[date, dict[str, int]]:
    last = now.date() - timedelta(days=1)
    counts: dict[date, dict[str, int]] = {}
    for number in range(_DAYS_OF_ROWS - 1, -1, -1):
        day = last - timedelta(days=number)
        by_source: dict[str, int] = {}
        for key, its in held.items():
            if (rows := its.days.get(day.isoformat())) is not None:
                group = keys[key].group_name or "default"
                by_source[group] = by_source.get(group, 0) + rows
        if by_source or counts:
            counts[day] = by_source
    return counts


def _days(spec: dg.AssetSpec, now: datetime) -> list[str]:
    """Return the daily partitions that are over; none for an asset that is replaced whole."""
    if not isinstance(spec.partitions_def, dg.TimeWindowPartitionsDefinition):
        return []
    return list(spec.partitions_def.get_partition_keys(current_time=now))


# Dagster's history


def _landings(instance: dg.DagsterInstance, key: dg.AssetKey) -> list[Landing]:
    """Return what the last runs landed of an asset, the newest first; of the many events of a range the newest."""
    events = instance.fetch_materializations(dg.AssetRecordsFilter(asset_key=key), limit=_LANDINGS).records
    found: dict[str, Landing] = {}
    for event in events:
        materialization = event.asset_materialization
        if materialization is None or event.run_id in found or "left_as_it_was" in materialization.metadata:
            continue

        def told(name: str, metadata: Mapping[str, Any] = materialization.metadata) -> Any:
            return metadata[name].value if name in metadata else None

        found[event.run_id] = Landing(
            datetime.fromtimestamp(event.timestamp, UTC),
            event.run_id,
            rows=told("dagster/row_count"),
            requests=told("requests"),
            retries=told("retries"),
            wait_seconds=told("seconds_waiting"),
        )
    return list(found.values())


def _runs(instance: dg.DagsterInstance, now: datetime) -> list[tuple[Run, str]]:
    """Return the runs of the last 30 days and their ids, the newest first."""
    since = dg.RunsFilter(created_after=now - timedelta(days=DAYS_OF_RUNS))
    outcomes: Mapping[dg.DagsterRunStatus, Literal["succeeded", "failed"]] = {
        dg.DagsterRunStatus.SUCCESS: "succeeded",
        dg.DagsterRunStatus.FAILURE: "failed",
    }
    return [
        (
            Run(record.create_timestamp, outcomes.get(record.dagster_run.status, "unfinished")),
            record.dagster_run.run_id,
        )
        for record in instance.get_run_records(since, limit=_RUNS)
    ]


def _failures(
    instance: dg.DagsterInstance, keys: Iterable[str], runs: Sequence[tuple[Run, str]], run_id: str
) -> list[Failure]:
    """Return what failed in the newest failed runs, and so far in the run that makes the report; the newest first."""
    steps = {key.replace("/", "__"): key for key in keys}
    failed = [each for run, each in runs if run.outcome == "failed" and each != run_id][:_FAILED_RUNS]
    kinds = {dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE}
    found = []
    for each in (run_id, *failed):
        events = [record.event_log_entry for record in instance.get_records_for_run(each, of_type=kinds).records]
        of_steps = [event for event in events if event.dagster_event and event.dagster_event.is_step_failure]
        for event in of_steps or events:
            assert event.dagster_event is not None
            step = event.step_key
            key = steps.get(step, step) if step else event.job_name
            why = reason(event.dagster_event) if of_steps else "The run failed outside of a step; its log says why."
            found.append(Failure(datetime.fromtimestamp(event.timestamp, UTC), each, key or "", why))
    return sorted(found, key=lambda failure: failure.at, reverse=True)


# The limiters' records


def _uses(state_folders: Mapping[str, Path], now: datetime) -> tuple[list[Use], list[str]]:
    """Return what is recorded, and why the rest is not known."""
    uses, unknown = [], []
    for source, folder in sorted(state_folders.items()):
        for account, limit, path in sorted(limits_in(folder / "rate_limits", source)):
            try:
                uses.append(Use(source, account, limit, UsageLog(usage_path(path)).read(now.timestamp())))
            except ConnectorError as error:
                unknown.append(f"Requests of {account} are not counted here. {error}")
    return uses, unknown
