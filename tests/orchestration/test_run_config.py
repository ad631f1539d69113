"""What a run may be told in the launchpad, and that it does just that."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import dagster as dg
import pytest
import requests

from connector_resources.errors import ConfigurationError, RateLimited
from connector_resources.resource import Source
from connector_resources.sources.drift import Drift
from connector_resources.spool import Spool
from connector_resources.streams import Page, Slice, Stream
from orchestration.checks import stream_checks
from orchestration.connection import Connection
from orchestration.looking import sample
from orchestration.run_config import StreamConfig
from tests.landing import page, snapshot
from tests.orchestration.conftest import DAYS, DriftInTurn, Fail, Project, failures, kind_of, materialized
from tests.orchestration.test_read_plan import logged


def observed(result: dg.ExecuteInProcessResult, name: str) -> dict[str, Any]:
    """Return the metadata of the one observation of an asset."""
    (event,) = [
        event.asset_observation_data.asset_observation
        for event in result.all_events
        if event.event_type_value == "ASSET_OBSERVATION" and event.asset_key == dg.AssetKey(name.split("/"))
    ]
    return {key: value.value for key, value in event.metadata.items()}


def asked(project: Project) -> int:
    """How many requests the sandbox has had."""
    return int(requests.get(f"{project.url}/_sandbox/requests", timeout=10).json()["total"])


def test_a_dry_run_says_what_would_be_asked_and_asks_nothing(project: Project) -> None:
    before = asked(project)
    result = project.run("drift/conversations", "drift/messages", days=DAYS, dry_run=True)
    assert (result.success, asked(project)) == (True, before)
    assert result.get_asset_materialization_events() == []
    assert [event.step_key for event in result.all_events if event.event_type_value == "STEP_SKIPPED"] == [
        "drift__messages"
    ]
    seen = observed(result, "drift/conversations")
    assert seen["first_request"].startswith("GET /conversations/list?")
    assert (seen["expected_requests_basis"], seen["rows_to_be_replaced"]) == ("it was never read", 0)
    assert not project.settings.database.exists()


def test_a_dry_run_of_what_is_there_counts_the_rows_and_leaves_them(project: Project) -> None:
    landed = project.run("drift/conversations", "drift/messages", days=DAYS)
    rows = project.rows("drift.messages")
    seen = observed(project.run("drift/messages", days=DAYS[3:], dry_run=True), "drift/messages")
    ((held,),) = project.store.query(f"SELECT count(*) FROM drift.messages WHERE _partition >= '{DAYS[3]}'")
    ((parents,),) = project.store.query(f"SELECT count(*) FROM drift.conversations WHERE _partition >= '{DAYS[3]}'")
    assert (seen["rows_to_be_replaced"], seen["parents"]) == (held, parents)
    assert seen["expected_requests"] <= materialized(landed, "drift/messages")[DAYS[-1]]["requests"]
    assert project.rows("drift.messages") == rows


def test_a_limited_run_shows_records_as_they_come_and_lands_none(project: Project) -> None:
    result = project.run("drift/users", limit=2)
    seen = observed(result, "drift/users")
    assert (seen["records_seen"], seen["pages_read"], result.success) == (2, 1, True)
    assert seen["records"].startswith("| id |")
    assert seen["first_record"].keys() >= {"id", "email"}
    assert result.get_asset_materialization_events() == []
    assert not project.settings.database.exists()


def test_what_a_run_that_only_looks_has_seen_is_in_its_log_for_the_command_line(project: Project) -> None:
    def told(**config: Any) -> str:
        (line,) = [
            line for line in logged(project, project.run("drift/users", **config)) if line.startswith("Nothing is")
        ]
        return line

    assert told(dry_run=True) == (
        "Nothing is written: this run only looks.\nThe first request: GET /users/list\n"
        "Rows there now, which would be replaced: 0"
    )
    shown = told(limit=1)
    assert shown.startswith("Nothing is written: this run only looks.\nSeen: 1 record in 1 page\n| id |")
    assert '\nThe first one, as it came: {"id": ' in shown


@pytest.fixture
def tidy(project: Project) -> Project:
    """The project with an instance whose files go with the test's own; another one warns of those it leaves."""
    (project.folder / "dagster").mkdir()
    project.instance = dg.DagsterInstance.ephemeral(tempdir=str(project.folder / "dagster"))
    return project


def looked(
    project: Project, checks: dg.AssetsDefinition, name: str = "users", days: Sequence[str] = (), **config: Any
) -> dict[str, tuple[Any, ...]]:
    """What Dagster says of an asset's checks after a run with this config: their status, severity and metadata."""
    stream = project.asset(f"drift/{name}")
    tags = (
        {"dagster/asset_partition_range_start": days[0], "dagster/asset_partition_range_end": days[-1]} if days else {}
    )
    done = dg.materialize(
        [stream, checks],
        instance=project.instance,
        resources=project.resources(),
        run_config={"ops": {f"drift__{name}": {"config": config}}},
        tags=tags,
        raise_on_error=False,
    )
    assert {event.step_key for event in done.all_events if event.is_step_failure} <= {f"drift__{name}_checks"}
    found = project.instance.event_log_storage.get_latest_asset_check_execution_by_key(list(checks.check_keys))
    return {key.name: (done.run_id == each.run_id, each.status, each.evaluation) for key, each in found.items()}


@pytest.mark.parametrize("config", [{"dry_run": True}, {"limit": 2}])
def test_checks_say_after_a_run_that_only_looks_what_they_said_before(tidy: Project, config: dict[str, Any]) -> None:
    kind = kind_of("drift")
    checks = stream_checks(kind, replace(kind.stream("users"), primary_key=("bot",)))  # the same for many
    before = looked(tidy, checks)
    assert {"SUCCEEDED", "FAILED"} == {status.value for _, status, _ in before.values()}
    (run_id,) = {run.run_id for run in tidy.instance.get_runs()}
    for _ in range(2):  # the second looks back at what the first has repeated
        after = looked(tidy, checks, **config)
        for name, (is_of_the_run, status, evaluation) in after.items():
            _, status_before, said = before[name]
            assert (is_of_the_run, status) == (True, status_before)
            assert evaluation == dg.AssetCheckEvaluation(
                asset_key=said.asset_key,
                check_name=said.check_name,
                passed=said.passed,
                metadata={"found_by_run": dg.MetadataValue.dagster_run(run_id), **said.metadata},
                target_materialization_data=said.target_materialization_data,
                severity=said.severity,
                description=said.description,
                blocking=said.blocking,
                partition=said.partition,
            )
    assert len(after) == len(before)


def test_checks_say_after_a_look_at_several_days_what_they_said_before(tidy: Project) -> None:
    kind = kind_of("drift")
    checks = stream_checks(kind, kind.stream("conversations"))
    before = looked(tidy, checks, "conversations", DAYS[:3])
    assert {status.value for _, status, _ in before.values()} == {"SUCCEEDED"}
    for days in (DAYS[:3], DAYS[:3], DAYS[1:3]):  # Dagster plans each check once for each day
        after = looked(tidy, checks, "conversations", days, dry_run=True)
        assert {(is_of_the_run, status.value) for is_of_the_run, status, _ in after.values()} == {(True, "SUCCEEDED")}


def test_checks_that_have_never_looked_say_nothing_after_a_run_that_only_looks(tidy: Project) -> None:
    kind = kind_of("drift")
    after = looked(tidy, stream_checks(kind, kind.stream("users")), dry_run=True)
    assert {status.value for _, status, _ in after.values()} == {"PLANNED"}


def test_checks_of_which_the_last_run_said_nothing_are_not_told_by_an_older_one(tidy: Project, fail: Fail) -> None:
    kind = kind_of("drift")
    checks = stream_checks(kind, kind.stream("users"))
    looked(tidy, checks)
    fail({"pattern": "GET /drift/users/list", "kind": "html"})
    failed = dg.materialize(
        [tidy.asset("drift/users"), checks],
        instance=tidy.instance,
        resources=tidy.resources(),
        raise_on_error=False,
    )
    assert not failed.success
    fail()
    assert {status.value for _, status, _ in looked(tidy, checks, dry_run=True).values()} == {"PLANNED"}


def test_a_full_refresh_leaves_what_is_on_disk_and_says_so(project: Project, fail: Fail) -> None:
    project.sources["drift"] = DriftInTurn
    assert project.run("drift/conversations", days=DAYS).success
    for is_asked, resumed in ((False, 3), (True, 0)):
        fail({"pattern": "GET /drift/conversations/*/messages*", "kind": "html", "skip": 3})
        assert failures(project.run("drift/messages", days=DAYS))
        fail()
        result = project.run("drift/messages", days=DAYS, full_refresh=is_asked)
        assert materialized(result, "drift/messages")[DAYS[-1]]["pages_resumed"] == resumed
    assert any("3 pages of an earlier reading are not taken up: the run asks for everything anew" in line
               for line in logged(project, result))  # fmt: skip


def test_a_full_refresh_that_gave_its_place_back_goes_on_with_what_it_has_read(project: Project) -> None:
    told: list[bool] = []

    class Busy(Drift):
        def extract(self, *arguments: Any, **named: Any) -> Spool:
            told.append(named["anew"])
            if len(told) == 1:
                raise RateLimited("drift: wait.", wait_seconds=0)
            return super().extract(*arguments, **named)

    project.sources["drift"] = Busy
    assert project.run("drift/users", full_refresh=True).success
    assert told == [True, False]


def test_looking_back_replaces_days_before_the_run_and_dagster_knows(project: Project) -> None:
    whole = project.run("drift/conversations", days=DAYS)
    told = {day: facts["data_version"] for day, facts in materialized(whole, "drift/conversations").items()}
    result = project.run("drift/conversations", days=DAYS[5:6], lookback_days=3)
    found = materialized(result, "drift/conversations")
    assert sorted(filter(None, found)) == list(DAYS[2:6])
    assert {day: facts["data_version"] for day, facts in found.items()} == {day: told[day] for day in DAYS[2:6]}
    loaded = project.store.query("SELECT partition FROM _state WHERE run_id = ? ORDER BY ALL", [result.run_id])
    assert [day for (day,) in loaded] == list(DAYS[2:6])


def test_looking_back_ends_with_the_first_partition(project: Project) -> None:
    found = materialized(project.run("drift/conversations", days=DAYS[1:2], lookback_days=400), "drift/conversations")
    assert sorted(filter(None, found)) == list(DAYS[:2])


def test_a_snapshot_has_no_days_to_look_back_to(project: Project) -> None:
    ((error, message),) = failures(project.run("drift/users", lookback_days=1)).values()
    assert (error, message) == (
        "InvalidSlice",
        "users is a snapshot, replaced whole: lookback_days means nothing to it.",
    )


@pytest.mark.parametrize(
    ("told", "named"),
    [
        ({"dry_run": True, "limit": 3}, "dry_run"),
        ({"replay": True, "limit": 3}, "limit"),
        ({"replay": True, "full_refresh": True}, "full_refresh"),
        ({"replay": True, "lookback_days": 1}, "lookback_days"),
        ({"replay": True, "dry_run": True}, "dry_run"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(told: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        StreamConfig(**told).require_consistent()


def test_a_run_that_contradicts_itself_fails_before_it_asks(project: Project) -> None:
    before = asked(project)
    ((error, _),) = failures(project.run("drift/users", replay=True, limit=1)).values()
    assert (error, asked(project)) == ("ConfigurationError", before)


MASKED: dict[str, Any] = {"access_token": "********", "client_secret": "********", "refresh_token": "********"}
"""What the launchpad's form holds of Drift, whether a secret is set or not."""


def test_a_run_from_the_launchpad_has_the_secrets_that_its_form_masks(project: Project) -> None:
    result = dg.materialize(
        [project.asset("drift/users")],
        run_config={"resources": {"drift": {"config": MASKED}}},
        instance=project.instance,
        resources=project.resources(),
    )
    assert result.success
    assert project.rows("drift.users")


def test_a_secret_that_the_launchpad_masks_comes_from_the_environment_in_live(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRIFT_ACCESS_TOKEN", "the-real-one")
    live = Connection(mode="live")
    masked = Drift(**MASKED)
    for source in (live.connected(masked), live.with_secrets(masked)):
        assert isinstance(source, Drift)
        assert (source.access_token, source.client_secret, source.refresh_token) == ("the-real-one", "", "")


def test_a_real_secret_never_replaces_a_masked_one_in_the_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRIFT_ACCESS_TOKEN", "the-real-one")
    source = Connection(mode="sandbox", sandbox_url="http://127.0.0.1:9").connected(Drift(**MASKED))
    assert isinstance(source, Drift)
    assert (source.access_token, source.refresh_token) == ("sandbox-access-token", "")


class Odd(Source):
    """A source of records that are hard to read."""

    name = "odd"
    streams = (snapshot(id="string"),)
    view: str = ""

    def read(self, stream: Stream, slice: Slice, token: str | None = None) -> Iterator[Page]:
        yield page(*ODD)


ODD = (b'{"id": "1"}', b'{"id": "\\ud800"}', b'{"id": 1e999}', b"5", b'{"id": "\xff"}')


def test_a_look_shows_records_that_cannot_be_decoded_as_they_came() -> None:
    seen = sample(Odd(), Odd.streams[0], Slice(), 10)
    assert seen["records_seen"] == 5
    shown = seen["records"].value
    for part in ("\\ud800", "1e999", "\\xff", "_unreadable"):
        assert part in shown
    again = sample(Odd(), Odd.streams[0], Slice(), 1)
    assert again["first_record"] == {"id": "1"}
