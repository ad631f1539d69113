"""Credentials in real runs of the `dagster` command with every log on, against a server that sends them back."""

import base64
import json
import os
import sqlite3
import stat
import subprocess
import sys
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import duckdb
import pytest

from connector_resources.sandbox.accounts import credentials
from connector_resources.sandbox.process import SandboxProcess
from connector_resources.sandbox.settings import Settings
from tests.canaries import found, written
from tests.landing import ROOT

DAGSTER = str(Path(sys.executable).with_name("dagster"))
CANARY = "canary-{}-7f3a/91+c2=="

DEFINITIONS = """
import os
from datetime import date
from pathlib import Path

import dagster as dg
from connector_resources.http.retry import RetryPolicy
from connector_resources.sources import discover
from orchestration.as_resource import from_environment
from orchestration.assets import stream_asset
from orchestration.connection import connection
from orchestration.io_manager import Warehouse
from orchestration.partitions import daily
from orchestration.settings import Settings

folder, start = Path(os.environ["DATA_FOLDER"]), date(2026, 1, 1)
kinds = [kind for kind in discover() if kind.name != "faker"]
for kind in kinds:
    kind.retry = RetryPolicy(tries=2, first_wait_seconds=0.01)
defs = dg.Definitions(
    assets=[stream_asset(kind, stream, daily(start), "live") for kind in kinds for stream in kind.streams],
    resources={
        "connection": connection(Settings("live", folder, start)),
        "warehouse": Warehouse(database=str(folder / "live.duckdb"), spools=str(folder / "spools")),
        **{
            kind.name: from_environment(
                kind,
                base_url=os.environ[f"TEST_{kind.name.upper()}_URL"],
                rate_limit_factor=0.0,
                state_folder=str(folder / "state"),
            )
            for kind in kinds
        },
    },
    executor=dg.in_process_executor,
)
"""

HOME = """
telemetry: {enabled: false}
python_logs: {python_log_level: DEBUG, managed_python_loggers: [root]}
"""


class Echo(BaseHTTPRequestHandler):
    """Refuses each path in a way of its own, and sends back all it was sent wherever there is room for it."""

    statuses: ClassVar[dict[str, int]] = {
        "/aha/api/v1/users": 401,
        "/aha/api/v1/teams": 403,
        "/aha/api/v1/goals": 404,
        "/aha/api/v1/release_phases": 500,
        "/drift/users/list": 401,
        "/drift/teams/org": 403,
        "/drift/playbooks/clp": 302,
        "/drift/contacts/attributes": 429,
        "/oauth/oauth2/token": 400,
    }

    def do_GET(self) -> None:
        self.answer("")

    def do_POST(self) -> None:
        self.answer(self.rfile.read(int(self.headers["Content-Length"])).decode())

    def answer(self, given: str) -> None:
        told = f"{self.headers.get('Authorization', '')} {given}".strip()
        path = self.path.partition("?")[0]
        body = json.dumps({"error": {"type": "x", "message": told}, told: told}).encode()
        if path == "/drift/playbooks/list":
            body = f"<html>{told}</html>".encode()
        if path == "/drift/accounts":
            body = body[:-20]
        if path == "/aha/api/v1/products":
            self.wfile.write(f"HTTP/1.1 999999 {told}\r\n\r\n".encode())
            return
        self.send_response(self.statuses.get(path, 200), told)
        self.send_header("Location", f"https://elsewhere.test/{told}?token={told}")
        self.send_header("Retry-After", "5000")
        self.send_header("Set-Cookie", f"session={told}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        return None


@dataclass(frozen=True)
class Run:
    """What one `dagster asset materialize` is told, the secrets it uses, and how it ends."""

    select: str
    environment: dict[str, str]
    secrets: tuple[str, ...]
    status: int


def runs(sandbox: str, echo: str) -> dict[str, Run]:
    aha, drift = credentials("aha"), credentials("drift")
    secret = {name: CANARY.format(name) for name in ("aha", "private", "client", "refresh")}
    of_oauth = {
        "DRIFT_CLIENT_ID": "client",
        "DRIFT_CLIENT_SECRET": secret["client"],
        "DRIFT_REFRESH_TOKEN": secret["refresh"],
    }
    return {
        "good": Run(
            "aha/users,drift/users,drift/accounts",
            {
                "AHA_API_KEY": aha["api_key"],
                "DRIFT_CLIENT_ID": drift["client_id"],
                "DRIFT_CLIENT_SECRET": drift["client_secret"],
                "DRIFT_REFRESH_TOKEN": drift["refresh_token"],
                "TEST_AHA_URL": f"{sandbox}/aha",
                "TEST_DRIFT_URL": f"{sandbox}/drift",
            },
            (aha["api_key"], drift["client_secret"], drift["refresh_token"]),
            0,
        ),
        "refused": Run(
            "aha/users,aha/teams,aha/goals,aha/release_phases,aha/products,drift/users,drift/teams,drift/accounts,"
            "drift/playbooks,drift/conversational_landing_pages,drift/contact_attributes",
            {
                "AHA_API_KEY": secret["aha"],
                "DRIFT_ACCESS_TOKEN": secret["private"],
                "TEST_AHA_URL": f"{echo}/aha",
                "TEST_DRIFT_URL": f"{echo}/drift",
            },
            (secret["aha"], secret["private"]),
            1,
        ),
        "no token, no host": Run(
            "aha/users,drift/users",
            {
                "AHA_API_KEY": secret["aha"],
                **of_oauth,
                "TEST_AHA_URL": "http://no host",
                "TEST_DRIFT_URL": f"{echo}/oauth",
            },
            (secret["aha"], secret["client"], secret["refresh"]),
            1,
        ),
    }


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Run]]:
    """A folder with all that the runs wrote, each in a folder of its name, what they printed beside it."""
    folder = tmp_path_factory.mktemp("secrets")
    with SandboxProcess(Settings(scale=0.05, limits=0)) as sandbox, ThreadingHTTPServer(("127.0.0.1", 0), Echo) as echo:
        threading.Thread(target=echo.serve_forever, daemon=True).start()
        known = runs(sandbox.url, f"http://127.0.0.1:{echo.server_port}")
        try:
            with ThreadPoolExecutor(2) as pool:
                list(pool.map(lambda name: materialize(folder / name, known[name]), known))
        finally:
            echo.shutdown()
    return folder, known


def materialize(folder: Path, run: Run) -> None:
    home = folder / "home"
    home.mkdir(parents=True)
    (home / "dagster.yaml").write_text(HOME)
    (folder / "definitions.py").write_text(DEFINITIONS)
    command = [DAGSTER, "asset", "materialize", "-f", str(folder / "definitions.py"), "--select", run.select]
    environment = {
        **{name: os.environ[name] for name in ("PATH", "HOME")},
        "AHA_SUBDOMAIN": "acme",
        "DAGSTER_HOME": str(home),
        "DATA_FOLDER": str(folder / "data"),
        "PYTHONPATH": str(ROOT),
        **run.environment,
    }
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False, timeout=120)
    (folder / "stdout").write_bytes(done.stdout)
    (folder / "stderr").write_bytes(done.stderr)
    assert done.returncode == run.status, done.stderr.decode()[-3000:]


def test_no_configured_credential_is_in_anything_a_run_writes(ran: tuple[Path, dict[str, Run]]) -> None:
    folder, known = ran
    secrets = {secret for run in known.values() for secret in run.secrets}

    assert len(secrets) == 7
    assert found(folder, secrets) == set()


def test_rotated_tokens_are_in_their_store_only_which_is_its_owners_only(ran: tuple[Path, dict[str, Run]]) -> None:
    folder, _ = ran
    (store,) = (folder / "good" / "data" / "state" / "tokens").glob("*.json")
    kept = json.loads(store.read_text())

    assert found(folder, [kept["access_token"], kept["refresh_token"]]) == {store.relative_to(folder)}
    assert {stat.S_IMODE(path.stat().st_mode) for path in store.parent.iterdir()} == {0o600}
    assert stat.S_IMODE(store.parent.stat().st_mode) == 0o700


def test_each_way_to_fail_was_met_and_named(ran: tuple[Path, dict[str, Run]]) -> None:
    folder, _ = ran
    # While steps run, Dagster's stderr is a file that another process copies to the terminal; it may be ended before it
    # has copied the last lines.
    kept = [log for name in ("refused", "no token, no host") for log in (folder / name / "home").rglob("*.err")]
    told = "".join(log.read_text() for log in kept)

    failed = {line.partition("Failure: ")[2] for line in told.splitlines() if "Failure: " in line}
    for message in MESSAGES:
        assert [line for line in failed if line.startswith(message)], message
    assert len(failed) == len(MESSAGES)


MESSAGES = (
    "aha: GET /users: 401.",
    "aha.teams: 403 from GET /teams.",
    "aha.goals: 404 from GET /goals.",
    "aha: GET /release_phases: 500,",
    "aha: GET /products: no whole answer from",
    "aha: GET /users: this cannot be sent (InvalidURL).",
    "drift.users: 401 from GET /users/list.",
    "drift.teams: 403 from GET /teams/org.",
    "drift.accounts: GET /accounts: the answer is not whole JSON (Input data was truncated",
    "drift.playbooks: GET /playbooks/list: the answer is not whole JSON (JSON is malformed",
    "drift: GET /playbooks/clp: 302, a redirect to elsewhere.test,",
    "drift: GET /contacts/attributes: 429,",
    "drift: POST /oauth/oauth2/token: 400.",
)


def test_what_was_searched_is_what_runs_write(ran: tuple[Path, dict[str, Run]]) -> None:
    folder, _ = ran
    everything = list(written(folder))
    names = {file.name for file, _ in everything}

    assert {"live.duckdb", "pages.ndjson", "manifest.json", "index.db", "runs.db", "stdout", "stderr"} <= names
    assert any(b"Starting new HTTP connection" in content for file, content in everything if file.suffix == ".db")
    assert any(b"STEP_FAILURE" in content for file, content in everything if file.suffix == ".db")
    assert any(b"resource_def_snaps" in content for file, content in everything if file.suffix == ".db")
    assert any(b"aha__users" in content for file, content in everything if file.suffix == ".err")
    assert any(b"cursor_max" in content or b"data_version" in content for _, content in everything)


@pytest.mark.parametrize("number", range(3))
def test_the_search_finds_what_is_there(tmp_path: Path, number: int) -> None:
    secret = CANARY.format("planted")
    places = [tmp_path / name for name in ("a.txt", "b.db", "c.duckdb", "d.txt")]
    places[0].write_bytes(base64.b64encode(b"x" * number + secret.encode() + b"y"))
    with sqlite3.connect(places[1]) as database:
        database.execute("CREATE TABLE t (a BLOB)")
        database.execute("INSERT INTO t VALUES (?)", [zlib.compress(secret.encode())])
    database.close()
    with duckdb.connect(str(places[2])) as store:
        store.execute("CREATE TABLE t AS SELECT ? AS a", [secret])
    places[3].write_text("nothing here")

    assert found(tmp_path, [secret]) == {Path("a.txt"), Path("b.db"), Path("c.duckdb")}
