"""Whose a table is: which account's rows are in it, from the sandbox or from a vendor, and how a read adds to them.

The assets' tables need no claim: where they are says all of it (`data/live.duckdb`, schema `aha_emea`). The Python API
lets anybody read anything into any file, and what must not mix there is held by a claim per table.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from dataclasses import replace as replace_fields
from pathlib import Path
from typing import Literal

import duckdb

from connector_resources.destinations.duckdb import DuckDB
from connector_resources.destinations.duckdb_tables import (
    columns_of,
    is_table,
    is_there,
    landed_keys,
    literal,
    quoted,
    require_ours,
    transaction,
)
from connector_resources.errors import TableTaken
from connector_resources.streams import SNAPSHOT

Layout = Literal["days", "snapshot", "reads"]
"""What a partition of a table is: a day (UTC), all there is, or what one read has brought and every read adds to."""

BY = " by "
"""What stands between a stream and its key, where that is not the declared one."""

_COLUMNS = ("schema", "name", "mode", "source", "stream", "account", "layout")


@dataclass(frozen=True, slots=True)
class Claim:
    """What a table holds: `stream` of an `account` of `source`, read in `mode`, in partitions of a `layout`."""

    mode: Literal["sandbox", "live"]
    source: str
    stream: str
    account: str
    layout: Layout
    schema: str = field(default="", compare=False)
    """The schema that the account's tables have by themselves, which is where its assets land."""

    @property
    def whose(self) -> tuple[str, str, str, str]:
        """What it holds, however that is written."""
        return self.mode, self.source, self.stream, self.account

    def __str__(self) -> str:
        where = "the sandbox's" if self.mode == "sandbox" else f"of the account {self.account}"
        return f"{self.source}.{self.stream}, {where}"


def claims(store: DuckDB) -> Mapping[tuple[str, str], Claim]:
    """Return whose each claimed table is, by schema and name; none for a database that is not there yet."""
    if not store.path.exists():
        return {}
    with store.refusals_named(f"{store.path}, _claims"), store.attached(read_only=True) as connection:
        return _claimed(connection) if columns_of(connection, "main", "_claims") else {}


def claim(store: DuckDB, schema: str, name: str, wanted: Claim, *, replace: bool = False) -> bool:
    """Claim a table, in one transaction under the exclusive lock; two that claim it at once cannot both get it.

    With `replace` everything in the table is to be replaced, so another account or layout may take it over; rows of
    the sandbox and real ones stay apart all the same. Returns whether it has to be taken over: it is the other's until
    `held` is called in the commit that replaces its rows. Raises TableTaken.
    """
    with store.refusals_named(f"{schema}.{name}"), store.attached(read_only=False) as connection:
        require_ours(connection, store.path, schema, name)
        there = _claimed(connection) if columns_of(connection, "main", "_claims") else {}
        found = _require_free(connection, store.path, there, schema, name, wanted, replace=replace)
        is_others = found not in (None, wanted)
        if not is_others and there.get((schema, name)) != wanted:
            with transaction(connection):
                _write(connection, schema, name, wanted)
        return is_others


def held(
    path: Path, schema: str, name: str, wanted: Claim, replace: bool, connection: duckdb.DuckDBPyConnection
) -> None:
    """Hold a claim in the transaction that commits rows: what it was when the reading was begun may be another's now.

    With `replace`, the commit replaces all rows there are, and the table is taken over; what an other account has left
    in it and beside it goes. Raises TableTaken.
    """
    _make(connection)
    there = _claimed(connection)
    found = _require_free(connection, path, there, schema, name, wanted, replace=replace)
    if found is not None and found.whose != wanted.whose:
        for table in (name, f"{name}_deleted", f"{name}_quarantine"):
            if is_there(connection, schema, table):
                connection.execute(f"DELETE FROM store.{quoted(schema)}.{quoted(table)}")
    if there.get((schema, name)) != wanted:
        _write(connection, schema, name, wanted)


def _require_free(
    connection: duckdb.DuckDBPyConnection,
    path: Path,
    there: Mapping[tuple[str, str], Claim],
    schema: str,
    name: str,
    wanted: Claim,
    *,
    replace: bool,
) -> Claim | None:
    """Return what a table holds, None for nothing, where `wanted` may have it. Raises TableTaken."""
    found = there.get((schema, name)) or _unclaimed(connection, schema, name, wanted)
    if (other := next((each for each in there.values() if each.mode != wanted.mode), None)) is not None:
        raise TableTaken(
            f"{path} holds {other.mode} rows ({other.source}.{other.stream}), and this would add "
            f"{wanted.mode} ones. They never share a database; give each a file of its own."
        )
    if found is not None and found != wanted and not replace:
        raise TableTaken(_why_not(path, f"{schema}.{name}", found, wanted))
    return found


def _claimed(connection: duckdb.DuckDBPyConnection) -> Mapping[tuple[str, str], Claim]:
    rows = connection.execute(f"SELECT {', '.join(_COLUMNS)} FROM store._claims").fetchall()
    return {(schema, name): Claim(*said) for schema, name, *said in rows}


def _make(connection: duckdb.DuckDBPyConnection) -> None:
    columns = ", ".join(f"{quoted(column)} VARCHAR" for column in _COLUMNS)
    connection.execute(f"CREATE TABLE IF NOT EXISTS store._claims ({columns})")


def _write(connection: duckdb.DuckDBPyConnection, schema: str, name: str, wanted: Claim) -> None:
    values = (schema, name, wanted.mode, wanted.source, wanted.stream, wanted.account, wanted.layout)
    _make(connection)
    connection.execute(f"DELETE FROM store._claims WHERE {is_table(schema, name)}")
    connection.execute(f"INSERT INTO store._claims VALUES ({', '.join(map(literal, values))})")


def _unclaimed(connection: duckdb.DuckDBPyConnection, schema: str, name: str, wanted: Claim) -> Claim | None:
    """Return what a table that nobody has claimed, one of the assets, holds.

    Its rows are taken for the account's whose name the schema has; in any other schema they are another's.
    """
    partitions = landed_keys(connection, schema, name)
    if not partitions:
        return None
    if partitions == {SNAPSHOT}:
        layout: Layout = "snapshot"
    else:
        layout = "days" if all(len(key) == len("2026-01-31") for key in partitions - {SNAPSHOT}) else "reads"
    if schema != wanted.schema:
        return replace_fields(wanted, source=schema, account=schema, layout=layout)
    return replace_fields(wanted, stream=wanted.stream.partition(BY)[0], layout=layout)


def _why_not(path: Path, table: str, found: Claim, wanted: Claim) -> str:
    if found.whose != wanted.whose:
        return (
            f"{table} in {path} holds {found}, and this is {wanted}. Their rows would mix: give one of them "
            "another cache, or another schema_name or table_prefix; write_strategy='replace' throws away what is there."
        )
    ways = {"days": "day by day", "snapshot": "as a snapshot", "reads": "with write_strategy='append'"}
    return (
        f"{table} in {path} was written {ways[found.layout]} so far, and now {ways[wanted.layout]}; its rows "
        "would be there twice. Go on as before, take another cache, or write_strategy='replace' to begin anew."
    )
