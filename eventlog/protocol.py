"""The Protocols of a log, implemented by `eventlog.kafka` and `eventlog.memory`; tests/eventlog holds both to them.

Offsets count the messages of a partition from 0 on. Times are milliseconds since 1970, UTC.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from errors import OperatorError


class TopicPartition(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int

    def __str__(self) -> str:
        return f"{self.topic} partition {self.partition}"


class Record(Protocol):
    """One message in the log."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int:
        """The log's own clock when the message was appended."""

    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """What identifies a topic: another cluster, id or number of partitions is another topic."""

    cluster_id: str
    topic_id: str
    partitions: int


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """What the log has taken over into one partition: counts, and the first and last offset."""

    messages: int
    readings: int
    first_offset: int
    last_offset: int


class DeliveryFailed(OperatorError):
    """The log refused a message, or did not answer in time; what was sent after it may be missing too."""


class OffsetGone(Exception):
    """The log no longer (or not yet) holds the offset at which reading was to go on.

    `earliest` is the oldest offset that it holds, `end` the one that the next message will get.
    """

    def __init__(self, partition: TopicPartition, offset: int, earliest: int, end: int) -> None:
        super().__init__(f"{partition} holds the offsets {earliest} to {end}, but reading was to go on at {offset}")
        self.partition = partition
        self.offset = offset
        self.earliest = earliest
        self.end = end


class Unreadable(OperatorError):
    """A batch of messages that no reader of this version can read: a wrong checksum, an unknown codec (R14).

    `offset` is the first offset that could not be read, `next_offset` the first one after the batch.
    """

    def __init__(self, partition: TopicPartition, offset: int, next_offset: int, reason: str) -> None:
        super().__init__(
            f"{partition} has messages that can't be read, from offset {offset} to {next_offset - 1}: {reason}"
        )
        self.partition = partition
        self.offset = offset
        self.next_offset = next_offset


class UnknownTopic(OperatorError):
    """The log has no such topic."""

    def __init__(self, topic: str) -> None:
        super().__init__(f"there is no topic {topic}")


class ProducersTime(OperatorError):
    """A topic's messages have their producers' time: nothing then limits a clock in the future (R4)."""

    def __init__(self, partition: TopicPartition, offset: int) -> None:
        super().__init__(
            f"{partition} has a message (offset {offset}) with its producer's time, not Kafka's. Set"
            " message.timestamp.type=LogAppendTime on the topic; messages that were written before have to be written"
            " anew"
        )


class BadAddress(OperatorError):
    """The address of the log is malformed; trying again would not help."""


DecidedBy = Literal["address", "user", "authority", "certificate", "rights"]
"""What decides whether a client is let in: where it asks and how, the user with the password, whose certificates it
trusts, its own certificate, or what the user may do."""


class LogUnavailable(OperatorError):
    """The log did not answer. `decided_by` is what to look at first, where that is known."""

    decided_by: DecidedBy | None = None

    def __init__(self, words: str, decided_by: DecidedBy | None = None) -> None:
        super().__init__(words)
        self.decided_by = decided_by


class AccessRefused(OperatorError):
    """The log refuses this client, or what it requested, or the client refuses the log's certificate.

    Trying again would not help. `decided_by` is what decided so, where that is known.
    """

    decided_by: DecidedBy | None = None

    def __init__(self, words: str, decided_by: DecidedBy | None = None) -> None:
        super().__init__(words)
        self.decided_by = decided_by


class InstanceTaken(OperatorError):
    """Another process has joined the group under the same name; it goes on, and this one must not."""

    def __init__(self, group: str, instance: str, other: str) -> None:
        super().__init__(
            f"{other} is in the group {group} as {instance}: every machine and container needs a name of its own in"
            " SISTERCITY_INSTANCE; without the setting it is the host name. If that process has ended, the group"
            " forgets it after the session timeout"
        )


class Listener(Protocol):
    """What a member of a group does when its partitions change. Errors raised here come out of the member's `poll`."""

    def assigned(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """These now belong to the member. Returns the offsets to start at.

        A partition without an offset is paused, until the member seeks and resumes it.
        """

    def revoked(self, partitions: Sequence[TopicPartition]) -> None:
        """These go to another member; until this returns they still belong to this one."""

    def lost(self, partitions: Sequence[TopicPartition]) -> None:
        """These belong to another member already: the group went on without this one."""


class Reader(Protocol):
    """One member of a group of readers; partitions are shared among the members.

    Only committed messages are read: those of an aborted transaction, and the log's own markers of transactions, take
    offsets and are passed over (R17).
    """

    def poll(self, timeout_ms: int) -> Mapping[TopicPartition, Sequence[Record]]:
        """Records in offset order per partition, possibly none; waits up to `timeout_ms` for the first.

        Raises `OffsetGone`, `ProducersTime`, `InstanceTaken`, and what the listener raised. Raises `Unreadable` once
        for a batch, and pauses its partition; the other partitions are read on.
        """

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Go on reading an assigned partition at `offset`."""

    def pause(self, partition: TopicPartition) -> None:
        """Stop reading this partition while it stays assigned."""

    def resume(self, partition: TopicPartition) -> None:
        """End the pause of a partition."""

    def position(self, partition: TopicPartition) -> int:
        """The next offset of an assigned partition that is read: after the last record and what was passed over."""

    def assignment(self) -> frozenset[TopicPartition]:
        """The partitions that belong to the member."""

    def ends(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """The offset up to which each partition can be read: its end, or its oldest open transaction."""

    def first_since(self, times: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, int]:
        """The first offset of each partition that was appended at a time or later; its end if there is none."""

    def note(self, positions: Mapping[TopicPartition, int]) -> None:
        """Store positions in the log, for lag tools only. Does not raise: nothing depends on them."""

    def close(self) -> None:
        """Leave the group; calls the listener's `revoked`.

        The group keeps the partitions of a reader with an `instance` for the one that comes back under that name, until
        its session timeout is over.
        """


class Writer(Protocol):
    """Sends messages. Asynchronous: the next call raises the `DeliveryFailed` of an earlier message."""

    def send(self, topic: str, key: bytes, value: bytes, readings: int = 0) -> None:
        """Send to the partition of `key`; blocks while too much is unacknowledged. The account counts `readings`."""

    def send_to(self, topic: str, partition: int, value: bytes, headers: Sequence[tuple[str, bytes]] = ()) -> None:
        """Send to one partition, without a key; `headers` are names and values."""

    def flush(self) -> None:
        """Return when everything is acknowledged. Raises `DeliveryFailed`."""

    def partitions(self, topic: str) -> int:
        """How many partitions the topic has. Raises `UnknownTopic`."""

    def acknowledged(self) -> Mapping[TopicPartition, Acknowledged]:
        """What was acknowledged since the writer was opened."""

    def close(self) -> None:
        """Flush and release the connection. Raises `DeliveryFailed`."""


class Log(Protocol):
    """A log with topics. Every method, and those of a reader, may raise `LogUnavailable` and `AccessRefused`."""

    def create(self, topic: str, partitions: int, settings: Mapping[str, str]) -> None:
        """Make a topic with these settings of Kafka's, unless it exists; its partitions are never changed."""

    def describe(self, topic: str) -> TopicFacts:
        """The facts of a topic. Raises `UnknownTopic`."""

    def topics(self) -> frozenset[str]:
        """The names of all topics."""

    def reader(
        self,
        group: str,
        topics: Sequence[str],
        listener: Listener,
        at_once: int = 2_000,
        *,
        instance: str | None = None,
    ) -> Reader:
        """Join a group of readers; a poll returns at most `at_once` records.

        A reader that joins under the name `instance` gets the partitions that the one before it with that name had,
        without a rebalance of the others, if that has left within the group's session timeout. Raises `UnknownTopic`
        and `InstanceTaken`.
        """

    def backwards(self, topic: str, key: bytes) -> Iterator[Record]:
        """The messages that writers sent with this key, the latest first, without joining a group.

        Messages that are appended while these are read are not among them; those that retention takes meanwhile may be
        missing. Raises `UnknownTopic`, maybe not before the first message is fetched, and `Unreadable`.
        """

    def between(
        self, partition: TopicPartition, first: int, until: int, at_once: int = 2_000
    ) -> Iterator[Sequence[Record]]:
        """The committed messages at the offsets from `first` up to `until`, at most `at_once` in a piece, without a
        group. A piece may be empty.

        Raises `UnknownTopic`, `OffsetGone` if the partition does not hold all of these offsets, and `Unreadable`; then
        another call may go on after the batch.
        """

    def writer(self) -> Writer:
        """Open a writer, which the caller closes."""
