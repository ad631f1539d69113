"""What must hold of a frame by its meaning, declared beside it; checks are made from it."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType


class Rules:
    """The rules of one frame: `Rules("ideas", ("id",), votes_not_negative="votes >= 0")`.

    `frame` is its name and `key` the columns that tell its rows apart. Each further rule is a statement of its name
    and a condition in SQL that holds for every row; a condition that is null, for a value that is not there, holds.
    """

    def __init__(self, frame: str, key: Sequence[str], **conditions: str) -> None:
        self.frame = frame
        self.key = tuple(key)
        self.conditions: Mapping[str, str] = MappingProxyType(conditions)
