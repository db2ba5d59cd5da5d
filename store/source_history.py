"""Every row of a metric's sources in memory, whenever it is valid, as columns: found by id and time.

Times are milliseconds since 1970, UTC. A row takes 50 bytes and its id. Rows are sorted by a hash of their ids; a row
is found only if its id itself is equal.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from store.texts import Texts

BEGINNING_MS = 0
NEVER_MS = 2**62
"""Bounds of a resolution that no change limits; also the end of a row without an end."""
Number = TypeVar("Number", bound=np.generic)
AT_ONCE = 20_000
"""Ids that are looked up at once: comparing them takes some hundred bytes for each."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SourceRows:
    """Rows of the register in any order, as columns of equal length. `place` is (district, class).

    `fact` is in the unit of the metric, 0 where it is not known.
    """

    id: Sequence[str]
    place: Sequence[tuple[str, str]]
    number: NDArray[np.uint32]
    contributor: NDArray[np.uint32]
    begins_ms: NDArray[np.int64]
    ends_ms: NDArray[np.int64]
    fact: NDArray[np.uint32]


class SourceValues(NamedTuple):
    """Sources as columns of shape (n,): `class_` is an index into the metric's classes, `fact` 0 if it is not known."""

    number: NDArray[np.uint32]
    contributor: NDArray[np.uint32]
    area: NDArray[np.int32]
    class_: NDArray[np.uint8]
    fact: NDArray[np.uint32]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class _Columns:
    """In ascending order of `key`. An id is `ids[id_start : id_start + id_length]`; `place` counts places."""

    ids: bytearray
    key: NDArray[np.int64]
    number: NDArray[np.uint32]
    contributor: NDArray[np.uint32]
    place: NDArray[np.uint32]
    begins_ms: NDArray[np.int64]
    ends_ms: NDArray[np.int64]
    fact: NDArray[np.uint32]
    id_start: NDArray[np.int64]
    id_length: NDArray[np.uint16]

    def id(self, row: int) -> bytes:
        start = int(self.id_start[row])
        return bytes(self.ids[start : start + int(self.id_length[row])])

    def same_ids(self, rows: NDArray[np.int64], wanted: Texts) -> NDArray[np.bool_]:
        """Whether the id in each row is the text in its place: shape (len(rows),)."""
        written = np.frombuffer(self.ids, np.uint8)
        return Texts(written, self.id_start[rows], self.id_length[rows].astype(np.int64)).same(wanted)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Resolved:
    """The sources of a metric as they are at `holds_from_ms <= time < holds_until_ms`, without a copy of any column."""

    columns: _Columns
    area_of_place: NDArray[np.int32]
    class_of_place: NDArray[np.uint8]
    holds_from_ms: int
    holds_until_ms: int

    def __len__(self) -> int:
        return int(np.count_nonzero(self._valid(slice(None))))

    def holds(self, at_ms: int) -> bool:
        """Whether the sources are the same at `at_ms`."""
        return self.holds_from_ms <= at_ms < self.holds_until_ms

    def ids(self) -> list[str]:
        """The ids of all sources, in ascending order."""
        rows = np.flatnonzero(self._valid(slice(None)))
        return sorted(self.columns.id(row).decode() for row in rows.tolist())

    def rows_of(self, ids: Sequence[str]) -> NDArray[np.int64]:
        """The row of each id, int64 of shape (len(ids),), for `values`; -1 where no such source is valid."""
        found = [self._rows_of(ids[start : start + AT_ONCE]) for start in range(0, len(ids), AT_ONCE)]
        return np.concatenate(found) if found else np.zeros(0, np.int64)

    def _rows_of(self, ids: Sequence[str]) -> NDArray[np.int64]:
        columns = self.columns
        found = np.full(len(ids), -1, np.int64)
        keys = np.fromiter(map(hash, ids), np.int64, len(ids))
        rows = np.searchsorted(columns.key, keys)
        pending = np.arange(len(ids))
        wanted = Texts.of(ids)
        # The rows of one id lie beside each other, with those of any other id that has the same hash.
        while len(pending):
            pending = pending[rows[pending] < len(columns.key)]
            pending = pending[columns.key[rows[pending]] == keys[pending]]
            row = rows[pending]
            matched = self._valid(row)
            matched[matched] = columns.same_ids(row[matched], wanted.take(pending[matched]))
            found[pending[matched]] = row[matched]
            pending = pending[~matched]
            rows[pending] += 1
        return found

    def values(self, rows: NDArray[np.int64]) -> SourceValues:
        """The sources in these rows, in this order."""
        place = self.columns.place[rows]
        return SourceValues(
            self.columns.number[rows],
            self.columns.contributor[rows],
            self.area_of_place[place],
            self.class_of_place[place],
            self.columns.fact[rows],
        )

    def _valid(self, rows: NDArray[np.int64] | slice) -> NDArray[np.bool_]:
        begins, ends = self.columns.begins_ms[rows], self.columns.ends_ms[rows]
        return (begins <= self.holds_from_ms) & (ends > self.holds_from_ms)


class SourceHistory:
    """Rows of the register. What `at` returned stays as it is when rows are added or changed."""

    def __init__(self) -> None:
        self._places: dict[tuple[str, str], int] = {}
        self._ids = bytearray()
        self._added: list[tuple[NDArray[Any], ...]] = []
        kinds = (np.int64, np.uint32, np.uint32, np.uint32, np.int64, np.int64, np.uint32, np.int64, np.uint16)
        empty: list[NDArray[Any]] = [np.zeros(0, kind) for kind in kinds]
        self._columns = _Columns(self._ids, *empty)

    def add(self, rows: SourceRows) -> None:
        """Add rows that are not here yet."""
        for place in set(rows.place) - self._places.keys():
            self._places[place] = len(self._places)
        count = len(rows.id)
        ids = Texts.of(rows.id)
        start = len(self._ids) + ids.start
        self._ids += ids.data.tobytes()
        self._added.append(
            (
                np.fromiter(map(hash, rows.id), np.int64, count),
                rows.number,
                rows.contributor,
                np.fromiter(map(self._places.__getitem__, rows.place), np.uint32, count),
                rows.begins_ms,
                rows.ends_ms,
                rows.fact,
                start,
                ids.length.astype(np.uint16),
            )
        )

    def change(
        self,
        number: NDArray[np.uint32],
        ends_ms: NDArray[np.int64],
        contributor: NDArray[np.uint32],
        fact: NDArray[np.uint32],
    ) -> None:
        """Give the rows with these numbers other ends, contributors, facts. A number that is not here is ignored."""
        self._sort()
        order = np.argsort(number)
        number = number[order]
        rows = np.flatnonzero(np.isin(self._columns.number, number))
        at = order[np.searchsorted(number, self._columns.number[rows])]
        columns = self._columns
        self._columns = replace(
            columns,
            ends_ms=_with(columns.ends_ms, rows, ends_ms[at]),
            contributor=_with(columns.contributor, rows, contributor[at]),
            fact=_with(columns.fact, rows, fact[at]),
        )

    def at(self, time_ms: int, areas: Mapping[str, int], classes: Sequence[str]) -> Resolved:
        """The sources at a time, where `areas` are the areas of districts and `classes` those of the metric.

        Raises `KeyError` with the place of a valid source if its district has no area or its class is not in `classes`.
        """
        self._sort()
        columns = self._columns
        begun, ended = columns.begins_ms <= time_ms, columns.ends_ms <= time_ms
        used = np.bincount(columns.place[begun & ~ended], minlength=len(self._places))
        area = np.zeros(len(self._places), np.int32)
        class_ = np.zeros(len(self._places), np.uint8)
        for place, index in self._places.items():
            if used[index]:
                if place[0] not in areas or place[1] not in classes:
                    raise KeyError(place)
                area[index], class_[index] = areas[place[0]], classes.index(place[1])
        bounds = ((columns.begins_ms, begun), (columns.ends_ms, ended))
        return Resolved(
            columns,
            area,
            class_,
            max(int(np.max(times, where=past, initial=BEGINNING_MS)) for times, past in bounds),
            min(int(np.min(times, where=~past, initial=NEVER_MS)) for times, past in bounds),
        )

    def _sort(self) -> None:
        """Put what was added into the columns, one column after the other: together they are large."""
        if not self._added:
            return
        columns = self._columns
        parts = [
            list(column)
            for column in zip(
                (
                    columns.key,
                    columns.number,
                    columns.contributor,
                    columns.place,
                    columns.begins_ms,
                    columns.ends_ms,
                    columns.fact,
                    columns.id_start,
                    columns.id_length,
                ),
                *self._added,
                strict=True,
            )
        ]
        self._added.clear()
        order = np.argsort(np.concatenate(parts[0]), kind="stable")
        merged = []
        for column in parts:
            merged.append(np.concatenate(column)[order])
            column.clear()
        self._columns = _Columns(self._ids, *merged)


def _with(column: NDArray[Number], rows: NDArray[np.int64], values: NDArray[Number]) -> NDArray[Number]:
    """A copy of a column with other values in these rows."""
    column = column.copy()
    column[rows] = values
    return column
