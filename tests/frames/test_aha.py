from datetime import datetime, timedelta
from typing import Any

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from orchestration.frames import aha
from tests.frames.landing import LOADED_AT, Landing, expected, input_columns

TODAY = LOADED_AT.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)


def in_days(days: int) -> str:
    return (TODAY + timedelta(days=days)).date().isoformat()


def feature(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "id": f"701234567890123450{number}",
        "created_at": f"2026-03-0{number}T10:00:00.000Z",
        "updated_at": f"2026-03-0{number}T11:00:00.000Z",
        **fields,
    }


FULL = feature(
    1,
    reference_num="APP-1",
    name="Dark “mode” 🌒",
    project={"name": "Mobile app"},
    release={"id": "77", "name": "Spring"},
    epic={"name": "Looks"},
    initiative={"name": "Delight"},
    workflow_kind={"name": "New"},
    workflow_status={"name": "In development", "complete": False},
    assigned_to_user={"name": "Omar Diaz"},
    created_by_user={"name": "Ines Roy"},
    status_changed_on="2026-03-01",
    start_date="2026-03-02",
    due_date=in_days(-3),
    score=24,
    progress=12.5,
    requirements=[{"id": "1"}, {"id": "2", "name": "x, y"}],
    comments_count=2,
    tags=["import", "très, urgent"],
)
BARE = feature(2)
DONE = feature(3, workflow_status={"name": "Shipped", "complete": True}, due_date=in_days(-9), requirements=[], tags=[])
DUE = feature(4, workflow_status={"name": "Ready", "complete": False}, due_date=in_days(5))


def test_features_have_one_row_each_with_nested_records_made_flat(landing: Landing) -> None:
    older = {**FULL, "name": "An older version", "updated_at": "2026-02-27T11:00:00.000Z"}
    inputs = landing.inputs(aha.features_asset, features=[older, FULL, BARE, DONE, DUE])
    ids = [record["id"] for record in (DUE, DONE, BARE, FULL)]
    assert_frame_equal(
        aha.features(**inputs),
        expected(
            aha.FEATURES,
            id=ids,
            reference_num=[None, None, None, "APP-1"],
            name=[None, None, None, "Dark “mode” 🌒"],
            product=[None, None, None, "Mobile app"],
            release=[None, None, None, "Spring"],
            release_id=[None, None, None, "77"],
            epic=[None, None, None, "Looks"],
            initiative=[None, None, None, "Delight"],
            kind=[None, None, None, "New"],
            status=["Ready", "Shipped", None, "In development"],
            is_complete=[False, True, False, False],
            assignee=[None, None, None, "Omar Diaz"],
            created_by=[None, None, None, "Ines Roy"],
            created_at=[f"2026-03-0{number}T10:00:00Z" for number in (4, 3, 2, 1)],
            updated_at=[f"2026-03-0{number}T11:00:00Z" for number in (4, 3, 2, 1)],
            status_changed_on=[None, None, None, "2026-03-01"],
            start_date=[None, None, None, "2026-03-02"],
            due_date=[in_days(5), in_days(-9), None, in_days(-3)],
            days_to_due=[5, None, None, -3],
            is_overdue=[False, False, False, True],
            score=[None, None, None, 24],
            progress_percent=[None, None, None, 12.5],
            requirements=[None, 0, None, 2],
            comments=[None, None, None, 2],
            tags=[None, None, None, "import, très, urgent"],
            tags_count=[None, 0, None, 2],
        ),
    )


def test_features_take_any_zone_for_the_instant_it_names() -> None:
    names = input_columns(aha.features_asset, "features")
    given = pd.DataFrame({name: pd.Series([None], dtype=object) for name in names}).assign(
        id="1",
        created_at=pd.Series([pd.Timestamp("2026-03-01 00:30", tz="Europe/Paris")]),
        loaded_at=pd.Series([pd.Timestamp("2026-03-10 23:30", tz="America/New_York")]),
        due_date=pd.Series([pd.Timestamp("2026-03-12")]),
    )
    frame = aha.features(given)
    assert frame["created_at"].tolist() == [pd.Timestamp("2026-02-28 23:30", tz="UTC")]
    assert frame["days_to_due"].tolist() == [1], "in UTC it was loaded on the 11th"


def vote(number: str, idea_id: str, *, given: str, changed: str) -> dict[str, Any]:
    hour = "T10:00:00.000Z"
    return {"id": number, "idea_id": idea_id, "created_at": given + hour, "updated_at": changed + hour}


def test_ideas_have_the_votes_that_were_landed_for_them(landing: Landing) -> None:
    times = {"created_at": "2026-03-01T10:00:00.000Z", "updated_at": "2026-03-01T10:00:00.000Z"}
    full = {
        "id": "8",
        **times,
        "reference_num": "APP-I-8",
        "name": "Dark theme",
        "product": {"name": "Mobile app"},
        "workflow_status": {"name": "Planned", "complete": False},
        "status_changed_at": "2026-03-05T01:02:03.004Z",
        "votes": 5,
        "categories": [{"id": "1", "name": "Looks"}, {"id": "2", "name": "Nuits"}],
        "tags": ["ui"],
        "created_by_portal_user": {"name": "Lea Blum", "email": "lea@Example.ORG"},
        "created_by_idea_user": {"name": "Lea B.", "email": "lea@elsewhere.example"},
        "assigned_to_user": {"name": "Omar Diaz"},
        "feature": {"reference_num": "APP-12"},
        "duplicate_of": {"reference_num": "APP-I-2"},
        "score": 3,
        "comments_count": 0,
    }
    bare = {"id": "9", **times}
    by_user = {"id": "7", **times, "created_by_user": {"name": "Ines Roy", "email": "no address"}}
    votes = [
        vote("1", "8", given="2026-03-02", changed="2026-03-02"),
        vote("1", "8", given="2026-03-02", changed="2026-03-04"),
        vote("2", "8", given="2026-03-03", changed="2026-03-03"),
        vote("3", "404", given="2026-03-09", changed="2026-03-09"),
    ]
    inputs = landing.inputs(aha.ideas_asset, ideas=[full, bare, by_user], endorsements=votes)
    assert_frame_equal(
        aha.ideas(**inputs),
        expected(
            aha.IDEAS,
            id=["9", "8", "7"],
            reference_num=[None, "APP-I-8", None],
            name=[None, "Dark theme", None],
            product=[None, "Mobile app", None],
            status=[None, "Planned", None],
            is_complete=[False, False, False],
            created_at=["2026-03-01T10:00:00Z"] * 3,
            updated_at=["2026-03-01T10:00:00Z"] * 3,
            status_changed_at=[None, "2026-03-05T01:02:03.004Z", None],
            votes=[None, 5, None],
            endorsements=[0, 2, 0],
            last_vote_at=[None, "2026-03-03T10:00:00Z", None],
            categories=[None, "Looks, Nuits", None],
            tags=[None, "ui", None],
            creator=[None, "Lea Blum", "Ines Roy"],
            creator_domain=[None, "example.org", None],
            assignee=[None, "Omar Diaz", None],
            feature_reference_num=[None, "APP-12", None],
            is_promoted=[False, True, False],
            merged_into=[None, "APP-I-2", None],
            score=[None, 3, None],
            comments=[None, 0, None],
        ),
    )


def test_a_release_is_late_by_its_delivery_and_before_that_by_today(landing: Landing) -> None:
    def release(number: int, **fields: Any) -> dict[str, Any]:
        return {"id": str(number), "updated_at": "2026-03-01T10:00:00.000Z", **fields}

    releases = [
        release(
            1,
            reference_num="APP-R-1",
            name="Spring",
            project={"name": "Mobile app"},
            owner={"name": "Ines Roy"},
            workflow_status={"name": "Shipped", "complete": True},
            released=True,
            parking_lot=False,
            start_date="2026-01-01",
            release_date="2026-02-10",
            released_on="2026-02-08",
            progress=100,
        ),
        release(2, released=False, release_date=in_days(-4)),
        release(3, released=False, release_date=in_days(30)),
        release(4, parking_lot=True, release_date=in_days(-100)),
        release(5, released=True, release_date="2026-01-01"),
        release(6),
    ]
    planned = [
        feature(1, release={"id": "1"}, workflow_status={"complete": True}),
        feature(2, release={"id": "2"}, workflow_status={"complete": True}),
        feature(3, release={"id": "2"}, workflow_status={"complete": False}),
        feature(4, release={"id": "2"}),
        feature(5),
    ]
    inputs = landing.inputs(aha.release_progress_asset, releases=releases, features=planned)
    first = [in_days(30), in_days(-4), in_days(-100)]
    assert_frame_equal(
        aha.release_progress(**inputs).sort_values("id", ignore_index=True),
        expected(
            aha.RELEASE_PROGRESS,
            id=list("123456"),
            reference_num=["APP-R-1", *[None] * 5],
            name=["Spring", *[None] * 5],
            product=["Mobile app", *[None] * 5],
            owner=["Ines Roy", *[None] * 5],
            status=["Shipped", *[None] * 5],
            is_shipped=[True, False, False, False, True, False],
            is_parking_lot=[False, False, False, True, False, False],
            start_date=["2026-01-01", *[None] * 5],
            release_date=["2026-02-10", first[1], first[0], first[2], "2026-01-01", None],
            released_on=["2026-02-08", *[None] * 5],
            days_late=[-2, 4, -30, None, None, None],
            is_late=[False, True, False, False, False, False],
            features=[1, 3, 0, 0, 0, 0],
            done_features=[1, 1, 0, 0, 0, 0],
            done_share=[1.0, 1 / 3, None, None, None, None],
            progress_percent=[100.0, *[None] * 5],
        ),
    )


def audit(number: int, record_id: str, created_at: str, *fields: str, **others: Any) -> dict[str, Any]:
    return {
        "id": str(number),
        "audit_action": "update",
        "created_at": created_at,
        "auditable_type": "Feature",
        "auditable_id": int(record_id),
        "changes": [{"field_name": name, "value": "<ins>x</ins>"} for name in fields],
        **others,
    }


def test_cycle_time_runs_from_the_making_of_a_feature_to_its_last_change_of_status(landing: Landing) -> None:
    done = {**DONE, "status_changed_on": "2026-03-20"}
    working = {**DUE, "status_changed_on": in_days(-7)}
    by_audit = {**feature(5), "workflow_status": {"name": "Doing", "complete": False}}
    older = feature(1, status_changed_on=in_days(0))
    audits = [
        audit(1, done["id"], "2026-03-02T00:00:00.000Z", "name"),
        audit(2, done["id"], "2026-03-05T10:00:00.000Z", "workflow_status", "name"),
        audit(3, done["id"], "2026-03-20T12:00:00.000Z", "Workflow status"),
        audit(4, by_audit["id"], "2026-03-05T10:00:30.000Z", "Status"),
        audit(5, older["id"], "2026-03-06T10:00:00.000Z", "workflow_status"),
        audit(6, BARE["id"], "2026-03-06T10:00:00.000Z", "workflow_status", audit_action="create"),
        audit(7, BARE["id"], "2026-03-06T10:00:00.000Z", "workflow_status", auditable_type="Epic"),
        audit(8, BARE["id"], "2026-03-06T10:00:00.000Z", changes=None),
    ]
    inputs = landing.inputs(
        aha.feature_cycle_time_asset, features=[done, working, by_audit, older, BARE], audits=audits
    )
    day_of_audit = (TODAY - datetime.fromisoformat("2026-03-05")).days
    assert_frame_equal(
        aha.feature_cycle_time(**inputs),
        expected(
            aha.FEATURE_CYCLE_TIME,
            id=[record["id"] for record in (by_audit, working, done, older)],
            reference_num=[None] * 4,
            name=[None] * 4,
            product=[None] * 4,
            release=[None] * 4,
            assignee=[None] * 4,
            status=["Doing", "Ready", "Shipped", None],
            is_done=[False, False, True, False],
            created_at=[f"2026-03-0{number}T10:00:00Z" for number in (5, 4, 3, 1)],
            first_status_change_at=["2026-03-05T10:00:30Z", None, "2026-03-05T10:00:00Z", "2026-03-06T10:00:00Z"],
            last_status_change_at=["2026-03-05T10:00:30Z", None, "2026-03-20T12:00:00Z", "2026-03-06T10:00:00Z"],
            last_status_change_on=["2026-03-05", in_days(-7), "2026-03-20", in_days(0)],
            status_changes=[1, 0, 2, 1],
            wait_seconds=[30.0, None, 2 * 86400.0, None],
            lead_days=[None, None, 17, None],
            days_in_status=[day_of_audit, 7, None, 0],
        ),
    )


@pytest.mark.parametrize("name", ["features", "ideas", "release_progress", "feature_cycle_time"])
def test_frames_of_nothing_have_their_columns(landing: Landing, name: str) -> None:
    asset, columns = getattr(aha, f"{name}_asset"), getattr(aha, name.upper())
    inputs = landing.inputs_of_nothing(asset)
    assert_frame_equal(getattr(aha, name)(**inputs), expected(columns, **{column: [] for column in columns.by_name}))
