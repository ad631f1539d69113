"""Processes that share an OAuth grant and die while it is renewed, against a vendor that takes a refresh token once."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from connector_resources.sandbox.accounts import credentials
from connector_resources.sandbox.process import SandboxProcess
from connector_resources.sandbox.settings import Settings
from tests.landing import child, said

FORGIVING = """
import socket, uvicorn
from connector_resources.sandbox import drift, server
from connector_resources.sandbox.settings import Settings

strict = drift.build
drift.build = lambda settings: strict(settings, drift.Rules(keeps_refresh_token=True))
listener = socket.create_server(("127.0.0.1", 0))
print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
config = uvicorn.Config(server.build(Settings(scale=0.01, limits=0)), log_level="error", lifespan="off")
uvicorn.Server(config).run(sockets=[listener])
"""

READER = """
import hashlib, logging, os, resource, sys
from pathlib import Path
from connector_resources.errors import ConnectorError
from connector_resources.http.authenticators import OAuth2Refresh
from connector_resources.http.client import Client
from connector_resources.http.messages import Request
from connector_resources.http.rate_limit import RateLimit, RateLimiter
from connector_resources.http.retry import RetryPolicy
from connector_resources.http.token_endpoint import FormTokenEndpoint
from connector_resources.sandbox.accounts import credentials

logging.basicConfig(level=logging.DEBUG)

def client(folder, url, refresh_token=""):
    account = credentials("drift")
    authenticator = OAuth2Refresh(
        account["client_id"], account["client_secret"], refresh_token or account["refresh_token"],
        Path(folder) / "tokens" / "a.json", FormTokenEndpoint("drift", f"{url}/drift/oauth2/token", "Look."),
    )
    limiter = RateLimiter(RateLimit(), Path(folder) / "limit")
    retry = RetryPolicy(tries=3, first_wait_seconds=0.01)
    return Client("drift", f"{url}/drift", authenticator, limiter, retry, expired=(401, 403))

def read(client):
    try:
        client.send(Request("/users/list"))
    except ConnectorError as error:
        return f"{type(error).__name__}: {error}"
    return used(client)

def used(client):
    return hashlib.sha256(client.authenticator.sign().headers["Authorization"].encode()).hexdigest()
"""

AT_THE_SIGNAL = (
    READER
    + """
made = client(*sys.argv[1:])
print("ready", flush=True)
sys.stdin.readline()
print(read(made))
"""
)

KILLED_EVERYWHERE = (
    READER
    + """
import json, signal, requests

url, folder, wait = sys.argv[1], Path(sys.argv[2]), os.waitpid

def forked(work):
    number = os.fork()
    if number == 0:
        os._exit(work())
    return os.waitstatus_to_exitcode(wait(number, 0)[1])

def killed(place, number, report):
    # The process ends before the number-th thing it does to a file, in the middle of it where that is a write.
    done = 0
    def deadly(name, real):
        def call(*arguments, **named):
            nonlocal done
            done += 1
            if done == number:
                report.write_text(name)
                if name == "write":
                    real(arguments[0], arguments[1][: len(arguments[1]) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **named)
        return call
    made = client(place, url)
    for name in ("open", "write", "lseek", "fsync", "replace", "unlink", "close"):
        setattr(os, name, deadly(name, getattr(os, name)))
    return len(read(made)) != 64

logging.disable()
for number in range(1, 100):
    requests.post(f"{url}/_sandbox/reset", timeout=10).raise_for_status()
    place, report = folder / str(number), folder / f"{number}.txt"
    assert forked(lambda: len(read(client(place, url))) != 64) == 0
    store = place / "tokens" / "a.json"
    store.write_text(json.dumps(json.loads(store.read_text()) | {"renew_at": 0, "expires_at": 0}))
    ended = forked(lambda: killed(place, number, report))
    said = folder / f"{number}.said"
    forked(lambda: said.write_text(read(client(place, url))) * 0)
    left = sorted(path.name for path in store.parent.iterdir())
    modes = {path.stat().st_mode & 0o777 for path in store.parent.iterdir()}
    print(json.dumps([ended, report.read_text() if report.exists() else "", said.read_text(), left, sorted(modes)]))
    if ended == 0:
        break
"""
)


class Grant:
    """A sandbox, a folder, and one pair of tokens in it that has expired."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder = url, folder
        self.store = folder / "tokens" / "a.json"
        requests.post(f"{url}/_sandbox/reset", timeout=10).raise_for_status()
        self.fail()
        assert len(self.read()) == 64
        self.expire()

    def expire(self) -> None:
        data = json.loads(self.store.read_text())
        self.store.write_text(json.dumps(data | {"renew_at": 0.0, "expires_at": 0.0}))

    def started(self, code: str = AT_THE_SIGNAL, *more: object) -> "subprocess.Popen[str]":
        return child(code, self.folder, self.url, *more)

    def read(self, code: str = AT_THE_SIGNAL, *more: object) -> str:
        return said(self.started(code, *more)).removeprefix("ready\n")

    def fail(self, *faults: dict[str, Any]) -> None:
        requests.post(f"{self.url}/_sandbox/faults", json=faults, timeout=10).raise_for_status()

    @property
    def questions(self) -> int:
        counted = requests.get(f"{self.url}/_sandbox/requests", timeout=10).json()["paths"]
        return int(counted.get("/drift/oauth2/token", 0))


@pytest.fixture(scope="module")
def strict() -> Iterator[str]:
    with SandboxProcess(Settings(scale=0.01, limits=0)) as process:
        yield process.url


@pytest.fixture(scope="module")
def forgiving() -> Iterator[str]:
    process = child(FORGIVING)
    assert process.stdout is not None
    yield process.stdout.readline().strip()
    process.kill()
    process.communicate()


@pytest.fixture
def grant(strict: str, tmp_path: Path) -> Grant:
    return Grant(strict, tmp_path)


@pytest.mark.parametrize("count", [2, 8])
def test_processes_that_find_the_token_expired_at_once_ask_once_and_all_go_on(grant: Grant, count: int) -> None:
    processes = [grant.started() for _ in range(count)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    before = grant.questions
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    used = [said(process) for process in processes]

    assert (len(set(used)), len(used[0]), grant.questions - before) == (1, 64, 1)


def ends(url: str, folder: Path) -> list[list[Any]]:
    return [json.loads(line) for line in said(child(KILLED_EVERYWHERE, url, folder)).splitlines()]


def test_a_process_killed_anywhere_in_a_refresh_locks_nobody_out_where_the_vendor_allows(
    forgiving: str, tmp_path: Path
) -> None:
    killed = ends(forgiving, tmp_path)

    assert {status for status, *_ in killed[:-1]} == {-9}
    assert killed[-1][0] == 0
    assert {"open", "write", "lseek", "fsync", "replace", "unlink", "close"} == {name for _, name, *_ in killed[:-1]}
    assert [end for end in killed if len(end[2]) != 64] == []
    assert {mode for *_, modes in killed for mode in modes} == {0o600}


def test_a_vendor_that_takes_a_refresh_token_once_locks_out_only_between_its_answer_and_our_disk(
    strict: str, tmp_path: Path
) -> None:
    killed = ends(strict, tmp_path)

    # That is, before the answer is written, and in the middle of that; from then on it is found.
    assert [name for _, name, end, *_ in killed if len(end) != 64] == ["lseek", "write"]
    assert len(killed) > 15
    for _, _, end, *_ in killed:
        assert len(end) == 64 or ("ConfigurationError: " in end and "died, or lost the connection" in end)


def test_a_process_killed_while_it_holds_the_lock_keeps_nobody_waiting(grant: Grant) -> None:
    before = grant.questions
    grant.fail({"pattern": "POST /drift/oauth2/token", "kind": "slow", "seconds": 300.0})
    holder = grant.started()
    assert holder.stdin is not None
    holder.stdin.write("\n")
    holder.stdin.flush()
    until(lambda: grant.questions == before + 1)
    waiting = grant.started()

    holder.kill()

    assert len(said(waiting).removeprefix("ready\n")) == 64
    holder.communicate()


def until(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def test_an_answer_lost_on_its_way_is_explained_and_a_new_authorization_goes_on(grant: Grant) -> None:
    grant.fail({"pattern": "POST /drift/oauth2/token", "kind": "truncate"})

    told = grant.read()

    assert told.startswith("ConfigurationError: drift: POST /drift/oauth2/token: 400. Look. At ")
    assert told.endswith(
        f"a process asked for a new token and died, or lost the connection, before the answer was in {grant.store}: "
        "the vendor's newest refresh token is lost, and it takes none of those before. Authorize the app again and set "
        "the new refresh token."
    )
    assert len(grant.read(AT_THE_SIGNAL, authorized_again(grant.url))) == 64


def authorized_again(url: str) -> str:
    app = {name: credentials("drift")[name] for name in ("client_id", "client_secret")}
    browser = {"response_type": "code", "client_id": app["client_id"], "redirect_uri": "https://us.test/back"}
    sent = requests.get(f"{url}/drift/authorize", params=browser, allow_redirects=False, timeout=10)
    code = parse_qs(urlsplit(sent.headers["Location"]).query)["code"][0]
    form = {**app, "grant_type": "authorization_code", "code": code}
    answer: dict[str, str] = requests.post(f"{url}/drift/oauth2/token", data=form, timeout=10).json()
    return answer["refresh_token"]


FULL_FROM_THE_START = (
    READER
    + """
made = client(*sys.argv[1:])
resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
print(read(made))
"""
)

FULL_AFTER_THE_ANSWER = (
    READER
    + """
made = client(*sys.argv[1:])
ask = made.authenticator.endpoint

def full_then(form):
    answer = ask(form)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    return answer

made.authenticator.endpoint = full_then
print(used(made) == used(made))
print(used(made))
print(read(made))
"""
)


def test_a_full_disk_is_told_before_a_refresh_token_is_spent(grant: Grant) -> None:
    before = grant.questions

    told = grant.read(FULL_FROM_THE_START)

    assert told.startswith(f"DestinationUnwritable: {grant.store} cannot be written (File too large)")
    assert grant.questions == before
    assert len(grant.read()) == 64


def test_a_disk_that_fills_up_while_the_vendor_answers_does_not_stop_the_process(grant: Grant) -> None:
    before, kept = grant.questions, grant.store.read_bytes()
    process = grant.started(FULL_AFTER_THE_ANSWER)
    output, errors = process.communicate(timeout=60)

    same, used, next_request = output.splitlines()
    assert (same, len(used), grant.questions - before) == ("True", 64, 1)
    assert next_request.startswith("DestinationUnwritable: ")  # it could not be counted any more
    assert grant.store.read_bytes() == kept
    assert f"{grant.store} cannot be written (File too large)" in errors
    assert "goes on with them" in errors


def test_a_folder_that_may_not_be_written_is_told_before_a_refresh_token_is_spent(grant: Grant) -> None:
    before = grant.questions
    as_somebody_else = READER + (
        "folder, url = sys.argv[1:]\n"
        "os.chdir(folder)\n"  # so that a folder of root's above is in nobody's way
        "os.geteuid() or os.setuid(65534)\n"
        "print(read(client('.', url)))\n"
    )
    folder = grant.store.parent
    owner = folder.stat().st_uid or 65534
    for path in (*folder.iterdir(), folder, grant.folder):
        os.chown(path, owner, -1)
    folder.chmod(0o500)
    try:
        told = grant.read(as_somebody_else)
    finally:
        folder.chmod(0o700)

    assert told.startswith("DestinationUnwritable: tokens/a.json cannot be written (Permission denied)")
    assert grant.questions == before


def test_no_process_shows_a_secret_with_every_log_on(grant: Grant) -> None:
    grant.store.chmod(0o644)
    grant.fail({"pattern": "POST /drift/oauth2/token", "kind": "500"})
    process = grant.started()
    output, errors = process.communicate(timeout=60)
    kept = json.loads(grant.store.read_text())
    secrets = [*credentials("drift").values(), kept["access_token"], kept["refresh_token"]]

    assert "DEBUG:urllib3" in errors
    assert "could be read by others until now" in errors
    assert [secret for secret in secrets if isinstance(secret, str) and secret in output + errors] == []
    assert grant.store.stat().st_mode & 0o777 == 0o600
