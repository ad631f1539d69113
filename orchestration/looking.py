"""Runs that only look: what would be asked, and the first records as the API sends them. Nothing is landed."""

import json
from collections.abc import Mapping
from itertools import islice
from typing import Any

import dagster as dg
import msgspec
from dagster._core.storage.asset_check_execution_record import (
    COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES,
    AssetCheckExecutionRecord,
)

from connector_resources.http.messages import Request
from connector_resources.http.stream import HttpStream
from connector_resources.resource import HttpSource, Source
from connector_resources.streams import Slice, Stream
from connector_resources.words import counted
from orchestration import markdown


def observe(context: dg.AssetExecutionContext, seen: Mapping[str, Any]) -> None:
    """Note what was seen as an observation of the asset, and in the log; it is no materialization, nothing follows."""
    context.log.info(f"Nothing is written: this run only looks.{_told(seen)}")
    context.log_event(dg.AssetObservation(context.asset_key, metadata=seen))
    _tell_checks_again(context)


def _told(seen: Mapping[str, Any]) -> str:
    """Return what somebody at a terminal wants to know of it, each on lines of its own."""
    lines = []
    if "first_request" in seen:
        lines.append(f"The first request: {seen['first_request']}")
    if "rows_to_be_replaced" in seen:
        lines.append(f"Rows there now, which would be replaced: {seen['rows_to_be_replaced']:,}")
    if "records_seen" in seen:
        lines.append(f"Seen: {counted(seen['records_seen'], 'record')} in {counted(seen['pages_read'], 'page')}")
    if "records" in seen:
        first = json.dumps(seen["first_record"], ensure_ascii=False)
        lines += [str(seen["records"].value), f"The first one, as it came: {first}"]
    return "".join(f"\n{line}" for line in lines)


def _tell_checks_again(context: dg.AssetExecutionContext) -> None:
    """Repeat what the last run has found of the asset's checks that this run was planned to look at.

    Nothing was landed, so they hold as they did; Dagster would show each as skipped, whatever was found before.
    """
    instance = context.instance
    planned = {dg.DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED}
    for record in instance.get_records_for_run(context.run.run_id, of_type=planned).records:
        event = record.event_log_entry.dagster_event
        assert event is not None
        check = event.asset_check_planned_data.asset_check_key
        if check.asset_key != context.asset_key:
            continue
        if (before := _last_found(instance, check, context.run.run_id)) is not None:
            found = before.evaluation
            assert found is not None
            context.log_event(
                dg.AssetCheckEvaluation(
                    asset_key=found.asset_key,
                    check_name=found.check_name,
                    passed=found.passed,
                    metadata={"found_by_run": dg.MetadataValue.dagster_run(before.run_id), **found.metadata},
                    target_materialization_data=found.target_materialization_data,
                    severity=found.severity,
                    description=found.description,
                    blocking=found.blocking,
                    partition=found.partition,
                )
            )


def _last_found(instance: dg.DagsterInstance, check: dg.AssetCheckKey, run_id: str) -> AssetCheckExecutionRecord | None:
    """Return what the last other run has found, if that is what it set out to; a run over days plans each apart."""
    cursor: int | None = None
    while every := instance.event_log_storage.get_asset_check_execution_history(check, limit=_AT_ONCE, cursor=cursor):
        others = [each for each in every if each.run_id != run_id]
        if others:
            runs_own = [each for each in others if each.run_id == others[0].run_id]
            return next((each for each in runs_own if each.status in _FOUND), None)
        cursor = every[-1].id
    return None


_AT_ONCE = 200
_FOUND = COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES


def first_request(source: Source, stream: Stream, slice: Slice) -> dict[str, Any]:
    """Return the first request a reading makes, as metadata; nothing where there is none to make."""
    if not isinstance(source, HttpSource) or not isinstance(stream, HttpStream) or slice.parents == ():
        return {}
    request = source.first_request(stream, slice, None if slice.parents is None else slice.parents[0])
    return {"first_request": _shown(request), **({} if slice.parents is None else {"parents": len(slice.parents)})}


def sample(source: Source, stream: Stream, slice: Slice, most: int) -> dict[str, Any]:
    """Read `most` records at most and return them as metadata: a table, and the first one whole, as it came."""
    records: list[bytes] = []
    pages = 0
    for page in source.read(stream, slice):
        pages += 1
        records += islice(page.records, most - len(records))
        if len(records) >= most:
            break
    decoded = [_decoded(record) for record in records]
    names = list(dict.fromkeys(name for record in decoded for name in record))
    seen: dict[str, Any] = {"records_seen": len(records), "pages_read": pages}
    if records:
        seen |= {"records": dg.MetadataValue.md(markdown.table(decoded, names)), "first_record": decoded[0]}
    return seen


def _decoded(record: bytes) -> Mapping[str, Any]:
    """Return the fields of a record; one that cannot be decoded, as it came and with the reason."""
    try:
        decoded = msgspec.json.decode(record)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        return {"_unreadable": str(error), "_record": bytes(record).decode(errors="backslashreplace")}
    return decoded if isinstance(decoded, dict) else {"_record": decoded}


def _shown(request: Request) -> str:
    params = "&".join(f"{name}={value}" for name, value in request.params.items())
    return f"{request.method} {request.path}{'?' if params else ''}{params}"
