"""The passes of some cameras in one window."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from processors.pieces import Pieces, finish
from processors.tracking.lanes import Lanes, in_lanes
from processors.tracking.loose_boxes import LooseBoxes
from processors.tracking.sightings import Sightings, sightings_since
from processors.tracking.tracks import REST_MS, Tracks
from schemas.batch import FORM_UNKNOWN, ONE_LINE, TWO_LINES

SIGHTINGS = 3
"""A pass needs so many: any two boxes lie on a line, so only a third tells a vehicle from two false regions."""
CERTAIN_MS = 300
"""A pass is seen for at least so long: a false region is often in the next picture of a fast camera too."""
TAIL_MS = SIGHTINGS * REST_MS
"""How much of the time before a window is tracked: enough to be certain again of what is there."""

_Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Passes:
    """Vehicle passes as columns of shape (n,), in order of `camera` and `first`.

    `camera` int64: the camera's number; `first` int64: time of the first picture in which the vehicle was seen,
    milliseconds; `form` uint8: the form of most of its boxes, weighted by score, and `FORM_UNKNOWN` if no box has a
    form or both have the same weight; `seen` int64: in how many pictures it was seen.
    """

    camera: NDArray[np.int64]
    first: NDArray[np.int64]
    form: NDArray[np.uint8]
    seen: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.first)

    def take(self, which: _Ints) -> "Passes":
        """The passes at these places, in that order."""
        return Passes(self.camera[which], self.first[which], self.form[which], self.seen[which])

    @staticmethod
    def join(parts: "Sequence[Passes]") -> "Passes":
        """All passes, one part after the other."""
        empty = np.empty(0, np.int64)
        every = (Passes(empty, empty, np.empty(0, np.uint8), empty), *parts)
        columns = ([getattr(part, name) for part in every] for name in Passes.__slots__)
        return Passes(*(np.concatenate(column) for column in columns))


def passes(camera: _Ints, start: _Ints, frame: _Ints, boxes: NDArray[np.void], *, window_start: int) -> Passes:
    """The passes of some cameras that belong to a window: those that become certain in it.

    `camera` and `start` shape (frames,): the camera of each picture, as any number, and its time in milliseconds, of
    those without boxes too. `frame` shape (n,): the place in `start` of each box's picture. `boxes` dtype `REGION`,
    shape (n,). Any order gives the same passes, and pictures of the same camera and time are one. Each camera's passes
    depend on its own pictures only.

    Pictures before `window_start` are the tail of the window before, and none may come after the window's end. Those
    more than `TAIL_MS` before are left out. A pass becomes certain with its third sighting, or with the first one
    `CERTAIN_MS` after its first if that is later, and is counted then: once, as nothing later takes it back. So `first`
    is in the tail if a vehicle came into view in the last moment of the window before, too late to be certain there.
    `form` and `seen` are those at the window's end, also of a vehicle that stays in view beyond it.

    Raises `ValueError` for arrays that don't fit together.
    """
    sightings = sightings_since(camera, start, frame, boxes, window_start - TAIL_MS)
    return finish(track(sightings, window_start))


def track(sightings: Sightings, window_start: int) -> Pieces[Passes]:
    """`passes` in pieces: a step of the tracker each."""
    found = []
    for lanes in in_lanes(sightings, REST_MS):
        owner = yield from _linked(lanes)
        found.append(_summary(lanes.sightings, owner, window_start))
        yield
    every = Passes.join(found)
    return every.take(np.lexsort((every.seen, every.form, every.first, every.camera)))


def _linked(lanes: Lanes) -> Pieces[_Ints]:
    """The number of each box's vehicle, or -1. Shape (n,)."""
    owner = np.full(len(lanes.sightings), -1, np.int64)
    tracks, loose = Tracks(lanes), LooseBoxes(lanes, owner)
    for step in lanes.steps():
        owner[step.begin : step.end] = tracks.follow(step)
        rows = step.begin + np.flatnonzero(owner[step.begin : step.end] < 0)
        if len(rows):
            begun = loose.begun(rows, step)
            if len(begun):
                owner[begun] = tracks.begin(begun, step.lanes)[:, None]
                rows = rows[owner[rows] < 0]
            loose.keep(rows, step)
        yield
    return owner


def _summary(sightings: Sightings, owner: _Ints, window_start: int) -> Passes:
    """The vehicles that became certain from `window_start` on, in no particular order."""
    rows = np.flatnonzero(owner >= 0)
    rows = rows[np.argsort(owner[rows], kind="stable")]
    if not len(rows):
        return Passes.join(())
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
    return Passes(sightings.camera[rows[begins]], time[begins], voted, seen).take(kept)
