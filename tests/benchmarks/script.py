"""The Python API on the same work: `python -m tests.benchmarks.script URL FOLDER [WORK]` reads streams into a cache.

It reads from the first day there is to today, as a script does, which is more days than have records. `ideas` reads
ideas and their comments instead of features. `limited` does so at twenty requests a second. `faker` reads made-up
users, as many as stand in the place of the URL.
"""

import sys
from pathlib import Path

import connector_resources as ab
from tests.benchmarks.own_cost import own_cpu_seconds
from tests.benchmarks.server import LIMIT_PER_SECOND, START


def main(url: str, folder: Path, work: str = "features") -> None:
    """Read all there is, or all that is new, into a database."""
    cache = ab.DuckDBCache(folder / "script.duckdb")
    if work == "faker":
        ab.get_source("source-faker", config={"count": int(url), "seed": 1}, streams="users").read(cache)
        return
    if work == "limited":
        from connector_resources.http.rate_limit import RateLimit
        from connector_resources.sources.aha import Aha

        Aha.rate_limit = RateLimit(per_second=LIMIT_PER_SECOND)
    source = ab.get_source(
        "source-aha",
        config={
            "base_url": url,
            "api_key": "key",
            "rate_limit_factor": 1 if work == "limited" else 0,
            "state_folder": str(folder / "state"),
        },
        mode="live",
        start_date=START.date(),
        streams="features" if work == "features" else ["ideas", "idea_comments"],
    )
    source.read(cache)


if __name__ == "__main__":
    import connector_resources.caches
    import connector_resources.sources.aha
    import connector_resources.sync

    before = own_cpu_seconds()
    main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
    (Path(sys.argv[2]) / "cpu_after_imports").write_text(str(own_cpu_seconds() - before))
