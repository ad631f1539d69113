"""A frame's columns, declared once: names, dtypes and meaning; its documentation and its types are made from this.

Five rules hold for every frame. Instants are aware and in UTC (`datetime64[us, UTC]`). Calendar days have no zone and
are `datetime64[us]` at midnight. Counts and numeric ids are `Int64`, which knows null; durations and shares are
`float64`, with the unit in the name. Flags are `bool` and never null. No column holds objects or JSON text.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class FrameColumn:
    """One column of a frame: its dtype as pandas names it, and what it means."""

    dtype: str
    description: str


def text(description: str) -> FrameColumn:
    """Return a column of text."""
    return FrameColumn("str", description)


def category(description: str) -> FrameColumn:
    """Return a column of text with few different values."""
    return FrameColumn("category", description)


def whole(description: str) -> FrameColumn:
    """Return a column of whole numbers: counts, numeric ids."""
    return FrameColumn("Int64", description)


def number(description: str) -> FrameColumn:
    """Return a column of numbers with a fraction: durations, shares."""
    return FrameColumn("float64", description)


def flag(description: str) -> FrameColumn:
    """Return a column of true and false; null is not allowed."""
    return FrameColumn("bool", description)


def instant(description: str) -> FrameColumn:
    """Return a column of instants in UTC, to the microsecond."""
    return FrameColumn("datetime64[us, UTC]", description)


def day(description: str) -> FrameColumn:
    """Return a column of calendar days, which have no zone."""
    return FrameColumn("datetime64[us]", description)


class Columns:
    """The columns of one frame, in order: `Columns(id=text("…"), votes=whole("…"))`."""

    def __init__(self, **columns: FrameColumn) -> None:
        self.by_name: Mapping[str, FrameColumn] = MappingProxyType(columns)

    def cast(self, frame: "pd.DataFrame") -> "pd.DataFrame":
        """Return exactly these columns of `frame`, in this order and under their dtypes, with a fresh index.

        The dtypes hold for frames without rows and for columns without values. Raises KeyError for a column that is
        not there and ValueError for a value that does not fit.
        """
        import pandas as pd

        casts = {name: _CASTS[column.dtype](frame[name]) for name, column in self.by_name.items()}
        return pd.DataFrame(casts, index=frame.index).reset_index(drop=True)

    def markdown(self) -> str:
        """Return the columns as a table for people."""
        rows = [f"| `{name}` | {column.dtype} | {column.description} |" for name, column in self.by_name.items()]
        return "\n".join(["| column | dtype | what it holds |", "| --- | --- | --- |", *rows])


def looked_up(keys: "pd.Series[Any]", values: "pd.Series[Any]") -> "pd.Series[Any]":
    """Return the value of each key, by the index of `values`; null where it has none.

    Raises ValueError where the index has a key twice. Unlike `Series.map` it keeps the dtype of values without rows.
    """
    found: pd.Series[Any] = values.reindex(keys)
    return found.set_axis(keys.index)


def as_text(values: "pd.Series[Any]") -> "pd.Series[Any]":
    """Return values as text; null stays null, also where pandas alone would write it out."""
    import pandas as pd

    # Named by its class because `str` means the text type from pandas 3 on only.
    return values.astype(pd.StringDtype(na_value=float("nan")))


def as_instants(values: "pd.Series[Any]") -> "pd.Series[Any]":
    """Return instants, or ISO 8601 texts, as instants in UTC; a text without a zone is taken for UTC."""
    import pandas as pd

    return pd.to_datetime(values, utc=True, format="ISO8601").dt.as_unit("us")


def utc_day(instants: "pd.Series[Any]") -> "pd.Series[Any]":
    """Return the UTC day of each instant, as a calendar day."""
    days: pd.Series[Any] = instants.dt.tz_localize(None).dt.normalize()
    return days


def as_days(values: "pd.Series[Any]") -> "pd.Series[Any]":
    """Return days, or texts as YYYY-MM-DD, as calendar days."""
    import pandas as pd

    return pd.to_datetime(values, format="ISO8601").dt.as_unit("us")


def as_numbers(values: "pd.Series[Any]") -> "pd.Series[Any]":
    """Return numbers, or texts that hold numbers, as `float64`."""
    import pandas as pd

    return pd.to_numeric(values).astype("float64")


def as_whole(values: "pd.Series[Any]") -> "pd.Series[Any]":
    """Return whole numbers, or texts that hold them, as `Int64`; raises TypeError for a fraction."""
    import pandas as pd

    return pd.to_numeric(values).astype("Int64")


def _as_flags(values: "pd.Series[Any]") -> "pd.Series[Any]":
    if values.isna().any():
        raise ValueError(f"{values.name}: a flag is true or false, and {int(values.isna().sum())} are null.")
    return values.astype("bool")


_CASTS: Mapping[str, Callable[["pd.Series[Any]"], "pd.Series[Any]"]] = {
    "str": as_text,
    "category": lambda values: as_text(values).astype("category"),
    "Int64": as_whole,
    "float64": as_numbers,
    "bool": _as_flags,
    "datetime64[us, UTC]": as_instants,
    "datetime64[us]": as_days,
}
