"""The windows of one metric that the watermark has not passed: they collect readings, and become cells when it does."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from processors.dividing import divided
from processors.groups import group_name
from processors.late import late_readings
from processors.open_memory import OpenMemory
from processors.open_rows import OpenRows
from processors.readings import OVERFLOW, OVERLAP, CheckedReadings, Messages
from processors.reduce import reduce_window
from processors.rows import ROW_TYPES, Rows
from processors.spilling import RowKind
from processors.traffic import PassBuffer, PictureColumns
from processors.winners import winning
from schemas.batch import ROW
from schemas.catalogue import Metric
from schemas.windows import Windows
from store.processing import Account, Cell, DeadLetter, LateReadings

_MOST_ROWS = 1_000_000
"""A piece of a window's reduction takes about so many rows."""

_FEW_RUNS = 200
"""Rows in so few runs of the same window are copied run by run: a poll has few windows, and they seldom alternate."""

ClosedPart = tuple[list[Cell], list[DeadLetter], Account]
"""Cells of a window, its rows with a sum beyond bigint, and the account of its readings, which are no longer open."""


class OpenWindows:
    """The open windows of `metric` in one partition. `derived` is the metric of vehicle passes that comes from it.

    Methods that add or close raise `processors.spilling.SpillFailed` if `memory` is used up and so is the disk.
    """

    def __init__(
        self,
        metric: Metric,
        windows: Windows,
        memory: OpenMemory,
        derived: Metric | None = None,
    ) -> None:
        self.metric = metric
        self._windows = windows
        self._memory = memory
        self._passes = None if derived is None else (derived, PassBuffer(windows, memory))
        self._open: dict[int, OpenRows[Rows]] = {}
        self._kind = _kind()
        self.buffered = 0
        """How many readings are in open windows, with those that can no longer count."""

    @property
    def first_offset(self) -> int | None:
        """The first offset that an open window needs, None without one."""
        needed = [rows.first_offset for rows in self._open.values()]
        if self._passes is not None and (first := self._passes[1].first_offset) is not None:
            needed.append(first)
        return min(needed, default=None)

    @property
    def held(self) -> tuple[int, int]:
        """Bytes in memory, and bytes on disk."""
        in_memory, on_disk = (0, 0) if self._passes is None else self._passes[1].held
        rows = self._open.values()
        return in_memory + sum(kept.held for kept in rows), on_disk + sum(kept.on_disk for kept in rows)

    def add(
        self, messages: Messages, readings: CheckedReadings, time_before: NDArray[np.int64]
    ) -> tuple[Account, list[LateReadings]]:
        """Put what is not late into its window; returns the account of these readings without those that are open, and
        where the late ones lie.

        `time_before` is the event time that `EventTime` gave for the records of `messages`.
        """
        rows, rejected = readings.rows, len(readings.rejected)
        count = len(rows)
        watermark = np.maximum(time_before[messages.sequence] - self.metric.lateness_ms, 0)
        open_from = self._windows.numbers(watermark)
        if self._passes is not None:
            regions = [
                of_message
                for of_message, count in zip(messages.regions, rows.messages.count.tolist(), strict=True)
                for _ in range(count)
            ]
            self._passes[1].add(PictureColumns.of(rows, regions), rows.of_messages(open_from))
        number = window_numbers(self._windows, readings)
        late: list[LateReadings] = []
        if not (timely := number >= rows.of_messages(open_from)).all():
            missed = np.flatnonzero(~timely)
            message = rows.message_of(missed)
            of_each = rows.messages.offset[message], watermark[message]
            late += late_readings(self.metric, self._windows, number[missed], *of_each)
            rows, number = rows.take(timely), number[timely]
        for window, part in by_window(number, rows):
            kept = self._open.get(window)
            if kept is None:
                kept = self._open[window] = OpenRows(self._kind, self._memory)
            kept.append(part, int(part.messages.offset[0]))
        self._memory.make_room()
        self.buffered += len(rows)
        return Account(readings=count + rejected, late=count - len(rows), rejected=rejected), late

    def close(self, time: int | None, incomplete_before: int | None) -> Iterator[ClosedPart | None]:
        """Reduce every window that the watermark has passed, and drop its readings, in pieces.

        `time` is the partition's event time; windows that begin before `incomplete_before` are marked incomplete. Both
        are milliseconds since 1970. Yields after each piece: a part of a window that is reduced, or None. Nothing may
        be added before the last one.
        """
        watermark = -1 if time is None else time - self.metric.lateness_ms
        if watermark < 0:
            return
        open_from = self._windows.number(watermark)
        for number in sorted(number for number in self._open if number < open_from):
            yield from self._reduce(number, incomplete_before)
        if self._passes is not None:
            self._passes[1].forget(open_from)

    def _reduce(self, number: int, incomplete_before: int | None) -> Iterator[ClosedPart | None]:
        start, end = self._windows.bounds(number)
        incomplete = incomplete_before is not None and start < incomplete_before
        kept = self._open[number]
        for portion in (yield from kept.portions()):
            divisions = -(-sum(len(part) for part in portion) // _MOST_ROWS)
            for division in (yield from divided(portion, Rows.join, _group, divisions, _MOST_ROWS // 4)):
                rows = Rows.join(division)
                reduced = reduce_window(rows, self.metric, end - start)
                cells = []
                for group, amounts in reduced.groups.items():
                    area, class_ = group_name(self.metric, group)
                    cells.append(Cell(self.metric.name, start, end, area, class_, amounts, incomplete))
                account = Account(
                    aggregated=reduced.aggregated,
                    duplicate=reduced.duplicate,
                    rejected=len(reduced.overflowed) + len(reduced.overlapping),
                )
                self.buffered -= len(rows)
                letters = _letters(rows.take(reduced.overflowed), OVERFLOW, start)
                yield cells, letters + _letters(rows.take(reduced.overlapping), OVERLAP, start), account
        del self._open[number]
        if kept.dropped:
            self.buffered -= kept.dropped
            yield [], [], Account(duplicate=kept.dropped)
        if self._passes is not None:
            derived, buffer = self._passes
            cells = []
            for group, class_, amounts in (yield from buffer.reduce(number)):
                area, _ = group_name(self.metric, group)
                cells.append(Cell(derived.name, start, end, area, class_, amounts, incomplete))
            yield cells, [], Account()


def _group(rows: Rows) -> NDArray[np.uint32]:
    return rows.group


def _kind() -> RowKind[Rows]:
    """Rows are reduced group by group."""
    return RowKind(
        join=Rows.join,
        key=_group,
        winners=winning,
        apart=Rows.columns,
        together=Rows.of_columns,
        dtypes=ROW_TYPES,
    )


def window_numbers(windows: Windows, readings: CheckedReadings) -> NDArray[np.int64]:
    """The number of the window that each accepted row begins in. Shape (n,)."""
    rows = readings.rows
    there = readings.earliest >= 0
    first, last = np.full(len(there), -1, np.int64), np.full(len(there), -1, np.int64)
    first[there], last[there] = windows.numbers(readings.earliest[there]), windows.numbers(readings.latest[there])
    number = rows.of_messages(first)
    if (first != last).any():
        several = np.flatnonzero(rows.of_messages(first != last))
        start = rows.messages.start[rows.message_of(several)]
        number[several] = windows.numbers(start + rows.after[several])
    return number


def by_window(number: NDArray[np.int64], rows: Rows) -> Iterator[tuple[int, Rows]]:
    """The rows window by window, each in the order of the log and with messages that have some of them.

    Parts are copies: a view would keep all rows alive.
    """
    if not len(number):
        return
    edges = np.flatnonzero(number[1:] != number[:-1]) + 1
    if not len(edges):
        yield int(number[0]), replace(rows, messages=rows.messages.with_counts(rows.messages.count))
        return
    if len(edges) < _FEW_RUNS:
        runs: dict[int, list[Rows]] = {}
        for first, last in pairwise((0, *edges.tolist(), len(number))):
            runs.setdefault(int(number[first]), []).append(rows.between(first, last))
        for window, parts in sorted(runs.items()):
            yield window, Rows.copied(parts)
        return
    low, high = int(number.min()), int(number.max())
    relative = number - low
    order = np.argsort(relative.astype(np.uint16) if high - low < 1 << 16 else relative, kind="stable")
    ordered = number[order]
    edges = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    for first, last in pairwise((*edges.tolist(), len(order))):
        yield int(ordered[first]), rows.take(order[first:last])


def _letters(rows: Rows, reason: str, window_start: int) -> list[DeadLetter]:
    """Rows that were refused when the window closed. Their bytes are encoded again, with times from its start."""
    original = np.zeros(len(rows), ROW)
    original["source"], original["contributor"] = rows.source, rows.contributor
    original["after"], original["value"], original["quality"] = rows.start - window_start, rows.value, rows.quality
    places = zip(rows.offset.tolist(), rows.row.tolist(), original, strict=True)
    return [DeadLetter(offset, row, reason, bytes_of.tobytes()) for offset, row, bytes_of in places]
