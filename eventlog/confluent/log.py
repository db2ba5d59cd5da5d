"""A cluster as a log that is read and written by librdkafka."""

import logging
from collections.abc import Sequence
from typing import Any

from confluent_kafka import Consumer, Producer

from eventlog.confluent.reader import ConfluentReader
from eventlog.confluent.writer import ConfluentWriter
from eventlog.kafka import KafkaLog
from eventlog.kafka.log import FETCH_BYTES, LARGEST_REQUEST, POLL_MESSAGES
from eventlog.kafka.writer import DELIVERY_TIMEOUT_S
from eventlog.protocol import Listener
from eventlog.security import PLAIN_TEXT, Security

logger = logging.getLogger(__name__)

_PREFETCH_KB = 64 << 10
_UNACKNOWLEDGED_KB = 64 << 10


class ConfluentLog(KafkaLog):
    """Implements `eventlog.protocol.Log`: members of groups and writers are librdkafka's, the rest is kafka-python's.

    Takes the same arguments. Members of both kinds can be in one group, and writers of both kinds choose the same
    partition for a key.
    """

    def __init__(self, bootstrap: str, *, security: Security = PLAIN_TEXT, **options: Any) -> None:
        super().__init__(bootstrap, security=security, **options)
        self._settings = {
            "bootstrap.servers": bootstrap,
            "client.id": self.client_id,
            "log_level": 3,
            **_security_settings(security),
        }

    def reader(  # type: ignore[override]
        self,
        group: str,
        topics: Sequence[str],
        listener: Listener,
        at_once: int = POLL_MESSAGES,
        *,
        instance: str | None = None,
    ) -> ConfluentReader:
        for topic in topics:
            self.describe(topic)  # raises what is wrong with the topic, the connection or the password
        name = self.checked_instance(group, topics, instance)
        settings = {
            **self._settings,
            "group.id": group,
            **({} if name is None else {"group.instance.id": name}),
            "auto.offset.reset": "error",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "check.crcs": True,
            "partition.assignment.strategy": "range",
            "session.timeout.ms": self.session_timeout_ms,
            "heartbeat.interval.ms": self.session_timeout_ms // 5,
            "max.poll.interval.ms": max(self.poll_timeout_ms, self.session_timeout_ms),
            "topic.metadata.refresh.interval.ms": 30_000,
            "max.partition.fetch.bytes": FETCH_BYTES,
            "queued.max.messages.kbytes": _PREFETCH_KB,
        }
        consumer = Consumer(settings, logger=logger)
        return ConfluentReader(consumer, self, group, topics, listener, at_once, name, self.patience_s)

    def writer(self) -> ConfluentWriter:  # type: ignore[override]
        self.topics()  # raises what is wrong with the connection or the password
        producer = Producer(
            {
                **self._settings,
                "enable.idempotence": True,
                "acks": "all",
                "linger.ms": 20,
                "batch.size": 512 << 10,
                "message.max.bytes": LARGEST_REQUEST,
                "delivery.timeout.ms": DELIVERY_TIMEOUT_S * 1000,
                "queue.buffering.max.kbytes": _UNACKNOWLEDGED_KB,
                "partitioner": "murmur2_random",
            },
            logger=logger,
        )
        return ConfluentWriter(producer, self.patience_s)


def _security_settings(security: Security) -> dict[str, Any]:
    settings: dict[str, Any] = {"security.protocol": security.protocol}
    if security.mechanism is not None:
        settings |= {
            "sasl.mechanism": security.mechanism,
            "sasl.username": security.username,
            "sasl.password": security.password,
        }
    if security.encrypted:
        files = {
            "ssl.ca.location": security.ca_file,
            "ssl.certificate.location": security.cert_file,
            "ssl.key.location": security.key_file or security.cert_file,
        }
        settings |= {name: str(path) for name, path in files.items() if path is not None}
    return settings
