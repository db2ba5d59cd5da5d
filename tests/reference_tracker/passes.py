"""The passes of one camera in one window."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.batch import FORM_UNKNOWN, ONE_LINE, REGION, TWO_LINES
from tests.reference_tracker.loose_boxes import LooseBoxes
from tests.reference_tracker.sightings import Sightings, sightings_since
from tests.reference_tracker.tracks import REST_MS, Tracks

SIGHTINGS = 3
"""A pass needs so many: any two boxes lie on a line, so only a third tells a vehicle from two false regions."""
CERTAIN_MS = 300
"""A pass is seen for at least so long: a false region is often in the next picture of a fast camera too."""
TAIL_MS = SIGHTINGS * REST_MS
"""How much of the time before a window is tracked: enough to be certain again of what is there."""

_Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Passes:
    """Vehicle passes as columns of shape (n,), in order of `first`.

    `first` int64: time of the first picture in which the vehicle was seen, milliseconds; `form` uint8: the form of most
    of its boxes, weighted by score, and `FORM_UNKNOWN` if no box has a form or both have the same weight; `seen` int64:
    in how many pictures it was seen.
    """

    first: NDArray[np.int64]
    form: NDArray[np.uint8]
    seen: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.first)


def passes(start: _Ints, frame: _Ints, boxes: NDArray[np.void], *, window_start: int) -> Passes:
    """The passes of one camera that belong to a window: those that become certain in it.

    `start` shape (frames,): the times of the pictures in milliseconds, of those without boxes too. `frame` shape (n,):
    the place in `start` of each box's picture. `boxes` dtype `REGION`, shape (n,). Any order gives the same passes, and
    pictures of the same time are one.

    Pictures before `window_start` are the tail of the window before, and none may come after the window's end. Those
    more than `TAIL_MS` before are left out. A pass becomes certain with its third sighting, or with the first one
    `CERTAIN_MS` after its first if that is later, and is counted then: once, as nothing later takes it back. So `first`
    is in the tail if a vehicle came into view in the last moment of the window before, too late to be certain there.
    `form` and `seen` are those at the window's end, also of a vehicle that stays in view beyond it.

    Raises `ValueError` for arrays that don't fit together.
    """
    if boxes.dtype != REGION or len(frame) != len(boxes):
        raise ValueError(f"{len(boxes)} boxes of dtype {boxes.dtype} don't go with the pictures of {len(frame)}")
    if len(frame) and not 0 <= int(frame.min()) <= int(frame.max()) < len(start):
        raise ValueError(f"a box is of a picture that is none of the {len(start)}")
    sightings = sightings_since(np.asarray(start, np.int64), frame, boxes, window_start - TAIL_MS)
    return _summary(sightings, _linked(sightings), window_start)


def _linked(sightings: Sightings) -> _Ints:
    """The number of each box's vehicle, or -1. Shape (n,)."""
    owner = np.full(len(sightings.time), -1, np.int64)
    tracks, loose = Tracks(sightings), LooseBoxes(sightings, owner)
    pictures, begins = np.unique(sightings.picture, return_index=True)
    ends = np.append(begins, len(owner))[1:]
    for picture, begin, end in zip(pictures.tolist(), begins.tolist(), ends.tolist(), strict=True):
        rows, now = np.arange(begin, end), int(sightings.time[begin])
        owner[rows] = tracks.follow(rows, now, picture)
        rows = rows[owner[rows] < 0]
        if len(rows):
            begun = loose.begun(rows, now, picture)
            if len(begun):
                owner[begun] = tracks.begin(begun)[:, None]
            loose.keep(rows[owner[rows] < 0], now, picture)
    return owner


def _summary(sightings: Sightings, owner: _Ints, window_start: int) -> Passes:
    """The vehicles that became certain from `window_start` on."""
    rows = np.flatnonzero(owner >= 0)
    rows = rows[np.argsort(owner[rows], kind="stable")]
    if not len(rows):
        return Passes(np.empty(0, np.int64), np.empty(0, np.uint8), np.empty(0, np.int64))
    begins = np.flatnonzero(np.r_[True, np.diff(owner[rows]) > 0])
    seen = np.diff(np.r_[begins, len(rows)])
    time, form, weight = sightings.time[rows], sightings.form[rows], sightings.weight[rows]
    enough = np.arange(len(rows)) - np.repeat(begins, seen) >= SIGHTINGS - 1
    certain = enough & (time - np.repeat(time[begins], seen) >= CERTAIN_MS)
    never = np.iinfo(np.int64).max
    since = np.minimum.reduceat(np.where(certain, time, never), begins)
    one, two = (np.add.reduceat(weight * (form == kind), begins) for kind in (ONE_LINE, TWO_LINES))
    voted = np.where(one > two, ONE_LINE, np.where(two > one, TWO_LINES, FORM_UNKNOWN)).astype(np.uint8)
    kept = np.flatnonzero((since >= window_start) & (since < never))
    kept = kept[np.lexsort((seen[kept], voted[kept], time[begins][kept]))]
    return Passes(time[begins][kept], voted[kept], seen[kept])
