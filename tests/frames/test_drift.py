from typing import Any

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from orchestration.frames import drift
from tests.frames.landing import Landing, expected, milliseconds

USERS = [{"id": 21, "name": "Ines Roy", "email": "ines@example.com"}, {"id": 22, "alias": "Omar"}]


def conversation(number: int, created_at: str, updated_at: str, **fields: Any) -> dict[str, Any]:
    return {
        "id": number,
        "createdAt": milliseconds(created_at),
        "updatedAt": milliseconds(updated_at),
        "status": "open",
        **fields,
    }


def message(number: int, conversation_id: int, created_at: str, author: tuple[str, int], **fields: Any) -> Any:
    kind, author_id = author
    return {
        "id": number,
        "conversationId": conversation_id,
        "type": "chat",
        "author": {"id": author_id, "type": "contact" if kind == "contact" else "user", "bot": kind == "bot"},
        "createdAt": milliseconds(created_at),
        **fields,
    }


LEA, INES, OMAR, GONE, BOT = ("contact", 88), ("user", 21), ("user", 22), ("user", 29), ("bot", 20)
MESSAGES = [
    # A bot greets, the contact asks, bot and note do not count as an answer, Ines answers before Omar.
    message(1, 31, "2026-03-01T23:59:00Z", BOT),
    message(2, 31, "2026-03-02T00:00:00.250Z", LEA),
    message(3, 31, "2026-03-02T00:00:05Z", BOT),
    message(4, 31, "2026-03-02T00:00:10Z", INES, type="private_note"),
    message(6, 31, "2026-03-02T00:10:00Z", OMAR),
    message(5, 31, "2026-03-02T00:01:00.250Z", INES),
    message(7, 31, "2026-03-02T00:11:00Z", OMAR, type="edit", editedMessageId=6),
    # People write first, and nobody answers what the contact says.
    message(8, 32, "2026-03-04T10:00:00Z", GONE),
    message(9, 32, "2026-03-04T10:00:30Z", LEA),
    # Only a bot.
    message(10, 33, "2026-03-09T08:00:00Z", BOT),
    # Answered within the week, by Omar.
    message(11, 34, "2026-03-04T10:00:00+02:00", ("contact", 89)),
    message(12, 34, "2026-03-04T08:00:30Z", OMAR),
]


def test_a_conversation_is_answered_by_the_first_person_after_the_contact(landing: Landing) -> None:
    older = conversation(31, "2026-03-01T23:59:00Z", "2026-03-01T23:59:59Z", contactId=88, status="pending")
    conversations = [
        older,
        conversation(31, "2026-03-01T23:59:00Z", "2026-03-02T00:11:00Z", contactId=88),
        conversation(32, "2026-03-04T10:00:00Z", "2026-03-04T10:00:30Z", contactId=404, status="closed"),
        conversation(33, "2026-03-09T08:00:00Z", "2026-03-09T08:00:00Z", status=None),
        conversation(35, "2026-03-10T08:00:00Z", "2026-03-10T08:00:00Z"),
    ]
    details: list[dict[str, Any]] = [
        {"id": 31, "relatedPlaybookId": 310, "conversationTags": [{"name": "vip", "color": "#0AC"}, {"name": "b, 🐞"}]},
        {"id": 32, "relatedPlaybookId": 999, "conversationTags": []},
        {"id": 33},
    ]
    inputs = landing.inputs(
        drift.conversations_asset,
        conversations=conversations,
        details=details,
        messages=MESSAGES,
        contacts=[{"id": 88, "attributes": {"name": "Lea Blum", "email": "lea@Example.org"}}],
        users=USERS,
        playbooks=[{"id": 310, "name": "Démo"}],
    )
    assert_frame_equal(
        drift.conversations(**inputs),
        expected(
            drift.CONVERSATIONS,
            id=[35, 33, 32, 31],
            created_at=["2026-03-10T08:00Z", "2026-03-09T08:00Z", "2026-03-04T10:00Z", "2026-03-01T23:59Z"],
            updated_at=["2026-03-10T08:00Z", "2026-03-09T08:00Z", "2026-03-04T10:00:30Z", "2026-03-02T00:11Z"],
            status=["open", None, "closed", "open"],
            contact_id=[None, None, 404, 88],
            contact=[None, None, None, "Lea Blum"],
            contact_email=[None, None, None, "lea@Example.org"],
            contact_domain=[None, None, None, "example.org"],
            agent_id=[None, None, 29, 22],
            agent=[None, None, None, "Omar"],
            is_answered=[False, False, False, True],
            first_contact_message_at=[None, None, "2026-03-04T10:00:30Z", "2026-03-02T00:00:00.250Z"],
            first_response_seconds=[None, None, None, 60.0],
            last_message_at=[None, "2026-03-09T08:00Z", "2026-03-04T10:00:30Z", "2026-03-02T00:10Z"],
            duration_seconds=[None, 0.0, 30.0, 660.0],
            messages_by_contact=[0, 0, 1, 1],
            messages_by_agent=[0, 0, 1, 2],
            messages_by_bot=[0, 1, 0, 2],
            playbook_id=[None, None, 999, 310],
            playbook=[None, None, None, "Démo"],
            tags=[None, None, None, "vip, b, 🐞"],
            tags_count=[None, None, 0, 2],
        ),
    )


def test_daily_volume_counts_by_utc_day_and_leaves_no_day_out(landing: Landing) -> None:
    inputs = landing.inputs_of_streams(drift.daily_volume_asset, messages=MESSAGES)
    conversations = pd.DataFrame(
        {
            # 00:30 in Paris is the day before in UTC.
            "created_at": pd.to_datetime(
                ["2026-03-02T00:30+01:00", "2026-03-01T10:00Z", "2026-03-01T11:00Z", "2026-03-05T10:00Z"], utc=True
            ),
            "first_response_seconds": [60.0, 30.0, None, None],
        }
    )
    inputs["conversations"] = landing.frame_input(drift.daily_volume_asset, "conversations", conversations)
    days = [f"2026-03-0{number}" for number in range(1, 10)]
    assert_frame_equal(
        drift.daily_volume(**inputs),
        expected(
            drift.DAILY_VOLUME,
            day=days,
            new_conversations=[3, 0, 0, 0, 1, 0, 0, 0, 0],
            messages_by_contact=[0, 1, 0, 2, 0, 0, 0, 0, 0],
            messages_by_agent=[0, 2, 0, 2, 0, 0, 0, 0, 0],
            messages_by_bot=[1, 1, 0, 0, 0, 0, 0, 0, 1],
            median_first_response_seconds=[45.0, *[None] * 8],
        ),
    )


def test_workload_is_by_person_and_iso_week_without_bots(landing: Landing) -> None:
    sunday = message(13, 35, "2026-03-08T23:59:59Z", OMAR)
    inputs = landing.inputs(drift.agent_workload_asset, messages=[*MESSAGES, sunday], users=USERS)
    assert_frame_equal(
        drift.agent_workload(**inputs),
        expected(
            drift.AGENT_WORKLOAD,
            agent_id=[21, 22, 29],
            agent=["Ines Roy", "Omar", None],
            agent_email=["ines@example.com", None, None],
            week=["2026-03-02"] * 3,
            conversations=[1, 3, 1],
            messages=[1, 3, 1],
            first_responses=[1, 1, 0],
            median_first_response_seconds=[60.0, 30.0, None],
        ),
    )


def test_a_response_counts_in_the_week_it_was_given(landing: Landing) -> None:
    messages = [
        message(1, 31, "2026-03-08T23:59:00Z", LEA),
        message(2, 31, "2026-03-09T00:01:00Z", INES),
        message(3, 32, "2026-03-08T12:00:00Z", INES),
    ]
    frame = drift.agent_workload(**landing.inputs(drift.agent_workload_asset, messages=messages, users=USERS))
    assert frame["week"].dt.strftime("%Y-%m-%d").tolist() == ["2026-03-02", "2026-03-09"]
    assert frame["first_responses"].tolist() == [0, 1]


def test_contacts_are_flat_and_have_the_company_of_their_domain(landing: Landing) -> None:
    full = {
        "id": 88,
        "createdAt": milliseconds("2026-02-01T10:00:00.123Z"),
        "attributes": {
            "name": "Lea Blum",
            "email": "lea@Example.org",
            "phone": "+33 1",
            "externalId": "crm-77",
            "_classification": "Engaged",
            "last_active": milliseconds("2026-03-01T10:00:00Z"),
            "last_contacted": "yesterday",
            "recent_source": "google",
            "recent_medium": "cpc",
            "employment_name": "Not used",
            "employment_title": "CTO",
            "events": {},
        },
    }
    other = {
        "id": 89,
        "createdAt": milliseconds("2026-01-01T10:00:00Z"),
        "attributes": {"first_name": "Wei", "external_id": "7", "employment_name": "Acme", "last_active": 10**30},
    }
    inputs = landing.inputs(
        drift.contacts_asset,
        contacts=[full, other, {"id": 90, "createdAt": milliseconds("2025-01-01T10:00:00Z"), "attributes": {}}],
        accounts=[
            {"accountId": "1_example.org", "domain": "EXAMPLE.org", "name": "Example Ltd"},
            {"accountId": "2_x", "name": "No domain"},
        ],
        conversations=[
            conversation(31, "2026-03-01T10:00:00Z", "2026-03-09T10:00:00Z", contactId=88),
            conversation(32, "2026-03-02T10:00:00Z", "2026-03-02T10:00:00Z", contactId=88),
            conversation(33, "2026-03-03T10:00:00Z", "2026-03-03T10:00:00Z"),
        ],
    )
    assert_frame_equal(
        drift.contacts(**inputs),
        expected(
            drift.CONTACTS,
            id=[88, 89, 90],
            name=["Lea Blum", "Wei", None],
            email=["lea@Example.org", None, None],
            domain=["example.org", None, None],
            phone=["+33 1", None, None],
            external_id=["crm-77", "7", None],
            classification=["Engaged", None, None],
            created_at=["2026-02-01T10:00:00.123Z", "2026-01-01T10:00Z", "2025-01-01T10:00Z"],
            last_active_at=["2026-03-01T10:00Z", None, None],
            last_contacted_at=[None, None, None],
            source=["google", None, None],
            medium=["cpc", None, None],
            company=["Example Ltd", "Acme", None],
            title=["CTO", None, None],
            conversations=[2, 0, 0],
            first_conversation_at=["2026-03-01T10:00Z", None, None],
            last_conversation_at=["2026-03-02T10:00Z", None, None],
        ),
    )


@pytest.mark.parametrize("name", ["conversations", "agent_workload", "contacts", "daily_volume"])
def test_frames_of_nothing_have_their_columns(landing: Landing, name: str) -> None:
    asset, columns = getattr(drift, f"{name}_asset"), getattr(drift, name.upper())
    inputs = landing.inputs_of_nothing(asset)
    assert_frame_equal(getattr(drift, name)(**inputs), expected(columns, **{column: [] for column in columns.by_name}))
