"""Drift (Salesloft): conversations of a website's visitors, and the users, contacts, accounts and meetings around them.

API reference: https://devdocs.drift.com/docs. Everything is below https://driftapi.com, without a version. What the
reference does not say and clients have seen is marked "seen" here.

Pages. Conversations come newest first (`updatedAt` descending) and carry a link whose `page_token` is followed until
there is no link, or until the walk is past the window; messages carry `pagination.next` until it is absent; accounts
carry a relative URL until it is absent. Meetings and the report have no pages, only windows of time with a largest
answer: a full answer is thrown away and asked for again in halves. Everything else comes whole.

Rate limit. A leaky bucket of a size nobody publishes, refused with 429; reports: 60 a minute. We ask 5 times a second.

How fresh, how complete. Conversations have no filter by time: a window is reached by walking down from now, so an old
window costs as many calls as all that is newer. A conversation lies in the partition of its last change; details,
messages, transcripts and contacts are read again for each changed conversation and land beside it. There is no list of
all contacts: those who have no conversation cannot be found, except by e-mail address (`contacts_by_email`), and a
contact is only seen again when one of its conversations changes. Meetings go back 30 days and no further. Attachments
are not a stream of their own: their metadata is the column `attachments` of messages. There is no feed of deletions:
deleted accounts and disabled playbooks vanish from their snapshots; a deleted contact answers 404 and is left out.

State of the product. Bought by Salesloft in 2024; in August 2025 the integration's OAuth tokens were stolen and
revoked, and the service was offline for a time in September 2025. No end of life is published.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from html import escape
from pathlib import Path
from typing import Any, ClassVar, TypeVar
from urllib.parse import urlsplit

import msgspec
from pydantic import Field

from connector_resources.config_keys import ConfigKey
from connector_resources.document_fields import (
    DocumentFields,
    Neighbours,
    Passage,
    People,
    Record,
    Remark,
    Thread,
    instant_of,
    value_at,
)
from connector_resources.errors import (
    ConfigurationError,
    IncompleteRead,
    MalformedPage,
    MissingCredential,
    RequestRejected,
    StreamNotPartitioned,
)
from connector_resources.http.authenticators import Authenticator, BearerToken, OAuth2Refresh
from connector_resources.http.messages import Answer, Request, Response
from connector_resources.http.paginators import LinkHeader, NextUrl, Token
from connector_resources.http.rate_limit import RateLimit
from connector_resources.http.retry import RetryPolicy
from connector_resources.http.stream import HttpStream, open_answer
from connector_resources.http.token_endpoint import FormTokenEndpoint
from connector_resources.resource import HttpSource, setting
from connector_resources.streams import Column, Cursor, Parent, ParentRow, Slice, Stream


@dataclass(frozen=True, kw_only=True)
class DriftStream(HttpStream):
    """A stream of Drift; `scope` is what the app must be granted to read it."""

    scope: str


_LINK = NextUrl("links.next", keep=("page_token",))
_OLDER_TOKEN = Token("pagination.next", "next", more="pagination.more")


@dataclass(frozen=True, slots=True)
class ConversationPages:
    """`{"data": […], "links": {"next": "https://…?page_token=…"}, "pagination": {"more": true, "next": "2"}}`.

    The link's host may be another than the one being read (api.drift.com), so only its token is followed; it holds
    the page size too. Answers in the older style have no `links`, and the number in `pagination` is taken as it is.
    """

    def first(self, request: Request) -> Request:
        """Return the request as it is."""
        return request

    def next(self, request: Request, answer: Answer) -> Request | None:
        """Return the request for the page the link or the older token names."""
        style = _OLDER_TOKEN if answer.value("links") is None else _LINK
        return style.next(request, answer)

    def total(self, answer: Answer) -> int | None:
        """Return None: conversations are not counted."""
        return None


LARGEST_MEETINGS_ANSWER = 1000
MEETINGS_HORIZON_DAYS = 30
_DAY_MS = 86_400_000

users = DriftStream(
    name="users",
    description="People and bots of the organization who answer conversations.",
    path="/users/list",
    records="data",
    scope="user_read",
    primary_key=("id",),
    cursor=Cursor("updatedAt", format="epoch_ms"),
    columns=(
        Column("id", "integer", "The user's number."),
        Column("orgId", "integer", "The organization the user belongs to."),
        Column("name", "string", "Full name."),
        Column("alias", "string", "Name shown to visitors instead of the full one."),
        Column("email", "string", "E-mail address the user signs in with."),
        Column("phone", "string", "Telephone number."),
        Column("locale", "string", "Language and region, such as en-US."),
        Column("timeZone", "string", "The user's time zone, an IANA name such as Europe/Paris."),
        Column("avatarUrl", "string", "Where the user's picture is."),
        Column("availability", "string", "AVAILABLE, OFFLINE or ON_CALL, at the moment of reading."),
        Column("role", "string", "member, admin or agent."),
        Column("verified", "boolean", "Whether the e-mail address has been confirmed."),
        Column("bot", "boolean", "Whether the user is a bot."),
        Column("createdAt", "epoch_ms", "When the user was added."),
        Column("updatedAt", "epoch_ms", "When the user was last changed."),
    ),
)

teams = DriftStream(
    name="teams",
    description="Groups of users that conversations are routed to.",
    path="/teams/org",
    records="data",
    scope="user_read",  # the reference names none for teams
    primary_key=("id",),
    cursor=Cursor("updatedAt", format="epoch_ms"),
    columns=(
        Column("id", "integer", "The team's number."),
        Column("orgId", "integer", "The organization the team belongs to."),
        Column("workspaceId", "string", "The workspace (a UUID) the team belongs to."),
        Column("name", "string", "The team's name."),
        Column("updatedAt", "epoch_ms", "When the team was last changed."),
        Column("members", "json", "Ids of the users in the team."),
        Column("owner", "integer", "Id of the user who owns the team."),
        Column("status", "string", "ENABLED or ARCHIVED."),
        Column("main", "boolean", "Whether this is the organization's default team."),
        Column("autoOffline", "boolean", "Whether members go offline by themselves when away."),
        Column("teamCsatEnabled", "boolean", "Whether the team asks visitors how satisfied they were (seen)."),
        Column("teamAvailabilityMode", "string", "ALWAYS_ONLINE, ALWAYS_OFFLINE or CUSTOM_HOURS."),
        Column("responseTimerEnabled", "boolean", "Whether a timer runs until a member answers."),
    ),
)

accounts = DriftStream(
    name="accounts",
    description="Companies, one per domain (paid plans). Deleted ones are not listed.",
    deleted_flag="deleted",
    path="/accounts",
    records="data.accounts",
    # 65 is the most the newer reference allows.
    paginator=NextUrl("data.next", params={"index": "0", "size": "65"}, total_records="data.total"),
    scope="account_read",
    primary_key=("accountId",),
    cursor=Cursor("updateDateTime", format="epoch_ms"),
    columns=(
        Column("accountId", "string", "The account's id: the organization's number, an underscore, the domain."),
        Column("ownerId", "integer", "Id of the user who owns the account."),
        Column("name", "string", "The company's name."),
        Column("domain", "string", "The company's domain; no two accounts share one."),
        Column("customProperties", "json", "Properties the organization defined: label, name, value and type of each."),
        Column("deleted", "boolean", "Whether the account has been deleted."),
        Column("targeted", "boolean", "Whether the account is one the organization wants to win."),
        Column("createDateTime", "epoch_ms", "When the account was made."),
        Column("updateDateTime", "epoch_ms", "When the account was last changed."),
    ),
)


def _said(messages: Sequence[Record], people: People) -> Iterator[Remark]:
    """Yield what a visitor sees of a conversation, oldest first: chat messages as they were edited last.

    Notes and prompts are left out, which only the organization sees, as are buttons.
    """
    texts: dict[Any, str] = {}
    shown: list[Record] = []
    for message in sorted(messages, key=lambda each: (instant_of(each["createdAt"]) or _FIRST, each["id"])):
        if message["type"] == "chat":
            texts[message["id"]] = str(message["body"] or "")
            shown.append(message)
        elif message["type"] == "edit" and (edited := message["editedMessageId"]) in texts:
            if message["editType"] == "delete":
                del texts[edited]
            elif message["editType"] in ("replace", "replace_body"):
                texts[edited] = str(message["body"] or "")
    for message in shown:
        if message["id"] in texts:
            files = value_at(message["attachments"], "fileName") or []
            sent = "".join(f"<p>Attached: {escape(str(name))}</p>" for name in files)
            text = texts[message["id"]]
            if text or sent:
                yield Remark(_author(message["author"], people), instant_of(message["createdAt"]), f"{text}{sent}")


def _author(author: Any, people: People) -> str:
    """Return who wrote a message: the name people know, else what kind of author it is."""
    number, kind = value_at(author, "id"), value_at(author, "type")
    if kind == "contact":
        contact = value_at(people.get("contacts", {}).get(number), "attributes")
        return str(value_at(contact, "name") or value_at(contact, "first_name") or "Visitor")
    user = people.get("users", {}).get(number)
    name = value_at(user, "name") or value_at(user, "alias")
    if value_at(author, "bot"):
        return f"{name} (bot)" if name else "Bot"
    return str(name or "Agent")


_FIRST = datetime(1970, 1, 1, tzinfo=UTC)

conversations = DriftStream(
    name="conversations",
    description="Conversations by the day of their last change, as the list gives them; see conversation_details.",
    path="/conversations/list",
    records="data",
    paginator=ConversationPages(),
    scope="conversation_read",
    primary_key=("id",),
    cursor=Cursor("updatedAt", format="epoch_ms", newest_first=True, lookback=timedelta(minutes=5)),
    document=DocumentFields(
        title="Conversation {id}",
        metadata={
            "status": "status",
            "contact_id": "contactId",
            "inbox_id": "inboxId",
            "created_at": "createdAt",
            "updated_at": "updatedAt",
        },
        thread=Thread(
            Neighbours(
                "messages",
                (
                    *("conversationId", "id", "type", "body", "author", "createdAt"),
                    *("attachments", "editedMessageId", "editType"),
                ),
                path="id",
            ),
            _said,
            people=(
                Neighbours("users", ("id", "name", "alias"), path="author.id"),
                Neighbours("contacts", ("id", "attributes"), path="author.id"),
            ),
        ),
    ),
    columns=(
        Column("id", "integer", "The conversation's number."),
        Column("status", "string", "open, closed, pending or bulk_sent; the vendor is phasing it out."),
        Column("contactId", "integer", "Id of the contact who takes part."),
        Column("inboxId", "integer", "The inbox the conversation lies in."),
        Column("createdAt", "epoch_ms", "When the conversation began."),
        Column("updatedAt", "epoch_ms", "When the conversation last changed."),
    ),
)

conversation_details = DriftStream(
    name="conversation_details",
    description="Changed conversations with participants, tags and playbook, which the list leaves out.",
    path="/conversations/{conversationId}",
    records="data",
    has_one_record=True,
    scope="conversation_read",
    primary_key=("id",),
    parent=Parent(conversations, {"conversationId": "id"}, told_as={"conversationId": "id"}),
    cursor=Cursor("updatedAt", format="epoch_ms"),
    columns=(
        Column("id", "integer", "The conversation's number."),
        Column("orgId", "integer", "The organization the conversation belongs to."),
        Column("status", "string", "open, closed, pending or bulk_sent; the vendor is phasing it out."),
        Column("contactId", "integer", "Id of the contact who takes part."),
        Column("inboxId", "integer", "The inbox the conversation lies in."),
        Column("participants", "json", "Ids of the users who take part."),
        Column("relatedPlaybookId", "integer", "The playbook the conversation came from."),
        Column("conversationTags", "json", "Tags on the conversation: name and color of each."),
        Column("createdAt", "epoch_ms", "When the conversation began."),
        Column("updatedAt", "epoch_ms", "When the conversation last changed."),
    ),
)

messages = DriftStream(
    name="messages",
    description="All messages of the changed conversations; an edit is a message that names the one it edits.",
    path="/conversations/{conversationId}/messages",
    records="data.messages",
    paginator=Token("pagination.next", "next", more="pagination.more"),
    scope="conversation_read",
    primary_key=("id",),
    parent=Parent(conversations, {"conversationId": "id"}),
    cursor=Cursor("createdAt", format="epoch_ms"),
    columns=(
        Column("id", "integer", "The message's number."),
        Column("orgId", "integer", "The organization the message belongs to."),
        Column("conversationId", "integer", "The conversation the message is part of."),
        Column("type", "string", "chat or private_note; private_prompt and edit in older data."),
        Column("body", "string", "What was written, as HTML."),
        Column("author", "json", "Who wrote it: id, type (contact or user), and whether a bot did."),
        Column("createdAt", "epoch_ms", "When the message was sent; messages have no other time."),
        Column("buttons", "json", "Buttons offered: label, value, type, style and reaction of each."),
        Column("context", "json", "Where a contact wrote from: ip, userAgent, href, title, referrer, location."),
        Column("attributes", "json", "Further facts, such as preMessages and developer_app_id."),
        Column("attachments", "json", "Files sent along: id, fileName, mimeType and url of each."),
        Column("editedMessageId", "integer", "The message this one edits."),
        Column("editType", "string", "delete, replace, replace_body or replace_buttons."),
    ),
)

transcripts = DriftStream(
    name="transcripts",
    description="Changed conversations as one formatted text each, as people read them.",
    # `json_transcript` exists too (seen): it is in no reference and holds no more than `messages` does.
    path="/conversations/{conversationId}/transcript",
    scope="conversation_read",
    primary_key=("conversationId",),
    parent=Parent(conversations, {"conversationId": "id"}),
    enabled=False,
    columns=(
        Column("conversationId", "integer", "The conversation that was written down.", parent="conversationId"),
        Column(
            "transcript",
            "string",
            "Lines of local time with its zone, author and text; the times are for people.",
            path="$.data",
        ),
    ),
)

_CONTACT_COLUMNS = (
    Column("id", "integer", "The contact's number."),
    Column("createdAt", "epoch_ms", "When the contact was first seen."),
    Column("attributes", "json", "Everything known of the contact; the names are in contact_attributes."),
)

contacts = DriftStream(
    name="contacts",
    description="Contacts who take part in the changed conversations; one without a conversation cannot be found.",
    path="/contacts/{contactId}",
    records="data",
    has_one_record=True,
    scope="contact_read",
    primary_key=("id",),
    parent=Parent(conversations, {"contactId": "contactId"}, told_as={"contactId": "id"}),
    columns=_CONTACT_COLUMNS,
)

contacts_by_email = DriftStream(
    name="contacts_by_email",
    description="Contacts with an address in `contact_emails`, with or without a conversation; several may share one.",
    path="/contacts",
    records="data",
    paginator=LinkHeader(),
    scope="contact_read",
    primary_key=("id",),
    enabled=False,
    columns=_CONTACT_COLUMNS,
)

contact_attributes = DriftStream(
    name="contact_attributes",
    description="Names and types of what a contact's attributes may hold.",
    path="/contacts/attributes",
    records="data.properties",
    scope="all_contact_read",
    primary_key=("name",),
    columns=(
        Column("name", "string", "The attribute's key in a contact's attributes."),
        Column("displayName", "string", "The attribute's name for people."),
        Column("type", "string", "STRING, NUMERIC, BOOLEAN, DATETIME or DATE."),
    ),
)

meetings = DriftStream(
    name="meetings",
    description="Meetings booked in conversations, by the day they start. Drift gives those of the last 30 days only.",
    path="/users/meetings/org",
    records="data",
    scope="user_read",
    primary_key=("meetingKey",),
    document=DocumentFields(
        title="meetingType",
        body=(Passage("meetingNotes"),),
        metadata={
            "status": "status",
            "starts_at": "slotStart",
            "ends_at": "slotEnd",
            "agent_id": "agentId",
            "contact_id": "schedulerId",
            "conversation_id": "conversationId",
        },
        changed="updatedAt",
    ),
    cursor=Cursor(
        "slotStart",
        since="min_start_time",
        until="max_start_time",
        format="epoch_ms",
        horizon=timedelta(days=MEETINGS_HORIZON_DAYS),
    ),
    columns=(
        Column(
            "meetingKey",
            "string",
            "Ours: eventId, else agentId-schedulerId-slotStart; no field alone is always there.",
            path="",
        ),
        Column("agentId", "integer", "Id of the user who holds the meeting."),
        Column("orgId", "integer", "The organization the meeting belongs to."),
        Column("schedulerId", "integer", "Id of the contact who booked the meeting."),
        Column("conversationId", "integer", "The conversation the meeting was booked in."),
        Column("eventId", "string", "The event in the calendar; it stays when the meeting is moved."),
        Column("slug", "string", "The kind of meeting, as in its booking link."),
        Column("meetingSlug", "string", "The kind of meeting (seen)."),
        Column("status", "string", "ACTIVE or CANCELED."),
        Column("meetingSource", "string", "How it was booked, such as EMAIL_DROP or WIDGET."),
        Column("meetingType", "string", "The name of the kind of meeting."),
        Column("meetingNotes", "string", "Notes on the meeting."),
        Column("bookedBy", "string", "Who booked it: a name or an id."),
        Column("endUserTimeZone", "string", "The contact's time zone, an IANA name."),
        Column("conferenceType", "string", "The service the meeting is held with (seen)."),
        Column("conferenceDetails", "string", "How to join (seen)."),
        Column("slotStart", "epoch_ms", "When the meeting starts."),
        Column("slotEnd", "epoch_ms", "When the meeting ends."),
        Column("scheduledAt", "epoch_ms", "When the meeting was booked."),
        Column("updatedAt", "epoch_ms", "When the meeting was last changed."),
        Column("isOrgSlug", "boolean", "Whether the kind of meeting is the organization's and not one user's (seen)."),
        Column("isRecurring", "boolean", "Whether the meeting repeats (seen)."),
        Column("isPrivate", "boolean", "Whether the event is private (seen)."),
    ),
)

playbooks = DriftStream(
    name="playbooks",
    description="Playbooks that are switched on: what bots say, to whom, to what end. Drift may answer from a cache.",
    path="/playbooks/list",
    scope="playbook_read",
    primary_key=("id",),
    cursor=Cursor("updatedAt", format="epoch_ms"),
    columns=(
        Column("id", "integer", "The playbook's number."),
        Column("name", "string", "The playbook's name."),
        Column("orgId", "integer", "The organization the playbook belongs to."),
        Column("meta", "json", "Further facts about the playbook."),
        Column("createdAt", "epoch_ms", "When the playbook was made."),
        Column("updatedAt", "epoch_ms", "When the playbook was last changed."),
        Column("createdAuthorId", "integer", "Id of the user who made it."),
        Column("updatedAuthorId", "integer", "Id of the user who last changed it."),
        Column("interactionId", "integer", "The dialogue the playbook runs."),
        Column("reportType", "string", "What the playbook is for, such as BOOK_MORE_MEETINGS."),
        Column("goals", "json", "Goals of the playbook: id (a UUID) and message of each."),
    ),
)

conversational_landing_pages = DriftStream(
    name="conversational_landing_pages",
    description="Landing pages that open a conversation, one per playbook.",
    path="/playbooks/clp",
    scope="playbook_read",
    primary_key=("playbookId",),
    columns=(
        Column("playbookId", "integer", "The playbook the page runs."),
        Column("playbookName", "string", "The playbook's name."),
        Column("landingPageUrl", "string", "Where the page is."),
    ),
)

conversation_stats = DriftStream(
    name="conversation_stats",
    # One row per status, not one row with a column each: the status is the key, and a new one needs no new column.
    description="How many conversations there are of each status at the moment of reading.",
    path="/conversations/stats",
    records="conversationCount",
    scope="conversation_read",
    primary_key=("status",),
    columns=(
        Column("status", "string", "OPEN, CLOSED, PENDING.", path=""),
        Column("count", "integer", "How many conversations have that status.", path="$.conversationCount.*"),
    ),
)


def _figures(*columns: Column) -> Iterator[Column]:
    """Yield columns of which the report gives the values in a list, in the order asked for."""
    for place, column in enumerate(columns):
        yield replace(column, path=f"metrics[{place}]")


conversation_metrics = DriftStream(
    name="conversation_metrics",
    description="Figures of each conversation, from the report, by the day of its last change.",
    path="/reports/conversations",
    method="POST",
    records="data",
    rate_limit=RateLimit(per_minute=60),
    scope="conversation_read",
    primary_key=("conversationId",),
    cursor=Cursor("updatedAt", since="updatedAt", until="updatedAt", format="epoch_ms"),  # a filter in the body
    columns=(
        Column("conversationId", "integer", "The conversation the figures are of."),
        *_figures(
            Column("createdAt", "epoch_ms", "When the conversation began."),
            Column("updatedAt", "epoch_ms", "When the conversation last changed."),
            Column("firstCloseAt", "epoch_ms", "When the conversation was closed for the first time."),
            Column("endUserId", "integer", "Id of the contact who takes part."),
            Column("lastAgentId", "integer", "Id of the user who wrote last."),
            Column("relatedPlaybookId", "integer", "The playbook the conversation came from."),
            Column("timeToCloseMillis", "integer", "Milliseconds from beginning to first close."),
            Column("timeToAgentResponseMillis", "integer", "Milliseconds until a user answered."),
            Column("firstAgentMessageAt", "epoch_ms", "When a user first wrote."),
            Column("numAgentMessages", "integer", "Messages users wrote."),
            Column("numBotMessages", "integer", "Messages bots wrote."),
            Column("numEndUserMessages", "integer", "Messages the contact wrote."),
        ),
    ),
)
METRICS = tuple(column.name for column in conversation_metrics.columns if column.name != "conversationId")


_METHODS = {"oauth2.0": ("client_id", "client_secret", "refresh_token"), "access_token": ("access_token",)}
_TITLES = {"OAuth2.0": "oauth2.0", "Access Token": "access_token"}
"""What older versions of Airbyte's connector call the methods."""

_SECRET: Mapping[str, Any] = {"type": "string", "airbyte_secret": True, "format": "password", "writeOnly": True}


def _credentials_of(value: Mapping[str, Any]) -> dict[str, str]:
    """Return the fields of what Airbyte's connector calls `credentials`.

    That is `{"credentials": "oauth2.0" | "access_token", …}`; without the method, the one whose keys are all there.
    With OAuth its access token is not used, because it lasts two hours only. Raises ConfigurationError.
    """
    keys = ("client_id", "client_secret", "refresh_token", "access_token")
    if not value.keys() <= {*keys, "credentials"}:
        raise ConfigurationError(f"unknown keys (there are credentials, {', '.join(keys)}) @ $.credentials")
    for key in keys:
        if not isinstance(value.get(key, ""), str):
            raise ConfigurationError(f"expected string @ $.credentials.{key}")
    method = value.get("credentials", "oauth2.0" if value.get("refresh_token") else "access_token")
    needed = _METHODS.get(_TITLES.get(str(method), str(method)))
    if needed is None:
        raise ConfigurationError(f"expected one of {', '.join(_METHODS)} @ $.credentials.credentials")
    if missing := [key for key in needed if not value.get(key)]:
        raise ConfigurationError(f"{' and '.join(missing)} is missing @ $.credentials")
    return {key: value[key] for key in needed}


class Drift(HttpSource):
    """One Drift organization, read with a private app's token, or through OAuth 2 with a refresh token."""

    name: ClassVar[str] = "drift"
    streams: ClassVar[tuple[Stream, ...]] = (
        users,
        teams,
        accounts,
        conversations,
        conversation_details,
        messages,
        transcripts,
        contacts,
        contacts_by_email,
        contact_attributes,
        meetings,
        playbooks,
        conversational_landing_pages,
        conversation_stats,
        conversation_metrics,
    )
    rate_limit: ClassVar[RateLimit] = RateLimit(per_second=5)
    retry: ClassVar[RetryPolicy] = RetryPolicy(tries=10)
    expired_statuses: ClassVar[tuple[int, ...]] = (401, 403)
    config_keys: ClassVar[tuple[ConfigKey, ...]] = (
        ConfigKey(
            name="credentials",
            schema={
                "type": "object",
                "title": "Authorization method",
                "description": "How requests are signed: with the token of a private app, or through OAuth 2.",
                "oneOf": [
                    {
                        "type": "object",
                        "title": "Access token",
                        "required": ["access_token"],
                        "properties": {
                            "credentials": {"type": "string", "const": "access_token"},
                            "access_token": {**_SECRET, "title": "Access token"},
                        },
                    },
                    {
                        "type": "object",
                        "title": "OAuth 2",
                        "required": ["client_id", "client_secret", "refresh_token"],
                        "properties": {
                            "credentials": {"type": "string", "const": "oauth2.0"},
                            "client_id": {**_SECRET, "title": "Client ID"},
                            "client_secret": {**_SECRET, "title": "Client secret"},
                            "refresh_token": {**_SECRET, "title": "Refresh token"},
                            "access_token": {**_SECRET, "title": "Access token, which is not used"},
                        },
                    },
                ],
            },
            stands_for=("access_token", "client_id", "client_secret", "refresh_token"),
            fields=_credentials_of,
        ),
        ConfigKey(
            name="email",
            schema={
                "type": "string",
                "title": "E-mail",
                "description": "The address that `contacts_by_email` looks up.",
            },
            stands_for=("contact_emails",),
            fields=lambda email: {"contact_emails": [email] if email else []},
        ),
    )
    config_needs: ClassVar[tuple[tuple[str, ...], ...]] = (("credentials", "access_token", "refresh_token"),)

    access_token: str = setting(
        "The token of an app installed in one's own organization (dev.drift.com); it does not expire.",
        variable="DRIFT_ACCESS_TOKEN",
        secret=True,
    )
    client_id: str = setting("OAuth 2: the app's client id.", variable="DRIFT_CLIENT_ID")
    client_secret: str = setting("OAuth 2: the app's client secret.", variable="DRIFT_CLIENT_SECRET", secret=True)
    refresh_token: str = setting(
        "OAuth 2: the refresh token the organization's authorization gave; newer ones are kept in `state_folder`.",
        variable="DRIFT_REFRESH_TOKEN",
        secret=True,
    )
    conversations_page_size: int = Field(
        default=50, ge=1, le=100, description="Conversations per page; older hosts allow 50, newer ones 100."
    )
    contact_emails: list[str] = Field(default=[], description="Addresses that `contacts_by_email` looks up.")

    @property
    def url(self) -> str:
        """The base URL requests go to. Raises ConfigurationError where it is none."""
        url = (self.base_url or "https://driftapi.com").rstrip("/")
        parts = urlsplit(url)
        if parts.scheme not in ("https", "http") or not parts.netloc or "@" in parts.netloc or parts.query:
            raise ConfigurationError(f"{self.name}: base_url must read https://host or https://host/path.")
        return url

    @property
    def account(self) -> str:
        """A name made of the host and a digest of the credential: one app may be installed in several organizations."""
        identity = (self.client_id, self.refresh_token) if self._uses_oauth else (self.access_token,)
        return self.account_of(self.url, *identity)

    @property
    def _uses_oauth(self) -> bool:
        return bool(self.refresh_token) or not self.access_token

    def authenticator(self) -> Authenticator:
        """Return the private token or, where a refresh token is set, OAuth 2."""
        if not self._uses_oauth:
            return BearerToken(self.access_token)
        names = self.variables()
        if not (self.client_id or self.client_secret or self.refresh_token):
            raise MissingCredential(
                f"{self.name}: {names['access_token']} is not set. Set it (or {names['client_id']}, "
                f"{names['client_secret']} and {names['refresh_token']}) in the environment or in the file .env, or "
                "set CONNECTOR_MODE=sandbox to run without an account."
            )
        return OAuth2Refresh(
            client_id=self.require("client_id"),
            client_secret=self.require("client_secret"),
            refresh_token=self.require("refresh_token"),
            store=Path(self.state_folder) / "tokens" / f"{self.account}.json",
            endpoint=FormTokenEndpoint(
                self.name,
                f"{self.url}/oauth2/token",
                f"Check {names['client_id']} and {names['client_secret']}; if they are right, the refresh token has "
                f"been used or revoked: authorize the app again and set {names['refresh_token']}.",
            ),
        )

    def check(self) -> None:
        """Prove the credential by listing users or, where it may not, by asking what it may do.

        Raises RequestRejected for a bad credential, ConfigurationError for one that opens no stream.
        """
        try:
            self.fetch(users, Request(users.path))
        except RequestRejected as error:
            if error.status != 403:
                raise
            granted = self._granted_scopes()
            wanted = {stream.scope for stream in self.streams if isinstance(stream, DriftStream)}
            if not wanted.intersection(granted):
                with self.client.hiding():
                    raise ConfigurationError(
                        f"{self.name}: the credential is valid but opens no stream (scopes: {_listed(granted)}). Grant "
                        f"the app any of {_listed(sorted(wanted))} at dev.drift.com and install it again."
                    ) from None

    def _granted_scopes(self) -> list[str]:
        token = self.client.authenticator.sign().headers["Authorization"].removeprefix("Bearer ")
        try:
            answer = self.client.send(Request("/app/token_info", "POST", json={"access_token": token}))
        except RequestRejected as error:
            if error.status not in self.expired_statuses:
                raise
            raise RequestRejected(
                f"{self.name}: {error.status} from POST /app/token_info, and from GET {users.path} before. The "
                f"credential is not accepted; check {self.variables()['access_token']}, or authorize the app again and "
                f"set {self.variables()['refresh_token']}.",
                status=error.status,
            ) from None
        return _decoded(f"{self.name}: POST /app/token_info", answer.body, _TokenInfo).scope.split()

    def fetch(self, stream: HttpStream, request: Request) -> Response:
        """Send a request; a refused credential names the scope that the stream needs."""
        try:
            return super().fetch(stream, request)
        except RequestRejected as error:
            if error.status not in self.expired_statuses or not isinstance(stream, DriftStream):
                raise
            raise RequestRejected(
                f"{self.name}.{stream.name}: {error.status} from {request.method} {request.path}. The credential is "
                f"not accepted or lacks the scope {stream.scope}; check it, and the app's scopes at dev.drift.com (new "
                "scopes need a new installation, which gives a new token).",
                status=error.status,
            ) from None

    def first_request(self, stream: HttpStream, slice: Slice, parent: ParentRow | None) -> Request:
        """Return the first request, with what is set on the instance: page size, addresses, a bounded window."""
        request = super().first_request(stream, slice, parent)
        match stream.name:
            case "conversations":
                return request.with_params(limit=str(self.conversations_page_size))
            case "contacts_by_email":
                if not self.contact_emails:
                    raise ConfigurationError(f"{self.name}.{stream.name}: contact_emails is empty. Set at least one.")
                return _looking_up(self.contact_emails, 0)
            case "meetings" | "conversation_metrics":
                return _bounded(stream, self._first_window(stream, slice))
        return request

    def open(self, stream: HttpStream, request: Request, response: Response) -> Answer:
        """Find the records in an answer, and make the ones that Drift does not give as keyed objects."""
        name = f"{self.name}.{stream.name}"
        where = f"{name}: {request.method} {request.path}"
        if stream.name == "transcripts":
            return Answer(response, (_raw({"transcript": _transcript(where, response)}),), {})
        answer = open_answer(name, stream.records, request, response)
        match stream.name:
            case "conversation_stats":
                counts = _decoded(where, answer.records[0], dict[str, msgspec.Raw])
                records = tuple(_raw({"status": status, "count": count}) for status, count in counts.items())
                return Answer(response, records, answer.envelope)
            case "meetings":
                is_full = len(answer.records) >= LARGEST_MEETINGS_ANSWER
                meetings_there = (_keyed(_decoded(where, record, dict[str, msgspec.Raw])) for record in answer.records)
                return _within(stream, request, response, meetings_there, is_full=is_full)
            case "conversation_metrics":
                count = answer.value("count")
                is_full = isinstance(count, int) and count > len(answer.records)
                figures = (_named(where, _decoded(where, record, _Metrics)) for record in answer.records)
                return _within(stream, request, response, figures, is_full=is_full)
        return answer

    def next_request(self, stream: HttpStream, slice: Slice, request: Request, answer: Answer) -> Request | None:
        """Return the next page, the next address or the next bounded window."""
        match stream.name:
            case "meetings" | "conversation_metrics":
                window = _next_window(stream, request.carried, is_full=answer.value("is_full") is True)
                return None if window is None else _bounded(stream, window)
            case "contacts_by_email":
                following = stream.paginator.next(request, answer)
                position = request.carried["position"] + 1
                if following is None and position < len(self.contact_emails):
                    return _looking_up(self.contact_emails, position)
                return following
        return super().next_request(stream, slice, request, answer)

    def _first_window(self, stream: HttpStream, slice: Slice) -> Mapping[str, int]:
        window = slice.window
        if window is None:
            raise StreamNotPartitioned(f"{self.name}.{stream.name} needs a window.")
        start, until = _milliseconds(window.start), _milliseconds(window.end)
        return {"start": start, "end": min(until, start + _longest(stream)), "until": until}


Kind = TypeVar("Kind")


class _TokenInfo(msgspec.Struct):
    scope: str = ""


class _Text(msgspec.Struct):
    data: str


class _Metrics(msgspec.Struct):
    conversationId: int  # noqa: N815  # Drift's name
    metrics: tuple[msgspec.Raw, ...]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"


def _milliseconds(instant: datetime) -> int:
    return (instant - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def _looking_up(emails: list[str], position: int) -> Request:
    return Request(contacts_by_email.path, params={"email": emails[position]}, carried={"position": position})


def _longest(stream: HttpStream) -> int:
    """Return the longest window to ask for.

    The report's largest answer is unknown, so it is asked for a week at a time; its count tells when rows were held
    back. At 60 requests a minute a day at a time would make a backfill of 90 days wait for half a minute.
    """
    return (7 if stream.name == "conversation_metrics" else 31) * _DAY_MS


def _bounded(stream: HttpStream, window: Mapping[str, int]) -> Request:
    """Return the request for `window`, which it carries.

    Whether Drift's bounds are included is not documented. Asking from a millisecond earlier is right either way,
    because `_within` leaves out what is not in the window.
    """
    start, end = max(0, window["start"] - 1), window["end"]
    if stream.name == "meetings":
        params = {"min_start_time": str(start), "max_start_time": str(end), "limit": str(LARGEST_MEETINGS_ANSWER)}
        return Request(stream.path, params=params, carried=window)
    body = {
        "filters": [{"property": "updatedAt", "operation": "BETWEEN", "values": [start, end]}],
        "metrics": list(METRICS),
    }
    return Request(stream.path, stream.method, json=body, carried=window)


def _next_window(stream: HttpStream, window: Mapping[str, int], *, is_full: bool) -> Mapping[str, int] | None:
    """Return the first half of a window whose answer was full, else what follows it, twice as long; None at the end."""
    start, end, until = window["start"], window["end"], window["until"]
    if is_full:
        if end - start < 2:
            raise IncompleteRead(
                f"drift.{stream.name}: more records within one millisecond than Drift gives in an answer. "
                "They cannot be read; nothing was written."
            )
        return {"start": start, "end": start + (end - start) // 2, "until": until}
    if end >= until:
        return None
    return {"start": end, "end": min(until, end + min(_longest(stream), 2 * (end - start))), "until": until}


def _within(
    stream: HttpStream,
    request: Request,
    response: Response,
    rows: Iterable[Mapping[str, Any]],
    *,
    is_full: bool,
) -> Answer:
    """Return the rows in the request's window; none of a full answer, which is asked for again in halves."""
    if is_full:
        return Answer(response, (), {"is_full": msgspec.Raw(b"true")})
    assert stream.cursor is not None
    column, start, end = stream.cursor.column, request.carried["start"], request.carried["end"]
    kept = []
    for row in rows:
        instant = msgspec.json.decode(msgspec.json.encode(row.get(column)))
        if not isinstance(instant, int) or start <= instant < end:  # what is no instant is judged when it is landed
            kept.append(_raw(row))
    return Answer(response, tuple(kept), {})


def _keyed(meeting: dict[str, msgspec.Raw]) -> Mapping[str, Any]:
    event = msgspec.json.decode(meeting.get("eventId", msgspec.Raw(b"null")))
    parts = (bytes(meeting.get(name, b"null")).decode() for name in ("agentId", "schedulerId", "slotStart"))
    return {"meetingKey": str(event) if event else "-".join(parts), **meeting}


def _named(where: str, row: _Metrics) -> Mapping[str, Any]:
    """Name the figures, which come in the order asked for; "NaN" stands for one there is none of."""
    if len(row.metrics) != len(METRICS):
        raise MalformedPage(f"{where}: {len(METRICS)} metrics were asked for and {len(row.metrics)} came.")
    figures = (None if bytes(figure) == b'"NaN"' else figure for figure in row.metrics)
    return {"conversationId": row.conversationId, **dict(zip(METRICS, figures, strict=True))}


def _transcript(where: str, response: Response) -> str:
    """Return the text, which comes bare or as `{"data": "…"}` (seen)."""
    if response.body.lstrip()[:1] == b"{":
        return _decoded(where, response.body, _Text).data
    kind = response.headers.get("content-type", "")
    try:
        text = response.body.decode()
    except UnicodeDecodeError:
        raise MalformedPage(f"{where}: the transcript is not UTF-8 ({kind}, {len(response.body):,} bytes).") from None
    if "html" in kind:
        raise MalformedPage(f"{where}: expected a text, got {kind}. Check the host; if it is right, run it again.")
    return text


def _decoded(where: str, body: bytes | msgspec.Raw, kind: type[Kind]) -> Kind:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedPage(f"{where}: {error}. The API may have changed; compare with the reference.") from None


def _raw(record: Mapping[str, Any]) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(record))
