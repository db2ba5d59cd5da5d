"""A simulated city at work: replays a span of time as fast as it can, then follows the clock.

Everything that is sent wrong on purpose is counted, and that count is exact, not probable. A row is late (R1) iff its
window's end <= the latest accepted time in earlier messages of its partition - lateness, so with ticks to every
partition at the end of each step, for a step that begins at `now`:

- a row at or after `now - lateness` is in time if it is sent before the step's other rows,
- a row before `now - lateness - window` is late,

whatever the partitions are and however the windows lie. Duplicates are counted when windows close, so they are only
made in windows that the replay's last tick closes.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from threading import Event
from zlib import crc32
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from ingest import faults
from ingest.batches import Message, Readings, messages
from ingest.faults import NO_FAULTS, Expected, FaultRates
from ingest.feed import Feed
from ingest.fleet import INTERVAL_MS, Channels, Fleet
from ingest.journal import Journal
from schemas.batch import ACTUAL
from schemas.catalogue import Metric, catalogue
from store.deliveries import Refused
from store.resolution import Resolved

INTERVALS_PER_STEP = 4
STEPS_PER_FLUSH = 8
UNKNOWN_SOURCE = "unknown-source"

_LONGEST_WAIT_S = 60.0


@dataclass(slots=True)
class _Counts:
    duplicate: int = 0
    late: int = 0
    rejected: int = 0
    dead: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class _Bound:
    """One metric's channels as the register has them: `channel` (n,) in order of area and class, `columns` the same
    order, `strays` the channels that it does not know."""

    channels: Channels
    metric: Metric
    resolved: Resolved
    channel: NDArray[np.int64]
    row: NDArray[np.int64]
    strays: NDArray[np.int64]
    layouts: dict[int, tuple[NDArray[np.int64], Readings]] = field(default_factory=dict)

    def readings(self, start_ms: int, values: NDArray[np.float64]) -> Readings:
        """What the known channels read, in order of area, class and time. `values` (intervals, channels)."""
        order, layout = self._layout(len(values))
        return Readings(
            metric=layout.metric,
            interval=layout.interval,
            area=layout.area,
            class_=layout.class_,
            source=layout.source,
            contributor=layout.contributor,
            start=layout.start + start_ms,
            value=values.ravel()[order],
            quality=layout.quality,
        )

    def _layout(self, intervals: int) -> tuple[NDArray[np.int64], Readings]:
        """Where the readings of so many intervals lie in the values, and all of them but time and value."""
        if intervals not in self.layouts:
            area, class_ = self.resolved.area[self.row], self.resolved.class_[self.row]
            interval, place = (side.ravel() for side in np.indices((intervals, len(self.row))))
            sort = np.lexsort((interval, class_[place], area[place]))
            interval, place = interval[sort], place[sort]
            row = self.row[place]
            layout = Readings(
                metric=self.metric,
                interval=INTERVAL_MS,
                area=area[place],
                class_=class_[place],
                source=self.resolved.number[row],
                contributor=self.resolved.contributor[row],
                start=interval * INTERVAL_MS,
                value=np.zeros(len(row)),
                quality=np.full(len(row), ACTUAL, np.uint8),
            )
            self.layouts[intervals] = interval * len(self.channels.ids) + self.channel[place], layout
        return self.layouts[intervals]


class Simulator:
    """Sends a fleet's readings through a feed. One thread.

    `resolve(metric, at_ms)` is the register at a time; `clock` gives milliseconds since 1970, and must be the log's
    clock to within minutes. The same fleet, register, span, rates and clock give the same messages, byte for byte.
    """

    def __init__(
        self,
        fleet: Fleet,
        feed: Feed,
        journal: Journal,
        resolve: Callable[[Metric, int], Resolved],
        clock: Callable[[], int],
        rates: FaultRates = NO_FAULTS,
    ) -> None:
        self._fleet = fleet
        self._feed = feed
        self._journal = journal
        self._resolve = resolve
        self._clock = clock
        self._rates = rates
        self._zone = ZoneInfo(fleet.city.zone)
        self._metrics = [catalogue()[channels.metric] for channels in fleet.channels]
        self._lateness_ms = max(metric.lateness_ms for metric in self._metrics)
        self._window_ms = max(metric.longest_window_ms for metric in self._metrics)
        self._bound: list[_Bound] = []
        self._actual: list[Readings] = []
        self._withheld: list[tuple[int, Readings]] = []
        self._counts = _Counts()
        shortest = min(metric.lateness_ms for metric in self._metrics)
        if shortest < INTERVALS_PER_STEP * INTERVAL_MS:
            raise ValueError(f"a lateness of {shortest} ms is shorter than a step of the simulator")

    @property
    def expected(self) -> Expected:
        """What must become of all that was sent so far, once every window of the last replay has closed."""
        c = self._counts
        return Expected(
            self._feed.messages, self._feed.readings, c.duplicate, c.late, c.rejected, c.dead, refused=c.refused
        )

    def replay(self, start_ms: int, end_ms: int, stop: Event | None = None) -> Expected:
        """Send all intervals of start <= time < end in order of time, and a tick at the end to every partition.

        `stop` ends it early, between two steps.

        Raises `ValueError` if a bound is no quarter of an hour on the city's clock, if the span is empty, or if it
        ends in the future; `eventlog.protocol.DeliveryFailed` if the log fails.
        """
        for bound in (start_ms, end_ms):
            if not self._is_quarter(bound):
                raise ValueError(f"{bound} ms is no quarter of an hour in {self._fleet.city.zone}")
        if not start_ms < end_ms <= self._clock():
            raise ValueError("a replay must end after its start and not in the future")
        now, steps = start_ms, 0
        while now < end_ms and not (stop is not None and stop.is_set()):
            now += self._step(now, min(INTERVALS_PER_STEP, (end_ms - now) // INTERVAL_MS), end_ms, self._rates)
            steps += 1
            if steps % STEPS_PER_FLUSH == 0:
                self._feed.flush()
        self._feed.flush()
        return self.expected

    def run(self, stop: Event, start_ms: int) -> Expected:
        """From `start_ms` on, send each interval when the clock has passed its end, without faults, until `stop`."""
        now = start_ms
        while not stop.is_set():
            passed = (self._clock() - now) // INTERVAL_MS
            if passed < 1:
                left = (now + INTERVAL_MS - self._clock()) / 1000
                stop.wait(min(max(left, 0.0), _LONGEST_WAIT_S))
                continue
            now += self._step(now, min(INTERVALS_PER_STEP, passed), now, NO_FAULTS)
            self._feed.flush()
        return self.expected

    def _is_quarter(self, at_ms: int) -> bool:
        local = datetime.fromtimestamp(at_ms / 1000, self._zone)
        return at_ms % 60_000 == 0 and local.minute % 15 == 0

    def _step(self, now: int, intervals: int, end_ms: int, rates: FaultRates) -> int:
        """Send some intervals from `now` on and a tick behind them. Returns how far the time has come, milliseconds."""
        if not self._bound or not all(bound.resolved.holds(now) for bound in self._bound):
            self._bound = [self._bind(c, m, now) for c, m in zip(self._fleet.channels, self._metrics, strict=True)]
        until = min(bound.resolved.holds_until_ms for bound in self._bound)
        intervals = min(intervals, -(-(until - now) // INTERVAL_MS))
        behind = now + intervals * INTERVAL_MS
        self._send_overdue(now)
        for bound in self._bound:
            values = np.stack([self._fleet.values(bound.channels, now + n * INTERVAL_MS) for n in range(intervals)])
            self._refuse(bound, now, values)
            readings = bound.readings(now, values)
            if rates is NO_FAULTS:
                self._feed.send(messages(readings))
            else:
                self._send_faulty(readings, now, behind, end_ms, rates)
        self._feed.tick(behind)
        return behind - now

    def _bind(self, channels: Channels, metric: Metric, now: int) -> _Bound:
        resolved = self._resolve(metric, now)
        row = resolved.rows_of(channels.ids)
        known = np.flatnonzero(row >= 0)
        order = known[np.lexsort((resolved.class_[row[known]], resolved.area[row[known]]))]
        return _Bound(channels, metric, resolved, order, row[order], np.flatnonzero(row < 0))

    def _send_overdue(self, now: int) -> None:
        """What earlier steps left: actual values of estimates, still in time, then what was held back for too long."""
        actual, self._actual = self._actual, []
        for readings in actual:
            self._feed.send(messages(readings))
            self._counts.duplicate += len(readings)
        due = [readings for at, readings in self._withheld if at <= now]
        self._withheld = [(at, readings) for at, readings in self._withheld if at > now]
        for readings in due:
            self._feed.send(messages(readings))
            self._counts.late += len(readings)

    def _send_faulty(self, readings: Readings, now: int, behind: int, end_ms: int, rates: FaultRates) -> None:
        kind = crc32(readings.metric.name.encode())
        rng = np.random.default_rng((*self._fleet.entropy, now, kind))
        closes = behind + self._window_ms + self._lateness_ms
        # A step begins in each span of a step's length, so the last one begins at this time or later.
        last_step = end_ms - INTERVALS_PER_STEP * INTERVAL_MS
        parts = faults.split(readings, rates, rng, revise=closes <= end_ms, withhold=closes <= last_step)
        if len(parts.actual):
            self._actual.append(parts.actual)
        if len(parts.withheld):
            self._withheld.append((closes, parts.withheld))
        sent = list(messages(parts.now))
        self._feed.send(sent)
        if closes <= end_ms:
            self._repeat(faults.chosen(sent, rates.repeated, rng))
        for wrong in faults.rejects(readings, rates, rng, self._clock()):
            self._feed.send(messages(wrong))
            self._counts.rejected += len(wrong)
        for message in faults.chosen(sent, rates.broken, rng):
            self._feed.send([faults.broken(message, self._counts.dead)])
            self._counts.dead += 1

    def _repeat(self, again: Sequence[Message]) -> None:
        self._feed.send(again)
        self._counts.duplicate += sum(message.readings for message in again)

    def _refuse(self, bound: _Bound, now: int, values: NDArray[np.float64]) -> None:
        refused = list(self._unknown(bound, now, values))
        self._journal.refuse(f"{self._fleet.origin}/{bound.metric.name}", refused)
        self._counts.refused += len(refused)

    @staticmethod
    def _unknown(bound: _Bound, now: int, values: NDArray[np.float64]) -> Iterable[Refused]:
        for channel in bound.strays.tolist():
            for interval, value in enumerate(values[:, channel].tolist()):
                start = now + interval * INTERVAL_MS
                position = start // INTERVAL_MS * len(bound.channels.ids) + channel
                original = f"{bound.channels.ids[channel]},{start},{value:.0f}"
                yield Refused(position, UNKNOWN_SOURCE, original.encode())
