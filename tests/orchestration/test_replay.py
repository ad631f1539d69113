"""Landing again what was read before: from disk, under the declaration of today, never the past over the present."""

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import requests
from rich.console import Console

import orchestration.replay
from connector_resources.destinations.duckdb import DuckDB
from connector_resources.sources.drift import Drift
from connector_resources.spool import Kept, SpoolKey, kept
from connector_resources.streams import Slice
from orchestration.connection import Connection
from tests.landing import snapshot
from tests.orchestration.conftest import DAYS, TODAY, DriftInTurn, Fail, Project, failures, kind_of, materialized

ROOT = Path(__file__).parents[2]
NOWHERE = "http://127.0.0.1:9"
"""A sandbox that has been stopped: nothing listens on the port of the discard protocol."""


def replay(
    project: Project, *assets: str | dg.AssetsDefinition, days: Sequence[str] = (), **told: bool
) -> dg.ExecuteInProcessResult:
    """Land assets again, in one run."""
    made = [project.asset(asset) if isinstance(asset, str) else asset for asset in assets]
    tags = {}
    if len(days) > 1:
        tags = {"dagster/asset_partition_range_start": days[0], "dagster/asset_partition_range_end": days[-1]}
    return dg.materialize(
        made,
        instance=project.instance,
        resources=project.resources(),
        partition_key=days[0] if len(days) == 1 else None,
        tags=tags,
        run_config={"ops": {asset.op.name: {"config": {"replay": True, **told}} for asset in made}},
        raise_on_error=False,
    )


def redeclared(project: Project, name: str, /, **types: Any) -> dg.AssetsDefinition:
    """Return an asset with other types for some columns."""
    source, stream = name.split("/")
    columns = kind_of(source).stream(stream).columns
    return project.asset(name, columns=tuple(replace(each, type=types.get(each.name, each.type)) for each in columns))


def asked_of(url: str) -> Any:
    """Return what the sandbox has been asked for."""
    return requests.get(f"{url}/_sandbox/requests", timeout=10).json()


def runs_of(project: Project, table: str) -> dict[str, set[str]]:
    """Return which runs the rows of each partition are from."""
    rows = project.store.query(f"SELECT _partition, list(DISTINCT _run_id) FROM {table} GROUP BY ALL")
    return {partition: set(runs) for partition, runs in rows}


def said(project: Project, result: dg.ExecuteInProcessResult) -> list[str]:
    """Return what a run logged, without Dagster's own events."""
    return [entry.user_message for entry in project.instance.all_logs(result.run_id) if entry.dagster_event is None]


def test_a_corrected_declaration_is_applied_to_what_was_read_without_a_request(project: Project) -> None:
    wrong = redeclared(project, "drift/users", name="integer")
    ((error, _),) = failures(project.run(wrong)).values()
    assert error == "TooManyQuarantined"
    (spool,) = kept(project.folder / "spools")
    project.url = NOWHERE

    result = replay(project, "drift/users")

    users = materialized(result, "drift/users")[None]
    assert failures(result) == {}
    assert (users["rows"], users["requests"], users["quarantined"]) == (12, 0, 0)
    assert users["replayed_from"] == f"read {spool.read_at:%Y-%m-%d %H:%M:%S} UTC by run {spool.landed_by[0]}"
    assert [each.state for each in kept(project.folder / "spools")] == ["committed"]


def test_a_damaged_extraction_is_none_that_is_there_to_be_replayed(project: Project) -> None:
    assert project.run("drift/users").success
    (spool,) = kept(project.folder / "spools")
    (spool.folder / "landed_by").write_bytes(b"\xff")
    ((error, message),) = failures(replay(project, "drift/users")).values()
    assert (error, "There is none of this stream." in message) == ("NotReplayable", True)


def test_a_wrong_setting_ends_the_command_in_one_line() -> None:
    wrong = subprocess.run(
        [sys.executable, "-m", "orchestration.replay", "--list"],
        cwd=ROOT,
        env={**os.environ, "DATA_FOLDER": __file__},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (wrong.returncode, "Traceback" in wrong.stderr) == (2, False)
    assert wrong.stderr.splitlines()[-1].endswith(f"and {__file__} is no folder; set it to one.")


def test_a_replay_makes_no_request_and_lands_the_same_again(project: Project, sandbox_url: str) -> None:
    names = ("drift/users", "drift/conversations", "drift/messages", "aha/features")
    tables = [name.replace("/", ".") for name in names]
    first = project.run(*names, days=DAYS)
    before, asked = [project.rows(table) for table in tables], asked_of(sandbox_url)
    again = replay(project, *names, days=DAYS)
    assert (failures(first), failures(again)) == ({}, {})
    assert ([project.rows(table) for table in tables], asked_of(sandbox_url)) == (before, asked)
    assert all(before)
    assert {run for table in tables for runs in runs_of(project, table).values() for run in runs} == {again.run_id}
    for name in names:
        versions = [[about["data_version"] for about in materialized(run, name).values()] for run in (first, again)]
        assert versions[0] == versions[1]


def test_a_field_that_is_declared_now_moves_from_the_extra_ones_to_its_column(project: Project) -> None:
    columns = kind_of("drift").stream("users").columns
    assert project.run(
        project.asset("drift/users", columns=tuple(each for each in columns if each.name != "email"))
    ).success
    project.url = NOWHERE
    assert failures(replay(project, "drift/users")) == {}
    found = project.store.query("SELECT count(*), count(email) > 5, count(_extra) FROM drift.users")
    assert found == [(12, True, 0)]


@pytest.mark.parametrize("name", ["drift/conversations", "drift/messages"])
def test_a_day_is_replayed_from_the_extraction_of_a_range_and_the_others_stay(project: Project, name: str) -> None:
    table = name.replace("/", ".")
    first = project.run("drift/conversations", "drift/messages", days=DAYS)
    before = project.rows(table)
    day = sorted(runs_of(project, table))[1]
    assert len(runs_of(project, table)) > 2
    project.url = NOWHERE

    result = replay(project, name, days=[day])

    assert failures(result) == {}
    assert project.rows(table) == before
    assert runs_of(project, table) == {
        each: {result.run_id if each == day else first.run_id} for each in runs_of(project, table)
    }
    about = materialized(result, name)[day]
    count = project.store.query(f"SELECT count(*) FROM {table} WHERE _partition = '{day}'")
    assert (about["rows"], count) == (
        about["records_received"] - about["records_outside_the_window"],
        [(about["rows"],)],
    )


def test_a_bad_record_of_another_day_is_left_out_of_a_replayed_day(project: Project) -> None:
    """A substream's records lie in the days of their parents, quarantined ones too."""
    project.warehouse["max_quarantined_share"] = 1.0
    wrong = redeclared(project, "drift/messages", body="integer")
    assert project.run("drift/conversations", days=DAYS).success
    assert project.run(wrong, days=DAYS).success
    kept_aside = "SELECT _partition, count(*) FROM drift.messages_quarantine GROUP BY ALL ORDER BY ALL"
    before = project.store.query(kept_aside)
    assert len(before) > 2
    day = before[1][0]
    assert failures(replay(project, wrong, days=[day])) == {}
    assert project.store.query(kept_aside) == before


def test_a_replay_never_lands_older_data_over_newer(project: Project) -> None:
    assert project.run("drift/conversations", days=DAYS).success
    (spool,) = kept(project.folder / "spools")
    assert project.run("drift/conversations", days=[DAYS[3]]).success
    landed_at = project.store.landed_at("drift", "conversations", [DAYS[3]])
    before = project.rows("drift.conversations"), runs_of(project, "drift.conversations")
    ((error, message),) = failures(replay(project, "drift/conversations", days=DAYS)).values()
    assert error == "NotReplayable"
    assert message == (
        f"drift.conversations {DAYS[0]}…{DAYS[-1]}: the newest extraction on disk was read at "
        f"{spool.read_at:%Y-%m-%d %H:%M:%S} UTC, and partition {DAYS[3]} was landed by another at "
        f"{landed_at:%Y-%m-%d %H:%M:%S} UTC. A replay would bring back the past. Replay other partitions, or run it "
        "without replay."
    )
    assert (project.rows("drift.conversations"), runs_of(project, "drift.conversations")) == before
    for day in (DAYS[3], DAYS[4]):  # each from its own extraction
        assert failures(replay(project, "drift/conversations", days=[day])) == {}


def test_the_same_extraction_can_be_replayed_as_often_as_one_likes(project: Project) -> None:
    assert project.run("drift/users").success
    project.url = NOWHERE
    results = [replay(project, "drift/users") for _ in range(3)]
    assert [failures(result) for result in results] == [{}, {}, {}]
    said_by = [materialized(result, "drift/users")[None]["replayed_from"] for result in results]
    assert len(set(said_by)) == 1


def test_without_an_extraction_on_disk_the_error_says_what_there_is(project: Project) -> None:
    spools = project.folder / "spools"
    message = (
        f"drift.users all: no extraction that can be replayed is on disk in {spools}. There is none of this stream. "
    )
    assert failures(replay(project, "drift/users")) == {
        "drift__users": ("NotReplayable", message + "Without replay, a run reads the API.")
    }
    assert project.run("drift/conversations", days=DAYS[:3]).success
    (spool,) = kept(spools)
    ((_, message),) = failures(replay(project, "drift/conversations", days=DAYS[:4])).values()
    assert (
        f"Of this stream there are: {DAYS[0]}…{DAYS[2]} read {spool.read_at:%Y-%m-%d %H:%M:%S} UTC. Without replay, "
        in message
    )


# Whose it is


def live(project: Project, **fields: Any) -> dict[str, Any]:
    """Return the resources of a live project, whose account is not the sandbox's."""
    source = Drift(state_folder=str(project.folder / "state"), **fields)
    return {**project.resources(), "connection": Connection(mode="live"), "drift": source}


def replayed_live(project: Project, **fields: Any) -> dict[str, tuple[str, str]]:
    result = dg.materialize(
        [project.asset("drift/users")],
        instance=project.instance,
        resources=live(project, **fields),
        run_config={"ops": {"drift__users": {"config": {"replay": True}}}},
        raise_on_error=False,
    )
    return failures(result)


def test_a_replay_needs_no_credentials(project: Project) -> None:
    assert project.run("drift/users").success
    assert replayed_live(project) == {}


def test_a_replay_never_lands_what_another_account_holds(project: Project) -> None:
    assert project.run("drift/users").success
    ((error, message),) = replayed_live(project, access_token="of another account").values()
    assert error == "NotReplayable"
    assert " UTC from another account. Without replay, " in message


def test_without_credentials_nothing_is_replayed_where_several_accounts_were_read(
    project: Project, tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert project.run("drift/users").success
    (folder,) = (project.folder / "spools").glob("drift.users.*")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["key"]["account"] = "another"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    folder.rename(folder.with_name("drift.users.another.0"))
    assert project.run("drift/users").success
    ((error, message),) = replayed_live(project).values()
    assert error == "NotReplayable"
    assert "extractions of 2 accounts are on disk (another, drift-" in message


# Around a normal run


def test_after_a_refusal_a_normal_run_asks_the_api_anew(project: Project, sandbox_url: str) -> None:
    wrong = redeclared(project, "drift/users", name="integer")
    asked = []
    for _ in range(2):
        assert [error for error, _ in failures(project.run(wrong)).values()] == ["TooManyQuarantined"]
        asked.append(asked_of(sandbox_url))
    assert asked[0] != asked[1]
    assert [each.state for each in kept(project.folder / "spools")] == ["refused"]


def test_a_replay_that_is_refused_again_leaves_everything_as_it_was(project: Project) -> None:
    assert project.run("drift/users").success
    before = project.rows("drift.users"), runs_of(project, "drift.users")
    wrong = redeclared(project, "drift/users", name="integer")
    assert [error for error, _ in failures(replay(project, wrong)).values()] == ["TooManyQuarantined"]
    assert (project.rows("drift.users"), runs_of(project, "drift.users")) == before
    assert [each.state for each in kept(project.folder / "spools")] == ["committed"]
    assert failures(replay(project, "drift/users")) == {}


def test_a_run_that_died_right_after_its_commit_is_finished_without_a_request(project: Project) -> None:
    assert project.run("drift/users").success
    (folder,) = (project.folder / "spools").glob("drift.users.*")
    (folder / "committed").unlink()  # as a process leaves it that dies between its commit and noting it
    again = materialized(project.run("drift/users"), "drift/users")[None]
    assert (again["requests"], again["pages_resumed"], again["rows"]) == (0, 1, 12)
    assert project.run("drift/users").success


def test_the_runs_log_says_why_a_reading_starts_over(project: Project, fail: Fail) -> None:
    project.sources["drift"] = DriftInTurn
    assert project.run("drift/conversations", days=DAYS).success
    fail({"pattern": "GET /drift/conversations/*/messages*", "kind": "html", "skip": 3})
    assert failures(project.run("drift/messages", days=DAYS))
    fail()
    result = project.run(redeclared(project, "drift/messages", body="json"), days=DAYS)
    assert (
        "messages: 3 pages of an earlier reading are not taken up: the stream's declaration has changed since. It is "
        "read from the start."
    ) in said(project, result)


# The command


TYPED = """
import json, os, runpy, sys

codes = {}
folder = sys.argv[2]
for name, command in json.loads(sys.argv[1]).items():
    for number, stream in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(f"{folder}/{name}.{stream}", os.O_WRONLY | os.O_CREAT), number)
    sys.argv, codes[name] = command, 0
    try:
        runpy.run_module(command[0], run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        codes[name] = ended.code or 0
    sys.stdout.flush()
    sys.stderr.flush()
with open(f"{folder}/codes", "w") as file:
    json.dump(codes, file)
"""
"""Types commands in one process, which saves two seconds each; their output is in files of a folder."""


@dataclass
class Commands:
    """What the commands of one project said, in the order they were given; the sandbox is there for the first only."""

    read: "subprocess.CompletedProcess[str]"
    listed: "subprocess.CompletedProcess[str]"
    landed: "subprocess.CompletedProcess[str]"
    impossible: "subprocess.CompletedProcess[str]"
    wrong: "subprocess.CompletedProcess[str]"
    removed: "subprocess.CompletedProcess[str]"
    folder: Path


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory, sandbox_url: str) -> Commands:
    folder = tmp_path_factory.mktemp("replayed")
    (folder / "home").mkdir()
    (folder / "home" / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    environment = {
        **{name: os.environ[name] for name in ("PATH", "HOME")},
        "CONNECTOR_MODE": "sandbox",
        "COLUMNS": "80",
        "DAGSTER_HOME": str(folder / "home"),
        "DATA_FOLDER": str(folder / "data"),
        "ENABLED_STREAMS": "",
        "PARTITIONS_START": DAYS[0],
        "SANDBOX_LIMITS": "0",
    }

    def run(*command: str, url: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, *command],
            cwd=ROOT,
            env={**environment, "SANDBOX_URL": url},
            capture_output=True,
            text=True,
            check=False,
        )

    materialize = ("-m", "dagster", "asset", "materialize", "-m", "orchestration.definitions", "--select")
    days = ("--partition-range", f"{DAYS[0]}...{DAYS[-1]}")
    program = "orchestration.replay"
    read = run(*materialize, "drift/conversations,drift/messages", *days, url=sandbox_url)
    typed = {
        "listed": [program, "--list"],
        "landed": [program, "drift/conversations", "drift/messages", "--partition", DAYS[-1]],
        "impossible": [program, "drift/users"],
        "wrong": [program, "drift/conversations", "--partition", "2099-01-01"],
        "removed": [program, "--remove"],
    }
    done = run("-c", TYPED, json.dumps(typed), str(folder), url=NOWHERE)
    assert done.returncode == 0, done.stderr[-2_000:]
    codes = json.loads((folder / "codes").read_text())
    said = {name: [(folder / f"{name}.{each}").read_text() for each in ("stdout", "stderr")] for name in typed}
    return Commands(
        read,
        **{name: subprocess.CompletedProcess(typed[name], codes[name], *said[name]) for name in typed},
        folder=folder,
    )


def test_a_command_replays_a_day_of_several_streams(commands: Commands) -> None:
    assert commands.read.returncode == 0, commands.read.stderr[-2_000:]
    assert commands.landed.returncode == 0, commands.landed.stderr[-2_000:]
    assert "drift.conversations: 1 page, read at " in commands.landed.stderr
    store = DuckDB(commands.folder / "data" / "sandbox.duckdb", commands.folder / "temporary")
    runs = store.query("SELECT name, partition, run_id FROM _state ORDER BY ALL")
    last = {name: run for name, partition, run in runs if partition == DAYS[-1]}
    others = {run for _, partition, run in runs if partition != DAYS[-1]}
    assert (set(last), len(set(last.values())), len(others)) == ({"conversations", "messages"}, 1, 1)
    assert set(last.values()) != others


def test_a_command_that_finds_nothing_to_replay_fails_and_says_what_to_do(commands: Commands) -> None:
    assert commands.impossible.returncode == 1
    assert (
        "drift/users failed: drift.users all: no extraction that can be replayed is on disk"
        in commands.impossible.stderr
    )


def test_a_day_that_is_no_partition_is_refused_in_one_line(commands: Commands) -> None:
    refusal = commands.wrong.stderr.splitlines()[-1].partition(": error: ")[2]
    assert commands.wrong.returncode == 2
    assert refusal in [
        f"2099-01-01 is no partition; they are days from {DAYS[0]} to {last} (UTC), such as {last}."
        for last in (DAYS[-1], f"{TODAY}")  # midnight may have come since the tests were collected
    ]
    assert "Traceback" not in commands.wrong.stderr


@pytest.mark.parametrize(
    ("told", "complaint"),
    [
        (("--partition", DAYS[0]), None),
        (("--partition", "xx"), "xx is no partition; they are days from "),
        (("--partition-range", f"{DAYS[0]}...{DAYS[2]}"), None),
        (("--partition-range", f"{DAYS[0]}...2099-01-01"), "2099-01-01 is no partition"),
        (("--partition-range", f"{DAYS[2]}...{DAYS[0]}"), f"{DAYS[2]}...{DAYS[0]} ends before it begins."),
        ((), None),
    ],
)
def test_days_are_looked_up_before_anything_is_done(told: Sequence[str], complaint: str | None) -> None:
    found = orchestration.replay._unknown_day(orchestration.replay._parser().parse_args(["a/b", *told]), DAYS)
    assert found is None if complaint is None else (found or "").startswith(complaint)


@pytest.mark.parametrize("option", ["--partition", "--partition-range"])
def test_an_option_that_is_there_twice_is_refused(capsys: pytest.CaptureFixture[str], option: str) -> None:
    days = "2026-03-01...2026-03-02" if option.endswith("range") else "2026-03-01"
    with pytest.raises(SystemExit) as ended:
        orchestration.replay._parser().parse_args(["a/b", option, days, option, days])
    assert ended.value.code == 2
    assert f"error: {option} is there twice; days that follow one another" in capsys.readouterr().err


@pytest.mark.parametrize(("is_terminal", "columns"), [(False, 80), (True, 80), (True, 40), (True, 200)])
def test_a_list_breaks_no_name_and_no_day(is_terminal: bool, columns: int) -> None:
    name = "conversational_landing_pages"
    key = SpoolKey.of("account", "drift_support", snapshot(name, id="string"), Slice())
    each = Kept(Path(), key, tuple(DAYS), "unfinished", 1e9, 12_345, 1_234_567, 89, ())
    out = io.StringIO()
    console = Console(file=out, force_terminal=is_terminal, width=columns, no_color=True)
    orchestration.replay._print_whole(console, orchestration.replay._table([each]))
    words = set(re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue()).split())
    assert words >= {f"drift_support/{name}", DAYS[0], DAYS[-1], "2001-09-09", "01:46:40", "1,234,567", "unfinished"}
    if not is_terminal:
        assert len(out.getvalue().splitlines()) == 6  # a title, a head, a row, and three lines


def test_what_is_on_disk_can_be_listed_and_removed(commands: Commands) -> None:
    assert commands.listed.returncode == 0, commands.listed.stderr
    lines = [
        [cell.strip() for cell in line.split("│")[1:-1]] for line in commands.listed.stdout.splitlines() if "…" in line
    ]
    assert [(line[0], line[1], line[-1]) for line in lines] == [
        (f"drift/{name}", f"{DAYS[0]} … {DAYS[-1]}", "committed") for name in ("messages", "conversations")
    ]
    assert commands.removed.stdout.startswith("2 extractions removed from ")
    assert kept(commands.folder / "data" / "spools" / "sandbox") == []
