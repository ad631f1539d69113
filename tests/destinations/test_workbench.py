"""The in-memory databases in which all work on a file is done, and the one of them that is kept."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from connector_resources import DuckDBCache
from connector_resources.datasets import SQLDataset
from connector_resources.destinations import duckdb_workbench
from connector_resources.destinations.duckdb_workbench import workbench
from tests.api.things import cache_in, land, user
from tests.landing import child, said


@pytest.fixture(autouse=True)
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[duckdb.DuckDBPyConnection]]:
    """The databases that were made, none of which was kept before."""
    found: list[duckdb.DuckDBPyConnection] = []
    connect = duckdb.connect

    def noting(*arguments: Any, **options: Any) -> duckdb.DuckDBPyConnection:
        found.append(connect(*arguments, **options))
        return found[-1]

    monkeypatch.setattr(duckdb, "connect", noting)
    duckdb_workbench._KEPT.clear()
    yield found
    duckdb_workbench._KEPT.clear()


def used(folder: Path, statement: str = "SELECT 1", *, limit: str = "100MB", is_kept: bool = True) -> list[Any]:
    with workbench(folder, limit, is_kept=is_kept) as connection:
        return connection.execute(statement).fetchall()


def is_open(database: duckdb.DuckDBPyConnection) -> bool:
    try:
        database.execute("SELECT 1")
    except duckdb.ConnectionException:
        return False
    return True


def test_who_comes_next_gets_the_same_database_and_finds_nothing_in_it(
    tmp_path: Path, made: list[duckdb.DuckDBPyConnection]
) -> None:
    with workbench(tmp_path, "100MB", is_kept=True) as connection:
        for statement in (
            "CREATE TEMP TABLE batch AS SELECT 1",
            "SET memory_limit = '300MB'",
            "SET TimeZone = 'Europe/Berlin'",
            "SET enable_progress_bar = true",
            f"ATTACH '{tmp_path / 'some.duckdb'}' AS store",
            "USE store",
            "CREATE TABLE things AS SELECT 1",
            "USE memory",
            "DETACH store",
        ):
            connection.execute(statement)
    settings = ("memory_limit", "TimeZone", "enable_progress_bar", "python_enable_replacements", "threads")
    shown = f"SELECT {', '.join(f'current_setting({name!r})' for name in settings)}"
    assert used(tmp_path, shown, limit="50MB") == [("47.6 MiB", "UTC", False, False, 1)]
    assert used(tmp_path, "SELECT database_name, table_name FROM duckdb_tables()") == []
    assert used(tmp_path, "SELECT database_name FROM duckdb_databases() WHERE NOT internal") == [("memory",)]
    assert len(made) == 1


def test_after_some_uses_it_is_closed_for_each_leaves_something_in_its_memory(
    tmp_path: Path, made: list[duckdb.DuckDBPyConnection], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duckdb_workbench, "_USES", 3)
    for _ in range(5):
        used(tmp_path)
    assert [is_open(database) for database in made] == [False, True]


def test_two_who_work_at_once_have_two(tmp_path: Path, made: list[duckdb.DuckDBPyConnection]) -> None:
    with (
        workbench(tmp_path, "100MB", is_kept=True) as one,
        workbench(tmp_path, "100MB", is_kept=True) as other,
    ):
        one.execute("ATTACH ':memory:' AS store")
        other.execute("ATTACH ':memory:' AS store")
        one.execute("DETACH store")
        other.execute("DETACH store")
    assert len(made) == 2
    used(tmp_path)
    assert [is_open(database) for database in made].count(True) == 1


def test_after_an_error_it_is_closed(tmp_path: Path, made: list[duckdb.DuckDBPyConnection]) -> None:
    for statement in ("FROM nowhere", "SELECT error('wrong')"):
        with pytest.raises(duckdb.Error):
            used(tmp_path, statement)
    used(tmp_path)
    assert [is_open(database) for database in made] == [False, False, True]


def test_with_a_file_that_could_not_be_let_go_it_is_closed(
    tmp_path: Path, made: list[duckdb.DuckDBPyConnection]
) -> None:
    used(tmp_path, f"ATTACH '{tmp_path / 'some.duckdb'}' AS store")
    assert not is_open(made[0])
    used(tmp_path, f"ATTACH '{tmp_path / 'some.duckdb'}' AS store")  # which one process may have open once


def test_a_database_that_does_not_answer_any_more_makes_no_error_of_what_was_done_in_it(
    tmp_path: Path, made: list[duckdb.DuckDBPyConnection]
) -> None:
    with workbench(tmp_path, "100MB", is_kept=True) as connection:
        rows = connection.execute("SELECT 1").fetchall()
        made[0].close()
    assert (rows, len(duckdb_workbench._KEPT)) == ([(1,)], 0)


def test_what_went_to_disk_is_gone_with_it(tmp_path: Path, made: list[duckdb.DuckDBPyConnection]) -> None:
    used(
        tmp_path,
        "CREATE TEMP TABLE wide AS SELECT repeat('x', 1_000) || i AS x FROM range(50_000) AS r(i)",
        limit="20MB",
    )
    assert (is_open(made[0]), list(tmp_path.iterdir())) == (False, [])


def test_another_process_or_folder_gets_its_own(
    tmp_path: Path, made: list[duckdb.DuckDBPyConnection], monkeypatch: pytest.MonkeyPatch
) -> None:
    used(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(os, "getpid", lambda: -1)
        used(tmp_path)
        used(tmp_path)
    assert [is_open(database) for database in made] == [False, True]
    used(tmp_path)
    used(tmp_path / "other")
    assert [is_open(database) for database in made] == [False, False, False, True]


def test_statements_of_others_are_run_where_nobody_else_comes(
    tmp_path: Path, made: list[duckdb.DuckDBPyConnection]
) -> None:
    with DuckDBCache(tmp_path / "own.duckdb") as cache:
        cache.execute_sql("CREATE TABLE things AS SELECT 1 AS id")
        used(cache.store.temporary_folder)
        before = len(made)
        cache.execute_sql(["SET GLOBAL TimeZone = 'Europe/Berlin'", "CREATE TABLE memory.main.left_behind AS SELECT 1"])
        assert cache.run_sql_query("SELECT id FROM things") == [{"id": 1}]
        assert [is_open(database) for database in made[before:]] == [False] * len(made[before:])
        assert len(made) > before
        assert used(cache.store.temporary_folder, "FROM duckdb_tables()") == []


@pytest.mark.parametrize("use", [len, list, SQLDataset.to_pandas])
def test_what_has_a_query_in_its_filter_is_used_by_nobody_else(
    tmp_path: Path, made: list[duckdb.DuckDBPyConnection], use: Callable[[SQLDataset], object]
) -> None:
    with cache_in(tmp_path) as cache:
        land(cache, user(1), user(2))
        used(cache.store.temporary_folder)
        made.clear()
        use(cache["users"].with_filter("id > 1"))
        assert made == []
        use(cache["users"].with_filter("id IN (SELECT max(id) FROM crm.users)"))
        assert {is_open(database) for database in made} == {False}
        made.clear()
        used(cache.store.temporary_folder)  # what was kept before is still kept
        assert made == []


FORKED = """
import os, sys
from pathlib import Path
from connector_resources.destinations import duckdb_workbench as module

def use():
    with module.workbench(Path(sys.argv[1]), "100MB", is_kept=True) as connection:
        connection.execute("SELECT 1")

use()
before = len(module._KEPT)
if (child := os.fork()) == 0:
    found = len(module._KEPT)
    use()
    sys.exit(40 + found)
ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
use()
print(before, ended)
"""


def test_a_forked_process_has_nothing_that_its_parent_kept(tmp_path: Path) -> None:
    # To close it there, or only to end, is the death of the process in DuckDB 2.
    assert said(child(FORKED, tmp_path)) == "1 40"
