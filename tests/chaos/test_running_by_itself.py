"""Once for real: `dagster dev`, its daemon, and a project that was told to run by itself; two minutes, on demand."""

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import duckdb
import pytest
import requests

from connector_resources.sandbox.process import SandboxProcess
from connector_resources.sandbox.settings import Settings
from tests.dagster_dev import dagster_dev, new_home

PATIENCE_SECONDS = 240.0
SECRET = "T0/B0/c8Xq2vLr"
BROKEN = {"pattern": "GET /aha/api/v1/ideas?*", "kind": "html", "times": 10_000}
RUNS = """query Runs($trigger: String!) {
  runsOrError(filter: {tags: [{key: "trigger", value: $trigger}]}) {
    ... on Runs { results { status tags { key value } } }
  }
}"""


@pytest.mark.soak
def test_under_dagster_dev_the_daemon_reads_catches_up_follows_and_tells(tmp_path: Path) -> None:
    tick = datetime.now(UTC) + timedelta(seconds=90)
    expected = {
        "catch_up": {"aha": "FAILURE", "drift": "SUCCESS"},
        "daily": {"aha": "FAILURE", "drift": "SUCCESS"},
        "automation": {"": "SUCCESS"},
    }
    with sandbox() as url, webhook() as (address, told):
        environment = new_home(
            tmp_path,
            AUTOMATIC_RUNS="on",
            CATCH_UP_DAYS="2",
            SCHEDULE_TIME=f"{tick:%H:%M}",
            SANDBOX_URL=url,
            FAILURE_WEBHOOK_URL=address,
        )
        with dagster_dev(tmp_path, environment) as ui:
            deadline = time.monotonic() + PATIENCE_SECONDS
            found: dict[str, dict[str, str]] = {}
            while time.monotonic() < deadline and not (found == expected and len(told) >= 2):
                time.sleep(1)
                found = {trigger: ended(ui, trigger) for trigger in expected}
    assert found == expected
    assert all("• aha/ideas 2" in text and "MalformedPage: aha.ideas" in text for text in told)
    assert len(told) == 2
    assert SECRET not in (tmp_path / "log").read_text()
    with duckdb.connect(str(tmp_path / "data" / "sandbox.duckdb"), read_only=True) as connection:
        landed = connection.execute("SELECT schema || '.' || name, count(*) FROM _state GROUP BY 1").fetchall()
    days = dict(landed)
    assert (days["drift.conversations"], days["drift.messages"], days["aha.features"]) == (2, 2, 2)
    assert "aha.ideas" not in days


def ended(ui: str, trigger: str) -> dict[str, str]:
    """How the runs that something has started ended, by the source they read."""
    query = {"query": RUNS, "variables": {"trigger": trigger}}
    try:
        answer = requests.post(f"{ui}/graphql", json=query, timeout=10).json()
    except requests.ConnectionError:  # it is not up yet
        return {}
    found: dict[str, str] = {}
    for run in answer["data"]["runsOrError"]["results"]:
        tags = {tag["key"]: tag["value"] for tag in run["tags"]}
        if run["status"] in ("SUCCESS", "FAILURE"):
            found[tags.get("source", "")] = run["status"]
    return found


@contextmanager
def sandbox() -> Iterator[str]:
    """A sandbox whose list of ideas is a web page."""
    with SandboxProcess(Settings(scale=0.5, limits=0)) as process:
        requests.post(f"{process.url}/_sandbox/faults", json=[BROKEN], timeout=10).raise_for_status()
        yield process.url


@contextmanager
def webhook() -> Iterator[tuple[str, list[str]]]:
    """The address of a webhook, and the texts it is told."""
    told: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body: Mapping[str, Any] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            told.append(body["text"])
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/services/{SECRET}", told
        server.shutdown()
        thread.join()
