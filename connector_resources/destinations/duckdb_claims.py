"""Whose a table is: which account's rows are in it, from the sandbox or from a vendor, and how a read adds to them.

The assets' tables need no claim: where they are says all of it (`data/live.duckdb`, schema `aha_emea`). The Python API
lets anybody read anything into any file, and what must not mix there is held by a claim per table.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import replace as replace_fields
from typing import Literal

import duckdb

from connector_resources.destinations.duckdb import DuckDB
from connector_resources.destinations.duckdb_tables import (
    columns_of,
    is_table,
    landed_keys,
    literal,
    quoted,
    transaction,
)
from connector_resources.errors import TableTaken
from connector_resources.streams import SNAPSHOT

Layout = Literal["days", "snapshot", "reads"]
"""What a partition of a table is: a day (UTC), all there is, or what one read has brought and every read adds to."""

_COLUMNS = ("schema", "name", "mode", "source", "stream", "account", "layout")


@dataclass(frozen=True, slots=True)
class Claim:
    """What a table holds: `stream` of an `account` of `source`, read in `mode`, in partitions of a `layout`."""

    mode: Literal["sandbox", "live"]
    source: str
    stream: str
    account: str
    layout: Layout

    def __str__(self) -> str:
        where = "the sandbox's" if self.mode == "sandbox" else f"of the account {self.account}"
        return f"{self.source}.{self.stream}, {where}"


def claims(store: DuckDB) -> Mapping[tuple[str, str], Claim]:
    """Return whose each claimed table is, by schema and name; none for a database that is not there yet."""
    if not store.path.exists():
        return {}
    with store.attached(read_only=True) as connection:
        if not columns_of(connection, "main", "_claims"):
            return {}
        rows = connection.execute(f"SELECT {', '.join(_COLUMNS)} FROM store._claims").fetchall()
    return {(schema, name): Claim(*said) for schema, name, *said in rows}


def claim(store: DuckDB, schema: str, name: str, wanted: Claim, *, replace: bool = False) -> None:
    """Claim a table, in one transaction under the exclusive lock; two that claim it at once cannot both get it.

    With `replace` everything in the table is to be replaced, so another account or layout may take it over; rows of
    the sandbox and real ones stay apart all the same. Raises TableTaken.
    """
    with store.attached(read_only=False) as connection:
        held = {}
        if columns_of(connection, "main", "_claims"):
            rows = connection.execute(f"SELECT {', '.join(_COLUMNS)} FROM store._claims").fetchall()
            held = {(schema, name): Claim(*said) for schema, name, *said in rows}
        found = held.get((schema, name)) or _unclaimed(connection, schema, name, wanted)
        if held.get((schema, name)) == wanted:
            return
        if (other := next((each for each in held.values() if each.mode != wanted.mode), None)) is not None:
            raise TableTaken(
                f"{store.path} holds {other.mode} rows ({other.source}.{other.stream}), and this would add "
                f"{wanted.mode} ones. They never share a database; give each a file of its own."
            )
        if found not in (None, wanted) and not replace:
            assert found is not None
            raise TableTaken(_why_not(store, f"{schema}.{name}", found, wanted))
        values = (schema, name, wanted.mode, wanted.source, wanted.stream, wanted.account, wanted.layout)
        with transaction(connection):
            connection.execute(
                "CREATE TABLE IF NOT EXISTS store._claims "
                f"({', '.join(f'{quoted(column)} VARCHAR' for column in _COLUMNS)})"
            )
            connection.execute(f"DELETE FROM store._claims WHERE {is_table(schema, name)}")
            connection.execute(f"INSERT INTO store._claims VALUES ({', '.join(map(literal, values))})")


def _unclaimed(connection: duckdb.DuckDBPyConnection, schema: str, name: str, wanted: Claim) -> Claim | None:
    """Return what a table that nobody has claimed, one of the assets, holds; its rows are taken for the account's."""
    partitions = landed_keys(connection, schema, name)
    if not partitions:
        return None
    if partitions == {SNAPSHOT}:
        layout: Layout = "snapshot"
    else:
        layout = "days" if all(len(key) == len("2026-01-31") for key in partitions - {SNAPSHOT}) else "reads"
    return replace_fields(wanted, layout=layout)


def _why_not(store: DuckDB, table: str, found: Claim, wanted: Claim) -> str:
    if (found.source, found.stream, found.account) != (wanted.source, wanted.stream, wanted.account):
        return (
            f"{table} in {store.path} holds {found}, and this is {wanted}. Their rows would mix: give one of them "
            "another cache, or another schema_name or table_prefix; write_strategy='replace' throws away what is there."
        )
    ways = {"days": "day by day", "snapshot": "as a snapshot", "reads": "with write_strategy='append'"}
    return (
        f"{table} in {store.path} was written {ways[found.layout]} so far, and now {ways[wanted.layout]}; its rows "
        "would be there twice. Go on as before, take another cache, or write_strategy='replace' to begin anew."
    )
