"""Checks made from declarations: each sees what it is for, counts it, shows it, and stops what would be wrong after it.

What our own landings refuse is written into the database by hand.
"""

import shutil
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any, ClassVar

import dagster as dg
import duckdb
import pytest

from connector_resources.destinations.duckdb import DuckDB
from connector_resources.resource import Source
from connector_resources.spool import Spool
from connector_resources.streams import SNAPSHOT, Column, Cursor, Page, Parent, ParentRow, Slice, Stream, Window
from orchestration import frames
from orchestration.checks import frame_checks, stream_checks
from orchestration.frames.rules import Rules
from orchestration.io_manager import Warehouse
from tests.frames.test_assets import DECLARED
from tests.landing import close_spools, columns, daily, days, page, snapshot, spooled, window
from tests.orchestration.conftest import DAYS, Project, kind_of

THINGS = daily("things", n="integer")
GOALS = snapshot("goals", id="string", score="integer")
STEPS = Stream(
    name="steps",
    description="",
    columns=(*columns(id="string"), Column("goal_id", "integer", "", parent="goal")),
    primary_key=("id",),
    parent=Parent(GOALS, {"goal": "id"}),
)
NOTES = Stream(
    name="notes",
    description="",
    columns=columns(id="string", thing_id="string", at="timestamp"),
    primary_key=("id",),
    cursor=Cursor("at"),
    parent=Parent(THINGS, {"thing_id": "id"}),
)
DETAILS = Stream(
    name="details",
    description="",
    columns=columns(id="string"),
    primary_key=("id",),
    parent=Parent(THINGS, {"thing_id": "id"}, told_as={"thing_id": "id"}),
)
TWO_DAYS = window("2026-03-01", "2026-03-03")
ERROR, WARN = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN


def instance(folder: Path) -> dg.DagsterInstance:
    """Return an instance whose files go with the test's own; another one warns of those it leaves."""
    (folder / "dagster").mkdir(exist_ok=True)
    return dg.DagsterInstance.ephemeral(tempdir=str(folder / "dagster"))


Evaluations = Mapping[str, dg.AssetCheckEvaluation]


class Vendor(Source):
    """Whose streams these are; nobody reads them."""

    name: ClassVar = "vendor"
    streams: ClassVar = (THINGS, GOALS, STEPS, NOTES, DETAILS)


class Place:
    """A database, what is landed in it and done to it, and what the checks then say."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = DuckDB(folder / "store.duckdb", folder / "temporary", lock_timeout_seconds=5)
        self.landings = 0

    def land(self, stream: Stream, *pages: Page, window: Window | None = None) -> None:
        self.landings += 1
        parents = tuple(page.parent for page in pages if page.parent is not None)
        asked = Slice(None, parents) if stream.inherits_partitions else Slice(window)
        spool: Spool = spooled(self.folder / "spools", stream, pages, asked)
        partitions = [SNAPSHOT] if window is None else days(window)
        try:
            self.store.land(
                "vendor", stream, spool, partitions=partitions, window=asked.window, run_id=f"run {self.landings}"
            )
        finally:
            spool.discard()

    def meddle(self, *statements: str) -> None:
        """Write into the database by hand."""
        with duckdb.connect(str(self.store.path)) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            for statement in statements:
                connection.execute(statement)

    def look(self, checks: dg.AssetsDefinition, only: Sequence[str] = ()) -> Evaluations:
        """Execute checks alone, as from the web UI, and return what they say by name."""
        (asset,) = {key.asset_key for key in checks.check_keys}
        keys = [dg.AssetCheckKey(asset, name) for name in only] or list(checks.check_keys)
        defs = dg.Definitions(
            asset_checks=[checks],
            resources={"warehouse": Warehouse(database=str(self.store.path), spools=str(self.folder / "spools"))},
            jobs=[dg.define_asset_job("look", selection=dg.AssetSelection.checks(*keys))],
            executor=dg.in_process_executor,
        )
        result = defs.resolve_job_def("look").execute_in_process(raise_on_error=False, instance=instance(self.folder))
        found = {each.check_name: each for each in result.get_asset_check_evaluations()}
        stopped = any(not each.passed and each.blocking and each.severity == ERROR for each in found.values())
        assert result.success is not stopped
        return found

    def look_at(self, stream: Stream) -> Evaluations:
        return self.look(stream_checks(Vendor, stream))


@pytest.fixture(scope="module")
def landed_things(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two days of things, of which thing 1 has a version on each, goals, and what is read under them."""
    place = Place(tmp_path_factory.mktemp("things"))
    place.land(
        THINGS,
        page(
            {"id": "1", "at": "2026-03-01T23:30:00Z", "n": 1},
            {"id": "2", "at": "2026-03-01T00:00:00Z", "n": 2},
            {"id": "1", "at": "2026-03-02T00:30:00Z", "n": 3},
        ),
        window=TWO_DAYS,
    )
    place.land(GOALS, page(*({"id": f"{number}", "score": number} for number in range(20))))
    place.land(STEPS, *(page({"id": f"{n}"}, {"id": f"{n + 20}"}, parent=ParentRow({"goal": n})) for n in range(20)))
    at = "2026-03-04T00:00:00Z"
    place.land(
        NOTES,
        page(
            {"id": "a", "thing_id": "2", "at": at},
            {"id": "b", "thing_id": "2", "at": at},
            {"id": "c", "thing_id": None, "at": at},
            parent=ParentRow({"thing_id": "2"}, ("2026-03-01",)),
        ),
        window=TWO_DAYS,
    )
    place.land(DETAILS, page({"id": "2"}, parent=ParentRow({"thing_id": "2"}, ("2026-03-01",))), window=TWO_DAYS)
    close_spools()
    return place.folder


@pytest.fixture
def place(landed_things: Path, tmp_path: Path) -> Place:
    """A copy of what was landed, to do with as a test likes."""
    shutil.copytree(landed_things, tmp_path, dirs_exist_ok=True)
    place = Place(tmp_path)
    place.landings = 5
    return place


def not_passed(found: Evaluations) -> dict[str, tuple[dg.AssetCheckSeverity, str | None]]:
    return {name: (each.severity, each.description) for name, each in found.items() if not each.passed}


def value(each: dg.AssetCheckEvaluation, name: str) -> Any:
    return each.metadata[name].value


def sql(each: dg.AssetCheckEvaluation) -> str:
    return str(value(each, "query")).removeprefix("```sql\n").removesuffix("\n```")


SHRUNK = "1 landing left far fewer records than there were, and nobody said that they were deleted"
NOT_ONCE = "{} keys are missing, more than once in a partition, or not as often among the current rows as they should"
ONE_MORE = "UPDATE _state SET rows = rows + 1 WHERE name = 'things' AND partition = '2026-03-01'"


# Streams


def test_what_was_landed_whole_passes_every_check(place: Place) -> None:
    assert [not_passed(place.look_at(stream)) for stream in Vendor.streams] == [{}] * 5


@pytest.mark.parametrize(
    ("stream", "meddling", "check", "severity", "wrong", "description", "sample"),
    [
        pytest.param(
            THINGS, ["UPDATE vendor.things SET id = NULL WHERE n = 2"], "key_unique", ERROR, 1,
            NOT_ONCE.format(1),
            "| id | row_count | partitions | current_rows |\n| --- | --- | --- | --- |\n|  | 1 | 1 | 1 |",
            id="a key is missing",
        ),
        pytest.param(
            THINGS, ["INSERT INTO vendor.things SELECT * REPLACE (false AS _is_current) FROM vendor.things WHERE n = 2",
                     ONE_MORE],
            "key_unique", ERROR, 1,
            NOT_ONCE.format(1),
            "| id | row_count | partitions | current_rows |\n| --- | --- | --- | --- |\n| 2 | 2 | 1 | 1 |",
            id="a key is twice in a partition",
        ),
        pytest.param(
            THINGS, ["UPDATE vendor.things SET _is_current = true"], "key_unique", ERROR, 1,
            NOT_ONCE.format(1),
            "| id | row_count | partitions | current_rows |\n| --- | --- | --- | --- |\n| 1 | 2 | 2 | 2 |",
            id="two versions are current",
        ),
        pytest.param(
            THINGS, ["UPDATE vendor.things SET _is_current = false"], "key_unique", ERROR, 2,
            NOT_ONCE.format(2), None,
            id="no version is current",
        ),
        pytest.param(
            THINGS, ["CREATE TABLE vendor.things_deleted (id VARCHAR)",
                     "INSERT INTO vendor.things_deleted VALUES ('2')"],
            "key_unique", ERROR, 1, NOT_ONCE.format(1),
            "| id | row_count | partitions | current_rows |\n| --- | --- | --- | --- |\n| 2 | 1 | 1 | 1 |",
            id="a deleted record is current",
        ),
        pytest.param(
            THINGS, ["UPDATE vendor.things SET \"at\" = NULL WHERE n = 2"], "cursor_in_partition", ERROR, 1,
            "1 rows have no cursor, or lie in the partition of another day",
            "| id | at | _partition |\n| --- | --- | --- |\n| 2 |  | 2026-03-01 |",
            id="a cursor is missing",
        ),
        pytest.param(
            THINGS, ["UPDATE vendor.things SET \"at\" = \"at\" + INTERVAL 30 MINUTE WHERE n = 1"],
            "cursor_in_partition", ERROR, 1,
            "1 rows have no cursor, or lie in the partition of another day",
            "| id | at | _partition |\n| --- | --- | --- |\n| 1 | 2026-03-02 00:00:00Z | 2026-03-01 |",
            id="a cursor is of the next day",
        ),
        pytest.param(
            NOTES, ["UPDATE vendor.notes SET \"at\" = NULL WHERE id = 'b'"], "cursor_present", WARN, 1,
            "1 rows have no cursor", "| id | _partition |\n| --- | --- |\n| b | 2026-03-01 |",
            id="a cursor that only tells versions apart is missing",
        ),
        pytest.param(
            THINGS, ["DROP VIEW vendor.things_current", "ALTER TABLE vendor.things DROP COLUMN n"],
            "types_as_declared", ERROR, 1, "1 columns are not in the table as they are declared",
            "| name | declared | stored |\n| --- | --- | --- |\n| n | BIGINT |  |",
            id="a column is missing",
        ),
        pytest.param(
            THINGS, ["ALTER TABLE vendor.things ALTER COLUMN n TYPE INTEGER"],
            "types_as_declared", ERROR, 1, "1 columns are not in the table as they are declared",
            "| name | declared | stored |\n| --- | --- | --- |\n| n | BIGINT | INTEGER |",
            id="a type is narrower",
        ),
        pytest.param(
            THINGS, ["ALTER TABLE vendor.things ALTER COLUMN n TYPE VARCHAR"],
            "types_as_declared", WARN, 1, "1 columns are not in the table as they are declared",
            "| name | declared | stored |\n| --- | --- | --- |\n| n | BIGINT | VARCHAR |",
            id="a type is wider",
        ),
        pytest.param(
            THINGS, ["DELETE FROM vendor.things WHERE n = 2"], "all_received", ERROR, 1,
            "1 partitions have not all that was counted, received or landed",
            "| partition | counted | received | landed_rows | stored_rows |\n| --- | --- | --- | --- | --- |\n"
            "| 2026-03-01 |  | 3 | 2 | 1 |",
            id="a row is gone",
        ),
        pytest.param(
            THINGS, ["DELETE FROM _state WHERE partition = '2026-03-02'"], "all_received", ERROR, 1,
            "1 partitions have not all that was counted, received or landed", None,
            id="rows are of a partition that was never landed",
        ),
        pytest.param(
            GOALS, ["UPDATE _state SET counted = received + 1 WHERE name = 'goals'"], "all_received", ERROR, 1,
            "1 partitions have not all that was counted, received or landed",
            "| partition | counted | received | landed_rows | stored_rows |\n| --- | --- | --- | --- | --- |\n"
            "| all | 21 | 20 | 20 | 20 |",
            id="the server counts more",
        ),
        pytest.param(
            STEPS, ["DELETE FROM vendor.goals WHERE id = '7'"], "parents_exist", WARN, 1,
            "1 parents, of 2 rows, are neither in vendor.goals nor known to be deleted",
            "| goal_id | rows | first_partition |\n| --- | --- | --- |\n| 7 | 2 | all |",
            id="a parent is missing",
        ),
        pytest.param(
            STEPS, ["DROP TABLE vendor.goals"], "parents_exist", WARN, 20,
            "20 parents, of 40 rows, are neither in vendor.goals nor known to be deleted", None,
            id="the parents were never landed",
        ),
        pytest.param(
            NOTES, ["UPDATE vendor.notes SET thing_id = '7' WHERE id = 'b'"], "parents_exist", WARN, 1,
            "1 parents, of 1 rows, are neither in vendor.things nor known to be deleted",
            "| thing_id | rows | first_partition |\n| --- | --- | --- |\n| 7 | 1 | 2026-03-01 |",
            id="a record tells of a parent that is missing",
        ),
        pytest.param(
            DETAILS, ["UPDATE vendor.details SET id = '7'"], "parents_exist", WARN, 1,
            "1 parents, of 1 rows, are neither in vendor.things nor known to be deleted",
            "| id | rows | first_partition |\n| --- | --- | --- |\n| 7 | 1 | 2026-03-01 |",
            id="a record tells of a parent that is missing, under a name of its own",
        ),
        pytest.param(
            THINGS, ["UPDATE _state SET vanished = 1 WHERE name = 'things'"], "no_silent_shrink", WARN, 1, SHRUNK,
            "| first_day | last_day | rows_before | rows_now | vanished |\n| --- | --- | --- | --- | --- |\n"
            "| 2026-03-01 | 2026-03-02 | 0 | 3 | 1 |",
            id="records have vanished",
        ),
    ],
)  # fmt: skip
def test_exactly_the_check_that_is_meant_for_it_finds_what_is_wrong(
    place: Place,
    stream: Stream,
    meddling: list[str],
    check: str,
    severity: dg.AssetCheckSeverity,
    wrong: int,
    description: str,
    sample: str | None,
) -> None:
    place.meddle(*meddling)

    found = place.look_at(stream)

    assert not_passed(found) == {check: (severity, description)}
    assert value(found[check], "wrong") == wrong
    assert sample in (None, value(found[check], "sample"))
    with duckdb.connect(str(place.store.path)) as shell:  # the query runs as it is, wherever the shell is
        shell.execute("SET TimeZone = 'America/New_York'")
        assert {name: len(shell.execute(sql(each)).fetchall()) for name, each in found.items()} == {
            name: wrong if name == check else 0 for name in found
        }


def test_a_sample_has_five_rows_at_most(place: Place) -> None:
    place.meddle("DROP TABLE vendor.goals")

    assert str(value(place.look_at(STEPS)["parents_exist"], "sample")).count("\n") == 6


def test_a_deleted_record_need_not_be_current_nor_a_deleted_parent_be_there(place: Place) -> None:
    place.land(GOALS, page(*({"id": f"{number}", "score": number} for number in range(19))))
    place.meddle(
        "CREATE TABLE vendor.things_deleted (id VARCHAR)",
        "INSERT INTO vendor.things_deleted VALUES ('2')",
        "UPDATE vendor.things SET _is_current = false WHERE id = '2'",
    )

    assert place.store.query("SELECT id FROM vendor.goals_deleted") == [("19",)]
    assert [not_passed(place.look_at(stream)) for stream in (THINGS, STEPS)] == [{}, {}]


def test_a_check_without_its_columns_says_so_and_the_others_go_on(place: Place) -> None:
    place.meddle("DROP VIEW vendor.things_current", 'ALTER TABLE vendor.things DROP COLUMN "at"')

    lacks = "The table lacks 'at'. Materialise it again."
    assert not_passed(place.look_at(THINGS)) == {
        "cursor_in_partition": (ERROR, lacks),
        "types_as_declared": (ERROR, "1 columns are not in the table as they are declared"),
    }


def test_a_new_field_warns_once_naming_it_and_not_after_the_next_landing(place: Place) -> None:
    things = (
        {"id": "1", "at": "2026-03-01T10:00:00Z", "n": 1, "mood": "good"},
        {"id": "2", "at": "2026-03-01T00:00:00Z"},
    )
    undeclared = page(*things)
    place.land(THINGS, undeclared, window=window("2026-03-01"))
    ((severity, description),) = not_passed(place.look_at(THINGS)).values()
    assert severity == WARN
    assert description is not None
    assert description.startswith("1 new fields that nobody declared, kept in _extra: $.mood (string, first seen 20")

    place.land(THINGS, undeclared, window=window("2026-03-01"))
    assert not_passed(place.look_at(THINGS)) == {}


def test_quarantined_records_warn_with_their_share_and_reason(place: Place) -> None:
    place.land(GOALS, page(*({"id": f"{n}", "score": n} for n in range(19)), {"id": "19", "score": "high"}))

    found = place.look_at(GOALS)

    ((severity, description),) = not_passed(found).values()
    assert (severity, value(found["nothing_quarantined"], "share")) == (WARN, 0.05)
    assert description == '1 records do not fit, 5.00% of all; most often: expected integer, got "high" @ $.score'
    assert '{"id": "19", "score": "high"}' in value(found["nothing_quarantined"], "sample")


@pytest.mark.parametrize(("left", "warns"), [(20, False), (18, False), (17, True), (11, True)])
def test_a_snapshot_that_lost_more_than_a_tenth_warns(place: Place, left: int, warns: bool) -> None:
    place.land(GOALS, page(*({"id": f"{number}", "score": 0} for number in range(left))))

    found = not_passed(place.look_at(GOALS))

    what = "1 snapshot has far fewer rows than before; goals_deleted lists the records that are gone"
    assert found == ({"no_silent_shrink": (WARN, what)} if warns else {})


@pytest.mark.parametrize(("left", "warns"), [(18, False), (17, True)])
def test_a_day_that_lost_more_than_a_tenth_warns_unless_the_records_are_in_another(
    place: Place, left: int, warns: bool
) -> None:
    things = [{"id": f"{number}", "at": "2026-03-01T12:00:00Z", "n": number} for number in range(20)]
    place.land(THINGS, page(*things), window=window("2026-03-01"))
    moved = [thing | {"at": "2026-03-02T12:00:00Z"} for thing in things[10:]]
    place.land(THINGS, page(*moved), window=window("2026-03-02"))
    assert not_passed(place.look(stream_checks(Vendor, THINGS), only=["no_silent_shrink"])) == {}

    place.land(THINGS, page(*things[: left - 10]), window=window("2026-03-01"))

    found = not_passed(place.look(stream_checks(Vendor, THINGS), only=["no_silent_shrink"]))
    assert found == ({"no_silent_shrink": (WARN, SHRUNK)} if warns else {})


MONDAY = date(2026, 3, 2)


@pytest.mark.parametrize(
    ("before", "now", "read_after", "warns"),
    [
        ([20, 21, 19, 22], 20, 1, False),
        ([20, 21, 19, 22], 0, 1, True),
        ([20, 21, 19, 22], 70, 1, True),
        ([21, 19, 22], 0, 1, False),
        ([0, 0, 0, 12, 0], 9, 1, False),
        ([0, 0, 0, 0, 0], 9, 1, True),
        ([100, 100, 100, 100], 90, 1, False),
        ([100, 100, 100, 100], 20, 1, True),
        ([*[100] * 16, *[20] * 13], 100, 1, True),
        ([20, 21, 19, 22], 0, 30, False),
    ],
    ids=["as ever", "none", "far more", "three weeks", "seen before", "never seen", "a little less", "far less",
         "long ago", "read long after"],
)  # fmt: skip
def test_a_day_is_compared_with_the_same_weekdays_before_it(
    place: Place, before: list[int], now: int, read_after: int, warns: bool
) -> None:
    day = MONDAY + timedelta(weeks=len(before))

    def state(day: date, rows: int, run: int, read_after: int = 1) -> str:
        read = f"TIMESTAMPTZ '{day + timedelta(days=read_after)} 01:00:00Z'"
        return (
            "INSERT INTO _state (schema, name, partition, rows, run_id, loaded_at, extracted_at) "
            f"VALUES ('vendor', 'things', '{day}', {rows}, 'by hand {run}', {read}, {read})"
        )

    weeks = [state(MONDAY + timedelta(weeks=week), rows, week) for week, rows in enumerate(before)]
    others = [state(MONDAY + timedelta(weeks=week, days=1), 500, week) for week in range(len(before) - 1)]
    place.meddle("DELETE FROM _state", *weeks, *others, state(day, now, 99, read_after))

    found = place.look(stream_checks(Vendor, THINGS), only=["volume_usual"])

    what = "1 days have far more or fewer rows than the same weekdays before them"
    assert not_passed(found) == ({"volume_usual": (WARN, what)} if warns else {})
    if warns:
        assert f"| {day} | {now} |" in value(found["volume_usual"], "sample")


@pytest.mark.parametrize("meddling", [None, ["DROP TABLE vendor.things", "DELETE FROM _state"], ["DROP TABLE _state"]])
def test_what_was_never_landed_warns_and_stops_nobody(tmp_path: Path, meddling: list[str] | None) -> None:
    place = Place(tmp_path)
    if meddling is not None:
        place.land(THINGS, page(), window=TWO_DAYS)
        place.meddle("DROP TABLE IF EXISTS vendor.things", *meddling[1:] if len(meddling) > 1 else meddling)

    found = place.look_at(THINGS)

    why = "Nothing has been landed yet. Materialise vendor/things first."
    assert not_passed(found) == dict.fromkeys(found, (WARN, why))


def test_a_table_that_was_landed_and_is_gone_is_an_error(place: Place) -> None:
    place.meddle("DROP TABLE vendor.things")

    found = not_passed(place.look_at(THINGS))

    why = "The table was landed and is not there. Materialise vendor/things again."
    assert found["key_unique"] == (ERROR, why)


def test_a_database_of_before_landings_were_counted_passes(place: Place) -> None:
    dropped = ("rows_added", "rows_removed", "counted", "received", "left_out", "duplicates", "quarantined", "vanished")
    place.meddle(*(f"ALTER TABLE _state DROP COLUMN {column}" for column in dropped), "DROP TABLE _fields")

    assert [not_passed(place.look_at(stream)) for stream in Vendor.streams] == [{}] * 5


def test_one_check_can_be_executed_alone(place: Place) -> None:
    place.meddle("UPDATE vendor.things SET _is_current = true")

    assert list(place.look(stream_checks(Vendor, THINGS), only=["all_received"])) == ["all_received"]


def test_the_newest_landing_is_shown_in_numbers(place: Place) -> None:
    shown = place.look_at(THINGS)["all_received"].metadata

    assert {name: shown[name].value for name in shown.keys() - {"query"}} == {
        "wrong": 0, "rows": 3, "received": 3, "left_out": 0, "duplicates": 0, "quarantined": 0,
    }  # fmt: skip


# Frames

BREAKING: Mapping[tuple[str, str], str] = {
    ("features", "progress_is_a_percentage"): "101 AS progress_percent",
    ("features", "made_before_it_changed"): "'2026-03-02' AS created_at, '2026-03-01' AS updated_at",
    ("features", "starts_before_it_is_due"): "'2026-03-02' AS start_date, '2026-03-01' AS due_date",
    ("features", "counts_not_negative"): "-1 AS comments",
    ("features", "overdue_is_not_complete"): "true AS is_overdue, true AS is_complete",
    ("ideas", "votes_not_negative"): "-1 AS votes",
    ("ideas", "made_before_it_changed"): "'2026-03-02' AS created_at, '2026-03-01' AS updated_at",
    ("ideas", "promoted_to_a_feature"): "true AS is_promoted",
    ("release_progress", "progress_is_a_percentage"): "-1 AS progress_percent",
    ("release_progress", "done_is_a_part"): "3 AS done_features, 2 AS features",
    ("release_progress", "starts_before_it_ends"): "'2026-03-02' AS start_date, '2026-03-01' AS release_date",
    ("release_progress", "late_by_days"): "true AS is_late, 0 AS days_late",
    ("feature_cycle_time", "changes_in_order"): "'2026-03-02' AS first_status_change_at, "
    "'2026-03-01' AS last_status_change_at",
    ("feature_cycle_time", "made_before_its_status_changed"): "-1 AS wait_seconds",
    ("feature_cycle_time", "done_after_it_was_made"): "-2 AS lead_days",
    ("feature_cycle_time", "done_or_in_work"): "1 AS lead_days, 1 AS days_in_status",
    ("conversations", "began_before_it_changed"): "'2026-03-02' AS created_at, '2026-03-01' AS updated_at",
    ("conversations", "answered_after_it_was_asked"): "-1 AS first_response_seconds",
    ("conversations", "lasts_not_less_than_nothing"): "-1 AS duration_seconds",
    ("conversations", "messages_not_negative"): "-1 AS messages_by_bot",
    ("conversations", "answered_by_a_person"): "true AS is_answered, 0 AS messages_by_agent",
    ("daily_volume", "conversations_not_negative"): "-1 AS new_conversations",
    ("daily_volume", "messages_not_negative"): "-1 AS messages_by_agent",
    ("daily_volume", "answered_after_it_was_asked"): "-1 AS median_first_response_seconds",
    ("agent_workload", "weeks_begin_on_monday"): "'2026-03-03' AS week",
    ("agent_workload", "wrote_in_that_week"): "2 AS conversations, 1 AS messages",
    ("agent_workload", "answers_are_among_conversations"): "2 AS first_responses, 1 AS conversations",
    ("contacts", "conversations_not_negative"): "-1 AS conversations",
    ("contacts", "conversations_in_order"): "'2026-03-02' AS first_conversation_at, "
    "'2026-03-01' AS last_conversation_at",
    ("company_requests", "counts_not_negative"): "-1 AS contacts",
    ("company_requests", "chatted_or_voted"): "0 AS chat_conversations, 0 AS ideas",
    ("company_requests", "both_means_both"): "true AS chats_and_votes, 1 AS chat_conversations, 0 AS ideas",
}  # fmt: skip
STORED = {"str": "VARCHAR", "category": "VARCHAR", "Int64": "BIGINT", "float64": "DOUBLE", "bool": "BOOLEAN",
          "datetime64[us, UTC]": "TIMESTAMPTZ", "datetime64[us]": "TIMESTAMP"}  # fmt: skip
RULES = {rules.frame: rules for rules in frames.rules()}


def with_frame(place: Place, rules: Rules, *rows: str) -> None:
    """Make a frame's table by hand: each row names what it has beside a key of its own."""
    declared = ", ".join(f'"{name}" {STORED[its.dtype]}' for name, its in DECLARED[rules.frame].by_name.items())
    place.meddle(
        "CREATE SCHEMA frames",
        f"CREATE TABLE frames.{rules.frame} ({declared}, _partition VARCHAR, _loaded_at TIMESTAMPTZ, _run_id VARCHAR)",
    )
    for row in rows:
        named = [part.split(" AS ")[1] for part in row.split(", ")]
        day = "'2026-03-02'"  # a Monday, and as a number below
        key = [
            f"{day if DECLARED[rules.frame].by_name[name].dtype.startswith('datetime') else '7'} AS {name}"
            for name in rules.key
            if name not in named
        ]
        place.meddle(f"INSERT INTO frames.{rules.frame} BY NAME SELECT {', '.join([*key, row])}")


def test_every_frame_has_rules_and_every_rule_is_broken_here() -> None:
    assert RULES.keys() == DECLARED.keys()
    assert BREAKING.keys() == {(frame, name) for frame, rules in RULES.items() for name in rules.conditions}


@pytest.mark.parametrize(("frame", "rule"), BREAKING, ids="/".join)
def test_a_row_that_breaks_a_rule_warns(place: Place, frame: str, rule: str) -> None:
    rules = RULES[frame]
    with_frame(place, rules, BREAKING[frame, rule])

    found = place.look(frame_checks(rules))

    assert {rule: (WARN, f"1 rows are not so: {rules.conditions[rule]}")}.items() <= not_passed(found).items()
    assert found["key_unique"].passed


@pytest.mark.parametrize("rows", [("'1' AS id, 1 AS votes", "'1' AS id, 2 AS votes"), ("NULL AS id",)])
def test_a_frame_whose_key_is_missing_or_twice_is_an_error(place: Place, rows: tuple[str, ...]) -> None:
    with_frame(place, RULES["ideas"], *rows)

    found = place.look(frame_checks(RULES["ideas"]))

    assert not_passed(found) == {"key_unique": (ERROR, "1 keys are missing, or there more than once")}


# In a real run


def downstream_of(stream: str) -> dg.AssetsDefinition:
    @dg.asset(key=["frames", "seen"], deps=[stream.split("/")])
    def seen() -> None:
        pass

    return seen


def steps(result: dg.ExecuteInProcessResult) -> dict[str, str]:
    return {
        event.step_key: event.event_type_value.removeprefix("STEP_")
        for event in result.all_events
        if event.step_key is not None and (event.is_step_success or event.is_step_failure)
    }


def test_after_a_real_landing_every_check_passes(landed: tuple[Project, dg.ExecuteInProcessResult]) -> None:
    project, _ = landed
    place = Place(project.folder)
    place.store = project.store
    found: dict[str, object] = {}
    for name in ("faker/users", "drift/users", "drift/conversations", "drift/messages", "drift/contacts"):
        source, stream = name.split("/")
        kind = kind_of(source)
        found |= {
            f"{name} {check}": why
            for check, why in not_passed(place.look(stream_checks(kind, kind.stream(stream)))).items()
        }
    assert found == {}


@pytest.mark.parametrize(
    ("meddling", "expected"),
    [
        ("UPDATE drift.conversations SET _partition = '2020-01-01' WHERE _partition = '{day}'", None),
        (
            "INSERT INTO _fields SELECT 'drift', 'conversations', '$.x', 'string', now(), max(run_id) FROM _state",
            "SUCCESS",
        ),
    ],
    ids=["an error", "nothing that counts"],
)
def test_a_blocking_check_that_fails_stops_the_frame_made_from_it(
    project: Project, meddling: str, expected: str | None
) -> None:
    kind = kind_of("drift")
    checks = stream_checks(kind, kind.stream("conversations"))
    project.instance = instance(project.folder)
    assert project.run("drift/conversations", days=DAYS).success
    with duckdb.connect(str(project.settings.database)) as connection:
        connection.execute(meddling.format(day=DAYS[3]))

    result = project.run("drift/conversations", checks, downstream_of("drift/conversations"), days=[DAYS[-1]])

    done = steps(result)
    assert (done["drift__conversations"], done.get("frames__seen")) == ("SUCCESS", expected)
    assert done["drift__conversations_checks"] == ("FAILURE" if expected is None else "SUCCESS")
