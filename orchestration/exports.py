"""Files of streams and frames as assets, for people and programs that do not ask a database.

    [ideas]
    table = "aha.ideas"
    format = "csv"

An entry of exports.toml is the asset `exports/ideas`: the file `DATA_FOLDER/exports/sandbox/ideas.csv` with all current
rows of `aha.ideas`, made anew when the table was. It asks no vendor. The file is replaced whole, or left as it was.
"""

import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args

import dagster as dg

from connector_resources.destinations import files
from connector_resources.destinations.duckdb_rows import Selection
from connector_resources.destinations.files import Format
from connector_resources.errors import ConfigurationError, ConnectorError
from connector_resources.paths import local
from orchestration.automation import follows
from orchestration.io_manager import Warehouse, failure

GROUP = "exports"
"""The group of the assets, and the folder of their files in DATA_FOLDER."""

DEFAULT_FILE = Path("exports.toml")

_KEYS = {
    "table": "the stream or frame, as aha.ideas or frames.ideas",
    "format": "csv, jsonl or parquet; csv by default",
    "folder": "where the file is made; DATA_FOLDER/exports and the mode by default",
    "where": "SQL that each row has to meet",
    "delimiter": "the character between two values of CSV; a comma by default",
}


@dataclass(frozen=True, slots=True)
class Export:
    """One file: the rows of which table, in which format, and where."""

    name: str
    schema: str
    table: str
    format: Format
    path: Path
    where: tuple[str, ...] = ()
    delimiter: str = ","


def read_exports(path: Path | None, tables: Collection[str], data_folder: Path, mode: str) -> list[Export]:
    """Return the exports of a configuration file, exports.toml by default, none where that is not there.

    `tables` are those there are, as `schema.name`. Raises ConfigurationError naming the file, the entry and the key.
    """
    if path is None and not DEFAULT_FILE.exists():
        return []
    path = path or DEFAULT_FILE
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}. EXPORTS_FILE names it; correct it or unset it.") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(
            f"{path} is no TOML in UTF-8 ({error}); exports.example.toml has an example."
        ) from error
    return [_export(path, name, said, tables, data_folder / GROUP / mode) for name, said in entries.items()]


def _export(path: Path, name: str, said: Any, tables: Collection[str], folder: Path) -> Export:
    where = f"{path}, [{name}]"
    if re.fullmatch(r"[a-z][a-z0-9_]*", name, re.ASCII) is None:
        raise ConfigurationError(
            f"{where}: a name is small letters, digits and underscores; it is the asset's and the file's."
        )
    known = ". ".join(f"{key}: {meaning}" for key, meaning in _KEYS.items())
    if not isinstance(said, Mapping) or (unknown := sorted(said.keys() - _KEYS.keys())):
        what = f"there is no key {unknown[0]}" if isinstance(said, Mapping) else "an entry is a table of keys"
        raise ConfigurationError(f"{where}: {what}. {known}.")
    if wrong := sorted(key for key, value in said.items() if not isinstance(value, str)):
        raise ConfigurationError(f"{where}: {wrong[0]} must be a text. {known}.")
    if (table := said.get("table")) not in tables:
        raise ConfigurationError(f"{where}: table must be one that is made here: {', '.join(sorted(tables))}.")
    form, delimiter = said.get("format", "csv"), said.get("delimiter", ",")
    if form not in get_args(Format):
        raise ConfigurationError(f"{where}: format must be one of {', '.join(get_args(Format))}.")
    if not files.is_delimiter(delimiter):
        raise ConfigurationError(f"{where}: delimiter must be one character of ASCII, and no quote or line end.")
    schema, _, stream = str(table).partition(".")
    conditions = (said["where"],) if "where" in said else ()
    file = local(said.get("folder", folder), f"{where}: folder") / f"{name}.{form}"
    return Export(name, schema, stream, cast(Format, form), file, conditions, delimiter)


def export_asset(export: Export, mode: str) -> dg.AssetsDefinition:
    """Return the asset `["exports", name]` of an export."""

    @dg.asset(
        key=[GROUP, export.name],
        deps=[dg.AssetKey([export.schema, export.table])],
        description=f"All current rows of {export.schema}.{export.table} as one file, {export.path}.",
        group_name=GROUP,
        kinds={"file", export.format},
        tags={"mode": mode},
        required_resource_keys={"warehouse"},
        backfill_policy=dg.BackfillPolicy.single_run(),
        automation_condition=follows(),
    )
    def written(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        warehouse: Warehouse = context.resources.warehouse
        rows = Selection(warehouse.store, export.schema, export.table, export.where)
        try:
            file = files.write(rows, export.path, export.format, delimiter=export.delimiter)
        except ConnectorError as error:
            raise failure(error) from error
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": file.rows,
                "path": dg.MetadataValue.path(str(file.path.absolute())),
                "size_bytes": file.size_bytes,
            }
        )

    return written
