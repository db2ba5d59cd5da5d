"""Looking sources up in the register: from an id and a time to what a message holds of the source."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from ingest.identity import is_source_id, normal
from ingest.register_changes import FRESH_MS
from schemas.catalogue import Metric
from store.database import Connection
from store.resolution import SourceReader
from store.source_history import Resolved

UNKNOWN_SOURCE = "unknown-source"
"""Why a reading is refused whose source is not in the register at its time."""

Number = TypeVar("Number", bound=np.generic)


@dataclass(frozen=True, slots=True, eq=False)
class SourceColumns:
    """Sources as columns of shape (n,): `known` bool, the rest is 0 where it is false.

    `number` and `contributor` uint32; `area` int32; `class_` uint8, an index into the metric's classes; `fact` uint32,
    what the register knows of the source in the unit of its metric (`ingest.facts`), 0 if that is nothing.
    """

    known: NDArray[np.bool_]
    number: NDArray[np.uint32]
    contributor: NDArray[np.uint32]
    area: NDArray[np.int32]
    class_: NDArray[np.uint8]
    fact: NDArray[np.uint32]

    def take(self, rows: NDArray[np.integer]) -> "SourceColumns":
        """The sources at these places, in this order; a place may occur more than once."""
        return SourceColumns(
            self.known[rows],
            self.number[rows],
            self.contributor[rows],
            self.area[rows],
            self.class_[rows],
            self.fact[rows],
        )


@dataclass(frozen=True, slots=True)
class RegisterEntry:
    """One source as it is registered for a metric at a time; `fact` as in `SourceColumns`."""

    metric: Metric
    number: int
    contributor: int
    area: int
    class_: str
    fact: int = 0


class MetricSources(Protocol):
    """The sources of one metric as they are registered at `holds_from_ms <= time < holds_until_ms`."""

    @property
    def holds_from_ms(self) -> int: ...

    @property
    def holds_until_ms(self) -> int: ...

    def look_up(self, ids: Sequence[str]) -> SourceColumns:
        """The sources with these ids, in any spelling of them, in this order, shape (len(ids),)."""


class Register:
    """Sources by metric, id and time. `read(metric, time_ms)` reads a metric's sources as they are at a time.

    What was read of a metric is used again for the times for which it holds, and no longer than `FRESH_MS` by `clock`:
    a change that is loaded meanwhile is noticed before it holds. Times are milliseconds since 1970, UTC. One thread.
    """

    def __init__(self, read: Callable[[Metric, int], MetricSources], clock: Callable[[], int]) -> None:
        self._read = read
        self._clock = clock
        self._cached: dict[str, tuple[MetricSources, int]] = {}

    def at(self, metric: Metric, time_ms: int) -> MetricSources:
        """The sources of a metric at a time. Raises `store.register_columns.RegisterError` if they can't be used."""
        now = self._clock()
        cached = self._cached.get(metric.name)
        if cached is not None:
            sources, read_ms = cached
            if 0 <= now - read_ms < FRESH_MS and sources.holds_from_ms <= time_ms < sources.holds_until_ms:
                return sources
        sources = self._read(metric, time_ms)
        self._cached[metric.name] = sources, now
        return sources

    def find(self, metrics: Sequence[Metric], source: str, time_ms: int) -> RegisterEntry | None:
        """The source with this id, of the first of these metrics that it is registered for at a time."""
        if not is_source_id(normal(source)):
            return None
        for metric in metrics:
            columns = self.at(metric, time_ms).look_up([source])
            if columns.known[0]:
                return RegisterEntry(
                    metric,
                    number=int(columns.number[0]),
                    contributor=int(columns.contributor[0]),
                    area=int(columns.area[0]),
                    class_=metric.classes[int(columns.class_[0])],
                    fact=int(columns.fact[0]),
                )
        return None


def facts_of(register: Register, metric: Metric) -> Callable[[str, int], int | None]:
    """The fact of a source of a metric at a time: 0 if the register knows none, None if it has no such source."""
    known: dict[str, tuple[MetricSources, int | None]] = {}

    def fact(source: str, time_ms: int) -> int | None:
        sources = register.at(metric, time_ms)
        found = known.get(source)
        if found is None or found[0] is not sources:
            columns = sources.look_up([source])
            found = known[source] = sources, int(columns.fact[0]) if columns.known[0] else None
        return found[1]

    return fact


def stored_register(connection: Connection, clock: Callable[[], int], source: str | None = None) -> Register:
    """The register in the database: all its sources, or the one with this id. `clock` gives milliseconds since 1970."""
    readers: dict[str, SourceReader] = {}

    def read(metric: Metric, time_ms: int) -> StoredSources:
        if metric.name not in readers:
            only = None if source is None else [source, normal(source)]
            readers[metric.name] = SourceReader(connection, metric.name, metric.classes, only)
        return StoredSources(readers[metric.name].at(time_ms))

    return Register(read, clock)


@dataclass(frozen=True, slots=True)
class StoredSources:
    """Implements `MetricSources` on what `store.resolution` read."""

    resolved: Resolved

    @property
    def holds_from_ms(self) -> int:
        return self.resolved.holds_from_ms

    @property
    def holds_until_ms(self) -> int:
        return self.resolved.holds_until_ms

    def look_up(self, ids: Sequence[str]) -> SourceColumns:
        row = self._rows_of(ids)
        known = row >= 0
        values = self.resolved.values(row[known])
        return SourceColumns(
            known,
            _filled(values.number, known),
            _filled(values.contributor, known),
            _filled(values.area, known),
            _filled(values.class_, known),
            _filled(values.fact, known),
        )

    def _rows_of(self, ids: Sequence[str]) -> NDArray[np.int64]:
        """The row of each id; -1 without one. An id is looked up as it is, and in its normal form if it isn't found.

        In this order, a register from before ids had a normal form resolves every reading as it did then.
        """
        row = self.resolved.rows_of([source if is_source_id(source) else "" for source in ids])
        forms = {at: normal(ids[at]) for at in np.flatnonzero(row < 0).tolist()}
        other = [at for at, form in forms.items() if form != ids[at] and is_source_id(form)]
        if other:
            row[other] = self.resolved.rows_of([forms[at] for at in other])
        return row


def _filled(values: NDArray[Number], where: NDArray[np.bool_]) -> NDArray[Number]:
    """The values in order at the places `where`, 0 at all others: shape (len(where),)."""
    column = np.zeros(len(where), values.dtype)
    column[where] = values
    return column
