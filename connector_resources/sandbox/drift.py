"""The Drift sandbox: the vendor's API as documented, over made-up conversations.

Every endpoint that reads is here, with the vendor's shapes, orders, defaults and refusals: https://devdocs.drift.com.
Three things are ours:

- An unknown query parameter is refused with 400 validation_error. The vendor ignores it, which hides misspelt filters;
  this is the one place where the sandbox is stricter.
- Where the documentation is silent we assume: both ends of a meeting window and of `BETWEEN` in milliseconds are
  included; of a `BETWEEN` in days the whole end day is. Accounts come in a fixed order. A parameter sent along with
  `page_token` is ignored, because the token carries the limit and the filter. A message page's `next` is the time of
  its last message. Token calls cost nothing of the rate limit.
- Tokens of the OAuth dance are signed, not stored: a client that kept its rotated tokens over a restart of the sandbox
  is not locked out.

Times are epoch milliseconds, UTC. `today` begins at `settings.today` 00:00; the 30 days of meetings are counted back
from there.
"""

import base64
import binascii
import hashlib
import hmac
import math
import re
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, timezone
from itertools import islice
from typing import TypeVar
from urllib.parse import parse_qs, urlencode

import msgspec
from starlette.applications import Starlette
from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from connector_resources.sandbox.accounts import credentials
from connector_resources.sandbox.drift_data import (
    CONTACT_ATTRIBUTES,
    DAY,
    ORG_ID,
    Conversation,
    Organization,
    Record,
)
from connector_resources.sandbox.limits import SlidingWindows
from connector_resources.sandbox.settings import Settings

ALL_SCOPES = frozenset(
    (
        "account_read",
        "all_contact_read",
        "contact_read",
        "conversation_read",
        "playbook_read",
        "user_read",
    )
)
BUCKET_CAPACITY = 20
BUCKET_LEAK_PER_SECOND = 5.0
REPORTS_PER_MINUTE = 60
TOKEN_LIFE_SECONDS = 7_200
MESSAGES_PER_PAGE = 50
ACCOUNTS_PER_PAGE, ACCOUNTS_MAXIMUM = 10, 65
CONVERSATIONS_PER_PAGE = 25
MEETINGS_PER_ANSWER, MEETINGS_MAXIMUM, MEETINGS_HORIZON_DAYS = 100, 1_000, 30
USERS_BY_ID_MAXIMUM = 20
STATUS_IDS = {"1": "open", "2": "closed", "3": "pending"}
PLACE_MARKS = ("page_token", "next")
LINK_HOST = "https://api.drift.com"
EASTERN = timezone(timedelta(hours=-5), "EST")


@dataclass(frozen=True, slots=True)
class Rules:
    """What the documentation leaves open, or what has changed over the years, to be switched.

    `refusal_status` is 403 as documented, or 401 as clients have met. `conversations_maximum` is 100, or 50 in the
    older documentation. `has_pagination` adds the older `pagination` beside `links`. `answers_camel_case` spells the
    token answer as the vendor's older sample code reads it. `sends_retry_after` adds the header to a 429.
    `keeps_refresh_token` takes a refresh token that was replaced until an access or refresh token given for it is used.
    `clock` tells the time in seconds since the epoch. `tokens` are further access tokens with the scopes each one has.
    """

    refusal_status: int = 403
    conversations_maximum: int = 100
    has_pagination: bool = True
    answers_camel_case: bool = False
    sends_retry_after: bool = False
    keeps_refresh_token: bool = False
    clock: Callable[[], float] = time.time
    tokens: Mapping[str, frozenset[str]] = field(default_factory=dict)


class Refusal(Exception):
    """An answer that is an error: HTTP status, the vendor's error type, a sentence."""

    def __init__(self, status: int, type: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.type, self.message, self.headers = status, type, message, headers

    def response(self) -> Response:
        """Return the refusal in the documented envelope."""
        return answer({"error": {"type": self.type, "message": self.message}}, self.status, self.headers)


def invalid(message: str) -> Refusal:
    """Return the refusal of a bad parameter or body."""
    return Refusal(400, "validation_error", message)


def not_found(message: str) -> Refusal:
    """Return the refusal of an id that is not there."""
    return Refusal(404, "not_found", message)


def _too_many(headers: Mapping[str, str] | None = None) -> Refusal:
    return Refusal(429, "rate_limit", "Too many requests.", headers)


def answer(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return `body` as a JSON answer."""
    return Response(msgspec.json.encode(body), status, headers, media_type="application/json")


class LeakyBucket:
    """Holds `capacity` requests and loses `leak_per_second`; a request that finds no room is not kept."""

    def __init__(self, capacity: float, leak_per_second: float, clock: Callable[[], float]) -> None:
        self._capacity, self._leak, self._clock = capacity, leak_per_second, clock
        self._level, self._seen = 0.0, clock()

    def wait_seconds(self) -> float:
        """Take a request in and return 0, or return how long until there is room for it."""
        now = self._clock()
        self._level = max(0.0, self._level - (now - self._seen) * self._leak)
        self._seen = now
        excess = self._level + 1 - self._capacity
        if excess > 1e-9:
            return excess / self._leak
        self._level += 1
        return 0.0


class Tokens:
    """Issues and reads tokens. The n-th refresh retires every refresh token before it, at once or when it is used."""

    def __init__(self, account: Mapping[str, str], rules: Rules) -> None:
        self._account, self._rules = account, rules
        self._generation = 0
        self._unproven = ""
        self._codes: set[str] = set()
        self._codes_issued = 0

    def scopes(self, access_token: str) -> frozenset[str] | None:
        """Return what a token may read, or None if it is not, or no longer, good."""
        if access_token == self._account["access_token"]:
            return ALL_SCOPES
        if access_token in self._rules.tokens:
            return self._rules.tokens[access_token]
        issued = self._verified("access", access_token)
        if issued is None or self._rules.clock() >= issued / 1_000 + TOKEN_LIFE_SECONDS:
            return None
        if access_token == self._unproven:
            self._unproven = ""
        return ALL_SCOPES

    def info(self, access_token: str) -> Record | None:
        """Describe a token as /app/token_info does: milliseconds, 0 for one that never expires."""
        scopes = self.scopes(access_token)
        if scopes is None:
            return None
        issued = self._verified("access", access_token)
        return {
            "access_token": access_token,
            "authenticated_userid": f"orgId:{ORG_ID}",
            "credential_id": hashlib.sha256(self._account["client_id"].encode()).hexdigest()[:24],
            "token_type": "bearer",
            "expires_in": 0 if issued is None else TOKEN_LIFE_SECONDS * 1_000,
            "created_at": 1_700_000_000_000 if issued is None else issued,
            "scope": " ".join(sorted(scopes)),
            "id": hashlib.sha256(access_token.encode()).hexdigest()[:24],
        }

    def code(self) -> str:
        """Return an authorization code, good for one exchange."""
        self._codes_issued += 1
        code = self._signed("code", self._codes_issued)
        self._codes.add(code)
        return code

    def redeem_code(self, code: str) -> Record:
        """Exchange an authorization code for tokens."""
        if code not in self._codes:
            raise invalid("The authorization code is not valid or has been used.")
        self._codes.remove(code)
        return self._issue()

    def refresh(self, refresh_token: str) -> Record:
        """Exchange the current refresh token for new tokens; an older one is refused."""
        generation = 0 if refresh_token == self._account["refresh_token"] else self._verified("refresh", refresh_token)
        oldest = self._generation - (1 if self._unproven and self._rules.keeps_refresh_token else 0)
        if generation is None or generation < oldest:
            raise invalid("The refresh token is not valid or has been replaced.")
        self._generation = generation
        return self._issue()

    def _issue(self) -> Record:
        self._generation += 1
        issued = {
            "access_token": self._signed("access", int(self._rules.clock() * 1_000)),
            "refresh_token": self._signed("refresh", self._generation),
            "token_type": "bearer",
            "expires_in": TOKEN_LIFE_SECONDS,
            "orgId": ORG_ID,
        }
        self._unproven = str(issued["access_token"])
        return {_camel(key): value for key, value in issued.items()} if self._rules.answers_camel_case else issued

    def _signed(self, kind: str, number: int) -> str:
        text = f"{kind}-{number}"
        signature = hmac.new(self._account["client_secret"].encode(), text.encode(), hashlib.sha256).hexdigest()
        return f"{text}-{signature[:32]}"

    def _verified(self, kind: str, token: str) -> int | None:
        parts = token.split("-")
        if len(parts) != 3 or parts[0] != kind or not parts[1].isdecimal() or not parts[1].isascii():
            return None
        number = int(parts[1])
        return number if hmac.compare_digest(self._signed(kind, number).encode(), token.encode()) else None


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


@dataclass(frozen=True, slots=True)
class Call:
    """What a handler gets to see of a request."""

    path: Mapping[str, str]
    query: QueryParams
    body: bytes = b""
    content_type: str = ""

    def id(self, name: str = "id") -> int:
        """Return an int64 id of the path."""
        return _whole(self.path[name], name)

    def integer(self, name: str, default: int, low: int, high: int | None = None) -> int:
        """Return a query parameter as a number between `low` and `high`, both included."""
        text = self.query.get(name)
        if text is None:
            return default
        value = _whole(text, name)
        if value < low or (high is not None and value > high):
            raise invalid(f"{name} must be {f'at least {low}' if high is None else f'from {low} to {high}'}.")
        return value

    def json(self) -> Record:
        """Return the JSON object of the body."""
        try:
            body = msgspec.json.decode(self.body)
        except msgspec.DecodeError as error:
            raise invalid("The body is not JSON.") from error
        if not isinstance(body, dict):
            raise invalid("The body is not a JSON object.")
        return body

    def fields(self) -> dict[str, str]:
        """Return the text fields of a form or a JSON object, names in snake_case."""
        if self.content_type.partition(";")[0].strip().lower() == "application/json":
            given = {name: str(value) for name, value in self.json().items()}
        else:
            given = {name: values[-1] for name, values in parse_qs(self.body.decode("utf-8", "replace")).items()}
        return {re.sub("(?<!^)([A-Z])", r"_\1", name).lower(): value for name, value in given.items()}


def _whole(text: str, name: str) -> int:
    if not re.fullmatch("-?[0-9]{1,19}", text):
        raise invalid(f"{name} must be a whole number.")
    return int(text)


Handler = Callable[[Call], Response]
_Key = TypeVar("_Key", int, str)
_Found = TypeVar("_Found")


class Drift:
    """The endpoints of one sandbox account."""

    def __init__(self, settings: Settings, rules: Rules) -> None:
        self.rules = rules
        self.organization = Organization(settings.seed, settings.scale, settings.today)
        self.tokens = Tokens(credentials("drift"), rules)
        self._account = credentials("drift")
        factor = settings.limits
        self._bucket = LeakyBucket(max(1.0, BUCKET_CAPACITY * factor), BUCKET_LEAK_PER_SECOND * factor, rules.clock)
        self._reports = SlidingWindows([(max(1, round(REPORTS_PER_MINUTE * factor)), 60.0)], rules.clock)
        self._is_limited = factor > 0
        self._users = {user["id"]: user for user in self.organization.users}
        self._accounts = {account["accountId"]: account for account in self.organization.accounts}
        self._listed_accounts = [account for account in self.organization.accounts if not account["deleted"]]
        self._by_email: dict[str, list[Record]] = {}
        self._by_external_id: dict[str, list[Record]] = {}
        for contact in self.organization.contacts.values():
            attributes = contact["attributes"]
            if "email" in attributes:
                self._by_email.setdefault(attributes["email"], []).append(contact)
            for name in ("externalId", "external_id"):
                if name in attributes:
                    self._by_external_id.setdefault(attributes[name], []).append(contact)

    def routes(self) -> list[Route]:
        """Return every endpoint with its scope and the query parameters it knows."""
        read, conversations = self._reader, "conversation_read"
        return [
            read("/users/list", "user_read", self.list_users),
            read("/users/meetings/org", "user_read", self.list_meetings, "min_start_time", "max_start_time", "limit"),
            read("/users", "user_read", self.map_users, "userId"),
            read("/users/{id}", "user_read", self.get_user),
            read("/teams/org", "user_read", self.list_teams),
            read("/teams/users/{id}", "user_read", self.list_teams_of_user),
            read("/accounts", "account_read", self.list_accounts, "index", "size"),
            read("/accounts/{id}", "account_read", self.get_account),
            read("/contacts/attributes", "all_contact_read", self.list_contact_attributes),
            read("/contacts", "contact_read", self.find_contacts, "email", "limit", "idType", "id"),
            read("/contacts/{id}", "contact_read", self.get_contact),
            read("/conversations/list", conversations, self.list_conversations, "limit", "statusId", *PLACE_MARKS),
            read("/conversations/stats", conversations, self.count_conversations),
            read("/conversations/{id}", conversations, self.get_conversation),
            read("/conversations/{id}/messages", conversations, self.list_messages, "next"),
            read("/conversations/{id}/json_transcript", conversations, self.get_json_transcript),
            read("/conversations/{id}/transcript", conversations, self.get_transcript),
            read("/attachments/{id}/data", conversations, self.get_attachment),
            read("/playbooks/list", "playbook_read", self.list_playbooks),
            read("/playbooks/clp", "playbook_read", self.list_landing_pages),
            self._route("/reports/conversations", "POST", conversations, self.report_conversations, ()),
            self._route(
                "/authorize", "GET", None, self.authorize, ("response_type", "client_id", "redirect_uri", "state")
            ),
            self._route("/oauth2/token", "POST", None, self.issue_token, ()),
            self._route("/app/token_info", "POST", None, self.describe_token, ()),
        ]

    def too_many_requests(self) -> Response:
        """Return the refusal of a request over the limit, for faults to use."""
        return _too_many().response()

    def drift_row(self, path: str = "/conversations/list", change: str = "update") -> int:
        """Update the conversation that any reader would read last, and return its id.

        It jumps to the top of the list: who has read the first page already will miss it until the next run. Whatever
        the path and the change asked for, it is this: other lists come in a fixed order, and rows of none are deleted.
        """
        *_, last = self.organization.newest_first()
        return self.organization.touch(last.id).id

    # Users and teams

    def list_users(self, call: Call) -> Response:
        """Answer all users at once."""
        return answer({"data": self.organization.users})

    def map_users(self, call: Call) -> Response:
        """Answer the users asked for, keyed by id; unknown ids are left out."""
        ids = call.query.getlist("userId")
        if not 1 <= len(ids) <= USERS_BY_ID_MAXIMUM:
            raise invalid(f"Give 1 to {USERS_BY_ID_MAXIMUM} userId parameters.")
        wanted = [_whole(text, "userId") for text in ids]
        return answer({"data": {str(number): self._users[number] for number in wanted if number in self._users}})

    def get_user(self, call: Call) -> Response:
        """Answer one user."""
        return answer({"data": _found(self._users, call.id(), "user")})

    def list_teams(self, call: Call) -> Response:
        """Answer all teams at once."""
        return answer({"data": self.organization.teams})

    def list_teams_of_user(self, call: Call) -> Response:
        """Answer the teams one user is a member of."""
        user = _found(self._users, call.id(), "user")
        return answer({"data": [team for team in self.organization.teams if user["id"] in team["members"]]})

    # Accounts and contacts

    def list_accounts(self, call: Call) -> Response:
        """Answer a page of the accounts that are not deleted; `next` is relative and absent on the last page."""
        index = call.integer("index", 0, 0)
        size = call.integer("size", ACCOUNTS_PER_PAGE, 1, ACCOUNTS_MAXIMUM)
        data: Record = {
            "accounts": self._listed_accounts[index : index + size],
            "total": len(self._listed_accounts),
        }
        if index + size < len(self._listed_accounts):
            data["next"] = f"/accounts?index={index + size}&size={size}"
        return answer({"data": data})

    def get_account(self, call: Call) -> Response:
        """Answer one account, also a deleted one."""
        return answer({"data": _found(self._accounts, call.path["id"], "account")})

    def list_contact_attributes(self, call: Call) -> Response:
        """Answer the definitions of contact attributes."""
        return answer({"data": {"properties": CONTACT_ATTRIBUTES}})

    def get_contact(self, call: Call) -> Response:
        """Answer one contact; a deleted one is not found."""
        return answer({"data": _found(self.organization.contacts, call.id(), "contact")})

    def find_contacts(self, call: Call) -> Response:
        """Answer the contacts with an e-mail, or with external ids. There is no way to list them all."""
        email, id_type = call.query.get("email"), call.query.get("idType")
        if (email is None) == (id_type is None):
            raise invalid("Give either email, or idType and id.")
        if email is not None:
            found = self._by_email.get(email, [])
        else:
            ids = call.query.getlist("id")
            if id_type != "external" or not ids:
                raise invalid("idType must be 'external' and come with at least one id.")
            found = [contact for number in ids for contact in self._by_external_id.get(number, [])]
        return answer({"data": found[: call.integer("limit", len(found), 1)]})

    # Conversations

    def list_conversations(self, call: Call) -> Response:
        """Answer a page of sparse conversations, `updatedAt` descending, ties by id ascending.

        `page_token` continues behind the last row read, wherever that is by now; the older `next` counts rows.
        """
        token, offset = call.query.get("page_token"), 0
        if token is not None:
            if "next" in call.query:
                raise invalid("Give either page_token or next.")
            statuses, limit, after = _read_page_token(token)
            if not 1 <= limit <= self.rules.conversations_maximum:
                raise invalid("page_token is not one of ours.")
        else:
            statuses, after = tuple(call.query.getlist("statusId")), None
            limit = call.integer("limit", CONVERSATIONS_PER_PAGE, 1, self.rules.conversations_maximum)
            offset = call.integer("next", 0, 0)
            token = _page_token(statuses, limit, None)
        for status in statuses:
            if status not in STATUS_IDS:
                raise invalid(f"statusId must be one of {', '.join(STATUS_IDS)}.")
        names = {STATUS_IDS[status] for status in statuses}
        rows: Iterator[Conversation] = self.organization.newest_first(after)
        if names:
            rows = (row for row in rows if row.status in names)
        page = list(islice(rows, offset, offset + limit + 1))
        has_more, page = len(page) > limit, page[:limit]
        body: Record = {"data": [row.listed() for row in page], "links": {"self": _link(token)}}
        if has_more:
            body["links"]["next"] = _link(_page_token(statuses, limit, page[-1]))
            # A reader of `links` never sends `next`, so an offset would be wrong for it from the second page on.
            if self.rules.has_pagination and after is None:
                body["pagination"] = {"more": True, "next": str(offset + limit)}
        return answer(body)

    def count_conversations(self, call: Call) -> Response:
        """Answer how many conversations are open, closed and pending; mass mailings have no status id."""
        counts = dict.fromkeys(("OPEN", "CLOSED", "PENDING"), 0)
        for conversation in self.organization.conversations.values():
            if conversation.status.upper() in counts:
                counts[conversation.status.upper()] += 1
        return answer({"conversationCount": counts})

    def get_conversation(self, call: Call) -> Response:
        """Answer one conversation with all its fields."""
        return answer({"data": self._conversation(call).detailed()})

    def list_messages(self, call: Call) -> Response:
        """Answer 50 messages, oldest first; `pagination` is absent on the last page."""
        messages = self.organization.messages(self._conversation(call))
        after = call.integer("next", -1, 0)
        later = [message for message in messages if message["createdAt"] > after]
        page = later[:MESSAGES_PER_PAGE]
        body: Record = {"data": {"messages": page}}
        if len(later) > len(page):
            body["pagination"] = {"more": True, "next": str(page[-1]["createdAt"])}
        return answer(body)

    def get_json_transcript(self, call: Call) -> Response:
        """Answer all messages, five fields each."""
        names = ("id", "body", "type", "author", "createdAt")
        messages = self.organization.messages(self._conversation(call))
        lines = [{name: message[name] for name in names if name in message} for message in messages]
        return answer({"data": {"messages": lines}})

    def get_transcript(self, call: Call) -> Response:
        """Answer the conversation as text in a local time zone, one line a message, for people to read."""
        lines = []
        for message in self.organization.messages(self._conversation(call)):
            author = message["author"]
            if author["type"] == "contact":
                contact = self.organization.contacts.get(author["id"])
                name = "Site Visitor" if contact is None else contact["attributes"].get("name", "Site Visitor")
                who = f"{name} (End User)"
            else:
                who = f"{self._users[author['id']].get('name', 'Unknown')} ({'Bot' if author['bot'] else 'Agent'})"
            moment = datetime.fromtimestamp(message["createdAt"] / 1_000, EASTERN)
            text = re.sub("<[^>]+>", "", message.get("body", ""))
            lines.append(f"{moment:%b %d, %I:%M:%S %p %Z} {who}: {text}\n")
        return PlainTextResponse("".join(lines))

    def get_attachment(self, call: Call) -> Response:
        """Answer the bytes of an attachment."""
        found = self.organization.attachment(call.id())
        if found is None:
            raise not_found(f"There is no attachment {call.id()}.")
        attachment, content = found
        return Response(content, media_type=attachment["mimeType"])

    def _conversation(self, call: Call) -> Conversation:
        return _found(self.organization.conversations, call.id(), "conversation")

    # Meetings, playbooks, reports

    def list_meetings(self, call: Call) -> Response:
        """Answer the meetings that start in the window, earliest first, none from more than 30 days ago."""
        for name in ("min_start_time", "max_start_time"):
            if name not in call.query:
                raise invalid(f"{name} is required.")
        low, high = call.integer("min_start_time", 0, 0), call.integer("max_start_time", 0, 0)
        limit = call.integer("limit", MEETINGS_PER_ANSWER, 0, MEETINGS_MAXIMUM)
        if low > high:
            raise invalid("min_start_time must not be after max_start_time.")
        low = max(low, self.organization.end - MEETINGS_HORIZON_DAYS * DAY)
        found = (meeting for meeting in self.organization.meetings if low <= meeting["slotStart"] <= high)
        return answer({"data": list(islice(found, limit))})

    def list_playbooks(self, call: Call) -> Response:
        """Answer the enabled playbooks as a bare array."""
        return answer(self.organization.playbooks)

    def list_landing_pages(self, call: Call) -> Response:
        """Answer the conversational landing pages as a bare array."""
        return answer(self.organization.landing_pages)

    def report_conversations(self, call: Call) -> Response:
        """Answer the metrics asked for, in their order, of the conversations that pass every filter."""
        if self._is_limited:
            verdict = self._reports.admit()
            self._refuse_if(verdict.reset - self.rules.clock() if verdict.is_refused else 0)
        body = call.json()
        filters, metrics = body.get("filters", []), body.get("metrics", [])
        if not isinstance(filters, list) or not isinstance(metrics, list):
            raise invalid("filters and metrics must be arrays.")
        some = next(iter(self.organization.conversations.values()))
        facts, counts = set(some.facts()), set(self.organization.counts(some))
        for metric in metrics:
            if not isinstance(metric, str) or metric not in (facts | counts) - {"status"}:
                raise invalid(f"There is no numeric property {metric!r}.")
        conditions = [_condition(given, facts | counts) for given in filters]
        # Counting needs the messages, so the filters that do not are asked first.
        conditions.sort(key=lambda condition: condition[0] in counts)
        rows: list[Record] = []
        for conversation in self.organization.newest_first():
            known: Record = conversation.facts()
            for name, passes in conditions:
                if name in counts and name not in known:
                    known |= self.organization.counts(conversation)
                if not passes(known[name]):
                    break
            else:
                if not counts.isdisjoint(metrics):
                    known |= self.organization.counts(conversation)
                values = ["NaN" if known[metric] is None else known[metric] for metric in metrics]
                rows.append({"conversationId": conversation.id, "metrics": values})
        return answer({"count": len(rows), "data": rows})

    # Tokens

    def authorize(self, call: Call) -> Response:
        """Send the browser back with a code, as if someone had pressed "Allow"."""
        query = call.query
        if query.get("response_type") != "code" or query.get("client_id") != self._account["client_id"]:
            raise invalid("response_type must be 'code' and client_id a known app.")
        if "redirect_uri" not in query:
            raise invalid("redirect_uri is required.")
        back = {"code": self.tokens.code()} | ({"state": query["state"]} if "state" in query else {})
        return RedirectResponse(f"{query['redirect_uri']}?{urlencode(back)}", 302)

    def issue_token(self, call: Call) -> Response:
        """Exchange a code or a refresh token; form and JSON, snake_case and camelCase are understood."""
        given = call.fields()
        if any(given.get(name) != self._account[name] for name in ("client_id", "client_secret")):
            raise self._unauthorized("client_id or client_secret is wrong.")
        kind = given.get("grant_type")
        if kind == "authorization_code":
            return answer(self.tokens.redeem_code(given.get("code", "")))
        if kind == "refresh_token":
            return answer(self.tokens.refresh(given.get("refresh_token", "")))
        raise invalid("grant_type must be 'authorization_code' or 'refresh_token'.")

    def describe_token(self, call: Call) -> Response:
        """Answer whose token it is, its life in milliseconds and its scopes."""
        info = self.tokens.info(str(call.json().get("access_token", "")))
        if info is None:
            raise self._unauthorized("The access token is not valid.")
        return answer(info)

    # What every call goes through

    def _reader(self, path: str, scope: str, handler: Handler, *parameters: str) -> Route:
        return self._route(path, "GET", scope, handler, parameters)

    def _route(self, path: str, method: str, scope: str | None, handler: Handler, parameters: tuple[str, ...]) -> Route:
        known = frozenset(parameters)

        async def endpoint(request: Request) -> Response:
            try:
                if scope is not None:
                    self._authenticate(request.headers.get("authorization", ""), scope)
                    if self._is_limited:
                        self._refuse_if(self._bucket.wait_seconds())
                for name in request.query_params:
                    if name not in known:
                        raise invalid(f"Unknown parameter {name!r}; known: {', '.join(sorted(known)) or 'none'}.")
                body = await request.body() if method == "POST" else b""
                content_type = request.headers.get("content-type", "")
                return handler(Call(request.path_params, request.query_params, body, content_type))
            except Refusal as refusal:
                return refusal.response()

        return Route(path, endpoint, methods=[method])

    def _authenticate(self, header: str, scope: str) -> None:
        kind, _, token = header.partition(" ")
        scopes = self.tokens.scopes(token.strip()) if kind.lower() == "bearer" else None
        if scopes is None:
            raise self._unauthorized("The access token is missing, not valid or expired.")
        if scope not in scopes:
            raise Refusal(403, "authentication_error", f"The access token lacks the scope {scope}.")

    def _unauthorized(self, message: str) -> Refusal:
        return Refusal(self.rules.refusal_status, "authentication_error", message)

    def _refuse_if(self, wait_seconds: float) -> None:
        if wait_seconds > 0:
            raise _too_many({"Retry-After": str(math.ceil(wait_seconds))} if self.rules.sends_retry_after else None)


def _found(records: Mapping[_Key, _Found], key: _Key, what: str) -> _Found:
    record = records.get(key)
    if record is None:
        raise not_found(f"There is no {what} {key}.")
    return record


def _link(token: str) -> str:
    return f"{LINK_HOST}/conversations/list?page_token={token}"


def _page_token(statuses: tuple[str, ...], limit: int, last: Conversation | None) -> str:
    parts: list[tuple[str, object]] = [("statusIds", status) for status in statuses]
    if last is not None:
        parts += [("highestUpdatedAt", last.updated_at), ("highestId", last.id)]
    parts.append(("limit", limit))
    return base64.urlsafe_b64encode(urlencode(parts).encode()).decode().rstrip("=")


def _read_page_token(token: str) -> tuple[tuple[str, ...], int, tuple[int, int] | None]:
    """Return the status ids, the limit and the (updatedAt, id) to go on behind."""
    try:
        text = base64.b64decode(token + "=" * (-len(token) % 4), b"-_", validate=True).decode()
        parts = parse_qs(text, strict_parsing=True)
        after = None
        if "highestId" in parts:
            after = int(parts["highestUpdatedAt"][0]), int(parts["highestId"][0])
        return tuple(parts.get("statusIds", ())), int(parts["limit"][0]), after
    except (binascii.Error, ValueError, KeyError) as error:
        raise invalid("page_token is not one of ours.") from error


def _condition(given: object, known: set[str]) -> tuple[str, Callable[[int | str | None], bool]]:
    """Return the property a report filter asks about and the test its value must pass."""
    if not isinstance(given, dict):
        raise invalid("A filter is an object with property, operation and values.")
    name, operation, values = given.get("property"), given.get("operation"), given.get("values", [])
    if not isinstance(name, str) or name not in known:
        raise invalid(f"There is no property {name!r}.")
    if not isinstance(values, list):
        raise invalid("values must be an array.")
    if operation == "HAS_PROPERTY":
        if values:
            raise invalid("HAS_PROPERTY takes no values.")
        return name, lambda value: value is not None
    if operation == "IN":
        wanted = {str(value).lower() for value in values}
        return name, lambda value: value is not None and str(value) in wanted
    if operation == "BETWEEN" and len(values) == 2 and name != "status":
        low, high = _instant(values[0], is_end=False), _instant(values[1], is_end=True)
        return name, lambda value: isinstance(value, int) and low <= value <= high
    raise invalid(f"{operation!r} with {len(values)} values is not possible for {name}.")


def _instant(value: object, *, is_end: bool) -> int:
    """Return milliseconds as they are, and of a day its first or its last millisecond."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        try:
            day = date.fromisoformat(value)
        except ValueError as error:
            raise invalid(f"{value} is not a day.") from error
        start = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1_000
        return start + DAY - 1 if is_end else start
    raise invalid("BETWEEN takes two days (YYYY-MM-DD) or two numbers.")


async def _refuse_route(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    kind = "not_found" if status == 404 else "validation_error"
    return Refusal(status, kind, f"{request.method} is not possible here.").response()


def build(settings: Settings, rules: Rules | None = None) -> Starlette:
    """Return the sandbox as an application; `app.state.drift` is the `Drift` behind it."""
    drift = Drift(settings, rules or Rules())
    refuse: Callable[[Request, Exception], Awaitable[Response]] = _refuse_route
    app = Starlette(routes=drift.routes(), exception_handlers={HTTPException: refuse})
    app.state.drift = drift
    return app
