"""Ask a Kafka broker for its metadata without a client library: a single Metadata request of Kafka's protocol."""

import socket
import struct

METADATA, VERSION, CORRELATION = 3, 2, 7
TIMEOUT_SECONDS = 2.0


def serves_cluster(host: str, port: int, cluster_id: str) -> bool:
    """Whether a broker of this cluster answers there, with at least one broker ready to take requests.

    The cluster is compared because another broker may have taken the port between its choice and its use.
    """
    try:
        brokers, answered_by = parse_metadata(ask(host, port))
    except (OSError, struct.error, UnicodeDecodeError):
        return False
    return brokers > 0 and answered_by == cluster_id


def ask(host: str, port: int) -> bytes:
    """The body of the response to a Metadata request (version 2) about no topics. Raises OSError, struct.error."""
    client = b"sistercity"
    request = struct.pack(">hhih", METADATA, VERSION, CORRELATION, len(client)) + client + struct.pack(">i", 0)
    with socket.create_connection((host, port), TIMEOUT_SECONDS) as connection:
        connection.sendall(struct.pack(">i", len(request)) + request)
        with connection.makefile("rb") as answer:
            (length,) = struct.unpack(">i", answer.read(4))
            return answer.read(length)


def parse_metadata(body: bytes) -> tuple[int, str]:
    """The number of brokers and the cluster's id. Raises struct.error if the body is cut off."""
    _, brokers = struct.unpack_from(">ii", body)
    at = 8
    for _ in range(brokers):
        _, at = string_at(body, at + 4)
        _, at = string_at(body, at + 4)
    return brokers, string_at(body, at)[0]


def string_at(body: bytes, at: int) -> tuple[str, int]:
    """The string at `at`, with its length (16 bits, -1 for null) before it, and where the next field begins."""
    (length,) = struct.unpack_from(">h", body, at)
    start = at + 2
    end = start + max(length, 0)
    return body[start:end].decode(), end
