"""Where columns come from, as Dagster shows it: from the API's answer through a stream's table to a frame's columns.

Two notes are made of each fact. `dagster/column_lineage` names the columns of other assets that a column is made of.
The open-source web UI draws no graph of it, and an answer of an API is no asset, so the same stands as tags under the
column's name: `json_path: $.features[*].name` on a stream's column, `aha/features: workflow_status.name` on a frame's.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import dagster as dg

from connector_resources.destinations.duckdb_tables import TYPES
from connector_resources.http.stream import HttpStream
from connector_resources.streams import Stream


def stream_columns(source: str, stream: Stream) -> dg.TableSchema:
    """Return the declared columns, each with its place in the API's answer or in the parent's table."""
    return dg.TableSchema(
        [
            dg.TableColumn(
                column.name,
                TYPES[column.type],
                column.description,
                dg.TableColumnConstraints(
                    nullable=column.name not in stream.primary_key, unique=stream.primary_key == (column.name,)
                ),
                _tags(source, stream, column.name),
            )
            for column in stream.columns
        ]
    )


def stream_lineage(source: str, stream: Stream) -> dict[str, dg.TableColumnLineage]:
    """Return the metadata that says which columns are the parent's; none where there are none."""
    if stream.parent is None:
        return {}
    fields, key = stream.parent.fields, dg.AssetKey([source, stream.parent.stream.name])
    parents = {
        column.name: [dg.TableColumnDep(key, fields[column.parent])]
        for column in stream.columns
        if column.parent is not None
    }
    return {COLUMN_LINEAGE: dg.TableColumnLineage(parents)} if parents else {}


def _tags(source: str, stream: Stream, name: str) -> dict[str, str]:
    column = stream.column(name)
    if stream.parent is not None and column.parent is not None:
        return {f"{source}/{stream.parent.stream.name}": stream.parent.fields[column.parent]}
    path = stream.json_path(column) if isinstance(stream, HttpStream) else None
    return {} if path is None else {"json_path": path}


def frame_lineage(
    names: Sequence[str], made_of: Mapping[str, Sequence[str]], inputs: Mapping[str, dg.AssetIn]
) -> tuple[dg.TableColumnLineage, Mapping[str, Mapping[str, str]]]:
    """Return the lineage of a frame's columns, and their tags.

    `made_of` has the columns of the inputs, as `input.column`, that decide a column's values. A column that is not
    in it is the first input's column of that name. Raises ValueError for a column that no input has.
    """
    upstream: dict[str, list[dg.TableColumnDep]] = {}
    tags: dict[str, dict[str, str]] = {}
    first = next(iter(inputs), "")
    for name in names:
        paths: dict[dg.AssetKey, list[str]] = {}
        for each in made_of.get(name, (f"{first}.{name}",) if inputs else ()):
            key, path = _read_from(name, each, inputs)
            paths.setdefault(key, []).append(path)
        # A path reaches into a column: what is above its first dot is the column.
        columns = {key: dict.fromkeys(path.partition(".")[0] for path in found) for key, found in paths.items()}
        upstream[name] = [dg.TableColumnDep(key, column) for key, found in columns.items() for column in found]
        tags[name] = {key.to_user_string(): ", ".join(dict.fromkeys(found)) for key, found in paths.items()}
    return dg.TableColumnLineage(upstream), tags


def _read_from(name: str, each: str, inputs: Mapping[str, dg.AssetIn]) -> tuple[dg.AssetKey, str]:
    """Return the asset and the path into its table that stand behind `input.column`."""
    given, _, column = each.partition(".")
    read = inputs[given].metadata["columns"] if given in inputs else {}  # type: ignore[index]  # `read` wrote it
    if column not in read:
        raise ValueError(f"{name}: made of {each}, which is not read. Say in `made_of` what it is made of.")
    key = inputs[given].key
    assert isinstance(key, dg.AssetKey)
    return key, read[column]


def code_reference(file: str, line: int) -> dg.CodeReferencesMetadataValue:
    """Return the line that the web UI opens in an editor; `file` is absolute."""
    # The link reads "Open aha.py:475 in editor", and there is no room for more.
    reference = dg.LocalFileCodeReference(file_path=file, line_number=line, label=f"{Path(file).name}:{line}")
    return dg.CodeReferencesMetadataValue(code_references=[reference])


COLUMN_SCHEMA, COLUMN_LINEAGE, CODE_REFERENCES = (
    "dagster/column_schema",
    "dagster/column_lineage",
    "dagster/code_references",
)
