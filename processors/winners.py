"""Which rows of a window count: one for each source and interval, none that contradicts another. Pure functions.

Equal rows are found by tables that are small enough for the processor's caches, in linear time and without sorting: one
of hashed sources, then one over the sources that were found. Interval starts are first taken as equal if they lie in
the same stretch of time: no two intervals of one length of a source do, whatever its clock shows, unless they are the
same.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from processors.rows import Indices, Rows
from schemas.catalogue import Metric

Numbers = NDArray[np.uint16] | NDArray[np.uint32]

_MOST_BITS = 24
_TABLE_LIMIT = 1 << _MOST_BITS
"""Entries of the scratch table, at most (64 MB)."""

_SPREADS = tuple(map(np.uint32, (0x9E3779B1, 0x85EBCA6B, 0xC2B2AE35)))
"""Large odd numbers: multiplied by one, numbers with even steps between them fall into different entries."""

_NONE = np.zeros(0, np.intp)


class Scratch:
    """A table that is written into without ever being cleared. One per thread; it grows up to 64 MB."""

    def __init__(self) -> None:
        self._table: NDArray[np.int32] = np.empty(0, np.int32)

    def table(self, size: int) -> NDArray[np.int32]:
        """A table of at least `size` entries of undefined content."""
        if size > len(self._table):
            self._table = np.empty(max(size, 2 * len(self._table)), np.int32)
        return self._table


@dataclass(frozen=True, slots=True)
class NumberedSources:
    """The sources of some rows, numbered from 0 on: `number` (n,) that of each row, `places` (s,) a row of each.

    The same source in two groups is two.
    """

    number: NDArray[np.int32]
    places: Indices


def sources_of(rows: Rows, group: Numbers, scratch: Scratch) -> NumberedSources:
    """The sources of the rows. `group` (n,) tells the rows' groups apart."""
    return NumberedSources(*numbered(representatives(rows.source, group, scratch)))


def winning(rows: Rows, scratch: Scratch) -> Indices:
    """Places of the winners, ascending: per group, source and start the highest quality, and of these the last (R6)."""
    return remaining(len(rows), losing(rows, sources_of(rows, rows.group, scratch), scratch))


def remaining(count: int, left_out: Indices) -> Indices:
    """The places below `count` that are not left out, ascending."""
    if not len(left_out):
        return np.arange(count)
    kept = np.ones(count, np.bool_)
    kept[left_out] = False
    return np.flatnonzero(kept)


def losing(rows: Rows, sources: NumberedSources, scratch: Scratch) -> Indices:
    """Places of the rows that are not `winning`, ascending."""
    if not len(rows):
        return _NONE
    found = _same_interval(rows, sources, scratch)
    again = np.flatnonzero(found != np.arange(len(rows), dtype=np.int32))
    if not len(again):
        return _NONE
    crowded = np.concatenate((again, np.unique(found[again])))
    order = np.lexsort((crowded, rows.quality[crowded], found[crowded]))
    ordered = crowded[order]
    followed = found[ordered[1:]] == found[ordered[:-1]]
    return np.sort(ordered[:-1][followed])


def contradicting(rows: Rows, scratch: Scratch, metric: Metric) -> NDArray[np.bool_]:
    """Which of these winners overlap one of the same source whose interval has another length (R6). Shape (n,).

    Only sums of intervals can count a time twice. Intervals of one length that overlap are those of a meter whose clock
    was set, and count. A source's intervals are as long in most windows, and then this takes no time.
    """
    none = np.zeros(len(rows), np.bool_)
    if not may_contradict(rows, metric):
        return none
    interval, group = rows.interval, rows.group
    first = representatives(rows.source, group, scratch)
    odd = interval != interval[first]
    if not odd.any():
        return none
    start = rows.start
    mixed = np.flatnonzero(np.bincount(first[odd], minlength=len(rows))[first])
    order = mixed[np.lexsort((start[mixed], rows.source[mixed], group[mixed]))]
    none[order] = _overlapping(
        list(zip(group[order].tolist(), rows.source[order].tolist(), strict=True)),
        start[order].tolist(),
        interval[order].tolist(),
    )
    return none


def may_contradict(rows: Rows, metric: Metric) -> bool:
    """Whether any of the rows can be `contradicting`."""
    length = rows.messages.interval
    return metric.kind == "sum" and metric.reading == "interval" and len(rows) > 0 and bool((length != length[0]).any())


def _overlapping(of: list[tuple[int, int]], start: list[int], length: list[int]) -> NDArray[np.bool_]:
    """Which intervals, in the order of their starts, overlap another one of the same `of` and of another length.

    Of those before, the latest end counts, and of those after, the earliest start: of any length, or, if that one has
    the same length, of another.
    """
    found = np.zeros(len(of), np.bool_)
    for places, sign in ((range(len(of)), 1), (range(len(of) - 1, -1, -1), -1)):
        last: tuple[int, int] | None = None
        best = other = (-(1 << 62), 0)
        for place in places:
            if of[place] != last:
                last, best, other = of[place], (-(1 << 62), 0), (-(1 << 62), 0)
            begin, end = start[place], start[place] + length[place]
            near, far = (begin, end) if sign > 0 else (-end, -begin)
            found[place] |= (other if best[1] == length[place] else best)[0] > near
            if best[1] == length[place]:
                best = (max(best[0], far), best[1])
            elif far >= best[0]:
                best, other = (far, length[place]), best
            elif far > other[0]:
                other = (far, length[place])
    return found


def representatives(key: NDArray[np.uint32], apart: NDArray[Any], scratch: Scratch) -> NDArray[np.int32]:
    """For each row the place of a row with the same key and `apart`, the same place for all of them. Shape (n,).

    Writing each row's place into a table at its hashed key, and reading it back, finds a row per entry in linear time,
    whatever the table held before and in whatever order numpy writes. The rows that find a different one there do it
    again with another hash; if rows are left then, they are sorted. With several `apart` for a key, those come to that.
    """
    found = np.zeros(len(key), np.int32)
    left: Indices | None = None  # all of them
    for spread in _SPREADS:
        own, own_apart = (key, apart) if left is None else (key[left], apart[left])
        if not len(own):
            return found
        bits = min(max(len(own) - 1, 1).bit_length(), _MOST_BITS)
        seen = _met(own * spread >> np.uint32(32 - bits), 1 << bits, scratch)
        same = (own[seen] == own) & (own_apart[seen] == own_apart)
        if left is None:
            found, left = seen, np.flatnonzero(~same)
        else:
            found[left] = left[seen]
            left = left[~same]
    if left is not None:
        found[left] = left[_sorted_representatives(key[left], apart[left])]
    return found


def _met(entry: NDArray[np.uint32], size: int, scratch: Scratch) -> NDArray[np.int32]:
    """For each row the place of one with the same entry, the same for all of these. `entry` (n,) is below `size`."""
    table = scratch.table(size)
    table[entry] = np.arange(len(entry), dtype=np.int32)
    met: NDArray[np.int32] = table[entry]
    return met


def _sorted_representatives(key: NDArray[Any], apart: NDArray[Any]) -> NDArray[np.int32]:
    order = np.lexsort((key, apart)).astype(np.int32)
    fresh = np.ones(len(key), np.bool_)
    fresh[1:] = (key[order][1:] != key[order][:-1]) | (apart[order][1:] != apart[order][:-1])
    found = np.empty(len(key), np.int32)
    found[order] = order[fresh][np.cumsum(fresh) - 1]
    return found


def numbered(found: NDArray[np.int32]) -> tuple[NDArray[np.int32], Indices]:
    """The rows' representatives numbered from 0 on, shape (n,), and the place of each, ascending."""
    itself = found == np.arange(len(found), dtype=np.int32)
    number = np.cumsum(itself, dtype=np.int32) - np.int32(1)
    return number[found], np.flatnonzero(itself)


def _same_interval(rows: Rows, sources: NumberedSources, scratch: Scratch) -> NDArray[np.int32]:
    """For each row the place of one with the same source and start, the same for all of these."""
    since = _since(rows)
    longest = int(since.max())
    shortest = int(rows.messages.interval.min()) or int(np.gcd.reduce(since)) or 1
    # As many stretches of time as the table has room for: with longer ones more rows are sorted.
    stretch = max(shortest, longest // max(_TABLE_LIMIT // len(sources.places), 1) + 1)
    stretches = longest // stretch + 1
    entry = sources.number.view(np.uint32) * np.uint32(stretches) + (since // since.dtype.type(stretch)).astype(
        np.uint32
    )
    found = _met(entry, len(sources.places) * stretches, scratch)
    again = np.flatnonzero(found != np.arange(len(found), dtype=np.int32))
    mixed = again[since[found[again]] != since[again]]
    if len(mixed):
        found[mixed] = mixed[_sorted_representatives(entry[mixed], since[mixed])]
    return found


def _since(rows: Rows) -> NDArray[np.uint32] | NDArray[np.uint64]:
    """The milliseconds from the earliest message's start to that of each row's interval. Shape (n,)."""
    start = rows.messages.start - rows.messages.start.min()
    dtype = np.uint32 if int(start.max()) + int(rows.after.max()) < 1 << 32 else np.uint64
    since: NDArray[np.uint32] | NDArray[np.uint64] = start.astype(dtype)[rows.message] + rows.after.astype(dtype)
    return since
