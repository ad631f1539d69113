"""Rows as files: exact in every format, and there whole or not at all."""

import csv
import json
import os
import time
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from connector_resources.destinations.duckdb_rows import Selection
from connector_resources.destinations.files import FORMATS, Format, Written, write
from connector_resources.errors import ConfigurationError, DestinationUnwritable, PartitionMissing
from tests.destinations.things import destination, land
from tests.landing import snapshot

ROWS = snapshot(
    "rows", id="integer", name="string", price="decimal", at="timestamp", day="date", active="boolean", tags="json"
)
NASTY = (
    "",
    "a,b",
    'say "hi"',
    "two\nlines",
    "carriage\rreturn",
    " blank ",
    "NULL",
    "null",
    "#",
    "'",
    "größe 🐞",
    "\\N",
)


def rows(folder: Path, *records: dict[str, Any]) -> Selection:
    store = destination(folder)
    land(store, *records, stream=ROWS, window=None)
    return Selection(store, "source", "rows")


def row(id: int, /, **fields: Any) -> dict[str, Any]:
    return {
        "id": id,
        "name": "a",
        "price": 1.5,
        "at": "2026-03-01T12:00:00.000001+02:00",
        "day": "2026-03-01",
        "active": True,
        "tags": ["x", {"y": None}],
        **fields,
    }


def test_a_csv_file_has_every_text_as_it_is_and_tells_null_from_empty(tmp_path: Path) -> None:
    selection = rows(tmp_path, *(row(number, name=text) for number, text in enumerate(NASTY)), row(99, name=None))
    path = tmp_path / "out" / "rows.csv"
    assert write(selection, path, "csv") == Written(path, len(NASTY) + 1, path.stat().st_size)
    with path.open(encoding="utf-8", newline="") as file:
        found = {int(each["id"]): each for each in csv.DictReader(file)}
    assert [found[number]["name"] for number in range(len(NASTY))] == list(NASTY)
    lines = path.read_bytes().split(b"\n")
    assert lines[0] == b"id,name,price,at,day,active,tags"
    assert lines[1].startswith(b'0,"",1.500000000,2026-03-01T10:00:00.000001Z,2026-03-01,true,')
    assert lines[-2].startswith(b"99,,1.5")
    assert lines[-1] == b""
    assert json.loads(found[0]["tags"]) == ["x", {"y": None}]


def test_a_csv_file_may_have_another_delimiter_but_not_any(tmp_path: Path) -> None:
    selection = rows(tmp_path, row(1, name="a;b"))
    path = tmp_path / "rows.csv"
    write(selection, path, "csv", delimiter=";")
    assert path.read_text().splitlines()[1].startswith('1;"a;b";')
    for wrong in ("", ";;", '"', "\n", "\r", "\0", "é", "😀"):
        with pytest.raises(ConfigurationError, match="a delimiter is one character"):
            write(selection, path, "csv", delimiter=wrong)


def test_a_file_of_json_lines_has_every_column_in_each_and_nested_data_as_it_is(tmp_path: Path) -> None:
    selection = rows(tmp_path, row(1, name="two\nlines"), {"id": 2, "more": 1})
    path = tmp_path / "rows.jsonl"
    write(selection, path, "jsonl")
    first, second = (json.loads(line, parse_float=Decimal) for line in path.read_text().splitlines())
    assert first == {
        **row(1, name="two\nlines", price=Decimal("1.5"), at="2026-03-01T10:00:00.000001Z"),
        "_extra": None,
    }
    assert second == {**dict.fromkeys(row(1)), "id": 2, "_extra": {"more": 1}}


def test_a_file_of_parquet_has_types(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    write(rows(tmp_path, row(1)), path, "parquet")
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        found = connection.execute(f"SELECT * FROM '{path}'").fetchall()
    at = datetime(2026, 3, 1, 10, 0, 0, 1, tzinfo=UTC)
    assert found == [(1, "a", Decimal("1.5"), at, date(2026, 3, 1), True, '["x",{"y":null}]')]


@pytest.mark.parametrize("form", FORMATS)
def test_a_stream_without_rows_is_a_file_without_rows(tmp_path: Path, form: Format) -> None:
    path = tmp_path / f"rows.{form}"
    written = write(rows(tmp_path, row(1)).where("false"), path, form)
    assert (written.rows, path.exists()) == (0, True)
    if form == "csv":
        assert path.read_text() == "id,name,price,at,day,active,tags\n"


@pytest.mark.parametrize("form", FORMATS)
def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(
    tmp_path: Path, form: Format, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out" / f"rows.{form}"
    selection = rows(tmp_path, row(1))
    write(selection, path, form)
    before = path.read_bytes()
    with pytest.raises(PartitionMissing):
        write(Selection(selection.store, "source", "others"), path, form)
    with pytest.raises(ConfigurationError, match="filter cannot be applied"):
        write(selection.where("error('in the middle of it')"), path, form)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DestinationUnwritable, match=r"rows.* cannot be written .*No space left.* is as it was"):
        write(selection.where("false"), path, form)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    selection = rows(tmp_path, row(1))
    (tmp_path / "file").write_text("")
    with pytest.raises(DestinationUnwritable, match=r"file.rows.csv cannot be written"):
        write(selection, tmp_path / "file" / "rows.csv", "csv")


def test_what_a_killed_writer_has_left_is_removed_after_a_day_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "out" / "rows[1].csv"
    path.parent.mkdir()
    now, old = time.time(), 25 * 60 * 60
    digits = "0123456789abcdef" * 2
    ages = {
        f".rows[1].csv.{digits}": old,
        f".rows[1].csv.{digits[::-1]}": old - 2 * 60 * 60,  # somebody may be writing it
        f".rows1.csv.{digits}": old,
        f"rows[1].csv.{digits}": old,
        ".rows[1].csv.backup": old,
    }
    for name, age in ages.items():
        (path.parent / name).write_text("")
        os.utime(path.parent / name, (now - age, now - age))
    (path.parent / f".rows[1].csv.{'0' * 32}").mkdir()  # of nobody here, and no file
    os.utime(path.parent / f".rows[1].csv.{'0' * 32}", (now - old, now - old))
    write(rows(tmp_path, row(1)), path, "csv")
    assert {each.name for each in path.parent.iterdir()} == {
        path.name,
        f".rows[1].csv.{'0' * 32}",
        *list(ages)[1:],
    }
