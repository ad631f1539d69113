"""Servers that misbehave, on real sockets: each reading ends with a named error or with the right table.

What a server sends wrongly is sent byte by byte from here; what rows do behind a reader's back is drawn from a seed.
"""

import gzip
import json
import random
import socket
import struct
import threading
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

import pytest

from connector_resources.destinations.duckdb import DuckDB
from connector_resources.errors import (
    ConnectorError,
    IncompleteRead,
    MalformedPage,
    PaginationLoop,
    RecordsNotFound,
    RequestRejected,
    RequestRetryable,
    TooManyQuarantined,
)
from connector_resources.http.authenticators import BearerToken
from connector_resources.http.paginators import NextUrl, PageNumber, Token
from connector_resources.http.rate_limit import RateLimit
from connector_resources.http.retry import RetryPolicy
from connector_resources.http.stream import HttpStream
from connector_resources.http.token_endpoint import FormTokenEndpoint
from connector_resources.resource import HttpSource
from connector_resources.streams import SNAPSHOT, Column, Cursor, Slice, Stream, Window

CANARY = "canary-5d41402abc4b"
LONGEST_SECONDS = 60
"""After so long a reading hangs, whatever the machine is busy with; the time-outs set below are below a second."""

# The reader: one list, in each way that lists come in pages


def _stream(name: str, **facts: Any) -> HttpStream:
    columns = (Column("id", "integer", ""), Column("name", "string", ""), Column("updated_at", "timestamp", ""))
    return HttpStream(
        name=name,
        description="",
        path=f"/{name}",
        records="things",
        primary_key=("id",),
        cursor=Cursor("updated_at"),
        columns=columns,
        **facts,
    )


NUMBERED = _stream("numbered", paginator=PageNumber(size=2, total_pages="pages.pages", total_records="pages.records"))
LINKED = _stream("linked", paginator=NextUrl("next", params={"from": "0"}, total_records="total"))
TOKENS = _stream("tokens", paginator=Token("next", "after"))


class Things(HttpSource):
    """An account behind whatever server a test puts there."""

    name: ClassVar[str] = "things"
    rate_limit: ClassVar[RateLimit] = RateLimit()
    streams: ClassVar[tuple[Stream, ...]] = (NUMBERED, LINKED, TOKENS)
    retry: ClassVar[RetryPolicy] = RetryPolicy(tries=2)

    @property
    def url(self) -> str:
        return self.base_url

    def authenticator(self) -> BearerToken:
        return BearerToken(CANARY)


def reader(url: str, folder: Path, *, patience_seconds: float = 0.3) -> Things:
    source = Things(base_url=url, rate_limit_factor=0, state_folder=str(folder))
    client = source.client
    client.connect_timeout_seconds = 0.2 + patience_seconds
    client.read_timeout_seconds, client.total_timeout_seconds = patience_seconds, 2 * patience_seconds
    client.largest_body_bytes = 5_000_000
    client.sleep = lambda seconds: None
    return source


# The server

Answer = bytes | Callable[[socket.socket], None]


@dataclass
class Server:
    """Accepts connections and answers each request, given as path and parameters, with bytes, then closes.

    An answer may also be a function that does with the connection what it likes. `heard` is all that was received.
    """

    answer: Callable[[str, dict[str, str]], Answer]
    heard: list[bytes] = field(default_factory=list)
    is_stopped: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> "Server":
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._start(self._accept)
        return self

    def __exit__(self, *error: object) -> None:
        self.is_stopped.set()
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for thread in self._threads:
            thread.join(LONGEST_SECONDS)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def _start(self, target: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self.is_stopped.is_set():
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(LONGEST_SECONDS)
        with connection, suppress(OSError):  # the reader hangs up when it has had enough
            head = connection.recv(65_536)
            self.heard.append(head)
            if not head:
                return
            target = urlsplit(head.split(b" ", 2)[1].decode(errors="replace"))
            answer = self.answer(target.path, dict(parse_qsl(target.query)))
            if isinstance(answer, bytes):
                connection.sendall(answer)
            else:
                answer(connection)


def http(
    body: bytes, status: str = "200 OK", length: int | None = None, now: datetime | None = None, **headers: str
) -> bytes:
    """An answer as it goes over the wire; its length is that of the body, if it is not said else."""
    lines = [
        f"HTTP/1.1 {status}",
        f"Date: {format_datetime(now or NOW, usegmt=True)}",
        *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
    ]
    if "Transfer_Encoding" not in headers:
        lines.append(f"Content-Length: {len(body) if length is None else length}")
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode() + body


NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
COUNT = 5


def thing(number: int) -> dict[str, Any]:
    return {"id": number, "name": f"thing {number} é", "updated_at": "2026-02-01T00:00:00Z"}


def page(stream: HttpStream, params: dict[str, str], count: int = COUNT) -> dict[str, Any]:
    """What an honest server answers, as data."""
    if stream is NUMBERED:
        start = 2 * int(params["page"]) - 2
    else:
        start = int(params.get("from" if stream is LINKED else "after", "0"))
    body: dict[str, Any] = {"things": [thing(number) for number in range(count)[start : start + 2]]}
    following = start + 2 if start + 2 < count else None
    if stream is NUMBERED:
        body["pages"] = {"pages": -(-count // 2), "records": count}
    elif stream is LINKED:
        body |= {"next": following and f"/linked?from={following}", "total": count}
    else:
        body["next"] = following
    return body


def written(data: Any) -> bytes:
    return json.dumps(data, ensure_ascii=False).encode()


# What it does wrong

Wrong = Callable[[dict[str, Any], int, dict[str, str]], Answer]
"""From the honest answer as data, the number of the request and its parameters to what is sent."""


def changed(**values: Any) -> Wrong:
    """Each page with other values in its envelope."""
    return lambda data, number, params: http(written(data | values))


def counted(**values: Any) -> Wrong:
    """Each numbered page with another count."""
    return lambda data, number, params: http(written(data | {"pages": data["pages"] | values}))


def sent(body: bytes, status: str = "200 OK", length: int | None = None, **headers: str) -> Wrong:
    """The same answer to everything."""
    return lambda data, number, params: http(body, status, length, None, **headers)


def encoded(encode: Callable[[bytes], bytes], **headers: str) -> Wrong:
    """Each honest body, put into other bytes."""
    return lambda data, number, params: http(encode(written(data)), "200 OK", None, None, **headers)


def dated(date: str) -> Wrong:
    """Each page with a date of its own in the header."""
    return lambda data, number, params: http(written(data)).replace(
        format_datetime(NOW, usegmt=True).encode(), date.encode()
    )


def on_page(which: int, wrong: Wrong) -> Wrong:
    """Only one page is wrong; the others are honest."""

    def answer(data: dict[str, Any], number: int, params: dict[str, str]) -> Answer:
        is_it = int(params.get("page", number)) == which
        return wrong(data, number, params) if is_it else http(written(data))

    return answer


def hanging(first: bytes = b"", drip: bytes = b"") -> Wrong:
    """Sends something and then nothing, or a drip every 50 ms, until the reader hangs up."""

    def hang(connection: socket.socket) -> None:
        connection.sendall(first)
        connection.settimeout(0.05)
        while True:
            try:
                if not connection.recv(1):
                    return
            except TimeoutError:
                connection.sendall(drip)

    return lambda data, number, params: hang


def reset(connection: socket.socket) -> None:
    """Break the connection off without a word of goodbye."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def bomb() -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    return b"".join(packer.compress(b" " * 1_000_000) for _ in range(100)) + packer.flush()


WHOLE = None
HEAD = http(b"", length=500)
CHUNKED = http(b"", Transfer_Encoding="chunked")
CASES: dict[str, tuple[HttpStream, Wrong, type[ConnectorError] | tuple[type[ConnectorError], ...] | None]] = {
    # Pages that lead nowhere
    "a cursor that never changes": (TOKENS, changed(next="2"), PaginationLoop),
    "the same body for every cursor": (
        TOKENS, lambda data, number, params: http(written({"things": [thing(1)], "next": number})), PaginationLoop,
    ),
    "the first page again and again": (
        NUMBERED, lambda data, number, params: http(written(page(NUMBERED, {"page": "1"}))), PaginationLoop,
    ),
    "the first page again and again, with the hour of the day in it": (
        NUMBERED,
        lambda data, number, params: http(
            written(data | {"things": [thing(n) | {"name": f"at {number}"} for n in (0, 1)]})
        ),
        PaginationLoop,
    ),
    "empty pages without end": (
        LINKED, lambda data, number, params: http(written({"things": [], "next": f"?from={number}"})), PaginationLoop,
    ),
    "pages without end behind those there are": (NUMBERED, counted(pages=10**18), PaginationLoop),
    "new records without end, more than are counted": (
        LINKED,
        lambda data, number, params: http(
            written({"things": [thing(number)], "next": f"?from={number}", "total": COUNT})
        ),
        IncompleteRead,
    ),
    "a link that is no address": (LINKED, changed(next="http://[::1?from=2"), MalformedPage),
    "a cursor that is an object": (TOKENS, changed(next={"a": 1}), MalformedPage),
    # Counts that cannot be right
    "a count that grows and never comes": (
        NUMBERED,
        lambda data, number, params: http(written(data | {"pages": {"pages": 3, "records": 4 + int(params["page"])}})),
        IncompleteRead,
    ),
    "a count that shrinks": (
        NUMBERED,
        lambda data, number, params: http(written(data | {"pages": {"pages": 3, "records": 6 - int(params["page"])}})),
        IncompleteRead,
    ),
    "a negative count of records": (NUMBERED, counted(records=-1), IncompleteRead),
    "a negative count of pages": (NUMBERED, counted(pages=-1, records=None), MalformedPage),
    "a count of a million million million": (NUMBERED, counted(records=10**18), IncompleteRead),
    "a count that is another's": (NUMBERED, counted(records="12"), IncompleteRead),
    "a count that is a text": (NUMBERED, counted(records="5", pages="3"), WHOLE),
    "a count that is null": (NUMBERED, counted(records=None), WHOLE),
    "a count of pages that is null": (NUMBERED, counted(pages=None), WHOLE),
    "a count that is a word": (NUMBERED, counted(records="many"), MalformedPage),
    "a count of five thousand digits": (NUMBERED, counted(records="1" * 5000), MalformedPage),
    "a full page without a count": (
        NUMBERED, on_page(2, lambda data, number, params: http(written({"things": data["things"]}))), WHOLE,
    ),
    "a short page without a count": (
        NUMBERED, on_page(2, lambda data, number, params: http(written({"things": data["things"][:1]}))),
        IncompleteRead,
    ),
    "more records on a page than were asked for": (
        NUMBERED, on_page(1, lambda data, number, params: http(written(data | {"things": list(map(thing, range(3)))}))),
        IncompleteRead,
    ),
    "all records on the first page": (
        NUMBERED,
        lambda data, number, params: http(
            written({"things": list(map(thing, range(COUNT))), "pages": {"pages": 1, "records": COUNT}})
        ),
        WHOLE,
    ),
    "the count of pages twice": (
        NUMBERED, encoded(lambda body: body.replace(b'"pages": 3,', b'"pages": 3, "pages": 1,')), MalformedPage,
    ),
    "the records twice": (LINKED, encoded(lambda body: body[:-1] + b', "things": []}'), MalformedPage),
    # Bodies that are not what they should be
    "an error with status 200": (NUMBERED, sent(b'{"error": "no"}'), RecordsNotFound),
    "an error in the place of the records": (TOKENS, sent(b'{"things": {"error": "no"}}'), TooManyQuarantined),
    "a web page": (NUMBERED, on_page(2, sent(b"<html>", Content_Type="text/html")), MalformedPage),
    "no content": (NUMBERED, on_page(2, sent(b"", "204 No Content", 0)), MalformedPage),
    "a promise": (TOKENS, sent(b'{"things": []}', "202 Accepted"), MalformedPage),
    "a part": (TOKENS, sent(b'{"things": []}', "206 Partial Content"), MalformedPage),
    "an empty body": (NUMBERED, on_page(3, sent(b"")), MalformedPage),
    "Latin-1 that says it is UTF-8": (
        NUMBERED, encoded(lambda body: body.decode().encode("latin-1"), Content_Type="application/json; charset=utf-8"),
        MalformedPage,
    ),
    "UTF-16": (NUMBERED, encoded(lambda body: body.decode().encode("utf-16")), MalformedPage),
    "UTF-16 without a mark": (NUMBERED, encoded(lambda body: body.decode().encode("utf-16-le")), MalformedPage),
    "a byte order mark": (NUMBERED, encoded(lambda body: b"\xef\xbb\xbf" + body), MalformedPage),
    "a gzip bomb": (NUMBERED, sent(bomb(), Content_Encoding="gzip"), RequestRejected),
    "a gzip bomb within another": (NUMBERED, sent(gzip.compress(bomb()), Content_Encoding="gzip, gzip"),
        RequestRejected),
    "gzip that is cut": (
        NUMBERED, encoded(lambda body: gzip.compress(body)[:-30], Content_Encoding="gzip"),
        (MalformedPage, RequestRetryable),
    ),
    "gzip that is none": (NUMBERED, encoded(bytes, Content_Encoding="gzip"), RequestRetryable),
    # A time that cannot be
    "a date behind the last there is": (NUMBERED, dated("Fri, 31 Dec 9999 23:59:59 -1200"), WHOLE),
    # Bytes that do not add up
    "a length that is too small": (
        NUMBERED, lambda data, number, params: http(written(data), length=len(written(data)) - 3), MalformedPage,
    ),
    "a length that is too large": (
        NUMBERED, lambda data, number, params: http(written(data), length=len(written(data)) + 3), RequestRetryable,
    ),
    "chunks without an end": (
        NUMBERED, encoded(lambda body: b"%x\r\n%s\r\n" % (len(body), body), Transfer_Encoding="chunked"),
        RequestRetryable,
    ),
    "chunks that are none": (NUMBERED, encoded(bytes, Transfer_Encoding="chunked"), RequestRetryable),
    "an answer that is none": (NUMBERED, lambda data, number, params: b"SSH-2.0-OpenSSH_9.6\r\n", RequestRetryable),
    # Addresses
    "a redirect to itself": (
        NUMBERED, sent(b"", "302 Found", Location="/numbered?page=1"), RequestRejected,
    ),
    "a redirect to what is no address": (NUMBERED, sent(b"", "302 Found", Location="http://[bad"), RequestRejected),
    "a redirect to the credential at another host": (
        NUMBERED, sent(b"", "302 Found", Location=f"http://{CANARY}:x@evil.example/"), RequestRejected,
    ),
    "a redirect with a body that drips": (
        NUMBERED, on_page(2, hanging(http(b"", "302 Found", 10**6, None, Location="/x"), b" ")), RequestRejected,
    ),
    # The credential, echoed
    "the credential beside a content type": (NUMBERED, sent(b"<", Content_Type=f"text/html; {CANARY}"), MalformedPage),
    "the credential as a content type": (NUMBERED, sent(b"<", Content_Type=f"text/{CANARY}"), MalformedPage),
    "the credential as no content type": (NUMBERED, sent(b"<", Content_Type=CANARY), MalformedPage),
    "the credential as a key": (NUMBERED, sent(written({CANARY: 1})), RecordsNotFound),
    "the credential as a key in capitals": (NUMBERED, sent(written({f"X-{CANARY.upper()}": 1})), RecordsNotFound),
    "the credential as a key that is there twice": (
        TOKENS, sent(b'{"things": [], "%s": 1, "%s": 2}' % ((CANARY.encode(),) * 2)), MalformedPage,
    ),
    "the credential in a count": (NUMBERED, counted(records="many, " * 5 + CANARY), MalformedPage),
    "the credential as a cursor": (TOKENS, changed(next={CANARY: CANARY}), MalformedPage),
    "a redirect to the credential": (
        NUMBERED, sent(b"", "302 Found", Location=f"http://{CANARY}.example/"), RequestRejected,
    ),
    # Connections
    "a connection that is closed without an answer": (NUMBERED, lambda data, number, params: b"", RequestRetryable),
    "a connection that breaks": (NUMBERED, on_page(2, lambda data, number, params: reset), RequestRetryable),
    "no answer": (NUMBERED, on_page(2, hanging()), RequestRetryable),
    "headers and no body": (NUMBERED, on_page(2, hanging(HEAD)), RequestRetryable),
    "a header that drips": (NUMBERED, on_page(2, hanging(HEAD[:-4] + b"\r\nX: ", b"x")), RequestRetryable),
    "a promise to go on, again and again": (
        NUMBERED, on_page(2, hanging(b"", b"HTTP/1.1 100 Continue\r\n\r\n")), RequestRetryable,
    ),
    "a body that drips": (NUMBERED, on_page(2, hanging(http(b"", length=10**6), b" ")), RequestRetryable),
    "a chunk whose length drips": (NUMBERED, on_page(2, hanging(CHUNKED, b"0")), RequestRetryable),
    "a chunk whose extension drips": (NUMBERED, on_page(2, hanging(CHUNKED + b"5;a=", b"x")), RequestRetryable),
    "trailers that drip": (NUMBERED, on_page(2, hanging(CHUNKED + b"0\r\n", b"X: y\r\n")), RequestRetryable),
    "the head of a compressed body that drips": (
        NUMBERED,
        on_page(2, hanging(http(b"\x1f\x8b\x08\x08\0\0\0\0\0\x03", length=10**6, Content_Encoding="gzip"), b"a")),
        RequestRetryable,
    ),
}  # fmt: skip


@dataclass
class Read:
    """A reading, and the table before and after it."""

    error: BaseException | None
    before: list[tuple[Any, ...]]
    after: list[tuple[Any, ...]]


def read(stream: HttpStream, url: str, folder: Path) -> Read:
    """Read a stream that has been landed before from `url`, and land it; the reading must end by itself."""
    store = DuckDB(folder / "store.duckdb", folder / "temporary", lock_timeout_seconds=5)
    with Server(lambda path, params: http(written(page(stream, params, count=COUNT - 1)))) as honest:
        _land(stream, honest.url, folder, store)
    before = rows(store, stream)
    error = ended(lambda: _land(stream, url, folder, store))
    return Read(error, before, rows(store, stream))


def ended(read: Callable[[], object]) -> BaseException | None:
    """Return what a reading ends with; it must end by itself."""
    errors: list[BaseException | None] = []

    def run() -> None:
        try:
            read()
        except BaseException as error:
            errors.append(error)
        else:
            errors.append(None)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(LONGEST_SECONDS)
    assert errors, "the reading hangs"
    return errors[0]


def _land(stream: HttpStream, url: str, folder: Path, store: DuckDB) -> None:
    spool = reader(url, folder).extract(stream, Slice(), folder / "spools")
    try:
        store.land("things", stream, spool, partitions=(SNAPSHOT,), window=None, run_id="run")
    finally:
        spool.discard()


def rows(store: DuckDB, stream: HttpStream) -> list[tuple[Any, ...]]:
    return store.query(f"SELECT id, name, updated_at FROM things.{stream.name} ORDER BY ALL")


def table(numbers: Sequence[int]) -> list[tuple[Any, ...]]:
    return [(number, f"thing {number} é", datetime(2026, 2, 1, tzinfo=UTC)) for number in numbers]


@pytest.mark.parametrize(("stream", "wrong", "expected"), CASES.values(), ids=CASES)
def test_a_hostile_server_ends_in_a_named_error_or_the_right_table_and_never_in_less_data(
    stream: HttpStream, wrong: Wrong, expected: Any, tmp_path: Path
) -> None:
    numbers = iter(range(1, 10**9))
    with Server(lambda path, params: wrong(page(stream, params), next(numbers), params)) as server:
        result = read(stream, server.url, tmp_path)

    assert result.before == table(range(COUNT - 1))
    if expected is None:
        assert (result.error, result.after) == (None, table(range(COUNT)))
    else:
        assert isinstance(result.error, expected), repr(result.error)
        assert result.after == result.before
        assert CANARY[:10] not in str(result.error).lower()


TOKEN_CASES: dict[str, tuple[Wrong, type[ConnectorError]]] = {
    "a header that drips": (hanging(HEAD[:-4] + b"\r\nX: ", b"x"), RequestRetryable),
    "a promise to go on, again and again": (hanging(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), RequestRetryable),
    "a chunk whose length drips": (hanging(CHUNKED, b"0"), RequestRetryable),
    "a redirect with a body that drips": (
        hanging(http(b"", "302 Found", 10**6, None, Location="/x"), b" "), RequestRejected,
    ),
    "a redirect to what is no address": (sent(b"", "302 Found", Location="http://[bad"), RequestRejected),
}  # fmt: skip


@pytest.mark.parametrize(("wrong", "expected"), TOKEN_CASES.values(), ids=TOKEN_CASES)
def test_a_hostile_token_endpoint_ends_in_a_named_error_so_that_the_lock_is_let_go(
    wrong: Wrong, expected: type[ConnectorError]
) -> None:
    with Server(lambda path, params: wrong({}, 1, params)) as server:
        ask = FormTokenEndpoint("things", f"{server.url}/token", "Check it.", 0.5, 0.3)
        error = ended(lambda: ask({"client_secret": CANARY}))

    assert isinstance(error, expected), repr(error)
    assert CANARY not in str(error)
    assert len(server.heard) == 1


@pytest.mark.parametrize(
    ("stream", "wrong", "error"),
    [
        (LINKED, lambda url: lambda data, number, params: http(
            written(data | {"next": data["next"] and f"{url}{data['next']}"})), None),
        (LINKED, lambda url: lambda data, number, params: http(
            written(data | {"next": data["next"] and f"//key:word@{url[7:]}{data['next']}"})), None),
        (NUMBERED, lambda url: sent(b"", "302 Found", Location=f"{url}/numbered?page=1"), RequestRejected),
        (NUMBERED, lambda url: on_page(2, sent(b"", "307 Temporary Redirect", Location=f"{url}/x")), RequestRejected),
    ],
    ids=["a next link", "a next link without a scheme", "a redirect", "a redirect of the second page"],
)  # fmt: skip
def test_a_credential_never_follows_to_another_host(
    stream: HttpStream, wrong: Callable[[str], Wrong], error: type[ConnectorError] | None, tmp_path: Path
) -> None:
    with Server(lambda path, params: http(written(page(stream, params)))) as other:
        misled = wrong(other.url)
        with Server(lambda path, params: misled(page(stream, params), 0, params)) as server:
            result = read(stream, server.url, tmp_path)

    assert (type(result.error), result.after) == (
        (type(None), table(range(COUNT))) if error is None else (error, result.before)
    )
    assert other.heard == []
    assert all(CANARY.encode() in head for head in server.heard)


def test_headers_that_are_none_are_not_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def answer(path: str, params: dict[str, str]) -> Answer:
        return http(written(page(NUMBERED, params))).replace(b"Content-Length", CANARY.encode() + b"\r\nContent-Length")

    with Server(answer) as server:
        result = read(NUMBERED, server.url, tmp_path)

    assert (result.error, result.after) == (None, table(range(COUNT)))
    assert [(entry.name, entry.getMessage()) for entry in caplog.records if entry.name.startswith("urllib3")] == []


def test_a_server_that_closes_in_the_middle_of_a_handshake_is_told_by_its_kind(tmp_path: Path) -> None:
    with Server(lambda path, params: b"\x16\x03\x03") as server:  # the beginning of a TLS record
        result = read(NUMBERED, server.url.replace("http:", "https:"), tmp_path)

    assert isinstance(result.error, RequestRetryable)
    assert result.after == result.before
    assert CANARY.encode() not in b"".join(server.heard)


# Lists that come newest first, and do not

NEWEST = replace(TOKENS, name="newest", cursor=Cursor("updated_at", newest_first=True, lookback=timedelta(hours=1)))
Row = float | str | None
"""Hours of a record's cursor after the window's start; a text is no instant."""

WALKS: dict[str, tuple[list[Row], int]] = {
    "in order": ([5, 4, 3, 2, -2, -3, -4, -5, -6], 2),
    "in order, with one record of a page before the window": ([5, 4, -2, -3, -4, -5, -6, -7, -8], 2),
    "in order but for less than the look-back": ([5, 4, 4.5, 2, -2, -3, -4, -5, -6], 2),
    "as old as each other": ([5, 5, 5, 2, -2, -2, -2, -5, -6], 2),
    "a record of long ago at the end of a page": ([5, 4, -900, 3, 2, 1, -2, -3, -4, 0.5], 4),
    "a record of long ago in the middle of a page": ([5, -900, 4, 3, -2, -3, 2, -4, -5, 1], 4),
    "a new record behind old ones": ([5, 4, 3, -2, 2, -3, -4, -5, -6, 1], 4),
    "a new record at the front of a page": ([5, 4, 1, 3, -2, -3, -4, -5, -6, 2], 4),
    "records that were moved to the next page": ([7, 5, 3, 5, 3, 2, -2, -3, -4, -5], 3),
    "records without a time": ([5, None, 4, 3, None, -2, -3, -4, -5, -6], 3),
    "a record without a time at the end of a page": ([5, 4, None, 3, -2, None, -3, -4, -5, -6], 3),
    "a record whose time is none": ([5, "soon", 4, 3, "late", -2, -3, -4, -5, -6], 3),
}


@pytest.mark.parametrize(("rows", "requests"), WALKS.values(), ids=WALKS)
@pytest.mark.parametrize("is_broken_off", [False, True], ids=["", "broken off"])
def test_a_list_is_read_to_its_end_where_it_is_not_in_order_and_not_further_than_needed_where_it_is(
    rows: list[Row], requests: int, is_broken_off: bool, tmp_path: Path
) -> None:
    records = [record(rows.index(row), row) for row in rows]
    asked: list[int] = []

    def answer(path: str, params: dict[str, str]) -> Answer:
        start = int(params.get("after", "0"))
        asked.append(start)
        if is_broken_off and asked.count(start) == 1 and start == 3:
            return http(b"", "404 Not Found")
        following = start + 3 if start + 3 < len(records) else None
        return http(written({"things": records[start : start + 3], "next": following}))

    with Server(answer) as server:
        source = reader(server.url, tmp_path, patience_seconds=30)  # what was asked for is counted
        if is_broken_off:
            with pytest.raises(RequestRejected):
                source.extract(NEWEST, Slice(Window(NOW, NOW + timedelta(days=1))), tmp_path)
        spool = source.extract(NEWEST, Slice(Window(NOW, NOW + timedelta(days=1))), tmp_path)
        found = spool.pages_file.read_text()
        spool.close()

    if is_broken_off and rows[3] == rows[1]:
        requests = 4  # whether the first page had it is not known any more
    assert asked == [0, 3, *([3] if is_broken_off else []), 6, 9][: requests + is_broken_off]
    assert [row for row in rows if isinstance(row, float | int) and row >= 0 and f'"row {row}"' not in found] == []


def record(number: int, row: Row) -> dict[str, Any]:
    when = (NOW + timedelta(hours=row)).isoformat() if isinstance(row, float | int) else row
    return {"id": number, "name": f"row {row}", "updated_at": when}


# Rows that come, go and change while a list is read


@dataclass
class Live:
    """A list that changes between any two answers, as a seed says. A minute passes with each."""

    seed: int
    rows: list[dict[str, Any]] = field(default_factory=list)
    minute: int = 0
    touched: set[int] = field(default_factory=set)
    gone: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.rows = [thing(number) for number in range(self.random.randint(5, 17))]
        self.first = {row["id"] for row in self.rows}
        self.busy = self.random.choice((0.1, 0.3, 0.6))

    @property
    def now(self) -> datetime:
        return NOW + timedelta(minutes=2 * self.minute)

    def change(self) -> None:
        """Let rows come anywhere, go, and be edited where they are (or, in a list by time, at its front)."""
        self.minute += 1
        while self.random.random() < self.busy:
            place = self.random.randrange(len(self.rows) + 1)
            match self.random.choice(("come", "come last", "go", "go", "edit")):
                case "come":
                    self.rows.insert(place, self._new())
                case "come last":
                    self.rows.append(self._new())
                case "go" if place < len(self.rows):
                    self.gone.add(self.rows.pop(place)["id"])
                case "edit" if place < len(self.rows):
                    self.rows[place] = self.rows[place] | {"updated_at": self.now.isoformat()}
                    self.touched.add(self.rows[place]["id"])

    def _new(self) -> dict[str, Any]:
        return thing(1000 + self.random.randrange(10**9)) | {"updated_at": self.now.isoformat()}

    def numbered(self, path: str, params: dict[str, str]) -> Answer:
        self.change()
        start = 2 * int(params["page"]) - 2
        pages = {"pages": -(-len(self.rows) // 2), "records": len(self.rows)}
        return http(written({"things": self.rows[start : start + 2], "pages": pages}), now=self.now)

    def linked(self, path: str, params: dict[str, str]) -> Answer:
        self.change()
        start = int(params["from"])
        following = f"/linked?from={start + 2}" if start + 2 < len(self.rows) else None
        body = {"things": self.rows[start : start + 2], "next": following, "total": len(self.rows)}
        return http(written(body), now=self.now)

    def by_cursor(self, path: str, params: dict[str, str]) -> Answer:
        """Newest first; a token goes on behind the last row that was read, wherever that is by now."""
        self.change()

        def place(row: dict[str, Any]) -> tuple[float, int]:
            return -datetime.fromisoformat(row["updated_at"]).timestamp(), row["id"]

        after = tuple(json.loads(params["after"])) if "after" in params else (-1e18, 0)
        left = sorted((row for row in self.rows if place(row) > after), key=place)
        following = json.dumps(place(left[1])) if len(left) > 2 else None
        return http(written({"things": left[:2], "next": following}), now=self.now)


@pytest.mark.parametrize("seeds", [15, pytest.param(400, marks=pytest.mark.soak)])
@pytest.mark.parametrize("style", ["numbered", "linked", "by_cursor"])
def test_no_row_that_was_there_the_whole_time_is_missing(style: str, seeds: int, tmp_path: Path) -> None:
    stream = {"numbered": NUMBERED, "linked": LINKED, "by_cursor": TOKENS}[style]
    whole = 0
    for seed in range(seeds):
        live = Live(seed)
        folder = tmp_path / str(seed)
        store = DuckDB(folder / "store.duckdb", folder / "temporary", lock_timeout_seconds=5)
        with Server(getattr(live, style)) as server:
            try:
                _land(stream, server.url, folder, store)
            except IncompleteRead:
                continue
        found = {number for number, *_ in rows(store, stream)}
        there = live.first - live.gone - (live.touched if style == "by_cursor" else set())
        assert there <= found, f"seed {seed}: {sorted(there - found)} are missing"
        whole += 1
    assert whole >= seeds // 4  # a reader that only ever fails misses nothing either
