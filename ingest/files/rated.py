"""Readings that are more than their source can deliver or draw, by the power that the register has of it."""

import numpy as np
from numpy.typing import NDArray

from ingest.facts import POWER
from ingest.files.ordering import Placed
from ingest.files.source_codes import SourceCodes

MOST_TIMES = 2
"""How many times the rated power a reading may be: meters and inverters are rated for what they bear all day."""
STRAY_PERCENT = 1
"""Of a source's readings that are not zero, so many may be above it, as strays. More mean that the unit is wrong."""

LEAST_PERCENT = 1
"""Of the rated power: an import without any reading so high gets a remark. It may be of a winter's nights."""

_BINS = 64


class RatedPower:
    """Counts the power of each source's readings by powers of two, in W, before the sources are looked up.

    A file in a wrong unit has small readings, too, at night and on dark days: its readings above the limit are either
    strays, which are refused one by one, or all readings of the source are refused.

    `by_file`: the readings of each file are judged by themselves; otherwise all are taken for those of a file 0.
    """

    def __init__(self, sources: SourceCodes, *, by_file: bool = False) -> None:
        self._sources = sources
        self._by_file = by_file
        self._counts = np.zeros((0, _BINS), np.uint32)
        self._counted = np.zeros(0, np.bool_)
        self._reached: dict[int, tuple[NDArray[np.int32], NDArray[np.uint8]]] = {}
        """By file: keys in order, and the highest bin that more than `STRAY_PERCENT` of the key's readings reach."""
        self._highest: float | None = None

    def add(self, rows: Placed) -> None:
        """Count readings of energy among these; `by_file`, all since the last `close` are of one file."""
        keys = self._sources.keys(rows["source"])
        counted = (rows["interval"] != 0) & self._sources.are_of(POWER.metrics, rows["source"])
        if not counted.all():
            rows, keys = rows[counted], keys[counted]
        self._grow(self._sources.key_count)
        self._counted[keys] = True
        places = keys.astype(np.int64) * _BINS + _bits(_watts(rows))
        np.add.at(self._counts.reshape(-1), places, np.uint32(1))

    def close(self, file: int) -> None:
        """All readings of a file, or of all files, have been counted."""
        keys = np.flatnonzero(self._counted).astype(np.int32)
        above = self._counts[keys, ::-1].cumsum(axis=1, dtype=np.int64)[:, ::-1]  # readings in a bin or a higher one
        # The higher the bin, the fewer reach it: so many bins above that of zero are reached by more than strays.
        reached = (above[:, 1:] * 100 > STRAY_PERCENT * above[:, 1:2]).sum(axis=1, dtype=np.uint8)
        self._reached[file] = keys, reached
        self._counts[keys] = 0
        self._counted[keys] = False

    def impossible(self, rows: Placed, power_w: NDArray[np.uint32]) -> NDArray[np.bool_]:
        """Which readings of one metric are refused, where the register has this power of their source, or 0."""
        refused = np.zeros(len(rows), np.bool_)
        if not len(rows) or self._sources.metric(int(rows["source"][0])) not in POWER.metrics:
            return refused
        at = np.flatnonzero((power_w != 0) & (rows["interval"] != 0))
        if len(at):
            watts, power = _watts(rows[at]), power_w[at].astype(np.int64)
            self._highest = max(self._highest or 0.0, float((watts / power).max()))
            limit = MOST_TIMES * power
            refused[at] = (watts > limit) | (_bits(limit) < self._reached_by(rows[at]))
        return refused

    def remark(self) -> str | None:
        """What is odd about readings that are all far below the power of their source; None if none were compared."""
        if self._highest is None or self._highest >= LEAST_PERCENT / 100:
            return None
        return f"no reading is {LEAST_PERCENT} % of the power in the register: check the unit, which may be too small"

    def _reached_by(self, rows: Placed) -> NDArray[np.int64]:
        """The bin that the readings of each row's source reach in its file; 0 where nothing was counted."""
        found = np.zeros(len(rows), np.int64)
        keys = self._sources.keys(rows["source"])
        files = rows["file"] if self._by_file else np.zeros(len(rows), np.int64)
        for file in np.unique(files).tolist():
            if file in self._reached:
                of_file = files == file
                counted, reached = self._reached[file]
                found[of_file] = reached[np.searchsorted(counted, keys[of_file])]
        return found

    def _grow(self, keys: int) -> None:
        if len(self._counts) < keys:
            grown = np.zeros((keys + keys // 2 + 16, _BINS), np.uint32)
            grown[: len(self._counts)] = self._counts
            self._counts = grown
            self._counted = np.append(self._counted, np.zeros(len(grown) - len(self._counted), np.bool_))


def _watts(rows: Placed) -> NDArray[np.int64]:
    """Millijoules in milliseconds are watts."""
    watts: NDArray[np.int64] = np.abs(rows["value"]) // rows["interval"]
    return watts


def _bits(watts: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many bits each number has: exact, since no metric of energy has a value of 2^53."""
    return np.frexp(watts.astype(np.float64))[1].astype(np.int64)
