"""What the platform asks of a log. `eventlog.kafka` and `eventlog.memory` keep the same promises (tests/eventlog)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from errors import OperatorError


class TopicPartition(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int

    def __str__(self) -> str:
        return f"{self.topic} partition {self.partition}"


class Record(Protocol):
    """One message as the log keeps it; `timestamp` is the log's own clock at appending, in milliseconds."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """What makes a topic the one that it was: another cluster, id or number of partitions is another topic."""

    cluster_id: str
    topic_id: str
    partitions: int


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """What the log took over into one partition: counts, and the first and last offset."""

    messages: int
    readings: int
    first_offset: int
    last_offset: int


class DeliveryFailed(OperatorError):
    """The log refused a message, or did not answer in time; what was sent after it may be missing too."""


class OffsetGone(Exception):
    """The log no longer (or not yet) holds the offset at which reading was to go on."""

    def __init__(self, partition: TopicPartition, offset: int, earliest: int, end: int) -> None:
        super().__init__(f"{partition} holds the offsets {earliest} to {end}, but reading was to go on at {offset}")
        self.partition = partition
        self.offset = offset
        self.earliest = earliest
        self.end = end


class UnknownTopic(OperatorError):
    """The log has no such topic."""

    def __init__(self, topic: str) -> None:
        super().__init__(f"there is no topic {topic}")


class ProducersTime(OperatorError):
    """A topic's messages bear the producers' time: nothing then limits a clock in the future (R4)."""

    def __init__(self, partition: TopicPartition, offset: int) -> None:
        super().__init__(
            f"{partition} has a message (offset {offset}) that bears its"
            " producer's time, not Kafka's. Set message.timestamp.type=LogAppendTime on the topic; messages that were"
            " written before have to be written anew"
        )


class BadAddress(OperatorError):
    """The address of the log is none; trying again would not help."""


class LogUnavailable(OperatorError):
    """The log did not answer."""


class AccessRefused(OperatorError):
    """The log does not let this client in, or not do what it asked for; trying again would not help."""


class Listener(Protocol):
    """What a member of a group is told. Errors raised here come out of the member's `poll`."""

    def assigned(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """These are now the member's. Returns the offset to start at for each of them."""

    def revoked(self, partitions: Sequence[TopicPartition]) -> None:
        """These will be another's; until this returns they are still the member's."""

    def lost(self, partitions: Sequence[TopicPartition]) -> None:
        """These are another's already: the group went on without this member."""


class Reader(Protocol):
    """One member of a group of readers; partitions are shared among the members."""

    def poll(self, timeout_ms: int) -> Mapping[TopicPartition, Sequence[Record]]:
        """Records in offset order per partition, possibly none.

        Raises `OffsetGone`, `ProducersTime`, and what the listener raised.
        """

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Go on reading an assigned partition at `offset`."""

    def pause(self, partition: TopicPartition) -> None:
        """Stop reading this partition while it stays assigned."""

    def assignment(self) -> frozenset[TopicPartition]:
        """The partitions that are the member's."""

    def ends(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """The offset that the next message of each partition will get."""

    def note(self, positions: Mapping[TopicPartition, int]) -> None:
        """Leave positions with the log as a hint for lag tools. Never raises: nothing depends on it."""

    def close(self) -> None:
        """Leave the group; the listener hears `revoked`."""


class Writer(Protocol):
    """Sends messages. Asynchronous: what failed is raised by the next call."""

    def send(self, topic: str, key: bytes, value: bytes, readings: int = 0) -> None:
        """Send to the partition that `key` belongs to; blocks while too much is unacknowledged."""

    def send_to(self, topic: str, partition: int, value: bytes) -> None:
        """Send to one partition, without a key."""

    def flush(self) -> None:
        """Return when everything is acknowledged. Raises `DeliveryFailed`."""

    def partitions(self, topic: str) -> int:
        """How many partitions the topic has. Raises `UnknownTopic`."""

    def acknowledged(self) -> Mapping[tuple[str, int], Acknowledged]:
        """What was acknowledged since the writer was opened, by topic and partition."""

    def close(self) -> None:
        """Flush and let go."""


class Log(Protocol):
    """A log with topics. Every method, and a reader's, may raise `LogUnavailable`."""

    def create(self, topic: str, partitions: int, settings: Mapping[str, str]) -> None:
        """Make a topic unless it is there; its partitions are never changed."""

    def describe(self, topic: str) -> TopicFacts:
        """Raises `UnknownTopic`."""

    def topics(self) -> frozenset[str]:
        """The names of all topics."""

    def reader(self, group: str, topics: Sequence[str], listener: Listener, at_once: int = 2_000) -> Reader:
        """Join a group of readers; a poll brings at most `at_once` records. Raises `UnknownTopic`."""

    def backwards(self, topic: str, key: bytes) -> Iterator[Record]:
        """The messages of one key, the latest first, without joining a group.

        Those that a writer sent by their key: they lie in one partition. What is appended while they are read is not
        among them, what retention takes meanwhile may be missing. Raises `UnknownTopic`, maybe with the first message.
        """

    def writer(self) -> Writer: ...
