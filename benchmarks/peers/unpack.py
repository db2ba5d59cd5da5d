"""What the Python peers do with a message: the header fields, then the rows as numpy columns or one by one.

It imports nothing of the product: peers run in environments of their own.
"""

import struct
import sys

import numpy as np

HOUR_MS = 3_600_000
ROW = np.dtype([("source", "<u4"), ("contributor", "<u4"), ("after", "<f4"), ("value", "<f8"), ("quality", "u1")])
_SINGLE = struct.Struct("<8xfdx")

HourPart = tuple[int, int, str, int, int]
"""The rows of a message in one hour: its beginning (ms since 1970), area, class, sum (mJ), number of rows."""


def parts(message: bytes) -> list[HourPart]:
    """A message's rows, added up by hour. A tick has none."""
    at, length = _varint(message, 5)
    at, area = _varint(message, at + length)
    at, length = _varint(message, at)
    class_ = message[at : at + length].decode()
    at, _ = _varint(message, at + length)
    at, start = _varint(message, at)
    at, length = _varint(message, at)
    at, count = _varint(message, at + length)
    if count == 1:
        after, value = _SINGLE.unpack_from(message, at)
        return [(_hour(start + int(after)), area, class_, int(value), 1)]
    if not count:
        return []
    rows = np.frombuffer(message, ROW, count, at)
    hours = (start + rows["after"].astype(np.int64)) // HOUR_MS
    values = rows["value"].astype(np.int64)
    if hours[0] == hours[-1]:  # rows are in the order of their times
        return [(int(hours[0]) * HOUR_MS, area, class_, int(values.sum()), count)]
    found, first = np.unique(hours, return_index=True)
    sums, edges = np.add.reduceat(values, first), np.append(first, count)
    return [
        (hour * HOUR_MS, area, class_, total, rows_of)
        for hour, total, rows_of in zip(found.tolist(), sums.tolist(), np.diff(edges).tolist(), strict=True)
    ]


def _hour(time: int) -> int:
    return time - time % HOUR_MS


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return at, (value >> 1) ^ -(value & 1)
        shift += 7


def say(line: str) -> None:
    """Tell the benchmark something."""
    print(line, flush=True)


def end(cells: dict[tuple[int, int, str], tuple[int, int]]) -> None:
    """The work is done. Wait until the benchmark has read what it used, and give the cells: sum and rows."""
    say("end")
    sys.stdin.read()
    for (hour, area, class_), (total, rows) in cells.items():
        say(f"cell {hour} {area} {class_} {total} {rows}")
    say("done")
