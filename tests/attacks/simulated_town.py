"""The customers of a small city: who they are, and what each of them uses in every hour. By numbers, no stream."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from zoneinfo import ZoneInfo

import numpy as np

from ingest.cities import City, load_city
from store.moments import milliseconds
from store.publications import Window

HOUR = 3_600_000
JOINED = 24 * 60
"""The hour from which all customers are registered."""

WH = 3_600_000
"""Smallest units of energy, mJ, in 1 Wh."""

_FUSES_KW = np.array([2.3, 3.7, 7.4, 11, 22, 43, 86, 172, 345, 690, 1_380, 2_760])
_SIGMA = np.array([0.8, 0.6])
"""Spread of the homes' and of the shops' usual loads, which are lognormal."""

_VACANT = 0.02


@dataclass(frozen=True)
class Town:
    """`residential` and `commercial` customers in the districts of a shipped city, one of these a factory.

    The factory uses `factory_wh` in a usual hour. Customers are numbered from 0 on, the residential ones first, the
    factory last. Hours are numbered from the beginning of a quarter on.
    """

    name: str
    residential: int
    commercial: int
    seed: int
    factory_wh: float = 12_000
    city: City = field(init=False, compare=False)
    _used: dict[int, np.ndarray] = field(init=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "city", load_city(self.name))

    @property
    def customers(self) -> int:
        return self.residential + self.commercial

    @property
    def factory(self) -> int:
        """Its number."""
        return self.customers - 1

    @cached_property
    def district(self) -> np.ndarray:
        """The place of each customer's district in `city.districts`."""
        people = np.array([district.population for district in self.city.districts], float)
        return np.random.default_rng([self.seed, 1]).choice(len(people), self.customers, p=people / people.sum())

    @cached_property
    def class_(self) -> np.ndarray:
        return np.repeat(["residential", "commercial"], [self.residential, self.commercial])

    @cached_property
    def mean(self) -> np.ndarray:
        """What each uses in an hour of the day's usual load, Wh."""
        rng = np.random.default_rng([self.seed, 2])
        typical = np.repeat([350.0, 2_500.0], [self.residential, self.commercial])
        sigma = np.repeat(_SIGMA, [self.residential, self.commercial])
        found = typical * rng.lognormal(-(sigma**2) / 2, sigma)
        found[: self.residential][rng.random(self.residential) < _VACANT] = 0
        found[self.factory] = self.factory_wh
        return found

    @cached_property
    def most(self) -> np.ndarray:
        """What each can use in an hour, mJ: the smallest usual fuse that carries four times its load."""
        fuse = np.searchsorted(_FUSES_KW, self.mean * 4 / 1_000)
        return np.round(_FUSES_KW[fuse] * 1_000 * WH).astype(np.int64)

    def amounts(self, hour: int) -> np.ndarray:
        """What each used in an hour, mJ, int64: whole watt-hours, as a meter gives them."""
        if hour not in self._used:
            self._used[hour] = self._draw(hour)
        return self._used[hour]

    def _draw(self, hour: int) -> np.ndarray:
        rng = np.random.default_rng([self.seed, 3, hour + 10_000])
        at, day = hour % 24, hour // 24
        home = 0.6 + 0.5 * np.exp(-(((at - 20) / 3) ** 2)) + 0.2 * np.exp(-(((at - 8) / 2) ** 2))
        work = 1.3 if 7 <= at < 20 else 0.35
        shape = np.repeat([home, work], [self.residential, self.commercial])
        closed = rng.random(self.customers) < (0.05 if 7 <= at < 20 else 0.3)
        shape[self.residential :][closed[self.residential :]] = 0
        shape[self.factory] = 1.6 if day % 7 < 6 and 6 <= at < 22 else 0.05
        load = self.mean * shape * rng.lognormal(-0.03, 0.25, self.customers)
        return np.minimum(np.round(load).astype(np.int64) * WH, self.most)

    @cached_property
    def first(self) -> int:
        """2026-10-01 on the city's clock, which is not moved in this quarter. Milliseconds."""
        return milliseconds(datetime(2026, 10, 1, tzinfo=ZoneInfo(self.city.zone)))

    def window(self, hour: int) -> Window:
        return Window(self.first + hour * HOUR, self.first + (hour + 1) * HOUR)

    def active(self, hour: int) -> np.ndarray:
        """Which customers are registered in an hour: six of ten, and all of them from `JOINED` on."""
        return self._first_ones | (hour >= JOINED)

    @cached_property
    def _first_ones(self) -> np.ndarray:
        return np.random.default_rng([self.seed, 4]).random(self.customers) < 0.6

    def counts(self, hour: int) -> Mapping[tuple[str, str], int]:
        """(district, class) -> customers."""
        ids, which = [district.id for district in self.city.districts], self.active(hour)
        return Counter(
            (ids[place], str(class_)) for place, class_ in zip(self.district[which], self.class_[which], strict=True)
        )
