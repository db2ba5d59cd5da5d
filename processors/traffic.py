"""Vehicle passes as cells: the pictures of open windows, and of the tail before each, until the window closes.

A function of the log alone, as `processors.reading_fold` is. A picture of the tail before a window counts there while
that window is open, even if it is too late for its own. So a replay from the first offset that any window needs gives
the same passes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from processors.reduce import Rows, Scratch, winning
from processors.tracking.passes import TAIL_MS, passes
from processors.windows import Windows
from schemas.batch import FORM_UNKNOWN, ONE_LINE, REGION, TWO_LINES
from store.processing import Amounts

FORMS = {ONE_LINE: "one-line", TWO_LINES: "two-lines", FORM_UNKNOWN: "unknown"}
"""The classes of a pass, by the plate's form."""


@dataclass(frozen=True, slots=True)
class PictureColumns:
    """Pictures in the order of the log: the row of each, shape (n,); how many boxes it has, `counts` (n,) int64; and
    all boxes, picture by picture, dtype `REGION`."""

    rows: Rows
    counts: NDArray[np.int64]
    boxes: NDArray[np.void]

    @classmethod
    def of(cls, rows: Rows, regions: Sequence[bytes]) -> "PictureColumns":
        """`regions` are the bytes of `REGION` of each picture."""
        boxes = np.frombuffer(b"".join(regions), REGION)
        return cls(rows, np.array([len(of_picture) for of_picture in regions], np.int64) // REGION.itemsize, boxes)

    @staticmethod
    def join(parts: "Sequence[PictureColumns]") -> "PictureColumns":
        """All pictures, one part after the other."""
        rows = Rows.join([part.rows for part in parts])
        counts, boxes = (np.concatenate([getattr(part, name) for part in parts]) for name in ("counts", "boxes"))
        return PictureColumns(rows, counts, boxes)

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, which: NDArray[np.intp]) -> "PictureColumns":
        """The pictures at these places, in that order."""
        counts = self.counts[which]
        first = (np.cumsum(self.counts) - self.counts)[which]
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        return PictureColumns(self.rows.take(which), counts, self.boxes[np.repeat(first, counts) + within])


class PassBuffer:
    """The pictures of one metric's open windows, for the passes in them. `windows` are longer than `TAIL_MS`."""

    def __init__(self, windows: Windows, scratch: Scratch) -> None:
        self._windows = windows
        self._scratch = scratch
        self._open: dict[int, list[PictureColumns]] = {}
        self._tails: dict[int, list[PictureColumns]] = {}

    @property
    def first_offset(self) -> int | None:
        """The first offset that an open window or its tail needs; None without pictures."""
        first = (int(parts[0].rows.offset[0]) for parts in (*self._open.values(), *self._tails.values()))
        return min(first, default=None)

    def add(self, pictures: PictureColumns, open_from: NDArray[np.int64]) -> None:
        """Keep what is in time. `open_from` (n,): the first window that was still open when each picture came."""
        start = pictures.rows.start
        own, following = self._windows.numbers(start), self._windows.numbers(start + TAIL_MS)
        _put(self._open, pictures, np.where(own >= open_from, own, -1))
        _put(self._tails, pictures, np.where((following > own) & (following >= open_from), following, -1))

    def reduce(self, number: int) -> Iterator[tuple[int, str, Amounts]]:
        """The passes of a window that has pictures, which are dropped: (group, class, amounts), every class of each."""
        pictures = PictureColumns.join([*self._tails.pop(number, ()), *self._open.pop(number)])
        pictures = pictures.take(winning(pictures.rows, self._scratch))
        start, _ = self._windows.bounds(number)
        by_group: dict[int, _Group] = {}
        for camera in _cameras(pictures):
            if int(camera.rows.start[-1]) >= start:
                by_group.setdefault(int(camera.rows.group[0]), _Group()).add(camera, start)
        for group, counted in sorted(by_group.items()):
            yield from ((group, class_, counted.amounts(form)) for form, class_ in FORMS.items())

    def forget(self, open_from: int) -> None:
        """Drop the pictures before windows that have closed."""
        self._tails = {number: kept for number, kept in self._tails.items() if number >= open_from}


class _Group:
    """The passes of the cameras of one group."""

    def __init__(self) -> None:
        self._passes: dict[int, dict[int, int]] = {}
        self._readings = self._covered_ms = self._last = 0
        self._first: int | None = None

    def add(self, camera: PictureColumns, window_start: int) -> None:
        """Count the passes of one camera. Its pictures are in the order of time, those of the tail included."""
        rows = camera.rows
        frame = np.repeat(np.arange(len(camera)), camera.counts)
        found = passes(rows.start, frame, camera.boxes, window_start=window_start)
        counted = self._passes.setdefault(int(rows.contributor[-1]), dict.fromkeys(FORMS, 0))
        for form in found.form.tolist():
            counted[form] += 1
        own = rows.start >= window_start
        self._readings += int(own.sum())
        self._covered_ms += int(rows.interval[own].sum(dtype=np.int64))
        first = int(rows.offset.min())
        self._first = first if self._first is None else min(self._first, first)
        self._last = max(self._last, int(rows.offset.max()))

    def amounts(self, form: int) -> Amounts:
        counts = [counted[form] for counted in self._passes.values()]
        total, first = sum(counts), self._first or 0
        return Amounts(total, self._readings, len(counts), max(counts), total, self._covered_ms, first, self._last)


def _put(into: dict[int, list[PictureColumns]], pictures: PictureColumns, number: NDArray[np.int64]) -> None:
    """Add the pictures to the windows of these numbers, -1 for none. Parts are copies: a view would keep all rows."""
    for window in np.unique(number[number >= 0]).tolist():
        part = pictures.take(np.flatnonzero(number == window))
        into.setdefault(window, []).append(part)


def _cameras(pictures: PictureColumns) -> Iterator[PictureColumns]:
    """The pictures of each camera in each group, in the order of time."""
    rows = pictures.rows
    order = np.lexsort((rows.start, rows.source, rows.group))
    source, group = rows.source[order], rows.group[order]
    edges = np.flatnonzero((source[1:] != source[:-1]) | (group[1:] != group[:-1])) + 1
    for part in np.split(order, edges):
        yield pictures.take(part)
