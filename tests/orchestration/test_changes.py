"""What a materialisation says in Dagster of the rows it replaced, of deleted records and of new fields."""

from dataclasses import replace
from typing import Any, ClassVar

import dagster as dg
import msgspec
import pytest

from connector_resources.resource import Source
from connector_resources.streams import Page, Slice, Stream
from orchestration.assets import stream_asset
from orchestration.partitions import daily
from tests.landing import snapshot
from tests.orchestration.conftest import Project, failures, materialized

GOALS = snapshot("goals", id="string", name="string", score="integer")


class Vendor(Source):
    """A vendor whose records a test puts into `answers`."""

    name: ClassVar = "vendor"
    streams: ClassVar = (GOALS,)
    note: str = ""  # a resource without any field makes Dagster ask pydantic in a way that it warns of

    def read(self, stream: Stream, slice: Slice, token: str | None = None) -> Any:
        yield Page([msgspec.json.encode(record) for record in answers])


answers: list[dict[str, Any]] = []


def goals(*records: dict[str, Any]) -> None:
    answers[:] = records


def goal(number: int, **values: Any) -> dict[str, Any]:
    return {"id": f"{number}", "name": f"goal {number}", "score": number, **values}


@pytest.fixture
def vendor(project: Project) -> Project:
    return replace(project, sources={"vendor": Vendor})


def run(project: Project, **config: bool) -> dg.ExecuteInProcessResult:
    """Materialise the goals, told what `config` says."""
    return dg.materialize(
        [stream_asset(Vendor, GOALS, daily(project.start), "sandbox")],
        instance=project.instance,
        resources=project.resources(),
        run_config={"ops": {"vendor__goals": {"config": config}}},
        raise_on_error=False,
    )


def told(project: Project, **config: bool) -> dict[str, Any]:
    return materialized(run(project, **config), "vendor/goals")[None]


def test_a_changed_field_is_named_with_what_was_added_and_removed(vendor: Project) -> None:
    goals(*(goal(n) for n in range(10)))
    first = told(vendor)
    again = told(vendor)
    goals(goal(1, score=7, name="new"), goal(2, score=7), *(goal(n) for n in range(3, 12)))
    changed = told(vendor)
    names = ("rows_added", "rows_changed", "rows_removed", "records_deleted")
    assert [tuple(each[name] for name in names) for each in (first, again, changed)] == [
        (10, 0, 0, 0),
        (0, 0, 0, 0),
        (2, 2, 1, 1),
    ]
    assert changed["most_changed_columns"] == "score (2), name (1)"
    assert "most_changed_columns" not in again
    assert first["data_version"] == again["data_version"] != changed["data_version"]


def test_a_new_field_is_reported_once_with_path_type_and_first_seen(vendor: Project) -> None:
    goals(goal(1, color="red"))
    said = (
        "vendor.goals: a new field that nobody declared, $.color (string), in 1 record from page 0 on. "
        "It is kept in _extra."
    )
    assert [new_fields(vendor) for _ in range(2)] == [[said], []]
    line = told(vendor)["undeclared_fields"].splitlines()[2]
    assert line.startswith("| $.color | string | 1 | 20")


def new_fields(project: Project) -> list[str]:
    result = run(project)
    records = project.instance.all_logs(result.run_id)
    return [each.user_message for each in records if "nobody declared" in each.user_message]


def test_a_snapshot_that_shrank_is_refused_until_the_run_confirms_it(vendor: Project) -> None:
    goals(*(goal(n) for n in range(10)))
    told(vendor)
    goals(goal(1))
    ((error, message),) = failures(run(vendor)).values()
    assert error == "ShrunkSnapshot"
    assert "the snapshot has 1 records, and there were 10" in message
    assert vendor.store.query("SELECT count(*) FROM vendor.goals") == [(10,)]
    confirmed = told(vendor, confirm_shrink=True)
    assert (confirmed["rows"], confirmed["records_deleted"]) == (1, 9)
