"""The parts of the benchmark. Each returns figures; nothing here judges them."""

import json
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from connector_resources.destinations.duckdb_tables import TYPES
from connector_resources.sources.aha import Aha
from tests.benchmarks import datasets as rows_of_datasets
from tests.benchmarks.documents import CASES, prepare
from tests.benchmarks.measure import Asked, Cost, counted, run, serving, typical
from tests.benchmarks.pyairbyte import VERSION

_COLUMNS = {column.name: TYPES[column.type] for column in Aha.stream("features").columns}


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a database holds of the declared columns: rows, and a checksum that does not depend on their order."""

    rows: int
    checksum: int


def loaded(database: Path, table: str = "aha.features", columns: Sequence[str] = tuple(_COLUMNS)) -> Loaded:
    """Count the rows of a table, and digest these columns of them."""
    values = ", ".join(f'"{name}"' for name in columns)
    with duckdb.connect(str(database), read_only=True) as connection:
        found = connection.execute(f"SELECT count(*), sum(hash({values})::HUGEINT) FROM {table}").fetchone()
    assert found is not None
    return Loaded(*found)


def floor(url: str, folder: Path, python: Path | None = None) -> Cost:
    """Run the floor in a folder."""
    columns = folder / "columns.json"
    columns.write_text(json.dumps(_COLUMNS))
    return _run(["-m", "tests.benchmarks.floor", url, str(folder), str(columns)], folder, python)


def engine(url: str, folder: Path) -> Cost:
    """Run the engine in a folder."""
    return _run(["-m", "tests.benchmarks.engine", url, str(folder)], folder)


def dagster_run(url: str, folder: Path) -> Cost:
    """Run the engine inside Dagster in a folder."""
    return _run(["-m", "tests.benchmarks.dagster_run", str(folder), url], folder)


def empty_dagster_run(url: str, folder: Path) -> Cost:
    """Run an asset that does nothing inside Dagster."""
    return _run(["-m", "tests.benchmarks.dagster_run", str(folder)], folder)


def script(url: str, folder: Path) -> Cost:
    """Run the Python API in a folder."""
    return _run(["-m", "tests.benchmarks.script", url, str(folder)], folder)


def pyairbyte(url: str, folder: Path, python: Path, work: str = "features") -> Cost:
    """Run PyAirbyte, by the Python of an environment that has it, in a folder."""
    import connector_resources as ab

    schemas = folder / "schemas.json"
    source, names = ab.get_source("source-aha"), ("features", "ideas", "idea_comments")
    schemas.write_text(json.dumps({name: source.get_stream_json_schema(name) for name in names}))
    return _run(["-m", "tests.benchmarks.pyairbyte", url, str(folder), str(schemas), work], folder, python)


def _run(command: Sequence[str], folder: Path, python: Path | None = None) -> Cost:
    return run(command, own_cost=folder / "cpu_after_imports", python=python)


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


MEMORY: Mapping[str, tuple[Callable[[str, Path], Cost], str]] = {
    "engine": (engine, "engine.duckdb"),
    "Python API": (script, "script.duckdb"),
    "engine, in a Dagster run": (dagster_run, "engine.duckdb"),
}
"""What runs, and the database it leaves behind."""

GROWTH = 10
"""How many times as many records are read to see whether memory grows with them."""


def memory(records: int, runs: int) -> dict[str, tuple[Cost, Cost]]:
    """Return the typical cost of each way to land a number of records, and that of one run at GROWTH times as many.

    Raises ValueError where one has not loaded all of them.
    """
    _compile()
    costs: dict[str, list[list[Cost]]] = {name: [[], []] for name in MEMORY}
    for which, (size, times) in enumerate(((records, runs), (GROWTH * records, 1))):
        with serving(size) as url:
            for _ in range(times):
                for name, (way, database) in MEMORY.items():
                    with tempfile.TemporaryDirectory() as folder:
                        costs[name][which].append(way(url, Path(folder)))
                        if (rows := loaded(Path(folder) / database).rows) != size:
                            raise ValueError(f"{name} loaded {rows} rows, not {size}.")
    return {name: (typical(few), typical(many)) for name, (few, many) in costs.items()}


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


def first_use(runs: int) -> dict[str, Cost]:
    """Return the typical cost of a script, step by step: each does what the one before it does, and something more."""
    steps = {
        "nothing": "pass",
        "import connector_resources": "import connector_resources as ab",
        "get_source": "source = ab.get_source('source-faker', config={'count': 100}, streams='users')",
        "check": "source.check()",
        "read 100 records": "result = source.read(ab.DuckDBCache('cache.duckdb'))",
        "walk through them": "list(result['users'])",
        "to_pandas": "result['users'].to_pandas()",
    }
    programs, program = dict[str, str](), ""
    for name, step in steps.items():
        programs[name] = program = f"{program}\n{step}"
    programs["import dagster"] = "import dagster"
    programs["import pandas"] = "import pandas"
    costs: dict[str, list[Cost]] = {name: [] for name in programs}
    for _ in range(runs + 1):
        for name, text in programs.items():
            with tempfile.TemporaryDirectory() as folder:
                costs[name].append(run(["-c", text], Path(folder), {"DATA_FOLDER": folder, "CONNECTOR_MODE": ""}))
    return {name: typical(of_name[1:]) for name, of_name in costs.items()}  # the first run compiled what it imported


def datasets(rows: int, runs: int) -> dict[str, Cost]:
    """Return the typical cost of making frames of so many rows, `datasets.TIMES` times in each process, in turns."""
    _compile()
    costs: dict[str, list[Cost]] = {name: [] for name in rows_of_datasets.CASES}
    with tempfile.TemporaryDirectory() as folder:
        _prepare_rows(rows, folder)
        for _ in range(runs):
            for name, taken in costs.items():
                taken.append(_run(["-m", "tests.benchmarks.datasets", name, folder], Path(folder)))
    return {name: typical(of_name) for name, of_name in costs.items()}


def arrow(rows: int, runs: int, growth: int = 10) -> dict[str, Cost]:
    """Return the typical cost of streaming rows as Arrow, of `growth` times as many, and of one table of all those."""
    _compile()
    costs: dict[str, Cost] = {}
    for size, ways in ((rows, ["to_arrow"]), (growth * rows, ["to_arrow", "a table of Arrow"])):
        with tempfile.TemporaryDirectory() as folder:
            _prepare_rows(size, folder)
            for way in ways:
                taken = [_run(["-m", "tests.benchmarks.datasets", way, folder], Path(folder)) for _ in range(runs)]
                costs[f"{way}, {size:,} rows"] = typical(taken)
    return costs


def _prepare_rows(rows: int, folder: str) -> None:
    """Write the tables in another process, for what this one holds is counted as memory of those that it starts."""
    code = "import sys; from pathlib import Path; from tests.benchmarks.datasets import prepare"
    run(["-c", f"{code}; prepare(int(sys.argv[1]), Path(sys.argv[2]))", str(rows), folder])


def beside_pyairbyte(records: int, runs: int, python: Path) -> dict[str, Cost]:
    """Return the typical cost of PyAirbyte, the Python API, and the floor of the same work; all take turns.

    Raises ValueError where two of them loaded other rows.
    """
    _compile()
    ways: Mapping[str, tuple[Callable[[str, Path], Cost], str, str]] = {
        "floor": (floor, "floor.duckdb", "aha.features"),
        "Python API": (script, "script.duckdb", "aha.features"),
        f"PyAirbyte {VERSION}": (lambda url, folder: pyairbyte(url, folder, python), "pyairbyte.duckdb", "features"),
    }
    costs: dict[str, list[Cost]] = {name: [] for name in ways}
    with serving(records) as url:
        with tempfile.TemporaryDirectory() as folder:
            pyairbyte(url, Path(folder), python)  # which compiles what it imports
        for _ in range(runs):
            found: dict[str, Loaded] = {}
            for name, (way, database, table) in ways.items():
                with tempfile.TemporaryDirectory() as folder:
                    costs[name].append(way(url, Path(folder)))
                    found[name] = loaded(Path(folder) / database, table, ("id", "name", "reference_num", "position"))
            if set(found.values()) != {found["floor"]} or found["floor"].rows != records:
                raise ValueError(f"They did not load the same {records} rows: {found}")
    return {name: typical(of_name) for name, of_name in costs.items()}


def commits(batch: int, replays: int, few: int = 1_000_000, many: int = 10_000_000) -> dict[int, dict[str, Any]]:
    """Return what `tests.benchmarks.commits` finds of two tables of so many rows; the smaller one is replayed, too."""
    found: dict[int, dict[str, Any]] = {}
    for rows in (few, many):
        with tempfile.TemporaryDirectory() as folder:

            def case(name: str, number: int, folder: str = folder) -> Any:
                run(["-m", "tests.benchmarks.commits", name, folder, str(number), str(batch)])
                return json.loads((Path(folder) / "figures.json").read_text())

            case("prepare", rows)
            found[rows] = {"replay": case("replay", replays)} if rows == few else {}
            found[rows] |= {"read": case("read", rows), "land": case("land", rows)}
    return found


def nothing_new(records: int, runs: int) -> tuple[dict[str, Cost], Asked]:
    """Return the typical cost of a run for a day on which nothing changed, that of an empty one, and its requests.

    The table holds so many records by then.
    """
    _compile()
    costs: dict[str, list[Cost]] = {"a run that finds nothing new": [], "empty Dagster run": []}
    with serving(records) as url, tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as other:
        dagster_run(url, Path(folder))
        empty_dagster_run(url, Path(other))
        for _ in range(runs):
            counted(url)
            costs["a run that finds nothing new"].append(
                _run(["-m", "tests.benchmarks.dagster_run", folder, url, "--last"], Path(folder))
            )
            asked = counted(url)
            costs["empty Dagster run"].append(
                _run(["-m", "tests.benchmarks.dagster_run", other, "--last"], Path(other))
            )
    return {name: typical(of_name) for name, of_name in costs.items()}, asked


@dataclass(frozen=True, slots=True)
class Size:
    """The bytes that a package has on disk: its files, and what Python compiled of them."""

    files: int
    compiled: int


def sizes(environment: Path) -> dict[str, Size]:
    """Return how large each installed package is, the largest first; neither pip nor setuptools is counted."""
    code = (
        "import importlib.metadata as m, json; "
        "print(json.dumps([[d.metadata['Name'], [str(d.locate_file(f)) for f in d.files or ()]] "
        "for d in m.distributions()]))"
    )
    said = subprocess.run(
        [str(environment / "bin" / "python"), "-I", "-c", code], capture_output=True, text=True, check=True
    )
    found: dict[str, Size] = {}
    for name, files in json.loads(said.stdout):
        if name.lower() in ("pip", "setuptools"):
            continue
        there = [(path.suffix == ".pyc", path.stat().st_size) for path in map(Path, files) if path.exists()]
        found[name] = Size(
            sum(size for is_compiled, size in there if not is_compiled),
            sum(size for is_compiled, size in there if is_compiled),
        )
    return dict(sorted(found.items(), key=lambda item: -item[1].files))


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
    names = ("floor", "engine", "dagster_run", "documents", "script", "datasets")
    run(["-c", f"import {', '.join(f'tests.benchmarks.{name}' for name in names)}"])
