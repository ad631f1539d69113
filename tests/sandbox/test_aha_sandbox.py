"""The Aha! sandbox keeps the vendor's rules: shapes, defaults, limits, oddities and refusals."""

import gc
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from connector_resources.sandbox.aha import (
    DETAILS,
    HISTORICAL_SEARCH_COST,
    LISTINGS,
    MEMBER_KEY,
    SPECIALS,
    Listing,
    Rules,
)
from connector_resources.sandbox.aha_data import HOST, REPORTS, Account
from connector_resources.sandbox.aha_tables import Table, ident, investment_ident
from connector_resources.sandbox.data import COMPANIES
from connector_resources.sources.aha import Aha as AhaSource
from tests.sandbox.conftest import KEY, TODAY, AhaClient

NOW = datetime(TODAY.year, TODAY.month, TODAY.day, tzinfo=UTC)
START = NOW - timedelta(days=90)
ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def example(client: AhaClient, path: str) -> str:
    """Return a path of the reference with its braces filled in."""
    account = client.aha.account
    texts = {"id": REPORTS[0], "key": "incidents", "name": "key", "value": "MOB-2"}
    special = {
        "/capacity_investments/{id}": f"/capacity_investments/{investment_ident('features', 0)}",
        "/workflows/{id}": "/workflows/8001",
        "/capacity_scenarios/{id}": "/capacity_scenarios/7701",
    }
    for pattern, value in special.items():
        path = path.replace(pattern, value)
    if path == "/ideas/{ideas}/endorsements/{idea_endorsements}":
        vote = account.tables["idea_endorsements"].order[0]
        return f"/ideas/{ident('ideas', account.vote_idea[vote])}/endorsements/{ident('idea_endorsements', vote)}"

    def filled(match: re.Match[str]) -> str:
        kind = match[1]
        if kind == "products":
            return "APP"
        return ident(kind, account.tables[kind].order[0]) if kind in account.tables else texts[kind]

    return re.sub(r"\{(\w+)\}", filled, path)


# 1. Authentication


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        pytest.param(f"Bearer {KEY}", 200, id="the key"),
        pytest.param(f"bearer {KEY}", 200, id="the scheme in small letters"),
        pytest.param(None, 401, id="none"),
        pytest.param("", 401, id="empty"),
        pytest.param(f"Bearer {KEY[:-1]}0", 401, id="another key"),
        pytest.param(f"Basic {KEY}", 401, id="another scheme"),
        pytest.param(KEY, 401, id="no scheme"),
    ],
)
def test_only_a_bearer_key_opens_and_a_refusal_is_a_web_page(
    aha: AhaClient, authorization: str | None, status: int
) -> None:
    response = aha.session.get("http://aha/api/v1/me", headers={"Authorization": authorization})
    assert response.status_code == status
    assert response.headers["Content-Type"].startswith("application/json" if status == 200 else "text/html")


def test_me_is_the_user_of_the_key(aha: AhaClient) -> None:
    user = aha.json("/me")["user"]
    assert user["administrator"] is True
    assert AhaClient(key=MEMBER_KEY, scale=0.01).json("/me")["user"]["administrator"] is False


@pytest.mark.parametrize("accept", ["application/json", "*/*", "text/html, application/json;q=0.9"])
def test_json_is_served_to_whoever_takes_it(aha: AhaClient, accept: str) -> None:
    response = aha.session.get("http://aha/api/v1/me", headers={"Accept": accept})
    assert response.headers["Content-Type"] == "application/json; charset=utf-8"


def test_a_type_that_is_not_json_is_406(aha: AhaClient) -> None:
    assert aha.session.get("http://aha/api/v1/me", headers={"Accept": "text/csv"}).status_code == 406


# 2, 3. Pages


@pytest.mark.parametrize(
    ("query", "size"),
    [({}, 30), ({"per_page": 7}, 7), ({"per_page": 200}, 200), ({"per_page": 500}, 200)],
)
def test_a_page_has_thirty_records_or_what_is_asked_up_to_two_hundred(
    aha: AhaClient, query: dict[str, int], size: int
) -> None:
    body = aha.json("/features", **query)
    assert len(body["features"]) == size
    assert body["pagination"] == {"total_records": 600, "total_pages": -(-600 // size), "current_page": 1}


@pytest.mark.parametrize("query", [{"page": 0}, {"page": "one"}, {"per_page": 0}, {"per_page": -1}])
def test_a_page_that_makes_no_sense_is_422(aha: AhaClient, query: dict[str, Any]) -> None:
    response = aha.get("/features", **query)
    (name,) = query
    assert response.status_code == 422
    assert response.json() == {"errors": {"message": f"{name} must be a whole number of at least 1."}}


def test_an_empty_list_has_no_pages(aha: AhaClient) -> None:
    body = aha.json("/features", q="nothing is called so")
    assert body == {"features": [], "pagination": {"total_records": 0, "total_pages": 0, "current_page": 1}}


def test_a_page_after_the_last_one_is_empty(aha: AhaClient) -> None:
    body = aha.json("/features", per_page=200, page=9)
    assert body == {"features": [], "pagination": {"total_records": 600, "total_pages": 3, "current_page": 9}}


def test_pages_neither_overlap_nor_leave_gaps(aha: AhaClient) -> None:
    ids = [row["id"] for page in range(1, 10) for row in aha.json("/features", per_page=67, page=page)["features"]]
    assert len(ids) == len(set(ids)) == 600


# 4. Short lists, and `fields`

LINKS = {"url", "resource"}
SHORT = {
    "/features": {"id", "reference_num", "name", "created_at", "product_id", *LINKS},
    "/epics": {"id", "reference_num", "name", "created_at", *LINKS},
    "/products/APP/releases": {
        "id", "reference_num", "name", "start_date", "release_date", "parking_lot", "created_at", "product_id",
        "integration_fields", "owner", "project", "parent", *LINKS,
    },
    "/products": {"id", "reference_prefix", "name", "product_line", "created_at", "workspace_type", "url"},
    "/tasks": {"id", "name", "due_date", "status", "created_at"},
    "/ideas": {
        "id", "reference_num", "name", "created_at", "updated_at", "workflow_status", "description", *LINKS,
    },
    "/idea_organizations": {"id", "name", "created_at", "revenue", *LINKS},
    "/products/APP/personas": {"id", "name", "created_at"},
    "/products/APP/competitors": {"id", "name", "created_at"},
    "/products/CAM/creative_briefs": {"id", "name", "created_at"},
}  # fmt: skip


@pytest.mark.parametrize("path", SHORT)
def test_some_lists_are_short(aha: AhaClient, path: str) -> None:
    fields = {name for record in aha.all(path) for name in record}
    assert fields == SHORT[path]


@pytest.mark.parametrize("path", [path for path in SHORT if "products/" not in path])
def test_all_fields_are_those_of_the_detail(aha: AhaClient, path: str) -> None:
    record = aha.all(path, fields="*")[3]
    (detail,) = aha.json(f"{path}/{record['id']}").values()
    assert record == detail
    assert set(record) > SHORT[path]


@pytest.mark.parametrize(
    ("path", "fields", "kept"),
    [
        ("/features", "score", {"id", "reference_num", "score"}),
        ("/epics", "name,score", {"id", "reference_num", "name", "score"}),
        ("/ideas", "votes", {"id", "product_id", "votes"}),
        ("/tasks", "updated_at", {"id", "updated_at"}),
        ("/audits", "audit_action,user", {"id", "audit_action", "user"}),
    ],
)
def test_named_fields_come_with_what_identifies_the_record(
    aha: AhaClient, path: str, fields: str, kept: set[str]
) -> None:
    assert all(set(record) == kept for record in aha.all(path, fields=fields))


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        (
            "release",
            {
                "id", "reference_num", "name", "start_date", "release_date", "parking_lot", "product_id",
                "integration_fields",
            },
        ),
        ("created_by_user", {"id", "name", "email"}),
        ("created_by_user,created_at,updated_at", {"id", "name", "email", "created_at", "updated_at"}),
        ("description", {"id", "body", "editor_version", "notable_id", "notable_type"}),
        ("description,attachments", {"id", "body", "editor_version", "notable_id", "notable_type", "attachments"}),
    ],
)  # fmt: skip
def test_named_objects_are_trimmed_unless_their_fields_are_named_too(
    aha: AhaClient, fields: str, kept: set[str]
) -> None:
    name = fields.partition(",")[0]
    records = [record[name] for record in aha.all("/features", fields=fields) if record.get(name)]
    assert {field for record in records for field in record} == kept


def test_some_fields_come_only_when_they_are_named(aha: AhaClient) -> None:
    (plain,) = aha.json("/ideas", fields="*", per_page=1)["ideas"]
    (named,) = aha.json("/ideas", fields="*,workflow_status_times", per_page=1)["ideas"]
    assert "workflow_status_times" not in plain
    assert named["workflow_status_times"] == aha.all(f"/ideas/{plain['id']}/workflow_status_times")
    votes = aha.all("/ideas/endorsements", fields="*")
    assert not any("associated_idea_organizations" in vote for vote in votes)
    votes = aha.all("/ideas/endorsements", fields="*,associated_idea_organizations")
    assert all("associated_idea_organizations" in vote for vote in votes)


def test_a_plain_text_is_made_of_the_rich_one_when_it_is_named(aha: AhaClient) -> None:
    ideas = aha.all("/ideas", fields="description,plain_text_body")
    notes = [idea["description"] for idea in ideas if idea["description"] is not None]
    assert all(note["plain_text_body"] == re.sub("<[^>]*>", "", note["body"]) for note in notes)


def test_where_fields_is_not_documented_it_can_be_ignored() -> None:
    client = AhaClient(Rules(fields_everywhere=False), scale=0.05)
    assert "updated_at" not in client.all("/products/APP/releases", fields="*")[0]
    assert "updated_at" in client.all("/features", fields="*")[0]


# 5. Ids, times and empty values


def test_ids_are_strings_of_nineteen_digits_and_nested_ones_integers(aha: AhaClient) -> None:
    for path in ("/features", "/ideas", "/users", "/audits", "/tasks"):
        assert all(re.fullmatch("[0-9]{19}", record["id"]) for record in aha.all(path))
    phase = aha.all("/release_phases")[0]
    assert isinstance(phase["release_id"], int)
    assert aha.json(f"/releases/{phase['release_id']}")["release"]["id"] == str(phase["release_id"])
    audit = aha.all("/audits")[0]
    assert (type(audit["auditable_id"]), type(audit["associated_id"])) == (int, int)


def test_ids_grow_with_the_time_of_creation(aha: AhaClient) -> None:
    by_id = sorted(aha.all("/audits"), key=lambda record: int(record["id"]))
    assert [record["created_at"] for record in by_id] == sorted(record["created_at"] for record in by_id)


def test_every_timestamp_is_utc_with_milliseconds(aha: AhaClient) -> None:
    seen: Counter[str] = Counter()

    def walk(value: object) -> Iterator[tuple[str, object]]:
        if isinstance(value, dict):
            for name, inner in value.items():
                yield name, inner
                yield from walk(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from walk(inner)

    for name, value in walk([aha.all("/features", fields="*"), aha.all("/ideas", fields="*"), aha.all("/goals")]):
        if name.endswith(("_at", "updatedAt")) and value is not None:
            assert ISO.fullmatch(str(value)), f"{name}: {value}"
            seen[name] += 1
    assert {"created_at", "updated_at", "updatedAt", "status_changed_at"} == set(seen)


@pytest.mark.parametrize("name", ["assigned_to_user", "epic", "initiative", "created_by_user"])
def test_what_is_unset_is_null_here_and_absent_there(aha: AhaClient, name: str) -> None:
    features = aha.all("/features", fields="*")
    assert any(feature.get(name) for feature in features)
    assert any(name in feature and feature[name] is None for feature in features)
    assert any(name not in feature for feature in features)


def test_an_unset_description_is_null_or_has_an_empty_body(aha: AhaClient) -> None:
    notes = [feature["description"] for feature in aha.all("/features", fields="*")]
    assert None in notes
    assert any(note["body"] == "" for note in notes if note is not None)


def test_texts_are_of_the_world(aha: AhaClient) -> None:
    text = json.dumps(aha.all("/features", fields="*"), ensure_ascii=False)
    for piece in ("東京", "👩‍👩‍👧", "<h2>", "&amp;", "العربية", "naïve"):
        assert piece in text
    assert max(len(f["description"]["body"]) for f in aha.all("/features", fields="*") if f["description"]) > 5_000


# 6. Filters by time, and all the others


@pytest.mark.parametrize(
    ("includes", "path", "name", "column", "keeps"),
    [
        (True, "/features", "updated_since", "updated_at", lambda value, bound: value >= bound),
        (False, "/features", "updated_since", "updated_at", lambda value, bound: value > bound),
        (True, "/ideas/endorsements", "created_since", "created_at", lambda value, bound: value >= bound),
        (False, "/ideas/endorsements", "created_since", "created_at", lambda value, bound: value > bound),
        (True, "/audits", "created_before", "created_at", lambda value, bound: value <= bound),
        (False, "/audits", "created_before", "created_at", lambda value, bound: value < bound),
        (True, "/products/APP/releases", "updated_since", "updated_at", lambda value, bound: value >= bound),
        (True, "/tasks", "updated_since", "updated_at", lambda value, bound: value >= bound),
    ],
)
def test_a_bound_is_included_or_not(
    includes: bool, path: str, name: str, column: str, keeps: Callable[[str, str], bool]
) -> None:
    client = AhaClient(Rules(includes_bounds=includes), scale=0.1)
    records = client.all(path, fields="*")
    bound = sorted(record[column] for record in records)[len(records) // 2]
    kept = client.all(path, fields="*", **{name: bound})
    assert kept == [record for record in records if keeps(record[column], bound)]
    assert 0 < len(kept) < len(records)


@pytest.mark.parametrize("text", ["yesterday", "2026-03-01T00:00:00+02:00", "1772323200", "2026-03-01T00:00:00 00:00"])
def test_a_bound_that_is_no_utc_instant_is_422(aha: AhaClient, text: str) -> None:
    assert aha.get("/features", updated_since=text).status_code == 422


Test = Callable[[dict[str, Any]], bool]
FILTERED: list[tuple[str, dict[str, str], Test]] = [
    ("/features", {"q": "IMPORT"}, lambda r: "import" in r["name"].lower()),
    ("/features", {"tag": "café"}, lambda r: "café" in r["tags"]),
    ("/features", {"workflow_status": "Shipped"}, lambda r: r["workflow_status"]["name"] == "Shipped"),
    ("/features", {"custom_fields": "ticket"}, lambda r: any(f["key"] == "ticket" for f in r["custom_fields"])),
    (
        "/features",
        {"assigned_to_user": "user3@headrace.example"},
        lambda r: (r.get("assigned_to_user") or {}).get("email") == "user3@headrace.example",
    ),
    ("/initiatives", {"only_active": "true"}, lambda r: not r["workflow_status"]["complete"]),
    ("/products/APP/releases", {"parking_lot": "true"}, lambda r: r["parking_lot"]),
    ("/products/APP/releases", {"parking_lot": "false"}, lambda r: not r["parking_lot"]),
    ("/products/WEB/releases", {"exclude_shipped": "true"}, lambda r: not r["released"]),
    ("/release_phases", {"type": "milestone"}, lambda r: r["type"] == "milestone"),
    ("/ideas/endorsements", {"proxy": "true"}, lambda r: r.get("idea_organization") is not None),
    ("/ideas/endorsements", {"proxy": "false"}, lambda r: r.get("idea_organization") is None),
    ("/idea_organizations", {"email_domain": COMPANIES[3][1]}, lambda r: COMPANIES[3][1] in r["email_domains"]),
    ("/idea_users", {"email": "PERSON5@" + COMPANIES[4][1]}, lambda r: r["email"] == "person5@" + COMPANIES[4][1]),
    ("/users", {"email": "user2@headrace.example"}, lambda r: r["email"] == "user2@headrace.example"),
    ("/audits", {"audit_action": "destroy"}, lambda r: r["audit_action"] == "destroy"),
    ("/audits", {"auditable_type": "Note"}, lambda r: r["auditable_type"] == "Note"),
    ("/audits", {"associated_type": "Epic"}, lambda r: r["associated_type"] == "Epic"),
    ("/audits", {"user_id": ident("users", 4)}, lambda r: r["user"]["id"] == ident("users", 4)),
    (
        f"/idea_portals/{ident('idea_portals', 0)}/portal_users",
        {"idea_user_id": ident("idea_users", 2)},
        lambda r: r["idea_user_id"] == ident("idea_users", 2),
    ),
]


@pytest.mark.parametrize(("path", "query", "keeps"), FILTERED, ids=[f"{path} {query}" for path, query, _ in FILTERED])
def test_a_filter_keeps_what_it_says(aha: AhaClient, path: str, query: dict[str, str], keeps: Test) -> None:
    records = aha.all(path, fields="*")
    kept = aha.all(path, fields="*", **query)
    assert kept == [record for record in records if keeps(record)]
    assert 0 < len(kept) < len(records)


@pytest.mark.parametrize(("name", "field"), [("user_id", "created_by_user"), ("idea_user_id", "created_by_idea_user")])
def test_ideas_are_found_by_their_author(aha: AhaClient, name: str, field: str) -> None:
    ideas = aha.all("/ideas", fields="*")
    author = next(idea[field]["id"] for idea in ideas if field in idea)
    assert aha.all("/ideas", fields="*", **{name: author}) == [
        idea for idea in ideas if idea.get(field, {}).get("id") == author
    ]


def test_tasks_are_to_dos_or_approvals(aha: AhaClient) -> None:
    both = [aha.all("/tasks", type=name) for name in ("Task", "Approval")]
    assert sum(map(len, both)) == len(aha.all("/tasks"))
    assert min(map(len, both)) > 0


def test_spam_is_in_no_list_unless_it_is_asked_for(aha: AhaClient) -> None:
    usual, spam = aha.all("/ideas"), aha.all("/ideas", spam="true")
    assert (len(usual), len(spam)) == (48, 2)
    assert not {idea["id"] for idea in usual} & {idea["id"] for idea in spam}
    assert aha.all("/ideas", spam="false") == usual


def test_subscribers_can_be_told_from_the_others(aha: AhaClient) -> None:
    path = f"/idea_portals/{ident('idea_portals', 0)}/portal_users"
    ids = [{row["id"] for row in aha.all(path, has_portal_user_subscriptions=flag)} for flag in ("true", "false")]
    assert ids[0]
    assert not ids[0] & ids[1]
    assert ids[0] | ids[1] == {row["id"] for row in aha.all(path)}


def test_people_and_members_can_be_narrowed_to_a_portal_and_a_workspace(aha: AhaClient) -> None:
    portal = ident("idea_portals", 1)
    people = {row["idea_user_id"] for row in aha.all(f"/idea_portals/{portal}/portal_users")}
    assert {row["id"] for row in aha.all("/idea_users", idea_portal_id=portal)} == people
    (team,) = aha.all("/products/APP/teams")
    assert {row["id"] for row in aha.all("/team_members", product_id="APP")} == {
        member["id"] for member in team["team_members"]
    }


@pytest.mark.parametrize(
    ("query", "key"),
    [({"sort": "recent"}, "created_at"), ({"sort": "popular"}, "votes"), ({"sort": "trending"}, "votes")],
)
def test_ideas_can_be_sorted(aha: AhaClient, query: dict[str, str], key: str) -> None:
    values = [idea[key] for idea in aha.all("/ideas", fields="*", **query)]
    assert values == sorted(values, reverse=True)


@pytest.mark.parametrize(
    "query", [{"sort": "name"}, {"spam": "yes"}, {"workflow": "1"}, {"updated_from": "2026-01-01T00:00:00Z"}]
)
def test_a_parameter_that_makes_no_sense_is_422(aha: AhaClient, query: dict[str, str]) -> None:
    assert aha.get("/ideas", **query).status_code == 422


ENDPOINTS = [*LISTINGS, *DETAILS, *(special for special in SPECIALS if special.method == "GET")]


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.path)
def test_every_endpoint_answers_and_refuses_what_it_does_not_know(aha: AhaClient, endpoint: Listing) -> None:
    path = example(aha, endpoint.path)
    query = {}
    if path == "/historical_audits":
        query = {"created_since": "2020-01-01T00:00:00Z", "created_before": "2026-01-01T00:00:00Z"}
    elif path.startswith("/historical_audits/"):
        path = f"/historical_audits/{aha.post('/historical_audits', {'search': search()}).json()['search_id']}"
    response = aha.get(path, **query)
    assert response.status_code == 200, f"{path}: {response.text[:200]}"
    assert isinstance(response.json(), dict)
    refused = aha.get(path, **query, udpated_since="2026-01-01T00:00:00Z")
    assert refused.status_code == 422
    assert refused.json() == {"errors": {"message": "Unknown parameter: udpated_since"}}


# 8. Lists without pages


@pytest.mark.parametrize("listing", [each for each in LISTINGS if not each.pages], ids=lambda each: each.path)
def test_some_lists_come_whole(aha: AhaClient, listing: Listing) -> None:
    path = example(aha, listing.path)
    body = aha.json(path)
    assert set(body) == {listing.key or listing.kind}
    assert aha.get(path, page=1).status_code == 422


def test_screens_have_pages_and_do_not_say_so(aha: AhaClient) -> None:
    whole = aha.json("/screen_definitions")
    assert set(whole) == {"screen_definitions"}
    assert aha.json("/screen_definitions", per_page=3, page=2)["screen_definitions"] == whole["screen_definitions"][3:]
    assert aha.json("/screen_definitions", page=2) == {"screen_definitions": []}


# 9. Names that are not what they seem


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("/products/APP/users", "project_users"),
        ("/products/APP/custom_objects/incidents/records", "custom_object_records"),
        (f"/strategy_positions/{ident('strategy_positions', 0)}", "strategy_positioning"),
        ("/master_features", "epics"),
        (f"/custom_field_definitions/{ident('custom_field_definitions', 3)}/options", "options"),
        (
            f"/custom_field_definitions/{ident('custom_field_definitions', 3)}/custom_field_options",
            "custom_field_options",
        ),
        ("/ideas/endorsements", "idea_endorsements"),
        (f"/ideas/{ident('ideas', 0)}/subscriptions", "idea_subscriptions"),
    ],
)  # fmt: skip
def test_some_keys_are_not_the_last_word_of_the_path(aha: AhaClient, path: str, key: str) -> None:
    assert next(iter(aha.json(path))) == key


def test_epics_of_an_initiative_are_under_the_singular_and_under_their_old_name(aha: AhaClient) -> None:
    initiatives = aha.all("/initiatives")
    assert all(isinstance(initiative["epic"], list) for initiative in initiatives)
    assert all(initiative["epic"] == initiative["master_features"] for initiative in initiatives)
    assert any(initiative["epic"] for initiative in initiatives)
    assert "epics" not in initiatives[0]


def test_a_goal_has_its_status_in_its_metric_and_its_resource_on_the_web(aha: AhaClient) -> None:
    goal = aha.all("/goals")[0]
    assert "workflow_status" not in goal
    assert goal["success_metric"]["workflow_status"]["name"]
    assert goal["resource"] == goal["url"] == f"{HOST}/strategic_imperatives/{goal['reference_num']}"


def test_the_two_forms_of_options_say_the_same(aha: AhaClient) -> None:
    path = f"/custom_field_definitions/{ident('custom_field_definitions', 4)}"
    whole, terse = aha.json(f"{path}/custom_field_options"), aha.json(f"{path}/options")
    assert [(option["value"], option["color"]) for option in whole["custom_field_options"]] == [
        (option["text"], option["meta"]["color"]) for option in terse["options"]
    ]


def test_an_idea_has_one_form_of_author(aha: AhaClient) -> None:
    forms = Counter(
        tuple(sorted(name for name in idea if name.startswith("created_by"))) for idea in aha.all("/ideas", fields="*")
    )
    assert set(forms) == {("created_by_user",), ("created_by_idea_user", "created_by_portal_user")}


def test_a_report_is_a_table_with_its_pagination_in_a_list(aha: AhaClient) -> None:
    body = aha.json(f"/bookmarks/custom_pivots/{REPORTS[0]}", view="list", per_page=200, page=3)
    assert len(body["rows"]) == 200
    assert {len(row) for row in body["rows"]} == {len(body["columns"])}
    assert body["pagination"] == [{"total_records": 600, "total_pages": 3, "current_page": 3}]
    assert aha.json(f"/bookmarks/custom_pivots/{REPORTS[1]}")["rows"] == []
    pivot = aha.json(f"/bookmarks/custom_pivots/{REPORTS[0]}", view="pivot")
    assert sum(int(cell["plain_value"]) for row in pivot["rows"] for cell in row[1:]) == 600
    assert aha.get("/bookmarks/custom_pivots/1").status_code == 404


# 10, 14. What is not there


@pytest.mark.parametrize(
    "path",
    [
        "/features/7012345678901234501",
        "/features/APP-99999",
        "/features/nonsense",
        f"/features/{ident('ideas', 0)}",
        "/products/NOPE/features",
        "/ideas/7/idea_comments",
        "/products/WEB/custom_objects/incidents/records",
        "/products/APP/custom_objects/nothing/records",
        "/workflows/1",
        "/capacity_investments/1/estimate_values",
        f"/ideas/{ident('ideas', 7)}/endorsements/{ident('idea_endorsements', 0)}",
    ],
)
def test_a_record_that_is_missing_is_404_in_json(aha: AhaClient, path: str) -> None:
    response = aha.get(path)
    assert (response.status_code, response.json()) == (404, {"error": "Record not found."})


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/nothing"),
        ("GET", "/api/v1/features/1/2/3/4"),
        ("GET", "/api/v1/time_tracking_events"),
        ("GET", "/api/v1/time_tracking_events/1"),
        ("POST", "/api/v1/features"),
        ("GET", "/api/v2/graphql"),
        ("GET", "/"),
    ],
)
def test_a_route_that_is_missing_is_404_in_html(aha: AhaClient, method: str, path: str) -> None:
    response = aha.session.request(method, f"http://aha{path}")
    assert response.status_code == 404
    assert response.headers["Content-Type"].startswith("text/html")


@pytest.mark.parametrize(
    "path", ["/users", "/screen_definitions", "/identity_providers", "/paid_seat_groups", "/account_backups"]
)
def test_what_needs_a_role_is_403_without_it(aha: AhaClient, path: str) -> None:
    response = aha.session.get(f"http://aha/api/v1{path}", headers={"Authorization": f"Bearer {MEMBER_KEY}"})
    assert (response.status_code, response.json()) == (403, {"error": "You do not have permission to see this."})
    assert aha.get(path).status_code == 200


def test_what_the_plan_is_without_is_403() -> None:
    client = AhaClient(Rules(refused=frozenset({"idea_organizations"})), scale=0.01)
    assert client.get("/idea_organizations").status_code == 403
    assert client.get("/ideas").status_code == 200


# 11, 12. Order and drift


@pytest.mark.parametrize("path", ["/features", "/ideas", "/ideas/endorsements", "/audits", "/tasks", "/epics"])
def test_a_list_is_in_no_order_of_time(aha: AhaClient, path: str) -> None:
    records = aha.all(path, fields="*")
    for name in ("updated_at", "created_at", "id"):
        values = [record[name] for record in records if name in record]
        assert values not in ([], sorted(values), sorted(values, reverse=True)) or name not in records[0]


@pytest.mark.parametrize(("order", "is_reversed"), [("oldest", False), ("newest", True)])
def test_an_order_of_time_can_be_had(order: Any, is_reversed: bool) -> None:
    values = [record["updated_at"] for record in AhaClient(Rules(order=order), scale=0.1).all("/features", fields="*")]
    assert values == sorted(values, reverse=is_reversed)


@pytest.mark.parametrize("path", ["/features", "/ideas/endorsements", "/audits", "/tasks"])
def test_a_new_row_comes_first_and_shifts_the_others(path: str) -> None:
    client = AhaClient(scale=0.05)
    before = [record["id"] for record in client.all(path)]
    client.aha.drift_row(f"/aha/api/v1{path}", "insert")
    new, *others = client.all(path, fields="*")
    assert [record["id"] for record in others] == before
    assert new["id"] not in before
    assert instant(new["created_at"]) == NOW - timedelta(milliseconds=1)


@pytest.mark.parametrize("path", ["/features", "/ideas/endorsements", "/audits", "/tasks"])
def test_the_first_row_goes_and_shifts_the_others(path: str) -> None:
    client = AhaClient(scale=0.05)
    before = [record["id"] for record in client.all(path)]
    client.aha.drift_row(f"/aha/api/v1{path}", "remove")
    assert [record["id"] for record in client.all(path)] == before[1:]


def test_the_first_row_is_edited_where_it_stands() -> None:
    client = AhaClient(scale=0.05)
    before = client.all("/features", fields="*")
    client.aha.drift_row("/aha/api/v1/features", "update")
    after = client.all("/features", fields="*")
    assert after[0]["id"] == before[0]["id"]
    assert after[0]["name"] == f"{before[0]['name']} (changed 1)"
    assert instant(after[0]["updated_at"]) == NOW - timedelta(milliseconds=1)
    assert after[1:] == before[1:]


def test_a_removed_record_is_gone_from_its_detail_and_from_what_embeds_it() -> None:
    client = AhaClient(scale=0.05)
    first = client.all("/features")[0]
    client.aha.drift_row("/aha/api/v1/features", "remove")
    assert client.get(f"/features/{first['id']}").status_code == 404
    assert first["reference_num"] not in json.dumps([client.all("/epics", fields="*"), client.all("/goals")])


# 13. Two kinds of comments


def test_internal_and_portal_comments_are_disjoint(aha: AhaClient) -> None:
    ideas = aha.all("/ideas", fields="*")
    internal = {idea["id"]: aha.all(f"/ideas/{idea['id']}/comments") for idea in ideas}
    portal = {idea["id"]: aha.all(f"/ideas/{idea['id']}/idea_comments") for idea in ideas}
    ids = [{row["id"] for rows in each.values() for row in rows} for each in (internal, portal)]
    assert not ids[0] & ids[1]
    assert min(map(len, ids)) > 0
    for idea in ideas:
        assert idea["comments_count"] == len(internal[idea["id"]]) + len(portal[idea["id"]])
    assert not any("updated_at" in row for rows in portal.values() for row in rows)


# 15. A page number that is text


def test_the_current_page_of_deletions_is_a_string(aha: AhaClient) -> None:
    assert aha.json("/deletions", per_page=5, page=2)["pagination"] == {
        "total_records": 12,
        "total_pages": 3,
        "current_page": "2",
    }
    assert all("id" not in row["record"] for row in aha.all("/deletions"))


# 16. Keys in place of ids

KEYED = {
    "features": r"[A-Z]+-\d+", "requirements": r"[A-Z]+-\d+-\d+", "epics": r"[A-Z]+-E-\d+", "releases": r"[A-Z]+-R-\d+",
    "roll_up_releases": r"[A-Z]+-MR-\d+", "initiatives": r"[A-Z]+-S-\d+", "goals": r"[A-Z]+-G-\d+",
    "key_results": r"[A-Z]+-G-\d+-KR-\d+", "ideas": r"[A-Z]+-I-\d+", "pages": r"[A-Z]+-N-\d+",
}  # fmt: skip


@pytest.mark.parametrize("kind", KEYED)
def test_a_key_is_as_good_as_an_id(aha: AhaClient, kind: str) -> None:
    for index in aha.aha.account.tables[kind].order[:5]:
        by_id = aha.json(f"/{kind}/{ident(kind, index)}")
        (record,) = by_id.values()
        assert re.fullmatch(KEYED[kind], record["reference_num"])
        assert aha.json(f"/{kind}/{record['reference_num']}") == by_id


def test_a_workspace_goes_by_its_prefix(aha: AhaClient) -> None:
    product = aha.json("/products/APP")["product"]
    assert aha.all(f"/products/{product['id']}/features") == aha.all("/products/APP/features")
    assert aha.get("/features/WEB-" + aha.all("/products/APP/features")[0]["reference_num"][4:]).status_code == 404


# 17. Audits


def test_audits_reach_back_twelve_months_and_older_ones_are_historical(aha: AhaClient) -> None:
    a_year_ago = NOW - timedelta(days=365)
    assert all(instant(audit["created_at"]) >= a_year_ago for audit in aha.all("/audits"))
    old = aha.all("/historical_audits", created_since="2013-01-01T00:00:00Z", created_before=f"{TODAY}T00:00:00Z")
    assert len(old) == 30
    assert all(datetime.fromisoformat(day + "T00:00:00Z") < a_year_ago for row in old for day in row["dates_active"])


def test_after_id_reads_on_from_the_highest_id(aha: AhaClient) -> None:
    seen: list[str] = []
    after = "0"
    while True:
        batch = aha.json("/audits", after_id=after, per_page=150)["audits"]
        seen += [audit["id"] for audit in batch]
        if len(batch) < 150:
            break
        after = max((audit["id"] for audit in batch), key=int)
    assert len(seen) == len(set(seen)) == 1000


def test_what_was_destroyed_is_not_there_and_what_was_changed_is(aha: AhaClient) -> None:
    paths = {"Feature": "features", "Epic": "epics", "Ideas::Idea": "ideas", "Release": "releases"}
    seen: Counter[str] = Counter()
    for audit in aha.all("/audits")[:200]:
        if audit["associated_type"] in paths:
            found = aha.get(f"/{paths[audit['associated_type']]}/{audit['associated_id']}").status_code
            assert found == (404 if audit["audit_action"] == "destroy" else 200)
            seen[audit["audit_action"]] += 1
    assert set(seen) == {"create", "update", "destroy"}


@pytest.mark.parametrize("missing", ["created_since", "created_before"])
def test_historical_audits_need_both_bounds(aha: AhaClient, missing: str) -> None:
    query = {**search()}
    del query[missing]
    assert aha.get("/historical_audits", **query).status_code == 422
    assert aha.post("/historical_audits", {"search": query}).status_code == 422


def search() -> dict[str, str]:
    return {"created_since": "2013-01-01T00:00:00Z", "created_before": "2026-01-01T00:00:00Z"}


def test_a_search_runs_then_gives_batches_and_costs_tokens() -> None:
    client = AhaClient(scale=0.01)
    started = client.post("/historical_audits", {"search": search()})
    assert started.headers["X-Historical-Tokens-Available"] == "900"
    path = f"/historical_audits/{started.json()['search_id']}"
    assert client.json(path) == {"audits": [], "running": True, "next_token": None, "results_complete": False}
    audits, token = [], ""
    while True:
        body = client.json(path, next_token=token)
        audits += body["audits"]
        if body["results_complete"]:
            break
        token = body["next_token"]
    assert len({audit["id"] for audit in audits}) == len(audits) == 30
    # The difference between the highest price and the real one came back.
    assert client.get(path).headers["X-Historical-Tokens-Available"] == "970"


def test_searches_end_when_the_tokens_do() -> None:
    client = AhaClient(scale=0.01)
    statuses = [
        client.post("/historical_audits", {"search": search()}).status_code
        for _ in range(1000 // HISTORICAL_SEARCH_COST + 1)
    ]
    assert statuses == [200] * 10 + [422]


# Other ways to the same records


@pytest.mark.parametrize(
    ("parents", "children", "keeps"),
    [
        ("releases", "features", lambda p, c: c["release"]["id"] == p["id"]),
        ("releases", "epics", lambda p, c: c["release"]["id"] == p["id"]),
        ("releases", "release_phases", lambda p, c: str(c["release_id"]) == p["id"]),
        ("epics", "features", lambda p, c: (c.get("epic") or {}).get("id") == p["id"]),
        ("initiatives", "features", lambda p, c: (c.get("initiative") or {}).get("id") == p["id"]),
        ("initiatives", "epics", lambda p, c: (c.get("initiative") or {}).get("id") == p["id"]),
        ("initiatives", "goals", lambda p, c: p["id"] in {row["id"] for row in c["initiatives"]}),
        ("goals", "initiatives", lambda p, c: p["id"] in {row["id"] for row in c["goals"]}),
        ("goals", "features", lambda p, c: p["id"] in {row["id"] for row in c["goals"]}),
        ("products", "features", lambda p, c: c["product_id"] == p["id"]),
        ("products", "ideas", lambda p, c: c["product_id"] == p["id"]),
        ("products", "tasks", lambda p, c: c["product_id"] == p["id"]),
        ("ideas", "endorsements", lambda p, c: c["idea_id"] == p["id"]),
        ("idea_organizations", "endorsements", lambda p, c: (c.get("idea_organization") or {}).get("id") == p["id"]),
        ("features", "tasks", lambda p, c: (c.get("taskable") or {}).get("id") == p["id"]),
        ("ideas", "tasks", lambda p, c: (c.get("taskable") or {}).get("id") == p["id"]),
        ("users", "tasks", lambda p, c: p["id"] in {row["user"]["id"] for row in c["assigned_to_users"]}),
    ],
)
def test_the_lists_below_a_parent_are_parts_of_the_whole_list(
    small: AhaClient, parents: str, children: str, keeps: Callable[[Any, Any], bool]
) -> None:
    whole_path = "/ideas/endorsements" if children == "endorsements" else f"/{children}"
    whole = small.all(whole_path, fields="*")
    parent_path = {"releases": "/products/APP/releases", "features": "/features"}.get(parents, f"/{parents}")
    found = 0
    for parent in small.all(parent_path, fields="*")[:12]:
        below = small.all(f"/{parents}/{parent['id']}/{children}", fields="*")
        assert {row["id"] for row in below} == {row["id"] for row in whole if keeps(parent, row)}
        found += len(below)
    assert found > 0


@pytest.fixture(scope="session")
def small() -> AhaClient:
    return AhaClient(scale=0.2)


def test_a_roll_up_holds_releases_that_name_it(aha: AhaClient) -> None:
    (first, *_) = aha.all("/products/SUITE/roll_up_releases")
    below = aha.all(f"/roll_up_releases/{first['id']}/releases")
    assert below
    assert all(release["parent"] == first for release in below)
    assert aha.all(f"/releases/{first['reference_num']}/releases") == below


def test_a_product_line_holds_goals_and_no_features(aha: AhaClient) -> None:
    line = aha.json("/products/SUITE")["product"]
    assert (line["product_line"], len(line["children"])) == (True, 4)
    assert aha.all("/products/SUITE/features") == []
    assert aha.all("/products/SUITE/goals")
    assert aha.all("/products/SUITE/initiatives")


def test_teams_are_workspaces_only_when_they_are_asked_for(aha: AhaClient) -> None:
    assert [len(aha.all("/products", include_teams=flag)) for flag in ("false", "true")] == [4, 5]
    assert {row["reference_prefix"] for row in aha.all("/products", with_idea_portals="true")} == {"APP", "WEB"}


def test_records_are_found_by_the_field_of_an_integration(aha: AhaClient) -> None:
    feature = next(row for row in aha.all("/features", fields="*") if row["integration_fields"])
    field = feature["integration_fields"][0]
    (found,) = aha.all(f"/features/fields/{field['name']}/value/{field['value']}", fields="*")
    assert found == feature
    path = f"/integrations/{field['integration_id']}/fields/{field['name']}/value/{field['value']}"
    assert aha.all(path, fields="*") == [feature]


def test_links_are_listed_at_the_end_they_start_from_or_at_both(aha: AhaClient) -> None:
    features = [row for row in aha.all("/features", fields="*") if row["feature_links"]]
    assert features
    for feature in features:
        path = f"/features/{feature['id']}/record_links"
        both = aha.json(path, parent_and_child_links="true")["record_links"]
        assert len(both) == len(feature["feature_links"])
        assert aha.json(path)["record_links"] == [link for link in both if link["parent"]]
        assert all(link["parent"] == (str(link["parent_record_id"]) == feature["id"]) for link in both)


def test_a_page_of_a_knowledge_base_names_it_in_place_of_its_workspace(aha: AhaClient) -> None:
    base = ident("knowledge_bases", 0)
    (page,) = aha.all(f"/knowledge_bases/{base}/pages", fields="*")
    assert (page["knowledge_base_id"], "product_id" in page) == (base, False)
    assert page in [row for name in ("APP", "WEB", "CAM") for row in aha.all(f"/products/{name}/pages", fields="*")]


def test_my_tasks_are_mine(aha: AhaClient) -> None:
    me = aha.json("/me")["user"]["id"]
    assert aha.all("/me/tasks") == aha.all(f"/users/{me}/tasks")


# The data


clients = {scale: AhaClient(scale=scale) for scale in (0.01, 1.0)}
TABLED = [stream for stream in AhaSource.streams if stream.name in clients[1.0].aha.account.tables]


@pytest.mark.parametrize("scale", [0.01, 1.0])
@pytest.mark.parametrize("stream", TABLED, ids=lambda stream: stream.name)
def test_every_documented_field_has_a_value_somewhere(scale: float, stream: Any) -> None:
    client = clients[scale]
    table = client.aha.account.tables[stream.name]
    made = [table.make(index) for index in table.order]
    if stream.name == "record_links":
        made = [client.aha.account.record_link(index, client.aha.account.link_ends[index][0]) for index in table.order]
    records: list[dict[str, Any]] = json.loads(json.dumps(made))
    columns = {column.name for column in stream.columns if column.parent is None}
    assert columns == {name for record in records for name, value in record.items() if value is not None}


@pytest.mark.parametrize("kind", [stream.name for stream in TABLED if stream.selects_a_window])
def test_what_can_change_did_so_in_the_ninety_days_before_today(aha: AhaClient, kind: str) -> None:
    table: Table = aha.aha.account.tables[kind]
    days = set()
    for index in range(len(table.created)):
        created, updated = (
            datetime.fromtimestamp(column[index] / 1000, UTC) for column in (table.created, table.updated)
        )
        assert START <= created <= updated < NOW
        days.add(updated.date())
    assert len(days) >= min(45, len(table) // 3)


def test_counts_count_and_references_refer(small: AhaClient) -> None:
    ideas = {row["id"]: row for row in small.all("/ideas", fields="*")}
    votes = small.all("/ideas/endorsements", fields="*")
    people = {row["id"]: row for row in small.all("/idea_users", fields="*")}
    portal_users = {row["id"]: row for row in small.all("/portal_users")}
    organizations = {row["id"]: row for row in small.all("/idea_organizations", fields="*")}
    users = {row["id"]: row for row in small.all("/users")}
    assert {vote["idea_id"] for vote in votes} <= set(ideas)
    assert Counter(vote["idea_id"] for vote in votes) == {
        i: n for i, row in ideas.items() if (n := row["endorsements_count"])
    }
    for idea in ideas.values():
        assert idea["votes"] == idea["initial_votes"] + sum(v["weight"] for v in votes if v["idea_id"] == idea["id"])
    by_organization = Counter(vote["idea_organization"]["id"] for vote in votes if vote.get("idea_organization"))
    assert by_organization == {i: n for i, row in organizations.items() if (n := row["endorsements_count"])}
    domains = {domain for _, domain in COMPANIES}
    for person in people.values():
        assert person["email"].partition("@")[2] in domains
        assert {each["id"] for each in person["idea_organizations"]} <= set(organizations)
    for user in portal_users.values():
        assert people[user["idea_user_id"]]["email"] == user["email"]
    for vote in votes:
        if vote.get("endorsed_by_portal_user"):
            portal_user = portal_users[vote["endorsed_by_portal_user"]["id"]]
            assert portal_user["idea_user_id"] == vote["endorsed_by_idea_user"]["id"]
        else:
            assert vote["endorsed_by_user"]["id"] in users


def test_what_a_feature_embeds_is_what_its_own_lists_show(small: AhaClient) -> None:
    releases = {row["id"]: row for name in ("APP", "WEB", "CAM") for row in small.all(f"/products/{name}/releases")}
    epics = {row["id"]: row for row in small.all("/epics")}
    comments = [
        row for name in ("SUITE", "APP", "WEB", "CAM", "OPS") for row in small.all(f"/products/{name}/comments")
    ]
    counted = Counter((row["commentable"]["type"], row["commentable"]["id"]) for row in comments)
    with_requirements = 0
    for feature in small.all("/features", fields="*"):
        assert feature["release"].items() <= releases[feature["release"]["id"]].items()
        assert feature["release"]["product_id"] == feature["product_id"] == feature["project"]["id"]
        assert feature.get("epic") == feature.get("master_feature")
        assert feature.get("epic") is None or feature["epic"] == epics[feature["epic"]["id"]]
        assert feature["comments_count"] == counted["Feature", feature["id"]]
        assert feature["score"] == sum(fact["value"] for fact in feature["score_facts"])
        assert feature["tags"] == [tag["name"] for tag in feature["full_tags"]]
        if feature["requirements"]:
            assert feature["requirements"] == small.all(f"/features/{feature['id']}/requirements")
            with_requirements += 1
    assert with_requirements == 5
    for path, kind in (
        ("/epics", "Epic"),
        ("/initiatives", "Initiative"),
        ("/goals", "StrategicImperative"),
        ("/tasks", "Task"),
    ):
        for row in small.all(path, fields="*"):
            assert row["comments_count"] == counted[kind, row["id"]]
    assert sum(counted.values()) == len({row["id"] for row in comments})


def test_goals_teams_and_users_count_what_is_theirs(aha: AhaClient) -> None:
    for goal in aha.all("/goals"):
        listed = aha.all(f"/goals/{goal['id']}/key_results")
        assert [row["id"] for row in goal["key_results"]] == [row["id"] for row in listed]
        assert goal["features"] == aha.all(f"/goals/{goal['id']}/features")
    for team in aha.all("/teams"):
        members = aha.all(f"/teams/{team['id']}/team_memberships")
        assert team["team_members_count"] == len(members)
        assert [row["team_member"] for row in members] == team["team_members"]
    for product in aha.all("/products", include_teams="true"):
        holders = {row["user"]["id"] for row in aha.all(f"/products/{product['id']}/users")}
        roles = {
            u["id"] for u in aha.all("/users") if product["id"] in {role["product_id"] for role in u["product_roles"]}
        }
        assert holders == roles


def test_stays_in_a_status_follow_each_other(aha: AhaClient) -> None:
    for feature in aha.all("/features", fields="*")[:40]:
        stays = aha.all(f"/features/{feature['id']}/workflow_status_times")
        assert stays[0]["started_at"] == feature["created_at"]
        assert [stay["ended_at"] for stay in stays] == [*(stay["started_at"] for stay in stays[1:]), None]
        assert stays[-1]["workflow_status_id"] == feature["workflow_status"]["id"]


@pytest.fixture(scope="session", params=[(1, 1.0), (2, 1.0), (3, 0.01), (4, 0.01)], ids=lambda param: str(param))
def account(request: pytest.FixtureRequest) -> AhaClient:
    seed, scale = request.param
    return AhaClient(seed=seed, scale=scale)


def releases_of(client: AhaClient) -> list[dict[str, Any]]:
    return [row for name in ("APP", "WEB", "CAM") for row in client.all(f"/products/{name}/releases", fields="*")]


def test_a_release_is_shipped_on_the_day_it_was_delivered_and_not_before(account: AhaClient) -> None:
    releases = releases_of(account)
    for release in releases:
        is_shipped = release["workflow_status"]["name"] == "Shipped"
        assert (release["released"], release["released_on"] is not None) == (is_shipped, is_shipped)
        if is_shipped:
            delivered, planned = (datetime.fromisoformat(release[name]) for name in ("released_on", "release_date"))
            assert release["start_date"] <= release["released_on"] == release["status_changed_on"]
            assert timedelta(days=-3) <= delivered - planned <= timedelta(days=12)
            assert not release["parking_lot"]
        elif release["parking_lot"] or release["start_date"] > (NOW - timedelta(days=1)).date().isoformat():
            assert release["workflow_status"]["name"] == "Planned"
        else:
            assert release["workflow_status"]["name"] in ("In development", "Frozen", "In test")
            assert datetime.fromisoformat(f"{release['release_date']}T00:00:00Z") > NOW - timedelta(days=13)
        assert release["created_at"][:10] < release["start_date"] < release["release_date"]
    assert 0 < sum(release["released"] for release in releases) < len(releases)


def test_a_release_has_come_as_far_as_its_features(account: AhaClient) -> None:
    features = account.all("/features", fields="*")
    shipped_features = shipped_in_time = 0
    for release in releases_of(account):
        done = [row["workflow_status"]["complete"] for row in features if row["release"]["id"] == release["id"]]
        if release["parking_lot"] or not done:
            assert release["progress"] is None
        else:
            assert release["progress"] == pytest.approx(100 * sum(done) / len(done), abs=0.06)
        if release["released"]:
            shipped_features += len(done)
            shipped_in_time += sum(done)
    assert shipped_in_time / shipped_features > 0.5


@pytest.mark.parametrize("path", ["/features", "/epics", "/initiatives", "/goals"])
def test_progress_follows_the_status(account: AhaClient, path: str) -> None:
    for row in account.all(path, fields="*"):
        status = (row["success_metric"] if path == "/goals" else row)["workflow_status"]
        if status["position"] == 1:
            assert row["progress"] in (0, None)
        elif status["complete"]:
            assert row["progress"] == 100
        else:
            assert 0 < row["progress"] < 100


@pytest.mark.parametrize(
    ("path", "name"),
    [("/features", "status_changed_on"), ("/epics", "status_changed_on"), ("/ideas", "status_changed_at")],
)
def test_what_left_its_first_status_says_when(account: AhaClient, path: str, name: str) -> None:
    rows = account.all(path, fields="*")
    for row in rows:
        assert (row[name] is None) == (row["workflow_status"]["position"] == 1)
        if row[name] is not None:
            size = len(row[name])
            assert row["created_at"][:size] <= row[name] <= row["updated_at"][:size]
            last = account.json(f"{path}/{row['id']}/workflow_status_times", per_page=200)["workflow_status_times"][-1]
            assert last["started_at"][:size] == row[name]
    assert 0 < sum(row[name] is None for row in rows) < len(rows)


def test_audits_tell_how_features_went_through_their_workflow(account: AhaClient) -> None:
    features = {int(row["id"]): row for row in account.all("/features", fields="*")}
    audits = sorted(account.all("/audits", fields="*"), key=lambda audit: int(audit["id"]))
    changes: dict[int, list[tuple[str, str, str]]] = {}
    for audit in audits:
        for change in audit["changes"]:
            if change["field_name"] == "Workflow status":
                match = re.fullmatch("<del>(.+)</del><ins>(.+)</ins>", change["value"])
                assert (audit["audit_action"], audit["auditable_type"], match is not None) == (
                    "update",
                    "Feature",
                    True,
                )
                assert match is not None
                changes.setdefault(audit["auditable_id"], []).append((audit["created_at"], match[1], match[2]))
    for feature, steps in changes.items():
        row = features[feature]
        stays = account.all(f"/features/{feature}/workflow_status_times")
        assert [(before, after) for _, before, after in steps] == [
            (before["status_name"], after["status_name"]) for before, after in pairwise(stays)
        ]
        assert [time for time, *_ in steps] == [stay["started_at"] for stay in stays[1:]]
        assert row["created_at"] <= steps[0][0] <= steps[-1][0] <= row["updated_at"]
        assert steps[-1][0][:10] == row["status_changed_on"]
    moved = [row for row in features.values() if row["workflow_status"]["position"] > 1]
    assert len(changes) > 0.8 * len(moved)


def test_what_was_made_and_changed_was_audited_then(account: AhaClient) -> None:
    rows = {row["id"]: row for path in ("/features", "/epics", "/ideas") for row in account.all(path, fields="*")}
    seen: Counter[str] = Counter()
    for audit in account.all("/audits"):
        row = rows.get(str(audit["associated_id"]))
        if row is not None:
            assert row["created_at"] <= audit["created_at"] <= row["updated_at"]
            assert audit["audit_action"] != "create" or audit["created_at"] == row["created_at"]
            seen[audit["audit_action"]] += 1
    assert set(seen) == {"create", "update"}


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *((kind, "updated_at") for kind in ("features", "epics", "initiatives", "releases", "ideas")),
        *((kind, "updated_at") for kind in ("idea_endorsements", "tasks")),
        ("audits", "created_at"),
    ],
)
def test_something_happened_on_the_stroke_of_midnight(account: AhaClient, kind: str, name: str) -> None:
    table = account.aha.account.tables[kind]
    times = {table.make(index)[name] for index in table.order}
    midnights = {time for time in times if time.endswith("T00:00:00.000Z")}
    assert 0 < len(midnights) < len(times)
    assert all(START <= instant(time) < NOW for time in midnights)


def test_the_same_settings_give_the_same_bytes_and_another_seed_does_not() -> None:
    paths = ("/features", "/ideas/endorsements", "/audits", "/tasks")
    first, again, other = (
        [AhaClient(seed=seed, scale=0.05).get(path, fields="*", per_page=200).content for path in paths]
        for seed in (1, 1, 2)
    )
    assert first == again
    assert all(mine != others for mine, others in zip(first, other, strict=True))


def test_a_full_read_costs_at_most_250_requests(aha: AhaClient) -> None:
    account = aha.aha.account
    size = {kind: len(table) for kind, table in account.tables.items()}
    products = size["products"]
    ideas = size["ideas"] - len(account.spam_ideas)
    pages = sum(
        -(-size[kind] // 200)
        for kind in (
            "products", "users", "initiatives", "goals", "release_phases", "epics", "features", "ideas",
            "idea_endorsements", "idea_portals", "idea_organizations", "idea_users", "tasks", "strategy_models",
            "strategy_positions", "strategy_visions", "audits", "deletions", "custom_field_definitions", "teams",
            "team_members", "schedules", "integrations",
        )
    )  # fmt: skip
    below_products = 10 * products
    details = products + size["pages"] + size["personas"] + size["competitors"] + size["creative_briefs"]
    below_others = (
        len(account.requirements_of)
        + len(account.key_results_of)
        + 2 * ideas
        + size["idea_portals"]
        + size["teams"]
        + 4
    )
    assert pages + below_products + details + below_others <= 250
    assert 3_500 <= sum(size.values()) <= 4_500


def test_laying_out_a_hundred_thousand_records_costs_as_much_for_each_as_laying_out_few() -> None:
    def cost(scale: float) -> tuple[int, float]:
        start = time.process_time()
        records = sum(len(table) for table in Account(1, scale, TODAY).tables.values())
        return records, time.process_time() - start

    cost(1.0)
    # The collector walks through what the whole session holds, at moments of its own: that is not part of the price.
    gc.disable()
    try:
        small, large = (min(cost(scale) for _ in range(3)) for scale in (2.5, 25.0))
    finally:
        gc.enable()
    assert large[0] > 95_000
    assert large[1] / large[0] < 3 * small[1] / small[0]
