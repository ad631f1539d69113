"""Tables for people in Dagster's metadata: as many columns as stand side by side in the web UI, long values cut.

Dagster breaks the lines of a table that is wider than its place. Eight columns of a frame made five rows half a screen
tall, and hardly a value stood on one line.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

NARROW, WIDE = 54, 120
"""In characters: what a window 1,280 pixels wide shows beside the names of the metadata without a broken line, and what
is worth broken lines."""
_BETWEEN = 2
_HEADING = 0.75
"""How wide a character of a heading is, in characters of a cell."""
_LONGEST = (60, 36, 20)
"""Cells are cut to the first of these lengths at which all columns find room, else to the last."""


def table(rows: Sequence[Mapping[Any, Any]], columns: Sequence[Any], characters: int = NARROW) -> str:
    """Return rows as a markdown table of the first of `columns`, with a sentence about those that find no room."""
    if not rows:
        return "No rows."
    fitting = [_fitting(rows, columns, characters, longest) for longest in _LONGEST]
    shown, longest = max(zip(fitting, _LONGEST, strict=True), key=lambda each: len(each[0]))
    lines = ["| " + " | ".join(map(cell, shown)) + " |", "|" + " --- |" * len(shown)]
    lines += ["| " + " | ".join(cell(row.get(column), longest) for column in shown) + " |" for row in rows]
    if left_out := columns[len(shown) :]:
        more = f"{len(left_out)} more column{'' if len(left_out) == 1 else 's'}"
        lines.append(f"\n… and {more}: {_first(list(map(cell, left_out)))}.")
    return "\n".join(lines)


def cell(value: Any, longest: int = _LONGEST[0]) -> str:
    """Return a value as the cell of a markdown table, on one line."""
    text = _text(value)
    text = text if len(text) <= longest else f"{text[:longest]}…"
    return text.replace("|", "\\|").replace("<", "&lt;")


def _fitting(rows: Sequence[Mapping[Any, Any]], columns: Sequence[Any], characters: int, longest: int) -> Sequence[Any]:
    """Return as many of the first columns as find room, one at least."""
    room: float = characters
    for number, column in enumerate(columns):
        widest = max(min(len(_text(row.get(column))), longest + 1) for row in rows)
        room -= max(widest, _HEADING * len(_text(column))) + _BETWEEN
        if room < -_BETWEEN and number:
            return columns[:number]
    return columns


def _first(names: Sequence[str]) -> str:
    """Return as many names as stand on two lines, and how many there are beside them."""
    shown: list[str] = []
    for name in names:
        if shown and sum(map(len, shown)) + _BETWEEN * len(shown) + len(name) > 2 * NARROW:
            return f"{', '.join(shown)} and {len(names) - len(shown)} others"
        shown.append(name)
    return ", ".join(shown)


def _text(value: Any) -> str:
    if value is None or value != value:  # NaN and NaT are the values that differ from themselves
        return ""
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds").replace("+00:00", "Z")
    return " ".join((f"{value:.12g}" if isinstance(value, float) else str(value)).split())
