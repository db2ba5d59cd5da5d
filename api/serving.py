"""Runs an app behind uvicorn, with the limits that uvicorn itself does not have.

uvicorn has no limit on the time in which a request's head must come (its keep-alive timer ends with the first byte), on
the time in which an answer must be taken (closing waits for the reader), or on connections that don't stop everyone. So
each connection here has a deadline, from when it is made until its first request, from each request until its answer
was taken, and between requests. Where there are too many connections, the one that has waited longest without a request
makes room. Many that came at once neither end at once nor are accepted in one go: others would wait meanwhile.
"""

import asyncio
import logging
import random
import resource
import socket
import ssl
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from errors import OperatorError

log = logging.getLogger(__name__)

_AT_ONCE = struct.pack("ii", 1, 0)
_LATER = 0.2
"""The share of its time by which a connection ends later at most, drawn for each."""
_drawn = random.Random().uniform
_ACCEPTED_AT_ONCE = 32
_QUEUE = 2048
"""Connections that wait in the kernel to be accepted."""

ProxyNetwork = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a client may take, in seconds, and how many connections there may be.

    `head`: to send a request's head. `answer`: from there until it has taken the answer. `idle`: between requests. A
    connection ends when its time is over, up to a fifth later.
    """

    head: float = 10
    answer: float = 120
    idle: int = 5
    connections: int = 2000


@dataclass(frozen=True, slots=True)
class Listening:
    """Where an app listens and whom it believes.

    `tls`: with it, HTTPS. `proxies`: the networks of the reverse proxies; where there are any, only they (and this
    machine) are answered, and what they say of the client is believed.
    """

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    proxies: Sequence[ProxyNetwork] = ()
    patience: Patience = Patience()


class _Uncopied(h11.Connection):
    """Passes an answer's content on as it is. Joining parts of another type than bytes, the library copies each."""

    def send(self, event: h11.Event) -> Any:
        """What is to be written for this event, as the library says."""
        pieces = self.send_with_data_passthrough(event)
        if pieces is None or len(pieces) != 1:
            return None if pieces is None else b"".join(pieces)
        return pieces[0]


class BoundedProtocol(H11Protocol):
    """HTTP/1.1 on one connection, which ends at its deadline. Subclasses of `bounded` have the limits."""

    patience: Patience
    proxies: Sequence[ProxyNetwork]
    waiting: "dict[BoundedProtocol, None]"
    """The connections without a request, the one that has waited longest first."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request, or refuse whoever is no proxy."""
        self._deadline: asyncio.TimerHandle | None = None
        self.conn = _Uncopied(h11.SERVER)
        super().connection_made(transport)
        self._wait()
        if self.proxies and not self._is_proxy():
            self._reset()
            return
        if len(self.connections) > self.patience.connections:
            self._make_room()
        self._end_in(self.patience.head)

    def data_received(self, data: bytes) -> None:
        """Note whether a request begins, or a head is complete with these bytes."""
        idle, cycle = self.timeout_keep_alive_task is not None, self.cycle
        super().data_received(data)
        if self.cycle is cycle and idle:
            self._wait()
            self._end_in(self.patience.head)

    def handle_events(self) -> None:
        """Note a request whose head is complete; a pipelined one among them."""
        cycle = self.cycle
        super().handle_events()
        if self.cycle is not cycle and self.cycle is not None and not self.cycle.response_complete:
            self.waiting.pop(self, None)
            self._end_in(self.patience.answer)

    def on_response_complete(self) -> None:
        """Wait for the next request. What was written may still be in the buffer: the deadline covers that."""
        self._wait()
        self._end_in(self.patience.idle + self.patience.head)
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the deadline."""
        self.waiting.pop(self, None)
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)

    def _end_in(self, seconds: float) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(seconds * _drawn(1, 1 + _LATER), self._reset)

    def _reset(self) -> None:
        """End the connection at once. Without the option, the kernel would hold what was not taken for minutes."""
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        self.transport.abort()

    def _is_proxy(self) -> bool:
        if self.client is None:
            return False
        address = ip_address(self.client[0])
        return address.is_loopback or any(address in network for network in self.proxies)

    def _wait(self) -> None:
        self.waiting.pop(self, None)
        self.waiting[self] = None

    def _make_room(self) -> None:
        longest = next(iter(self.waiting))
        if longest is not self:
            self.waiting.pop(longest)  # the next one that comes finds another
            longest._reset()


class _BoundedLoop(asyncio.SelectorEventLoop):
    """Accepts a few connections at a time, and gives up on a TLS handshake as soon as on a head, not after a minute."""

    patience = Patience()

    async def create_server(self, *args: Any, **options: Any) -> asyncio.Server:
        if options.get("ssl") is not None:
            options |= {"ssl_handshake_timeout": self.patience.head, "ssl_shutdown_timeout": self.patience.head}
        # What asyncio calls the backlog is also how many it accepts before it does anything else.
        server = await super().create_server(*args, **options | {"backlog": _ACCEPTED_AT_ONCE})
        for listening in server.sockets:
            with socket.fromfd(listening.fileno(), listening.family, listening.type) as same:
                same.listen(_QUEUE)
        return server


class CannotListen(OperatorError):
    """The address is taken, not of this machine, or not allowed to this user."""


class BoundedServer(uvicorn.Server):
    """A server of one app; `run` returns after `should_exit` was set."""

    def __init__(self, app: ASGIApp, listening: Listening, *, log_level: str = "info") -> None:
        limits = {"patience": listening.patience, "proxies": tuple(listening.proxies), "waiting": {}}
        context = listening.tls
        super().__init__(
            uvicorn.Config(
                app,
                host=listening.host,
                port=listening.port,
                log_level=log_level,
                log_config=None,  # the process has set up its own
                access_log=False,
                server_header=False,
                http=type("_Protocol", (BoundedProtocol,), limits),
                ws="none",
                timeout_keep_alive=listening.patience.idle,
                timeout_graceful_shutdown=10,
                proxy_headers=bool(listening.proxies),
                forwarded_allow_ips=[str(network) for network in listening.proxies],
                ssl_context_factory=None if context is None else lambda _config, _default: context,
            )
        )
        self._patience = listening.patience

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until `should_exit` is set. `sockets`: listen on these, instead of the address.

        Raises `CannotListen`.
        """
        for listening in sockets or ():
            # asyncio sets it only where the socket names its protocol; an answer would wait 40 ms for the client's ACK.
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        allow_connections(self._patience.connections)
        loop: Callable[[], asyncio.AbstractEventLoop] = type("_Loop", (_BoundedLoop,), {"patience": self._patience})
        with asyncio.Runner(loop_factory=loop) as runner:
            try:
                runner.run(self.serve(sockets))
            except SystemExit:  # uvicorn has logged the reason, unless it was serving and a handler of signals ends it
                if self.started:
                    raise
                where = f"{self.config.host}:{self.config.port}"
                words = "another process has the port, or the address is not for this one: the log says which"
                raise CannotListen(f"can't listen on {where}: {words}") from None


def allow_connections(most: int) -> None:
    """Let the process have this many connections and its other files, as far as the machine allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = most + 500
    if soft != resource.RLIM_INFINITY and soft < wanted:
        allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        if allowed < wanted:
            log.warning("the machine allows %d open files: more than %d connections may be refused", allowed, most)
