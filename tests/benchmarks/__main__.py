"""Run the benchmarks and print tables: `python -m tests.benchmarks`, or one of them with `--only`.

Some take minutes or need more than is installed for development, and run only when they are asked for: `--only peers`
installs what people would use instead, each in an environment of its own, measures them all on the same work, and draws
a plot; `--only pyairbyte` measures PyAirbyte beside this project, `--only commits` a table of ten million rows,
`--only install` how large the project is with all it needs, and `--only arrow` needs pyarrow (`make test-extras`, then
PYTHONPATH=.venv/extras).
"""

import argparse
import importlib.metadata
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median

from tests.benchmarks import datasets as frames
from tests.benchmarks import parts
from tests.benchmarks import peers as peers_
from tests.benchmarks.environments import NOT_RUN, PYAIRBYTE, made, versions
from tests.benchmarks.environments import install as install_into
from tests.benchmarks.measure import ROOT, Cost
from tests.benchmarks.pyairbyte import VERSION

_PACKAGES = ("dagster", "duckdb", "msgspec", "pandas", "requests", "urllib3", "pydantic")


def main() -> None:
    """Read the command line, run, print."""
    parser = argparse.ArgumentParser("python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--only", choices=PARTS, help="one part; without it, all that need nothing more")
    parser.add_argument("--records", type=int, default=100_000, help="how many to load (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=3, help="of which the medians are shown (default: %(default)s)")
    parser.add_argument(
        "--environments",
        type=Path,
        default=ROOT / "build" / "peers",
        help="where the others are installed, or will be (default: %(default)s)",
    )
    parser.add_argument(
        "--sizes",
        type=lambda text: [int(size) for size in text.split(",")],
        default=[10_000, 100_000],
        help="peers: how many records, with commas; a million is for the fast ones (default: 10000,100000)",
    )
    parser.add_argument(
        "--work",
        type=lambda text: text.split(","),
        default=list(peers_.KINDS),
        help=f"peers: what is measured, with commas (default: {','.join(peers_.KINDS)})",
    )
    parser.add_argument(
        "--ways",
        type=lambda text: text.split(","),
        default=[],
        help="peers: parts of the names of those to measure, with commas (default: all)",
    )
    parser.add_argument(
        "--plot", type=Path, default=ROOT / "build" / "peers.png", help="peers: the plot (default: %(default)s)"
    )
    parser.add_argument(
        "--results",
        type=Path,
        default=ROOT / "build" / "peers.json",
        help="peers: all results, of earlier runs too, which are drawn with those of this one (default: %(default)s)",
    )
    arguments = parser.parse_args()
    print(machine())
    for name in [arguments.only] if arguments.only else [name for name in PARTS if name not in _ONLY_WHEN_ASKED]:
        PARTS[name](arguments)


def throughput(arguments: argparse.Namespace) -> None:
    """Measure the engine beside the floor."""
    records, runs = arguments.records, arguments.runs
    costs = parts.throughput(records, runs)
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


def memory(arguments: argparse.Namespace) -> None:
    """Measure memory, and time, at ten times the records."""
    few, many = arguments.records, parts.GROWTH * arguments.records
    costs = parts.memory(few, arguments.runs)
    shown = {
        f"{name}, {size:,}": cost for name, both in costs.items() for size, cost in zip((few, many), both, strict=True)
    }
    print(f"\n## Memory: medians of {arguments.runs}, and one run of ten times as many\n\n{table(shown)}\n")
    for name, (less, more) in costs.items():
        peaks = more.peak_bytes / 1e6, less.peak_bytes / 1e6
        print(ratio(f"{name}, peak memory at ten times the records", *peaks, unit="MB"))
        print(ratio(f"{name}, CPU at ten times the records", more.cpu_seconds, less.cpu_seconds))


def start(arguments: argparse.Namespace) -> None:
    """Measure the load of the project's definitions beside an empty project's."""
    costs = parts.start(arguments.runs)
    ours, empty = costs["this project"], costs["empty project"]
    print(
        f"\n## Start: `dagster definitions validate`, medians of {arguments.runs}, in turns\n\n{short_table(costs)}\n"
    )
    print(ratio("this project / empty project", ours.wall_seconds, empty.wall_seconds))


def first(arguments: argparse.Namespace) -> None:
    """Measure the first steps of a script."""
    costs = parts.first_use(arguments.runs)
    print(f"\n## A script's first steps, medians of {arguments.runs}, in turns\n\n{short_table(costs)}\n")
    print(ratio("get_source / import dagster", costs["get_source"].cpu_seconds, costs["import dagster"].cpu_seconds))


def datasets(arguments: argparse.Namespace) -> None:
    """Measure frames of pandas beside DuckDB's own, and the memory of a stream of Arrow."""
    rows, runs = arguments.records, arguments.runs
    costs = parts.datasets(rows, runs)
    print(f"\n## Frames: {rows:,} rows, {frames.TIMES} times, medians of {runs}, in turns\n\n{table(costs)}\n")
    for ours, theirs in (
        ("to_pandas, plain", "df, plain"),
        ("to_pandas, with JSON", "df, with JSON"),
        ("to_pandas, with JSON", "df, then JSON parsed"),
        ("to_pandas, with JSON of its own in each row", "df, with JSON of its own in each row"),
    ):
        print(ratio(f"{ours} / {theirs}", _after_imports(costs[ours]), _after_imports(costs[theirs])))


def arrow(arguments: argparse.Namespace) -> None:
    """Measure the memory of a stream of Arrow; needs pyarrow, as `make test-extras` installs it."""
    rows, runs = arguments.records, arguments.runs
    print(f"pyarrow {importlib.metadata.version('pyarrow')}")
    costs = parts.arrow(rows, runs)
    few, many, _ = costs.values()
    print(f"\n## Arrow, medians of {runs}\n\n{table(costs)}\n")
    print(
        ratio("peak memory of to_arrow at ten times the rows", many.peak_bytes / 1e6, few.peak_bytes / 1e6, unit="MB")
    )


def documents(arguments: argparse.Namespace) -> None:
    """Measure documents beside the parsing of their HTML."""
    records, runs = arguments.records // 10, arguments.runs
    costs = parts.documents(records, runs)
    parsing, *ways = costs
    print(f"\n## Documents: {records:,} records, medians of {runs}, in turns\n\n{table(costs)}\n")
    for way in ways:
        print(ratio(f"{way} / {parsing}", _after_imports(costs[way]), _after_imports(costs[parsing])))


def pyairbyte(arguments: argparse.Namespace) -> None:
    """Measure PyAirbyte beside the Python API, on the same records of the same server."""
    records, runs = arguments.records, arguments.runs
    if (why := made(PYAIRBYTE, arguments.environments)) is not None:
        sys.exit(why)
    python = PYAIRBYTE.python(arguments.environments)
    print(versions(python, PYAIRBYTE.told))
    costs = parts.beside_pyairbyte(records, runs, python)
    floor, ours, theirs = costs.values()
    print(f"\n## PyAirbyte: {records:,} records of 1 KB, medians of {runs}, in turns\n\n{table(costs)}\n")
    for name, cost in costs.items():
        print(f"{name}: {records / cost.wall_seconds:,.0f} records a second of wall time")
    print(ratio("PyAirbyte / Python API, whole process, CPU", theirs.cpu_seconds, ours.cpu_seconds))
    print(ratio("PyAirbyte / Python API, whole process, wall", theirs.wall_seconds, ours.wall_seconds))
    print(ratio("PyAirbyte / Python API, after imports, CPU", _after_imports(theirs), _after_imports(ours)))
    print(ratio("PyAirbyte / floor, after imports, CPU", _after_imports(theirs), _after_imports(floor)))


def peers(arguments: argparse.Namespace) -> None:
    """Measure what people would use instead on the same work, print a table for each, and draw all of it."""
    works = peers_.works(arguments.work, arguments.sizes)
    chosen = {way.name: way for work in works for way in peers_.ways(work, arguments.ways)}
    told, missing = peers_.prepared([*chosen.values()], arguments.environments)
    print("".join(f"\n- {name}: {found}" for name, found in told.items()))
    for name, why in {**NOT_RUN, **missing}.items():
        print(f"- not run: {name}: {why}")
    found = peers_.load(saved) if (saved := arguments.results).exists() else []
    for work in works:
        there = [way for way in peers_.ways(work, arguments.ways) if way.name not in missing]
        results = peers_.measured(work, there, arguments.runs, arguments.environments)
        load = ", ".join(f"{load:.1f}" for load in os.getloadavg())
        print(f"\n## {work}\n\n{peers_.table(results)}\n\nLoad of the machine at the end: {load}", flush=True)
        again = {(each.work, each.way) for each in results}
        found = peers_.ordered([*(each for each in found if (each.work, each.way) not in again), *results])
        peers_.save(found, saved)
    peers_.plot(found, arguments.plot)
    print(f"\nAll results: {saved}; the plot: {arguments.plot}")


def commits(arguments: argparse.Namespace) -> None:
    """Measure commits of a batch, and reads, at a million and at ten million rows; and the file over many replays."""
    found = parts.commits(arguments.records, _REPLAYS)
    few, many = found
    for heading, what, kind in (
        ("A batch of {:,} records is landed: CPU s of the commit", "land", "commit"),
        ("The same: CPU s of all of the landing", "land", "landing"),
    ):
        print(f"\n## {heading.format(arguments.records)}\n")
        print(f"| | {few:,} rows | {many:,} rows | ratio |\n|---|---:|---:|---:|")
        for case in found[few][what]:
            ours, theirs = (median(each[kind] for each in found[rows][what][case]) for rows in (many, few))
            print(f"| {case} | {theirs:.2f} | {ours:.2f} | {ours / theirs:.2f} |")
    print(f"\n## Reads of {many:,} rows: CPU s\n\n| | plain table | current rows | ratio |\n|---|---:|---:|---:|")
    for case, taken in found[many]["read"].items():
        plain, view = median(taken["plain"]), median(taken["view"])
        print(f"| {case} | {plain:.3f} | {view:.3f} | {view / plain:.2f} |")
    sizes = [size / 1e6 for size in found[few]["replay"]["sizes"]]
    print(f"\n## One day of {few:,} rows, replayed {len(sizes) - 1} times with other values: MB of the file\n")
    print(f"before {sizes[0]:.1f}, after one {sizes[1]:.1f}, largest {max(sizes):.1f}, at the end {sizes[-1]:.1f}")


def nothing_new(arguments: argparse.Namespace) -> None:
    """Measure a Dagster run that finds nothing new beside one that does nothing."""
    costs, asked = parts.nothing_new(arguments.records, arguments.runs)
    ours, empty = costs.values()
    print(f"\n## Nothing new, medians of {arguments.runs}, in turns\n\n{table(costs)}\n")
    print(f"requests: {asked.requests}")
    print(ratio("a run that finds nothing new / an empty run", ours.cpu_seconds, empty.cpu_seconds))


def install(arguments: argparse.Namespace) -> None:
    """Measure how large the project is with what it needs, and PyAirbyte, where that is installed."""
    with tempfile.TemporaryDirectory() as folder:
        install_into(Path(folder), ["--constraint", "constraints.txt", "."])
        _print_sizes("pip install .", Path(folder))
    if (environment := arguments.environments / PYAIRBYTE.name).exists():
        _print_sizes(f"pip install airbyte=={VERSION}", environment)


def _print_sizes(what: str, environment: Path) -> None:
    sizes = parts.sizes(environment)
    files, compiled = sum(size.files for size in sizes.values()), sum(size.compiled for size in sizes.values())
    print(f"\n## {what}: {len(sizes)} packages, {files / 1e6:.0f} MB, and {compiled / 1e6:.0f} MB compiled\n")
    print("| | MB | compiled |\n|---|---:|---:|")
    for name, size in [*sizes.items()][:12]:
        print(f"| {name} | {size.files / 1e6:.1f} | {size.compiled / 1e6:.1f} |")


PARTS: Mapping[str, Callable[[argparse.Namespace], None]] = {
    "throughput": throughput,
    "memory": memory,
    "start": start,
    "first": first,
    "datasets": datasets,
    "arrow": arrow,
    "documents": documents,
    "nothing_new": nothing_new,
    "commits": commits,
    "peers": peers,
    "pyairbyte": pyairbyte,
    "install": install,
}
_REPLAYS = 100
_ONLY_WHEN_ASKED = ("arrow", "commits", "peers", "pyairbyte", "install")


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
