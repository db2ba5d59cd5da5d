"""The path of every source into the log: its messages, its ticks, and the account of both."""

from collections.abc import Iterable

from eventlog.protocol import Writer
from ingest.batches import Message, tick
from ingest.journal import Journal
from schemas.topics import dataset_of


class Feed:
    """Sends to one topic and counts what it sends; `flush` waits for the log and records in the journal."""

    def __init__(self, writer: Writer, topic: str, journal: Journal) -> None:
        self.topic = topic
        self.messages = 0
        self.readings = 0
        self._writer = writer
        self._journal = journal
        self._dataset = dataset_of(topic)
        self._partitions = range(writer.partitions(topic))

    def send(self, messages: Iterable[Message]) -> None:
        """Hand messages to the log. Raises `eventlog.protocol.DeliveryFailed` as the writer does."""
        for message in messages:
            self._writer.send(self.topic, message.key, message.value, message.readings)
            self.messages += 1
            self.readings += message.readings

    def tick(self, time_ms: int) -> None:
        """Send every partition a tick: the source's time has come as far as `time_ms`.

        A source need not have areas in every partition, and the log decides the partition of a key. A superfluous tick
        costs 40 bytes; a partition without ticks would hold back every window (R12).
        """
        value = tick(self._dataset, time_ms)
        for partition in self._partitions:
            self._writer.send_to(self.topic, partition, value)
            self.messages += 1

    def flush(self) -> None:
        """Return when the log has everything and the journal has recorded it. Raises `DeliveryFailed`."""
        self._writer.flush()
        self._journal.acknowledged(self._writer)
