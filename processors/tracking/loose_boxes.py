"""The boxes that belong to no vehicle, and the vehicles that begin where three of them fit."""

import numpy as np
from numpy.typing import NDArray

from processors.tracking.lanes import Lanes, LaneStep
from processors.tracking.matching import cheapest, fitting, pairs_of
from processors.tracking.tracks import LOST_MS, REST_MS, STILL

_BEGUN_PICTURES = 2
"""Two of a vehicle's first three boxes may be so many pictures apart: over more, chance joins more false regions."""
_FASTEST = 60.0
"""Sides a second, where a vehicle begins: 10 m/s past the camera, or 20 m/s towards one above the road."""
_OFF_LINE = (0.4, 0.12)
"""How far off the line the second of a vehicle's first three boxes may be: at all, for each side of the way."""
_ALIKE = 0.6
"""Greatest difference of the logarithms of widths or heights of the boxes that a vehicle begins with."""
_SHORTER = 0.1
"""What each side of the way costs: of two ways to join the same boxes, the one with shorter steps is likelier."""
_MOST_LOOSE, _MOST_CHOICES, _MOST_PAIRS = 600, 8, 2_000
"""What is kept of boxes that belong to no vehicle: with more false regions than that, the oldest are forgotten."""

_MIDDLE = slice(0, 2)
_Floats = NDArray[np.float64]
_Ints = NDArray[np.int64]


class LooseBoxes:
    """Boxes that belong to no vehicle yet, and the pairs of them that become a vehicle with a third box, of all lanes.

    `owner` is the number of each box's vehicle, or -1; the caller keeps it up to date.
    """

    def __init__(self, lanes: Lanes, owner: _Ints) -> None:
        self._all = lanes.sightings
        self._lane = lanes.lane
        self._owner = owner
        self._rows = np.empty(0, np.int64)
        self._pairs = np.empty((0, 2), np.int64)

    def begun(self, rows: _Ints, step: LaneStep) -> _Ints:
        """The vehicles that begin with boxes of this step as their third: three boxes each, shape (m, 3).

        `rows` are the boxes that belong to no vehicle. Vehicles are in order of their lanes.
        """
        self._forget(step)
        pair, box, stretch = self._moves(self._pairs[:, 1], rows, step)
        if not len(pair):
            return np.empty((0, 3), np.int64)
        boxes = np.column_stack((self._pairs[pair], rows[box]))
        time, place, side = self._all.time[boxes], self._all.place[boxes, _MIDDLE], self._all.side[boxes[:, 1]]
        share = (time[:, 1] - time[:, 0]) / (time[:, 2] - time[:, 0])
        way = place[:, 2] - place[:, 0]
        off = np.hypot(*(place[:, 1] - place[:, 0] - share[:, None] * way).T) / side
        length = np.hypot(*way.T) / side
        line = np.flatnonzero(off <= _OFF_LINE[0] + _OFF_LINE[1] * length)
        cost = off[line] + stretch[line] + _SHORTER * length[line]
        begun = boxes[line[cheapest(cost, boxes[line])]]
        return begun[np.argsort(self._lane[begun[:, 2]], kind="stable")]

    def keep(self, rows: _Ints, step: LaneStep) -> None:
        """Remember boxes of this step, and the pairs that they make with earlier ones."""
        self._rows = self._rows[self._owner[self._rows] < 0]
        old, box, stretch = self._moves(self._rows, rows, step)
        if len(old):
            order = np.lexsort((old, stretch, box))
            order = order[np.arange(len(order)) - np.searchsorted(box[order], box[order]) < _MOST_CHOICES]
            pairs = np.stack((self._rows[old[order]], rows[box[order]]), 1)
            pairs = np.concatenate((self._pairs, pairs))
            self._pairs = pairs[_last(self._lane[pairs[:, 1]], _MOST_PAIRS)]
        kept = np.concatenate((self._rows, rows))
        self._rows = kept[_last(self._lane[kept], _MOST_LOOSE)]

    def _moves(self, old: _Ints, rows: _Ints, step: LaneStep) -> tuple[_Ints, _Ints, _Floats]:
        """From which earlier box to which of `rows` a vehicle may have moved: indices in both, and change of size."""
        lane = self._lane[old]
        waited = step.now[lane] - self._all.time[old]
        moves = (waited <= 2 * LOST_MS) & (step.picture[lane] - self._all.picture[old] <= _BEGUN_PICTURES)
        reach = np.maximum(np.where(moves, _FASTEST * waited / 1000, 0.0), STILL)
        count = np.bincount(self._lane[rows], minlength=step.lanes)
        first, second = pairs_of(lane, np.cumsum(count) - count, count)
        earlier = old[first]
        off = self._all.place[rows[second]] - self._all.place[earlier]
        near, _, stretch = fitting(off, self._all.side[earlier], reach[first], _ALIKE)
        return first[near], second[near], stretch

    def _forget(self, step: LaneStep) -> None:
        """Forget boxes that are too old, belong to a vehicle by now, or are of lanes that have ended."""
        self._rows = self._rows[self._recent(self._rows, step)]
        free = (self._owner[self._pairs] < 0).all(1) & self._recent(self._pairs[:, 1], step)
        self._pairs = self._pairs[free]

    def _recent(self, rows: _Ints, step: LaneStep) -> NDArray[np.bool_]:
        lane = self._lane[rows]
        going_on = lane < step.lanes
        return going_on & (self._all.time[rows] >= step.now[np.where(going_on, lane, 0)] - REST_MS)


def _last(lane: _Ints, most: int) -> slice | _Ints:
    """Where the last `most` of each lane are, in their order. Shape (n,)."""
    if len(lane) <= most or int((count := np.bincount(lane)).max()) <= most:
        return slice(None)
    order = np.argsort(lane, kind="stable")
    left = np.repeat(np.cumsum(count), count) - np.arange(len(lane))
    return np.sort(order[left <= most])
