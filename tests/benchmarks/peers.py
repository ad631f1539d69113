"""What people would use instead, on the same work: the same server, the same records, each in its own environment.

A piece of work is a number of records, what is done with them, and how slow the server is. Every way to do it runs in a
fresh process, all take turns against one server, and afterwards what is in each database is compared with what the
server has: how many rows, and a checksum of their ids, names, reference numbers, positions and times of change.
"""

import json
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import duckdb

from tests.benchmarks import parts
from tests.benchmarks.environments import (
    DLT,
    FLOOR,
    PYAIRBYTE,
    SCRIPT,
    SOURCE_AHA,
    SOURCE_FAKER,
    Environment,
    made,
    versions,
)
from tests.benchmarks.measure import Asked, Cost, counted, run, serving, typical
from tests.benchmarks.pyairbyte import VERSION
from tests.benchmarks.server import DAYS, LIMIT_PER_SECOND, START

LATENCY_SECONDS = 0.05
CHILDREN = 2_000
_ONCE_FROM_SECONDS = 60.0
"""What took longer is not run again for a median."""
_TWICE_UP_TO_SECONDS = 40.0
"""What takes no longer runs twice at each turn, and the second run counts.

Systems that save memory drop the files of a program from it a minute after their last use: to read them again, after
the turns of all others, costs half a second, which is much of three and nothing of a hundred.
"""


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be done: `kind` is features, again (a second read, where nothing is new), ideas or faker."""

    kind: str
    records: int
    latency_seconds: float = 0.0
    per_second: float = 0.0

    def __str__(self) -> str:
        what = {
            "features": f"{self.records:,} records",
            "again": f"a second read, with nothing new among {self.records:,} records",
            "ideas": f"{self.records:,} parents with a child call each",
            "faker": f"{self.records:,} users of Faker",
        }[self.kind]
        latency = f", answers after {self.latency_seconds * 1000:.0f} ms" if self.latency_seconds else ""
        limit = f", at most {self.per_second:g} a second" if self.per_second else ""
        return f"{what}{latency}{limit}"


@dataclass(frozen=True, slots=True)
class Way:
    """A way to do work: in which environment, how it is started, and where its rows are.

    `kinds` says how many records of each kind of work it is given at most.
    """

    name: str
    environment: Environment | None
    start: Callable[[str, Path, Work, Path], Cost]
    database: str
    schema: str
    kinds: Mapping[str, int]
    table: str = "features"
    needs: Sequence[Environment] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """What one way took for a piece of work, and what became of the records; `failed` says why there is nothing."""

    work: Work
    way: str
    cost: Cost | None = None
    asked: Asked | None = None
    runs: int = 0
    rows: int = 0
    verdict: str = ""
    failed: str = ""


def _python(environment: Environment | None, folder: Path) -> Path | None:
    return None if environment is None else environment.python(folder)


def _module(
    name: str, environment: Environment | None, arguments: Callable[[Work, Path], Sequence[str]]
) -> Callable[[str, Path, Work, Path], Cost]:
    def start(url: str, folder: Path, work: Work, environments: Path) -> Cost:
        command = ["-m", f"tests.benchmarks.{name}", url, str(folder), *arguments(work, environments)]
        own = folder / "cpu_after_imports"
        return run(command, own_cost=own, python=_python(environment, environments))

    return start


def _floor(url: str, folder: Path, work: Work, environments: Path) -> Cost:
    return parts.floor(url, folder, FLOOR.python(environments))


def _pyairbyte(url: str, folder: Path, work: Work, environments: Path) -> Cost:
    how = {"features": "features", "again": "changed", "ideas": "ideas"}[work.kind]
    return parts.pyairbyte(url, folder, PYAIRBYTE.python(environments), how)


def _of_script(work: Work, environments: Path) -> Sequence[str]:
    if work.kind == "ideas":
        return ["limited" if work.per_second else "ideas"]
    return ["faker" if work.kind == "faker" else "features"]


_MANY, _SOME, _FEW = 1_000_000, 100_000, 10_000

WAYS: Sequence[Way] = (
    Way("floor", FLOOR, _floor, "floor.duckdb", "aha", {"features": _MANY}),
    Way(
        "engine",
        None,
        lambda url, folder, work, environments: parts.engine(url, folder),
        "engine.duckdb",
        "aha",
        {"features": _MANY},
    ),
    Way(
        "Python API",
        None,
        _module("script", None, _of_script),
        "script.duckdb",
        "aha",
        {"features": _MANY, "again": _MANY, "ideas": _MANY, "limited": _MANY, "faker": _MANY},
    ),
    Way(
        "requests + pandas",
        SCRIPT,
        _module("plain_script", SCRIPT, lambda work, environments: ["ideas" if work.kind == "ideas" else "features"]),
        "script.duckdb",
        "main",
        {"features": _SOME, "again": _SOME, "ideas": _SOME},
    ),
    Way(
        "dlt, tuned",
        DLT,
        _module("dlt_run", DLT, lambda work, environments: ["ideas" if work.kind == "ideas" else "features", "tuned"]),
        "dlt.duckdb",
        "aha",
        {"features": _MANY, "again": _SOME, "ideas": _SOME, "limited": _SOME},
    ),
    Way(
        "dlt, by default",
        DLT,
        _module(
            "dlt_run", DLT, lambda work, environments: ["ideas" if work.kind == "ideas" else "features", "default"]
        ),
        "dlt.duckdb",
        "aha",
        {"features": _SOME, "again": _SOME, "ideas": _SOME},
    ),
    Way(
        f"PyAirbyte {VERSION}, a manifest with pages of 200",
        PYAIRBYTE,
        _pyairbyte,
        "pyairbyte.duckdb",
        "main",
        {"features": _SOME, "again": _SOME, "ideas": _SOME},
    ),
    Way(
        "PyAirbyte, Airbyte's source-aha 0.3.14",
        PYAIRBYTE,
        _module(
            "pyairbyte",
            PYAIRBYTE,
            lambda work, environments: [str(SOURCE_AHA.file(environments, "source_aha/manifest.yaml")), "own"],
        ),
        "pyairbyte.duckdb",
        "main",
        {"features": _SOME, "again": _FEW},
        table="features_stream",
        needs=(SOURCE_AHA,),
    ),
    Way(
        "PyAirbyte, Airbyte's source-faker 7.2.1",
        PYAIRBYTE,
        _module(
            "pyairbyte",
            PYAIRBYTE,
            lambda work, environments: [str(SOURCE_FAKER.python(environments).with_name("source-faker")), "faker"],
        ),
        "pyairbyte.duckdb",
        "main",
        {"faker": _MANY},
        table="users",
        needs=(SOURCE_FAKER,),
    ),
)

KINDS = ("features", "latency", "ideas", "limited", "again", "faker")


def works(kinds: Sequence[str], sizes: Sequence[int]) -> list[Work]:
    """Return the pieces of work of these kinds."""
    few = min(sizes)
    of_kind = {
        "features": [Work("features", size) for size in sizes],
        "latency": [Work("features", few, LATENCY_SECONDS)],
        "ideas": [Work("ideas", min(CHILDREN, few), LATENCY_SECONDS)],
        "limited": [Work("ideas", min(CHILDREN, few), LATENCY_SECONDS, LIMIT_PER_SECOND)],
        "again": [Work("again", few)],
        "faker": [Work("faker", size) for size in sizes],
    }
    return [work for kind in kinds for work in of_kind[kind]]


def ways(work: Work, names: Sequence[str] = ()) -> list[Way]:
    """Return the ways that do a piece of work; `names` are parts of their names, where not all are wanted."""
    kind = "limited" if work.per_second else work.kind
    wanted = [way for way in WAYS if not names or any(name in way.name for name in names)]
    return [way for way in wanted if work.records <= way.kinds.get(kind, 0)]


def prepared(chosen: Sequence[Way], folder: Path) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """Make what environments these ways need; returns the versions in each, and why those that failed are not there."""
    told: dict[str, str] = {}
    missing: dict[str, str] = {}
    for way in chosen:
        for environment in (*([way.environment] if way.environment else []), *way.needs):
            if (why := made(environment, folder)) is not None:
                missing[way.name] = why
            elif environment.name not in told:
                found = versions(environment.python(folder), environment.told)
                told[environment.name] = ", ".join(f"{name} {version}" for name, version in found.items())
    return told, missing


def measured(work: Work, chosen: Sequence[Way], runs: int, environments: Path) -> list[Result]:
    """Return what each way takes for a piece of work: the medians of so many turns; a slow way has one."""
    taken: dict[str, list[tuple[Cost, Asked]]] = {way.name: [] for way in chosen}
    found: dict[str, tuple[int, str]] = {}
    failed: dict[str, str] = {}
    with serving(work.records, latency_seconds=work.latency_seconds, per_second=work.per_second) as url:
        for number in range(runs):
            for way in chosen:
                if way.name in failed or (number and taken[way.name][0][0].wall_seconds > _ONCE_FROM_SECONDS):
                    continue
                try:
                    cost, asked, looked = _turn(url, work, way, environments)
                except subprocess.CalledProcessError as error:
                    failed[way.name] = (str(error.stderr).strip().splitlines() or [str(error)])[-1][:200]
                    continue
                taken[way.name].append((cost, asked))
                if looked != found.setdefault(way.name, looked):
                    found[way.name] = (looked[0], f"not the same in every run: {found[way.name][1]}; {looked[1]}")
    return [
        Result(work, way.name, failed=failed[way.name])
        if way.name in failed
        else Result(
            work,
            way.name,
            typical([cost for cost, _ in taken[way.name]]),
            sorted((asked for _, asked in taken[way.name]), key=lambda asked: asked.seconds)[len(taken[way.name]) // 2],
            len(taken[way.name]),
            *found[way.name],
        )
        for way in chosen
    ]


def _turn(url: str, work: Work, way: Way, environments: Path) -> tuple[Cost, Asked, tuple[int, str]]:
    """Run a way twice, or once where that is long, and return what the last run took and has loaded."""
    first = _once(url, work, way, environments)
    return _once(url, work, way, environments) if first[0].wall_seconds <= _TWICE_UP_TO_SECONDS else first


def _once(url: str, work: Work, way: Way, environments: Path) -> tuple[Cost, Asked, tuple[int, str]]:
    with tempfile.TemporaryDirectory() as folder:
        cost, asked = _taken(url, Path(folder), work, way, environments)
        return cost, asked, looked_at(Path(folder) / way.database, work, way)


def _taken(url: str, folder: Path, work: Work, way: Way, environments: Path) -> tuple[Cost, Asked]:
    asked_for = str(work.records) if work.kind == "faker" else url
    if work.kind == "again":
        way.start(asked_for, folder, work, environments)
    counted(url)
    cost = way.start(asked_for, folder, work, environments)
    return cost, counted(url)


def looked_at(database: Path, work: Work, way: Way) -> tuple[int, str]:
    """Return how many rows a way has loaded, and whether they are what the server has: complete, correct, or not."""
    tables = {"ideas": ("ideas", "idea_comments"), "faker": ("users",)}.get(work.kind, ("features",))
    found, wrong = 0, []
    with duckdb.connect(str(database), read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for table in tables:
            schema = "faker" if (way.schema, work.kind) == ("aha", "faker") else way.schema
            there = f"{schema}.{way.table if table == 'features' else table}"
            of_table = {row[0] for row in connection.execute(f"DESCRIBE {there}").fetchall()}
            names = [name for name in _expected(work, table) if name in of_table]
            (rows,) = connection.execute(f"SELECT count(*) FROM {there}").fetchall()[0]
            found += rows
            if rows != work.records:
                wrong.append(f"{rows:,} {table} of {work.records:,}")
                continue
            (same,) = connection.execute(
                f"SELECT (SELECT {_checksum(names)} FROM {there}) = (SELECT {_checksum(names)} FROM "
                f"(SELECT {', '.join(f'{value} AS {name}' for name, value in _expected(work, table).items())} "
                f"FROM range({work.records})))"
            ).fetchall()[0]
            if not same:
                wrong.append(f"other {table}")
            elif len(names) < len(_expected(work, table)):
                wrong.append(f"without {', '.join(name for name in _expected(work, table) if name not in names)}")
    return found, "; ".join(wrong) or "yes"


def _expected(work: Work, table: str) -> Mapping[str, str]:
    """Return the columns of what the server sends for its record number `range`, in SQL."""
    if table == "users":
        return {"id": "1 + range"}
    if table == "idea_comments":
        return {
            "id": "format('8{:s}', format('0123456{:09d}', range))",
            "body": "format('<p>Comment on 70123456{:09d}</p>', range)",
        }
    step = DAYS * 86_400_000_000 / work.records
    position = {"position": "range % 50"} if table != "ideas" else {}  # which Aha! has for features alone
    return {
        "id": "format('70123456{:09d}', range)",
        "name": "'Bulk import of contacts number ' || range",
        "reference_num": "'APP-' || range",
        **position,
        "updated_at": f"make_timestamp({int(START.timestamp()) * 1_000_000} + range * {round(step)} // 1000 * 1000)",
    }


def _checksum(names: Sequence[str]) -> str:
    values = ["epoch_ms(updated_at::TIMESTAMPTZ)" if name == "updated_at" else f"{name}::VARCHAR" for name in names]
    return f"sum(hash({', '.join(values)})::HUGEINT)"


def table(results: Sequence[Result]) -> str:
    """Return the results of one piece of work as a Markdown table.

    `asking` are the seconds from the first request to the last one.
    """
    lines = [
        "| | CPU s | wall s | of it asking | peak MB | requests | complete and correct |",
        "|---|---:|---:|---:|---:|---:|---|",
    ]
    for each in results:
        if each.cost is None or each.asked is None:
            lines.append(f"| {each.way} | | | | | | not run: {each.failed} |")
            continue
        requests = f"{each.asked.requests:,}" + (f", {each.asked.at_once} at once" if each.asked.at_once else "")
        requests += f", {each.asked.refused:,} refused" if each.asked.refused else ""
        if each.work.per_second:
            requests += f", {(each.asked.requests - each.asked.refused - 1) / each.asked.seconds:.1f} a second"
        lines.append(
            f"| {each.way}{'' if each.runs > 1 else ' (one run)'} | {each.cost.cpu_seconds:.2f} "
            f"| {each.cost.wall_seconds:.2f} | {each.asked.seconds:.2f} | {each.cost.peak_bytes / 1e6:.0f} "
            f"| {requests} | {each.verdict} |"
        )
    return "\n".join(lines)


def ordered(results: Sequence[Result]) -> list[Result]:
    """Return results in the order of the kinds of work, and in each in that of the ways."""
    names = [way.name for way in WAYS]

    def place(each: Result) -> tuple[int, int, int]:
        kind = "limited" if each.work.per_second else "latency" if each.work.kind == "features" else each.work.kind
        if each.work.kind == "features" and not each.work.latency_seconds:
            kind = "features"
        return KINDS.index(kind), each.work.records, names.index(each.way) if each.way in names else len(names)

    return sorted(results, key=place)


def save(results: Sequence[Result], file: Path) -> None:
    """Write the results to a JSON file, for the plot or for whoever wants to look again."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps([asdict(each) for each in results], indent=1))


def load(file: Path) -> list[Result]:
    """Return the results in a file."""
    return [
        Result(
            **{
                **each,
                "work": Work(**each["work"]),
                "cost": each["cost"] and Cost(**each["cost"]),
                "asked": each["asked"] and Asked(**each["asked"]),
            }
        )
        for each in json.loads(file.read_text())
    ]


def shown_of(results: Sequence[Result]) -> list[Work]:
    """Return the work that is drawn."""
    ways = Counter(each.work for each in results if each.cost is not None)
    found: dict[Work, Work] = {}
    for work in sorted(ways, key=lambda work: (ways[work], work.records)):
        found[replace(work, records=0)] = work
    return [work for work in ways if work in found.values()]


def plot(results: Sequence[Result], file: Path) -> None:
    """Draw the results as bars, a panel for each piece of work: its CPU, or its wall time where answers are late.

    Of work that differs in the number of records alone, what most ways have done is drawn, and of that the largest.
    """
    from matplotlib.figure import Figure

    panels = shown_of(results)
    figure = Figure(figsize=(10.5, 0.5 + sum(0.6 + 0.28 * sum(r.work == w for r in results) for w in panels)))
    heights = [1 + sum(each.work == work for each in results) for work in panels]
    axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axis, work in zip(axes, panels, strict=True):
        shown = [(each.way, each.cost) for each in results if each.work == work and each.cost is not None]
        is_late = work.latency_seconds > 0
        seconds = [cost.wall_seconds if is_late else cost.cpu_seconds for _, cost in shown]
        ours = ("floor", "engine", "Python API")
        colors = ["#9aa5b1" if name == "floor" else "#1f6feb" if name in ours else "#d98c3f" for name, _ in shown]
        bars = axis.barh([name for name, _ in shown], seconds, color=colors)
        axis.bar_label(bars, [f"{value:,.1f} s" for value in seconds], padding=3, fontsize=8)
        axis.set_title(f"{work}: seconds of {'wall time' if is_late else 'CPU'}", fontsize=9, loc="left")
        axis.invert_yaxis()
        axis.set_xlim(0, max(seconds) * 1.12)
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=100)
