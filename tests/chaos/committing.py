"""Two versions of the same partitions, who commits them, and what must be true of a database whatever has happened.

The window is two days. A third, older day holds a version of every record, so that each commit changes which rows of
the older day are current: `A` and `B` hold different records, and both leave some of the older day's alone. One record
of each version is quarantined. Light to import, for processes that die young.
"""

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb

from connector_resources.destinations.duckdb import DuckDB, Landed
from connector_resources.spool import open_spool
from connector_resources.streams import Slice, Stream, Window
from tests.landing import child, daily, days, key, page, said, window

NUMBERS = daily("numbers", n="integer", version="string", text="string")
OLD_DAY, TWO_DAYS = window("2026-03-01"), window("2026-03-02", "2026-03-04")
VERSIONS = ("A", "B")
SEED = 20260301
FEW = 400
"""Rows of a version where the number of commits counts, not their length."""
ROWS = 16_000
"""Of each version: the transaction and the checkpoint take a tenth of a second together."""


def store_in(folder: Path, **settings: Any) -> DuckDB:
    return DuckDB(folder / "store.duckdb", folder / "temporary", **{"lock_timeout_seconds": 60, **settings})


def record(number: int, version: str, day: int) -> dict[str, Any]:
    return {
        "id": f"{number}",
        "at": f"2026-03-{day:02}T10:00:00Z",
        "n": number,
        "version": version,
        "text": f"{version}{number * 7919}" * 4,
    }


def records(version: str, rows: int) -> list[dict[str, Any]]:
    if version == "old":
        return [record(number, version, 1) for number in range(rows)]
    left_out = VERSIONS.index(version)
    numbers = (number for number in range(rows) if number % 4 != left_out)
    fitting = [record(number, version, 2 + number % 2) for number in numbers]
    return [*fitting, {**record(rows, version, 2), "n": f"bad {version}"}]


def spool_versions(spools: Path, rows: int = ROWS) -> None:
    """Put the extractions of all versions on disk, for processes to land one after the other."""
    for version in ("old", *VERSIONS):
        spool = open_spool(spools, spool_key(version))
        all_records = records(version, rows)
        with spool.writing() as writer:
            for start in range(0, len(all_records), 1000):
                writer.append(page(*all_records[start : start + 1000], token="more"))
            writer.append(page())
            writer.finish()
        spool.close()


def spool_key(version: str) -> Any:
    return key(NUMBERS, Slice(OLD_DAY if version == "old" else TWO_DAYS), account=version)


def land_version(folder: Path, version: str, run_id: str, spools: Path | None = None, **settings: Any) -> Landed:
    """Land a version whose extraction lies below `spools`; one process at a time can, for it holds the spool."""
    spool = open_spool(spools or folder / "spools", spool_key(version))
    assert spool.is_complete
    spool.started_at = 0.0  # as if all had been read at once: none is too old to be landed over another
    try:
        its = OLD_DAY if version == "old" else TWO_DAYS
        return store_in(folder, **settings).land(
            "source", NUMBERS, spool, partitions=days(its), window=its, run_id=run_id
        )
    finally:
        spool.close()


def twenty_batches(process: int) -> list[tuple[Stream, Window, list[dict[str, Any]]]]:
    """What one of many processes commits: to two tables in turn, to a day of its own and now and then to one of all."""
    batches = []
    for number in range(20):
        day = 30 if number % 10 < 2 else 1 + process
        stream = daily(("even", "odd")[number % 2], n="integer")
        first = 10_000 * process + 10 * number
        rows = [{"id": f"{n}", "at": f"2026-03-{day:02}T10:00:00Z", "n": n} for n in range(first, first + 5)]
        batches.append((stream, window(f"2026-03-{day:02}"), rows))
    return batches


# -- what is stored ---------------------------------------------------------------------------------------------------

_AGREE = {
    # What is wrong, and a query that counts how often.
    "rows of more or less than the state says": """
        SELECT count(*) FROM (SELECT partition, rows FROM _state WHERE name = '{name}') AS state
        FULL JOIN (SELECT _partition AS partition, count(*) AS rows FROM source.{name} GROUP BY ALL) AS stored
        USING (partition) WHERE coalesce(state.rows, -1) <> coalesce(stored.rows, 0)""",
    "rows of another run than the state says": """
        SELECT count(*) FROM source.{name} AS stored LEFT JOIN _state AS state
        ON state.name = '{name}' AND state.partition = _partition AND state.run_id = stored._run_id
        WHERE state.run_id IS NULL""",
    "a data version that is not of the rows": """
        SELECT count(*) FROM _state AS state JOIN (
            SELECT _partition AS partition, printf('%016x', (sum(hash({columns}, _extra)::HUGEINT)
            % 18446744073709551616)::UBIGINT) AS version, min("at") AS first, max("at") AS last
            FROM source.{name} GROUP BY ALL) AS stored USING (partition) WHERE state.name = '{name}'
        AND (state.data_version, first_cursor, last_cursor) IS DISTINCT FROM (version, first, last)""",
    "flags of rows that are not current, or current and not flagged": """
        SELECT count(*) FROM source.{name} AS this WHERE _is_current = EXISTS (FROM source.{name} AS other
        WHERE other.id = this.id AND (other."at", other._partition) > (this."at", this._partition))""",
    "a view of current rows that are not those": """
        SELECT abs((SELECT count(*) FROM source.{name}_current) - (SELECT count(DISTINCT id) FROM source.{name}))""",
}


def disagreements(connection: Any, name: str, columns: Sequence[str]) -> list[str]:
    """What does not agree in a database, each recomputed from the rows; nothing must ever come back."""
    names = ", ".join(f'"{column}"' for column in columns)
    return [
        what
        for what, query in _AGREE.items()
        if connection.execute(query.format(name=name, columns=names)).fetchone() != (0,)
    ]


CONTENT = """
    SELECT 'rows', _partition, count(*),
        md5(string_agg(md5(row({columns}, _extra, _is_current)::VARCHAR), '' ORDER BY id))
    FROM source.numbers GROUP BY ALL
    UNION ALL SELECT 'current', '', count(*), md5(string_agg(md5(row({columns})::VARCHAR), '' ORDER BY id))
    FROM source.numbers_current
    UNION ALL SELECT 'quarantine', _partition, count(*), string_agg(record || reason, '' ORDER BY record)
    FROM source.numbers_quarantine GROUP BY ALL
    UNION ALL SELECT 'state', partition, rows, data_version FROM _state WHERE name = 'numbers'
    ORDER BY ALL
""".format(columns='id, "at", n, version, text')
"""Everything that was landed, cell by cell, but for when and by which run."""

Found = tuple[list[tuple[Any, ...]], list[str], list[str]]
"""What a reader finds: the content, the runs it is from, and what does not agree."""


def content(connection: Any) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = connection.execute(CONTENT).fetchall()
    return found


def run_ids(connection: Any) -> set[str]:
    """The runs that rows, quarantine and state of the two days come from: one, always."""
    query = """
        SELECT _run_id FROM source.numbers WHERE _partition <> '2026-03-01'
        UNION SELECT _run_id FROM source.numbers_quarantine
        UNION SELECT run_id FROM _state WHERE name = 'numbers' AND partition <> '2026-03-01'
    """
    return {run_id for (run_id,) in connection.execute(query).fetchall()}


def known_contents(folder: Path, rows: int = ROWS) -> dict[str, list[tuple[Any, ...]]]:
    """What is stored where a version has been landed and nothing has disturbed it."""
    known = {}
    spool_versions(folder / "spools", rows)
    for version in VERSIONS:
        undisturbed = folder / version
        land_version(undisturbed, "old", "run", folder / "spools")
        land_version(undisturbed, version, "run", folder / "spools")
        with reading(undisturbed) as connection:
            assert wrong_in(connection) == []
            known[version] = content(connection)
    return known


@contextlib.contextmanager
def reading(folder: Path) -> Iterator[Any]:
    """A connection that reads, under the lock that all our processes share."""
    with store_in(folder).locked(shared=True), duckdb.connect(str(folder / "store.duckdb"), read_only=True) as opened:
        opened.execute("SET TimeZone = 'UTC'")
        yield opened


def wrong_in(connection: Any) -> list[str]:
    return disagreements(connection, "numbers", [column.name for column in NUMBERS.columns])


READ = """
import json, sys
from pathlib import Path
from tests.chaos.committing import read
print(json.dumps(read(Path(sys.argv[1]))))
"""


def read(folder: Path) -> Found:
    """What this process finds."""
    with reading(folder) as connection:
        return content(connection), sorted(run_ids(connection)), wrong_in(connection)


def read_anew(folder: Path) -> Found:
    """What a process that starts now finds."""
    rows, runs, wrong = json.loads(said(child(READ, folder)))
    return [tuple(row) for row in rows], runs, wrong


# -- processes, one after the other -----------------------------------------------------------------------------------

FORKING = """
import json, os, sys, traceback
import tests.chaos.committing
code = compile(sys.argv[1], "forked", "exec")
for line in sys.stdin:
    process = os.fork()
    if not process:
        status = 1
        try:
            sys.argv[1:] = json.loads(line)
            exec(code, {"__name__": "__main__"})
            status = 0
        except BaseException:
            traceback.print_exc(file=sys.stdout)
        finally:
            sys.stdout.flush()
            os._exit(status)
    print("ended", os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)
"""


class Forks:
    """Runs the same code in one process after the other, each forked from one in which all is imported.

    An import takes as long as a commit. No connection of DuckDB is ever opened in the process that forks.
    """

    def __init__(self, code: str) -> None:
        self._parent = child(FORKING, code)

    def __enter__(self) -> "Forks":
        return self

    def __exit__(self, *error: object) -> None:
        self._parent.kill()
        self._parent.communicate()

    def start(self, *arguments: object) -> None:
        """Start the next process."""
        assert self._parent.stdin is not None
        self._parent.stdin.write(json.dumps([str(argument) for argument in arguments]) + "\n")
        self._parent.stdin.flush()

    def line(self) -> str:
        """Return the next line that the process prints."""
        assert self._parent.stdout is not None
        return self._parent.stdout.readline().rstrip("\n")

    def ended(self) -> tuple[int, str]:
        """Return the exit code of the process once it has ended, and what it has printed since."""
        printed: list[str] = []
        while not (line := self.line()).startswith("ended "):
            assert self._parent.poll() is None, printed
            printed.append(line)
        return int(line.removeprefix("ended ")), "\n".join(printed)


# -- the statements of a commit ---------------------------------------------------------------------------------------


class _Watched:
    """A connection of DuckDB that tells of each statement from ATTACH to DETACH before it runs, and after."""

    def __init__(self, connection: Any, before: Callable[[int, str], None], after: Callable[[int, str], None]) -> None:
        self._connection, self._before, self._after = connection, before, after
        self._number: int | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def cursor(self) -> "_Watched":
        return _Watched(self._connection.cursor(), self._before, self._after)

    def execute(self, statement: str, *parameters: Any) -> Any:
        if statement.startswith("ATTACH"):
            self._number = 0
        if self._number is None:
            return self._connection.execute(statement, *parameters)
        number, self._number = self._number, self._number + 1
        self._before(number, statement)
        try:
            return self._connection.execute(statement, *parameters)
        finally:
            self._after(number, statement)


def nothing(number: int, statement: str) -> None:
    """Let a statement pass."""


def watched(
    connect: Callable[..., Any],
    before: Callable[[int, str], None] = nothing,
    after: Callable[[int, str], None] = nothing,
) -> Callable[..., Any]:
    """`duckdb.connect`, with connections that tell of the statements of a commit."""
    return lambda *arguments, **options: _Watched(connect(*arguments, **options), before, after)


def watch(before: Callable[[int, str], None] = nothing, after: Callable[[int, str], None] = nothing) -> None:
    """Watch all connections that this process makes from now on."""
    duckdb.connect = watched(duckdb.connect, before, after)


def seconds_of_statements(land: Callable[[], object]) -> list[float]:
    """How long each statement of a commit takes when nothing disturbs it."""
    started: list[float] = []
    ended: list[float] = []
    connect = duckdb.connect
    watch(lambda *_: started.append(time.perf_counter()), lambda *_: ended.append(time.perf_counter()))
    try:
        land()
    finally:
        duckdb.connect = connect
    return [end - start for start, end in zip(started, ended, strict=True)]
