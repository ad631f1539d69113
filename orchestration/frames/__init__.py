"""Frames: typed, flat pandas tables for people, made from the landed streams."""

from collections.abc import Iterator, Sequence
from pkgutil import iter_modules
from typing import Any

import dagster as dg

from orchestration.frames.rules import Rules


def assets() -> Sequence[dg.AssetsDefinition]:
    """Return the frame assets of every module in this package."""
    return [value for value in _values() if isinstance(value, dg.AssetsDefinition)]


def rules() -> Sequence[Rules]:
    """Return what must hold of the frames, of every module in this package."""
    return [value for value in _values() if isinstance(value, Rules)]


def _values() -> Iterator[Any]:
    from importlib import import_module

    for info in iter_modules(__path__):
        yield from vars(import_module(f"{__name__}.{info.name}")).values()
