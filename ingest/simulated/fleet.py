"""A simulated city's customers, their meters and the meters' values, all drawn from one seed."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from zlib import crc32
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from ingest.batches import ReadingColumns
from ingest.cities import City
from ingest.register import UNKNOWN_SOURCE, MetricSources
from ingest.simulated.loads import moment_in
from ingest.simulated.sources import StreamReadings, marks, places, register_row
from schemas.catalogue import Metric, catalogue
from store.deliveries import Refused

IMPORT = "energy.import"
SOLAR = "energy.solar"
INTERVAL_MS = 15 * 60_000
PEOPLE_PER_METER = 3.3
"""The mean size of a household in both shipped cities; a meter serves a household."""

_CLASSES = ("residential", "commercial")
_BUSINESS_SHARE = 0.13
_SOLAR_SHARE = 0.10
_HOME_MEAN_W = 380.0
_BUSINESS_MEAN_W = 1800.0
_BUSINESS_TAIL = 2.0
_BUSINESS_LARGEST = 4.0
"""Businesses' sizes follow a power law, cut at this multiple of the smallest, so that a business is rarely more than
15 % of an area of 45."""
_SOLAR_PEAK_W = (1500.0, 6000.0)
_MILLIJOULES_PER_WATT = INTERVAL_MS
"""A watt over an interval of so many milliseconds is so many millijoules: whole watts are whole smallest units."""


@dataclass(frozen=True, slots=True, eq=False)
class Channels:
    """The metering channels of one metric, as columns of shape (n,), in random order.

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
    """Implements `ingest.simulated.sources.SimulatedSources` for `meters` customers of a city.

    Each has an import channel, and some have a solar plant's.

    `strays` more send readings but are in no register. Raises `ValueError` for fewer than one meter.
    """

    def __init__(self, city: City, meters: int, seed: int, strays: int = 1) -> None:
        if meters < 1:
            raise ValueError(f"a simulated city needs at least one meter, not {meters}")
        self.city = city
        self.meters = meters
        self.seed = seed
        # The number of meters is included, so that two sizes of a city share no id in a register.
        self.entropy = (seed, meters, crc32(city.id.encode()))
        self._clock = ZoneInfo(city.zone)
        self._draw(np.random.default_rng(self.entropy), meters + strays)

    @property
    def people(self) -> int:
        """How many people the meters serve."""
        return round(self.meters * PEOPLE_PER_METER)

    def _draw(self, rng: np.random.Generator, count: int) -> None:
        self._district = places(self.city, rng, count)
        business = rng.random(count) < _BUSINESS_SHARE
        homes = _HOME_MEAN_W * rng.lognormal(-0.125, 0.5, count)
        tail = np.minimum((1 - rng.random(count)) ** (-1 / _BUSINESS_TAIL), _BUSINESS_LARGEST)
        size = np.where(business, _BUSINESS_MEAN_W * tail / 1.7, homes).astype(np.float32)
        numbers = marks(rng, 3 * count)
        prefix = f"SIM-{self.city.id}-{self.seed}-{self.meters}"
        self._contributors = [f"{prefix}-C{mark:010d}" for mark in numbers[:count].tolist()]
        plants = np.flatnonzero(rng.random(count) < _SOLAR_SHARE)
        peak = rng.uniform(*_SOLAR_PEAK_W, len(plants)) * np.where(business[plants], 2, 1)
        self.imports = Channels(
            IMPORT,
            tuple(f"{prefix}-M{mark:010d}" for mark in numbers[count : 2 * count].tolist()),
            np.arange(count),
            business,
            size,
            np.zeros(count, np.float32),
        )
        self.plants = Channels(
            SOLAR,
            tuple(f"{prefix}-S{mark:010d}" for mark in numbers[2 * count :][plants].tolist()),
            plants,
            business[plants],
            peak.astype(np.float32),
            rng.integers(1, 6, len(plants)).astype(np.float32),
        )

    @property
    def origin(self) -> str:
        return f"simulated/{self.city.id}/{self.seed}/{self.meters}"

    @property
    def metrics(self) -> Sequence[Metric]:
        return [catalogue()[channels.metric] for channels in self.channels]

    @property
    def grain_ms(self) -> int:
        return INTERVAL_MS

    def bind(self, metric: Metric, sources: MetricSources) -> "MeterStream":
        channels = next(channels for channels in self.channels if channels.metric == metric.name)
        return MeterStream(self, channels, metric, sources)

    @property
    def channels(self) -> tuple[Channels, ...]:
        """The channels of each metric."""
        return (self.imports, self.plants)

    def values(self, channels: Channels, start_ms: int) -> NDArray[np.float64]:
        """Each channel's value for the interval from `start_ms`: shape (n,), whole millijoules.

        The same for the same interval, in whatever order intervals are read.
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
        districts = [self.city.districts[index].id for index in self._district.tolist()]
        for channels in self.channels:
            rows = zip(channels.ids, channels.customer.tolist(), channels.business.tolist(), strict=True)
            for source, customer, business in rows:
                if customer >= self.meters:
                    continue  # a stray
                known = (source, channels.metric, districts[customer], self._contributors[customer])
                yield register_row(*known, _CLASSES[business])


class MeterStream:
    """Implements `ingest.simulated.sources.SimulatedStream` for the channels of one metric.

    Columns that are the same in every step are computed once, in the order in which they are sent.
    """

    def __init__(self, fleet: Fleet, channels: Channels, metric: Metric, sources: MetricSources) -> None:
        self.metric = metric
        self.sources = sources
        self._fleet = fleet
        self._channels = channels
        columns = sources.look_up(channels.ids)
        known = np.flatnonzero(columns.known)
        self._channel = known[np.lexsort((columns.class_[known], columns.area[known]))]
        self._columns = columns.take(self._channel)
        self._strays: list[int] = np.flatnonzero(~columns.known).tolist()
        self._layouts: dict[int, tuple[NDArray[np.int64], ReadingColumns]] = {}

    def read(self, start_ms: int, end_ms: int) -> StreamReadings:
        """The intervals that begin in the span, in order of area, class and time."""
        intervals = -(-(end_ms - start_ms) // INTERVAL_MS)
        values = np.stack([self._fleet.values(self._channels, start_ms + n * INTERVAL_MS) for n in range(intervals)])
        order, layout = self._layout(intervals)
        readings = replace(layout, start=layout.start + start_ms, value=values.ravel()[order])
        return StreamReadings(readings, list(self._unknown(start_ms, values)))

    def _layout(self, intervals: int) -> tuple[NDArray[np.int64], ReadingColumns]:
        """For so many intervals: the index of each reading in the flat values, and all columns but time and value."""
        if intervals not in self._layouts:
            interval, place = (side.ravel() for side in np.indices((intervals, len(self._channel))))
            sort = np.lexsort((interval, self._columns.class_[place], self._columns.area[place]))
            interval, place = interval[sort], place[sort]
            columns = self._columns.take(place)
            layout = ReadingColumns.of(
                self.metric, INTERVAL_MS, columns, start=interval * INTERVAL_MS, value=np.zeros(len(place))
            )
            self._layouts[intervals] = interval * len(self._channels.ids) + self._channel[place], layout
        return self._layouts[intervals]

    def _unknown(self, start_ms: int, values: NDArray[np.float64]) -> Iterable[Refused]:
        for channel in self._strays:
            for interval, value in enumerate(values[:, channel].tolist()):
                start = start_ms + interval * INTERVAL_MS
                position = start // INTERVAL_MS * len(self._channels.ids) + channel
                original = f"{self._channels.ids[channel]},{start},{value:.0f}"
                yield Refused(position, UNKNOWN_SOURCE, original.encode())
