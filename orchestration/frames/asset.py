"""The asset made from a pure function, frames in and frame out, and its declared columns."""

import hashlib
import inspect
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg

from orchestration.frames.columns import Columns

if TYPE_CHECKING:
    import pandas as pd


def read(source: str, name: str, columns: Mapping[str, str]) -> dg.AssetIn:
    """Return the input that reads some columns of a landed stream, or of another frame (`frames`).

    `columns` maps the names in the frame to paths into the table. A path that reaches into a JSON column,
    `workflow_status.name`, gives text.
    """
    return dg.AssetIn(key=[source, name], metadata={"columns": dict(columns)})


def frame_asset(compute: "Callable[..., pd.DataFrame]", columns: Columns, **inputs: dg.AssetIn) -> dg.AssetsDefinition:
    """Return the asset `["frames", name of compute]`, which is made of all that has been landed.

    `compute` gets each input under its keyword and returns `columns`. The declaration is added to its docstring, so
    that description, docstring and types are one thing.
    """
    description = inspect.getdoc(compute)
    compute.__doc__ = f"{description}\n\n{columns.markdown()}"
    schema = [dg.TableColumn(name, column.dtype, column.description) for name, column in columns.by_name.items()]

    @dg.asset(
        key=["frames", compute.__name__],
        ins=inputs,
        description=description,
        group_name="frames",
        kinds={"pandas", "duckdb"},
        metadata={"dagster/column_schema": dg.TableSchema(schema)},
        code_version=_code_version(compute),
        io_manager_key="warehouse",
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def frame(**frames: Any) -> Any:  # Dagster would import pandas to read a more exact annotation
        return compute(**frames)

    return frame


def _code_version(compute: Callable[..., Any]) -> str:
    """Return sixteen hex digits that change when the module of `compute` does."""
    return hashlib.blake2b(inspect.getsource(sys.modules[compute.__module__]).encode(), digest_size=8).hexdigest()
