"""The connection that a camera's thread is waiting at, so that another thread can end the wait.

Between two bytes nobody waits longer than a socket's time-out; whoever sends a byte now and then is ended here.
"""

import socket
from collections.abc import Mapping
from contextlib import suppress
from threading import Lock
from time import monotonic
from typing import Any

_OPENED = frozenset({"connection.connect_tcp.complete", "connection.start_tls.complete"})


class SocketDeadline:
    """One camera's connection; any thread may call any method."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._socket: socket.socket | None = None
        self._until: float | None = None
        self._overdue = False

    @property
    def overdue(self) -> bool:
        """Whether what was waited for last took too long."""
        with self._lock:
            return self._late()

    def wait(self, seconds: float | None) -> None:
        """What comes next must come within so many seconds from now; None: nothing is waited for any more."""
        with self._lock:
            self._overdue = seconds is None and self._late()
            self._until = None if seconds is None else monotonic() + seconds

    def opened(self, event: str, info: Mapping[str, Any]) -> None:
        """Hear from httpx (its `trace`) which socket it has opened."""
        if event in _OPENED:
            self.use(info["return_value"].get_extra_info("socket"))

    def use(self, connected: socket.socket) -> None:
        """This is the socket that is waited at."""
        with self._lock:
            self._socket = connected

    def check(self) -> None:
        """End the wait if it takes too long."""
        if self.overdue:
            self.cut()

    def cut(self) -> None:
        """End the wait: whoever waits reads the end of the connection, or an error."""
        with self._lock:
            if self._socket is not None:
                with suppress(OSError):  # it is closed already
                    self._socket.shutdown(socket.SHUT_RDWR)

    def _late(self) -> bool:
        return self._overdue or (self._until is not None and monotonic() > self._until)
