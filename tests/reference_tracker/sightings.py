"""The boxes that the tracker works on: in order, without repeats, with the places and sizes that it compares."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_MOST_BOXES = 100
_SAME = 0.5
"""A box of which so much is covered by a better box of its picture is the same plate again, and left out."""
_LEAST_WEIGHT = 0.05
"""Of a box in the vote on a form: the boxes of a detector that gives no scores count as well."""

_Floats = NDArray[np.float64]
_Ints = NDArray[np.int64]
_Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Sightings:
    """Boxes in order of their pictures, the best of a picture first, as columns of shape (n,).

    `time`: milliseconds; `picture`: the picture's number among all; `place`, shape (n, 4): the middle across and down
    in pixels, and the logarithms of width and height; `side`: pixels; `weight`: that of the vote on the `form`.
    """

    time: _Ints
    picture: _Ints
    place: _Floats
    side: _Floats
    weight: _Floats
    form: NDArray[np.uint8]


def sightings_since(start: _Ints, frame: _Ints, boxes: NDArray[np.void], since: int) -> Sightings:
    """The boxes of pictures from `since` on (milliseconds), at most so many of a picture, and each plate once.

    `start`, `frame` and `boxes` are those of `processors.tracking.passes.passes`.
    """
    late = np.flatnonzero(start[frame] >= since)
    boxes, time = boxes[late], np.unique(start[start >= since])
    picture = np.searchsorted(time, start[frame[late]])
    score = np.clip(np.nan_to_num(boxes["score"].astype(np.float64)), 0.0, 1.0)
    order = np.lexsort((*(boxes[name] for name in ("form", "h", "w", "x", "y")), -score, picture))
    rank = np.arange(len(order)) - np.searchsorted(picture[order], picture[order])
    order = order[rank < _MOST_BOXES]
    order = order[_distinct(boxes[order], picture[order])]
    boxes, picture = boxes[order], picture[order]
    w, h = (np.maximum(boxes[name], 1).astype(np.float64) for name in ("w", "h"))
    across: _Floats = boxes["x"] + boxes["w"] / 2
    down: _Floats = boxes["y"] + boxes["h"] / 2
    place = np.stack((across, down, np.log(w), np.log(h)), 1)
    weight = np.maximum(score[order], _LEAST_WEIGHT)
    return Sightings(time[picture], picture, place, np.sqrt(w * h), weight, boxes["form"])


def _distinct(boxes: NDArray[np.void], picture: _Ints) -> _Bools:
    """Which boxes no better box of their picture covers. They are in order of pictures, the best first."""
    left: _Ints = boxes["x"].astype(np.int64)
    top: _Ints = boxes["y"].astype(np.int64)
    right: _Ints = left + boxes["w"]
    bottom: _Ints = top + boxes["h"]
    area: _Ints = (right - left) * (bottom - top)
    alone = np.ones(len(boxes), np.bool_)
    for ahead in range(1, _MOST_BOXES):
        better = np.flatnonzero(picture[ahead:] == picture[:-ahead])
        worse = better + ahead
        across = np.minimum(right[worse], right[better]) - np.maximum(left[worse], left[better])
        down = np.minimum(bottom[worse], bottom[better]) - np.maximum(top[worse], top[better])
        shared = np.clip(across, 0, None) * np.clip(down, 0, None)
        alone[worse[shared > _SAME * np.minimum(area[worse], area[better])]] = False
        if not len(better):
            break
    return alone
