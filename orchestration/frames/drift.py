"""Frames of Drift: conversations, what they amount to a day and an agent, and the contacts in them.

Only messages of the type `chat` count: a visitor sees neither notes nor prompts, and an edit repeats a message. A
response is the first chat message of a person, not a bot, after the contact's first one; what bots say in between is
none.
"""

from typing import TYPE_CHECKING, Any

from orchestration.frames.asset import frame_asset, read
from orchestration.frames.columns import (
    Columns,
    as_instants,
    as_text,
    as_whole,
    category,
    day,
    flag,
    instant,
    looked_up,
    number,
    text,
    utc_day,
    whole,
)
from orchestration.frames.drift_plots import (
    CONTACTS_BY_WEEK,
    CONVERSATIONS_BY_PERSON,
    FIRST_RESPONSE_BY_WEEK,
    MESSAGES_BY_DAY,
)
from orchestration.frames.email_domains import domain_of
from orchestration.frames.json_lists import counted, joined
from orchestration.frames.rules import Rules

if TYPE_CHECKING:
    import pandas as pd

_MESSAGES = read(
    "drift",
    "messages",
    {
        "conversation_id": "conversationId",
        "type": "type",
        "created_at": "createdAt",
        "author_id": "author.id",
        "author_type": "author.type",
        "bot": "author.bot",
    },
)
_USERS = read("drift", "users", {"id": "id", "name": "name", "alias": "alias", "email": "email"})
_NAMES = ("users.id", "users.name", "users.alias")
_CHATS = ("messages.conversation_id", "messages.type")
_IN_ORDER = (*_CHATS, "messages.created_at")
_BY_PEOPLE = ("messages.author_type", "messages.bot")
_SPEAKERS = ("contact", "agent", "bot")

CONVERSATIONS = Columns(
    id=whole("The conversation's number."),
    created_at=instant("When it began."),
    updated_at=instant("When it last changed."),
    status=category("open, closed, pending or bulk_sent; the vendor is phasing it out."),
    contact_id=whole("The contact who takes part, `contacts.id`; some have been deleted since."),
    contact=text("That contact's name, else the given name."),
    contact_email=text("That contact's e-mail address."),
    contact_domain=category("The domain of that address."),
    agent_id=whole("The person who wrote last, bots left out; null where only bots and the contact wrote."),
    agent=category("That person's name, else alias; null for somebody who is not among the users any more."),
    is_answered=flag("Whether a person wrote after the contact's first message."),
    first_contact_message_at=instant("When the contact first wrote."),
    first_response_seconds=number("From then to the first message of a person after it; null without one."),
    last_message_at=instant("When anybody last wrote."),
    duration_seconds=number("From the first to the last message; 0 where there is one, null where there is none."),
    messages_by_contact=whole("How many messages the contact wrote."),
    messages_by_agent=whole("How many messages people of the organization wrote."),
    messages_by_bot=whole("How many messages bots wrote."),
    playbook_id=whole("The playbook it came from; null without one."),
    playbook=category("That playbook's name; null where it is switched off by now."),
    tags=text("Its tags, separated by commas; null without any."),
    tags_count=whole("How many tags it has."),
)
CONVERSATIONS_RULES = Rules(
    "conversations",
    ("id",),
    began_before_it_changed="created_at <= updated_at",
    answered_after_it_was_asked="first_response_seconds >= 0",
    lasts_not_less_than_nothing="duration_seconds >= 0",
    messages_not_negative="messages_by_contact >= 0 AND messages_by_agent >= 0 AND messages_by_bot >= 0",
    answered_by_a_person="NOT is_answered OR messages_by_agent > 0",
)


def conversations(
    conversations: "pd.DataFrame",
    details: "pd.DataFrame",
    messages: "pd.DataFrame",
    contacts: "pd.DataFrame",
    users: "pd.DataFrame",
    playbooks: "pd.DataFrame",
) -> "pd.DataFrame":
    """One row per conversation, newest first: who took part, how fast it was answered, how long it went on.

    Only chat messages count. Instants are UTC.
    """
    chat = _chat(messages)
    counts = chat.groupby(["conversation_id", "speaker"]).size().unstack("speaker").reindex(columns=_SPEAKERS)
    spoken = chat.groupby("conversation_id")["created_at"]
    last_agents = _of(chat, "agent").drop_duplicates("conversation_id", keep="last")
    contact_emails = _by_id(contacts, "email")
    details = details.assign(tags=joined(details["tags"], field="name"), tags_count=counted(details["tags"]))

    frame = conversations.assign(id=as_whole(conversations["id"]), contact_id=as_whole(conversations["contact_id"]))
    frame = frame.merge(_first_responses(chat), how="left", left_on="id", right_index=True, validate="1:1")
    frame = frame.assign(
        contact=looked_up(frame["contact_id"], _by_id(_named(contacts, "first_name"), "name")),
        contact_email=looked_up(frame["contact_id"], contact_emails),
        contact_domain=domain_of(looked_up(frame["contact_id"], contact_emails)),
        agent_id=as_whole(looked_up(frame["id"], last_agents.set_index("conversation_id")["author_id"])),
        is_answered=frame["first_response_seconds"].notna(),
        last_message_at=as_instants(looked_up(frame["id"], spoken.max())),
        duration_seconds=looked_up(frame["id"], (spoken.max() - spoken.min()).dt.total_seconds()),
        **{f"messages_by_{speaker}": looked_up(frame["id"], counts[speaker]).fillna(0) for speaker in _SPEAKERS},
        playbook_id=as_whole(looked_up(frame["id"], _by_id(details, "playbook_id"))),
        tags=looked_up(frame["id"], _by_id(details, "tags")),
        tags_count=looked_up(frame["id"], _by_id(details, "tags_count")),
    )
    frame["agent"] = looked_up(frame["agent_id"], _by_id(_named(users, "alias"), "name"))
    frame["playbook"] = looked_up(frame["playbook_id"], _by_id(playbooks, "name"))
    return CONVERSATIONS.cast(frame.sort_values(["created_at", "id"], ascending=False))


conversations_asset = frame_asset(
    conversations,
    CONVERSATIONS,
    FIRST_RESPONSE_BY_WEEK,
    {
        "contact": ("conversations.contact_id", "contacts.id", "contacts.name", "contacts.first_name"),
        "contact_email": ("conversations.contact_id", "contacts.id", "contacts.email"),
        "contact_domain": ("conversations.contact_id", "contacts.id", "contacts.email"),
        "agent_id": (*_IN_ORDER, *_BY_PEOPLE, "messages.author_id"),
        "agent": (*_IN_ORDER, *_BY_PEOPLE, "messages.author_id", *_NAMES),
        "is_answered": (*_IN_ORDER, *_BY_PEOPLE),
        "first_contact_message_at": (*_IN_ORDER, "messages.author_type"),
        "first_response_seconds": (*_IN_ORDER, *_BY_PEOPLE),
        "last_message_at": _IN_ORDER,
        "duration_seconds": _IN_ORDER,
        "messages_by_contact": (*_CHATS, "messages.author_type"),
        "messages_by_agent": (*_CHATS, *_BY_PEOPLE),
        "messages_by_bot": (*_CHATS, *_BY_PEOPLE),
        "playbook_id": ("details.id", "details.playbook_id"),
        "playbook": ("details.id", "details.playbook_id", "playbooks.id", "playbooks.name"),
        "tags": ("details.id", "details.tags"),
        "tags_count": ("details.id", "details.tags"),
    },
    conversations=read(
        "drift",
        "conversations",
        {
            "id": "id",
            "created_at": "createdAt",
            "updated_at": "updatedAt",
            "status": "status",
            "contact_id": "contactId",
        },
    ),
    details=read(
        "drift", "conversation_details", {"id": "id", "playbook_id": "relatedPlaybookId", "tags": "conversationTags"}
    ),
    messages=_MESSAGES,
    contacts=read(
        "drift",
        "contacts",
        {
            "id": "id",
            "name": "attributes.name",
            "first_name": "attributes.first_name",
            "email": "attributes.email",
        },
    ),
    users=_USERS,
    playbooks=read("drift", "playbooks", {"id": "id", "name": "name"}),
)

DAILY_VOLUME = Columns(
    day=day("The UTC day."),
    new_conversations=whole("How many conversations began on it."),
    messages_by_contact=whole("How many messages contacts wrote on it, in any conversation."),
    messages_by_agent=whole("How many messages people of the organization wrote on it."),
    messages_by_bot=whole("How many messages bots wrote on it."),
    median_first_response_seconds=number(
        "Half of the conversations that began on it and were answered, on whatever day, were answered in at most this "
        "time; null where none was."
    ),
)
DAILY_VOLUME_RULES = Rules(
    "daily_volume",
    ("day",),
    conversations_not_negative="new_conversations >= 0",
    messages_not_negative="messages_by_contact >= 0 AND messages_by_agent >= 0 AND messages_by_bot >= 0",
    answered_after_it_was_asked="median_first_response_seconds >= 0",
)


def daily_volume(conversations: "pd.DataFrame", messages: "pd.DataFrame") -> "pd.DataFrame":
    """One row per UTC day from the first to the last on which anything happened, quiet days included, oldest first.

    Only chat messages count.
    """
    import pandas as pd

    chat = _chat(messages)
    began_on, written_on = utc_day(as_instants(conversations["created_at"])), utc_day(chat["created_at"])
    begun = conversations.groupby(began_on)["first_response_seconds"].agg(["size", "median"])
    written = chat.groupby([written_on, "speaker"]).size().unstack("speaker").reindex(columns=_SPEAKERS)
    days = begun.index.union(written.index)
    every_day = pd.date_range(days.min(), days.max(), freq="D", unit="us") if len(days) else days
    begun, written = begun.reindex(every_day), written.reindex(every_day)
    frame = pd.DataFrame(
        {
            "day": every_day,
            "new_conversations": begun["size"].fillna(0).array,
            **{f"messages_by_{speaker}": written[speaker].fillna(0).array for speaker in _SPEAKERS},
            "median_first_response_seconds": begun["median"].array,
        }
    )
    return DAILY_VOLUME.cast(frame)


daily_volume_asset = frame_asset(
    daily_volume,
    DAILY_VOLUME,
    MESSAGES_BY_DAY,
    {
        "day": ("conversations.created_at", "messages.created_at"),
        "new_conversations": ("conversations.created_at",),
        "messages_by_contact": ("messages.created_at", "messages.type", "messages.author_type"),
        "messages_by_agent": ("messages.created_at", "messages.type", *_BY_PEOPLE),
        "messages_by_bot": ("messages.created_at", "messages.type", *_BY_PEOPLE),
        "median_first_response_seconds": ("conversations.created_at", "conversations.first_response_seconds"),
    },
    conversations=read(
        "frames",
        "conversations",
        {"created_at": "created_at", "first_response_seconds": "first_response_seconds"},
    ),
    messages=_MESSAGES,
)

AGENT_WORKLOAD = Columns(
    agent_id=whole("The person's number."),
    agent=category("The person's name, else alias; null for somebody who is not among the users any more."),
    agent_email=category("The person's e-mail address."),
    week=day("The Monday on which the ISO week begins, at midnight UTC."),
    conversations=whole("In how many conversations the person wrote during the week."),
    messages=whole("How many messages the person wrote during the week."),
    first_responses=whole("In how many conversations the person was the first to answer, during the week."),
    median_first_response_seconds=number("Half of those came in at most this time; null without one."),
)
AGENT_WORKLOAD_RULES = Rules(
    "agent_workload",
    ("agent_id", "week"),
    weeks_begin_on_monday="isodow(week) = 1",
    wrote_in_that_week="conversations BETWEEN 1 AND messages",
    answers_are_among_conversations="first_responses BETWEEN 0 AND conversations",
)


def agent_workload(messages: "pd.DataFrame", users: "pd.DataFrame") -> "pd.DataFrame":
    """One row per person and ISO week in which that person wrote, oldest first. Weeks begin on Monday, UTC.

    Only chat messages count, and no bots.
    """
    chat = _chat(messages)
    keys = ["agent_id", "week"]
    written = _of(chat, "agent").rename(columns={"author_id": "agent_id"})
    written["week"] = _utc_week(written["created_at"])
    frame = written.groupby(keys).agg(
        conversations=("conversation_id", "nunique"), messages=("conversation_id", "size")
    )
    answered = _first_responses(chat).dropna(subset="first_response_seconds")
    answered["week"] = _utc_week(answered["first_response_at"])
    responses = answered.groupby(keys)["first_response_seconds"].agg(["size", "median"])
    frame = frame.join(responses).reset_index()
    frame = frame.assign(
        agent=looked_up(frame["agent_id"], _by_id(_named(users, "alias"), "name")),
        agent_email=looked_up(frame["agent_id"], _by_id(users, "email")),
        first_responses=frame["size"].fillna(0),
        median_first_response_seconds=frame["median"],
    )
    return AGENT_WORKLOAD.cast(frame.sort_values(["week", "agent_id"]))


agent_workload_asset = frame_asset(
    agent_workload,
    AGENT_WORKLOAD,
    CONVERSATIONS_BY_PERSON,
    {
        "agent_id": ("messages.author_id",),
        "agent": _NAMES,
        "agent_email": ("users.id", "users.email"),
        "week": ("messages.created_at",),
        "conversations": (*_IN_ORDER, *_BY_PEOPLE, "messages.author_id"),
        "messages": ("messages.type", "messages.created_at", *_BY_PEOPLE, "messages.author_id"),
        "first_responses": (*_IN_ORDER, *_BY_PEOPLE, "messages.author_id"),
        "median_first_response_seconds": (*_IN_ORDER, *_BY_PEOPLE, "messages.author_id"),
    },
    messages=_MESSAGES,
    users=_USERS,
)

CONTACTS = Columns(
    id=whole("The contact's number."),
    name=text("Full name, else the given name; null where unknown."),
    email=text("E-mail address; several contacts may share one."),
    domain=category("The domain of that address."),
    phone=text("Telephone number."),
    external_id=text("The contact's id in another system."),
    classification=category("What Drift takes the contact for, such as Engaged or Bad Lead."),
    created_at=instant("When the contact was first seen."),
    last_active_at=instant("When the contact was last on the site; null where that is not a time."),
    last_contacted_at=instant("When somebody last wrote to the contact; null where that is not a time."),
    source=category("What last brought the contact to the site."),
    medium=category("By what kind of link that was."),
    company=category("The account with that e-mail domain, else the employer the contact's attributes name."),
    title=text("The position held there."),
    conversations=whole("How many conversations with the contact were landed."),
    first_conversation_at=instant("When the first of them began."),
    last_conversation_at=instant("When the last one began."),
)
CONTACTS_RULES = Rules(
    "contacts",
    ("id",),
    conversations_not_negative="conversations >= 0",
    conversations_in_order="first_conversation_at <= last_conversation_at",
)


def contacts(contacts: "pd.DataFrame", accounts: "pd.DataFrame", conversations: "pd.DataFrame") -> "pd.DataFrame":
    """One row per contact who took part in a conversation, newest first. Instants are UTC.

    A contact's attributes are open: anybody may write anything there. Times that are no milliseconds become null, so
    that one such contact does not cost the others.
    """
    began = conversations.assign(
        contact_id=as_whole(conversations["contact_id"]), created_at=as_instants(conversations["created_at"])
    )
    talks = began.groupby("contact_id")["created_at"]
    named = accounts.sort_values("account_id").assign(domain=as_text(accounts["domain"]).str.lower())
    companies = named.dropna(subset="domain").drop_duplicates("domain").set_index("domain")["name"]
    ids, domains = as_whole(contacts["id"]), domain_of(contacts["email"])
    frame = _named(contacts, "first_name").assign(
        id=ids,
        domain=domains,
        external_id=as_text(contacts["external_id"]).fillna(as_text(contacts["older_external_id"])),
        last_active_at=_milliseconds(contacts["last_active"]),
        last_contacted_at=_milliseconds(contacts["last_contacted"]),
        company=as_text(looked_up(domains, companies)).fillna(as_text(contacts["employer"])),
        conversations=looked_up(ids, talks.size()).fillna(0),
        first_conversation_at=as_instants(looked_up(ids, talks.min())),
        last_conversation_at=as_instants(looked_up(ids, talks.max())),
    )
    return CONTACTS.cast(frame.sort_values(["created_at", "id"], ascending=False))


contacts_asset = frame_asset(
    contacts,
    CONTACTS,
    CONTACTS_BY_WEEK,
    {
        "name": ("contacts.name", "contacts.first_name"),
        "domain": ("contacts.email",),
        "external_id": ("contacts.external_id", "contacts.older_external_id"),
        "last_active_at": ("contacts.last_active",),
        "last_contacted_at": ("contacts.last_contacted",),
        "company": ("contacts.email", "contacts.employer", "accounts.domain", "accounts.name"),
        "conversations": ("conversations.contact_id",),
        "first_conversation_at": ("conversations.contact_id", "conversations.created_at"),
        "last_conversation_at": ("conversations.contact_id", "conversations.created_at"),
    },
    contacts=read(
        "drift",
        "contacts",
        {
            "id": "id",
            "created_at": "createdAt",
            "name": "attributes.name",
            "first_name": "attributes.first_name",
            "email": "attributes.email",
            "phone": "attributes.phone",
            "external_id": "attributes.externalId",
            "older_external_id": "attributes.external_id",
            "classification": "attributes._classification",
            "last_active": "attributes.last_active",
            "last_contacted": "attributes.last_contacted",
            "source": "attributes.recent_source",
            "medium": "attributes.recent_medium",
            "employer": "attributes.employment_name",
            "title": "attributes.employment_title",
        },
    ),
    accounts=read("drift", "accounts", {"account_id": "accountId", "domain": "domain", "name": "name"}),
    conversations=read("drift", "conversations", {"contact_id": "contactId", "created_at": "createdAt"}),
)


def _chat(messages: "pd.DataFrame") -> "pd.DataFrame":
    """Return the chat messages by conversation and time, `speaker` telling contacts, agents and bots apart."""
    import pandas as pd

    chat = messages[as_text(messages["type"]) == "chat"]
    is_contact, is_bot = as_text(chat["author_type"]) == "contact", as_text(chat["bot"]) == "true"
    speaker = pd.Series("agent", index=chat.index, dtype="object").mask(is_bot, "bot").mask(is_contact, "contact")
    chat = chat.assign(
        conversation_id=as_whole(chat["conversation_id"]),
        created_at=as_instants(chat["created_at"]),
        author_id=as_whole(chat["author_id"]),
        speaker=as_text(speaker),
    )
    return chat.sort_values(["conversation_id", "created_at"], kind="stable")


def _of(chat: "pd.DataFrame", speaker: str) -> "pd.DataFrame":
    return chat[chat["speaker"] == speaker]


def _first_responses(chat: "pd.DataFrame") -> "pd.DataFrame":
    """Return, for each conversation in which the contact wrote, when that was and who answered when.

    The columns are `first_contact_message_at`, `agent_id`, `first_response_at`, `first_response_seconds`; the last
    three are null where nobody answered.
    """
    asked = _of(chat, "contact").groupby("conversation_id")["created_at"].min().rename("first_contact_message_at")
    spoken = _of(chat, "agent").merge(asked, left_on="conversation_id", right_index=True)
    answers = spoken[spoken["created_at"] > spoken["first_contact_message_at"]].drop_duplicates("conversation_id")
    answers = answers.set_index("conversation_id")[["author_id", "created_at"]]
    responses = asked.to_frame().join(answers.set_axis(["agent_id", "first_response_at"], axis="columns"))
    waited = responses["first_response_at"] - responses["first_contact_message_at"]
    return responses.assign(first_response_seconds=waited.dt.total_seconds())


def _named(people: "pd.DataFrame", other: str) -> "pd.DataFrame":
    """Return people with the `other` name for those who have no full one."""
    return people.assign(name=as_text(people["name"]).fillna(as_text(people[other])))


def _by_id(frame: "pd.DataFrame", column: str) -> "pd.Series[Any]":
    """Return a column to look up by id."""
    return frame.set_index(as_whole(frame["id"]))[column]


def _milliseconds(values: "pd.Series[Any]") -> "pd.Series[Any]":
    """Return texts that hold milliseconds since 1970 as instants; null where one does not."""
    import pandas as pd

    return pd.to_datetime(pd.to_numeric(values, errors="coerce"), unit="ms", utc=True, errors="coerce")


def _utc_week(instants: "pd.Series[Any]") -> "pd.Series[Any]":
    """Return the Monday of each instant's ISO week."""
    import pandas as pd

    days = utc_day(instants)
    mondays: pd.Series[Any] = days - pd.to_timedelta(days.dt.day_of_week, unit="D")
    return mondays
