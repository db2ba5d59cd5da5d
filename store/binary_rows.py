"""Rows in PostgreSQL's binary COPY format, written column by column: a row costs no object.

The format is described under "Binary Format" in PostgreSQL's documentation of COPY. Text is in UTF-8.
"""

from collections.abc import Iterable, Sequence
from typing import LiteralString, NamedTuple

import numpy as np
from numpy.typing import NDArray

from store.database import Connection
from store.source_history import NEVER_MS
from store.texts import Texts

_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"
_2000_MS = 946_684_800_000
_NULL = -1


class BinaryFields(NamedTuple):
    """BinaryFields of every row, beside each other: bytes of shape (n, width), and which of them count (None: all)."""

    number: int
    data: NDArray[np.uint8]
    used: NDArray[np.bool_] | None


def integers(values: NDArray[np.int64], present: NDArray[np.bool_] | None = None) -> BinaryFields:
    """A column of bigint, NULL where not `present`."""
    item = np.empty(len(values), np.dtype([("length", ">i4"), ("value", ">i8")]))
    item["length"], item["value"] = 8, values
    data = item.view(np.uint8).reshape(len(values), item.itemsize)
    if present is None or present.all():
        return BinaryFields(1, data, None)
    item["length"][~present] = _NULL
    used = np.ones(data.shape, np.bool_)
    used[~present, 4:] = False
    return BinaryFields(1, data, used)


def times(times_ms: NDArray[np.int64]) -> BinaryFields:
    """A column of timestamptz from milliseconds since 1970; NULL for `NEVER_MS`."""
    present = times_ms != NEVER_MS
    return integers((np.where(present, times_ms, _2000_MS) - _2000_MS) * 1000, present)


def texts(column: Texts) -> BinaryFields:
    """A column of text."""
    padded = column.padded()
    data = np.concatenate([column.length.astype(">i4").view(np.uint8).reshape(len(column), 4), padded], axis=1)
    return BinaryFields(1, data, np.arange(-4, padded.shape[1]) < column.length[:, None])


def chosen(options: Sequence[Sequence[str]], index: NDArray[np.int64]) -> BinaryFields:
    """Several columns of text: row n has those of `options[index[n]]`."""
    encoded = [[text.encode() for text in option] for option in options]
    fields = [b"".join(len(text).to_bytes(4, "big") + text for text in option) for option in encoded]
    lengths = np.array([len(field) for field in fields], np.int64)
    table = Texts.end_to_end(np.frombuffer(b"".join(fields), np.uint8), lengths)
    padded = table.padded()
    return BinaryFields(len(options[0]), padded[index], table.used(padded.shape[1])[index])


def rows(columns: Sequence[BinaryFields]) -> bytes:
    """Rows of these columns, for `copy`."""
    length = len(columns[0].data)
    count = sum(column.number for column in columns).to_bytes(2, "big")
    data = [np.broadcast_to(np.frombuffer(count, np.uint8), (length, 2)), *(column.data for column in columns)]
    whole = np.concatenate(data, axis=1)
    used = [np.ones((length, 2), np.bool_)]
    used += [np.ones(column.data.shape, np.bool_) if column.used is None else column.used for column in columns]
    return bytes(whole[np.concatenate(used, axis=1)])


def copy(connection: Connection, statement: LiteralString, blocks: Iterable[bytes]) -> None:
    """Run a COPY FROM STDIN in the binary format with these rows."""
    with connection.cursor() as cursor, cursor.copy(statement) as copying:
        copying.write(_HEADER)
        for block in blocks:
            copying.write(block)
        copying.write(_TRAILER)
