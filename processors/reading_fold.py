"""The fold over a partition of readings: they go into open windows, which the watermark closes to cells.

Everything here is a function of the log alone: no clock, no I/O. Any split of the log into polls, and any replay from
`Position.resume_offset`, gives the same cells, dead letters and account (R1, R2).
"""

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import replace
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from eventlog.protocol import Record
from processors.brakes import DEAD_LIMIT, ROW_LIMIT, DeadBlock, RejectedBlock
from processors.decoding import Decoded, Decoder
from processors.fold import Settled
from processors.open_memory import OpenMemory
from processors.open_windows import ClosedPart, OpenWindows
from processors.readings import ALWAYS, FUTURE_MS, CheckedReadings, TimeSpan, check
from processors.replay import Emptied, Gap, Live, Replaying, state_at
from processors.watermark import EventTime
from schemas.batch import LAST_MS
from schemas.catalogue import Metric
from schemas.windows import Windows
from store.processing import Account, Cell, DeadLetter, LateReadings, Position, Step


class ReadingFoldFactory:
    """Implements `processors.fold.FoldFactory`.

    `metrics` by topic; `zone` is the city's; `spans` are the times that a topic takes where a dataset has several (R5);
    more than `dead_limit` dead messages or `rejected_limit` rejected rows in a block stop a partition. `memory` bounds
    what all open windows take; without it nothing does.
    """

    def __init__(
        self,
        metrics: Mapping[str, Sequence[Metric]],
        zone: str,
        *,
        dead_limit: int = DEAD_LIMIT,
        rejected_limit: int = ROW_LIMIT,
        memory: OpenMemory | None = None,
        spans: Mapping[str, TimeSpan] | None = None,
    ) -> None:
        self.topics: Sequence[str] = tuple(metrics)
        self._metrics = metrics
        self._windows = {
            topic: {metric.name: Windows(zone, metric.window) for metric in of_topic}
            for topic, of_topic in metrics.items()
        }
        self._memory = memory or OpenMemory()
        self._dead_limit = dead_limit
        self._rejected_limit = rejected_limit
        self._spans = spans or {}

    def create(self, topic: str, position: Position, settled: Settled, *, gap: bool) -> "ReadingFold":
        return ReadingFold(
            self._metrics[topic],
            self._windows[topic],
            position,
            settled=settled,
            gap=gap,
            dead_limit=self._dead_limit,
            rejected_limit=self._rejected_limit,
            memory=self._memory,
            span=self._spans.get(topic, ALWAYS),
        )


class ReadingFold:
    """Implements `processors.fold.Fold` for readings, from `position` on.

    `metrics` are those of the topic's dataset, `windows` the windows of each by name; a derived one has those of the
    metric that it comes from. `settled` gives the dead letters that a replay meets again. With `gap` the log has lost
    what was before its first record (R5): missing readings are counted as lost, and their windows marked incomplete.
    More than `dead_limit` dead messages, or `rejected_limit` rejected rows, in a block of them are an error. Rows
    outside `span` belong to another topic and are rejected.

    Where `memory` is short, open windows lie on disk. Every method that folds or closes may raise
    `processors.spilling.SpillFailed`; the fold is of no use after that.
    """

    def __init__(
        self,
        metrics: Sequence[Metric],
        windows: Mapping[str, Windows],
        position: Position,
        *,
        settled: Settled = lambda first, until: frozenset(),
        gap: bool = False,
        dead_limit: int = DEAD_LIMIT,
        rejected_limit: int = ROW_LIMIT,
        memory: OpenMemory | None = None,
        span: TimeSpan = ALWAYS,
    ) -> None:
        sent = {metric.name: metric for metric in metrics if metric.derived_from is None}
        derived = {metric.derived_from: metric for metric in metrics if metric.derived_from is not None}
        room = memory or OpenMemory()
        self._decoder = Decoder(sent)
        self._open = {
            name: OpenWindows(metric, windows[name], room, derived.get(name)) for name, metric in sent.items()
        }
        self._position = position
        self._span = span
        self._settled = settled
        self._state = state_at(position, gap=gap)
        self._next = position.next_offset
        self._event_time = EventTime(position, max(metric.silence_ms for metric in metrics))
        self._incomplete_before = position.incomplete_before
        self._account = position.account
        self._cells: list[Cell] = []
        self._dead_letters: list[DeadLetter] = []
        self._dead_block = DeadBlock(dead_limit, position)
        self._rejected_block = RejectedBlock(rejected_limit, position)
        self._crossed = False
        self._late: dict[tuple[str, int], LateReadings] = {}
        self._closing: Iterator[ClosedPart | None] | None = None

    @property
    def next_offset(self) -> int:
        return self._next

    @property
    def buffered(self) -> int:
        return sum(windows.buffered for windows in self._open.values())

    @property
    def held(self) -> tuple[int, int]:
        in_memory, on_disk = zip(*(windows.held for windows in self._open.values()), strict=True)
        return sum(in_memory), sum(on_disk)

    @property
    def closing(self) -> bool:
        return self._closing is not None

    def feed(self, records: Sequence[Record]) -> None:
        self._close_all()
        before = 0 if isinstance(self._state, Live) else sum(1 for record in records if record.offset < self._next)
        if before:
            self._fold_again(records[:before])
        if before < len(records):
            self._go_live(records[before])
            self._fold(records[before:])

    def close_some(self) -> None:
        if self._closing is None:
            return
        try:
            closed = next(self._closing)
        except StopIteration:
            self._closing = None
            return
        if closed is not None:
            cells, dead_letters, account = closed
            self._cells += cells
            self._dead_letters += dead_letters
            self._account += account

    def step(self) -> Step | None:
        self._close_all()
        if not self._crossed and (self._next, self._account) == (self._position.next_offset, self._position.account):
            return None
        needed = [first for windows in self._open.values() if (first := windows.first_offset) is not None]
        account = replace(self._account, open=self.buffered)
        position = Position(
            self._next,
            min(needed, default=self._next),
            self._event_time.time,
            self._incomplete_before,
            self._dead_block.in_current(account.messages),
            self._rejected_block.in_current(account.readings),
            account,
            self._event_time.feeders,
        )
        step = Step(position, tuple(self._cells), tuple(self._dead_letters), late=tuple(self._late.values()))
        self._position, self._account = position, account
        self._cells, self._dead_letters, self._late, self._crossed = [], [], {}, False
        return step

    def pass_over(self, offset: int) -> None:
        if offset < self._next:
            return
        self._end_replay()
        if isinstance(self._state, Gap):
            self.skip_to(offset)
        self._next = offset

    def skip_to(self, offset: int) -> None:
        """Every window may lack readings until the time of the next record is known."""
        open_there = self.buffered if isinstance(self._state, Live) else self._account.open
        self._account = Gap(self._next, open_there).end(self._account, offset, self.buffered)
        self._next, self._state, self._crossed = offset, Emptied(), True
        self._incomplete_before = LAST_MS

    def _go_live(self, record: Record) -> None:
        """End the state that the fold is in before `record`, the first one that is new. May raise `ReplayDiffers`."""
        self._end_replay()
        if isinstance(self._state, Gap):
            self._account, self._crossed = self._state.end(self._account, record.offset, self.buffered), True
        if isinstance(self._state, Gap | Emptied):
            self._incomplete_before = record.timestamp + FUTURE_MS
        self._state = Live()

    def _end_replay(self) -> None:
        """Raises `ReplayDiffers` if the replay is over and has not given what was open."""
        if isinstance(self._state, Replaying):
            self._state.end(self.buffered)
            self._state = self._state.then

    def _fold_again(self, records: Sequence[Record]) -> None:
        """Fill the open windows with what was counted before."""
        settled = self._settled(records[0].offset, records[-1].offset + 1)
        decoded = self._decoder.decode(records, settled)
        self._buffer(decoded, self._check(decoded, settled), self._event_time.standing(len(records)))

    def _fold(self, records: Sequence[Record]) -> None:
        decoded = self._decoder.decode(records, frozenset())
        for sequence, record, error in decoded.dead:
            self._dead_block.count(self._account.messages + sequence, record.offset, error)
            self._dead_letters.append(DeadLetter(record.offset, -1, error.reason, record.value or b""))
        dead = len(decoded.dead)
        checked = self._check(decoded, frozenset())
        counted, rejected, late = self._buffer(decoded, checked, self._event_time.advance(records, decoded, checked))
        self._rejected_block.count(self._account.readings, decoded.messages.values(), rejected)
        self._dead_letters += rejected
        for of_window in late:
            key = (of_window.metric, of_window.window_start)
            self._late[key] = self._late[key] + of_window if key in self._late else of_window
        self._account += counted + Account(
            messages=len(records), decoded=len(records) - dead, dead=dead, converted=decoded.converted
        )
        self._next = records[-1].offset + 1
        time, incomplete_before = self._event_time.time, self._incomplete_before
        self._closing = chain.from_iterable([windows.close(time, incomplete_before) for windows in self._open.values()])
        self.close_some()  # mostly no window is due, and that is all

    def _close_all(self) -> None:
        while self.closing:
            self.close_some()

    def _check(self, decoded: Decoded, settled: Set[tuple[int, int]]) -> Mapping[str, CheckedReadings]:
        return {
            name: check(messages, self._open[name].metric, settled, self._span)
            for name, messages in decoded.messages.items()
        }

    def _buffer(
        self, decoded: Decoded, checked: Mapping[str, CheckedReadings], before: NDArray[np.int64]
    ) -> tuple[Account, list[DeadLetter], list[LateReadings]]:
        """Put the readings into their windows; returns what of them is counted now, the rejected rows, the late ones.

        `before` is the event time before each record, as `EventTime.advance` returns it.
        """
        counted = Account()
        rejected: list[DeadLetter] = []
        late: list[LateReadings] = []
        for name, readings in checked.items():
            of_metric, late_ones = self._open[name].add(decoded.messages[name], readings, before)
            counted += of_metric
            late += late_ones
            rejected += readings.rejected
        return counted, rejected, late
