"""A Kafka that a test may stop and start; its clients find it again at the same address."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from embedded import fast_start, kafka
from embedded.jars import classpath, read_lock
from tests.conftest import INSTALLED
from tests.ports import LOOPBACK, free_port

# The listener BROKER takes another port at each start.
PROPERTIES = """
listeners=BROKER://{{host}}:{{port}},CONTROLLER://{{host}}:{{controller_port}},CLIENTS://{{host}}:{port}
listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT,CLIENTS:PLAINTEXT
"""


class OwnKafka:
    """`bootstrap` is the address, host:port, which stays the same over stops and starts."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        self.bootstrap = f"{LOOPBACK}:{port}"
        self._folder = folder
        self._properties = PROPERTIES.format(port=port)
        self._broker: kafka.Broker | None = None
        self.start()

    def start(self) -> None:
        """Start the broker, on the data that it had."""
        jars = read_lock()
        self._broker = kafka.start(
            *(self._folder, classpath(INSTALLED, jars), threading.Event()),
            trial=fast_start.options(INSTALLED, jars),
            extra=self._properties,
            pattern=fast_start.storage_pattern(INSTALLED, jars),
        )

    def stop(self) -> None:
        """Stop the broker without waiting for its clients."""
        if self._broker is not None:
            kafka.stop(self._broker)
            self._broker = None


@contextmanager
def own_kafka(folder: Path) -> Iterator[OwnKafka]:
    """A Kafka of the test's own with its data in `folder`."""
    broker = OwnKafka(folder)
    try:
        yield broker
    finally:
        broker.stop()
