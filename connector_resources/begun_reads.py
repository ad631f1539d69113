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
from dataclasses import dataclass
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
    def name(self) -> str:
        """What people call it by: the same for the same account, streams and places."""
        asked = msgspec.json.encode(
            (self.mode, self.streams, self.strategy, self.full_refresh, self.start_date, self.duckdb, self.files),
            order="sorted",
        )
        return f"{self.account}.{hashlib.blake2b(asked, digest_size=6).hexdigest()}"

    @property
    def note(self) -> str:
        """The name of the file of its note."""
        return f"{self.name}.json"

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
        return {"name": self.name, **msgspec.to_builtins(self)}


@dataclass(slots=True)
class Noted:
    """The note of a read that is going on."""

    is_refused: bool = False

    def refused(self) -> None:
        """Say that nothing was read, nor will be by the same again: there is nothing to go on with."""
        self.is_refused = True


@contextmanager
def noted(folder: Path, read: BegunRead) -> Iterator[Noted]:
    """Keep the note of a read below `folder` until the block has ended without an error.

    The notes of interrupted reads that this one includes go with it. Of one that was refused is kept what was there
    before: the note of an earlier one that was interrupted, or none. Where another process is at the same read, the
    note is its. Raises DestinationUnwritable.
    """
    begun, note = _begun(folder / read.note, read), Noted()
    if begun is None:
        yield note
        return
    lock, before = begun
    with lock:
        try:
            yield note
        except BaseException:
            if note.is_refused:
                _keep(lock, folder / read.note, before)
            raise
        _keep(lock, folder / read.note, b"")
    for other, is_running in begun_reads(folder):
        if not is_running and read.includes(other):
            (folder / other.note).unlink(missing_ok=True)


def forget(folder: Path, read: BegunRead) -> bool:
    """Remove the note of a read that nobody is at, and return whether it is gone."""
    note = folder / read.note
    lock = _locked(note, "rb+")
    if lock is None:
        return not note.exists()
    with lock:
        _keep(lock, note, b"")
    return True


def _keep(lock: IO[bytes], note: Path, content: bytes) -> None:
    """Let a note hold what it held before; without content it goes."""
    lock.truncate(0)
    if content:
        lock.seek(0)
        lock.write(content)
        lock.flush()
        return
    with suppress(PermissionError):  # where an open file cannot be removed; an empty one is no note
        note.unlink(missing_ok=True)


def _begun(note: Path, read: BegunRead) -> tuple[IO[bytes], bytes] | None:
    """Return the lock of a note that is on disk now, and what was in it; None where another process is at the read."""
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(_TRIES):
            if (lock := _locked(note, "a+b")) is not None:
                lock.seek(0)
                before = lock.read()
                _keep(lock, note, msgspec.json.encode(read))
                return lock, before
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


def _locked(note: Path, mode: Literal["a+b", "rb", "rb+"]) -> IO[bytes] | None:
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
