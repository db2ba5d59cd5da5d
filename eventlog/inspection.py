"""How a cluster and its topics stand, for an operator's eyes. Nothing here is needed to carry messages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from eventlog.protocol import TopicFacts


@dataclass(frozen=True, slots=True)
class TopicState:
    """A topic as it stands.

    `replicas` are those of the partition with the fewest; `settings` is empty where the cluster does not tell them.
    `begins` and `ends` hold, by partition, the oldest offset that retention has left and the one that the next message
    will get; `newest_ms` is the log's clock at the newest message, None without messages or where the cluster does not
    tell.
    """

    facts: TopicFacts
    replicas: int
    settings: Mapping[str, str]
    begins: Sequence[int]
    ends: Sequence[int]
    newest_ms: int | None


@dataclass(frozen=True, slots=True)
class ClusterState:
    """A cluster as it stands.

    `topics` leaves out those that are not there; a text instead of a state says why the cluster does not tell it.
    `clock_ms` is the controller's clock, milliseconds since 1970, and `asked_ms` and `told_ms` are this machine's
    before asking and after the answer; `clock_ms` is None where the cluster does not tell. `members` says how many are
    in a group of readers, None where the cluster does not tell.
    """

    brokers: int
    topics: Mapping[str, TopicState | str]
    members: Mapping[str, int | None]
    clock_ms: int | None
    asked_ms: int
    told_ms: int
