"""Variables and what they may be, for the settings of the assets and for the Python API, which reads .env by itself."""

import math
import os
from collections.abc import Mapping
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Literal

from connector_resources.errors import ConfigurationError
from connector_resources.exceptions import PyAirbyteInputError
from connector_resources.paths import local

Mode = Literal["sandbox", "live"]
"""Where sources read: a local server that keeps the vendors' rules, or the vendors."""

SANDBOX_DAYS = 90
"""Everything of the sandbox that changes does so in so many days before today."""


def environment() -> Mapping[str, str]:
    """Return the variables that are set, those of .env in the working directory or above it too; the environment wins.

    Where .env says which the data folder is, that is seen from the folder of the file.
    """
    from dotenv import find_dotenv

    if not (path := find_dotenv(usecwd=True)):
        return os.environ
    known = env_file(path)
    if folder := known.get("DATA_FOLDER"):
        with suppress(PyAirbyteInputError):  # who uses it is told; it may be that of another project
            known["DATA_FOLDER"] = str(Path(os.path.relpath(path)).parent / local(folder, "DATA_FOLDER"))
    return {**known, **os.environ}


def env_file(path: Path | str) -> dict[str, str]:
    """Return the variables that a .env file sets; none where there is no file. Raises PyAirbyteInputError."""
    from dotenv import dotenv_values

    if not Path(path).exists():
        return {}
    try:
        return {name: value for name, value in dotenv_values(path).items() if value is not None}
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
    # Raised out here: the other error may have the whole file with it.
    raise PyAirbyteInputError(f"{path} cannot be read: {why}.", guidance="Correct the file, or remove it.")


def load_env_file(path: Path) -> None:
    """Set the variables of a .env file that are not set. Raises PyAirbyteInputError."""
    for name, value in env_file(path).items():
        os.environ.setdefault(name, value)


def mode(variables: Mapping[str, str] | None = None) -> Mode | None:
    """Return CONNECTOR_MODE, None where nobody has set it. Raises ConfigurationError where it is neither of two."""
    match (environment() if variables is None else variables).get("CONNECTOR_MODE"):
        case None | "":
            return None
        case "sandbox":
            return "sandbox"
        case "live":
            return "live"
        case other:
            raise ConfigurationError(f"CONNECTOR_MODE is {other!r}; set it to sandbox or live.")


def data_folder() -> Path:
    """Return the folder of databases, spools and state. Raises PyAirbyteInputError where it is none of this machine."""
    return local(environment().get("DATA_FOLDER") or "data", "DATA_FOLDER")


def day(variable: str, variables: Mapping[str, str] | None = None) -> date | None:
    """Return the day that a variable has, None where it is not set. Raises ConfigurationError naming it."""
    text = _text(variable, variables)
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ConfigurationError(f"{variable} is {text!r}; set it to a day as YYYY-MM-DD.") from error


def number(
    variable: str, default: float, variables: Mapping[str, str] | None = None, *, most: float = math.inf
) -> float:
    """Return the number that a variable has, not negative and at most `most`. Raises ConfigurationError naming it."""
    text = _text(variable, variables)
    if not text:
        return default
    try:
        value = float(text)
    except ValueError as error:
        raise ConfigurationError(f"{variable} is {text!r}; set it to a number.") from error
    if not math.isfinite(value) or value < 0:
        raise ConfigurationError(f"{variable} is {text!r}; set it to a finite number that is not negative.")
    if value > most:
        raise ConfigurationError(f"{variable} is {text!r}; set it to {most:,.0f} at most.")
    return value


def whole(variable: str, default: int, variables: Mapping[str, str] | None = None, *, most: float = math.inf) -> int:
    """Return the whole number that a variable has, as `number` does."""
    value = number(variable, default, variables, most=most)
    if value != int(value):
        raise ConfigurationError(f"{variable} is {_text(variable, variables)!r}; set it to a whole number.")
    return int(value)


def _text(variable: str, variables: Mapping[str, str] | None) -> str | None:
    """Return what a variable has in `variables`; without these, in the environment."""
    return (environment() if variables is None else variables).get(variable)
