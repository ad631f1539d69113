"""What every test needs."""

import logging

# Dagster's in-memory event log leaves its connection to the garbage collector, and SQLAlchemy then logs a traceback.
# Formatting one parses source, and CPython 3.11 before 3.11.8 fails a parse in which another one happens, which may be
# pytest's own: a test that fails would take pytest down with it.
logging.getLogger("sqlalchemy.pool.impl.NullPool").setLevel(logging.CRITICAL)
