"""The boxes that belong to no vehicle, and the vehicles that begin where three of them fit."""

import numpy as np
from numpy.typing import NDArray

from tests.reference_tracker.matching import cheapest, fitting
from tests.reference_tracker.sightings import Sightings
from tests.reference_tracker.tracks import LOST_MS, REST_MS, STILL

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
    """Boxes that belong to no vehicle yet, and the pairs of them that become a vehicle with a third box.

    `owner` is the number of each box's vehicle, or -1; the caller keeps it up to date. Times `now` are milliseconds.
    """

    def __init__(self, sightings: Sightings, owner: _Ints) -> None:
        self._all = sightings
        self._owner = owner
        self._rows = np.empty(0, np.int64)
        self._pairs = np.empty((0, 2), np.int64)

    def begun(self, rows: _Ints, now: int, picture: int) -> _Ints:
        """The vehicles that begin with boxes of this picture as their third: three boxes each, shape (m, 3)."""
        self._forget(now)
        pair, box, stretch = self._steps(self._pairs[:, 1], rows, now, picture)
        if not len(pair):
            return np.empty((0, 3), np.int64)
        boxes = np.column_stack((self._pairs[pair], rows[box]))
        time, place, side = self._all.time[boxes], self._all.place[boxes, _MIDDLE], self._all.side[boxes[:, 1]]
        share = (time[:, 1] - time[:, 0]) / (now - time[:, 0])
        way = place[:, 2] - place[:, 0]
        off = np.hypot(*(place[:, 1] - place[:, 0] - share[:, None] * way).T) / side
        length = np.hypot(*way.T) / side
        line = np.flatnonzero(off <= _OFF_LINE[0] + _OFF_LINE[1] * length)
        cost = off[line] + stretch[line] + _SHORTER * length[line]
        return boxes[line[cheapest(cost, boxes[line])]]

    def keep(self, rows: _Ints, now: int, picture: int) -> None:
        """Remember boxes of this picture, and the pairs that they make with earlier ones."""
        self._rows = self._rows[self._owner[self._rows] < 0]
        old, box, stretch = self._steps(self._rows, rows, now, picture)
        order = np.lexsort((old, stretch, box))
        order = order[np.arange(len(order)) - np.searchsorted(box[order], box[order]) < _MOST_CHOICES]
        pairs = np.stack((self._rows[old[order]], rows[box[order]]), 1)
        self._pairs = np.concatenate((self._pairs, pairs))[-_MOST_PAIRS:]
        self._rows = np.concatenate((self._rows, rows))[-_MOST_LOOSE:]

    def _steps(self, old: _Ints, rows: _Ints, now: int, picture: int) -> tuple[_Ints, _Ints, _Floats]:
        """From which earlier box to which of `rows` a vehicle may have moved: indices in both, and change of size."""
        waited = now - self._all.time[old]
        moves = (waited <= 2 * LOST_MS) & (picture - self._all.picture[old] <= _BEGUN_PICTURES)
        reach = np.maximum(np.where(moves, _FASTEST * waited / 1000, 0.0), STILL)
        off = self._all.place[rows] - self._all.place[old, None]
        first, second, _, stretch = fitting(off, self._all.side[old, None], reach[:, None], _ALIKE)
        return first, second, stretch

    def _forget(self, now: int) -> None:
        """Forget boxes that are too old, or belong to a vehicle by now."""
        time = self._all.time
        self._rows = self._rows[time[self._rows] >= now - REST_MS]
        free = (self._owner[self._pairs] < 0).all(1) & (time[self._pairs[:, 1]] >= now - REST_MS)
        self._pairs = self._pairs[free]
