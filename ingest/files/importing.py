"""From files to a topic: valid readings of known sources are sent in the order of time, the others are kept."""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

import numpy as np
from numpy.typing import NDArray

from ingest.batches import ReadingColumns, messages
from ingest.feed import Feed
from ingest.files.looked_up import LookedUp
from ingest.files.ordering import Placed, TimeOrder
from ingest.files.reading import FileFormat
from ingest.files.reasons import ABOVE_POWER
from ingest.files.sieve import JudgedTogether, Sieve
from ingest.files.source_codes import SourceCodes
from ingest.files.unpacking import unpacked
from ingest.journal import Journal
from ingest.register import UNKNOWN_SOURCE, Register
from schemas.catalogue import Metric, catalogue
from store.deliveries import Refused

_STEP = 20_000


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
    readings: int = 0
    latest_ms: int = -1
    reach_ms: int = 0
    refused: Counter[str] = field(default_factory=Counter)

    def report(self, sieve: Sieve, *, complete: bool) -> Imported:
        return Imported(
            *(sieve.read, self.readings, dict(self.refused), dict(sieve.empty)), complete, tuple(sieve.notes)
        )


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
        judged: JudgedTogether = "all",
    ) -> None:
        self._feed = feed
        self._journal = journal
        self._register = register
        self._clock = clock
        self._source = source or ""
        self._history = history
        self._judged = judged

    def run(self, form: FileFormat, paths: Sequence[Path], stop: Event | None = None) -> Imported:
        """Read all files, then send their readings in the order of time, then ticks.

        Readings of one source that cannot both be true are refused, as far as they are `judged`. `stop` ends it early,
        and then there are no ticks. Importing a file again keeps nothing twice: what is kept is identified by the
        file's name and the position in it. Raises `NotSuchFile` before anything is sent, and
        `eventlog.protocol.DeliveryFailed` if the log fails.
        """
        origins = named(paths)
        names = list(origins)
        tally = _Tally()

        def refuse(file: int, refused: Sequence[Refused]) -> None:
            self._journal.refuse(names[file], refused)
            tally.refused.update(item.reason for item in refused)

        with TimeOrder() as order:
            sieve = Sieve(order, refuse, self._judged)
            for number, path in enumerate(origins.values()):
                with unpacked(path) as plain:
                    for _ in sieve.take(form, plain, number, _STEP):
                        if stop is not None and stop.is_set():
                            return tally.report(sieve, complete=False)
            looked_up = LookedUp(self._register, sieve.sources, self._source)
            for step in sieve.ordered(_STEP):
                for part in _slices(step, sieve.sources):
                    for rows in _alike(part, sieve.sources):
                        self._send_alike(rows, sieve, looked_up, tally)
                self._feed.flush()
                if stop is not None and stop.is_set():
                    return tally.report(sieve, complete=False)
        if (remark := sieve.rated.remark()) is not None:
            sieve.notes.append(remark)
        if tally.latest_ms >= 0:
            # No tick is ahead of the log's clock (R4).
            reach = tally.reach_ms if self._history else 0
            self._feed.tick(min(tally.latest_ms + reach, self._clock()))
        self._feed.flush()
        return tally.report(sieve, complete=True)

    def _send_alike(self, rows: Placed, sieve: Sieve, looked_up: LookedUp, tally: _Tally) -> None:
        """Send readings of one metric and interval length, in spans in which the register does not change."""
        metric = catalogue()[sieve.sources.metric(int(rows["source"][0]))]
        interval = int(rows["interval"][0])
        for found, of_found in looked_up.spans(metric, rows):
            some, sources = found, of_found
            sound = sources.known & ~sieve.rated.impossible(found, sources.fact)
            if not sound.all():
                wrong = np.flatnonzero(~sound)
                known = sources.known[wrong].tolist()
                sieve.refuse(found[wrong], [ABOVE_POWER if is_known else UNKNOWN_SOURCE for is_known in known])
                some, sources = found[sound], sources.take(np.flatnonzero(sound))
            sent = ReadingColumns.of(
                *(metric, interval, sources),
                start=some["start"].astype(np.int64),
                value=some["value"].astype(np.float64),
                quality=some["quality"],
            )
            self._feed.send(messages(sent, self._feed.feeder, self._feed.cuts))
            self._count(metric, interval, sent.start, tally)

    def _count(self, metric: Metric, interval: int, starts: NDArray[np.int64], tally: _Tally) -> None:
        if not len(starts):
            return
        tally.readings += len(starts)
        tally.reach_ms = max(tally.reach_ms, metric.longest_window_ms + metric.lateness_ms)
        now = self._clock()  # processors reject a reading whose interval has not ended, so it must not move the time
        ended = starts[starts + interval <= now]
        tally.latest_ms = max(tally.latest_ms, int(ended[-1]) if len(ended) else -1)


def named(paths: Sequence[Path]) -> Mapping[str, Path]:
    """The files by distinct names: their last part, or as many last parts as all of them need to be distinct."""
    distinct = list(dict.fromkeys(path.absolute() for path in paths))
    parts = 1
    while len({path.parts[-parts:] for path in distinct}) < len(distinct):
        parts += 1
    # A file name need not be valid text, but the database takes only valid text.
    return {os.fsencode(Path(*path.parts[-parts:])).decode("utf-8", "backslashreplace"): path for path in distinct}


def _slices(step: Placed, codes: SourceCodes) -> Iterator[Placed]:
    """Parts within which messages may be sent in any order without making a reading late.

    A message holds one area and class, so time goes back from one message to the next. Within the metric's lateness
    that is harmless (R1). The messages of one source are in order anyway.
    """
    sources, intervals = step["source"], step["interval"]
    if not len(step) or ((sources == sources[0]).all() and (intervals == intervals[0]).all()):
        yield step
        return
    metrics = (codes.metrics[kind] for kind in np.unique(codes.kinds(sources)).tolist())
    lateness = min(catalogue()[metric].lateness_ms for metric in metrics)
    start = np.ascontiguousarray(step["start"])
    begin = 0
    while begin < len(step):
        end = int(np.searchsorted(start, int(start[begin]) + lateness, "right"))
        yield step[begin:end]
        begin = end


def _alike(part: Placed, codes: SourceCodes) -> Iterator[Placed]:
    """Those of each metric and length of the interval; each group keeps the order."""
    kinds, intervals = codes.kinds(part["source"]), part["interval"]
    if (kinds == kinds[:1]).all() and (intervals == intervals[:1]).all():
        if len(part):
            yield part
        return
    lengths, length = np.unique(intervals, return_inverse=True)
    groups = kinds * len(lengths) + length
    for group in np.unique(groups).tolist():
        yield part[groups == group]
