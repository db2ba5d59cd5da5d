"""Ask a Kafka broker for its metadata, by hand: one request that needs no client library and no second try."""

import socket
import struct

METADATA, VERSION, CORRELATION = 3, 2, 7
TIMEOUT_SECONDS = 2.0


def serves_cluster(host: str, port: int, cluster_id: str) -> bool:
    """Does a broker of this cluster answer there, with at least one broker ready to take requests?

    The cluster matters: the port may have gone to another broker between its choice and its use.
    """
    try:
        brokers, answered_by = parse_metadata(ask(host, port))
    except (OSError, struct.error, UnicodeDecodeError):
        return False
    return brokers > 0 and answered_by == cluster_id


def ask(host: str, port: int) -> bytes:
    """The body of the answer to a Metadata request (version 2) about no topics."""
    client = b"sistercity"
    request = struct.pack(">hhih", METADATA, VERSION, CORRELATION, len(client)) + client + struct.pack(">i", 0)
    with socket.create_connection((host, port), TIMEOUT_SECONDS) as connection:
        connection.sendall(struct.pack(">i", len(request)) + request)
        with connection.makefile("rb") as answer:
            (length,) = struct.unpack(">i", answer.read(4))
            return answer.read(length)


def parse_metadata(body: bytes) -> tuple[int, str]:
    """The number of brokers and the cluster's id. Raises struct.error where the body is cut short."""
    _, brokers = struct.unpack_from(">ii", body)
    at = 8
    for _ in range(brokers):
        _, at = string_at(body, at + 4)
        _, at = string_at(body, at + 4)
    return brokers, string_at(body, at)[0]


def string_at(body: bytes, at: int) -> tuple[str, int]:
    """A string with its length (16 bit, -1 for null) before it, and where the next field begins."""
    (length,) = struct.unpack_from(">h", body, at)
    start = at + 2
    end = start + max(length, 0)
    return body[start:end].decode(), end
