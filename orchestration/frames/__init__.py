"""Frames: typed, flat pandas tables for people, made from the landed streams."""

import logging
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from pkgutil import iter_modules
from typing import Any

import dagster as dg

from orchestration.frames.rules import Rules

logger = logging.getLogger(__name__)


def assets(database: str = "") -> Sequence[dg.AssetsDefinition]:
    """Return the frame assets of every module in this package, which name their table in `database`, if it is given."""
    found = [value for value in _values() if isinstance(value, dg.AssetsDefinition)]
    return list(dg.map_asset_specs(partial(_in_database, database), found)) if database else found


def _in_database(database: str, spec: dg.AssetSpec) -> dg.AssetSpec:
    return spec.merge_attributes(metadata={"dagster/table_name": ".".join([database, *spec.key.path])})


def made_of(accounts: Collection[str], frames: Sequence[dg.AssetsDefinition]) -> Sequence[dg.AssetsDefinition]:
    """Return those of `frames` that need no other account than these, and log which are left out.

    A frame reads accounts by name, and needs what the frames that it is made of need.
    """
    found, there = list(frames), {"frames", *accounts}
    left_out: dict[str, str] = {}
    while missing := [
        (asset, key)
        for asset in found
        for key in sorted(asset.dependency_keys)
        if key.path[0] not in there or key.to_user_string() in left_out
    ]:
        for asset, key in missing:
            left_out[asset.key.to_user_string()] = key.path[0]
        found = [asset for asset in found if asset.key.to_user_string() not in left_out]
    if left_out:
        absent = sorted(set(left_out.values()) - there)
        logger.warning(
            "%s: left out, for no account is named %s. Give one account in the configuration file that name.",
            ", ".join(sorted(left_out)),
            ", ".join(absent),
        )
    return found


def rules(of: Collection[dg.AssetsDefinition] | None = None) -> Sequence[Rules]:
    """Return what must hold of these frames, or of all."""
    names = {asset.key.path[-1] for asset in (assets() if of is None else of)}
    return [value for value in _values() if isinstance(value, Rules) and value.frame in names]


def _values() -> Iterator[Any]:
    from importlib import import_module

    for info in iter_modules(__path__):
        yield from vars(import_module(f"{__name__}.{info.name}")).values()
