"""Where the processing of streams keeps its results: one transaction moves cells, dead letters, account and offset.

`store.processing_postgres` implements this, and `store.processing_memory` for tests. Times are milliseconds since 1970,
UTC; amounts are in the metric's smallest unit.
"""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, fields, replace
from typing import Protocol
from uuid import UUID

from errors import OperatorError
from store.deliveries import Deliveries
from store.detectors import Detector

Partition = tuple[str, int]
"""(topic, number of the partition). `eventlog.protocol.TopicPartition` is such a tuple."""


@dataclass(frozen=True, slots=True)
class Account:
    """The outcome of all messages and readings below `Position.next_offset` (R8).

    messages = decoded + dead + lost_messages; readings = aggregated + duplicate + late + rejected + open + lost.
    `converted` counts the decoded messages that no view could read.
    """

    messages: int = 0
    decoded: int = 0
    dead: int = 0
    converted: int = 0
    lost_messages: int = 0
    readings: int = 0
    aggregated: int = 0
    duplicate: int = 0
    late: int = 0
    rejected: int = 0
    open: int = 0
    lost: int = 0

    def __add__(self, other: "Account") -> "Account":
        return Account(*(getattr(self, count.name) + getattr(other, count.name) for count in fields(self)))

    def balanced(self) -> bool:
        """Whether both sums hold: every message and every reading has one outcome."""
        kept = self.aggregated + self.duplicate + self.late + self.rejected + self.open + self.lost
        return self.messages == self.decoded + self.dead + self.lost_messages and self.readings == kept


@dataclass(frozen=True, slots=True)
class FeederTime:
    """How far a feeder of a partition has come (R16): the latest event time in its messages, and the append time of the
    last of them. Both are milliseconds since 1970."""

    feeder: str
    latest: int
    appended: int


@dataclass(frozen=True, slots=True)
class Position:
    """How far a partition is processed (R2).

    All below `next_offset` is accounted for; `resume_offset` is the first offset that an open window needs;
    `event_time` is how far the partition's time has come there, a metric's watermark is that less the lateness (R1);
    `feeders` are those that are not idle there, by name. Windows that begin before `incomplete_before` may lack
    readings that retention took; `dead_in_block` counts the dead messages of the current block of messages, and
    `rejected_in_block` the rejected rows of the current block of rows.
    """

    next_offset: int = 0
    resume_offset: int = 0
    event_time: int | None = None
    incomplete_before: int | None = None
    dead_in_block: int = 0
    rejected_in_block: int = 0
    account: Account = Account()
    feeders: tuple[FeederTime, ...] = ()


@dataclass(frozen=True, slots=True)
class Amounts:
    """What the readings of one cell are reduced to.

    `value` is the metric's own figure; `readings` is their number, `contributors` that of the contributors whose net
    amount is not zero (kind mean-of-last: of all that reported); `largest` is the largest absolute net amount of one
    contributor, `absolute` the sum of all of these; `covered_ms` is the sum of the intervals
    that were counted; the offsets are those of the first and the last message that was counted.
    """

    value: int
    readings: int
    contributors: int
    largest: int
    absolute: int
    covered_ms: int
    first_offset: int
    last_offset: int


@dataclass(frozen=True, slots=True)
class Cell:
    """One (metric, area, class, window), reduced. The window is [`window_start`, `window_end`).

    `area` is the register's number; an `incomplete` cell may lack readings that retention took (R5).
    """

    metric: str
    window_start: int
    window_end: int
    area: int
    class_: str
    amounts: Amounts
    incomplete: bool


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message (`row` is -1) or one of its rows that could not be used: why, and the original bytes."""

    offset: int
    row: int
    reason: str
    original: bytes


@dataclass(frozen=True, slots=True)
class CameraCount:
    """The pictures of one camera in one hour: `expected` = `seen` + `undecodable` + `stale` + `missing`.

    `camera` is the register's number, `hour` the start of the hour. `seen` pictures were examined, `stale` ones repeat
    the picture before, `missing` ones never came from the camera.
    """

    camera: int
    hour: int
    expected: int
    seen: int
    undecodable: int
    stale: int
    missing: int

    def __add__(self, other: "CameraCount") -> "CameraCount":
        return CameraCount(
            self.camera,
            self.hour,
            self.expected + other.expected,
            self.seen + other.seen,
            self.undecodable + other.undecodable,
            self.stale + other.stale,
            self.missing + other.missing,
        )


@dataclass(frozen=True, slots=True)
class LateReadings:
    """Readings of a window that came after it had closed: how many, and the first and the last offset with any (R13).

    They are kept until the partition's event time is `until`.
    """

    metric: str
    window_start: int
    window_end: int
    until: int
    first_offset: int
    last_offset: int
    readings: int

    def __add__(self, other: "LateReadings") -> "LateReadings":
        """Both, of the same window."""
        return replace(
            self,
            first_offset=min(self.first_offset, other.first_offset),
            last_offset=max(self.last_offset, other.last_offset),
            readings=self.readings + other.readings,
        )


@dataclass(frozen=True, slots=True)
class Claim:
    """A partition that was taken over: the epoch to commit with, and the position.

    `cut_end`: where the log ended when it was found to be cut short, below `position.next_offset`, if that stopped it.
    """

    epoch: int
    position: Position
    cut_end: int | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """How far a partition has moved since the step before: the new position, and what is committed with it.

    `cameras` are added to what is stored for the same camera and hour, `late` to what is stored for the same window.
    """

    position: Position
    cells: Sequence[Cell]
    dead_letters: Sequence[DeadLetter]
    cameras: Sequence[CameraCount] = ()
    late: Sequence[LateReadings] = ()


@dataclass(frozen=True, slots=True)
class PartitionCommit:
    """A step of one partition from the position at `expected_offset`, by the owner with `epoch`.

    `cut`: the log was cut short at that offset; dead letters and late readings from there on are of messages that it
    lost.
    """

    partition: Partition
    epoch: int
    expected_offset: int
    step: Step
    cut: int | None = None


class Fenced(Exception):
    """Another process has taken these partitions over (R3): nothing was committed."""

    def __init__(self, partitions: Sequence[Partition]) -> None:
        super().__init__(", ".join(f"{topic} partition {number}" for topic, number in partitions))
        self.partitions = tuple(partitions)


class TopicChanged(OperatorError):
    """The topic is not the one that the stored offsets belong to (R5)."""


class StoreUnavailable(OperatorError):
    """The store did not answer; whether a commit in progress took effect is unknown."""


class Store(Protocol):
    """What processors need from a store. Every method may raise `StoreUnavailable`."""

    def connect(self) -> None:
        """Return if the store answers. The only method that another thread may call, while no other is running."""

    def register_topic(self, topic: str, cluster_id: str, topic_id: str, partitions: int) -> None:
        """Store which topic this is, the first time; later raises `TopicChanged` if it is another topic."""

    def claim(self, partitions: Sequence[Partition]) -> Mapping[Partition, Claim]:
        """Take partitions over with new epochs, so that older epochs can't commit. Raises `TopicChanged`."""

    def settled(self, partition: Partition, first: int, until: int) -> Set[tuple[int, int]]:
        """The dead letters of a partition at the offsets from `first` up to `until`, as (offset, row).

        Complete at and above its `resume_offset`; without those of messages that the log lost when it was cut short.
        """

    def next_offsets(self, topics: Sequence[str]) -> Mapping[Partition, int]:
        """`next_offset` of every partition of these topics that is not stopped."""

    def stored(self, partitions: Sequence[Partition]) -> Mapping[Partition, tuple[int, Position]]:
        """The epoch and the position of each partition as they are committed now: what became of a commit in doubt."""

    def common_event_time(self, topic: str) -> int | None:
        """The least `event_time` of a topic's partitions; None if any of them has none, or the topic is unknown."""

    def record_deliveries(self, run: UUID, deliveries: Deliveries) -> None:
        """Store what the log has acknowledged to a writer so far; it replaces what was stored for the same `run`."""

    def record_detector(self, dataset: str, detector: Detector, since_ms: int) -> None:
        """Store that a detector was used on pictures of a dataset, the earliest of them taken at `since_ms`."""

    def record_stop(self, partition: Partition, epoch: int, reason: str, cut_end: int | None = None) -> None:
        """Store for the operator why the owner with `epoch` stopped a partition; its next commit removes the reason.

        `cut_end`: where the log ends, if it was cut short; the least end is kept until that commit.
        """

    def record_alarms(self, alarms: Iterable[tuple[Partition, str | None]]) -> None:
        """Store for the operator that unread messages of partitions near their deletion; None: they no longer do."""

    def commit(self, commits: Sequence[PartitionCommit]) -> None:
        """Commit all steps or none. Raises `Fenced` if an epoch or a next offset is no longer the expected one."""


def check_topic(topic: str, known: object, found: tuple[str, str, int]) -> None:
    """Raise `TopicChanged` unless (cluster, topic id, partitions), as found now, is what was stored before."""
    if known != found:
        raise TopicChanged(
            f"{topic} is not the topic that was processed before: cluster, topic id and partitions were {known} and are"
            f" {found}. The stored offsets do not fit it. Bring the old one back; if it is lost, `sistercity topics"
            " made-anew` goes on with the new one."
        )


def no_partition(partition: Partition) -> TopicChanged:
    """The error for a partition that its topic did not have when it was registered."""
    topic, number = partition
    return TopicChanged(f"{topic} had no partition {number} when its processing began")
