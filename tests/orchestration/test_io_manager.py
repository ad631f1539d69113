"""Frames out of the warehouse and into it, and what happens when the database cannot be had."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest

from orchestration.partitions import daily
from tests.orchestration.conftest import DAYS, FIRST_DAY, Project, failures, kind_of, materialized

if TYPE_CHECKING:
    import pandas as pd

Landed = tuple[Project, dg.ExecuteInProcessResult]


# Frames


SEEN = "key:frames/seen"


class Seen:
    """What a downstream asset was given."""

    frame: "pd.DataFrame"


def downstream(
    partitions: dg.PartitionsDefinition[str] | None, seen: Seen, upstream: str = "conversations", **settings: Any
) -> dg.AssetsDefinition:
    """Return an asset that takes a stream of Drift's as a frame."""

    @dg.asset(
        key=["frames", "seen"],
        ins={"given": dg.AssetIn(key=["drift", upstream], **settings)},
        io_manager_key="warehouse",
        partitions_def=partitions,
        metadata={"partition_column": "updatedAt"} if partitions is not None else {},
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def made(given: Any) -> Any:
        seen.frame = given
        return given

    return made


def of_days(project: Project, days: tuple[str, ...], name: str = "conversations") -> list[int]:
    """Return the ids of the rows that lie in some partitions."""
    found = project.store.query(f"SELECT id FROM drift.{name} WHERE _partition IN {(*days, '')} ORDER BY id")
    return [number for (number,) in found]


@pytest.mark.parametrize("days", [DAYS[-2:-1], DAYS[2:5], DAYS], ids=["a day", "a range", "all days"])
def test_a_daily_asset_gets_the_same_days_of_its_upstream(landed: Landed, days: tuple[str, ...]) -> None:
    project, _ = landed
    seen = Seen()
    result = project.run(project.asset("drift/conversations"), downstream(daily(FIRST_DAY), seen), days=days, only=SEEN)
    assert (failures(result), sorted(seen.frame["id"])) == ({}, of_days(project, days))
    counts = {
        day: metadata["dagster/partition_row_count"] for day, metadata in materialized(result, "frames/seen").items()
    }
    assert counts == {day: len(of_days(project, (day,))) for day in days}
    assert of_days(project, days) != []


def test_an_asset_without_partitions_gets_all_that_was_landed(landed: Landed) -> None:
    project, _ = landed
    seen = Seen()
    assert project.run(project.asset("drift/conversations"), downstream(None, seen), only=SEEN).success
    assert sorted(seen.frame["id"]) == of_days(project, DAYS)


def test_a_frame_has_the_declared_columns_and_aware_times(landed: Landed) -> None:
    project, _ = landed
    seen = Seen()
    assert project.run(project.asset("drift/conversations"), downstream(None, seen), only=SEEN).success
    stream = {
        column.name: str(seen.frame.dtypes[column.name]) for column in kind_of("drift").stream("conversations").columns
    }
    assert list(seen.frame.columns) == list(stream)
    assert (stream["id"], stream["updatedAt"].startswith("datetime64["), stream["updatedAt"].endswith(", UTC]")) == (
        "int64",
        True,
        True,
    )


def test_an_input_may_choose_columns_and_reach_into_them(landed: Landed) -> None:
    project, _ = landed
    seen = Seen()
    chosen = {"contact": "id", "mail": "attributes.email"}
    asset = downstream(None, seen, "contacts", metadata={"columns": chosen})
    assert project.run(project.asset("drift/contacts"), asset, only=SEEN).success
    assert list(seen.frame.columns) == ["contact", "mail"]
    assert seen.frame["mail"].dropna().str.contains("@").all()


@pytest.mark.parametrize("days", [(), DAYS[-1:], DAYS[:3]], ids=["all that is landed", "a day", "a range"])
def test_a_partition_that_was_never_landed_is_named(project: Project, days: tuple[str, ...]) -> None:
    assert project.run("drift/conversations", days=[DAYS[5]]).success
    asset = downstream(daily(FIRST_DAY) if days else None, Seen(), "conversations" if days else "messages")
    result = project.run(
        project.asset("drift/conversations"), project.asset("drift/messages"), asset, days=days, only=SEEN
    )
    database = project.settings.database
    if not days:
        what = f"drift.messages: nothing has been landed in {database}. Materialise drift/messages first."
    else:
        more = " (and 2 more)" if len(days) == 3 else ""
        what = (
            f"drift.conversations: partition {days[0]} has not been landed in {database}{more}. "
            "Materialise drift/conversations first."
        )
    assert failures(result) == {"frames__seen": ("PartitionMissing", what)}


def test_a_frame_outside_its_partition_is_refused(landed: Landed, project: Project) -> None:
    rows, _ = landed

    @dg.asset(
        key=["frames", "stray"],
        io_manager_key="warehouse",
        partitions_def=daily(FIRST_DAY),
        metadata={"partition_column": "updatedAt"},
    )
    def stray() -> Any:
        return rows.store.read_frame("drift", "conversations")

    ((error, message),) = failures(project.run(stray, days=[DAYS[-1]])).values()
    assert error == "InvalidSlice"
    assert f"which is not among the partitions being written ({DAYS[-1]})" in message


@pytest.mark.parametrize("value", [None, [1, 2], {"a": 1}])
def test_what_is_no_frame_is_refused(project: Project, value: Any) -> None:
    @dg.asset(key=["frames", "wrong"], io_manager_key="warehouse")
    def wrong() -> Any:
        return value

    assert failures(project.run(wrong)) == {
        "frames__wrong": (
            "SchemaConflict",
            f"frames/wrong returned {type(value).__name__}; return a pandas.DataFrame.",
        )
    }


# The database


def test_a_database_that_cannot_be_written_is_named_and_what_was_read_is_kept(project: Project) -> None:
    (project.folder / "file").touch()
    database = project.folder / "file" / "sandbox.duckdb"
    project.warehouse["database"] = str(database)
    ((error, message),) = failures(project.run("drift/users")).values()
    assert error == "DestinationUnwritable"
    assert message.startswith(f"{database} cannot be opened or written (")
    project.warehouse.clear()
    again = materialized(project.run("drift/users"), "drift/users")[None]
    assert (again["requests"], again["pages_resumed"], again["rows"]) == (0, 1, 12)


def test_a_file_that_is_no_database_is_named_and_left_alone(project: Project) -> None:
    database = project.settings.database
    database.write_bytes(b"These are my notes." * 1_000)
    ((error, message),) = failures(project.run("drift/users")).values()
    assert error == "DestinationUnwritable"
    assert message.startswith(f"{database} is no DuckDB database.")
    assert database.read_bytes() == b"These are my notes." * 1_000


def test_a_database_held_by_another_program_is_waited_for_and_then_given_up(project: Project) -> None:
    project.warehouse["lock_timeout_seconds"] = 0.2
    with held(project.settings.database) as process:
        ((error, message),) = failures(project.run("drift/users")).values()
        assert error == "DestinationBusy"
        assert message.startswith(f"{project.settings.database} was held for 0.2 s (")
        assert f"PID {process.pid}" in message
    again = materialized(project.run("drift/users"), "drift/users")[None]
    assert (again["requests"], again["pages_resumed"], again["rows"]) == (0, 1, 12)


@contextmanager
def held(database: Path) -> Iterator["subprocess.Popen[str]"]:
    """Hold a database open in another process during a block."""
    code = f"import duckdb; held = duckdb.connect({str(database)!r}); print('held', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.communicate("\n")
