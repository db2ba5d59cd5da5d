"""The log on Apache Kafka. kafka-python ships no types: this module alone imports it."""

import logging
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka import TopicPartition as KafkaPartition
from kafka import errors as kafka_errors
from kafka.admin import ConfigResource, ConfigResourceType, NewTopic, OffsetSpec
from kafka.consumer.subscription_state import ConsumerRebalanceListener
from kafka.net.compat import KafkaNetClient
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector
from kafka.partitioner.default import murmur2
from kafka.structs import OffsetAndMetadata

from eventlog.inspection import ClusterState, TopicState
from eventlog.protocol import (
    AccessRefused,
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
from eventlog.security import PLAIN_TEXT, Security

logger = logging.getLogger(__name__)

_UNACKNOWLEDGED_BYTES = 64 << 20
_DELIVERY_TIMEOUT_S = 120
_METADATA_MS = 30_000
_TOPIC_MS = 60_000
_POLL_MESSAGES = 2_000
_POLL_MS = 500
_FETCH_BYTES = 4 << 20
_BACKWARDS_MESSAGES = 32
"""Read at once when a partition is read from its end: with pictures, 128 MB at the most."""
_LARGEST_REQUEST = 5 << 20
"""Bytes: the largest message, a picture, and what Kafka puts around it."""

_LOG_APPEND_TIME = 1
"""Kafka's code for a record whose timestamp is the broker's."""


class KafkaLog:
    """Keeps the promises of `eventlog.protocol.Log` on a cluster.

    `security`: how its clients prove who they are; `session_timeout_ms`: how long a member may be silent before the
    group goes on without it; `patience_s`: how long to wait for a first answer, and for those to an administrator.
    """

    def __init__(
        self,
        bootstrap: str,
        *,
        security: Security = PLAIN_TEXT,
        client_id: str = "sistercity",
        session_timeout_ms: int = 10_000,
        patience_s: float = 30.0,
    ) -> None:
        """Connects nothing yet. Raises `AccessRefused` if a file of `security` can't be used."""
        self._bootstrap = bootstrap
        self._protocol = security.protocol
        self._connections = _Connections()
        self._patience_ms = round(patience_s * 1000)
        self._client: dict[str, Any] = {
            "bootstrap_servers": bootstrap.split(","),
            "bootstrap_timeout_ms": self._patience_ms,
            "client_id": client_id,
            "kafka_client": self._connections,
            **_secured(security),
        }
        self._session_timeout_ms = session_timeout_ms

    def create(self, topic: str, partitions: int, settings: Mapping[str, str]) -> None:
        wanted = NewTopic(topic, num_partitions=partitions, topic_configs=dict(settings))
        with self._admin() as admin:
            try:
                admin.create_topics([wanted])
            except kafka_errors.TopicAlreadyExistsError:
                pass
            except kafka_errors.AuthorizationError as error:  # its own text is the whole request
                raise AccessRefused(f"Kafka does not let this client make the topic {topic}") from error
            admin.wait_for_topics([topic], timeout_ms=_TOPIC_MS)  # whoever made it: brokers learn of it a little later

    def describe(self, topic: str) -> TopicFacts:
        with self._admin() as admin:
            [found] = admin.describe_topics([topic])
            if _missing(found):
                raise UnknownTopic(topic)
            return _facts(admin, found)

    def topics(self) -> frozenset[str]:
        with self._admin() as admin:
            return frozenset(admin.list_topics())

    def inspect(self, topics: Sequence[str], groups: Sequence[str]) -> ClusterState:
        """How the cluster, these topics and these groups stand, as far as this client may know."""
        with self._admin() as admin:
            brokers = len(admin.describe_cluster()["brokers"])
            described = admin.describe_topics(list(topics))
            states = {found["name"]: _state(admin, found) for found in described if not _missing(found)}
            members = {group: _members(admin, group) for group in groups}
            asked_ms = _now_ms()
            clock_ms = _controllers_clock(admin)
            return ClusterState(brokers, states, members, clock_ms, asked_ms, _now_ms())

    def reader(
        self, group: str, topics: Sequence[str], listener: Listener, at_once: int = _POLL_MESSAGES
    ) -> "KafkaReader":
        with self._opening():
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

    def backwards(self, topic: str, key: bytes) -> Iterator[Record]:
        with self._opening():
            consumer = KafkaConsumer(
                **self._client,
                metrics_enabled=False,
                group_id=None,
                auto_offset_reset="earliest",  # what retention took meanwhile is passed over
                enable_auto_commit=False,
                max_poll_records=_BACKWARDS_MESSAGES,
                max_partition_fetch_bytes=_FETCH_BYTES,
            )
            try:
                partitions = consumer.partitions_for_topic(topic)
                if not partitions:
                    raise UnknownTopic(topic)
                one = KafkaPartition(topic, (murmur2(key) & 0x7FFFFFFF) % len(partitions))  # as the producer does it
                consumer.assign([one])
                begin, end = consumer.beginning_offsets([one])[one], consumer.end_offsets([one])[one]
                while end > begin:
                    start = max(end - _BACKWARDS_MESSAGES, begin)
                    yield from reversed([r for r in self._between(consumer, one, start, end) if r.key == key])
                    end = start
            finally:
                consumer.close()

    def _between(self, consumer: KafkaConsumer, partition: Any, start: int, end: int) -> Iterator[Record]:
        """The records of an assigned partition from `start` up to `end`. Raises `LogUnavailable`."""
        consumer.seek(partition, start)
        deadline = time.monotonic() + self._patience_ms / 1000
        while consumer.position(partition) < end:
            records = consumer.poll(timeout_ms=_POLL_MS).get(partition, ())
            if records:
                deadline = time.monotonic() + self._patience_ms / 1000
            elif time.monotonic() > deadline:
                raise LogUnavailable(f"Kafka gives no message of {partition.topic} partition {partition.partition}")
            yield from (record for record in records if record.offset < end)

    def writer(self) -> "KafkaWriter":
        with self._opening():
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
        with self._opening():
            admin = KafkaAdminClient(**self._client, request_timeout_ms=self._patience_ms)
        with _unavailable():
            try:
                yield admin
            finally:
                admin.close()

    @contextmanager
    def _opening(self) -> Iterator[None]:
        """`_unavailable`, with the reason why no connection came about."""
        with _unavailable():
            try:
                yield
            except kafka_errors.KafkaTimeoutError as error:
                reason = self._connections.failure or "it closes connections before an answer"
                raise LogUnavailable(
                    f"Kafka does not answer {self._protocol} at {self._bootstrap}: {reason}"
                ) from error


class _Connections:
    """Makes kafka-python's clients, and keeps why the last attempt to connect failed.

    kafka-python says that in its log only, and goes on trying a wrong password until its time is up.
    """

    def __init__(self) -> None:
        self.failure: BaseException | None = None

    def __call__(self, **settings: Any) -> KafkaNetClient:
        net = NetworkSelector(**settings)
        return KafkaNetClient(net=net, manager=_Manager(self, net, **settings), **settings)


class _Manager(KafkaConnectionManager):  # type: ignore[misc]  # kafka-python ships no types
    """Hears a broker's last words, and gives up at once where the first connection was refused for good."""

    def __init__(self, connections: _Connections, net: NetworkSelector, **settings: Any) -> None:
        super().__init__(net, **settings)
        self._connections = connections

    async def _build_transport(self, *args: Any, **kwargs: Any) -> Any:
        transport = await super()._build_transport(*args, **kwargs)
        transport._sock_recv = _then_the_end(transport._sock_recv)
        return transport

    async def _connect(self, node: Any, conn: Any, *args: Any, **kwargs: Any) -> None:
        await super()._connect(node, conn, *args, **kwargs)
        failure = conn.init_future.exception
        if failure is not None:
            self._connections.failure = failure
            if self.cluster.is_bootstrap(node.node_id) and _refused(failure):
                self._auth_failures[node.node_id] = failure  # what the next attempt raises instead of connecting


def _then_the_end(
    receive: Callable[[], tuple[bytes, Exception | None]],
) -> Callable[[], tuple[bytes, Exception | None]]:
    """What a socket gave before its end; the end itself comes with the next call.

    kafka-python throws away what comes together with the end: a broker's reason for closing the connection.
    """

    def received() -> tuple[bytes, Exception | None]:
        data, error = receive()
        return data, None if data else error

    return received


def _secured(security: Security) -> dict[str, Any]:
    """kafka-python's settings. At level DEBUG its log holds what it sends to authenticate: keep it above."""
    named: dict[str, Any] = {"security_protocol": security.protocol, "ssl_context": security.tls()}
    if security.mechanism is not None:
        named |= {
            "sasl_mechanism": security.mechanism,
            "sasl_plain_username": security.username,
            "sasl_plain_password": security.password,
        }
    return named


_REFUSALS = (
    kafka_errors.SaslAuthenticationFailedError,
    kafka_errors.UnsupportedSaslMechanismError,
    kafka_errors.IllegalSaslStateError,
    kafka_errors.AuthorizationError,
)


def _refused(error: BaseException) -> bool:
    """Whether trying again would not help: a wrong password, a certificate that one of the two does not accept."""
    behind = error.__context__ if error.__context__ is not None else next(iter(error.args), None)
    alert = isinstance(behind, ssl.SSLError) and "ALERT" in (behind.reason or "")
    return alert or isinstance(behind, ssl.SSLCertVerificationError) or isinstance(error, _REFUSALS)


@contextmanager
def _unavailable() -> Iterator[None]:
    """Turns whatever kafka-python raises into `LogUnavailable`, `AccessRefused` or `BadAddress`."""
    try:
        yield
    except kafka_errors.KafkaError as error:
        if _refused(error):
            raise AccessRefused(f"Kafka refuses this client: {error}") from error
        raise LogUnavailable(f"Kafka: {error}") from error
    except ValueError as error:  # bootstrap servers that are no addresses
        raise BadAddress(f"Kafka: {error}") from error


def _missing(found: Mapping[str, Any]) -> bool:
    return bool(found["error_code"] == kafka_errors.UnknownTopicOrPartitionError.errno)


def _facts(admin: KafkaAdminClient, found: Mapping[str, Any]) -> TopicFacts:
    if found["error_code"]:
        raise kafka_errors.for_code(found["error_code"])(f"topic {found['name']}")
    cluster = admin.describe_cluster()["cluster_id"]
    return TopicFacts(cluster, str(found["topic_id"]), len(found["partitions"]))


def _state(admin: KafkaAdminClient, found: Mapping[str, Any]) -> TopicState | str:
    """The topic as it stands, or why that is not to be had."""
    try:
        return _readable_state(admin, found)
    except kafka_errors.KafkaError as error:
        return str(error)


def _readable_state(admin: KafkaAdminClient, found: Mapping[str, Any]) -> TopicState:
    facts, name = _facts(admin, found), found["name"]
    partitions = [KafkaPartition(name, number) for number in range(facts.partitions)]
    told = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)], config_filter="all")
    settings = {key: str(value["value"]) for key, value in told["topic"][name].items()}
    replicas = min(len(one["replica_nodes"]) for one in found["partitions"])
    begins, ends = (
        admin.list_partition_offsets(dict.fromkeys(partitions, which))
        for which in (OffsetSpec.EARLIEST, OffsetSpec.LATEST)
    )
    return TopicState(
        facts,
        replicas,
        settings,
        [begins[one].offset for one in partitions],
        [ends[one].offset for one in partitions],
        _newest(admin, partitions),
    )


def _newest(admin: KafkaAdminClient, partitions: Sequence[Any]) -> int | None:
    try:
        newest = admin.list_partition_offsets(dict.fromkeys(partitions, OffsetSpec.MAX_TIMESTAMP))
    except kafka_errors.KafkaError:  # brokers before 3.0 don't know the question
        return None
    latest: int = max(one.timestamp for one in newest.values())
    return latest if latest > 0 else None


def _members(admin: KafkaAdminClient, group: str) -> int | None:
    try:
        found = admin.describe_groups([group])[group]
    except kafka_errors.KafkaError:
        return None
    if found["error"] is None or kafka_errors.GroupIdNotFoundError.__name__ in found["error"]:
        return len(found["members"])
    return None


def _controllers_clock(admin: KafkaAdminClient) -> int | None:
    """The clock of the cluster's controller: it tells when it last heard of each voter, and for itself that is now."""
    try:
        [topic] = admin.describe_metadata_quorum()["topics"]
    except kafka_errors.KafkaError:
        return None
    [quorum] = topic["partitions"]
    leader = quorum["leader_id"]
    heard = [one["last_fetch_timestamp"] for one in quorum["current_voters"] if one["replica_id"] == leader]
    return heard[0] if heard and heard[0] > 0 else None


def _now_ms() -> int:
    return round(time.time() * 1000)


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
            with _unavailable():
                raise
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
