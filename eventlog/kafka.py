"""The log on Apache Kafka. kafka-python ships no types: this module alone imports it."""

import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka import TopicPartition as KafkaPartition
from kafka import errors as kafka_errors
from kafka.admin import NewTopic
from kafka.consumer.subscription_state import ConsumerRebalanceListener
from kafka.structs import OffsetAndMetadata

from eventlog.protocol import (
    Acknowledged,
    BadAddress,
    DeliveryFailed,
    Listener,
    LogUnavailable,
    OffsetGone,
    ProducersTime,
    Record,
    TopicFacts,
    TopicPartition,
    UnknownTopic,
)

logger = logging.getLogger(__name__)

_UNACKNOWLEDGED_BYTES = 64 << 20
_DELIVERY_TIMEOUT_S = 120
_METADATA_MS = 30_000
_POLL_MESSAGES = 2_000
_FETCH_BYTES = 4 << 20
_LARGEST_REQUEST = 5 << 20
"""Bytes: the largest message, a picture, and what Kafka puts around it."""

_LOG_APPEND_TIME = 1
"""Kafka's code for a record whose timestamp is the broker's."""


class KafkaLog:
    """Keeps the promises of `eventlog.protocol.Log` on a cluster.

    `session_timeout_ms`: how long a member may be silent before the group goes on without it.
    """

    def __init__(self, bootstrap: str, *, client_id: str = "sistercity", session_timeout_ms: int = 10_000) -> None:
        self._client: dict[str, Any] = {
            "bootstrap_servers": bootstrap.split(","),
            "client_id": client_id,
        }
        self._session_timeout_ms = session_timeout_ms

    def create(self, topic: str, partitions: int, settings: Mapping[str, str]) -> None:
        wanted = NewTopic(topic, num_partitions=partitions, topic_configs=dict(settings))
        with self._admin() as admin:
            with suppress(kafka_errors.TopicAlreadyExistsError):
                admin.create_topics([wanted])
            admin.wait_for_topics([topic])  # whoever made it: brokers learn of it a little later

    def describe(self, topic: str) -> TopicFacts:
        with self._admin() as admin:
            [found] = admin.describe_topics([topic])
            if found["error_code"] == kafka_errors.UnknownTopicOrPartitionError.errno:
                raise UnknownTopic(topic)
            cluster = admin.describe_cluster()
        return TopicFacts(cluster["cluster_id"], str(found["topic_id"]), len(found["partitions"]))

    def topics(self) -> frozenset[str]:
        with self._admin() as admin:
            return frozenset(admin.list_topics())

    def reader(
        self, group: str, topics: Sequence[str], listener: Listener, at_once: int = _POLL_MESSAGES
    ) -> "KafkaReader":
        with _unavailable():
            consumer = KafkaConsumer(
                **self._client,
                metrics_enabled=False,
                group_id=group,
                auto_offset_reset="none",
                enable_auto_commit=False,
                session_timeout_ms=self._session_timeout_ms,
                heartbeat_interval_ms=self._session_timeout_ms // 5,
                metadata_max_age_ms=_METADATA_MS,
                max_poll_records=at_once,
                max_partition_fetch_bytes=_FETCH_BYTES,
            )
            reader = KafkaReader(consumer, topics, listener)
            for topic in topics:
                # A leader that has not heard of a topic yet deals out none of its partitions, and nothing corrects it
                # before the metadata's next refresh.
                if not consumer.partitions_for_topic(topic):
                    consumer.close()
                    raise UnknownTopic(topic)
            return reader

    def writer(self) -> "KafkaWriter":
        with _unavailable():
            producer = KafkaProducer(
                **self._client,
                metrics_enabled=False,
                acks="all",
                linger_ms=20,
                batch_size=512 << 10,
                max_request_size=_LARGEST_REQUEST,
                delivery_timeout_ms=_DELIVERY_TIMEOUT_S * 1000,
            )
        return KafkaWriter(producer)

    @contextmanager
    def _admin(self) -> Iterator[KafkaAdminClient]:
        with _unavailable():
            admin = KafkaAdminClient(**self._client)
            try:
                yield admin
            finally:
                admin.close()


@contextmanager
def _unavailable() -> Iterator[None]:
    """Turns whatever kafka-python raises into `LogUnavailable`."""
    try:
        yield
    except kafka_errors.KafkaError as error:
        raise LogUnavailable(f"Kafka: {error}") from error
    except ValueError as error:  # bootstrap servers that are no addresses
        raise BadAddress(f"Kafka: {error}") from error


class _Rebalance(ConsumerRebalanceListener):  # type: ignore[misc]  # kafka-python ships no types
    """Passes kafka-python's callbacks to a `Listener`. They run on its I/O thread, while `poll` waits."""

    def __init__(self, consumer: KafkaConsumer, listener: Listener) -> None:
        self._consumer = consumer
        self._listener = listener

    def on_partitions_assigned(self, assigned: Sequence[Any]) -> None:
        starts = self._listener.assigned([TopicPartition(*one) for one in assigned])
        for one in assigned:
            self._consumer.seek(one, starts[TopicPartition(*one)])
        self._consumer.resume(*assigned)  # a pause would outlast the rebalance

    def on_partitions_revoked(self, revoked: Sequence[Any]) -> None:
        self._listener.revoked([TopicPartition(*one) for one in revoked])

    def on_partitions_lost(self, lost: Sequence[Any]) -> None:
        self._listener.lost([TopicPartition(*one) for one in lost])


class KafkaReader:
    """Keeps the promises of `eventlog.protocol.Reader`."""

    def __init__(self, consumer: KafkaConsumer, topics: Sequence[str], listener: Listener) -> None:
        self._consumer = consumer
        consumer.subscribe(list(topics), listener=_Rebalance(consumer, listener))

    def poll(self, timeout_ms: int) -> Mapping[TopicPartition, Sequence[Record]]:
        try:
            found: Mapping[TopicPartition, Sequence[Any]] = self._consumer.poll(timeout_ms=timeout_ms)
        except kafka_errors.OffsetOutOfRangeError as error:
            with _unavailable():
                gone = self._gone(error)
            raise gone from error
        except kafka_errors.KafkaError as error:
            if error.__cause__ is not None and not isinstance(error.__cause__, kafka_errors.KafkaError):
                raise error.__cause__ from None  # what the listener raised, wrapped by kafka-python
            raise LogUnavailable(f"Kafka: {error}") from error
        for partition, records in found.items():
            for record in records:
                if record.timestamp_type != _LOG_APPEND_TIME:
                    raise ProducersTime(TopicPartition(*partition), record.offset)
        return found

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self._consumer.seek(_own(partition), offset)

    def pause(self, partition: TopicPartition) -> None:
        self._consumer.pause(_own(partition))

    def assignment(self) -> frozenset[TopicPartition]:
        return frozenset(TopicPartition(*one) for one in self._consumer.assignment())

    def ends(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        with _unavailable():
            ends: Mapping[Any, int] = self._consumer.end_offsets([_own(one) for one in partitions])
        return {TopicPartition(*one): offset for one, offset in ends.items()}

    def note(self, positions: Mapping[TopicPartition, int]) -> None:
        try:
            self._consumer.commit_async({_own(one): OffsetAndMetadata(at, "", -1) for one, at in positions.items()})
        except kafka_errors.KafkaError as error:
            logger.debug("Kafka took no note of the positions: %s", error)

    def close(self) -> None:
        try:
            self._consumer.close(autocommit=False)
        except kafka_errors.KafkaError as error:
            logger.warning("leaving the group failed; it will notice by itself: %s", error)

    def _gone(self, error: Exception) -> Exception:
        partition, offset = next(iter(error.args[0].items()))
        earliest: int = self._consumer.beginning_offsets([partition])[partition]
        end: int = self._consumer.end_offsets([partition])[partition]
        return OffsetGone(TopicPartition(*partition), getattr(offset, "offset", offset), earliest, end)


def _own(partition: TopicPartition) -> Any:
    return KafkaPartition(*partition)


class KafkaWriter:
    """Keeps the promises of `eventlog.protocol.Writer`: idempotent, acknowledged by all in-sync replicas."""

    def __init__(self, producer: KafkaProducer) -> None:
        self._producer = producer
        self._settled = threading.Condition()
        self._outstanding = 0
        self._failure: Exception | None = None
        self._acknowledged: dict[tuple[str, int], list[int]] = {}

    def send(self, topic: str, key: bytes, value: bytes, readings: int = 0) -> None:
        self._send(len(value), readings, topic, value=value, key=key)

    def send_to(self, topic: str, partition: int, value: bytes) -> None:
        self._send(len(value), 0, topic, value=value, partition=partition)

    def flush(self) -> None:
        self._producer.flush(timeout=_DELIVERY_TIMEOUT_S)
        with self._settled:
            self._settled.wait_for(lambda: not self._outstanding or self._failure, timeout=_DELIVERY_TIMEOUT_S)
        self._raise_failure()

    def partitions(self, topic: str) -> int:
        try:
            return len(self._producer.partitions_for(topic))
        except kafka_errors.KafkaError as error:
            raise UnknownTopic(topic) from error

    def acknowledged(self) -> Mapping[tuple[str, int], Acknowledged]:
        with self._settled:
            return {where: Acknowledged(*counts) for where, counts in self._acknowledged.items()}

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
        except kafka_errors.KafkaError as error:
            raise DeliveryFailed(f"{topic}: {error}") from error
        with self._settled:
            self._outstanding += size
        future.add_callback(self._took, size, readings)
        future.add_errback(self._refused, size)

    def _took(self, size: int, readings: int, metadata: Any) -> None:
        with self._settled:
            self._outstanding -= size
            counts = self._acknowledged.setdefault(
                (metadata.topic, metadata.partition), [0, 0, metadata.offset, metadata.offset]
            )
            counts[0] += 1
            counts[1] += readings
            counts[2] = min(counts[2], metadata.offset)
            counts[3] = max(counts[3], metadata.offset)
            self._settled.notify_all()

    def _refused(self, size: int, error: Exception) -> None:
        with self._settled:
            self._outstanding -= size
            self._failure = self._failure or error
            self._settled.notify_all()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise DeliveryFailed(f"Kafka did not take over a message: {self._failure}") from self._failure
