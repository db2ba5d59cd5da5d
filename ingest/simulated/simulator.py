"""The simulator: replays a span of time as fast as it can, then follows the clock.

Everything that is sent wrong on purpose is counted exactly. A row is late (R1) iff its window's end <= the latest
accepted time in earlier messages of its partition - lateness. So, with ticks to every partition at the end of each
step, for a step that begins at `now`:

- a row at or after `now - lateness` is in time if it is sent before the step's other rows,
- a row whose window has ended by `now - lateness` is late,

whatever the partitions and windows are. Duplicates are counted when windows close, so they are only made in windows
that the replay's last tick closes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from threading import Event
from zlib import crc32
from zoneinfo import ZoneInfo

import numpy as np

from eventlog.protocol import Log
from ingest.batches import Message, ReadingColumns, messages
from ingest.feed import Feed
from ingest.journal import Journal
from ingest.register import Register
from ingest.simulated import faults
from ingest.simulated.faults import NO_FAULTS, ExpectedReadings, FaultRates
from ingest.simulated.sources import SimulatedSources, SimulatedStream
from schemas.catalogue import Metric
from store.moments import milliseconds

STEP_MS = 3_600_000
PACE_MS = 900_000
"""Time advances by quarters of an hour of the city's clock, in a replay by `STEP_MS`."""

STEPS_PER_FLUSH = 8

_LONGEST_WAIT_S = 60.0


@dataclass(slots=True)
class _Counts:
    duplicate: int = 0
    late: int = 0
    rejected: int = 0
    dead: int = 0
    refused: int = 0


class Simulator:
    """Sends what simulated sources read through a feed. One thread.

    `clock` gives milliseconds since 1970, and must be within minutes of the log's clock. The same
    sources, register, span, rates and clock give the same messages, byte for byte.
    """

    def __init__(
        self,
        sources: SimulatedSources,
        feed: Feed,
        journal: Journal,
        register: Register,
        clock: Callable[[], int],
        rates: FaultRates = NO_FAULTS,
    ) -> None:
        self.sources = sources
        self._feed = feed
        self._journal = journal
        self._register = register
        self._clock = clock
        self._rates = rates
        self._zone = ZoneInfo(sources.city.zone)
        self._streams: list[SimulatedStream] = []
        self._actual: list[ReadingColumns] = []
        self._withheld: list[tuple[int, ReadingColumns]] = []
        self._counts = _Counts()
        shortest = min(metric.lateness_ms for metric in sources.metrics)
        if shortest < STEP_MS:
            raise ValueError(f"a lateness of {shortest} ms is shorter than a step of the simulator")

    @property
    def expected(self) -> ExpectedReadings:
        """The expected outcomes of all that the feed has sent, once every window of the last replay has closed."""
        c = self._counts
        return ExpectedReadings(
            self._feed.messages, self._feed.readings, c.duplicate, c.late, c.rejected, c.dead, refused=c.refused
        )

    def replay(self, start_ms: int, end_ms: int, stop: Event | None = None) -> ExpectedReadings:
        """Send all that is read at start <= time < end in order of time, and a tick at the end to every partition.

        `stop` ends it early, between two steps.

        Raises `ValueError` if a bound is no quarter of an hour on the city's clock, if the span is empty, or if it
        ends in the future; `eventlog.protocol.DeliveryFailed` if the log fails.
        """
        for bound in (start_ms, end_ms):
            if not self._is_quarter(bound):
                raise ValueError(f"{bound} ms is no quarter of an hour in {self.sources.city.zone}")
        if not start_ms < end_ms <= self._clock():
            raise ValueError("a replay must end after its start and not in the future")
        now, steps = start_ms, 0
        while now < end_ms and not (stop is not None and stop.is_set()):
            now = self._step(now, min(now + STEP_MS, end_ms), end_ms, self._rates)
            steps += 1
            if steps % STEPS_PER_FLUSH == 0:
                self._feed.flush()
        self._feed.flush()
        return self.expected

    def catch_up(self, now: int) -> int:
        """Send, from `now` on and without faults, the quarters of an hour that have passed, four of them at the most.

        Returns how far the time has come. Raises `eventlog.protocol.DeliveryFailed` if the log fails.
        """
        passed = min((self._clock() - now) // PACE_MS * PACE_MS, STEP_MS)
        if passed <= 0:
            return now
        reached = self._step(now, now + passed, now, NO_FAULTS)
        self._feed.flush()
        return reached

    def idle(self, log: Log) -> None:
        """Report whether log and database answer, as `Feed.idle` does, while nothing is due."""
        self._feed.idle(log)

    def due_ms(self, now: int) -> int:
        """Milliseconds until the quarter of an hour that begins at `now` has passed, 0 if it has."""
        return max(0, now + PACE_MS - self._clock())

    def _is_quarter(self, at_ms: int) -> bool:
        local = datetime.fromtimestamp(at_ms / 1000, self._zone)
        return at_ms % 60_000 == 0 and local.minute % 15 == 0

    def _step(self, now: int, until_ms: int, end_ms: int, rates: FaultRates) -> int:
        """Send what is read from `now` on, then a tick: until `until_ms`, or until the register changes.

        Returns how far the time has come, milliseconds.
        """
        registered = [self._register.at(metric, now) for metric in self.sources.metrics]
        if registered != [stream.sources for stream in self._streams]:
            bound = zip(self.sources.metrics, registered, strict=True)
            self._streams = [self.sources.bind(metric, sources) for metric, sources in bound]
        changes = min(sources.holds_until_ms for sources in registered) - now
        end = min(until_ms, now - -changes // self.sources.grain_ms * self.sources.grain_ms)
        self._send_overdue(now)
        for stream in self._streams:
            taken = stream.read(now, end)
            self._journal.refuse(f"{self.sources.origin}/{stream.metric.name}", taken.refused)
            self._counts.refused += len(taken.refused)
            if rates is NO_FAULTS:
                self._feed.send(messages(taken.readings, self._feed.feeder, self._feed.cuts))
            else:
                self._send_faulty(taken.readings, now, end, end_ms, rates)
        self._feed.tick(end)
        return end

    def _send_overdue(self, now: int) -> None:
        """Send what earlier steps withheld: actual values of estimates, which are in time, then late readings."""
        actual, self._actual = self._actual, []
        for readings in actual:
            self._feed.send(messages(readings, self._feed.feeder, self._feed.cuts))
            self._counts.duplicate += len(readings)
        due = [readings for at, readings in self._withheld if at <= now]
        self._withheld = [(at, readings) for at, readings in self._withheld if at > now]
        for readings in due:
            self._feed.send(messages(readings, self._feed.feeder, self._feed.cuts))
            self._counts.late += len(readings)

    def _send_faulty(self, readings: ReadingColumns, now: int, end: int, replay_end_ms: int, rates: FaultRates) -> None:
        kind = crc32(readings.metric.name.encode())
        rng = np.random.default_rng((*self.sources.entropy, now, kind))
        closes = _windows_end(readings.metric, end, self._zone) + readings.metric.lateness_ms
        # A step begins in each span of a step's length, so the last one begins at this time or later.
        last_step = replay_end_ms - STEP_MS
        parts = faults.split(readings, rates, rng, revise=closes <= replay_end_ms, withhold=closes <= last_step)
        if len(parts.actual):
            self._actual.append(parts.actual)
        if len(parts.withheld):
            self._withheld.append((closes, parts.withheld))
        sent = list(messages(parts.now, self._feed.feeder, self._feed.cuts))
        self._feed.send(sent)
        if closes <= replay_end_ms:
            self._repeat(faults.chosen(sent, rates.repeated, rng))
        for wrong in faults.rejects(readings, rates, rng, self._clock()):
            self._feed.send(messages(wrong, self._feed.feeder, self._feed.cuts))
            self._counts.rejected += len(wrong)
        broken = faults.chosen(sent, rates.broken, rng)
        if rates.broken and not broken and not self._counts.dead:
            broken = sent[:1]
        for message in broken:
            self._feed.send([faults.broken(message, self._counts.dead)])
            self._counts.dead += 1

    def _repeat(self, again: Sequence[Message]) -> None:
        self._feed.send(again)
        self._counts.duplicate += sum(message.readings for message in again)


def follow(simulators: Sequence[Simulator], stop: Event, start_ms: int, log: Log) -> None:
    """Send each quarter of an hour from `start_ms` on when the clock has passed it, without faults, until `stop`.

    In between `log` is asked about once a minute, so that it is noticed if it is away.
    """
    reached = [start_ms] * len(simulators)
    while not stop.is_set():
        before = list(reached)
        reached = [simulator.catch_up(now) for simulator, now in zip(simulators, before, strict=True)]
        if reached == before:
            for simulator in simulators:
                simulator.idle(log)
            due = min(simulator.due_ms(now) for simulator, now in zip(simulators, reached, strict=True))
            stop.wait(min(due / 1000, _LONGEST_WAIT_S))


def _windows_end(metric: Metric, before_ms: int, zone: ZoneInfo) -> int:
    """A time by which every window of readings before `before_ms` has ended, milliseconds.

    For windows of a day it is the end of the day itself: replays are only a few days long.
    """
    if metric.window != "day":
        return before_ms + metric.longest_window_ms
    last = datetime.fromtimestamp((before_ms - 1) / 1000, zone).date()
    return milliseconds(datetime.combine(last + timedelta(days=1), time(), zone))
