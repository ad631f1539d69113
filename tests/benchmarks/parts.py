"""The parts of the benchmark: throughput, memory, start, documents. Each returns figures; nothing here judges them."""

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from connector_resources.destinations.duckdb_tables import TYPES
from connector_resources.sources.aha import Aha
from tests.benchmarks.documents import CASES, prepare
from tests.benchmarks.measure import Cost, run, serving, typical

_COLUMNS = {column.name: TYPES[column.type] for column in Aha.stream("features").columns}


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a database holds of the declared columns: rows, and a checksum that does not depend on their order."""

    rows: int
    checksum: int


def loaded(database: Path) -> Loaded:
    """Count and digest aha.features."""
    values = ", ".join(f'"{name}"' for name in _COLUMNS)
    with duckdb.connect(str(database), read_only=True) as connection:
        found = connection.execute(f"SELECT count(*), sum(hash({values})::HUGEINT) FROM aha.features").fetchone()
    assert found is not None
    return Loaded(*found)


def floor(url: str, folder: Path) -> Cost:
    """Run the floor in a folder."""
    columns = folder / "columns.json"
    columns.write_text(json.dumps(_COLUMNS))
    return _run(["-m", "tests.benchmarks.floor", url, str(folder), str(columns)], folder)


def engine(url: str, folder: Path) -> Cost:
    """Run the engine in a folder."""
    return _run(["-m", "tests.benchmarks.engine", url, str(folder)], folder)


def dagster_run(url: str, folder: Path) -> Cost:
    """Run the engine inside Dagster in a folder."""
    return _run(["-m", "tests.benchmarks.dagster_run", str(folder), url], folder)


def empty_dagster_run(url: str, folder: Path) -> Cost:
    """Run an asset that does nothing inside Dagster."""
    return _run(["-m", "tests.benchmarks.dagster_run", str(folder)], folder)


def _run(command: Sequence[str], folder: Path) -> Cost:
    return run(command, own_cost=folder / "cpu_after_imports")


THROUGHPUT: Mapping[str, tuple[Callable[[str, Path], Cost], str | None]] = {
    "floor": (floor, "floor.duckdb"),
    "engine": (engine, "engine.duckdb"),
    "engine, in a Dagster run": (dagster_run, "engine.duckdb"),
    "empty Dagster run": (empty_dagster_run, None),
}
"""What runs, and the database it leaves behind."""


def throughput(records: int, runs: int) -> dict[str, Cost]:
    """Return the typical cost of each way to load the same records; all take turns against one server.

    Raises ValueError where two of them loaded other rows.
    """
    _compile()
    costs: dict[str, list[Cost]] = {name: [] for name in THROUGHPUT}
    with serving(records) as url:
        for _ in range(runs):
            found: dict[str, Loaded] = {}
            for name, (way, database) in THROUGHPUT.items():
                with tempfile.TemporaryDirectory() as folder:
                    costs[name].append(way(url, Path(folder)))
                    if database is not None:
                        found[name] = loaded(Path(folder) / database)
            if set(found.values()) != {found["floor"]} or found["floor"].rows != records:
                raise ValueError(f"They did not load the same {records} rows: {found}")
    return {name: typical(of_name) for name, of_name in costs.items()}


def memory(records: int, runs: int, growth: int = 10) -> dict[str, Cost]:
    """Return the typical cost of the engine at a number of records, and of one run at `growth` times as many."""
    _compile()
    costs: dict[str, Cost] = {}
    for size, times in ((records, runs), (growth * records, 1)):
        with serving(size) as url:
            taken = []
            for _ in range(times):
                with tempfile.TemporaryDirectory() as folder:
                    taken.append(engine(url, Path(folder)))
                    if loaded(Path(folder) / "engine.duckdb").rows != size:
                        raise ValueError(f"The engine did not load {size} rows.")
        costs[f"{size:,} records"] = typical(taken)
    return costs


def start(runs: int) -> dict[str, Cost]:
    """Return the typical cost of validating the project's definitions, beside those of an empty project."""
    validate = ["-m", "dagster", "definitions", "validate", "-m"]
    costs: dict[str, list[Cost]] = {"nothing": [], "import dagster": [], "empty project": [], "this project": []}
    with tempfile.TemporaryDirectory() as folder:
        home = {"DAGSTER_HOME": folder}
        (Path(folder) / "dagster.yaml").touch()
        (Path(folder) / "empty_project.py").write_text("import dagster as dg\n\ndefs = dg.Definitions()\n")
        for _ in range(runs + 1):
            costs["nothing"].append(run(["-c", "pass"]))
            costs["import dagster"].append(run(["-c", "import dagster"]))
            costs["empty project"].append(run([*validate, "empty_project"], Path(folder), home))
            costs["this project"].append(run([*validate, "orchestration.definitions"], environment=home))
    return {name: typical(of_name[1:]) for name, of_name in costs.items()}  # the first run compiled what it imported


def documents(records: int, runs: int) -> dict[str, Cost]:
    """Return the typical cost of making documents of so many records in each way; all take turns."""
    _compile()
    costs: dict[str, list[Cost]] = {name: [] for name in CASES}
    with tempfile.TemporaryDirectory() as folder:
        prepare(records, Path(folder))
        for _ in range(runs):
            for name, taken in costs.items():
                taken.append(_run(["-m", "tests.benchmarks.documents", name, str(records), folder], Path(folder)))
    return {name: typical(of_name) for name, of_name in costs.items()}


def _compile() -> None:
    """Have all modules compiled, so that the first to be measured does not pay for it."""
    names = ("floor", "engine", "dagster_run", "documents")
    run(["-c", f"import {', '.join(f'tests.benchmarks.{name}' for name in names)}"])
