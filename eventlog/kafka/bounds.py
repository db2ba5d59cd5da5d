"""Limits on what a fetch may unpack to, for topics that others write.

kafka-python unpacks a batch whole, whatever it unpacks to: a megabyte may be a gigabyte of zeros.
"""

import struct
import zlib
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import lz4.frame
import zstandard
from kafka import KafkaConsumer
from kafka.codec import snappy_decode
from kafka.record.default_records import DefaultRecordBatch
from kafka.record.memory_records import MemoryRecords

from eventlog.kafka.batches import NamedBatches

MOST_UNPACKED = 32 << 20
"""Bytes of one batch, unpacked."""
LONGEST_VALUE = 1 << 20
"""Bytes of one value. Of what is longer, the first `KEPT_OF_LONG` are kept."""
KEPT_OF_LONG = 1_000

_SIZE = struct.Struct(">i")
_XERIAL = b"\x82SNAPPY\x00"
_XERIAL_HEADER = 16


class TooMuch(Exception):
    """A batch that unpacks to more than `MOST_UNPACKED`, or is packed in a format that cannot be bounded."""

    def __init__(self, words: str = f"it unpacks to more than {MOST_UNPACKED >> 20} MB") -> None:
        super().__init__(words)


def bound_batches(consumer: KafkaConsumer) -> None:
    """Have the polls of a consumer raise `Unreadable` for a batch that it can't read, or that unpacks to too much.

    A value of more than `LONGEST_VALUE` bytes is cut; `is_cut` tells.
    """
    consumer._fetcher.PartitionRecords = _BoundedBatches


def is_cut(record: Any) -> bool:
    """Whether only the beginning of a record's value is there."""
    return record.value is not None and len(record.value) != record.serialized_value_size


class _BoundedBatches(NamedBatches):
    """The fetched batches of one partition."""

    record_iterator: Iterator[Any]

    def __init__(self, fetch_offset: int, tp: Any, records: Any, **settings: Any) -> None:
        super().__init__(fetch_offset, tp, _BoundedRecords(records._buffer), **settings)
        self.record_iterator = map(_shortened, self.record_iterator)


class _BoundedRecords(MemoryRecords):  # type: ignore[misc]  # kafka-python ships no types
    """Batches that unpack within the limit."""

    def next_batch(self, *args: Any) -> Any:
        batch = super().next_batch(*args)
        if isinstance(batch, DefaultRecordBatch):
            return _BoundedBatch(batch._buffer)
        if batch is not None and batch.compression_type:
            raise TooMuch("it is packed in the format before Kafka 0.11")
        return batch


class _BoundedBatch(DefaultRecordBatch):  # type: ignore[misc]  # kafka-python ships no types
    _buffer: bytearray
    _pos: int
    _decompressed: bool

    def _maybe_uncompress(self) -> None:
        if not self._decompressed and self.compression_type != self.CODEC_NONE:
            unpack = _UNPACK.get(self.compression_type)
            if unpack is None:
                raise TooMuch(f"its codec {self.compression_type} is not known")
            self._buffer = bytearray(unpack(bytes(memoryview(self._buffer)[self._pos :])))
            self._pos = 0
        self._decompressed = True


def _gzip(packed: bytes) -> bytes:
    found = bytearray()
    while packed:
        unpacking = zlib.decompressobj(16 + zlib.MAX_WBITS)
        found += unpacking.decompress(packed, MOST_UNPACKED + 1 - len(found))
        if len(found) > MOST_UNPACKED:
            raise TooMuch
        packed = unpacking.unused_data if unpacking.eof else b""
    return bytes(found)


def _lz4(packed: bytes) -> bytes:
    found = lz4.frame.LZ4FrameDecompressor().decompress(packed, MOST_UNPACKED + 1)
    if len(found) > MOST_UNPACKED:
        raise TooMuch
    return bytes(found)


def _zstd(packed: bytes) -> bytes:
    unpacking = zstandard.ZstdDecompressor(max_window_size=MOST_UNPACKED)
    with unpacking.stream_reader(BytesIO(packed), read_across_frames=True) as reader:
        found = reader.read(MOST_UNPACKED + 1)
    if len(found) > MOST_UNPACKED:
        raise TooMuch
    return bytes(found)


def _snappy(packed: bytes) -> bytes:
    if sum(map(_snappy_size, _snappy_blocks(packed))) > MOST_UNPACKED:
        raise TooMuch
    found: bytes = snappy_decode(packed)
    return found


def _snappy_blocks(packed: bytes) -> Iterator[bytes]:
    """The blocks of the framing that Java's producers write, or else the only one. They name their sizes first."""
    if not packed.startswith(_XERIAL):
        yield packed
        return
    at = _XERIAL_HEADER
    while at + _SIZE.size <= len(packed):
        (size,) = _SIZE.unpack_from(packed, at)
        if size < 0:
            raise TooMuch("a block of it has no size")
        yield packed[at + _SIZE.size : at + _SIZE.size + 5]
        at += _SIZE.size + size


def _snappy_size(block: bytes) -> int:
    """The bytes that a block unpacks to, as it says: snappy writes no more than that."""
    size = 0
    for place, byte in enumerate(block[:5]):
        size |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            break
    return size


_UNPACK = {
    DefaultRecordBatch.CODEC_GZIP: _gzip,
    DefaultRecordBatch.CODEC_SNAPPY: _snappy,
    DefaultRecordBatch.CODEC_LZ4: _lz4,
    DefaultRecordBatch.CODEC_ZSTD: _zstd,
}


def _shortened(record: Any) -> Any:
    if record.value is None or len(record.value) <= LONGEST_VALUE:
        return record
    return record._replace(value=bytes(record.value[:KEPT_OF_LONG]))
