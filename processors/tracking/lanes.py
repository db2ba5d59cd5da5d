"""Boxes of many cameras in lockstep: the first picture of each, the second of each, and so on.

A lane is a stretch of one camera's pictures with boxes after which the tracker remembers nothing, so lanes are tracked
independently of each other, and a step of the tracker takes one picture of every lane at once. numpy then works on
hundreds of boxes at a time instead of two.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from processors.tracking.sightings import Sightings

_MOST_AT_ONCE = 1_000
"""Boxes that a step has at most, and so a limit of its time and memory: lanes are tracked in groups of so many."""

_Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class LaneStep:
    """One picture of each lane that has one left: of the first `lanes` lanes, as columns of shape (lanes,).

    `now`: milliseconds; `picture`: its number; `first` and `count`: the rows of its boxes. All rows of a step follow
    each other, from `begin` to `end`, lane by lane.
    """

    now: _Ints
    picture: _Ints
    first: _Ints
    count: _Ints
    begin: int
    end: int

    @property
    def lanes(self) -> int:
        return len(self.now)


@dataclass(frozen=True, slots=True, eq=False)
class Lanes:
    """The boxes of some lanes step by step. The longest lane is the first, so that lanes end in reverse order.

    `lane` (n,): that of each box; `_first`, `_count`: the rows of each picture; `_edges`: where steps begin among the
    pictures, and their end.
    """

    sightings: Sightings
    lane: _Ints
    _first: _Ints
    _count: _Ints
    _edges: _Ints

    def steps(self) -> Iterator[LaneStep]:
        now, picture = self.sightings.time[self._first], self.sightings.picture[self._first]
        for begin, end in pairwise(self._edges.tolist()):
            first, count = self._first[begin:end], self._count[begin:end]
            last = int(first[-1] + count[-1])
            yield LaneStep(now[begin:end], picture[begin:end], first, count, int(first[0]), last)


def in_lanes(sightings: Sightings, memory_ms: int) -> Iterator[Lanes]:
    """All boxes, in groups of lanes. The tracker forgets what it saw more than `memory_ms` before a picture."""
    if not len(sightings):
        return
    first = np.flatnonzero(np.r_[True, sightings.picture[1:] != sightings.picture[:-1]])
    count = np.diff(np.r_[first, len(sightings)])
    camera, time = sightings.camera[first], sightings.time[first]
    begins = np.flatnonzero(np.r_[True, (camera[1:] != camera[:-1]) | (np.diff(time) > memory_ms)])
    length = np.diff(np.r_[begins, len(first)])
    order = np.argsort(-length, kind="stable")
    group = (np.cumsum(np.maximum.reduceat(count, begins)[order]) - 1) // _MOST_AT_ONCE
    edges = np.flatnonzero(np.r_[True, group[1:] != group[:-1]])
    for begin, end in zip(edges.tolist(), [*edges[1:].tolist(), len(order)], strict=True):
        chosen = order[begin:end]
        yield _lanes(sightings, first, count, begins[chosen], length[chosen])


def _lanes(sightings: Sightings, first: _Ints, count: _Ints, begins: _Ints, length: _Ints) -> Lanes:
    """The lanes that begin at these pictures, whose `first` row and `count` of boxes are given for all pictures."""
    lane = np.repeat(np.arange(len(length)), length)
    within = np.arange(len(lane)) - np.repeat(np.cumsum(length) - length, length)
    order = np.argsort(within, kind="stable")
    lane, within = lane[order], within[order]
    pictures = begins[lane] + within
    count = count[pictures]
    starts = np.cumsum(count) - count
    rows = np.arange(count.sum()) + np.repeat(first[pictures] - starts, count)
    edges = np.flatnonzero(np.r_[True, within[1:] != within[:-1], True])
    return Lanes(sightings.take(rows), np.repeat(lane, count), starts, count, edges)
