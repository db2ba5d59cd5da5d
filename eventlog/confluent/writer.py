"""An idempotent writer whose messages are acknowledged by all in-sync replicas."""

import threading
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from eventlog.confluent.errors import translated
from eventlog.kafka.writer import DELIVERY_TIMEOUT_S
from eventlog.protocol import Acknowledged, DeliveryFailed, TopicPartition, UnknownTopic

_FULL_S = 0.1


class ConfluentWriter:
    """Implements `eventlog.protocol.Writer` on a producer. Waits `patience_s` for the partitions of a topic."""

    def __init__(self, producer: Producer, patience_s: float) -> None:
        self._producer = producer
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self._failure: KafkaError | None = None
        self._acknowledged: dict[TopicPartition, list[int]] = {}

    def send(self, topic: str, key: bytes, value: bytes, readings: int = 0) -> None:
        self._send(topic, value, readings, key=key)

    def send_to(self, topic: str, partition: int, value: bytes, headers: Sequence[tuple[str, bytes]] = ()) -> None:
        self._send(topic, value, 0, partition=partition, headers=list(headers))

    def flush(self) -> None:
        left = self._producer.flush(DELIVERY_TIMEOUT_S)
        self._raise_failure()
        if left:
            raise DeliveryFailed(f"Kafka did not acknowledge {left} messages within {DELIVERY_TIMEOUT_S} s")

    def partitions(self, topic: str) -> int:
        with translated():
            found = self._producer.list_topics(topic, timeout=self._patience_s).topics[topic]
        if found.error is not None:
            raise UnknownTopic(topic)
        return len(found.partitions)

    def acknowledged(self) -> Mapping[TopicPartition, Acknowledged]:
        self._producer.poll(0)
        with self._lock:
            return {partition: Acknowledged(*counts) for partition, counts in self._acknowledged.items()}

    def close(self) -> None:
        self.flush()

    def _send(self, topic: str, value: bytes, readings: int, **where: Any) -> None:
        self._raise_failure()
        settled = partial(self._settle, readings)
        while True:
            try:
                self._producer.produce(topic, value, on_delivery=settled, **where)
                break
            except BufferError:  # too much is unacknowledged
                self._producer.poll(_FULL_S)
                self._raise_failure()
            except KafkaException as error:
                raise DeliveryFailed(f"{topic}: {error.args[0].str()}") from error
        self._producer.poll(0)

    def _settle(self, readings: int, error: KafkaError | None, message: Any) -> None:
        with self._lock:
            if error is not None:
                self._failure = self._failure or error
                return
            offset = message.offset()
            partition = TopicPartition(message.topic(), message.partition())
            counts = self._acknowledged.setdefault(partition, [0, 0, offset, offset])
            counts[0] += 1
            counts[1] += readings
            counts[2] = min(counts[2], offset)
            counts[3] = max(counts[3], offset)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise DeliveryFailed(f"Kafka did not take over a message: {self._failure.str()}")
