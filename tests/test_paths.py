"""Paths as people give them."""

import os
from pathlib import Path

import pytest

from connector_resources.exceptions import PyAirbyteInputError
from connector_resources.paths import local


@pytest.mark.parametrize("path", ["crm.duckdb", "/srv/crm.duckdb", "C:/crm.duckdb", "a:b", "https", "data/s3:/x", ""])
def test_a_path_is_taken_as_it_is(path: str) -> None:
    assert local(path, "db_path") == local(Path(path), "db_path") == Path(path)


def test_whatever_tells_its_path_is_one(tmp_path: Path) -> None:
    (tmp_path / "crm.duckdb").touch()
    with os.scandir(tmp_path) as entries:
        assert local(next(entries), "db_path") == tmp_path / "crm.duckdb"


def test_a_tilde_is_the_home_of_who_runs_this(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/srv/ann")
    assert local("~/crm.duckdb", "db_path") == Path("/srv/ann/crm.duckdb")
    assert local("data/~/crm.duckdb", "db_path") == Path("data/~/crm.duckdb")


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("s3://key:sesame@bucket/crm", "begins with s3:/ and is no path on this machine"),
        ("HTTPS://sesame@example.com/", "begins with HTTPS:/ and is no path on this machine"),
        ("file:///srv/sesame", "begins with file:/ and is no path on this machine"),
        (" s3://sesame", "begins with s3:/ and is no path on this machine"),
        ("s3:\\sesame", "begins with s3:\\ and is no path on this machine"),
        ("postgres:password=sesame", "begins with postgres: and is no path on this machine"),
        ("md:crm?motherduck_token=sesame", "begins with md: and is no path on this machine"),
        ("motherduck:sesame", "begins with motherduck: and is no path on this machine"),
        (":memory:sesame", "begins with :memory: and is no path on this machine"),
        ("~nobody-has-this-name-sesame/it", "begins with ~ and a name, and whose home that is is not known"),
        ("sesame\0", "has a NUL in it"),
        (5, "is of type int and no path"),
        (None, "is of type NoneType and no path"),
        (b"sesame", "is of type bytes and no path"),
    ],
)
def test_what_is_no_path_here_is_refused_by_its_name_and_not_shown(path: str, why: str) -> None:
    for given in (path, Path(path)) if isinstance(path, str) else (path,):
        with pytest.raises(PyAirbyteInputError) as caught:
            local(given, "db_path")
        assert str(caught.value).startswith(f"db_path {why}")
        assert "sesame" not in f"{caught.value!r} {caught.value.__dict__} {caught.value.__cause__}"
