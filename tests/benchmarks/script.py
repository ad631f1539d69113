"""The Python API on the same work: `python -m tests.benchmarks.script URL FOLDER` reads the stream into a cache.

It reads from the first day there is to today, as a script does, which is more days than have records.
"""

import sys
from pathlib import Path

import connector_resources as ab
from tests.benchmarks.own_cost import own_cpu_seconds
from tests.benchmarks.server import START


def main(url: str, folder: Path) -> None:
    """Read all features into a database."""
    source = ab.get_source(
        "source-aha",
        config={"base_url": url, "api_key": "key", "rate_limit_factor": 0, "state_folder": str(folder / "state")},
        mode="live",
        start_date=START.date(),
        streams="features",
    )
    source.read(ab.DuckDBCache(folder / "script.duckdb"))


if __name__ == "__main__":
    import connector_resources.caches
    import connector_resources.sources.aha
    import connector_resources.sync

    before = own_cpu_seconds()
    main(sys.argv[1], Path(sys.argv[2]))
    (Path(sys.argv[2]) / "cpu_after_imports").write_text(str(own_cpu_seconds() - before))
