"""The path of every source into the log: its messages, its ticks, and the account of both."""

from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b

from prometheus_client import Counter, Gauge

from eventlog.protocol import Log, LogUnavailable, Writer
from ingest.batches import Message, tick
from ingest.journal import Journal
from ingest.routes import Routes, to_one, topic_at
from schemas.topics import dataset_of

MESSAGES = Counter("sistercity_ingest_messages", "Messages handed to Kafka, ticks among them", ["dataset"])
READINGS = Counter("sistercity_ingest_readings", "Readings in them", ["dataset"])
TICK = Gauge("sistercity_ingest_tick_seconds", "Newest time that the sources' ticks announced, Unix time", ["dataset"])


class Feed:
    """Sends to one stream and counts what it sends; `flush` waits for the log and records in the journal.

    `topic` is the stream's first topic, and its only one without `routes`. `feeder` names the sender in every message
    (R16); what is sent must have been encoded with it. `report` is called with None after each flush, and with what is
    wrong when `idle` finds the log away.
    """

    def __init__(
        self,
        writer: Writer,
        topic: str,
        journal: Journal,
        feeder: str,
        routes: Routes | None = None,
        report: Callable[[str | None], None] = lambda failure: None,
    ) -> None:
        self.topic = topic
        self.feeder = feeder
        self.messages = 0
        self.readings = 0
        self._writer = writer
        self._journal = journal
        self._report = report
        self._routes = routes or to_one(topic)
        self._dataset = dataset_of(topic)
        self._partitions = {topic: range(writer.partitions(topic))}

    @property
    def cuts(self) -> Sequence[int]:
        """The times at which another topic begins: no message may hold readings of both sides. Milliseconds."""
        return [route.begins_ms for route in self._routes.current() if route.begins_ms is not None]

    def send(self, messages: Iterable[Message]) -> None:
        """Hand messages to the log, each by the time of its first reading.

        Raises `eventlog.protocol.DeliveryFailed` as the writer does, and what the routes do.
        """
        count = readings = 0
        try:
            for message in messages:
                topic = topic_at(self._routes.current(), message.start)
                self._writer.send(topic, message.key, message.value, message.readings)
                count += 1
                readings += message.readings
        finally:
            self.messages += count
            self.readings += readings
            MESSAGES.labels(self._dataset).inc(count)
            READINGS.labels(self._dataset).inc(readings)

    def tick(self, time_ms: int) -> None:
        """Send every partition a tick: the source's time has come as far as `time_ms`.

        A source need not have areas in every partition, and the log decides the partition of a key. A superfluous tick
        costs 40 bytes; a partition without ticks would hold back every window (R12). All topics get it: the last
        windows of an old one close by ticks alone, and a new one knows its sources before it begins.
        """
        value = tick(self._dataset, time_ms, self.feeder)
        for route in self._routes.current():
            if route.topic not in self._partitions:
                self._partitions[route.topic] = range(self._writer.partitions(route.topic))
            for partition in self._partitions[route.topic]:
                self._writer.send_to(route.topic, partition, value)
                self.messages += 1
                MESSAGES.labels(self._dataset).inc()
        TICK.labels(self._dataset).set(time_ms / 1000)

    def flush(self) -> None:
        """Return when the log has everything and the journal has recorded it. Raises `DeliveryFailed`."""
        self._writer.flush()
        self._journal.acknowledged(self._writer)
        self._report(None)

    def idle(self, log: Log) -> None:
        """Flush, and report whether the log answers: a writer with nothing to send does not ask it.

        Raises `DeliveryFailed`, and `eventlog.protocol.UnknownTopic` and `AccessRefused` as `log` does.
        """
        try:
            log.describe(self.topic)
        except LogUnavailable as error:
            self._report(str(error))
        else:
            self.flush()


def feeder_named(kind: str, origin: str) -> str:
    """The feeder of what `origin` (a file, a list of cameras, a simulated fleet) sends: the same in every run.

    Names of files may be personal, so the feeder holds a hash of them.
    """
    return f"{kind}-{blake2b(origin.encode('utf-8', 'backslashreplace'), digest_size=8).hexdigest()}"
