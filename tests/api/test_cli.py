"""The command line against the sandbox: what it prints where, how it ends, and what an interruption leaves."""

import itertools
import json
import os
import re
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pandas as pd
import portalocker
import pytest
import requests
from click.testing import CliRunner, Result

import connector_resources as ab
from connector_resources.begun_reads import BegunRead, begun_reads, noted
from connector_resources.cli import cli
from connector_resources.cli_output import plain
from connector_resources.errors import ConnectorError, DestinationUnwritable, MissingCredential, RequestBudgetSpent
from connector_resources.resource import Source
from connector_resources.sandbox.process import SandboxProcess
from connector_resources.streams import Page
from tests.canaries import forms
from tests.landing import ROOT, child, said

FAKER = ("--set", "count=50", "--set", "seed=1", "--set", "always_updated=false", "--set", "records_per_slice=10")
SECRET = "c4n4ry-of-a-secret-key"
COMMANDS = ["connectors", "streams", "spec", "check", "preview", "read", "resume", "state"]


def run(*arguments: str, given: str | bytes | None = None, code: int = 0) -> Result:
    """Run a command in this process."""
    result = CliRunner().invoke(cli, arguments, input=given)
    assert result.exit_code == code, (result.output, result.exception)
    assert "Traceback" not in result.output
    return result


def data(*arguments: str, code: int = 0) -> Any:
    """Run a command for a script, and return what it says on stdout."""
    return json.loads(run(*arguments, "--json", code=code).stdout)


def error(*arguments: str, code: int) -> Any:
    """Run a command for a script, and return the error that its stderr ends with."""
    lines = run(*arguments, "--json", code=code).stderr.strip().splitlines()
    told = [json.loads(line) for line in lines]
    assert told[-1]["exit_code"] == code
    return told[-1]


def process(*arguments: str, **options: Any) -> "subprocess.Popen[str]":
    """Start a command as a process of its own."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    command = [sys.executable, "-m", "connector_resources.cli", *arguments]
    environment = {**os.environ, "PYTHONPATH": path, **options.pop("environment", {})}
    return subprocess.Popen(command, text=True, env=environment, **{**streams, **options})


def refuse(sandbox: SandboxProcess, *patterns: str) -> None:
    """Let requests of these patterns, instead of those before, be answered with a web page."""
    faults = [{"pattern": pattern, "kind": "html", "times": 10_000} for pattern in patterns]
    requests.post(f"{sandbox.url}/_sandbox/faults", json=faults, timeout=10).raise_for_status()


@pytest.fixture
def aha_file(desk: Path) -> str:
    """A configuration that opens the sandbox's Aha! account."""
    (desk / "aha.json").write_text(json.dumps(ab.sandbox_config("aha")))
    return "aha.json"


# Help


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from connector_resources.cli import cli\n"
        "try: cli(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = ('dagster', 'pandas', 'numpy', 'pyarrow', 'duckdb', 'requests', 'rich', 'mimesis', 'pydantic')\n"
        "print([name for name in sys.modules if name in heavy])"
    )
    assert said(child(code)).splitlines()[-1] == "[]"


def test_the_example_in_the_help_runs_as_it_stands(desk: Path) -> None:
    example = run("--help").stdout.partition("With an account")[0]
    commands = re.findall(r"(?m)^    headrace (.+)$", example)
    assert len(commands) == 6
    for command in commands:
        run(*command.split())
    assert (desk / "exports" / "contacts.csv").read_text().startswith("id,")


def test_the_commands_in_the_documentation_run_as_they_stand(desk: Path) -> None:
    page = (ROOT / "docs" / "python_api.md").read_text().partition("## From the command line")[2]
    commands = re.findall(r"(?m)^headrace (.+?)(?: +#.*)?$", page.partition("\n## ")[0].partition("With an account")[0])
    assert len(commands) >= 6
    for command in commands:
        run(*command.split())


def test_every_command_can_speak_json_and_every_option_is_explained() -> None:
    assert list(cli.commands) == COMMANDS
    for command in cli.commands.values():
        options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
        assert "--json" in [name for option in options for name in option.opts]
        assert [option.name for option in options if not option.help] == []
        assert command.help


def test_help_lists_commands_in_the_order_in_which_they_are_needed() -> None:
    listed = run("--help").stdout.partition("Commands:")[2]
    assert re.findall(r"(?m)^  (\w+)", listed) == COMMANDS
    assert "..." not in listed


def test_without_a_command_the_help_is_shown_and_it_is_no_error_message() -> None:
    result = run(code=2)
    assert (result.stdout, result.stderr) == ("", run("--help").stdout)


def test_the_console_script_is_the_command_line() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["scripts"] == {"headrace": "connector_resources.cli:main"}
    assert said(process("--version")).startswith("headrace ")


# What there is


def test_connectors_and_streams_are_listed(desk: Path) -> None:
    assert [each["name"] for each in data("connectors")] == ["source-aha", "source-drift", "source-faker"]
    assert "source-aha" in run("connectors").stdout
    streams = {each["name"]: each for each in data("streams", "source-drift")}
    assert streams["messages"] == {
        "name": "messages",
        "description": streams["messages"]["description"],
        "is_on": True,
        "read": "by day",
        "primary_key": ["id"],
        "cursor": streams["messages"]["cursor"],
        "parent": "conversations",
    }
    assert not streams["transcripts"]["is_on"]
    assert streams["users"]["read"] == "whole"


def test_the_spec_is_json_schema_or_a_table_with_the_keys_of_objects(desk: Path) -> None:
    assert data("spec", "source-drift") == ab.get_source("drift").config_spec
    shown = run("spec", "drift").stdout
    assert re.search(r"credentials\.access_token +string +secret", shown)
    assert re.search(r'credentials\.credentials +string +"access_token" or "oauth2\.0"', shown)
    assert "Needed: credentials or access_token or refresh_token." in shown


def test_nothing_is_wrapped_or_coloured_where_no_terminal_is(desk: Path) -> None:
    shown = said(process("streams", "source-aha", environment={"FORCE_COLOR": "1", "TERM": "xterm-256color"}))
    assert "\x1b" not in shown
    assert [each.description for each in _streams("aha") if each.description not in shown] == []


def _streams(name: str) -> Any:
    from connector_resources.sources import discover

    return next(kind for kind in discover() if kind.name == name).streams


def test_a_terminal_that_knows_no_unicode_stops_nothing(desk: Path) -> None:
    preview = ("preview", "drift", "--streams", "contacts", "--limit", "20")
    names = [contact["attributes"].get("name") or "" for contact in data(*preview)["contacts"]]
    name = next(name for name in names if not name.isascii())  # who is among the first depends on the day
    assert run(*preview, "--json").stdout.isascii()
    assert name.encode("ascii", "replace").decode() in said(
        process(*preview, environment={"PYTHONIOENCODING": "ascii"})
    )


# Configurations


@pytest.mark.parametrize("text", ['{"count": 7}', "count: 7", "\ufeffcount: 7\n", '\ufeff\t{"count":\t7}'])
def test_a_configuration_is_json_or_yaml_from_a_file_or_from_standard_input(desk: Path, text: str) -> None:
    (desk / "faker.yaml").write_text(text, encoding="utf-8")
    users = ("read", "faker", "--streams", "users")
    assert data(*users, "--config", "faker.yaml")["records_read"] == 7
    result = run(*users, "--config", "-", "--json", given=text.encode())
    assert json.loads(result.stdout)["records_read"] == 7


def test_keys_that_are_set_win_over_the_file_and_have_the_type_of_the_spec(desk: Path) -> None:
    (desk / "faker.json").write_text('{"count": 7, "seed": 1}')
    assert (
        data("read", "faker", "--streams", "users", "--config", "faker.json", "--set", "count=8")["records_read"] == 8
    )
    told = error("check", "aha", "--set", "url=1", "--set", "api_key=12", "--set", "rate_limit_factor=a", code=2)
    assert "expected number, got string @ $.rate_limit_factor" in told["message"]
    assert "url" not in told["message"].partition("@")[0]
    assert "api_key" not in told["message"]


def test_dots_reach_into_objects(desk: Path, monkeypatch: pytest.MonkeyPatch, small_sandbox: SandboxProcess) -> None:
    monkeypatch.setenv("TOKEN", "sandbox-access-token")
    config = (
        *("--set", "credentials.credentials=access_token"),
        *("--set", "credentials.access_token=secret_reference::TOKEN"),
        *("--set", f"base_url={small_sandbox.url}/drift"),
    )
    result = run("check", "source-drift", *config)
    assert result.stdout == "source-drift can be read (sandbox).\n"
    assert "Warning" not in result.stderr


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (f'{{"api_key": "{SECRET}",,}}', r"neither JSON nor YAML \(line 1, column \d+\)"),
        (f"api_key: {SECRET}: x", r"neither JSON nor YAML \(line 1, column \d+\)"),
        (f"- {SECRET}", "holds no object"),
        (SECRET, "holds no object"),
        ("", "empty"),
        (SECRET.encode() + b"\xff", "not UTF-8 text"),
        (f"!!python/object/apply:os.system ['{SECRET}']", "neither JSON nor YAML"),
        ("[" * 1_500, "neither JSON nor YAML"),
    ],
)
def test_a_bad_file_is_told_by_its_place_and_never_by_what_is_in_it(
    desk: Path, content: str | bytes, problem: str
) -> None:
    (desk / "aha.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    for words in ((), ("--json",)):
        result = run("check", "aha", "--config", "aha.json", *words, code=2)
        assert re.search(f"--config: aha.json (is )?{problem}", result.stderr)
        assert SECRET not in result.output
        assert result.stdout == ""


@pytest.mark.parametrize("name", ["missing.json", "."])
def test_a_file_that_cannot_be_read_is_told_by_name(desk: Path, name: str) -> None:
    assert f"--config: {name} cannot be read" in run("check", "aha", "--config", name, code=2).stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "hubspot"),
        ("check", "faker", "--set", SECRET),
        ("check", "faker", "--set", f"={SECRET}"),
        ("check", "faker", "--set", "count=1", "--set", f"count.{SECRET}=1"),
        ("check", "faker", "--set", f"count={SECRET}"),
        ("check", "faker", "--mode", "test"),
        ("check", "faker", "--account", "Emea!"),
        ("check", "aha", "--set", "url=acme.aha.io"),
        ("preview", "faker", "--streams", "user"),
        ("preview", "faker", "--limit", "0"),
        ("preview", "faker", "--streams", ""),
        ("read", "faker", "--streams", "user"),
        ("read", "faker", "--streams", ""),
        ("read", "faker", "--streams", " , "),
        ("read", "faker", "--streams", "users", "--streams", " "),
        ("read", "faker", "--start-date", "soon"),
        ("read", "faker", "--strategy", "upsert"),
        ("read", "faker", "--limt", "3"),
        ("read",),
        ("raed", "faker"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_read_and_ends_with_two(desk: Path, arguments: tuple[str]) -> None:
    result = run(*arguments, code=2)
    assert result.stdout == ""
    assert SECRET not in result.stderr
    assert error(*arguments, code=2)["message"]
    assert not (desk / "data" / "sandbox.duckdb").exists()


def test_errors_speak_of_commands_and_not_of_python(desk: Path) -> None:
    assert "`headrace connectors` lists those there are" in run("check", "hubspot", code=2).stderr
    assert "`headrace spec` has what the connector takes" in run("check", "faker", "--set", "a=1", code=2).stderr
    append = ("read", "faker", "--streams", "users", "--strategy", "append")
    assert run(*append, code=2).stderr.endswith("Give it a database of its own, with --duckdb FILE.\n")
    assert "Did you mean source-faker? There are" in run("check", "source-fakr", code=2).stderr
    assert "Did you mean users?" in run("read", "faker", "--streams", "usrs", code=2).stderr
    assert "Did you mean" not in run("check", "hubspot", code=2).stderr
    other = ("check", "aha", "--mode", "sandbox", "--set", "url=acme", "--set", f"api_key={SECRET}")
    assert "Give it --mode live" in run(*other, code=2).stderr


# Secrets


def test_a_secret_on_the_command_line_is_warned_of_and_never_shown(desk: Path, small_sandbox: SandboxProcess) -> None:
    account = ("--set", f"url={small_sandbox.url}/aha", "--set", f"api_key={SECRET}")
    result = run("check", "aha", *account, code=1)
    assert "Warning: api_key is a secret" in result.stderr
    assert "KEY=secret_reference::" in result.stderr
    assert SECRET not in result.output
    nested = ("--set", f"credentials.access_token={SECRET}", "--set", f"base_url={small_sandbox.url}/drift")
    lines = run("check", "drift", *nested, "--json", code=1).stderr.splitlines()
    assert json.loads(lines[0])["warning"].startswith("credentials.access_token is a secret")
    assert "warning" not in run("check", "faker", "--set", "count=5").stderr.lower()


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_a_secret_is_in_nothing_that_a_command_prints_or_keeps_outside_the_state(
    desk: Path, small_sandbox: SandboxProcess, words: tuple[str, ...]
) -> None:
    (desk / "aha.json").write_text(json.dumps({"url": f"{small_sandbox.url}/aha", "api_key": SECRET}))
    account = ("--config", "aha.json", *words)
    printed = [
        run("check", "aha", *account, code=1).output,
        run("preview", "aha", "--streams", "goals", *account, code=1).output,
        run("read", "aha", "--streams", "goals", *account, code=1).output,
        run("resume", *words, code=1).output,
        run("state", *words).output,
    ]
    secret = tuple(forms(SECRET))
    assert [text for text in printed if any(form in text.encode() for form in secret)] == []
    kept = [file for file in (desk / "data").rglob("*") if file.is_file()]
    assert [file for file in kept if any(form in file.read_bytes() for form in secret)] == []
    assert any(file.parent.name == "reads" for file in kept)


# Check and preview


def test_a_check_says_what_it_reads_and_fails_with_one(desk: Path, small_sandbox: SandboxProcess) -> None:
    result = run("check", "source-faker")
    assert result.stdout == "source-faker can be read (sandbox).\n"
    assert result.stderr == ""
    hint = "source-drift reads the sandbox; --mode live or --config reads an account."
    assert hint in run("check", "source-drift").stderr
    ok = run("check", "faker", "--json")
    assert (json.loads(ok.stdout), ok.stderr) == (
        {"connector": "source-faker", "account": "faker", "mode": "sandbox", "ok": True},
        "",
    )
    account = ("--set", f"base_url={small_sandbox.url}/drift", "--set", "access_token=secret_reference::PATH")
    told = error("check", "drift", *account, code=1)
    assert told["error"] == "AirbyteConnectorCheckFailedError"
    assert "The credential is not accepted" in told["message"]


def test_a_preview_shows_the_first_records_and_stores_nothing(desk: Path) -> None:
    shown = data("preview", "faker", "--streams", "users,products", "--limit", "2", *FAKER)
    assert {name: [record["id"] for record in records] for name, records in shown.items()} == {
        "users": [1, 2],
        "products": [1, 2],
    }
    table = run("preview", "faker", "--streams", "users", "--limit", "2", *FAKER).stdout
    assert "faker.users" in table
    assert shown["users"][1]["email"] in table
    assert not (desk / "data").exists()


def test_a_preview_shows_values_as_they_came(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from connector_resources.sources.faker import Faker

    record = b'{"id": 8876506713, "year": 2019, "price": 1234.5, "is_new": false, "tags": [1000], "name": null}'
    monkeypatch.setattr(Faker, "read", lambda *asked: iter([Page([record])]))
    shown = run("preview", "faker", "--streams", "products").stdout
    assert dict(re.findall(r"(?m)^  (\w+) +(\S.*?)$", shown.partition("──\n")[2])) == {
        "id": "8876506713",
        "year": "2019",
        "price": "1234.5",
        "is_new": "false",
        "tags": "[1000]",
    }


def test_a_stream_that_cannot_be_previewed_hides_no_other(desk: Path, aha_file: str) -> None:
    preview = ("preview", "aha", "--config", aha_file, "--set", "custom_reports=1", "--limit", "1")
    arguments = (*preview, "--streams", "custom_report_rows,goals")
    assert "aha.goals" in run(*arguments, code=1).stdout
    result = run(*arguments, "--json", code=1)
    assert list(json.loads(result.stdout)) == ["goals"]
    assert list(json.loads(result.stderr)["failed"]) == ["custom_report_rows"]


def test_records_cannot_write_on_the_terminal_elsewhere_than_in_their_place(
    desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile = b'{"id": 1, "email": "\\u001b]0;pwned\\u0007\\u001b[2J\\u009b1m\\u202e[bold]"}'
    monkeypatch.setattr(Source, "read", lambda *asked: iter([Page((hostile,))]))
    from connector_resources.sources.faker import Faker

    monkeypatch.setattr(Faker, "read", lambda *asked: iter([Page((hostile,))]))
    shown = run("preview", "faker", "--streams", "users").stdout
    assert "�]0;pwned��[2J�1m�[bold]" in shown
    assert plain("a\tb\nc\r\x00") == "a\tb\nc��"


# Read


def test_a_read_lands_in_the_assets_database_and_the_next_one_goes_on(desk: Path) -> None:
    first = data("read", "source-drift", "--streams", "conversations,contacts")
    assert first["database"] == str(desk / "data" / "sandbox.duckdb")
    assert first["records_read"] == sum(each["rows"] for each in first["streams"].values()) > 0
    assert first["streams"]["contacts"]["table"] == "drift.contacts"
    assert {name: len(ab.get_default_cache()[name]) for name in first["streams"]} == {
        name: each["rows"] for name, each in first["streams"].items()
    }
    again = data("read", "source-drift", "--streams", "conversations,contacts")
    assert again["records_read"] < first["records_read"]
    assert again["streams"] == first["streams"]


def test_people_are_told_on_stderr_and_get_a_table_on_stdout(desk: Path) -> None:
    result = run("read", "faker", "--streams", "users", *FAKER)
    assert "faker.users: 50 records read" in result.stderr
    assert re.search(r"users +faker\.users +50 ", result.stdout)
    assert result.stdout.endswith(f"50 records read into {desk / 'data' / 'sandbox.duckdb'}.\n")
    assert run("read", "faker", "--streams", "users", *FAKER, "--no-progress").stderr == ""
    assert run("read", "faker", "--streams", "users", *FAKER, "--json").stderr == ""


def test_all_streams_that_are_on_are_read_where_none_is_named(desk: Path) -> None:
    assert list(data("read", "faker", *FAKER)["streams"]) == ["users", "products", "purchases"]
    assert list(data("read", "faker", *FAKER, "--streams", "*")["streams"]) == ["users", "products", "purchases"]


def test_an_account_has_tables_of_its_own_in_a_file_of_its_own(desk: Path) -> None:
    arguments = ("--streams", "users", *FAKER, "--duckdb", "crm.duckdb", "--account", "faker_emea")
    told = data("read", "faker", *arguments)
    assert (told["database"], told["streams"]) == (
        str(desk / "crm.duckdb"),
        {"users": {"table": "faker_emea.users", "rows": 50}},
    )
    assert len(ab.DuckDBCache("crm.duckdb")["faker_emea.users"]) == 50
    assert [each["table"] for each in data("state", "--duckdb", "crm.duckdb")["databases"][0]["streams"]] == [
        "faker_emea.users"
    ]


def test_strategies_and_days_reach_the_engine(desk: Path) -> None:
    users = ("read", "faker", "--streams", "users", *FAKER, "--duckdb", "mine.duckdb")
    assert data(*users, "--strategy", "append")["streams"]["users"]["rows"] == 50
    assert data(*users, "--strategy", "append")["streams"]["users"]["rows"] == 100
    assert data(*users, "--strategy", "replace")["streams"]["users"]["rows"] == 50
    conversations = ("read", "drift", "--streams", "conversations")
    day = (datetime.now(UTC).date() - timedelta(days=60)).isoformat()
    first = data(*conversations, "--start-date", day)["records_read"]
    state = {each["table"]: each for each in data("state")["databases"][0]["streams"]}
    assert state["drift.conversations"]["first_day"] == day
    assert data(*conversations, "--start-date", day)["records_read"] < first
    assert data(*conversations, "--start-date", day, "--full-refresh")["records_read"] == first > 0


def test_files_hold_all_there_is_and_not_only_what_was_new(desk: Path) -> None:
    read = ("read", "drift", "--streams", "conversations", "--csv", "out", "--jsonl", "out", "--parquet", "deep/out")
    for _ in range(2):
        told = data(*read)
        rows = told["streams"]["conversations"]["rows"]
        assert [(file["format"], file["rows"], Path(file["path"])) for file in told["files"]] == [
            ("csv", rows, desk / "out" / "conversations.csv"),
            ("jsonl", rows, desk / "out" / "conversations.jsonl"),
            ("parquet", rows, desk / "deep" / "out" / "conversations.parquet"),
        ]
        lines = (desk / "out" / "conversations.jsonl").read_text().splitlines()
        assert len({json.loads(line)["id"] for line in lines}) == rows > 0
    assert told["records_read"] < rows


def test_a_stream_that_fails_takes_no_other_along_and_is_all_that_resume_reads(
    desk: Path, aha_file: str, small_sandbox: SandboxProcess
) -> None:
    read = ("read", "aha", "--config", aha_file, "--streams", "goals,key_results,products", "--csv", "out")
    refuse(small_sandbox, "GET /aha/api/v1/goals/*")
    result = run(*read, "--json", code=1)
    refuse(small_sandbox)
    assert list(json.loads(result.stdout)["streams"]) == ["goals", "products"]
    assert sorted(path.name for path in (desk / "out").iterdir()) == ["goals.csv", "products.csv"]
    told = json.loads(result.stderr)
    assert told["error"] == "AirbyteConnectorReadError"
    assert list(told["failed"]) == ["key_results"]
    assert told["failed"]["key_results"]["message"] in told["message"]

    assert "`headrace resume source-aha` goes on" in run("state").stdout
    result = run("resume", "source-aha")
    assert "1 of 3 streams are left" in result.stderr
    assert "aha.products: " not in result.stderr
    assert sorted(path.name for path in (desk / "out").iterdir()) == ["goals.csv", "key_results.csv", "products.csv"]
    assert data("state")["unfinished_reads"] == []


def test_a_refusal_that_needs_a_word_of_a_person_says_which_option_gives_it(
    desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from connector_resources.sources.aha import Aha

    data("read", "aha", "--streams", "goals")
    with monkeypatch.context() as changed:
        changed.setattr(Aha, "read", lambda *asked: iter([Page(())]))
        assert "by reading it once with --strategy replace" in run("read", "aha", "--streams", "goals", code=1).stderr
        again = data("read", "aha", "--streams", "goals", "--strategy", "replace")
    assert again["streams"]["goals"]["rows"] == 0


def test_a_folder_that_cannot_be_written_is_an_error_and_no_traceback(desk: Path) -> None:
    run("read", "faker", "--streams", "users", *FAKER)
    (desk / "data" / "state" / "reads").rename(desk / "aside")
    (desk / "data" / "state" / "reads").write_text("a file")
    assert "reads" in run("read", "faker", "--streams", "users", *FAKER, code=1).stderr


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_a_folder_for_files_that_cannot_be_made_is_told_before_anything_is_read(desk: Path, form: str) -> None:
    (desk / "out").write_text("a file")
    told = run("read", "faker", "--streams", "users", *FAKER, f"--{form}", "out/below/it", code=2).stderr
    assert f"--{form}: the folder {desk}/out/below/it cannot be made or written to (Not a directory)" in told
    assert [path.name for path in desk.iterdir()] == ["out"]
    assert _unfinished() == []


@pytest.mark.parametrize("option", ["duckdb", "csv", "jsonl", "parquet"])
@pytest.mark.parametrize("place", ["s3://bucket/it", ":memory:"])
def test_a_place_that_is_not_on_this_machine_is_told_before_anything_is_read(
    desk: Path, option: str, place: str
) -> None:
    told = run("read", "faker", "--streams", "users", *FAKER, f"--{option}", place, code=2).stderr
    assert f"--{option} begins with {place.replace('//bucket/it', '/')} and is no path on this machine" in told
    assert list(desk.iterdir()) == []
    assert "--duckdb begins with" in run("state", "--duckdb", place, code=2).stderr
    assert "--config begins with" in run("check", "faker", "--config", place, code=2).stderr


def test_a_folder_for_files_that_cannot_be_written_to_any_more_hides_no_other_read(
    desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _interrupted(desk, _read_of("users"))
    _interrupted(desk, _read_of("users", files={"csv": str(desk)}))

    def refused(**where: Path) -> None:
        raise PermissionError(13, "Permission denied", str(where["dir"]))

    monkeypatch.setattr("connector_resources.cli.TemporaryFile", refused)
    result = run("resume", code=1)
    assert f"--csv: the folder {desk} cannot be made or written to (Permission denied). Name another" in result.stderr
    assert "1 of 1 streams are left" in result.stderr
    assert "faker.users" in result.stdout


def test_a_folder_for_files_that_no_file_comes_to_is_not_made(desk: Path) -> None:
    run("read", "aha", "--mode", "live", "--streams", "goals", "--csv", "out/below", code=1)
    assert list(desk.glob("out*")) == []


@pytest.mark.parametrize("connector", ["aha", "drift"])
def test_a_live_read_without_a_credential_leaves_nothing(
    desk: Path, monkeypatch: pytest.MonkeyPatch, connector: str
) -> None:
    monkeypatch.setenv("AHA_SUBDOMAIN", "acme")
    for variable in ("AHA_API_KEY", "DRIFT_ACCESS_TOKEN", "DRIFT_CLIENT_ID", "DRIFT_REFRESH_TOKEN"):
        monkeypatch.delenv(variable, raising=False)
    streams = "goals,key_results" if connector == "aha" else "users"
    assert "is not set" in run("read", connector, "--mode", "live", "--streams", streams, code=1).stderr
    assert [path for path in (desk / "data").rglob("*") if path.is_file()] == []
    assert data("state") == {"databases": [], "unfinished_reads": []}


# Interruptions

AT_THE_FOURTH_PAGE = """
import os, signal, sys
from connector_resources.cli import cli
from connector_resources.spool import SpoolWriter

append = SpoolWriter.append
signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts in the background ignores it

def stopping(writer, page):
    append(writer, page)
    if len(writer._spool.marks) == 3 and writer._spool.key.stream == "purchases":
        os.kill(os.getpid(), signal.%s)

SpoolWriter.append = stopping
cli(sys.argv[1:])
"""
READ_ALL = ("read", "faker", *FAKER, "--no-progress")


def test_a_command_that_is_killed_is_gone_on_with_by_the_same_command(desk: Path) -> None:
    said(child(AT_THE_FOURTH_PAGE % "SIGKILL", *READ_ALL), returncode=-9)
    state = data("state")
    (left,) = state["databases"][0]["on_disk"]
    assert (left["stream"], left["state"], left["pages"]) == ("faker.purchases", "unfinished", 3)
    assert [each["is_running"] for each in state["unfinished_reads"]] == [False]
    done = data(*READ_ALL)
    assert done["records_read"] == sum(each["rows"] for each in done["streams"].values())
    state = data("state")
    assert (state["databases"][0]["on_disk"], state["unfinished_reads"]) == ([], [])


def test_a_command_that_is_killed_is_resumed_without_its_options_and_what_is_done_is_not_read_again(
    desk: Path,
) -> None:
    read = ("read", "faker", "--config", _faker_file(desk), "--duckdb", "mine.duckdb", "--csv", "out")
    said(child(AT_THE_FOURTH_PAGE % "SIGKILL", *read), returncode=-9)
    landed = {
        each["table"]: each["landed_at"] for each in data("state", "--duckdb", "mine.duckdb")["databases"][0]["streams"]
    }
    os.chdir(desk)
    result = run("resume")
    assert "1 of 3 streams are left" in result.stderr
    assert sorted(path.name for path in (desk / "out").iterdir()) == ["products.csv", "purchases.csv", "users.csv"]
    after = {
        each["table"]: each["landed_at"] for each in data("state", "--duckdb", "mine.duckdb")["databases"][0]["streams"]
    }
    assert {table: at for table, at in after.items() if table in landed} == landed
    assert set(after) - set(landed) == {"faker.purchases"}
    assert "Nothing was interrupted." in run("resume").stderr
    assert data("resume") is None


def test_ctrl_c_says_what_is_kept_and_how_to_go_on(desk: Path) -> None:
    stopped = child(AT_THE_FOURTH_PAGE % "SIGINT", *READ_ALL)
    output, errors = stopped.communicate(timeout=60)
    assert (stopped.returncode, output) == (130, "")
    assert "faker.purchases, 3 pages" in errors
    assert "`headrace resume source-faker` goes on" in errors
    assert "Traceback" not in errors
    assert "Give it again" in run("resume", code=2).stderr  # it was given with --set
    assert "1 of 3 streams are left" in run("resume", "faker", *FAKER).stderr


def test_ctrl_c_is_json_for_scripts(desk: Path) -> None:
    stopped = child(AT_THE_FOURTH_PAGE % "SIGINT", *READ_ALL, "--json")
    output, errors = stopped.communicate(timeout=60)
    assert (stopped.returncode, output) == (130, "")
    told = json.loads(errors)
    assert (told["error"], told["exit_code"]) == ("Interrupted", 130)


def test_two_commands_at_once_both_end_well_and_nothing_is_there_twice(desk: Path) -> None:
    drift = ("read", "drift", "--streams", "conversations", "--json")
    told = [json.loads(said(each)) for each in [process(*command) for command in (*[(*READ_ALL, "--json")] * 2, drift)]]
    assert told[0]["streams"] == told[1]["streams"] == data(*READ_ALL)["streams"]
    assert len(ab.get_default_cache()["conversations"]) == told[2]["streams"]["conversations"]["rows"]
    assert data("state")["unfinished_reads"] == []


def test_a_read_that_is_going_on_is_not_resumed(desk: Path) -> None:
    folder = desk / "data" / "state" / "reads"
    with noted(folder, _read_of("users")):
        assert "a read is still going on" in run("resume").stderr
        assert run("resume", "drift").stderr == "Nothing was interrupted.\n"
        assert "is still going on" in run("state").stdout
        assert [each["is_running"] for each in data("state")["unfinished_reads"]] == [True]


@pytest.mark.parametrize("command", [("streams", "aha"), ("streams", "aha", "--json"), (*READ_ALL, "--json")])
def test_who_reads_no_further_gets_no_traceback(desk: Path, command: tuple[str, ...]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    left = process(*command, stdout=writing, environment={"PYTHONUNBUFFERED": ""})
    os.close(writing)
    _, errors = left.communicate(timeout=60)
    assert left.returncode == 141
    assert errors == ""


def test_progress_that_nobody_reads_any_more_ends_the_command_and_keeps_what_was_read(desk: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    left = process("read", "faker", *FAKER, stdout=writing, stderr=writing)
    os.close(writing)
    left.communicate(timeout=60)
    assert left.returncode == 141
    assert data(*READ_ALL)["streams"]["purchases"]["rows"] > 0


def _unfinished() -> list[str]:
    return [each["name"] for each in data("state")["unfinished_reads"]]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("users", "--strategy", "append"), 2),
        (("users", "--start-date", "2026-13-45"), 2),
        (("users", "--duckdb", "a_file/x.duckdb"), 1),
        (("users", "--duckdb", "a_file"), 1),
    ],
)
def test_what_is_refused_before_anything_is_read_is_nothing_to_go_on_with(
    desk: Path, arguments: tuple[str, ...], code: int
) -> None:
    (desk / "a_file").write_text("no database")
    run("read", "faker", *FAKER, "--streams", *arguments, code=code)
    assert _unfinished() == []
    assert "Nothing was interrupted." in run("resume").stderr


def test_a_first_day_that_has_not_begun_is_refused_where_streams_are_read_by_day(desk: Path) -> None:
    told = run("read", "drift", "--streams", "users,conversations", "--start-date", "2130-01-01", code=2)
    assert "2130-01-01 has not begun (UTC), and conversations is read by day" in told.stderr
    assert data("state") == {"databases": [], "unfinished_reads": []}
    run("read", "drift", "--streams", "users", "--start-date", "2130-01-01")


def test_streams_that_are_refused_with_their_parents_are_nothing_to_go_on_with(
    desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARTITIONS_START", "2130-01-01")
    result = run("read", "drift", "--streams", "conversations,messages", code=1)
    reason = "The first day to read, 2130-01-01, has not begun (UTC)."
    below = f"messages: Not read, for it is read under conversations, which failed: {reason}"
    assert result.stderr.endswith(f"Error: conversations: {reason} · {below}\n")
    monkeypatch.delenv("PARTITIONS_START")
    assert _unfinished() == []


@pytest.mark.parametrize(
    ("pages", "problem"), [(1, MissingCredential("The token is gone.")), (0, RequestBudgetSpent("Wait for tomorrow."))]
)
def test_what_may_be_gone_on_with_is_noted_though_a_setting_has_stopped_it(
    desk: Path, monkeypatch: pytest.MonkeyPatch, pages: int, problem: ConnectorError
) -> None:
    from connector_resources.sources.faker import Faker

    read = Faker.read

    def stopping(*asked: Any) -> Iterator[Page]:
        yield from itertools.islice(read(*asked), pages)
        raise problem

    monkeypatch.setattr(Faker, "read", stopping)
    run("read", "faker", *FAKER, "--streams", "users", code=1)
    assert len(_unfinished()) == 1


def test_a_read_that_is_refused_leaves_the_note_of_the_one_that_was_interrupted_before(tmp_path: Path) -> None:
    before = _read_of("users")
    with pytest.raises(ZeroDivisionError), noted(tmp_path, before):
        _ = 1 // 0
    noting = noted(tmp_path, _read_of("users"))
    noting.__enter__().refused()
    assert begun_reads(tmp_path) != [(before, True)]
    assert not noting.__exit__(ZeroDivisionError, ZeroDivisionError(), None)
    assert begun_reads(tmp_path) == [(before, False)]


def test_a_read_that_cannot_be_gone_on_with_hides_no_other(desk: Path) -> None:
    said(child(AT_THE_FOURTH_PAGE % "SIGKILL", "read", "faker", "--config", _faker_file(desk)), returncode=-9)
    folder = desk / "data" / "state" / "reads"
    hopeless = _read_of("users", strategy="append")
    with pytest.raises(ZeroDivisionError), noted(folder, hopeless):
        _ = 1 // 0
    result = run("resume", "--json", code=1)
    assert list(json.loads(result.stdout)["streams"]) == ["users", "products", "purchases"]
    warned, failed = map(json.loads, result.stderr.splitlines())
    assert warned["warning"].startswith(f"The read {hopeless.name} cannot be gone on with: The assets replace days")
    assert (failed["error"], list(failed["failed"])) == ("ResumeFailed", [hopeless.name])
    assert _unfinished() == [hopeless.name]
    alone = run("resume", code=2)
    assert f"`headrace resume --discard {hopeless.name}` forgets it." in alone.stderr
    assert _unfinished() == [hopeless.name]


def test_a_read_that_fails_again_hides_no_other(desk: Path, aha_file: str, small_sandbox: SandboxProcess) -> None:
    said(child(AT_THE_FOURTH_PAGE % "SIGKILL", "read", "faker", "--config", _faker_file(desk)), returncode=-9)
    refuse(small_sandbox, "GET /aha/api/v1/goals/*")
    run("read", "aha", "--config", aha_file, "--streams", "goals,key_results", code=1)
    result = run("resume", "--json", code=1)
    refuse(small_sandbox)
    assert list(json.loads(result.stdout)["streams"]) == ["users", "products", "purchases"]
    assert [name.partition(".")[0] for name in _unfinished()] == ["aha"]
    assert list(data("resume")["streams"]) == ["goals", "key_results"]


def test_a_read_is_forgotten_by_its_name(desk: Path) -> None:
    folder = desk / "data" / "state" / "reads"
    reads = [_read_of("users"), _read_of("products"), _read_of("purchases")]
    for read in reads:
        with pytest.raises(ZeroDivisionError), noted(folder, read):
            _ = 1 // 0
    assert reads[0].name in run("state").stdout
    told = error("resume", "--discard", "faker.0", "--discard", reads[0].name, code=2)
    assert all(read.name in told["message"] for read in reads)
    assert sorted(_unfinished()) == sorted(read.name for read in reads)
    assert data("resume", "--discard", reads[0].name, "--discard", reads[1].name) == {
        "discarded": [reads[0].name, reads[1].name]
    }
    assert _unfinished() == [reads[2].name]
    with noted(folder, reads[2]):
        assert "still going on" in run("resume", "--discard", reads[2].name, code=2).stderr
        assert _unfinished() == [reads[2].name]


def _faker_file(desk: Path) -> str:
    (desk / "faker.json").write_text('{"count": 50, "seed": 1, "always_updated": false, "records_per_slice": 10}')
    return str(desk / "faker.json")


# State


def test_the_state_of_nothing_is_no_error(desk: Path) -> None:
    assert data("state") == {"databases": [], "unfinished_reads": []}
    assert "Nothing was read yet" in run("state").stdout
    assert "no streams" in run("state", "--duckdb", "none.duckdb").stdout


def test_the_state_tells_rows_days_and_who_landed_them(desk: Path) -> None:
    data("read", "drift", "--streams", "conversations,users")
    (database,) = data("state")["databases"]
    streams = {each["table"]: each for each in database["streams"]}
    cache = ab.get_default_cache("sandbox")
    conversations = streams["drift.conversations"]
    assert conversations["rows"] == len(cache["drift.conversations"])
    newest = cache.run_sql_query('SELECT max("updatedAt") AS newest FROM drift.conversations')[0]["newest"]
    assert conversations["newest_record"] == newest.isoformat()
    assert (conversations["days"], conversations["landed_by"]) == (91, "read")
    assert (streams["drift.users"]["days"], streams["drift.users"]["first_day"]) == (0, None)
    frame = pd.DataFrame({"id": ["1"]})
    cache.store.write_frame("frames", "things", frame, partitions=("all",), run_id="f3a1")
    assert {each["table"] for each in data("state")["databases"][0]["streams"]} == set(streams)
    with cache.store.attached(read_only=False) as connection:
        connection.execute("UPDATE store._state SET run_id = 'f3a1' WHERE name = 'users'")
    assert re.search(r"drift\.users .* Dagster f3a1", run("state").stdout)


def test_the_state_of_a_database_tells_what_is_unfinished_in_it_and_no_other(desk: Path) -> None:
    folder = desk / "data" / "state" / "reads"
    mine = _read_of("users", duckdb=str(desk / "mine.duckdb"))
    of_assets, live = _read_of("products"), _read_of("products", mode="live")
    for read in (mine, of_assets, live):
        with pytest.raises(ZeroDivisionError), noted(folder, read):
            _ = 1 // 0
    asked: dict[tuple[str, ...], set[str]] = {
        (): {mine.name, of_assets.name, live.name},
        ("--duckdb", "mine.duckdb"): {mine.name},
        ("--duckdb", "other.duckdb"): set(),
        ("--mode", "sandbox"): {of_assets.name},
        ("--mode", "live"): {live.name},
    }
    told = {words: {each["name"] for each in data("state", *words)["unfinished_reads"]} for words in asked}
    assert told == asked
    shown = run("state").stdout
    assert f"{mine.name}: the read of 1 stream of faker into {desk / 'mine.duckdb'}, begun" in shown
    assert f"{of_assets.name}: the read of 1 stream of faker into {desk / 'data' / 'sandbox.duckdb'}, begun" in shown


def _interrupted(desk: Path, read: BegunRead) -> None:
    with pytest.raises(ZeroDivisionError), noted(desk / "data" / "state" / "reads", read):
        _ = 1 // 0


def test_a_read_that_others_have_done_is_not_unfinished_any_more(desk: Path) -> None:
    data("read", "drift", "--streams", "conversations,messages,users")
    read = _read_of("conversations", "messages", "users", connector="source-drift", account="drift")
    _interrupted(desk, read)
    source = ab.get_source("drift", progress=False)
    source.read(streams=["users", "messages"], force_full_refresh=True)
    assert _unfinished() == []
    assert "Nothing was interrupted." in run("resume").stderr
    assert list((desk / "data" / "state" / "reads").iterdir()) == []


@pytest.mark.parametrize(
    ("done", "others"),
    [
        (["users"], {}),
        (["conversations"], {}),
        (["conversations", "users"], {"files": {"csv": "out"}}),
        (["conversations", "users"], {"strategy": "replace"}),
        (["conversations", "users"], {"full_refresh": True}),
        (["conversations", "users"], {"duckdb": "mine.duckdb"}),
    ],
)
def test_a_read_of_which_something_is_left_stays_unfinished(
    desk: Path, done: list[str], others: dict[str, Any]
) -> None:
    ab.get_source("drift", progress=False).read(streams=["conversations", "users"])
    read = _read_of("conversations", "users", connector="source-drift", account="drift", **others)
    _interrupted(desk, read)
    ab.get_source("drift", progress=False).read(streams=done)
    assert _unfinished() == [read.name]


def test_children_that_were_not_read_under_their_new_parents_are_left(desk: Path) -> None:
    streams = ("conversations", "messages")
    read = _read_of(*streams, connector="source-drift", account="drift")
    _interrupted(desk, read)
    ab.get_source("drift", progress=False).read(streams=streams)
    ab.get_source("drift", progress=False).read(streams="conversations", force_full_refresh=True)
    assert _unfinished() == [read.name]
    assert "1 of 2 streams are left" in run("resume").stderr
    assert _unfinished() == []


def test_a_read_whose_database_cannot_be_looked_into_stays_unfinished(desk: Path) -> None:
    (desk / "broken.duckdb").write_text("no database")
    read = _read_of("users", duckdb=str(desk / "broken.duckdb"))
    _interrupted(desk, read)
    assert _unfinished() == [read.name]
    assert "is no DuckDB database" in run("resume", code=1).stderr


# The notes of reads


def _read_of(*streams: str, **others: Any) -> BegunRead:
    given = {"connector": "source-faker", "account": "faker", "mode": "sandbox", **others}
    return BegunRead(streams=streams, **given)


def test_a_note_is_there_until_its_read_is_done(tmp_path: Path) -> None:
    read = _read_of("users")
    with pytest.raises(ZeroDivisionError), noted(tmp_path, read):
        _ = 1 // 0
    assert begun_reads(tmp_path) == [(read, False)]
    with noted(tmp_path, read):
        assert begun_reads(tmp_path) == [(read, True)]
    assert begun_reads(tmp_path) == []


def test_a_read_that_is_done_takes_along_the_notes_of_what_it_included_and_no_other(tmp_path: Path) -> None:
    others = [
        _read_of("users"),
        _read_of("users", "purchases"),
        _read_of("users", duckdb="other.duckdb"),
        _read_of("users", files={"csv": "out"}),
        _read_of("users", strategy="append"),
        _read_of("users", start_date="2020-01-01"),
    ]
    for other in others:
        with pytest.raises(ZeroDivisionError), noted(tmp_path, other):
            _ = 1 // 0
    with noted(tmp_path, _read_of("users", "products")):
        pass
    left = [read for read, _ in begun_reads(tmp_path)]
    assert sorted(left, key=others.index) == others[1:5]


def test_a_note_that_cannot_be_removed_while_it_is_open_counts_no_more_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: Path, missing_ok: bool = False) -> None:
        raise PermissionError(13, "in use", str(path))

    with monkeypatch.context() as changed:
        changed.setattr(Path, "unlink", refused)
        with noted(tmp_path, _read_of("users")):
            pass
    assert begun_reads(tmp_path) == []


def test_a_read_that_brought_nothing_shows_nothing_on_stdout(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AHA_SUBDOMAIN", raising=False)
    monkeypatch.setenv("AHA_API_KEY", SECRET)
    result = run("read", "aha", "--mode", "live", "--streams", "goals", "--no-progress", code=1)
    assert result.stdout == ""
    assert "AHA_SUBDOMAIN is not set" in result.stderr
    assert data("state") == {"databases": [], "unfinished_reads": []}


def test_who_is_at_the_same_read_leaves_the_note_to_the_first(tmp_path: Path) -> None:
    read = _read_of("users")
    with noted(tmp_path, read):
        with noted(tmp_path, _read_of("users")):
            pass
        assert begun_reads(tmp_path) == [(read, True)]


def test_who_looks_at_the_notes_for_a_moment_keeps_nobody_from_his(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = _read_of("users")
    with pytest.raises(ZeroDivisionError), noted(tmp_path, read):
        _ = 1 // 0
    looking = (tmp_path / read.note).open("rb")
    portalocker.lock(looking, portalocker.LockFlags.SHARED)
    monkeypatch.setattr(time, "sleep", lambda seconds: looking.close())
    with noted(tmp_path, _read_of("users")):
        assert [is_running for _, is_running in begun_reads(tmp_path)] == [True]


def test_a_note_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    (tmp_path / "faker.0123.json").write_text('{"connector": "sour')
    assert begun_reads(tmp_path) == []


def test_a_note_that_cannot_be_written_is_an_error_that_names_the_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DestinationUnwritable, match="file"), noted(tmp_path / "file", _read_of("users")):
        pass
