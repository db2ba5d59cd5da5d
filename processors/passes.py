"""From plate boxes to vehicle passes: a tracker over the boxes of one camera, without clock, chance or memory.

A vehicle begins where three boxes of different pictures lie on one line at one speed, with sizes that agree. It is
followed as something that moves evenly in the street: a plate that grows also gathers speed in the picture. Out of
sight for about a second it is lost, unless three boxes say that they go on where it went; one that rests may be hidden
for longer. Every choice depends on the boxes of a few seconds, so a look at a window and the tail of the window before
ends in the same choices as a look at the whole recording.

Lengths are in sides where nothing else is said: a plate's side is the root of its width times its height, about a
fifth of a metre, and so much the same thing near and far.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.batch import FORM_UNKNOWN, ONE_LINE, REGION, TWO_LINES

SIGHTINGS = 3
"""A pass needs so many: any two boxes lie on a line, so only a third tells a vehicle from two false regions."""
CERTAIN_MS = 300
"""A pass is seen for at least so long: what deceives a detector in one picture does in the next of a fast camera."""
REST_MS = 6_000
"""How long a vehicle that rests may be hidden, by a lorry between it and the camera."""
TAIL_MS = SIGHTINGS * REST_MS
"""How much of the time before a window is looked at: enough to be certain again of what is there."""

_LOST_MS = 1_200
_LOST_PICTURES = 3
"""A vehicle is lost past both: a slow camera may miss as many pictures as others, in up to twice the time."""
_BEGUN_PICTURES = 2
"""One in which a vehicle is missed may lie between two of its first three; chance joins more over more of them."""

_FASTEST = 60.0
"""Sides a second, where a vehicle begins: 10 m/s past the camera, or 20 m/s towards one above the road."""
_STILL = 0.5
"""A vehicle rests that stays so near to where it was in about the last second."""
_REACH = (0.8, 1.5, 0.25)
"""How far from where it is expected a box may be: at once, for each second unseen, for each side of the way."""
_OFF_LINE = (0.4, 0.12)
"""How far off the line the second of a vehicle's first three boxes may be: at all, for each side of the way."""
_ALIKE, _SIMILAR = 0.6, 1.1
"""Greatest difference of the logarithms of widths or heights: of boxes that a vehicle begins with, and of one where it
is expected. Detectors now and then take a line of a plate for the whole, or what is around it too."""
_SHORTER = 0.1
"""What each side of the way costs: of two ways to join the same boxes, the one with shorter steps is likelier."""

_PACE_S, _GROWTH_S, _HOME_S = 0.1, 0.4, 1.0
"""Time constants of what is learned of a vehicle. Sizes are less exact than positions, and change more slowly."""
_MOST_GROWTH = 1.5
_NEARER = (0.5, 1.7)
"""Least and greatest change of the distance to the camera that is believed without seeing it, as a factor."""

_MOST_BOXES = 100
_SAME = 0.5
"""A box of which so much is covered by a better one of its picture is that one's plate again, and left out."""
_MOST_LOOSE, _MOST_CHOICES, _MOST_PAIRS = 600, 8, 2_000
"""What is kept of boxes that belong to no vehicle: with more false regions than that, the oldest are forgotten."""
_LEAST_WEIGHT = 0.05
"""Of a box in the vote on a form: a detector that gives no scores votes as well."""

_Floats = NDArray[np.float64]
_Ints = NDArray[np.int64]
_Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Passes:
    """Vehicle passes as columns of shape (n,), in order of `first`.

    `first` int64: time of the first picture in which the vehicle was seen, milliseconds; `form` uint8: what most of
    its boxes said, by score, and `FORM_UNKNOWN` where none said anything or both forms have the same; `seen` int64: in
    how many pictures it was seen.
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
    lies in the tail if a vehicle came into view in the last moment of the window before, which could not tell. `form`
    and `seen` are what is known at the window's end, also of a vehicle that stays in view beyond it.

    Raises `ValueError` for arrays that don't fit together.
    """
    if boxes.dtype != REGION or len(frame) != len(boxes):
        raise ValueError(f"{len(boxes)} boxes of dtype {boxes.dtype} don't go with the pictures of {len(frame)}")
    if len(frame) and not 0 <= int(frame.min()) <= int(frame.max()) < len(start):
        raise ValueError(f"a box is of a picture that is none of the {len(start)}")
    sightings = _sightings(np.asarray(start, np.int64), frame, boxes, window_start - TAIL_MS)
    return _summary(sightings, _linked(sightings), window_start)


@dataclass(frozen=True, slots=True, eq=False)
class _Sightings:
    """Boxes in order of their pictures, the best of a picture first, as columns of shape (n,).

    `time` and `picture`: milliseconds, and the picture's number among all. `place` shape (n, 4): the middle across and
    down in pixels, the logarithms of width and height. `side` in pixels. `weight` is that of the vote on the `form`.
    """

    time: _Ints
    picture: _Ints
    place: _Floats
    side: _Floats
    weight: _Floats
    form: NDArray[np.uint8]


def _sightings(start: _Ints, frame: _Ints, boxes: NDArray[np.void], since: int) -> _Sightings:
    """The boxes of pictures from `since` on, without what is too much for a picture or twice in it."""
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
    place = np.stack((boxes["x"] + boxes["w"] / 2, boxes["y"] + boxes["h"] / 2, np.log(w), np.log(h)), 1)
    weight = np.maximum(score[order], _LEAST_WEIGHT)
    return _Sightings(time[picture], picture, place, np.sqrt(w * h), weight, boxes["form"])


def _distinct(boxes: NDArray[np.void], picture: _Ints) -> _Bools:
    """Which boxes no better one of their picture covers. They lie picture by picture, the best first."""
    left, top = boxes["x"].astype(np.int64), boxes["y"].astype(np.int64)
    right, bottom = left + boxes["w"], top + boxes["h"]
    area = (right - left) * (bottom - top)
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


def _linked(sightings: _Sightings) -> _Ints:
    """The number of each box's vehicle, or -1. Shape (n,)."""
    owner = np.full(len(sightings.time), -1, np.int64)
    tracks, loose = _Tracks(sightings), _Loose(sightings, owner)
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


def _fitting(off: _Floats, side: _Floats, reach: _Floats, most: float) -> tuple[_Ints, _Ints, _Floats, _Floats]:
    """Which differences of places, shape (a, b, 4), are small enough: places in a, in b, the distance, the stretch."""
    far = np.hypot(off[..., 0], off[..., 1]) / side
    one, other = np.nonzero(far <= reach)
    stretch = np.abs(off[one, other, 2:]).max(1)
    fits = stretch <= most
    one, other = one[fits], other[fits]
    return one, other, far[one, other], stretch[fits]


def _cheapest(cost: _Floats, things: _Ints) -> _Ints:
    """Which candidates are taken, the cheapest first, so that no thing is in two: `things` shape (n, things)."""
    used: set[int] = set()
    taken = []
    wanted = things.tolist()
    for candidate in np.argsort(cost, kind="stable").tolist():
        if used.isdisjoint(wanted[candidate]):
            used.update(wanted[candidate])
            taken.append(candidate)
    return np.array(taken, np.int64)


def _matched(off: _Floats, side: _Floats, reach: _Floats, more: _Floats) -> tuple[_Ints, _Ints]:
    """The best pairs of a vehicle and a box by their differences, shape (a, b, 4); a vehicle costs so much `more`."""
    one, other, far, stretch = _fitting(off, side, reach, _SIMILAR)
    chosen = _cheapest(far + stretch + more[one], np.stack((one, -1 - other), 1))
    return one[chosen], other[chosen]


_NUMBER, _TIME, _PICTURE = range(3)
_PLACE, _MIDDLE, _SIZE = slice(0, 4), slice(0, 2), slice(2, 4)
_PACE, _GROWTH, _HOME = slice(4, 6), 6, slice(7, 9)


class _Tracks:
    """The vehicles in view.

    `_seen` int64, shape (t, 3): number, time and picture when it was seen last. `_state` float64, shape (t, 9): its
    place then; its pace, pixels a second; its growth, changes of the logarithm of size a second; and its home, the
    middle that it would rest at.
    """

    def __init__(self, sightings: _Sightings) -> None:
        self._all = sightings
        self._begun = 0
        self._seen = np.empty((0, 3), np.int64)
        self._state = np.empty((0, 9))

    def follow(self, rows: _Ints, now: int, picture: int) -> _Ints:
        """The number of the vehicle that each box of a picture is of, or -1. Forgets vehicles that are lost."""
        owner = np.full(len(rows), -1, np.int64)
        recent, rests = self._forget(now, picture)
        if not len(recent):
            return owner
        waited = (now - self._seen[:, _TIME]) / 1000
        expected = self._expected(waited)
        expected[~recent, _MIDDLE], expected[~recent, _SIZE] = self._state[~recent, _HOME], self._state[~recent, _SIZE]
        side = _side(expected)
        way = np.hypot(*(expected[:, _MIDDLE] - self._state[:, _MIDDLE]).T) / side
        reach = np.where(recent, _reach(waited, way), np.where(rests, 2 * _STILL, -1.0))
        off = self._all.place[rows] - expected[:, None, _PLACE]
        # What was seen a moment ago goes before what is hidden.
        track, box = _matched(off, side[:, None], reach[:, None], np.where(recent, 0.0, 100.0))
        self._move(track, off[track, box], expected[track], waited[track, None])
        self._seen[track, _TIME], self._seen[track, _PICTURE] = now, picture
        owner[box] = self._seen[track, _NUMBER]
        return owner

    def begin(self, boxes: _Ints) -> _Ints:
        """The numbers of the vehicles of three boxes each, shape (m, 3): new ones, or what was hidden. Shape (m,)."""
        time, place = self._all.time[boxes], self._all.place[boxes]
        took = ((time[:, 2] - time[:, 0]) / 1000)[:, None]
        pace = (place[:, 2] - place[:, 0]) / took
        growth = np.clip(pace[:, 2:].mean(1, keepdims=True), -_MOST_GROWTH, _MOST_GROWTH) / (
            1 + (_GROWTH_S / took) ** 2
        )
        track, box = self._hidden(time, place, pace)
        numbers = np.full(len(boxes), -1, np.int64)
        numbers[box] = self._seen[track, _NUMBER]
        new = np.flatnonzero(numbers < 0)
        numbers[new] = np.arange(self._begun, self._begun + len(new))
        self._begun += len(new)
        seen = np.stack((numbers, time[:, 2], self._all.picture[boxes[:, 2]]), 1)
        state = np.hstack((place[:, 2], pace[:, :2] * np.exp(growth * took), growth, place[:, 0, :2]))
        self._seen = np.concatenate((np.delete(self._seen, track, 0), seen))
        self._state = np.concatenate((np.delete(self._state, track, 0), state))
        return numbers

    def _hidden(self, time: _Ints, place: _Floats, pace: _Floats) -> tuple[_Ints, _Ints]:
        """Which vehicles were hidden and are seen again in three boxes: places of vehicles, places of three boxes.

        The mean of both paces leads from one to the other, also where a vehicle gathers speed evenly.
        """
        waited = (time.mean(1) - self._seen[:, _TIME, None]) / 1000
        way = (self._state[:, None, _PACE] + pace[:, :2]) / 2 * waited[..., None]
        middle = place.mean(1)
        side = _side(middle)
        off = middle - self._state[:, None, _PLACE]
        off[..., _MIDDLE] -= way
        gap = time[:, 0] - self._seen[:, _TIME, None]
        reach = _reach(waited, np.hypot(way[..., 0], way[..., 1]) / side)
        return _matched(off, side, np.where((gap > 0) & (gap <= _LOST_MS), reach, -1.0), np.zeros(len(off)))

    def _expected(self, waited: _Floats) -> _Floats:
        """The states after so many seconds, shape (t, 9), if each vehicle moves evenly in the street.

        Then its size and its distance from where its way ends in the picture change alike, as one over its own
        distance from the camera, and its pace as the square of that.
        """
        state = self._state.copy()
        nearer = np.clip(1 - state[:, _GROWTH] * waited, *_NEARER)[:, None]
        state[:, _MIDDLE] += state[:, _PACE] * waited[:, None] / nearer
        state[:, _SIZE] -= np.log(nearer)
        state[:, _PACE] /= nearer**2
        return state

    def _move(self, track: _Ints, off: _Floats, state: _Floats, waited: _Floats) -> None:
        """Learn from boxes that are so far `off` their expected state: critically damped g-h filters."""
        pace, growth, home = (np.exp(-waited / constant) for constant in (_PACE_S, _GROWTH_S, _HOME_S))
        state[:, _PLACE] += (1 - pace**2) * off
        state[:, _PACE] += (1 - pace) ** 2 / waited * off[:, _MIDDLE]
        state[:, _GROWTH] += ((1 - growth) ** 2 / waited)[:, 0] * (off[:, 2] + off[:, 3]) / 2
        state[:, _GROWTH] = np.clip(state[:, _GROWTH], -_MOST_GROWTH, _MOST_GROWTH)
        state[:, _HOME] += (1 - home) * (state[:, _MIDDLE] - state[:, _HOME])
        self._state[track] = state

    def _forget(self, now: int, picture: int) -> tuple[_Bools, _Bools]:
        """Forget what is lost for good. Which of the others were seen of late, and which may rest, hidden."""
        waited = now - self._seen[:, _TIME]
        few = picture - self._seen[:, _PICTURE] <= _LOST_PICTURES
        recent = (waited <= _LOST_MS) | (few & (waited <= 2 * _LOST_MS))
        if recent.all():
            return recent, recent
        away = np.hypot(*(self._state[:, _MIDDLE] - self._state[:, _HOME]).T)
        rests = (away < _STILL * _side(self._state)) & (waited <= REST_MS)
        kept = recent | rests | (waited <= 2 * _LOST_MS)  # the last of these may still turn out to have been hidden
        self._seen, self._state = self._seen[kept], self._state[kept]
        return recent[kept], rests[kept]


def _side(place: _Floats) -> _Floats:
    return np.exp((place[:, 2] + place[:, 3]) / 2)


def _reach(waited: _Floats, way: _Floats) -> _Floats:
    return _REACH[0] + _REACH[1] * waited + _REACH[2] * way


class _Loose:
    """Boxes that belong to no vehicle yet, and the pairs of them that a third would make one."""

    def __init__(self, sightings: _Sightings, owner: _Ints) -> None:
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
        return boxes[line[_cheapest(cost, boxes[line])]]

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
        """From which earlier box to which of `rows` a vehicle may have come: places in both, and its stretch."""
        waited = now - self._all.time[old]
        moves = (waited <= 2 * _LOST_MS) & (picture - self._all.picture[old] <= _BEGUN_PICTURES)
        reach = np.maximum(np.where(moves, _FASTEST * waited / 1000, 0.0), _STILL)
        off = self._all.place[rows] - self._all.place[old, None]
        one, other, _, stretch = _fitting(off, self._all.side[old, None], reach[:, None], _ALIKE)
        return one, other, stretch

    def _forget(self, now: int) -> None:
        """Forget what is too old, or a vehicle's by now."""
        time = self._all.time
        self._rows = self._rows[time[self._rows] >= now - REST_MS]
        free = (self._owner[self._pairs] < 0).all(1) & (time[self._pairs[:, 1]] >= now - REST_MS)
        self._pairs = self._pairs[free]


def _summary(sightings: _Sightings, owner: _Ints, window_start: int) -> Passes:
    """What is known of the vehicles that became certain from `window_start` on."""
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
