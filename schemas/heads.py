"""The beginnings of messages: what many of them have in common is parsed once.

The fields before `start` are the same in all messages of one area, metric, class and interval length. A message that
begins with the same bytes says the same there, as every field tells its own length. What follows is read of many
messages at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from schemas.batch import (
    LAST_MS,
    LONGEST_FEEDER,
    PREFIX_BYTES,
    ROW,
    DecodeError,
    check_feeder,
    layout_of_message,
    read_varint,
)

_ROW_BYTES = ROW.itemsize
_BODIES = (("start",), ("start", "feeder"))
"""The header fields that may follow."""
_LONGEST_PREFIX = 200
_LONGEST_NAME = 4 * LONGEST_FEEDER
"""Bytes of a feeder's name, in UTF-8."""
_MOST_VARINT_BYTES = 9
"""Numbers of more bytes have more than 63 bits."""
_HEADER_BYTES = _LONGEST_PREFIX + 3 * _MOST_VARINT_BYTES + _LONGEST_NAME
_COPIED_BYTES = 2_048
"""Rows of so short a message are copied: a view costs more, of the garbage collector too."""

_Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Head:
    """The bytes of a message before its `start`, and whether its schema has feeders."""

    prefix: bytes
    has_feeder: bool


@dataclass(frozen=True, slots=True)
class Bodies:
    """What follows the heads of some messages, as `schemas.batch.decode` gives it; arrays have shape (m,).

    `viewed` is false for messages without rows, and for whatever `decode` does not view; nothing else is said of
    those.
    """

    viewed: NDArray[np.bool_]
    start: _Numbers
    feeder: Sequence[str]
    count: _Numbers
    rows: Sequence[bytes | memoryview]


def head_of(message: bytes) -> Head | None:
    """The head of a message that `schemas.batch.decode` views; None if no others can be read by it."""
    layout = layout_of_message(message)
    if layout is None or layout.region is not None or layout.row != ROW:
        return None
    names = [name for name, _ in layout.header]
    fixed = names.index("start") if "start" in names else len(names)
    if tuple(names[fixed:]) not in _BODIES:
        return None
    at = PREFIX_BYTES
    for _, kind in layout.header[:fixed]:
        at, number = read_varint(message, at)
        at += number if kind == "string" else 0
    return Head(message[:at], len(names) - fixed > 1) if at <= _LONGEST_PREFIX else None


def bodies_of(messages: Sequence[bytes], prefix: _Numbers, has_feeder: NDArray[np.bool_]) -> Bodies:
    """What follows in messages of which the first `prefix` (m,) bytes are a head's."""
    size = np.array([len(message) for message in messages], np.int64)
    headers = [message[:_HEADER_BYTES] for message in messages]
    # Bytes after the last message belong to none: whatever is read there ends after its message.
    data = np.frombuffer(b"".join([*headers, bytes(_HEADER_BYTES)]), np.uint8)
    length = np.minimum(size, _HEADER_BYTES)
    begin = np.cumsum(length) - length
    at, start, viewed = _varints(data, begin + prefix)
    feeder = [""] * len(messages)
    if has_feeder.any():
        after, name, short = _varints(data, at)
        name = np.where(has_feeder, name, 0)
        viewed &= (short | ~has_feeder) & (name >= 0) & (name <= _LONGEST_NAME)
        after = np.where(has_feeder, after, at)
        at = after + np.where(viewed, name, 0)
        for place in np.flatnonzero(viewed & (name > 0)).tolist():
            found = _feeder(headers[place][int((after - begin)[place]) : int((at - begin)[place])])
            feeder[place], viewed[place] = found or "", found is not None
    at, count, short = _varints(data, at)
    at -= begin
    viewed &= short & (at <= length) & (count > 0) & (count <= size) & (start >= 0) & (start < LAST_MS)
    end = at + np.where(viewed, count, 0) * _ROW_BYTES
    viewed &= (end + 1 == size) & (np.array([message[-1] for message in messages], np.uint8) == 0)
    places = zip(messages, at.tolist(), end.tolist(), strict=True)
    return Bodies(viewed, start, feeder, count, [_part(message, begin, end) for message, begin, end in places])


def _part(message: bytes, begin: int, end: int) -> bytes | memoryview:
    return message[begin:end] if len(message) <= _COPIED_BYTES else memoryview(message)[begin:end]


def _varints(data: NDArray[np.uint8], at: _Numbers) -> tuple[_Numbers, _Numbers, NDArray[np.bool_]]:
    """Position after the number at each place, the number, and whether it has so few bytes that it could be read."""
    byte = data[np.minimum(at, len(data) - 1)]
    coded, more, shift = (byte & 0x7F).astype(np.uint64), byte >= 0x80, 7
    at = at + 1
    while shift < 7 * _MOST_VARINT_BYTES and more.any():
        byte = np.where(more, data[np.minimum(at, len(data) - 1)], 0)
        coded |= (byte & 0x7F).astype(np.uint64) << np.uint64(shift)
        at += more
        more = byte >= 0x80
        shift += 7
    number = (coded >> np.uint64(1)).view(np.int64) ^ -(coded & np.uint64(1)).view(np.int64)
    return at, number, ~more


@lru_cache(1_000)
def _feeder(coded: bytes) -> str | None:
    """The name of a feeder, None if it is none."""
    try:
        name = coded.decode()
        check_feeder(name)
    except (DecodeError, UnicodeDecodeError):
        return None
    return name
