"""Frames: typed, flat pandas tables for people, made from the landed streams."""

from collections.abc import Iterator, Sequence
from functools import partial
from pkgutil import iter_modules
from typing import Any

import dagster as dg

from orchestration.frames.rules import Rules


def assets(database: str = "") -> Sequence[dg.AssetsDefinition]:
    """Return the frame assets of every module in this package, which name their table in `database`, if it is given."""
    found = [value for value in _values() if isinstance(value, dg.AssetsDefinition)]
    return list(dg.map_asset_specs(partial(_in_database, database), found)) if database else found


def _in_database(database: str, spec: dg.AssetSpec) -> dg.AssetSpec:
    return spec.merge_attributes(metadata={"dagster/table_name": ".".join([database, *spec.key.path])})


def rules() -> Sequence[Rules]:
    """Return what must hold of the frames, of every module in this package."""
    return [value for value in _values() if isinstance(value, Rules)]


def _values() -> Iterator[Any]:
    from importlib import import_module

    for info in iter_modules(__path__):
        yield from vars(import_module(f"{__name__}.{info.name}")).values()
