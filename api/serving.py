"""Runs an app behind uvicorn, with the limits that uvicorn itself does not have.

uvicorn has no limit on the time in which a request's head must come (its keep-alive timer ends with the first byte), on
the time in which an answer must be taken (closing waits for the reader), or on connections that don't stop everyone. So
each connection here has a deadline, from when it is made until its first request, from each request until its answer
was taken, and between requests. Where there are too many connections, the one that has waited longest without a request
makes room.
"""

import asyncio
import logging
import resource
import socket
import ssl
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

log = logging.getLogger(__name__)

_AT_ONCE = struct.pack("ii", 1, 0)

ProxyNetwork = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a client may take, in seconds, and how many connections there may be.

    `head`: to send a request's head. `answer`: from there until it has taken the answer. `idle`: between requests.
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


class BoundedProtocol(H11Protocol):
    """HTTP/1.1 on one connection, which ends at its deadline. Subclasses of `bounded` have the limits."""

    patience: Patience
    proxies: Sequence[ProxyNetwork]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request, or refuse whoever is no proxy."""
        self._deadline: asyncio.TimerHandle | None = None
        self._waiting_since: float | None = self.loop.time()
        super().connection_made(transport)
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
            self._waiting_since = self.loop.time()
            self._end_in(self.patience.head)

    def handle_events(self) -> None:
        """Note a request whose head is complete; a pipelined one among them."""
        cycle = self.cycle
        super().handle_events()
        if self.cycle is not cycle and self.cycle is not None and not self.cycle.response_complete:
            self._waiting_since = None
            self._end_in(self.patience.answer)

    def on_response_complete(self) -> None:
        """Wait for the next request. What was written may still be in the buffer: the deadline covers that."""
        self._waiting_since = self.loop.time()
        self._end_in(self.patience.idle + self.patience.head)
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the deadline."""
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)

    def _end_in(self, seconds: float) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(seconds, self._reset)

    def _reset(self) -> None:
        """End the connection at once. Without the option, the kernel would hold what was not taken for minutes."""
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        self.transport.abort()

    def _is_proxy(self) -> bool:
        if self.client is None:
            return False
        address = ip_address(self.client[0])
        return address.is_loopback or any(address in network for network in self.proxies)

    def _make_room(self) -> None:
        waiting = [
            (protocol._waiting_since, id(protocol), protocol)
            for protocol in self.connections
            if isinstance(protocol, BoundedProtocol) and protocol._waiting_since is not None and protocol is not self
        ]
        if waiting:
            min(waiting)[2]._reset()


class _BoundedLoop(asyncio.SelectorEventLoop):
    """Gives up on a TLS handshake as soon as on a head; asyncio would wait for a minute."""

    patience = Patience()

    async def create_server(self, *args: Any, **options: Any) -> asyncio.Server:
        if options.get("ssl") is not None:
            options |= {"ssl_handshake_timeout": self.patience.head, "ssl_shutdown_timeout": self.patience.head}
        return await super().create_server(*args, **options)


class BoundedServer(uvicorn.Server):
    """A server of one app; `run` returns after `should_exit` was set."""

    def __init__(self, app: ASGIApp, listening: Listening, *, log_level: str = "info") -> None:
        limits = {"patience": listening.patience, "proxies": tuple(listening.proxies)}
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
        """Serve until `should_exit` is set. `sockets`: listen on these, instead of the address."""
        for listening in sockets or ():
            # asyncio sets it only where the socket names its protocol; an answer would wait 40 ms for the client's ACK.
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        allow_connections(self._patience.connections)
        loop: Callable[[], asyncio.AbstractEventLoop] = type("_Loop", (_BoundedLoop,), {"patience": self._patience})
        with asyncio.Runner(loop_factory=loop) as runner:
            runner.run(self.serve(sockets))


def allow_connections(most: int) -> None:
    """Let the process have this many connections and its other files, as far as the machine allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = most + 500
    if soft != resource.RLIM_INFINITY and soft < wanted:
        allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        if allowed < wanted:
            log.warning("the machine allows %d open files: more than %d connections may be refused", allowed, most)
