"""One extraction on local disk: its pages, and the token with which reading goes on after each.

A spool is a folder of three files:

    manifest.json   what was asked for (account, stream, slice, declaration), and how many pages a complete answer has
    pages.ndjson    one line a record: {"_page":3,"_partitions":["2026-03-01"],"_parent":{"goal_id":"7"},"_record":{…}}
    index.ndjson    one line a page: number, records, end of the page in pages.ndjson, its checksum, the next token

A page counts once its line in the index is whole: the index is written after the page's records, and what lies
behind the last page of the index is cut off when reading goes on. A folder belongs to one process at a time (a lock
on `lock`, held until the folder is gone where it is removed), and is only taken up again by the same reading: same
account, stream, slice and declaration.
"""

import hashlib
import os
import re
import shutil
import time
import uuid
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Self

import msgspec
import portalocker

from connector_resources.errors import DataError, DestinationUnwritable
from connector_resources.streams import Page, Slice, Stream

_REMOVED = ".removed-"
_SYNC_EVERY_SECONDS = 1.0
_RESUME_WITHIN_SECONDS = 6 * 3600.0
"""An interrupted reading older than this starts over: its first pages would be older than its last by that much."""


@dataclass(frozen=True, slots=True)
class SpoolKey:
    """What a spool holds the answer to; a spool is only ever resumed by an equal key."""

    account: str
    source: str
    stream: str
    slice: str
    declaration: str

    @classmethod
    def of(cls, account: str, source: str, stream: Stream, slice: Slice) -> Self:
        """Return the key of reading `slice` of `stream`; parents count by their digest."""
        window = "" if slice.window is None else f"{slice.window.start.isoformat()}/{slice.window.end.isoformat()}"
        parents = ""
        if slice.parents is not None:
            rows = msgspec.json.encode([(dict(parent.fields), parent.partitions) for parent in slice.parents])
            parents = f"{len(slice.parents)} parents {hashlib.blake2b(rows, digest_size=16).hexdigest()}"
        return cls(account, source, stream.name, f"{window} {parents}".strip() or "whole", stream.declaration_hash)

    @property
    def folder_name(self) -> str:
        """A short name for the folder, the same in every process."""
        text = "\0".join((self.account, self.source, self.stream, self.slice, self.declaration))
        source, stream = (re.sub(r"[^\w-]", "_", name, flags=re.ASCII)[:60] for name in (self.source, self.stream))
        return f"{source}.{stream}.{hashlib.blake2b(text.encode(), digest_size=8).hexdigest()}"


class _Manifest(msgspec.Struct, frozen=True):
    """What is in manifest.json; `pages` is None until the last page is there."""

    key: SpoolKey
    pages: int | None
    started_at: float


class PageMark(msgspec.Struct, frozen=True):
    """One line of the index.

    `end` is where the page ends in pages.ndjson, `longest` the size of its longest line, in bytes; `total` is what the
    server counts, `received` how many records the page has. `is_gone` marks a parent that the vendor does not know any
    more.
    """

    number: int
    received: int
    end: int
    checksum: int
    longest: int
    token: str | None
    total: int | None = None
    is_gone: bool = False


@dataclass(slots=True)
class Spool:
    """An extraction on disk, held by this process until it is closed."""

    folder: Path
    key: SpoolKey
    marks: list[PageMark] = field(default_factory=list)
    is_complete: bool = False
    resumed_pages: int = 0
    started_at: float = field(default_factory=time.time)
    _lock: IO[bytes] | None = field(default=None, repr=False)

    @property
    def pages_file(self) -> Path:
        """The file that holds the records, one line each."""
        return self.folder / "pages.ndjson"

    @property
    def token(self) -> str | None:
        """The token with which reading goes on; None at the start."""
        return self.marks[-1].token if self.marks else None

    @property
    def records(self) -> int:
        """How many records were received, before any is left out or quarantined."""
        return sum(mark.received for mark in self.marks)

    @property
    def parents_gone(self) -> int:
        """How many parents the vendor did not know any more."""
        return sum(mark.is_gone for mark in self.marks)

    @property
    def size_bytes(self) -> int:
        """How large the records are on disk."""
        return self.marks[-1].end if self.marks else 0

    @contextmanager
    def writing(self) -> Iterator["SpoolWriter"]:
        """Open the spool for more pages; what was written is on disk when the block is left, however it is left."""
        writer = SpoolWriter(self)
        try:
            yield writer
        except BaseException:
            writer.close()
            self.close()
            raise
        writer.close()

    def page_lines(self, mark: PageMark, file: IO[bytes]) -> bytes:
        """Return the lines of one page from `file`, the opened pages file. Raises DataError where they are damaged."""
        start = self.marks[mark.number - 1].end if mark.number else 0
        file.seek(start)
        lines = file.read(mark.end - start)
        if zlib.crc32(lines) != mark.checksum:
            raise DataError(
                f"{self.key.source}.{self.key.stream}: page {mark.number} of the spool {self.folder} is damaged. "
                "Remove that folder and run again; the table is as it was."
            )
        return lines

    def mark_committed(self) -> None:
        """Note that the records are in the destination; the spool stays for a replay until a newer one is committed."""
        for other in self.folder.parent.glob(f"{self.key.folder_name}.*"):
            lock = None if other == self.folder or not (other / "committed").exists() else _locked(other)
            if lock is not None:
                with lock:
                    if (other / "committed").exists():
                        _remove(other)
        (self.folder / "committed").touch()

    def discard(self) -> None:
        """Remove the spool from disk."""
        _remove(self.folder)
        self.close()

    def close(self) -> None:
        """Let other processes have the spool."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _write_manifest(self) -> None:
        manifest = _Manifest(self.key, len(self.marks) if self.is_complete else None, self.started_at)
        temporary = self.folder / "manifest.tmp"
        temporary.write_bytes(msgspec.json.encode(manifest))
        temporary.replace(self.folder / "manifest.json")


class SpoolWriter:
    """Appends pages to a spool."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        try:
            # Unbuffered: what a full disk refuses must not be tried again when the file is closed.
            self._pages = spool.pages_file.open("ab", buffering=0)
            self._index = (spool.folder / "index.ndjson").open("ab", buffering=0)
        except OSError as error:
            raise unwritable(spool.folder, error) from error
        self._synced_at = time.monotonic()

    def append(self, page: Page) -> None:
        """Put a page on disk, then its mark. Raises DestinationUnwritable when there is no room."""
        spool = self._spool
        number = len(spool.marks)
        lines = _lines(number, page)
        end = spool.size_bytes + len(lines)
        longest = max(map(len, lines.split(b"\n")))
        mark = PageMark(
            number, len(page.records), end, zlib.crc32(lines), longest, page.token, page.total, page.is_gone
        )
        try:
            _write(self._pages, lines)
            if time.monotonic() - self._synced_at > _SYNC_EVERY_SECONDS:
                os.fsync(self._pages.fileno())
                self._synced_at = time.monotonic()
            _write(self._index, msgspec.json.encode(mark) + b"\n")
        except OSError as error:
            raise unwritable(spool.folder, error) from error
        spool.marks.append(mark)

    def finish(self) -> None:
        """Note that the last page is here."""
        try:
            os.fsync(self._pages.fileno())
            os.fsync(self._index.fileno())
            self._spool.is_complete = True
            self._spool._write_manifest()
        except OSError as error:
            raise unwritable(self._spool.folder, error) from error

    def close(self) -> None:
        """Close the files."""
        self._pages.close()
        self._index.close()


def open_spool(folder: Path, key: SpoolKey, *, not_before: Callable[[], float] = lambda: 0.0) -> Spool:
    """Return a spool for `key` below `folder`: an unfinished one that nobody holds, else a new one.

    One begun before `not_before()` (seconds since the epoch; asked only where there is one) is older than what has been
    landed since, and is not taken up. Raises DestinationUnwritable when the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for candidate in sorted(folder.glob(f"{key.folder_name}.*")):
            spool = _taken_up(candidate, key, not_before)
            if spool is not None:
                return spool
        return _new(folder, key)
    except OSError as error:
        raise unwritable(folder, error) from error


def prune(folder: Path, *, keep_days: float, keep_bytes: int) -> list[Path]:
    """Remove committed spools older than `keep_days`, then the oldest until what is left fits in `keep_bytes`.

    Unfinished spools go too once they are too old to be resumed. Returns the folders removed.
    """
    for leftover in folder.glob(f"{_REMOVED}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    removed: list[Path] = []
    kept: list[tuple[float, int, Path]] = []
    for candidate in folder.glob("*.*.*.*"):
        lock = _locked(candidate)
        if lock is None:
            continue
        with lock, suppress(FileNotFoundError):
            age_seconds = time.time() - candidate.stat().st_mtime
            longest = keep_days * 86_400 if (candidate / "committed").exists() else _RESUME_WITHIN_SECONDS
            if age_seconds > longest:
                _remove(candidate)
                removed.append(candidate)
            elif (candidate / "committed").exists():
                size = sum(file.stat().st_size for file in candidate.iterdir())
                kept.append((age_seconds, size, candidate))
    total = sum(size for _, size, _ in kept)
    for _, size, candidate in sorted(kept, reverse=True):
        if total <= keep_bytes:
            break
        lock = _locked(candidate)
        if lock is None:
            continue
        with lock:
            if (candidate / "committed").exists():  # the name may be another extraction's by now
                _remove(candidate)
                removed.append(candidate)
                total -= size
    return removed


def _remove(folder: Path) -> None:
    """Remove a spool's folder, out of sight first: half removed, it could be taken for an interrupted one."""
    unseen = folder.parent / f"{_REMOVED}{uuid.uuid4().hex}"
    with suppress(FileNotFoundError):  # by another process, a moment ago
        folder.rename(unseen)
        shutil.rmtree(unseen, ignore_errors=True)


def _new(folder: Path, key: SpoolKey) -> Spool:
    number = 0
    while True:
        candidate = folder / f"{key.folder_name}.{number}"
        with suppress(FileExistsError):
            candidate.mkdir()
            lock = _locked(candidate)  # None when somebody took the new folder for an abandoned one
            if lock is not None:
                break
        number += 1
    spool = Spool(candidate, key, _lock=lock)
    spool._write_manifest()
    return spool


def _taken_up(folder: Path, key: SpoolKey, not_before: Callable[[], float]) -> Spool | None:
    """Return the spool in `folder`, cut back to its last whole page; None where it is not to be resumed."""
    lock = _locked(folder)
    if lock is None:
        return None
    if (folder / "committed").exists():  # looked at under the lock: its owner may have been at it until now
        lock.close()
        return None
    spool = Spool(folder, key, _lock=lock)
    try:
        manifest = msgspec.json.decode((folder / "manifest.json").read_bytes(), type=_Manifest)
    except (FileNotFoundError, msgspec.MsgspecError):
        manifest = None  # its writer died before the first page
    oldest = time.time() - _RESUME_WITHIN_SECONDS
    try:
        is_stale = manifest is None or manifest.key != key or manifest.started_at < max(oldest, not_before())
    except BaseException:
        spool.close()
        raise
    if manifest is None or is_stale:
        spool.discard()
        return None
    spool.started_at = manifest.started_at
    spool.marks = _whole_pages(spool)
    spool.resumed_pages = len(spool.marks)
    # A writer may die between its last page, which has no token, and noting that it was the last.
    spool.is_complete = manifest.pages == len(spool.marks) or (bool(spool.marks) and spool.token is None)
    if manifest.pages is not None and not spool.is_complete:
        spool._write_manifest()  # it was complete and is damaged: reading goes on, and must not seem complete half-way
    return spool


def _whole_pages(spool: Spool) -> list[PageMark]:
    """Return the marks of the pages that are whole on disk, and cut both files back to them."""
    index = spool.folder / "index.ndjson"
    marks: list[PageMark] = []
    kept_bytes = 0
    if index.exists() and spool.pages_file.exists():
        with spool.pages_file.open("rb") as pages:
            for line in index.read_bytes().splitlines(keepends=True):
                try:
                    mark = msgspec.json.decode(line, type=PageMark)
                except msgspec.MsgspecError:
                    break
                start = marks[-1].end if marks else 0
                if not line.endswith(b"\n") or zlib.crc32(pages.read(mark.end - start)) != mark.checksum:
                    break
                marks.append(mark)
                kept_bytes += len(line)
    for file, size in ((spool.pages_file, marks[-1].end if marks else 0), (index, kept_bytes)):
        with file.open("ab") as handle:
            handle.truncate(size)
    return marks


def _locked(folder: Path) -> IO[bytes] | None:
    """Return the lock of a spool's folder, or None where another process holds or has just removed it."""
    try:
        handle = (folder / "lock").open("ab")
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        portalocker.lock(handle, portalocker.LockFlags.EXCLUSIVE | portalocker.LockFlags.NON_BLOCKING)
        if os.path.samestat(os.fstat(handle.fileno()), (folder / "lock").stat()):
            return handle
    except (portalocker.LockException, FileNotFoundError):
        pass
    handle.close()
    return None


def _write(file: IO[bytes], content: bytes) -> None:
    """Write all of `content` to an unbuffered file, which may take less than it is given."""
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]


def _lines(number: int, page: Page) -> bytes:
    if not page.records:
        return b""
    prefix = b'{"_page":%d,' % number
    if page.parent is not None:
        prefix += b'"_partitions":%s,"_parent":%s,' % (
            msgspec.json.encode(page.parent.partitions),
            msgspec.json.encode(dict(page.parent.fields)),
        )
    prefix += b'"_record":'
    lines = prefix + (b"}\n" + prefix).join(page.records) + b"}\n"
    if lines.count(b"\n") != len(page.records) or b"\r" in lines:  # pretty-printed records hold line ends of their own
        lines = prefix + (b"}\n" + prefix).join(_one_line(record) for record in page.records) + b"}\n"
    return lines


def _one_line(record: bytes) -> bytes:
    """Return a record without line ends, its values as they were."""
    try:
        return msgspec.json.format(bytes(record), indent=-1)
    except msgspec.DecodeError:
        # Half of a surrogate pair, which is put aside later. Line ends stand between values only, never inside a text.
        return bytes(record).replace(b"\n", b" ").replace(b"\r", b" ")


def unwritable(folder: Path, error: OSError) -> DestinationUnwritable:
    """Return the error to raise for a spool that cannot be written; it names the folder."""
    return DestinationUnwritable(
        f"The spool {folder} cannot be written ({error.strerror or error}). Make room or set another folder; "
        "the tables are as they were, and what was read is kept."
    )
