"""A member of a group of readers, by librdkafka.

librdkafka drops what it has fetched of a partition when that is paused, and fetches it again afterwards. A processor
pauses partitions for moments only, so what comes of a paused one is kept here; librdkafka's own pause is for more.
"""

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_END,
    TIMESTAMP_LOG_APPEND_TIME,
    TIMESTAMP_NOT_AVAILABLE,
    Consumer,
    KafkaError,
    KafkaException,
)
from confluent_kafka import TopicPartition as At

from eventlog.confluent.errors import of_protocol, translated
from eventlog.protocol import (
    InstanceTaken,
    Listener,
    Log,
    LogUnavailable,
    OffsetGone,
    ProducersTime,
    Record,
    TopicPartition,
    Unreadable,
)

_Message = Any
"""Its methods may give None, by their types, for what every message that was read has."""

_Kept = Any
"""A `ConfluentRecord`, or a message that is none: an error of the partition, or one with its producer's time."""

logger = logging.getLogger(__name__)

_NO_TIME = (TIMESTAMP_NOT_AVAILABLE, 0)
_BROKEN = frozenset({KafkaError._BAD_MSG, KafkaError._BAD_COMPRESSION, KafkaError._NOT_IMPLEMENTED})
_PASSING = frozenset({
    KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._RESOLVE, KafkaError._TIMED_OUT,
    KafkaError._MAX_POLL_EXCEEDED,
})  # fmt: skip


class ConfluentRecord(NamedTuple):
    """Implements `eventlog.protocol.Record`."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


_record = partial(tuple.__new__, ConfluentRecord)
"""A `ConfluentRecord` of its values, in half of the time that its own constructor takes."""


class ConfluentReader:
    """Implements `eventlog.protocol.Reader` on a consumer with a group and without offsets of its own.

    `log` reads what librdkafka can't, to tell where it ends. `patience_s`: how long to wait for an answer.
    """

    def __init__(
        self,
        consumer: Consumer,
        log: Log,
        group: str,
        topics: Sequence[str],
        listener: Listener,
        at_once: int,
        instance: str | None,
        patience_s: float,
    ) -> None:
        self._consumer = consumer
        self._log = log
        self._group = group
        self._listener = listener
        self._at_once = at_once
        self._instance = instance
        self._patience_s = patience_s
        self._positions: dict[TopicPartition, int] = {}
        self._unstarted: set[TopicPartition] = set()
        self._paused: set[TopicPartition] = set()
        self._stopped: set[TopicPartition] = set()
        self._kept: dict[tuple[str, int], list[_Kept]] = {}
        self._troubled: set[tuple[str, int]] = set()
        """The partitions of which more is kept than records."""
        consumer.subscribe(list(topics), on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost)

    def poll(self, timeout_ms: int) -> Mapping[TopicPartition, Sequence[Record]]:
        self._start()
        ready = sum(len(kept) for partition, kept in self._kept.items() if partition not in self._paused)
        room = self._at_once - ready
        with translated():
            first = self._consumer.poll(0.0 if ready else timeout_ms / 1000)
            found = [] if first is None else [first]
            if found and room > 1:
                found += self._consumer.consume(room - 1, 0)
        self._keep(found)
        return self._take()

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self._drop(partition)
        self._positions[partition] = offset
        if partition in self._unstarted:
            return
        self._go_on(partition)  # first: librdkafka would go on from where it was
        try:
            self._consumer.seek(At(*partition, offset))
        except KafkaException:  # its fetching has not begun yet
            self._fetch()

    def pause(self, partition: TopicPartition) -> None:
        self._paused.add(partition)

    def resume(self, partition: TopicPartition) -> None:
        self._paused.discard(partition)
        self._go_on(partition)

    def position(self, partition: TopicPartition) -> int:
        return self._positions[partition]

    def assignment(self) -> frozenset[TopicPartition]:
        return frozenset(self._positions)

    def ends(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        return self._offsets(dict.fromkeys(partitions, OFFSET_END))

    def first_since(self, times: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, int]:
        found = self._offsets({partition: max(time, 0) for partition, time in times.items()})
        return {**self.ends(tuple(times)), **{at: offset for at, offset in found.items() if offset >= 0}}

    def note(self, positions: Mapping[TopicPartition, int]) -> None:
        offsets = [At(*partition, offset) for partition, offset in positions.items()]
        try:
            if offsets:
                self._consumer.commit(offsets=offsets, asynchronous=True)
        except KafkaException as error:
            logger.debug("Kafka did not store the positions: %s", error)

    def close(self) -> None:
        try:
            self._consumer.close()
        except KafkaException as error:
            logger.warning("leaving the group failed; the group will detect it after its session timeout: %s", error)
        if self._positions:
            self._revoked(self._consumer, [])

    def _offsets(self, times: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        """Offsets by time, or by librdkafka's names of the beginning and the end."""
        if not times:
            return {}
        with translated():
            found = self._consumer.offsets_for_times([At(*at, time) for at, time in times.items()], self._patience_s)
            for at in found:
                if at.error is not None:
                    raise KafkaException(at.error)
        return {TopicPartition(at.topic, at.partition): at.offset for at in found}

    def _start(self) -> None:
        """Begin to fetch the partitions that were assigned without a start, and have one by now."""
        begun = self._unstarted - self._paused
        if begun:
            self._unstarted -= begun
            self._fetch()

    def _fetch(self) -> None:
        """Have the consumer fetch all partitions that have a start, from their positions on."""
        started = [at for at in self._positions if at not in self._unstarted]
        self._drop_all()
        with translated():
            self._consumer.assign([At(*at, self._positions[at]) for at in started])
        self._stopped.clear()

    def _keep(self, messages: Sequence[_Message]) -> None:
        """Put messages, and errors of partitions, after what is kept of their partitions."""
        kept_of, positions = self._kept, self._positions
        for message in messages:
            error = message.error()
            if error is not None and (message.topic() is None or error.code() == KafkaError._FATAL):
                self._raise(error)
                continue
            at = message.topic(), message.partition()
            if at not in positions:
                continue
            kept = kept_of.get(at)
            if kept is None:
                kept = kept_of[at] = []
            kind, timestamp = message.timestamp() if error is None else _NO_TIME
            if kind == TIMESTAMP_LOG_APPEND_TIME:
                headers = message.headers() or ()
                kept.append(_record((message.offset(), timestamp, message.key(), message.value(), headers)))
            else:
                kept.append(message)
                self._troubled.add(at)
        for at in self._paused - self._stopped:
            if len(kept_of.get(at, ())) > self._at_once:
                self._stop(at)

    def _drop(self, partition: TopicPartition) -> None:
        self._kept.pop(partition, None)
        self._troubled.discard(partition)

    def _drop_all(self) -> None:
        self._kept.clear()
        self._troubled.clear()

    def _stop(self, partition: TopicPartition) -> None:
        """Have librdkafka fetch no more of a partition; what it has given already stays here."""
        self._stopped.add(partition)
        with translated():
            self._consumer.pause([At(*partition)])

    def _go_on(self, partition: TopicPartition) -> None:
        """Have librdkafka fetch a partition again, if it was told not to."""
        if partition in self._stopped:
            self._stopped.discard(partition)
            with translated():
                self._consumer.resume([At(*partition)])

    def _take(self) -> Mapping[TopicPartition, Sequence[Record]]:
        """What is kept of partitions that are not paused, at most `at_once` records."""
        found: dict[TopicPartition, Sequence[Record]] = {}
        left = self._at_once
        for partition in [TopicPartition(*at) for at in self._kept if at not in self._paused]:
            if not left:
                break
            records = self._take_of(partition, left, alone=not found)
            if records:
                left -= len(records)
                self._positions[partition] = records[-1].offset + 1
                found[partition] = records
        return found

    def _take_of(self, partition: TopicPartition, most: int, *, alone: bool) -> Sequence[Record]:
        """The next records of a partition. Passes over its ends, and raises its errors if nothing is given with that.

        `alone`: nothing of other partitions is given.
        """
        kept = self._kept[partition]
        records: list[Record] = []
        if partition in self._troubled:
            records = self._take_troubled(partition, kept, most, alone=alone)
            if all(type(message) is ConfluentRecord for message in kept):
                self._troubled.discard(partition)
        else:
            records = kept[:most]
            del kept[:most]
        if not kept:
            self._drop(partition)
        return records

    def _take_troubled(self, partition: TopicPartition, kept: list[_Kept], most: int, *, alone: bool) -> list[Record]:
        records: list[Record] = []
        while kept and len(records) < most:
            if type(kept[0]) is ConfluentRecord:
                records.append(kept.pop(0))
                continue
            if (error := kept[0].error()) is None:
                raise ProducersTime(partition, kept.pop(0).offset())
            if error.code() != KafkaError._PARTITION_EOF and (records or not alone):
                break  # the records first, the error with the next poll
            self._pass(partition, kept.pop(0), error)
        return records

    def _pass(self, partition: TopicPartition, message: _Message, error: KafkaError) -> None:
        """An error of a partition, or the end of what can be read: markers before it are passed over (R17)."""
        if error.code() == KafkaError._PARTITION_EOF:
            self._positions[partition] = max(self._positions[partition], message.offset())
        elif error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            raise self._gone(partition)
        elif error.code() in _BROKEN:
            self.pause(partition)
            self._stop(partition)
            self._drop(partition)
            raise self._unreadable(partition, error)
        else:
            self._raise(error)

    def _gone(self, partition: TopicPartition) -> OffsetGone:
        [earliest] = self._offsets({partition: OFFSET_BEGINNING}).values()
        return OffsetGone(partition, self._positions[partition], earliest, self.ends([partition])[partition])

    def _unreadable(self, partition: TopicPartition, error: KafkaError) -> Exception:
        """What is wrong at the position of a partition, where librdkafka tells no end of it."""
        position = self._positions[partition]
        try:
            for _ in self._log.between(partition, position, self.ends([partition])[partition]):
                pass
        except Unreadable as found:
            return found
        return LogUnavailable(f"{partition}, from offset {position} on: {error.str()}")

    def _raise(self, error: KafkaError) -> None:
        if error.code() in (KafkaError.FENCED_INSTANCE_ID, KafkaError._FATAL) and self._instance is not None:
            raise InstanceTaken(self._group, str(self._instance), "another process")
        if error.code() not in _PASSING:
            raise of_protocol(error)
        logger.debug("librdkafka goes on after: %s", error)

    def _assigned(self, consumer: Consumer, partitions: Sequence[Any]) -> None:
        mine = [TopicPartition(at.topic, at.partition) for at in partitions]
        starts = self._listener.assigned(mine)
        self._positions = {at: starts.get(at, 0) for at in mine}
        self._unstarted = {at for at in mine if at not in starts}
        self._paused = set(self._unstarted)
        self._fetch()

    def _revoked(self, consumer: Consumer, partitions: Sequence[Any]) -> None:
        self._listener.revoked(list(self._positions))
        self._forget()

    def _lost(self, consumer: Consumer, partitions: Sequence[Any]) -> None:
        self._listener.lost(list(self._positions))
        self._forget()

    def _forget(self) -> None:
        self._drop_all()
        self._positions, self._unstarted, self._paused, self._stopped = {}, set(), set(), set()
