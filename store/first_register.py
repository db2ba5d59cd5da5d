"""The first load of a register, into empty tables: rows are checked and numbered in memory, and copied once.

A row takes about 240 bytes with ids of 16 and 19 characters. `store.register` adds to a register that has rows.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, LiteralString, TypeVar

import numpy as np
from numpy.typing import NDArray

from store import binary_rows as binary
from store import register_indices as indices
from store.database import Connection
from store.register_columns import Loaded, RegisterColumns, RegisteredPlace, RegisterError
from store.spellings import Comparable, Spellings, refuse_nearly_equal
from store.texts import Texts, repeated

COPIED_AT_ONCE = 20_000
"""Rows that are brought into PostgreSQL's format at once."""

_CONTRIBUTORS: LiteralString = "COPY contributors (number, contributor) FROM STDIN (FORMAT binary)"
_SOURCES: LiteralString = """
COPY sources (number, metric, district, class, source, contributor, valid_from, valid_to, fact)
FROM STDIN (FORMAT binary)
"""
_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # odd: metrics change the hash of a source to different ones

Number = TypeVar("Number", bound=np.generic)


class _HeldIds:
    """The ids of a column in the order of the rows: bytes, a short length for each, and its hash."""

    def __init__(self, comparable: Comparable) -> None:
        self._data: list[NDArray[np.uint8]] = []
        self._length: list[NDArray[np.uint32]] = []
        self._spellings = Spellings(comparable)

    def add(self, ids: Texts, line: NDArray[np.int64]) -> None:
        self._data.append(ids.data)
        self._length.append(ids.length.astype(np.uint32))
        self._spellings.add(ids, line)

    def nearly_equal(self) -> Sequence[Sequence[Sequence[int]]]:
        return self._spellings.groups()

    def taken(self) -> tuple[Texts, NDArray[np.uint64]]:
        """All ids and their hashes, which are not held afterwards."""
        hashes = self._spellings.hashes()
        self._spellings.clear()
        return Texts.end_to_end(_whole(self._data, np.uint8), _whole(self._length, np.int64)), hashes


class FirstRows:
    """The rows of a load, taken in blocks. `comparable` gives the forms that nearly equal ids share."""

    def __init__(self, comparable: Comparable) -> None:
        self._source, self._contributor = _HeldIds(comparable), _HeldIds(comparable)
        self._line: list[NDArray[np.int64]] = []
        self._places: dict[RegisteredPlace, int] = {}
        self._place: list[NDArray[np.int32]] = []
        self._begins: list[NDArray[np.int64]] = []
        self._ends: list[NDArray[np.int64]] = []
        self._fact: list[NDArray[np.int64]] = []

    def add(self, block: RegisterColumns) -> None:
        """Keep the rows of a block; either all blocks have facts or none has."""
        self._source.add(block.source, block.line)
        self._contributor.add(block.contributor, block.line)
        self._line.append(block.line)
        places = [self._places.setdefault(place, len(self._places)) for place in block.places]
        self._place.append(np.array(places, np.int32)[block.place])
        self._begins.append(block.valid_from_ms)
        self._ends.append(block.valid_to_ms)
        if block.fact is not None:
            self._fact.append(block.fact)

    def nearly_equal(self) -> Mapping[str, Sequence[Sequence[Sequence[int]]]]:
        """`Spellings.groups` of both columns of ids, by the lines of their rows."""
        return {"source": self._source.nearly_equal(), "contributor": self._contributor.nearly_equal()}

    def taken(self) -> tuple[RegisterColumns, NDArray[np.uint64], NDArray[np.uint64]]:
        """All rows, with the hashes of their sources and of their contributors; afterwards none are held."""
        source, source_hashes = self._source.taken()
        contributor, contributor_hashes = self._contributor.taken()
        rows = RegisterColumns(
            _whole(self._line, np.int64),
            source,
            contributor,
            list(self._places),
            _whole(self._place, np.int64),
            _whole(self._begins, np.int64),
            _whole(self._ends, np.int64),
            _whole(self._fact, np.int64) if self._fact else None,
        )
        return rows, source_hashes, contributor_hashes


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class NumberedRows:
    """The rows of a first load: a row of each contributor in the order of their numbers, and each row's contributor."""

    rows: RegisterColumns
    contributors: NDArray[np.int64]
    contributor: NDArray[np.int64]


def numbered_rows(held: FirstRows) -> NumberedRows:
    """Check and number the rows; afterwards none are held. Raises `RegisterError` as `store.register.load` does."""
    nearly = held.nearly_equal()
    rows, source_hashes, contributor_hashes = held.taken()
    again, same = _repeated(rows, source_hashes)
    del source_hashes  # what is not needed any more is large
    _refuse_twice(again, same)
    for column, groups in nearly.items():
        refuse_nearly_equal(groups, column)
    _refuse_overlap(again, same)
    return NumberedRows(rows, *_numbered(rows.contributor, contributor_hashes))


def load_first(connection: Connection, load: NumberedRows, rebuilt_from: int) -> Loaded:
    """Load the rows into a register that has none and that the transaction has locked."""
    rows = load.rows
    rebuilt = len(rows) >= rebuilt_from
    if rebuilt:
        indices.drop(connection)
    binary.copy(connection, _CONTRIBUTORS, _contributors(rows.contributor, load.contributors))
    if rebuilt:
        indices.build_contributors(connection)
    binary.copy(connection, _SOURCES, _sources(rows, load.contributor))
    if rebuilt:
        indices.build_sources(connection)
    return Loaded(len(rows), 0, 0, len(load.contributors))


def _numbered(ids: Texts, hashes: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """A row of each different id, in random order, and the place of each row's id in that order."""
    first, which = ids.told_apart(hashes)
    shuffled = _shuffled(len(first))
    number = np.empty(len(first), np.int64)
    number[shuffled] = np.arange(len(first))
    return first[shuffled], number[which]


def _repeated(rows: RegisterColumns, hashes: NDArray[np.uint64]) -> tuple[RegisterColumns, NDArray[np.bool_]]:
    """Rows of sources that have several rows for a metric: in the order of source, metric, valid_from and line.

    And whether each of them but the first has the source and the metric of the one before.
    """
    keys = rows.metrics().view(np.uint64) * _FACTOR
    keys += hashes
    at = repeated(keys)
    _, which = rows.source.take(at).told_apart(hashes[at])
    metric = rows.metrics()[at]
    group = which * (int(metric.max(initial=0)) + 1) + metric
    by_time = np.lexsort((rows.line[at], rows.valid_from_ms[at], group))
    group = group[by_time]
    return rows.take(at[by_time]), group[1:] == group[:-1]


def _refuse_twice(rows: RegisterColumns, same: NDArray[np.bool_]) -> None:
    twice = same & (np.diff(rows.valid_from_ms) == 0)
    if twice.any():
        outside = np.zeros(1, np.bool_)
        begins = np.flatnonzero(twice & ~np.concatenate([outside, twice[:-1]]))
        ends = np.flatnonzero(twice & ~np.concatenate([twice[1:], outside])) + 1
        earliest = int(np.argmin(rows.line[ends]))
        raise RegisterError(
            f"the same source, metric and valid_from as line {rows.line[begins[earliest]]}",
            int(rows.line[ends[earliest]]),
            "source",
        )


def _refuse_overlap(rows: RegisterColumns, same: NDArray[np.bool_]) -> None:
    overlapping = same & (rows.valid_to_ms[:-1] > rows.valid_from_ms[1:])
    if overlapping.any():
        line = int(rows.line[1:][overlapping].min())
        raise RegisterError("the source is valid in another row at the same time", line, "valid_from")


def _shuffled(count: int) -> NDArray[np.int64]:
    """The numbers below `count` in an order that can't be guessed: by the system's randomness."""
    return np.argsort(np.frombuffer(os.urandom(8 * count), np.uint64))


def _contributors(ids: Texts, rows: NDArray[np.int64]) -> Iterator[bytes]:
    """The contributors in these rows, numbered from 0 on."""
    for begin in range(0, len(rows), COPIED_AT_ONCE):
        at = rows[begin : begin + COPIED_AT_ONCE]
        yield binary.rows([binary.integers(np.arange(begin, begin + len(at))), binary.texts(ids.take(at))])


def _sources(rows: RegisterColumns, contributor: NDArray[np.int64]) -> Iterator[bytes]:
    """All rows, numbered from 0 on in random order; `contributor` has a number for each."""
    shuffled = _shuffled(len(rows))
    for begin in range(0, len(rows), COPIED_AT_ONCE):
        at = shuffled[begin : begin + COPIED_AT_ONCE]
        of = rows.take(at)
        fact = np.zeros(len(of), np.int64) if of.fact is None else of.fact
        yield binary.rows(
            [
                binary.integers(np.arange(begin, begin + len(of))),
                binary.chosen(of.places, of.place),
                binary.texts(of.source),
                binary.integers(contributor[at]),
                binary.times(of.valid_from_ms),
                binary.times(of.valid_to_ms),
                binary.integers(fact, fact > 0),
            ]
        )


def _whole(parts: list[NDArray[Any]], kind: type[Number]) -> NDArray[Number]:
    """All parts in one; the list is emptied, because together both are large."""
    whole = np.concatenate([np.zeros(0, kind), *parts], dtype=kind)
    parts.clear()
    return whole
