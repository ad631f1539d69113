"""How a read adds to what is there, by PyAirbyte's names."""

from enum import StrEnum


class WriteStrategy(StrEnum):
    """What becomes of the rows that are there; see `Source.read`."""

    AUTO = "auto"
    APPEND = "append"
    REPLACE = "replace"
    MERGE = "merge"
