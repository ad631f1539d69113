import io
import itertools
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
import pytest
import requests
import requests.adapters
import urllib3

from connector_resources.errors import (
    ConfigurationError,
    MalformedPage,
    MissingCredential,
    PaginationLoop,
    RequestRejected,
)
from connector_resources.sources.aha import Aha
from connector_resources.streams import ParentRow, Slice, Window

KEY = "5f1d"
MARCH_FIRST = Window(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC))


class Account(requests.adapters.BaseAdapter):
    """Answers each path with what was prepared for it, in order; an answer nobody asks for fails the test."""

    def __init__(self) -> None:
        super().__init__()
        self.prepared: dict[str, list[tuple[int, bytes]]] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []

    def prepare(self, path: str, body: Any, status: int = 200) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.prepared.setdefault(f"/api/v1{path}", []).append((status, content))

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        parts = urlsplit(str(request.url))
        assert request.headers["Authorization"] == f"Bearer {KEY}"
        self.asked.append((parts.path.removeprefix("/api/v1"), dict(parse_qsl(parts.query))))
        status, content = self.prepared[parts.path].pop(0)
        answer = requests.Response()
        answer.status_code = status
        answer.raw = urllib3.HTTPResponse(io.BytesIO(content), preload_content=False, status=status)
        return answer

    def close(self) -> None:
        pass


@pytest.fixture
def account() -> Iterator[Account]:
    account = Account()
    yield account
    assert not any(account.prepared.values()), "a prepared answer was not asked for"


def source(account: Account, folder: Path, **fields: Any) -> Aha:
    aha = Aha(base_url="http://aha.test", api_key=KEY, rate_limit_factor=0, state_folder=str(folder), **fields)
    aha.client.session.mount("http://aha.test", account)
    return aha


def records(aha: Aha, stream: str, slice: Slice) -> list[Any]:
    return [msgspec.json.decode(record) for page in aha.read(aha.stream(stream), slice) for record in page.records]


def pagination(records: int, pages: int = 1, page: int = 1) -> dict[str, int]:
    return {"total_records": records, "total_pages": pages, "current_page": page}


def under(**fields: str) -> Slice:
    return Slice(parents=(ParentRow(fields),))


# The account


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ({"subdomain": "acme"}, "https://acme.aha.io/api/v1"),
        ({"subdomain": "Acme.euw4.aha.io"}, "https://acme.euw4.aha.io/api/v1"),
        ({"base_url": "https://acme.aha.io"}, "https://acme.aha.io/api/v1"),
        ({"base_url": "https://acme.aha.io/api/v1/"}, "https://acme.aha.io/api/v1"),
        ({"base_url": "http://127.0.0.1:8123/aha/api/v1", "subdomain": "acme"}, "http://127.0.0.1:8123/aha/api/v1"),
    ],
)
def test_the_url_is_made_from_a_sub_domain_a_host_or_an_address(fields: dict[str, Any], url: str) -> None:
    assert Aha(**fields).url == url


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({}, "AHA_SUBDOMAIN"),
        ({"subdomain": "https://acme.aha.io"}, "AHA_SUBDOMAIN"),
        ({"subdomain": "acme.aha.io/products"}, "AHA_SUBDOMAIN"),
        ({"base_url": "acme.aha.io"}, "base URL"),
        ({"base_url": "https://somebody:word@acme.aha.io"}, "base URL"),
    ],
)
def test_what_is_no_host_is_refused_by_the_name_of_its_setting(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        _ = Aha(**fields).url


def test_two_keys_of_one_account_share_a_budget() -> None:
    assert Aha(subdomain="acme", api_key="a").account == Aha(base_url="https://acme.aha.io", api_key="b").account
    assert Aha(subdomain="acme").account != Aha(subdomain="other").account


@pytest.mark.parametrize(
    ("status", "body", "error", "named"),
    [
        (401, b"<html>401</html>", RequestRejected, "AHA_API_KEY"),
        (404, b"<html>404</html>", ConfigurationError, "AHA_SUBDOMAIN"),
        (200, b"<html>welcome</html>", ConfigurationError, "AHA_SUBDOMAIN"),
        (200, {"error": "?"}, ConfigurationError, "AHA_SUBDOMAIN"),
    ],
)
def test_a_failed_check_names_what_to_change(
    account: Account, tmp_path: Path, status: int, body: Any, error: type[Exception], named: str
) -> None:
    account.prepare("/me", body, status)
    with pytest.raises(error, match=named) as refused:
        source(account, tmp_path).check()
    assert KEY not in str(refused.value)


def test_a_check_passes_for_a_key_that_belongs_to_somebody(account: Account, tmp_path: Path) -> None:
    account.prepare("/me", {"user": {"id": "1"}})
    source(account, tmp_path).check()
    assert account.asked == [("/me", {})]


# The declaration


def test_the_streams_land_as_the_reference_allows() -> None:
    def names(*, enabled: bool, partitioned: bool) -> list[str]:
        chosen = [s for s in Aha.streams if (s.enabled, s.is_partitioned) == (enabled, partitioned)]
        return sorted(stream.name for stream in chosen)

    assert names(enabled=True, partitioned=True) == [
        "audits",
        "epics",
        "features",
        "idea_comments",
        "idea_endorsements",
        "idea_subscriptions",
        "ideas",
        "initiatives",
        "releases",
        "requirements",
        "tasks",
    ]
    assert names(enabled=True, partitioned=False) == [
        "comments",
        "competitors",
        "creative_briefs",
        "custom_field_definitions",
        "custom_field_options",
        "deletions",
        "goals",
        "idea_categories",
        "idea_organizations",
        "idea_portals",
        "idea_users",
        "integrations",
        "key_results",
        "pages",
        "personas",
        "portal_users",
        "product_users",
        "products",
        "release_phases",
        "roll_up_releases",
        "schedules",
        "strategy_models",
        "strategy_positions",
        "strategy_visions",
        "team_members",
        "team_memberships",
        "teams",
        "users",
        "workflows",
    ]
    assert names(enabled=False, partitioned=True) == [
        "custom_object_records",
        "epic_capacity_estimates",
        "epic_capacity_investments",
        "epic_workflow_status_times",
        "feature_capacity_estimates",
        "feature_capacity_investments",
        "feature_workflow_status_times",
        "idea_workflow_status_times",
        "initiative_capacity_estimates",
        "initiative_capacity_investments",
        "initiative_workflow_status_times",
        "record_links",
        "release_workflow_status_times",
        "requirement_workflow_status_times",
    ]
    assert names(enabled=False, partitioned=False) == [
        "account_backups",
        "capacity_scenarios",
        "custom_report_rows",
        "discovery_groups",
        "historical_audits",
        "idea_themes",
        "identity_providers",
        "key_result_workflow_status_times",
        "page_workflow_status_times",
        "paid_seat_groups",
        "product_capacity_estimates",
        "product_capacity_investments",
        "screen_definitions",
    ]


def test_parents_come_before_their_children_and_have_the_columns_named() -> None:
    seen: set[str] = set()
    for stream in Aha.streams:
        if stream.parent is not None:
            counter = stream.parent.unless_empty
            wanted = {*stream.parent.fields.values(), *(() if counter is None else (counter,))}
            assert stream.parent.stream.name in seen
            assert wanted <= {column.name for column in stream.parent.stream.columns}
        seen.add(stream.name)


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("features", {"fields": "*", "updated_since": "2026-02-28T23:59:00.000Z"}),
        ("ideas", {"fields": "*", "updated_since": "2026-02-28T23:59:00.000Z"}),
        (
            "idea_endorsements",
            {"fields": "*,associated_idea_organizations", "updated_since": "2026-02-28T23:59:00.000Z"},
        ),
        (
            "audits",
            {
                "fields": "*",
                "created_since": "2026-02-28T23:59:00.000Z",
                "created_before": "2026-03-02T00:00:00.000Z",
            },
        ),
    ],
)
def test_a_day_is_asked_for_a_minute_early_because_its_bound_may_be_excluded(name: str, params: dict[str, str]) -> None:
    aha = Aha(subdomain="acme", api_key=KEY)
    request = aha.first_request(aha.stream(name), Slice(MARCH_FIRST), None)  # type: ignore[arg-type]  # all are HTTP streams
    assert request.params == {**params, "page": "1", "per_page": "200"}


def test_audits_older_than_twelve_months_stay_as_they_were_landed() -> None:
    cursor = Aha.stream("audits").cursor
    assert cursor is not None
    assert cursor.horizon == timedelta(days=365)


def test_historical_audits_are_asked_for_with_both_bounds_they_need() -> None:
    aha = Aha(subdomain="acme", api_key=KEY)
    params = aha.first_request(aha.stream("historical_audits"), Slice(), None).params  # type: ignore[arg-type]
    before = datetime.fromisoformat(str(params["created_before"]))
    assert params["created_since"] == "2013-01-01T00:00:00.000Z"
    assert 365 <= (datetime.now(UTC) - before).days <= 369


# Short lists


def test_products_are_read_whole_and_one_deleted_meanwhile_is_left_out(account: Account, tmp_path: Path) -> None:
    account.prepare("/products", {"products": [{"id": "1"}, {"id": "2"}, {"id": "3"}], "pagination": pagination(3)})
    account.prepare("/products/1", {"product": {"id": "1", "updated_at": "2026-03-01T00:00:00.000Z"}})
    account.prepare("/products/2", {"error": "Record not found."}, 404)
    account.prepare("/products/3", {"product": {"id": "3", "updated_at": "2026-03-02T00:00:00.000Z"}})
    aha = source(account, tmp_path)
    (page,) = aha.read(aha.stream("products"), Slice())
    assert [msgspec.json.decode(record) for record in page.records] == [
        {"id": "1", "updated_at": "2026-03-01T00:00:00.000Z"},
        {"id": "3", "updated_at": "2026-03-02T00:00:00.000Z"},
    ]
    assert page.total == 2


def test_a_short_record_that_cannot_be_asked_for_is_left_as_it_is_and_the_others_are_whole(
    account: Account, tmp_path: Path
) -> None:
    short = [rb'{"id":"1","name":"\ud800"}', rb'{"id":"\ud800"}', b'{"name":"x"}', b'{"id":[1]}', b'{"id":"a/b?c"}']
    account.prepare("/products", b'{"products":[%s],"pagination":{"total_records":5}}' % b",".join(short))
    account.prepare("/products/1", rb'{"product":{"id":"1","name":"\ud800","state":"whole"}}')
    account.prepare("/products/a%2Fb%3Fc", b'{"product":{"id":"a/b?c","state":"whole"}}')
    aha = source(account, tmp_path)
    (page,) = aha.read(aha.stream("products"), Slice())
    assert list(map(bytes, page.records)) == [
        rb'{"id":"1","name":"\ud800","state":"whole"}',
        *short[1:4],
        b'{"id":"a/b?c","state":"whole"}',
    ]


@pytest.mark.parametrize("body", [b'{"product":{"id":"2"}}', b'{"product":[{"id":"1"},{"id":"2"}]}', b'{"product":[]}'])
def test_the_detail_of_another_record_fails_the_read(account: Account, tmp_path: Path, body: bytes) -> None:
    account.prepare("/products", {"products": [{"id": "1"}], "pagination": pagination(1)})
    account.prepare("/products/1", body)
    with pytest.raises(MalformedPage, match="GET /products/1: asked for one record, got another"):
        records(source(account, tmp_path), "products", Slice())


def test_whole_records_are_asked_for_together_and_stand_in_the_lists_order(account: Account, tmp_path: Path) -> None:
    ids = list(range(1, 30))
    account.prepare("/products", {"products": [{"id": each} for each in ids], "pagination": pagination(29)})
    for each in ids:
        account.prepare(f"/products/{each}", {"product": {"id": each, "name": f"number {each}"}})
    aha = source(account, tmp_path)
    aha.client.clock = itertools.count(step=0.9).__next__  # every answer is slow
    send, seven = account.send, threading.Barrier(7)

    def together(request: requests.PreparedRequest, *arguments: Any, **settings: Any) -> requests.Response:
        answer = send(request, *arguments, **settings)
        if str(request.url).rpartition("/")[2] in map(str, range(2, 9)):
            seven.wait(10)  # none is answered before all of them are on their way
        return answer

    account.send = together  # type: ignore[method-assign]  # of the fake
    found = records(aha, "products", Slice())

    assert found == [{"id": each, "name": f"number {each}"} for each in ids]


def test_a_detail_that_is_refused_fails_the_read(account: Account, tmp_path: Path) -> None:
    account.prepare("/products", {"products": [{"id": "1"}], "pagination": pagination(1)})
    account.prepare("/products/1", b"", 403)
    with pytest.raises(RequestRejected, match="403 from GET /products/1"):
        records(source(account, tmp_path), "products", Slice())


def test_releases_are_asked_for_one_by_one_only_where_the_list_is_short(account: Account, tmp_path: Path) -> None:
    whole = {"id": "1", "updated_at": "2026-03-01T09:30:00.000Z"}
    account.prepare("/products/9/releases", {"releases": [whole, {"id": "2"}], "pagination": pagination(2)})
    account.prepare("/releases/2", {"release": {"id": "2", "updated_at": "2026-03-01T10:00:00.000Z"}})
    day = Slice(MARCH_FIRST, under(product_id="9").parents)
    assert records(source(account, tmp_path), "releases", day) == [
        whole,
        {"id": "2", "updated_at": "2026-03-01T10:00:00.000Z"},
    ]


# Oddities


def test_a_workspace_user_is_known_by_the_user_inside_and_otherwise_as_it_came(
    account: Account, tmp_path: Path
) -> None:
    account.prepare("/products/9/users", b'{"project_users":[{"role": 1,"user":{"name":"\xc3\x85sa","id":"70"}}]}')
    aha = source(account, tmp_path)
    (page,) = aha.read(aha.stream("product_users"), under(product_id="9"))
    assert [bytes(record) for record in page.records] == [
        b'{"user_id":"70","role": 1,"user":{"name":"\xc3\x85sa","id":"70"}}'
    ]


def test_a_workspace_user_without_a_user_is_a_malformed_page(account: Account, tmp_path: Path) -> None:
    account.prepare("/products/9/users", {"project_users": [{"role": 1}]})
    with pytest.raises(MalformedPage, match=r"aha\.product_users: GET /products/9/users"):
        records(source(account, tmp_path), "product_users", under(product_id="9"))


def test_fields_in_which_nothing_is_chosen_are_not_asked_for_options(account: Account, tmp_path: Path) -> None:
    types = ("TextField", "SelectConstant", "LinkMany", "SomethingNew")
    rows = tuple(
        ParentRow({"custom_field_definition_id": str(number), "type": f"CustomFieldDefinitions::{kind}"})
        for number, kind in enumerate(types)
    )
    account.prepare("/custom_field_definitions/1/custom_field_options", {"custom_field_options": [{"id": "5"}]})
    account.prepare("/custom_field_definitions/3/custom_field_options", {"custom_field_options": []})
    assert records(source(account, tmp_path), "custom_field_options", Slice(parents=rows)) == [{"id": "5"}]


def test_custom_tables_are_read_one_after_the_other(account: Account, tmp_path: Path) -> None:
    for path, record_id in (
        ("/products/APP/custom_objects/incidents", "1"),
        ("/products/7/custom_objects/customers", "2"),
    ):
        body = {"custom_object_records": [{"id": record_id}], "pagination": pagination(1)}
        account.prepare(f"{path}/records", body)
    aha = source(account, tmp_path, custom_objects="APP:incidents, 7:customers")
    pages = list(aha.read(aha.stream("custom_object_records"), Slice(MARCH_FIRST)))
    assert [[msgspec.json.decode(record) for record in page.records] for page in pages] == [
        [{"id": "1"}],
        [{"id": "2"}],
    ]
    assert [page.parent for page in pages] == [None, None]


@pytest.mark.parametrize(
    ("custom_objects", "error"),
    [("", MissingCredential), ("incidents", ConfigurationError), ("APP:", ConfigurationError)],
)
def test_custom_tables_need_a_setting_that_names_them(
    account: Account, tmp_path: Path, custom_objects: str, error: type[Exception]
) -> None:
    with pytest.raises(error, match="AHA_CUSTOM_OBJECTS"):
        records(source(account, tmp_path, custom_objects=custom_objects), "custom_object_records", Slice(MARCH_FIRST))


def test_a_custom_table_that_is_not_there_is_an_error_and_not_an_empty_one(account: Account, tmp_path: Path) -> None:
    account.prepare("/products/APP/custom_objects/incidents/records", b"", 404)
    with pytest.raises(ConfigurationError, match="AHA_CUSTOM_OBJECTS"):
        records(source(account, tmp_path, custom_objects="APP:incidents"), "custom_object_records", Slice(MARCH_FIRST))


def test_rows_of_a_report_are_numbered_through_its_pages(account: Account, tmp_path: Path) -> None:
    columns = [{"title": "Feature name"}]
    for page, cells in ((1, [[{"plain_value": "A"}], [{"plain_value": "B"}]]), (2, [[{"plain_value": "C"}]])):
        body = {"columns": columns, "rows": cells, "pagination": [pagination(3, pages=2, page=page)]}
        account.prepare("/bookmarks/custom_pivots/55", body)
    found = records(source(account, tmp_path, custom_reports="55"), "custom_report_rows", Slice())
    assert found == [
        {"report_id": "55", "row_number": 1, "columns": columns, "cells": [{"plain_value": "A"}]},
        {"report_id": "55", "row_number": 2, "columns": columns, "cells": [{"plain_value": "B"}]},
        {"report_id": "55", "row_number": 201, "columns": columns, "cells": [{"plain_value": "C"}]},
    ]
    assert [params["page"] for _, params in account.asked] == ["1", "2"]


def test_a_report_that_sends_its_first_page_again_is_not_read_twice(account: Account, tmp_path: Path) -> None:
    body = {"columns": [], "rows": [[]], "pagination": [pagination(2, pages=2)]}
    account.prepare("/bookmarks/custom_pivots/55", body)
    account.prepare("/bookmarks/custom_pivots/55", body)
    with pytest.raises(PaginationLoop, match="asked for page 2"):
        records(source(account, tmp_path, custom_reports="55"), "custom_report_rows", Slice())


def test_a_report_that_is_no_list_is_a_malformed_page(account: Account, tmp_path: Path) -> None:
    account.prepare("/bookmarks/custom_pivots/55", {"rows": "none"})
    with pytest.raises(MalformedPage, match=r"aha\.custom_report_rows: GET /bookmarks/custom_pivots/55"):
        records(source(account, tmp_path, custom_reports="55"), "custom_report_rows", Slice())


@pytest.mark.parametrize(
    ("status", "named"), [(403, "403 from GET /screen_definitions"), (404, "404 from GET /screen_definitions")]
)
def test_a_refused_list_tells_what_it_needs(account: Account, tmp_path: Path, status: int, named: str) -> None:
    account.prepare("/screen_definitions", b"", status)
    with pytest.raises(RequestRejected, match=named) as refused:
        records(source(account, tmp_path), "screen_definitions", Slice())
    assert "Needs a configuration administrator." in str(refused.value)
    assert refused.value.status == status


def test_a_parent_deleted_meanwhile_has_no_children(account: Account, tmp_path: Path) -> None:
    account.prepare("/ideas/8/idea_comments", {"error": "Record not found."}, 404)
    under_idea = Slice(parents=(ParentRow({"idea_id": "8"}, ("2026-03-01",)),))
    assert records(source(account, tmp_path), "idea_comments", under_idea) == []
