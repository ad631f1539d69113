"""The names of streams in SQL: each alone is what `cache["<stream>"]` has, in queries and in what changes something."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
import sqlalchemy as sa

from connector_resources.caches import DuckDBCache
from connector_resources.exceptions import AirbyteStreamNotFoundError, PyAirbyteInputError
from connector_resources.sql_text import changed, keeps_its_text, mentioned, told_apart
from tests.api.things import cache_in, land, user
from tests.landing import daily, snapshot, window


@pytest.fixture(scope="module")
def landed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a database: users 1 and 2, of whom 3 is deleted; one goal; and a stream whose name needs quotes."""
    cache = cache_in(tmp_path_factory.mktemp("landed"))
    land(cache, user(1), user(2), user(3))
    land(cache, user(1), user(2))
    land(cache, {"id": 7}, stream=snapshot("goals", id="integer"), source="plans")
    land(cache, {"id": 8}, {"id": 9}, stream=snapshot("my goals", id="integer"), source="plans")
    return cache.store.path


@pytest.fixture
def cache(landed: Path, tmp_path: Path) -> DuckDBCache:
    shutil.copy(landed, tmp_path)
    return cache_in(tmp_path)


QUERIES = {
    "SELECT u.name FROM users u WHERE u.id = 1": "Person 1",
    "SELECT count(*) FROM users AS u": 2,
    'SELECT count(*) FROM "users" "us AS er"': 2,
    "SELECT count(*) FROM USERS U": 2,
    "SELECT u.id + g.id FROM users u JOIN goals g ON u.id = 2": 9,
    "SELECT count(*) FROM users TABLESAMPLE 100%": 2,
    "SELECT count(*) FROM users u TABLESAMPLE RESERVOIR (5 ROWS)": 2,
    "SELECT count(*) FROM users u(number), goals": 2,
    "SELECT count(*) FROM users a JOIN users b USING (id)": 2,
    "SELECT max(a.id + b.id) FROM users a, users b": 4,
    "SELECT (SELECT max(id) FROM users x) FROM goals g WHERE EXISTS (FROM users e)": 2,
    "WITH users AS (SELECT 5 AS id) SELECT id FROM users u": 5,
    "WITH users AS (SELECT * FROM users WHERE id = 2) SELECT u.id FROM users u": 2,
    'SELECT sum(m.id) FROM "my goals" m': 17,
    "FROM users u SELECT count(*)": 2,
    "SELECT a FROM (PIVOT (SELECT 'a' AS k FROM users u) ON k USING count(*))": 2,
    "SELECT count(*) FROM (PIVOT users ON active USING count(*))": 2,
    "SELECT count(*) FROM query_table('users')": 2,
    "SELECT 1; SELECT count(*) FROM users u -- '": 2,
    "SELECT users.id FROM goals users": 7,
    "SELECT goals FROM (SELECT 3 AS goals)": 3,
}


@pytest.mark.parametrize("query", QUERIES)
def test_the_name_of_a_stream_is_known_however_a_query_uses_it(cache: DuckDBCache, query: str) -> None:
    ((value,),) = (row.values() for row in cache.run_sql_query(query))
    assert value == QUERIES[query]


def test_the_name_of_a_stream_is_known_through_the_engine_with_an_alias_and_parameters(cache: DuckDBCache) -> None:
    engine = cache.get_sql_engine()
    assert pd.read_sql("SELECT u.id FROM users u JOIN goals g ON true ORDER BY 1", engine)["id"].tolist() == [1, 2]
    with engine.begin() as connection:
        found = connection.execute(sa.text("SELECT u.name FROM users u WHERE u.id = :id"), {"id": 2})
        assert found.scalar() == "Person 2"
        connection.execute(sa.text("CREATE TABLE mine AS SELECT u.id FROM users u"))
        connection.execute(sa.text("INSERT INTO mine SELECT id FROM goals g WHERE g.id > :id"), {"id": 1})
        assert connection.execute(sa.text("SELECT sum(m.id) FROM mine m, goals")).scalar() == 10
    with pytest.raises(PyAirbyteInputError, match="users alone stands for the rows of a stream"):
        pd.DataFrame({"n": [1]}).to_sql("users", engine, index=False, if_exists="append")


def test_a_statement_that_changes_something_knows_streams_as_a_query_does(cache: DuckDBCache) -> None:
    cache.execute_sql("CREATE TABLE main.mine AS SELECT u.id FROM users u; INSERT INTO mine SELECT id FROM goals")
    cache.execute_sql(["CREATE TABLE more AS FROM mine", "DELETE FROM more WHERE id IN (SELECT id FROM users u)"])
    assert cache.run_sql_query("SELECT id FROM mine ORDER BY id") == [{"id": 1}, {"id": 2}, {"id": 7}]
    assert cache.run_sql_query("CREATE TABLE last AS PIVOT users ON active USING count(*)") == []
    assert cache.run_sql_query('SELECT m.id, l."true" AS n FROM more m, last l WHERE l.id = 1') == [{"id": 7, "n": 1}]


def test_of_two_tables_the_one_that_is_missing_is_named(cache: DuckDBCache) -> None:
    for query in ("SELECT * FROM users u JOIN nope n ON true", "CREATE TABLE mine AS SELECT u.id FROM users u, nope"):
        with pytest.raises(PyAirbyteInputError, match=r"Table with name nope does not exist"):
            cache.run_sql_query(query)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM users",
        "TRUNCATE users",
        'UPDATE "Users" SET name = NULL',
        "INSERT OR REPLACE INTO users (id) VALUES (5)",
        "MERGE INTO users USING goals ON true WHEN MATCHED THEN DELETE",
        "/* mine */ DROP TABLE IF EXISTS users",
        "ALTER TABLE users ADD COLUMN mine INTEGER",
        "CREATE TABLE users (id INTEGER)",
        "CREATE OR REPLACE TABLE users AS SELECT 1 AS id",
        "CREATE VIEW users AS SELECT 1 AS id",
    ],
)
def test_a_stream_cannot_be_written_to_by_its_name_alone(cache: DuckDBCache, statement: str) -> None:
    before = cache.run_sql_query("FROM crm.users ORDER BY id")
    with pytest.raises(
        PyAirbyteInputError,
        match=r"users alone stands for the rows of a stream.*main\.users; the stream's own is crm\.users, .*"
        r"force_full_refresh",
    ):
        cache.execute_sql(["CREATE TABLE mine (n INTEGER)", statement])
    assert cache.run_sql_query("FROM crm.users ORDER BY id") == before
    assert cache.run_sql_query("SELECT table_name FROM duckdb_tables() WHERE schema_name = 'main'"
                               " AND table_name IN ('users', 'mine')") == []  # fmt: skip


@pytest.mark.parametrize(
    "statement", ["WITH x AS (SELECT 1) DELETE FROM users", "CREATE INDEX i ON users (id)", "COPY users FROM 'x.csv'"]
)
def test_what_changes_a_stream_in_another_way_is_refused_by_duckdb(cache: DuckDBCache, statement: str) -> None:
    with pytest.raises(PyAirbyteInputError, match=r"base table|not an table"):
        cache.execute_sql(statement)


def test_a_table_of_ones_own_by_the_name_of_a_stream_is_main(cache: DuckDBCache) -> None:
    """As is another program's: the name alone is the stream's, in every kind of statement."""
    cache.execute_sql("CREATE TABLE main.users AS SELECT id FROM users u WHERE id = 1")
    cache.execute_sql("CREATE OR REPLACE TABLE main.users AS SELECT m.id FROM main.users m UNION ALL SELECT 5")
    cache.execute_sql('INSERT INTO "main"."Users" SELECT id FROM users')
    assert cache.run_sql_query("SELECT list_sort(list(id)) AS ids FROM main.users") == [{"ids": [1, 1, 2, 5]}]
    both = "SELECT count(DISTINCT u.id) AS n, count(DISTINCT main.users.id) AS main FROM users u, main.users"
    assert cache.run_sql_query(both) == [{"n": 2, "main": 3}]
    assert pd.read_sql(both, cache.get_sql_engine()).to_dict("records") == [{"n": 2, "main": 3}]
    assert cache.run_sql_query("SELECT count(*) AS n FROM users") == [{"n": len(cache["users"])}] == [{"n": 2}]
    cache.execute_sql("DELETE FROM main.users WHERE id = 1")
    cache.execute_sql("ALTER TABLE main.users ADD COLUMN n INTEGER; DROP TABLE main.users")
    with pytest.raises(PyAirbyteInputError, match="Table with name users does not exist"):
        cache.run_sql_query("SELECT count(*) FROM main.users")


def test_a_stream_in_main_has_all_its_versions_there_and_alone_the_current_ones(tmp_path: Path) -> None:
    cache, stream = cache_in(tmp_path, schema_name="main"), daily("tickets", title="string")
    for day in ("2026-03-01", "2026-03-02"):
        land(cache, {"id": "1", "at": f"{day}T10:00:00Z", "title": day}, stream=stream, window=window(day))
    query = "SELECT (SELECT count(*) FROM main.tickets) AS versions, (SELECT count(*) FROM tickets t) AS current"
    assert cache.run_sql_query(query) == [{"versions": 2, "current": 1}]
    cache.execute_sql(f"CREATE TABLE counts AS {query}")
    assert cache.run_sql_query("FROM counts") == [{"versions": 2, "current": 1}]


def test_a_view_of_ones_own_names_tables_for_certain(cache: DuckDBCache) -> None:
    """Whoever opens the file with another program has no other names."""
    with pytest.raises(PyAirbyteInputError, match=r"kept as text, and users alone .*Write crm\.users_current\."):
        cache.execute_sql(["CREATE TABLE mine AS FROM users", "CREATE VIEW people AS SELECT u.id FROM users u"])
    cache.execute_sql("CREATE VIEW people AS SELECT id FROM crm.users_current")
    assert cache.run_sql_query("SELECT count(*) AS n FROM people") == [{"n": 2}]


def test_a_name_that_several_streams_have_is_refused_where_it_is_used_alone_and_nowhere_else(
    cache: DuckDBCache,
) -> None:
    land(cache, user(4), source="shop")
    cache.execute_sql("CREATE TABLE main.users AS SELECT 1 AS id")
    for query in ("SELECT u.id FROM users u", "CREATE TABLE mine AS FROM users", "SELECT nope FROM goals, users u"):
        with pytest.raises(AirbyteStreamNotFoundError, match=r"Several sources .* crm.users or shop.users"):
            cache.run_sql_query(query)
    assert cache.run_sql_query("SELECT users.id, 'users' AS users FROM shop.users") == [{"id": 4, "users": "users"}]
    assert cache.run_sql_query("SELECT id FROM main.users") == [{"id": 1}]


def test_a_stream_whose_table_was_dropped_is_missing_only_where_it_is_used(cache: DuckDBCache) -> None:
    cache.execute_sql("DROP VIEW plans.goals_current; DROP TABLE plans.goals")
    assert cache.run_sql_query("SELECT u.id AS goals FROM users u WHERE id = 1") == [{"goals": 1}]
    with pytest.raises(Exception, match=r"plans\.goals: nothing has been read"):
        cache.run_sql_query("SELECT * FROM goals g")


# The text alone


def test_a_name_is_found_as_a_word_or_in_quotes() -> None:
    names = ["users", "my goals", 'we"ird', "go", "größe"]
    assert mentioned('FROM "USERS" JOIN "my goals" ON users_id = 1 JOIN "We""ird"', names) == names[:3]
    assert mentioned("FROM GRÖSSE, ongoing, my goals -- go", names) == ["go", "größe"]
    assert mentioned("FROM Größe", names) == ["größe"]


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("FROM main.users", "FROM store.main.users"),
        ('FROM "Main" /* of */ . "users" u, MAIN.Users', 'FROM store."Main" /* of */ . "users" u, store.MAIN.Users'),
        ("FROM store.main.users, main.others, domain.users", None),
        ("SELECT 'main.users', $$main.users$$, $a$main.users$a$, e'\\'main.users' -- main.users", None),
        ("SELECT 'it''s main.users', 1 /* main.users\n*/ AS \"main.users\"", None),
        ("SELECT '''', 'ü', main.users", "SELECT '''', 'ü', store.main.users"),
    ],
)
def test_main_is_told_apart_from_a_temporary_place_of_that_name(sql: str, expected: str | None) -> None:
    assert told_apart(sql, ["Users"]) == (expected or sql)


@pytest.mark.parametrize(
    ("sql", "name"),
    [
        ("delete from Users u", "users"),
        ('INSERT OR IGNORE INTO "My ""goals""" VALUES (1)', 'my "goals"'),
        ("-- users\nCREATE TEMP TABLE IF NOT EXISTS t AS FROM users", "t"),
        ("DELETE FROM crm.users", None),
        ("CREATE UNIQUE INDEX i ON users (id)", "unique"),
        ("SELECT 1", None),
        ("WITH x AS (FROM y) DELETE FROM users", None),
        ("drop table", None),
        ("", None),
    ],
)
def test_what_a_statement_changes_is_named_where_it_stands_alone(sql: str, name: str | None) -> None:
    assert changed(sql) == name


def test_views_and_macros_are_kept_as_text() -> None:
    kept = ("CREATE OR REPLACE VIEW v AS FROM a", "create macro f() AS 1", "CREATE TEMP MACRO f() AS TABLE FROM b")
    others = ("CREATE TABLE view AS FROM a", "CREATE TABLE a AS FROM view", "DROP VIEW v", "SELECT 1", "")
    assert [sql for sql in (*kept, *others) if keeps_its_text(sql)] == list(kept)
