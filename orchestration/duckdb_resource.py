"""A DuckDB connection for people's own assets, under the lock that everything else takes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
from dagster_duckdb import DuckDBResource

from connector_resources.destinations.duckdb import DuckDB
from connector_resources.destinations.duckdb_tables import literal
from connector_resources.destinations.duckdb_workbench import CONNECTION_SETTINGS


class LockedDuckDBResource(DuckDBResource):
    """dagster-duckdb's resource on the project's database, to query and write tables of one's own.

    `with duckdb.get_connection() as connection:` holds the database for the time of the block: keep it short, runs that
    land records wait for it. Times are in UTC.
    """

    @classmethod
    def _is_dagster_maintained(cls) -> bool:
        return False

    @contextmanager
    def get_connection(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Yield a connection that may write. Raises DestinationBusy where others hold the database for too long."""
        path = Path(self.database)
        store = DuckDB(path, path.parent / "spools" / "temporary")
        with store.locked(shared=False), self._opened() as connection:
            for name, value in CONNECTION_SETTINGS.items():
                connection.execute(f"SET {name} = {literal(value)}")
            yield connection

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        with super().get_connection() as connection:
            try:
                yield connection
            finally:
                # dagster-duckdb leaves it open when the block fails, and every other process would be locked out.
                connection.close()
