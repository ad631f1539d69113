"""A folder to work in, and a sandbox without limits for the Python API."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from connector_resources.sandbox.process import SandboxProcess
from connector_resources.sandbox.settings import Settings


@pytest.fixture(scope="session")
def small_sandbox() -> Iterator[SandboxProcess]:
    """A sandbox with a fifth of the data and without limits, whose newest day has been over for a day.

    Else what is complete, and so is not read again, would depend on the hour at which the tests run.
    """
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    with SandboxProcess(Settings(scale=0.2, limits=0, today=yesterday)) as process:
        yield process


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_sandbox: SandboxProcess) -> Path:
    """A working directory of its own, whose environment names the sandbox and nothing else of this project."""
    for variable in ("CONNECTOR_MODE", "DATA_FOLDER", "PARTITIONS_START", "ENABLED_STREAMS", "DAILY_REQUEST_BUDGET"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("SANDBOX_URL", small_sandbox.url)
    monkeypatch.setenv("SANDBOX_LIMITS", "0")
    monkeypatch.chdir(tmp_path)
    return tmp_path
