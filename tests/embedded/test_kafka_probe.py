import socket
import struct
import threading

import pytest

from embedded.kafka_probe import parse_metadata, serves_cluster


def answer(brokers: int, cluster: str) -> bytes:
    def text(value: str) -> bytes:
        return struct.pack(">h", len(value)) + value.encode()

    broker = struct.pack(">i", 1) + text("localhost") + struct.pack(">ih", 9092, -1)
    return struct.pack(">ii", 7, brokers) + broker * brokers + text(cluster) + struct.pack(">ii", 1, 0)


def test_brokers_and_cluster_are_read_from_the_answer() -> None:
    assert parse_metadata(answer(2, "city")) == (2, "city")


def test_an_answer_that_is_cut_off_is_no_answer() -> None:
    with pytest.raises(struct.error):
        parse_metadata(answer(2, "city")[:20])


@pytest.mark.parametrize(
    ("body", "expected"),
    [(answer(1, "ours"), True), (answer(1, "another"), False), (answer(0, "ours"), False), (b"\0" * 5, False)],
    ids=["ours", "of another cluster", "not ready yet", "not Kafka"],
)
def test_only_a_ready_broker_of_the_same_cluster_counts(body: bytes, expected: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def reply() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1024)
                connection.sendall(struct.pack(">i", len(body)) + body)

        thread = threading.Thread(target=reply)
        thread.start()
        assert serves_cluster("127.0.0.1", server.getsockname()[1], "ours") is expected
        thread.join()


def test_a_closed_port_is_not_ready() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert serves_cluster("127.0.0.1", port, "ours") is False
