"""The floor: the least that gets the same records into the same typed columns.

`python -m tests.benchmarks.floor URL FOLDER COLUMNS` downloads every page with requests over one connection, splits it
with msgspec into raw records, writes them to one NDJSON file, and loads that into DuckDB in one statement with the
columns and types in the JSON file COLUMNS. It imports neither Dagster nor anything of the engine. No resume, no check,
no partitions, no transaction around old rows, no limits: what it leaves out is what the engine is for.
"""

import json
import sys
from pathlib import Path

import duckdb
import msgspec
import requests

from tests.benchmarks.own_cost import own_cpu_seconds

PAGE_SIZE = 200


class _Pagination(msgspec.Struct):
    total_pages: int


class _Envelope(msgspec.Struct):
    features: list[msgspec.Raw]
    pagination: _Pagination


def main(url: str, folder: Path, columns: Path) -> None:
    """Download, split, write, load."""
    decoder = msgspec.json.Decoder(_Envelope)
    lines = folder / "features.ndjson"
    with requests.Session() as session, lines.open("wb") as file:
        number, pages = 1, 1
        while number <= pages:
            answer = session.get(
                f"{url}/api/v1/features",
                params={"fields": "*", "page": str(number), "per_page": str(PAGE_SIZE)},
                headers={"Authorization": "Bearer key"},
                timeout=60,
            )
            answer.raise_for_status()
            envelope = decoder.decode(answer.content)
            file.write(b"\n".join(envelope.features) + b"\n")
            number, pages = number + 1, envelope.pagination.total_pages
    with duckdb.connect(str(folder / "floor.duckdb")) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("CREATE SCHEMA aha")
        connection.execute(
            f"CREATE TABLE aha.features AS SELECT * FROM read_json('{lines}', format = 'newline_delimited', "
            f"columns = {json.loads(columns.read_text())})"
        )


if __name__ == "__main__":
    before = own_cpu_seconds()
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
    (Path(sys.argv[2]) / "cpu_after_imports").write_text(str(own_cpu_seconds() - before))
