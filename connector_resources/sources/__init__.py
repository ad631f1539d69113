"""Connectors: one module, one vendor. A new module here is found by `discover` and needs no registration.

The Python API's `Source`, `get_source` and `get_available_connectors` can be had here, too, as from PyAirbyte's.
"""

import importlib
import pkgutil
from types import ModuleType
from typing import TYPE_CHECKING, Any

from connector_resources import resource
from connector_resources.errors import ConfigurationError
from connector_resources.installed import SOURCES, announced, load

if TYPE_CHECKING:
    from connector_resources.api import Source as Source
    from connector_resources.api import get_available_connectors as get_available_connectors
    from connector_resources.api import get_source as get_source

_OF_THE_API = ("Source", "get_available_connectors", "get_source")


def __getattr__(name: str) -> Any:
    """Import what is the Python API's."""
    if name in _OF_THE_API:
        from connector_resources import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def discover() -> tuple[type[resource.Source], ...]:
    """Return the source class of every module in this package, then those that other installed packages announce.

    Both come in the order of their names. Raises ConfigurationError for a package whose announcement leads nowhere,
    for a name that another source has (it is the schema of the tables and the first part of the asset keys), and for
    a class that lacks one of its facts.
    """
    found: dict[str, type[resource.Source]] = {}
    for name in sorted(info.name for info in pkgutil.iter_modules(__path__)):
        for kind in _sources_of(importlib.import_module(f"{__name__}.{name}")):
            found[kind.name] = kind
    for entry in announced(SOURCES).values():
        kinds = _sources_of(load(entry))
        if not kinds:
            raise ConfigurationError(
                f"{SOURCES}: {entry.name} is {entry.value}, a module that defines no source class. Name the one where "
                "the class is written."
            )
        for kind in kinds:
            other = found.setdefault(kind.name, kind)
            if other is not kind:
                raise ConfigurationError(
                    f"{SOURCES}: {kind.__module__} calls its source {kind.name!r}, as {other.__module__} does. Give it "
                    "another name."
                )
    return tuple(found.values())


def _sources_of(module: ModuleType) -> list[type[resource.Source]]:
    """Return the source classes that a module defines; what it imports does not count."""
    kinds = [
        kind
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, resource.Source) and kind.__module__ == module.__name__
    ]
    for kind in kinds:
        facts = ("name", "streams", "rate_limit") if issubclass(kind, resource.HttpSource) else ("name", "streams")
        if missing := [fact for fact in facts if not hasattr(kind, fact)]:
            raise ConfigurationError(
                f"{kind.__module__}.{kind.__name__} does not state its {' and its '.join(missing)}: each is a ClassVar "
                "of a source."
            )
    return kinds
