"""Private in-memory databases to work in, one of which is kept for whoever comes next.

To make one takes DuckDB 12 ms (20 in DuckDB 2), and a read of one stream asks for several. Whoever works in one has a
connection of his own, and takes his temporary tables and his settings along when he goes. So what is kept has nothing
in it, and nothing attached; it is used by one at a time, by the process that made it, and never after an error.
"""

import atexit
import contextlib
import os
import shutil
import time
import uuid
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path

import duckdb

from connector_resources.destinations.duckdb_tables import literal

CONNECTION_SETTINGS: Mapping[str, str] = {"TimeZone": "UTC"}
"""What every connection of ours to a database has in common; connections of one process must agree."""

_THREADS = 1
"""One loads as fast as two for half of the CPU, and each takes its buffers out of the memory limit."""

_USES = 100
"""How often one is used at most: each file that was attached to it leaves up to some kilobytes behind."""

_Kind = tuple[object, ...]
_Database = tuple[Path, duckdb.DuckDBPyConnection, int]
"""The folder a database goes to for more memory, the database, and how often it has been used."""

_STALE_AFTER_SECONDS = 24 * 3600.0
"""What a process that was killed has left in the folder is removed after this time."""

_KEPT: deque[tuple[_Kind, _Database]] = deque()
"""One at most, between two uses. No lock guards it, which a process that is forked meanwhile would never get."""

atexit.register(_KEPT.clear)  # DuckDB 2 complains of what is still open when Python ends
if hasattr(os, "register_at_fork"):  # which Windows has not
    os.register_at_fork(before=_KEPT.clear)  # a forked process that closes what its parent made dies of it in DuckDB 2


@contextlib.contextmanager
def workbench(folder: Path, memory_limit: str, *, is_kept: bool) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a connection to an empty in-memory database, which goes to a folder of its own in `folder` for more memory.

    Without `is_kept` nobody has the database afterwards: for SQL of others, which may set and make anything in it.
    Raises duckdb.Error for a memory limit that DuckDB does not take.
    """
    kind = (os.getpid(), duckdb.connect, str(folder))
    spill, database, uses = (_taken(kind) if is_kept else None) or _made(folder, memory_limit)
    try:
        connection = database.cursor()
        try:
            settings = {"memory_limit": memory_limit, **CONNECTION_SETTINGS}
            for name, value in settings.items():
                connection.execute(f"SET {name} = {literal(value)}")
            connection.execute("SET enable_progress_bar = false")  # else it is drawn on stdout in shells and notebooks
            yield connection
        finally:
            connection.close()
        is_kept = is_kept and uses + 1 < _USES and _is_empty(database) and not spill.exists()
    except BaseException:
        is_kept = False
        raise
    finally:
        if is_kept:
            _kept_instead(kind, (spill, database, uses + 1))
        else:
            database.close()


def _made(folder: Path, memory_limit: str) -> _Database:
    _remove_stale(folder)
    # Each its own, made only when memory runs out: in a common one, processes overwrite each other's files.
    spill = folder / f"spill-{uuid.uuid4().hex}"
    database = duckdb.connect(
        ":memory:",
        config={
            "memory_limit": memory_limit,
            "temp_directory": str(spill),
            "threads": _THREADS,
            "python_enable_replacements": False,  # a table that is missing is no Python variable of its name
        },
    )
    return spill, database, 0


def _remove_stale(folder: Path) -> None:
    for stale in folder.glob("spill-*"):
        with contextlib.suppress(FileNotFoundError):  # another process may have been quicker
            if time.time() - stale.stat().st_mtime > _STALE_AFTER_SECONDS:
                shutil.rmtree(stale, ignore_errors=True)


def _taken(kind: _Kind) -> _Database | None:
    """Return what is kept, where it is of this kind, and keep nothing any more."""
    try:
        its_kind, kept = _KEPT.popleft()
    except IndexError:
        return None
    if its_kind == kind:
        return kept
    kept[1].close()
    return None


def _kept_instead(kind: _Kind, database: _Database) -> None:
    _KEPT.append((kind, database))
    while len(_KEPT) > 1:
        _taken(())


def _is_empty(database: duckdb.DuckDBPyConnection) -> bool:
    """Whether no file is attached any more: to let go of one may have failed.

    One that cannot tell is not; what was done in it is done, and no error of that.
    """
    try:
        return len(database.execute("FROM duckdb_databases() SELECT 1 WHERE NOT internal").fetchall()) == 1
    except duckdb.Error:
        return False
