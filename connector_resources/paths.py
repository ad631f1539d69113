"""Paths as people give them: on this machine, and with `~` for their home."""

import os
import re
from pathlib import Path

from connector_resources.exceptions import PyAirbyteInputError

_ELSEWHERE = re.compile(
    r"\s*(:memory:|(?:md|motherduck|postgres|mysql|sqlite|ducklake):|[a-z][a-z0-9+.-]+:[/\\])", re.ASCII | re.IGNORECASE
)
"""How what is no file here begins; `C:/` is one. A pathlib.Path has one slash left of two."""


def local(path: object, what: str) -> Path:
    """Return a path with its `~` put in.

    Raises PyAirbyteInputError, which calls it `what`, for an address as `s3://bucket` and for DuckDB's `:memory:`: they
    would be a folder or a file of that name in the working directory. An address may hold a token, and is not shown.
    """
    text = os.fspath(path) if isinstance(path, os.PathLike) else path
    if not isinstance(text, str):
        kind = type(path).__name__
        raise PyAirbyteInputError(f"{what} is of type {kind} and no path.", guidance="Give a text or a Path.")
    if elsewhere := _ELSEWHERE.match(text):
        raise PyAirbyteInputError(
            f"{what} begins with {elsewhere[1]} and is no path on this machine.",
            guidance="Give a path of a disk here, and copy from it to where it is wanted.",
        )
    if "\0" in text:
        raise PyAirbyteInputError(f"{what} has a NUL in it, which no path has.", guidance="Leave it out.")
    try:
        return Path(text).expanduser()
    except RuntimeError:
        pass
    raise PyAirbyteInputError(
        f"{what} begins with ~ and a name, and whose home that is is not known.",
        guidance="Write the whole path.",
    )
