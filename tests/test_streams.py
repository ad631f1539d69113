from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from connector_resources.errors import InvalidSlice
from connector_resources.streams import Column, Cursor, Parent, Stream, Window
from tests.landing import children, columns, daily, snapshot

THINGS = daily(n="integer")


def declared(**changes: Any) -> Stream:
    facts: dict[str, Any] = {
        "name": "things",
        "description": "",
        "columns": columns(id="string", at="timestamp"),
        "primary_key": ("id",),
    }
    return Stream(**{**facts, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"columns": columns(id="string", Id="string")}, "things: columns that differ at most in case: Id, id."),
        ({"columns": (*columns(id="string"), *columns(id="json"))}, "things: columns that differ at most in case: id."),
        ({"columns": columns(id="string", ß="json", SS="json")}, "things: columns that differ at most in case: SS, ß."),
        ({"primary_key": ("id", "no")}, "things: primary key columns that are not declared: no."),
        ({"cursor": Cursor("no")}, "things: the cursor column 'no' is not declared."),
        (
            {"columns": (*columns(id="string"), Column("of", "string", "", parent="goal"))},
            "things.of: the parent has no field 'goal'.",
        ),
        (
            {
                "columns": (*columns(id="string"), Column("of", "string", "", parent="goal")),
                "parent": Parent(THINGS, {"thing": "id"}),
            },
            "things.of: the parent has no field 'goal'.",
        ),
        (
            {"parent": Parent(THINGS, {"thing": "id"}, told_as={"goal": "id"})},
            "things.id: the parent has no field 'goal'.",
        ),
        (
            {"parent": Parent(THINGS, {"thing": "id"}, told_as={"thing": "of"})},
            "things: the column 'of', which tells the parent, is not declared.",
        ),
    ],
)
def test_a_declaration_that_cannot_be_right_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match="things") as refused:
        declared(**changes)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("stream", "selects_a_window", "is_partitioned", "inherits_partitions"),
    [
        (snapshot(id="string"), False, False, False),
        (snapshot(id="string", at="timestamp", cursor="at"), False, False, False),
        (daily(), True, True, False),
        (declared(cursor=Cursor("at", newest_first=True)), True, True, False),
        (children(daily()), False, True, True),
        (children(snapshot(id="string")), False, False, False),
        (replace(children(daily(), at="timestamp"), cursor=Cursor("at", since="since")), True, True, False),
        (children(children(daily())), False, True, True),
    ],
)
def test_the_cursor_and_the_parent_decide_the_partitions(
    stream: Stream, selects_a_window: bool, is_partitioned: bool, inherits_partitions: bool
) -> None:
    assert (stream.selects_a_window, stream.is_partitioned, stream.inherits_partitions) == (
        selects_a_window,
        is_partitioned,
        inherits_partitions,
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda stream: replace(stream, name="others"),
        lambda stream: replace(stream, columns=stream.columns[:2]),
        lambda stream: replace(stream, columns=stream.columns[::-1]),
        lambda stream: replace(stream, columns=columns(id="integer", at="timestamp", n="integer")),
        lambda stream: replace(stream, primary_key=("id", "at")),
        lambda stream: replace(stream, cursor=Cursor("at", since="from")),
        lambda stream: replace(stream, cursor=Cursor("at", since="since", lookback=timedelta(minutes=1))),
        lambda stream: replace(stream, parent=Parent(THINGS, {"thing": "id"})),
    ],
)
def test_another_declaration_has_another_hash(change: Callable[[Stream], Stream]) -> None:
    assert change(THINGS).declaration_hash != THINGS.declaration_hash


def test_a_description_does_not_change_the_hash() -> None:
    described = tuple(replace(column, description="Longer.") for column in THINGS.columns)
    assert replace(THINGS, description="Longer.", columns=described).declaration_hash == THINGS.declaration_hash


@pytest.mark.parametrize(
    ("parent", "of_column", "references"),
    [
        (None, None, {}),
        (Parent(THINGS, {"thing": "id"}), None, {}),
        (Parent(THINGS, {"thing": "id"}), "thing", {"of": "id"}),
        (Parent(THINGS, {"of": "id"}), None, {"of": "id"}),
        (Parent(THINGS, {"thing": "id"}, told_as={"thing": "of"}), None, {"of": "id"}),
        (Parent(THINGS, {"thing": "id", "n": "n"}, told_as={"thing": "of"}), None, {"of": "id", "n": "n"}),
    ],
)
def test_a_row_says_its_parent_in_a_column_of_the_parent_or_one_named_so_or_declared_so(
    parent: Parent | None, of_column: str | None, references: dict[str, str]
) -> None:
    its = (*columns(id="string", n="integer"), Column("of", "string", "", parent=of_column))
    assert declared(columns=its, parent=parent).references == references


def test_which_column_tells_the_parent_does_not_change_the_hash() -> None:
    under = replace(THINGS, parent=Parent(THINGS, {"thing": "id"}))
    told = replace(THINGS, parent=Parent(THINGS, {"thing": "id"}, told_as={"thing": "id"}))
    assert told.declaration_hash == under.declaration_hash


def test_a_column_is_found_by_its_exact_name() -> None:
    assert THINGS.column("n") == Column("n", "integer", "")
    with pytest.raises(KeyError):
        THINGS.column("N")


NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        (NOON.replace(tzinfo=None), NOON, "A window needs aware instants, not 2026-03-01 12:00:00 to 2026-03-01 "),
        (NOON, NOON.replace(tzinfo=None), "A window needs aware instants, not 2026-03-01 12:00:00+00:00 to 2026-03-"),
        (NOON, NOON, "A window needs a start before its end, not 2026-03-01 12:00:00+00:00 to 2026-03-01 12:00:00+0"),
        (NOON, NOON - timedelta(microseconds=1), "A window needs a start before its end, not 2026-03-01 12:00:00+0"),
    ],
)
def test_instants_that_make_no_window_are_refused(start: datetime, end: datetime, message: str) -> None:
    with pytest.raises(InvalidSlice) as refused:
        Window(start, end)
    assert str(refused.value).startswith(message)


def test_a_window_is_in_utc_whatever_zone_it_was_given_in() -> None:
    tokyo = timezone(timedelta(hours=9))
    window = Window(datetime(2026, 3, 1, 9, tzinfo=tokyo), datetime(2026, 3, 2, 9, tzinfo=tokyo))
    assert window == Window(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC))
    assert (window.start.tzinfo, window.end.tzinfo) == (UTC, UTC)
