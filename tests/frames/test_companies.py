from typing import Any

import pandas as pd
from pandas.testing import assert_frame_equal

from orchestration.frames import companies
from orchestration.frames.email_domains import domain_of
from tests.frames.landing import Landing, expected

ASSET = companies.company_requests_asset
IDEAS = [
    {"id": f"{number}", "name": name, "updated_at": "2026-03-01T10:00:00.000Z"} for number, name in enumerate("ABCDE")
]
ORGANIZATIONS = [
    {"id": "1001", "name": "Fjord & Sons", "email_domains": "fjord.example, fjord.test"},
    {"id": "1002", "name": "Claims another's", "email_domains": "fjord.test,gmail.com"},
    {"id": "1003", "name": "Without a domain"},
]
ACCOUNTS = [
    {"accountId": "1_acme.example", "domain": "Acme.example", "name": "Acme"},
    {"accountId": "1_silent.example", "domain": "silent.example", "name": "Neither chats nor votes"},
]


def chats(*rows: tuple[int, str | None, str]) -> pd.DataFrame:
    contacts, emails, times = zip(*rows, strict=True) if rows else ((), (), ())
    return pd.DataFrame(
        {
            "id": pd.Series(range(len(rows)), dtype="Int64"),
            "contact_id": pd.Series(contacts, dtype="Int64"),
            "contact_email": pd.Series(emails, dtype="str"),
            "updated_at": pd.Series(times, dtype="datetime64[us, UTC]"),
        }
    )


def vote(number: int, idea_id: str, day: int, **voter: Any) -> dict[str, Any]:
    at = f"2026-03-{day:02}T10:00:00.000Z"
    return {"id": f"{number}", "idea_id": idea_id, "created_at": at, "updated_at": at, **voter}


def by(email: str) -> dict[str, Any]:
    return {"endorsed_by_portal_user": {"email": email}}


def test_companies_are_what_their_people_ask_and_vote_for(landing: Landing) -> None:
    votes = [
        vote(1, "0", 1, **by("lea@ACME.example"), weight=1),
        vote(2, "0", 2, endorsed_by_idea_user={"email": "bo@acme.example"}, weight=2),
        vote(3, "1", 3, **by("lea@acme.example")),
        vote(4, "2", 4, **by("lea@acme.example")),
        vote(5, "3", 5, **by("lea@acme.example"), weight=2),
        vote(6, "404", 6, **by("lea@acme.example"), weight=9),
        # By proxy: the organization counts, not the colleague who voted or whose address it is.
        vote(7, "4", 7, idea_organization={"id": "1001"}, endorsed_by_user={"email": "ines@us.example"}),
        vote(8, "4", 8, **by("x@fjord.test")),
        vote(9, "4", 9, idea_organization={"id": "1003"}, **by("ines@us.example")),
        # On nobody's behalf, from a free-mail domain, by nobody.
        vote(10, "4", 10, endorsed_by_user={"email": "ines@us.example"}),
        vote(11, "4", 11, **by("lea@gmail.com")),
        vote(12, "4", 12),
    ]
    inputs = landing.inputs_of_streams(
        ASSET, accounts=ACCOUNTS, ideas=IDEAS, endorsements=votes, organizations=ORGANIZATIONS
    )
    conversations = chats(
        (1, "lea@acme.example", "2026-03-02T00:30+02:00"),
        (1, "lea@acme.example", "2026-03-01T10:00Z"),
        (2, "bo@Acme.example.", "2026-03-01T10:00Z"),
        (3, "only@chats.example", "2026-03-05T10:00Z"),
        (4, "x@googlemail.com", "2026-03-05T10:00Z"),
        (5, None, "2026-03-05T10:00Z"),
    )
    inputs["conversations"] = landing.frame_input(ASSET, "conversations", conversations)
    assert_frame_equal(
        companies.company_requests(**inputs),
        expected(
            companies.COMPANY_REQUESTS,
            domain=["acme.example", "fjord.example", "chats.example"],
            company=["Acme", "Fjord & Sons", None],
            contacts=[2, 0, 1],
            chat_conversations=[3, 0, 1],
            last_chat_at=["2026-03-01T22:30Z", None, "2026-03-05T10:00Z"],
            ideas=[5, 1, 0],
            votes=[16, 2, 0],
            top_ideas=["A; D; B", "E", None],
            last_vote_at=["2026-03-06T10:00Z", "2026-03-08T10:00Z", None],
            chats_and_votes=[True, False, False],
        ),
    )


def test_a_frame_of_nothing_has_its_columns(landing: Landing) -> None:
    inputs = landing.inputs_of_nothing(ASSET)
    columns = companies.COMPANY_REQUESTS
    assert_frame_equal(
        companies.company_requests(**inputs), expected(columns, **{name: [] for name in columns.by_name})
    )


def test_a_domain_is_what_follows_the_last_at_sign() -> None:
    cases = {
        "lea@Example.ORG": "example.org",
        ' "a@b"@example.org ': "example.org",
        "lea@example.org.": "example.org",
        "Lea Blum": None,
        "lea@": None,
        "": None,
        None: None,
    }
    domains = domain_of(pd.Series(list(cases), dtype=object))
    assert [None if pd.isna(domain) else domain for domain in domains] == list(cases.values())
