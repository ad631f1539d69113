"""Rows of a cache for pandas and Arrow: `python -m tests.benchmarks.datasets CASE FOLDER`.

`plain` has columns of text, numbers, truth values and instants; `with_json` has two of JSON, of a dozen and of four
different values, and one of decimals beside them; `with_own_json` two of JSON that differ in each row. The yardstick is
DuckDB's own `.df()` of the same rows and columns, which leaves JSON as text and makes floats of decimals; `parsed` is
that with what our frames have instead: JSON parsed, decimals exact.
"""

import contextlib
import importlib
import sys
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import msgspec

from connector_resources.caches import DuckDBCache
from tests.benchmarks.own_cost import own_cpu_seconds

SCHEMA = "benchmark"
TIMES = 5
"""How often a frame is made in one process, for one is too short to be measured."""

_PLAIN = {
    "id": "range::BIGINT",
    "name": "'Name ' || range",
    "email": "'person' || range || '@example.com'",
    "age": "(range % 80)::BIGINT",
    "is_active": "range % 3 = 0",
    "score": "range * 0.25::DOUBLE",
    "company": "if(range % 5 = 0, NULL, 'Acme ' || range % 97)",
    "created_at": "TIMESTAMPTZ '2026-01-01 10:00:00+00' + to_seconds(range)",
    "updated_at": "TIMESTAMPTZ '2026-02-01 10:00:00+00' + to_seconds(range)",
}
_PARSED = {
    "status": """format('{{"id":"70123456789012370{:02}","name":"Step {}","position":{},"complete":false}}',
        range % 12, range % 12, range % 12)::JSON""",
    "tags": """(['["import","csv"]', '["import"]', '[]', '["ui","csv","later"]'])[1 + range % 4]::JSON""",
    "price": "(range / 7)::DECIMAL(38,9)",
}
_OWN = {
    "assignee": """format('{{"id":"{}","name":"Person {}","email":"person{}@example.com"}}',
        range, range, range)::JSON""",
    "fields": """format('[{{"key":"impact","value":{}}}]', range)::JSON""",
}
TABLES: Mapping[str, Mapping[str, str]] = {
    "plain": _PLAIN,
    "with_json": {**_PLAIN, **_PARSED},
    "with_own_json": {**_PLAIN, **_OWN},
}


def prepare(rows: int, folder: Path) -> None:
    """Write a database with the two tables, as a landing leaves them."""
    with duckdb.connect(str(folder / "datasets.duckdb")) as connection:
        connection.execute(f"CREATE SCHEMA {SCHEMA}")
        for table, columns in TABLES.items():
            values = ", ".join(f"{value} AS {name}" for name, value in columns.items())
            connection.execute(
                f"CREATE TABLE {SCHEMA}.{table} AS SELECT {values}, NULL::JSON AS _extra, true AS _is_current "
                f"FROM range({rows})"
            )


def df(folder: Path, table: str, exact: str = "") -> Any:
    """Return the rows by DuckDB itself; the column `exact`, if any, as text."""
    columns = ", ".join(f"{name}::VARCHAR AS {name}" if name == exact else name for name in TABLES[table])
    with duckdb.connect(str(folder / "datasets.duckdb"), read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return connection.execute(f"SELECT {columns} FROM {SCHEMA}.{table} WHERE _is_current").df()


def parsed(folder: Path, table: str) -> Any:
    """Return the rows by DuckDB itself, with JSON parsed and decimals exact."""
    import pandas as pd

    frame = df(folder, table, exact="price")
    decode = msgspec.json.Decoder().decode
    for name, read in (("status", decode), ("tags", decode), ("price", Decimal)):
        frame[name] = pd.Series([read(text) for text in frame[name].tolist()], dtype=object)
    return frame


def to_pandas(folder: Path, table: str) -> Any:
    """Return the rows by our dataset."""
    return DuckDBCache(folder / "datasets.duckdb").dataset(SCHEMA, table).to_pandas()


def to_arrow(folder: Path) -> int:
    """Stream the rows in batches, keeping none of them, and return how many there are."""
    dataset = DuckDBCache(folder / "datasets.duckdb").dataset(SCHEMA, "with_json").to_arrow(max_chunk_size=10_000)
    return sum(len(batch) for batch in dataset.to_batches())


def table_of_arrow(folder: Path) -> int:
    """Take all rows at once from DuckDB itself, and return how many there are."""
    with duckdb.connect(str(folder / "datasets.duckdb"), read_only=True) as connection:
        return len(connection.execute(f"SELECT * FROM {SCHEMA}.with_json WHERE _is_current").to_arrow_table())


CASES: Mapping[str, tuple[Callable[[Path, str], Any], str]] = {
    "df, plain": (df, "plain"),
    "to_pandas, plain": (to_pandas, "plain"),
    "df, with JSON": (df, "with_json"),
    "df, then JSON parsed": (parsed, "with_json"),
    "to_pandas, with JSON": (to_pandas, "with_json"),
    "df, with JSON of its own in each row": (df, "with_own_json"),
    "to_pandas, with JSON of its own in each row": (to_pandas, "with_own_json"),
}
STREAMED: Mapping[str, Callable[[Path], int]] = {"to_arrow": to_arrow, "a table of Arrow": table_of_arrow}


def main(name: str, folder: Path) -> int:
    """Run one case, a frame `TIMES` times, and return how many rows it had."""
    if name in STREAMED:
        return STREAMED[name](folder)
    way, table = CASES[name]
    return {len(way(folder, table)) for _ in range(TIMES)}.pop()


if __name__ == "__main__":
    with contextlib.suppress(ImportError):  # which pandas would import later, where it is installed
        importlib.import_module("pyarrow.dataset")
    importlib.import_module("pandas")

    before = own_cpu_seconds()
    main(sys.argv[1], Path(sys.argv[2]))
    (Path(sys.argv[2]) / "cpu_after_imports").write_text(str(own_cpu_seconds() - before))
