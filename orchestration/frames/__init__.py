"""Frames: typed, flat pandas tables for people, made from the landed streams."""

from collections.abc import Sequence
from pkgutil import iter_modules

import dagster as dg


def assets() -> Sequence[dg.AssetsDefinition]:
    """Return the frame assets of every module in this package."""
    from importlib import import_module

    modules = [import_module(f"{__name__}.{info.name}") for info in iter_modules(__path__)]
    return [value for module in modules for value in vars(module).values() if isinstance(value, dg.AssetsDefinition)]
