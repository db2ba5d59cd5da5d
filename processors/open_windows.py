"""The windows of one metric that the watermark has not passed: they collect readings, and become cells when it does."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from processors.dividing import divided_groups
from processors.groups import group_name
from processors.late import late_readings
from processors.open_memory import OpenMemory
from processors.open_rows import OpenRows
from processors.readings import OVERFLOW, OVERLAP, CheckedReadings, Messages
from processors.reduce import reduce_window
from processors.rows import ROW_TYPES, Rows
from processors.runs import LabelledRuns
from processors.spilling import RowKind
from processors.traffic import PassBuffer, PictureColumns
from processors.winners import winning
from schemas.batch import ROW
from schemas.catalogue import Metric
from schemas.windows import Windows
from store.processing import Account, Cell, DeadLetter, LateReadings

_MOST_ROWS = 1_000_000
"""A piece of a window's reduction takes about so many rows."""

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
        runs = window_runs(self._windows, readings)
        late: list[LateReadings] = []
        if len(runs.label) and int(runs.label.min()) < int(open_from.max()):
            number = runs.labels(count)
            timely = number >= rows.of_messages(open_from)
            missed = np.flatnonzero(~timely)
            message = rows.message_of(missed)
            of_each = rows.messages.offset[message], watermark[message]
            late += late_readings(self.metric, self._windows, number[missed], *of_each)
            rows, runs = rows.take(timely), LabelledRuns.of(number[timely])
        for window, part in by_window(runs, rows):
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
            for division in (yield from divided_groups(portion, _MOST_ROWS)):
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


def window_runs(windows: Windows, readings: CheckedReadings) -> LabelledRuns:
    """The numbers of the windows that the accepted rows begin in: a run for each message, or several."""
    rows = readings.rows
    there = np.flatnonzero(rows.messages.count)
    begins = rows.begins[there]
    first, last = windows.numbers(readings.earliest[there]), windows.numbers(readings.latest[there])
    if (first == last).all():
        return LabelledRuns(begins, first)
    number = np.repeat(first, rows.messages.count[there])
    several = np.flatnonzero(np.repeat(first != last, rows.messages.count[there]))
    number[several] = windows.numbers(rows.messages.start[rows.message_of(several)] + rows.after[several])
    return LabelledRuns.of(number)


def by_window(runs: LabelledRuns, rows: Rows) -> Iterator[tuple[int, Rows]]:
    """The rows window by window, each in the order of the log and with messages that have some of them.

    Parts are copies, if they are not all rows: a view would keep all rows alive.
    """
    for window, parts in runs.split(rows):
        whole = len(parts) == 1 and len(parts[0]) == len(rows)
        yield window, parts[0] if whole else Rows.copied(parts)


def _letters(rows: Rows, reason: str, window_start: int) -> list[DeadLetter]:
    """Rows that were refused when the window closed. Their bytes are encoded again, with times from its start."""
    original = np.zeros(len(rows), ROW)
    original["source"], original["contributor"] = rows.source, rows.contributor
    original["after"], original["value"], original["quality"] = rows.start - window_start, rows.value, rows.quality
    places = zip(rows.offset.tolist(), rows.row.tolist(), original, strict=True)
    return [DeadLetter(offset, row, reason, bytes_of.tobytes()) for offset, row, bytes_of in places]
