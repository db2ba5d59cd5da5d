"""The vehicles in view: where each is expected, which boxes are of it, and when it is lost."""

import numpy as np
from numpy.typing import NDArray

from tests.reference_tracker.matching import matched
from tests.reference_tracker.sightings import Sightings

REST_MS = 6_000
"""How long a vehicle that rests may be hidden, by a lorry between it and the camera."""
LOST_MS = 1_200
_LOST_PICTURES = 3
"""A vehicle is lost past both: a slow camera may miss as many pictures as others, in up to twice the time."""
STILL = 0.5
"""A vehicle rests that stays so near to where it was in about the last second."""

_REACH = (0.8, 1.5, 0.25)
"""How far from where it is expected a box may be: at once, for each second unseen, for each side of the way."""
_PACE_S, _GROWTH_S, _HOME_S = 0.1, 0.4, 1.0
"""Time constants of what is learned of a vehicle. Sizes are less exact than positions, and change more slowly."""
_MOST_GROWTH = 1.5
_NEARER = (0.5, 1.7)
"""Least and greatest change of the distance to the camera that is assumed without seeing it, as a factor."""

_Floats = NDArray[np.float64]
_Ints = NDArray[np.int64]
_Bools = NDArray[np.bool_]

_NUMBER, _TIME, _PICTURE = range(3)
_PLACE, _MIDDLE, _SIZE = slice(0, 4), slice(0, 2), slice(2, 4)
_PACE, _GROWTH, _HOME = slice(4, 6), 6, slice(7, 9)


class Tracks:
    """The vehicles in view.

    `_seen` int64, shape (t, 3): number, time and picture when it was seen last. `_state` float64, shape (t, 9): its
    place then; its pace, pixels a second; its growth, changes of the logarithm of size a second; and its home, the
    middle that it would rest at.
    """

    def __init__(self, sightings: Sightings) -> None:
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
        reach = np.where(recent, _reach(waited, way), np.where(rests, 2 * STILL, -1.0))
        off = self._all.place[rows] - expected[:, None, _PLACE]
        # A vehicle that was seen recently takes precedence over a hidden one.
        track, box = matched(off, side[:, None], reach[:, None], np.where(recent, 0.0, 100.0))
        self._move(track, off[track, box], expected[track], waited[track, None])
        self._seen[track, _TIME], self._seen[track, _PICTURE] = now, picture
        owner[box] = self._seen[track, _NUMBER]
        return owner

    def begin(self, boxes: _Ints) -> _Ints:
        """The numbers of the vehicles of three boxes each, shape (m, 3): new or seen again after hiding. Shape (m,)."""
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
        """Which vehicles were hidden and are seen again in three boxes: indices of vehicles, and of three boxes.

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
        return matched(off, side, np.where((gap > 0) & (gap <= LOST_MS), reach, -1.0), np.zeros(len(off)))

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
        """Forget vehicles that are lost. Which of the others were seen recently, and which may rest, hidden."""
        waited = now - self._seen[:, _TIME]
        few = picture - self._seen[:, _PICTURE] <= _LOST_PICTURES
        recent = (waited <= LOST_MS) | (few & (waited <= 2 * LOST_MS))
        if recent.all():
            return recent, recent
        away = np.hypot(*(self._state[:, _MIDDLE] - self._state[:, _HOME]).T)
        rests = (away < STILL * _side(self._state)) & (waited <= REST_MS)
        kept = recent | rests | (waited <= 2 * LOST_MS)  # those of the last condition may still be seen again
        self._seen, self._state = self._seen[kept], self._state[kept]
        return recent[kept], rests[kept]


def _side(place: _Floats) -> _Floats:
    return np.exp((place[:, 2] + place[:, 3]) / 2)


def _reach(waited: _Floats, way: _Floats) -> _Floats:
    return _REACH[0] + _REACH[1] * waited + _REACH[2] * way
