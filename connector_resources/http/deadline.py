"""A bound on the time until an answer's headers are there.

A socket's own time-out begins anew with every byte: a server that sends a header letter by letter, or one "100
Continue" after another, would be listened to for ever. Here the connection is shut down instead, which ends whatever
waits for it, as if the server had hung up.
"""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import urllib3
import urllib3.connection
import urllib3.connectionpool
from requests.adapters import HTTPAdapter


class DeadlineAdapter(HTTPAdapter):
    """Sends requests as `requests` does, and waits at most `seconds()` for the headers of an answer."""

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
    """Return urllib3's pools by scheme, of connections that are shut down when an answer does not begin in time."""

    class Connection(urllib3.connection.HTTPConnection):
        def getresponse(self) -> Any:
            with _ShutDown(self.sock, seconds()):
                return super().getresponse()

    class SecureConnection(urllib3.connection.HTTPSConnection):
        def getresponse(self) -> Any:
            with _ShutDown(self.sock, seconds()):
                return super().getresponse()

    class Pool(urllib3.connectionpool.HTTPConnectionPool):
        ConnectionCls = Connection

    class SecurePool(urllib3.connectionpool.HTTPSConnectionPool):
        ConnectionCls = SecureConnection

    return {"http": Pool, "https": SecurePool}


class _ShutDown:
    """Shuts a socket down where the block takes longer than `seconds`."""

    def __init__(self, connection: socket.socket | None, seconds: float) -> None:
        self._connection = connection
        self._timer = threading.Timer(seconds, self._shut_down)
        self._timer.daemon = True

    def _shut_down(self) -> None:
        if self._connection is not None:
            with suppress(OSError):  # the other side was quicker
                # The plain socket's own: that of an encrypted one would take its lock or its state away from a reader.
                socket.socket.shutdown(self._connection, socket.SHUT_RDWR)

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *error: object) -> None:
        self._timer.cancel()
