"""Requests that are sent before their turn: the reading is what it is without them, whatever order they come in."""

import io
import itertools
import json
import math
import random
import socket
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests
import urllib3
from requests.adapters import BaseAdapter

from connector_resources.errors import MalformedPage, RequestRejected
from connector_resources.http.ahead import Ahead, InFlight, Stopped
from connector_resources.http.authenticators import BearerToken, InTurn, Signature
from connector_resources.http.client import Statistics
from connector_resources.http.messages import Request, Response
from connector_resources.http.paginators import Offset, PageNumber, Token
from connector_resources.http.rate_limit import RateLimit
from connector_resources.http.retry import RetryPolicy
from connector_resources.http.stream import HttpStream
from connector_resources.resource import HttpSource
from connector_resources.spool import Spool
from connector_resources.streams import Column, Cursor, Parent, ParentRow, Slice, Stream, Window
from tests.http.fake_api import Clock, FakeApi, Prepared, client

SIZE = 3
COLUMNS = (Column("id", "integer", "An id."), Column("at", "timestamp", "When it changed."))
SECRET = "a-secret-that-nobody-may-see"
LONGEST_SECONDS = 5.0


def stream(name: str, **facts: Any) -> HttpStream:
    defaults: dict[str, Any] = {
        "description": "Things.", "columns": COLUMNS, "primary_key": ("id",), "path": f"/{name}", "records": "things",
    }  # fmt: skip
    return HttpStream(name=name, **(defaults | facts))


NUMBERED = stream("numbered", paginator=PageNumber(size=SIZE, total_pages="pages", total_records="total"))
COUNTED = stream("counted", paginator=Offset(size=SIZE, total_records="total"))
TOKENS = stream("tokens", paginator=Token("next", "page"))
NEWEST = stream("newest", paginator=NUMBERED.paginator, cursor=Cursor("at", newest_first=True))
CHILDREN = stream("children", path="/{parent}/children", parent=Parent(TOKENS, {"parent": "id"}))


class Things(HttpSource):
    """An account behind what a test mounts."""

    name: ClassVar[str] = "things"
    default_url: ClassVar[str] = "http://things.test"
    rate_limit: ClassVar[RateLimit] = RateLimit()
    streams: ClassVar[tuple[Stream, ...]] = (NUMBERED, COUNTED, TOKENS, NEWEST, CHILDREN)
    retry: ClassVar[RetryPolicy] = RetryPolicy(tries=1)

    def authenticator(self) -> BearerToken:
        return BearerToken(SECRET)


def mounted(made: HttpSource, adapter: BaseAdapter) -> HttpSource:
    """Let a source talk to an adapter, and take every answer for slow: as many are asked for ahead as may be."""
    made.client.session.mount("http://", adapter)
    made.client.clock = itertools.count(step=0.9).__next__
    return made


def source(adapter: BaseAdapter, folder: Path, concurrency: int) -> HttpSource:
    return mounted(Things(state_folder=str(folder / "state"), concurrency=concurrency), adapter)


def answered(body: Any, status: int = 200) -> requests.Response:
    response = requests.Response()
    response.status_code = status
    content = io.BytesIO(json.dumps(body).encode())
    response.raw = urllib3.HTTPResponse(content, preload_content=False, status=status)
    return response


def number_of(request: requests.PreparedRequest) -> int:
    """Return which page, or whose children, a request asks for, from 1."""
    parts = urlsplit(str(request.url))
    asked = dict(parse_qsl(parts.query))
    if parts.path.endswith("/children"):
        return int(parts.path.split("/")[1])
    return int(asked["offset"]) // SIZE + 1 if "offset" in asked else int(asked.get("page", "1"))


def page(number: int, pages: int) -> dict[str, Any]:
    things = [{"id": number * SIZE + each, "at": f"2026-03-01T00:00:{each:02}Z"} for each in range(SIZE)]
    following = {"next": str(number + 1)} if number < pages else {}
    return {"things": things, "pages": pages, "total": pages * SIZE, **following}


@dataclass
class Vendor(BaseAdapter):
    """Answers so many pages, those that are on their way together in an order that is drawn.

    An answer is given when as many requests are on their way as may be: `concurrency`, of pages that are at most twice
    as many behind the first that is not answered. `fails_at` is the page that is refused.
    """

    pages: int
    concurrency: int
    draw: random.Random
    fails_at: int | None = None
    begins_at: int = 1
    asked: list[int] = field(default_factory=list)
    on_their_way: list[int] = field(default_factory=list)
    answered: set[int] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._changed = threading.Condition()
        self._is_over = False

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        number = number_of(request)
        with self._changed:
            self.asked.append(number)
            self.on_their_way.append(number)
            self._changed.notify_all()
            if not self._changed.wait_for(lambda: number in self.answered or self._is_over, LONGEST_SECONDS):
                self.wrong.append(f"page {number} was never answered")
        return answered({"error": SECRET}, 403) if number == self.fails_at else answered(page(number, self.pages))

    def close(self) -> None:
        pass

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Answer in a thread while the block is read in."""
        thread = threading.Thread(target=self._answer)
        thread.start()
        try:
            yield
        finally:
            thread.join()

    def _answer(self) -> None:
        last = self.pages if self.fails_at is None else self.fails_at
        with self._changed:
            while (head := next(n for n in itertools.count(self.begins_at) if n not in self.answered)) <= last:
                ahead = (
                    min(self.pages, head + 2 * self.concurrency)
                    if head > self.begins_at and self.concurrency > 1
                    else head
                )
                there = [number for number in range(head, ahead + 1) if number not in self.answered]
                wanted = min(self.concurrency, len(there))
                if not self._changed.wait_for(partial(self._are, wanted), LONGEST_SECONDS):
                    self.wrong.append(f"{len(self.on_their_way)} on their way at page {head}, and not {wanted}")
                    break
                if len(self.on_their_way) > self.concurrency or max(self.on_their_way) > ahead:
                    self.wrong.append(f"{self.on_their_way} on their way at page {head}")
                number = self.draw.choice(self.on_their_way)
                self.on_their_way.remove(number)
                self.answered.add(number)
                self._changed.notify_all()
            self._is_over = True
            self._changed.notify_all()

    def _are(self, wanted: int) -> bool:
        return len(self.on_their_way) >= wanted


def on_disk(folder: Path) -> tuple[bytes, list[dict[str, Any]]]:
    """Return what a reading has on disk: its records, and its pages' marks without their tokens, which have a date."""
    (index,) = folder.rglob("index.ndjson")
    marks = [json.loads(line) for line in index.read_bytes().splitlines()]
    return index.with_name("pages.ndjson").read_bytes(), [{**mark, "token": None} for mark in marks]


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "ahead"]


def asked_of(stream: HttpStream, pages: int) -> Slice:
    parents = tuple(ParentRow({"parent": number}) for number in range(1, pages + 1))
    return Slice(parents=parents) if stream.parent is not None else Slice()


def read(vendor: Vendor, stream: HttpStream, folder: Path) -> tuple[int, str]:
    """Read a stream; returns how many requests the source has counted, and the text of the error, if any."""
    made, error = source(vendor, folder, vendor.concurrency), ""
    with vendor.answering():
        try:
            made.extract(stream, asked_of(stream, vendor.pages), folder / "spools").close()
        except RequestRejected as refused:
            error = str(refused)
    assert vendor.wrong == []
    assert threads() == []
    return made.statistics.requests, error


@pytest.mark.parametrize("stream", [NUMBERED, COUNTED, CHILDREN], ids=lambda stream: stream.name)
@pytest.mark.parametrize("seed", range(12))
def test_a_reading_ahead_is_to_the_byte_the_one_that_asks_in_turn(
    stream: HttpStream, seed: int, tmp_path: Path
) -> None:
    draw = random.Random(seed)
    pages, concurrency = draw.randint(1, 40), draw.randint(2, 9)
    in_turn, ahead = Vendor(pages, 1, draw), Vendor(pages, concurrency, draw)

    expected = read(in_turn, stream, tmp_path / "in turn")
    found = read(ahead, stream, tmp_path / "ahead")

    assert found == expected == (pages, "")
    assert in_turn.asked == list(range(1, pages + 1)) == sorted(ahead.asked)
    assert on_disk(tmp_path / "ahead") == on_disk(tmp_path / "in turn")


@pytest.mark.parametrize("stream", [NUMBERED, COUNTED, CHILDREN], ids=lambda stream: stream.name)
@pytest.mark.parametrize("seed", range(12))
def test_a_page_that_fails_ends_the_rest_and_the_reading_goes_on_with_that_page(
    stream: HttpStream, seed: int, tmp_path: Path
) -> None:
    draw = random.Random(seed)
    pages, concurrency = draw.randint(1, 40), draw.randint(2, 9)
    fails_at = draw.randint(1, pages)
    in_turn, ahead = Vendor(pages, 1, draw, fails_at), Vendor(pages, concurrency, draw, fails_at)

    _, told = read(in_turn, stream, tmp_path / "in turn")
    sent, error = read(ahead, stream, tmp_path / "ahead")

    assert error == told != ""
    assert SECRET not in error
    assert sent == len(ahead.asked) <= fails_at + 2 * concurrency + concurrency
    assert on_disk(tmp_path / "ahead") == on_disk(tmp_path / "in turn")

    rest = Vendor(pages, concurrency, draw, begins_at=fails_at)
    read(rest, stream, tmp_path / "ahead")
    read(Vendor(pages, 1, draw), stream, tmp_path / "whole")

    assert sorted(rest.asked) == list(range(fails_at, pages + 1))
    assert on_disk(tmp_path / "ahead") == on_disk(tmp_path / "whole")


class Serving(BaseAdapter):
    """Answers with what a function of the page's number returns; `asked` are the numbers, in order."""

    def __init__(self, answer: Callable[[int], requests.Response]) -> None:
        super().__init__()
        self.answer = answer
        self.asked: list[int] = []

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        number = number_of(request)
        self.asked.append(number)
        return self.answer(number)

    def close(self) -> None:
        pass


def test_the_page_behind_a_token_is_asked_for_while_the_one_before_is_written(tmp_path: Path) -> None:
    came = {number: threading.Event() for number in range(1, 6)}

    def answer(number: int) -> requests.Response:
        came[number].set()
        return answered(page(number, 5))

    def while_written(spool: Spool) -> None:
        pages = len(spool.marks)
        assert pages == 5 or came[pages + 1].wait(LONGEST_SECONDS)
        assert not any(came[number].is_set() for number in range(pages + 2, 6))

    serving = Serving(answer)
    source(serving, tmp_path, 8).extract(TOKENS, Slice(), tmp_path / "spools", while_written).close()

    assert serving.asked == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("concurrency", [1, 8])
def test_a_list_that_may_end_early_is_asked_for_no_page_behind_its_end(concurrency: int, tmp_path: Path) -> None:
    start = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def answer(number: int) -> requests.Response:
        newest = start + timedelta(hours=3 - number)
        times = [f"{newest - timedelta(seconds=each):%FT%TZ}" for each in range(SIZE)]
        things = [{"id": number * SIZE + each, "at": at} for each, at in enumerate(times)]
        return answered({**page(number, 40), "things": things})

    serving, window = Serving(answer), Window(start, start + timedelta(days=1))
    pages = list(source(serving, tmp_path, concurrency).read(NEWEST, Slice(window)))

    assert serving.asked == [1, 2, 3] == list(range(1, len(pages) + 1))


@pytest.mark.parametrize("refused", [401, 403, 404])
def test_nothing_is_asked_for_ahead_before_the_first_answer(refused: int, tmp_path: Path) -> None:
    serving = Serving(lambda number: answered({}, refused))

    for stream in (NUMBERED, TOKENS):
        with pytest.raises(RequestRejected):
            list(source(serving, tmp_path, 8).read(stream, Slice()))

    assert serving.asked == [1, 1]


def test_a_page_that_was_answered_before_the_list_grew_is_asked_for_again_in_its_turn(tmp_path: Path) -> None:
    # Pages 2 and 3 are on their way together; a record comes to the front before page 2 is answered, after page 3 is.
    is_answered, has_grown = threading.Event(), threading.Event()

    def answer(number: int) -> requests.Response:
        if number == 2:
            assert is_answered.wait(LONGEST_SECONDS)
            has_grown.set()
        records = [*([0] if has_grown.is_set() else []), *range(1, 10)]
        things = [{"id": each} for each in records[(number - 1) * SIZE : number * SIZE]]
        found = answered({"things": things, "pages": -(-len(records) // SIZE), "total": len(records)})
        if number == 3:
            is_answered.set()
        return found

    serving = Serving(answer)
    spool = source(serving, tmp_path, 8).extract(NUMBERED, Slice(), tmp_path / "spools")

    spool.close()
    found = [json.loads(line)["_record"]["id"] for line in on_disk(tmp_path)[0].splitlines()]
    assert found == [1, 2, 3, 3, 4, 5, 6, 7, 8, 9]
    assert spool.is_complete
    assert [serving.asked.count(number) for number in (1, 3, 4)] == [1, 2, 1]


def test_a_page_that_was_answered_before_the_list_moved_by_a_page_is_no_circle(tmp_path: Path) -> None:
    # Pages 2 and 3 are on their way together; three go from the front and three come before page 2 is answered, after
    # page 3 is. So both have the same records, and those that were on page 2 are on neither.
    is_answered, has_moved = threading.Event(), threading.Event()

    def answer(number: int) -> requests.Response:
        if number == 2:
            assert is_answered.wait(LONGEST_SECONDS)
            has_moved.set()
        records = range(4, 16) if has_moved.is_set() else range(1, 13)
        things = [{"id": each} for each in records[(number - 1) * SIZE : number * SIZE]]
        if number == 3:
            is_answered.set()
        return answered({"things": things, "pages": 4, "total": 12})

    spool = source(Serving(answer), tmp_path, 8).extract(NUMBERED, Slice(), tmp_path / "spools")

    spool.close()
    found = [json.loads(line)["_record"]["id"] for line in on_disk(tmp_path)[0].splitlines()]
    assert found == list(range(4, 16))


class Noting(Things):
    """Notes whose first request is made; that of `refused` cannot be."""

    made: ClassVar[list[int]] = []
    refused: ClassVar[int] = 0

    def first_request(self, stream: HttpStream, slice: Slice, parent: ParentRow | None) -> Request:
        assert parent is not None
        self.made.append(int(parent.fields["parent"]))
        if parent.fields["parent"] == self.refused:
            raise MalformedPage(f"parent {self.refused} has no name")
        return super().first_request(stream, slice, parent)


def test_the_first_request_under_a_parent_is_the_one_that_was_sent_ahead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One that says, for example, what time it is would be another, and sent again.
    monkeypatch.setattr(Noting, "made", [])
    vendor = Vendor(20, 4, random.Random(1))
    noting = mounted(Noting(state_folder=str(tmp_path), concurrency=4), vendor)

    with vendor.answering():
        assert len(list(noting.read(CHILDREN, asked_of(CHILDREN, 20)))) == 20

    assert Noting.made == list(range(1, 21))


@pytest.mark.parametrize("refused", range(1, 7))
def test_a_first_request_that_cannot_be_made_is_an_error_when_it_is_its_turn(
    refused: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Noting, "refused", refused)
    serving = Serving(lambda number: answered(page(number, 1)))
    noting = mounted(Noting(state_folder=str(tmp_path), concurrency=4), serving)
    pages = noting.read(CHILDREN, asked_of(CHILDREN, 20))

    assert len(list(itertools.islice(pages, refused - 1))) == refused - 1
    with pytest.raises(MalformedPage, match=f"parent {refused} has no name"):
        next(pages)

    assert sorted(number for number in serving.asked if number < refused) == list(range(1, refused))
    assert threads() == []


def test_what_is_left_of_a_reading_nobody_goes_on_with_is_let_go(tmp_path: Path) -> None:
    serving = Serving(lambda number: answered(page(number, 1000)))
    pages = source(serving, tmp_path, 4).read(NUMBERED, Slice())
    assert isinstance(pages, Generator)
    for _ in range(3):
        next(pages)
    pages.close()

    assert threads() == []
    assert len(serving.asked) <= 3 + 2 * 4


def test_what_the_walk_asks_unexpectedly_waits_for_room_and_comes_before_what_is_ahead() -> None:
    entered, changed = threading.Semaphore(0), threading.Condition()
    on_their_way, answers, most = [], {"/0"}, [0]

    class Told(InFlight):
        def enter(self, most: int) -> None:
            entered.release()
            super().enter(most)

    def fetch(request: Request) -> Response:
        with changed:
            on_their_way.append(request.path)
            most[0] = max(most[0], len(set(on_their_way) - answers))
            changed.notify_all()
            assert changed.wait_for(lambda: request.path in answers, LONGEST_SECONDS)
        return Response(200, {}, b"")

    def let(*paths: str) -> None:
        with changed:
            answers.update(paths)
            changed.notify_all()

    def wait_for(count: int) -> None:
        with changed:
            assert changed.wait_for(lambda: len(on_their_way) == count, LONGEST_SECONDS)

    with Ahead(fetch, Told(2, 0.05)) as ahead:
        ahead.expect_lists(lambda number: Request(f"/{number}"), 0, 5)
        ahead.fetch(Request("/0"))
        asking = threading.Thread(target=ahead.fetch, args=(Request("/0?page=2"),))
        ahead.expect(Request("/elsewhere"))
        wait_for(3)
        asking.start()
        assert entered.acquire(timeout=LONGEST_SECONDS)
        assert entered.acquire(timeout=LONGEST_SECONDS)
        let("/elsewhere")
        wait_for(4)
        let("/0?page=2", "/1", "/2", "/3", "/4")
        asking.join()

    assert sorted(on_their_way[1:3]) == ["/1", "/elsewhere"]
    assert (on_their_way[3], most) == ("/0?page=2", [2])


# Threads


def test_a_reading_that_ends_where_a_page_is_written_leaves_no_thread_while_its_error_is_looked_at(
    tmp_path: Path,
) -> None:
    def full(spool: Spool) -> None:
        if len(spool.marks) == 3:
            raise OSError("No space left on device")

    serving = Serving(lambda number: answered(page(number, 1000)))
    with pytest.raises(OSError, match="No space") as caught:
        source(serving, tmp_path, 4).extract(NUMBERED, Slice(), tmp_path / "spools", full)

    assert threads() == []
    assert caught.tb is not None


def test_who_waits_for_an_answer_nobody_wants_any_more_is_hung_up_on(tmp_path: Path) -> None:
    first, connections, silent = json.dumps(page(1, 100)).encode(), [], threading.Semaphore(0)

    def serve(connection: socket.socket) -> None:
        while request := connection.recv(65536):
            if b"page=1&" in request:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(first), first))
            elif b"page=2&" in request:
                for _ in range(3):
                    assert silent.acquire(timeout=LONGEST_SECONDS)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            else:
                silent.release()

    def accept() -> None:
        with suppress(OSError):
            while True:
                connections.append(server.accept()[0])
                threading.Thread(target=serve, args=(connections[-1],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        accepting = threading.Thread(target=accept)
        accepting.start()
        made = Things(base_url=f"http://127.0.0.1:{server.getsockname()[1]}", state_folder=str(tmp_path), concurrency=4)
        made.client.clock = itertools.count(step=0.9).__next__
        with pytest.raises(RequestRejected, match=r"things: GET /numbered: 400"):
            list(made.read(NUMBERED, Slice()))
        left = threads()
        server.shutdown(socket.SHUT_RDWR)
        accepting.join()
    for connection in connections:
        connection.close()

    assert left == []


# The account's limits


def test_clients_of_several_threads_draw_on_one_budget(tmp_path: Path) -> None:
    clock, sent = Clock(), []

    def noted(request: requests.PreparedRequest) -> requests.Response:
        sent.append(clock.now)
        return answered({})

    made = client(FakeApi(*[noted] * 24), tmp_path, clock=clock, limit=RateLimit(per_second=4))
    everybody = [made, *(made.helper(threading.Event()) for _ in range(3))]
    for each in everybody * 6:
        each.send(Request("/things"))

    assert all(later - earlier > 1 for earlier, later in zip(sent, sent[4:], strict=False))
    assert sum((each.statistics for each in everybody), Statistics()).requests == 24


def test_while_one_waits_to_try_again_the_others_do_with_it(tmp_path: Path) -> None:
    clock, sent = Clock(), []

    def noted(request: requests.PreparedRequest) -> requests.Response:
        sent.append((request.path_url, clock.now))
        return answered({})

    refusal = Prepared(429, {}, {"Retry-After": "7"})
    made = client(FakeApi(refusal, noted, noted, noted), tmp_path, clock=clock)
    other = made.helper(threading.Event())
    began, sleep = clock.now, clock.sleep

    def meanwhile(seconds: float) -> None:
        made.sleep = sleep
        other.send(Request("/other"))  # as another thread would, while this one sleeps
        sleep(max(0.0, began + seconds - clock.now))

    made.sleep = meanwhile
    made.send(Request("/refused"))
    other.send(Request("/later"))

    assert sent == [("/v1/other", began + 7), ("/v1/refused", began + 7), ("/v1/later", began + 7)]


def test_a_wait_of_a_thread_ends_when_nobody_wants_its_answer(tmp_path: Path) -> None:
    stopped = threading.Event()
    made = client(FakeApi(Prepared(503, {}), Prepared(503, {})), tmp_path)
    lines: list[str] = []

    def tell(line: str) -> None:
        lines.append(line)
        stopped.set()

    made.sleep, made.tell, made.retry = time.sleep, tell, RetryPolicy(first_wait_seconds=600.0, total_seconds=1e6)
    helper = made.helper(stopped)

    with pytest.raises(Stopped):
        helper.send(Request("/things"))
    with pytest.raises(Stopped):
        helper.send(Request("/things"))

    assert len(lines) == 1


def test_threads_renew_a_credential_once_and_one_after_the_other() -> None:
    class Renewing:
        def __init__(self) -> None:
            self.inside = self.most = self.token = 0
            self.others = threading.Event()

        def sign(self) -> Signature:
            return Signature({"Authorization": str(self.token)})

        def refresh(self, used: Signature) -> bool:
            self.inside += 1
            self.most = max(self.most, self.inside)
            if self.inside == 1:
                self.others.wait(0.05)  # where another one comes in, as long as it takes
            else:
                self.others.set()
            self.token += used.headers["Authorization"] == str(self.token)
            self.inside -= 1
            return True

        def secrets(self) -> tuple[str, ...]:
            return ()

    renewing = Renewing()
    in_turn = InTurn(renewing)
    used = in_turn.sign()
    working = [threading.Thread(target=in_turn.refresh, args=(used,)) for _ in range(8)]
    for thread in working:
        thread.start()
    for thread in working:
        thread.join()

    assert (renewing.most, renewing.token) == (1, 1)


# How many


@pytest.mark.parametrize(
    ("rate", "answer_seconds", "most"),
    [
        (math.inf, None, 1),  # nothing is known yet
        (math.inf, 0.05, 8),
        (math.inf, 0.0, 1),
        (20.0, 0.001, 1),  # an answer that is there at once is not worth a thread
        (20.0, 0.05, 2),
        (20.0, 0.3, 7),
        (20.0, 10.0, 8),
        (0.5, 0.05, 2),
    ],
)
def test_as_many_are_on_their_way_as_the_rate_and_the_latency_have_a_use_for(
    rate: float, answer_seconds: float | None, most: int
) -> None:
    assert InFlight(8, answer_seconds).most(rate) == most


def test_who_may_go_on_is_woken_though_another_who_may_not_has_waited_longer() -> None:
    class Most(int):
        """A number that tells when it is first compared, which is when somebody is about to wait for it."""

        def __gt__(self, other: int) -> bool:
            compared.release()
            return super().__gt__(other)

    compared, entered = threading.Semaphore(0), threading.Event()
    in_flight = InFlight(8)
    in_flight.enter(8)
    in_flight.enter(8)

    def enter(most: int) -> None:
        in_flight.enter(Most(most))
        if most == 2:
            entered.set()

    waiting = [threading.Thread(target=enter, args=(most,)) for most in (1, 2)]
    for thread in waiting:
        thread.start()
        assert compared.acquire(timeout=LONGEST_SECONDS)

    in_flight.give()
    is_woken = entered.wait(LONGEST_SECONDS)
    for _ in range(2):
        in_flight.give()
    for thread in waiting:
        thread.join(LONGEST_SECONDS)

    assert is_woken


def test_trouble_halves_how_many_may_be_on_their_way_and_answers_give_it_back() -> None:
    in_flight, found = InFlight(8), []
    for is_troubled in (False, True, True, True, True, *[False] * 40):
        in_flight.answered(0.05, is_troubled=is_troubled)
        found.append(in_flight.most(math.inf))

    assert found[:5] == [8, 4, 2, 1, 1]
    assert found[5:] == sorted(found[5:])
    assert (found[5], found[-1]) == (2, 8)


def test_a_reader_that_is_slower_than_the_answers_has_few_asked_for_ahead() -> None:
    clock, asked, came = Clock(), [], threading.Condition()

    def fetch(request: Request) -> Response:
        with came:
            asked.append(int(request.path[1:]))
            came.notify_all()
        return Response(200, {}, b"")

    def has_come(number: int) -> bool:
        return number in asked

    requests = [Request(f"/{number}") for number in range(60)]
    with Ahead(fetch, InFlight(8, 0.05), clock=clock) as ahead:
        for number, request in enumerate(requests[:-1]):
            ahead.fetch(request)
            clock.now += 1.0
            ahead.expect(requests[number + 1], partial(iter, requests[number + 1 :]))
            if number > 20:  # two may be on their way then, and four answers be there
                with came:
                    assert came.wait_for(partial(has_come, min(number + 4, 59)), LONGEST_SECONDS)
                    assert max(asked) <= number + 4
        ahead.fetch(requests[-1])

    assert sorted(asked) == list(range(60))
