"""Streams of one account that are read side by side: what is read is what is read in turn, sooner."""

import itertools
import json
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import pytest
import requests
from requests.adapters import BaseAdapter

import connector_resources as ab
from connector_resources.destinations.duckdb import DuckDB
from connector_resources.errors import ConnectorError, DestinationUnwritable, MissingCredential, RequestBudgetSpent
from connector_resources.http.ahead import InFlight, Share, Stopped
from connector_resources.http.authenticators import BearerToken
from connector_resources.http.paginators import Token
from connector_resources.http.rate_limit import RateLimit
from connector_resources.http.retry import RetryPolicy
from connector_resources.http.stream import HttpStream
from connector_resources.progress import Course
from connector_resources.resource import HttpSource, Source
from connector_resources.results import ReadResult
from connector_resources.sandbox.process import SandboxProcess
from connector_resources.sandbox.settings import Settings
from connector_resources.side_by_side import CALLING_THREAD, Reading, SideBySide
from connector_resources.spool import Spool, kept
from connector_resources.streams import Column, Parent, Slice, Stream
from connector_resources.sync import Outcome, Sync, Unwatched, Watcher
from connector_resources.watching import Expectation
from tests.http.fake_api import Prepared
from tests.test_sync import Place

PAGES, SIZE = 4, 3
LONGEST_SECONDS = 5.0
NOON = datetime(2026, 3, 5, 12, tzinfo=UTC)


def stream(name: str, **facts: Any) -> HttpStream:
    columns = (Column("id", "string", ""), Column("n", "integer", ""))
    given: dict[str, Any] = {
        "description": "", "columns": columns, "primary_key": ("id",), "path": f"/{name}", "records": "things",
        "paginator": Token("next", "page"),
    }  # fmt: skip
    return HttpStream(name=name, **(given | facts))


LISTS = tuple(stream(name) for name in "abcdef")
A, B, C = LISTS[:3]
PARTS = stream(
    "parts",
    path="/a/{a}/parts",
    columns=(Column("id", "string", ""), Column("a_id", "string", "", parent="a")),
    primary_key=("a_id", "id"),
    parent=Parent(A, {"a": "id"}),
)


class Shop(HttpSource):
    """An account behind what a test mounts."""

    name: ClassVar[str] = "shop"
    default_url: ClassVar[str] = "http://shop.test"
    rate_limit: ClassVar[RateLimit] = RateLimit()
    streams: ClassVar[tuple[Stream, ...]] = (*LISTS, PARTS)
    retry: ClassVar[RetryPolicy] = RetryPolicy(tries=2)

    def authenticator(self) -> BearerToken:
        return BearerToken("a-secret")


Answer = Callable[[str, int], Prepared | None]
"""Given a path and a page, what is answered instead of the page; it may wait."""


@dataclass
class Vendor(BaseAdapter):
    """Answers pages, and notes who asked for what, and how many were on their way.

    Pages but the first of `meeting` are answered when requests of all of them have been on their way at once.
    """

    instead: Answer = lambda path, page: None
    meeting: tuple[str, ...] = ("a", "b")
    asked: list[tuple[str, int]] = field(default_factory=list)
    largest: int = 0
    together: set[frozenset[str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.changed = threading.Condition()
        self.on_their_way: list[str] = []

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        address = urlsplit(request.url or "")
        path, page = address.path, int(address.query.removeprefix("page=") or 1)
        with self.changed:
            self.asked.append((path, page))
            self.on_their_way.append(path)
            self.largest = max(self.largest, len(self.on_their_way))
            self.together.add(frozenset(each.split("/")[1] for each in self.on_their_way))
            self.changed.notify_all()
        try:
            if page > 1 and path[1:] in self.meeting and not self.meets(*self.meeting):
                self.meeting = ()
            prepared = self.instead(path, page)
            return (prepared or page_of(path, page)).response(request)
        finally:
            with self.changed:
                self.on_their_way.remove(path)
                self.changed.notify_all()

    def close(self) -> None:
        pass

    @property
    def most_streams(self) -> int:
        return max(map(len, self.together))

    def meets(self, *names: str) -> bool:
        """Wait until requests of these streams were on their way at once; returns whether they were."""
        wanted = frozenset(names)
        with self.changed:
            return self.changed.wait_for(lambda: any(wanted <= each for each in self.together), LONGEST_SECONDS)


def page_of(path: str, page: int) -> Prepared:
    things = [{"id": f"{page}-{each}", "n": each} for each in range(SIZE)]
    return Prepared(body={"things": things, **({"next": str(page + 1)} if page < PAGES else {})})


def shop(folder: Path, vendor: BaseAdapter, *, is_slow: bool = True, kind: type[Shop] = Shop, **given: Any) -> Shop:
    made = kind(state_folder=str(folder / "state"), **given)
    made.client.session.mount("http://", vendor)
    made.client.clock = itertools.count(step=0.9 if is_slow else 0).__next__
    made.client.sleep = lambda seconds: None
    return made


class CallersPlace(Place):
    """A cache whose database nobody but the calling thread asks for anything."""

    @property
    def store(self) -> DuckDB:
        assert threading.current_thread() is threading.main_thread()
        return super().store


def read(
    folder: Path, source: Source, *streams: Stream, watcher: Watcher | None = None, sleep: Any = time.sleep
) -> Outcome:
    sync = Sync(source, CallersPlace(folder), "sandbox", date(2026, 3, 1), clock=lambda: NOON, sleep=sleep)
    if watcher is not None:
        sync.watcher = watcher
    return sync.read(streams)


@contextmanager
def nothing_is_left() -> Iterator[None]:
    """Let no thread outlive the block."""
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


def spools(folder: Path) -> Mapping[str, tuple[bytes, bytes]]:
    found = (folder / "spools").glob("shop.*")
    return {
        each.name.split(".")[1]: ((each / "pages.ndjson").read_bytes(), (each / "index.ndjson").read_bytes())
        for each in found
    }


def tables(folder: Path, names: Sequence[str]) -> Mapping[str, Any]:
    """Return what the tables hold and what the state says of them; not when, nor by which run."""
    place, found = Place(folder), dict[str, Any]()
    for name in names:
        columns = [row for row in place.rows(f"SELECT column_name FROM information_schema.columns WHERE table_schema = 'shop' AND table_name = '{name}'") if row not in ("_loaded_at", "_run_id", "_extracted_at")]  # fmt: skip # noqa: E501
        found[name] = place.rows(f"SELECT {', '.join(columns)} FROM shop.{name} ORDER BY ALL")
    state = list(place.rows("SELECT column_name FROM information_schema.columns WHERE table_name = '_state'"))
    told = [name for name in state if not name.endswith("_at") and name not in ("run_id", "loaded_at")]
    found["_state"] = place.rows(f"SELECT {', '.join(told)} FROM _state ORDER BY ALL")
    return found


# What is read


def test_what_is_read_side_by_side_is_what_is_read_in_turn_byte_for_byte(tmp_path: Path) -> None:
    together, alone = Vendor(lambda path, page: pause(path, page)), Vendor(meeting=())
    draw = itertools.cycle((0.0, 0.003, 0.001, 0.004, 0.0, 0.002, 0.001))

    def pause(path: str, page: int) -> None:
        time.sleep(next(draw))

    asked = (PARTS, *LISTS)
    with nothing_is_left():
        outcome = read(tmp_path / "together", shop(tmp_path / "together", together), *asked)
    expected = read(tmp_path / "alone", shop(tmp_path / "alone", alone, concurrency=1), *asked)

    names = ["a", "parts", "b", "c", "d", "e", "f"]
    assert list(outcome.read) == list(expected.read) == names
    for name in names:
        assert outcome.read[name].records == expected.read[name].records
        assert outcome.read[name].requests == expected.read[name].requests
    assert tables(tmp_path / "together", names) == tables(tmp_path / "alone", names)
    assert spools(tmp_path / "together") == spools(tmp_path / "alone")
    assert sorted(together.asked) == sorted(alone.asked)
    assert (together.most_streams > 1, together.most_streams <= 4, together.largest <= 8) == (True, True, True)
    assert (alone.most_streams, alone.largest) == (1, 1)


def test_four_streams_and_no_more_are_asked_for_at_once_where_answers_take_time(tmp_path: Path) -> None:
    class Watching(Unwatched):
        begun = ended_streams = most = 0

        def began(self, stream: Stream, partitions: Sequence[str], asked: Slice, source: Source) -> None:
            self.begun += 1
            self.most = max(self.most, self.begun - self.ended_streams)

        def ended(self, stream: Stream, outcome: Any) -> None:
            self.ended_streams += 1

    vendor, watching = Vendor(meeting=("a", "b", "c", "d")), Watching()
    outcome = read(tmp_path, shop(tmp_path, vendor), *LISTS, watcher=watching)
    assert (outcome.failed, vendor.most_streams, watching.most) == ({}, 4, 4)


@pytest.mark.parametrize("concurrency", [2, 3, 8])
def test_all_streams_together_have_no_more_on_their_way_than_one_may(tmp_path: Path, concurrency: int) -> None:
    vendor = Vendor(lambda path, page: time.sleep(0.002))
    outcome = read(tmp_path, shop(tmp_path, vendor, concurrency=concurrency), PARTS, *LISTS)
    assert (outcome.failed, vendor.most_streams > 1, vendor.largest <= concurrency) == ({}, True, True)


def test_a_substream_begins_when_its_parent_has_landed(tmp_path: Path) -> None:
    landed = []

    def wait(path: str, page: int) -> None:
        if path.endswith("/parts"):
            landed.append(Place(tmp_path).rows("SELECT rows FROM _state WHERE name = 'a'"))

    vendor = Vendor(wait)
    outcome = read(tmp_path, shop(tmp_path, vendor), PARTS, B, C)
    assert outcome.read["parts"].records == PAGES * SIZE * PAGES * SIZE
    assert (len(landed), landed[0], vendor.most_streams > 1) == (PAGES * SIZE * PAGES, [PAGES * SIZE], True)


# Where it wins nothing


@pytest.mark.parametrize(
    ("is_slow", "concurrency", "streams"),
    [
        pytest.param(False, 8, LISTS, id="answers are there at once"),
        pytest.param(True, 1, LISTS, id="one request at a time"),
        pytest.param(True, 8, (A, PARTS), id="one waits for the other"),
    ],
)
def test_one_stream_after_the_other_in_the_calling_thread(
    tmp_path: Path, is_slow: bool, concurrency: int, streams: Sequence[Stream]
) -> None:
    class Watching(Unwatched):
        def paged(self, stream: Stream, spool: Spool) -> None:
            threads.add(threading.current_thread())

    threads: set[threading.Thread] = set()
    vendor = Vendor(meeting=())
    source = shop(tmp_path, vendor, is_slow=is_slow, concurrency=concurrency)
    outcome = read(tmp_path, source, *streams, watcher=Watching())
    assert (outcome.failed, vendor.most_streams, threads) == ({}, 1, {threading.current_thread()})


# What it costs


def test_what_each_stream_cost_is_counted_by_itself_and_all_by_the_account(tmp_path: Path) -> None:
    vendor = Vendor()
    source = shop(tmp_path, vendor)
    outcome = read(tmp_path, source, PARTS, *LISTS)
    of_stream = Counter("parts" if path.endswith("/parts") else path[1:] for path, _ in vendor.asked)
    assert {name: each.requests for name, each in outcome.read.items()} == of_stream
    assert (source.statistics.requests, vendor.most_streams > 1) == (len(vendor.asked), True)


def test_the_requests_of_a_day_are_those_of_all_streams_together(tmp_path: Path) -> None:
    vendor = Vendor()
    outcome = read(tmp_path, shop(tmp_path, vendor, daily_request_budget=10), *LISTS)
    assert (len(vendor.asked), vendor.most_streams > 1) == (10, True)
    assert {type(error) for error in outcome.failed.values()} == {RequestBudgetSpent}
    ready = Vendor(meeting=())
    assert not read(tmp_path, shop(tmp_path, ready), *LISTS).failed
    read_before = sum(each.records for each in outcome.read.values()) // SIZE
    assert 10 + len(ready.asked) - read_before <= len(LISTS) * PAGES + 8  # pages sent ahead of a reading that stopped


def test_what_is_left_of_a_days_requests_is_told_of_all_streams(tmp_path: Path) -> None:
    class Limited(Shop):
        rate_limit = RateLimit(per_second=10_000)

    source = shop(tmp_path, Vendor(meeting=()), kind=Limited, daily_request_budget=100)
    with source.beside() as one, source.beside() as other:
        plan = Expectation.of(one, A)
        course = Course(one, A, Slice(), plan, one.statistics)
        for copy, of in ((one, A), (other, B), (other, C)):
            copy.extract(of, Slice(), tmp_path / "spools").close()
        spool = one.extract(LISTS[3], Slice(), tmp_path / "spools")
        assert course.at(spool).budget.startswith(f"{100 - 4 * PAGES} of today's 100 ")
        spool.close()


def test_every_copy_tells_of_what_it_tries_again(tmp_path: Path) -> None:
    failed: set[str] = set()

    def fail_once(path: str, page: int) -> Prepared | None:
        if page == 3 and path not in failed:
            failed.add(path)
            return Prepared(503, {})
        return None

    told: list[str] = []
    source = shop(tmp_path, Vendor(fail_once))
    source.tell_retries(told.append)
    outcome = read(tmp_path, source, A, B, C)
    assert (outcome.failed, source.statistics.retries) == ({}, 3)
    assert sorted(line.split(": 503")[0] for line in told) == [f"shop: GET /{name}" for name in "abc"]


def test_a_wait_that_the_vendor_asks_for_is_waited_for_by_its_stream(tmp_path: Path) -> None:
    refused: list[str] = []

    def refuse_once(path: str, page: int) -> Prepared | None:
        if path == "/b" and page == 3 and not refused:
            refused.append(path)
            return Prepared(429, {}, {"Retry-After": "120"})
        return None

    slept: list[float] = []
    vendor = Vendor(refuse_once)
    outcome = read(tmp_path, shop(tmp_path, vendor), A, B, C, sleep=slept.append)
    assert (outcome.failed, slept, outcome.read["b"].records) == ({}, [120.0], PAGES * SIZE)
    assert Place(tmp_path).rows("SELECT count(*) FROM shop.b") == [PAGES * SIZE]


# Failures


def test_a_stream_that_fails_takes_its_substreams_along_and_no_other(tmp_path: Path) -> None:
    def refuse(path: str, page: int) -> Prepared | None:
        return Prepared(403, {}) if (path, page) == ("/a", 3) else None

    vendor = Vendor(refuse)
    with nothing_is_left():
        outcome = read(tmp_path, shop(tmp_path, vendor), PARTS, B, C)
    assert (list(outcome.read), list(outcome.failed)) == (["b", "c"], ["a", "parts"])
    assert "Not read, for it is read under a, which failed" in str(outcome.failed["parts"])


class Failing(Unwatched):
    """Raises an error at the third page of a stream, when another one has two."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
        self.ended_streams: list[str] = []

    def paged(self, stream: Stream, spool: Spool) -> None:
        if stream.name == "b" and len(spool.marks) == 3:
            raise self.error

    def ended(self, stream: Stream, outcome: Any) -> None:
        self.ended_streams.append(stream.name)


@pytest.mark.parametrize("error", [DestinationUnwritable("The disk is full."), MissingCredential("The key is gone.")])
def test_what_fails_for_all_ends_what_is_under_way_and_the_next_read_goes_on(
    tmp_path: Path, error: ConnectorError
) -> None:
    held = threading.Event()

    def hold(path: str, page: int) -> None:
        if path == "/a" and page == 3:
            held.wait(LONGEST_SECONDS)

    class FailingAndReleasing(Failing):
        def ended(self, stream: Stream, outcome: Any) -> None:
            super().ended(stream, outcome)
            held.set()

    vendor = Vendor(hold)
    watching = FailingAndReleasing(error)
    with nothing_is_left():
        outcome = read(tmp_path, shop(tmp_path, vendor), A, B, *LISTS[3:], PARTS, watcher=watching)
    assert (outcome.failed, "a" in outcome.read, "parts" in outcome.read) == ({"b": error}, False, False)
    assert watching.ended_streams.count("b") == 1
    left = {each.key.stream: each.pages for each in kept(tmp_path / "spools") if each.state == "unfinished"}
    assert left["b"] == 3
    assert left["a"] >= 2

    again = Vendor(meeting=())
    assert not read(tmp_path, shop(tmp_path, again), A, B).failed
    assert [each for each in again.asked if each[0] == "/b"] == [("/b", 4)]
    assert min(page for path, page in again.asked if path == "/a") == left["a"] + 1


@pytest.mark.parametrize("error", [ZeroDivisionError("a bug"), KeyboardInterrupt()])
def test_what_nobody_expects_in_a_thread_is_raised_to_the_caller(tmp_path: Path, error: BaseException) -> None:
    with nothing_is_left(), pytest.raises(type(error)):
        read(tmp_path, shop(tmp_path, Vendor()), A, B, C, watcher=Failing(error))
    assert not read(tmp_path, shop(tmp_path, Vendor(meeting=())), A, B, C).failed


def test_watchers_are_told_one_thing_at_a_time(tmp_path: Path) -> None:
    class Watching(Unwatched):
        inside = most = 0

        def paged(self, stream: Stream, spool: Spool) -> None:
            self.inside += 1
            self.most = max(self.most, self.inside)
            time.sleep(0.002)
            threads.add(threading.current_thread())
            self.inside -= 1

    threads: set[threading.Thread] = set()
    watching = Watching()
    read(tmp_path, shop(tmp_path, Vendor()), *LISTS, watcher=watching)
    assert (watching.most, len(threads) > 2) == (1, True)


# Parts


def test_a_reading_that_nothing_holds_up_ends_with_the_block_all_the_same() -> None:
    def steps() -> Generator[object, None, None]:
        while True:
            time.sleep(0.001)
            yield None

    with nothing_is_left(), SideBySide[None]() as others:
        others.go_on(others.begin(Reading("endless", steps())))


def test_what_a_reading_holds_is_let_go_with_the_block() -> None:
    def steps() -> Generator[object, None, None]:
        try:
            yield None
            yield CALLING_THREAD
        finally:
            closed.append(threading.current_thread())

    closed: list[threading.Thread] = []
    reading, idle = (Reading(name, steps()) for name in ("reading", "idle"))
    with SideBySide[None]() as others:
        for each in (reading, idle):
            others.begin(each).step()
        others.go_on(reading)
        assert others.next_back() is reading
    assert closed == [threading.main_thread()] * 2


def test_shares_together_have_no_more_than_the_whole_and_a_reader_goes_before_what_is_asked_ahead() -> None:
    whole, stopped = InFlight(2, 0.05), threading.Event()
    one, other = Share(whole, stopped), Share(whole, stopped)
    assert [one.take(8), other.take(8), one.take(8), other.is_room(8)] == [True, True, False, False]

    reader = threading.Thread(target=other.enter, args=(8,), daemon=True)
    reader.start()
    while not whole._kept_waiting:
        time.sleep(0.001)
    with whole._given:  # what is given back now is the reader's, whoever comes first
        one._count(-1)
        assert not one.is_room(8)
        whole._given.notify_all()
    reader.join(LONGEST_SECONDS)
    assert (reader.is_alive(), whole._kept_waiting, one.is_room(8)) == (False, 0, False)


def test_a_reader_that_waits_for_room_is_let_go_when_nobody_waits_for_it() -> None:
    whole, stopped = InFlight(1, 0.05), threading.Event()
    one, other = Share(whole, stopped), Share(whole, stopped)
    one.enter(1)
    met: list[type[BaseException]] = []

    def enter() -> None:
        try:
            other.enter(1)
        except Stopped as error:
            met.append(type(error))

    reader = threading.Thread(target=enter, daemon=True)
    reader.start()
    other.stop()
    reader.join(LONGEST_SECONDS)
    assert met == [Stopped]


def test_the_helper_of_a_copy_waits_no_longer_than_it_is_wanted_itself(tmp_path: Path) -> None:
    source = shop(tmp_path, Vendor())
    source.client.sleep = time.sleep
    wanted = threading.Event()
    with source.beside() as copy:
        helper = copy.client.helper(wanted)
        ended = threading.Event()

        def sleep() -> None:
            try:
                helper.sleep(LONGEST_SECONDS * 4)
            except Stopped:
                ended.set()

        threading.Thread(target=sleep, daemon=True).start()
        wanted.set()
        assert ended.wait(LONGEST_SECONDS)


def test_half_an_answer_that_was_hung_up_on_is_no_page(tmp_path: Path) -> None:
    def hang_up(path: str, page: int) -> None:
        if page == 2:
            copy._beside.stopped.set()  # type: ignore[union-attr]  # a copy has it

    with shop(tmp_path, Vendor(hang_up, ())).beside() as copy, pytest.raises(Stopped):
        copy.extract(A, Slice(), tmp_path / "spools")
    assert [each.pages for each in kept(tmp_path / "spools")] == [1]


# Interruptions

READING = """
import os, signal, sys, threading
import connector_resources as ab
from connector_resources.spool import SpoolWriter

signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever started this may have it ignored
append, pages = SpoolWriter.append, []

def counting(writer, page):
    append(writer, page)
    pages.append(threading.current_thread())
    if len(set(pages)) > 2 and sys.argv[1] == "killed":
        os.kill(os.getpid(), signal.SIGKILL)

SpoolWriter.append = counting
try:
    ab.get_source("source-drift", streams=sys.argv[2:], progress=False).read()
except KeyboardInterrupt:
    print(len(set(pages)) > 2, [thread.name for thread in threading.enumerate()])
"""
NAMES = ("conversation_details", "messages", "transcripts", "contacts", "conversation_metrics")
CHILDREN = "GET /drift/conversations/3131*"


@pytest.fixture(scope="module")
def drift() -> Iterator[SandboxProcess]:
    """A sandbox all of whose days are complete, and whose answers take time."""
    with SandboxProcess(Settings(scale=0.2, limits=0, latency_seconds=0.03, today=date(2026, 3, 5))) as process:
        yield process


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, drift: SandboxProcess) -> Path:
    for variable in ("CONNECTOR_MODE", "DATA_FOLDER", "PARTITIONS_START", "ENABLED_STREAMS", "DAILY_REQUEST_BUDGET"):
        monkeypatch.delenv(variable, raising=False)
    for name, value in (("URL", drift.url), ("LIMITS", "0"), ("TODAY", "2026-03-05")):
        monkeypatch.setenv(f"SANDBOX_{name}", value)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def undisturbed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Mapping[str, int], Mapping[str, Any]]:
    """Return how many pages each stream has, and what the tables hold, where nobody interrupts."""
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("DATA_FOLDER", str(folder))
        result = ab.get_source("source-drift", streams=list(NAMES), progress=False).read()
        return pages(result), held(result)


def pages(result: ReadResult) -> Mapping[str, int]:
    return {each.key.stream: each.pages for each in kept(result.cache.spools)}


def held(result: ReadResult) -> Mapping[str, Any]:
    return {
        name: sorted(json.dumps(dict(row), default=str, sort_keys=True) for row in result.cache[name]) for name in NAMES
    }


def goes_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the next read asks for what is not on disk, for nothing else, and brings what an undisturbed one does."""
    on_disk = {each.key.stream: each for each in kept(ab.get_default_cache().spools)}
    unfinished = {name for name, each in on_disk.items() if each.state == "unfinished"}
    expected_pages, expected = undisturbed(folder / "undisturbed", monkeypatch)
    left = sum(expected_pages[name] - on_disk[name].pages for name in on_disk if name != "conversations")
    left += sum(expected_pages[name] for name in NAMES if name not in on_disk)
    source = ab.get_source("source-drift", streams=list(NAMES), progress=False)
    assert len(unfinished) > 1
    assert held(source.read()) == expected
    connected = source.connected
    assert isinstance(connected, HttpSource)
    return connected.statistics.requests == left + 1  # and today's conversations, which is no day that is complete


def test_ctrl_c_ends_all_readings_at_once_and_each_is_gone_on_with(
    desk: Path, monkeypatch: pytest.MonkeyPatch, drift: SandboxProcess
) -> None:
    def asked() -> int:
        paths = requests.get(f"{drift.url}/_sandbox/requests", timeout=10).json()["paths"]
        return sum(times for path, times in paths.items() if path.startswith("/drift/conversations/3131"))

    before = asked()
    hangs = {"pattern": CHILDREN, "kind": "slow", "seconds": 60, "skip": 12, "times": 1_000}
    requests.post(f"{drift.url}/_sandbox/faults", json=[hangs], timeout=10).raise_for_status()
    try:
        with child("stopped", *NAMES) as process:
            for _ in range(1_200):
                if asked() - before >= 12 + 6:
                    break
                time.sleep(0.05)
            else:
                raise AssertionError("six requests never were on their way at once")
            process.send_signal(signal.SIGINT)
            said, _ = process.communicate(timeout=30)
    finally:
        requests.post(f"{drift.url}/_sandbox/faults", json=[], timeout=10).raise_for_status()
    assert said == "True ['MainThread']\n"
    assert goes_on(desk, monkeypatch)


def test_a_read_that_is_killed_is_gone_on_with_stream_by_stream(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with child("killed", *NAMES) as process:
        assert process.wait(60) == -signal.SIGKILL
    assert goes_on(desk, monkeypatch)


@contextmanager
def child(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen([sys.executable, "-c", READING, *arguments], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()
