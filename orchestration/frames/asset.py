"""The asset made from a pure function, frames in and frame out, and its declared columns."""

import hashlib
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from types import FunctionType, MappingProxyType
from typing import TYPE_CHECKING, Any, cast

import dagster as dg

from orchestration.automation import follows, frame_freshness
from orchestration.frames.columns import Columns
from orchestration.lineage import CODE_REFERENCES, COLUMN_LINEAGE, COLUMN_SCHEMA, code_reference, frame_lineage
from orchestration.plots import Plot

if TYPE_CHECKING:
    import pandas as pd


def read(source: str, name: str, columns: Mapping[str, str]) -> dg.AssetIn:
    """Return the input that reads some columns of a landed stream, or of another frame (`frames`).

    `columns` maps the names in the frame to paths into the table. A path that reaches into a JSON column,
    `workflow_status.name`, gives text.
    """
    return dg.AssetIn(key=[source, name], metadata={"columns": dict(columns)})


def frame_asset(
    compute: "Callable[..., pd.DataFrame]",
    columns: Columns,
    plot: Plot | None = None,
    made_of: Mapping[str, Sequence[str]] = MappingProxyType({}),
    /,
    **inputs: dg.AssetIn,
) -> dg.AssetsDefinition:
    """Return the asset `["frames", name of compute]`, which is made of all that has been landed.

    `compute` gets each input under its keyword and returns `columns`. The declaration is added to its docstring, so
    that description, docstring and types are one thing. `plot` is what its reader would draw first; each
    materialization carries it. `made_of` has the columns of inputs, as `input.column`, that decide each column's
    values; a column that is not in it comes from the first input's column of that name.
    """
    description = inspect.getdoc(compute)
    compute.__doc__ = f"{description}\n\n{columns.markdown()}"
    lineage, tags = frame_lineage(list(columns.by_name), made_of, inputs)
    schema = [
        dg.TableColumn(name, column.dtype, column.description, tags=tags[name])
        for name, column in columns.by_name.items()
    ]
    code = cast(FunctionType, compute).__code__

    @dg.asset(
        key=["frames", compute.__name__],
        ins=inputs,
        description=description,
        group_name="frames",
        kinds={"pandas", "duckdb"},
        metadata={
            COLUMN_SCHEMA: dg.TableSchema(schema),
            COLUMN_LINEAGE: lineage,
            CODE_REFERENCES: code_reference(code.co_filename, code.co_firstlineno),
        },
        code_version=_code_version(compute),
        io_manager_key="warehouse",
        backfill_policy=dg.BackfillPolicy.single_run(),
        freshness_policy=frame_freshness(),
        automation_condition=follows(),
    )
    def frame(
        context: dg.AssetExecutionContext, **frames: Any
    ) -> Any:  # Dagster would import pandas to read "DataFrame"
        made = compute(**frames)
        if plot is not None:
            context.add_output_metadata(_drawn(context, plot, made))
        return made

    return frame


def _drawn(context: dg.AssetExecutionContext, plot: Plot, frame: "pd.DataFrame") -> dict[str, dg.MetadataValue[Any]]:
    """Return a plot and what it says in words, which the web UI shows without a click, as it does no long Markdown.

    A plot that cannot be drawn costs nobody the frame: the log says why.
    """
    try:
        image = plot.image(frame)
        return {"finding": dg.MetadataValue.text(image.finding), "plot": dg.MetadataValue.md(image.markdown)}
    except Exception as error:
        why = f"{type(error).__name__}: {error}"
        context.log.warning(f"The plot {plot.title!r} could not be drawn ({why}); the frame is whole.", exc_info=True)
        return {"plot": dg.MetadataValue.text(f"could not be drawn: {type(error).__name__}; the run's log says more")}


def _code_version(compute: Callable[..., Any]) -> str:
    """Return sixteen hex digits that change when the module of `compute` does."""
    return hashlib.blake2b(inspect.getsource(sys.modules[compute.__module__]).encode(), digest_size=8).hexdigest()
