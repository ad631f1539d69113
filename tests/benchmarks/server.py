"""A server as fast as Python makes it: Aha! features of about 1 KB, rendered from a template, kept-alive HTTP/1.1.

It honours `page` and `per_page` and ignores every filter, so that both sides of a comparison get the same bytes. Run in
a process of its own: `python -m tests.benchmarks.server RECORDS` prints its URL and serves until its stdin is closed.
"""

import asyncio
import os
import sys
import threading
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

START = datetime(2025, 3, 1, tzinfo=UTC)
DAYS = 90

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


def page(number: int, size: int, records: int) -> bytes:
    """Return the body of one page, pages counted from 1."""
    first, last = (number - 1) * size, min(number * size, records)
    step = timedelta(days=DAYS) / records
    items = b",".join(
        _RECORD
        % (i, i, i, i % 50, i % 100, (START + i * step).isoformat(timespec="milliseconds")[:-6].encode() + b"Z", i, i)
        for i in range(first, last)
    )
    envelope = b'{"features":[%s],"pagination":{"total_records":%d,"total_pages":%d,"current_page":%d}}'
    return envelope % (items, records, -(-records // size), number)


class _Connection(asyncio.Protocol):
    def __init__(self, records: int) -> None:
        self._records = records
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while b"\r\n\r\n" in self._buffer:
            head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
            query = parse_qs(urlsplit(head.split(b" ", 2)[1].decode()).query)
            body = page(int(query.get("page", ["1"])[0]), int(query.get("per_page", ["30"])[0]), self._records)
            assert self._transport is not None
            self._transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: %d\r\n\r\n"
                % len(body)
            )
            self._transport.write(body)


async def _serve(records: int) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(records), "127.0.0.1", 0)
    sys.stdout.write(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


def _exit_with_parent() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    asyncio.run(_serve(int(sys.argv[1])))
