import threading
from pathlib import Path

import duckdb
import pytest

from connector_resources.destinations.duckdb import DuckDB
from orchestration.duckdb_resource import LockedDuckDBResource


def resource(folder: Path) -> LockedDuckDBResource:
    return LockedDuckDBResource(database=str(folder / "a.duckdb"))


def test_a_connection_reads_and_writes_with_times_in_utc(tmp_path: Path) -> None:
    with resource(tmp_path).get_connection() as connection:
        connection.execute("CREATE TABLE mine AS SELECT 1 AS n")
        assert connection.execute("SELECT current_setting('TimeZone'), n FROM mine").fetchall() == [("UTC", 1)]


def test_a_block_that_fails_leaves_the_database_to_others(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mine"), resource(tmp_path).get_connection():
        raise ValueError("mine")
    with duckdb.connect(str(tmp_path / "a.duckdb"), config={"threads": "1"}) as connection:
        assert connection.execute("SELECT 1").fetchall() == [(1,)]


def test_those_who_land_records_wait_until_the_block_is_left(tmp_path: Path) -> None:
    store = DuckDB(tmp_path / "a.duckdb", tmp_path / "temporary", lock_timeout_seconds=60)
    seen: list[str] = []

    def land() -> None:
        with store.locked(shared=False):
            seen.append("landed")

    with resource(tmp_path).get_connection():
        landing = threading.Thread(target=land)
        landing.start()
        landing.join(timeout=0.2)
        seen.append("queried")
    landing.join(timeout=60)
    assert seen == ["queried", "landed"]
