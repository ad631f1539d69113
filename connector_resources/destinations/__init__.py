"""Stores that landed records are written to and read from.

The Python API's `Destination` and `get_destination` can be had here, too, as from PyAirbyte's.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from connector_resources.writing import Destination as Destination
    from connector_resources.writing import get_destination as get_destination

_OF_THE_API = ("Destination", "get_destination")


def __getattr__(name: str) -> Any:
    """Import what is the Python API's."""
    if name in _OF_THE_API:
        from connector_resources import writing

        return getattr(writing, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
