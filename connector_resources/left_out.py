"""What PyAirbyte has and the Python API has not: each name with the reason, and what to take instead."""

from collections.abc import Mapping

from connector_resources.exceptions import PyAirbyteError


class LeftOut(PyAirbyteError, ImportError):
    """A name of PyAirbyte's that is not here.

    It is no AttributeError: `from … import` would put a text of Python's own in the place of ours.
    """


_A_FILE = "A cache is a DuckDB file on this machine. Read into ab.DuckDBCache('mine.duckdb')"
_CACHES = {
    "PostgresCache": f"{_A_FILE}, and load from there: DuckDB's extension postgres writes into Postgres.",
    "BigQueryCache": f"{_A_FILE}, and load the files of ab.get_destination('destination-parquet').",
    "SnowflakeCache": f"{_A_FILE}, and load the files of ab.get_destination('destination-parquet').",
    "MotherDuckCache": f"{_A_FILE}, and copy it: DuckDB's ATTACH 'md:' reaches MotherDuck.",
}
_NAMES: Mapping[str, Mapping[str, str]] = {
    "connector_resources": {
        **_CACHES,
        "cloud": "Everything runs on this machine; schedules are those of Dagster, as the README says.",
        "get_colab_cache": "Read into ab.new_local_cache('colab'), and copy its file to the drive afterwards.",
        "get_noop_destination": "To read and keep nothing, walk through source.get_records(stream).",
        "get_benchmark_source": "Take ab.get_source('source-faker', config={'count': 1_000_000}).",
        "StreamRecord": "A record is a dict, under the names that its API has.",
        "logs": "Logs are those of Python's module logging, under the name of this package.",
        "registry": "Connectors are those of installed packages: ab.get_available_connectors() has their names.",
        "experimental": "Nothing here is experimental: get_source() is ab.get_source().",
    },
    "connector_resources.caches": _CACHES,
}


def left_out(module: str, name: str) -> Exception:
    """Return what is to be raised for a name that a module has not: the reason, where it is one of PyAirbyte's."""
    if (reason := _NAMES[module].get(name)) is None:
        return AttributeError(f"module {module!r} has no attribute {name!r}")
    return LeftOut(f"{name} of PyAirbyte is not here.", guidance=reason)
