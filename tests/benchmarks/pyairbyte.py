"""PyAirbyte on the same work: `python -m tests.benchmarks.pyairbyte URL FOLDER FILE [WORK]`, by a Python that has it.

It reads into its DuckDB cache what WORK says, by default the features without a cursor:

    features   through a manifest, the way its own connector for Aha! is made, by pages of 200; FILE holds JSON schemas
    changed    the same with a cursor, so that a second run asks for what changed since
    ideas      ideas, and the comments of each, in the same way
    own        the features by the manifest FILE, that of Airbyte's own connector for Aha!
    faker      URL users by the program FILE, Airbyte's own source-faker

Nothing goes to the internet: neither its registry nor its statistics of use are asked for, and no connector is
downloaded.
"""

import importlib
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.benchmarks.own_cost import own_cpu_seconds

VERSION = "0.71.3"


def manifest(url: str, schemas: Mapping[str, object], work: str = "features") -> dict[str, Any]:
    """Return the declaration of a source, as Airbyte's low-code connectors have it."""
    if work == "ideas":
        ideas = _stream(url, schemas, "ideas")
        comments = _stream(url, schemas, "idea_comments", "/api/v1/ideas/{{ stream_partition.idea_id }}/idea_comments")
        parent = {"type": "ParentStreamConfig", "parent_key": "id", "partition_field": "idea_id", "stream": ideas}
        comments["retriever"]["partition_router"] = {
            "type": "SubstreamPartitionRouter",
            "parent_stream_configs": [parent],
        }
        streams = [ideas, comments]
    else:
        streams = [_stream(url, schemas, "features")]
    if work == "changed":
        streams[0]["incremental_sync"] = {
            "type": "DatetimeBasedCursor",
            "cursor_field": "updated_at",
            "datetime_format": "%Y-%m-%dT%H:%M:%S.%fZ",
            "start_datetime": "2025-03-01T00:00:00.000000Z",
            "start_time_option": {**_PAGE, "field_name": "updated_since"},
        }
    return {
        "type": "DeclarativeSource",
        "version": "6.0.0",
        "check": {"type": "CheckStream", "stream_names": [streams[0]["name"]]},
        "spec": {"type": "Spec", "connection_specification": {"type": "object", "properties": {}}},
        "streams": streams,
    }


_PAGE = {"type": "RequestOption", "inject_into": "request_parameter", "field_name": "page"}


def _stream(url: str, schemas: Mapping[str, object], name: str, path: str | None = None) -> dict[str, Any]:
    return {
        "type": "DeclarativeStream",
        "name": name,
        "primary_key": ["id"],
        "schema_loader": {"type": "InlineSchemaLoader", "schema": schemas.get(name, {})},
        "retriever": {
            "type": "SimpleRetriever",
            "requester": {
                "type": "HttpRequester",
                "url_base": url,
                "path": path or f"/api/v1/{name}",
                "http_method": "GET",
                "request_parameters": {"fields": "*"},
                "authenticator": {"type": "BearerAuthenticator", "api_token": "key"},
            },
            "record_selector": {
                "type": "RecordSelector",
                "extractor": {"type": "DpathExtractor", "field_path": [name]},
            },
            "paginator": {
                "type": "DefaultPaginator",
                "page_token_option": _PAGE,
                "page_size_option": {**_PAGE, "field_name": "per_page"},
                "pagination_strategy": {
                    "type": "PageIncrement",
                    "page_size": 200,
                    "start_from_page": 1,
                    "inject_on_first_request": True,
                },
            },
        },
    }


def main(url: str, folder: Path, file: Path, work: str = "features") -> None:
    """Read into a database, and leave the seconds of CPU that it took beside the imports."""
    os.environ |= {
        "AIRBYTE_OFFLINE_MODE": "1",
        "DO_NOT_TRACK": "1",
        "AIRBYTE_LOGGING_ROOT": str(folder / "logs"),
        "AIRBYTE_TEMP_DIR": str(folder),
    }
    airbyte = importlib.import_module("airbyte")  # of the other environment
    before = own_cpu_seconds()
    if work == "faker":
        source = airbyte.get_source(
            "source-faker", config={"count": int(url), "seed": 1}, local_executable=file, streams=["users"]
        )
    elif work == "changed":  # by the CDK's own program, for a manifest that is read in this process is given no state
        source = airbyte.get_source(
            "source-aha-by-manifest",
            config={"__injected_declarative_manifest": manifest(url, json.loads(file.read_text()), work)},
            local_executable=Path(sys.executable).parent / "source-declarative-manifest",
            streams=["features"],
        )
    elif work == "own":
        source = airbyte.get_source(
            "source-aha", config={"url": url, "api_key": "key"}, source_manifest=file, streams=["features_stream"]
        )
    else:
        source = airbyte.get_source(
            "source-aha-by-manifest",
            config={},
            source_manifest=manifest(url, json.loads(file.read_text()), work),
            streams=["ideas", "idea_comments"] if work == "ideas" else ["features"],
        )
    source.read(airbyte.DuckDBCache(db_path=folder / "pyairbyte.duckdb", cache_dir=folder / "cache"))
    (folder / "cpu_after_imports").write_text(str(own_cpu_seconds() - before))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), *sys.argv[4:])
