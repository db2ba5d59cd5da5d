"""The boxes that the tracker works on: in order, without repeats, with the places and sizes that it compares."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from schemas.batch import REGION

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
    """Boxes camera by camera in order of their pictures, the best of a picture first, as columns of shape (n,).

    `camera`: any number; `time`: milliseconds; `picture`: the picture's number among all of all cameras; `place`, shape
    (n, 4): the middle across and down in pixels, and the logarithms of width and height; `side`: pixels; `weight`: that
    of the vote on the `form`.
    """

    camera: _Ints
    time: _Ints
    picture: _Ints
    place: _Floats
    side: _Floats
    weight: _Floats
    form: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.time)

    def take(self, rows: _Ints) -> "Sightings":
        """The boxes at these places, in that order."""
        return Sightings(*(getattr(self, column.name)[rows] for column in fields(self)))

    @staticmethod
    def join(parts: "Sequence[Sightings]") -> "Sightings":
        """All boxes, one part after the other, whose pictures are numbered through already. At least one part."""
        return Sightings(*(np.concatenate([getattr(p, column.name) for p in parts]) for column in fields(Sightings)))


def sightings_since(
    camera: _Ints, start: _Ints, frame: _Ints, boxes: NDArray[np.void], since: int, numbered: int = 0
) -> Sightings:
    """The boxes of pictures from `since` on (milliseconds), at most so many of a picture, and each plate once.

    `camera`, `start`, `frame` and `boxes` are those of `processors.tracking.passes.passes`. The pictures are numbered
    from `numbered` on, also those without boxes. Raises `ValueError` for arrays that don't fit together.
    """
    if boxes.dtype != REGION or len(frame) != len(boxes):
        raise ValueError(f"{len(boxes)} boxes of dtype {boxes.dtype} don't go with the pictures of {len(frame)}")
    if len(frame) and not 0 <= int(frame.min()) <= int(frame.max()) < len(start):
        raise ValueError(f"a box is of a picture that is none of the {len(start)}")
    late = np.flatnonzero(start[frame] >= since)
    boxes, frame = boxes[late], frame[late]
    picture = _numbers(camera, start)[frame]
    score = np.clip(np.nan_to_num(boxes["score"].astype(np.float64)), 0.0, 1.0)
    order = np.lexsort((*(boxes[name] for name in ("form", "h", "w", "x", "y")), -score, picture))
    rank = np.arange(len(order)) - np.searchsorted(picture[order], picture[order])
    order = order[rank < _MOST_BOXES]
    order = order[_distinct(boxes[order], picture[order])]
    boxes, picture, frame = boxes[order], picture[order], frame[order]
    w, h = (np.maximum(boxes[name], 1).astype(np.float64) for name in ("w", "h"))
    across: _Floats = boxes["x"] + boxes["w"] / 2
    down: _Floats = boxes["y"] + boxes["h"] / 2
    place = np.stack((across, down, np.log(w), np.log(h)), 1)
    weight = np.maximum(score[order], _LEAST_WEIGHT)
    return Sightings(camera[frame], start[frame], picture + numbered, place, np.sqrt(w * h), weight, boxes["form"])


def _numbers(camera: _Ints, start: _Ints) -> _Ints:
    """The number of each picture by camera and time; those of one camera and time are one picture. Shape (frames,)."""
    order = np.lexsort((start, camera))
    camera, start = camera[order], start[order]
    number = np.zeros(len(order), np.int64)
    number[order[1:]] = np.cumsum((camera[1:] != camera[:-1]) | (start[1:] != start[:-1]))
    return number


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
