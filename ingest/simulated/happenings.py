"""Sources that read at moments of their own: what they say, in the words of the register."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ingest.batches import ReadingColumns
from ingest.register import UNKNOWN_SOURCE, MetricSources
from ingest.simulated.sources import Heard
from schemas.catalogue import MINUTE_MS, Metric
from store.deliveries import Refused

GRAIN_MS = MINUTE_MS
"""Every moment is a whole minute, and a source reads once in it at the most."""


@dataclass(frozen=True, slots=True, eq=False)
class Happenings:
    """What was read when, as columns of shape (n,) in order of time.

    `place` int64, the source's place among the ids; `start` int64, milliseconds since 1970, UTC; `value` float64, whole
    numbers of the metric's smallest unit.
    """

    place: NDArray[np.int64]
    start: NDArray[np.int64]
    value: NDArray[np.float64]

    def within(self, start_ms: int, end_ms: int) -> "Happenings":
        """Those at start <= time < end, in order of time; the rest may be in any order before."""
        inside = np.flatnonzero((self.start >= start_ms) & (self.start < end_ms))
        chosen = inside[np.argsort(self.start[inside], kind="stable")]
        return Happenings(self.place[chosen], self.start[chosen], self.value[chosen])


class HappeningStream:
    """Sources of moments with their places in the register; see `ingest.simulated.sources.SimulatedStream`.

    `happen(start_ms, end_ms)` is what is read in a span of time by the sources with these `ids`.
    """

    def __init__(
        self, metric: Metric, sources: MetricSources, ids: Sequence[str], happen: Callable[[int, int], Happenings]
    ) -> None:
        self.metric = metric
        self.sources = sources
        self._ids = ids
        self._happen = happen
        self._columns = sources.look_up(ids)

    def read(self, start_ms: int, end_ms: int) -> Heard:
        """See `ingest.simulated.sources.SimulatedStream`."""
        found = self._happen(start_ms, end_ms)
        columns = self._columns.take(found.place)
        known, unknown = np.flatnonzero(columns.known), np.flatnonzero(~columns.known)
        readings = ReadingColumns.of(self.metric, 0, columns.take(known), found.start[known], found.value[known])
        return Heard(readings, list(self._refused(found, unknown.tolist())))

    def _refused(self, found: Happenings, unknown: Sequence[int]) -> Iterable[Refused]:
        for index in unknown:
            place, start, value = int(found.place[index]), int(found.start[index]), float(found.value[index])
            original = f"{self._ids[place]},{start},{value:.0f}"
            yield Refused(start // GRAIN_MS * len(self._ids) + place, UNKNOWN_SOURCE, original.encode())
