"""The reduction of one closed window: a winner per source and interval, then a sum per group. Pure functions."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from processors.contributions import contributions
from processors.rows import Indices, Rows
from processors.runs import changes
from processors.winners import (
    Numbers,
    by_time,
    contradicting,
    losing,
    may_contradict,
    numbered_groups,
    remaining,
)
from schemas.catalogue import Metric
from store.processing import Amounts

_SUM_LIMIT = 1 << 62
"""An absolute sum up to here fits into a bigint with every rounding of its estimate."""


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


def reduce_window(rows: Rows, metric: Metric, width_ms: int) -> ReducedWindow:
    """Reduce all rows of one metric in one window of `width_ms` (R6, R7), however the log was polled.

    `rows` are in the order of the log. With a metric of moments, each source that has a row covers the whole window.
    """
    nothing = np.zeros(0, np.intp)
    if not len(rows):
        return ReducedWindow({}, 0, 0, nothing, nothing)
    names, of_message = numbered_groups(rows)
    grouped = _Grouped(rows, of_message, len(names))
    lost = losing(rows)
    duplicate, overlapping = len(lost), nothing
    if may_contradict(rows, metric):
        winners = remaining(len(rows), lost)
        overlapping = winners[contradicting(rows.take(winners), metric)]
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

    Rows that are left out are given by their places, ascending.
    """

    def __init__(self, rows: Rows, of_message: Numbers, groups: int) -> None:
        self.rows = rows
        self.of_message = of_message
        self.groups = groups

    @property
    def group(self) -> Numbers:
        """The group of each row. Shape (n,)."""
        return self.rows.of_messages(self.of_message)

    def fit(self, left_out: Indices) -> NDArray[np.bool_]:
        """Whether the sums of each group fit into a bigint, with any sign of each row. Shape (groups,)."""
        largest = max(abs(int(self.rows.value.max())), abs(int(self.rows.value.min())))
        if largest * len(self.rows) < _SUM_LIMIT:
            return np.ones(self.groups, np.bool_)
        size = np.abs(self.rows.value.astype(np.float64))
        size[left_out] = 0.0
        fits: NDArray[np.bool_] = np.bincount(self.group, size, self.groups) < _SUM_LIMIT
        return fits

    def sums(self, left_out: Indices, *, zeros: bool) -> list[Amounts]:
        """The sums of each group, of no meaning where it does not `fit`. A group without rows has amounts of nothing,
        and no readings.

        A contributor whose net amount is zero counts only with `zeros`: where values are states, zero is one of them.
        """
        readings, covered, first, last = self._of_messages(left_out)
        group, net = contributions(self.rows, self.of_message, left_out)
        size = np.abs(net)
        counted = np.ones(len(net), np.bool_) if zeros else net != 0
        begins = np.flatnonzero(changes(group))
        found = np.zeros((4, self.groups), np.int64)  # a group of which nothing is left has none
        found[:, group[begins]] = (
            np.add.reduceat(net, begins),
            np.add.reduceat(counted, begins, dtype=np.int64),
            np.maximum.reduceat(size, begins),
            np.add.reduceat(size, begins),
        )
        total, contributors, largest, absolute = found
        columns = (total, readings, contributors, largest, absolute, covered, first, last)
        return [Amounts(*values) for values in zip(*(column.tolist() for column in columns), strict=True)]

    def _of_messages(self, left_out: Indices) -> tuple[NDArray[np.int64], ...]:
        """Rows, milliseconds covered, first and last offset of each group."""
        messages = self.rows.messages
        rows = messages.count
        if len(left_out):
            rows = rows - np.bincount(self.rows.message_of(left_out), minlength=len(messages))
        counts, covered = np.zeros(self.groups, np.int64), np.zeros(self.groups, np.int64)
        np.add.at(counts, self.of_message, rows)
        np.add.at(covered, self.of_message, rows * messages.interval)
        first, last = np.full(self.groups, np.iinfo(np.int64).max), np.full(self.groups, -1, np.int64)
        used = rows > 0
        np.minimum.at(first, self.of_message[used], messages.offset[used])
        np.maximum.at(last, self.of_message[used], messages.offset[used])
        return counts, covered, first, last


def _of_sources(grouped: _Grouped, kept: Indices, sums: list[Amounts], metric: Metric, width_ms: int) -> list[Amounts]:
    """The sums with the share of each source, where it is not that of its rows. `kept` are the places that count.

    A source of moments covers the window's width. In a mean of the last, only its last row counts; in a mean, the mean
    of its rows. Means are rounded to a whole smallest unit, halves to the even one. `largest` and `absolute` of a mean
    stay those of its sum: how much was counted.
    """
    rows, group = grouped.rows, grouped.group[kept]
    runs = by_time(group, rows.source[kept], rows.start[kept])
    order = kept[runs.order]
    if metric.kind == "mean" and len(order):
        means = _means(group[runs.order], rows.value[order], runs.begins)
        sums = [replace(total, value=means.get(number, 0)) for number, total in enumerate(sums)]
    if metric.reading != "moment":
        return sums
    last = order[runs.begins + runs.lengths - 1]
    sources = np.bincount(grouped.group[last], minlength=grouped.groups).tolist()
    counted = [replace(total, covered_ms=width_ms * count) for total, count in zip(sums, sources, strict=True)]
    if metric.kind != "mean-of-last":
        return counted
    of_lasts = sums
    if len(last) < len(order):  # mostly a source has one row in a window
        of_lasts = grouped.sums(remaining(len(rows), np.sort(last)), zeros=False)
    return [
        replace(
            total,
            value=round(Fraction(of_last.value, of_last.readings)) if of_last.readings else 0,
            largest=of_last.largest,
            absolute=of_last.absolute,
        )
        for total, of_last in zip(counted, of_lasts, strict=True)
    ]


def _means(group: Numbers, value: NDArray[np.int64], edges: Indices) -> dict[int, int]:
    """The mean over each group's sources of the mean of each source's rows, which begin at `edges`."""
    totals = np.add.reduceat(value, edges)
    counts = np.diff(np.r_[edges, len(group)])
    means: dict[int, list[Fraction]] = {}
    for number, total, count in zip(group[edges].tolist(), totals.tolist(), counts.tolist(), strict=True):
        means.setdefault(number, []).append(Fraction(total, count))
    return {number: round(sum(of_sources, Fraction()) / len(of_sources)) for number, of_sources in means.items()}
