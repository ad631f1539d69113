"""Looking for credentials in everything that runs write, in the forms they may have taken."""

import base64
import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus

import duckdb


def found(folder: Path, secrets: Iterable[str]) -> set[Path]:
    """Return the files below a folder in which any of the secrets is, in whatever form, relative to it."""
    wanted = {form for secret in secrets for form in forms(secret)}
    return {file.relative_to(folder) for file, content in written(folder) if any(form in content for form in wanted)}


def forms(secret: str) -> Iterator[bytes]:
    """Yield a secret as it is, quoted for a URL, in hexadecimal digits, and in base64 wherever it may begin in it."""
    raw = secret.encode()
    yield from (raw, quote(secret, safe="").encode(), quote_plus(secret).encode(), raw.hex().encode())
    for before in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            # The digits at both ends belong to the neighbours too.
            encoded = encode(b"\0" * before + raw)
            yield encoded[(0, 2, 3)[before] : len(encoded) - 4]


def written(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """Yield all files below a folder, and once more what databases hold: as values, and inflated where compressed."""
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            content = file.read_bytes()
            yield file, content
            if content.startswith(b"SQLite format 3"):
                yield file, b"\0".join(sqlite_values(file))
            elif file.suffix == ".duckdb":
                yield file, b"\0".join(duckdb_values(file))


def sqlite_values(database: Path) -> Iterator[bytes]:
    """Yield every value of an SQLite database."""
    with sqlite3.connect(database) as connection:
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for row in connection.execute(f'SELECT * FROM "{table}"'):
                for value in row:
                    if isinstance(value, bytes):
                        yield zlib.decompress(value) if value[:1] == b"\x78" else value
                    elif isinstance(value, str):
                        yield value.encode()
    connection.close()


def duckdb_values(database: Path) -> Iterator[bytes]:
    """Yield every row of every table of a DuckDB database."""
    with duckdb.connect(str(database), read_only=True) as connection:
        tables = connection.execute("SELECT table_schema, table_name FROM information_schema.tables").fetchall()
        for schema, table in tables:
            for row in connection.execute(f'SELECT * FROM "{schema}"."{table}"').fetchall():
                yield repr(row).encode()
