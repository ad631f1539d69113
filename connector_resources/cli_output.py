"""What a command prints: data on stdout, as tables or as JSON, and everything else on stderr.

With `--json` stderr has a JSON object a line, too. Whatever came from a vendor or from a file is shown without the
characters that move a terminal's cursor, change its title or its colours.
"""

import json
import logging
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from connector_resources.errors import ConnectorError

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters but the tab and the line end, those that turn the direction of writing, halves of surrogates."""

_WIDE = 10_000
"""How many columns there are where stdout is no terminal."""

_IN_PYTHON = (
    ("get_available_connectors() lists those there are", "`headrace connectors` lists those there are"),
    ("config_spec has what the connector takes", "`headrace spec` has what the connector takes"),
    (
        "with `confirm_shrink: true` in the run config of its asset, or with write_strategy='replace' in a script",
        "by reading it once with --strategy replace",
    ),
    ("write_strategy='replace'", "--strategy replace"),
    ("write_strategy='append'", "--strategy append"),
    ("schema_name or table_prefix", "--account"),
    ("a cache of its own, such as new_local_cache()", "a database of its own, with --duckdb FILE"),
    ("give one of them another cache", "give one of them another --duckdb"),
    ("Give it mode='live'", "Give it --mode live"),
    ("Give it mode='sandbox'", "Give it --mode sandbox"),
    ("with config=None it takes", "without --config it takes"),
    ("start_date is no day", "--start-date is no day"),
)
"""What errors tell those who write Python, and what that is on the command line."""


@dataclass(frozen=True, slots=True)
class Output:
    """How one command speaks."""

    is_json: bool

    def data(self, value: object) -> None:
        """Print a JSON value; texts are in ASCII, so that it is the same with every encoding."""
        print(json.dumps(value, indent=2, default=_as_json))  # noqa: T201 -- what was asked for

    def table(
        self, columns: Sequence[str], rows: Sequence[Sequence[object]], *, title: str = "", cut: int | None = None
    ) -> None:
        """Print a table for people; of texts longer than `cut` characters the beginning."""
        from rich.box import SIMPLE_HEAD
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        # Nothing is wrapped in what goes to a file or another program.
        console = Console() if sys.stdout.isatty() else Console(width=_WIDE, force_terminal=False)
        table = Table(title=Text(plain(title)) if title else None, title_justify="left", box=SIMPLE_HEAD)
        kinds = [type(cell) for cell in rows[0]] if rows else []
        for number, column in enumerate(columns):
            is_number = number < len(kinds) and kinds[number] is int
            table.add_column(Text(column), overflow="fold", justify="right" if is_number else "left")
        for row in rows:
            texts = (plain(shown(cell)) for cell in row)
            table.add_row(*(Text(text if cut is None or len(text) <= cut else f"{text[: cut - 1]}…") for text in texts))
        with console.capture() as drawn:
            console.print(table)
        for line in drawn.get().rstrip().splitlines():
            _print(line.rstrip(), sys.stdout)

    def text(self, line: str) -> None:
        """Print a line for people to stdout."""
        _print(plain(line), sys.stdout)

    def say(self, line: str) -> None:
        """Tell people something beside the data; scripts are not told."""
        if not self.is_json:
            _print(plain(line), sys.stderr)

    def warn(self, line: str) -> None:
        """Tell people, and scripts, what they should know."""
        _print(json.dumps({"warning": line}) if self.is_json else f"Warning: {plain(line)}", sys.stderr)

    def failed(self, kind: str, message: str, exit_code: int, **more: object) -> int:
        """Tell what went wrong, and return the exit code."""
        if self.is_json:
            told = {"error": kind, "message": message, **more, "exit_code": exit_code}
            _print(json.dumps(told, default=_as_json), sys.stderr)
        else:
            _print(f"Error: {plain(message)}", sys.stderr)
        return exit_code

    @contextmanager
    def logging(self) -> Iterator[None]:
        """Print warnings of the log as those of this command, for the time of a block."""
        handler = _Handler(self)
        root = logging.getLogger()
        root.addHandler(handler)
        try:
            yield
        finally:
            root.removeHandler(handler)


class _Handler(logging.Handler):
    def __init__(self, output: Output) -> None:
        super().__init__(logging.WARNING)
        self._output = output

    def emit(self, record: logging.LogRecord) -> None:
        self._output.warn(record.getMessage())


def in_words(error: ConnectorError) -> str:
    """Return what an error says, in the words of the command line."""
    text = str(error)
    for python, here in _IN_PYTHON:
        text = text.replace(python, here)
    return text


def plain(text: str) -> str:
    """Return a text that changes nothing but the line it is printed on."""
    return _CONTROL.sub("�", text)


def shown(value: object) -> str:
    """Return a value for people."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S UTC")
    return as_it_came(value)


def as_it_came(value: object) -> str:
    """Return a value of a record: a number may be an id or a year, so it has no separators."""
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, ensure_ascii=False, default=str)


def _as_json(value: object) -> Any:
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not JSON.")


def _print(line: str, file: Any) -> None:
    encoding = getattr(file, "encoding", None) or "utf-8"
    print(line.encode(encoding, "replace").decode(encoding), file=file, flush=True)
