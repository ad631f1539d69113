"""The engine inside Dagster: `python -m tests.benchmarks.dagster_run FOLDER [URL] [--last]` materialises aha/features.

One run over the whole range of partitions, with a history on disk as a project has it; with `--last`, over the day
after it, on which nothing has changed. Without a URL the asset of the run does nothing: that is what Dagster takes for
itself.
"""

import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg

from connector_resources.sources.aha import Aha
from orchestration.assets import stream_asset
from orchestration.connection import Connection
from orchestration.io_manager import Warehouse
from tests.benchmarks.own_cost import own_cpu_seconds
from tests.benchmarks.server import DAYS, START

PARTITIONS = dg.DailyPartitionsDefinition(
    start_date=f"{START:%Y-%m-%d}", end_date=f"{START + timedelta(days=DAYS + 1):%Y-%m-%d}", timezone="UTC"
)


@dg.asset(partitions_def=PARTITIONS, backfill_policy=dg.BackfillPolicy.single_run())
def nothing() -> None:
    """Hold no rows."""


def main(folder: Path, url: str | None, *, last: bool = False) -> None:
    """Materialise all partitions but the last one in one run, or the last one."""
    assets, resources = [nothing], dict[str, Any]()
    if url is not None:
        assets = [stream_asset(Aha, Aha.stream("features"), PARTITIONS, "live")]
        resources = {
            "aha": Aha(base_url=url, api_key="key", rate_limit_factor=0, state_folder=str(folder / "state")),
            "connection": Connection(mode="live"),
            "warehouse": Warehouse(database=str(folder / "engine.duckdb"), spools=str(folder / "spools")),
        }
    *keys, after = PARTITIONS.get_partition_keys()
    if last:
        keys = [after]
    with dg.DagsterInstance.local_temp(str(folder)) as instance:
        dg.materialize(
            assets,
            instance=instance,
            resources=resources,
            tags={"dagster/asset_partition_range_start": keys[0], "dagster/asset_partition_range_end": keys[-1]},
        )


if __name__ == "__main__":
    before = own_cpu_seconds()
    given = [argument for argument in sys.argv[2:] if argument != "--last"]
    main(Path(sys.argv[1]), given[0] if given else None, last="--last" in sys.argv)
    (Path(sys.argv[1]) / "cpu_after_imports").write_text(str(own_cpu_seconds() - before))
