import io
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from connector_resources.errors import DataError, DestinationBusy, DestinationUnwritable
from connector_resources.spool import Kept, Reason, Spool, SpoolKey, StartedOver, kept, open_spool, prune
from connector_resources.streams import Page, ParentRow, Slice
from tests.landing import Record, child, close_spools, daily, key, opened, page, said, snapshot, spooled, window

THINGS = daily(n="integer")
KEY = key(THINGS)
PARENTS = (ParentRow({"thing": "1"}, ("2026-03-01",)), ParentRow({"thing": "2"}, ("2026-03-01", "2026-03-02")))


@pytest.fixture(autouse=True)
def _spools_are_closed() -> Iterator[None]:
    yield
    close_spools()


def written(spool: Spool) -> list[list[object]]:
    """The lines of each page of a spool, decoded."""
    with spool.pages_file.open("rb") as file:
        return [[json.loads(line) for line in spool.page_lines(mark, file).splitlines()] for mark in spool.marks]


def reopened(folder: Path) -> Spool:
    return opened(folder, KEY)


@contextmanager
def running(process: "subprocess.Popen[str]") -> Iterator["subprocess.Popen[str]"]:
    try:
        yield process
    finally:
        with process:
            process.kill()


APPEND = """
import os, signal, sys, time
from pathlib import Path
from connector_resources.spool import open_spool
from tests.landing import key, page, daily

class Fatal:
    "A file whose process is killed after so many more bytes."
    def __init__(self, file, bytes_left):
        self.file, self.bytes_left = file, bytes_left
    def write(self, content):
        taken = self.file.write(bytes(content[: self.bytes_left]))
        self.bytes_left -= taken
        if self.bytes_left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return taken
    def fileno(self):
        return self.file.fileno()

spool = open_spool(Path(sys.argv[1]), key(daily(n="integer")))
print(spool.folder, flush=True)
with spool.writing() as writer:
"""

PAGE_LINES = len('{"_page":2,"_record":{"id": "2", "n": 2}}\n') * 2


@pytest.mark.parametrize(
    ("where", "dies"),
    [
        ("at a page boundary", "os.kill(os.getpid(), signal.SIGKILL)"),
        ("before the first byte of a page", "writer._pages = Fatal(writer._pages, 0)"),
        ("inside a record", "writer._pages = Fatal(writer._pages, 20)"),
        ("between the records of a page", f"writer._pages = Fatal(writer._pages, {PAGE_LINES // 2})"),
        ("between a page and its line in the index", f"writer._pages = Fatal(writer._pages, {PAGE_LINES})"),
        ("inside the line in the index", "writer._index = Fatal(writer._index, 30)"),
    ],
)
def test_a_killed_writer_leaves_its_whole_pages_and_their_token(tmp_path: Path, where: str, dies: str) -> None:
    code = f"""{APPEND}
    for number in range(9):
        if number == 2:
            {dies}
        record = {{"id": str(number), "n": number}}
        writer.append(page(record, record, token=f"after {{number}}"))
"""
    process = child(code, tmp_path)
    folder = Path(said(process, returncode=-9))
    spool = reopened(tmp_path)
    assert spool.folder == folder, where
    assert (spool.token, spool.resumed_pages, spool.records, spool.is_complete) == ("after 1", 2, 4, False)
    assert written(spool) == [[{"_page": n, "_record": {"id": str(n), "n": n}}] * 2 for n in (0, 1)]
    with spool.writing() as writer:
        writer.append(page({"id": "2"}))
        writer.finish()
    assert written(spool)[2:] == [[{"_page": 2, "_record": {"id": "2"}}]]
    assert spool.pages_file.read_bytes().count(b"\n") == 5


def test_a_writer_killed_at_any_moment_loses_no_page_it_has_reported(tmp_path: Path) -> None:
    code = f"""{APPEND}
    number = 0
    while True:
        writer.append(page(*[{{"id": str(number), "n": number}}] * 50, token=f"after {{number}}"))
        print(number, flush=True)
        number += 1
"""
    with running(child(code, tmp_path)) as process:
        assert process.stdout is not None
        reported = -1
        process.stdout.readline()
        while reported < 200:
            reported = int(process.stdout.readline())
        process.kill()
        reported = max([reported, *(int(line) for line in process.stdout.read().split("\n")[:-1])])
    spool = reopened(tmp_path)
    assert len(spool.marks) in (reported + 1, reported + 2)
    assert spool.token == f"after {len(spool.marks) - 1}"
    assert written(spool) == [[{"_page": n, "_record": {"id": str(n), "n": n}}] * 50 for n in range(len(spool.marks))]


def test_a_writer_killed_after_its_last_page_is_not_asked_to_read_again(tmp_path: Path) -> None:
    code = f"""{APPEND}
    writer.append(page({{"id": "1"}}, token="more"))
    writer.append(page({{"id": "2"}}, token=None))
    os.kill(os.getpid(), signal.SIGKILL)
"""
    said(child(code, tmp_path), returncode=-9)
    spool = reopened(tmp_path)
    assert (spool.is_complete, spool.resumed_pages) == (True, 2)


def test_a_writer_killed_before_its_first_page_starts_over(tmp_path: Path) -> None:
    said(child(f"{APPEND}\n    os.kill(os.getpid(), signal.SIGKILL)", tmp_path), returncode=-9)
    spool = reopened(tmp_path)
    assert (spool.token, spool.resumed_pages, spool.is_complete) == (None, 0, False)


@pytest.mark.parametrize(
    "other",
    [
        key(THINGS, account="another account"),
        key(daily("others", n="integer")),
        key(daily("things.more", n="integer")),
        key(THINGS, Slice(window("2026-03-01"))),
        key(THINGS, Slice(parents=PARENTS)),
        key(THINGS, Slice(parents=())),
    ],
)
def test_the_spool_of_another_reading_is_never_taken_up(tmp_path: Path, other: SpoolKey) -> None:
    begun = opened(tmp_path, other)
    with begun.writing() as writer:
        writer.append(page({"id": "1"}, token="more"))
    begun.close()
    assert reopened(tmp_path).resumed_pages == 0
    assert opened(tmp_path, other).resumed_pages == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Slice(parents=PARENTS), Slice(parents=PARENTS[:1])),
        (Slice(parents=PARENTS), Slice(parents=PARENTS[::-1])),
        (Slice(parents=PARENTS[:1]), Slice(parents=(ParentRow({"thing": "1"}, ("2026-03-02",)),))),
        (Slice(parents=PARENTS[:1]), Slice(parents=(ParentRow({"thing": 1}, ("2026-03-01",)),))),
        (Slice(window("2026-03-01"), PARENTS), Slice(window("2026-03-02"), PARENTS)),
        (Slice(window("2026-03-01", "2026-03-03")), Slice(window("2026-03-01", "2026-03-04"))),
    ],
)
def test_other_parents_and_windows_make_another_key(one: Slice, other: Slice) -> None:
    assert key(THINGS, one).folder_name != key(THINGS, other).folder_name


def test_a_spool_whose_folder_bears_our_name_but_not_our_key_is_removed(tmp_path: Path) -> None:
    spooled(tmp_path, THINGS, [page({"id": "1"}, token="more")]).close()
    (folder,) = tmp_path.iterdir()
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["key"]["account"] = "another account"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert reopened(tmp_path).resumed_pages == 0


@pytest.mark.parametrize(("hours", "resumed"), [(5.9, 1), (6.1, 0)])
def test_a_reading_that_was_interrupted_long_ago_starts_over(tmp_path: Path, hours: float, resumed: int) -> None:
    spooled(tmp_path, THINGS, [page({"id": "1"}, token="more")]).close()
    (folder,) = tmp_path.iterdir()
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["started_at"] = time.time() - hours * 3600
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert reopened(tmp_path).resumed_pages == resumed


@pytest.mark.parametrize("content", ["", "{", '{"key": null}', '{"is_complete": true}'])
def test_a_manifest_that_cannot_be_read_starts_over(tmp_path: Path, content: str) -> None:
    spooled(tmp_path, THINGS, [page({"id": "1"}, token="more")]).close()
    (folder,) = tmp_path.iterdir()
    (folder / "manifest.json").write_text(content)
    assert reopened(tmp_path).resumed_pages == 0


def test_two_processes_never_share_a_spool(tmp_path: Path) -> None:
    code = f"""{APPEND}
    writer.append(page({{"id": "1"}}, token="more"))
    print("ready", flush=True)
    sys.stdin.read()
"""
    with running(child(code, tmp_path)) as process:
        assert process.stdout is not None
        theirs = Path(process.stdout.readline().strip())
        assert process.stdout.readline() == "ready\n"
        ours = reopened(tmp_path)
        assert (ours.folder != theirs, ours.resumed_pages) == (True, 0)
        process.kill()
        process.wait()
    freed = reopened(tmp_path)
    assert (freed.folder, freed.resumed_pages) == (theirs, 1)


def test_spools_opened_and_removed_at_the_same_time_stay_apart(tmp_path: Path) -> None:
    def open_and_discard(_: int) -> Path:
        spool = reopened(tmp_path)
        with spool.writing() as writer:
            writer.append(page({"id": "1"}, token="more"))
            writer.append(page({"id": "2"}, token=None))
        assert [mark.number for mark in spool.marks] == [0, 1]
        assert len(written(spool)) == 2
        assert (spool.folder / "manifest.json").exists()
        spool.discard()
        return spool.folder

    with ThreadPoolExecutor(8) as threads:
        assert len(list(threads.map(open_and_discard, range(200)))) == 200
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_was_removed_while_we_waited_for_it_is_not_ours(tmp_path: Path) -> None:
    first = reopened(tmp_path)
    waiting = (first.folder / "lock").open("ab")
    first.discard()
    second = reopened(tmp_path)
    assert second.folder == first.folder
    assert not os.path.samestat(os.fstat(waiting.fileno()), (second.folder / "lock").stat())
    waiting.close()
    assert reopened(tmp_path).folder != second.folder


def damaged(folder: Path, page_number: int) -> Spool:
    """A complete spool of four pages, one of which has a byte changed."""
    spool = spooled(folder, THINGS, [page({"id": str(n)}, token=None if n == 3 else f"after {n}") for n in range(4)])
    content = bytearray(spool.pages_file.read_bytes())
    content[spool.marks[page_number].end - 4] ^= 1
    spool.pages_file.write_bytes(bytes(content))
    return spool


def test_a_damaged_page_is_noticed_and_named(tmp_path: Path) -> None:
    spool = damaged(tmp_path, 2)
    with spool.pages_file.open("rb") as file:
        assert spool.page_lines(spool.marks[1], file) == b'{"_page":1,"_record":{"id": "1"}}\n'
        with pytest.raises(DataError) as noticed:
            spool.page_lines(spool.marks[2], file)
    assert str(noticed.value) == (
        f"source.things: page 2 of the spool {spool.folder} is damaged. Remove that folder and run again; the table "
        "is as it was."
    )


def test_a_complete_spool_with_a_damaged_page_goes_on_before_it(tmp_path: Path) -> None:
    damaged(tmp_path, 2).close()
    spool = reopened(tmp_path)
    assert (spool.is_complete, spool.resumed_pages, spool.token) == (False, 2, "after 1")
    with spool.writing() as writer:
        for token in ("b", "c"):  # as many pages as there were, but not the last one
            writer.append(page({"id": token}, token=token))
    spool.close()
    spool = reopened(tmp_path)
    assert (spool.is_complete, spool.token) == (False, "c")


@pytest.mark.parametrize("line", [b"\0\0\0\n", b'{"number":2}\n', b'{"number":2,"received":1', b"\n"])
def test_an_index_that_ends_in_rubbish_counts_up_to_there(tmp_path: Path, line: bytes) -> None:
    spool = spooled(tmp_path, THINGS, [page({"id": str(n)}, token=f"after {n}") for n in range(2)])
    spool.close()
    with (spool.folder / "index.ndjson").open("ab") as index:
        index.write(line)
    spool = reopened(tmp_path)
    assert (spool.token, spool.resumed_pages) == ("after 1", 2)


def test_a_complete_spool_is_taken_up_whole_until_it_is_committed(tmp_path: Path) -> None:
    spooled(tmp_path, THINGS, [page({"id": "1"}, token="more"), page()]).close()
    spool = reopened(tmp_path)
    assert (spool.is_complete, spool.resumed_pages, spool.records) == (True, 2, 1)
    spool.mark_committed()
    spool.close()
    new = reopened(tmp_path)
    assert (new.folder != spool.folder, new.resumed_pages, new.is_complete) == (True, 0, False)


def test_an_extraction_without_pages_is_complete_and_empty(tmp_path: Path) -> None:
    spooled(tmp_path, THINGS, []).close()
    spool = reopened(tmp_path)
    assert (spool.is_complete, spool.records, spool.size_bytes, spool.token) == (True, 0, 0, None)


def test_a_full_disk_is_named_and_the_pages_before_it_are_kept(tmp_path: Path) -> None:
    code = f"""{APPEND.removesuffix("with spool.writing() as writer:" + chr(10))}
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
try:
    with spool.writing() as writer:
        while True:
            writer.append(page({{"id": "x" * 30_000}}, token=f"after {{len(spool.marks)}}"))
except Exception as error:
    print(type(error).__name__, error)
"""
    folder, told = said(child(code, tmp_path)).split("\n")
    assert told == (
        f"DestinationUnwritable The spool {folder} cannot be written (File too large). Make room or set another "
        "folder; the tables are as they were, and what was read is kept."
    )
    assert Path(folder, "pages.ndjson").stat().st_size == 100_000
    spool = reopened(tmp_path)
    assert (spool.token, spool.resumed_pages, len(written(spool))) == ("after 2", 3, 3)
    assert spool.pages_file.stat().st_size == spool.size_bytes < 100_000


@dataclass
class Disk:
    """What is said of the disk that spools are on: how large it is, and what would be free of it without them."""

    total: int
    free: int

    def usage(self, folder: Path) -> "Disk":
        return Disk(self.total, self.free - sum(file.stat().st_size for file in folder.glob("pages.ndjson")))


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    """A disk that is full; a reading of more than 100 KB is a long one."""
    found = Disk(1 << 40, 0)
    monkeypatch.setattr(shutil, "disk_usage", found.usage)
    monkeypatch.setattr("connector_resources.spool._SHORT_BYTES", 100_000)
    return found


def write_pages(spool: Spool, count: int, size: int) -> None:
    with spool.writing() as writer:
        for number in range(count):
            writer.append(page({"id": "x" * size}, token=f"after {number}"))


@pytest.mark.parametrize(("total", "left_free"), [(10 << 30, (10 << 30) * 5 // 100), (1 << 40, 1 << 30)])
def test_a_long_reading_leaves_some_of_the_disk_free_and_is_gone_on_with_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disk: Disk, total: int, left_free: int
) -> None:
    monkeypatch.setattr("connector_resources.spool._LOOK_EVERY_BYTES", 1_000)
    disk.total, disk.free = total, left_free + 250_000
    spool = reopened(tmp_path)
    with pytest.raises(DestinationUnwritable) as told:
        write_pages(spool, 20, 30_000)
    assert disk.free - spool.pages_file.stat().st_size >= left_free
    assert str(told.value) == (
        f"The spool {spool.folder} is not written any further: its disk has {left_free / 1e6:,.0f} MB left, and a long "
        f"reading leaves {left_free / 1e6:,.0f} MB of it free. Make room, set another folder or ask for less; the "
        "tables are as they were, and what was read is kept."
    )
    disk.free *= 2
    spool = reopened(tmp_path)
    assert (spool.token, spool.resumed_pages) == ("after 7", 8)
    write_pages(spool, 1, 30_000)
    spool.close()


def test_what_a_long_reading_writes_between_two_looks_at_the_disk_is_left_free_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disk: Disk
) -> None:
    monkeypatch.setattr("connector_resources.spool._LOOK_EVERY_BYTES", 50_000)
    disk.total, disk.free = 1_000_000, 400_000
    spool = reopened(tmp_path)
    with pytest.raises(DestinationUnwritable):
        write_pages(spool, 50, 9_000)
    assert disk.free - spool.size_bytes >= disk.total * 5 // 100
    assert spool.size_bytes > 250_000


def test_a_disk_that_does_not_say_how_large_it_is_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disk: Disk
) -> None:
    monkeypatch.setattr("connector_resources.spool._SHORT_BYTES", 1)
    disk.total = 0
    spool = spooled(tmp_path, THINGS, [page({"id": "x" * 30_000})])
    assert spool.is_complete
    spool.close()


@pytest.mark.usefixtures("disk")
def test_a_short_reading_takes_what_the_disk_has(tmp_path: Path) -> None:
    spool = spooled(tmp_path, THINGS, [page({"id": "x" * 30_000})])
    assert spool.is_complete
    spool.close()


def test_a_file_that_takes_a_few_bytes_at_a_time_gets_them_all(tmp_path: Path) -> None:
    class Reluctant(io.FileIO):
        def write(self, content: Any) -> int:
            return super().write(content[:7])

    spool = reopened(tmp_path)
    with spool.writing() as writer:
        for name in ("_pages", "_index"):
            file = getattr(writer, name)
            setattr(writer, name, Reluctant(file.name, "ab"))
            file.close()
        writer.append(page({"id": "1"}, {"id": "2"}, token="more"))
    spool.close()
    spool = reopened(tmp_path)
    assert (spool.token, written(spool)) == ("more", [[{"_page": 0, "_record": {"id": n}} for n in ("1", "2")]])


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DestinationUnwritable) as told:
        open_spool(tmp_path / "file" / "spools", KEY)
    assert str(told.value).startswith(f"The spool {tmp_path}/file/spools cannot be written (Not a directory). Make ")


@pytest.mark.parametrize(
    ("record", "line"),
    [
        (b'{"a":1.50}', b'{"a":1.50}'),
        (b'{\n  "a": 1.50\n}', b'{"a":1.50}'),
        (b'{\r\n "a" : 123456789012345678901234567890 }', b'{"a":123456789012345678901234567890}'),
        (b'{\r"a":0.12345678901234567890123}', b'{"a":0.12345678901234567890123}'),
        (b'{"a":\n1e400}', b'{"a":1e400}'),
        (b'{\n"a":"line\\nend \\u00e9 \\/ \xc3\xa9"}', b'{"a":"line\\nend \\u00e9 \\/ \xc3\xa9"}'),
        (b'{\n"a":[ {\n} , [\n] ]}', b'{"a":[{},[]]}'),
        (b'{"a": [1, 2]}', b'{"a": [1, 2]}'),
        (b'{\n"a":"half \\ud800",\r\n"b":1.50}', b'{ "a":"half \\ud800",  "b":1.50}'),
    ],
)
def test_a_record_becomes_one_line_and_keeps_its_numbers(tmp_path: Path, record: bytes, line: bytes) -> None:
    spool = spooled(tmp_path, THINGS, [page(record, b'{"b":2}', record)])
    lines = spool.pages_file.read_bytes()
    assert lines == b"".join(b'{"_page":0,"_record":%s}\n' % each for each in (line, b'{"b":2}', line))
    assert spool.marks[0].longest == max(map(len, lines.split(b"\n")))


def test_the_lines_of_a_page_name_their_parent(tmp_path: Path) -> None:
    spool = spooled(tmp_path, THINGS, [page({"id": "1"}, parent=PARENTS[1]), page(parent=PARENTS[0])])
    parent = {"_partitions": ["2026-03-01", "2026-03-02"], "_parent": {"thing": "2"}}
    assert written(spool) == [[{"_page": 0, **parent, "_record": {"id": "1"}}], []]


@pytest.mark.parametrize("name", ["a/b", "..", "a[b]*?", "ä ö", "x" * 300, ""])
def test_a_stream_of_any_name_has_a_spool_of_its_own(tmp_path: Path, name: str) -> None:
    odd, other = (snapshot(each, id="string") for each in (name, name + "!"))
    for stream in (odd, other):
        spooled(tmp_path, stream, [page({"id": "1"}, token="more")]).close()
    assert opened(tmp_path, key(odd)).resumed_pages == 1
    assert opened(tmp_path, key(other)).resumed_pages == 1
    assert all(folder.parent == tmp_path for folder in tmp_path.iterdir())


def committed(folder: Path, name: str, *, days_ago: float, size_bytes: int = 1) -> Path:
    records: list[Record] = [{"id": "x" * size_bytes}]
    spool = spooled(folder, snapshot(name, id="string"), [page(*records)])
    spool.mark_committed()
    spool.close()
    aged(spool.folder, days_ago)
    return spool.folder


def aged(folder: Path, days: float) -> None:
    instant = time.time() - days * 86_400
    os.utime(folder, (instant, instant))


def test_committed_spools_are_removed_when_they_are_old(tmp_path: Path) -> None:
    old, young = (committed(tmp_path, name, days_ago=days) for name, days in (("old", 7.1), ("young", 6.9)))
    assert prune(tmp_path, keep_days=7, keep_bytes=10**9) == [old]
    assert list(tmp_path.iterdir()) == [young]


def test_the_oldest_committed_spools_are_removed_until_the_rest_fits(tmp_path: Path) -> None:
    folders = [committed(tmp_path, f"n{days}", days_ago=days, size_bytes=10_000) for days in (1, 2, 3, 4)]
    assert prune(tmp_path, keep_days=7, keep_bytes=25_000) == [folders[3], folders[2]]
    assert sorted(tmp_path.iterdir()) == folders[:2]


def test_unfinished_spools_are_removed_once_they_are_too_old_to_be_resumed(tmp_path: Path) -> None:
    folders = {}
    for name, hours in (("old", 6.1), ("young", 5.9)):
        spool = spooled(tmp_path, snapshot(name, id="string"), [page({"id": "1"})])
        spool.close()
        aged(spool.folder, hours / 24)
        folders[name] = spool.folder
    assert prune(tmp_path, keep_days=0, keep_bytes=0) == [folders["old"]]
    assert list(tmp_path.iterdir()) == [folders["young"]]


def test_a_spool_that_is_in_use_and_what_is_no_spool_are_not_removed(tmp_path: Path) -> None:
    held = reopened(tmp_path)
    aged(held.folder, 100)
    for other in ("temporary", "a.b.c.d"):
        (tmp_path / other).touch()
    assert prune(tmp_path, keep_days=0, keep_bytes=0) == []
    held.close()
    assert prune(tmp_path, keep_days=0, keep_bytes=0) == [held.folder]


def test_a_newer_committed_extraction_replaces_the_one_before(tmp_path: Path) -> None:
    kept = []
    for _ in range(3):
        spool = spooled(tmp_path, THINGS, [page({"id": "1"})])
        spool.mark_committed()
        spool.close()
        kept.append(spool.folder)
        assert list(tmp_path.iterdir()) == [kept[-1]]


def test_a_reading_begun_before_something_newer_was_landed_is_not_taken_up(tmp_path: Path) -> None:
    spool = reopened(tmp_path)
    with spool.writing() as writer:
        writer.append(page({"id": "1"}, token="more"))
    spool.close()
    after_it_began = spool.started_at + 0.001

    again = open_spool(tmp_path, KEY, not_before=lambda runs: after_it_began)

    assert (again.resumed_pages, again.token) == (0, None)
    assert [folder for folder in tmp_path.iterdir() if not folder.name.startswith(".")] == [again.folder]
    again.close()


# Why a reading starts over


def rewritten(folder: Path, **changes: Any) -> None:
    """Change what a manifest says."""
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | changes))


def begun(folder: Path, key: SpoolKey, *, is_whole: bool = False, partitions: tuple[str, ...] = ()) -> Spool:
    """A spool of two pages that was let go; without `is_whole` it was broken off."""
    spool = open_spool(folder, key, partitions=partitions)
    with spool.writing() as writer:
        for number in range(2):
            writer.append(page({"id": str(number)}, token=f"after {number}"))
        if is_whole:
            writer.finish()
    spool.close()
    return spool


def told_when_opened(folder: Path, key: SpoolKey = KEY, **options: Any) -> list[StartedOver]:
    told: list[StartedOver] = []
    spool = open_spool(folder, key, started_over=told.append, **options)
    assert (spool.resumed_pages, spool.token) == (0, None)
    spool.close()
    return told


def test_a_reading_that_is_too_old_says_so(tmp_path: Path) -> None:
    rewritten(begun(tmp_path, KEY).folder, started_at=time.time() - 6.1 * 3600)
    assert told_when_opened(tmp_path) == [StartedOver("things", 2, Reason.TOO_OLD)]
    assert told_when_opened(tmp_path) == []


def test_a_reading_that_others_have_overtaken_says_so(tmp_path: Path) -> None:
    spool = begun(tmp_path, KEY)
    told = told_when_opened(tmp_path, not_before=lambda runs: spool.started_at + 1)
    assert told == [StartedOver("things", 2, Reason.LANDED_SINCE)]


@pytest.mark.parametrize("content", ["", '{"key": null}', '{"started_at": 1}'])
def test_pages_without_a_manifest_that_can_be_read_are_named(tmp_path: Path, content: str) -> None:
    (begun(tmp_path, KEY).folder / "manifest.json").write_text(content)
    assert told_when_opened(tmp_path) == [StartedOver("things", 2, Reason.UNREADABLE)]


@pytest.mark.parametrize(
    ("before", "reason"),
    [
        (key(daily(n="number")), Reason.DECLARATION_CHANGED),
        (SpoolKey.of("account", "source", THINGS, Slice(), "other settings"), Reason.SETTINGS_CHANGED),
    ],
)
def test_what_was_read_under_other_terms_is_not_left_lying_and_said_once(
    tmp_path: Path, before: SpoolKey, reason: Reason
) -> None:
    old = begun(tmp_path, before)
    assert told_when_opened(tmp_path) == [StartedOver("things", 2, reason)]
    assert not old.folder.exists()
    assert told_when_opened(tmp_path) == []


def test_what_was_read_under_other_parents_of_the_same_days_is_not_left_lying(tmp_path: Path) -> None:
    one, two = (key(THINGS, Slice(parents=parents)) for parents in (PARENTS, PARENTS[:1]))
    begun(tmp_path, one, partitions=("2026-03-01",))
    other = begun(tmp_path, one, partitions=("2026-03-02",))
    assert told_when_opened(tmp_path, two, partitions=("2026-03-03",)) == []
    assert told_when_opened(tmp_path, two, partitions=("2026-03-01", "2026-03-02")) == [
        StartedOver("things", 4, Reason.PARENTS_CHANGED)
    ]
    assert not other.folder.exists()


@pytest.mark.parametrize(
    "before",
    [
        key(daily("things", n="number"), account="another account"),
        key(THINGS, Slice(window("2026-03-01"))),
        key(daily("things.more", n="integer")),
    ],
)
def test_what_others_have_begun_is_left_to_them(tmp_path: Path, before: SpoolKey) -> None:
    begun(tmp_path, before)
    assert told_when_opened(tmp_path) == []
    taken = opened(tmp_path, before)
    assert taken.resumed_pages == 2


def test_what_was_read_under_another_declaration_is_left_to_the_process_that_holds_it(tmp_path: Path) -> None:
    held = begun(tmp_path, key(daily(n="number")))
    held = opened(tmp_path, held.key)
    assert told_when_opened(tmp_path) == []
    held.close()
    assert [told.reason for told in told_when_opened(tmp_path)] == [Reason.DECLARATION_CHANGED]


def test_a_whole_reading_under_another_declaration_is_kept_for_a_replay(tmp_path: Path) -> None:
    spool = begun(tmp_path, key(daily(n="number")), is_whole=True)
    (told,) = told_when_opened(tmp_path)
    assert told == StartedOver("things", 2, Reason.DECLARATION_CHANGED, is_kept=True)
    assert str(told) == (
        "things: 2 pages of an earlier reading are not taken up: the stream's declaration has changed since. It is "
        "read from the start. They are whole: `python -m orchestration.replay` can land them."
    )
    assert {each.folder: each.state for each in kept(tmp_path)}[spool.folder] == "refused"
    assert told_when_opened(tmp_path) == []


# What could not be landed, and what is there to be replayed


def refused(folder: Path, key: SpoolKey = KEY) -> Spool:
    spool = begun(folder, key, is_whole=True)
    spool.mark_refused()
    return spool


def test_a_refused_spool_is_read_anew_and_kept(tmp_path: Path) -> None:
    spool = refused(tmp_path)
    assert told_when_opened(tmp_path) == []
    assert [each.state for each in kept(tmp_path)] == ["unfinished", "refused"]
    assert kept(tmp_path)[1].folder == spool.folder


@pytest.mark.parametrize("mark", ["mark_refused", "mark_committed"])
def test_a_newer_spool_replaces_the_refused_one_before(tmp_path: Path, mark: str) -> None:
    refused(tmp_path)
    newer = begun(tmp_path, KEY, is_whole=True)
    getattr(newer, mark)()
    assert list(tmp_path.iterdir()) == [newer.folder]


def test_a_refused_spool_does_not_replace_the_one_that_is_landed(tmp_path: Path) -> None:
    landed = begun(tmp_path, KEY, is_whole=True)
    landed.mark_committed()
    refused(tmp_path)
    assert sorted(each.state for each in kept(tmp_path)) == ["committed", "refused"]
    landed.mark_refused()
    assert sorted(each.state for each in kept(tmp_path)) == ["committed", "refused"]


def test_a_refused_spool_that_is_landed_is_committed(tmp_path: Path) -> None:
    refused(tmp_path)
    spool = kept(tmp_path)[0].taken_up()
    spool.mark_committed()
    spool.close()
    assert [each.state for each in kept(tmp_path)] == ["committed"]
    assert not (spool.folder / "refused").exists()


def test_refused_spools_are_removed_as_landed_ones_are(tmp_path: Path) -> None:
    folders = [refused(tmp_path, key(snapshot(f"n{days}", id="string"))).folder for days in (1, 2, 3)]
    for days, folder in enumerate(folders, 1):
        aged(folder, days)
    assert prune(tmp_path, keep_days=2.5, keep_bytes=10**9) == [folders[2]]
    size = sum(file.stat().st_size for file in folders[0].iterdir())
    assert prune(tmp_path, keep_days=2.5, keep_bytes=size) == [folders[1]]
    assert list(tmp_path.iterdir()) == [folders[0]]


def test_what_is_on_disk_is_listed_newest_first(tmp_path: Path) -> None:
    march = key(THINGS, Slice(window("2026-03-01", "2026-03-04")))
    days = ("2026-03-01", "2026-03-02", "2026-03-03")
    whole = begun(tmp_path, march, is_whole=True, partitions=days)
    whole.note_landing("run 1".replace(" ", ""))
    whole.note_landing("run2")
    whole.note_landing("run2")
    whole.mark_committed()
    broken_off = begun(tmp_path, KEY, partitions=("all",))
    size = broken_off.size_bytes
    assert kept(tmp_path) == [
        Kept(broken_off.folder, KEY, ("all",), "unfinished", broken_off.started_at, 2, 2, size, ()),
        Kept(whole.folder, march, days, "committed", whole.started_at, 2, 2, size, ("run1", "run2")),
    ]


def test_manifests_from_before_partitions_were_noted_can_still_be_read(tmp_path: Path) -> None:
    keys = (
        KEY,
        key(THINGS, Slice(window("2026-02-27", "2026-03-02"))),
        key(THINGS, Slice(parents=PARENTS)),
        key(THINGS, Slice(window("2026-03-01"), PARENTS)),
    )
    found = []
    for each in keys:
        folder = begun(tmp_path, each, is_whole=True).folder
        manifest = json.loads((folder / "manifest.json").read_text())
        del manifest["partitions"], manifest["key"]["settings"]
        (folder / "manifest.json").write_text(json.dumps(manifest))
        found.append(next(one for one in kept(tmp_path) if one.folder == folder).partitions)
        assert opened(tmp_path, each).resumed_pages == 2
    assert found == [("all",), ("2026-02-27", "2026-02-28", "2026-03-01"), (), ("2026-03-01",)]


def test_a_spool_that_is_damaged_or_held_is_not_replayed_and_left_as_it_is(tmp_path: Path) -> None:
    spool = damaged(tmp_path, 2)
    before = spool.pages_file.read_bytes()
    spool.mark_committed()
    (there,) = kept(tmp_path)
    with pytest.raises(DestinationBusy, match="is in use by another process"):
        there.taken_up()
    spool.close()
    with pytest.raises(DataError, match=f"page 2 of the spool {spool.folder} is damaged. It cannot be replayed"):
        there.taken_up()
    assert spool.pages_file.read_bytes() == before
    with pytest.raises(DataError):  # and is not held for ever
        there.taken_up()


def test_what_set_out_to_land_a_spool_does_not_count_as_landed_since(tmp_path: Path) -> None:
    spool = begun(tmp_path, KEY, is_whole=True)
    spool.note_landing("run1")
    asked: list[tuple[str, ...]] = []
    again = open_spool(tmp_path, KEY, not_before=lambda runs: asked.append(tuple(runs)) or 0.0)  # type: ignore[func-returns-value]  # None
    assert (asked, again.resumed_pages) == ([("run1",)], 2)
    again.close()


def counting(records: int, total: int | None, ends_list: bool | None) -> Page:
    return Page([b'{"id": "1"}'] * records, total=total, ends_list=ends_list)


@pytest.mark.parametrize(
    ("pages", "counted"),
    [
        ([], 0),
        ([counting(2, 3, False), counting(1, 3, True)], 3),
        ([counting(2, 3, False), counting(1, 3, True), counting(0, 0, True), counting(1, 4, True)], 7),
        ([counting(1, 2, True), Page((), is_gone=True)], 2),
        ([counting(1, None, True)], None),
        ([counting(1, 1, True), counting(1, None, True)], None),
        ([counting(1, 9, None)], None),  # read newest first, or marked before ends were noted
        ([counting(1, 1, None), counting(1, 1, True)], None),
    ],
)
def test_what_the_server_counts_is_the_sum_of_its_lists_where_all_of_them_are_known(
    tmp_path: Path, pages: list[Page], counted: int | None
) -> None:
    spooled(tmp_path, THINGS, pages).close()

    assert opened(tmp_path, KEY).counted == counted


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("landed_by", b"\xff\xfe"),
        ("manifest.json", b"{"),
        ("manifest.json", b"1e20"),
        ("manifest.json", b"4000000000"),
        ("manifest.json", b"-1"),
    ],
)
def test_a_damaged_spool_is_listed_as_such_and_hides_no_other(tmp_path: Path, file: str, content: bytes) -> None:
    damaged, sound = refused(tmp_path), begun(tmp_path, KEY, is_whole=True)
    if content.lstrip(b"-")[:1].isdigit():  # as the time of the reading
        manifest = json.loads((damaged.folder / file).read_bytes())
        content = json.dumps({**manifest, "started_at": float(content)}).encode()
    (damaged.folder / file).write_bytes(content)
    for spool in (damaged, sound):
        spool.close()

    found = {each.folder: each for each in kept(tmp_path)}
    assert {folder: each.state for folder, each in found.items()} == {
        damaged.folder: "damaged",
        sound.folder: "complete",
    }
    assert (found[damaged.folder].key.source, found[damaged.folder].key.stream) == ("source", "things")
    assert abs(found[damaged.folder].started_at - time.time()) < 3_600


def test_a_spool_whose_runs_cannot_be_read_is_gone_on_with(tmp_path: Path) -> None:
    spool = begun(tmp_path, KEY, is_whole=True)
    (spool.folder / "landed_by").write_bytes(b"\xff\xfe")
    spool.close()
    again = open_spool(tmp_path, KEY, not_before=lambda runs: float(len(runs)))
    again.note_landing("run")
    assert (again.folder, again.is_complete) == (spool.folder, True)
    again.close()
