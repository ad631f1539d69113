"""Rows of a stream as one file: CSV, JSON lines or Parquet, there whole or not at all.

    csv      a line of names, then a line a row, as RFC 4180 has it but ended by a line feed alone; UTF-8. A text with
             a comma, a quote or a line end stands in quotes. Nothing between two commas is null, "" an empty text.
    jsonl    a JSON object a line, every column in each; null is null.
    parquet  columns with their types: instants in UTC, decimals exact.

Instants are `2026-03-01T10:00:00.000000Z` in CSV and JSON. Nested data is JSON text in CSV and Parquet. `_extra` holds
the fields nobody declared, where there are any.

A file is written beside its place, brought to the disk and then renamed: whoever reads it sees the old one or the new
one, and a write that fails leaves the old one. What a writer that was killed has left beside its place is removed by
later ones of the same place once nothing was written to it for a day: whoever still writes is not stopped, on whatever
host.
"""

import contextlib
import os
import re
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import duckdb

from connector_resources.destinations.duckdb_rows import Selection
from connector_resources.destinations.duckdb_tables import literal
from connector_resources.errors import ConfigurationError, DestinationUnwritable

Format = Literal["csv", "jsonl", "parquet"]

FORMATS: Mapping[Format, str] = {
    "csv": "FORMAT csv, HEADER",
    "jsonl": "FORMAT json",
    "parquet": "FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 100000",
}
"""DuckDB's options for each format."""


_LEFT_SECONDS = 24 * 60 * 60
"""A file that nobody has written to for so long is not written any more."""


@dataclass(frozen=True, slots=True)
class Written:
    """A file that was written: where, how many rows it has, and how large it is."""

    path: Path
    rows: int
    size_bytes: int


def is_delimiter(text: str) -> bool:
    """Whether a text can stand between values: one character that DuckDB takes, of ASCII, and no quote or line end."""
    return len(text) == 1 and "\0" < text < "\x80" and text not in '"\r\n'


def write(selection: Selection, path: Path, form: Format, *, delimiter: str = ",") -> Written:
    """Write rows to a file, which replaces the one that is there once it is whole.

    `delimiter` is for CSV, see `is_delimiter`. Raises PartitionMissing where the stream was never landed,
    ConfigurationError and DestinationUnwritable where the file cannot be written; the old one is then as it was.
    """
    options = FORMATS[form]
    if form == "csv":
        if not is_delimiter(delimiter):
            raise ConfigurationError(
                f"{path}: a delimiter is one character of ASCII, and no quote or line end. Take a comma."
            )
        options += f", DELIMITER {literal(delimiter)}"
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_left(path)
        rows = selection.copy_to(unfinished, options, instants_as_text=form != "parquet")
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
            size_bytes = os.fstat(file.fileno()).st_size
        unfinished.replace(path)
    except (OSError, duckdb.OperationalError) as error:
        raise DestinationUnwritable(
            f"{path} cannot be written ({str(error).splitlines()[0]}). Make room, or set a folder that can be written; "
            "a file that was there is as it was."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
    return Written(path, rows, size_bytes)


def _remove_left(path: Path) -> None:
    """Remove what killed writers of a file have left, as far as that is allowed."""
    of_a_writer = re.compile(re.escape(f".{path.name}.") + "[0-9a-f]{32}")
    with contextlib.suppress(OSError):
        for left in filter(lambda each: of_a_writer.fullmatch(each.name), path.parent.iterdir()):
            with contextlib.suppress(OSError):  # another writer removes it, too
                if time.time() - left.lstat().st_mtime > _LEFT_SECONDS:
                    left.unlink()
