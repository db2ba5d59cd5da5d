"""An idempotent writer whose messages are acknowledged by all in-sync replicas."""

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from kafka import KafkaProducer, errors

from eventlog.protocol import Acknowledged, DeliveryFailed, TopicPartition, UnknownTopic

DELIVERY_TIMEOUT_S = 120
_UNACKNOWLEDGED_BYTES = 64 << 20


class KafkaWriter:
    """Implements `eventlog.protocol.Writer` on a producer whose delivery times out after `DELIVERY_TIMEOUT_S`."""

    def __init__(self, producer: KafkaProducer) -> None:
        self._producer = producer
        self._settled = threading.Condition()
        self._outstanding = 0
        self._failure: Exception | None = None
        self._acknowledged: dict[TopicPartition, list[int]] = {}

    def send(self, topic: str, key: bytes, value: bytes, readings: int = 0) -> None:
        self._send(len(value), readings, topic, value=value, key=key)

    def send_to(self, topic: str, partition: int, value: bytes, headers: Sequence[tuple[str, bytes]] = ()) -> None:
        self._send(len(value), 0, topic, value=value, partition=partition, headers=list(headers))

    def flush(self) -> None:
        self._producer.flush(timeout=DELIVERY_TIMEOUT_S)
        with self._settled:
            self._settled.wait_for(lambda: not self._outstanding or self._failure, timeout=DELIVERY_TIMEOUT_S)
        self._raise_failure()

    def partitions(self, topic: str) -> int:
        try:
            return len(self._producer.partitions_for(topic))
        except errors.KafkaError as error:
            raise UnknownTopic(topic) from error

    def acknowledged(self) -> Mapping[TopicPartition, Acknowledged]:
        with self._settled:
            return {partition: Acknowledged(*counts) for partition, counts in self._acknowledged.items()}

    def close(self) -> None:
        try:
            self.flush()
        finally:
            self._producer.close()

    def _send(self, size: int, readings: int, topic: str, **message: Any) -> None:
        with self._settled:
            self._settled.wait_for(lambda: self._outstanding < _UNACKNOWLEDGED_BYTES or self._failure)
        self._raise_failure()
        try:
            future = self._producer.send(topic, **message)
        except errors.KafkaError as error:
            raise DeliveryFailed(f"{topic}: {error}") from error
        with self._settled:
            self._outstanding += size
        future.add_callback(self._accept, size, readings)
        future.add_errback(self._refuse, size)

    def _accept(self, size: int, readings: int, metadata: Any) -> None:
        with self._settled:
            self._outstanding -= size
            partition = TopicPartition(metadata.topic, metadata.partition)
            counts = self._acknowledged.setdefault(partition, [0, 0, metadata.offset, metadata.offset])
            counts[0] += 1
            counts[1] += readings
            counts[2] = min(counts[2], metadata.offset)
            counts[3] = max(counts[3], metadata.offset)
            self._settled.notify_all()

    def _refuse(self, size: int, error: Exception) -> None:
        with self._settled:
            self._outstanding -= size
            self._failure = self._failure or error
            self._settled.notify_all()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise DeliveryFailed(f"Kafka did not take over a message: {self._failure}") from self._failure
