"""A deadline for a whole picture on a socket, which another thread can enforce.

A socket's own time-out limits the wait for the next byte; a sender of a byte now and then stays below it.
"""

import socket
from collections.abc import Mapping
from contextlib import suppress
from threading import Lock
from time import monotonic
from typing import Any

_OPENED = frozenset({"connection.connect_tcp.complete", "connection.start_tls.complete"})


class SocketDeadline:
    """The socket that one camera's thread reads, and the time until which it may; any thread may call any method."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._socket: socket.socket | None = None
        self._until: float | None = None
        self._overdue = False

    @property
    def overdue(self) -> bool:
        """Whether the last deadline was missed."""
        with self._lock:
            return self._late()

    def wait(self, seconds: float | None) -> None:
        """Set the deadline, seconds from now; None removes it. What was overdue stays so until the next deadline."""
        with self._lock:
            self._overdue = seconds is None and self._late()
            self._until = None if seconds is None else monotonic() + seconds

    def opened(self, event: str, info: Mapping[str, Any]) -> None:
        """Take the socket from httpx, whose `trace` extension calls this."""
        if event in _OPENED:
            self.use(info["return_value"].get_extra_info("socket"))

    def use(self, connected: socket.socket) -> None:
        """Apply the deadline to this socket."""
        with self._lock:
            self._socket = connected

    def check(self) -> None:
        """End the connection if the deadline has passed."""
        if self.overdue:
            self.cut()

    def cut(self) -> None:
        """End the connection: a blocked read returns its end, or raises an error."""
        with self._lock:
            if self._socket is not None:
                with suppress(OSError):  # it is closed already
                    self._socket.shutdown(socket.SHUT_RDWR)

    def _late(self) -> bool:
        return self._overdue or (self._until is not None and monotonic() > self._until)
