"""`store.processing.Store` in memory, for tests of what is built on a store."""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import replace
from typing import Any
from uuid import UUID

from store.deliveries import Deliveries, Delivery
from store.detectors import Detector
from store.processing import (
    CameraCount,
    Cell,
    Claim,
    DeadLetter,
    Fenced,
    LateReadings,
    Partition,
    PartitionCommit,
    Position,
    Step,
    check_topic,
    no_partition,
)


class MemoryStore:
    """Implements `store.processing.Store`; the tables are its attributes."""

    def __init__(self) -> None:
        self.cells: dict[tuple[object, ...], tuple[Partition, Cell]] = {}
        self.dead_letters: dict[tuple[Partition, int, int], DeadLetter] = {}
        self.cameras: dict[tuple[int, int], CameraCount] = {}
        self.deliveries: dict[tuple[UUID, Partition], Delivery] = {}
        self.detectors: dict[tuple[str, Detector], int] = {}
        self.late: dict[tuple[Partition, str, int], LateReadings] = {}
        self.stopped: dict[Partition, str] = {}
        self.cut_letters: list[tuple[Partition, DeadLetter]] = []
        self._cut_ends: dict[Partition, int] = {}
        self.alarms: dict[Partition, str] = {}
        self._topics: dict[str, tuple[str, str, int]] = {}
        self._positions: dict[Partition, tuple[int, Position]] = {}

    def connect(self) -> None:
        """There is no connection to lose."""

    def register_topic(self, topic: str, cluster_id: str, topic_id: str, partitions: int) -> None:
        found = (cluster_id, topic_id, partitions)
        check_topic(topic, self._topics.setdefault(topic, found), found)
        for number in range(partitions):
            self._positions.setdefault((topic, number), (0, Position()))

    def claim(self, partitions: Sequence[Partition]) -> Mapping[Partition, Claim]:
        for partition in partitions:
            if partition not in self._positions:
                raise no_partition(partition)
            epoch, position = self._positions[partition]
            self._positions[partition] = (epoch + 1, position)
        return {
            partition: Claim(*self._positions[partition], self._cut_ends.get(partition)) for partition in partitions
        }

    def settled(self, partition: Partition, first: int, until: int) -> Set[tuple[int, int]]:
        return {(offset, row) for at, offset, row in self.dead_letters if at == partition and first <= offset < until}

    def next_offsets(self, topics: Sequence[str]) -> Mapping[Partition, int]:
        return {
            at: position.next_offset
            for at, (_, position) in self._positions.items()
            if at[0] in topics and at not in self.stopped
        }

    def stored(self, partitions: Sequence[Partition]) -> Mapping[Partition, tuple[int, Position]]:
        return {partition: self._positions[partition] for partition in partitions}

    def common_event_time(self, topic: str) -> int | None:
        times = [position.event_time for (name, _), (_, position) in self._positions.items() if name == topic]
        return None if None in times else min((time for time in times if time is not None), default=None)

    def record_deliveries(self, run: UUID, deliveries: Deliveries) -> None:
        self.deliveries |= {(run, partition): delivery for partition, delivery in deliveries}

    def record_detector(self, dataset: str, detector: Detector, since_ms: int) -> None:
        known = self.detectors.get((dataset, detector), since_ms)
        self.detectors[dataset, detector] = min(known, since_ms)

    def record_stop(self, partition: Partition, epoch: int, reason: str, cut_end: int | None = None) -> None:
        if self._positions[partition][0] == epoch:
            self.stopped[partition] = reason
            if cut_end is not None:
                self._cut_ends[partition] = min(cut_end, self._cut_ends.get(partition, cut_end))

    def record_alarms(self, alarms: Iterable[tuple[Partition, str | None]]) -> None:
        every = {**self.alarms, **dict(alarms)}
        self.alarms = {partition: alarm for partition, alarm in every.items() if alarm is not None}

    def commit(self, commits: Sequence[PartitionCommit]) -> None:
        fenced = [c.partition for c in commits if self._expected(c.partition) != (c.epoch, c.expected_offset)]
        if fenced:
            raise Fenced(fenced)
        for commit in commits:
            partition, step = commit.partition, commit.step
            if not step.position.account.balanced() or step.position.resume_offset > step.position.next_offset:
                raise ValueError(f"a constraint is violated: {step.position}")
            self._cut(commit)
            _insert(self.cells, {_key(partition, cell): (partition, cell) for cell in step.cells})
            _insert(self.dead_letters, {(partition, dead.offset, dead.row): dead for dead in step.dead_letters})
            for count in step.cameras:
                before = self.cameras.get((count.camera, count.hour))
                self.cameras[count.camera, count.hour] = count if before is None else before + count
            self._add_late(partition, step)
            self._positions[partition] = (commit.epoch, step.position)
            self.stopped.pop(partition, None)
            self._cut_ends.pop(partition, None)

    def position(self, partition: Partition) -> Position:
        """The committed position of a partition."""
        return self._positions[partition][1]

    def _cut(self, commit: PartitionCommit) -> None:
        """Set dead letters aside that the log has lost, and forget where late readings lay that it has lost."""
        if commit.cut is None:
            return
        lost = [key for key in self.dead_letters if key[0] == commit.partition and key[1] >= commit.cut]
        self.cut_letters += [(commit.partition, self.dead_letters.pop(key)) for key in lost]
        here = {key: late for key, late in self.late.items() if key[0] == commit.partition}
        for key, late in here.items():
            if late.first_offset >= commit.cut:
                del self.late[key]
            else:
                self.late[key] = replace(late, last_offset=min(late.last_offset, commit.cut - 1))

    def _add_late(self, partition: Partition, step: Step) -> None:
        for late in step.late:
            key = (partition, late.metric, late.window_start)
            self.late[key] = self.late[key] + late if key in self.late else late
        if step.late:
            now = step.position.event_time or 0
            self.late = {key: late for key, late in self.late.items() if key[0] != partition or late.until > now}

    def _expected(self, partition: Partition) -> tuple[int, int]:
        epoch, position = self._positions[partition]
        return epoch, position.next_offset


def _insert(table: dict[Any, Any], rows: Mapping[Any, Any]) -> None:
    twice = table.keys() & rows.keys()
    if twice:
        raise ValueError(f"a primary key is violated: {twice}")
    table.update(rows)


def _key(partition: Partition, cell: Cell) -> tuple[object, ...]:
    return (cell.metric, cell.window_start, cell.area, cell.class_, partition[0])
