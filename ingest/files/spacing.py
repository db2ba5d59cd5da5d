"""The length of intervals where a file gives only the times at which they begin."""

from array import array
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MOST_TIMES = 8_000_000
"""Times of one file, 8 bytes each: fifteen years of minutes."""

_SAY_IT = "say it by --interval-s, or in a list of sources by interval_s"


class UnclearInterval(ValueError):
    """The times do not tell the interval, or contradict it; the text says what to do."""


@dataclass(frozen=True, slots=True, eq=False)
class Spacing:
    """The length of the intervals that begin at some times, milliseconds, and where it came from, in words.

    `contradicting` are the times, ascending, of runs of readings that are equally far apart, but further than that:
    there the interval may be longer.
    """

    interval_ms: int
    words: str
    contradicting: NDArray[np.int64]

    def contradicts(self, time_ms: int) -> bool:
        """Whether the reading at this time is one of those runs."""
        place = int(np.searchsorted(self.contradicting, time_ms))
        return place < len(self.contradicting) and int(self.contradicting[place]) == time_ms


class Times:
    """The times of a file, in any order."""

    def __init__(self) -> None:
        self._times = array("q")

    def add(self, time_ms: int) -> None:
        """Add a time, milliseconds. Raises `UnclearInterval` beyond `MOST_TIMES`."""
        if len(self._times) == MOST_TIMES:
            raise UnclearInterval(f"has more than {MOST_TIMES} times; split it")
        self._times.append(time_ms)

    def add_all(self, times_ms: NDArray[np.int64]) -> None:
        """Add times, milliseconds. Raises `UnclearInterval` beyond `MOST_TIMES`."""
        if len(self._times) + len(times_ms) > MOST_TIMES:
            raise UnclearInterval(f"has more than {MOST_TIMES} times; split it")
        self._times.frombytes(times_ms.tobytes())

    def __len__(self) -> int:
        return len(self._times)

    def spacing(self, given_ms: int | None) -> Spacing:
        """The interval that was given, or else the spacing of most of the times. Raises `UnclearInterval`."""
        times = np.frombuffer(self._times, np.int64) if self._times else np.empty(0, np.int64)
        distinct = times if (times[1:] > times[:-1]).all() else np.unique(times)
        apart = np.diff(distinct)
        interval, words = _usual(apart, given_ms)
        return Spacing(interval, words, _other_runs(distinct, apart, interval))


def _usual(apart: NDArray[np.int64], given_ms: int | None) -> tuple[int, str]:
    lengths, counts = np.unique(apart, return_counts=True)
    most = int(np.argmax(counts)) if len(counts) else -1
    usual = int(lengths[most]) if most >= 0 and int(counts[most]) * 2 > len(apart) else None
    if given_ms is not None:
        # A single gap may be a gap; a shorter spacing, or several of one length, say something else than the option.
        if usual is not None and usual != given_ms and (usual < given_ms or int(counts[most]) > 1):
            raise UnclearInterval(
                f"most of its times are {_seconds(usual)} s apart, which contradicts --interval-s {_seconds(given_ms)}"
            )
        return given_ms, f"an interval is {_seconds(given_ms)} s, as --interval-s says"
    if not len(apart):
        raise UnclearInterval(f"has fewer than two times, which tell no interval; {_SAY_IT}")
    if usual is None:
        raise UnclearInterval(f"its times are not evenly spaced, which tells no interval; {_SAY_IT}")
    of = "its times" if len(apart) > 1 else "its only two times"
    return usual, f"an interval is {_seconds(usual)} s, the spacing of {of}"


def _other_runs(times: NDArray[np.int64], apart: NDArray[np.int64], interval: int) -> NDArray[np.int64]:
    """The times in runs of two or more equal spacings beyond the interval that have no neighbour an interval away."""
    equal = (apart[1:] == apart[:-1]) & (apart[1:] > interval)
    in_run = np.zeros(len(apart), np.bool_)
    in_run[1:] |= equal
    in_run[:-1] |= equal
    if not len(apart):
        return times[:0]
    return times[_beside(in_run) & ~_beside(apart == interval)]


def _beside(spacings: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which times have such a spacing before or after them."""
    times = np.zeros(len(spacings) + 1, np.bool_)
    times[1:] |= spacings
    times[:-1] |= spacings
    return times


def _seconds(milliseconds: int) -> str:
    return f"{milliseconds / 1_000:g}"
