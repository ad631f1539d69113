"""What every test needs."""

import functools
import gc
import logging

from dagster._core.storage.sql import ScriptDirectory  # type: ignore[attr-defined]  # alembic is its dependency, not ours
from hypothesis import HealthCheck, settings

# Dagster's in-memory event log leaves its connection to the garbage collector, and SQLAlchemy then logs a traceback.
# Formatting one parses source, and CPython 3.11 before 3.11.8 fails a parse in which another one happens, which may be
# pytest's own: a test that fails would take pytest down with it.
logging.getLogger("sqlalchemy.pool.impl.NullPool").setLevel(logging.CRITICAL)

# A new history of Dagster's is stamped with its newest migration, and to find that, alembic imports all 89 of them, for
# each of its tables. They are the same every time: once a process is enough.
ScriptDirectory.from_config = functools.cache(ScriptDirectory.from_config)  # type: ignore[method-assign]

# A busy machine takes its time to make up an example, too.
settings.register_profile("busy", suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


def pytest_collection_finish() -> None:
    """Let the collector pass over what is imported and collected by now: a tenth of the tests' time went into that."""
    gc.collect()
    gc.freeze()
