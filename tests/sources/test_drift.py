import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from connector_resources.errors import (
    ConfigurationError,
    IncompleteRead,
    MalformedPage,
    MissingCredential,
    RecordsNotFound,
    RequestRejected,
)
from connector_resources.http.authenticators import BearerToken, InTurn, OAuth2Refresh
from connector_resources.http.token_endpoint import FormTokenEndpoint
from connector_resources.sources import drift
from connector_resources.sources.drift import METRICS, Drift, DriftStream
from connector_resources.streams import Page, ParentRow, Slice, Window
from tests.http.fake_api import FakeApi, Prepared

SECRET = "hunter2-secret"
DAY = timedelta(days=1)
TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
WINDOW = Window(TODAY - 2 * DAY, TODAY - DAY)
WHOLE = Slice()
OAUTH: dict[str, Any] = {"client_id": "client", "client_secret": SECRET, "refresh_token": "refresh-0"}


def ms(instant: datetime) -> int:
    return (instant - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


START, END = ms(WINDOW.start), ms(WINDOW.end)


def source(folder: Path, api: FakeApi | None = None, **fields: Any) -> Drift:
    """Return a source whose world is `api`, without a limit of its own."""
    defaults = {"access_token": SECRET} if "refresh_token" not in fields else {}
    made = Drift(state_folder=str(folder), rate_limit_factor=0, **(defaults | fields))
    if api is not None:
        api.mount(made.client.session)
        made.client.sleep = lambda seconds: None
        assert isinstance(made.client.authenticator, InTurn)
        authenticator = made.client.authenticator.inner
        if isinstance(authenticator, OAuth2Refresh):
            assert isinstance(authenticator.endpoint, FormTokenEndpoint)
            api.mount(authenticator.endpoint.session)
    return made


def records(pages: list[Page]) -> list[Any]:
    return [json.loads(bytes(record)) for page in pages for record in page.records]


def parents(**fields: int) -> Slice:
    return Slice(parents=(ParentRow(fields, ("2026-03-01",)),))


def stream(name: str) -> DriftStream:
    found = Drift.stream(name)
    assert isinstance(found, DriftStream)
    return found


def test_every_stream_says_what_it_needs_and_means() -> None:
    for one in Drift.streams:
        assert isinstance(one, DriftStream)
        assert one.scope
        assert one.description.endswith(".")
        assert [column.name for column in one.columns if not column.description.endswith(".")] == []


def test_parents_come_before_their_children() -> None:
    names = [one.name for one in Drift.streams]

    assert [one.name for one in Drift.streams if one.parent and one.parent.stream.name not in names] == []
    assert all(
        names.index(one.parent.stream.name) < names.index(one.name) for one in Drift.streams if one.parent is not None
    )


def test_streams_land_where_their_cursor_or_their_parent_puts_them() -> None:
    assert {one.name: (one.is_partitioned, one.inherits_partitions, one.enabled) for one in Drift.streams} == {
        "users": (False, False, True),
        "teams": (False, False, True),
        "accounts": (False, False, True),
        "conversations": (True, False, True),
        "conversation_details": (True, True, True),
        "messages": (True, True, True),
        "transcripts": (True, True, False),
        "contacts": (True, True, True),
        "contacts_by_email": (False, False, False),
        "contact_attributes": (False, False, True),
        "meetings": (True, False, True),
        "playbooks": (False, False, True),
        "conversational_landing_pages": (False, False, True),
        "conversation_stats": (False, False, True),
        "conversation_metrics": (True, False, True),
    }


CONVERSATION = {"id": 1, "updatedAt": START}

WHOLE_LISTS: dict[str, tuple[Slice, str, str, Any, Any]] = {
    "users": (WHOLE, "GET", "/users/list", {"data": [{"id": 1}]}, {}),
    "teams": (WHOLE, "GET", "/teams/org", {"data": [{"id": 1}]}, {}),
    "accounts": (WHOLE, "GET", "/accounts", {"data": {"accounts": [{"id": 1}]}}, {"index": "0", "size": "65"}),
    "conversations": (Slice(WINDOW), "GET", "/conversations/list", {"data": [{"id": 1}]}, {"limit": "50"}),
    "conversation_details": (parents(conversationId=7), "GET", "/conversations/7", {"data": {"id": 1}}, {}),
    "messages": (
        parents(conversationId=7), "GET", "/conversations/7/messages", {"data": {"messages": [{"id": 1}]}}, {},
    ),
    "contacts": (parents(contactId=8), "GET", "/contacts/8", {"data": {"id": 1}}, {}),
    "contact_attributes": (WHOLE, "GET", "/contacts/attributes", {"data": {"properties": [{"id": 1}]}}, {}),
    "playbooks": (WHOLE, "GET", "/playbooks/list", [{"id": 1}], {}),
    "conversational_landing_pages": (WHOLE, "GET", "/playbooks/clp", [{"id": 1}], {}),
}  # fmt: skip


@pytest.mark.parametrize("name", WHOLE_LISTS)
def test_a_stream_asks_for_its_path_and_finds_its_records(tmp_path: Path, name: str) -> None:
    asked_for, method, path, body, query = WHOLE_LISTS[name]
    with FakeApi(Prepared(body=body)) as api:
        pages = list(source(tmp_path, api).read(stream(name), asked_for))

    assert (records(pages), pages[-1].token) == ([{"id": 1}], None)
    assert (api.requests[0].method, api.paths, api.queries) == (method, [path], [query])
    assert api.requests[0].headers["Authorization"] == f"Bearer {SECRET}"


@pytest.mark.parametrize("name", ["users", "accounts", "conversations", "contact_attributes", "conversation_stats"])
def test_a_stream_whose_records_are_not_there_names_the_keys(tmp_path: Path, name: str) -> None:
    asked_for = Slice(WINDOW) if name == "conversations" else WHOLE
    with (
        FakeApi(Prepared(body={"error": "?"})) as api,
        pytest.raises(RecordsNotFound, match=f"drift.{name}: .*'error'"),
    ):
        list(source(tmp_path, api).read(stream(name), asked_for))


def test_conversations_are_walked_from_the_newest_down_past_the_window(tmp_path: Path) -> None:
    def page(updated_at: int, token: str) -> Prepared:
        link = f"https://api.drift.com/conversations/list?limit=9&page_token={token}"
        return Prepared(body={"data": [{"id": updated_at, "updatedAt": updated_at}], "links": {"next": link}})

    just_before = START - 5 * 60_000
    with FakeApi(page(END + 9, "a"), page(START, "b"), page(just_before, "c"), page(just_before - 1, "d")) as api:
        pages = list(source(tmp_path, api).read(drift.conversations, Slice(WINDOW)))

    assert [record["updatedAt"] for record in records(pages)] == [END + 9, START, just_before, just_before - 1]
    assert api.queries == [{"limit": "50"}, {"page_token": "a"}, {"page_token": "b"}, {"page_token": "c"}]
    assert {url.partition("?")[0] for url in api.urls} == {"https://driftapi.com/conversations/list"}


STYLES: dict[str, tuple[dict[str, Any], dict[str, str] | None]] = {
    "both": (
        {"links": {"next": "https://api.drift.com/x?page_token=a"}, "pagination": {"more": True, "next": "2"}},
        {"page_token": "a"},
    ),
    "only the older": ({"pagination": {"more": True, "next": "50"}}, {"limit": "50", "next": "50"}),
    "the older's last": ({"pagination": {"more": False, "next": "50"}}, None),
    "the link's last": ({"links": {"self": "https://api.drift.com/x?page_token=a"}}, None),
    "neither": ({}, None),
}


@pytest.mark.parametrize(("envelope", "query"), STYLES.values(), ids=STYLES)
def test_conversations_follow_the_link_or_the_older_number(
    tmp_path: Path, envelope: dict[str, Any], query: dict[str, str] | None
) -> None:
    last = [] if query is None else [Prepared(body={"data": []})]
    with FakeApi(Prepared(body={"data": [{"id": 1, "updatedAt": START}], **envelope}), *last) as api:
        list(source(tmp_path, api).read(drift.conversations, Slice(WINDOW)))

    assert api.queries[1:] == ([] if query is None else [query])


def test_the_page_of_conversations_is_as_large_as_it_is_set(tmp_path: Path) -> None:
    with FakeApi(Prepared(body={"data": []})) as api:
        list(source(tmp_path, api, conversations_page_size=100).read(drift.conversations, Slice(WINDOW)))

    assert api.queries == [{"limit": "100"}]


def test_accounts_follow_their_relative_link_and_are_counted(tmp_path: Path) -> None:
    first = {"data": {"accounts": [{"accountId": "1"}], "total": 2, "next": "/accounts?index=65&size=65"}}
    last = {"data": {"accounts": [{"accountId": "2"}], "total": 2}}
    with FakeApi(Prepared(body=first), Prepared(body=last)) as api:
        pages = list(source(tmp_path, api).read(drift.accounts, WHOLE))

    assert (api.queries[1], pages[-1].total) == ({"index": "65", "size": "65"}, 2)


def test_accounts_that_do_not_add_up_are_an_incomplete_read(tmp_path: Path) -> None:
    body = {"data": {"accounts": [{"accountId": "1"}], "total": 2}}
    with FakeApi(Prepared(body=body)) as api, pytest.raises(IncompleteRead, match="counts 2 records and sent 1"):
        list(source(tmp_path, api).read(drift.accounts, WHOLE))


def test_messages_follow_their_token_until_it_is_absent(tmp_path: Path) -> None:
    first = {"data": {"messages": [{"id": 1}]}, "pagination": {"more": True, "next": "17"}}
    with FakeApi(Prepared(body=first), Prepared(body={"data": {"messages": [{"id": 2}]}})) as api:
        pages = list(source(tmp_path, api).read(drift.messages, parents(conversationId=7)))

    assert (records(pages), api.queries) == ([{"id": 1}, {"id": 2}], [{}, {"next": "17"}])


def test_a_deleted_contact_is_left_out(tmp_path: Path) -> None:
    rows = tuple(ParentRow({"contactId": number}) for number in (1, 2))
    with FakeApi(Prepared(404), Prepared(body={"data": {"id": 2}})) as api:
        pages = list(source(tmp_path, api).read(drift.contacts, Slice(parents=rows)))

    assert [(page.parent, records([page])) for page in pages] == [(rows[0], []), (rows[1], [{"id": 2}])]


def test_contacts_are_looked_up_by_every_address(tmp_path: Path) -> None:
    linked = Prepared(body={"data": [{"id": 1}]}, headers={"Link": "<?email=a%40x.test&page=2>; rel='next'"})
    with FakeApi(linked, Prepared(body={"data": [{"id": 2}]}), Prepared(body={"data": []})) as api:
        pages = list(
            source(tmp_path, api, contact_emails=["a@x.test", "b@x.test"]).read(drift.contacts_by_email, WHOLE)
        )

    assert (records(pages), pages[-1].token) == ([{"id": 1}, {"id": 2}], None)
    assert api.queries == [{"email": "a@x.test"}, {"email": "a@x.test", "page": "2"}, {"email": "b@x.test"}]


def test_no_address_to_look_up_is_a_setting_to_change(tmp_path: Path) -> None:
    with FakeApi() as api, pytest.raises(ConfigurationError, match="contact_emails is empty"):
        list(source(tmp_path, api).read(drift.contacts_by_email, WHOLE))


TRANSCRIPTS: dict[str, tuple[bytes, str]] = {
    "a text": ("Dec 16, 03:41:59 PM EST Inès (Agent): Hello\n".encode(), "text/plain"),
    "a text in an object": (
        json.dumps({"data": "Dec 16, 03:41:59 PM EST Inès (Agent): Hello\n"}).encode(),
        "application/json",
    ),
}


@pytest.mark.parametrize(("body", "kind"), TRANSCRIPTS.values(), ids=TRANSCRIPTS)
def test_a_transcript_is_one_text(tmp_path: Path, body: bytes, kind: str) -> None:
    with FakeApi(Prepared(body=body, headers={"Content-Type": kind})) as api:
        pages = list(source(tmp_path, api).read(drift.transcripts, parents(conversationId=7)))

    assert records(pages) == [{"transcript": "Dec 16, 03:41:59 PM EST Inès (Agent): Hello\n"}]
    assert api.paths == ["/conversations/7/transcript"]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"<!doctype html>", "text/html; charset=utf-8"),
        (b"\xff\xfe", "text/plain"),
        (b'{"data": {"messages": []}}', "application/json"),
        (b'{"text": "Hello"}', "application/json"),
        (b'{"data": "cut', "application/json"),
    ],
)
def test_what_is_no_transcript_is_malformed(tmp_path: Path, body: bytes, kind: str) -> None:
    prepared = Prepared(body=body, headers={"Content-Type": kind})
    with (
        FakeApi(prepared) as api,
        pytest.raises(MalformedPage, match=r"drift\.transcripts: GET /conversations/7/transcript"),
    ):
        list(source(tmp_path, api).read(drift.transcripts, parents(conversationId=7)))


def test_stats_are_one_row_per_status(tmp_path: Path) -> None:
    with FakeApi(Prepared(body={"conversationCount": {"OPEN": 3, "CLOSED": 120, "NEW_ONE": 1}})) as api:
        pages = list(source(tmp_path, api).read(drift.conversation_stats, WHOLE))

    assert records(pages) == [
        {"status": "OPEN", "count": 3},
        {"status": "CLOSED", "count": 120},
        {"status": "NEW_ONE", "count": 1},
    ]


def meeting(start: int, **fields: Any) -> dict[str, Any]:
    return {"agentId": 5, "schedulerId": 6, "slotStart": start, **fields}


@pytest.mark.parametrize(
    ("fields", "key"),
    [
        ({"eventId": "e1"}, "e1"),
        ({"eventId": None}, f"5-6-{START}"),
        ({"eventId": ""}, f"5-6-{START}"),
        ({}, f"5-6-{START}"),
        ({"schedulerId": None}, f"5-null-{START}"),
    ],
)
def test_a_meeting_has_a_key_of_our_own(tmp_path: Path, fields: dict[str, Any], key: str) -> None:
    with FakeApi(Prepared(body={"data": [meeting(START, **fields)]})) as api:
        pages = list(source(tmp_path, api).read(drift.meetings, Slice(WINDOW)))

    assert records(pages) == [{"meetingKey": key, **meeting(START, **fields)}]
    assert api.queries == [{"min_start_time": str(START - 1), "max_start_time": str(END), "limit": "1000"}]


def test_a_meeting_outside_the_window_belongs_to_another(tmp_path: Path) -> None:
    body = {"data": [meeting(instant) for instant in (START - 1, START, END - 1, END)]}
    with FakeApi(Prepared(body=body)) as api:
        pages = list(source(tmp_path, api).read(drift.meetings, Slice(WINDOW)))

    assert [record["slotStart"] for record in records(pages)] == [START, END - 1]


def serve_meetings(starts: list[int]) -> Any:
    """Answer as Drift does: both bounds included, 1000 at most."""

    def reply(request: Any) -> Any:
        query = dict(parse_qsl(urlsplit(request.url).query))
        found = [start for start in starts if int(query["min_start_time"]) <= start <= int(query["max_start_time"])]
        return Prepared(body={"data": [meeting(start) for start in found[:1000]]}).response(request)

    return reply


@pytest.mark.parametrize(
    ("starts", "calls"),
    [
        ([START + 60_000 * number for number in range(999)], 1),
        ([START + 60_000 * number for number in range(1_000)], 3),
        ([START + 60_000 * number for number in range(1_440)], 3),
        ([START + number for number in range(1_500)], None),
        ([END - 1 - number for number in range(1_500)], None),
    ],
    ids=["just not full", "just full", "a minute apart", "crowded at the start", "crowded at the end"],
)
def test_a_full_answer_is_asked_for_again_in_halves(tmp_path: Path, starts: list[int], calls: int | None) -> None:
    api = FakeApi(*[serve_meetings(starts)] * 200)

    pages = list(source(tmp_path, api).read(drift.meetings, Slice(WINDOW)))

    assert sorted(record["slotStart"] for record in records(pages)) == sorted(starts)
    assert pages[-1].token is None
    assert calls is None or len(api.requests) == calls
    assert len(api.requests) < 80


def test_a_read_of_halves_goes_on_after_any_page(tmp_path: Path) -> None:
    starts = [START + number for number in range(1_500)]
    whole = list(source(tmp_path, FakeApi(*[serve_meetings(starts)] * 200)).read(drift.meetings, Slice(WINDOW)))

    for stop in (0, len(whole) // 2, len(whole) - 2):
        api = FakeApi(*[serve_meetings(starts)] * 200)
        rest = list(source(tmp_path, api).read(drift.meetings, Slice(WINDOW), whole[stop].token))
        assert rest == whole[stop + 1 :]


def test_more_meetings_in_a_millisecond_than_an_answer_holds_cannot_be_read(tmp_path: Path) -> None:
    api = FakeApi(*[serve_meetings([START] * 1_000)] * 200)

    with pytest.raises(IncompleteRead, match=r"drift\.meetings: more records within one millisecond"):
        list(source(tmp_path, api).read(drift.meetings, Slice(WINDOW)))


def test_meetings_say_how_far_back_they_are_listed() -> None:
    assert drift.meetings.cursor is not None
    assert drift.meetings.cursor.horizon == timedelta(days=30)


def report(*rows: tuple[int, dict[str, Any]], count: int | None = None) -> Prepared:
    data = [
        {"conversationId": number, "metrics": [metrics.get(name, "NaN") for name in METRICS]}
        for number, metrics in rows
    ]
    return Prepared(body={"count": len(rows) if count is None else count, "data": data})


def asked(api: FakeApi) -> list[Any]:
    return [json.loads(request.body or b"")["filters"][0]["values"] for request in api.requests]


def test_metrics_are_named_and_what_there_is_none_of_is_null(tmp_path: Path) -> None:
    with FakeApi(report((7, {"updatedAt": START, "numAgentMessages": 4}))) as api:
        pages = list(source(tmp_path, api).read(drift.conversation_metrics, Slice(WINDOW)))

    assert records(pages) == [
        {"conversationId": 7, **dict.fromkeys(METRICS), "updatedAt": START, "numAgentMessages": 4}
    ]
    (request,) = api.requests
    assert (request.method, api.paths, api.queries) == ("POST", ["/reports/conversations"], [{}])
    assert json.loads(request.body or b"") == {
        "filters": [{"property": "updatedAt", "operation": "BETWEEN", "values": [START - 1, END]}],
        "metrics": [
            "createdAt", "updatedAt", "firstCloseAt", "endUserId", "lastAgentId", "relatedPlaybookId",
            "timeToCloseMillis", "timeToAgentResponseMillis", "firstAgentMessageAt", "numAgentMessages",
            "numBotMessages", "numEndUserMessages",
        ],
    }  # fmt: skip


def test_metrics_of_several_weeks_are_asked_for_week_by_week_and_never_doubled(tmp_path: Path) -> None:
    week = 7 * 86_400_000
    at_midnight = (7, {"updatedAt": START + week})
    with FakeApi(report((6, {"updatedAt": START}), at_midnight), report(at_midnight), report()) as api:
        window = Window(WINDOW.start, WINDOW.start + 17.5 * DAY)
        pages = list(source(tmp_path, api).read(drift.conversation_metrics, Slice(window)))

    assert asked(api) == [
        [START - 1, START + week],
        [START + week - 1, START + 2 * week],
        [START + 2 * week - 1, START + 2 * week + week // 2],
    ]
    assert [record["conversationId"] for record in records(pages)] == [6, 7]


def test_a_report_that_holds_back_rows_is_asked_for_again_in_halves(tmp_path: Path) -> None:
    rows = [(number, {"updatedAt": START + number}) for number in range(4)]
    middle = START + 43_200_000
    with FakeApi(report(*rows[:2], count=4), report(*rows), report()) as api:
        pages = list(source(tmp_path, api).read(drift.conversation_metrics, Slice(WINDOW)))

    assert asked(api) == [[START - 1, END], [START - 1, middle], [middle - 1, END]]
    assert [record["conversationId"] for record in records(pages)] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "row", [{"conversationId": 7, "metrics": [1, 2]}, {"conversationId": "x", "metrics": []}, {"metrics": []}]
)
def test_a_report_row_that_does_not_fit_what_was_asked_is_malformed(tmp_path: Path, row: Any) -> None:
    with FakeApi(Prepared(body={"count": 1, "data": [row]})) as api, pytest.raises(MalformedPage):
        list(source(tmp_path, api).read(drift.conversation_metrics, Slice(WINDOW)))


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_credential_names_the_scope_of_the_stream(tmp_path: Path, status: int) -> None:
    with FakeApi(Prepared(status)) as api, pytest.raises(RequestRejected) as caught:
        list(source(tmp_path, api).read(drift.contact_attributes, WHOLE))

    assert str(caught.value) == (
        f"drift.contact_attributes: {status} from GET /contacts/attributes. The credential is not accepted or lacks "
        "the scope all_contact_read; check it, and the app's scopes at dev.drift.com (new scopes need a new "
        "installation, which gives a new token)."
    )


def tokens(number: int) -> Prepared:
    return Prepared(body={"access_token": f"access-{number}", "refresh_token": f"refresh-{number}", "expires_in": 7200})


@pytest.mark.parametrize("status", [401, 403])
def test_an_expired_token_is_refreshed_once_and_the_new_pair_kept(tmp_path: Path, status: int) -> None:
    with FakeApi(tokens(1), Prepared(status), tokens(2), Prepared(body={"data": []})) as api:
        list(source(tmp_path, api, **OAUTH).read(drift.users, WHOLE))

    assert api.paths == ["/oauth2/token", "/users/list", "/oauth2/token", "/users/list"]
    assert [request.headers.get("Authorization") for request in api.requests] == [
        None, "Bearer access-1", None, "Bearer access-2",
    ]  # fmt: skip
    assert [f"refresh_token=refresh-{number}" in str(api.requests[2 * number].body) for number in (0, 1)] == [
        True,
        True,
    ]

    with FakeApi(Prepared(body={"data": []})) as later:
        list(source(tmp_path, later, **OAUTH).read(drift.users, WHOLE))
    assert later.requests[0].headers["Authorization"] == "Bearer access-2"


def test_a_token_refused_after_its_refresh_lacks_the_scope(tmp_path: Path) -> None:
    with (
        FakeApi(tokens(1), Prepared(403), tokens(2), Prepared(403)) as api,
        pytest.raises(RequestRejected, match="lacks the scope playbook_read"),
    ):
        list(source(tmp_path, api, **OAUTH).read(drift.playbooks, WHOLE))


def test_a_refused_refresh_token_says_to_authorize_again(tmp_path: Path) -> None:
    with FakeApi(Prepared(400, {"error": SECRET})) as api, pytest.raises(RequestRejected) as caught:
        list(source(tmp_path, api, **OAUTH).read(drift.users, WHOLE))

    assert str(caught.value).startswith(
        "drift: POST /oauth2/token: 400. Check DRIFT_CLIENT_ID and DRIFT_CLIENT_SECRET;"
    )
    assert SECRET not in str(caught.value)


def test_a_full_bucket_is_waited_for_up_to_ten_times(tmp_path: Path) -> None:
    refusal = Prepared(429, {"error": {"type": "rate_limit", "message": "slow down"}})
    with FakeApi(*[refusal] * 9, Prepared(body={"data": []})) as api:
        list(source(tmp_path, api).read(drift.users, WHOLE))

    assert len(api.requests) == 10


def test_the_check_lists_users(tmp_path: Path) -> None:
    with FakeApi(Prepared(body={"data": []})) as api:
        source(tmp_path, api).check()

    assert api.paths == ["/users/list"]


def test_the_check_asks_what_the_token_may_do_where_it_may_not_list_users(tmp_path: Path) -> None:
    with FakeApi(Prepared(403), Prepared(body={"scope": "conversation_read gdpr_read"})) as api:
        source(tmp_path, api).check()

    assert (api.paths, json.loads(api.requests[1].body or b"")) == (
        ["/users/list", "/app/token_info"],
        {"access_token": SECRET},
    )


def test_a_token_that_comes_back_as_a_scope_is_not_shown(tmp_path: Path) -> None:
    with FakeApi(Prepared(403), Prepared(body={"scope": SECRET})) as api, pytest.raises(ConfigurationError) as caught:
        source(tmp_path, api).check()

    assert "(scopes: …)" in str(caught.value)


def test_a_token_that_opens_no_stream_fails_the_check(tmp_path: Path) -> None:
    with (
        FakeApi(Prepared(403), Prepared(body={"scope": "gdpr_read"})) as api,
        pytest.raises(ConfigurationError) as caught,
    ):
        source(tmp_path, api).check()

    assert str(caught.value) == (
        "drift: the credential is valid but opens no stream (scopes: gdpr_read). Grant the app any of account_read, "
        "all_contact_read, contact_read, conversation_read, playbook_read, user_read at dev.drift.com and install it "
        "again."
    )


@pytest.mark.parametrize(
    "steps", [(Prepared(401),), (Prepared(403), Prepared(403))], ids=["unknown token", "unknown to token_info too"]
)
def test_a_bad_token_fails_the_check_without_being_told(tmp_path: Path, steps: tuple[Prepared, ...]) -> None:
    with FakeApi(*steps) as api, pytest.raises(RequestRejected) as caught:
        source(tmp_path, api).check()

    assert "The credential is not accepted" in str(caught.value)
    assert SECRET not in str(caught.value)


MISSING: dict[str, tuple[dict[str, Any], str]] = {
    "everything": (
        {},
        "DRIFT_ACCESS_TOKEN is not set. Set it (or DRIFT_CLIENT_ID, DRIFT_CLIENT_SECRET and DRIFT_REFRESH_TOKEN)",
    ),
    "the client's id": ({"refresh_token": "r", "client_secret": "s"}, "DRIFT_CLIENT_ID is not set"),
    "the client's secret": ({"refresh_token": "r", "client_id": "c"}, "DRIFT_CLIENT_SECRET is not set"),
    "the refresh token": ({"client_id": "c", "client_secret": "s"}, "DRIFT_REFRESH_TOKEN is not set"),
}  # fmt: skip


@pytest.mark.parametrize(("fields", "message"), MISSING.values(), ids=MISSING)
def test_a_missing_credential_names_its_variable(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(MissingCredential) as caught:
        Drift(**fields).authenticator()

    assert message in str(caught.value)


def test_a_refresh_token_wins_over_an_access_token(tmp_path: Path) -> None:
    assert isinstance(source(tmp_path).authenticator(), BearerToken)
    assert isinstance(source(tmp_path, **OAUTH, access_token="t").authenticator(), OAuth2Refresh)


def test_accounts_are_told_apart_without_showing_a_secret(tmp_path: Path) -> None:
    names = [
        source(tmp_path).account,
        source(tmp_path, access_token="another").account,
        source(tmp_path, base_url="https://proxy.test").account,
        source(tmp_path, **OAUTH).account,
        source(tmp_path, **{**OAUTH, "refresh_token": "of another organization"}).account,
    ]

    assert len(set(names)) == 5
    assert source(tmp_path).account == names[0]
    assert all(name.startswith("drift-") and len(name) == 18 for name in names)


@pytest.mark.parametrize(
    "url", ["driftapi.com", "ftp://driftapi.com", "https://", f"https://a:{SECRET}@x.test", "https://x.test?a=b"]
)
def test_a_base_url_that_is_none_is_a_setting_to_change(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^drift: base_url must read https://host or https://host/path\.$"):
        _ = Drift(base_url=url).url


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("", "https://driftapi.com"),
        ("https://api.drift.com/", "https://api.drift.com"),
        ("http://127.0.0.1:1/drift", "http://127.0.0.1:1/drift"),
    ],
)
def test_the_base_url_is_the_vendors_or_the_one_that_is_set(url: str, expected: str) -> None:
    assert Drift(base_url=url).url == expected
