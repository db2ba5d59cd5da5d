"""Which boxes go together: those that are near enough in place and size, the best pairs first."""

import numpy as np
from numpy.typing import NDArray

_SIMILAR = 1.1
"""Greatest difference of the logarithms of widths or heights, of a box and the vehicle that is expected there.
Detectors now and then take a line of a plate for the whole, or include what is around it."""

_Floats = NDArray[np.float64]
_Ints = NDArray[np.int64]


def fitting(off: _Floats, side: _Floats, reach: _Floats, most: float) -> tuple[_Ints, _Ints, _Floats, _Floats]:
    """Which differences of places `off`, shape (a, b, 4), are small enough.

    `reach` is the greatest distance in sides, `side` the unit in pixels, `most` the greatest difference of the
    logarithms of widths or heights. Returns the indices in a and b, the distances, and the differences of size.
    """
    far = np.hypot(off[..., 0], off[..., 1]) / side
    first, second = np.nonzero(far <= reach)
    stretch = np.abs(off[first, second, 2:]).max(1)
    fits = stretch <= most
    first, second = first[fits], second[fits]
    return first, second, far[first, second], stretch[fits]


def cheapest(cost: _Floats, things: _Ints) -> _Ints:
    """Which candidates are taken, the cheapest first, so that no thing is in two of them.

    `cost` has shape (n,); `things`, shape (n, m), are the numbers of what each candidate joins.
    """
    used: set[int] = set()
    taken = []
    joined = things.tolist()
    for candidate in np.argsort(cost, kind="stable").tolist():
        if used.isdisjoint(joined[candidate]):
            used.update(joined[candidate])
            taken.append(candidate)
    return np.array(taken, np.int64)


def matched(off: _Floats, side: _Floats, reach: _Floats, more: _Floats) -> tuple[_Ints, _Ints]:
    """The best pairs of a vehicle and a box by their differences `off`, shape (a, b, 4): their indices in a and in b.

    `more`, shape (a,), is added to the cost of a vehicle; `side` and `reach` are those of `fitting`.
    """
    track, box, far, stretch = fitting(off, side, reach, _SIMILAR)
    chosen = cheapest(far + stretch + more[track], np.stack((track, -1 - box), 1))
    return track[chosen], box[chosen]
