"""Tables for people in Dagster's metadata: a few rows, the first columns, long values cut."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

_COLUMNS = 8
_CHARACTERS = 60


def table(rows: Sequence[Mapping[Any, Any]], columns: Sequence[Any]) -> str:
    """Return rows as a markdown table of the first of `columns`."""
    if not rows:
        return "No rows."
    shown = list(columns)[:_COLUMNS]
    lines = ["| " + " | ".join(map(str, shown)) + " |", "|" + " --- |" * len(shown)]
    lines += ["| " + " | ".join(cell(row.get(column)) for column in shown) + " |" for row in rows]
    if len(columns) > len(shown):
        lines.append(f"\n… and {len(columns) - len(shown)} more columns.")
    return "\n".join(lines)


def cell(value: Any) -> str:
    """Return a value as the cell of a markdown table."""
    if value is None or value != value:  # NaN and NaT are the values that differ from themselves
        return ""
    text = value.isoformat(sep=" ", timespec="seconds") if isinstance(value, datetime) else str(value)
    text = " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
    return text if len(text) <= _CHARACTERS else f"{text[:_CHARACTERS]}…"
