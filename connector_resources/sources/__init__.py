"""Connectors: one module, one vendor. A new module here is found by `discover` and needs no registration."""

import importlib
import pkgutil
from types import ModuleType

from connector_resources.errors import ConfigurationError
from connector_resources.installed import SOURCES, announced, load
from connector_resources.resource import HttpSource, Source


def discover() -> tuple[type[Source], ...]:
    """Return the source class of every module in this package, then those that other installed packages announce.

    Both come in the order of their names. Raises ConfigurationError for a package whose announcement leads nowhere,
    for a name that another source has (it is the schema of the tables and the first part of the asset keys), and for
    a class that lacks one of its facts.
    """
    found: dict[str, type[Source]] = {}
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


def _sources_of(module: ModuleType) -> list[type[Source]]:
    """Return the source classes that a module defines; what it imports does not count."""
    kinds = [
        kind
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, Source) and kind.__module__ == module.__name__
    ]
    for kind in kinds:
        facts = ("name", "streams", "rate_limit") if issubclass(kind, HttpSource) else ("name", "streams")
        if missing := [fact for fact in facts if not hasattr(kind, fact)]:
            raise ConfigurationError(
                f"{kind.__module__}.{kind.__name__} does not state its {' and its '.join(missing)}: each is a ClassVar "
                "of a source."
            )
    return kinds
