"""The benchmarks work, and both sides of a comparison load the same rows. No time is asserted."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from tests.benchmarks import datasets, measure
from tests.benchmarks.__main__ import ratio, short_table, table
from tests.benchmarks.documents import CASES, prepare
from tests.benchmarks.floor import PAGE_SIZE
from tests.benchmarks.measure import ROOT, Cost, run, serving, typical
from tests.benchmarks.parts import Loaded, dagster_run, engine, floor, loaded, script, sizes
from tests.benchmarks.pyairbyte import manifest
from tests.benchmarks.server import page

RECORDS = 1_000


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What each way to load the same records has left behind."""
    ways = {"floor": floor, "engine": engine, "dagster_run": dagster_run, "script": script}
    folders = {name: tmp_path_factory.mktemp(name) for name in ways}
    with serving(RECORDS) as url:
        for name, way in ways.items():
            cost = way(url, folders[name])
            assert 0 < (cost.cpu_seconds_after_imports or 0) < cost.cpu_seconds
    return folders


@pytest.mark.parametrize(
    ("name", "database"),
    [("engine", "engine.duckdb"), ("dagster_run", "engine.duckdb"), ("script", "script.duckdb")],
)
def test_both_sides_load_the_same_rows(folders: dict[str, Path], name: str, database: str) -> None:
    expected = loaded(folders["floor"] / "floor.duckdb")
    assert expected.rows == RECORDS
    assert loaded(folders[name] / database) == expected


def test_the_engine_lands_every_partition(folders: dict[str, Path]) -> None:
    with duckdb.connect(str(folders["engine"] / "engine.duckdb"), read_only=True) as connection:
        assert connection.execute("SELECT count(*), sum(rows) FROM _state").fetchall() == [(90, RECORDS)]


def test_another_value_gives_another_checksum(folders: dict[str, Path], tmp_path: Path) -> None:
    changed = tmp_path / "changed.duckdb"
    changed.write_bytes((folders["floor"] / "floor.duckdb").read_bytes())
    with duckdb.connect(str(changed)) as connection:
        connection.execute("UPDATE aha.features SET score = score + 1 WHERE position = 7")
    before, after = loaded(folders["floor"] / "floor.duckdb"), loaded(changed)
    assert after == Loaded(RECORDS, after.checksum)
    assert after.checksum != before.checksum


def test_a_record_is_about_one_kilobyte() -> None:
    assert 900 < len(page(2, 200, RECORDS)) / 200 < 1_300


def test_the_floor_imports_neither_dagster_nor_the_engine() -> None:
    code = "import sys, tests.benchmarks.floor; print(*{name.split('.')[0] for name in sys.modules})"
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert {"duckdb", "msgspec", "requests"} <= set(said.stdout.split())
    assert not {"dagster", "connector_resources", "orchestration", "pandas"} & set(said.stdout.split())


def test_every_way_makes_a_document_of_each_record(tmp_path: Path) -> None:
    prepare(20, tmp_path)
    assert {name: way(20, tmp_path) for name, way in CASES.items()} == dict.fromkeys(CASES, 20)


def test_landing_imports_no_pandas(tmp_path: Path) -> None:
    code = "import sys, runpy; runpy.run_module('tests.benchmarks.engine', run_name='__main__'); print(*sys.modules)"
    with serving(10) as url:
        said = subprocess.run(
            [sys.executable, "-c", code, url, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=True
        )
    assert "duckdb" in said.stdout.split()
    assert not {"pandas", "numpy"} & set(said.stdout.split())


def test_the_import_costs_a_fraction_of_dagsters() -> None:
    def cpu_seconds(code: str) -> float:
        return min(run(["-c", code]).cpu_seconds for _ in range(3))

    assert cpu_seconds("import connector_resources") < cpu_seconds("import dagster") / 4


def test_a_script_that_reads_and_walks_through_records_imports_no_pandas(tmp_path: Path) -> None:
    code = (
        "import sys, connector_resources as ab; source = ab.get_source('source-faker', config={'count': 10}); "
        "result = source.read(ab.DuckDBCache('cache.duckdb'), streams='users'); print(len(list(result['users']))); "
        "print(*{name.split('.')[0] for name in sys.modules})"
    )
    said = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "DATA_FOLDER": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    count, modules = said.stdout.splitlines()
    assert count == "10"
    assert "duckdb" in modules.split()
    assert not {"pandas", "pyarrow", "matplotlib", "sqlalchemy"} & set(modules.split())


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tables that frames are made of."""
    folder = tmp_path_factory.mktemp("datasets")
    datasets.prepare(100_000, folder)
    return folder


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # DuckDB's, of what it asks pandas for
def test_a_frame_of_a_hundred_thousand_rows_costs_little_more_than_duckdbs_own(rows: Path) -> None:
    def cpu_seconds(way: Callable[[Path, str], pd.DataFrame]) -> float:
        before = time.process_time()
        way(rows, "plain")
        return time.process_time() - before

    pd.testing.assert_frame_equal(datasets.to_pandas(rows, "plain"), datasets.df(rows, "plain"))
    ours, theirs = zip(*((cpu_seconds(datasets.to_pandas), cpu_seconds(datasets.df)) for _ in range(7)), strict=True)
    assert min(ours) < 1.4 * min(theirs)


@pytest.mark.filterwarnings("ignore:The inplace keyword")
def test_a_frame_with_json_is_what_a_person_would_make_of_duckdbs_own(rows: Path) -> None:
    pd.testing.assert_frame_equal(datasets.to_pandas(rows, "with_json"), datasets.parsed(rows, "with_json"))


@pytest.mark.extras
@pytest.mark.parametrize("name", datasets.STREAMED)
def test_every_way_to_arrow_has_every_row(rows: Path, name: str) -> None:
    assert datasets.main(name, rows) == 100_000


def test_pyairbyte_is_told_to_ask_for_the_same_pages_as_the_others() -> None:
    retriever = manifest("http://127.0.0.1:1", {})["streams"][0]["retriever"]
    assert retriever["requester"]["request_parameters"] == {"fields": "*"}
    assert retriever["paginator"]["pagination_strategy"]["page_size"] == PAGE_SIZE


def test_what_is_installed_is_counted_by_package_with_what_is_compiled_apart() -> None:
    found = sizes(Path(sys.prefix))
    assert found["duckdb"].files > 30_000_000
    assert found["duckdb"].compiled < found["duckdb"].files
    assert not {"pip", "setuptools"} & found.keys()
    assert [size.files for size in found.values()] == sorted((size.files for size in found.values()), reverse=True)


def test_a_command_that_fails_is_told_with_its_messages() -> None:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        run(["-c", "raise SystemExit('no server')"])
    assert caught.value.stderr.strip() == "no server"


def test_a_run_is_measured_with_all_it_took() -> None:
    cost = run(["-c", "data = b'x' * 300_000_000; sum(range(3_000_000))"])
    assert cost.peak_bytes > 300_000_000
    assert cost.cpu_seconds > 0.01


def test_another_python_sees_nothing_that_a_caller_has_put_before_our_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "_PATH", "/of/the/caller")
    shown = ["-c", "import os, sys; sys.exit(os.environ['PYTHONPATH'])"]
    for python, seen in ((None, "/of/the/caller"), (Path(sys.executable), str(ROOT))):
        with pytest.raises(subprocess.CalledProcessError) as caught:
            run(shown, python=python)
        assert caught.value.stderr.strip() == seen


def test_medians_are_taken_of_each_figure() -> None:
    assert typical([Cost(1, 30, 5, 0.5), Cost(2, 10, 7, 0.7), Cost(9, 20, 6, 0.6)]) == Cost(2, 20, 6, 0.6)
    assert typical([Cost(1, 2, 3)]) == Cost(1, 2, 3)


def test_figures_are_printed_with_what_was_divided_by_what() -> None:
    assert ratio("engine / floor", 3.0, 1.5) == "engine / floor: 3.00 s / 1.50 s = 2.00"
    assert table({"floor": Cost(1.5, 2.0, 300_000_000, 1.25), "nothing": Cost(0.01, 0.02, 9_000_000)}) == (
        "| | CPU s | of it after imports | wall s | peak MB |\n|---|---:|---:|---:|---:|\n"
        "| floor | 1.50 | 1.25 | 2.00 | 300 |\n| nothing | 0.01 |  | 0.02 | 9 |"
    )
    assert short_table({"nothing": Cost(0.01, 0.02, 9_000_000)}) == (
        "| | CPU s | wall s |\n|---|---:|---:|\n| nothing | 0.01 | 0.02 |"
    )
