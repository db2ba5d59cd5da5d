"""The fold over one partition's log: readings go into open windows, a watermark closes them, cells come out.

Everything here is a function of the log alone: no clock, no I/O. Any split of the log into polls, and any replay from
`Position.resume_offset`, gives the same cells, dead letters and account (R1, R2).
"""

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from eventlog.protocol import Record
from processors.fold import DEAD_LIMIT, DeadBlock, ReplayDiffers, Step
from processors.readings import FUTURE_MS, OVERFLOW, CheckedReadings, Messages, check
from processors.reduce import GroupSum, Rows, Scratch, reduce_window
from processors.traffic import PassBuffer, PictureColumns
from processors.windows import Windows
from schemas.batch import LAST_MS, REGION, ROW, Batch, DecodeError, decode
from schemas.catalogue import Metric
from schemas.topics import REGIONS
from store.processing import Account, Cell, DeadLetter, Position

_MOST_GROUPS = 1 << 16


@dataclass(slots=True)
class _OpenWindow:
    """Readings of one metric in a window that the watermark has not passed."""

    first_offset: int
    parts: list[Rows] = field(default_factory=list)


class ReadingFold:
    """Folds the records of one partition, from `position` on.

    `metrics` are those of the topic's dataset, `windows` the windows of each by name; a derived one has those of the
    metric that it comes from. `settled` are the dead letters that a replay meets again, as (offset, row). With `gap`
    the log has lost what lay before its first record (R5): missing readings are counted as lost, and their windows
    marked incomplete. More than `dead_limit` dead messages in a block of messages are an error.
    """

    def __init__(
        self,
        metrics: Sequence[Metric],
        windows: Mapping[str, Windows],
        position: Position,
        scratch: Scratch,
        *,
        settled: Set[tuple[int, int]] = frozenset(),
        gap: bool = False,
        dead_limit: int = DEAD_LIMIT,
    ) -> None:
        sent = [metric for metric in metrics if metric.derived_from is None]
        self._metrics = {metric.name: index for index, metric in enumerate(sent)}
        self._by_index = tuple((metric, windows[metric.name]) for metric in sent)
        self._scratch = scratch
        self._passes = {
            self._metrics[metric.derived_from]: (metric, PassBuffer(windows[metric.derived_from], scratch))
            for metric in metrics
            if metric.derived_from is not None
        }
        self._position = position
        self._settled = settled
        self._gap = gap
        self._replaying = position.account.open > 0 or position.resume_offset < position.next_offset
        self._groups: dict[tuple[int, int, str], int] = {}
        self._group_names: list[tuple[int, str]] = []
        self._open: dict[tuple[int, int], _OpenWindow] = {}
        self._buffered = 0
        self._next = position.next_offset
        self._latest = position.max_event_time
        self._incomplete_before = position.incomplete_before
        self._account = position.account
        self._cells: list[Cell] = []
        self._dead_letters: list[DeadLetter] = []
        self._dead_block = DeadBlock(dead_limit, position)

    @property
    def next_offset(self) -> int:
        """The offset behind the last record that was folded, or the stored one while replaying."""
        return self._next

    @property
    def max_event_time(self) -> int | None:
        """The latest event time so far, milliseconds."""
        return self._latest

    @property
    def buffered(self) -> int:
        """How many readings lie in open windows."""
        return self._buffered

    def feed(self, records: Sequence[Record]) -> None:
        """Fold records that follow each other in the log. Raises `TooManyDead` and `ReplayDiffers`."""
        replayed = sum(1 for record in records if record.offset < self._next) if self._replaying else 0
        if replayed:
            self._fold(records[:replayed], fresh=False)
        if replayed < len(records):
            if self._replaying or self._gap:
                self._end_replay(records[replayed])
            if self._incomplete_before == LAST_MS:
                self._incomplete_before = records[replayed].timestamp + FUTURE_MS
            self._fold(records[replayed:], fresh=True)

    def step(self) -> Step | None:
        """What is to be committed, or None if nothing moved since the last step."""
        if self._next == self._position.next_offset and self._account == self._position.account:
            return None
        needed = [window.first_offset for window in self._open.values()]
        needed += [first for _, buffer in self._passes.values() if (first := buffer.first_offset) is not None]
        resume = min(needed, default=self._next)
        account = replace(self._account, open=self._buffered)
        dead = self._dead_block.in_current(account.messages)
        position = Position(self._next, resume, self._latest, self._incomplete_before, dead, account)
        step = Step(position, tuple(self._cells), tuple(self._dead_letters))
        self._position, self._account = position, account
        self._cells, self._dead_letters = [], []
        return step

    def skip_to(self, offset: int) -> None:
        """Go on at `offset` where the log holds nothing at all: what lay before is lost (R5).

        Every window may lack readings until the next record says how far the log's clock has come.
        """
        skipped, missing = offset - self._next, self._account.open
        self._account = replace(self._account + Account(messages=skipped, lost_messages=skipped, lost=missing), open=0)
        self._next, self._replaying, self._gap = offset, False, False
        self._incomplete_before = LAST_MS

    def _end_replay(self, record: Record) -> None:
        self._replaying = False
        missing = self._account.open - self._buffered
        skipped = record.offset - self._next
        if self._gap:
            self._gap = False
            self._incomplete_before = record.timestamp + FUTURE_MS
            lost = Account(messages=skipped, lost_messages=skipped, lost=missing)
            self._account = replace(self._account + lost, open=self._buffered)
        elif missing:
            raise ReplayDiffers(
                f"{self._account.open} readings were open at offset {self._next}, but reading the log again gives"
                f" {self._buffered}: the log was changed below that offset"
            )

    def _fold(self, records: Sequence[Record], *, fresh: bool) -> None:
        arrived, ticks = self._decode(records, fresh=fresh)
        settled: Set[tuple[int, int]] = frozenset() if fresh else self._settled
        checked = {index: check(messages, self._by_index[index][0], settled) for index, messages in arrived.items()}
        before = self._watermarks(len(records), arrived, checked, ticks)
        counted = Account()
        for index, readings in checked.items():
            counted += self._buffer(index, arrived[index], readings, before)
        if fresh:
            for readings in checked.values():
                self._dead_letters += readings.rejected
            self._account += counted
            self._next = records[-1].offset + 1
            self._close()

    def _decode(self, records: Sequence[Record], *, fresh: bool) -> tuple[dict[int, Messages], dict[int, int]]:
        """The messages by metric, and the ticks' times by their place among the records."""
        arrived: dict[int, Messages] = {}
        ticks: dict[int, int] = {}
        dead = converted = 0
        for sequence, record in enumerate(records):
            if not fresh and (record.offset, -1) in self._settled:
                continue
            try:
                batch = decode(record.value)
                if batch.count:
                    self._arrive(arrived, sequence, record, batch)
                else:
                    ticks[sequence] = _tick(batch, record.timestamp)
            except DecodeError as error:
                dead += 1
                if fresh:
                    self._dead_letter(sequence, record, error)
            else:
                converted += not batch.viewed
        if fresh:
            self._account += Account(messages=len(records), decoded=len(records) - dead, dead=dead, converted=converted)
        return arrived, ticks

    def _arrive(self, arrived: dict[int, Messages], sequence: int, record: Record, batch: Batch) -> None:
        index = self._metrics.get(batch.metric)
        if index is None:
            raise DecodeError("unknown-metric", f"{batch.metric!r} is not computed from this topic")
        if record.key != b"%d" % batch.area:
            raise DecodeError("wrong-key", f"the key is {record.key!r}, the area {batch.area}")
        _check_pictures(self._by_index[index][0], batch)
        name = (index, batch.area, batch.class_)
        group = self._groups.get(name)
        if group is None:
            group = self._new_group(name)
        messages = arrived.setdefault(index, Messages())
        messages.sequence.append(sequence)
        messages.offset.append(record.offset)
        messages.appended.append(record.timestamp)
        messages.group.append(group)
        messages.interval.append(batch.interval)
        messages.start.append(batch.start)
        messages.count.append(batch.count)
        messages.rows.append(batch.rows)
        messages.regions.append(batch.regions)

    def _new_group(self, name: tuple[int, int, str]) -> int:
        index, area, class_ = name
        if class_ not in self._by_index[index][0].classes:
            raise DecodeError("unknown-class", f"{class_!r} is no class of {self._by_index[index][0].name}")
        if len(self._groups) == _MOST_GROUPS:
            raise DecodeError("too-many-areas", f"one partition holds {_MOST_GROUPS} areas and classes at most")
        self._group_names.append((area, class_))
        self._groups[name] = len(self._groups)
        return self._groups[name]

    def _dead_letter(self, sequence: int, record: Record, error: DecodeError) -> None:
        self._dead_block.count(self._account.messages + sequence, record.offset, error)
        self._dead_letters.append(DeadLetter(record.offset, -1, error.reason, record.value or b""))

    def _watermarks(
        self,
        records: int,
        arrived: Mapping[int, Messages],
        checked: Mapping[int, CheckedReadings],
        ticks: Mapping[int, int],
    ) -> NDArray[np.int64]:
        """The latest event time before each record, -1 without one. Shape (records,)."""
        latest = np.full(records + 1, -1, np.int64)
        latest[0] = -1 if self._latest is None else self._latest
        for index, messages in arrived.items():
            latest[np.array(messages.sequence) + 1] = checked[index].latest
        for sequence, time in ticks.items():
            latest[sequence + 1] = time
        running = np.maximum.accumulate(latest)
        self._latest = int(running[-1]) if running[-1] >= 0 else None
        return running[:-1]

    def _buffer(self, index: int, messages: Messages, readings: CheckedReadings, before: NDArray[np.int64]) -> Account:
        """Put what is not late into its open window; returns what of it is counted now."""
        metric, windows = self._by_index[index]
        watermark = np.maximum(before[messages.sequence] - metric.lateness_ms, 0)
        number = windows.numbers(readings.start)
        open_from = windows.numbers(watermark)[readings.message]
        timely = number >= open_from
        total = len(timely)
        rows = _rows(messages, readings)
        if index in self._passes:
            regions = [messages.regions[message] for message in readings.message.tolist()]
            self._passes[index][1].add(PictureColumns.of(rows, regions), open_from)
        if not timely.all():
            rows, number = rows.take(timely), number[timely]
        for window, part in _split(number, rows):
            opened = self._open.setdefault((index, window), _OpenWindow(int(part.offset[0])))
            opened.parts.append(part)
        self._buffered += len(number)
        rejected = len(readings.rejected)
        return Account(readings=total + rejected, late=total - len(number), rejected=rejected)

    def _close(self) -> None:
        """Reduce every window that the watermark has passed."""
        for index, (metric, windows) in enumerate(self._by_index):
            watermark = -1 if self._latest is None else self._latest - metric.lateness_ms
            if watermark < 0:
                continue
            open_from = windows.number(watermark)
            for number in sorted(number for at, number in self._open if at == index and number < open_from):
                self._reduce(index, number)
            if index in self._passes:
                self._passes[index][1].forget(open_from)

    def _reduce(self, index: int, number: int) -> None:
        metric, windows = self._by_index[index]
        rows = Rows.join(self._open.pop((index, number)).parts)
        start, end = windows.bounds(number)
        reduced = reduce_window(rows, self._scratch, metric, end - start)
        incomplete = self._incomplete_before is not None and start < self._incomplete_before
        found: list[tuple[Metric, str | None, GroupSum]] = [(metric, None, one) for one in reduced.groups]
        if index in self._passes:
            derived, buffer = self._passes[index]
            found += [(derived, class_, one) for class_, one in buffer.reduce(number)]
        self._cells += [self._cell(*one, start, end, incomplete=incomplete) for one in found]
        self._dead_letters += _overflowed(rows.take(reduced.overflowed), start)
        self._buffered -= len(rows)
        self._account += Account(
            aggregated=reduced.aggregated, duplicate=reduced.duplicate, rejected=len(reduced.overflowed)
        )

    def _cell(
        self, metric: Metric, class_: str | None, one: GroupSum, start: int, end: int, *, incomplete: bool
    ) -> Cell:
        """A group's cell in a window; of its own class if none is given."""
        area, own_class = self._group_names[one.group]
        return Cell(
            metric=metric.name,
            window_start=start,
            window_end=end,
            area=area,
            class_=own_class if class_ is None else class_,
            value=one.value,
            readings=one.readings,
            contributors=one.contributors,
            largest=one.largest,
            absolute=one.absolute,
            covered_ms=one.covered_ms,
            first_offset=one.first_offset,
            last_offset=one.last_offset,
            incomplete=incomplete,
        )


def _check_pictures(metric: Metric, batch: Batch) -> None:
    """A message with regions is of one picture, and its value is their number: passes are counted from them."""
    if metric.dataset != REGIONS:
        return
    if batch.count != 1:
        raise DecodeError("not-one-picture", f"{batch.count} readings, one a picture is right")
    regions = len(batch.regions) // REGION.itemsize * metric.smallest_per_unit
    value = float(batch.array()["value"][0])
    if value != regions:
        raise DecodeError("regions-differ", f"the value is {value:g}, the regions come to {regions}")


def _tick(batch: Batch, appended: int) -> int:
    if batch.start > appended + FUTURE_MS:
        raise DecodeError("future-tick", f"the tick is {batch.start - appended} ms ahead of the log's clock")
    return batch.start


def _rows(messages: Messages, readings: CheckedReadings) -> Rows:
    raw, message = readings.raw, readings.message
    return Rows(
        group=np.array(messages.group, np.uint16)[message],
        source=raw["source"].astype(np.uint32),
        contributor=raw["contributor"].astype(np.uint32),
        start=readings.start,
        value=readings.value,
        quality=raw["quality"].copy(),
        interval=np.array(messages.interval, np.uint32)[message],
        offset=np.array(messages.offset, np.int64)[message],
        row=readings.row,
    )


def _split(number: NDArray[np.int64], rows: Rows) -> Iterator[tuple[int, Rows]]:
    """The rows window by window, each in the order of the log. Parts are copies: a view would keep all rows alive."""
    if not len(number):
        return
    low, high = int(number.min()), int(number.max())
    if low == high:
        yield low, rows
        return
    relative = number - low
    order = np.argsort(relative.astype(np.uint16) if high - low < 1 << 16 else relative, kind="stable")
    ordered = number[order]
    edges = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    for first, last in zip(edges, [*edges[1:], len(order)], strict=True):
        yield int(ordered[first]), rows.take(order[first:last])


def _overflowed(rows: Rows, window_start: int) -> list[DeadLetter]:
    """Rows whose group's sum fits no bigint. Their bytes are written anew, with times from the window's start."""
    original = np.zeros(len(rows), ROW)
    original["source"], original["contributor"] = rows.source, rows.contributor
    original["after"], original["value"], original["quality"] = rows.start - window_start, rows.value, rows.quality
    return [
        DeadLetter(int(rows.offset[i]), int(rows.row[i]), OVERFLOW, original[i].tobytes()) for i in range(len(rows))
    ]
