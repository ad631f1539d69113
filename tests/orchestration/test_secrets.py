"""No credential is in anything a run writes: database, spools, event log, run storage, compute logs, standard error."""

import json
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from connector_resources.resource import HttpSource
from connector_resources.sandbox.accounts import credentials
from orchestration.as_resource import from_environment
from orchestration.connection import connection
from orchestration.io_manager import Warehouse
from orchestration.settings import Settings
from tests.canaries import found, written
from tests.orchestration.conftest import FIRST_DAY, Project, failures, kind_of

SECRETS = {
    "aha": {"AHA_API_KEY": "api_key"},
    "drift": {
        "DRIFT_CLIENT_SECRET": "client_secret",
        "DRIFT_REFRESH_TOKEN": "refresh_token",
        "DRIFT_ACCESS_TOKEN": "access_token",
    },
}
"""The secrets of each connector: where they come from, and what the sandbox calls them."""

CANARY = "canary-{}-7f3a91c2"


@pytest.fixture(scope="module")
def ran(
    tmp_path_factory: pytest.TempPathFactory, sandbox_url: str
) -> Iterator[tuple[Path, list[str], dict[str, tuple[str, str]]]]:
    """A folder with all that three runs wrote, the secrets they used, and the failures.

    Each source reads with the environment's credentials as in live mode: once with good ones, once with ones that the
    vendor refuses.
    """
    folder = tmp_path_factory.mktemp("secrets")
    used: list[str] = []
    failed: dict[str, tuple[str, str]] = {}
    with pytest.MonkeyPatch.context() as environment, dg.DagsterInstance.local_temp(str(folder)) as instance:
        for good in (True, False):
            for source, secrets in SECRETS.items():
                for variable, name in secrets.items():
                    secret = credentials(source)[name] if good else CANARY.format(name)
                    environment.setenv(variable, secret)
                    used.append(secret)
            environment.setenv("DRIFT_CLIENT_ID", credentials("drift")["client_id"])
            environment.setenv("AHA_SUBDOMAIN", "sandbox")
            if not good:
                environment.delenv("DRIFT_REFRESH_TOKEN")
            result = run(folder / str(good), sandbox_url, instance)
            failed |= failures(result)
            assert result.success == good
        yield folder, used, failed


def run(folder: Path, url: str, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    """Materialise the users of every vendor with what the environment holds."""
    project = Project(folder, url, start=FIRST_DAY)
    resources: dict[str, Any] = {
        "connection": connection(Settings("live", folder, FIRST_DAY)),
        "warehouse": Warehouse(database=str(folder / "live.duckdb"), spools=str(folder / "spools")),
    }
    for name in SECRETS:
        kind = kind_of(name)
        assert issubclass(kind, HttpSource)
        resources[name] = from_environment(
            kind, base_url=f"{url}/{name}", rate_limit_factor=0.0, state_folder=str(folder / "state")
        )
    return dg.materialize(
        [project.asset(f"{name}/users") for name in SECRETS],
        instance=instance,
        resources=resources,
        raise_on_error=False,
    )


def test_good_and_bad_credentials_appear_nowhere_but_in_the_file_of_rotated_tokens(
    ran: tuple[Path, list[str], Any],
) -> None:
    folder, used, _ = ran
    (store,) = (folder / "True" / "state" / "tokens").glob("*.json")
    kept = json.loads(store.read_text())

    assert found(folder, used) == set()
    assert found(folder, [kept["access_token"], kept["refresh_token"]]) == {store.relative_to(folder)}


def test_what_was_searched_is_what_runs_write(ran: tuple[Path, list[str], Any]) -> None:
    folder, _, _ = ran
    names = {re.sub(r"[0-9a-f-]{16,}|\d+", "N", file.name) for file, _ in written(folder)}
    assert {"live.duckdb", "pages.ndjson", "manifest.json", "index.db", "runs.db"} <= names
    assert any(b"STEP_SUCCESS" in content for file, content in written(folder) if file.suffix == ".db")
    assert any(b"aha__users" in content for file, content in written(folder) if file.suffix == ".err")
    assert any(b"resource_def_snaps" in content for file, content in written(folder))


def test_rotated_tokens_are_for_their_owner_only(ran: tuple[Path, list[str], Any]) -> None:
    folder, _, _ = ran
    modes = {stat.S_IMODE(file.stat().st_mode) for file in (folder / "True" / "state" / "tokens").glob("*.json")}
    assert modes == {0o600}


def test_a_refusal_names_what_to_check(ran: tuple[Path, list[str], dict[str, tuple[str, str]]]) -> None:
    _, _, failed = ran
    assert {step: error for step, (error, _) in failed.items()} == {
        "aha__users": "RequestRejected",
        "drift__users": "RequestRejected",
    }
    assert failed["drift__users"][1].startswith("drift.users: 403 from GET /users/list.")
    assert failed["aha__users"][1].startswith("aha")


def test_what_is_printed_holds_no_credential(
    project: Project, sandbox_url: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for variable, name in SECRETS["drift"].items():
        monkeypatch.setenv(variable, CANARY.format(name))
    monkeypatch.delenv("DRIFT_REFRESH_TOKEN")
    monkeypatch.setenv("AHA_API_KEY", CANARY.format("api_key"))
    monkeypatch.setenv("AHA_SUBDOMAIN", "sandbox")
    assert not run(project.folder, sandbox_url, dg.DagsterInstance.ephemeral()).success
    printed = capfd.readouterr()
    assert "drift.users: 403" in printed.err
    assert "canary" not in printed.err + printed.out
