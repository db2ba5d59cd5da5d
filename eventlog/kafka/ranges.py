"""Reading a range of offsets of one partition, without a group."""

import time
from collections.abc import Iterator, Sequence

from kafka import KafkaConsumer
from kafka import TopicPartition as KafkaPartition

from eventlog.protocol import LogUnavailable, OffsetGone, Record, TopicPartition, UnknownTopic

_POLL_MS = 500


def whole_range(
    consumer: KafkaConsumer, partition: TopicPartition, first: int, until: int, patience_s: float
) -> Iterator[Sequence[Record]]:
    """The messages from `first` up to `until`, poll by poll, by a consumer without a group.

    Raises `UnknownTopic`, `OffsetGone` if the partition does not hold all of the range, `Unreadable`, `LogUnavailable`
    if no message comes for `patience_s` seconds, and kafka-python's errors.
    """
    if partition.partition not in (consumer.partitions_for_topic(partition.topic) or ()):
        raise UnknownTopic(partition.topic)
    at = KafkaPartition(*partition)
    consumer.assign([at])
    begin, end = consumer.beginning_offsets([at])[at], consumer.end_offsets([at])[at]
    if first < begin or until > end:
        raise OffsetGone(partition, first if first < begin else until, begin, end)
    yield from polled(consumer, at, first, until, patience_s)


def polled(
    consumer: KafkaConsumer, partition: KafkaPartition, first: int, until: int, patience_s: float
) -> Iterator[Sequence[Record]]:
    """The records of an assigned partition from `first` up to `until`, poll by poll. Raises `LogUnavailable`."""
    consumer.seek(partition, first)
    deadline = time.monotonic() + patience_s
    while consumer.position(partition) < until:
        records = consumer.poll(timeout_ms=_POLL_MS).get(partition, ())
        if records:
            deadline = time.monotonic() + patience_s
        elif time.monotonic() > deadline:
            raise LogUnavailable(f"Kafka gives no message of {TopicPartition(*partition)}")
        yield [record for record in records if record.offset < until]
