"""How clients connect: with which settings, and what they report when they can't."""

import ssl
from collections.abc import Callable
from typing import Any

from kafka import errors
from kafka.net.compat import KafkaNetClient
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector

from eventlog.kafka.errors import refused_by
from eventlog.security import Security


def security_settings(security: Security) -> dict[str, Any]:
    """kafka-python's settings. At level DEBUG its log holds what it sends to authenticate: keep it above.

    Raises `AccessRefused` if a file of `security` can't be used.
    """
    settings: dict[str, Any] = {"security_protocol": security.protocol, "ssl_context": security.tls()}
    if security.mechanism is not None:
        settings |= {
            "sasl_mechanism": security.mechanism,
            "sasl_plain_username": security.username,
            "sasl_plain_password": security.password,
        }
    return settings


_PIECE_BYTES = 64 << 10
"""Bytes that are read from a connection at once. With kafka-python's 4 kB, a bare poll takes a fifth more."""


class Connections:
    """Makes kafka-python's network clients, and keeps why the last attempt to connect failed.

    kafka-python reports that in its log only, and goes on trying a wrong password until its time is up.
    """

    def __init__(self) -> None:
        self.failure: BaseException | None = None

    def __call__(self, **settings: Any) -> KafkaNetClient:
        """What kafka-python calls as `kafka_client`."""
        net = NetworkSelector(**settings)
        return KafkaNetClient(net=net, manager=_Manager(self, net, **settings), **settings)


class _Manager(KafkaConnectionManager):  # type: ignore[misc]  # kafka-python ships no types
    """Reads a broker's last response, and gives up at once where the first connection was refused for good."""

    def __init__(self, connections: Connections, net: NetworkSelector, **settings: Any) -> None:
        super().__init__(net, **settings)
        self._connections = connections

    async def _build_transport(self, *args: Any, **kwargs: Any) -> Any:
        transport = await super()._build_transport(*args, **kwargs)
        transport._sock_recv = _receiving(transport)
        return transport

    async def _connect(self, node: Any, conn: Any, *args: Any, **kwargs: Any) -> None:
        await super()._connect(node, conn, *args, **kwargs)
        failure = conn.init_future.exception
        if failure is not None:
            self._connections.failure = failure
            if self.cluster.is_bootstrap(node.node_id) and refused_by(failure) is not None:
                self._auth_failures[node.node_id] = failure  # what the next attempt raises instead of connecting


def _receiving(transport: Any) -> Callable[[], tuple[bytes, Exception | None]]:
    """What takes the place of a transport's own reading: all that has come, or why nothing will.

    kafka-python reads pieces of 4 kB, and throws away what comes together with the end of the connection: a broker's
    reason for closing it. Here that comes first, the end with the next call.
    """

    def received() -> tuple[bytes, Exception | None]:
        pieces: list[bytes] = []
        ended: Exception | None = None
        while ended is None:
            try:
                pieces.append(transport._sock.recv(_PIECE_BYTES))
                if not pieces[-1]:
                    ended = errors.KafkaConnectionError("socket disconnected")
            except (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                break
            except OSError as error:
                ended = errors.KafkaConnectionError(error)
        data = b"".join(pieces)
        return data, None if data else ended

    return received
