"""Accepted readings as columns: what messages have in common once a message, the rest once a row."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.intp]

MESSAGE_TYPES = tuple(map(np.dtype, ("<u4", "<i8", "<u4", "<i8", "<i8")))
ROW_TYPES = (*MESSAGE_TYPES, *map(np.dtype, ("<u4", "<u4", "<i4", "<i8", "u1", "<i4")))
"""The types of the columns of `Rows`."""


@dataclass(frozen=True, slots=True)
class MessageColumns:
    """Messages of one metric in the order of the log; every array has shape (m,).

    `group` is the number of the (area, class) of each (`processors.groups`); `start` and `interval` are milliseconds;
    `offset` is the message's; `count` is how many of its rows are meant.
    """

    group: NDArray[np.uint32]
    start: NDArray[np.int64]
    interval: NDArray[np.uint32]
    offset: NDArray[np.int64]
    count: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.group)

    def with_counts(self, count: NDArray[np.int64]) -> "MessageColumns":
        """The messages with other counts, without those that then have no row."""
        used = slice(None) if (count > 0).all() else np.flatnonzero(count)
        return MessageColumns(self.group[used], self.start[used], self.interval[used], self.offset[used], count[used])


@dataclass(frozen=True, slots=True)
class Rows:
    """Accepted readings of one metric in the order of the log; every array but one has shape (n,).

    The rows of each of `messages` follow each other, and each message has at least one where it is not said otherwise.
    `after` is in milliseconds from the message's start; `value` is in the smallest unit; `row` is the place in the
    message.
    """

    messages: MessageColumns
    source: NDArray[np.uint32]
    contributor: NDArray[np.uint32]
    after: NDArray[np.int32]
    value: NDArray[np.int64]
    quality: NDArray[np.uint8]
    row: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.source)

    def of_messages(self, column: NDArray[Any]) -> NDArray[Any]:
        """For each row the value that its message has in `column`, shape (m,). Shape (n,)."""
        return np.repeat(column, self.messages.count)

    def message_of(self, places: Indices) -> Indices:
        """The place in `messages` of the message of each of these rows."""
        return np.searchsorted(np.cumsum(self.messages.count), places, "right")

    @property
    def begins(self) -> Indices:
        """The place of the first row of each message. Shape (m,)."""
        return np.cumsum(self.messages.count) - self.messages.count

    @property
    def group(self) -> NDArray[np.uint32]:
        """The group of each row."""
        return self.of_messages(self.messages.group)

    @property
    def start(self) -> NDArray[np.int64]:
        """When the interval of each row begins, in milliseconds."""
        start: NDArray[np.int64] = self.of_messages(self.messages.start)
        return start + self.after

    @property
    def interval(self) -> NDArray[np.uint32]:
        """The length of each row's interval, in milliseconds."""
        return self.of_messages(self.messages.interval)

    @property
    def offset(self) -> NDArray[np.int64]:
        """The offset of each row's message."""
        return self.of_messages(self.messages.offset)

    def take(self, which: Indices | NDArray[np.bool_]) -> "Rows":
        """The rows that are marked, or those at these places, in that order; no message without any of them.

        In an order that is not that of the log, rows have a message each.
        """
        places: NDArray[Any] = np.flatnonzero(which) if which.dtype == np.bool_ else which
        if (places[1:] > places[:-1]).all():
            before = np.searchsorted(places, np.cumsum(self.messages.count))
            messages = self.messages.with_counts(np.diff(before, prepend=0))
        else:
            message, of = self.message_of(places), self.messages
            count = np.ones(len(places), np.int64)
            messages = MessageColumns(
                of.group[message], of.start[message], of.interval[message], of.offset[message], count
            )
        return Rows(messages, *(column[places] for column in _columns(self)[1:]))

    def between(self, begin: int, end: int) -> "Rows":
        """The rows from one place up to another, as views; no message without any of them."""
        before = np.clip(np.cumsum(self.messages.count), begin, end) - begin
        messages = self.messages.with_counts(np.diff(before, prepend=0))
        return Rows(messages, *(column[begin:end] for column in _columns(self)[1:]))

    def columns(self) -> list[NDArray[Any]]:
        """All columns in the order of `ROW_TYPES`."""
        return [*_columns(self.messages), *_columns(self)[1:]]

    @staticmethod
    def of_columns(columns: Sequence[NDArray[Any]]) -> "Rows":
        """The rows that `columns` gives as columns."""
        return Rows(MessageColumns(*columns[: len(MESSAGE_TYPES)]), *columns[len(MESSAGE_TYPES) :])

    @staticmethod
    def one_by_one(
        *,
        group: NDArray[Any],
        source: NDArray[Any],
        contributor: NDArray[Any],
        start: NDArray[Any],
        value: NDArray[Any],
        quality: NDArray[Any],
        interval: NDArray[Any],
        offset: NDArray[Any],
        row: NDArray[Any],
    ) -> "Rows":
        """Rows that have a message each, whatever the types of the columns are. Shape (n,)."""
        count = len(group)
        columns = (group, start, interval, offset, np.ones(count), source, contributor, np.zeros(count), value)
        typed = zip((*columns, quality, row), ROW_TYPES, strict=True)
        return Rows.of_columns([np.asarray(column, dtype) for column, dtype in typed])

    @staticmethod
    def join(parts: "Sequence[Rows]") -> "Rows":
        """All rows, one part after the other."""
        return parts[0] if len(parts) == 1 else Rows.copied(parts)

    @staticmethod
    def copied(parts: "Sequence[Rows]") -> "Rows":
        """As `join`, but always a copy."""
        return Rows.of_columns([np.concatenate(of_each) for of_each in zip(*map(Rows.columns, parts), strict=True)])


def _columns(of: MessageColumns | Rows) -> list[Any]:
    return [getattr(of, name) for name in of.__slots__]
