"""Reading the messages of one key from the end of their partition, without a group."""

from collections.abc import Iterator
from itertools import chain

from kafka import KafkaConsumer
from kafka import TopicPartition as KafkaPartition
from kafka.partitioner.default import murmur2

from eventlog.kafka.ranges import polled
from eventlog.protocol import Record, UnknownTopic

AT_ONCE = 32
"""Messages that are read at once: with pictures, 128 MB at the most."""


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
        records = chain.from_iterable(polled(consumer, partition, start, end, patience_s))
        yield from reversed([record for record in records if record.key == key])
        end = start
