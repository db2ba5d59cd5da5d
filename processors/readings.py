"""From messages to checked columns: which rows of a poll are readings, which are rejected and why. Pure functions."""

from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from itertools import chain, pairwise
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from processors.rows import MESSAGE_TYPES, ROW_TYPES, Indices, MessageColumns, Rows
from schemas.batch import ACTUAL, LAST_MS, ROW
from schemas.catalogue import Metric
from store.processing import DeadLetter

FUTURE_MS = 5 * 60_000
"""How far a reading may be ahead of the log's clock (R4): the tolerance for a sound clock."""

_AT_ONCE = 32_768
"""About so many rows are read at a time: with what is made of them, they lie in a processor's second cache."""

INTERVAL = "interval"
TIME = "time"
FUTURE = "future"
NOT_FINITE = "not-finite"
NOT_WHOLE = "not-whole"
OUT_OF_RANGE = "out-of-range"
QUALITY = "quality"
OTHER_TOPIC = "other-topic"
OVERFLOW = "sum-overflow"
OVERLAP = "overlap"


class TimeSpan(NamedTuple):
    """The times whose readings a topic takes: from `begins` on, before `ends`. Milliseconds since 1970, UTC."""

    begins: int = 0
    ends: int = LAST_MS


ALWAYS = TimeSpan()
"""The span of a dataset's only topic."""


MessageEntry = tuple[int, int, int, int, int, int, int, memoryview | bytes, bytes]
"""A message: what the columns of `Messages` say of it, in their order."""


@dataclass(frozen=True, slots=True)
class Messages:
    """The decoded messages of one metric in one poll, in the order of the log; every column has length m.

    `sequence` is the place of each among all messages of the poll; `appended`, when the log took each, and `start` are
    milliseconds since 1970, UTC; `interval` is in milliseconds; `count` is how many rows each has; `rows` are bytes of
    `ROW`, `regions` of `REGION`.
    """

    sequence: NDArray[np.int64]
    offset: NDArray[np.int64]
    appended: NDArray[np.int64]
    group: NDArray[np.uint32]
    interval: NDArray[np.uint32]
    start: NDArray[np.int64]
    count: NDArray[np.int64]
    rows: Sequence[memoryview | bytes]
    regions: Sequence[bytes]

    @classmethod
    def of(cls, entries: Sequence[MessageEntry]) -> "Messages":
        """At least one message, in any order."""
        *columns, rows, regions = zip(*sorted(entries, key=itemgetter(0)), strict=True)
        whole: list[Any] = [np.array(column, of) for column, of in zip(columns, _COLUMN_TYPES, strict=True)]
        return cls(*[*whole, rows, regions])

    def take(self, which: Indices) -> "Messages":
        """The messages at these places, in that order."""
        places = which.tolist()
        taken: list[Any] = [column[which] for column in self._columns()]
        return Messages(*[*taken, *([part[place] for place in places] for part in (self.rows, self.regions))])

    @classmethod
    def join(cls, parts: "Sequence[Messages]") -> "Messages":
        """All messages, in the order of the log."""
        whole: list[Any] = [np.concatenate(column) for column in zip(*(part._columns() for part in parts), strict=True)]
        rows, regions = ([*chain(*of)] for of in ([part.rows for part in parts], [part.regions for part in parts]))
        return cls(*[*whole, rows, regions]).take(np.argsort(whole[0]))

    def _columns(self) -> Sequence[NDArray[Any]]:
        return self.sequence, self.offset, self.appended, self.group, self.interval, self.start, self.count


_COLUMN_TYPES = (np.int64, np.int64, np.int64, np.uint32, np.uint32, np.int64, np.int64)


@dataclass(frozen=True, slots=True)
class CheckedReadings:
    """The accepted rows of one metric, in the order of the log, and the rejected ones.

    `rows.messages` are those of `Messages`, with a count of 0 also those without an accepted row. `earliest` and
    `latest` (messages,) are the first and the last start of an accepted row in each message, in milliseconds, and -1
    without one.
    """

    rows: Rows
    earliest: NDArray[np.int64]
    latest: NDArray[np.int64]
    rejected: Sequence[DeadLetter]


def check(
    messages: Messages, metric: Metric, settled: Set[tuple[int, int]] = frozenset(), span: TimeSpan = ALWAYS
) -> CheckedReadings:
    """Read and check the rows of one metric (R4, R5, R7). Every row is accepted or rejected; none raises.

    Rows that are `settled`, as (offset, row), are neither: they were rejected before.
    """
    poll = _Poll(messages, metric)
    rejected: list[DeadLetter] = []
    if poll.sound(metric, span):
        usable = None
    else:
        faults = _Faults(messages, metric, span)
        rejected = faults.explain() if not faults.sound.all() else []
        usable = faults.sound
    if settled:
        usable = ~_marked(settled, messages, poll.first, len(poll)) & (True if usable is None else usable)
    rows = poll.rows(usable)
    earliest, latest = poll.bounds(rows)
    return CheckedReadings(rows, earliest, latest, rejected)


class _Poll:
    """The rows of a poll as columns.

    `first` (messages,) is the place of each message's first row. The rows are read some at a time: what is only needed
    to check them is gone before it leaves the processor's cache.
    """

    def __init__(self, messages: Messages, metric: Metric) -> None:
        self._messages = MessageColumns(
            messages.group, messages.start, messages.interval, messages.offset, messages.count
        )
        self._appended = messages.appended
        ends = np.cumsum(messages.count)
        self.first = ends - messages.count
        self._columns = [np.empty(int(ends[-1]), of) for of in ROW_TYPES[len(MESSAGE_TYPES) :]]
        self._sound = True
        edges = np.flatnonzero(np.diff(self.first // _AT_ONCE, prepend=-1)).tolist()
        for begin, end in pairwise((*edges, len(ends))):
            self._read(messages.rows[begin:end], int(self.first[begin]), metric)
        row = self._columns[-1]
        row[:] = np.arange(len(row), dtype=np.int32)
        row -= np.repeat(self.first.astype(np.int32), messages.count)

    def __len__(self) -> int:
        return len(self._columns[0])

    def _read(self, rows: Sequence[memoryview | bytes], place: int, metric: Metric) -> None:
        """Read the rows of some messages into the columns, from `place` on."""
        raw = np.frombuffer(b"".join(rows), ROW)
        source, contributor, whole_after, whole_value, quality, _ = (
            column[place : place + len(raw)] for column in self._columns
        )
        source[:], contributor[:], quality[:] = raw["source"], raw["contributor"], raw["quality"]
        after, value = raw["after"].copy(), raw["value"].copy()
        with np.errstate(invalid="ignore"):  # what is no number, or none of these, is found below
            whole_after[:], whole_value[:] = after, value
        # By what is largest and smallest. Comparing with what is no number is false.
        self._sound = bool(
            self._sound
            and after.min() >= 0
            and after.max() < 2.0**31
            and value.min() >= metric.minimum
            and value.max() <= metric.maximum
            and quality.max() <= ACTUAL
            and (whole_after == after).all()
            and (whole_value == value).all()
        )

    def sound(self, metric: Metric, span: TimeSpan) -> bool:
        """Whether no row has a fault."""
        if not self._sound:
            return False
        of, after = self._messages, self._columns[2]
        longest = 0 if metric.reading == "moment" else metric.longest_window_ms
        shortest = 0 if metric.reading == "moment" else 1
        latest = of.start + np.maximum.reduceat(after, self.first)
        return bool(
            of.interval.min() >= shortest
            and of.interval.max() <= longest
            and (latest + of.interval <= self._appended + FUTURE_MS).all()
            and (span == ALWAYS or (of.start.min() >= span.begins and latest.max() < span.ends))
        )

    def rows(self, usable: NDArray[np.bool_] | None) -> Rows:
        """The rows that are usable, with all messages; without `usable` all are."""
        messages = self._messages
        which: slice | Indices = slice(None)
        if usable is not None:
            which = np.flatnonzero(usable)
            messages = replace(messages, count=np.add.reduceat(usable, self.first, dtype=np.int64))
        return Rows(messages, *(column[which] for column in self._columns))

    def bounds(self, rows: Rows) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The first and the last start in each message, -1 without a row."""
        earliest, latest = (np.full(len(self._messages), -1, np.int64) for _ in range(2))
        there = np.flatnonzero(rows.messages.count)
        if len(there):
            begins = rows.begins[there]
            earliest[there] = self._messages.start[there] + np.minimum.reduceat(rows.after, begins)
            latest[there] = self._messages.start[there] + np.maximum.reduceat(rows.after, begins)
        return earliest, latest


def _marked(
    settled: Set[tuple[int, int]], messages: Messages, first: NDArray[np.int64], count: int
) -> NDArray[np.bool_]:
    """Which of all rows are settled. Shape (count,)."""
    marked = np.zeros(count, np.bool_)
    begins = dict(zip(messages.offset.tolist(), first.tolist(), strict=True))
    for offset, row in settled:
        if row >= 0 and offset in begins:
            marked[begins[offset] + row] = True
    return marked


class _Faults:
    """Which row has which fault. `sound`, shape (rows,), marks those without any."""

    def __init__(self, messages: Messages, metric: Metric, span: TimeSpan) -> None:
        self._raw = raw = np.frombuffer(b"".join(messages.rows), ROW)
        self._messages = messages
        interval = messages.interval.astype(np.int64)
        if metric.reading == "moment":
            fitting = interval == 0
        else:
            fitting = (interval > 0) & (interval <= metric.longest_window_ms)
        # How far after the batch's start an interval may begin so that it ends before the log's clock + tolerance.
        room = messages.appended.astype(np.float64) + FUTURE_MS - interval - messages.start
        after, value = raw["after"], raw["value"].copy()
        with np.errstate(invalid="ignore"):
            self._whole_after = (after >= 0) & (after == np.floor(after)) & (after < 2.0**31)
            self._past = after <= np.repeat(room, messages.count)
            self._finite = np.isfinite(value)
            self._whole = value == np.rint(value)
            self._within = (value >= metric.minimum) & (value <= metric.maximum)
        self._known_quality = raw["quality"] <= ACTUAL
        self._fitting = np.repeat(fitting, messages.count) if not fitting.all() else None
        self.sound = self._whole_after & self._past & self._whole & self._within & self._known_quality
        if self._fitting is not None:
            self.sound &= self._fitting
        self._here = None if span == ALWAYS else self._within_span(span)
        if self._here is not None:
            self.sound &= self._here

    def _within_span(self, span: TimeSpan) -> NDArray[np.bool_]:
        """Which rows belong to this topic by their times. A time that is no number is another fault."""
        with np.errstate(invalid="ignore"):
            start = np.repeat(self._messages.start.astype(np.float64), self._messages.count) + self._raw["after"]
            outside: NDArray[np.bool_] = (start < span.begins) | (start >= span.ends)
        return ~outside

    def explain(self) -> list[DeadLetter]:
        """The unsound rows with the first reason that holds for each."""
        found = []
        offsets, ends = self._messages.offset.tolist(), np.cumsum(self._messages.count)
        places = np.flatnonzero(~self.sound)
        message = np.searchsorted(ends, places, "right")
        row = places - (ends - self._messages.count)[message]
        for place, of, number in zip(places.tolist(), message.tolist(), row.tolist(), strict=True):
            found.append(DeadLetter(offsets[of], number, self._reason(place), self._raw[place].tobytes()))
        return found

    def _reason(self, place: int) -> str:
        checks = (
            (INTERVAL, self._fitting),
            (TIME, self._whole_after),
            (FUTURE, self._past),
            (NOT_FINITE, self._finite),
            (NOT_WHOLE, self._whole),
            (OUT_OF_RANGE, self._within),
            (QUALITY, self._known_quality),
            (OTHER_TOPIC, self._here),
        )
        return next(reason for reason, holds in checks if holds is not None and not holds[place])
