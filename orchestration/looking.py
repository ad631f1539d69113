"""Runs that only look: what would be asked, and the first records as the API sends them. Nothing is landed."""

from collections.abc import Mapping
from itertools import islice
from typing import Any

import dagster as dg
import msgspec

from connector_resources.http.messages import Request
from connector_resources.http.stream import HttpStream
from connector_resources.resource import HttpSource, Source
from connector_resources.streams import Slice, Stream
from orchestration import markdown


def observe(context: dg.AssetExecutionContext, seen: Mapping[str, Any]) -> None:
    """Note what was seen as an observation of the asset; it is no materialization, and nothing follows from it."""
    context.log.info("Nothing is written: this run only looks.")
    context.log_event(dg.AssetObservation(context.asset_key, metadata=seen))


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
