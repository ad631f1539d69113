"""What the environment and the file .env set for the Python API: the same variables that the assets go by."""

import os
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Literal

from connector_resources.errors import ConfigurationError

Mode = Literal["sandbox", "live"]
"""Where sources read: a local server that keeps the vendors' rules, or the vendors."""


def environment() -> Mapping[str, str]:
    """Return the variables that are set, those of .env in the working directory among them; the environment wins."""
    from dotenv import dotenv_values

    return {**{name: value for name, value in dotenv_values(".env").items() if value is not None}, **os.environ}


def mode() -> Mode | None:
    """Return CONNECTOR_MODE, None where nobody has set it. Raises ConfigurationError where it is neither of two."""
    match environment().get("CONNECTOR_MODE"):
        case None | "":
            return None
        case "sandbox":
            return "sandbox"
        case "live":
            return "live"
        case other:
            raise ConfigurationError(f"CONNECTOR_MODE is {other!r}; set it to sandbox or live.")


def data_folder() -> Path:
    """Return the folder of databases, spools and state."""
    return Path(environment().get("DATA_FOLDER") or "data")


def day(variable: str) -> date | None:
    """Return the day that a variable has, None where it is not set. Raises ConfigurationError naming it."""
    text = environment().get(variable)
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ConfigurationError(f"{variable} is {text!r}; set it to a day as YYYY-MM-DD.") from error


def number(variable: str, default: float) -> float:
    """Return the number that a variable has. Raises ConfigurationError naming it."""
    text = environment().get(variable)
    try:
        return float(text) if text else default
    except ValueError as error:
        raise ConfigurationError(f"{variable} is {text!r}; set it to a number.") from error
