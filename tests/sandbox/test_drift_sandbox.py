"""The Drift sandbox keeps the vendor's rules: shapes, orders, limits and refusals."""

import base64
import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from connector_resources.sandbox.accounts import credentials
from connector_resources.sandbox.data import COMPANIES
from connector_resources.sandbox.drift import Drift, LeakyBucket, Rules, build
from connector_resources.sandbox.drift_data import DAY, HISTORY_DAYS, Organization
from connector_resources.sandbox.settings import Settings
from tests.sandbox.conftest import AsgiAdapter

TODAY = date(2026, 3, 15)
END = int(datetime(2026, 3, 15, tzinfo=UTC).timestamp()) * 1_000
START = END - HISTORY_DAYS * DAY
ACCOUNT = credentials("drift")
UNLIMITED = Settings(seed=3, today=TODAY, limits=0)


class Client:
    """One caller of one sandbox."""

    def __init__(self, settings: Settings = UNLIMITED, rules: Rules | None = None) -> None:
        self.app = build(settings, rules)
        self.drift: Drift = self.app.state.drift
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.mount("http://drift", AsgiAdapter(self.app))
        self.token = ACCOUNT["access_token"]

    def get(self, path: str, **query: Any) -> requests.Response:
        return self.session.get(f"http://drift{path}", params=query, headers=self.bearer, allow_redirects=False)

    def post(self, path: str, **body: Any) -> requests.Response:
        return self.session.post(f"http://drift{path}", headers=self.bearer, **body)

    def data(self, path: str, **query: Any) -> Any:
        response = self.get(path, **query)
        assert response.status_code == 200, response.text
        return response.json()["data"]

    @property
    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    def conversations(self, **query: Any) -> list[dict[str, Any]]:
        return [row for page in self.pages(**query) for row in page["data"]]

    def pages(self, **query: Any) -> Iterator[dict[str, Any]]:
        while True:
            page = self.get("/conversations/list", **query).json()
            yield page
            if "next" not in page["links"]:
                return
            query = {"page_token": page_token(page["links"]["next"])}

    def messages(self, conversation_id: int) -> Iterator[dict[str, Any]]:
        query: dict[str, Any] = {}
        while True:
            page = self.get(f"/conversations/{conversation_id}/messages", **query).json()
            yield page
            if "pagination" not in page:
                return
            query = {"next": page["pagination"]["next"]}


class Clock:
    """Seconds since the epoch, moved by hand."""

    def __init__(self) -> None:
        self.now = 1_773_600_000.0

    def __call__(self) -> float:
        return self.now


def words(text: str) -> list[str]:
    return text.split()


def page_token(link: str) -> str:
    return parse_qs(urlsplit(link).query)["page_token"][0]


def refused(response: requests.Response) -> tuple[int, str]:
    """Return status and type of a refusal, which must have the documented envelope and nothing else."""
    body = response.json()
    assert list(body) == ["error"]
    assert sorted(body["error"]) == ["message", "type"]
    assert response.headers["content-type"] == "application/json"
    return response.status_code, body["error"]["type"]


@pytest.fixture(scope="module")
def client() -> Client:
    """A sandbox nobody changes."""
    return Client()


# 1. Who may read


@pytest.mark.parametrize("token", ["", "wrong", "access-1-0123", "access-²-x", "refresh-1-x"])
@pytest.mark.parametrize("status", [403, 401])
def test_a_bad_token_is_an_authentication_error_with_the_status_of_the_rules(token: str, status: int) -> None:
    client = Client(rules=Rules(refusal_status=status))
    client.token = token
    assert refused(client.get("/users/list")) == (status, "authentication_error")


@pytest.mark.parametrize(
    ("path", "scope"),
    [
        ("/users/list", "user_read"),
        ("/users", "user_read"),
        ("/users/21965", "user_read"),
        ("/users/meetings/org", "user_read"),
        ("/teams/org", "user_read"),
        ("/teams/users/21965", "user_read"),
        ("/accounts", "account_read"),
        ("/accounts/x", "account_read"),
        ("/contacts", "contact_read"),
        ("/contacts/1", "contact_read"),
        ("/contacts/attributes", "all_contact_read"),
        ("/conversations/list", "conversation_read"),
        ("/conversations/stats", "conversation_read"),
        ("/conversations/1", "conversation_read"),
        ("/conversations/1/messages", "conversation_read"),
        ("/conversations/1/transcript", "conversation_read"),
        ("/conversations/1/json_transcript", "conversation_read"),
        ("/attachments/1/data", "conversation_read"),
        ("/playbooks/list", "playbook_read"),
        ("/playbooks/clp", "playbook_read"),
    ],
)
def test_a_call_needs_exactly_its_scope(path: str, scope: str) -> None:
    every = {"user_read", "account_read", "contact_read", "all_contact_read", "conversation_read", "playbook_read"}
    tokens = {"only": frozenset((scope,)), "without": frozenset(every - {scope})}
    client = Client(Settings(scale=0.1, today=TODAY, limits=0), Rules(tokens=tokens))
    client.token = "without"
    assert refused(client.get(path)) == (403, "authentication_error")
    client.token = "only"
    assert client.get(path).status_code in (200, 400, 404)


# 2. Tokens


def form(**fields: str) -> dict[str, Any]:
    return {"data": fields}


def snake_json(**fields: str) -> dict[str, Any]:
    return {"json": fields}


def camel_json(**fields: str) -> dict[str, Any]:
    return {"json": {name.replace("_t", "T").replace("_i", "I").replace("_s", "S"): fields[name] for name in fields}}


APP = {"client_id": ACCOUNT["client_id"], "client_secret": ACCOUNT["client_secret"]}
REFRESH = APP | {"grant_type": "refresh_token", "refresh_token": ACCOUNT["refresh_token"]}


@pytest.mark.parametrize("spelling", [form, snake_json, camel_json])
def test_a_refresh_is_understood_as_form_and_as_json_in_both_spellings(spelling: Any) -> None:
    client = Client()
    response = client.post("/oauth2/token", **spelling(**REFRESH))
    assert response.status_code == 200, response.text
    given = response.json()
    assert sorted(given) == ["access_token", "expires_in", "orgId", "refresh_token", "token_type"]
    assert (given["token_type"], given["expires_in"]) == ("bearer", 7200)
    client.token = given["access_token"]
    assert client.get("/users/list").status_code == 200


def test_the_token_answer_can_be_spelled_in_camel_case() -> None:
    given = Client(rules=Rules(answers_camel_case=True)).post("/oauth2/token", **form(**REFRESH)).json()
    assert sorted(given) == ["accessToken", "expiresIn", "orgId", "refreshToken", "tokenType"]


def test_a_refresh_token_is_good_once_and_the_new_one_goes_on() -> None:
    client = Client()
    first = client.post("/oauth2/token", **form(**REFRESH)).json()["refresh_token"]
    assert refused(client.post("/oauth2/token", **form(**REFRESH))) == (400, "validation_error")
    second = client.post("/oauth2/token", **form(**REFRESH | {"refresh_token": first})).json()["refresh_token"]
    assert len({first, second, ACCOUNT["refresh_token"]}) == 3
    assert refused(client.post("/oauth2/token", **form(**REFRESH | {"refresh_token": first}))) == (
        400,
        "validation_error",
    )


@pytest.mark.parametrize("proof", ["access_token", "refresh_token"])
def test_a_replaced_refresh_token_is_good_until_its_successor_is_used_where_the_rules_say_so(proof: str) -> None:
    client = Client(rules=Rules(keeps_refresh_token=True))
    client.post("/oauth2/token", **form(**REFRESH))
    again = client.post("/oauth2/token", **form(**REFRESH))
    assert again.status_code == 200
    if proof == "access_token":
        client.token = again.json()[proof]
        assert client.get("/users/list").status_code == 200
    else:
        client.post("/oauth2/token", **form(**REFRESH | {"refresh_token": again.json()[proof]}))
    assert refused(client.post("/oauth2/token", **form(**REFRESH))) == (400, "validation_error")


def test_a_rotated_refresh_token_survives_a_restart_of_the_sandbox() -> None:
    rotated = Client().post("/oauth2/token", **form(**REFRESH)).json()["refresh_token"]
    restarted = Client()
    assert restarted.post("/oauth2/token", **form(**REFRESH | {"refresh_token": rotated})).status_code == 200
    assert refused(restarted.post("/oauth2/token", **form(**REFRESH))) == (400, "validation_error")


def test_an_access_token_lives_two_hours() -> None:
    clock = Clock()
    client = Client(rules=Rules(clock=clock))
    client.token = client.post("/oauth2/token", **form(**REFRESH)).json()["access_token"]
    clock.now += 7199
    assert client.get("/users/list").status_code == 200
    clock.now += 1
    assert refused(client.get("/users/list")) == (403, "authentication_error")


def test_a_code_from_the_authorize_page_is_exchanged_once() -> None:
    client = Client()
    client.token = ""
    back = client.get(
        "/authorize",
        response_type="code",
        client_id=ACCOUNT["client_id"],
        redirect_uri="http://localhost/back",
        state="s1",
    )
    query = parse_qs(urlsplit(back.headers["location"]).query)
    assert (back.status_code, query["state"]) == (302, ["s1"])
    exchange = form(**APP, grant_type="authorization_code", code=query["code"][0])
    given = client.post("/oauth2/token", **exchange).json()
    assert refused(client.post("/oauth2/token", **exchange)) == (400, "validation_error")
    client.token = given["access_token"]
    assert client.get("/users/list").status_code == 200


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"client_secret": "wrong"}, (403, "authentication_error")),
        ({"client_id": "wrong"}, (403, "authentication_error")),
        ({"grant_type": "password"}, (400, "validation_error")),
        ({"refresh_token": "wrong"}, (400, "validation_error")),
        ({"refresh_token": ""}, (400, "validation_error")),
        ({"grant_type": "authorization_code", "code": "wrong"}, (400, "validation_error")),
    ],
)
def test_a_wrong_token_call_is_refused(change: dict[str, str], expected: tuple[int, str]) -> None:
    assert refused(Client().post("/oauth2/token", **form(**REFRESH | change))) == expected


def test_token_info_tells_life_in_milliseconds_and_scopes() -> None:
    clock = Clock()
    client = Client(rules=Rules(clock=clock))
    issued = client.post("/oauth2/token", **form(**REFRESH)).json()["access_token"]
    info = client.post("/app/token_info", json={"access_token": issued}).json()
    assert sorted(info) == sorted(
        words("access_token authenticated_userid credential_id token_type expires_in created_at scope id")
    )
    assert (info["access_token"], info["expires_in"], info["created_at"]) == (issued, 7_200_000, int(clock.now * 1000))
    assert info["scope"] == "account_read all_contact_read contact_read conversation_read playbook_read user_read"
    private = client.post("/app/token_info", json={"access_token": ACCOUNT["access_token"]}).json()
    assert private["expires_in"] == 0
    assert refused(client.post("/app/token_info", json={"access_token": "wrong"})) == (403, "authentication_error")


# 3. Rate limits


def test_a_leaky_bucket_refuses_what_is_over_and_drains() -> None:
    clock = Clock()
    bucket = LeakyBucket(20, 5, clock)
    assert [bucket.wait_seconds() for _ in range(20)] == [0.0] * 20
    assert bucket.wait_seconds() == pytest.approx(0.2)
    clock.now += 1.0
    assert [bucket.wait_seconds() > 0 for _ in range(6)] == [False] * 5 + [True]


@pytest.mark.parametrize(("limits", "allowed"), [(1.0, 20), (2.0, 40), (0.5, 10), (0.01, 1), (0.0, 60)])
def test_the_bucket_holds_twenty_requests_times_the_setting(limits: float, allowed: int) -> None:
    client = Client(Settings(scale=0.1, today=TODAY, limits=limits), Rules(clock=Clock()))
    codes = Counter(client.get("/playbooks/clp").status_code for _ in range(60))
    assert codes == Counter({200: allowed, 429: 60 - allowed})


@pytest.mark.parametrize(("sends", "header"), [(False, None), (True, "1")])
def test_a_429_is_a_rate_limit_error_with_retry_after_only_if_switched_on(sends: bool, header: str | None) -> None:
    client = Client(Settings(scale=0.1, today=TODAY), Rules(clock=Clock(), sends_retry_after=sends))
    for _ in range(20):
        assert client.get("/playbooks/clp").status_code == 200
    response = client.get("/playbooks/clp")
    assert refused(response) == (429, "rate_limit")
    assert response.headers.get("retry-after") == header


def test_the_refusal_lent_to_faults_is_the_vendors() -> None:
    refusal = Client().drift.too_many_requests()
    assert (refusal.status_code, json.loads(bytes(refusal.body))["error"]["type"]) == (429, "rate_limit")


def test_reports_have_their_own_limit_of_sixty_a_minute() -> None:
    clock = Clock()
    client = Client(Settings(scale=0.1, today=TODAY), Rules(clock=clock))
    codes = []
    for _ in range(61):
        clock.now += 0.25  # slower than the bucket leaks
        codes.append(client.post("/reports/conversations", json={"metrics": []}).status_code)
    assert codes == [200] * 60 + [429]
    assert client.get("/users/list").status_code == 200
    clock.now += 45.25  # a minute after the second of them
    codes = [client.post("/reports/conversations", json={"metrics": []}).status_code for _ in range(3)]
    assert codes == [200, 200, 429]


# 4. and 5. The list of conversations


def test_the_list_is_sparse_and_newest_first_with_ties_by_id(client: Client) -> None:
    rows = client.conversations()
    fields = {"id", "status", "contactId", "inboxId", "createdAt", "updatedAt"}
    assert all(set(row) == fields for row in rows)
    keys = [(-row["updatedAt"], row["id"]) for row in rows]
    assert keys == sorted(keys)
    assert len({row["id"] for row in rows}) == len(rows) == 80
    assert max(Counter(row["updatedAt"] for row in rows).values()) > 1, "the order of ties must have been put to a test"


@pytest.mark.parametrize(("query", "sizes"), [({}, [25, 25, 25, 5]), ({"limit": 40}, [40, 40]), ({"limit": 100}, [80])])
def test_a_page_has_25_rows_or_the_limit_that_its_token_keeps(
    client: Client, query: dict[str, int], sizes: list[int]
) -> None:
    pages = list(client.pages(**query))
    assert [len(page["data"]) for page in pages] == sizes
    assert ["next" in page["links"] for page in pages] == [True] * (len(sizes) - 1) + [False]


def test_links_point_to_the_vendors_host_and_carry_only_a_page_token(client: Client) -> None:
    first, second = list(client.pages(limit=40, statusId=[1, 2]))[:2]
    for link in (first["links"]["self"], first["links"]["next"], second["links"]["self"]):
        parts = urlsplit(link)
        assert (parts.scheme, parts.netloc, parts.path) == ("https", "api.drift.com", "/conversations/list")
        assert list(parse_qs(parts.query)) == ["page_token"]
        assert "=" not in parse_qs(parts.query)["page_token"][0]
    assert first["links"]["next"] == second["links"]["self"]


def test_a_page_token_is_the_key_of_the_last_row(client: Client) -> None:
    page = client.get("/conversations/list", limit=2, statusId=1).json()
    token = page_token(page["links"]["next"])
    last = page["data"][-1]
    assert base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode() == (
        f"statusIds=1&highestUpdatedAt={last['updatedAt']}&highestId={last['id']}&limit=2"
    )


def test_status_ids_select_and_stay_in_force_over_pages(client: Client) -> None:
    everything = client.conversations()
    assert {row["status"] for row in everything} == {"open", "closed", "pending", "bulk_sent"}
    for ids, names in (([1], {"open"}), ([2], {"closed"}), ([1, 3], {"open", "pending"})):
        rows = client.conversations(statusId=ids, limit=3)
        assert rows == [row for row in everything if row["status"] in names]


def test_the_older_pagination_reads_the_same_rows(client: Client) -> None:
    rows, query = [], {"limit": 30}
    while True:
        page = client.get("/conversations/list", **query).json()
        rows += page["data"]
        if "pagination" not in page:
            break
        assert page["pagination"]["more"] is True
        query["next"] = page["pagination"]["next"]
    assert rows == client.conversations()


def test_the_older_pagination_can_be_switched_off() -> None:
    page = Client(rules=Rules(has_pagination=False)).get("/conversations/list").json()
    assert sorted(page) == ["data", "links"]


def test_the_older_maximum_of_fifty_can_be_switched_on() -> None:
    client = Client(rules=Rules(conversations_maximum=50))
    assert len(client.data("/conversations/list", limit=50)) == 50
    assert refused(client.get("/conversations/list", limit=51)) == (400, "validation_error")


def test_a_conversation_updated_while_paging_jumps_to_the_top_and_is_missed_until_the_next_run() -> None:
    client = Client()
    before = [row["id"] for row in client.conversations()]
    pages = client.pages(limit=30)
    read = [row["id"] for row in next(pages)["data"]]
    updated = client.drift.drift_row()
    read += [row["id"] for page in pages for row in page["data"]]
    assert read == [number for number in before if number != updated]
    top = client.conversations()[0]
    assert (top["id"], top["updatedAt"]) == (updated, END + 1_000)
    last = list(client.messages(updated))[-1]["data"]["messages"][-1]
    assert last["createdAt"] == top["updatedAt"]


def test_offsets_repeat_a_row_when_a_conversation_is_updated_while_paging() -> None:
    client = Client()
    first = client.data("/conversations/list", limit=30)
    client.drift.drift_row()
    second = client.data("/conversations/list", limit=30, next="30")
    assert second[0]["id"] == first[-1]["id"]


# Details and messages


def test_a_detail_repeats_the_list_and_adds_what_the_list_leaves_out(client: Client) -> None:
    seen: set[str] = set()
    for row in client.conversations():
        detail = client.data(f"/conversations/{row['id']}")
        assert {name: detail[name] for name in row} == row
        assert {"participants", "conversationTags"} <= set(detail)
        seen |= set(detail)
    assert seen - {"id", "status", "contactId", "inboxId", "createdAt", "updatedAt"} == {
        "orgId",
        "participants",
        "relatedPlaybookId",
        "conversationTags",
    }


def test_messages_come_oldest_first_in_pages_of_fifty_and_pagination_is_absent_at_the_end(client: Client) -> None:
    sizes = []
    for row in client.conversations():
        pages = list(client.messages(row["id"]))
        assert all(len(page["data"]["messages"]) == 50 and page["pagination"]["more"] for page in pages[:-1])
        messages = [message for page in pages for message in page["data"]["messages"]]
        times = [message["createdAt"] for message in messages]
        assert times == sorted(set(times))
        assert (times[0], times[-1]) == (row["createdAt"], row["updatedAt"])
        assert {message["conversationId"] for message in messages} == {row["id"]}
        sizes.append(len(messages))
    assert 2_000 < sum(sizes) < 2_800
    assert 3 < sum(size > 50 for size in sizes) < 20
    assert {50, 100, 168, 1} <= set(sizes)


def test_transcripts_say_what_the_messages_say(client: Client) -> None:
    for row in client.conversations()[:20]:
        messages = [message for page in client.messages(row["id"]) for message in page["data"]["messages"]]
        names = ("id", "body", "type", "author", "createdAt")
        assert client.data(f"/conversations/{row['id']}/json_transcript") == {
            "messages": [{name: message[name] for name in names if name in message} for message in messages]
        }
        text = client.get(f"/conversations/{row['id']}/transcript")
        assert text.headers["content-type"].startswith("text/plain")
        lines = text.text.splitlines()
        assert len(lines) == len(messages)
        assert "<p>" not in text.text
        moment = datetime.fromtimestamp(messages[0]["createdAt"] // 1000 - 5 * 3600, UTC)
        assert lines[0].startswith(moment.strftime("%b %d, %I:%M:%S %p EST "))


def test_an_attachment_is_where_its_message_says(client: Client) -> None:
    attachments = [
        attachment
        for row in client.conversations()
        for page in client.messages(row["id"])
        for message in page["data"]["messages"]
        for attachment in message.get("attachments", [])
    ]
    assert len({attachment["id"] for attachment in attachments}) == len(attachments) > 20
    for attachment in attachments[:20]:
        assert attachment["url"] == f"https://driftapi.com/attachments/{attachment['id']}/data"
        response = client.get(f"/attachments/{attachment['id']}/data")
        assert response.headers["content-type"].startswith(attachment["mimeType"])
        assert response.content.startswith(attachment["fileName"].encode())


def test_stats_count_by_status_without_mass_mailings(client: Client) -> None:
    statuses = Counter(row["status"].upper() for row in client.conversations())
    assert client.get("/conversations/stats").json() == {
        "conversationCount": {name: statuses[name] for name in ("OPEN", "CLOSED", "PENDING")}
    }


# 7. Accounts


@pytest.mark.parametrize(
    ("query", "sizes"), [({}, [10] * 9 + [8]), ({"size": 65}, [65, 33]), ({"index": 90, "size": 8}, [8])]
)
def test_accounts_follow_a_relative_next_that_is_absent_on_the_last_page(
    client: Client, query: dict[str, int], sizes: list[int]
) -> None:
    pages = [client.data("/accounts", **query)]
    while "next" in pages[-1]:
        assert pages[-1]["next"].startswith("/accounts?index=")
        pages.append(client.data(pages[-1]["next"]))
    assert [len(page["accounts"]) for page in pages] == sizes
    assert {page["total"] for page in pages} == {98}
    ids = [account["accountId"] for page in pages for account in page["accounts"]]
    assert len(set(ids)) == len(ids)


def test_a_deleted_account_is_hidden_from_the_list_and_shown_as_deleted_by_its_id(client: Client) -> None:
    listed = [client.data("/accounts", index=index, size=65)["accounts"] for index in (0, 65)]
    assert not any(account["deleted"] for page in listed for account in page)
    deleted = [account for account in client.drift.organization.accounts if account["deleted"]]
    assert len(deleted) == 2
    for account in deleted:
        assert client.data(f"/accounts/{account['accountId']}") == account


# 8. and 14. Contacts


def test_contacts_are_found_by_id_email_and_external_id(client: Client) -> None:
    contacts = list(client.drift.organization.contacts.values())
    for contact in contacts[:20]:
        assert client.data(f"/contacts/{contact['id']}") == contact
        attributes = contact["attributes"]
        if "email" in attributes:
            assert contact in client.data("/contacts", email=attributes["email"])
        external = attributes.get("externalId", attributes.get("external_id"))
        if external is not None:
            assert client.data("/contacts", idType="external", id=external) == [contact]
    assert [row["id"] for row in client.data("/contacts", idType="external", id=["crm-1", "nobody", "crm-0"])] == [
        contacts[1]["id"],
        contacts[0]["id"],
    ]
    assert client.data("/contacts", email="nobody@example.com") == []


def test_an_email_is_not_unique_and_limit_cuts_what_it_finds(client: Client) -> None:
    emails = Counter(contact["attributes"].get("email") for contact in client.drift.organization.contacts.values())
    email = next(email for email, count in emails.items() if email and count > 1)
    assert len(client.data("/contacts", email=email)) == emails[email]
    assert len(client.data("/contacts", email=email, limit=1)) == 1


def test_some_conversations_point_to_deleted_contacts_which_are_not_found(client: Client) -> None:
    gone = set()
    for number in {row["contactId"] for row in client.conversations()}:
        response = client.get(f"/contacts/{number}")
        if response.status_code != 200:
            assert refused(response) == (404, "not_found")
            gone.add(number)
    assert gone == client.drift.organization.deleted_contacts
    assert len(gone) == 4


def test_the_last_context_location_is_json_inside_a_string(client: Client) -> None:
    found = [contact["attributes"] for contact in client.drift.organization.contacts.values()]
    locations = [attributes["last_context_location"] for attributes in found if "last_context_location" in attributes]
    assert 0 < len(locations) < len(found)
    assert all(set(json.loads(text)) == {"city", "region", "country", "countryName"} for text in locations)


# 9. Odd shapes


def test_playbooks_and_landing_pages_are_bare_arrays(client: Client) -> None:
    playbooks, pages = client.get("/playbooks/list").json(), client.get("/playbooks/clp").json()
    assert [len(playbooks), len(pages)] == [8, 5]
    assert {page["playbookId"] for page in pages} <= {playbook["id"] for playbook in playbooks}
    assert {name for page in pages for name in page} == {"playbookId", "playbookName", "landingPageUrl"}


def test_users_by_id_are_a_map_without_the_unknown(client: Client) -> None:
    users = client.data("/users/list")
    assert len(users) == 12
    wanted = [users[3]["id"], 1, users[0]["id"]]
    assert client.data("/users", userId=wanted) == {str(users[index]["id"]): users[index] for index in (3, 0)}
    assert client.data(f"/users/{users[5]['id']}") == users[5]


def test_teams_are_listed_whole_and_by_user(client: Client) -> None:
    teams = client.data("/teams/org")
    assert len(teams) == 3
    member = teams[1]["members"][0]
    assert client.data(f"/teams/users/{member}") == [team for team in teams if member in team["members"]]


def test_contact_attributes_are_defined_with_their_types(client: Client) -> None:
    properties = client.data("/contacts/attributes")["properties"]
    assert {definition["type"] for definition in properties} == {"STRING", "NUMERIC", "BOOLEAN", "DATETIME", "DATE"}
    assert all(set(definition) == {"name", "displayName", "type"} for definition in properties)


# 10. Meetings


def test_meetings_start_in_the_window_with_both_ends_and_at_most_thirty_days_ago(client: Client) -> None:
    everything = client.data("/users/meetings/org", min_start_time=0, max_start_time=END + 400 * DAY)
    starts = [meeting["slotStart"] for meeting in everything]
    assert starts == sorted(starts)
    assert END - 30 * DAY <= starts[0] < END < starts[-1]
    held = [meeting["slotStart"] for meeting in client.drift.organization.meetings]
    assert len(held) == 30
    assert len(starts) == sum(start >= END - 30 * DAY for start in held) < 30
    low, high = starts[3], starts[9]
    window = client.data("/users/meetings/org", min_start_time=low, max_start_time=high)
    assert [meeting["slotStart"] for meeting in window] == [start for start in starts if low <= start <= high]


def test_meetings_are_a_hundred_unless_asked_and_never_more_than_a_thousand() -> None:
    client = Client(Settings(scale=50, today=TODAY, limits=0))
    window = {"min_start_time": 0, "max_start_time": END + 30 * DAY}
    counts = [len(client.data("/users/meetings/org", **window, **limit)) for limit in ({}, {"limit": 1000})]
    assert counts == [100, 1000]
    assert client.data("/users/meetings/org", **window, limit=0) == []


# 11. Fields

OPTIONAL = {
    "users": {"name", "alias", "email", "phone", "locale", "timeZone", "avatarUrl"},
    "teams": {"teamCsatEnabled"},
    "accounts": {"ownerId"},
    "messages": {"body", "context", "attachments", "editedMessageId", "editType"},
    "context": {"locale", "timezone"},
    "location": {"region", "postalCode"},
    "buttons": {"reaction"},
    "meetings": {
        "meetingType",
        "meetingNotes",
        "bookedBy",
        "endUserTimeZone",
        "conferenceType",
        "conferenceDetails",
        "meetingSlug",
        "eventId",
        "isOrgSlug",
        "isRecurring",
        "isPrivate",
    },
    "playbooks": {"updatedAuthorId"},
}
REQUIRED = {
    "users": words("id orgId availability role verified bot createdAt updatedAt"),
    "teams": words(
        "id orgId workspaceId name updatedAt members owner status main autoOffline teamAvailabilityMode "
        "responseTimerEnabled"
    ),
    "accounts": words("accountId name domain customProperties deleted targeted createDateTime updateDateTime"),
    "messages": words("id orgId conversationId type author createdAt buttons attributes"),
    "context": words("ip userAgent href title referrer location"),
    "location": words("city country countryName latitude longitude"),
    "buttons": words("label value type style"),
    "meetings": words(
        "agentId orgId schedulerId conversationId slug status meetingSource slotStart slotEnd scheduledAt updatedAt"
    ),
    "playbooks": words("id name orgId meta createdAt updatedAt createdAuthorId interactionId reportType goals"),
}


def records(organization: Organization, what: str) -> list[dict[str, Any]]:
    messages = [row for found in organization.conversations.values() for row in organization.messages(found)]
    contexts = [row["context"] for row in messages if "context" in row]
    return {
        "users": organization.users,
        "teams": organization.teams,
        "accounts": organization.accounts,
        "meetings": organization.meetings,
        "playbooks": organization.playbooks,
        "messages": messages,
        "context": contexts,
        "location": [context["location"] for context in contexts],
        "buttons": [button for row in messages for button in row["buttons"]],
    }[what]


@pytest.mark.parametrize("what", sorted(REQUIRED))
def test_every_listed_field_occurs_and_an_optional_one_is_sometimes_absent(client: Client, what: str) -> None:
    found = records(client.drift.organization, what)
    counts = Counter(name for record in found for name in record)
    assert {name for name in counts if counts[name] == len(found)} == set(REQUIRED[what])
    assert {name for name in counts if counts[name] < len(found)} == OPTIONAL.get(what, set())


def test_every_listed_value_occurs(client: Client) -> None:
    organization = client.drift.organization

    def values(what: str, name: str) -> set[Any]:
        return {record[name] for record in records(organization, what) if name in record}

    assert values("users", "availability") == {"AVAILABLE", "OFFLINE", "ON_CALL"}
    assert values("users", "role") == {"member", "admin", "agent"}
    assert values("teams", "status") == {"ENABLED", "ARCHIVED"}
    assert values("messages", "type") == {"chat", "private_note", "private_prompt", "edit"}
    assert values("messages", "editType") == {"delete", "replace", "replace_body", "replace_buttons"}
    assert values("buttons", "type") == {"reply", "compose", "action"}
    assert values("meetings", "status") == {"ACTIVE", "CANCELED"}
    kinds = {row["type"] for account in organization.accounts for row in account["customProperties"]}
    assert len(kinds) == 13


def test_contact_attributes_have_every_key_seen_in_real_replies(client: Client) -> None:
    found = [contact["attributes"] for contact in client.drift.organization.contacts.values()]
    expected = words(
        "email name first_name phone externalId external_id tags events socialProfiles _END_USER_VERSION "
        "_end_user_version _calculated_version _classification start_date last_active last_contacted ip original_ip "
        "last_context_location original_entrance_page_url original_entrance_page_title recent_entrance_page_url "
        "recent_entrance_page_title original_conversation_started_page_url original_conversation_started_page_title "
        "recent_conversation_started_page_url recent_conversation_started_page_title original_referer_url "
        "recent_referer_url recent_source recent_medium employment_name employment_title display_location"
    )
    custom = {"plan", "seats", "is_customer", "trial_end", "renewal_date"}
    assert {name for attributes in found for name in attributes} == custom.union(expected)


@pytest.mark.parametrize("scale", [0.1, 1.0])
def test_no_field_is_null(scale: float) -> None:
    organization = Organization(3, scale, TODAY)

    def nulls(value: object) -> bool:
        if isinstance(value, dict):
            return any(nulls(inner) for inner in value.values())
        if isinstance(value, list):
            return any(nulls(inner) for inner in value)
        return value is None

    everything: list[Any] = [*organization.contacts.values()]
    everything += [conversation.detailed() for conversation in organization.conversations.values()]
    for what in REQUIRED:
        everything += records(organization, what)
    assert not nulls(everything)


# 12. Reports


def report(client: Client, *filters: dict[str, Any], metrics: list[str]) -> dict[str, Any]:
    response = client.post("/reports/conversations", json={"filters": list(filters), "metrics": metrics})
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    assert body["count"] == len(body["data"])
    return body


METRICS = words(
    "createdAt updatedAt firstCloseAt endUserId lastAgentId relatedPlaybookId timeToCloseMillis "
    "timeToAgentResponseMillis firstAgentMessageAt numAgentMessages numBotMessages numEndUserMessages"
)


def test_metrics_come_in_the_order_asked_with_nan_for_a_missing_one(client: Client) -> None:
    rows = {row["id"]: row for row in client.conversations()}
    forward = {row["conversationId"]: row["metrics"] for row in report(client, metrics=METRICS)["data"]}
    backward = {row["conversationId"]: row["metrics"] for row in report(client, metrics=METRICS[::-1])["data"]}
    assert set(forward) == set(rows)
    missing = set()
    for number, values in forward.items():
        assert values == backward[number][::-1]
        known = dict(zip(METRICS, values, strict=True))
        row = rows[number]
        assert [known["createdAt"], known["updatedAt"], known["endUserId"]] == [
            row["createdAt"],
            row["updatedAt"],
            row["contactId"],
        ]
        assert (known["firstCloseAt"] == "NaN") == (row["status"] != "closed")
        missing |= {name for name in METRICS if known[name] == "NaN"}
        messages = [message for page in client.messages(number) for message in page["data"]["messages"]]
        counts = [known[f"num{who}Messages"] for who in ("Agent", "Bot", "EndUser")]
        assert sum(counts) == len(messages)
    assert missing == {
        "firstCloseAt",
        "lastAgentId",
        "relatedPlaybookId",
        "timeToCloseMillis",
        "timeToAgentResponseMillis",
        "firstAgentMessageAt",
    }


def test_between_days_includes_the_whole_last_day(client: Client) -> None:
    days = {"property": "updatedAt", "operation": "BETWEEN", "values": ["2026-03-01", "2026-03-09"]}
    low = int(datetime(2026, 3, 1, tzinfo=UTC).timestamp()) * 1000
    high = int(datetime(2026, 3, 10, tzinfo=UTC).timestamp()) * 1000
    expected = [row["id"] for row in client.conversations() if low <= row["updatedAt"] < high]
    assert [row["conversationId"] for row in report(client, days, metrics=[])["data"]] == expected
    assert expected


def test_between_milliseconds_includes_both_ends(client: Client) -> None:
    rows = client.conversations()[10:20]
    ends = {"property": "updatedAt", "operation": "BETWEEN", "values": [rows[-1]["updatedAt"], rows[0]["updatedAt"]]}
    assert [row["conversationId"] for row in report(client, ends, metrics=[])["data"]] == [row["id"] for row in rows]


def test_filters_are_all_to_be_passed(client: Client) -> None:
    agent = report(client, metrics=["lastAgentId"])["data"]
    answered = next(row["metrics"][0] for row in agent if row["metrics"][0] != "NaN")
    rows = report(
        client,
        {"property": "lastAgentId", "operation": "HAS_PROPERTY"},
        {"property": "lastAgentId", "operation": "IN", "values": [answered]},
        {"property": "status", "operation": "IN", "values": ["closed", "open"]},
        {"property": "numAgentMessages", "operation": "BETWEEN", "values": [1, 20]},
        metrics=["lastAgentId", "numAgentMessages"],
    )["data"]
    status = {row["id"]: row["status"] for row in client.conversations()}
    everything = report(client, metrics=["lastAgentId", "numAgentMessages"])["data"]
    assert rows == [
        row
        for row in everything
        if row["metrics"][0] == answered
        and status[row["conversationId"]] in ("closed", "open")
        and 1 <= row["metrics"][1] <= 20
    ]
    assert 0 < len(rows) < len(everything)


def filtered(**changes: Any) -> dict[str, Any]:
    return {"filters": [{"property": "updatedAt", "operation": "BETWEEN", "values": [1, 2]} | changes], "metrics": []}


@pytest.mark.parametrize(
    "body",
    [
        {"json": {"metrics": ["speed"]}},
        {"json": {"metrics": ["status"]}},
        {"json": {"metrics": [{}]}},
        {"json": {"metrics": "createdAt"}},
        {"json": {"filters": ["updatedAt"], "metrics": []}},
        {"json": filtered(property="speed")},
        {"json": filtered(operation="NEAR")},
        {"json": filtered(values=[1])},
        {"json": filtered(values="12")},
        {"json": filtered(values=["2026-02-30", "2026-03-01"])},
        {"json": filtered(values=["yesterday", "2026-03-01"])},
        {"json": filtered(operation="HAS_PROPERTY")},
        {"json": filtered(property="status", values=["open", "pending"])},
        {"json": []},
        {"data": "{"},
    ],
)
def test_a_report_that_makes_no_sense_is_a_validation_error(client: Client, body: dict[str, Any]) -> None:
    assert refused(client.post("/reports/conversations", **body)) == (400, "validation_error")


# Refusals


@pytest.mark.parametrize(
    "path",
    [
        "/contacts",
        "/contacts?limit=5",
        "/contacts?idType=internal&id=1",
        "/contacts?idType=external",
        "/contacts?email=a@example.com&idType=external&id=1",
        "/contacts?email=a@example.com&limit=0",
        "/contacts/abc",
        "/accounts?size=66",
        "/accounts?size=0",
        "/accounts?index=-1",
        "/accounts?index=one",
        "/accounts?page=2",
        "/users",
        "/users?" + "&".join(f"userId={number}" for number in range(21)),
        "/users?userId=x",
        "/users/list?limit=5",
        "/conversations/list?limit=101",
        "/conversations/list?limit=0",
        "/conversations/list?limit=ten",
        "/conversations/list?statusId=4",
        "/conversations/list?status=open",
        "/conversations/list?page_token=nonsense",
        "/conversations/list?page_token=é",
        "/conversations/list?page_token=bGltaXQ9MTAwMA",
        "/conversations/list?page_token=bGltaXQ9Mg&next=2",
        "/conversations/1/messages?limit=5",
        "/conversations/1/messages?page_token=5",
        "/users/meetings/org",
        "/users/meetings/org?min_start_time=0",
        "/users/meetings/org?max_start_time=0",
        "/users/meetings/org?min_start_time=2&max_start_time=1",
        "/users/meetings/org?min_start_time=0&max_start_time=1&limit=1001",
        "/users/meetings/org?min_start_time=2026-01-01&max_start_time=2026-01-02",
        "/playbooks/list?page=1",
        "/authorize?response_type=token",
    ],
)
def test_a_bad_or_unknown_parameter_is_a_validation_error(client: Client, path: str) -> None:
    assert refused(client.get(path)) == (400, "validation_error")


@pytest.mark.parametrize(
    "path",
    [
        "/users/1",
        "/teams/users/1",
        "/accounts/1_nowhere.example",
        "/contacts/1",
        "/conversations/1",
        "/conversations/3131000001",
        "/conversations/1/messages",
        "/conversations/1/transcript",
        "/conversations/1/json_transcript",
        "/attachments/1/data",
        "/attachments/9911009999/data",
        "/conversations",
        "/nowhere",
    ],
)
def test_what_is_not_there_is_not_found(client: Client, path: str) -> None:
    assert refused(client.get(path)) == (404, "not_found")


# The data behind it


def test_ids_refer_to_records_that_exist(client: Client) -> None:
    organization = client.drift.organization
    users = {user["id"] for user in organization.users}
    contacts = set(organization.contacts) | organization.deleted_contacts
    playbooks = {playbook["id"] for playbook in organization.playbooks}
    for team in organization.teams:
        assert {team["owner"], *team["members"]} <= users
    for playbook in organization.playbooks:
        assert {playbook["createdAuthorId"], playbook.get("updatedAuthorId", playbook["createdAuthorId"])} <= users
    assert {account["ownerId"] for account in organization.accounts if "ownerId" in account} <= users
    for conversation in organization.conversations.values():
        assert conversation.contact_id in contacts
        assert set(conversation.participants) <= users
        assert conversation.playbook_id in playbooks | {None}
        earlier: set[int] = set()
        for message in organization.messages(conversation):
            author = message["author"]
            assert author["id"] in ({conversation.contact_id} if author["type"] == "contact" else users)
            assert message.get("editedMessageId") in earlier | {None}
            earlier.add(message["id"])
    for meeting in organization.meetings:
        assert meeting["agentId"] in users
        assert meeting["schedulerId"] == organization.conversations[meeting["conversationId"]].contact_id


def test_domains_of_accounts_and_emails_of_contacts_come_from_the_shared_companies(client: Client) -> None:
    organization = client.drift.organization
    domains = {domain for _, domain in COMPANIES}
    accounts = {account["domain"] for account in organization.accounts}
    assert len(accounts) == 100
    assert all(any(domain == known or domain.endswith(f".{known}") for known in domains) for domain in accounts)
    emails = [contact["attributes"].get("email") for contact in organization.contacts.values()]
    assert {email.partition("@")[2] for email in emails if email} <= accounts


def test_everything_changed_in_the_ninety_complete_days_before_today(client: Client) -> None:
    organization = client.drift.organization
    times = [time for row in client.conversations() for time in (row["createdAt"], row["updatedAt"])]
    times += [contact["createdAt"] for contact in organization.contacts.values()]
    for what, names in {
        "users": ["updatedAt"],
        "teams": ["updatedAt"],
        "playbooks": ["updatedAt"],
        "accounts": ["updateDateTime"],
        "meetings": ["scheduledAt", "updatedAt"],
        "messages": ["createdAt"],
    }.items():
        times += [record[name] for record in records(organization, what) for name in names]
    assert all(type(time) is int and START <= time < END for time in times)
    days = {(row["updatedAt"] - START) // DAY for row in client.conversations()}
    assert len(days) > 40
    edges = {row["updatedAt"] % DAY for row in client.conversations()}
    assert {0, DAY - 1} <= edges, "the first and the last millisecond of a day must occur"


def test_the_same_settings_give_the_same_answers_and_another_seed_gives_others() -> None:
    def read(seed: int) -> list[bytes]:
        client = Client(Settings(seed=seed, today=TODAY, limits=0))
        paths = ["/users/list", "/accounts?size=65", "/conversations/list", "/playbooks/list"]
        number = client.data("/conversations/list")[0]["id"]
        return [client.get(path).content for path in [*paths, f"/conversations/{number}/messages"]]

    assert read(1) == read(1)
    assert all(one != other for one, other in zip(read(1), read(2), strict=True))


def test_scale_multiplies_conversations_contacts_accounts_and_meetings() -> None:
    organization = Organization(1, 5.0, TODAY)
    assert len(organization.conversations) == 400
    assert len(organization.contacts) == 300
    assert len(organization.accounts) == 500
    assert len(organization.meetings) == 150
    assert len({account["accountId"] for account in organization.accounts}) == 500
    ids = [row["id"] for found in organization.conversations.values() for row in organization.messages(found)]
    assert len(set(ids)) == len(ids) > 10_000


def test_texts_are_html_in_many_scripts_with_emoji(client: Client) -> None:
    text = "".join(row.get("body", "") for row in records(client.drift.organization, "messages"))
    for sample in ("<p>", "&amp;", "👋", "見積", "Ça", "👩‍👩‍👧‍👦"):
        assert sample in text
