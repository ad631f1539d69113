"""Records as the APIs send them, landed in a database and read back the way the IO manager hands them to a frame."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd

from connector_resources.destinations.duckdb import DuckDB
from connector_resources.sources.aha import Aha
from connector_resources.sources.drift import Drift
from connector_resources.spool import SpoolKey, open_spool
from connector_resources.streams import SNAPSHOT, Page, ParentRow, Stream, Window
from orchestration.frames.columns import Columns
from orchestration.frames.drift import CONVERSATIONS

Records = Sequence[Mapping[str, Any]]
STREAMS = {f"{source.name}/{stream.name}": stream for source in (Aha, Drift) for stream in source.streams}
_PARENTS_DAY = "2026-03-01"
LOADED_AT = datetime(2026, 4, 10, 23, 30, tzinfo=UTC)
"""When frames are told that all of it was landed: DuckDB stamps rows by its own clock, and a day may end in a test."""


@dataclass
class Landing:
    """A database of one test."""

    folder: Path
    store: DuckDB = field(init=False)

    def __post_init__(self) -> None:
        self.store = DuckDB(self.folder / "test.duckdb", self.folder / "temporary")

    def land(self, source: str, name: str, records: Records) -> None:
        """Land records in the partitions of their days; those of a substream without a day of its own in one."""
        stream = STREAMS[f"{source}/{name}"]
        partitions, window = _partitions(stream, records)
        key = SpoolKey("test", source, name, "whole", stream.declaration_hash)
        spool = open_spool(self.folder / "spools", key)
        parent = ParentRow({}, partitions) if stream.parent is not None else None
        with spool.writing() as writer:
            writer.append(Page([json.dumps(record).encode() for record in records], parent=parent))
            writer.finish()
        self.store.land(source, stream, spool, partitions=partitions, window=window, run_id="test")
        spool.mark_committed()
        spool.close()

    def inputs(self, asset: dg.AssetsDefinition, **records: Records) -> dict[str, pd.DataFrame]:
        """Land records by the asset's inputs, and return those inputs as the asset gets them."""
        assert set(records) == set(asset.keys_by_input_name)
        return self.inputs_of_streams(asset, **records)

    def inputs_of_streams(self, asset: dg.AssetsDefinition, **records: Records) -> dict[str, pd.DataFrame]:
        """Do as `inputs` does, for some of the inputs."""
        frames = {}
        for name, landed in records.items():
            source, stream = asset.keys_by_input_name[name].path
            self.land(source, stream, landed)
            frame = self.store.read_frame(source, stream, columns=input_columns(asset, name), current=True)
            if "loaded_at" in frame:
                frame["loaded_at"] = pd.Series(LOADED_AT, frame.index, dtype=frame["loaded_at"].dtype)
            frames[name] = frame
        return frames

    def inputs_of_nothing(self, asset: dg.AssetsDefinition) -> dict[str, pd.DataFrame]:
        """Return the asset's inputs after nothing at all was received."""
        keys = asset.keys_by_input_name
        inputs = self.inputs_of_streams(asset, **{name: [] for name, key in keys.items() if key.path[0] != "frames"})
        for name in keys.keys() - inputs.keys():
            frame = expected(CONVERSATIONS, **{column: [] for column in CONVERSATIONS.by_name})
            inputs[name] = self.frame_input(asset, name, frame)
        return inputs

    def frame_input(self, asset: dg.AssetsDefinition, name: str, frame: pd.DataFrame) -> pd.DataFrame:
        """Store a frame that is an input of the asset, and return it as the asset gets it."""
        schema, table = asset.keys_by_input_name[name].path
        self.store.write_frame(schema, table, frame, partitions=[SNAPSHOT], run_id="test")
        return self.store.read_frame(schema, table, columns=input_columns(asset, name))


def input_columns(asset: dg.AssetsDefinition, name: str) -> Mapping[str, str]:
    """Return what an asset reads of an input: the frame's columns and the paths they come from."""
    columns: Mapping[str, str] = asset.op.ins[name].metadata["columns"]
    return columns


def expected(columns: Columns, **values: Sequence[Any]) -> pd.DataFrame:
    """Return a frame of these values, which name every column, under the declared dtypes."""
    assert list(values) == list(columns.by_name)
    series = {}
    for name, column in columns.by_name.items():
        if column.dtype == "category":
            series[name] = pd.Series(values[name], dtype="str").astype("category")
        else:
            series[name] = pd.Series(values[name], dtype=column.dtype)
    return pd.DataFrame(series)


def milliseconds(text: str) -> int:
    """Return an ISO 8601 text as Drift writes instants."""
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def _partitions(stream: Stream, records: Records) -> tuple[tuple[str, ...], Window | None]:
    if not stream.is_partitioned:
        return (SNAPSHOT,), None
    if stream.inherits_partitions:
        return (_PARENTS_DAY,), None
    assert stream.cursor is not None
    instants = [_instant(record[stream.cursor.column]) for record in records]
    days = sorted({instant.strftime("%Y-%m-%d") for instant in instants}) or [_PARENTS_DAY]
    first, last = (datetime.fromisoformat(end).replace(tzinfo=UTC) for end in (days[0], days[-1]))
    return tuple(days), Window(first, last + timedelta(days=1))


def _instant(value: str | int) -> datetime:
    if isinstance(value, int):
        return datetime.fromtimestamp(value / 1000, UTC)
    return datetime.fromisoformat(value).astimezone(UTC)
