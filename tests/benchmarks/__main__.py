"""Run the benchmarks and print tables: `python -m tests.benchmarks [--only throughput|memory|start|documents]`."""

import argparse
import importlib.metadata
import os
import platform
from collections.abc import Mapping

from tests.benchmarks.measure import Cost
from tests.benchmarks.parts import documents, memory, start, throughput

_PACKAGES = ("dagster", "duckdb", "msgspec", "requests", "urllib3", "pydantic")


def main() -> None:
    """Read the command line, run, print."""
    parser = argparse.ArgumentParser("python -m tests.benchmarks", description=__doc__)
    parser.add_argument(
        "--only", choices=("throughput", "memory", "start", "documents"), help="one part; without it, all"
    )
    parser.add_argument("--records", type=int, default=100_000, help="how many to load (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=3, help="of which the medians are shown (default: %(default)s)")
    arguments = parser.parse_args()
    records, runs = arguments.records, arguments.runs
    print(machine())
    if arguments.only in (None, "throughput"):
        costs = throughput(records, runs)
        print(f"\n## Throughput: {records:,} records of 1 KB, medians of {runs}, in turns\n\n{table(costs)}\n")
        print(ratio("engine / floor, whole process", costs["engine"].cpu_seconds, costs["floor"].cpu_seconds))
        print(ratio("engine / floor, after imports", _after_imports(costs["engine"]), _after_imports(costs["floor"])))
        alone, empty = costs["engine, in a Dagster run"], costs["empty Dagster run"]
        print(ratio("Dagster run / floor, whole process", alone.cpu_seconds, costs["floor"].cpu_seconds))
        print(
            ratio(
                "(Dagster run - empty Dagster run) / floor after imports",
                alone.cpu_seconds - empty.cpu_seconds,
                _after_imports(costs["floor"]),
            )
        )
    if arguments.only in (None, "memory"):
        costs = memory(records, runs)
        few, many = costs.values()
        print(f"\n## Memory: medians of {runs}, and one run of ten times as many\n\n{table(costs)}\n")
        print(ratio("peak memory at ten times the records", many.peak_bytes / 1e6, few.peak_bytes / 1e6, unit="MB"))
    if arguments.only in (None, "start"):
        costs = start(runs)
        ours, empty = costs["this project"], costs["empty project"]
        print(f"\n## Start: `dagster definitions validate`, medians of {runs}, in turns\n\n{short_table(costs)}\n")
        print(ratio("this project / empty project", ours.wall_seconds, empty.wall_seconds))
    if arguments.only in (None, "documents"):
        costs = documents(records // 10, runs)
        parsing, *ways = costs
        print(f"\n## Documents: {records // 10:,} records, medians of {runs}, in turns\n\n{table(costs)}\n")
        for way in ways:
            print(ratio(f"{way} / {parsing}", _after_imports(costs[way]), _after_imports(costs[parsing])))


def machine() -> str:
    """Return what the figures are of: processor, system and versions."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _PACKAGES)
    return (
        f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()} {platform.release()}; "
        f"Python {platform.python_version()}, {versions}"
    )


def table(costs: Mapping[str, Cost]) -> str:
    """Return costs as a Markdown table."""
    lines = ["| | CPU s | of it after imports | wall s | peak MB |", "|---|---:|---:|---:|---:|"]
    for name, cost in costs.items():
        after = "" if cost.cpu_seconds_after_imports is None else f"{cost.cpu_seconds_after_imports:.2f}"
        lines.append(
            f"| {name} | {cost.cpu_seconds:.2f} | {after} | {cost.wall_seconds:.2f} | {cost.peak_bytes / 1e6:.0f} |"
        )
    return "\n".join(lines)


def short_table(costs: Mapping[str, Cost]) -> str:
    """Return the costs of small processes as a Markdown table, without their memory, which is not known."""
    lines = ["| | CPU s | wall s |", "|---|---:|---:|"]
    lines += [f"| {name} | {cost.cpu_seconds:.2f} | {cost.wall_seconds:.2f} |" for name, cost in costs.items()]
    return "\n".join(lines)


def ratio(what: str, ours: float, theirs: float, unit: str = "s") -> str:
    """Return a line that says what was divided by what."""
    return f"{what}: {ours:.2f} {unit} / {theirs:.2f} {unit} = {ours / theirs:.2f}"


def _after_imports(cost: Cost) -> float:
    assert cost.cpu_seconds_after_imports is not None
    return cost.cpu_seconds_after_imports


if __name__ == "__main__":
    main()
