"""A simulated city's customers and their meters, and the values that these read. Everything hangs on one seed."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from zlib import crc32
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from ingest.cities import City
from ingest.loads import moment_in
from ingest.register import COLUMNS

IMPORT = "energy.import"
SOLAR = "energy.solar"
INTERVAL_MS = 15 * 60_000
PEOPLE_PER_METER = 3.3
"""Size of a household in both shipped cities, about: a meter serves one."""

_CLASSES = ("residential", "commercial")
_BUSINESS_SHARE = 0.13
_SOLAR_SHARE = 0.10
_HOME_MEAN_W = 380.0
_BUSINESS_MEAN_W = 1800.0
_BUSINESS_TAIL = 2.0
_BUSINESS_LARGEST = 4.0
"""Businesses' sizes follow a power law, cut at so many times the smallest: one of them must rarely be more than 15 % of
an area that is drawn for 18."""
_SOLAR_PEAK_W = (1500.0, 6000.0)
_VALID_FROM = "2015-01-01"
_MILLIJOULES_PER_WATT = INTERVAL_MS
"""A watt over an interval of so many milliseconds is so many millijoules: whole watts are whole smallest units."""


@dataclass(frozen=True, slots=True, eq=False)
class Channels:
    """The metering channels of one metric, as columns of shape (n,), in an order that says nothing about them.

    `customer` int64 counts customers; `business` bool; `size` float32, watts: mean power, or peak of a solar plant;
    `standby` float32, watts that a solar inverter draws at night.
    """

    metric: str
    ids: tuple[str, ...]
    customer: NDArray[np.int64]
    business: NDArray[np.bool_]
    size: NDArray[np.float32]
    standby: NDArray[np.float32]


class Fleet:
    """`meters` customers of a city, each with an import channel and some with a solar plant's.

    `strays` more send readings but are in no register. Raises `ValueError` for fewer than one meter.
    """

    def __init__(self, city: City, meters: int, seed: int, strays: int = 1) -> None:
        if meters < 1:
            raise ValueError(f"a simulated city needs at least one meter, not {meters}")
        self.city = city
        self.meters = meters
        self.seed = seed
        # The number of meters goes in, too, so that two sizes of a city never disagree about one id in a register.
        self.entropy = (seed, meters, crc32(city.id.encode()))
        self._clock = ZoneInfo(city.zone)
        self._draw(np.random.default_rng(self.entropy), meters + strays)

    @property
    def people(self) -> int:
        """How many people the meters serve."""
        return round(self.meters * PEOPLE_PER_METER)

    def _draw(self, rng: np.random.Generator, count: int) -> None:
        weights = np.array([district.population for district in self.city.districts], float)
        self._district = rng.choice(len(weights), count, p=weights / weights.sum())
        business = rng.random(count) < _BUSINESS_SHARE
        homes = _HOME_MEAN_W * rng.lognormal(-0.125, 0.5, count)
        tail = np.minimum((1 - rng.random(count)) ** (-1 / _BUSINESS_TAIL), _BUSINESS_LARGEST)
        size = np.where(business, _BUSINESS_MEAN_W * tail / 1.7, homes).astype(np.float32)
        marks = _marks(rng, 3 * count)
        prefix = f"SIM-{self.city.id}-{self.seed}-{self.meters}"
        self._contributors = [f"{prefix}-C{mark:010d}" for mark in marks[:count].tolist()]
        plants = np.flatnonzero(rng.random(count) < _SOLAR_SHARE)
        peak = rng.uniform(*_SOLAR_PEAK_W, len(plants)) * np.where(business[plants], 2, 1)
        self.imports = Channels(
            IMPORT,
            tuple(f"{prefix}-M{mark:010d}" for mark in marks[count : 2 * count].tolist()),
            np.arange(count),
            business,
            size,
            np.zeros(count, np.float32),
        )
        self.plants = Channels(
            SOLAR,
            tuple(f"{prefix}-S{mark:010d}" for mark in marks[2 * count :][plants].tolist()),
            plants,
            business[plants],
            peak.astype(np.float32),
            rng.integers(1, 6, len(plants)).astype(np.float32),
        )

    @property
    def origin(self) -> str:
        """What the fleet is called where its refused readings are kept."""
        return f"simulated/{self.city.id}/{self.seed}/{self.meters}"

    @property
    def channels(self) -> tuple[Channels, ...]:
        """The channels of each metric."""
        return (self.imports, self.plants)

    def values(self, channels: Channels, start_ms: int) -> NDArray[np.float64]:
        """What each channel reads for the interval from `start_ms`: shape (n,), whole millijoules.

        The same fleet reads the same for an interval, whatever was asked before.
        """
        local = datetime.fromtimestamp(start_ms / 1000, self._clock)
        shared = moment_in(self.city.country, self.city.latitude, self.city.longitude, local)
        kind = crc32(channels.metric.encode())
        rng = np.random.default_rng((*self.entropy, start_ms // INTERVAL_MS, kind))
        noise = rng.standard_normal(len(channels.ids), np.float32)
        if channels.metric == SOLAR:
            day = np.random.default_rng((*self.entropy, local.toordinal()))
            sky = shared.sun * day.beta(6, 1.5)
            watts = channels.size * np.float32(sky) * np.clip(1 + np.float32(0.08) * noise, 0, 1.2)
            watts = np.where(watts < 1, -channels.standby, watts)
        else:
            shape = np.where(channels.business, np.float32(shared.business), np.float32(shared.home))
            # The spread of a business is small: its machines run by the clock.
            spread = np.where(channels.business, np.float32(0.1), np.float32(0.5))
            watts = channels.size * shape * np.exp(spread * noise - spread * spread / 2)
        millijoules: NDArray[np.float64] = np.rint(watts).astype(np.float64) * _MILLIJOULES_PER_WATT
        return millijoules

    def register(self) -> Iterator[dict[str, str]]:
        """The rows of the fleet's register file."""
        districts = [self.city.districts[index].id for index in self._district.tolist()]
        for channels in self.channels:
            rows = zip(channels.ids, channels.customer.tolist(), channels.business.tolist(), strict=True)
            for source, customer, business in rows:
                if customer >= self.meters:
                    continue  # a stray
                known = (source, channels.metric, districts[customer], self._contributors[customer])
                yield dict(zip(COLUMNS, (*known, _CLASSES[business], _VALID_FROM, ""), strict=True))

    def write_register(self, path: Path) -> None:
        """Write the register file that `ingest.register.load_register` reads."""
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.register())


def _marks(rng: np.random.Generator, count: int) -> NDArray[np.int64]:
    """`count` different numbers of at most ten digits, in random order."""
    marks = np.cumsum(rng.integers(1, 10**10 // (count + 1), count))
    rng.shuffle(marks)
    return marks
