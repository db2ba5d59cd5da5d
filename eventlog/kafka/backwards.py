"""Reading the messages of one key from the end of their partition, without a group."""

import time
from collections.abc import Iterator

from kafka import KafkaConsumer
from kafka import TopicPartition as KafkaPartition
from kafka.partitioner.default import murmur2

from eventlog.protocol import LogUnavailable, Record, TopicPartition, UnknownTopic

AT_ONCE = 32
"""Messages that are read at once: with pictures, 128 MB at the most."""

_POLL_MS = 500


def latest_first(consumer: KafkaConsumer, topic: str, key: bytes, patience_s: float) -> Iterator[Record]:
    """The messages with `key`, the latest first, by a consumer that polls at most `AT_ONCE` of them.

    Raises `UnknownTopic`, `LogUnavailable` if no message comes for `patience_s` seconds, and kafka-python's errors.
    """
    partitions = consumer.partitions_for_topic(topic)
    if not partitions:
        raise UnknownTopic(topic)
    number = (murmur2(key) & 0x7FFFFFFF) % len(partitions)  # as the producer does it
    partition = KafkaPartition(topic, number)
    consumer.assign([partition])
    begin, end = consumer.beginning_offsets([partition])[partition], consumer.end_offsets([partition])[partition]
    while end > begin:
        start = max(end - AT_ONCE, begin)
        records = _between(consumer, partition, start, end, patience_s)
        yield from reversed([record for record in records if record.key == key])
        end = start


def _between(
    consumer: KafkaConsumer, partition: KafkaPartition, start: int, end: int, patience_s: float
) -> Iterator[Record]:
    """The records of an assigned partition from `start` up to `end`. Raises `LogUnavailable`."""
    consumer.seek(partition, start)
    deadline = time.monotonic() + patience_s
    while consumer.position(partition) < end:
        records = consumer.poll(timeout_ms=_POLL_MS).get(partition, ())
        if records:
            deadline = time.monotonic() + patience_s
        elif time.monotonic() > deadline:
            raise LogUnavailable(f"Kafka gives no message of {TopicPartition(*partition)}")
        yield from (record for record in records if record.offset < end)
