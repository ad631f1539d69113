"""pandas frames in DuckDB's tables: what has to be changed so that a frame comes back as it was written."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from connector_resources.destinations.duckdb_tables import RESERVED, literal, quoted
from connector_resources.errors import SchemaConflict

if TYPE_CHECKING:
    import pandas as pd

FRAME_HOUSEKEEPING = {"_loaded_at": "TIMESTAMP WITH TIME ZONE", "_run_id": "VARCHAR"}

_RESTORED = ("string", "boolean", *(f"{sign}Int{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)))

_RESTORED += ("Float32", "Float64")
"""Frame dtypes that DuckDB gives back only where there is a null, or never; categories beside."""


def storable(name: str, frame: "pd.DataFrame") -> tuple["pd.DataFrame", list[str], str]:
    """Return the frame as DuckDB can take it, which columns are text, and the dtypes to restore when read, as JSON."""
    import pandas as pd

    seen: dict[str, str] = {}
    for column in map(str, frame.columns):
        if column.casefold() in RESERVED:
            raise SchemaConflict(f"{name}: the column name {column!r} is taken by our own.")
        if (folded := column.casefold()) in seen:
            raise SchemaConflict(
                f"{name}: the columns {seen[folded]!r} and {column!r} differ at most in case. Rename one."
            )
        seen[folded] = column
    stored = frame.copy(deep=False)
    dtypes: dict[str, str] = {}
    texts: list[str] = []
    for column in frame.columns:
        kind = frame[column].dtype
        is_object = pd.api.types.is_object_dtype(kind)
        if isinstance(kind, pd.CategoricalDtype):
            stored[column] = frame[column].astype(object)
            dtypes[str(column)] = "category"
            if kind.categories.empty or _is_text(kind.categories.dtype):
                texts.append(str(column))
        elif str(kind) in _RESTORED:
            dtypes[str(column)] = str(kind)
        elif isinstance(kind, pd.StringDtype):
            stored[column] = frame[column].astype(object)
            dtypes[str(column)] = "str"
        elif is_object and not frame[column].dropna().map(lambda value: isinstance(value, str)).all():
            raise SchemaConflict(f"{name}: the column {column!r} holds objects that are not text. Give it a dtype.")
        if _is_text(kind):
            texts.append(str(column))
        if is_object or str(column) in dtypes:
            stored[column] = stored[column].where(frame[column].notna(), None)
    return stored, texts, json.dumps(dtypes)


def _is_text(kind: Any) -> bool:
    import pandas as pd

    return isinstance(kind, pd.StringDtype) or pd.api.types.is_object_dtype(kind)


def restored(column: "pd.Series[Any]", kind: str) -> "pd.Series[Any]":
    """Return a column under the dtype it was written with. One without a value comes back without a type."""
    import pandas as pd

    if kind == "str" or (kind == "category" and pd.api.types.is_object_dtype(column.dtype)):
        column = column.astype(pd.StringDtype(na_value=float("nan")))
    return column if kind == "str" else column.astype(kind)  # type: ignore[call-overload]  # stubs want literals


def reached(path: str, stored: Mapping[str, str]) -> str:
    """Return the SQL for a column, or for the text at a path inside a JSON column."""
    column, _, inner = path.partition(".")
    if path in stored or not inner:
        return quoted(path)
    return f"json_extract_string({quoted(column)}, {literal('$.' + inner)})"
