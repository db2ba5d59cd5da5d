"""Which rows of a window count: one for each source and interval, none that contradicts another. Pure functions.

Equal rows are found by sorting whole numbers: numpy sorts these by the processor's vector instructions, many times as
fast as it finds an order, and reads memory from front to back. First a hash of 32 bits is sorted without the places of
the rows. Only the rows whose hash may have come twice, mostly few, are then compared by 64 bits that hold source, place
and a few bits of the start, and exactly where those are equal.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from processors.rows import Indices, Rows
from processors.runs import changes
from schemas.catalogue import Metric

Numbers = NDArray[np.uint32]

_SPREAD = np.uint32(0x9E3779B1)
"""A large odd number: multiplied by it, numbers with even steps between them differ in their first bits."""

_SPREAD_AGAIN = np.uint32(0x85EBCA6B)
_MOST_MARKS_BITS = 22
"""Hashes that came twice are marked in a table of so many bits at most, which a processor's cache holds."""

_NONE = np.zeros(0, np.intp)


@dataclass(frozen=True, slots=True)
class Runs:
    """Rows in an order in which those that belong together follow each other.

    `order` (n,) are their places; `begins` (r,) is where in that each run of rows begins.
    """

    order: Indices
    begins: Indices

    @property
    def lengths(self) -> NDArray[np.intp]:
        """How many rows each run has. Shape (r,)."""
        return np.diff(self.begins, append=len(self.order))


def numbered_groups(rows: Rows) -> tuple[NDArray[np.uint32], Numbers]:
    """The groups of the rows, ascending, and of each message the number of its group among them."""
    names, of_message = np.unique(rows.messages.group, return_inverse=True)
    return names, of_message.astype(np.uint32)


def runs_of(group: Numbers, number: NDArray[np.uint32]) -> Runs:
    """Rows with the same group and number, by group, then number, then place. Shape (n,); groups are small numbers."""
    if not len(group):
        return Runs(_NONE, _NONE)
    bits = len(group).bit_length()
    if 32 + bits + int(group.max()).bit_length() <= 64:
        key = (group.astype(np.uint64) << np.uint64(32)) | number
        key <<= np.uint64(bits)
        key |= np.arange(len(key), dtype=np.uint64)
        key.sort()
        order = (key & np.uint64((1 << bits) - 1)).view(np.intp)
        key >>= np.uint64(bits)
    else:
        order = np.lexsort((number, group))
        key = (group[order].astype(np.uint64) << np.uint64(32)) | number[order]
    return Runs(order, np.flatnonzero(changes(key)))


def by_time(group: Numbers, source: NDArray[np.uint32], start: NDArray[np.int64]) -> Runs:
    """The rows of each source in a group, by group, source and start. Shape (n,)."""
    runs = runs_of(group, source)
    start = start[runs.order]
    back = start[1:] < start[:-1]
    back[runs.begins[1:] - 1] = False
    if not back.any():  # mostly sources send in the order of time
        return runs
    run = np.repeat(np.arange(len(runs.begins)), runs.lengths)
    return Runs(runs.order[np.lexsort((start, run))], runs.begins)


def winning(rows: Rows) -> Indices:
    """Places of the winners, ascending: per group, source and start the highest quality, and of these the last (R6)."""
    return remaining(len(rows), losing(rows))


def remaining(count: int, left_out: Indices) -> Indices:
    """The places below `count` that are not left out, ascending."""
    if not len(left_out):
        return np.arange(count)
    kept = np.ones(count, np.bool_)
    kept[left_out] = False
    return np.flatnonzero(kept)


def losing(rows: Rows) -> Indices:
    """Places of the rows that are not `winning`, ascending."""
    place, run = alike(rows)
    if not len(place):
        return _NONE
    message = rows.message_of(place)
    group, start = rows.messages.group[message], rows.messages.start[message] + rows.after[place]
    new = changes(run)
    if (((group[1:] != group[:-1]) | (start[1:] != start[:-1])) & ~new[1:]).any():
        order = np.lexsort((place, start, group, run))
        place, run, group, start = place[order], run[order], group[order], start[order]
        run = np.cumsum(changes(run) | changes(group) | changes(start))
    quality = rows.quality[place]
    if (quality != quality[0]).any():
        place = place[np.lexsort((place, quality, run))]
    return np.sort(place[:-1][run[1:] == run[:-1]])


def alike(rows: Rows) -> tuple[Indices, NDArray[np.uint64]]:
    """The places of rows that may have the same source and start as another, and a number that those then share.

    They are in the order of these numbers, and of their places.
    """
    place = _suspected(rows)
    bits = max(len(place) - 1, 0).bit_length()
    start = rows.messages.start.astype(np.uint32)[rows.message_of(place)] + rows.after.view(np.uint32)[place]
    start *= _SPREAD
    start >>= np.uint32(bits)
    key = (rows.source[place].astype(np.uint64) << np.uint64(32 - bits)) | start
    key <<= np.uint64(bits)
    key |= np.arange(len(key), dtype=np.uint64)
    key.sort()
    numbers = key >> np.uint64(bits)
    again = np.flatnonzero(numbers[1:] == numbers[:-1])
    shared = np.zeros(len(key), np.bool_)
    shared[again] = shared[again + 1] = True
    alike = np.flatnonzero(shared)
    return place[(key[alike] & np.uint64((1 << bits) - 1)).view(np.intp)], numbers[alike]


def _suspected(rows: Rows) -> Indices:
    """Places of rows, ascending: all that have the same source and start as another, and some others."""
    hashed = rows.of_messages(rows.messages.start.astype(np.uint32)) + rows.after.view(np.uint32)
    hashed *= _SPREAD
    hashed += rows.source
    hashed *= _SPREAD_AGAIN
    ordered = np.sort(hashed)
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    if not len(twice):
        return _NONE
    bits = min(len(twice).bit_length() + 6, _MOST_MARKS_BITS)
    beyond = np.uint32(32 - bits)
    marked = np.zeros(1 << bits, np.bool_)
    marked[twice >> beyond] = True
    return np.flatnonzero(marked.take(hashed >> beyond))


def contradicting(rows: Rows, metric: Metric) -> NDArray[np.bool_]:
    """Which of these winners overlap one of the same source whose interval has another length (R6). Shape (n,).

    Only sums of intervals can count a time twice. Intervals of one length that overlap are those of a meter whose clock
    was set, and count. A source's intervals are as long in most windows, and then this takes no time.
    """
    none = np.zeros(len(rows), np.bool_)
    if not may_contradict(rows, metric):
        return none
    _, of_message = numbered_groups(rows)
    group, interval = rows.of_messages(of_message), rows.interval
    runs = runs_of(group, rows.source)
    length = interval[runs.order]
    odd = np.minimum.reduceat(length, runs.begins) != np.maximum.reduceat(length, runs.begins)
    if not odd.any():
        return none
    mixed = np.sort(runs.order[np.repeat(odd, runs.lengths)])
    start = rows.start[mixed]
    order = by_time(group[mixed], rows.source[mixed], start).order
    mixed, start = mixed[order], start[order]
    none[mixed] = _overlapping(
        list(zip(group[mixed].tolist(), rows.source[mixed].tolist(), strict=True)),
        start.tolist(),
        interval[mixed].tolist(),
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
