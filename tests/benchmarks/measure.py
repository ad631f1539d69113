"""Measuring a command as a whole process: CPU, wall and peak memory, by the operating system's own count."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[2]
_PATH = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
"""Whose DuckDB a caller has put before ours stays before ours."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run of a command took: seconds of CPU and wall, and its largest resident memory.

    Linux counts what the process that started it held at that moment, about 150 MB, as memory of the new one.
    `cpu_seconds_after_imports` is what the command itself says it used once all was imported; None where it does not.
    """

    cpu_seconds: float
    wall_seconds: float
    peak_bytes: int
    cpu_seconds_after_imports: float | None = None


def run(
    command: Sequence[str],
    folder: Path = ROOT,
    environment: Mapping[str, str] | None = None,
    own_cost: Path | None = None,
    python: Path | None = None,
) -> Cost:
    """Run a Python command to its end and return what it cost. Raises CalledProcessError with its messages.

    `own_cost` is the file in which the command leaves its seconds of CPU after imports; `python` runs it, by default
    the one that runs this. Another one sees nothing that a caller has put before our packages.
    """
    path = _PATH if python is None else str(ROOT)
    started_at = time.monotonic()
    with (Path(os.devnull)).open("wb") as nowhere:
        process = subprocess.Popen(
            [sys.executable if python is None else str(python), *command],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "", **(environment or {})},
            stdout=nowhere,
            stderr=subprocess.PIPE,
        )
        assert process.stderr is not None
        messages = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        wall_seconds = time.monotonic() - started_at
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stderr.close()
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, command, stderr=messages.decode())
    peak_bytes = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    after_imports = None if own_cost is None else float(own_cost.read_text())
    return Cost(usage.ru_utime + usage.ru_stime, wall_seconds, peak_bytes, after_imports)


def typical(costs: Sequence[Cost]) -> Cost:
    """Return the medians of several runs."""
    after = [cost.cpu_seconds_after_imports for cost in costs if cost.cpu_seconds_after_imports is not None]
    return Cost(
        median(cost.cpu_seconds for cost in costs),
        median(cost.wall_seconds for cost in costs),
        round(median(cost.peak_bytes for cost in costs)),
        median(after) if len(after) == len(costs) else None,
    )


@dataclass(frozen=True, slots=True)
class Asked:
    """What the server was asked for: requests, those it refused, and how many it had at once; 0 without a latency.

    `seconds` lie between the first request and the last one.
    """

    requests: int
    refused: int
    at_once: int
    seconds: float


def counted(url: str) -> Asked:
    """Return what the server was asked for since it was asked this last."""
    with urllib.request.urlopen(f"{url}/counted") as answer:
        return Asked(**json.load(answer))


@contextmanager
def serving(records: int, *, latency_seconds: float = 0, per_second: float = 0) -> Iterator[str]:
    """Start the benchmark's server for the time of a block; yields its URL."""
    command = [sys.executable, "-m", "tests.benchmarks.server", str(records)]
    command += ["--latency", str(latency_seconds), "--per-second", str(per_second)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()
            process.wait()
