"""From messages to checked columns: which rows of a poll are readings, which are rejected and why. Pure functions."""

from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.batch import ACTUAL, LAST_MS, ROW
from schemas.catalogue import Metric
from store.processing import DeadLetter

FUTURE_MS = 5 * 60_000
"""How far a reading may be ahead of the log's clock (R4): the tolerance for a sound clock."""

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


@dataclass(slots=True)
class Messages:
    """The decoded messages of one metric in one poll, in the order of the log: one entry each in every list.

    `sequence` is the message's place among all messages of the poll; times are milliseconds since 1970, UTC; `rows` are
    bytes of `ROW`, `regions` of `REGION`.
    """

    sequence: list[int] = field(default_factory=list)
    offset: list[int] = field(default_factory=list)
    appended: list[int] = field(default_factory=list)
    group: list[int] = field(default_factory=list)
    interval: list[int] = field(default_factory=list)
    start: list[int] = field(default_factory=list)
    count: list[int] = field(default_factory=list)
    rows: list[memoryview | bytes] = field(default_factory=list)
    regions: list[bytes] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class CheckedReadings:
    """The accepted rows of one metric, in the order of the log, and the rejected ones.

    `raw` (n,) holds the accepted rows as they came; `message` (n,) is each row's place in the lists of `Messages`,
    `row` (n,) its place in the message; `start` (n,) milliseconds; `value` (n,) whole smallest units. `latest`
    (messages,) is the latest start of an accepted row in each message, -1 without one.
    """

    raw: NDArray[np.void]
    message: NDArray[np.int32]
    row: NDArray[np.int32]
    start: NDArray[np.int64]
    value: NDArray[np.int64]
    latest: NDArray[np.int64]
    rejected: Sequence[DeadLetter]


def check(
    messages: Messages, metric: Metric, settled: Set[tuple[int, int]] = frozenset(), span: TimeSpan = ALWAYS
) -> CheckedReadings:
    """Read and check the rows of one metric (R4, R5, R7). Every row is accepted or rejected; none raises.

    Rows that are `settled`, as (offset, row), are neither: they were rejected before.
    """
    raw = np.frombuffer(b"".join(messages.rows), ROW)
    counts = np.array(messages.count)
    first = np.cumsum(counts) - counts
    message = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    row = (np.arange(len(raw)) - first[message]).astype(np.int32)
    faults = _Faults(raw, messages, metric, message, span)
    rejected = faults.explain(row) if not faults.sound.all() else []
    usable = faults.sound & ~_marked(settled, messages, first, len(raw)) if settled else faults.sound
    if not usable.all():
        keep = np.flatnonzero(usable)
        raw, message, row = raw[keep], message[keep], row[keep]
    start = np.array(messages.start, np.int64)[message] + raw["after"].astype(np.int64)
    latest = np.full(len(counts), -1, np.int64)
    if len(message):
        edges = np.flatnonzero(np.r_[True, message[1:] != message[:-1]])
        latest[message[edges]] = np.maximum.reduceat(start, edges)
    return CheckedReadings(raw, message, row, start, raw["value"].astype(np.int64), latest, rejected)


def _marked(
    settled: Set[tuple[int, int]], messages: Messages, first: NDArray[np.int64], count: int
) -> NDArray[np.bool_]:
    """Which of all rows are settled. Shape (count,)."""
    marked = np.zeros(count, np.bool_)
    begins = dict(zip(messages.offset, first.tolist(), strict=True))
    for offset, row in settled:
        if row >= 0 and offset in begins:
            marked[begins[offset] + row] = True
    return marked


class _Faults:
    """Which row has which fault. `sound`, shape (rows,), marks those without any."""

    def __init__(
        self, raw: NDArray[np.void], messages: Messages, metric: Metric, message: NDArray[np.int32], span: TimeSpan
    ) -> None:
        self._raw = raw
        self._messages = messages
        self._message = message
        interval = np.array(messages.interval, np.int64)
        if metric.reading == "moment":
            fitting = interval == 0
        else:
            fitting = (interval > 0) & (interval <= metric.longest_window_ms)
        # How far after the batch's start an interval may begin so that it ends before the log's clock + tolerance.
        room = np.array(messages.appended, np.float64) + FUTURE_MS - interval - np.array(messages.start, np.float64)
        after, value = raw["after"], raw["value"].copy()
        with np.errstate(invalid="ignore"):
            self._whole_after = (after >= 0) & (after == np.floor(after)) & (after < 2.0**31)
            self._past = after <= room[message]
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
            start = np.array(self._messages.start, np.float64)[self._message] + self._raw["after"]
            outside: NDArray[np.bool_] = (start < span.begins) | (start >= span.ends)
        return ~outside

    def explain(self, row: NDArray[np.int32]) -> list[DeadLetter]:
        """The unsound rows with the first reason that holds for each."""
        found = []
        for place in np.flatnonzero(~self.sound).tolist():
            offset = self._messages.offset[self._message[place]]
            found.append(DeadLetter(offset, int(row[place]), self._reason(place), self._raw[place].tobytes()))
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
