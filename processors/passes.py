"""From plate boxes to vehicle passes: a tracker over the boxes of one camera, without clock, chance or memory.

A vehicle begins where three boxes of different pictures lie on one line at one speed, with sizes that agree. It is
followed by constant velocity and constant growth until it has not been seen for about a second; one that rests may be
hidden for longer. Every choice depends on boxes of a few seconds around it, so a window that also sees the tail of the
window before makes the same choices as a look at the whole recording.

Lengths are in sides where nothing else is said: a plate's side is the root of its width times its height, about a
fifth of a metre, and so much the same thing near and far.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.batch import FORM_UNKNOWN, ONE_LINE, REGION, TWO_LINES

SIGHTINGS = 3
"""A pass needs so many: any two boxes lie on a line, so only the third tells a vehicle from two false regions."""
CERTAIN_MS = 300
"""A pass is seen for at least so long: what deceives the detector in one picture does in the next of a fast camera."""
REST_MS = 4_000
"""How long a vehicle that rests may be hidden, by a lorry between it and the camera."""
TAIL_MS = SIGHTINGS * REST_MS
"""How much of the time before a window must be looked at: enough to find again, and to be certain of, what rests."""

_LOST_MS = 1_200
_LOST_PICTURES = 3
"""A moving vehicle is lost past both; slow cameras may miss as many pictures as fast ones, up to twice the time."""
_MOST_BOXES = 100
"""Of a picture: the best. A picture with more shows no street."""
_SAME = 0.5
"""A box of which so much is covered by a better one of the same picture is that one's plate again."""

_FASTEST = 45.0
"""Sides a second, where a vehicle begins: 70 km/h towards a camera that looks down on it from a low bridge."""
_SLOW = 0.5
"""Sides a second. What is slower rests."""
_STILL = 0.5
_STRETCH = 0.6
"""Greatest change of a side's logarithm between two boxes: detectors take a part of a plate for the whole."""
_OFF_LINE = (0.4, 0.12)
"""How far off the line the box in the middle may be: so much, and so much more for each side of the way."""
_SHORTER = 0.1
"""What each side of the way costs: of two ways to join the same boxes, the one with shorter steps is likelier."""
_REACH = (0.8, 1.5, 0.25)
"""How far from where it is expected a vehicle may be: at once, for each second unseen, for each side of the way."""
_SETTLED_S = 0.1
"""Time constant of the filter that follows positions and speeds."""
_GROWTH = 1.5
"""Greatest change of a side's logarithm in a second that is believed."""
_MOST_CHOICES = 8
_MOST_PAIRS = 2_000
_MOST_LOOSE = 600
"""What is kept of boxes that belong to no vehicle: in a picture full of false regions the oldest are forgotten."""

_LEAST_WEIGHT = 0.05
"""Of a box in the vote on a form: a detector without scores has a vote as well."""

_Floats = NDArray[np.float64]
_Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Passes:
    """Vehicle passes as columns of shape (n,), in order of `first`.

    `first` int64: time of the first picture in which the vehicle was seen, milliseconds; `form` uint8: what most of
    its boxes said, by score, `FORM_UNKNOWN` where none said anything or both forms have the same; `seen` int64: number
    of pictures.
    """

    first: NDArray[np.int64]
    form: NDArray[np.uint8]
    seen: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.first)


def passes(start: NDArray[np.int64], frame: _Ints, boxes: NDArray[np.void], *, window_start: int) -> Passes:
    """The passes of one camera that belong to a window: those that became certain in it.

    `start` shape (frames,): the times of the pictures in milliseconds, those without boxes as well; in any order, and
    pictures of the same time are one. `frame` shape (n,): the place in `start` of each box's picture; `boxes` dtype
    `REGION`, shape (n,), in any order. Pictures before `window_start` are the tail of the window before, of which
    `TAIL_MS` are looked at; give none after the window's end. A pass becomes certain with its third sighting, or the
    first after `CERTAIN_MS` if that is later, and is counted there, once: nothing later can take it back, and no window
    has to look at the next one. So `first` may lie in the tail. Raises `ValueError` for arrays that don't fit together.
    """
    if boxes.dtype != REGION or len(frame) != len(boxes):
        raise ValueError(f"{len(boxes)} boxes of dtype {boxes.dtype} don't go with {len(frame)} places of pictures")
    if len(frame) and not 0 <= int(frame.min()) <= int(frame.max()) < len(start):
        raise ValueError(f"a box is of a picture that is none of the {len(start)}")
    sightings = _sightings(np.asarray(start, np.int64), frame, boxes, window_start - TAIL_MS)
    return _summary(sightings, _linked(sightings), window_start)


@dataclass(frozen=True, slots=True, eq=False)
class _Sightings:
    """Boxes in order of their pictures, the best of a picture first.

    `time` and `picture` shape (n,): milliseconds, and the picture's number among all; `edges`: where each picture's
    boxes begin, and the end of the last. `place` shape (n, 4): middle across and down in pixels, logarithms of width
    and height. `side` in pixels; `weight` of its vote on the `form`.
    """

    time: _Ints
    picture: _Ints
    edges: _Ints
    place: _Floats
    side: _Floats
    weight: _Floats
    form: NDArray[np.uint8]


def _sightings(start: _Ints, frame: _Ints, boxes: NDArray[np.void], since: int) -> _Sightings:
    """The boxes of pictures from `since` on, without what is too much of a picture or twice in it."""
    late = start[frame] >= since
    boxes = boxes[late]
    time = np.unique(start[start >= since])
    picture = np.searchsorted(time, start[frame[late]])
    score = np.clip(np.nan_to_num(boxes["score"].astype(np.float64), nan=0.0), 0.0, 1.0)
    columns = (boxes[name] for name in ("form", "h", "w", "x", "y"))
    order = np.lexsort((*columns, -score, picture))
    boxes, picture, score = boxes[order], picture[order], score[order]
    rank = np.arange(len(picture)) - np.searchsorted(picture, picture)
    kept = np.flatnonzero(rank < _MOST_BOXES)
    kept = kept[_distinct(boxes[kept], picture[kept])]
    boxes, picture = boxes[kept], picture[kept]
    w, h = (np.maximum(boxes[name], 1).astype(np.float64) for name in ("w", "h"))
    place = np.stack((boxes["x"] + boxes["w"] / 2, boxes["y"] + boxes["h"] / 2, np.log(w), np.log(h)), 1)
    edges = np.searchsorted(picture, np.arange(len(time) + 1))
    weight = np.maximum(score[kept], _LEAST_WEIGHT)
    return _Sightings(time[picture], picture, edges, place, np.sqrt(w * h), weight, boxes["form"])


def _distinct(boxes: NDArray[np.void], picture: _Ints) -> NDArray[np.bool_]:
    """Which boxes no better one of their picture covers. They lie picture by picture, the best first."""
    left, top = boxes["x"].astype(np.float64), boxes["y"].astype(np.float64)
    right, bottom = left + boxes["w"], top + boxes["h"]
    area = (right - left) * (bottom - top)
    alone = np.ones(len(boxes), np.bool_)
    for ahead in range(1, _MOST_BOXES):
        worse = np.flatnonzero(picture[ahead:] == picture[:-ahead]) + ahead
        if not len(worse):
            break
        better = worse - ahead
        across = np.minimum(right[worse], right[better]) - np.maximum(left[worse], left[better])
        down = np.minimum(bottom[worse], bottom[better]) - np.maximum(top[worse], top[better])
        shared = np.clip(across, 0, None) * np.clip(down, 0, None)
        alone[worse[shared > _SAME * np.minimum(area[worse], area[better])]] = False
    return alone


def _linked(sightings: _Sightings) -> _Ints:
    """The number of each box's vehicle, -1 for none, shape (n,)."""
    owner = np.full(len(sightings.time), -1, np.int64)
    tracks, loose = _Tracks(), _Loose(sightings, owner)
    edges = sightings.edges.tolist()
    for picture in np.unique(sightings.picture).tolist():
        rows = np.arange(edges[picture], edges[picture + 1])
        now = int(sightings.time[rows[0]])
        owner[rows] = tracks.follow(sightings.place[rows], now, picture)
        rows = rows[owner[rows] < 0]
        if len(rows):
            begun = loose.begin(rows, now, picture)
            owner[begun] = tracks.add(begun, sightings)[:, None]
            loose.keep(rows[owner[rows] < 0], now, picture)
    return owner


def _recent(waited: _Ints, missed: _Ints) -> NDArray[np.bool_]:
    """Whether what moves can still be found, `waited` milliseconds and so many pictures after it was seen."""
    return (waited <= _LOST_MS) | ((missed <= _LOST_PICTURES) & (waited <= 2 * _LOST_MS))


def _greedy(cost: _Floats, one: _Ints, other: _Ints) -> list[int]:
    """Which candidates are taken, the cheapest first, so that none of `one` and none of `other` is taken twice."""
    ones: set[int] = set()
    others: set[int] = set()
    taken = []
    of_one, of_other = one.tolist(), other.tolist()
    for candidate in np.argsort(cost, kind="stable").tolist():
        if of_one[candidate] not in ones and of_other[candidate] not in others:
            ones.add(of_one[candidate])
            others.add(of_other[candidate])
            taken.append(candidate)
    return taken


class _Tracks:
    """The vehicles in view: where each was when it was seen last, and how its place changes in a second."""

    def __init__(self) -> None:
        self._begun = 0
        self._number = np.empty(0, np.int64)
        self._time = np.empty(0, np.int64)
        self._picture = np.empty(0, np.int64)
        self._place = np.empty((0, 4))
        self._pace = np.empty((0, 2))
        self._growth = np.empty(0)
        self._home = np.empty((0, 2))

    def add(self, boxes: _Ints, sightings: _Sightings) -> _Ints:
        """The numbers of the vehicles that three boxes each are of, shape (m, 3): hidden ones, or new. Shape (m,)."""
        if not len(boxes):
            return np.empty(0, np.int64)
        first, last = boxes[:, 0], boxes[:, -1]
        took = (sightings.time[last] - sightings.time[first]) / 1000
        change = sightings.place[last] - sightings.place[first]
        pace = change[:, :2] / took[:, None]
        growth = change[:, 2:].mean(1) / took * (took**2 / (took**2 + TRUST**2))
        growth = np.clip(growth, -_GROWTH, _GROWTH)
        numbers = self._joined(boxes, pace, sightings)
        gone = np.isin(self._number, numbers)
        new = numbers < 0
        numbers[new] = np.arange(self._begun, self._begun + new.sum())
        self._begun += int(new.sum())
        self._keep(~gone)
        self._number = np.concatenate((self._number, numbers))
        self._time = np.concatenate((self._time, sightings.time[last]))
        self._picture = np.concatenate((self._picture, sightings.picture[last]))
        self._place = np.concatenate((self._place, sightings.place[last]))
        self._pace = np.concatenate((self._pace, pace * np.exp(growth * took)[:, None]))
        self._growth = np.concatenate((self._growth, growth))
        self._home = np.concatenate((self._home, sightings.place[first, :2]))
        return numbers

    def _joined(self, boxes: _Ints, pace: _Floats, sightings: _Sightings) -> _Ints:
        time, place = sightings.time[boxes].mean(1), sightings.place[boxes].mean(1)
        numbers = np.full(len(boxes), -1, np.int64)
        waited = (time - self._time[:, None]) / 1000
        between = (self._pace[:, None, :2] + pace[:, :2]) / 2 * waited[..., None]
        off = place - self._place[:, None]
        side = np.exp(place[:, 2:].sum(1) / 2)
        far = np.hypot(off[..., 0] - between[..., 0], off[..., 1] - between[..., 1]) / side
        way = np.hypot(between[..., 0], between[..., 1]) / side
        gap = sightings.time[boxes[:, 0]] - self._time[:, None]
        near = (far <= JOIN[0] + JOIN[1] * way) & (gap > 0) & (gap <= _LOST_MS)
        track, new = np.nonzero(near)
        stretch = np.abs(off[track, new, 2:]).max(1)
        fits = stretch <= 2*_STRETCH
        track, new = track[fits], new[fits]
        chosen = _greedy(far[track, new] + stretch[fits], track, new)
        numbers[new[chosen]] = self._number[track[chosen]]
        return numbers

    def follow(self, place: _Floats, now: int, picture: int) -> _Ints:
        """The number of the vehicle that each box of a picture is of, or -1. Forgets vehicles that are lost."""
        owner = np.full(len(place), -1, np.int64)
        recent, rests = self._recent(now, picture)
        if not len(recent):
            return owner
        waited = (now - self._time) / 1000
        expected = self._place.copy()
        grown = np.clip(self._growth * waited, -.7, .5)
        way_px = self._pace * (waited / (1 - grown))[:, None]
        expected[:, :2] += way_px
        expected[:, 2:] -= np.log(1 - grown)[:, None]
        hidden = ~recent
        expected[hidden, :2] = self._home[hidden]
        expected[hidden, 2:] = self._place[hidden, 2:]
        side = np.exp(expected[:, 2:].sum(1) / 2)
        way = np.hypot(way_px[:, 0], way_px[:, 1]) / side
        reach = np.where(recent, _REACH[0] + _REACH[1] * waited + _REACH[2] * way, np.where(rests, 2 * _STILL, -1))
        off = place - expected[:, None]
        far = np.hypot(off[..., 0], off[..., 1]) / side[:, None]
        track, box = np.nonzero(far <= reach[:, None])
        stretch = np.abs(off[track, box, 2:]).max(1)
        fits = stretch <= _STRETCH
        track, box = track[fits], box[fits]
        # What was seen a moment ago goes before what is hidden.
        chosen = _greedy(far[track, box] + stretch[fits] + 100 * ~recent[track], track, box)
        track, box = track[chosen], box[chosen]
        self._pace[track] /= (1 - grown[track, None])**2
        self._move(track, off[track, box], expected[track], waited[track, None])
        self._time[track], self._picture[track] = now, picture
        owner[box] = self._number[track]
        return owner

    def _move(self, track: NDArray[np.intp], off: _Floats, expected: _Floats, waited: _Floats) -> None:
        """A critically damped g-h filter, whose gains follow from the time since the last box."""
        kept = np.exp(-waited / _SETTLED_S)
        self._place[track] = expected + (1 - kept**2) * off
        self._pace[track] += (1 - kept) ** 2 * off[:, :2] / waited
        waited = waited[:, 0]
        growth = self._growth[track] + (1 - np.exp(-waited / TAUG)) ** 2 * off[:, 2:].mean(1) / waited
        self._growth[track] = np.clip(growth, -_GROWTH, _GROWTH)
        self._home[track] += (1 - np.exp(-waited))[:,None] * (self._place[track, :2] - self._home[track])

    def _recent(self, now: int, picture: int):
        """Which vehicles were seen of late; forgets those that were not and don't rest. Shape (t,)."""
        waited = now - self._time
        recent = _recent(waited, picture - self._picture)
        if recent.all():
            return recent, recent
        side = np.exp(self._place[:, 2:].sum(1) / 2)
        off = self._place[:, :2] - self._home
        rests = (np.hypot(off[:, 0], off[:, 1]) < _STILL * side) & (waited <= REST_MS)
        kept = recent | rests | (waited < 2 * _LOST_MS)
        self._keep(kept)
        return recent[kept], rests[kept]

    def _keep(self, kept: NDArray[np.bool_]) -> None:
        self._number, self._time, self._picture = self._number[kept], self._time[kept], self._picture[kept]
        self._place, self._pace, self._home = self._place[kept], self._pace[kept], self._home[kept]
        self._growth = self._growth[kept]


JOIN=(.8,.2)
TAUG=.4
TRUST=.3
class _Loose:
    """Boxes that belong to no vehicle yet, and the pairs of them that a third would make one."""

    def __init__(self, sightings: _Sightings, owner: _Ints) -> None:
        self._all = sightings
        self._owner = owner
        self._rows = np.empty(0, np.int64)
        self._pairs = np.empty((0, 2), np.int64)

    def begin(self, rows: _Ints, now: int, picture: int) -> _Ints:
        """The vehicles that begin with boxes of this picture as their third: shape (m, 3), places of boxes."""
        self._forget(now)
        before, last, steps = self._steps(self._pairs[:, 1], rows, now, picture)
        first, middle, third = self._pairs[before, 0], self._pairs[before, 1], rows[last]
        place, side = self._all.place, self._all.side
        share = (self._all.time[middle] - self._all.time[first]) / (now - self._all.time[first])
        way = place[third, :2] - place[first, :2]
        off = place[middle, :2] - place[first, :2] - share[:, None] * way
        side_there = side[middle]
        far, length = np.hypot(off[:, 0], off[:, 1]) / side_there, np.hypot(way[:, 0], way[:, 1]) / side_there
        on = np.flatnonzero(far <= _OFF_LINE[0] + _OFF_LINE[1] * length)
        found = np.stack((first[on], middle[on], third[on]), 1)
        cost = far[on] + steps[on] + _SHORTER * length[on]
        used: set[int] = set()
        begun = []
        for candidate, boxes in ((one, found[one].tolist()) for one in np.argsort(cost, kind="stable").tolist()):
            if used.isdisjoint(boxes):
                used.update(boxes)
                begun.append(candidate)
        return found[begun]

    def keep(self, rows: _Ints, now: int, picture: int) -> None:
        """Remember boxes of this picture, and what they are pairs with."""
        self._rows = self._rows[self._owner[self._rows] < 0]
        before, last, cost = self._steps(self._rows, rows, now, picture)
        order = np.lexsort((cost, last))
        rank = np.arange(len(order)) - np.searchsorted(last[order], last[order])
        order = order[rank < _MOST_CHOICES]
        pairs = np.stack((self._rows[before[order]], rows[last[order]]), 1)
        self._pairs = np.concatenate((self._pairs, pairs))[-_MOST_PAIRS:]
        self._rows = np.concatenate((self._rows, rows))[-_MOST_LOOSE:]

    def _forget(self, now: int) -> None:
        time = self._all.time
        self._rows = self._rows[(self._owner[self._rows] < 0) & (time[self._rows] >= now - REST_MS)]
        free = (self._owner[self._pairs] < 0).all(1) & (time[self._pairs[:, 1]] >= now - REST_MS)
        self._pairs = self._pairs[free]

    def _steps(
        self, before: _Ints, rows: _Ints, now: int, picture: int
    ) -> tuple[NDArray[np.intp], NDArray[np.intp], _Floats]:
        """From which earlier box to which of `rows` a vehicle may have come: places in both, and the change of size."""
        place = self._all.place
        waited = now - self._all.time[before]
        recent = (waited <= _LOST_MS*2) & (picture - self._all.picture[before] <= 2)
        reach = np.where(recent, np.maximum(_FASTEST * waited / 1000, _STILL), _STILL)
        off = place[rows] - place[before, None]
        far = np.hypot(off[..., 0], off[..., 1]) / self._all.side[before, None]
        old, new = np.nonzero(far <= reach[:, None])
        stretch = np.abs(off[old, new, 2:]).max(1)
        fits = stretch <= _STRETCH
        return old[fits], new[fits], stretch[fits]


def _summary(sightings: _Sightings, owner: _Ints, window_start: int) -> Passes:
    """What is known of the vehicles that became certain from `window_start` on."""
    rows = np.flatnonzero(owner >= 0)
    rows = rows[np.argsort(owner[rows], kind="stable")]
    if not len(rows):
        return Passes(np.empty(0, np.int64), np.empty(0, np.uint8), np.empty(0, np.int64))
    begins = np.flatnonzero(np.r_[True, np.diff(owner[rows]) > 0])
    seen = np.diff(np.r_[begins, len(rows)])
    time, form, weight = sightings.time[rows], sightings.form[rows], sightings.weight[rows]
    first = time[begins]
    certain = (np.arange(len(rows)) >= np.repeat(begins, seen) + SIGHTINGS - 1) & (
        time - np.repeat(first, seen) >= CERTAIN_MS
    )
    never = np.iinfo(np.int64).max
    since = np.minimum.reduceat(np.where(certain, time, never), begins)
    one, two = (np.add.reduceat(weight * (form == kind), begins) for kind in (ONE_LINE, TWO_LINES))
    voted = np.where(one > two, ONE_LINE, np.where(two > one, TWO_LINES, FORM_UNKNOWN)).astype(np.uint8)
    kept = np.flatnonzero((since >= window_start) & (since < never))
    kept = kept[np.lexsort((seen[kept], voted[kept], first[kept]))]
    return Passes(first[kept], voted[kept], seen[kept])
