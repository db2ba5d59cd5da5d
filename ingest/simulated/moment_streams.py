"""Streams of sources that read at moments instead of over intervals."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ingest.batches import ReadingColumns
from ingest.register import UNKNOWN_SOURCE, MetricSources
from ingest.simulated.sources import StreamReadings
from schemas.catalogue import MINUTE_MS, Metric
from store.deliveries import Refused

GRAIN_MS = MINUTE_MS
"""Every moment is a whole minute, in which a source reads at most once."""


@dataclass(frozen=True, slots=True, eq=False)
class MomentReadings:
    """Readings as columns of shape (n,), in order of time.

    `place` int64, the source's index among the ids; `start` int64, milliseconds since 1970, UTC; `value` float64, whole
    numbers of the metric's smallest unit.
    """

    place: NDArray[np.int64]
    start: NDArray[np.int64]
    value: NDArray[np.float64]

    def within(self, start_ms: int, end_ms: int) -> "MomentReadings":
        """Those at start <= time < end, in order of time; the readings may be in any order before."""
        inside = np.flatnonzero((self.start >= start_ms) & (self.start < end_ms))
        chosen = inside[np.argsort(self.start[inside], kind="stable")]
        return MomentReadings(self.place[chosen], self.start[chosen], self.value[chosen])


class MomentStream:
    """Implements `ingest.simulated.sources.SimulatedStream` for the sources with these `ids`.

    `read_span(start_ms, end_ms)` returns what they read in a span of time.
    """

    def __init__(
        self,
        metric: Metric,
        sources: MetricSources,
        ids: Sequence[str],
        read_span: Callable[[int, int], MomentReadings],
    ) -> None:
        self.metric = metric
        self.sources = sources
        self._ids = ids
        self._read_span = read_span
        self._columns = sources.look_up(ids)

    def read(self, start_ms: int, end_ms: int) -> StreamReadings:
        taken = self._read_span(start_ms, end_ms)
        columns = self._columns.take(taken.place)
        known, unknown = np.flatnonzero(columns.known), np.flatnonzero(~columns.known)
        readings = ReadingColumns.of(self.metric, 0, columns.take(known), taken.start[known], taken.value[known])
        return StreamReadings(readings, list(self._refused(taken, unknown.tolist())))

    def _refused(self, taken: MomentReadings, unknown: Sequence[int]) -> Iterable[Refused]:
        for index in unknown:
            place, start, value = int(taken.place[index]), int(taken.start[index]), float(taken.value[index])
            original = f"{self._ids[place]},{start},{value:.0f}"
            yield Refused(start // GRAIN_MS * len(self._ids) + place, UNKNOWN_SOURCE, original.encode())
