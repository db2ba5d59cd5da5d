"""The first load of a register, into empty tables: rows are checked and numbered in memory, and copied once.

A row takes about 100 bytes and its ids. `store.register` adds to a register that has rows.
"""

import os
from collections.abc import Iterator
from typing import LiteralString

import numpy as np
from numpy.typing import NDArray

from store import binary_rows as binary
from store import register_indices as indices
from store.database import Connection
from store.register_columns import Loaded, RegisterColumns, RegisterError, in_one
from store.spellings import Comparable, Spellings, refuse_nearly_equal
from store.texts import Texts

COPIED_AT_ONCE = 50_000
"""Rows that are brought into PostgreSQL's format at once."""

_CONTRIBUTORS: LiteralString = "COPY contributors (number, contributor) FROM STDIN (FORMAT binary)"
_SOURCES: LiteralString = """
COPY sources (number, metric, district, class, source, contributor, valid_from, valid_to, fact)
FROM STDIN (FORMAT binary)
"""
_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # odd: metrics change the hash of a source to different ones


class FirstRows:
    """The rows of a load, taken in blocks. `comparable` gives the forms that nearly equal ids share."""

    def __init__(self, comparable: Comparable) -> None:
        self._blocks: list[RegisterColumns] = []
        self._sources, self._contributors = Spellings(comparable), Spellings(comparable)

    def add(self, block: RegisterColumns) -> None:
        """Keep the rows of a block."""
        self._blocks.append(block)
        self._sources.add(block.source, block.line)
        self._contributors.add(block.contributor, block.line)

    def columns(self) -> RegisterColumns:
        """All rows, which are not held afterwards."""
        return in_one(self._blocks)

    def source_hashes(self) -> NDArray[np.uint64]:
        """`Texts.hashes` of each row's source."""
        return self._sources.hashes()

    def contributor_hashes(self) -> NDArray[np.uint64]:
        """`Texts.hashes` of each row's contributor."""
        return self._contributors.hashes()

    def refuse_nearly_equal(self) -> None:
        """Raise `RegisterError` if two sources, or two contributors, are nearly equal."""
        refuse_nearly_equal(self._sources.groups(), "source")
        refuse_nearly_equal(self._contributors.groups(), "contributor")


def load_first(connection: Connection, held: FirstRows, rebuilt_from: int) -> Loaded:
    """Load the rows into a register that has none and that the transaction has locked. See `store.register.load`."""
    rows = held.columns()
    again, same = _repeated(rows, held.source_hashes())
    _refuse_twice(again, same)
    held.refuse_nearly_equal()
    _refuse_overlap(again, same)
    first, which = rows.contributor.told_apart(held.contributor_hashes())
    shuffled = _shuffled(len(first))
    number = np.empty(len(first), np.int64)
    number[shuffled] = np.arange(len(first))
    rebuilt = len(rows) >= rebuilt_from
    if rebuilt:
        indices.drop(connection)
    binary.copy(connection, _CONTRIBUTORS, _contributors(rows.contributor, first[shuffled]))
    if rebuilt:
        indices.build_contributors(connection)
    binary.copy(connection, _SOURCES, _sources(rows, number[which]))
    if rebuilt:
        indices.build_sources(connection)
    return Loaded(len(rows), 0, 0, len(first))


def _repeated(rows: RegisterColumns, hashes: NDArray[np.uint64]) -> tuple[RegisterColumns, NDArray[np.bool_]]:
    """Rows of sources that have several rows for a metric: in the order of source, metric, valid_from and line.

    And whether each of them but the first has the source and the metric of the one before.
    """
    metric = rows.metrics()
    keys = hashes + metric.astype(np.uint64) * _FACTOR
    order = np.argsort(keys)
    equal = np.diff(keys[order]) == 0
    at = np.unique(np.concatenate([order[1:][equal], order[:-1][equal]]))
    _, which = rows.source.take(at).told_apart(hashes[at])
    group = which * (int(metric.max(initial=0)) + 1) + metric[at]
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
