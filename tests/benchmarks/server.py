"""A server that takes next to no time: records of about 1 KB, each page rendered once, kept-alive HTTP/1.1.

    /api/v1/features                   RECORDS features, in the order of their last change
    /api/v1/ideas                      RECORDS ideas
    /api/v1/ideas/{id}/idea_comments   one comment on that idea
    /counted                           what was asked for since the last such question, as JSON

It honours `page`, `per_page` (at most 200) and `updated_since`, and ignores every other filter, so that all sides of a
comparison get the same bytes. Run in a process of its own, `python -m tests.benchmarks.server RECORDS
[--latency SECONDS] [--per-second LIMIT]` prints its URL and serves until its stdin is closed. With a latency every
answer waits so long, whatever else is asked for meanwhile; with a limit, requests beyond so many in any second are
refused with 429.
"""

import argparse
import asyncio
import json
import os
import sys
import threading
import time
from collections import deque
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from urllib.parse import parse_qs, urlsplit

START = datetime(2025, 3, 1, tzinfo=UTC)
DAYS = 90
LIMIT_PER_SECOND = 20
"""What Aha! allows in a second, where a limit is measured."""
_PAGES_KEPT = 1024
"""Of 200 records they are 256 MB. Where more are asked for in turn, each is rendered anew, which takes 1 ms."""

_RECORD = (
    b'{"id":"70123456%%09d","name":"Bulk import of contacts number %%d","reference_num":"APP-%%d","position":%%d,'
    b'"score":%%d,"created_at":"2026-02-03T10:11:12.000Z","updated_at":"%%s","start_date":"2026-03-02","due_date":null,'
    b'"product_id":"7012345678901230001","progress":0.5,"progress_source":"progress_manual","comments_count":2,'
    b'"workflow_status":{"id":"7012345678901237002","name":"In development","position":3,"complete":false,'
    b'"color":"#fad46b","workflow_status_category":null},"project":{"id":"7012345678901230001","reference_prefix":"APP",'
    b'"name":"Mobile app","product_line":false,"created_at":"2025-01-02T00:00:00.000Z",'
    b'"workspace_type":"product_workspace","url":"https://acme.aha.io/projects/APP"},"description":{'
    b'"id":"7012345678901236001","body":"<p>%s</p>","editor_version":1,"created_at":"2026-02-03T10:11:12.000Z",'
    b'"updated_at":"2026-02-04T10:11:12.000Z","attachments":[]},"tags":["import"],"custom_fields":[],"goals":[],'
    b'"url":"https://acme.aha.io/features/APP-%%d","resource":"https://acme.aha.io/api/v1/features/APP-%%d"}'
) % (b"Read a CSV file, match its columns, and say what was not understood. " * 2)


def record(number: int, updated_at: datetime, score: int) -> bytes:
    """Return one record; `updated_at` is in UTC and sent to the millisecond."""
    updated = updated_at.isoformat(timespec="milliseconds")[:-6].encode() + b"Z"
    return _RECORD % (number, number, number, number % 50, score, updated, number, number)


def page(number: int, size: int, records: int, since: datetime = START, name: str = "features") -> bytes:
    """Return the body of one page of what was changed since then, pages counted from 1."""
    step = timedelta(days=DAYS) / records
    skipped = max(0, min(records, -((START - since) // step)))
    total = records - skipped
    first, last = (skipped + n for n in ((number - 1) * size, min(number * size, total)))
    items = b",".join(record(i, START + i * step, i % 100) for i in range(first, last))
    envelope = b'{"%s":[%s],"pagination":{"total_records":%d,"total_pages":%d,"current_page":%d}}'
    return envelope % (name.encode(), items, total, -(-total // size), number)


def comments(idea: str) -> bytes:
    """Return the body of the only page of the comments on an idea."""
    return (
        b'{"idea_comments":[{"id":"8%s","body":"<p>Comment on %s</p>","created_at":"2025-03-04T05:06:07.000Z",'
        b'"visibility":"Visible to all ideas portal users","parent_idea_comment_id":null,"attachments":[]}],'
        b'"pagination":{"total_records":1,"total_pages":1,"current_page":1}}'
    ) % (idea[1:].encode(), idea.encode())


def answer(target: str, records: int) -> bytes:
    """Return what is sent in answer to a request for a path and its query, from the status line on."""
    address = urlsplit(target)
    name = address.path.rpartition("/")[2]
    if name == "idea_comments":
        return _sent(comments(address.path.split("/")[-2]))
    query = parse_qs(address.query)
    since = datetime.fromisoformat(query["updated_since"][0]) if "updated_since" in query else START
    size = min(int(query.get("per_page", ["30"])[0]), 200)
    return _page_sent(int(query.get("page", ["1"])[0]), size, records, max(since, START), name)


@lru_cache(_PAGES_KEPT)
def _page_sent(number: int, size: int, records: int, since: datetime, name: str) -> bytes:
    """Return a page as it is sent, kept by what is in it: each way of reading asks for it in its own words."""
    return _sent(page(number, size, records, since, name))


def _sent(body: bytes, status: bytes = b"200 OK") -> bytes:
    head = b"HTTP/1.1 %s\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: %d\r\n\r\n"
    return head % (status, len(body)) + body


class _Asked:
    """What was asked for: how many requests, how many at once at most, and how many were refused."""

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._lately: deque[float] = deque()
        self.restart()

    def restart(self) -> None:
        self.requests = self.refused = self.at_once = self.now = 0
        self.first_at = self.last_at = 0.0

    def take(self) -> bool:
        """Count a request, and return whether it is within the limit."""
        now = time.monotonic()
        self.requests += 1
        self.first_at, self.last_at = self.first_at or now, now
        while self._lately and self._lately[0] <= now - 1:
            self._lately.popleft()
        if self._per_second and len(self._lately) >= self._per_second:
            self.refused += 1
            return False
        self._lately.append(now)
        return True

    def told(self) -> bytes:
        told = {"requests": self.requests, "refused": self.refused, "at_once": self.at_once}
        return json.dumps({**told, "seconds": self.last_at - self.first_at}).encode()


class _Connection(asyncio.Protocol):
    def __init__(self, records: int, latency: float, asked: _Asked) -> None:
        self._records, self._latency, self._asked = records, latency, asked
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        self._buffer += data
        while b"\r\n\r\n" in self._buffer:
            head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
            target = head.split(b" ", 2)[1].decode()
            if target == "/counted":
                self._transport.write(_sent(self._asked.told()))
                self._asked.restart()
            elif not self._asked.take():
                self._transport.write(_sent(b"{}", b"429 Too Many Requests\r\nRetry-After: 1"))
            elif self._latency:
                self._asked.now += 1
                self._asked.at_once = max(self._asked.at_once, self._asked.now)
                asyncio.get_running_loop().call_later(self._latency, self._answer_late, target)
            else:
                self._transport.write(answer(target, self._records))

    def _answer_late(self, target: str) -> None:
        assert self._transport is not None
        self._asked.now -= 1
        self._transport.write(answer(target, self._records))


async def _serve(records: int, latency: float, per_second: float) -> None:
    asked = _Asked(per_second)
    server = await asyncio.get_running_loop().create_server(
        lambda: _Connection(records, latency, asked), "127.0.0.1", 0, backlog=1024
    )
    sys.stdout.write(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


def _exit_with_parent() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("records", type=int)
    parser.add_argument("--latency", type=float, default=0.0)
    parser.add_argument("--per-second", type=float, default=0.0)
    arguments = parser.parse_args()
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    asyncio.run(_serve(arguments.records, arguments.latency, arguments.per_second))
