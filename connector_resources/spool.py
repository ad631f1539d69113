"""One extraction on local disk: its pages, and the token with which reading goes on after each.

A spool is a folder of three files:

    manifest.json   what was asked for (account, stream, slice, declaration), and how many pages a complete answer has
    pages.ndjson    one line a record: {"_page":3,"_partitions":["2026-03-01"],"_parent":{"goal_id":"7"},"_record":{…}}
    index.ndjson    one line a page: number, records, end of the page in pages.ndjson, its checksum, the next token

Beside them may lie

    landed_by               the runs that set out to land it, one line each, written before they do
    committed               an empty file: what is here is in the destination
    refused                 an empty file: what is here was complete and could not be landed; the API is read anew
    paused                  an empty file: the requests of a day were spent; what is here waits for the next

A page counts once its line in the index is whole: the index is written after the page's records, and what lies
behind the last page of the index is cut off when reading goes on. A folder belongs to one process at a time (a lock
on `lock`, held until the folder is gone where it is removed), and is only taken up again by the same reading: same
account, settings, stream, slice and declaration. Whoever takes up nothing although something is there is told why. A
complete spool can be replayed: landed again, under the declaration of today, until it is removed.
"""

import hashlib
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import IO, Literal, Self

import msgspec
import portalocker
from xxhash import xxh3_64_intdigest

from connector_resources.errors import DataError, DestinationBusy, DestinationUnwritable
from connector_resources.streams import SNAPSHOT, Page, Slice, Stream

_REMOVED = ".removed-"
_SETTLED = ("committed", "refused")
"""The states in which a spool is never gone on with."""
_SYNC_EVERY_SECONDS = 1.0
_RESUME_WITHIN_SECONDS = 6 * 3600.0
"""An interrupted reading older than this starts over: its first pages would be older than its last by that much."""
_CLOCK_SET_BACK_SECONDS = 24 * 3600.0
"""A reading that seems to have begun later than that from now has a damaged manifest."""
_LEFT_FREE_SHARE, _LEFT_FREE_BYTES = 0.05, 1 << 30
"""A long reading leaves this share of its disk free, and needs leave no more bytes than these: the machine, the landing
and everybody else work on the same disk."""
_SHORT_BYTES = 64 << 20
"""A reading that is no longer than that is not long: it may take what there is."""
_LOOK_EVERY_BYTES = 16 << 20
"""So often is looked at how much of the disk is left."""
_PAUSED_SECONDS = 48 * 3600.0
"""So long after its last pause one is gone on with all the same: from any hour of a day to any of the next."""


@dataclass(frozen=True, slots=True)
class SpoolKey:
    """What a spool holds the answer to; a spool is only ever resumed by an equal key.

    `settings` is a digest of what the source was set to, for what is read may depend on it.
    """

    account: str
    source: str
    stream: str
    slice: str
    declaration: str
    settings: str = ""

    @classmethod
    def of(cls, account: str, source: str, stream: Stream, slice: Slice, settings: str = "") -> Self:
        """Return the key of reading `slice` of `stream`; parents count by their digest."""
        window = "" if slice.window is None else f"{slice.window.start.isoformat()}/{slice.window.end.isoformat()}"
        parents = ""
        if slice.parents is not None:
            rows = msgspec.json.encode([(dict(parent.fields), parent.partitions) for parent in slice.parents])
            parents = f"{len(slice.parents)} parents {hashlib.blake2b(rows, digest_size=16).hexdigest()}"
        asked = f"{window} {parents}".strip() or "whole"
        return cls(account, source, stream.name, asked, stream.declaration_hash, settings)

    @property
    def folder_name(self) -> str:
        """A short name for the folder, the same in every process."""
        text = "\0".join((self.account, self.source, self.stream, self.slice, self.declaration, self.settings))
        return f"{self.stream_prefix}.{hashlib.blake2b(text.encode(), digest_size=8).hexdigest()}"

    @property
    def stream_prefix(self) -> str:
        """What the names of all folders of this stream begin with; another stream's may too."""
        source, stream = (re.sub(r"[^\w-]", "_", name, flags=re.ASCII)[:60] for name in (self.source, self.stream))
        return f"{source}.{stream}"


class _Manifest(msgspec.Struct, frozen=True):
    """What is in manifest.json; `pages` is None until the last page is there.

    `partitions` are those the reading was for. Manifests of before they were noted have none.
    """

    key: SpoolKey
    pages: int | None
    started_at: float
    partitions: tuple[str, ...] = ()

    def has_all(self, marks: Sequence["PageMark"]) -> bool:
        """Whether these are all pages. A writer may die between its last one and noting that it was the last."""
        return self.pages == len(marks) or (bool(marks) and marks[-1].token is None)

    @classmethod
    def of(cls, folder: Path) -> Self | None:
        """Return the manifest of a spool's folder; None where there is none that can be read, or believed."""
        try:
            manifest = msgspec.json.decode((folder / "manifest.json").read_bytes(), type=cls)
        except (OSError, msgspec.MsgspecError):
            return None
        return manifest if 0 <= manifest.started_at <= time.time() + _CLOCK_SET_BACK_SECONDS else None


class PageMark(msgspec.Struct, frozen=True):
    """One line of the index.

    `end` is where the page ends in pages.ndjson, `longest` the size of its longest line, in bytes; `total` is what the
    server counts, `received` how many records the page has. `is_gone` marks a parent that the vendor does not know any
    more, `ends_list` the last page of a whole list, which marks of before that was noted do not know (None).
    """

    number: int
    received: int
    end: int
    checksum: int
    longest: int
    token: str | None
    total: int | None = None
    is_gone: bool = False
    ends_list: bool | None = None


class Reason(StrEnum):
    """Why what an earlier reading left on disk is not gone on with, as the end of a sentence."""

    DECLARATION_CHANGED = "the stream's declaration has changed since"
    SETTINGS_CHANGED = "the source's settings have changed since"
    PARENTS_CHANGED = "the parents it was read under have changed since"
    TOO_OLD = "it was begun more than six hours ago, and its first pages would be older than its last by that much"
    LANDED_SINCE = "newer data has been landed since it was begun"
    UNREADABLE = "its manifest cannot be read"
    TOKEN_REFUSED = "the API does not go on from its page token any more"
    ASKED_ANEW = "the run asks for everything anew (full_refresh)"
    LIST_CHANGED = "records went while the list was read, so others may have been missed"


@dataclass(frozen=True, slots=True)
class StartedOver:
    """A reading that was not gone on with: how many of its pages were on disk, and why they are of no use.

    `detail` is what the API or the reader said, where somebody did. `is_kept` says that it is complete and can be
    replayed.
    """

    stream: str
    pages: int
    reason: Reason
    detail: str = ""
    is_kept: bool = False

    def __str__(self) -> str:
        kept = " They are whole: `python -m orchestration.replay` can land them." if self.is_kept else ""
        return (
            f"{self.stream}: {self.pages} page{'' if self.pages == 1 else 's'} of an earlier reading "
            f"{'is' if self.pages == 1 else 'are'} not taken up: {self.reason}. It is read from the start.{kept}"
            f"{f' ({self.detail})' if self.detail else ''}"
        )


@dataclass(slots=True)
class Spool:
    """An extraction on disk, held by this process until it is closed."""

    folder: Path
    key: SpoolKey
    partitions: tuple[str, ...] = ()
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
    def counted(self) -> int | None:
        """How many records the server counts in all the lists; None where it does not say, or one may be cut short."""
        lists = [mark for mark in self.marks if not mark.is_gone]
        totals = [mark.total for mark in lists if mark.ends_list]
        if None in totals or any(mark.ends_list is None for mark in lists):
            return None
        return sum(total for total in totals if total is not None)

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
        if xxh3_64_intdigest(lines) != mark.checksum:
            raise DataError(
                f"{self.key.source}.{self.key.stream}: page {mark.number} of the spool {self.folder} is damaged. "
                "Remove that folder and run again; the table is as it was."
            )
        return lines

    @property
    def landed_by(self) -> tuple[str, ...]:
        """The runs that set out to land this spool, in order; the first is the one that read its end."""
        return _landed_by(self.folder) or ()

    def note_landing(self, run_id: str) -> None:
        """Note, before anything is committed, that `run_id` is about to land this spool.

        So the rows of that run are known to be this spool's, even where the run dies right after its commit.
        """
        if run_id not in self.landed_by:
            try:
                with (self.folder / "landed_by").open("a") as runs:
                    runs.write(f"{run_id}\n")
            except OSError as error:
                raise unwritable(self.folder, error) from error

    def mark_committed(self) -> None:
        """Note that the records are in the destination; the spool stays for a replay until a newer one is committed."""
        self._replace_others("committed", "refused")
        (self.folder / "committed").touch()
        (self.folder / "refused").unlink(missing_ok=True)
        (self.folder / "checked.ndjson").unlink(missing_ok=True)

    def mark_refused(self) -> None:
        """Note that the records are complete and could not be landed: the next reading asks the API anew.

        The spool stays for a replay, until a newer one is committed or refused. One that is committed stays so.
        """
        if not (self.folder / "committed").exists():
            self._replace_others("refused")
            (self.folder / "refused").touch()
        (self.folder / "checked.ndjson").unlink(missing_ok=True)

    def mark_paused(self) -> None:
        """Note that reading may go on only with the requests of another day, and so for two days from now."""
        try:
            (self.folder / "paused").touch()
        except OSError as error:
            raise unwritable(self.folder, error) from error

    def _replace_others(self, *states: str) -> None:
        """Remove the spools of the same reading that are in one of these states, where nobody holds them."""
        for other in self.folder.parent.glob(f"{self.key.folder_name}.*"):
            if other != self.folder and _is_any(other, states) and (lock := _locked(other)) is not None:
                with lock:
                    if _is_any(other, states):
                        _remove(other)

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
        pages = len(self.marks) if self.is_complete else None
        manifest = _Manifest(self.key, pages, self.started_at, self.partitions)
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
        self._look_at_bytes = max(spool.size_bytes, _SHORT_BYTES)  # how long it is when the disk is looked at next

    def append(self, page: Page) -> None:
        """Put a page on disk, then its mark. Raises DestinationUnwritable when there is no room."""
        spool = self._spool
        number = len(spool.marks)
        lines, longest = _lines(number, page)
        end = spool.size_bytes + len(lines)
        checksum = xxh3_64_intdigest(lines)
        mark = PageMark(
            number, len(page.records), end, checksum, longest, page.token, page.total, page.is_gone, page.ends_list
        )
        try:
            if end > self._look_at_bytes:
                _require_room(spool.folder, max(len(lines), _LOOK_EVERY_BYTES))  # as much as comes until the next look
                self._look_at_bytes = end + _LOOK_EVERY_BYTES
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


def open_spool(
    folder: Path,
    key: SpoolKey,
    *,
    partitions: Sequence[str] = (),
    not_before: Callable[[Collection[str]], float] = lambda runs: 0.0,
    started_over: Callable[[StartedOver], None] = lambda told: None,
    anew: bool = False,
) -> Spool:
    """Return a spool for `key` below `folder`: an unfinished one that nobody holds, else a new one; `anew`, a new one.

    `partitions` are those the reading is for. One begun before `not_before(runs)` (seconds since the epoch; asked only
    where there is one) is older than what has been landed since, and is not taken up; `runs` are those that set out to
    land that very spool, whose rows are no reason. `started_over` is told of each that is not taken up, and why: it is
    removed, or kept for a replay where it is complete. Raises DestinationUnwritable when the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        found: Spool | None = None
        for candidate in sorted(folder.glob(f"{key.stream_prefix}.*")):
            if _is_any(candidate, _SETTLED):
                continue
            if candidate.name.rpartition(".")[0] != key.folder_name:
                _supersede(candidate, key, partitions, started_over)
            elif found is None:
                found = _taken_up(candidate, key, partitions, not_before, started_over, anew)
        return found or _new(folder, key, partitions)
    except OSError as error:
        raise unwritable(folder, error) from error


@dataclass(frozen=True, slots=True)
class OnDisk:
    """How many pages of a reading are on disk, and whether those are all."""

    pages: int = 0
    is_complete: bool = False


def on_disk(folder: Path, key: SpoolKey, not_before: Callable[[Collection[str]], float]) -> OnDisk:
    """Return what `open_spool` would take up. The pages themselves are not looked at, nor is who holds them."""
    for candidate in sorted(folder.glob(f"{key.folder_name}.*")):
        manifest = _Manifest.of(candidate)
        if manifest is None or _is_any(candidate, _SETTLED) or _outdated(candidate, manifest, key, not_before):
            continue
        marks = _marks_noted(candidate)
        return OnDisk(len(marks), manifest.has_all(marks))
    return OnDisk()


State = Literal["committed", "refused", "complete", "unfinished", "damaged"]
"""committed: landed · refused: complete, and the destination did not take it · complete: the next run lands it ·
unfinished: the next run goes on with it · damaged: what it is cannot be read, so it is never landed."""


@dataclass(frozen=True, slots=True)
class Kept:
    """An extraction that lies on disk: what it is, not held by anybody here. `landed_by` are runs, oldest first."""

    folder: Path
    key: SpoolKey
    partitions: tuple[str, ...]
    state: State
    started_at: float
    pages: int
    records: int
    size_bytes: int
    landed_by: tuple[str, ...]

    @property
    def read_at(self) -> datetime:
        """When the reading was begun, in UTC."""
        return datetime.fromtimestamp(self.started_at, UTC)

    @property
    def shown_partitions(self) -> str:
        """The partitions for people: the only one, or the first and the last."""
        if len(self.partitions) < 2:
            return self.partitions[0] if self.partitions else "unknown"
        return f"{self.partitions[0]}…{self.partitions[-1]}"

    def covers(self, partitions: Collection[str]) -> bool:
        """Whether it was read for all of these partitions."""
        return set(partitions) <= set(self.partitions)

    def taken_up(self) -> Spool:
        """Return the spool, held by this process, to be landed again.

        Raises DataError where a page is damaged, DestinationBusy where another process holds it or has removed it.
        """
        lock = _locked(self.folder)
        manifest = None if lock is None else _Manifest.of(self.folder)
        if lock is None or manifest is None:
            raise DestinationBusy(
                f"The extraction {self.folder} is in use by another process, or was removed a moment ago. Run it again."
            )
        spool = Spool(self.folder, manifest.key, self.partitions, started_at=manifest.started_at, _lock=lock)
        spool.marks, _ = _whole_marks(spool)
        if len(spool.marks) != self.pages:
            spool.close()
            raise DataError(
                f"{self.key.source}.{self.key.stream}: page {len(spool.marks)} of the spool {self.folder} is damaged. "
                "It cannot be replayed: remove that folder, and read the API with a normal run."
            )
        spool.is_complete = True
        return spool


def kept(folder: Path) -> list[Kept]:
    """Return the extractions below `folder`, newest first; of one that is damaged, what its folder's name says."""
    found: list[Kept] = []
    for candidate in folder.glob("*.*.*.*"):
        if candidate.name.startswith(_REMOVED) or not candidate.is_dir():
            continue
        manifest = _Manifest.of(candidate)
        landed_by = _landed_by(candidate)
        if manifest is None or landed_by is None:
            found.append(_damaged(candidate))
            continue
        marks = _marks_noted(candidate)
        state: State = "complete" if manifest.has_all(marks) else "unfinished"
        if _is_any(candidate, ("committed",)):
            state = "committed"
        elif _is_any(candidate, ("refused",)):
            state = "refused"
        found.append(
            Kept(
                candidate,
                manifest.key,
                manifest.partitions or _partitions_of(manifest.key),
                state,
                manifest.started_at,
                len(marks),
                sum(mark.received for mark in marks),
                marks[-1].end if marks else 0,
                landed_by,
            )
        )
    return sorted(found, key=lambda each: each.started_at, reverse=True)


def _damaged(folder: Path) -> Kept:
    source, stream, *_ = folder.name.split(".")
    try:
        files = [file.stat() for file in folder.iterdir()]
        started_at = folder.stat().st_mtime
    except OSError:  # removed by another process, a moment ago
        files, started_at = [], 0.0
    size_bytes = sum(file.st_size for file in files)
    return Kept(folder, SpoolKey("", source, stream, "", ""), (), "damaged", started_at, 0, 0, size_bytes, ())


def _partitions_of(key: SpoolKey) -> tuple[str, ...]:
    """Return the partitions of a reading from before they were noted: the days of its window, or the one of a whole."""
    if key.slice == "whole":
        return (SNAPSHOT,)
    start, _, end = key.slice.partition(" ")[0].partition("/")
    try:
        first, last = datetime.fromisoformat(start), datetime.fromisoformat(end)
    except ValueError:
        return ()
    return tuple((first + timedelta(days=number)).strftime("%Y-%m-%d") for number in range((last - first).days))


def prune(folder: Path, *, keep_days: float, keep_bytes: int) -> list[Path]:
    """Remove committed and refused spools older than `keep_days`, then the oldest until the rest fits in `keep_bytes`.

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
            is_settled = _is_any(candidate, _SETTLED)
            if age_seconds > keep_days * 86_400 if is_settled else _is_too_old(candidate, candidate.stat().st_mtime):
                _remove(candidate)
                removed.append(candidate)
            elif is_settled:
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
            if _is_any(candidate, _SETTLED):  # the name may be another extraction's by now
                _remove(candidate)
                removed.append(candidate)
                total -= size
    return removed


def _remove(folder: Path) -> None:
    """Remove a spool's folder, out of sight first: half removed, it could be taken for an interrupted one."""
    unseen = folder.parent / f"{_REMOVED}{uuid.uuid4().hex}"
    with suppress(FileNotFoundError):  # by another process, a moment ago
        folder.rename(unseen)
        for _ in range(3):  # who looked for its lock meanwhile has made one in it, after its files were listed
            shutil.rmtree(unseen, ignore_errors=True)
            if not unseen.exists():
                break


def _new(folder: Path, key: SpoolKey, partitions: Sequence[str]) -> Spool:
    number = 0
    while True:
        candidate = folder / f"{key.folder_name}.{number}"
        with suppress(FileExistsError):
            candidate.mkdir()
            lock = _locked(candidate)  # None when somebody took the new folder for an abandoned one
            if lock is not None:
                break
        number += 1
    spool = Spool(candidate, key, tuple(partitions), _lock=lock)
    spool._write_manifest()
    return spool


def _supersede(
    folder: Path, key: SpoolKey, partitions: Sequence[str], started_over: Callable[[StartedOver], None]
) -> None:
    """Put aside the spool in `folder` where it is of the reading that now begins, as it was asked for before."""
    manifest = _Manifest.of(folder)
    reason = None if manifest is None else _superseded(manifest, key, partitions)
    if reason is None or (lock := _locked(folder)) is None:
        return
    with lock:
        # Looked at again under the lock: its owner may have been at it until now.
        manifest = None if _is_any(folder, _SETTLED) else _Manifest.of(folder)
        if manifest is not None and _superseded(manifest, key, partitions) is reason:
            _give_up(Spool(folder, manifest.key), manifest, reason, started_over)


def _superseded(manifest: _Manifest, key: SpoolKey, partitions: Sequence[str]) -> Reason | None:
    """Return why a spool that is not of this key will never be taken up again; None where it is another matter."""
    old = manifest.key
    if (old.account, old.source, old.stream) != (key.account, key.source, key.stream):
        return None
    if old.slice != key.slice and (not partitions or manifest.partitions != tuple(partitions)):
        return None
    if old.declaration != key.declaration:
        return Reason.DECLARATION_CHANGED
    if old.settings != key.settings:
        return Reason.SETTINGS_CHANGED
    return Reason.PARENTS_CHANGED if old.slice != key.slice else None


def _give_up(
    spool: Spool, manifest: _Manifest | None, reason: Reason, started_over: Callable[[StartedOver], None]
) -> None:
    """Remove a spool, or keep it for a replay where it is complete by its `manifest`; say so."""
    marks = _marks_noted(spool.folder)
    is_kept = manifest is not None and manifest.has_all(marks)
    if is_kept:
        spool.mark_refused()
    else:
        spool.discard()
    if marks:
        started_over(StartedOver(spool.key.stream, len(marks), reason, is_kept=is_kept))


def _taken_up(
    folder: Path,
    key: SpoolKey,
    partitions: Sequence[str],
    not_before: Callable[[Collection[str]], float],
    started_over: Callable[[StartedOver], None],
    anew: bool,
) -> Spool | None:
    """Return the spool in `folder`, cut back to its last whole page; None where it is not to be resumed."""
    lock = _locked(folder)
    if lock is None:
        return None
    if _is_any(folder, _SETTLED):  # looked at under the lock: its owner may have been at it until now
        lock.close()
        return None
    spool = Spool(folder, key, _lock=lock)
    manifest = _Manifest.of(folder)  # none where its writer died before the first page
    reason: Reason | None = None
    try:
        reason = Reason.UNREADABLE if manifest is None else _outdated(folder, manifest, key, not_before)
        if reason is None and anew:
            reason = Reason.ASKED_ANEW
    except BaseException:
        spool.close()
        raise
    if manifest is None or reason is not None:
        _give_up(spool, None, reason or Reason.UNREADABLE, started_over)  # too old to be replayed, too
        return None
    spool.started_at = manifest.started_at
    # The same reading may have been for more partitions: those in which there are no parents.
    spool.partitions = tuple(sorted({*manifest.partitions, *partitions}))
    spool.marks = _whole_pages(spool)
    spool.resumed_pages = len(spool.marks)
    spool.is_complete = manifest.has_all(spool.marks)
    is_damaged = manifest.pages is not None and not spool.is_complete  # it must not seem complete half-way
    if is_damaged or spool.partitions != manifest.partitions:
        spool._write_manifest()
    return spool


def _outdated(
    folder: Path, manifest: _Manifest, key: SpoolKey, not_before: Callable[[Collection[str]], float]
) -> Reason | None:
    """Return why a spool is not to be resumed; None where it is."""
    if manifest.key != key:
        return Reason.UNREADABLE
    if _is_too_old(folder, manifest.started_at):
        return Reason.TOO_OLD
    return Reason.LANDED_SINCE if manifest.started_at < not_before(_landed_by(folder) or ()) else None


def _is_too_old(folder: Path, started_at: float) -> bool:
    now = time.time()
    if started_at >= now - _RESUME_WITHIN_SECONDS:
        return False
    try:
        return (folder / "paused").stat().st_mtime < now - _PAUSED_SECONDS
    except FileNotFoundError:
        return True


def _whole_pages(spool: Spool) -> list[PageMark]:
    """Return the marks of the pages that are whole on disk, and cut both files back to them."""
    marks, kept_bytes = _whole_marks(spool)
    sizes = ((spool.pages_file, marks[-1].end if marks else 0), (spool.folder / "index.ndjson", kept_bytes))
    for file, size in sizes:
        with file.open("ab") as handle:
            handle.truncate(size)
    return marks


def _whole_marks(spool: Spool) -> tuple[list[PageMark], int]:
    """Return the marks of the pages that are whole on disk, and how many bytes of the index those are."""
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
                if not line.endswith(b"\n") or xxh3_64_intdigest(pages.read(mark.end - start)) != mark.checksum:
                    break
                marks.append(mark)
                kept_bytes += len(line)
    return marks, kept_bytes


def _marks_noted(folder: Path) -> list[PageMark]:
    """Return the marks in the index of a folder, without a look at the pages themselves."""
    marks: list[PageMark] = []
    with suppress(OSError, msgspec.MsgspecError):
        for line in (folder / "index.ndjson").read_bytes().splitlines(keepends=True):
            if line.endswith(b"\n"):
                marks.append(msgspec.json.decode(line, type=PageMark))
    return marks


def _landed_by(folder: Path) -> tuple[str, ...] | None:
    """Return the runs that are noted in a folder; None where that cannot be read."""
    try:
        return tuple((folder / "landed_by").read_text("utf-8").split())
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError):
        return None


def _is_any(folder: Path, states: Collection[str]) -> bool:
    """Whether a spool's folder is in one of these states."""
    return any((folder / state).exists() for state in states)


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


def _lines(number: int, page: Page) -> tuple[bytes, int]:
    """Return the lines of a page, and how long the longest is without its end."""
    if not page.records:
        return b"", 0
    prefix = b'{"_page":%d,' % number
    if page.parent is not None:
        prefix += b'"_partitions":%s,"_parent":%s,' % (
            msgspec.json.encode(page.parent.partitions),
            msgspec.json.encode(dict(page.parent.fields)),
        )
    prefix += b'"_record":'
    records: Sequence[bytes] = page.records
    together = b"".join(records)
    if b"\n" in together or b"\r" in together:  # pretty-printed records hold line ends of their own
        records = [_one_line(record) for record in records]
    longest = len(prefix) + max(map(len, records)) + len(b"}")
    return prefix + (b"}\n" + prefix).join(records) + b"}\n", longest


def _require_room(folder: Path, more_bytes: int) -> None:
    """Raise DestinationUnwritable where a disk would be all but full with so many bytes more.

    A file system that does not say how large it is (some in user space) is written until it refuses.
    """
    disk = shutil.disk_usage(folder)
    left_free = min(_LEFT_FREE_BYTES, int(disk.total * _LEFT_FREE_SHARE))
    if disk.total and disk.free - more_bytes < left_free:
        raise DestinationUnwritable(
            f"The spool {folder} is not written any further: its disk has {disk.free / 1e6:,.0f} MB left, and a long "
            f"reading leaves {left_free / 1e6:,.0f} MB of it free. Make room, set another folder or ask for less; the "
            "tables are as they were, and what was read is kept."
        )


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
