"""The reduction of one closed window: a winner per source and interval, then a sum per group. Pure functions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.catalogue import Metric
from store.processing import Amounts

Indices = NDArray[np.intp]
GroupNumbers = NDArray[np.uint16] | NDArray[np.uint32]

_SCRATCH_LIMIT = 1 << 24
"""Entries of the scratch table (64 MB): larger keys are sorted instead, which takes ten times as long."""

_SUM_LIMIT = 2.0**62
"""An absolute sum up to here fits into a bigint with every rounding of its estimate."""

_LOW_BITS = 26

ROW_TYPES = tuple(map(np.dtype, ("<u4", "<u4", "<u4", "<i8", "<i8", "u1", "<u4", "<i8", "<i4")))
"""The types of the columns of `Rows`."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Accepted readings of one metric in one window, in the order of the log; every array has shape (n,).

    `group` is the number of the (area, class) of each row (`processors.groups`); `value` is in the smallest unit;
    `start` and `interval` are milliseconds; `offset` is the message's, `row` the place in it.
    """

    group: GroupNumbers
    source: NDArray[np.uint32]
    contributor: NDArray[np.uint32]
    start: NDArray[np.int64]
    value: NDArray[np.int64]
    quality: NDArray[np.uint8]
    interval: NDArray[np.uint32]
    offset: NDArray[np.int64]
    row: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.group)

    def take(self, which: Indices | NDArray[np.bool_] | slice) -> "Rows":
        """The rows at these places, in that order."""
        return Rows(*(getattr(self, name)[which] for name in self.__slots__))

    def columns(self) -> "list[NDArray[Any]]":
        """All columns in order."""
        return [getattr(self, name) for name in self.__slots__]

    @staticmethod
    def join(parts: "Sequence[Rows]") -> "Rows":
        """All rows, one part after the other."""
        return Rows(*(np.concatenate([getattr(part, name) for part in parts]) for name in Rows.__slots__))


@dataclass(frozen=True, slots=True)
class ReducedWindow:
    """The amounts of each group, and what did not go into them.

    `aggregated` and `duplicate` count rows; `overflowed` are the places of rows of groups with a sum beyond
    bigint, `overlapping` those of `contradicting` rows. A group of nothing but the latter has amounts of nothing.
    """

    groups: Mapping[int, Amounts]
    aggregated: int
    duplicate: int
    overflowed: Indices
    overlapping: Indices


class Scratch:
    """A table that `representatives` writes into without ever clearing it. One per thread; it grows up to 64 MB."""

    def __init__(self) -> None:
        self._table: NDArray[np.int32] = np.empty(0, np.int32)

    def table(self, size: int) -> NDArray[np.int32] | None:
        """A table of at least `size` entries of undefined content, or None if that is too large."""
        if size > _SCRATCH_LIMIT:
            return None
        if size > len(self._table):
            self._table = np.empty(max(size, 2 * len(self._table)), np.int32)
        return self._table


def reduce_window(rows: Rows, scratch: Scratch, metric: Metric, width_ms: int) -> ReducedWindow:
    """Reduce all rows of one metric in one window of `width_ms` (R6, R7), however the log was polled.

    `rows` are in the order of the log. With a metric of moments, each source that has a row covers the whole window.
    """
    if not len(rows):
        nothing = np.zeros(0, np.intp)
        return ReducedWindow({}, 0, 0, nothing, nothing)
    rows, names = _renumbered(rows)
    winners = winning(rows, scratch)
    winners = winners[np.argsort(rows.group[winners], kind="stable")]
    duplicate = len(rows) - len(winners)
    kept = rows.take(winners)
    overlap = contradicting(kept, scratch, metric)
    overlapping, emptied = winners[overlap], dict[int, Amounts]()
    if len(overlapping):
        winners, kept = winners[~overlap], kept.take(~overlap)
        emptied = _emptied(rows.take(overlapping), kept, names)
        if not len(kept):
            return ReducedWindow(emptied, 0, duplicate, winners, overlapping)
    edges, ends = _runs(kept.group)
    fits = np.add.reduceat(np.abs(kept.value.astype(np.float64)), edges) < _SUM_LIMIT
    amounts = _sums(kept, scratch, zeros=metric.kind == "mean-of-last")
    if metric.kind == "mean":
        amounts = [replace(total, value=mean) for total, mean in zip(amounts, _means(kept), strict=True)]
    if metric.reading == "moment":
        amounts = _of_sources(amounts, kept, scratch, width_ms, mean=metric.kind == "mean-of-last")
    overflowed = winners[np.repeat(~fits, ends - edges)]
    numbers = names[kept.group[edges]].tolist()
    groups = {number: total for number, total, fit in zip(numbers, amounts, fits.tolist(), strict=True) if fit}
    return ReducedWindow(emptied | groups, len(kept) - len(overflowed), duplicate, overflowed, overlapping)


def _emptied(overlapping: Rows, kept: Rows, names: NDArray[np.uint32]) -> dict[int, Amounts]:
    """The amounts of groups of which no row is kept, because all of them overlap: nothing, at their offsets."""
    groups = np.setdiff1d(overlapping.group, kept.group)
    offsets = [overlapping.offset[overlapping.group == group] for group in groups]
    return {
        int(names[group]): Amounts(0, 0, 0, 0, 0, 0, int(of_group.min()), int(of_group.max()))
        for group, of_group in zip(groups, offsets, strict=True)
    }


def _renumbered(rows: Rows) -> tuple[Rows, NDArray[np.uint32]]:
    """The rows, at least one, with groups numbered from 0 on in the same order, and the number that each had.

    16 bits are enough for most windows, and numpy sorts them by radix.
    """
    edges, ends = _runs(rows.group)
    names, number = np.unique(rows.group[edges], return_inverse=True)
    group = np.repeat(number.astype(np.uint16 if len(names) <= 1 << 16 else np.uint32), ends - edges)
    return replace(rows, group=group), names.astype(np.uint32)


def _runs(group: GroupNumbers) -> tuple[Indices, Indices]:
    """Where each run of equal groups begins, and the place after its end."""
    edges = np.flatnonzero(np.r_[True, group[1:] != group[:-1]])
    return edges, np.r_[edges[1:], len(group)]


def _of_sources(sums: list[Amounts], rows: Rows, scratch: Scratch, width_ms: int, *, mean: bool) -> list[Amounts]:
    """The sums with the share of each source: it covers the window's width, and in a mean only its last row counts.

    `rows` lie group by group. A mean is rounded to a whole smallest unit, halves to the even one.
    """
    order = np.lexsort((rows.start, rows.source, rows.group))
    source, group = rows.source[order], rows.group[order]
    last = rows.take(order[np.r_[(source[1:] != source[:-1]) | (group[1:] != group[:-1]), True]])
    edges, ends = _runs(last.group)
    sources = (ends - edges).tolist()
    counted = [replace(total, covered_ms=width_ms * count) for total, count in zip(sums, sources, strict=True)]
    if not mean:
        return counted
    return [
        replace(
            total,
            value=round(Fraction(of_last.value, of_last.readings)),
            largest=of_last.largest,
            absolute=of_last.absolute,
        )
        for total, of_last in zip(counted, _sums(last, scratch), strict=True)
    ]


def _means(rows: Rows) -> list[int]:
    """The mean over each group's sources of the mean of each source's rows, rounded as in `_of_sources`.

    `rows` lie group by group. `largest` and `absolute` of a mean stay those of its sum: how much was counted.
    """
    order = np.lexsort((rows.source, rows.group))
    source, group = rows.source[order], rows.group[order]
    edges = np.flatnonzero(np.r_[True, (source[1:] != source[:-1]) | (group[1:] != group[:-1])])
    totals = np.add.reduceat(rows.value[order], edges)
    counts = np.diff(np.r_[edges, len(order)])
    means: dict[int, list[Fraction]] = {}
    for number, total, count in zip(group[edges].tolist(), totals.tolist(), counts.tolist(), strict=True):
        means.setdefault(number, []).append(Fraction(total, count))
    return [round(sum(of_sources, Fraction()) / len(of_sources)) for of_sources in means.values()]


def winning(rows: Rows, scratch: Scratch) -> Indices:
    """Places of the winners, ascending: per group, source and start the highest quality, and of these the last (R6)."""
    if not len(rows):
        return np.zeros(0, np.intp)
    key = _interval_key(rows)
    chosen = representatives(key, rows.group, scratch)
    count = np.bincount(chosen, minlength=len(rows))
    if len(rows) == np.count_nonzero(count):
        return np.arange(len(rows))
    crowded = np.flatnonzero(count[chosen] > 1)
    order = np.lexsort((crowded, rows.quality[crowded], chosen[crowded]))
    ordered = crowded[order]
    last_of_its_kind = np.r_[chosen[ordered][1:] != chosen[ordered][:-1], True]
    wins = count[chosen] == 1
    wins[ordered[last_of_its_kind]] = True
    return np.flatnonzero(wins)


def contradicting(rows: Rows, scratch: Scratch, metric: Metric) -> NDArray[np.bool_]:
    """Which of these winners overlap one of the same source whose interval has another length (R6). Shape (n,).

    Only sums of intervals can count a time twice. Intervals of one length that overlap are those of a meter whose clock
    was set, and count. A source's intervals are as long in most windows, and then this takes no time.
    """
    none = np.zeros(len(rows), np.bool_)
    if (
        metric.kind != "sum"
        or metric.reading != "interval"
        or not len(rows)
        or rows.interval.min() == rows.interval.max()
    ):
        return none
    first = representatives(rows.source.astype(np.uint64), rows.group, scratch)
    odd = rows.interval != rows.interval[first]
    if not odd.any():
        return none
    mixed = np.flatnonzero(np.bincount(first[odd], minlength=len(rows))[first])
    order = mixed[np.lexsort((rows.start[mixed], rows.source[mixed], rows.group[mixed]))]
    none[order] = _overlapping(
        list(zip(rows.group[order].tolist(), rows.source[order].tolist(), strict=True)),
        rows.start[order].tolist(),
        rows.interval[order].tolist(),
    )
    return none


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


def representatives(key: NDArray[np.uint64], group: GroupNumbers, scratch: Scratch) -> Indices:
    """For each row the place of a row with the same key and group, the same place for all of them. Shape (n,).

    Writing each row's place into a table at its key, and reading it back, finds a row per key in linear time,
    whatever the table held before and in whatever order numpy writes.
    """
    table = scratch.table(int(key.max()) + 1) if len(key) else None
    if table is None:
        return _sorted_representatives(key, group)
    table[key] = np.arange(len(key), dtype=np.int32)
    found = table[key].astype(np.intp)
    mixed = np.flatnonzero(group[found] != group)  # the key was also seen in another group
    if len(mixed):
        found[mixed] = mixed[_sorted_representatives(key[mixed], group[mixed])]
    return found


def _sorted_representatives(key: NDArray[np.uint64], group: GroupNumbers) -> Indices:
    order = np.lexsort((key, group))
    fresh = np.ones(len(key), np.bool_)
    fresh[1:] = (key[order][1:] != key[order][:-1]) | (group[order][1:] != group[order][:-1])
    found = np.empty(len(key), np.intp)
    found[order] = order[fresh][np.cumsum(fresh) - 1]
    return found


def _interval_key(rows: Rows) -> NDArray[np.uint64]:
    """One number per (source, interval start), as small as the window's grid of starts allows."""
    since = rows.start - rows.start.min()
    step = int(np.gcd.reduce(since)) or 1
    slot = (since // step).astype(np.uint64)
    key: NDArray[np.uint64] = rows.source.astype(np.uint64) * np.uint64(int(slot.max()) + 1) + slot
    return key


def _sums(rows: Rows, scratch: Scratch, *, zeros: bool = False) -> list[Amounts]:
    """The sums of each group of `rows`, which lie group by group.

    A contributor whose net amount is zero counts only with `zeros`: where values are states, zero is one of them.
    """
    edges, ends = _runs(rows.group)
    net, places = _net_per_contributor(rows, scratch)
    of_group = np.searchsorted(places, edges)
    absolute = np.abs(net)
    columns = (
        np.add.reduceat(rows.value, edges),
        ends - edges,
        np.add.reduceat((net != 0) | zeros, of_group, dtype=np.int64),
        np.maximum.reduceat(absolute, of_group),
        np.add.reduceat(absolute, of_group),
        np.add.reduceat(rows.interval, edges, dtype=np.int64),
        np.minimum.reduceat(rows.offset, edges),
        np.maximum.reduceat(rows.offset, edges),
    )
    return [Amounts(*values) for values in zip(*(column.tolist() for column in columns), strict=True)]


def _net_per_contributor(rows: Rows, scratch: Scratch) -> tuple[NDArray[np.int64], Indices]:
    """The net amount of every (group, contributor), and the place of any of its rows, ascending. Both shape (c,)."""
    chosen = representatives(rows.contributor.astype(np.uint64), rows.group, scratch)
    places = np.flatnonzero(np.bincount(chosen, minlength=len(rows)))
    # bincount adds doubles. Halves of 26 bits and the rest keep every partial sum below 2^53, so exact.
    low = np.bincount(chosen, rows.value & ((1 << _LOW_BITS) - 1), minlength=len(rows))[places]
    high = np.bincount(chosen, rows.value >> _LOW_BITS, minlength=len(rows))[places]
    return (high.astype(np.int64) << _LOW_BITS) + low.astype(np.int64), places
