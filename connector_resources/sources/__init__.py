"""Connectors: one module, one vendor. A new module here is found by `discover` and needs no registration."""

import importlib
import pkgutil

from connector_resources.resource import Source


def discover() -> tuple[type[Source], ...]:
    """Return the source class of every module in this package, in the order of their names."""
    found: list[type[Source]] = []
    for module in sorted(info.name for info in pkgutil.iter_modules(__path__)):
        imported = importlib.import_module(f"{__name__}.{module}")
        found += [
            kind
            for kind in vars(imported).values()
            if isinstance(kind, type) and issubclass(kind, Source) and kind.__module__ == imported.__name__
        ]
    return tuple(found)
