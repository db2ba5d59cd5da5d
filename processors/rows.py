"""Accepted readings as columns: what messages have in common once a message, the rest once a row."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.intp]

MESSAGE_TYPES = tuple(map(np.dtype, ("<u4", "<i8", "<u4", "<i8")))
ROW_TYPES = (*MESSAGE_TYPES, *map(np.dtype, ("<i4", "<u4", "<u4", "<i4", "<i8", "u1", "<i4")))
"""The types of the columns of `Rows`."""


@dataclass(frozen=True, slots=True)
class MessageColumns:
    """Messages of one metric in the order of the log; every array has shape (m,).

    `group` is the number of the (area, class) of each (`processors.groups`); `start` and `interval` are milliseconds;
    `offset` is the message's.
    """

    group: NDArray[np.uint32]
    start: NDArray[np.int64]
    interval: NDArray[np.uint32]
    offset: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.group)

    def take(self, which: NDArray[np.bool_]) -> "MessageColumns":
        """The messages that are marked."""
        return MessageColumns(self.group[which], self.start[which], self.interval[which], self.offset[which])


@dataclass(frozen=True, slots=True)
class Rows:
    """Accepted readings of one metric in one window, in the order of the log; every array but one has shape (n,).

    `message` is the place of each row's message in `messages`; `after` is in milliseconds from the message's start;
    `value` is in the smallest unit; `row` is the place in the message.
    """

    messages: MessageColumns
    message: NDArray[np.int32]
    source: NDArray[np.uint32]
    contributor: NDArray[np.uint32]
    after: NDArray[np.int32]
    value: NDArray[np.int64]
    quality: NDArray[np.uint8]
    row: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.message)

    @property
    def group(self) -> NDArray[np.uint32]:
        """The group of each row."""
        return self.messages.group[self.message]

    @property
    def start(self) -> NDArray[np.int64]:
        """When the interval of each row begins, in milliseconds."""
        return self.messages.start[self.message] + self.after

    @property
    def interval(self) -> NDArray[np.uint32]:
        """The length of each row's interval, in milliseconds."""
        return self.messages.interval[self.message]

    @property
    def offset(self) -> NDArray[np.int64]:
        """The offset of each row's message."""
        return self.messages.offset[self.message]

    def take(self, which: Indices | NDArray[np.bool_] | slice) -> "Rows":
        """The rows at these places, in that order, and no message without any of them."""
        message, messages = self.message[which], self.messages
        used = np.zeros(len(messages), np.bool_)
        used[message] = True
        if used.all():
            message = message.copy() if isinstance(which, slice) else message
        else:
            messages, message = messages.take(used), (np.cumsum(used, dtype=np.int32) - np.int32(1))[message]
        return Rows(
            messages,
            message,
            self.source[which],
            self.contributor[which],
            self.after[which],
            self.value[which],
            self.quality[which],
            self.row[which],
        )

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
        columns = (group, start, interval, offset, np.arange(count), source, contributor, np.zeros(count), value)
        typed = zip((*columns, quality, row), ROW_TYPES, strict=True)
        return Rows.of_columns([np.asarray(column, dtype) for column, dtype in typed])

    @staticmethod
    def join(parts: "Sequence[Rows]") -> "Rows":
        """All rows, one part after the other."""
        if len(parts) == 1:
            return parts[0]
        sizes = [len(part.messages) for part in parts]
        before = np.cumsum([0, *sizes[:-1]], dtype=np.int32)
        messages = MessageColumns(*_joined([_columns(part.messages) for part in parts]))
        message = np.concatenate([part.message + first for part, first in zip(parts, before, strict=True)])
        return Rows(messages, message, *_joined([_columns(part)[2:] for part in parts]))


def _columns(of: MessageColumns | Rows) -> list[Any]:
    return [getattr(of, name) for name in of.__slots__]


def _joined(columns: Sequence[Sequence[NDArray[Any]]]) -> list[NDArray[Any]]:
    return [np.concatenate(of_each) for of_each in zip(*columns, strict=True)]
