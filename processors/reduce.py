"""The reduction of one closed window: a winner per source and interval, then a sum per group. Pure functions."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from processors.rows import Indices, Rows
from processors.winners import (
    Numbers,
    Scratch,
    contradicting,
    losing,
    may_contradict,
    numbered,
    remaining,
    representatives,
    sources_of,
)
from schemas.catalogue import Metric
from store.processing import Amounts

_SUM_LIMIT = 2.0**62
"""An absolute sum up to here fits into a bigint with every rounding of its estimate."""

_EXACT = 1 << 53
"""Doubles hold every whole number below."""

_LOW_BITS = 26


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


def reduce_window(rows: Rows, scratch: Scratch, metric: Metric, width_ms: int) -> ReducedWindow:
    """Reduce all rows of one metric in one window of `width_ms` (R6, R7), however the log was polled.

    `rows` are in the order of the log. With a metric of moments, each source that has a row covers the whole window.
    """
    nothing = np.zeros(0, np.intp)
    if not len(rows):
        return ReducedWindow({}, 0, 0, nothing, nothing)
    names, of_message = np.unique(rows.messages.group, return_inverse=True)
    small = len(names) <= 1 << 16
    numbers: Numbers = of_message.astype(np.uint16) if small else of_message.astype(np.uint32)
    grouped = _Grouped(rows, numbers, len(names), scratch)
    lost = losing(rows, grouped.sources, scratch)
    duplicate, overlapping = len(lost), nothing
    if may_contradict(rows, metric):
        winners = remaining(len(rows), lost)
        overlapping = winners[contradicting(rows.take(winners), scratch, metric)]
        lost = np.sort(np.concatenate((lost, overlapping)))
    sums = grouped.sums(lost, zeros=metric.kind == "mean-of-last")
    fits = grouped.fit(lost)
    amounts = dict(zip(names.tolist(), sums, strict=True))
    if metric.kind == "mean" or metric.reading == "moment":
        of_sources = _of_sources(grouped, remaining(len(rows), lost), sums, metric, width_ms)
        amounts = dict(zip(names.tolist(), of_sources, strict=True))
    overflowed = nothing
    if not fits.all():
        kept = remaining(len(rows), lost)
        overflowed = kept[~fits[grouped.group[kept]]]
    groups = {
        number: of_group
        for (number, of_group), fit in zip(amounts.items(), fits.tolist(), strict=True)
        if fit and of_group.readings
    }
    aggregated = len(rows) - len(lost) - len(overflowed)
    emptied = _emptied(rows.take(overlapping), amounts) if len(overlapping) else {}
    return ReducedWindow(emptied | groups, aggregated, duplicate, overflowed, overlapping)


def _emptied(overlapping: Rows, amounts: Mapping[int, Amounts]) -> dict[int, Amounts]:
    """The amounts of groups of which no row is kept, because all of them overlap: nothing, at their offsets."""
    group, offset = overlapping.group, overlapping.offset
    found = {}
    for number in np.unique(group).tolist():
        if not amounts[number].readings:
            own = offset[group == number]
            found[number] = Amounts(0, 0, 0, 0, 0, 0, int(own.min()), int(own.max()))
    return found


class _Grouped:
    """Rows with their groups, which are numbered from 0 on in order: `of_message` (m,), `groups` of them.

    `group` (n,) is that of each row. Rows that are left out are given by their places, ascending.
    """

    def __init__(self, rows: Rows, of_message: Numbers, groups: int, scratch: Scratch) -> None:
        self.rows = rows
        self.of_message = of_message
        self.groups = groups
        self.group: Numbers = of_message[rows.message]
        self.sources = sources_of(rows, self.group, scratch)
        self._contributor, self._contributors = self._numbered_contributors(scratch)
        self._largest = max(abs(int(rows.value.max())), abs(int(rows.value.min())))
        self._exact = self._largest * len(rows) < _EXACT

    def fit(self, left_out: Indices) -> NDArray[np.bool_]:
        """Whether the sums of each group fit into a bigint, with any sign of each row. Shape (groups,)."""
        if self._exact:
            return np.ones(self.groups, np.bool_)
        size = np.abs(self.rows.value.astype(np.float64))
        size[left_out] = 0.0
        fits: NDArray[np.bool_] = np.bincount(self.group, size, self.groups) < _SUM_LIMIT
        return fits

    def sums(self, left_out: Indices, *, zeros: bool) -> list[Amounts]:
        """The sums of each group. A group without rows has amounts of nothing, and no readings.

        A contributor whose net amount is zero counts only with `zeros`: where values are states, zero is one of them.
        """
        readings, covered, first, last = self._of_messages(left_out)
        value, net = self._totals(left_out)
        counted = net != 0
        if zeros:
            counted[:] = False
            counted[self._contributor[remaining(len(self.rows), left_out)]] = True
        owner, size = self.group[self._contributors[counted]], np.abs(net[counted])
        contributors = np.bincount(owner, minlength=self.groups)
        largest, absolute = np.zeros(self.groups, np.int64), np.zeros(self.groups, np.int64)
        np.maximum.at(largest, owner, size)
        if self._exact:
            absolute = np.bincount(owner, size, self.groups).astype(np.int64)
        else:
            np.add.at(absolute, owner, size)
        columns = (value, readings, contributors, largest, absolute, covered, first, last)
        return [Amounts(*values) for values in zip(*(column.tolist() for column in columns), strict=True)]

    def _of_messages(self, left_out: Indices) -> tuple[NDArray[np.int64], ...]:
        """Rows, milliseconds covered, first and last offset of each group."""
        messages = self.rows.messages
        rows = np.bincount(self.rows.message, minlength=len(messages))
        rows -= np.bincount(self.rows.message[left_out], minlength=len(messages))
        counts, covered = np.zeros(self.groups, np.int64), np.zeros(self.groups, np.int64)
        np.add.at(counts, self.of_message, rows)
        np.add.at(covered, self.of_message, rows * messages.interval)
        first, last = np.full(self.groups, np.iinfo(np.int64).max), np.full(self.groups, -1, np.int64)
        used = rows > 0
        np.minimum.at(first, self.of_message[used], messages.offset[used])
        np.maximum.at(last, self.of_message[used], messages.offset[used])
        return counts, covered, first, last

    def _totals(self, left_out: Indices) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The sum of each group, shape (groups,), and of each contributor, shape (contributors,)."""
        contributor, contributors = self._contributor, len(self._contributors)
        if self._exact:  # every partial sum is: bincount adds doubles
            value = self.rows.value.astype(np.float64)
            value[left_out] = 0.0
            totals = (np.bincount(self.group, value, self.groups), np.bincount(contributor, value, contributors))
            return totals[0].astype(np.int64), totals[1].astype(np.int64)
        whole = self.rows.value.copy()
        whole[left_out] = 0
        of_group = np.zeros(self.groups, np.int64)
        np.add.at(of_group, self.group, whole)
        # Halves of 26 bits and the rest keep every partial sum below 2^53.
        low = np.bincount(contributor, whole & ((1 << _LOW_BITS) - 1), contributors)
        high = np.bincount(contributor, whole >> _LOW_BITS, contributors)
        return of_group, (high.astype(np.int64) << _LOW_BITS) + low.astype(np.int64)

    def _numbered_contributors(self, scratch: Scratch) -> tuple[NDArray[np.int32], Indices]:
        """The contributors numbered from 0 on: that of each row, and a place of each. In two groups, one is two."""
        rows, sources = self.rows, self.sources
        of_source = rows.contributor[sources.places]
        if not (of_source[sources.number] == rows.contributor).all():  # a source may change hands
            return numbered(representatives(rows.contributor, self.group, scratch))
        number, places = numbered(representatives(of_source, self.group[sources.places], scratch))
        return number[sources.number], sources.places[places]


def _of_sources(grouped: _Grouped, kept: Indices, sums: list[Amounts], metric: Metric, width_ms: int) -> list[Amounts]:
    """The sums with the share of each source, where it is not that of its rows. `kept` are the places that count.

    A source of moments covers the window's width. In a mean of the last, only its last row counts; in a mean, the mean
    of its rows. Means are rounded to a whole smallest unit, halves to the even one. `largest` and `absolute` of a mean
    stay those of its sum: how much was counted.
    """
    rows, group = grouped.rows, grouped.group[kept]
    source = rows.source[kept]
    order = kept[np.lexsort((rows.start[kept], source, group))]
    source, group = rows.source[order], grouped.group[order]
    changes = (source[1:] != source[:-1]) | (group[1:] != group[:-1])
    if metric.kind == "mean" and len(order):
        means = _means(group, rows.value[order], np.flatnonzero(np.r_[True, changes]))
        sums = [replace(total, value=means.get(number, 0)) for number, total in enumerate(sums)]
    if metric.reading != "moment":
        return sums
    last = order[np.r_[changes, len(order) > 0]] if len(order) else order
    sources = np.bincount(grouped.group[last], minlength=grouped.groups).tolist()
    counted = [replace(total, covered_ms=width_ms * count) for total, count in zip(sums, sources, strict=True)]
    if metric.kind != "mean-of-last":
        return counted
    others = remaining(len(rows), np.sort(last))
    return [
        replace(
            total,
            value=round(Fraction(of_last.value, of_last.readings)) if of_last.readings else 0,
            largest=of_last.largest,
            absolute=of_last.absolute,
        )
        for total, of_last in zip(counted, grouped.sums(others, zeros=False), strict=True)
    ]


def _means(group: Numbers, value: NDArray[np.int64], edges: Indices) -> dict[int, int]:
    """The mean over each group's sources of the mean of each source's rows, which begin at `edges`."""
    totals = np.add.reduceat(value, edges)
    counts = np.diff(np.r_[edges, len(group)])
    means: dict[int, list[Fraction]] = {}
    for number, total, count in zip(group[edges].tolist(), totals.tolist(), counts.tolist(), strict=True):
        means.setdefault(number, []).append(Fraction(total, count))
    return {number: round(sum(of_sources, Fraction()) / len(of_sources)) for number, of_sources in means.items()}
