"""A member of a group of readers."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from kafka import KafkaConsumer, errors
from kafka import TopicPartition as KafkaPartition
from kafka.consumer.subscription_state import ConsumerRebalanceListener
from kafka.structs import OffsetAndMetadata

from eventlog.kafka.batches import name_unreadable_batches
from eventlog.kafka.errors import translated
from eventlog.kafka.joining import finish_the_join
from eventlog.kafka.parked import clear_the_line
from eventlog.protocol import InstanceTaken, Listener, OffsetGone, ProducersTime, Record, TopicPartition, Unreadable

logger = logging.getLogger(__name__)

_LOG_APPEND_TIME = 1
"""Kafka's code for a record whose timestamp is the broker's."""


class KafkaReader:
    """Implements `eventlog.protocol.Reader` on a consumer with a group and without offsets of its own."""

    def __init__(
        self,
        consumer: KafkaConsumer,
        topics: Sequence[str],
        listener: Listener,
        instance: str | None = None,
        *,
        of_others: bool = False,
    ) -> None:
        """`of_others`: the topics are not ours, and may have their producers' times."""
        self._consumer = consumer
        self._instance = instance
        self._of_others = of_others
        self._following: dict[TopicPartition, int] = {}
        """Where each partition goes on, as far as it is known without asking the client."""
        name_unreadable_batches(consumer)
        consumer.subscribe(list(topics), listener=_Rebalance(consumer, listener, self._following))

    def poll(self, timeout_ms: int) -> Mapping[TopicPartition, Sequence[Record]]:
        clear_the_line(self._consumer)
        try:
            finish_the_join(self._consumer)
            polled: Mapping[Any, Sequence[Any]] = self._consumer.poll(timeout_ms=timeout_ms)
        except Unreadable as error:
            self.pause(error.partition)
            raise
        except errors.OffsetOutOfRangeError as error:
            with translated():
                gone = self._gone(error)
            raise gone from error
        except errors.FencedInstanceIdError as error:
            raise InstanceTaken(self._consumer.config["group_id"], str(self._instance), "another process") from error
        except errors.KafkaError as error:
            if error.__cause__ is not None and not isinstance(error.__cause__, errors.KafkaError):
                raise error.__cause__ from None  # what the listener raised, wrapped by kafka-python
            with translated():
                raise
        found = {TopicPartition(*partition): records for partition, records in polled.items()}
        for partition, records in found.items():
            for record in records if not self._of_others else ():
                if record.timestamp_type != _LOG_APPEND_TIME:
                    raise ProducersTime(partition, record.offset)
            self._following[partition] = records[-1].offset + 1
        return found

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self._consumer.seek(KafkaPartition(*partition), offset)
        self._following[partition] = offset

    def pause(self, partition: TopicPartition) -> None:
        self._consumer.pause(KafkaPartition(*partition))

    def resume(self, partition: TopicPartition) -> None:
        self._consumer.resume(KafkaPartition(*partition))

    def position(self, partition: TopicPartition) -> int:
        kafkas = KafkaPartition(*partition)
        following = self._following.get(partition)
        # The client looks at all partitions to say where one of them stands: with hundreds, nothing else would be done.
        # It needs to be asked only where more was fetched than records, such as the marks of transactions.
        if following is not None and following == self._consumer.highwater(kafkas):
            return following
        with translated():
            position: int = self._consumer.position(kafkas)
        self._following[partition] = position
        return position

    def assignment(self) -> frozenset[TopicPartition]:
        return frozenset(TopicPartition(*partition) for partition in self._consumer.assignment())

    def ends(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        with translated():
            ends = self._consumer.end_offsets([KafkaPartition(*partition) for partition in partitions])
        return {TopicPartition(*partition): offset for partition, offset in ends.items()}

    def first_since(self, times: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, int]:
        ends = self.ends(tuple(times))
        with translated():
            found = self._consumer.offsets_for_times(
                {KafkaPartition(*partition): max(time, 0) for partition, time in times.items()}
            )
        first = {TopicPartition(*partition): at.offset for partition, at in found.items() if at is not None}
        return {**ends, **{partition: offset for partition, offset in first.items() if offset >= 0}}

    def note(self, positions: Mapping[TopicPartition, int]) -> None:
        offsets = {KafkaPartition(*at): OffsetAndMetadata(offset, "", -1) for at, offset in positions.items()}
        try:
            self._consumer.commit_async(offsets)
        except errors.KafkaError as error:
            logger.debug("Kafka did not store the positions: %s", error)

    def close(self) -> None:
        try:
            self._consumer.close(autocommit=False)
        except errors.KafkaError as error:
            logger.warning("leaving the group failed; the group will detect it after its session timeout: %s", error)

    def _gone(self, error: Exception) -> OffsetGone:
        partition, offset = next(iter(error.args[0].items()))
        earliest: int = self._consumer.beginning_offsets([partition])[partition]
        end: int = self._consumer.end_offsets([partition])[partition]
        return OffsetGone(TopicPartition(*partition), getattr(offset, "offset", offset), earliest, end)


class _Rebalance(ConsumerRebalanceListener):  # type: ignore[misc]  # kafka-python ships no types
    """Passes kafka-python's callbacks to a `Listener`. They run on its I/O thread, while `poll` waits.

    `following` is told where each assigned partition begins.
    """

    def __init__(self, consumer: KafkaConsumer, listener: Listener, following: dict[TopicPartition, int]) -> None:
        self._consumer = consumer
        self._listener = listener
        self._following = following

    def on_partitions_assigned(self, assigned: Sequence[Any]) -> None:
        starts = self._listener.assigned([TopicPartition(*partition) for partition in assigned])
        for partition in assigned:
            ours = TopicPartition(*partition)
            start = starts.get(ours)
            self._following[ours] = 0 if start is None else start
            self._consumer.seek(partition, self._following[ours])  # without an offset it would ask Kafka for one
            if start is None:
                self._consumer.pause(partition)
            else:
                self._consumer.resume(partition)  # a pause would outlast the rebalance

    def on_partitions_revoked(self, revoked: Sequence[Any]) -> None:
        self._listener.revoked([TopicPartition(*partition) for partition in revoked])

    def on_partitions_lost(self, lost: Sequence[Any]) -> None:
        self._listener.lost([TopicPartition(*partition) for partition in lost])
