"""Destinations by PyAirbyte's names: what was read, as files or as tables of another DuckDB database.

    result = ab.get_source("source-drift").read()
    written = ab.get_destination("destination-csv", {"destination_path": "out"}).write(result)
    written.files["conversations"]  # out/conversations.csv

A file, or a table, holds all rows of its stream, those that its dataset shows, and is replaced whole: there is nothing
to be merged, and nothing is there twice.
"""

import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from connector_resources.datasets import SQLDataset
from connector_resources.destinations.duckdb import DuckDB
from connector_resources.destinations.files import Format, write
from connector_resources.errors import ConnectorError
from connector_resources.exceptions import (
    AirbyteConnectorCheckFailedError,
    AirbyteConnectorNotRegisteredError,
    PyAirbyteInputError,
)
from connector_resources.paths import local
from connector_resources.results import ReadResult, WriteResult
from connector_resources.strategies import WriteStrategy

if TYPE_CHECKING:
    from connector_resources.api import Source
    from connector_resources.caches import CacheBase

_PREFIX = "destination-"
_KEYS: Mapping[str, Mapping[str, str]] = {
    "csv": {"destination_path": "the folder of the files", "delimiter": "the character between two values, a comma"},
    "jsonl": {"destination_path": "the folder of the files"},
    "parquet": {"destination_path": "the folder of the files"},
    "duckdb": {"destination_path": "the database's file", "schema": "the schema of the tables, main"},
}
_FORMATS: Mapping[str, Format] = {"csv": "csv", "jsonl": "jsonl", "parquet": "parquet"}
_OTHER_NAMES = {"local-json": "jsonl"}
_NOT_HERE = (
    *("version", "use_python", "pip_url", "local_executable", "docker_image", "use_host_network", "install_root"),
    "config_change_callback",
)
"""Arguments of PyAirbyte's that mean nothing here: destinations are part of this package and run in this process."""


def get_destination(
    name: str,
    config: Mapping[str, Any] | None = None,
    *,
    install_if_missing: bool = True,
    no_executor: bool = False,
    **others: Any,
) -> "Destination":
    """Return the destination of that name: `destination-csv`, `-jsonl` (`-local-json`), `-parquet` or `-duckdb`.

    `config` has `destination_path`, a folder for files, a file for DuckDB; `delimiter` for CSV, `schema` for DuckDB.
    `install_if_missing` and `no_executor` change nothing, for nothing is installed; what else PyAirbyte takes is
    refused. Raises AirbyteConnectorNotRegisteredError, PyAirbyteInputError.
    """
    del install_if_missing, no_executor
    for argument, value in others.items():
        if argument not in _NOT_HERE or value not in (None, False):
            raise PyAirbyteInputError(
                f"get_destination: {argument} means nothing here: destinations are part of this package.",
                guidance="Leave it out.",
            )
    return Destination(name, config)


def get_available_destinations() -> list[str]:
    """Return the names of the destinations there are."""
    return [f"{_PREFIX}{kind}" for kind in _KEYS]


class Destination:
    """A place to write to. Made by `get_destination`."""

    connector_type = "destination"

    def __init__(self, name: str, config: Mapping[str, Any] | None = None) -> None:
        kind = name.removeprefix(_PREFIX)
        self._kind = _OTHER_NAMES.get(kind, kind)
        if self._kind not in _KEYS:
            raise AirbyteConnectorNotRegisteredError(
                f"There is no destination {name!r}. There are {', '.join(get_available_destinations())}.",
                guidance="Take one of them.",
                connector_name=name,
            )
        self._config: dict[str, Any] = {}
        if config is not None:
            self.set_config(config)

    def __repr__(self) -> str:
        return f"<Destination {self.name}: {self._config.get('destination_path', 'not configured yet')}>"

    @property
    def name(self) -> str:
        """The name of the destination, with its prefix."""
        return f"{_PREFIX}{self._kind}"

    def set_config(self, config: Mapping[str, Any]) -> None:
        """Take a configuration. Raises PyAirbyteInputError for a key that is missing or unknown, or is no path."""
        keys = _KEYS[self._kind]
        unknown = sorted(set(config) - set(keys))
        if unknown or not config.get("destination_path"):
            what = f"takes no {unknown[0]!r}" if unknown else "has to be told its destination_path"
            raise PyAirbyteInputError(
                f"{self.name} {what}.",
                guidance="Keys: " + "; ".join(f"{key}, {said}" for key, said in keys.items()) + ".",
            )
        local(config["destination_path"], "destination_path")
        self._config = dict(config)

    @property
    def _place(self) -> Path:
        return local(self._config["destination_path"], "destination_path")

    def get_config(self) -> Mapping[str, Any]:
        """Return the configuration."""
        return dict(self._config)

    @property
    def config_spec(self) -> dict[str, Any]:
        """The JSON schema of the configuration."""
        return {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "title": f"Configuration of {self.name}",
            "type": "object",
            "properties": {
                key: {"type": "string", "description": f"{said[0].upper()}{said[1:]}.", "order": place}
                for place, (key, said) in enumerate(_KEYS[self._kind].items())
            },
            "required": ["destination_path"],
            "additionalProperties": False,
        }

    def print_config_spec(
        self,
        format: Literal["yaml", "json"] = "yaml",
        *,
        output_file: Path | str | None = None,
        stderr: bool = False,
    ) -> None:
        """Print the schema of the configuration to stdout, or to stderr, or write it to a file."""
        from connector_resources.configs import print_spec

        print_spec(self.config_spec, format, output_file, is_error=stderr)

    def check(self) -> None:
        """Prove that the place can be written to, and write nothing that stays.

        Raises AirbyteConnectorCheckFailedError saying why not, or PyAirbyteInputError where there is no configuration.
        """
        if not self._config:
            self.set_config({})
        path = self._place.absolute()
        try:
            if self._kind == "duckdb":
                self._database(path)
                path = path.parent
            folder = next(each for each in (path, *path.parents) if each.exists())
            with tempfile.TemporaryFile(dir=folder):
                pass
        except (OSError, ConnectorError) as error:
            why = f"{path}: {error.strerror or error}." if isinstance(error, OSError) else str(error)
            raise AirbyteConnectorCheckFailedError(
                f"{self.name} cannot write. {why}",
                guidance="Give another destination_path.",
                connector_name=self.name,
            ) from error
        print(f"Connection check succeeded for `{self.name}`.", file=sys.stderr)  # noqa: T201 -- as a source says it

    def write(
        self,
        source_data: "ReadResult | SQLDataset | Source",
        *,
        streams: str | Sequence[str] | None = None,
        cache: "CacheBase | None" = None,
        write_strategy: str | WriteStrategy = WriteStrategy.AUTO,
        force_full_refresh: bool = False,
    ) -> WriteResult:
        """Write what was read, each stream for itself, and return what was written.

        A source is read first, into `cache`, by default the database of the assets, with `force_full_refresh`.
        `streams` are written instead of all. A stream that fails leaves what was there of it, and those before it are
        written. Raises PyAirbyteInputError for `write_strategy="append"`: the cache is where rows add up.
        """
        if not self._config:
            self.set_config({})
        if write_strategy == WriteStrategy.APPEND:
            raise PyAirbyteInputError(
                f"{self.name} replaces its files and tables by all rows that were read.",
                guidance="Read with write_strategy='append', and write the result with 'auto'.",
            )
        if write_strategy not in list(WriteStrategy):
            raise PyAirbyteInputError(
                "There is no such write_strategy.", guidance="auto, merge or replace.", input_value=str(write_strategy)
            )
        datasets = self._datasets(source_data, streams, cache, force_full_refresh)
        records, files, tables = dict[str, int](), dict[str, Path](), dict[str, str]()
        for name, dataset in datasets.items():
            if self._kind == "duckdb":
                tables[name], records[name] = self._write_table(name, dataset)
            else:
                files[name], records[name] = self._write_file(name, dataset)
        return WriteResult(self, source_data, records, files, tables)

    def _datasets(
        self, given_data: Any, streams: str | Sequence[str] | None, cache: "CacheBase | None", is_full: bool
    ) -> Mapping[str, SQLDataset]:
        if isinstance(given_data, SQLDataset):
            return {given_data.stream_name: given_data}
        if isinstance(given_data, ReadResult):
            given = given_data
        else:
            if not callable(read := getattr(given_data, "read", None)):
                raise PyAirbyteInputError(
                    "A destination writes what is in a cache, or what a source reads.",
                    guidance="Give the result of a read, a dataset of a cache, or a source.",
                    context={"type": type(given_data).__name__},
                )
            given = cast(ReadResult, read(cache, streams=streams, force_full_refresh=is_full))
        if streams is None or streams == "*":
            return given.streams
        names = [streams] if isinstance(streams, str) else list(streams)
        if missing := [name for name in names if name not in given]:
            raise PyAirbyteInputError(
                f"{missing[0]} was not read.", guidance=f"Streams of the result: {', '.join(given)}."
            )
        return {name: given[name] for name in names}

    def _write_file(self, name: str, dataset: SQLDataset) -> tuple[Path, int]:
        form = _FORMATS[self._kind]
        if Path(name).name != name or name.startswith("."):
            raise PyAirbyteInputError("The stream's name cannot be that of a file.", input_value=name)
        path = self._place / f"{name}.{form}"
        options = {key: str(self._config[key]) for key in ("delimiter",) if key in self._config}
        written = write(dataset.selection, path, form, **options)
        return written.path, written.rows

    def _write_table(self, name: str, dataset: SQLDataset) -> tuple[str, int]:
        path = self._place.absolute()
        schema = str(self._config.get("schema", "main"))
        target = self._database(path, dataset.selection.store.path)
        return f"{schema}.{name}", dataset.selection.copy_into(target, schema, name)

    @staticmethod
    def _database(path: Path, read_into: Path | None = None) -> DuckDB:
        """Return the database to write to. Raises PyAirbyteInputError for one that sources are read into."""
        target = DuckDB(path, path.with_name(f"{path.name}.temporary"))
        if path == read_into or _is_read_into(target):
            raise PyAirbyteInputError(
                f"{path} is a database that sources are read into, and its tables are theirs.",
                guidance="Give another file.",
            )
        return target


def _is_read_into(database: DuckDB) -> bool:
    """Whether a database has what those of the assets and of caches have."""
    if not database.path.exists():
        return False
    return bool(database.query("SELECT 1 FROM duckdb_tables() WHERE database_name = 'store' AND table_name = '_state'"))
