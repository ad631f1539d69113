"""Reads that the command line has begun: what each was asked for, on disk until it is done.

What was read of a stream is kept by its spool, and what was landed by the database. Neither knows what else was asked
for: that is noted here, so that a read that was interrupted, or failed for some of its streams, can be gone on with. A
note holds names and paths and never a configuration. Who reads holds a lock on it, so one that nobody holds is of a
read that has ended before it was done, however it ended.
"""

import hashlib
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Literal, Self

import msgspec
import portalocker

from connector_resources.spool import unwritable


class BegunRead(msgspec.Struct, frozen=True, kw_only=True):
    """What a read was asked for. `files` maps a format to the folder that its files go to.

    `duckdb` is the path of the database, None for that of the assets. `config_file` is where the configuration was
    read from; where it came another way, `has_config` is all that is known of it.
    """

    connector: str
    account: str
    mode: Literal["sandbox", "live"]
    streams: tuple[str, ...]
    strategy: str = "auto"
    full_refresh: bool = False
    start_date: str | None = None
    duckdb: str | None = None
    files: Mapping[str, str] = {}
    config_file: str | None = None
    has_config: bool = False
    begun_at: datetime = msgspec.field(default_factory=lambda: datetime.now(UTC))

    @property
    def note(self) -> str:
        """The name of its note: the same for the same account, streams and places."""
        asked = msgspec.json.encode(
            (self.mode, self.streams, self.strategy, self.full_refresh, self.start_date, self.duckdb, self.files),
            order="sorted",
        )
        return f"{self.account}.{hashlib.blake2b(asked, digest_size=6).hexdigest()}.json"

    def includes(self, other: Self) -> bool:
        """Whether nothing is left to do for another read once this one is done."""
        return (self.account, self.mode, self.duckdb) == (other.account, other.mode, other.duckdb) and (
            set(other.streams) <= set(self.streams)
            and other.files.items() <= self.files.items()
            and other.begun_at <= self.begun_at
            and other.strategy == self.strategy
            and (other.start_date is None) <= (self.start_date is None)
        )

    def shown(self) -> dict[str, Any]:
        """Return it as plain values."""
        built: dict[str, Any] = msgspec.to_builtins(self)
        return built


@contextmanager
def noted(folder: Path, read: BegunRead) -> Iterator[None]:
    """Keep the note of a read below `folder` until the block has ended without an error.

    The notes of interrupted reads that this one includes go with it. Where another process is at the same read, the
    note is its. Raises DestinationUnwritable.
    """
    lock = _begun(folder / read.note, read)
    if lock is None:
        yield
        return
    with lock:
        yield
        lock.truncate(0)
        with suppress(PermissionError):  # where an open file cannot be removed; an empty one is no note
            (folder / read.note).unlink(missing_ok=True)
    for other, is_running in begun_reads(folder):
        if not is_running and read.includes(other):
            (folder / other.note).unlink(missing_ok=True)


def _begun(note: Path, read: BegunRead) -> IO[bytes] | None:
    """Return the lock of a note that is on disk now; None where another process is at the same read."""
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(_TRIES):
            if (lock := _locked(note, "a+b")) is not None:
                lock.truncate(0)
                lock.write(msgspec.json.encode(read))
                lock.flush()
                return lock
            time.sleep(0.01)  # who lists the notes holds each for a moment
    except OSError as error:
        raise unwritable(note.parent, error) from error
    return None


_TRIES = 10


def begun_reads(folder: Path) -> list[tuple[BegunRead, bool]]:
    """Return the reads that are not done, newest first, and whether somebody is at them."""
    found = []
    for note in folder.glob("*.json"):
        lock = _locked(note, "rb")
        try:
            read = msgspec.json.decode(note.read_bytes(), type=BegunRead)
        except (OSError, msgspec.MsgspecError):
            continue  # done a moment ago, or its writer died before it was whole
        finally:
            if lock is not None:
                lock.close()
        found.append((read, lock is None))
    return sorted(found, key=lambda each: each[0].begun_at, reverse=True)


def _locked(note: Path, mode: Literal["a+b", "rb"]) -> IO[bytes] | None:
    """Return the note, opened and locked; None where another process holds it, or it is gone."""
    try:
        handle: IO[bytes] = note.open(mode)
    except FileNotFoundError:
        return None
    kind = portalocker.LockFlags.SHARED if mode == "rb" else portalocker.LockFlags.EXCLUSIVE
    try:
        portalocker.lock(handle, kind | portalocker.LockFlags.NON_BLOCKING)
    except portalocker.LockException:
        handle.close()
        return None
    return handle
