"""The environments of the others: one for each, made once below a folder, with pinned versions from the package index.

What an environment needs beside the pinned packages is whatever the index has on the day it is made; `versions` tells.
"""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.measure import ROOT
from tests.benchmarks.pyairbyte import VERSION

_OURS = ("--constraint", "constraints.txt")


@dataclass(frozen=True, slots=True)
class Environment:
    """What pip is told, and the packages whose versions are worth telling."""

    name: str
    asked: Sequence[str]
    told: Sequence[str]

    def python(self, folder: Path) -> Path:
        """Return its Python, below the folder of all environments."""
        return folder / self.name / "bin" / "python"

    def file(self, folder: Path, path: str) -> Path:
        """Return a file of its packages, by its path there."""
        return next((folder / self.name).glob(f"lib/python*/site-packages/{path}"))


FLOOR = Environment("floor", (*_OURS, "requests", "msgspec", "duckdb"), ("requests", "msgspec", "duckdb"))
SCRIPT = Environment("script", (*_OURS, "requests", "pandas", "duckdb"), ("requests", "pandas", "duckdb"))
DLT = Environment("dlt-1.31.0", ("dlt[duckdb]==1.31.0", "duckdb==1.5.6", "pyarrow==26.0.1"), ("dlt", "duckdb"))
PYAIRBYTE = Environment(f"airbyte-{VERSION}", (f"airbyte=={VERSION}",), ("airbyte", "airbyte-cdk", "duckdb", "pandas"))
SOURCE_FAKER = Environment(
    "airbyte-source-faker-7.2.1", ("airbyte-source-faker==7.2.1",), ("airbyte-source-faker", "airbyte-cdk")
)
SOURCE_AHA = Environment(
    "airbyte-source-aha-0.3.14", ("--no-deps", "airbyte-source-aha==0.3.14"), ("airbyte-source-aha",)
)
"""Its manifest alone. The CDK that the package asks for, 0.90, cannot be imported by Python 3.11: it is read by the CDK
of PyAirbyte, as PyAirbyte reads the manifests it downloads."""

NOT_RUN = {
    "PyAirbyte, Airbyte's source-drift 0.3.17": "its manifest has the address https://driftapi.com in it, and no "
    "setting for another one. It asks for /conversations, which Drift's reference calls /conversations/list, and looks "
    "for the next page in the last record, where none is, so that it would end with the first one.",
}
"""Those that could not be run at all, and why."""


def made(environment: Environment, folder: Path) -> str | None:
    """Make an environment where it is not there, and return why that failed; None where it is there."""
    ready = folder / environment.name / "ready"
    if ready.exists():
        return None
    try:
        install(folder / environment.name, environment.asked)
    except subprocess.CalledProcessError as error:
        lines = (error.stderr or str(error)).strip().splitlines()
        return f"{environment.asked[-1]} could not be installed: {lines[-1] if lines else error}"
    ready.touch()
    return None


def install(folder: Path, what: Sequence[str]) -> None:
    """Make an environment with these packages. Raises CalledProcessError, with its messages, where that fails."""
    venv = [sys.executable, "-m", "venv", str(folder)]
    subprocess.run(venv, check=True, stderr=subprocess.PIPE, text=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *what], check=True, cwd=ROOT, stderr=subprocess.PIPE, text=True)


def versions(python: Path, packages: Sequence[str]) -> Mapping[str, str]:
    """Return what is installed of some packages."""
    code = f"import importlib.metadata as m, json; print(json.dumps({{n: m.version(n) for n in {tuple(packages)!r}}}))"
    said = subprocess.run([str(python), "-I", "-c", code], capture_output=True, text=True, check=True)
    found: dict[str, str] = json.loads(said.stdout)
    return found
