"""Streams as Airbyte describes them: a catalog of JSON schemas, keys and sync modes, made from the declarations."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from connector_resources.streams import Column, ColumnType, Stream

SyncMode = Literal["full_refresh", "incremental"]

_JSON_TYPES: Mapping[ColumnType, Mapping[str, Any]] = MappingProxyType(
    {
        "string": {"type": ["null", "string"]},
        "integer": {"type": ["null", "integer"]},
        "number": {"type": ["null", "number"]},
        "decimal": {"type": ["null", "number", "string"]},
        "boolean": {"type": ["null", "boolean"]},
        "timestamp": {"type": ["null", "string"], "format": "date-time", "airbyte_type": "timestamp_with_timezone"},
        "epoch_ms": {"type": ["null", "integer"]},
        "date": {"type": ["null", "string"], "format": "date"},
        "json": {"type": ["null", "object", "array", "string", "number", "boolean"]},
    }
)


@dataclass(frozen=True)
class AirbyteStream:
    """A stream there is; `source_defined_primary_key` is a list of paths, each a list of one name."""

    name: str
    json_schema: Mapping[str, Any]
    supported_sync_modes: Sequence[SyncMode]
    source_defined_cursor: bool
    default_cursor_field: Sequence[str]
    source_defined_primary_key: Sequence[Sequence[str]]
    namespace: str | None = None


@dataclass(frozen=True)
class AirbyteCatalog:
    """All streams of a source."""

    streams: Sequence[AirbyteStream]

    def model_dump(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)


@dataclass(frozen=True)
class ConfiguredAirbyteStream:
    """A stream that is selected, and how it is read."""

    stream: AirbyteStream
    sync_mode: SyncMode
    destination_sync_mode: Literal["append_dedup", "overwrite"]
    cursor_field: Sequence[str] = ()
    primary_key: Sequence[Sequence[str]] = ()


@dataclass(frozen=True)
class ConfiguredAirbyteCatalog:
    """The streams that are selected."""

    streams: Sequence[ConfiguredAirbyteStream] = field(default=())

    def model_dump(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)


def json_schema(stream: Stream) -> dict[str, Any]:
    """Return the JSON schema of a stream's records, as its API sends them."""
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "description": stream.description,
        "properties": {column.name: _property(column) for column in stream.columns},
        "required": list(stream.primary_key),
        "additionalProperties": True,
    }


def _property(column: Column) -> dict[str, Any]:
    return {**_JSON_TYPES[column.type], "description": column.description}


def described(stream: Stream) -> AirbyteStream:
    """Return a stream as the catalog has it."""
    return AirbyteStream(
        stream.name,
        json_schema(stream),
        ("full_refresh", "incremental") if stream.is_partitioned else ("full_refresh",),
        source_defined_cursor=stream.is_partitioned,
        default_cursor_field=() if stream.cursor is None else (stream.cursor.column,),
        source_defined_primary_key=tuple((name,) for name in stream.primary_key),
    )


def configured(stream: Stream, *, force_full_refresh: bool = False) -> ConfiguredAirbyteStream:
    """Return a stream as it is going to be read."""
    about = described(stream)
    return ConfiguredAirbyteStream(
        about,
        "incremental" if stream.is_partitioned and not force_full_refresh else "full_refresh",
        "append_dedup" if stream.is_partitioned else "overwrite",
        about.default_cursor_field,
        about.source_defined_primary_key,
    )
