"""Batches that kafka-python can't read, named by partition and offsets.

kafka-python raises whatever a checksum, a codec or a decompressor raises, without the partition, and its fetcher then
never leaves the batch.
"""

import struct
from typing import Any

from kafka import KafkaConsumer
from kafka.consumer.fetcher import Fetcher

from eventlog.protocol import TopicPartition, Unreadable

_OFFSET_AND_LENGTH = struct.Struct(">qi")
_LAST_OFFSET_DELTA = struct.Struct(">i")
_LAST_OFFSET_DELTA_AT = 23
"""Where a batch of Kafka's message format 2 (since Kafka 0.11) holds the distance of its last offset from its first."""


def name_unreadable_batches(consumer: KafkaConsumer) -> None:
    """Have the polls of a consumer raise `Unreadable` for a batch that it can't read."""
    consumer._fetcher.PartitionRecords = NamedBatches


class NamedBatches(Fetcher.PartitionRecords):  # type: ignore[misc]  # kafka-python ships no types
    """The fetched batches of one partition, which name what can't be read of them."""

    def __init__(self, fetch_offset: int, tp: Any, records: Any, **settings: Any) -> None:
        super().__init__(fetch_offset, tp, records, **settings)
        self._data = records._buffer

    def take(self, n: int | None = None) -> list[Any]:
        try:
            records: list[Any] = super().take(n)
        except Exception as error:  # each codec's library raises errors of its own
            offset, data = self.next_fetch_offset, self._data
            self.drain()
            reason = f"{type(error).__name__}: {error}"
            partition = TopicPartition(*self.topic_partition)
            raise Unreadable(partition, offset, _end_of_batch(data, offset), reason) from error
        return records


def _end_of_batch(data: bytes, offset: int) -> int:
    """The first offset after the batch that holds `offset`, by the batches' headers, which no codec touches."""
    at = 0
    while at + _LAST_OFFSET_DELTA_AT + _LAST_OFFSET_DELTA.size <= len(data):
        base, length = _OFFSET_AND_LENGTH.unpack_from(data, at)
        (delta,) = _LAST_OFFSET_DELTA.unpack_from(data, at + _LAST_OFFSET_DELTA_AT)
        if base + delta >= offset:
            return int(max(base + delta, offset)) + 1
        at += _OFFSET_AND_LENGTH.size + length
    return offset + 1
