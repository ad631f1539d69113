"""The engine on the same work: `python -m tests.benchmarks.engine URL FOLDER` extracts and lands all partitions."""

import sys
from datetime import timedelta
from pathlib import Path

from connector_resources.destinations.duckdb import DuckDB
from connector_resources.sources.aha import Aha
from connector_resources.streams import Slice, Window
from tests.benchmarks.own_cost import own_cpu_seconds
from tests.benchmarks.server import DAYS, START


def main(url: str, folder: Path) -> None:
    """Extract the whole range into a spool, and land it."""
    source = Aha(base_url=url, api_key="key", rate_limit_factor=0, state_folder=str(folder / "state"))
    features = source.stream("features")
    window = Window(START, START + timedelta(days=DAYS))
    spool = source.extract(features, Slice(window), folder / "spools")
    store = DuckDB(folder / "engine.duckdb", folder / "temporary")
    keys = [(START + timedelta(days=day)).strftime("%Y-%m-%d") for day in range(DAYS)]
    store.land("aha", features, spool, partitions=keys, window=window, run_id="benchmark")
    spool.mark_committed()
    spool.close()


if __name__ == "__main__":
    before = own_cpu_seconds()
    main(sys.argv[1], Path(sys.argv[2]))
    (Path(sys.argv[2]) / "cpu_after_imports").write_text(str(own_cpu_seconds() - before))
