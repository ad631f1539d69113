"""Names in the text of SQL: which ones it has, which one a statement changes, and how a table is named for certain.

DuckDB's own `get_table_names` binds what it can of a query to find them, and fails for a parameter, a PIVOT or a join
of a table with itself by USING; so the text is read here as far as names go, and no further.
"""

import re
from collections.abc import Collection

from connector_resources.destinations.duckdb_tables import quoted

_PIECE = re.compile(
    r"""(?P<skipped>\s+|--[^\n]*|/\*.*?\*/)
    |e'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$
    |"(?:[^"]|"")*"|[\w$]+|.""",
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
"""A space or comment, a text, a name in quotes or without, or a sign. Each position of a text begins one."""

_CHANGES = {"insert", "update", "delete", "truncate", "merge", "create", "drop", "alter", "comment"}

_BEFORE_THE_NAME = {
    *_CHANGES,
    *("or", "replace", "ignore", "into", "from", "on", "temp", "temporary", "table", "view", "if", "not", "exists"),
}


def mentioned(sql: str, names: Collection[str]) -> list[str]:
    """Return which of `names` a text has anywhere: every one that it uses as a table's, and some that it does not."""
    text = sql.casefold()
    words = set(re.findall(r"[\w$]+", text))
    return [name for name in names if name.casefold() in words or quoted(name).casefold() in text]


def told_apart(sql: str, names: Collection[str]) -> str:
    """Return the text with every `main.<name>` as `store.main.<name>`, so that no temporary view is meant by it."""
    folded = {name.casefold() for name in names}
    pieces = _pieces(sql)
    found = [
        start
        for (_, before), (start, schema), (_, dot), (_, name) in zip(
            [(0, ""), *pieces], pieces, pieces[1:], pieces[2:], strict=False
        )
        if before != "." and _name(schema) == "main" and dot == "." and _name(name) in folded
    ]
    for start in reversed(found):
        sql = f"{sql[:start]}store.{sql[start:]}"
    return sql


def changed(sql: str) -> str | None:
    """Return the name of what a statement makes or changes, as it stands; None where a schema is said, or it is none.

    What follows a WITH, and an index, is not looked for.
    """
    pieces = [piece for _, piece in _pieces(sql)]
    if not pieces or pieces[0].casefold() not in _CHANGES:
        return None
    for piece, following in zip(pieces, [*pieces[1:], ""], strict=True):
        if piece.casefold() not in _BEFORE_THE_NAME:
            return None if following == "." else _name(piece)
    return None


def keeps_its_text(sql: str) -> bool:
    """Whether a statement makes a view or a macro, whose names are looked up by whoever uses it later."""
    words = [piece.casefold() for _, piece in _pieces(sql)[:5]]
    return words[:1] == ["create"] and not {"view", "macro", "function"}.isdisjoint(words) and "table" not in words[:4]


def first_word(sql: str) -> str:
    """Return the first word of a text, folded; an empty one where it has none."""
    return next((piece.casefold() for _, piece in _pieces(sql)), "")


def _pieces(sql: str) -> list[tuple[int, str]]:
    """Return where each piece of a text that is no space and no comment begins, and the piece."""
    return [(found.start(), found[0]) for found in _PIECE.finditer(sql) if found["skipped"] is None]


def _name(piece: str) -> str | None:
    """Return the name that a piece is, folded; None for a text or a sign."""
    if piece.startswith('"'):
        return piece[1:-1].replace('""', '"').casefold()
    return piece.casefold() if re.fullmatch(r"[\w$]+", piece) else None
