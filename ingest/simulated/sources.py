"""What the simulator needs of simulated sources: their ids, and what they read in a span of time.

All of it is drawn from one seed. A stream is bound to the register as it is at a time, and its readings have the
register's numbers; readings of sources that are not in the register are refused.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ingest.batches import ReadingColumns
from ingest.cities import City
from ingest.register import MetricSources
from ingest.register_table import COLUMNS
from schemas.catalogue import Metric
from store.deliveries import Refused

_VALID_FROM = "2015-01-01"


@dataclass(frozen=True, slots=True, eq=False)
class StreamReadings:
    """What a stream's sources read: `readings` of registered sources, and the refused ones of the others."""

    readings: ReadingColumns
    refused: Sequence[Refused]


class SimulatedStream(Protocol):
    """The sources of one metric, bound to the register as it is for a span of time."""

    @property
    def metric(self) -> Metric: ...

    @property
    def sources(self) -> MetricSources: ...

    def read(self, start_ms: int, end_ms: int) -> StreamReadings:
        """All that is read at start <= time < end; the same for the same span, whatever was read before."""


class SimulatedSources(Protocol):
    """A city's simulated sources of one topic."""

    @property
    def city(self) -> City: ...

    @property
    def origin(self) -> str:
        """The name under which their refused readings are kept, with `/` and the metric after it."""

    @property
    def entropy(self) -> tuple[int, ...]:
        """The seed of everything drawn: different for two sizes of a city."""

    @property
    def metrics(self) -> Sequence[Metric]:
        """The metrics they measure, one stream each."""

    @property
    def grain_ms(self) -> int:
        """Every reading begins a multiple of so many milliseconds after a quarter of an hour."""

    def bind(self, metric: Metric, sources: MetricSources) -> SimulatedStream:
        """The stream of a metric, for the span in which `sources` hold."""

    def register(self) -> Iterator[dict[str, str]]:
        """The rows of their register file."""


def marks(rng: np.random.Generator, count: int) -> NDArray[np.int64]:
    """`count` different numbers of at most ten digits, in random order: shape (count,)."""
    numbers = np.cumsum(rng.integers(1, 10**10 // (count + 1), count))
    rng.shuffle(numbers)
    return numbers


def places(city: City, rng: np.random.Generator, count: int) -> NDArray[np.int64]:
    """Districts for `count` sources, in proportion to population: indexes into `city.districts`, shape (count,)."""
    weights = np.array([district.population for district in city.districts], float)
    return rng.choice(len(weights), count, p=weights / weights.sum())


def register_row(source: str, metric: str, district: str, contributor: str, class_: str) -> dict[str, str]:
    """A row of the register file, for a source that is valid since long ago and without an end."""
    return dict(zip(COLUMNS, (source, metric, district, contributor, class_, _VALID_FROM, ""), strict=True))
