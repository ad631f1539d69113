"""SQLAlchemy on a cache: queries and changes, and a file that nobody is kept out of."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest
import sqlalchemy as sa

from connector_resources.caches import DuckDBCache
from connector_resources.results import ReadResult
from tests.api.things import cache_in, land, user
from tests.landing import child, daily, said, window

NOON = datetime(2026, 3, 1, 10, tzinfo=UTC)


@pytest.fixture
def cache(tmp_path: Path) -> DuckDBCache:
    cache = cache_in(tmp_path)
    land(cache, user(1), user(2, created_at=None, plan=None))
    return cache


def test_pandas_reads_a_query_through_the_engine(cache: DuckDBCache) -> None:
    frame = pd.read_sql("SELECT id, name FROM users ORDER BY id", cache.get_sql_engine())
    assert frame.to_dict("list") == {"id": [1, 2], "name": ["Person 1", "Person 2"]}
    result = ReadResult(2, cache, {"users": cache["users"]})
    assert len(pd.read_sql("SELECT * FROM crm.users", result.get_sql_engine())) == 2


def test_the_table_of_a_dataset_can_be_selected_from_with_its_types(cache: DuckDBCache) -> None:
    users = cache["users"].to_sql_table()
    with cache.get_sql_engine().connect() as connection:
        rows = connection.execute(sa.select(users).where(users.c.id <= sa.bindparam("most")), {"most": 1}).all()
    assert [(row.id, row.price, row.created_at, row.plan) for row in rows] == [
        (1, Decimal("1.5"), NOON, {"name": "basic", "seats": [1, 2]})
    ]


def test_the_table_of_a_dataset_has_the_rows_that_the_dataset_shows(tmp_path: Path) -> None:
    cache, stream = cache_in(tmp_path), daily("tickets", title="string")
    for day in ("2026-03-01", "2026-03-02"):
        land(cache, {"id": "1", "at": f"{day}T10:00:00Z", "title": day}, stream=stream, window=window(day))
    land(cache, user(1), read="first")
    land(cache, user(1), read="second")
    with cache.get_sql_engine().connect() as connection:
        assert [row.title for row in connection.execute(sa.select(cache["tickets"].to_sql_table()))] == ["2026-03-02"]
        assert [row.id for row in connection.execute(sa.select(cache["users"].to_sql_table()))] == [1, 1]


def test_what_there_is_can_be_inspected_and_a_table_be_read_whole(cache: DuckDBCache) -> None:
    engine = cache.get_sql_engine()
    assert sa.inspect(engine).has_table("users", schema="crm")
    assert "users" in sa.inspect(engine).get_table_names(schema="crm")
    columns = {column["name"]: column["type"] for column in sa.inspect(engine).get_columns("users", schema="crm")}
    assert isinstance(columns["id"], sa.BigInteger)
    assert len(pd.read_sql_table("users", engine, schema="crm")) == 2
    reflected = sa.Table("users_current", sa.MetaData(), schema="crm", autoload_with=engine)
    with engine.connect() as connection:
        assert len(connection.execute(sa.select(reflected)).all()) == 2
    everything = sa.MetaData(schema="crm")
    everything.reflect(engine, views=True)
    assert set(everything.tables) == {"crm.users", "crm.users_current"}
    inspector = sa.inspect(engine)
    assert inspector.get_pk_constraint("users", schema="crm")["constrained_columns"] == []
    for of in (inspector.get_foreign_keys, inspector.get_unique_constraints, inspector.get_indexes):
        assert of("users", schema="crm") == []
    assert inspector.get_check_constraints("users", schema="crm") == []


def test_a_frame_is_written_through_the_engine_and_what_is_not_committed_leaves_nothing(cache: DuckDBCache) -> None:
    engine = cache.get_sql_engine()
    pd.DataFrame({"n": [1, 2]}).to_sql("mine", engine, index=False)
    assert cache.run_sql_query("SELECT sum(n) AS n FROM mine") == [{"n": 3}]
    with engine.connect() as connection:
        connection.execute(sa.text("DELETE FROM mine"))
        assert connection.execute(sa.text("SELECT count(*) FROM mine")).scalar() == 0
    with engine.begin() as connection:
        connection.execute(sa.text("INSERT INTO mine VALUES (:n)"), [{"n": 3}, {"n": 4}])
    assert cache.run_sql_query("SELECT sum(n) AS n FROM mine") == [{"n": 10}]


OTHER = """
import sys
from pathlib import Path
from tests.api.things import cache_in, land, user

land(cache_in(Path(sys.argv[1])), user(5))
print("written")
"""


def test_a_connection_that_is_kept_keeps_no_other_process_out(cache: DuckDBCache, tmp_path: Path) -> None:
    connection = cache.get_sql_engine().connect()
    result = connection.execute(sa.text("SELECT id FROM users ORDER BY id"))
    assert result.fetchone() == (1,)
    assert said(child(OTHER, tmp_path)) == "written"
    assert [row.id for row in result.fetchmany(1)] == [2]
    assert result.fetchone() is None
    assert connection.execute(sa.text("SELECT id FROM users")).scalars().all() == [5]
    connection.close()
