"""Caches: which database, which streams in it, SQL about them, and that no rows of two kinds mix."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

import connector_resources as ab
from connector_resources.caches import CacheBase, DuckDBCache, get_default_cache, new_local_cache
from connector_resources.datasets import CachedDataset
from connector_resources.destinations.duckdb import DuckDB
from connector_resources.destinations.duckdb_claims import Claim, claim
from connector_resources.errors import ConfigurationError, SchemaConflict, UnknownStream
from connector_resources.exceptions import AirbyteStreamNotFoundError, PyAirbyteCacheError, PyAirbyteInputError
from connector_resources.results import ReadResult
from tests.api.things import USERS, cache_in, land, user
from tests.landing import child, daily, said, snapshot, window
from tests.test_project import loaded_by


@pytest.fixture
def cache(tmp_path: Path) -> DuckDBCache:
    return cache_in(tmp_path)


# Streams


def test_a_cache_has_the_streams_that_were_read_and_each_by_its_name(cache: DuckDBCache) -> None:
    assert (len(cache), dict(iter(cache)), bool(cache)) == (0, {}, True)
    land(cache, user(1))
    land(cache, {"id": "a"}, stream=snapshot("orders", id="string"), source="shop")
    assert [name for name, _ in cache] == list(cache.streams) == ["users", "orders"]
    assert len(cache) == 2
    assert "users" in cache
    assert "shop.orders" in cache
    assert "crm.orders" not in cache
    assert [record["id"] for record in cache["orders"]] == [record["id"] for record in cache["shop.orders"]] == ["a"]
    assert cache.get_records("users") == cache["crm.users"] == cache.dataset("crm", "users")
    assert len(cache.get_pandas_dataframe("users")) == 1


def test_streams_of_one_name_in_two_sources_are_two_and_one_is_asked_for_by_both_names(cache: DuckDBCache) -> None:
    land(cache, user(1), source="crm")
    land(cache, user(2), user(3), source="shop")
    assert list(cache.streams) == ["crm.users", "shop.users"]
    assert (len(cache["crm.users"]), len(cache["shop.users"])) == (1, 2)
    with pytest.raises(AirbyteStreamNotFoundError, match=r"Several sources .* crm.users or shop.users"):
        cache["users"]
    with pytest.raises(AirbyteStreamNotFoundError, match=r"crm.users or shop.users"):
        cache.run_sql_query("SELECT * FROM users")
    assert cache.run_sql_query("SELECT count(*) AS n FROM shop.users") == [{"n": 2}]


def test_a_stream_that_is_not_there_is_an_error_that_lists_those_there_are(cache: DuckDBCache) -> None:
    land(cache, user(1))
    for kind in (KeyError, UnknownStream, AirbyteStreamNotFoundError):
        with pytest.raises(kind, match=r"no stream nope .*available_streams=\['users'\]"):
            cache["nope"]


def test_what_the_assets_landed_is_in_the_cache_and_frames_and_tombstones_are_no_streams(cache: DuckDBCache) -> None:
    import pandas as pd

    land(cache, user(1), user(2))
    land(cache, user(1))
    cache.store.write_frame("crm", "per_day", pd.DataFrame({"n": [1]}), partitions=["all"], run_id="run")
    assert cache.run_sql_query("SELECT id FROM crm.users_deleted") == [{"id": 2}]
    assert list(cache.streams) == ["users"]


def test_a_schema_and_a_prefix_say_where_the_tables_are(tmp_path: Path) -> None:
    own = cache_in(tmp_path, schema_name="main", table_prefix="my_")
    land(own, user(1))
    land(own, user(1), user(2))
    land(own, user(1))
    land(cache_in(tmp_path), user(2), user(3))
    assert own.run_sql_query("SELECT id FROM my_users") == own.run_sql_query("SELECT id FROM users") == [{"id": 1}]
    assert list(own.streams) == ["users"]
    assert (len(own["users"]), len(own["main.users"])) == (1, 1)
    assert (own.schema_of("crm"), own.table_of("users")) == ("main", "my_users")
    assert len(cache_in(tmp_path)["crm.users"]) == 2


def test_a_result_is_a_mapping_of_the_streams_that_were_read(cache: DuckDBCache) -> None:
    land(cache, user(1))
    result = ReadResult(1, cache, {"users": cache.dataset("crm", "users")}, "crm")
    assert (list(result), len(result), "users" in result, "orders" in result) == (["users"], 1, True, False)
    assert [record["id"] for record in result["users"]] == [1]
    assert dict(result) == dict(result.streams)
    assert isinstance(result["users"], CachedDataset)
    assert (result.processed_records, result.cache, result.source_name) == (1, cache, "crm")
    with pytest.raises(KeyError):
        result["orders"]


# SQL


def test_a_query_gives_dicts_with_times_in_utc_and_what_json_holds(cache: DuckDBCache) -> None:
    land(cache, user(1), user(2, plan=None, created_at=None))
    rows = cache.run_sql_query("SELECT id, created_at, plan FROM crm.users ORDER BY id")
    assert rows == [
        {"id": 1, "created_at": datetime(2026, 3, 1, 10, tzinfo=UTC), "plan": {"name": "basic", "seats": [1, 2]}},
        {"id": 2, "created_at": None, "plan": None},
    ]
    assert rows[0]["created_at"].tzinfo is UTC
    assert cache.run_sql_query("FROM crm.users ORDER BY id", max_records=1)[0]["id"] == 1


@pytest.mark.parametrize("schema", [None, "main"])
def test_a_stream_by_its_name_alone_is_its_current_rows_in_a_query(tmp_path: Path, schema: str | None) -> None:
    cache, stream = cache_in(tmp_path, schema_name=schema), daily("tickets", title="string")
    for day in ("2026-03-01", "2026-03-02"):
        land(cache, {"id": "1", "at": f"{day}T10:00:00Z", "title": day}, stream=stream, window=window(day))
    query = "WITH t AS (SELECT title FROM Tickets) SELECT title FROM t"
    assert cache.run_sql_query(query) == [{"title": "2026-03-02"}]
    assert cache.run_sql_query(f"SELECT count(*) AS n FROM {schema or 'crm'}.tickets") == [{"n": 2}]


def test_a_statement_that_changes_something_is_committed_and_several_are_all_or_nothing(cache: DuckDBCache) -> None:
    land(cache, user(1))
    assert cache.run_sql_query("CREATE TABLE mine AS SELECT id FROM crm.users") == []
    with pytest.raises(PyAirbyteInputError, match=r"could not be run \(Catalog Error"):
        cache.execute_sql(["DELETE FROM mine", "DELETE FROM not_there"])
    assert cache.run_sql_query("SELECT id FROM mine") == [{"id": 1}]
    cache.execute_sql(["DELETE FROM mine", "INSERT INTO mine VALUES (7)"])
    assert cache.run_sql_query("SELECT id FROM mine") == [{"id": 7}]


def test_what_is_wrong_with_a_query_is_said(cache: DuckDBCache) -> None:
    with pytest.raises(PyAirbyteCacheError, match=r"no database .*own.duckdb yet. Read a source"):
        cache.run_sql_query("SELECT 1")
    land(cache, user(1))
    with pytest.raises(PyAirbyteInputError, match=r"Parser Error: syntax error"):
        cache.run_sql_query("SELEKT 1")
    with pytest.raises(PyAirbyteInputError, match="Table with name nope does not exist"):
        cache.run_sql_query("SELECT * FROM nope")
    with pytest.raises(PyAirbyteInputError, match=r'Table with name usrs .*; Did you mean .*users"\?\)\. Tables are'):
        cache.run_sql_query("SELECT * FROM usrs")
    for column in ("nam", "u.nam"):
        with pytest.raises(PyAirbyteInputError, match=r'"nam".*; Candidate bindings "name".*\)\. .*has the columns of'):
            cache.run_sql_query(f"SELECT {column} FROM crm.users u")


# One file, many who use it


def test_beside_the_file_of_a_cache_are_its_locks_and_its_spools_and_it_does_without_them(
    desk: Path, cache: DuckDBCache
) -> None:
    source = ab.get_source("source-faker", config={"count": 2, "seed": 1}, streams=["users"], progress=False)
    source.read(cache)
    own = cache.db_path.name
    beside = sorted(path.name for path in cache.cache_dir.iterdir())
    assert beside == [own, *(f"{own}.{ending}" for ending in ("lock", "spools", "turn"))]
    shutil.rmtree(cache.spools)
    for ending in ("lock", "turn"):
        Path(f"{cache.db_path}.{ending}").unlink()
    assert len(source.read(cache)["users"]) == len(cache["users"]) == 2


OTHER = """
import sys
from tests.api.things import cache_in, land, user
from pathlib import Path

cache = cache_in(Path(sys.argv[1]))
land(cache, user(1), user(2))
print(len(cache["users"]))
"""


def test_another_process_reads_and_writes_while_a_cache_is_in_use(cache: DuckDBCache, tmp_path: Path) -> None:
    """PyAirbyte's holds the file until `close` is called."""
    land(cache, user(1))
    assert len(cache["users"].to_pandas()) == 1
    assert cache.run_sql_query("SELECT count(*) AS n FROM users") == [{"n": 1}]
    assert said(child(OTHER, tmp_path)) == "2"
    with cache as same:
        assert len(same["users"]) == 2
    assert len(cache["users"]) == 2
    duckdb.connect(str(tmp_path / "own.duckdb")).close()


def test_four_threads_use_one_cache(cache: DuckDBCache) -> None:
    streams = [snapshot(f"stream_{number}", id="integer") for number in range(4)]

    def use(number: int) -> tuple[int, int]:
        land(cache, *({"id": id_} for id_ in range(50 + number)), stream=streams[number])
        dataset = cache[f"stream_{number}"]
        return len(list(dataset)), len(dataset.to_pandas())

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(use, range(4))) == [(50, 50), (51, 51), (52, 52), (53, 53)]
    assert len(cache) == 4


# Which file


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for variable in ("DATA_FOLDER", "CONNECTOR_MODE", "DUCKDB_MEMORY_LIMIT"):
        monkeypatch.delenv(variable, raising=False)
    return tmp_path


def test_the_default_cache_is_the_database_of_the_assets(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from orchestration.settings import Settings

    for mode in ("sandbox", "live"):
        cache, settings = get_default_cache(mode), Settings.from_environment({"CONNECTOR_MODE": mode})
        assert (cache.store.path, cache.spools) == (here / settings.database, here / settings.spools)
    monkeypatch.setenv("DATA_FOLDER", "elsewhere")
    assert get_default_cache("live").store.path == here / "elsewhere" / "live.duckdb"
    assert get_default_cache("live").schema_of("aha") == "aha"


def test_the_default_cache_is_what_the_first_source_is(here: Path) -> None:
    cache = get_default_cache()
    either = "data/sandbox.duckdb or data/live.duckdb"
    assert repr(cache) == f"DefaultCache(the database of the assets, {either}: the first read decides)"
    cache.bind("live")
    assert repr(cache) == "DefaultCache('data/live.duckdb')"
    cache.bind("live")
    assert cache.store.path == here / "data" / "live.duckdb"
    with pytest.raises(PyAirbyteInputError, match=r"live.duckdb is for live rows, and these are sandbox ones"):
        cache.bind("sandbox")
    assert cache.store.path == here / "data" / "live.duckdb"


def test_the_default_cache_is_the_environments_where_it_is_asked_before_a_read(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = get_default_cache()
    assert "users" not in cache
    assert cache.store.path == here / "data" / "sandbox.duckdb"
    with pytest.raises(PyAirbyteInputError, match="is for sandbox rows"):
        cache.bind("live")
    monkeypatch.setenv("CONNECTOR_MODE", "live")
    assert get_default_cache().store.path.name == "live.duckdb"
    monkeypatch.setenv("CONNECTOR_MODE", "production")
    with pytest.raises(ConfigurationError, match=r"CONNECTOR_MODE is 'production'; set it to sandbox or live"):
        len(get_default_cache())
    with pytest.raises(PyAirbyteInputError, match="mode is sandbox or live"):
        get_default_cache("test")  # type: ignore[arg-type]  # that is what is refused


def test_making_a_cache_makes_no_file(here: Path) -> None:
    get_default_cache().bind("sandbox")
    assert len(new_local_cache("mine")) == len(DuckDBCache("folder/own.duckdb")) == 0
    assert list(here.iterdir()) == []


def test_a_cache_of_ones_own_keeps_its_place_when_the_working_directory_changes(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = DuckDBCache("own.duckdb")
    monkeypatch.chdir("/")
    assert (cache.db_path, cache.spools) == (here / "own.duckdb", here / "own.duckdb.spools")
    assert (cache.cache_dir, cache.get_database_name(), cache.name) == (here, "own", "DuckDBCache")


def test_a_cache_of_ones_own_holds_the_rows_of_one_mode(cache: DuckDBCache, tmp_path: Path) -> None:
    claim(cache.store, "crm", "users", Claim("live", "crm", "users", "account", "days"))
    with pytest.raises(PyAirbyteInputError, match=r"own.duckdb is for live rows, and these are sandbox ones"):
        cache_in(tmp_path).bind("sandbox")
    cache_in(tmp_path).bind("live")


def test_a_cache_that_was_bound_stays_so_before_anything_is_in_it(cache: DuckDBCache) -> None:
    cache.bind("sandbox")
    with pytest.raises(PyAirbyteInputError, match="is for sandbox rows"):
        cache.bind("live")


def test_the_assets_database_under_its_path_is_for_its_mode_too(here: Path) -> None:
    with pytest.raises(PyAirbyteInputError, match=r"live.duckdb is for live rows"):
        DuckDBCache("data/live.duckdb").bind("sandbox")
    DuckDBCache("data/live.duckdb").bind("live")


def test_a_new_local_cache_is_where_its_name_says_or_nowhere_else_before(here: Path) -> None:
    assert new_local_cache("mine").db_path == here / ".cache" / "mine" / "db_mine.duckdb"
    assert new_local_cache("mine", here / "there").db_path == here / "there" / "db_mine.duckdb"
    assert new_local_cache().db_path != new_local_cache().db_path
    for wrong in ("my cache", "../mine", "", "größe"):
        with pytest.raises(PyAirbyteInputError, match="letters, digits and underscores"):
            new_local_cache(wrong)


@pytest.mark.parametrize("path", [":memory:", "md:mine", "motherduck:mine", "s3://bucket/mine.duckdb"])
def test_a_database_that_is_no_file_is_refused(here: Path, path: str) -> None:
    with pytest.raises(PyAirbyteInputError, match=r"A cache's db_path begins with .* and is no path on this machine"):
        DuckDBCache(path)
    with pytest.raises(PyAirbyteInputError, match=r"A cache's cache_dir begins with .* and is no path on this machine"):
        DuckDBCache("mine.duckdb", cache_dir=path)
    with pytest.raises(PyAirbyteInputError, match=r"^cache_dir begins with .* and is no path on this machine"):
        new_local_cache("mine", path)
    assert list(here.iterdir()) == []


def test_a_data_folder_is_one_on_this_machine(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(here / "home"))
    in_home = here / "home" / "crm" / "live.duckdb"
    (here / ".env").write_text("DATA_FOLDER=~/crm")
    assert get_default_cache("live").db_path == in_home
    monkeypatch.setenv("DATA_FOLDER", "~/crm")
    assert get_default_cache("live").db_path == in_home
    monkeypatch.setenv("DATA_FOLDER", "s3://bucket")
    with pytest.raises(PyAirbyteInputError, match="DATA_FOLDER begins with s3:/"):
        get_default_cache("live").db_path  # noqa: B018 -- what it is depends on the environment of the moment
    monkeypatch.delenv("DATA_FOLDER")
    (here / ".env").write_text("DATA_FOLDER=s3://bucket")
    with pytest.raises(PyAirbyteInputError, match="DATA_FOLDER begins with s3:/"):
        get_default_cache("live").db_path  # noqa: B018
    monkeypatch.setenv("DATA_FOLDER", "elsewhere")
    assert get_default_cache("live").db_path == here / "elsewhere" / "live.duckdb"
    monkeypatch.delenv("DATA_FOLDER")
    land(DuckDBCache("mine.duckdb"), user(1))  # which needs none, and looks for other variables


def test_the_memory_limit_of_the_assets_holds_for_caches(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUCKDB_MEMORY_LIMIT", "64MB")
    assert DuckDBCache("own.duckdb").store.memory_limit == get_default_cache().store.memory_limit == "64MB"
    monkeypatch.setenv("DUCKDB_MEMORY_LIMIT", "plenty")
    with pytest.raises(ConfigurationError, match="DUCKDB_MEMORY_LIMIT"):
        land(DuckDBCache("own.duckdb"), user(1))


def test_a_cache_is_what_the_engine_reads_into(cache: CacheBase) -> None:
    assert isinstance(cache.store, DuckDB)
    assert cache.store.temporary_folder.is_relative_to(cache.spools)
    assert cache.table_of(USERS.name) == "users"


def test_caches_and_destinations_are_imported_without_dagster_pandas_arrow_and_sqlalchemy() -> None:
    names = ("caches", "datasets", "results", "writing")
    loaded = loaded_by(*(f"connector_resources.{name}" for name in names))
    assert "connector_resources.destinations.duckdb_rows" in loaded
    assert {"dagster", "pandas", "numpy", "pyarrow", "sqlalchemy"} & loaded == set()


@pytest.mark.parametrize("path", ["link/live.duckdb", "data/../data/live.duckdb", "alias.duckdb", "moved/live.duckdb"])
def test_the_assets_database_is_for_its_mode_by_whatever_path(here: Path, path: str) -> None:
    (here / "data").mkdir()
    (here / "link").symlink_to(here / "data")
    (here / "alias.duckdb").symlink_to(here / "data" / "live.duckdb")
    with pytest.raises(PyAirbyteInputError, match=r"is for live rows"):
        DuckDBCache(path).bind("sandbox")
    assert DuckDBCache(path).is_of_assets is not path.startswith("moved")


def test_a_database_has_one_lock_and_one_log_by_whatever_name(tmp_path: Path) -> None:
    (tmp_path / "alias.duckdb").symlink_to(tmp_path / "own.duckdb")
    store = DuckDBCache(tmp_path / "alias.duckdb").store
    assert store.path == tmp_path / "own.duckdb"
    with store.attached(read_only=False):
        assert sorted(file.name for file in tmp_path.glob("*.lock")) == ["own.duckdb.lock"]


def test_names_that_differ_in_case_are_one_table_and_one_claim(tmp_path: Path) -> None:
    for schema, prefix in (("CRM", "Raw_"), ("crm", "raw_")):
        cache = cache_in(tmp_path, schema_name=schema, table_prefix=prefix)
        assert (cache.schema_of("aha"), cache.table_of("users")) == ("crm", "raw_users")


@pytest.mark.parametrize("name", ["temp", "System", "memory", "pg_catalog", "information_schema", "store", "x\0y"])
def test_a_schema_that_is_duckdbs_own_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(PyAirbyteInputError, match="schema_name cannot be that"):
        cache_in(tmp_path, schema_name=name)
    assert cache_in(tmp_path, schema_name="").schema_of("aha") == "aha"


@pytest.mark.parametrize(("sql", "most"), [("", None), (" ;\n", None), ("SELECT 1", -1)])
def test_a_query_that_is_none_is_refused_by_name(cache: DuckDBCache, sql: str, most: int | None) -> None:
    with pytest.raises(PyAirbyteInputError, match=r"no query|below 0"):
        cache.run_sql_query(sql, max_records=most)


def test_another_programs_table_in_the_place_of_ours_is_named(tmp_path: Path) -> None:
    cache = cache_in(tmp_path)
    cache.execute_sql("CREATE TABLE _claims (ours INTEGER)")
    with pytest.raises(SchemaConflict, match=r"_claims: the table is not as it was left"):
        cache.bind("sandbox")
    with pytest.raises(SchemaConflict, match=r"crm.users: the table is not as it was left"):
        claim(cache.store, "crm", "users", Claim("sandbox", "crm", "users", "account", "days"))


@pytest.mark.parametrize("given", ["a.duckdb", False])
def test_what_is_no_cache_is_refused_with_what_is_one(given: Any) -> None:
    source = ab.get_source("source-faker", config={"count": 1}, progress=False)
    with pytest.raises(PyAirbyteInputError, match=r"no cache to read into.*Give a DuckDBCache"):
        source.read(given)


def test_a_stream_that_was_not_read_is_named_with_those_that_were(tmp_path: Path) -> None:
    cache = cache_in(tmp_path)
    land(cache, user(1))
    result = ReadResult(1, cache, cache.streams, aliases={"people": "users"})
    with pytest.raises(KeyError, match=r"no stream userz in this result.*available_streams=\['users'\]"):
        result["userz"]
    assert ("userz" in result, result.get("userz")) == (False, None)
    assert result["people"] == result["users"]
