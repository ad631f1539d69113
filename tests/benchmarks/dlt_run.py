"""dlt's REST source: `python -m tests.benchmarks.dlt_run URL FOLDER WORK HOW`, by a Python that has it.

`default` is the declaration as dlt's tutorial makes it, with the page size that the API takes at most: nested lists
become tables of their own. `tuned` leaves nested data in the table, goes by Parquet, and is told the number of pages.
Both read what changed since the last run where the table is there already, and merge it. Statistics of use are off.
"""

import importlib
import os
import sys
from pathlib import Path
from typing import Any

from tests.benchmarks.own_cost import own_cpu_seconds

PAGE_SIZE = 200


def declaration(url: str, work: str, how: str) -> dict[str, Any]:
    """Return the configuration of dlt's `rest_api_source`."""
    paginator = {"type": "page_number", "base_page": 1, "total_path": "pagination.total_pages"}
    if how == "default":
        paginator = {"type": "page_number", "base_page": 1, "total_path": None}
    name = "features" if work == "features" else "ideas"
    resources: list[dict[str, Any]] = [
        {
            "name": name,
            "primary_key": "id",
            "write_disposition": "merge" if work == "features" else "replace",
            "endpoint": {
                "path": name,
                "params": {"fields": "*", "per_page": PAGE_SIZE},
                "data_selector": name,
                "paginator": paginator,
            },
        }
    ]
    if work == "features":
        resources[0]["endpoint"]["incremental"] = {
            "cursor_path": "updated_at",
            "start_param": "updated_since",
            "initial_value": "2025-03-01T00:00:00.000Z",
        }
    else:
        resources.append(
            {
                "name": "idea_comments",
                "primary_key": "id",
                "write_disposition": "replace",
                "include_from_parent": ["id"],
                "parallelized": how == "tuned",
                "endpoint": {
                    "path": "ideas/{resources.ideas.id}/idea_comments",
                    "data_selector": "idea_comments",
                    "paginator": "single_page",
                },
            }
        )
    client = {"base_url": f"{url}/api/v1/", "auth": {"type": "bearer", "token": "key"}}
    return {"client": client, "resources": resources}


def main(url: str, folder: Path, work: str, how: str) -> None:
    """Run a pipeline into a DuckDB file."""
    os.environ |= {"RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__LOG_LEVEL": "ERROR", "DLT_DATA_DIR": str(folder)}
    dlt = importlib.import_module("dlt")  # of the other environment
    rest_api = importlib.import_module("dlt.sources.rest_api")
    importlib.import_module("duckdb")
    before = own_cpu_seconds()
    source = rest_api.rest_api_source(declaration(url, work, how), name="aha")
    if how == "tuned":
        source.max_table_nesting = 0
    pipeline = dlt.pipeline(
        "benchmark",
        pipelines_dir=str(folder / "pipelines"),
        destination=dlt.destinations.duckdb(str(folder / "dlt.duckdb")),
        dataset_name="aha",
    )
    pipeline.run(source, **({"loader_file_format": "parquet"} if how == "tuned" else {}))
    (folder / "cpu_after_imports").write_text(str(own_cpu_seconds() - before))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], sys.argv[4])
