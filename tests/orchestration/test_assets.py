"""What a run of stream assets lands, says and refuses."""

import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import dagster as dg
import pytest

from connector_resources.days import window
from connector_resources.http.retry import RetryPolicy
from connector_resources.sources.drift import Drift
from connector_resources.streams import Cursor
from orchestration.io_manager import Extraction, Warehouse
from orchestration.run_config import StreamConfig
from tests.orchestration.conftest import DAYS, DriftInTurn, Fail, Project, failures, kind_of, materialized

Landed = tuple[Project, dg.ExecuteInProcessResult]

OF_EVERY_RUN = {
    "rows",
    "partitions_in_run",
    "records_received",
    "records_outside_the_window",
    "older_copies_left_out",
    "quarantined",
    "undeclared_fields",
    "records_deleted",
    "deleted_elsewhere",
    "rows_added",
    "rows_changed",
    "rows_removed",
    "pages",
    "pages_resumed",
    "parents",
    "parents_gone",
    "requests",
    "retries",
    "bytes",
    "seconds_waiting",
    "dagster/table_name",
    "dagster/uri",
    "data_version",
}
PLANNED = {"expected_requests_basis", "expected_requests", "expected_minutes"}
"""What was expected of the reading; how many requests is known once the stream, or its parents, were read."""
LARGE = {"dagster/column_schema", "dagster/row_count", "preview"}
"""Stored once a run: with the last partition of a range."""


def filled(project: Project, table: str) -> list[str]:
    """Return the partitions of a table that hold rows, in order."""
    return [day for (day,) in project.store.query(f"SELECT DISTINCT _partition FROM {table} ORDER BY ALL")]


def loaded(project: Project, table: str) -> list[tuple[Any, ...]]:
    """Return a table with what a run adds."""
    return project.store.query(f"SELECT * FROM {table} ORDER BY ALL")


# What is landed


def test_a_single_day_lands_its_own_rows_only(project: Project, landed: Landed) -> None:
    whole, _ = landed
    day = filled(whole, "drift.conversations")[-1]
    assert project.run("drift/conversations", days=[day]).success
    expected = whole.store.query(
        "SELECT id, updatedAt, _partition FROM drift.conversations WHERE _partition = ?", [day]
    )
    found = project.store.query("SELECT id, updatedAt, _partition FROM drift.conversations")
    assert sorted(found) == sorted(expected) != []


def test_a_range_is_one_run_that_says_what_each_day_holds(landed: Landed) -> None:
    project, result = landed
    counted = project.store.query("SELECT _partition, count(*) FROM drift.conversations GROUP BY ALL")
    said = {
        day: metadata["dagster/partition_row_count"]
        for day, metadata in materialized(result, "drift/conversations").items()
    }
    assert said == {day: dict(counted).get(day, 0) for day in DAYS}
    assert sum(said.values()) > 5


def test_a_range_asks_for_no_more_than_its_pages(landed: Landed) -> None:
    _, result = landed
    metadata = materialized(result, "drift/conversations")[DAYS[-1]]
    assert (metadata["requests"], metadata["pages"]) == (1, 1)


def test_a_snapshot_is_one_materialization_without_a_partition(landed: Landed) -> None:
    project, result = landed
    ((count,),) = project.store.query("SELECT count(*) FROM drift.users WHERE _partition = 'all'")
    assert {day: facts["dagster/row_count"] for day, facts in materialized(result, "drift/users").items()} == {
        None: count
    }


def test_substreams_land_in_the_days_of_their_parents(landed: Landed) -> None:
    project, _ = landed
    strays = project.store.query(
        "SELECT conversationId, _partition FROM drift.messages EXCEPT SELECT id, _partition FROM drift.conversations"
    )
    assert (strays, filled(project, "drift.messages")) == ([], filled(project, "drift.conversations"))


def test_a_day_run_alone_has_the_rows_and_the_version_it_has_in_a_range(project: Project, landed: Landed) -> None:
    whole, range_run = landed
    day = filled(whole, "drift.conversations")[0]
    run = project.run("drift/conversations", "drift/messages", "drift/contacts", days=[day])
    for name in ("drift/conversations", "drift/messages", "drift/contacts"):
        keys = ("dagster/partition_row_count", "data_version")
        alone, in_range = materialized(run, name)[day], materialized(range_run, name)[day]
        assert {key: alone[key] for key in keys} == {key: in_range[key] for key in keys}


@pytest.mark.parametrize(
    ("name", "days"),
    [("aha/custom_object_records", DAYS), ("aha/custom_report_rows", ()), ("drift/contacts_by_email", ())],
)
def test_streams_that_need_a_name_from_the_settings_have_one_in_the_sandbox(
    project: Project, name: str, days: tuple[str, ...]
) -> None:
    result = project.run(name, days=days)
    assert failures(result) == {}
    assert sum(metadata["rows"] for metadata in materialized(result, name).values()) > 0


# What is said


@pytest.mark.parametrize(
    ("name", "with_cursor"),
    [("drift/conversations", True), ("drift/messages", True), ("drift/contacts", False)],
)
def test_a_daily_materialization_says_how_it_came_about(landed: Landed, name: str, with_cursor: bool) -> None:
    project, result = landed
    of_a_day = OF_EVERY_RUN | {"dagster/partition_row_count"}
    with_range = filled(project, name.replace("/", ".")) if with_cursor else []
    said = materialized(result, name)
    assert all("expected_requests_basis" in metadata for metadata in said.values())
    assert {day: set(metadata) - PLANNED for day, metadata in said.items()} == {
        day: of_a_day
        | ({"cursor_range", "seconds_behind"} if day in with_range else set())
        | (LARGE if day == DAYS[-1] else set())
        for day in DAYS
    }


def test_a_day_of_a_range_says_how_many_rows_it_holds_itself(landed: Landed) -> None:
    project, result = landed
    counted = dict(project.store.query("SELECT _partition, count(*) FROM drift.conversations GROUP BY ALL"))
    days = materialized(result, "drift/conversations")
    assert {day: metadata["rows"] for day, metadata in days.items()} == {day: counted.get(day, 0) for day in DAYS}
    assert {metadata["partitions_in_run"] for metadata in days.values()} == {len(DAYS)}


@pytest.mark.parametrize("name", ["drift/users", "faker/users"])
def test_a_snapshot_materialization_says_how_it_came_about(landed: Landed, name: str) -> None:
    _, result = landed
    said = materialized(result, name)
    assert "expected_requests_basis" in said[None]
    assert {day: set(metadata) - PLANNED for day, metadata in said.items()} == {
        None: OF_EVERY_RUN | LARGE | {"cursor_range", "seconds_behind"}
    }


def test_the_last_day_of_a_range_says_how_many_rows_the_whole_table_holds(landed: Landed) -> None:
    project, result = landed
    metadata = materialized(result, "drift/messages")
    ((rows,),) = project.store.query("SELECT count(*) FROM drift.messages")
    assert metadata[DAYS[-1]]["dagster/row_count"] == rows > metadata[DAYS[-1]]["dagster/partition_row_count"]


def test_the_counts_are_those_of_the_reading(landed: Landed) -> None:
    project, result = landed
    users = materialized(result, "drift/users")[None]
    expected = {
        "rows": 12,
        "records_received": 12,
        "records_outside_the_window": 0,
        "older_copies_left_out": 0,
        "quarantined": 0,
        "undeclared_fields": "none",
        "pages": 1,
        "pages_resumed": 0,
        "requests": 1,
        "retries": 0,
        "seconds_waiting": 0.0,
        "dagster/row_count": 12,
        "dagster/table_name": "sandbox.drift.users",
        "dagster/uri": project.settings.database.as_uri(),
    }
    assert {key: users[key] for key in expected} == expected
    assert users["bytes"] > 1_000
    assert users["preview"].startswith("| id | orgId | name |")
    assert users["dagster/column_schema"].columns[0] == dg.TableColumn(
        "id",
        "BIGINT",
        users["dagster/column_schema"].columns[0].description,
        dg.TableColumnConstraints(False, True),
        {"json_path": "$.data[*].id"},
    )


def test_a_retry_and_its_wait_are_counted(project: Project, fail: Fail) -> None:
    fail({"pattern": "GET /drift/users/list", "kind": "500", "retry_after": "0.01"})
    users = materialized(project.run("drift/users"), "drift/users")[None]
    assert (users["requests"], users["retries"], users["rows"], users["seconds_waiting"]) == (2, 1, 12, 0.01)


@pytest.mark.parametrize("config", [{}, {"ignore_budget": True}, {"limit": 1}])
def test_a_retry_is_told_in_the_log_of_the_run(project: Project, fail: Fail, config: dict[str, Any]) -> None:
    fail({"pattern": "GET /drift/users/list", "kind": "500", "retry_after": "0.01"})
    result = project.run("drift/users", **config)
    assert result.success
    (line,) = [each for each in project.instance.all_logs(result.run_id) if "; try " in each.user_message]
    assert (line.level, line.user_message) == (
        logging.WARNING,
        "drift: GET /users/list: 500; try 2 of 10 in 0.0 s.",
    )


# Running it again


def test_the_same_command_twice_changes_nothing_but_when_and_by_which_run(project: Project) -> None:
    names = ("drift/users", "drift/conversations", "drift/messages")
    tables = ("drift.users", "drift.conversations", "drift.messages", "drift.conversations_current")
    first = project.run(*names, days=DAYS)
    before = {table: project.rows(table) for table in tables}
    before_loaded = loaded(project, "drift.users")
    second = project.run(*names, days=DAYS)
    assert {table: project.rows(table) for table in tables} == before
    assert loaded(project, "drift.users") != before_loaded
    assert all(before.values())
    for name in names:
        versions = [
            {day: metadata["data_version"] for day, metadata in materialized(result, name).items()}
            for result in (first, second)
        ]
        assert versions[0] == versions[1]


def test_folders_of_data_can_be_removed_while_a_sandbox_runs(project: Project, tmp_path_factory: Any) -> None:
    for folder in (project.folder, tmp_path_factory.mktemp("another")):
        assert replace(project, folder=folder).run("drift/users", "aha/users").success


def test_dagster_knows_a_replayed_snapshot_by_the_same_version(project: Project) -> None:
    tags = []
    for _ in range(2):
        (event,) = project.run("drift/users").get_asset_materialization_events()
        tags.append(dict(event.materialization.tags or {}))
    assert tags[0]["dagster/data_version"] == tags[1]["dagster/data_version"]
    assert tags[0]["dagster/data_version_is_user_provided"] == "true"


# What a run may be told


def test_every_stream_explains_in_the_launchpad_what_a_run_may_be_told(project: Project) -> None:
    fields = project.asset("drift/users").op.config_schema.config_type.fields  # type: ignore[union-attr]  # a shape
    assert set(fields) == set(StreamConfig.model_fields)
    assert all(len(field.description or "") > 80 and not field.is_required for field in fields.values())


def test_what_one_stream_is_told_leaves_the_others_as_they_are(project: Project) -> None:
    told: list[Extraction] = []

    class Listening(Warehouse):
        def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
            told.append(obj)
            obj.spool.close()

    resources = {
        **project.resources(),
        "warehouse": Listening(database=str(project.settings.database), spools=str(project.folder)),
    }
    dg.materialize(
        [project.asset("drift/users"), project.asset("drift/teams")],
        resources=resources,
        run_config={"ops": {"drift__users": {"config": {"confirm_shrink": True}}}},
    )
    assert {extraction.stream.name: extraction.may_shrink for extraction in told} == {"users": True, "teams": False}


# What goes wrong


def test_a_failing_stream_leaves_the_others_landed(project: Project, fail: Fail) -> None:
    fail({"pattern": "GET /drift/teams/*", "kind": "html"})
    result = project.run("drift/users", "drift/teams", "drift/playbooks")
    ((step, (error, message)),) = failures(result).items()
    assert (step, error, result.success) == ("drift__teams", "MalformedPage", False)
    assert message.startswith("drift.teams: GET /teams/org: the answer is not whole JSON")
    assert project.store.landed_partitions("drift", "users") == ["all"]
    assert project.store.landed_partitions("drift", "playbooks") == ["all"]
    assert project.store.landed_partitions("drift", "teams") == []


def test_substreams_of_a_failed_stream_are_not_read(project: Project, fail: Fail) -> None:
    fail({"pattern": "GET /drift/conversations/list*", "kind": "html"})
    result = project.run("drift/conversations", "drift/messages", days=DAYS)
    started = [event.step_key for event in result.all_events if event.event_type_value == "STEP_START"]
    assert (list(failures(result)), started) == (["drift__conversations"], ["drift__conversations"])


def test_a_failed_run_goes_on_where_it_was_broken_off(project: Project, fail: Fail, sandbox_url: str) -> None:
    project.sources["drift"] = DriftInTurn
    assert project.run("drift/conversations", days=DAYS).success
    fail({"pattern": "GET /drift/conversations/*/messages*", "kind": "html", "skip": 3})
    assert [error for error, _ in failures(project.run("drift/messages", days=DAYS)).values()] == ["MalformedPage"]
    fail()
    again = materialized(project.run("drift/messages", days=DAYS), "drift/messages")[DAYS[-1]]
    assert (again["pages_resumed"], again["requests"]) == (3, again["pages"] - 3)


def test_a_failed_run_that_has_asked_ahead_asks_for_no_page_again_that_it_has(project: Project, fail: Fail) -> None:
    assert project.run("drift/conversations", days=DAYS).success
    fail({"pattern": "GET /drift/conversations/*/messages*", "kind": "html", "skip": 9})
    assert [error for error, _ in failures(project.run("drift/messages", days=DAYS)).values()] == ["MalformedPage"]
    fail()
    again = materialized(project.run("drift/messages", days=DAYS), "drift/messages")[DAYS[-1]]
    assert again["pages_resumed"] > 0  # as many as came before the one that failed, in their order
    assert again["requests"] == again["pages"] - again["pages_resumed"]


@pytest.mark.parametrize(
    ("landed_before", "message"),
    [
        ((), "There is no database {database} yet. Materialise an asset first."),
        (
            (DAYS[-2],),
            (
                f"drift.conversations: partition {DAYS[-1]} has not been landed in {{database}}. "
                "Materialise drift/conversations first."
            ),
        ),
    ],
    ids=["no database", "another day"],
)
def test_a_substream_needs_its_parents_partition(
    project: Project, landed_before: tuple[str, ...], message: str
) -> None:
    for day in landed_before:
        assert project.run("drift/conversations", days=[day]).success
    result = project.run("drift/messages", days=[DAYS[-1]])
    assert failures(result) == {
        "drift__messages": ("PartitionMissing", message.format(database=project.settings.database))
    }


@pytest.mark.parametrize("day", ["1999-01-01", "tomorrow", "2999-01-01"])
def test_a_partition_outside_the_definition_is_refused_before_anything_is_read(project: Project, day: str) -> None:
    with pytest.raises(dg.DagsterUnknownPartitionError, match=day):
        project.run("drift/conversations", days=[day])
    assert list(project.folder.iterdir()) == []


def test_a_daily_stream_needs_a_partition(project: Project) -> None:
    assert failures(project.run("drift/conversations")) == {
        "drift__conversations": (
            "StreamNotPartitioned",
            "conversations lands in daily partitions; name one with --partition.",
        )
    }


def test_a_column_may_become_wider(project: Project) -> None:
    assert project.run("drift/users").success
    assert project.run(redeclared(project, "id", "string")).success
    kinds = {name: kind for name, kind, *_ in project.store.query("DESCRIBE drift.users")}
    found = {number for (number,) in project.store.query("SELECT id FROM drift.users")}
    assert (kinds["id"], {type(number) for number in found}, len(found)) == ("VARCHAR", {str}, 12)


@pytest.mark.parametrize(
    ("column", "type", "error", "message"),
    [
        (
            "createdAt",
            "integer",
            "SchemaConflict",
            "drift.users all: column 'createdAt' is stored as TIMESTAMP WITH TIME ZONE and declared as BIGINT; ",
        ),
        (
            "name",
            "integer",
            "TooManyQuarantined",
            "drift.users all: 11 of 12 records do not fit their declaration; the first: expected integer, got ",
        ),
    ],
)
def test_a_column_that_cannot_change_its_type_leaves_the_table_as_it_was(
    project: Project, column: str, type: Any, error: str, message: str
) -> None:
    assert project.run("drift/users").success
    before = loaded(project, "drift.users")
    ((_, found),) = failures(project.run(redeclared(project, column, type))).items()
    assert found[0] == error
    assert found[1].startswith(message)
    assert loaded(project, "drift.users") == before != []


def redeclared(project: Project, column: str, type: Any) -> dg.AssetsDefinition:
    """Return the asset of Drift's users with another type for one column."""
    columns = kind_of("drift").stream("users").columns
    return project.asset(
        "drift/users",
        columns=tuple(replace(each, type=type) if each.name == column else each for each in columns),
    )


def test_a_field_nobody_declared_is_kept_and_said(project: Project) -> None:
    columns = kind_of("drift").stream("users").columns
    asset = project.asset("drift/users", columns=tuple(each for each in columns if each.name != "email"))
    users = materialized(project.run(asset), "drift/users")[None]
    kept = project.store.query("SELECT _extra ->> 'email' FROM drift.users ORDER BY ALL")
    assert (users["undeclared_fields"].splitlines()[2:], users["rows"]) == (
        ["| $.email | string | 11 | in this run |"],
        12,
    )
    assert sum("@" in (email or "") for (email,) in kept) > 5


# Beyond what the API lists


def listing_the_last(project: Project, days: int) -> dg.AssetsDefinition:
    """Return the asset of Drift's conversations as if the API listed those of the last days only."""
    cursor = kind_of("drift").stream("conversations").cursor
    assert isinstance(cursor, Cursor)
    return project.asset("drift/conversations", cursor=replace(cursor, horizon=timedelta(days=days)))


def test_days_the_api_no_longer_lists_stay_as_they_were(project: Project) -> None:
    assert project.run("drift/conversations", days=DAYS).success
    before = loaded(project, "drift.conversations")
    began = datetime.now(UTC)
    result = project.run(listing_the_last(project, 4), days=DAYS)
    ended = datetime.now(UTC)
    said = materialized(result, "drift/conversations")
    older = [day for day in DAYS if "left_as_it_was" in said[day]]
    assert result.success
    assert older in [
        [day for day in DAYS if window((day,)).start < moment - timedelta(days=4)] for moment in (began, ended)
    ]
    after = loaded(project, "drift.conversations")
    assert [row for row in before if row not in after] != []
    names = [name for name, *_ in project.store.query("DESCRIBE drift.conversations")]
    place = names.index("_partition")
    assert [row for row in after if row[place] in older] == [row for row in before if row[place] in older]


def test_a_run_of_nothing_but_such_days_fails_and_changes_nothing(project: Project) -> None:
    assert project.run("drift/conversations", days=DAYS).success
    before = loaded(project, "drift.conversations")
    ((error, message),) = failures(project.run(listing_the_last(project, 4), days=DAYS[:5])).values()
    assert error == "InvalidSlice"
    assert message.startswith(f"conversations: the API lists the last 4 days only, and {DAYS[4]} is older.")
    assert loaded(project, "drift.conversations") == before


def test_every_daily_stream_can_be_asked_for_all_days_of_the_definition(sandbox_url: str, project: Project) -> None:
    project.start = project.start - timedelta(days=60)
    days = project.days()
    result = project.run("drift/meetings", days=days)
    assert failures(result) == {}
    assert project.store.query("SELECT count(*) > 0 FROM drift.meetings") == [(True,)]


# When the vendor asks to wait


class Hasty(Drift):
    """Drift, for a run that may sleep a hundredth of a second."""

    retry: ClassVar[RetryPolicy] = RetryPolicy(longest_wait_seconds=0.01)


def test_a_long_wait_gives_the_place_back_and_the_step_is_tried_again(project: Project, fail: Fail) -> None:
    fail({"pattern": "GET /drift/users/list", "kind": "429", "retry_after": "0.1"})
    project.sources["drift"] = Hasty
    result = project.run("drift/users")
    kinds = [event.event_type_value for event in result.all_events if event.step_key == "drift__users"]
    assert (kinds.count("STEP_UP_FOR_RETRY"), kinds.count("STEP_RESTARTED"), result.success) == (1, 1, True)


def test_a_step_that_gives_its_place_back_says_for_how_long(project: Project, fail: Fail) -> None:
    fail({"pattern": "GET /drift/users/list", "kind": "429", "retry_after": "600"})
    context = dg.build_asset_context(resources=project.resources())
    with pytest.raises(dg.RetryRequested) as asked:
        list(project.asset("drift/users")(context))  # type: ignore[call-overload]  # a generator
    assert (asked.value.seconds_to_wait, asked.value.max_retries) == (600, 10)


def test_a_pause_longer_than_a_run_may_last_is_a_failure_that_says_so(project: Project, fail: Fail) -> None:
    fail({"pattern": "GET /drift/users/list", "kind": "429", "retry_after": "31536000"})
    context = dg.build_asset_context(resources=project.resources())
    with pytest.raises(dg.Failure, match="the server asks to wait 31536000 s"):
        list(project.asset("drift/users")(context))  # type: ignore[call-overload]  # a generator


def test_what_was_read_before_others_landed_is_not_landed_after_them(project: Project) -> None:
    """A run breaks off, another lands everything, and the first is run again: it must not bring back the past."""
    project.run("drift/users")
    (spool,) = (folder for folder in (project.folder / "spools").glob("drift.users.*"))
    for name in ("committed", "landed_by"):  # as if this reading had been broken off before the other one landed
        (spool / name).unlink()
    before = project.store.query("SELECT max(loaded_at) FROM _state")
    again = materialized(project.run("drift/users"), "drift/users")[None]
    assert (again["requests"], again["pages_resumed"]) == (1, 0)
    assert project.store.query("SELECT max(loaded_at) FROM _state") > before
