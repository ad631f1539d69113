"""Keys in which a connector's configuration may be written besides the names of its fields: those of Airbyte's."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class ConfigKey:
    """A key that stands for fields of ours.

    `schema` is what its value has to be, as JSON schema, with `airbyte_secret` where that is a secret. `stands_for` are
    the fields it may set, none of which can be given beside it. `fields` makes them of a value that has the schema's
    `type`, and raises ConfigurationError, which names places in the value and never shows one.
    """

    name: str
    schema: Mapping[str, Any]
    stands_for: tuple[str, ...]
    fields: Callable[[Any], Mapping[str, Any]]
