"""Companies across sources: who asks in Drift's chat, and what the same company votes for in Aha!."""

from typing import TYPE_CHECKING, Any

from orchestration.frames.asset import frame_asset, read
from orchestration.frames.columns import (
    Columns,
    as_instants,
    as_numbers,
    as_text,
    flag,
    instant,
    looked_up,
    text,
    whole,
)
from orchestration.frames.companies_plots import VOTES_AND_CHATS
from orchestration.frames.email_domains import FREE_MAIL, domain_of
from orchestration.frames.rules import Rules

if TYPE_CHECKING:
    import pandas as pd

_TOP_IDEAS = 3

COMPANY_REQUESTS = Columns(
    domain=text("The company's e-mail domain; the first one of an organization that has several."),
    company=text("The company's name: its account in Drift, else its organization in Aha!; null where neither is."),
    contacts=whole("How many of its people took part in a chat, by Drift's contacts."),
    chat_conversations=whole("How many conversations they had."),
    last_chat_at=instant("When the last of them last changed; null without one."),
    ideas=whole("How many different ideas it voted for."),
    votes=whole("Its votes, by their weights."),
    top_ideas=text("Names of the three ideas it gave most votes to, then by name, separated by semicolons."),
    last_vote_at=instant("When it last voted; null without a vote."),
    chats_and_votes=flag("Whether it has both: these are the ones to ask in a chat about what they voted for."),
)
COMPANY_REQUESTS_RULES = Rules(
    "company_requests",
    ("domain",),
    counts_not_negative="contacts >= 0 AND chat_conversations >= 0 AND ideas >= 0",
    chatted_or_voted="chat_conversations > 0 OR ideas > 0",
    both_means_both="chats_and_votes = (chat_conversations > 0 AND ideas > 0)",
)


def company_requests(
    conversations: "pd.DataFrame",
    accounts: "pd.DataFrame",
    ideas: "pd.DataFrame",
    endorsements: "pd.DataFrame",
    organizations: "pd.DataFrame",
) -> "pd.DataFrame":
    """One row per company that chatted or voted, those with most votes first, then most chats. Instants are UTC.

    A company is an e-mail domain: that of a chat's contact, and that of a vote's organization, else of its voter. A
    user's vote for an organization counts as that organization's; a user's own vote is no customer's and is left out.
    Free-mail domains (gmail.com, web.de, …) are left out: their addresses tell people apart and no companies. People,
    votes and chats without an address are left out too, there being nothing to join them by. That a company chats and
    votes does not say that both were about the same thing: neither source says what a chat was about.
    """
    owned = _domains_of_organizations(organizations)
    chats = _chats(conversations, owned)
    votes = _votes(endorsements, owned)
    names = _names(accounts, organizations, owned)
    by_domain = votes.groupby("domain")
    frame = chats.join(
        by_domain.agg(ideas=("idea_id", "nunique"), votes=("weight", "sum"), last_vote_at=("created_at", "max")),
        how="outer",
    )
    frame = frame.reset_index(names="domain")
    counts = ["contacts", "chat_conversations", "ideas", "votes"]
    frame[counts] = frame[counts].fillna(0)
    frame = frame.assign(
        company=looked_up(frame["domain"], names),
        top_ideas=looked_up(frame["domain"], _top_ideas(votes, ideas)),
        chats_and_votes=(frame["chat_conversations"] > 0) & (frame["ideas"] > 0),
    )
    order = ["votes", "chat_conversations", "domain"]
    return COMPANY_REQUESTS.cast(frame.sort_values(order, ascending=[False, False, True]))


_VOTERS = ("endorsements.portal_user_email", "endorsements.idea_user_email")
_VOTED = ("endorsements.organization_id", "organizations.id", "organizations.domains", *_VOTERS)

company_requests_asset = frame_asset(
    company_requests,
    COMPANY_REQUESTS,
    VOTES_AND_CHATS,
    {
        "domain": ("conversations.email", *_VOTERS, "organizations.domains"),
        "company": ("accounts.domain", "accounts.name", "organizations.name", "organizations.domains"),
        "contacts": ("conversations.email", "conversations.contact_id"),
        "chat_conversations": ("conversations.email",),
        "last_chat_at": ("conversations.email", "conversations.updated_at"),
        "ideas": (*_VOTED, "endorsements.idea_id"),
        "votes": (*_VOTED, "endorsements.weight"),
        "top_ideas": (*_VOTED, "endorsements.idea_id", "endorsements.weight", "ideas.id", "ideas.name"),
        "last_vote_at": (*_VOTED, "endorsements.created_at"),
        "chats_and_votes": ("conversations.email", *_VOTED, "endorsements.idea_id"),
    },
    conversations=read(
        "frames",
        "conversations",
        {"id": "id", "contact_id": "contact_id", "email": "contact_email", "updated_at": "updated_at"},
    ),
    accounts=read("drift", "accounts", {"id": "accountId", "domain": "domain", "name": "name"}),
    ideas=read("aha", "ideas", {"id": "id", "name": "name"}),
    endorsements=read(
        "aha",
        "idea_endorsements",
        {
            "idea_id": "idea_id",
            "created_at": "created_at",
            "weight": "weight",
            "portal_user_email": "endorsed_by_portal_user.email",
            "idea_user_email": "endorsed_by_idea_user.email",
            "organization_id": "idea_organization.id",
        },
    ),
    organizations=read("aha", "idea_organizations", {"id": "id", "name": "name", "domains": "email_domains"}),
)


def _domains_of_organizations(organizations: "pd.DataFrame") -> "pd.DataFrame":
    """Return `id`, `domain` and `first` (the first domain of the organization), one row per domain.

    A domain that two organizations claim is the older one's, whose id is smaller.
    """
    ids = as_text(organizations["id"])
    rows = organizations.assign(id=ids, digits=ids.str.len()).sort_values(["digits", "id"])
    listed = as_text(rows["domains"]).str.lower().str.split(r"[,;\s]+", regex=True)
    rows = rows.assign(domain=listed).explode("domain")
    rows["domain"] = as_text(rows["domain"])
    is_domain = rows["domain"].notna() & (rows["domain"] != "") & ~rows["domain"].isin(FREE_MAIL)
    rows = rows[is_domain].drop_duplicates("domain")
    return rows.assign(first=rows.groupby("id")["domain"].transform("first"))[["id", "domain", "first"]]


def _companies(domains: "pd.Series[Any]", owned: "pd.DataFrame") -> "pd.Series[Any]":
    """Return the domain each company goes by; null for free mail."""
    domains = domains.where(~domains.isin(FREE_MAIL))
    return as_text(looked_up(domains, owned.set_index("domain")["first"])).fillna(domains)


def _chats(conversations: "pd.DataFrame", owned: "pd.DataFrame") -> "pd.DataFrame":
    domain = _companies(domain_of(conversations["email"]), owned)
    chats = conversations.assign(domain=domain, updated_at=as_instants(conversations["updated_at"]))
    return chats.groupby("domain").agg(
        contacts=("contact_id", "nunique"), chat_conversations=("id", "size"), last_chat_at=("updated_at", "max")
    )


def _votes(endorsements: "pd.DataFrame", owned: "pd.DataFrame") -> "pd.DataFrame":
    """Return the votes whose company is known; one without a weight counts once."""
    organization = as_text(endorsements["organization_id"])
    voter = as_text(endorsements["portal_user_email"]).fillna(as_text(endorsements["idea_user_email"]))
    by_organization = looked_up(organization, owned.drop_duplicates("id").set_index("id")["first"])
    by_voter = domain_of(voter).where(organization.isna())
    votes = endorsements.assign(
        domain=_companies(as_text(by_organization).fillna(by_voter), owned),
        created_at=as_instants(endorsements["created_at"]),
        weight=as_numbers(endorsements["weight"]).fillna(1),
    )
    return votes.dropna(subset="domain")


def _names(accounts: "pd.DataFrame", organizations: "pd.DataFrame", owned: "pd.DataFrame") -> "pd.Series[Any]":
    """Return companies' names by domain."""
    import pandas as pd

    known = accounts.sort_values("id")
    by_account = pd.Series(
        as_text(known["name"]).array, index=_companies(as_text(known["domain"]).str.lower(), owned).array
    )
    by_id = pd.Series(as_text(organizations["name"]).array, index=as_text(organizations["id"]).array)
    by_organization = pd.Series(looked_up(owned["id"], by_id).array, index=owned["first"].array)
    names = pd.concat([by_account, by_organization]).dropna()
    return names[~names.index.duplicated()]


def _top_ideas(votes: "pd.DataFrame", ideas: "pd.DataFrame") -> "pd.Series[Any]":
    """Return the names of each company's top ideas, joined; an idea that was not landed has none."""
    named = votes.assign(name=looked_up(as_text(votes["idea_id"]), ideas.set_index(as_text(ideas["id"]))["name"]))
    weights = named.dropna(subset="name").groupby(["domain", "idea_id", "name"])["weight"].sum().reset_index()
    ranked = weights.sort_values(["domain", "weight", "name"], ascending=[True, False, True])
    return ranked.groupby("domain").head(_TOP_IDEAS).groupby("domain")["name"].agg("; ".join)
