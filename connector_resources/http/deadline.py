"""A bound on the time until an answer is there whole.

A socket's own time-out begins anew with every byte: a server that sends a header, the length of a chunk or the head of
a compressed body letter by letter, or one "100 Continue" after another, would be listened to for ever, because the
libraries below loop until they have what they look for. Here each read of the socket may take no longer than what is
left of the whole time, whoever reads and whatever for; and somebody else may end the wait of a thread (`Line`).
"""

import http.client
import io
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any

import urllib3
import urllib3.connection
import urllib3.connectionpool
from requests.adapters import HTTPAdapter

_MOST_CONNECTIONS = 65
"""As many as threads may send at a time, and one: those beyond are closed after each answer, with a warning."""

_JOIN_SECONDS = 0.05
_LONGEST_JOIN_SECONDS = 15.0
"""Longer than a connection may take to be made, which nobody can interrupt."""


class Line:
    """The connection at which a thread waits for an answer, in a block of this; another thread may hang up."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None

    def __enter__(self) -> None:
        _of_thread.line = self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _of_thread.line = None

    def hang_up(self) -> None:
        """End the answer that is waited for, if one is: whoever reads it meets its end."""
        if (connection := self._socket) is not None:
            with suppress(OSError):  # it has ended by itself
                # The method of SSLSocket would take its state from under the thread that reads.
                socket.socket.shutdown(connection, socket.SHUT_RDWR)

    def _wait_at(self, connection: Any) -> None:
        self._socket = connection if isinstance(connection, socket.socket) else None


_of_thread = threading.local()


def hang_up_until_ended(waiting: Sequence[tuple[threading.Thread, Callable[[], None]]]) -> None:
    """Hang up on threads until they have ended: again, for one may only now have come to wait."""
    end = time.monotonic() + _LONGEST_JOIN_SECONDS
    while (alive := [each for each in waiting if each[0].is_alive()]) and time.monotonic() < end:
        for _, hang_up in alive:
            hang_up()
        alive[0][0].join(_JOIN_SECONDS)


@contextmanager
def not_hung_up_on() -> Iterator[None]:
    """Let nobody hang up on what this thread waits for in the block."""
    line = getattr(_of_thread, "line", None)
    _of_thread.line = None
    try:
        yield
    finally:
        _of_thread.line = line


class DeadlineAdapter(HTTPAdapter):
    """Sends requests as `requests` does, and reads for at most `seconds()` what comes in answer to one."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._pools = _pools(seconds)
        super().__init__(pool_maxsize=_MOST_CONNECTIONS)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pools of connections, with ours in them."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        """Return the pools of connections through a proxy, with ours in them."""
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = self._pools
        return manager


def _pools(seconds: Callable[[], float]) -> dict[str, type[urllib3.connectionpool.HTTPConnectionPool]]:
    """Return urllib3's pools by scheme, of connections whose answers have to be there in time."""

    class Answer(http.client.HTTPResponse):
        # Also what a proxy says to CONNECT is such an answer.
        def __init__(self, sock: Any, *args: Any, **kwargs: Any) -> None:
            super().__init__(sock, *args, **kwargs)
            self.fp.close()
            self.fp = io.BufferedReader(_Bounded(sock, seconds()))

        def begin(self) -> None:
            super().begin()
            # What urllib3 finds wrong here it logs, with the whole address and what the server sent.
            self.headers.defects.clear()
            self.headers.set_payload("")

    class Connection(urllib3.connection.HTTPConnection):
        response_class = Answer

    class SecureConnection(urllib3.connection.HTTPSConnection):
        response_class = Answer

    class Pool(urllib3.connectionpool.HTTPConnectionPool):
        ConnectionCls = Connection

    class SecurePool(urllib3.connectionpool.HTTPSConnectionPool):
        ConnectionCls = SecureConnection

    return {"http": Pool, "https": SecurePool}


class _Bounded(io.RawIOBase):
    """The bytes of a socket for `seconds` from now; each read also keeps the time-out that the socket has now."""

    def __init__(self, connection: Any, seconds: float) -> None:
        self._connection = connection
        self._bytes = connection.makefile("rb", buffering=0)
        self._longest_read = connection.gettimeout()
        self._end = time.monotonic() + seconds
        self._line: Line | None = getattr(_of_thread, "line", None)
        if self._line is not None:
            self._line._wait_at(connection)

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Read what is there. Raises TimeoutError where nothing comes in time."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer was not there in time")
        self._connection.settimeout(left if self._longest_read is None else min(left, self._longest_read))
        read: int | None = self._bytes.readinto(buffer)
        return read

    def close(self) -> None:
        """Let go of the socket."""
        if self._line is not None:
            self._line._wait_at(None)
        self._bytes.close()
        super().close()
