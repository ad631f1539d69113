"""Everything that talks to the outside: sources, destinations, and the local sandboxes that stand in for vendors.

What the Python API offers (`import connector_resources as ab`) is here under the names PyAirbyte's users know. It is
imported when it is used: the import itself loads neither Dagster nor pandas.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from connector_resources import caches as caches
    from connector_resources import datasets as datasets
    from connector_resources import destinations as destinations
    from connector_resources import documents as documents
    from connector_resources import exceptions as exceptions
    from connector_resources import records as records
    from connector_resources import results as results
    from connector_resources import secrets as secrets
    from connector_resources import sources as sources
    from connector_resources.api import Source as Source
    from connector_resources.api import get_available_connectors as get_available_connectors
    from connector_resources.api import get_source as get_source
    from connector_resources.caches import DuckDBCache as DuckDBCache
    from connector_resources.caches import get_default_cache as get_default_cache
    from connector_resources.caches import new_local_cache as new_local_cache
    from connector_resources.configs import sandbox_config as sandbox_config
    from connector_resources.datasets import CachedDataset as CachedDataset
    from connector_resources.datasets import InMemoryDataset as InMemoryDataset
    from connector_resources.datasets import LazyDataset as LazyDataset
    from connector_resources.documents import Document as Document
    from connector_resources.results import ReadResult as ReadResult
    from connector_resources.results import WriteResult as WriteResult
    from connector_resources.secrets import SecretSourceEnum as SecretSourceEnum
    from connector_resources.secrets import get_secret as get_secret
    from connector_resources.strategies import WriteStrategy as WriteStrategy
    from connector_resources.writing import Destination as Destination
    from connector_resources.writing import get_destination as get_destination

_FROM = {
    "api": ("Source", "get_available_connectors", "get_source"),
    "caches": ("DuckDBCache", "get_default_cache", "new_local_cache"),
    "configs": ("sandbox_config",),
    "datasets": ("CachedDataset", "InMemoryDataset", "LazyDataset"),
    "documents": ("Document",),
    "results": ("ReadResult", "WriteResult"),
    "secrets": ("SecretSourceEnum", "get_secret"),
    "strategies": ("WriteStrategy",),
    "writing": ("Destination", "get_destination"),
}
_MODULES = (
    "caches",
    "datasets",
    "destinations",
    "documents",
    "exceptions",
    "records",
    "results",
    "secrets",
    "sources",
)
_HOME = {name: module for module, names in _FROM.items() for name in names}

__all__ = [*_HOME, *_MODULES]


def __getattr__(name: str) -> Any:
    """Import what is asked for. Raises AttributeError, or LeftOut for a name that only PyAirbyte has."""
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    from connector_resources.left_out import left_out

    raise left_out(__name__, name)


def __dir__() -> list[str]:
    """Return what can be asked for."""
    return sorted({*globals(), *__all__})
