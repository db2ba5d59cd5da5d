"""The state of a cluster and its topics, for operators. Nothing here is needed to carry messages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from eventlog.protocol import TopicFacts


@dataclass(frozen=True, slots=True)
class TopicState:
    """The state of a topic.

    `replicas` are those of the partition with the fewest; `settings` is empty if the cluster does not report them.
    `begins` and `ends` hold, by partition, the oldest offset that retention has left and the one that the next message
    will get; `young` the first one whose message is not yet old (`KafkaLog.inspect`), None if they are kept for ever
    or the cluster does not report it. `newest_ms` is the log's clock at the newest message, milliseconds since 1970,
    None without messages or if the cluster does not report it. `in_sync` holds, by partition, how many replicas have
    all messages; empty if that is not known.
    """

    facts: TopicFacts
    replicas: int
    settings: Mapping[str, str]
    begins: Sequence[int]
    ends: Sequence[int]
    newest_ms: int | None
    young: Sequence[int] | None = None
    in_sync: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class ClusterState:
    """The state of a cluster. Times are milliseconds since 1970.

    `topics` leaves out those that do not exist; a text in place of a state is the reason why it could not be read.
    `members` is the number of readers in each group, `clock_ms` the controller's clock: None if the cluster does not
    report them. `asked_ms` and `answered_ms` are this machine's clock before the request for `clock_ms` and after the
    response. `brokers` are those that take part: one that is gone is not counted.
    """

    brokers: int
    topics: Mapping[str, TopicState | str]
    members: Mapping[str, int | None]
    clock_ms: int | None
    asked_ms: int
    answered_ms: int
