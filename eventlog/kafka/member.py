"""A member of a group whose positions the cluster keeps: how a topic is read that others write.

Readers of the node's own topics keep their positions in the database, with what they have made of the messages. Here a
position is committed when another log has the messages; with it goes the id of the topic, so that one that was deleted
and made anew under its name is known.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from kafka import KafkaConsumer, errors
from kafka import TopicPartition as KafkaPartition
from kafka.structs import OffsetAndMetadata

from eventlog.kafka.bounds import bound_batches, is_cut
from eventlog.kafka.errors import translated
from eventlog.kafka.reader import KafkaReader
from eventlog.protocol import OffsetGone, Record, TopicPartition, Unreadable

Start = Literal["earliest", "latest"]
"""Where a group begins that has no position in a topic."""

MOST_AT_ONCE = 2_000
MOST_BYTES = 8 << 20
"""Messages and bytes of one poll; the last step may go beyond by `STEP` values."""
STEP = 100
_ANEW = "the topic was deleted and made anew, and is read from its beginning"
_GONE_ON = (
    errors.CommitFailedError,
    errors.IllegalGenerationError,
    errors.UnknownMemberIdError,
    errors.RebalanceInProgressError,
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SkippedOffsets:
    """Offsets from `first` up to `until` that are not read: `words` say why. `until` is `first` if their number is not
    known."""

    partition: TopicPartition
    first: int
    until: int
    words: str


@dataclass(frozen=True, slots=True)
class PolledMessages:
    """What a poll gave, by partition in the order of offsets, and what it passed over. `cut` are those of which only
    the beginning of the value is there."""

    records: Mapping[TopicPartition, Sequence[Record]]
    skipped: Sequence[SkippedOffsets]
    cut: frozenset[tuple[TopicPartition, int]]


class GroupMember:
    """One member of a group, for one topic. One thread. Methods raise `LogUnavailable` and `AccessRefused`."""

    def __init__(self, consumer: KafkaConsumer, topic: str, topic_id: str, start: Start, patience_s: float) -> None:
        """`topic_id` is the topic's present id; `patience_s`: how long to wait for an answer."""
        self._consumer = consumer
        self._topic = topic
        self._topic_id = topic_id
        self._start = start
        self._patience_ms = round(patience_s * 1_000)
        self._fresh: set[TopicPartition] = set()
        """Assigned, and without a position yet."""
        self._found: dict[TopicPartition, list[Record]] = {}
        self._uncommitted: dict[TopicPartition, int] = {}
        self._noted: list[SkippedOffsets] = []
        self._reader = KafkaReader(consumer, [topic], self, of_others=True)
        bound_batches(consumer)

    @property
    def topic_id(self) -> str:
        """The id of the topic that is read."""
        return self._topic_id

    def poll(self, timeout_ms: int) -> PolledMessages:
        """Messages, possibly none; waits up to `timeout_ms` for the first. They are taken until they are committed, or
        the member is rewound."""
        skipped, self._noted = self._noted, []
        self._commit()
        size, count = 0, 0
        while count < MOST_AT_ONCE and size < MOST_BYTES:
            self._begin(skipped)
            polled = self._polled(0 if count else timeout_ms, skipped)
            if skipped or not polled:
                break
            some = [record for records in polled.values() for record in records]
            count += len(some)
            size += sum(len(record.value or b"") + len(record.key or b"") for record in some)
        found, self._found = self._found, {}
        cut = frozenset((at, record.offset) for at, records in found.items() for record in records if is_cut(record))
        return PolledMessages(found, skipped, cut)

    def rewind(self, positions: Mapping[TopicPartition, int]) -> None:
        """Read these partitions again from these offsets on, as far as they still belong to the member."""
        self._found.clear()
        mine = self._reader.assignment() - self._fresh
        for partition, offset in positions.items():
            if partition in mine:
                self._reader.seek(partition, offset)

    def commit(self, positions: Mapping[TopicPartition, int]) -> None:
        """Have the cluster keep these as the offsets that come next. If it does not answer, the next poll does it."""
        mine = self._reader.assignment()
        self._uncommitted.update({at: offset for at, offset in positions.items() if at in mine})
        self._commit()

    def note_topic(self, topic_id: str) -> None:
        """The topic has this id by now. If it is another, every partition begins anew."""
        if topic_id != self._topic_id:
            self._topic_id = topic_id
            self._uncommitted.clear()
            for at in sorted(self._reader.assignment()):
                self._reader.pause(at)
                self._fresh.add(at)
                self._noted.append(SkippedOffsets(at, 0, 0, f"{at}: {_ANEW}; what was not read of the old one is gone"))

    def close(self) -> None:
        """Leave the group."""
        self._reader.close()

    def assigned(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """None of them begins before its position was asked for, which is not done while the group is forming."""
        self._fresh |= set(partitions)
        return {}

    def revoked(self, partitions: Sequence[TopicPartition]) -> None:
        """Forget what was not committed of these."""
        for partition in partitions:
            self._fresh.discard(partition)
            self._found.pop(partition, None)
            self._uncommitted.pop(partition, None)

    def lost(self, partitions: Sequence[TopicPartition]) -> None:
        """As `revoked`."""
        self.revoked(partitions)

    def _polled(self, timeout_ms: int, skipped: list[SkippedOffsets]) -> Mapping[TopicPartition, Sequence[Record]]:
        try:
            polled = self._reader.poll(timeout_ms)
        except OffsetGone as gone:
            skipped.append(self._past(gone))
            return {}
        except Unreadable as error:
            self._reader.seek(error.partition, error.next_offset)
            self._reader.resume(error.partition)
            skipped.append(SkippedOffsets(error.partition, error.offset, error.next_offset, str(error)))
            return {}
        for partition, records in polled.items():
            self._found.setdefault(partition, []).extend(records)
        return polled

    def _past(self, gone: OffsetGone) -> SkippedOffsets:
        at = gone.partition
        self._reader.seek(at, gone.earliest)
        if gone.offset < gone.earliest:
            words = f"{at}: offsets {gone.offset} to {gone.earliest - 1} are gone: the topic did not keep them so long"
            return SkippedOffsets(at, gone.offset, gone.earliest, words)
        words = f"{at}: it ends at {gone.end}, before {gone.offset}, where reading was to go on; it is read from"
        return SkippedOffsets(at, gone.offset, gone.offset, f"{words} {gone.earliest} on")

    def _begin(self, skipped: list[SkippedOffsets]) -> None:
        """Begin to read what was assigned, where the group left it."""
        if not self._fresh:
            return
        with translated():
            stored = {at: self._stored(at) for at in sorted(self._fresh)}
            starts = self._starts([at for at, (offset, _) in stored.items() if offset is None])
            for at, (offset, topic_id) in stored.items():
                if offset is not None and topic_id not in ("", self._topic_id):
                    [earliest] = self._consumer.beginning_offsets([KafkaPartition(*at)], self._patience_ms).values()
                    words = f"{at}: {_ANEW}; what the old one had from {offset} on is gone"
                    skipped.append(SkippedOffsets(at, offset, offset, words))
                    starts[at] = earliest
                elif offset is not None:
                    starts[at] = offset
        for at, start in starts.items():
            self._reader.seek(at, start)
            self._reader.resume(at)
        self._fresh -= starts.keys()

    def _stored(self, at: TopicPartition) -> tuple[int | None, str]:
        """The committed position of a partition, and the id of the topic that it was committed for."""
        found = self._consumer.committed(KafkaPartition(*at), metadata=True, timeout_ms=self._patience_ms)
        return (None, "") if found is None or found.offset < 0 else (found.offset, found.metadata or "")

    def _starts(self, unknown: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Where partitions begin that the group has no position in."""
        if not unknown:
            return {}
        asked = [KafkaPartition(*at) for at in unknown]
        if self._start == "latest" and not self._known():
            found = self._consumer.end_offsets(asked, self._patience_ms)
            # Whatever comes from now on is read, also by a process that begins after this one was killed.
            self.commit({TopicPartition(*at): offset for at, offset in found.items()})
        else:
            found = self._consumer.beginning_offsets(asked, self._patience_ms)
        return {TopicPartition(*at): offset for at, offset in found.items()}

    def _known(self) -> bool:
        """Whether the group has a position in another partition: then one without is new."""
        others = sorted(self._consumer.partitions_for_topic(self._topic) or ())
        return any(self._stored(TopicPartition(self._topic, number))[0] is not None for number in others)

    def _commit(self) -> None:
        if not self._uncommitted:
            return
        offsets: dict[Any, Any] = {
            KafkaPartition(*at): OffsetAndMetadata(offset, self._topic_id, -1)
            for at, offset in self._uncommitted.items()
        }
        try:
            self._consumer.commit(offsets, self._patience_ms)
        except _GONE_ON as error:
            logger.info("%s: the group has gone on; what was taken comes again: %s", self._topic, error)
        except errors.KafkaError as error:
            if not error.retriable:
                with translated():
                    raise
            logger.warning("%s: the cluster did not keep the positions, which is tried again: %s", self._topic, error)
            return
        self._uncommitted.clear()
