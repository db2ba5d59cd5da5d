"""What simulated sources are to the simulator: who they are, and what they read in a span of time.

They are known by their own ids, and everything about them is drawn from one seed. Bound to the register of a time,
their streams read in the register's numbers; what the register does not know is refused.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ingest.batches import ReadingColumns
from ingest.cities import City
from ingest.register import MetricSources
from ingest.register_file import COLUMNS
from schemas.catalogue import Metric
from store.deliveries import Refused

_VALID_FROM = "2015-01-01"


@dataclass(frozen=True, slots=True, eq=False)
class Heard:
    """What came from a stream's sources: readings of those that the register knows, and what the others sent."""

    readings: ReadingColumns
    unknown: Sequence[Refused]


class SimulatedStream(Protocol):
    """The sources of one metric, bound to the register as it is for a while."""

    @property
    def metric(self) -> Metric: ...

    @property
    def sources(self) -> MetricSources: ...

    def read(self, start_ms: int, end_ms: int) -> Heard:
        """All that is read at start <= time < end. The same span gives the same, whatever was asked before."""


class Sources(Protocol):
    """A city's simulated sources of one topic."""

    @property
    def city(self) -> City: ...

    @property
    def origin(self) -> str:
        """What they are called where their refused readings are kept."""

    @property
    def entropy(self) -> tuple[int, ...]:
        """What everything is drawn from: never the same for two sizes of a city."""

    @property
    def metrics(self) -> Sequence[Metric]:
        """What they measure, one stream a metric."""

    @property
    def grain_ms(self) -> int:
        """Every reading begins at a multiple of so many milliseconds from a quarter of an hour on."""

    def bind(self, metric: Metric, sources: MetricSources) -> SimulatedStream:
        """The stream of a metric, for as long as the register holds."""

    def register(self) -> Iterator[dict[str, str]]:
        """The rows of their register file."""


def marks(rng: np.random.Generator, count: int) -> NDArray[np.int64]:
    """`count` different numbers of at most ten digits, in random order."""
    found = np.cumsum(rng.integers(1, 10**10 // (count + 1), count))
    rng.shuffle(found)
    return found


def places(city: City, rng: np.random.Generator, count: int) -> NDArray[np.int64]:
    """Districts for `count` sources, as people live in them: places in `city.districts`, shape (count,)."""
    weights = np.array([district.population for district in city.districts], float)
    return rng.choice(len(weights), count, p=weights / weights.sum())


def register_row(source: str, metric: str, district: str, contributor: str, class_: str) -> dict[str, str]:
    """A row of the register file: a source that has been there for long and stays."""
    return dict(zip(COLUMNS, (source, metric, district, contributor, class_, _VALID_FROM, ""), strict=True))
