"""Ports for servers that a test starts in other processes, which are told where to listen."""

import random
import socket
from contextlib import ExitStack

LOOPBACK = "127.0.0.1"
_PORTS = range(20_000, 32_000)
"""Below what Linux gives to outgoing connections, and to who asks for any port: from there, some other process of the
run would take a port between the moment at which it was found free and that at which the server listens."""


def free_ports(count: int) -> range:
    """`count` ports in a row, at random, at which nobody listens."""
    for _ in range(100):
        first = random.choice(_PORTS[: -count or None])
        try:
            with ExitStack() as stack:
                for port in range(first, first + count):
                    stack.enter_context(socket.socket()).bind((LOOPBACK, port))
        except OSError:
            continue
        return range(first, first + count)
    raise OSError(f"no {count} ports in a row are free on {LOOPBACK}")


def free_port() -> int:
    """A port, at random, at which nobody listens."""
    return free_ports(1)[0]
