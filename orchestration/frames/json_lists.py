"""Lists inside JSON columns, which the warehouse hands over as text: counted, joined, or one row an item.

A column is decoded in one call, whatever its length.
"""

from typing import TYPE_CHECKING, Any

import msgspec

from orchestration.frames.columns import as_text

if TYPE_CHECKING:
    import pandas as pd


def counted(texts: "pd.Series[Any]") -> "pd.Series[Any]":
    """Return how many items each list has, as `Int64`; null where there is no list."""
    import pandas as pd

    counts = [None if items is None else len(items) for items in _decoded(texts, msgspec.Raw)]
    return pd.Series(counts, index=texts.index, dtype="Int64")


def joined(texts: "pd.Series[Any]", *, field: str | None = None) -> "pd.Series[Any]":
    """Return the items of each list, as `exploded` gives them, joined by ", "; null where there are none."""
    return exploded(texts, field=field).groupby(level=0).agg(", ".join).reindex(texts.index)


def exploded(texts: "pd.Series[Any]", *, field: str | None = None) -> "pd.Series[Any]":
    """Return one row per item, under the index of its list: the item, which is a text, or that `field` of an object.

    Lists without items have no row, nor have items that are null or lack the field.
    """
    import pandas as pd

    if field is None:
        lists = _decoded(texts, str | None)
    else:
        item = msgspec.defstruct("Item", [("value", str | None, None)], rename={"value": field}, gc=False)
        lists = [items and [item.value for item in items] for items in _decoded(texts, item)]
    lengths = [len(items or ()) for items in lists]
    flat = pd.Series([value for items in lists for value in items or ()], index=texts.index.repeat(lengths))
    return as_text(flat).dropna()


def _decoded(texts: "pd.Series[Any]", kind: Any) -> list[list[Any] | None]:
    together = ",".join(texts.astype(object).where(texts.notna(), "null"))
    decoded: list[list[Any] | None] = msgspec.json.decode(f"[{together}]", type=list[list[kind] | None])
    return decoded
