"""Every frame's plot: of no rows, one, ten thousand, hostile names; what it says, and what becomes of it in Dagster."""

import base64
import sys
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pytest

from connector_resources.words import duration
from orchestration.frames import aha, companies, drift
from orchestration.frames.aha_plots import FEATURES_BY_STATUS, IDEAS_BY_VOTES, LEAD_DAYS, RELEASE_BURN_UP
from orchestration.frames.asset import frame_asset
from orchestration.frames.columns import Columns, text, whole
from orchestration.frames.companies_plots import VOTES_AND_CHATS
from orchestration.frames.drift_plots import (
    CONTACTS_BY_WEEK,
    CONVERSATIONS_BY_PERSON,
    FIRST_RESPONSE_BY_WEEK,
    MESSAGES_BY_DAY,
)
from orchestration.io_manager import Warehouse
from orchestration.plots import NOT_INSTALLED, Image, Plot, shortened

PLOTS: Mapping[str, tuple[Columns, Plot]] = {
    "features": (aha.FEATURES, FEATURES_BY_STATUS),
    "ideas": (aha.IDEAS, IDEAS_BY_VOTES),
    "release_progress": (aha.RELEASE_PROGRESS, RELEASE_BURN_UP),
    "feature_cycle_time": (aha.FEATURE_CYCLE_TIME, LEAD_DAYS),
    "conversations": (drift.CONVERSATIONS, FIRST_RESPONSE_BY_WEEK),
    "daily_volume": (drift.DAILY_VOLUME, MESSAGES_BY_DAY),
    "agent_workload": (drift.AGENT_WORKLOAD, CONVERSATIONS_BY_PERSON),
    "contacts": (drift.CONTACTS, CONTACTS_BY_WEEK),
    "company_requests": (companies.COMPANY_REQUESTS, VOTES_AND_CHATS),
}
NASTY = (
    "$x_1$ for $5$",
    "<script>alert(1)</script> & \"more\" 'yet'",
    "]](data:text/html,x) ![x](y)",
    "佐藤 美咲 🐞 العربية",
    "a\x00b\x1b[31m\x07\ud800 c\nd",
    "x" * 500,
)
MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
SVG = "{http://www.w3.org/2000/svg}"

each_plot = pytest.mark.parametrize("name", PLOTS)


def made(columns: Columns, *rows: Mapping[str, Any]) -> pd.DataFrame:
    """Return a frame of these rows; what they leave out is null, or false."""
    flags = {name: False for name, column in columns.by_name.items() if column.dtype == "bool"}
    full = [{**dict.fromkeys(columns.by_name), **flags, **row} for row in rows]
    return columns.cast(pd.DataFrame(full, columns=list(columns.by_name), dtype=object))


def many(columns: Columns, rows: int, *, nulls: bool) -> pd.DataFrame:
    """Return a frame of drawn values, with nulls in every column that may have them; days follow one another."""
    draw = np.random.default_rng(7)
    values: dict[str, Any] = {}
    for name, column in columns.by_name.items():
        if column.dtype in ("str", "category"):
            drawn = np.array([f"{each} {name}"[:90] for each in draw.choice(NASTY, rows)], dtype=object)
        elif column.dtype == "bool":
            values[name] = draw.random(rows) < 0.3
            continue
        elif column.dtype == "Int64":
            drawn = draw.integers(0, 5000, rows).astype(object)
        elif column.dtype == "float64":
            drawn = draw.lognormal(6, 2, rows).astype(object)
        else:
            start = MONDAY if "UTC" in column.dtype else MONDAY.replace(tzinfo=None)
            drawn = np.array([start + timedelta(days=number) for number in range(rows)], dtype=object)
        if name in ("day", "week", "agent_id", "domain"):  # what a row is about
            values[name] = drawn
            continue
        values[name] = pd.Series(drawn).mask(draw.random(rows) < 0.2, None) if nulls else drawn
    return columns.cast(pd.DataFrame(values))


def texts(image: Image) -> list[str]:
    """Return what stands in a picture, which is read as XML."""
    return ["".join(node.itertext()) for node in ET.fromstring(image.svg).iter(f"{SVG}text")]


# Of every frame


@each_plot
def test_a_frame_without_rows_says_so(name: str) -> None:
    columns, plot = PLOTS[name]
    image = plot.image(made(columns))
    assert (image.finding, texts(image)) == ("No rows.", [plot.title, "No rows."])


@each_plot
@pytest.mark.parametrize(("rows", "nulls"), [(1, False), (2, True), (10_000, True)])
def test_any_number_of_rows_is_a_small_picture_that_needs_nothing_else(name: str, rows: int, nulls: bool) -> None:
    columns, plot = PLOTS[name]
    image = plot.image(many(columns, rows, nulls=nulls))
    assert {plot.title, image.finding} <= set(texts(image))
    assert len(image.markdown) <= 60_000
    elements = list(ET.fromstring(image.svg).iter())
    links = [value for each in elements for key, value in each.attrib.items() if key.endswith("href")]
    assert [link for link in links if not link.startswith("#")] == []
    assert {each.tag.removeprefix(SVG) for each in elements} & {"script", "image", "foreignObject"} == set()


@each_plot
def test_a_row_of_which_nothing_is_known_is_drawn(name: str) -> None:
    columns, plot = PLOTS[name]
    day = MONDAY.replace(tzinfo=None)
    known = {"day": day, "week": day, "agent_id": 1, "domain": "example.com", "id": "1"}
    image = plot.image(made(columns, {key: value for key, value in known.items() if key in columns.by_name}))
    assert "nan" not in " ".join(texts(image)).lower()
    assert "<NA>" not in " ".join(texts(image))


@each_plot
def test_the_same_frame_gives_the_same_bytes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib as mpl

    columns, plot = PLOTS[name]
    frame = many(columns, 50, nulls=True)
    first = plot.image(frame)
    monkeypatch.setitem(mpl.rcParams, "font.size", 20)  # somebody else's style
    monkeypatch.setitem(mpl.rcParams, "xtick.major.size", 20)
    assert plot.image(frame) == first
    assert mpl.rcParams["font.size"] == 20


def test_a_picture_is_markdown_that_no_name_can_break_out_of() -> None:
    image = IDEAS_BY_VOTES.image(
        made(
            aha.IDEAS, *({"id": str(n), "reference_num": "A", "name": name, "votes": 9} for n, name in enumerate(NASTY))
        )
    )
    head, _, tail = image.markdown.partition("](data:image/svg+xml;base64,")
    assert base64.b64decode(tail.removesuffix(")"), validate=True) == image.svg
    assert head.startswith("![Ideas with most votes. ")
    assert not set("]`<>\n") & set(head[2:])
    shown = [text for text in texts(image) if text.startswith("A ")]
    assert shown == [shortened(f"A  {name}") for name in NASTY]
    assert "$x_1$ for $5$" in " ".join(shown)  # a name, and no formula


def test_without_matplotlib_the_words_in_a_plots_place_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # how Python marks what is not there
    columns, plot = aha.IDEAS, IDEAS_BY_VOTES
    image = plot.image(many(columns, 2, nulls=False))
    assert image == Image(b"", NOT_INSTALLED, plot.title)
    assert image.markdown == f"{plot.title}. {NOT_INSTALLED}"


def test_a_finding_with_a_name_in_it_cannot_break_out_either() -> None:
    person = {"agent_id": 1, "agent": "]](x) `<b>`", "week": MONDAY.replace(tzinfo=None), "conversations": 1}
    head, _, _ = CONVERSATIONS_BY_PERSON.image(made(drift.AGENT_WORKLOAD, person)).markdown.partition("](data:")
    assert not set("]`<>") & set(head[2:])


# What they say


def test_features_are_counted_by_status() -> None:
    image = FEATURES_BY_STATUS.image(
        made(
            aha.FEATURES,
            {"id": "1", "status": "Doing"},
            {"id": "2", "status": "Doing", "is_overdue": True},
            {"id": "3", "status": "Done", "is_complete": True},
            {"id": "4"},
        )
    )
    assert image.finding == "4 features: 1 complete, 1 open and overdue."
    assert [text for text in texts(image) if text in ("Doing", "Done", "no status")] == ["Doing", "Done", "no status"]


def test_ideas_stand_in_the_order_of_their_votes() -> None:
    ideas = [{"id": str(number), "reference_num": f"I-{number}", "name": "n", "votes": number} for number in range(20)]
    image = IDEAS_BY_VOTES.image(made(aha.IDEAS, *ideas, {"id": "x", "votes": None, "is_promoted": True}))
    assert [text for text in texts(image) if text.startswith("I-")] == [f"I-{number} n" for number in range(19, 7, -1)]
    assert image.finding == "The first 12 have 85 % of 190 votes for 21 ideas; 0 of them became a feature."


def test_a_release_says_how_much_of_it_is_done_and_how_late_it_is() -> None:
    image = RELEASE_BURN_UP.image(
        made(
            aha.RELEASE_PROGRESS,
            {"id": "1", "name": "late", "features": 4, "done_features": 3, "days_late": 2, "is_late": True},
            {"id": "2", "name": "left", "features": 5, "done_features": 0, "days_late": -1},
            {"id": "3", "name": "early", "features": 1, "done_features": 1, "days_late": -3, "is_shipped": True},
            {"id": "4", "name": "some day", "features": 9, "done_features": 0, "is_parking_lot": True},
            {"id": "5", "name": "undated", "features": 2, "done_features": 1},
        )
    )
    assert sorted(text for text in texts(image) if " of " in text and "release" not in text) == [
        "0 of 5, 1 day left",
        "1 of 1, 3 days early",
        "1 of 2",
        "3 of 4, 2 days late",
    ]
    assert image.finding == "3 releases in work, 1 of them late: 4 of 11 features done."


def test_the_median_and_the_long_tail_of_lead_times_are_marked() -> None:
    days = [{"id": str(number), "is_done": True, "lead_days": number} for number in range(1, 101)]
    image = LEAD_DAYS.image(made(aha.FEATURE_CYCLE_TIME, *days, {"id": "x"}))
    assert image.finding == "Half of 100 done features took at most 50 days, 85 % at most 85 days; 1 in work."
    assert {"half: 50 days", "85 %: 85 days"} <= set(texts(image))


def test_where_nothing_can_be_drawn_the_plot_says_why() -> None:
    assert LEAD_DAYS.image(made(aha.FEATURE_CYCLE_TIME, {"id": "1"})).finding == "No feature is done yet; 1 in work."
    assert IDEAS_BY_VOTES.image(made(aha.IDEAS, {"id": "1"})).finding == "Nobody has voted for any of 1 idea yet."
    silent = FIRST_RESPONSE_BY_WEEK.image(made(drift.CONVERSATIONS, {"id": 1}))
    assert texts(silent) == ["First response by week", "No contact wrote in any of 1 conversation."]


def test_first_responses_are_those_of_the_last_four_weeks() -> None:
    def asked(week: int, seconds: float | None) -> dict[str, Any]:
        at = MONDAY + timedelta(weeks=week)
        answer = {"is_answered": seconds is not None, "first_response_seconds": seconds}
        return {"id": week, "first_contact_message_at": at, **answer}

    waits = (asked(0, 90000.0), asked(4, 60.0), asked(5, 120.0), asked(6, None), asked(7, 240.0))
    assert FIRST_RESPONSE_BY_WEEK.image(made(drift.CONVERSATIONS, *waits)).finding == (
        "Last 4 weeks: half of the answers came within 2 min, 9 of 10 within 4 min; 25 % got none."
    )


def test_volumes_are_averages_of_the_last_four_weeks() -> None:
    first = MONDAY.replace(tzinfo=None)
    days = [
        {
            "day": first + timedelta(days=number),
            "new_conversations": number // 20,
            "messages_by_contact": 3,
            "messages_by_agent": 4,
            "messages_by_bot": 0,
        }
        for number in range(60)
    ]
    assert MESSAGES_BY_DAY.image(made(drift.DAILY_VOLUME, *days)).finding == (
        "Last 28 days: 7 messages and 2 new conversations on an average day."
    )


def test_people_stand_in_the_order_of_their_conversations() -> None:
    week = MONDAY.replace(tzinfo=None)
    image = CONVERSATIONS_BY_PERSON.image(
        made(
            drift.AGENT_WORKLOAD,
            {"agent_id": 1, "agent": "Ines", "week": week, "conversations": 900},  # longer ago than four weeks
            {"agent_id": 1, "agent": "Ines", "week": week + timedelta(weeks=6), "conversations": 1},
            {
                "agent_id": 2,
                "week": week + timedelta(weeks=7),
                "conversations": 3,
                "first_responses": 2,
                "median_first_response_seconds": 300.0,
            },
        )
    )
    shown = [text for text in texts(image) if text in ("Ines", "person 2", "1", "3, answers in 5 min")]
    assert [text for text in shown if text in ("Ines", "person 2")] == ["person 2", "Ines"]
    assert "3, answers in 5 min" in shown
    assert image.finding == (
        "person 2 had 75 % of the conversations of 2 people. Beside each bar: the usual time to a first answer."
    )


def test_contacts_are_counted_in_the_week_they_were_first_seen() -> None:
    image = CONTACTS_BY_WEEK.image(
        made(
            drift.CONTACTS,
            {"id": 1, "created_at": MONDAY, "classification": "Engaged", "conversations": 2},
            {"id": 2, "created_at": MONDAY + timedelta(weeks=8), "conversations": 1},
            {"id": 3, "conversations": 5},
        )
    )
    assert image.finding == "3 contacts, 1 of them first seen in the last 4 weeks; 2 had more than one conversation."
    assert {"Engaged", "not classified"} <= set(texts(image))


def test_companies_that_vote_and_chat_are_counted() -> None:
    image = VOTES_AND_CHATS.image(
        made(
            companies.COMPANY_REQUESTS,
            {"domain": "a.example", "company": "A", "votes": 3, "chat_conversations": 1, "chats_and_votes": True},
            {"domain": "b.example", "votes": 1, "chat_conversations": 0},
        )
    )
    assert image.finding.startswith("1 of 2 companies both voted and chatted")
    assert {"A", "b.example", "votes in Aha!", "conversations in Drift"} <= set(texts(image))


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0, "0 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7199, "120 min"),
        (7200, "2.0 h"),
        (90000, "25 h"),
        (2e5, "2.3 days"),
    ],
)
def test_a_duration_is_told_in_its_unit(seconds: float, told: str) -> None:
    assert duration(seconds) == told


# In Dagster


def words() -> pd.DataFrame:
    """One row per word."""
    return _WORDS.cast(pd.DataFrame({"word": ["a", "b"], "count": [1, 2]}))


_WORDS = Columns(word=text("The word."), count=whole("How often."))


def _broken(frame: pd.DataFrame, figure: Any) -> str:
    raise ZeroDivisionError(f"of {len(frame)} rows")


def test_a_plot_that_fails_costs_nobody_the_frame_and_the_log_says_why(tmp_path: Path) -> None:
    warehouse = Warehouse(database=str(tmp_path / "test.duckdb"), spools=str(tmp_path / "spools"))
    with dg.DagsterInstance.ephemeral() as instance:
        asset = frame_asset(words, _WORDS, Plot("Words", _broken))
        result = dg.materialize([asset], resources={"warehouse": warehouse}, instance=instance)
        warned = [entry for entry in instance.all_logs(result.run_id) if entry.level == 30]
    assert result.success
    assert warehouse.store.query("SELECT word FROM frames.words") == [("a",), ("b",)]
    (event,) = result.get_asset_materialization_events()
    assert event.materialization.metadata["plot"].value == (
        "could not be drawn: ZeroDivisionError; the run's log says more"
    )
    (warning,) = warned
    assert warning.user_message == (
        "The plot 'Words' could not be drawn (ZeroDivisionError: of 2 rows); the frame is whole."
    )
