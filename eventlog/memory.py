"""A log in memory, for tests of what is built on a log. One thread; rebalances happen at once."""

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from zlib import crc32

from eventlog.protocol import (
    Acknowledged,
    InstanceTaken,
    Listener,
    OffsetGone,
    TopicFacts,
    TopicPartition,
    UnknownTopic,
    Unreadable,
)


@dataclass(frozen=True, slots=True)
class MemoryRecord:
    """A message in a `MemoryLog`."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


@dataclass(slots=True)
class _Partition:
    """`records` are those that are left; `earliest` is the offset of the first of them.

    `markers` and `damaged` are offsets of records that are no messages, and of those that can't be read.
    """

    records: list[MemoryRecord] = field(default_factory=list)
    earliest: int = 0
    markers: set[int] = field(default_factory=set)
    damaged: set[int] = field(default_factory=set)

    @property
    def end(self) -> int:
        return self.earliest + len(self.records)


@dataclass(slots=True)
class _Topic:
    id: str
    partitions: list[_Partition]


def _partition_of(key: bytes, partitions: int) -> int:
    return crc32(key) % partitions


class MemoryLog:
    """Implements `eventlog.protocol.Log`. `clock` gives the time of appending, milliseconds since 1970."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._topics: dict[str, _Topic] = {}
        self._groups: dict[str, list[MemoryReader]] = {}

    def create(self, topic: str, partitions: int, settings: Mapping[str, str]) -> None:
        del settings
        self._topics.setdefault(topic, _Topic(uuid.uuid4().hex, [_Partition() for _ in range(partitions)]))

    def describe(self, topic: str) -> TopicFacts:
        known = self._topic(topic)
        return TopicFacts("memory", known.id, len(known.partitions))

    def topics(self) -> frozenset[str]:
        return frozenset(self._topics)

    def writer(self) -> "MemoryWriter":
        return MemoryWriter(self)

    def backwards(self, topic: str, key: bytes) -> Iterator[MemoryRecord]:
        kept = self._partition(TopicPartition(topic, _partition_of(key, len(self._topic(topic).partitions))))
        return iter([record for record in reversed(kept.records) if record.key == key])

    def between(
        self, partition: TopicPartition, first: int, until: int, at_once: int = 2_000
    ) -> Iterator[Sequence[MemoryRecord]]:
        kept = self._partition(partition)
        if first < kept.earliest or until > kept.end:
            raise OffsetGone(partition, first if first < kept.earliest else until, kept.earliest, kept.end)
        while first < until:
            records, first = self.fetch_from(partition, first, min(at_once, until - first))
            yield records

    def reader(
        self,
        group: str,
        topics: Sequence[str],
        listener: Listener,
        at_once: int = 2_000,
        *,
        instance: str | None = None,
    ) -> "MemoryReader":
        reader = MemoryReader(self, group, topics, listener, at_once, instance)
        members = self._groups.setdefault(group, [])
        name = (instance, reader.topics)
        before = next((at for at in members if instance is not None and (at.instance, at.topics) == name), None)
        if before is not None:
            members[members.index(before)] = reader
            reader.take(before.replace())
            return reader
        self._revoke(members)
        members.append(reader)
        self._assign(members)
        return reader

    def append(
        self,
        partition: TopicPartition,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> int:
        """Append one message; returns its offset."""
        kept = self._partition(partition)
        kept.records.append(MemoryRecord(kept.end, self._clock(), key, value, headers))
        return kept.end - 1

    def append_marker(self, partition: TopicPartition) -> None:
        """Append what takes an offset and is no message: the end of a transaction, or an aborted message."""
        self._partition(partition).markers.add(self.append(partition, None, None))

    def damage(self, partition: TopicPartition, offset: int) -> None:
        """Make one record unreadable, as a failing disk or an unknown codec does; it is a batch of its own."""
        self._partition(partition).damaged.add(offset)

    def forget(self, partition: TopicPartition, before: int) -> None:
        """Drop the records before an offset, as retention does."""
        kept = self._partition(partition)
        del kept.records[: max(0, before - kept.earliest)]
        kept.earliest = max(kept.earliest, before)

    def truncate(self, partition: TopicPartition, end: int) -> None:
        """Drop the records from an offset on, as a log that was cut short or replaced has lost them."""
        kept = self._partition(partition)
        del kept.records[max(0, end - kept.earliest) :]

    def expel(self, reader: "MemoryReader") -> None:
        """Continue without this member, which learns of it at its next poll, as after a process was frozen."""
        members = self._groups[reader.group]
        members.remove(reader)
        reader.expelled = True
        self._revoke(members)
        self._assign(members)

    def leave(self, reader: "MemoryReader") -> None:
        """Take a member out of its group, with a rebalance. One with a name keeps its place there, until `expel`."""
        members = self._groups[reader.group]
        if reader in members and reader.instance is not None:
            reader.release()
        elif reader in members:
            self._revoke(members)
            members.remove(reader)
            self._assign(members)

    def rejoin(self, reader: "MemoryReader") -> None:
        """Add an expelled member again, with a rebalance."""
        members = self._groups[reader.group]
        self._revoke(members)
        members.append(reader)
        self._assign(members)

    def fetch(self, partition: TopicPartition, offset: int, most: int) -> list[MemoryRecord]:
        """Up to `most` messages from `offset`. Raises `OffsetGone`."""
        return self.fetch_from(partition, offset, most)[0]

    def fetch_from(self, partition: TopicPartition, offset: int, most: int) -> tuple[list[MemoryRecord], int]:
        """Up to `most` messages from `offset`, and the offset after them. Raises `OffsetGone` and `Unreadable`."""
        kept = self._partition(partition)
        if not kept.earliest <= offset <= kept.end:
            raise OffsetGone(partition, offset, kept.earliest, kept.end)
        if offset in kept.damaged:
            raise Unreadable(partition, offset, offset + 1, "damaged")
        end = min((at for at in kept.damaged if at > offset), default=kept.end)
        records = kept.records[offset - kept.earliest : end - kept.earliest][:most]
        messages = [record for record in records if record.offset not in kept.markers]
        return messages, records[-1].offset + 1 if records else offset

    def first_since(self, partition: TopicPartition, time: int) -> int:
        """The first offset that was appended at `time` or later; the end if there is none."""
        kept = self._partition(partition)
        return next((record.offset for record in kept.records if record.timestamp >= time), kept.end)

    def end(self, partition: TopicPartition) -> int:
        """The offset that the next message will get."""
        return self._partition(partition).end

    def _topic(self, topic: str) -> _Topic:
        if topic not in self._topics:
            raise UnknownTopic(topic)
        return self._topics[topic]

    def _partition(self, partition: TopicPartition) -> _Partition:
        return self._topic(partition.topic).partitions[partition.partition]

    def _revoke(self, members: Sequence["MemoryReader"]) -> None:
        for member in members:
            member.give_up()

    def _assign(self, members: Sequence["MemoryReader"]) -> None:
        names = sorted({topic for member in members for topic in member.topics})
        every = [TopicPartition(name, n) for name in names for n in range(len(self._topic(name).partitions))]
        for index, member in enumerate(members):
            member.take(every[index :: len(members)])


class MemoryReader:
    """Implements `eventlog.protocol.Reader`."""

    def __init__(
        self,
        log: MemoryLog,
        group: str,
        topics: Sequence[str],
        listener: Listener,
        at_once: int,
        instance: str | None,
    ) -> None:
        self.group = group
        self.instance = instance
        self.topics = tuple(topics)
        self.expelled = False
        self._at_once = at_once
        self._log = log
        self._listener = listener
        self._positions: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()
        self._assigned: tuple[TopicPartition, ...] = ()
        self._closed = self._replaced = False

    def poll(self, timeout_ms: int) -> Mapping[TopicPartition, Sequence[MemoryRecord]]:
        del timeout_ms
        if self._replaced:
            raise InstanceTaken(self.group, str(self.instance), "another process")
        if self.expelled:
            self.expelled = False
            self._listener.lost(tuple(self._positions))
            self._positions.clear()
            self._log.rejoin(self)
        found: dict[TopicPartition, Sequence[MemoryRecord]] = {}
        for partition in sorted(set(self._positions) - self._paused):
            try:
                records, after = self._log.fetch_from(partition, self._positions[partition], self._at_once)
            except Unreadable:
                if found:
                    break  # the next poll raises it: what was read before is not lost
                self._paused.add(partition)
                raise
            self._positions[partition] = after
            if records:
                found[partition] = records
        return found

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self._positions[partition] = offset

    def pause(self, partition: TopicPartition) -> None:
        self._paused.add(partition)

    def resume(self, partition: TopicPartition) -> None:
        self._paused.discard(partition)

    def position(self, partition: TopicPartition) -> int:
        return self._positions[partition]

    def assignment(self) -> frozenset[TopicPartition]:
        return frozenset(self._positions)

    def ends(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        return {partition: self._log.end(partition) for partition in partitions}

    def first_since(self, times: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, int]:
        return {partition: self._log.first_since(partition, time) for partition, time in times.items()}

    def note(self, positions: Mapping[TopicPartition, int]) -> None:
        del positions

    def close(self) -> None:
        self._log.leave(self)

    def give_up(self) -> None:
        """Called by the log before a rebalance: release every partition."""
        if self._positions:
            self._listener.revoked(tuple(self._positions))
        self._positions.clear()
        self._paused.clear()

    def release(self) -> None:
        """Called by the log when the reader closes: another one with its name will get its partitions."""
        self.give_up()
        self._closed = True

    def replace(self) -> tuple[TopicPartition, ...]:
        """Called by the log when another reader joins under this one's name; returns the partitions of both."""
        self._replaced = True
        return self._assigned

    def take(self, partitions: Sequence[TopicPartition]) -> None:
        """Called by the log after a rebalance: these partitions now belong to the reader."""
        self._assigned = tuple(partitions)
        if self._closed:
            return
        starts = self._listener.assigned(partitions)
        self._positions = {partition: starts.get(partition, 0) for partition in partitions}
        self._paused = set(partitions) - set(starts)


class MemoryWriter:
    """Implements `eventlog.protocol.Writer`; every message is acknowledged at once."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log
        self._acknowledged: dict[TopicPartition, Acknowledged] = {}

    def send(self, topic: str, key: bytes, value: bytes, readings: int = 0) -> None:
        self._append(TopicPartition(topic, _partition_of(key, self.partitions(topic))), key, value, readings)

    def send_to(self, topic: str, partition: int, value: bytes, headers: Sequence[tuple[str, bytes]] = ()) -> None:
        self._append(TopicPartition(topic, partition), None, value, 0, headers)

    def flush(self) -> None:
        """Every message was acknowledged when it was sent."""

    def partitions(self, topic: str) -> int:
        return self._log.describe(topic).partitions

    def acknowledged(self) -> Mapping[TopicPartition, Acknowledged]:
        return dict(self._acknowledged)

    def close(self) -> None:
        """A writer holds no connection."""

    def _append(
        self,
        partition: TopicPartition,
        key: bytes | None,
        value: bytes,
        readings: int,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> None:
        offset = self._log.append(partition, key, value, headers)
        before = self._acknowledged.get(partition, Acknowledged(0, 0, offset, offset))
        self._acknowledged[partition] = Acknowledged(
            before.messages + 1, before.readings + readings, before.first_offset, offset
        )
