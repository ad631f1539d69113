import subprocess
import sys
from datetime import date

import dagster as dg
import pytest

from orchestration import frames
from orchestration.frames import aha, companies, drift
from orchestration.frames.columns import Columns
from orchestration.io_manager import Warehouse
from orchestration.lineage import COLUMN_LINEAGE, COLUMN_SCHEMA
from orchestration.partitions import daily
from tests.frames.landing import STREAMS, Landing

DECLARED = {
    "features": aha.FEATURES,
    "ideas": aha.IDEAS,
    "release_progress": aha.RELEASE_PROGRESS,
    "feature_cycle_time": aha.FEATURE_CYCLE_TIME,
    "conversations": drift.CONVERSATIONS,
    "daily_volume": drift.DAILY_VOLUME,
    "agent_workload": drift.AGENT_WORKLOAD,
    "contacts": drift.CONTACTS,
    "company_requests": companies.COMPANY_REQUESTS,
}
STREAM_KEYS = sorted({key for asset in frames.assets() for key in asset.dependency_keys if key.path[0] != "frames"})


def schema_of(columns: Columns) -> list[tuple[str, str]]:
    return [(name, column.dtype) for name, column in columns.by_name.items()]


def test_every_frame_is_an_asset_and_every_asset_is_known_here() -> None:
    keys = [asset.key for asset in frames.assets()]
    assert sorted(keys) == sorted(dg.AssetKey(["frames", name]) for name in DECLARED)


@pytest.mark.parametrize("asset", frames.assets(), ids=lambda asset: asset.key.path[-1])
def test_every_column_is_described_where_the_asset_is_defined(asset: dg.AssetsDefinition) -> None:
    columns = DECLARED[asset.key.path[-1]]
    (spec,) = asset.specs
    schema = spec.metadata["dagster/column_schema"]
    assert [(column.name, column.type) for column in schema.columns] == schema_of(columns)
    assert all(column.description and column.description.endswith(".") for column in schema.columns)
    assert spec.description is not None
    assert "| column |" not in spec.description  # the web UI shows them once, from the schema
    assert (spec.group_name, spec.kinds) == ("frames", {"pandas", "duckdb"})


@pytest.mark.parametrize("key", STREAM_KEYS, ids=lambda key: "/".join(key.path))
def test_frames_read_enabled_streams_and_columns_that_are_declared(key: dg.AssetKey) -> None:
    stream = STREAMS[key.to_user_string()]
    assert stream.enabled
    for asset in frames.assets():
        for input_name, input_key in asset.keys_by_input_name.items():
            if input_key == key:
                paths = asset.op.ins[input_name].metadata["columns"].values()
                names = {column.name for column in stream.columns if column.type == "json"}
                assert {path.partition(".")[0] for path in paths if "." in path} <= names
                assert {path for path in paths if "." not in path} <= {c.name for c in stream.columns} | {"_loaded_at"}


def test_frames_run_from_what_was_landed_and_have_the_declared_types(landing: Landing) -> None:
    """Nothing was received, so that only declarations are left to make types from; then the frames run again."""
    for key in STREAM_KEYS:
        source, name = key.path
        landing.land(source, name, [])
    warehouse = Warehouse(database=str(landing.store.path), spools=str(landing.folder / "spools"))
    partitions = daily(date(2026, 3, 1))
    upstream = [
        dg.AssetSpec(key, partitions_def=partitions if STREAMS[key.to_user_string()].is_partitioned else None)
        .with_io_manager_key("warehouse")
        for key in STREAM_KEYS
    ]  # fmt: skip
    for _ in range(2):
        result = dg.materialize([*upstream, *frames.assets("test")], resources={"warehouse": warehouse})
        assert result.success
    drawn = {
        event.asset_key.path[-1]: event.materialization.metadata
        for event in result.get_asset_materialization_events()
        if event.asset_key is not None
    }
    for asset in frames.assets("test"):
        (spec,) = asset.specs
        for told in (COLUMN_SCHEMA, COLUMN_LINEAGE, "dagster/table_name"):
            assert drawn[asset.key.path[-1]][told].value == spec.metadata[told]
    for name in DECLARED:
        assert str(drawn[name]["finding"].value) in str(drawn[name]["plot"].value).partition("](data:image/svg+xml;")[0]
    for name, columns in DECLARED.items():
        frame = landing.store.read_frame("frames", name)
        assert [(column, str(dtype)) for column, dtype in frame.dtypes.items()] == schema_of(columns)


def test_definitions_load_without_pandas() -> None:
    program = "import sys, orchestration.frames as frames; frames.assets(); assert 'pandas' not in sys.modules"
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True)
