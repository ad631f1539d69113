"""PyAirbyte on the same work: `python -m tests.benchmarks.pyairbyte URL FOLDER SCHEMA`, by a Python that has it.

It reads the features through a manifest, the way its own connector for Aha! is made, by pages of 200, with the JSON
schema in the file SCHEMA, into its DuckDB cache. Nothing goes to the internet: neither its registry nor its statistics
of use are asked for, and no connector is downloaded.
"""

import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from tests.benchmarks.own_cost import own_cpu_seconds

VERSION = "0.71.3"


def manifest(url: str, schema: object) -> dict[str, Any]:
    """Return the declaration of a source with one stream, as Airbyte's low-code connectors have it."""
    page = {"type": "RequestOption", "inject_into": "request_parameter", "field_name": "page"}
    return {
        "type": "DeclarativeSource",
        "version": "6.0.0",
        "check": {"type": "CheckStream", "stream_names": ["features"]},
        "spec": {"type": "Spec", "connection_specification": {"type": "object", "properties": {}}},
        "streams": [
            {
                "type": "DeclarativeStream",
                "name": "features",
                "primary_key": ["id"],
                "schema_loader": {"type": "InlineSchemaLoader", "schema": schema},
                "retriever": {
                    "type": "SimpleRetriever",
                    "requester": {
                        "type": "HttpRequester",
                        "url_base": url,
                        "path": "/api/v1/features",
                        "http_method": "GET",
                        "request_parameters": {"fields": "*"},
                        "authenticator": {"type": "BearerAuthenticator", "api_token": "key"},
                    },
                    "record_selector": {
                        "type": "RecordSelector",
                        "extractor": {"type": "DpathExtractor", "field_path": ["features"]},
                    },
                    "paginator": {
                        "type": "DefaultPaginator",
                        "page_token_option": page,
                        "page_size_option": {**page, "field_name": "per_page"},
                        "pagination_strategy": {
                            "type": "PageIncrement",
                            "page_size": 200,
                            "start_from_page": 1,
                            "inject_on_first_request": True,
                        },
                    },
                },
            }
        ],
    }


def main(url: str, folder: Path, schema: Path) -> None:
    """Read all features into a database, and leave the seconds of CPU that it took beside the imports."""
    os.environ |= {
        "AIRBYTE_OFFLINE_MODE": "1",
        "DO_NOT_TRACK": "1",
        "AIRBYTE_LOGGING_ROOT": str(folder / "logs"),
        "AIRBYTE_TEMP_DIR": str(folder),
    }
    airbyte = importlib.import_module("airbyte")  # of the other environment
    before = own_cpu_seconds()
    source = airbyte.get_source(
        "source-aha-by-manifest",
        config={},
        source_manifest=manifest(url, json.loads(schema.read_text())),
        streams=["features"],
    )
    source.read(airbyte.DuckDBCache(db_path=folder / "pyairbyte.duckdb", cache_dir=folder / "cache"))
    (folder / "cpu_after_imports").write_text(str(own_cpu_seconds() - before))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
