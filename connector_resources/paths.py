"""Paths as people give them: on this machine, and with `~` for their home."""

import re
from pathlib import Path, PurePath

from connector_resources.exceptions import PyAirbyteInputError

_ELSEWHERE = re.compile(r"(:memory:|(?:md|motherduck):|[a-z][a-z0-9+.-]+:/)", re.ASCII | re.IGNORECASE)
"""How what is no file here begins; `C:/` is one. A pathlib.Path has one slash left of two."""


def local(path: object, what: str) -> Path:
    """Return a path with its `~` put in.

    Raises PyAirbyteInputError, which calls it `what`, for an address as `s3://bucket` and for DuckDB's `:memory:`: they
    would be a folder or a file of that name in the working directory. An address may hold a token, and is not shown.
    """
    if not isinstance(path, (str, PurePath)):
        kind = type(path).__name__
        raise PyAirbyteInputError(f"{what} is of type {kind} and no path.", guidance="Give a text or a Path.")
    if elsewhere := _ELSEWHERE.match(str(path)):
        raise PyAirbyteInputError(
            f"{what} begins with {elsewhere[1]} and is no path on this machine.",
            guidance="Give a path of a disk here, and copy from it to where it is wanted.",
        )
    if "\0" in str(path):
        raise PyAirbyteInputError(f"{what} has a NUL in it, which no path has.", guidance="Leave it out.")
    try:
        return Path(path).expanduser()
    except RuntimeError:
        pass
    raise PyAirbyteInputError(
        f"{what} begins with {Path(path).parts[0]}, and it is not known whose home that is.",
        guidance="Write the whole path.",
    )
