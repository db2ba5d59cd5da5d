"""Which boxes go together: those that are near enough in place and size, the best pairs first."""

import numpy as np
from numpy.typing import NDArray

_SIMILAR = 1.1
"""Greatest difference of the logarithms of widths or heights, of a box and the vehicle that is expected there.
Detectors now and then take a line of a plate for the whole, or include what is around it."""

_Floats = NDArray[np.float64]
_Ints = NDArray[np.int64]


def pairs_of(lane: _Ints, first: _Ints, count: _Ints) -> tuple[_Ints, _Ints]:
    """Every pair of one of some things, in these lanes, with one of others: `count` of each lane, from `first` on.

    Returns the numbers of both, in order of the former and then of the latter.
    """
    many = count[lane]
    one = np.repeat(np.arange(len(lane)), many)
    return one, np.arange(len(one)) + np.repeat(first[lane] - np.cumsum(many) + many, many)


def fitting(off: _Floats, side: _Floats, reach: _Floats, most: float) -> tuple[_Ints, _Floats, _Floats]:
    """Which differences of places `off`, shape (n, 4), are small enough.

    `reach`, shape (n,), is the greatest distance in sides, `side`, shape (n,), the unit in pixels, `most` the greatest
    difference of the logarithms of widths or heights. Returns the indices, the distances, and the differences of size.
    """
    far = np.hypot(off[:, 0], off[:, 1]) / side
    near = np.flatnonzero(far <= reach)
    stretch = np.abs(off[near, 2:]).max(1)
    fits = stretch <= most
    near = near[fits]
    return near, far[near], stretch[fits]


def cheapest(cost: _Floats, things: _Ints) -> _Ints:
    """Which candidates are taken, the cheapest first, so that no thing is in two of them.

    `cost` has shape (n,); `things`, shape (n, m), are the numbers of what each candidate joins.
    """
    used: set[int] = set()
    taken = []
    order = np.argsort(cost, kind="stable")
    for candidate, joined in zip(order.tolist(), things[order].tolist(), strict=True):
        if used.isdisjoint(joined):
            used.update(joined)
            taken.append(candidate)
    return np.array(taken, np.int64)


def matched(
    track: _Ints, box: _Ints, off: _Floats, side: _Floats, reach: _Floats, more: _Floats | None = None
) -> _Ints:
    """The best of some pairs of a vehicle and a box, by their differences `off`, shape (n, 4): indices of pairs.

    `more`, shape (n,), is added to the cost of a pair; `side` and `reach` are those of `fitting`.
    """
    near, far, stretch = fitting(off, side, reach, _SIMILAR)
    cost = far + stretch if more is None else far + stretch + more[near]
    return near[cheapest(cost, np.stack((track[near], -1 - box[near]), 1))]
