"""Readings of one source that cannot all be true: overlaps, two values for one interval, intervals too short."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ingest.facts import POWER
from ingest.files.ordering import Placed
from ingest.files.reading import NotSuchFile
from ingest.files.reasons import CONTRADICTION, OVERLAP, SPACING
from ingest.files.source_codes import SourceCodes

MOST_CLASHES = 100_000
_LEAST_SPACINGS = 3
_MOST_SPACINGS = 1_000
"""Different ones that are told apart; all others count as one gap."""
_REASONS = (None, OVERLAP, CONTRADICTION)
_NEVER = -(2**62)

Flags = NDArray[np.bool_]


@dataclass(slots=True)
class _Stretch:
    """Readings of one source that lie over each other, so far: from the first one's start to the latest end."""

    start: int
    end: int
    interval: int
    quality: int
    value: int
    reason: str | None = None

    def holds(self, start: int) -> bool:
        return start < self.end or start == self.start

    def add(self, start: int, interval: int, value: int, quality: int) -> None:
        self.end = max(self.end, start + interval)
        if (start, interval) != (self.start, self.interval):
            self.reason = OVERLAP
        elif self.reason != OVERLAP and quality > self.quality:  # an actual reading beats estimates (R6)
            self.quality, self.value, self.reason = quality, value, None
        elif self.reason is None and quality == self.quality and value != self.value:
            self.reason = CONTRADICTION


class _Spacings:
    """How far apart the readings of sources are, where that is further than the interval of the first."""

    def __init__(self, keys: int) -> None:
        self._gaps: dict[int, Counter[int]] = {}
        self._all = np.zeros(keys, np.int64)

    def add(self, keys: NDArray[np.integer], apart: NDArray[np.int64], interval: NDArray[np.int64]) -> None:
        """The spacings of sources, in the order of their times."""
        np.add.at(self._all, keys, 1)
        far = apart > interval
        if not far.any():
            return
        pairs = np.stack((keys[far].astype(np.int64), apart[far]))
        distinct, first, counts = np.unique(pairs, axis=1, return_index=True, return_counts=True)
        for place in np.argsort(first).tolist():
            key, gap = distinct[:, place].tolist()
            gaps = self._gaps.setdefault(key, Counter())
            gaps[gap if gap in gaps or len(gaps) < _MOST_SPACINGS else -1] += int(counts[place])

    def contradicting(self) -> Sequence[int]:
        """The sources most of whose readings are evenly spaced, but further apart than they are long."""
        return [key for key, gaps in self._gaps.items() if self._contradict(key, gaps)]

    def _contradict(self, key: int, gaps: Counter[int]) -> bool:
        most = max((count for apart, count in gaps.items() if apart > 0), default=0)
        return bool(self._all[key] >= _LEAST_SPACINGS and most * 2 > self._all[key])


class _Open(NamedTuple):
    """The stretch of each source that is not closed, as columns; `start` is `_NEVER` where there is none."""

    start: NDArray[np.int64]
    end: NDArray[np.int64]
    interval: NDArray[np.int64]
    quality: NDArray[np.int64]
    value: NDArray[np.int64]
    reason: NDArray[np.int64]
    file: NDArray[np.int64]

    @classmethod
    def of(cls, keys: int) -> "_Open":
        columns = [np.zeros(keys, np.int64) for _ in cls._fields]
        columns[0][:] = columns[1][:] = _NEVER
        return cls(*columns)

    def stretch(self, key: int) -> _Stretch | None:
        start, end, interval, quality, value, reason, _ = (int(column[key]) for column in self)
        return None if start == _NEVER else _Stretch(start, end, interval, quality, value, _REASONS[reason])

    def put(self, key: int, file: int, stretch: _Stretch) -> None:
        self.file[key] = file
        self.start[key], self.end[key], self.interval[key] = stretch.start, stretch.end, stretch.interval
        self.quality[key], self.value[key] = stretch.quality, stretch.value
        self.reason[key] = _REASONS.index(stretch.reason)


@dataclass(slots=True)
class _Sorted:
    """Some readings by their sources, those of a source by time. `begins` is where a source's readings begin."""

    key: NDArray[np.int64]
    start: NDArray[np.int64]
    interval: NDArray[np.int64]
    value: NDArray[np.int64]
    quality: NDArray[np.int64]
    file: NDArray[np.int64]

    @classmethod
    def of(cls, rows: Placed, keys: NDArray[np.integer], *, by_file: bool) -> "_Sorted":
        if len(keys) and keys.max() < 2**16:
            keys = keys.astype(np.uint16)  # sorted by radix
        order = np.argsort(keys, kind="stable") if len(keys) and (keys != keys[0]).any() else slice(None)
        names = ("start", "interval", "value", "quality", "file")
        columns = [rows[name][order].astype(np.int64) for name in names]
        if not by_file:
            columns[-1][:] = 0
        return cls(keys[order].astype(np.int64), *columns)

    @property
    def begins(self) -> Flags:
        begins = np.ones(len(self.key), np.bool_)
        np.not_equal(self.key[1:], self.key[:-1], out=begins[1:])
        return begins

    def where(self, mask: NDArray[np.bool_ | np.int64]) -> "_Sorted":
        names = ("key", "start", "interval", "value", "quality", "file")
        return _Sorted(*(getattr(self, name)[mask] for name in names))

    def before(self, column: NDArray[np.int64], open_: NDArray[np.int64]) -> NDArray[np.int64]:
        """What the reading before each has in a column: for the first of a source, what is open."""
        shifted = np.empty_like(column)
        shifted[1:] = column[:-1]
        begins = self.begins
        shifted[begins] = open_[self.key[begins]]
        return shifted


class Clashes:
    """Finds them in readings in the order of time. A repeated reading is none, nor is an estimate beside an actual one.

    All readings of a stretch in which two overlap are refused, whichever came first: which of them is true, only the
    operator knows. So are all of a source of energy whose intervals are shorter than the spacing of most of them.

    `by_file`: readings of two files contradict each other in nothing. Files that a sender brings may come together or
    not, and which value counts must not depend on that: it is decided where all of them are (R6). Spacing is judged
    over all files nonetheless: by file, times and counts of every source in every file would have to be kept, which
    for the files of one turn may be a gigabyte.
    """

    def __init__(self, sources: SourceCodes, steps: Iterable[Placed], *, by_file: bool = False) -> None:
        """Raises `NotSuchFile` if there are more than `MOST_CLASHES` of them."""
        self._sources = sources
        self._by_file = by_file
        keys = sources.key_count
        self._several: dict[int, dict[int, _Stretch]] = {}
        """Source -> file -> what is open, for sources of which several files have readings at one time."""
        self._is_of_several = np.zeros(keys, np.bool_)
        self._found: dict[tuple[int, int], list[_Stretch]] = {}
        self._count = 0
        self._open = _Open.of(keys)
        self._spacings = _Spacings(keys)
        self._spaced = sources.keys_of(POWER.metrics)
        for rows in steps:
            self._add(_Sorted.of(rows, sources.keys(rows["source"]), by_file=by_file))
        self._close_open(np.flatnonzero(~self._is_of_several))
        for key, held in self._several.items():
            for file, stretch in held.items():
                self._close(key, file, stretch)
        self._too_short = frozenset(self._spacings.contradicting())
        self._flagged = np.zeros(keys, np.bool_)
        self._flagged[[*(key for key, _ in self._found), *self._too_short]] = True

    def reasons(self, rows: Placed) -> dict[int, str]:
        """Row -> why it is refused, for the rows that are."""
        if not self._found and not self._too_short:
            return {}
        keys = self._sources.keys(rows["source"])
        reasons: dict[int, str] = {}
        for row in np.flatnonzero(self._flagged[keys]).tolist():
            file = int(rows["file"][row]) if self._by_file else 0
            reason = self._reason(int(keys[row]), file, int(rows["start"][row]))
            if reason is not None:
                reasons[row] = reason
        return reasons

    def _reason(self, key: int, file: int, start: int) -> str | None:
        stretches = self._found.get((key, file), [])
        place = bisect_right(stretches, start, key=lambda stretch: stretch.start)
        if place and stretches[place - 1].holds(start):
            return stretches[place - 1].reason
        return SPACING if key in self._too_short else None

    def _add(self, rows: _Sorted) -> None:
        """The next readings: by columns, except those of sources that have some that touch each other."""
        rows = rows.where(~self._repeated(rows))
        if not len(rows.key):
            return
        begun = rows.before(rows.start, self._open.start)
        ended = rows.before(rows.start + rows.interval, self._open.end)
        touching = (rows.start < ended) | (rows.start == begun)
        if touching.any() or self._several:
            among = np.isin(rows.key, np.unique(rows.key[touching])) | self._is_of_several[rows.key]
            self._add_each(rows.where(among))
            rows = rows.where(~among)
        self._add_apart(rows)

    def _repeated(self, rows: _Sorted) -> Flags:
        """Which readings say the same as the one before them."""
        same: Flags = rows.start == rows.before(rows.start, self._open.start)
        if same.any():
            for name in ("interval", "value", "quality", "file"):
                column: NDArray[np.int64] = getattr(rows, name)
                same &= column == rows.before(column, getattr(self._open, name))
        return same

    def _add_apart(self, rows: _Sorted) -> None:
        """Readings of which each begins a stretch."""
        begins = rows.begins
        first, last = rows.key[begins], np.append(np.flatnonzero(begins)[1:], len(rows.key)) - 1
        self._close_open(first)
        begun = rows.before(rows.start, self._open.start)
        counted = (begun != _NEVER) & self._spaced[rows.key] & (rows.file == rows.before(rows.file, self._open.file))
        interval = rows.before(rows.interval, self._open.interval)
        self._spacings.add(rows.key[counted], (rows.start - begun)[counted], interval[counted])
        if len(first):
            ends = rows.where(last)
            self._open.start[first], self._open.end[first] = ends.start, ends.start + ends.interval
            self._open.interval[first], self._open.quality[first] = ends.interval, ends.quality
            self._open.value[first], self._open.reason[first] = ends.value, 0
            self._open.file[first] = ends.file

    def _add_each(self, rows: _Sorted) -> None:
        columns = (rows.key, rows.file, rows.start, rows.interval, rows.value, rows.quality)
        spaced: list[tuple[int, int, int]] = []
        held = {key: self._taken(key) for key in np.unique(rows.key).tolist()}
        for key, file, start, interval, value, quality in zip(*(column.tolist() for column in columns), strict=True):
            stretch = held[key].get(file)
            if stretch is not None and stretch.holds(start):
                stretch.add(start, interval, value, quality)
                continue
            if stretch is not None:
                self._close(key, file, stretch)
                if self._spaced[key]:
                    spaced.append((key, start - stretch.start, stretch.interval))
            held[key][file] = _Stretch(start, start + interval, interval, quality, value)
        for key, stretches in held.items():
            self._keep(key, stretches)
        if spaced:
            self._spacings.add(*np.array(spaced, np.int64).T)

    def _taken(self, key: int) -> dict[int, _Stretch]:
        """What is open of a source, by file."""
        if key in self._several:
            return self._several[key]
        stretch = self._open.stretch(key)
        return {} if stretch is None else {int(self._open.file[key]): stretch}

    def _keep(self, key: int, stretches: dict[int, _Stretch]) -> None:
        """Keep what is open of a source, without what no later reading can lie over."""
        latest = max(stretch.start for stretch in stretches.values())
        for file, stretch in list(stretches.items()):
            if stretch.end <= latest and stretch.start != latest:
                self._close(key, file, stretches.pop(file))
        for file, stretch in stretches.items():
            self._open.put(key, file, stretch)
        self._is_of_several[key] = len(stretches) > 1
        if len(stretches) > 1:
            self._several[key] = stretches
        else:
            self._several.pop(key, None)

    def _close_open(self, keys: NDArray[np.int64]) -> None:
        """Close what is open of sources, where it is refused."""
        for key in keys[self._open.reason[keys] != 0].tolist():
            stretch = self._open.stretch(key)
            if stretch is not None:
                self._close(key, int(self._open.file[key]), stretch)

    def _close(self, key: int, file: int, stretch: _Stretch) -> None:
        if stretch.reason is None:
            return
        self._count += 1
        if self._count > MOST_CLASHES:
            raise NotSuchFile(f"more than {MOST_CLASHES} times have readings that contradict each other")
        self._found.setdefault((key, file), []).append(stretch)
