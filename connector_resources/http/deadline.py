"""A bound on the time until an answer is there whole.

A socket's own time-out begins anew with every byte: a server that sends a header, the length of a chunk or the head of
a compressed body letter by letter, or one "100 Continue" after another, would be listened to for ever, because the
libraries below loop until they have what they look for. Here each read of the socket may take no longer than what is
left of the whole time, whoever reads and whatever for.
"""

import http.client
import io
import time
from collections.abc import Callable
from typing import Any

import urllib3
import urllib3.connection
import urllib3.connectionpool
from requests.adapters import HTTPAdapter


class DeadlineAdapter(HTTPAdapter):
    """Sends requests as `requests` does, and reads for at most `seconds()` what comes in answer to one."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._pools = _pools(seconds)
        super().__init__()

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
        self._bytes.close()
        super().close()
