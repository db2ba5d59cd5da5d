"""A simulated city's premises whose waste is weighed when it is collected. All are drawn from one seed.

A premises is a house or a block with a container for each kind of waste that it separates. Figures are plausible, not
measured: 0.8 kg a person and day, half of it residual.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, time
from zlib import crc32
from zoneinfo import ZoneInfo

import numpy as np

from ingest.cities import City
from ingest.register import MetricSources
from ingest.simulated.moment_streams import GRAIN_MS, MomentReadings, MomentStream
from ingest.simulated.sources import marks, places, register_row
from schemas.catalogue import MINUTE_MS, Metric, catalogue
from store.moments import milliseconds

COLLECTED = catalogue()["waste.collected"]
PEOPLE_PER_PREMISES = 3.3
"""A premises serves one household, of the size that `ingest.simulated.fleet` gives to a meter."""

GRAMS: Mapping[str, int] = {"residual": 440, "recycling": 160, "organic": 200}
"""Waste per person and day, by class; together 0.8 kg."""

_EVERY_DAYS: Mapping[str, int] = {"residual": 2, "recycling": 3, "organic": 1}
_SHARE: Mapping[str, float] = {"residual": 1.0, "recycling": 1.0, "organic": 0.3}
"""Days between collections of each class, and the share of premises that have it.

Areas are drawn so that the scarcest class, organic, has enough premises in each (`ingest.areas`). On a day about as
many premises of the other classes are weighed, so a cell of a day seldom fails its rule.
"""

_FIRST_MINUTE = 3 * 60
_ROUND_MINUTES = 240
_JITTER_MINUTES = 20
_MISSED = 0.02
_SPREAD = 0.35


class Premises:
    """Implements `ingest.simulated.sources.SimulatedSources` for `premises` of a city.

    Each has a source for every class that is collected there, and is their contributor.

    `strays` more are weighed but are in no register. Raises `ValueError` for fewer than one of them.
    """

    def __init__(self, city: City, premises: int, seed: int, strays: int = 3) -> None:
        if premises < 1:
            raise ValueError(f"a simulated city needs at least one premises, not {premises}")
        self.city = city
        self.entropy = (seed, premises, crc32(city.id.encode()), crc32(COLLECTED.name.encode()))
        self.origin = f"simulated/{city.id}/{seed}/{premises}"
        self.metrics: Sequence[Metric] = (COLLECTED,)
        self.grain_ms = GRAIN_MS
        self._premises = premises
        self._clock = ZoneInfo(city.zone)
        self._draw(np.random.default_rng(self.entropy), premises + strays)

    @property
    def people(self) -> int:
        """How many people the premises serve."""
        return round(self._premises * PEOPLE_PER_PREMISES)

    def _draw(self, rng: np.random.Generator, count: int) -> None:
        classes = COLLECTED.classes
        self._district = places(self.city, rng, count)
        persons = PEOPLE_PER_PREMISES * rng.lognormal(-0.08, 0.4, count)
        separates = rng.random((count, len(classes))) < [_SHARE[class_] for class_ in classes]
        self._of, self._class = np.nonzero(separates)
        numbers = marks(rng, count + len(self._of)).tolist()
        prefix = f"SIM-{self.city.id}-{self.entropy[0]}-{self._premises}"
        self._contributors = [f"{prefix}-P{mark:010d}" for mark in numbers[:count]]
        self.ids = tuple(f"{prefix}-W{mark:010d}" for mark in numbers[count:])
        daily = np.array([GRAMS[class_] / _SHARE[class_] for class_ in classes])
        self._every = np.array([_EVERY_DAYS[class_] for class_ in classes])[self._class]
        self._grams = persons[self._of] * daily[self._class] * self._every
        self._phase = rng.integers(0, 6, len(self._of))
        self._minute = _FIRST_MINUTE + rng.integers(0, _ROUND_MINUTES, count)[self._of]

    def bind(self, metric: Metric, sources: MetricSources) -> MomentStream:
        return MomentStream(metric, sources, self.ids, self.weighings)

    def weighings(self, start_ms: int, end_ms: int) -> MomentReadings:
        """The weighings at start <= time < end, in grams."""
        first, last = (datetime.fromtimestamp(ms / 1000, self._clock).date() for ms in (start_ms, end_ms - 1))
        days = [self._day(date.fromordinal(day)) for day in range(first.toordinal(), last.toordinal() + 1)]
        readings = MomentReadings(
            place=np.concatenate([day.place for day in days]),
            start=np.concatenate([day.start for day in days]),
            value=np.concatenate([day.value for day in days]),
        )
        return readings.within(start_ms, end_ms)

    def _day(self, day: date) -> MomentReadings:
        """The weighings of one local day, in the order of the sources."""
        count = len(self.ids)
        rng = np.random.default_rng((*self.entropy, day.toordinal()))
        minute = self._minute + rng.integers(0, _JITTER_MINUTES, count)
        missed = rng.random(count) < _MISSED
        grams = np.rint(self._grams * rng.lognormal(-_SPREAD * _SPREAD / 2, _SPREAD, count))
        collected = np.flatnonzero(((day.toordinal() + self._phase) % self._every == 0) & ~missed)
        midnight = milliseconds(datetime.combine(day, time(), self._clock))
        return MomentReadings(collected, midnight + minute[collected] * MINUTE_MS, grams[collected])

    def register(self) -> Iterator[dict[str, str]]:
        for source, premises, class_ in zip(self.ids, self._of.tolist(), self._class.tolist(), strict=True):
            if premises < self._premises:
                district = self.city.districts[self._district[premises]].id
                yield register_row(
                    source, COLLECTED.name, district, self._contributors[premises], COLLECTED.classes[class_]
                )
