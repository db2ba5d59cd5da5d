"""A cluster as a log: its topics, readers and writers."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from zlib import crc32

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, errors
from kafka.admin import NewTopic

from eventlog.inspection import ClusterState
from eventlog.kafka import backwards
from eventlog.kafka.batches import name_unreadable_batches
from eventlog.kafka.connections import Connections, security_settings
from eventlog.kafka.errors import translated
from eventlog.kafka.inspection import cluster_state, holder_of, is_missing, retention_of, topic_facts
from eventlog.kafka.member import MOST_BYTES, STEP, GroupMember, Start
from eventlog.kafka.ranges import whole_range
from eventlog.kafka.reader import KafkaReader
from eventlog.kafka.writer import DELIVERY_TIMEOUT_S, KafkaWriter
from eventlog.protocol import (
    AccessRefused,
    InstanceTaken,
    Listener,
    LogUnavailable,
    Record,
    TopicFacts,
    TopicPartition,
    UnknownTopic,
)
from eventlog.security import PLAIN_TEXT, Security

_METADATA_MS = 30_000
_TOPIC_MS = 60_000
POLL_MESSAGES = 2_000
FETCH_BYTES = 4 << 20
LARGEST_REQUEST = 5 << 20
"""Bytes: the largest message, a picture, and what Kafka puts around it."""


class KafkaLog:
    """Implements `eventlog.protocol.Log` on a cluster.

    `bootstrap`: host:port, several with commas between; `security`: how clients prove who they are;
    `session_timeout_ms`: how long a member may be silent before the group goes on without it; `poll_timeout_ms`: how
    long it may go without a poll; `patience_s`: how long to wait for a first answer, and for those to an administrator.
    """

    def __init__(
        self,
        bootstrap: str,
        *,
        security: Security = PLAIN_TEXT,
        client_id: str = "sistercity",
        session_timeout_ms: int = 10_000,
        poll_timeout_ms: int = 300_000,
        patience_s: float = 30.0,
    ) -> None:
        """Does not connect yet. Raises `AccessRefused` if a file of `security` can't be used."""
        self.client_id = client_id
        self._bootstrap = bootstrap
        self._protocol = security.protocol
        self._connections = Connections()
        self.patience_s = patience_s
        self._client: dict[str, Any] = {
            "bootstrap_servers": bootstrap.split(","),
            "bootstrap_timeout_ms": round(patience_s * 1000),
            "client_id": client_id,
            "kafka_client": self._connections,
            **security_settings(security),
        }
        self.session_timeout_ms = session_timeout_ms
        self.poll_timeout_ms = poll_timeout_ms

    def create(self, topic: str, partitions: int, settings: Mapping[str, str]) -> None:
        new = NewTopic(topic, num_partitions=partitions, topic_configs=dict(settings))
        with self._admin() as admin:
            try:
                admin.create_topics([new])
            except errors.TopicAlreadyExistsError:
                pass
            except errors.AuthorizationError as error:  # its own text is the whole request
                raise AccessRefused(f"Kafka does not let this client make the topic {topic}", "rights") from error
            admin.wait_for_topics([topic], timeout_ms=_TOPIC_MS)  # brokers learn of it a little later

    def describe(self, topic: str) -> TopicFacts:
        with self._admin() as admin:
            [description] = admin.describe_topics([topic])
            if is_missing(description):
                raise UnknownTopic(topic)
            return topic_facts(admin, description)

    def topics(self) -> frozenset[str]:
        with self._admin() as admin:
            return frozenset(admin.list_topics())

    def retention_ms(self, topic: str) -> int | None:
        """How long a topic keeps messages, milliseconds; -1 for ever, None if this client may not know it."""
        with self._admin() as admin:
            return retention_of(admin, topic)

    def inspect(self, topics: Sequence[str], groups: Sequence[str], old_share: float = 0.5) -> ClusterState:
        """The state of the cluster, of these topics and of these groups, as far as this client may know it.

        A message counts as old when it has used up `old_share` of its retention.
        Raises `LogUnavailable` and `AccessRefused`.
        """
        with self._admin() as admin:
            return cluster_state(admin, topics, groups, old_share)

    def reader(
        self,
        group: str,
        topics: Sequence[str],
        listener: Listener,
        at_once: int = POLL_MESSAGES,
        *,
        instance: str | None = None,
    ) -> KafkaReader:
        instance = self.checked_instance(group, topics, instance)
        with self._opening():
            consumer = self._in_group(group, at_once, group_instance_id=instance)
            reader = KafkaReader(consumer, topics, listener, instance)
            _require(consumer, topics)
            return reader

    def checked_instance(self, group: str, topics: Sequence[str], instance: str | None) -> str | None:
        """The name under which a member joins for these topics; None for one without a name.

        Raises `InstanceTaken` if a client of another machine is in the group under this name: Kafka would let this one
        in and the other out, which would then come back, and so on.
        """
        if instance is None:
            return None
        # Kafka gives a member that comes back the partitions that it had, even if it asks for other topics by now.
        instance = f"{instance}-{crc32(' '.join(sorted(topics)).encode()):08x}"
        with self._admin() as admin:
            holder = holder_of(admin, group, instance)
        if holder is not None and holder != self.client_id:
            raise InstanceTaken(group, instance, f"another process ({holder})")
        return instance

    def member(self, group: str, topic: str, start: Start) -> GroupMember:
        """Join a group that reads a topic of others, and whose positions this cluster keeps.

        Raises `UnknownTopic`, `LogUnavailable` and `AccessRefused`.
        """
        topic_id = self.describe(topic).topic_id
        with self._opening():
            consumer = self._in_group(group, STEP, fetch_max_bytes=MOST_BYTES)
            _require(consumer, [topic])
            return GroupMember(consumer, topic, topic_id, start, self.patience_s)

    def backwards(self, topic: str, key: bytes) -> Iterator[Record]:
        # What retention took meanwhile is passed over.
        with self._alone("earliest", backwards.AT_ONCE) as consumer:
            yield from backwards.latest_first(consumer, topic, key, self.patience_s)

    def between(
        self, partition: TopicPartition, first: int, until: int, at_once: int = POLL_MESSAGES
    ) -> Iterator[Sequence[Record]]:
        with self._alone("none", at_once) as consumer:
            name_unreadable_batches(consumer)
            yield from whole_range(consumer, partition, first, until, self.patience_s)

    @contextmanager
    def _alone(self, reset: str, at_once: int) -> Iterator[KafkaConsumer]:
        """A consumer without a group, closed at the end."""
        with self._opening():
            consumer = self._consumer(at_once, group_id=None, auto_offset_reset=reset)
            try:
                yield consumer
            finally:
                consumer.close()

    def _in_group(self, group: str, at_once: int, **more: Any) -> KafkaConsumer:
        """A consumer that joins a group when it subscribes; where the group has no position, reading is an error."""
        return self._consumer(
            at_once,
            group_id=group,
            auto_offset_reset="none",
            session_timeout_ms=self.session_timeout_ms,
            heartbeat_interval_ms=self.session_timeout_ms // 5,
            metadata_max_age_ms=_METADATA_MS,
            max_poll_interval_ms=self.poll_timeout_ms,
            **more,
        )

    def _consumer(self, at_once: int, **more: Any) -> KafkaConsumer:
        """A consumer of at most `at_once` records a poll, which commits only when it is told to."""
        return KafkaConsumer(
            **self._client,
            metrics_enabled=False,
            isolation_level="read_committed",
            enable_auto_commit=False,
            max_poll_records=at_once,
            max_partition_fetch_bytes=FETCH_BYTES,
            **more,
        )

    def writer(self) -> KafkaWriter:
        with self._opening():
            producer = KafkaProducer(
                **self._client,
                metrics_enabled=False,
                acks="all",
                linger_ms=20,
                batch_size=512 << 10,
                max_request_size=LARGEST_REQUEST,
                delivery_timeout_ms=DELIVERY_TIMEOUT_S * 1000,
            )
        return KafkaWriter(producer)

    @contextmanager
    def _admin(self) -> Iterator[KafkaAdminClient]:
        with self._opening():
            admin = KafkaAdminClient(**self._client, request_timeout_ms=round(self.patience_s * 1000))
        with translated():
            try:
                yield admin
            finally:
                admin.close()

    @contextmanager
    def _opening(self) -> Iterator[None]:
        """`translated`, with the reason why no connection was made."""
        with translated():
            try:
                yield
            except errors.KafkaTimeoutError as error:
                reason = self._connections.failure or "it closes connections before an answer"
                words = f"Kafka does not answer {self._protocol} at {self._bootstrap}: {reason}"
                raise LogUnavailable(words, "address") from error


def _require(consumer: KafkaConsumer, topics: Sequence[str]) -> None:
    """Raise `UnknownTopic`, and close the consumer, if the cluster does not have all topics.

    The leader of a group that does not know a topic yet assigns none of its partitions, and nothing corrects that
    before the metadata's next refresh.
    """
    for topic in topics:
        if not consumer.partitions_for_topic(topic):
            consumer.close()
            raise UnknownTopic(topic)
