"""The resources that all accounts share: whom sources talk to, and the database."""

from typing import Any

from orchestration.connection import connection
from orchestration.duckdb_resource import LockedDuckDBResource
from orchestration.io_manager import Warehouse
from orchestration.settings import Settings


def shared_resources(settings: Settings) -> dict[str, Any]:
    """Return the resources, by the keys under which assets ask for them."""
    return {
        "connection": connection(settings),
        "warehouse": Warehouse(
            database=str(settings.database),
            spools=str(settings.spools),
            memory_limit=settings.memory_limit,
            keep_spools_days=settings.keep_spools_days,
            keep_spools_bytes=settings.keep_spools_bytes,
        ),
        "duckdb": LockedDuckDBResource(database=str(settings.database)),
    }
