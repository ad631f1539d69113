"""Tables in metadata: what finds room beside the names of the metadata, and what is said of the rest."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from orchestration.markdown import NARROW, WIDE, cell, table


def lines(text: str) -> list[list[str]]:
    """The cells of each row, without the line below the headings."""
    heads, _, *rows = [line for line in text.splitlines() if line.startswith("|")]
    return [[each.strip() for each in line.strip("|").split("|")] for line in (heads, *rows)]


def test_a_table_that_finds_room_is_shown_whole() -> None:
    rows: list[dict[str, Any]] = [{"id": 1, "name": "a" * 40}, {"id": 2}]
    assert table(rows, ["id", "name"]) == f"| id | name |\n| --- | --- |\n| 1 | {'a' * 40} |\n| 2 |  |"


def test_long_values_are_cut_before_a_column_is_left_out() -> None:
    rows = [{"id": 1, "name": "a" * 60, "more": "b" * 10}]
    assert lines(table(rows, ["id", "name", "more"])) == [["id", "name", "more"], ["1", "a" * 36 + "…", "b" * 10]]


def test_a_row_of_a_wide_table_stands_on_one_line_of_the_narrowest_window() -> None:
    columns = [f"column_{number}" for number in range(22)]
    for longest in (1, 5, 19, 20, 40, 200):
        text = table([dict.fromkeys(columns, "x" * longest)], columns)
        heads, row = lines(text)
        assert len("  ".join(row)) <= NARROW
        assert heads == columns[: len(heads)]
        assert f"… and {22 - len(heads)} more columns: column_{len(heads)}, " in text


def test_a_heading_takes_room_too() -> None:
    columns = [f"a_heading_of_twenty_four{number}" for number in range(4)]
    assert lines(table([dict.fromkeys(columns, 0)], columns))[0] == columns[:2]


def test_columns_that_are_left_out_are_named_as_far_as_two_lines_go() -> None:
    columns = ["x" * 72, *(f"name_{number:02}" for number in range(20))]
    text = table([dict.fromkeys(columns, 1)], columns)
    assert text.endswith(f"\n\n… and 20 more columns: {', '.join(columns[1:13])} and 8 others.")
    assert table([dict.fromkeys(columns[:2], 1)], columns[:2]).endswith("\n\n… and 1 more column: name_00.")


def test_there_is_one_column_however_wide_it_is() -> None:
    assert lines(table([{"a": "x" * 99, "b": 1}], ["a", "b"])) == [["a", "b"], ["x" * 36 + "…", "1"]]
    assert lines(table([{"a" * 99: 1}], ["a" * 99])) == [["a" * 60 + "…"], ["1"]]


def test_what_a_person_has_to_look_into_has_more_room() -> None:
    rows = [{"reason": "r" * 50, "record": "{" + "x" * 90}]
    assert lines(table(rows, ["reason", "record"], WIDE))[1] == ["r" * 50, "{" + "x" * 59 + "…"]


def test_a_table_without_rows_says_so() -> None:
    assert table([], ["id"]) == "No rows."


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, ""),
        (float("nan"), ""),
        (0, "0"),
        (False, "False"),
        (1315.9234999999999, "1315.9235"),
        (0.1 + 0.2, "0.3"),
        (1e15, "1e+15"),
        (Decimal("0.10"), "0.10"),
        (7012120000000000330, "7012120000000000330"),
        (datetime(2026, 3, 1, 12, 0, 0, 5, tzinfo=UTC), "2026-03-01 12:00:00Z"),
        (datetime.fromisoformat("2026-03-01T12:00"), "2026-03-01 12:00:00"),
        ("two\nlines  and\ttabs", "two lines and tabs"),
        ("a|b", "a\\|b"),
        ("<b>", "&lt;b>"),
    ],
)
def test_a_value_is_one_line_of_text_that_is_no_markup(value: Any, shown: str) -> None:
    assert cell(value) == shown


def test_a_value_is_cut_before_it_is_escaped() -> None:
    assert cell("|" * 61) == "\\|" * 60 + "…"


def test_a_heading_is_escaped_too() -> None:
    assert table([{"a|b": 1}], ["a|b"]).startswith("| a\\|b |\n")
