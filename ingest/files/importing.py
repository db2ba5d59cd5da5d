"""From files to a topic: valid readings of known sources are sent in the order of time, the others are kept."""

import os
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from threading import Event
from typing import TypeVar

import numpy as np

from ingest.batches import ReadingColumns, messages
from ingest.feed import Feed
from ingest.files.clashes import Clashes
from ingest.files.ordering import Placed, TimeOrder
from ingest.files.rated import RatedPower
from ingest.files.reading import Empty, FileFormat, Note, Outcome, Parsed
from ingest.files.reasons import ABOVE_POWER, OUT_OF_RANGE
from ingest.files.unpacking import unpacked
from ingest.journal import Journal
from ingest.register import UNKNOWN_SOURCE, Register, SourceColumns
from schemas.catalogue import Metric, catalogue
from store.deliveries import Refused

_STEP = 20_000

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Imported:
    """The outcome of an import: `read` = `readings` (sent) + all of `refused` and `empty` (reason -> number).

    The sum does not hold for an import that was stopped before its end, whose `complete` is false. `notes` are
    sentences about the files.
    """

    read: int
    readings: int
    refused: Mapping[str, int]
    empty: Mapping[str, int] = field(default_factory=dict)
    complete: bool = True
    notes: Sequence[str] = field(default=(), compare=False)


@dataclass(slots=True)
class _Tally:
    read: int = 0
    readings: int = 0
    latest_ms: int = -1
    reach_ms: int = 0
    refused: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    empty: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    notes: list[str] = field(default_factory=list)

    def report(self, *, complete: bool) -> Imported:
        return Imported(self.read, self.readings, dict(self.refused), dict(self.empty), complete, tuple(self.notes))


class FileImport:
    """Imports files of one format into one topic, as readings of registered sources.

    `source` is the source of readings that name none. `clock` gives milliseconds since 1970. An import into a topic of
    `history` (R11) ends with ticks that close all its windows; one into a running topic ends with ticks at the time of
    its own latest reading.
    """

    def __init__(
        self,
        feed: Feed,
        journal: Journal,
        register: Register,
        clock: Callable[[], int],
        source: str | None = None,
        *,
        history: bool = True,
    ) -> None:
        self._feed = feed
        self._journal = journal
        self._register = register
        self._clock = clock
        self._source = source or ""
        self._history = history
        self._rated = RatedPower()

    def run(self, form: FileFormat, paths: Sequence[Path], stop: Event | None = None) -> Imported:
        """Read all files, then send their readings in the order of time, then ticks.

        Readings of one source that cannot both be true, in one file or in two, are refused. `stop` ends it early, and
        then there are no ticks. Importing a file again keeps nothing twice: what is kept is identified by the file's
        name and the position in it. Raises `NotSuchFile` before anything is sent, and
        `eventlog.protocol.DeliveryFailed` if the log fails.
        """
        tally = _Tally()
        origins = named(paths)
        names = list(origins)
        with TimeOrder() as order:
            for number, (origin, path) in enumerate(origins.items()):
                with unpacked(path) as plain:
                    for outcomes in _steps(form.read(plain)):
                        self._sift(outcomes, origin, number, order, tally)
                        if stop is not None and stop.is_set():
                            return tally.report(complete=False)
            clashes = Clashes(placed.parsed for placed in order)
            for step in _steps(order):
                if kept := self._without_clashes(step, clashes, names, tally):
                    self._send(kept, names, tally)
                if stop is not None and stop.is_set():
                    return tally.report(complete=False)
        if (remark := self._rated.remark()) is not None:
            tally.notes.append(remark)
        if tally.latest_ms >= 0:
            # No tick is ahead of the log's clock (R4).
            reach = tally.reach_ms if self._history else 0
            self._feed.tick(min(tally.latest_ms + reach, self._clock()))
        self._feed.flush()
        return tally.report(complete=True)

    def _sift(self, outcomes: Iterable[Outcome], origin: str, file: int, order: TimeOrder, tally: _Tally) -> None:
        """Add valid readings to `order`, and keep what is refused."""
        refused: list[Refused] = []
        for outcome in outcomes:
            if isinstance(outcome, Note):
                tally.notes.append(outcome.text)
                continue
            tally.read += 1
            if isinstance(outcome, Empty):
                tally.empty[outcome.reason] += 1
            elif isinstance(outcome, Refused):
                refused.append(outcome)
            elif in_range(outcome):
                self._rated.add(outcome)
                order.add(Placed(file, outcome))
            else:
                refused.append(Refused(outcome.position, OUT_OF_RANGE, outcome.original))
        self._refuse(origin, refused, tally)

    def _refuse(self, origin: str, refused: Sequence[Refused], tally: _Tally) -> None:
        self._journal.refuse(origin, refused)
        for item in refused:
            tally.refused[item.reason] += 1

    def _without_clashes(
        self, step: Sequence[Placed], clashes: Clashes, names: Sequence[str], tally: _Tally
    ) -> Sequence[Placed]:
        """The readings that contradict no other; the others are refused."""
        kept: list[Placed] = []
        refused: dict[int, list[Refused]] = defaultdict(list)
        for placed in step:
            file, parsed = placed
            reason = clashes.reason(parsed)
            if reason is None:
                kept.append(placed)
            else:
                refused[file].append(Refused(parsed.position, reason, parsed.original))
        for file, items in refused.items():
            self._refuse(names[file], items, tally)
        return kept

    def _send(self, step: Sequence[Placed], names: Sequence[str], tally: _Tally) -> None:
        """Send readings, which are in the order of time."""
        refused: dict[int, list[Refused]] = defaultdict(list)
        for part in _slices(step):
            for (name, interval), group in _grouped(part).items():
                self._send_alike(catalogue()[name], interval, group, refused, tally)
        for file, items in refused.items():
            self._refuse(names[file], items, tally)
        self._feed.flush()

    def _send_alike(
        self,
        metric: Metric,
        interval: int,
        group: Sequence[Placed],
        refused: dict[int, list[Refused]],
        tally: _Tally,
    ) -> None:
        """Send readings of one metric and interval length, in spans in which the register does not change."""
        begin = 0
        while begin < len(group):
            sources = self._register.at(metric, group[begin].parsed.start_ms)
            end = bisect_left(group, sources.holds_until_ms, begin + 1, key=lambda placed: placed.parsed.start_ms)
            columns = sources.look_up(
                [self._source if placed.parsed.source is None else placed.parsed.source for placed in group[begin:end]]
            )
            known: list[Parsed] = []
            places: list[int] = []
            for place, (file, parsed) in enumerate(group[begin:end]):
                if not columns.known[place]:
                    refused[file].append(Refused(parsed.position, UNKNOWN_SOURCE, parsed.original))
                elif self._rated.impossible(parsed, int(columns.fact[place])):
                    refused[file].append(Refused(parsed.position, ABOVE_POWER, parsed.original))
                else:
                    known.append(parsed)
                    places.append(place)
            sent = _columns(metric, interval, known, columns.take(np.array(places, np.int64)))
            self._feed.send(messages(sent, self._feed.feeder, self._feed.cuts))
            self._count(metric, interval, known, tally)
            begin = end

    def _count(self, metric: Metric, interval: int, sent: Sequence[Parsed], tally: _Tally) -> None:
        if not sent:
            return
        tally.readings += len(sent)
        tally.reach_ms = max(tally.reach_ms, metric.longest_window_ms + metric.lateness_ms)
        now = self._clock()  # processors reject a reading whose interval has not ended, so it must not move the time
        ended = (parsed.start_ms for parsed in reversed(sent) if parsed.start_ms + interval <= now)
        tally.latest_ms = max(tally.latest_ms, next(ended, -1))


def named(paths: Sequence[Path]) -> Mapping[str, Path]:
    """The files by distinct names: their last part, or as many last parts as all of them need to be distinct."""
    distinct = list(dict.fromkeys(path.absolute() for path in paths))
    parts = 1
    while len({path.parts[-parts:] for path in distinct}) < len(distinct):
        parts += 1
    # A file name need not be valid text, but the database takes only valid text.
    return {os.fsencode(Path(*path.parts[-parts:])).decode("utf-8", "backslashreplace"): path for path in distinct}


def in_range(parsed: Parsed) -> bool:
    """Whether a reading's value is one that its metric can have."""
    metric = catalogue()[parsed.metric]
    return metric.minimum <= parsed.value <= metric.maximum


def _steps(items: Iterable[T]) -> Iterator[list[T]]:
    iterator = iter(items)
    while step := list(islice(iterator, _STEP)):
        yield step


def _slices(step: Sequence[Placed]) -> Iterator[Sequence[Placed]]:
    """Parts within which messages may be sent in any order without making a reading late.

    A message holds one area and class, so time goes back from one message to the next. Within the metric's lateness
    that is harmless (R1). The messages of one source are in order anyway.
    """
    kinds = {(parsed.metric, parsed.interval_ms, parsed.source) for _, parsed in step}
    if len(kinds) == 1:
        yield step
        return
    lateness = min(catalogue()[metric].lateness_ms for metric, _, _ in kinds)
    begin = 0
    while begin < len(step):
        last = step[begin].parsed.start_ms + lateness
        end = bisect_left(step, last + 1, begin, key=lambda placed: placed.parsed.start_ms)
        yield step[begin:end]
        begin = end


def _grouped(part: Sequence[Placed]) -> Mapping[tuple[str, int], list[Placed]]:
    """Grouped by metric and length of the interval; each group keeps the order."""
    groups: dict[tuple[str, int], list[Placed]] = defaultdict(list)
    for placed in part:
        groups[placed.parsed.metric, placed.parsed.interval_ms].append(placed)
    return groups


def _columns(metric: Metric, interval: int, readings: Sequence[Parsed], sources: SourceColumns) -> ReadingColumns:
    return ReadingColumns.of(
        metric,
        interval,
        sources,
        start=np.array([reading.start_ms for reading in readings], np.int64),
        value=np.array([reading.value for reading in readings], np.float64),
        quality=np.array([reading.quality for reading in readings], np.uint8),
    )
