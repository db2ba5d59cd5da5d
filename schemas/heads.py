"""The beginnings of messages: what many of them have in common is parsed once.

The fields before `start` are the same in all messages of one area, metric, class and interval length. A message that
begins with the same bytes says the same there, as every field tells its own length.
"""

from dataclasses import dataclass
from functools import lru_cache

from schemas.batch import LAST_MS, PREFIX_BYTES, ROW, DecodeError, check_feeder, layout_of_message, read_varint

_ROW_BYTES = ROW.itemsize
_BODIES = (("start",), ("start", "feeder"))
"""The header fields that may follow."""


@dataclass(frozen=True, slots=True)
class Head:
    """The bytes of a message before its `start`, and whether its schema has feeders."""

    prefix: bytes
    has_feeder: bool


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
    return Head(message[:at], len(names) - fixed > 1)


def body_of(head: Head, message: bytes) -> tuple[int, str, int, memoryview] | None:
    """Start, feeder, count and rows of a message that begins with `head.prefix`, as `schemas.batch.decode` gives them.

    None without rows, and for whatever that does not view.
    """
    at, feeder = len(head.prefix), ""
    try:
        at, start = read_varint(message, at)
        if head.has_feeder:
            at, size = read_varint(message, at)
            end = at + max(size, 0)
            feeder = _feeder(message[at:end])
            at = end
        at, count = read_varint(message, at)
    except (IndexError, UnicodeDecodeError, DecodeError):
        return None
    end = at + count * _ROW_BYTES
    if count <= 0 or end + 1 != len(message) or message[end] or not 0 <= start < LAST_MS:
        return None
    return start, feeder, count, memoryview(message)[at:end]


@lru_cache(1_000)
def _feeder(coded: bytes) -> str:
    """Raises `DecodeError` and `UnicodeDecodeError`."""
    name = coded.decode()
    check_feeder(name)
    return name
