"""Connections to a server byte by byte, and the certificates that it shows."""

import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from node.demo.certificates import Authority, ServerCertificate


def connected(port: int, sent: bytes = b"") -> socket.socket:
    found = socket.create_connection(("127.0.0.1", port), timeout=30)
    found.sendall(sent)
    return found


def answer(connection: socket.socket) -> bytes:
    """All that comes until the server ends the connection."""
    received = b""
    with connection:
        while True:
            try:
                part = connection.recv(1 << 20)
            except ConnectionResetError:
                return received
            if not part:
                return received
            received += part


def certified(above: Path, *names: str) -> Iterator[ServerCertificate]:
    """Certificates for this machine, each of an authority of its own, in folders of these names."""
    for name in names:
        (above / name).mkdir()
        yield Authority(above / name, datetime.now(UTC)).certify("isfahan", ["127.0.0.1"])


def shown(port: int) -> bytes:
    """The certificate that a new connection gets."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with context.wrap_socket(connected(port)) as connection:
        found = connection.getpeercert(binary_form=True)
        assert found is not None
        return found


def pem(path: Path) -> bytes:
    return ssl.PEM_cert_to_DER_cert(path.read_text())
