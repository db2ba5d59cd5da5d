"""The event time of a partition, a function of its log alone (R1, R16).

Each feeder has its own time, the latest event time in its messages, and the partition's is the least of them. So no
feeder makes the readings of another late by being ahead of it. Three bounds keep a feeder from holding the others back
for ever, or without limit:

- A feeder is idle, and forgotten, when the log's append time has advanced by more than `silence_ms` since its last
  message. The append time belongs to the log, so any replay finds the same feeders idle.
- A feeder that lags the one furthest ahead by more than `silence_ms` is not waited for.
- The partition knows `MOST_FEEDERS` feeders. Any more share the one without a name.

The partition's time never goes back. A feeder that returns later than that finds its windows closed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from eventlog.protocol import Record
from processors.decoding import Decoded
from processors.readings import CheckedReadings
from store.processing import FeederTime, Position

MOST_FEEDERS = 100
"""Feeders of a partition with a time of their own. Their state is written with every commit."""

UNNAMED = ""
"""The feeder of messages of the first schemas, and of all feeders that are too many."""

_TIMESTAMP = attrgetter("timestamp")


@dataclass(slots=True)
class _Feeder:
    latest: int
    appended: int


class EventTime:
    """The event time of a partition so far, `time`: milliseconds since 1970, None without one.

    A metric's watermark is that time minus the metric's lateness. It starts from `position`; `silence_ms` is how long
    a feeder may be silent and is waited for, milliseconds.
    """

    def __init__(self, position: Position, silence_ms: int) -> None:
        self.time = position.event_time
        self._silence_ms = silence_ms
        self._feeders = {known.feeder: _Feeder(known.latest, known.appended) for known in position.feeders}
        self._appended = max((feeder.appended for feeder in self._feeders.values()), default=0)
        self._oldest = 0
        self._lowest = self._highest = self._at_lowest = 0
        self._survey()

    @property
    def feeders(self) -> tuple[FeederTime, ...]:
        """The feeders that are not idle, by name."""
        return tuple(FeederTime(name, of.latest, of.appended) for name, of in sorted(self._feeders.items()))

    def advance(
        self, records: Sequence[Record], decoded: Decoded, checked: Mapping[str, CheckedReadings]
    ) -> NDArray[np.int64]:
        """Take in the readings and ticks of some records.

        Returns the event time before each of them, -1 without one: shape (records,).
        """
        times = np.full(len(records), -1, np.int64)
        for metric, messages in decoded.messages.items():
            times[messages.sequence] = checked[metric].latest
        for sequence, time in decoded.ticks.items():
            times[sequence] = time
        before = self._advance_alone(records, decoded.feeders, times)
        return self._advance_each(records, decoded.feeders, times) if before is None else before

    def _advance_each(
        self, records: Sequence[Record], feeders: Sequence[str], times: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        before = []
        for record, feeder, latest in zip(records, feeders, times.tolist(), strict=True):
            before.append(-1 if self.time is None else self.time)
            if latest >= 0:
                self.take(feeder, latest, record.timestamp)
        return np.array(before, np.int64)

    def _advance_alone(
        self, records: Sequence[Record], feeders: Sequence[str], times: NDArray[np.int64]
    ) -> NDArray[np.int64] | None:
        """The same in one go, for records of the one feeder that is active; None for any others."""
        if len(self._feeders) != 1 or self.time is None or self._feeders.keys() != set(feeders):
            return None
        [known] = self._feeders.values()
        appended = max(self._appended, *map(_TIMESTAMP, records))
        if appended - known.appended > self._silence_ms or times.min() < 0:
            return None
        running = np.maximum.accumulate(np.concatenate(([self.time], times)))
        self.time = int(running[-1])
        self._appended = known.appended = appended
        self._lowest = self._highest = known.latest = max(known.latest, int(times.max()))
        return running[:-1]

    def standing(self, records: int) -> NDArray[np.int64]:
        """The event time for records that were taken in before: shape (records,), as `advance` returns it."""
        return np.full(records, -1 if self.time is None else self.time, np.int64)

    def take(self, feeder: str, latest: int, appended: int) -> None:
        """Take in one message with an accepted reading, or a tick: its latest event time and its append time."""
        self._appended = max(self._appended, appended)
        if self._appended - self._oldest > self._silence_ms:
            self._forget()
        known = self._feeders.get(feeder)
        if known is None and len(self._feeders) >= MOST_FEEDERS:
            feeder = UNNAMED
            known = self._feeders.get(feeder)
        if known is None:
            self._feeders[feeder] = _Feeder(latest, self._appended)
            self._survey()
        else:
            known.appended = self._appended
            if latest > known.latest:
                self._raise(known, latest)
        reached = max(self._lowest, self._highest - self._silence_ms)
        if self.time is None or reached > self.time:
            self.time = reached

    def _raise(self, feeder: _Feeder, latest: int) -> None:
        was, feeder.latest = feeder.latest, latest
        self._highest = max(self._highest, latest)
        if was == self._lowest:
            self._at_lowest -= 1
            if not self._at_lowest:
                self._find_lowest()

    def _forget(self) -> None:
        """Forget the feeders that are idle at the append time reached."""
        active_since = self._appended - self._silence_ms
        self._feeders = {name: of for name, of in self._feeders.items() if of.appended >= active_since}
        self._survey()

    def _survey(self) -> None:
        """Find the least and the latest time, how many feeders have the least, and the oldest last message."""
        if not self._feeders:
            return
        self._find_lowest()
        self._highest = max(feeder.latest for feeder in self._feeders.values())
        self._oldest = min(feeder.appended for feeder in self._feeders.values())

    def _find_lowest(self) -> None:
        times = [feeder.latest for feeder in self._feeders.values()]
        self._lowest = min(times)
        self._at_lowest = times.count(self._lowest)
