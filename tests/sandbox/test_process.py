"""The sandbox as a child process."""

import json
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import pytest
import requests

from connector_resources.errors import ConfigurationError
from connector_resources.sandbox.accounts import credentials
from connector_resources.sandbox.faults import Fault
from connector_resources.sandbox.process import SandboxProcess, running_sandbox
from connector_resources.sandbox.settings import Settings

TODAY = date(2026, 3, 15)
SMALL = Settings(today=TODAY, scale=0.01, limits=0)
AHA = {"Authorization": f"Bearer {credentials('aha')['api_key']}"}


def is_up(url: str) -> bool:
    try:
        return requests.get(f"{url}/_sandbox/health", timeout=30).status_code == 200
    except requests.ConnectionError:
        return False


def goes_down(url: str, seconds: float = 30) -> bool:
    deadline = time.monotonic() + seconds
    while is_up(url):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_a_sandbox_is_up_in_its_block_and_down_after_it() -> None:
    with SandboxProcess(SMALL) as sandbox:
        assert is_up(sandbox.url)
    assert not is_up(sandbox.url)


def test_stopping_twice_is_stopping_once() -> None:
    sandbox = SandboxProcess(SMALL).start()
    sandbox.stop()
    sandbox.stop()
    assert not is_up(sandbox.url)


def test_a_running_sandbox_is_shared_by_its_settings() -> None:
    first, again, other = (running_sandbox(settings) for settings in (SMALL, SMALL, Settings(2, 0.01, 0, TODAY)))
    assert first is again
    assert other.url != first.url


def test_settings_reach_the_child() -> None:
    settings = Settings(3, 0.01, 0, TODAY, 0.05, (Fault("GET /aha/*", "500"),))
    with SandboxProcess(settings) as sandbox:
        start = time.monotonic()
        answers = [requests.get(f"{sandbox.url}/aha/api/v1/features", headers=AHA, timeout=30) for _ in range(2)]
        assert time.monotonic() - start >= 0.1
    assert [answer.status_code for answer in answers] == [500, 200]
    assert answers[1].json()["pagination"]["total_records"] == 36


def test_the_child_is_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with SandboxProcess(SMALL) as sandbox:
        assert is_up(sandbox.url)


def test_a_sandbox_that_cannot_start_is_a_configuration_error(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigurationError, match="did not start"):
        SandboxProcess(Settings(scale=-1, today=TODAY)).start()
    assert "--scale" in capfd.readouterr().err


def test_a_sandbox_does_not_outlive_a_parent_that_was_killed(tmp_path: Path) -> None:
    code = (
        "import time; from datetime import date\n"
        "from connector_resources.sandbox.process import SandboxProcess\n"
        "from connector_resources.sandbox.settings import Settings\n"
        "print(SandboxProcess(Settings(scale=0.01, today=date(2026, 3, 15))).start().url, flush=True)\n"
        "time.sleep(60)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    )
    with parent:
        assert parent.stdout is not None
        url = parent.stdout.readline().strip()
        assert is_up(url)
        parent.kill()
    assert goes_down(url)


def test_run_alone_it_says_where_it_is_and_what_opens_it() -> None:
    command = [sys.executable, "-m", "connector_resources.sandbox", "--port", "0", "--scale", "0.01"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(4)]
        url = json.loads(lines[0])["url"]
        assert json.loads(lines[0])["pid"] == process.pid
        assert is_up(url)
        process.terminate()
    assert lines[1] == f"To read from it: SANDBOX_URL={url} make run\n"
    assert f"aha: {url}/aha, " in lines[2]
    assert credentials("aha")["api_key"] in lines[2]
    assert credentials("drift")["access_token"] in lines[3]


def test_importing_the_process_does_not_import_the_server() -> None:
    code = (
        "import sys; import connector_resources.sandbox.process, connector_resources.sandbox.accounts\n"
        "print(*sorted({'starlette', 'uvicorn', 'dagster', 'msgspec'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code]
    root = Path(__file__).parents[2]
    assert subprocess.run(command, capture_output=True, text=True, cwd=root, check=True).stdout.strip() == ""
