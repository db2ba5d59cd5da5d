"""Reads the late windows of a topic from the log again, partition by partition, each part of the log once (R13).

It is no member of a group: nothing waits for it, and it takes as long as the log is. It holds the rows of the windows
that it corrects, within the limit of memory (R10), and nothing else.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from threading import Event

import numpy as np

from eventlog.protocol import Log, OffsetGone, Record, TopicPartition, Unreadable
from processors.corrections import RereadWindow
from processors.decoding import Decoder
from processors.open_memory import OpenMemory
from processors.open_windows import by_window, window_runs
from processors.pieces import finish
from processors.readings import TimeSpan, check
from processors.runs import LabelledRuns
from schemas.catalogue import Metric
from schemas.windows import Windows
from store.corrections import Correction, KnownContents, LateWindow, Outcome

logger = logging.getLogger(__name__)


class Interrupted(Exception):
    """Reading was given up, because the role is to end."""


@dataclass(frozen=True, slots=True)
class DueWindow:
    """A window that is to be corrected at a step of the schedule, and what is known of it."""

    late: LateWindow
    known: KnownContents
    step: int

    @property
    def bounds(self) -> Sequence[int]:
        """Those of the contents that are known, and the new one."""
        return [*(content.bound for content in self.known.contents), self.late.bound]

    @property
    def ranges(self) -> Iterator[tuple[int, int]]:
        """The offsets that hold its readings: those that were counted in time, and the late ones."""
        counted = [amounts.last_offset for amounts in self.known.contents[0].cells.values()]
        if counted:
            yield self.known.first_offset, min(max(counted) + 1, self.late.bound)
        yield min(self.late.first_late, self.late.bound), self.late.bound

    def lies_in(self, earliest: int, end: int) -> bool:
        """Whether a log that holds the offsets from `earliest` up to `end` has all that it needs."""
        return all(earliest <= first and until <= end for first, until in self.ranges)

    def made(self, outcome: Outcome) -> Correction:
        """A correction without cells."""
        late = self.late
        return Correction(late.partition, late.metric, late.window, self.step, late.bound, outcome)


class Rereader:
    """Reads windows of one topic again. `metrics` are those of its dataset, `span` the times that it takes (R5).

    `zone` is the city's; `memory` bounds what the windows take; it gives up once `stop` is set.
    """

    def __init__(
        self, log: Log, metrics: Sequence[Metric], zone: str, span: TimeSpan, memory: OpenMemory, stop: Event
    ) -> None:
        self._log = log
        self._metrics = {metric.name: metric for metric in metrics if metric.derived_from is None}
        self._windows = {name: Windows(zone, metric.window) for name, metric in self._metrics.items()}
        self._decoder = Decoder(self._metrics)
        self._span = span
        self._memory = memory
        self._stop = stop

    def correct(self, partition: TopicPartition, due: Sequence[DueWindow]) -> list[Correction]:
        """Read these windows of one partition again; returns what became of each.

        Raises `Interrupted`, what `Log.between` raises but `OffsetGone` and `Unreadable`, and
        `processors.spilling.SpillFailed`.
        """
        left = [window for window in due if all(low < high for low, high in pairwise(window.bounds))]
        made = [window.made("differs") for window in due if window not in left]  # the log has been cut short
        while True:
            again = {(window.late.metric, self._number(window)): self._begin(window) for window in left}
            try:
                for first, until in merged([span for window in left for span in window.ranges]):
                    self._read(partition, first, until, again)
            except OffsetGone as gone:
                logger.warning("%s; windows that need what is missing are not corrected", gone)
                made += [window.made("gone") for window in left if not window.lies_in(gone.earliest, gone.end)]
                left = [window for window in left if window.lies_in(gone.earliest, gone.end)]
            else:
                return made + [self._made(window, again) for window in left]

    def _read(self, partition: TopicPartition, first: int, until: int, again: "_Again") -> None:
        """Give the rows of these offsets to their windows. Passes over batches that can't be read (R14)."""
        while first < until:
            try:
                for records in self._log.between(partition, first, until):
                    if self._stop.is_set():
                        raise Interrupted
                    self._take(records, again)
                return
            except Unreadable as error:
                logger.warning("%s; a window is corrected without them", error)
                first = error.next_offset

    def _take(self, records: Sequence[Record], again: "_Again") -> None:
        decoded = self._decoder.decode(records, frozenset())
        for name, messages in decoded.messages.items():
            wanted = [number for metric, number in again if metric == name]
            checked = check(messages, self._metrics[name], span=self._span)
            number = window_runs(self._windows[name], checked).labels(len(checked.rows))
            places = np.flatnonzero(np.isin(number, wanted))
            for window, part in by_window(LabelledRuns.of(number[places]), checked.rows.take(places)):
                again[name, window].add(part)
        self._memory.make_room()

    def _made(self, window: DueWindow, again: "_Again") -> Correction:
        contents, key = window.known.contents, (window.late.metric, self._number(window))
        reread = finish(again.pop(key).reduce())
        if not reread.gives(contents):
            return window.made("differs")
        cells = reread.changed(contents, window.known.incomplete)
        return replace(window.made("corrected" if cells else "unchanged"), cells=cells)

    def _begin(self, window: DueWindow) -> RereadWindow:
        late = window.late
        width_ms = late.window.end - late.window.start
        return RereadWindow(self._metrics[late.metric], width_ms, window.bounds, self._memory)

    def _number(self, window: DueWindow) -> int:
        return self._windows[window.late.metric].number(window.late.window.start)


_Again = dict[tuple[str, int], RereadWindow]
"""The windows that are read, by metric and number."""


def merged(ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The offsets of all ranges, (first, after the last), in ranges that do not touch."""
    found: list[tuple[int, int]] = []
    for first, until in sorted(ranges):
        if found and first <= found[-1][1]:
            found[-1] = found[-1][0], max(until, found[-1][1])
        else:
            found.append((first, until))
    return found
