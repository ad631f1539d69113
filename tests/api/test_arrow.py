"""Arrow shows the rows that every other way out shows, streams them, and holds nothing; for `make test-extras`."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from connector_resources.caches import DuckDBCache
from connector_resources.datasets import LazyDataset
from connector_resources.exceptions import PyAirbyteInputError
from connector_resources.streams import Column, Stream
from tests.api.things import cache_in, land, user
from tests.landing import child, daily, said, window

pytestmark = pytest.mark.extras

NOON = datetime(2026, 3, 1, 10, tzinfo=UTC)


@pytest.fixture
def cache(tmp_path: Path) -> DuckDBCache:
    return cache_in(tmp_path)


def ids(dataset: Any) -> list[Any]:
    return sorted(dataset.to_arrow().to_table()["id"].to_pylist())


# Values


def test_decimals_keep_every_place_they_have(cache: DuckDBCache) -> None:
    text = "12345678901234567890.123456789"
    land(cache, b'{"id": 1, "price": %s}' % text.encode())
    assert cache["users"].to_arrow().to_table()["price"].to_pylist() == [Decimal(text)]


def test_arrow_has_the_rows_with_their_types_as_often_as_they_are_scanned(cache: DuckDBCache) -> None:
    land(cache, *(user(number) for number in range(1, 6)))
    dataset = cache["users"].to_arrow(max_chunk_size=2)
    assert dataset.count_rows() == 5
    assert [batch.num_rows for batch in dataset.to_batches()] == [2, 2, 1]
    assert sorted(dataset.to_table()["id"].to_pylist()) == [1, 2, 3, 4, 5]
    assert str(dataset.schema.field("created_at").type) == "timestamp[us, tz=UTC]"
    assert str(dataset.schema.field("price").type) == "decimal128(38, 9)"
    assert dataset.to_table()["plan"].to_pylist()[0] == '{"name":"basic","seats":[1,2]}'


def test_text_in_frames_is_kept_as_arrow_keeps_it_where_that_is_installed(cache: DuckDBCache) -> None:
    land(cache, *(user(number) for number in range(1, 6)))
    frames = cache["users"].to_pandas(), cache.store.read_frame("crm", "users")
    assert [getattr(frame["name"].dtype, "storage", None) for frame in frames] == ["pyarrow", "pyarrow"]


# Which rows


def test_a_cache_gives_the_rows_of_a_stream_by_its_name(cache: DuckDBCache) -> None:
    land(cache, user(1))
    assert cache.get_arrow_dataset("users").count_rows() == 1


def test_of_a_record_that_was_read_on_two_days_the_newest_version_is_shown(cache: DuckDBCache) -> None:
    stream = daily("tickets", title="string")
    for day, title in (("2026-03-01", "old"), ("2026-03-02", "new")):
        land(cache, {"id": "1", "at": f"{day}T10:00:00Z", "title": title}, stream=stream, window=window(day))
    assert cache["tickets"].to_arrow().to_table()["title"].to_pylist() == ["new"]


def test_where_reads_only_add_to_the_table_all_versions_are_shown(cache: DuckDBCache) -> None:
    land(cache, user(1), read="first")
    land(cache, user(1), user(2), read="second")
    assert ids(cache["users"]) == [1, 1, 2]


def test_a_stream_and_a_column_may_be_called_order_or_group_or_anything(cache: DuckDBCache) -> None:
    names = ("order", "Group By", 'a "quoted" name', "select")
    stream = Stream(
        name="order",
        description="",
        columns=tuple(Column(name, "integer", "") for name in names),
        primary_key=("order",),
    )
    land(cache, dict.fromkeys(names, 1), dict.fromkeys(names, 2), stream=stream)
    dataset = cache["order"].with_filter(**dict.fromkeys(names, 2))
    assert dataset.to_arrow().to_table().to_pylist() == [dict.fromkeys(names, 2)]


def test_filters_hold(cache: DuckDBCache) -> None:
    land(cache, *(user(number) for number in range(1, 6)))
    assert ids(cache["users"].with_filter("id <= 3 OR id = 99")) == [1, 2, 3]


@pytest.mark.parametrize(
    ("wrong", "said_so"),
    [
        ("no_such_column = 1", 'Referenced column "no_such_column" not found'),
        ("id = = 1", "syntax error"),
        ("id = 'not a number'", "Could not convert string"),
        ("id = 1) OR (true", "Parser Error"),
    ],
)
def test_a_filter_that_is_wrong_is_refused(cache: DuckDBCache, wrong: str, said_so: str) -> None:
    land(cache, user(1))
    with pytest.raises(PyAirbyteInputError, match=said_so):
        cache["users"].with_filter(wrong).to_arrow()


def test_what_was_read_into_memory_is_given_too() -> None:
    assert ids(LazyDataset(lambda: iter([{"id": 1}, {"id": 2, "name": "b"}])).fetch_all()) == [1, 2]


# Nothing is held


def test_what_arrow_has_stays_as_it_was_and_leaves_nothing_on_disk(cache: DuckDBCache) -> None:
    land(cache, user(1))
    batches = cache["users"].to_arrow().to_batches()
    land(cache, user(2))
    assert [batch["id"].to_pylist() for batch in batches] == [[1]]
    assert list(cache.store.temporary_folder.glob("spill-*")) == []


WRITER = """
import sys
from pathlib import Path
from tests.api.things import cache_in, land, user

land(cache_in(Path(sys.argv[1])), user(5))
print("written")
"""


def test_another_process_writes_before_the_rows_are_walked_through(cache: DuckDBCache, tmp_path: Path) -> None:
    land(cache, user(1), user(2))
    dataset = cache["users"].to_arrow()
    assert said(child(WRITER, tmp_path)) == "written"
    assert (dataset.count_rows(), ids(cache["users"])) == (2, [5])


STREAMED = """
import resource, sys
from pathlib import Path
from tests.api.things import cache_in

cache = cache_in(Path(sys.argv[1]))

def most_memory(table):
    assert sum(batch.num_rows for batch in cache.dataset("crm", table).to_arrow(max_chunk_size=10_000).to_batches())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

few, many = most_memory("few"), most_memory("many")
print((many - few) // 1024)
"""


def test_arrow_streams_ten_times_the_rows_in_the_same_memory(cache: DuckDBCache, tmp_path: Path) -> None:
    wide = ", ".join(f"'a text of some length, number {number}, ' || n AS column_{number}" for number in range(10))
    cache.execute_sql("CREATE SCHEMA crm")
    for table, rows in (("few", 50_000), ("many", 500_000)):
        cache.execute_sql(f"CREATE TABLE crm.{table} AS SELECT n, {wide} FROM range({rows}) AS rows(n)")
    growth_mb = int(said(child(STREAMED, tmp_path)))
    assert growth_mb < 60  # with the read-ahead that Arrow has by itself it grows by 200
