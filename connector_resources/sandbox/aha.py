"""The Aha! sandbox: the vendor's API, version 1, over a made-up account.

Every documented list and detail that can be read is here, with the vendor's envelopes, short records, defaults and
refusals: https://www.aha.io/api. What the sandbox does where the documentation is silent:

- An unknown query parameter of a known endpoint is refused with 422. The vendor ignores it, which hides misspelt
  filters; this is the one place where the sandbox is stricter.
- The bounds of `…_since` and `…_before` are included (`Rules.includes_bounds`). A page after the last one is empty.
- Lists are in no order of time (`Rules.order`); audits asked for with `after_id` come by id, as the advice to read on
  from the highest id supposes.
- Spam is left out of ideas and portal comments unless `spam=true` asks for it alone. `custom_fields` is `key` or
  `key:value`, of a field whose value is text. `q` looks for a text in names.
- A page of a knowledge base is listed by the workspace it was written in, too; it names the knowledge base alone.
- `fields` works on every list and detail (`Rules.fields_everywhere`).
- Requests that are refused for their number do not count; those without a good key are not limited.

The account's first key is that of an administrator. `MEMBER_KEY` is another user's who administers nothing: lists
that need a role answer 403.
"""

import math
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal
from urllib.parse import parse_qsl, unquote

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send

from connector_resources.sandbox.accounts import credentials
from connector_resources.sandbox.aha_data import CUSTOM_OBJECTS, REPORTS, TYPES, Account
from connector_resources.sandbox.aha_tables import Record, Table, ident, index_of, investment_of
from connector_resources.sandbox.faults import Change
from connector_resources.sandbox.limits import SlidingWindows, Verdict
from connector_resources.sandbox.settings import Settings

PER_PAGE, PER_PAGE_MAXIMUM = 30, 200
WINDOWS = ((20, 1), (300, 60))
"""Requests in seconds."""
MEMBER_KEY = "0b5e" * 16
HISTORICAL_TOKENS = 1_000
HISTORICAL_SEARCH_COST = 100
HISTORICAL_BATCH = 10

Order = Literal["shuffled", "oldest", "newest"]


@dataclass(frozen=True, slots=True)
class Rules:
    """What the documentation leaves open, or what differs between accounts, to be switched.

    `includes_bounds` says whether `…_since` and `…_before` include the instant they name. `order` is that of lists:
    by nothing in the record, or by `updated_at`. Without `fields_everywhere`, `fields` works only where it is
    documented, and is ignored elsewhere. `refused` names lists, by their last path segment, that answer 403: the
    account's plan is without them. `clock` tells the time in seconds since the epoch.
    """

    includes_bounds: bool = True
    order: Order = "shuffled"
    fields_everywhere: bool = True
    refused: frozenset[str] = frozenset()
    clock: Callable[[], float] = time.time


class Refusal(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, body: object) -> None:
        super().__init__(status, body)
        self.status, self.body = status, body

    def response(self) -> Response:
        """Return the refusal: JSON, or HTML where the body is text."""
        if isinstance(self.body, str):
            page = (
                f"<!DOCTYPE html><html><head><title>{self.body}</title></head><body><h1>{self.body}</h1></body></html>"
            )
            return Response(page, self.status, media_type="text/html")
        return answer(self.body, self.status)


def invalid(message: str) -> Refusal:
    """Return the refusal of a parameter."""
    return Refusal(422, {"errors": {"message": message}})


def not_found() -> Refusal:
    """Return the refusal of a record that is not there, or not to be seen."""
    return Refusal(404, {"error": "Record not found."})


def no_route() -> Refusal:
    """Return the refusal of an address that is nobody's: a web page."""
    return Refusal(404, "The page you were looking for doesn't exist.")


_encode = msgspec.json.Encoder().encode


def answer(body: object, status: int = 200) -> Response:
    """Return `body` as a JSON answer."""
    return Response(_encode(body), status, media_type="application/json; charset=utf-8")


@dataclass(frozen=True, slots=True)
class Call:
    """What an endpoint gets to see of a request.

    `rows` are the records that the path names, `texts` the path's other parts (and a body after them), `user` is whose
    key it is.
    """

    rows: tuple[int, ...]
    texts: tuple[str, ...]
    query: Mapping[str, str]
    user: int

    def boolean(self, name: str) -> bool | None:
        """Return a parameter that is true or false, None where it is not sent."""
        text = self.query.get(name)
        if text is not None and text not in ("true", "false"):
            raise invalid(f"{name} must be true or false.")
        return None if text is None else text == "true"

    def number(self, name: str, default: int) -> int:
        """Return a parameter that is a whole number of at least 1."""
        text = self.query.get(name, str(default))
        if not re.fullmatch("[0-9]{1,18}", text) or int(text) < 1:
            raise invalid(f"{name} must be a whole number of at least 1.")
        return int(text)

    def instant(self, name: str) -> int:
        """Return a parameter that is an instant, in milliseconds since the epoch."""
        try:
            time = datetime.fromisoformat(self.query[name])
        except ValueError as error:
            raise invalid(f"{name} must be a UTC instant such as 2026-03-01T09:30:00.000Z.") from error
        time = time if time.tzinfo is not None else time.replace(tzinfo=UTC)
        if time.utcoffset() != timedelta(0):
            raise invalid(f"{name} must be in UTC.")
        return round(time.timestamp() * 1000)

    def choice(self, name: str, *choices: str) -> str | None:
        """Return a parameter that is one of a few words, None where it is not sent."""
        text = self.query.get(name)
        if text is not None and text not in choices:
            raise invalid(f"{name} must be one of {', '.join(choices)}.")
        return text


Rows = Callable[["Aha", Call], Sequence[int]]
Making = Callable[["Aha", Call], list[Record]]


@dataclass(frozen=True, slots=True)
class Listing:
    """A list: where it is, what its records are, which parameters it knows.

    A part of `path` in braces is the id or key of a record of that kind, or free text where there is no such kind.
    The records are those of the table `kind` at the indices that `rows` gives (all of them without it), or what
    `makes` makes. `key` is the name of the list in the answer. Without `pages` the list comes whole, without an
    envelope; without `envelope` it has pages and no envelope.
    """

    path: str
    kind: str
    filters: tuple[str, ...] = ()
    rows: Rows | None = None
    makes: Making | None = None
    key: str = ""
    pages: bool = True
    envelope: bool = True
    needs_role: bool = False
    documents_fields: bool = False
    current_page_is_text: bool = False


@dataclass(frozen=True, slots=True)
class Detail:
    """One record: where it is, and the key it is under in the answer."""

    path: str
    kind: str
    key: str
    documents_fields: bool = False


@dataclass(frozen=True, slots=True)
class Special:
    """An endpoint that is neither a list nor a detail."""

    path: str
    respond: Callable[["Aha", Call], Response]
    parameters: tuple[str, ...] = ()
    method: str = "GET"


Endpoint = Listing | Detail | Special
_Route = tuple[tuple[str, ...], Endpoint, frozenset[str]]


class Aha:
    """The endpoints of one sandbox account; an ASGI application below `/api/v1`."""

    def __init__(self, settings: Settings, rules: Rules) -> None:
        self.rules = rules
        self.account = Account(settings.seed, settings.scale, settings.today)
        self._keys = {credentials("aha")["api_key"]: 0, MEMBER_KEY: 1}
        self._windows: SlidingWindows | None = None
        if settings.limits > 0:
            windows = [(max(1, round(count * settings.limits)), seconds) for count, seconds in WINDOWS]
            self._windows = SlidingWindows(windows, rules.clock)
        self._routes: dict[tuple[str, int], list[_Route]] = {}
        endpoints: tuple[Endpoint, ...] = (*LISTINGS, *DETAILS, *SPECIALS)
        for endpoint in endpoints:
            parts = tuple(endpoint.path.strip("/").split("/"))
            method = endpoint.method if isinstance(endpoint, Special) else "GET"
            self._routes.setdefault((method, len(parts)), []).append((parts, endpoint, _parameters(endpoint)))
        for routes in self._routes.values():
            routes.sort(key=lambda route: sum(part.startswith("{") for part in route[0]))
        self._selections: OrderedDict[tuple[object, ...], Sequence[int]] = OrderedDict()
        self.searches: list[Search] = []
        self.historical_tokens = HISTORICAL_TOKENS

    # What the fault injection can ask for

    def too_many_requests(self) -> Response:
        """Return the refusal of one request too many, good for another try a second later."""
        limit = max((count for count, _ in WINDOWS))
        return _too_many(Verdict(True, limit, 0, math.ceil(self.rules.clock()) + 1))

    def drift_row(self, path: str, change: Change) -> None:
        """Change a row of the list at `path` behind its reader's back; see `Table.drift`."""
        found = self._match("GET", path.partition("/api/v1")[2])
        if found is None or isinstance(found[0], Special) or found[0].kind not in self.account.tables:
            raise ValueError(f"There is no list at {path} whose rows could change.")
        self.account.tables[found[0].kind].drift(change, self.account.end - 1)

    # One request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        request = Request(scope, receive)
        verdict: Verdict | None = None
        try:
            user = self._user(request)
            if self._windows is not None:
                verdict = self._windows.admit()
            if verdict is not None and verdict.is_refused:
                response = _too_many(verdict)
            else:
                path = scope["path"][len(scope.get("root_path", "")) :]
                body = await request.body() if request.method == "POST" else b""
                response = self._respond(request.method, path, request.url.query, user, body)
        except Refusal as refusal:
            response = refusal.response()
        if verdict is not None:
            response.headers.update(_limit_headers(verdict))
        await response(scope, receive, send)

    def _user(self, request: Request) -> int:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or key.strip() not in self._keys:
            raise Refusal(401, "HTTP Basic: Access denied.")
        accepted = [part.partition(";")[0].strip() for part in request.headers.get("accept", "*/*").split(",")]
        if not {"*/*", "application/*", "application/json"}.intersection(accepted):
            raise Refusal(406, {"error": "Only application/json is served."})
        return self._keys[key.strip()]

    def _match(self, method: str, path: str) -> tuple[Endpoint, frozenset[str], list[tuple[str, str]]] | None:
        """Return the endpoint at a path, its parameters, and the values of the path's parts in braces."""
        parts = path.strip("/").split("/")
        for pattern, endpoint, parameters in self._routes.get((method, len(parts)), ()):
            if all(expected == part or expected[0] == "{" for expected, part in zip(pattern, parts, strict=True)):
                values = [
                    (expected[1:-1], unquote(part))
                    for expected, part in zip(pattern, parts, strict=True)
                    if expected[0] == "{"
                ]
                return endpoint, parameters, values
        return None

    def _respond(self, method: str, path: str, query: str, user: int, body: bytes) -> Response:
        found = self._match(method, path)
        if found is None:
            raise no_route()
        endpoint, known, values = found
        pairs = parse_qsl(query, keep_blank_values=True)
        for name, _ in pairs:
            if name not in known:
                raise invalid(f"Unknown parameter: {name}")
        rows: list[int] = []
        for kind, text in values:
            if kind in self.account.tables:
                row = self.account.find(kind, text)
                if row is None:
                    raise not_found()
                rows.append(row)
        texts = [text for kind, text in values if kind not in self.account.tables]
        if method == "POST":
            texts.append(body.decode("utf-8", "replace"))
        call = Call(tuple(rows), tuple(texts), dict(pairs), user)
        match endpoint:
            case Listing():
                return self._list(endpoint, call)
            case Detail():
                record = self._selected(
                    endpoint.kind, rows[-1], self.account.tables[endpoint.kind].make, call, endpoint
                )
                return answer({endpoint.key: record})
            case Special():
                return endpoint.respond(self, call)

    def _list(self, listing: Listing, call: Call) -> Response:
        last = listing.path.rpartition("/")[2]
        if last in self.rules.refused or (listing.needs_role and call.user != 0):
            raise Refusal(403, {"error": "You do not have permission to see this."})
        if listing.makes is not None:
            made = listing.makes(self, call)
            indices: Sequence[int] = range(len(made))
            make: Callable[[int], Record] = made.__getitem__
            short = None
        else:
            table = self.account.tables[listing.kind]
            indices, make, short = self._selection(listing, table, call), table.make, table.short
        key = listing.key or listing.kind
        if not listing.pages:
            return answer({key: [self._selected(listing.kind, index, make, call, listing) for index in indices]})
        size, page = min(call.number("per_page", PER_PAGE), PER_PAGE_MAXIMUM), call.number("page", 1)
        chosen = indices[(page - 1) * size : page * size]
        if short is not None and not self._wanted(call, listing):
            records = [short(index) for index in chosen]
        else:
            records = [self._selected(listing.kind, index, make, call, listing) for index in chosen]
        body: Record = {key: records}
        if listing.envelope:
            body["pagination"] = {
                "total_records": len(indices),
                "total_pages": -(-len(indices) // size),
                "current_page": str(page) if listing.current_page_is_text else page,
            }
        return answer(body)

    # Which records

    def _selection(self, listing: Listing, table: Table, call: Call) -> Sequence[int]:
        """Return the indices of a list's records, in order; remembered for the next page."""
        asked = tuple(sorted((name, value) for name, value in call.query.items() if name not in _NOT_FILTERS))
        key = (listing.path, call.rows, call.texts, call.user, asked, table.version)
        if key in self._selections:
            self._selections.move_to_end(key)
            return self._selections[key]
        indices = list(table.order) if listing.rows is None else table.visible(listing.rows(self, call))
        indices = self._without_spam(table.kind, indices, call)
        for name, value in asked:
            if value != "" or name == "q":
                keeps = FILTERS[name](self, table, call) if name in FILTERS else None
                indices = indices if keeps is None else [index for index in indices if keeps(index)]
        indices = self._arranged(table, indices, call)
        self._selections[key] = indices
        if len(self._selections) > 64:
            self._selections.popitem(last=False)
        return indices

    def _without_spam(self, kind: str, indices: list[int], call: Call) -> list[int]:
        if kind not in ("ideas", "idea_comments"):
            return indices
        is_spam = self.account.spam_ideas.__contains__ if kind == "ideas" else self.account.is_spam_comment
        wanted = call.boolean("spam") or False
        return [index for index in indices if is_spam(index) == wanted]

    def _arranged(self, table: Table, indices: list[int], call: Call) -> list[int]:
        sort = call.choice("sort", "recent", "trending", "popular") if table.kind == "ideas" else None
        if sort == "recent":
            return sorted(indices, key=table.created.__getitem__, reverse=True)
        if sort is not None:
            return sorted(indices, key=self.account.votes_count, reverse=True)
        if "after_id" in call.query:
            return sorted(indices)
        if self.rules.order != "shuffled":
            return sorted(indices, key=table.updated.__getitem__, reverse=self.rules.order == "newest")
        return indices

    # Which fields

    def _wanted(self, call: Call, endpoint: Listing | Detail) -> frozenset[str]:
        """Return the names in `fields`, none where it is not sent or not heeded."""
        if not (endpoint.documents_fields or self.rules.fields_everywhere):
            return frozenset()
        return frozenset(name.strip() for name in call.query.get("fields", "").split(",") if name.strip())

    def _selected(
        self, kind: str, index: int, make: Callable[[int], Record], call: Call, endpoint: Listing | Detail
    ) -> Record:
        """Return a record with the fields asked for."""
        wanted = self._wanted(call, endpoint)
        record = make(index)
        if "workflow_status_times" in wanted and kind in TIMED:
            record["workflow_status_times"] = self.account.status_times(kind, index)
        if "plain_text_body" in wanted and isinstance(record.get("description"), dict):
            note = record["description"]
            record = {**record, "description": {**note, "plain_text_body": re.sub("<[^>]*>", "", note["body"])}}
        if "associated_idea_organizations" in record and "associated_idea_organizations" not in wanted:
            record = {name: value for name, value in record.items() if name != "associated_idea_organizations"}
        if not wanted or "*" in wanted:
            return record
        kept = wanted.union(("id",), _IDENTITY.get(kind, ()))
        return {name: _trimmed(value, wanted) for name, value in record.items() if name in kept}


def _trimmed(value: object, wanted: frozenset[str]) -> object:
    """Return a nested value without what only comes when it is named."""
    if isinstance(value, dict):
        return {
            name: _trimmed(inner, wanted) for name, inner in value.items() if name not in _TRIMMED or name in wanted
        }
    if isinstance(value, list):
        return [_trimmed(inner, wanted) for inner in value]
    return value


def _parameters(endpoint: Endpoint) -> frozenset[str]:
    """Return the query parameters an endpoint knows."""
    match endpoint:
        case Listing():
            pages = ("page", "per_page") if endpoint.pages else ()
            return frozenset((*endpoint.filters, *pages, "fields"))
        case Detail():
            return frozenset(("fields",))
        case Special():
            return frozenset(endpoint.parameters)


def _limit_headers(verdict: Verdict) -> dict[str, str]:
    return {
        "X-Ratelimit-Limit": str(verdict.limit),
        "X-Ratelimit-Remaining": str(verdict.remaining),
        "X-Ratelimit-Reset": str(verdict.reset),
    }


def _too_many(verdict: Verdict) -> Response:
    response = answer({"error": "Rate limit exceeded. Try again later."}, 429)
    response.headers.update(_limit_headers(verdict))
    return response


_NOT_FILTERS = ("page", "per_page", "fields")
_TRIMMED = frozenset(("created_at", "updated_at", "url", "resource", "attachments"))
_IDENTITY = {
    "features": ("reference_num",),
    "epics": ("reference_num",),
    "ideas": ("product_id",),
}
"""What an explicit list of fields has beside `id` without naming it."""
TIMED = ("epics", "features", "ideas", "initiatives", "key_results", "releases", "requirements", "pages")
"""Kinds of which it is known how long a record was in each status."""

Filter = Callable[[Aha, Table, Call], Callable[[int], bool] | None]


def _since(name: str, times: Literal["created", "updated"]) -> Filter:
    def keeps(aha: Aha, table: Table, call: Call) -> Callable[[int], bool]:
        bound = call.instant(name) + (0 if aha.rules.includes_bounds else 1)
        column = table.created if times == "created" else table.updated
        return lambda index: column[index] >= bound

    return keeps


def _created_before(aha: Aha, table: Table, call: Call) -> Callable[[int], bool]:
    bound = call.instant("created_before") - (0 if aha.rules.includes_bounds else 1)
    return lambda index: table.created[index] <= bound


def _q(aha: Aha, table: Table, call: Call) -> Callable[[int], bool]:
    text = call.query["q"].casefold()
    return lambda index: text in str(table.make(index).get("name", "")).casefold()


def _tag(aha: Aha, table: Table, call: Call) -> Callable[[int], bool]:
    return lambda index: call.query["tag"] in aha.account.tags(table.kind, index)[0]


def _workflow_status(aha: Aha, table: Table, call: Call) -> Callable[[int], bool]:
    def keeps(index: int) -> bool:
        status = aha.account.status(table.kind, index)
        return call.query["workflow_status"] in (status["id"], status["name"])

    return keeps


def _assigned_to_user(aha: Aha, table: Table, call: Call) -> Callable[[int], bool]:
    def keeps(index: int) -> bool:
        user = aha.account.assignee_number(table.kind, index)
        return user is not None and call.query["assigned_to_user"] in (
            ident("users", user),
            aha.account.user_email(user),
        )

    return keeps


def _custom_fields(aha: Aha, table: Table, call: Call) -> Callable[[int], bool]:
    key, has_value, value = call.query["custom_fields"].partition(":")

    def keeps(index: int) -> bool:
        values = {field["key"]: field.get("value") for field in table.make(index)["custom_fields"]}
        return values.get(key) == value if has_value else values.get(key) is not None

    return keeps


def _only_active(aha: Aha, table: Table, call: Call) -> Callable[[int], bool] | None:
    if not call.boolean("only_active"):
        return None
    return lambda index: not aha.account.status(table.kind, index)["complete"]


def _parking_lot(aha: Aha, table: Table, call: Call) -> Callable[[int], bool]:
    wanted = call.boolean("parking_lot")
    return lambda index: (table.kind == "releases" and aha.account.is_parking_lot(index)) == wanted


def _exclude_shipped(aha: Aha, table: Table, call: Call) -> Callable[[int], bool] | None:
    if not call.boolean("exclude_shipped") or table.kind != "releases":
        return None
    return lambda index: not aha.account.is_shipped(index)


def _type(aha: Aha, table: Table, call: Call) -> Callable[[int], bool]:
    if table.kind == "tasks":
        wanted = call.choice("type", "Task", "Approval") == "Approval"
        return lambda index: aha.account.is_approval(index) == wanted
    phase = call.choice("type", "phase", "milestone")
    return lambda index: bool(table.make(index)["type"] == phase)


def _user_id(aha: Aha, table: Table, call: Call) -> Callable[[int], bool]:
    wanted = call.query["user_id"]
    if table.kind == "ideas":
        return lambda index: aha.account.idea_author(index) == ("users", index_of("users", wanted))
    return lambda index: bool(table.make(index)["user"]["id"] == wanted)


def _idea_user_id(aha: Aha, table: Table, call: Call) -> Callable[[int], bool]:
    wanted = index_of("idea_users", call.query["idea_user_id"])
    if table.kind == "portal_users":
        return lambda index: aha.account.idea_user_of(index) == wanted

    def keeps(index: int) -> bool:
        kind, author = aha.account.idea_author(index)
        return kind == "portal_users" and aha.account.idea_user_of(author) == wanted

    return keeps


def _proxy(aha: Aha, table: Table, call: Call) -> Callable[[int], bool]:
    wanted = call.boolean("proxy")
    return lambda index: aha.account.is_proxy(index) == wanted


def _email(aha: Aha, table: Table, call: Call) -> Callable[[int], bool]:
    wanted = call.query["email"].casefold()
    return lambda index: bool(table.make(index)["email"].casefold() == wanted)


def _idea_portal_id(aha: Aha, table: Table, call: Call) -> Callable[[int], bool]:
    portal = index_of("idea_portals", call.query["idea_portal_id"])
    portal_users = range(aha.account.portal_people)
    people = {aha.account.idea_user_of(user) for user in portal_users if aha.account.portal_of(user) == portal}
    return people.__contains__


def _has_subscriptions(aha: Aha, table: Table, call: Call) -> Callable[[int], bool]:
    wanted = call.boolean("has_portal_user_subscriptions")
    subscriptions = aha.account.tables["idea_subscriptions"]
    subscribed = {subscriptions.make(index)["portal_user"]["id"] for index in subscriptions.order}
    return lambda index: (ident("portal_users", index) in subscribed) == wanted


def _email_domain(aha: Aha, table: Table, call: Call) -> Callable[[int], bool]:
    wanted = call.query["email_domain"].casefold()
    return lambda index: wanted in table.make(index)["email_domains"].split(",")


def _product_id(aha: Aha, table: Table, call: Call) -> Callable[[int], bool]:
    product = aha.account.find("products", call.query["product_id"])
    teams = {team for team, of in enumerate(aha.account.team_product) if of == product and of is not None}
    members = {member for team, member in aha.account.membership_of if team in teams}
    return members.__contains__


def _include_teams(aha: Aha, table: Table, call: Call) -> None:
    call.boolean("include_teams")  # taken into account by `_all_products`


def _with_idea_portals(aha: Aha, table: Table, call: Call) -> Callable[[int], bool] | None:
    if not call.boolean("with_idea_portals"):
        return None
    products = {product for products in aha.account.portal_products.values() for product in products}
    return products.__contains__


def _audited(name: str) -> Filter:
    def keeps(aha: Aha, table: Table, call: Call) -> Callable[[int], bool]:
        wanted = call.query[name]

        def matches(index: int) -> bool:
            changed, identifier, action, kind, row = aha.account.audit_subject(index)
            primary = identifier if changed == TYPES[kind] else int(ident(kind, row))
            facts = {
                "auditable_type": changed,
                "auditable_id": str(identifier),
                "audit_action": action,
                "associated_type": TYPES[kind],
                "associated_id": str(primary),
            }
            return facts[name] == wanted

        return matches

    return keeps


def _audit_action(aha: Aha, table: Table, call: Call) -> Callable[[int], bool] | None:
    call.choice("audit_action", "create", "update", "destroy")
    return _audited("audit_action")(aha, table, call)


def _after_id(aha: Aha, table: Table, call: Call) -> Callable[[int], bool]:
    if not call.query["after_id"].isdecimal():
        raise invalid("after_id must be a number.")
    after = int(call.query["after_id"])
    return lambda index: int(ident("audits", index)) > after


FILTERS: Mapping[str, Filter] = {
    "updated_since": _since("updated_since", "updated"),
    "created_since": _since("created_since", "created"),
    "created_before": _created_before,
    "q": _q,
    "tag": _tag,
    "workflow_status": _workflow_status,
    "assigned_to_user": _assigned_to_user,
    "custom_fields": _custom_fields,
    "only_active": _only_active,
    "parking_lot": _parking_lot,
    "exclude_shipped": _exclude_shipped,
    "type": _type,
    "user_id": _user_id,
    "idea_user_id": _idea_user_id,
    "proxy": _proxy,
    "email": _email,
    "idea_portal_id": _idea_portal_id,
    "has_portal_user_subscriptions": _has_subscriptions,
    "email_domain": _email_domain,
    "product_id": _product_id,
    "include_teams": _include_teams,
    "with_idea_portals": _with_idea_portals,
    "auditable_type": _audited("auditable_type"),
    "auditable_id": _audited("auditable_id"),
    "associated_type": _audited("associated_type"),
    "associated_id": _audited("associated_id"),
    "audit_action": _audit_action,
    "after_id": _after_id,
}
"""For a parameter, which rows it keeps; `spam` and `sort` are taken care of before and after."""


# Which records hang off which. Each takes the sandbox and a call, and gives indices into the table of the list.


def _all_products(aha: Aha, call: Call) -> Sequence[int]:
    teams = call.boolean("include_teams")
    projects = aha.account.projects
    order = aha.account.tables["products"].order
    return [index for index in order if teams or projects[index]["workspace_type"] != "team"]


def _of_product(kind: str) -> Rows:
    def rows(aha: Aha, call: Call) -> Sequence[int]:
        (product,) = call.rows
        account = aha.account
        return [index for index in account.tables[kind].order if account.product_of(kind, index) == product]

    return rows


def _pages_of_knowledge_base(aha: Aha, call: Call) -> Sequence[int]:
    return [index for index in aha.account.tables["pages"].order if aha.account.in_knowledge_base(index)]


def _of(children: Callable[[Account], Mapping[int, Sequence[int]]]) -> Rows:
    return lambda aha, call: children(aha.account).get(call.rows[0], ())


def _of_initiative(kind: str) -> Rows:
    return lambda aha, call: aha.account.initiatives_of(kind, call.rows[0])


def _of_goal(kind: str) -> Rows:
    return lambda aha, call: aha.account.of_goal(kind, call.rows[0])


def _comments_on(kind: str) -> Rows:
    return lambda aha, call: aha.account.comments_of.get((kind, call.rows[0]), ())


def _tasks_on(kind: str) -> Rows:
    return lambda aha, call: aha.account.tasks_of.get((kind, call.rows[0]), ())


def _tasks_for_user(aha: Aha, call: Call) -> Sequence[int]:
    user = call.rows[0] if call.rows else call.user
    tasks, account = aha.account.tables["tasks"], aha.account
    return [index for index in tasks.order if index % 6 != 3 and account.task_assignee(index) == user]


def _categories_of_product(aha: Aha, call: Call) -> Sequence[int]:
    table, product = aha.account.tables["idea_categories"], int(ident("products", call.rows[0]))
    return [index for index in table.order if table.make(index)["project_id"] == product]


def _portals_of_product(aha: Aha, call: Call) -> Sequence[int]:
    return [portal for portal, products in aha.account.portal_products.items() if call.rows[0] in products]


def _users_of_portal(aha: Aha, call: Call) -> Sequence[int]:
    order = aha.account.tables["portal_users"].order
    return [index for index in order if aha.account.portal_of(index) == call.rows[0]]


def _teams_of_product(aha: Aha, call: Call) -> Sequence[int]:
    return [team for team, product in enumerate(aha.account.team_product) if product == call.rows[0]]


def _integrations_of_product(aha: Aha, call: Call) -> Sequence[int]:
    return range(2) if aha.account.projects[call.rows[0]]["workspace_type"] == "product_workspace" else ()


def _custom_object_records(aha: Aha, call: Call) -> Sequence[int]:
    if call.texts[0] not in CUSTOM_OBJECTS or aha.account.projects[call.rows[0]]["reference_prefix"] != "APP":
        raise not_found()
    order = aha.account.tables["custom_object_records"].order
    return [index for index in order if aha.account.object_key(index) == call.texts[0]]


def _linked(kind: str) -> Rows:
    """Return the records whose field of an integration has a value; the path names the field and the value last."""

    def rows(aha: Aha, call: Call) -> Sequence[int]:
        name, value = call.texts

        def has_it(index: int) -> bool:
            fields = aha.account.integration_fields(kind, index)
            integration = int(ident("integrations", call.rows[0])) if call.rows else None
            return any(
                field["name"] == name and field["value"] == value and integration in (None, field["integration_id"])
                for field in fields
            )

        return [index for index in aha.account.tables[kind].order if has_it(index)]

    return rows


# Records that are made for a list, and are in no table.


def _project_users(aha: Aha, call: Call) -> list[Record]:
    (product,) = call.rows
    users = [user for user in aha.account.tables["users"].order if aha.account.has_role(user, product)]
    return [aha.account.product_user(product, user) for user in users]


def _record_links(aha: Aha, call: Call) -> list[Record]:
    (feature,) = call.rows
    links = [aha.account.record_link(link, feature) for link in aha.account.links_of.get(feature, ())]
    return links if call.boolean("parent_and_child_links") else [link for link in links if link["parent"]]


def _options(aha: Aha, call: Call) -> list[Record]:
    return aha.account.options.get(call.rows[0], [])


def _terse_options(aha: Aha, call: Call) -> list[Record]:
    return [
        {"text": option["value"], "value": option["id"], "meta": {"color": option["color"]}}
        for option in _options(aha, call)
    ]


def _status_times(kind: str) -> Making:
    return lambda aha, call: aha.account.status_times(kind, call.rows[0])


def _investments(kind: str) -> Making:
    return lambda aha, call: aha.account.investments(kind, call.rows[0])


def _estimates(aha: Aha, call: Call) -> list[Record]:
    record = investment_of(call.texts[0])
    if record is None or aha.account.tables[record[0]].find(ident(*record)) is None:
        raise not_found()
    if not aha.account.investments(*record):
        raise not_found()
    return aha.account.estimates(*record)


def _historical_index(aha: Aha, call: Call) -> list[Record]:
    for name in ("created_since", "created_before"):
        if name not in call.query:
            raise invalid(f"{name} is required.")
    entries = [entry for _, entry, _ in _historical(aha, call.instant("created_since"), call.instant("created_before"))]
    asked = {"user_id": "id", "auditable_type": "auditable_type", "auditable_id": "auditable_id"}
    asked |= {"associated_type": "auditable_type", "associated_id": "auditable_id"}
    for name, field in asked.items():
        if name in call.query:
            entries = [entry for entry in entries if str(entry[field]) == call.query[name]]
    return entries


def _historical(aha: Aha, since: int, before: int) -> list[tuple[int, Record, Record]]:
    return [each for each in aha.account.historical if since <= each[0] <= before]


@dataclass(slots=True)
class Search:
    """A search for the content of historical audits: runs for one look, then gives batches."""

    audits: list[Record]
    looks: int = 0
    is_refunded: bool = False


def _start_search(aha: Aha, call: Call) -> Response:
    try:
        search = msgspec.json.decode(call.texts[-1], type=dict[str, dict[str, str | int]])["search"]
        window = Call((), (), {name: str(search[name]) for name in ("created_since", "created_before")}, call.user)
    except (msgspec.DecodeError, msgspec.ValidationError, KeyError) as error:
        raise invalid('The body must be {"search": {"created_since": …, "created_before": …}}.') from error
    if aha.historical_tokens < HISTORICAL_SEARCH_COST:
        raise Refusal(422, {"error": "Not enough tokens."})
    aha.historical_tokens -= HISTORICAL_SEARCH_COST
    found = _historical(aha, window.instant("created_since"), window.instant("created_before"))
    aha.searches.append(Search([audit for _, _, audit in found]))
    return _with_tokens(aha, {"search_id": len(aha.searches)})


def _read_search(aha: Aha, call: Call) -> Response:
    number, token = call.texts[0], call.query.get("next_token") or "0"
    if not number.isdecimal() or not 1 <= int(number) <= len(aha.searches):
        raise not_found()
    if not token.isdecimal():
        raise invalid("next_token is not one that was given out.")
    search = aha.searches[int(number) - 1]
    search.looks += 1
    if search.looks == 1:
        return _with_tokens(aha, {"audits": [], "running": True, "next_token": None, "results_complete": False})
    end = int(token) + HISTORICAL_BATCH
    is_complete = end >= len(search.audits)
    if is_complete and not search.is_refunded:
        search.is_refunded = True
        aha.historical_tokens += max(0, HISTORICAL_SEARCH_COST - len(search.audits))
    return _with_tokens(
        aha,
        {
            "audits": search.audits[int(token) : end],
            "running": False,
            "next_token": None if is_complete else str(end),
            "results_complete": is_complete,
        },
    )


def _with_tokens(aha: Aha, body: object) -> Response:
    response = answer(body)
    response.headers["X-Historical-Tokens-Available"] = str(aha.historical_tokens)
    return response


def _me(aha: Aha, call: Call) -> Response:
    return answer({"user": aha.account.tables["users"].make(call.user)})


def _assigned_to_me(aha: Aha, call: Call) -> Response:
    features = aha.account.tables["features"]
    mine = [index for index in features.order if aha.account.assignee_number("features", index) == call.user]
    return answer({"assigned": [aha.account.short_feature(index) for index in mine]})


def _workflow(aha: Aha, call: Call) -> Response:
    for workflow in aha.account.workflows:
        if str(workflow["id"]) == call.texts[0]:
            return answer({"workflow": workflow})
    raise not_found()


def _capacity_scenario(aha: Aha, call: Call) -> Response:
    table = aha.account.tables["capacity_scenarios"]
    for index in table.order:
        if str(table.make(index)["id"]) == call.texts[0]:
            return answer({"capacity_scenario": table.make(index)})
    raise not_found()


def _vote(aha: Aha, call: Call) -> Response:
    idea, vote = call.rows
    if aha.account.vote_idea[vote] != idea:
        raise not_found()
    record = aha.account.tables["idea_endorsements"].make(vote)
    return answer(
        {"idea_endorsement": {name: value for name, value in record.items() if not name.startswith("associ")}}
    )


def _report(aha: Aha, call: Call) -> Response:
    """Answer with a saved report: the features of the account, as a list or counted by workspace and status."""
    if call.texts[0] not in REPORTS:
        raise not_found()
    view = call.choice("view", "list", "pivot") or "list"
    is_empty = call.texts[0] == REPORTS[1]
    account = aha.account
    features = [] if is_empty else account.tables["features"].order
    if view == "pivot":
        counts: dict[str, dict[str, int]] = {}
        for index in features:
            row = counts.setdefault(account.projects[account.product_of("features", index)]["name"], {})
            status = account.status("features", index)["name"]
            row[status] = row.get(status, 0) + 1
        names = sorted({name for row in counts.values() for name in row})
        rows = [[_cell(name), *(_cell(str(row.get(status, 0))) for status in names)] for name, row in counts.items()]
        return answer({"columns": [{"title": "Workspace name"}, *({"title": name} for name in names)], "rows": rows})
    size, page = min(call.number("per_page", PER_PAGE), PER_PAGE_MAXIMUM), call.number("page", 1)
    rows = []
    for index in features[(page - 1) * size : page * size]:
        url = account.links("features", index)[0]
        cells = (account.reference("features", index), account.name("features", index))
        rows.append([_cell(cells[0], url), _cell(cells[1], url), _cell(account.status("features", index)["name"])])
    # Reports send their pagination as a list of one.
    pagination = {"total_records": len(features), "total_pages": -(-len(features) // size), "current_page": page}
    titles = ("Feature reference #", "Feature name", "Feature status")
    return answer({"columns": [{"title": title} for title in titles], "rows": rows, "pagination": [pagination]})


def _cell(text: str, url: str | None = None) -> Record:
    return {"plain_value": text, "html_value": f'<a href="{url}">{text}</a>' if url else text, "rich_value": text}


_WORK_FILTERS = ("q", "updated_since", "tag", "assigned_to_user", "workflow_status", "custom_fields")
_INITIATIVE_FILTERS = ("q", "updated_since", "assigned_to_user", "only_active", "workflow_status", "custom_fields")
_RELEASE_FILTERS = ("q", "updated_since", "parking_lot", "exclude_shipped")
_IDEA_FILTERS = (
    "q", "spam", "workflow_status", "sort", "created_before", "created_since", "updated_since", "tag", "user_id",
    "idea_user_id", "assigned_to_user",
)  # fmt: skip
_VOTE_FILTERS = ("created_before", "created_since", "updated_since", "proxy")
_AUDIT_FILTERS = (
    "auditable_type", "auditable_id", "associated_type", "associated_id", "audit_action", "created_since",
    "created_before", "after_id", "user_id",
)  # fmt: skip
_HISTORICAL_FILTERS = (
    "created_since", "created_before", "user_id", "auditable_type", "auditable_id", "associated_type", "associated_id",
)  # fmt: skip
_TEXT_FILTERS = ("q", "updated_since")
_TASK_FILTERS = ("updated_since", "type")

LISTINGS: tuple[Listing, ...] = (
    Listing("/features", "features", _WORK_FILTERS, documents_fields=True),
    Listing("/ideas/endorsements", "idea_endorsements", _VOTE_FILTERS, documents_fields=True),
    Listing("/audits", "audits", _AUDIT_FILTERS, documents_fields=True),
    Listing("/tasks", "tasks", _TASK_FILTERS, documents_fields=True),
    Listing("/ideas", "ideas", _IDEA_FILTERS, documents_fields=True),
    Listing(
        "/products", "products", ("updated_since", "include_teams", "with_idea_portals"), _all_products
    ),
    Listing("/epics", "epics", _WORK_FILTERS, documents_fields=True),
    Listing("/master_features", "epics", _WORK_FILTERS, documents_fields=True),
    Listing("/initiatives", "initiatives", _INITIATIVE_FILTERS, documents_fields=True),
    Listing("/goals", "goals"),
    Listing("/release_phases", "release_phases", ("type",)),
    Listing("/idea_themes", "idea_themes"),
    Listing("/idea_portals", "idea_portals"),
    Listing("/idea_organizations", "idea_organizations", ("q", "email_domain", "updated_since"), documents_fields=True),
    Listing("/idea_users", "idea_users", ("email", "idea_portal_id"), documents_fields=True),
    Listing("/portal_users", "portal_users"),
    Listing("/users", "users", ("email",), needs_role=True),
    Listing("/strategy_models", "strategy_models"),
    Listing("/strategy_positions", "strategy_positions"),
    Listing("/strategy_visions", "strategy_visions"),
    Listing("/deletions", "deletions", current_page_is_text=True),
    Listing("/teams", "teams", documents_fields=True),
    Listing("/team_members", "team_members", ("product_id",)),
    Listing("/schedules", "schedules", documents_fields=True),
    Listing("/integrations", "integrations"),
    Listing("/capacity_scenarios", "capacity_scenarios"),
    Listing("/discovery_groups", "discovery_groups"),
    Listing("/custom_field_definitions", "custom_field_definitions", pages=False),
    Listing("/identity_providers", "identity_providers", pages=False, needs_role=True),
    Listing("/paid_seat_groups", "paid_seat_groups", pages=False, needs_role=True),
    Listing("/account_backups", "account_backups", pages=False, needs_role=True),
    Listing(
        "/screen_definitions",
        "screen_definitions",
        makes=lambda aha, call: aha.account.screens,
        envelope=False,
        needs_role=True,
    ),
    Listing("/historical_audits", "historical_audits", _HISTORICAL_FILTERS, makes=_historical_index),
    Listing("/me/tasks", "tasks", _TASK_FILTERS, _tasks_for_user, documents_fields=True),
    # Below a workspace
    Listing("/products/{products}/features", "features", _WORK_FILTERS, _of_product("features"), documents_fields=True),
    Listing("/products/{products}/epics", "epics", _WORK_FILTERS, _of_product("epics")),
    Listing("/products/{products}/initiatives", "initiatives", _INITIATIVE_FILTERS, _of_product("initiatives")),
    Listing("/products/{products}/goals", "goals", (), _of_product("goals")),
    Listing("/products/{products}/releases", "releases", _RELEASE_FILTERS, _of_product("releases")),
    Listing(
        "/products/{products}/roll_up_releases", "roll_up_releases", _RELEASE_FILTERS, _of_product("roll_up_releases")
    ),
    Listing("/products/{products}/ideas", "ideas", _IDEA_FILTERS, _of_product("ideas"), documents_fields=True),
    Listing("/products/{products}/idea_categories", "idea_categories", (), _categories_of_product),
    Listing("/products/{products}/idea_portals", "idea_portals", (), _portals_of_product),
    Listing("/products/{products}/users", "project_users", makes=_project_users),
    Listing("/products/{products}/comments", "comments", (), _of_product("comments"), documents_fields=True),
    Listing("/products/{products}/tasks", "tasks", _TASK_FILTERS, _of_product("tasks")),
    Listing("/products/{products}/pages", "pages", ("q",), _of_product("pages")),
    Listing("/products/{products}/personas", "personas", ("q",), _of_product("personas")),
    Listing("/products/{products}/competitors", "competitors", ("q",), _of_product("competitors")),
    Listing("/products/{products}/creative_briefs", "creative_briefs", ("q",), _of_product("creative_briefs")),
    Listing("/products/{products}/teams", "teams", (), _teams_of_product),
    Listing("/products/{products}/integrations", "integrations", (), _integrations_of_product),
    Listing("/products/{products}/workflows", "workflows", makes=lambda aha, call: aha.account.workflows, pages=False),
    Listing(
        "/products/{products}/custom_objects/{key}/records",
        "custom_object_records",
        ("updated_since",),
        _custom_object_records,
    ),
    # Below other records
    Listing("/releases/{releases}/features", "features", _WORK_FILTERS, _of(lambda a: a.features_of_release)),
    Listing("/releases/{releases}/epics", "epics", _WORK_FILTERS, _of(lambda a: a.epics_of_release)),
    Listing("/releases/{releases}/release_phases", "release_phases", ("type",), _of(lambda a: a.phases_of)),
    Listing(
        "/releases/{roll_up_releases}/releases", "releases", _RELEASE_FILTERS, _of(lambda a: a.releases_of_roll_up)
    ),
    Listing(
        "/roll_up_releases/{roll_up_releases}/releases",
        "releases",
        _RELEASE_FILTERS,
        _of(lambda a: a.releases_of_roll_up),
    ),
    Listing("/epics/{epics}/features", "features", _WORK_FILTERS, _of(lambda a: a.features_of_epic)),
    Listing("/goals/{goals}/features", "features", _WORK_FILTERS, _of_goal("features")),
    Listing("/goals/{goals}/epics", "epics", _WORK_FILTERS, _of_goal("epics")),
    Listing("/goals/{goals}/releases", "releases", _RELEASE_FILTERS, _of_goal("releases")),
    Listing("/goals/{goals}/initiatives", "initiatives", _INITIATIVE_FILTERS, _of(lambda a: a.initiatives_of_goal)),
    Listing("/goals/{goals}/key_results", "key_results", (), _of(lambda a: a.key_results_of)),
    Listing("/initiatives/{initiatives}/features", "features", _WORK_FILTERS, _of_initiative("features")),
    Listing("/initiatives/{initiatives}/epics", "epics", _WORK_FILTERS, _of_initiative("epics")),
    Listing("/initiatives/{initiatives}/releases", "releases", _RELEASE_FILTERS, _of_initiative("releases")),
    Listing(
        "/initiatives/{initiatives}/goals", "goals", (), lambda aha, call: aha.account.goals_of_initiative(call.rows[0])
    ),
    Listing("/features/{features}/requirements", "requirements", _TEXT_FILTERS, _of(lambda a: a.requirements_of)),
    Listing(
        "/features/{features}/record_links",
        "record_links",
        ("parent_and_child_links",),
        makes=_record_links,
        pages=False,
    ),
    Listing(
        "/ideas/{ideas}/endorsements", "idea_endorsements", ("proxy",), _of(lambda a: a.votes_of), documents_fields=True
    ),
    Listing(
        "/ideas/{ideas}/idea_comments",
        "idea_comments",
        ("spam",),
        _of(lambda a: a.idea_comments_of),
        documents_fields=True,
    ),
    Listing(
        "/ideas/{ideas}/subscriptions",
        "idea_subscriptions",
        (),
        _of(lambda a: a.subscriptions_of),
        documents_fields=True,
    ),
    Listing(
        "/idea_organizations/{idea_organizations}/endorsements",
        "idea_endorsements",
        (),
        _of(lambda a: a.votes_of_organization),
    ),
    Listing(
        "/idea_portals/{idea_portals}/portal_users",
        "portal_users",
        ("email", "idea_user_id", "has_portal_user_subscriptions"),
        _users_of_portal,
        documents_fields=True,
    ),
    Listing("/knowledge_bases/{knowledge_bases}/pages", "pages", ("q",), _pages_of_knowledge_base),
    Listing("/users/{users}/tasks", "tasks", _TASK_FILTERS, _tasks_for_user),
    Listing(
        "/teams/{teams}/team_memberships",
        "team_memberships",
        (),
        _of(lambda a: a.memberships_of_team),
        documents_fields=True,
    ),
    Listing(
        "/custom_field_definitions/{custom_field_definitions}/custom_field_options",
        "custom_field_options",
        makes=_options,
        pages=False,
    ),
    Listing(
        "/custom_field_definitions/{custom_field_definitions}/options", "options", makes=_terse_options, pages=False
    ),
    Listing("/capacity_investments/{id}/estimate_values", "estimate_values", makes=_estimates),
    Listing(
        "/integrations/{integrations}/fields/{name}/value/{value}", "features", (), _linked("features")
    ),
    *(
        Listing(f"/{kind}/{{{kind}}}/comments", "comments", (), _comments_on(kind))
        for kind in (
            "epics", "features", "goals", "ideas", "initiatives", "pages", "release_phases", "releases", "requirements",
            "tasks",
        )
    ),
    *(
        Listing(f"/{kind}/{{{kind}}}/tasks", "tasks", _TASK_FILTERS, _tasks_on(kind))
        for kind in ("features", "epics", "ideas", "releases", "requirements")
    ),
    *(
        Listing(
            f"/{kind}/{{{kind}}}/workflow_status_times",
            "workflow_status_times",
            makes=_status_times(kind),
        )
        for kind in TIMED
    ),
    *(
        Listing(
            f"/{kind}/{{{kind}}}/capacity_investments",
            "capacity_investments",
            makes=_investments(kind),
        )
        for kind in ("epics", "features", "initiatives", "products")
    ),
    *(
        Listing(f"/{path}/fields/{{name}}/value/{{value}}", kind, (), _linked(kind))
        for path, kind in (
            ("features", "features"), ("epics", "epics"), ("initiatives", "initiatives"), ("releases", "releases"),
            ("requirements", "requirements"), ("ideas", "ideas"), ("idea_endorsements", "idea_endorsements"),
        )
    ),
)  # fmt: skip
"""Every list, the most read first."""

DETAILS: tuple[Detail, ...] = (
    *(
        Detail(f"/{kind}/{{{kind}}}", kind, key, kind in ("features", "ideas", "products", "tasks", "comments"))
        for kind, key in (
            ("features", "feature"), ("products", "product"), ("epics", "epic"), ("initiatives", "initiative"),
            ("goals", "goal"), ("key_results", "key_result"), ("releases", "release"),
            ("roll_up_releases", "roll_up_release"), ("release_phases", "release_phase"),
            ("requirements", "requirement"), ("ideas", "idea"), ("idea_themes", "idea_theme"), ("users", "user"),
            ("comments", "comment"), ("tasks", "task"), ("pages", "page"), ("personas", "persona"),
            ("competitors", "competitor"), ("creative_briefs", "creative_brief"),
            ("strategy_models", "strategy_model"), ("strategy_positions", "strategy_positioning"),
            ("strategy_visions", "strategy_vision"), ("teams", "team"),
        )
    ),
    Detail("/master_features/{epics}", "epics", "epic"),
    Detail("/idea_organizations/{idea_organizations}", "idea_organizations", "idea_organization", True),
    Detail("/idea_users/{idea_users}", "idea_users", "idea_user", True),
)  # fmt: skip

SPECIALS: tuple[Special, ...] = (
    Special("/me", _me, ("fields",)),
    Special("/me/assigned", _assigned_to_me),
    Special("/workflows/{id}", _workflow),
    Special("/capacity_scenarios/{id}", _capacity_scenario),
    Special("/ideas/{ideas}/endorsements/{idea_endorsements}", _vote, ("fields",)),
    Special("/bookmarks/custom_pivots/{id}", _report, ("view", "page", "per_page")),
    Special("/historical_audits", _start_search, method="POST"),
    Special("/historical_audits/{id}", _read_search, ("next_token",)),
)


def build(settings: Settings, rules: Rules | None = None) -> Starlette:
    """Return the sandbox as an application; `app.state.aha` is the `Aha` behind it."""
    aha = Aha(settings, rules or Rules())

    async def elsewhere(scope: Scope, receive: Receive, send: Send) -> None:
        await no_route().response()(scope, receive, send)

    app = Starlette(routes=[Mount("/api/v1", app=aha), Mount("/", app=elsewhere)])
    app.state.aha = aha
    return app
