"""A simulated city's waste containers with fill sensors, all drawn from one seed."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from zlib import crc32
from zoneinfo import ZoneInfo

import numpy as np

from ingest.cities import City
from ingest.register import MetricSources
from ingest.simulated.moment_streams import GRAIN_MS, MomentReadings, MomentStream
from ingest.simulated.sources import marks, places, register_row
from schemas.catalogue import MINUTE_MS, Metric, catalogue

FILL = catalogue()["waste.fill"]
REPORT_MS = 30 * MINUTE_MS
"""The interval of every sensor's reports, each at its own minute."""

_DAY_MS = 24 * 60 * MINUTE_MS
_CYCLE_DAYS = (1, 2, 3, 7)
_EMPTIED_HOURS = (3.0, 10.0)
_AT_COLLECTION = 7_000
"""The mean level of a container when it is emptied, in 0.01 %; some overflow before."""
_LEFT_MOST = 200
_SENSOR_NOISE = 40


class Bins:
    """Implements `ingest.simulated.sources.SimulatedSources` for `containers` with a sensor each.

    Classes have equal shares; a container is its own contributor.

    `strays` more report but are in no register. Raises `ValueError` for fewer than one container.
    """

    def __init__(self, city: City, containers: int, seed: int, strays: int = 1) -> None:
        if containers < 1:
            raise ValueError(f"a simulated city needs at least one container, not {containers}")
        self.city = city
        self.entropy = (seed, containers, crc32(city.id.encode()), crc32(FILL.name.encode()))
        self.origin = f"simulated/{city.id}/{seed}/{containers}"
        self.metrics: Sequence[Metric] = (FILL,)
        self.grain_ms = GRAIN_MS
        self._containers = containers
        self._clock = ZoneInfo(city.zone)
        count = containers + strays
        rng = np.random.default_rng(self.entropy)
        prefix = f"SIM-{city.id}-{seed}-{containers}"
        self.ids = tuple(f"{prefix}-B{mark:010d}" for mark in marks(rng, count).tolist())
        self._district = places(city, rng, count)
        self._class = rng.permutation(count) % len(FILL.classes)
        cycle = rng.choice(_CYCLE_DAYS, count) * _DAY_MS
        emptied = rng.integers(0, 7, count) * _DAY_MS + rng.uniform(*_EMPTIED_HOURS, count) * 60 * MINUTE_MS
        self._cycle, self._emptied = cycle, emptied.astype(np.int64)
        self._per_ms = _AT_COLLECTION * rng.lognormal(-0.03, 0.25, count) / cycle
        self._left = rng.uniform(0, _LEFT_MOST, count)
        self._minute = rng.integers(0, REPORT_MS // MINUTE_MS, count)

    def bind(self, metric: Metric, sources: MetricSources) -> MomentStream:
        return MomentStream(metric, sources, self.ids, self.levels)

    def levels(self, start_ms: int, end_ms: int) -> MomentReadings:
        """The levels that the sensors report at start <= time < end, in 0.01 %."""
        slots = range(start_ms // REPORT_MS, -(-end_ms // REPORT_MS))
        indexes = np.arange(len(self.ids))
        reports = [self._report(slot) for slot in slots]
        readings = MomentReadings(
            place=np.tile(indexes, len(slots)),
            start=np.concatenate([start for start, _ in reports]),
            value=np.concatenate([value for _, value in reports]),
        )
        return readings.within(start_ms, end_ms)

    def _report(self, slot: int) -> tuple[np.ndarray, np.ndarray]:
        """Time and level of each sensor's report in a half hour: both shape (containers,)."""
        start = slot * REPORT_MS + self._minute * MINUTE_MS
        offset = datetime.fromtimestamp(slot * REPORT_MS / 1000, self._clock).utcoffset()
        local = start + (round(offset.total_seconds() * 1000) if offset else 0)
        noise = np.random.default_rng((*self.entropy, slot)).normal(0, _SENSOR_NOISE, len(start))
        level = self._left + self._per_ms * ((local - self._emptied) % self._cycle) + noise
        return start, np.rint(np.clip(level, FILL.minimum, FILL.maximum))

    def register(self) -> Iterator[dict[str, str]]:
        for source, district, class_ in zip(
            self.ids[: self._containers], self._district.tolist(), self._class.tolist(), strict=False
        ):
            yield register_row(source, FILL.name, self.city.districts[district].id, source, FILL.classes[class_])
