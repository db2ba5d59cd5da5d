"""Vehicle passes as cells: the pictures of open windows, and of the tail before each, until the window closes.

A function of the log alone, as `processors.reading_fold` is. A picture of the tail before a window counts there while
that window is open, even if it is too late for its own. So a replay from the first offset that any window needs gives
the same passes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from processors.dividing import divided
from processors.open_memory import OpenMemory
from processors.open_rows import OpenRows
from processors.pieces import Pieces
from processors.rows import ROW_TYPES, Rows
from processors.spilling import RowKind
from processors.tracking.passes import TAIL_MS, track
from processors.tracking.sightings import Sightings, sightings_since
from processors.winners import winning
from schemas.batch import FORM_UNKNOWN, ONE_LINE, REGION, TWO_LINES
from schemas.windows import Windows
from store.processing import Amounts

FORMS = {ONE_LINE: "one-line", TWO_LINES: "two-lines", FORM_UNKNOWN: "unknown"}
"""The classes of a pass, by the plate's form."""

_MOST_PICTURES = 500_000
_MOST_BOXES = 50_000
"""A piece of a window's reduction sorts about so many pictures, or prepares about so many boxes."""


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

    def __init__(self, windows: Windows, memory: OpenMemory) -> None:
        self._windows = windows
        self._memory = memory
        self._kind = _kind()
        self._open: dict[int, OpenRows[PictureColumns]] = {}

    @property
    def first_offset(self) -> int | None:
        """The first offset that an open window or its tail needs; None without pictures."""
        return min((pictures.first_offset for pictures in self._open.values()), default=None)

    @property
    def held(self) -> tuple[int, int]:
        """Bytes in memory, and bytes on disk."""
        pictures = self._open.values()
        return sum(kept.held for kept in pictures), sum(kept.on_disk for kept in pictures)

    def add(self, pictures: PictureColumns, open_from: NDArray[np.int64]) -> None:
        """Keep what is in time. `open_from` (n,): the first window that was still open when each picture came."""
        start = pictures.rows.start
        own, following = self._windows.numbers(start), self._windows.numbers(start + TAIL_MS)
        self._put(pictures, np.where(own >= open_from, own, -1))
        self._put(pictures, np.where((following > own) & (following >= open_from), following, -1))

    def reduce(self, number: int) -> Pieces[list[tuple[int, str, Amounts]]]:
        """The passes of a window that has pictures, which are dropped: (group, class, amounts), every class of each.

        In between two pieces, only pictures of other windows may be added.
        """
        start, _ = self._windows.bounds(number)
        by_group: dict[int, _Group] = {}
        for portion in (yield from self._open[number].portions()):
            for division in (yield from _by_camera(portion)):
                yield from self._count(PictureColumns.join(division), start, by_group)
        del self._open[number]
        return [
            (group, class_, counted.amounts(form))
            for group, counted in sorted(by_group.items())
            for form, class_ in FORMS.items()
        ]

    def _count(self, pictures: PictureColumns, window_start: int, by_group: dict[int, "_Group"]) -> Pieces[None]:
        """Count the passes of some cameras, whose pictures in the tail of the window are included."""
        which = winning(pictures.rows)
        yield
        cameras = _Cameras(pictures, which, window_start)
        yield
        sightings = []
        for part in _cut(cameras.pictures.counts, _MOST_BOXES):
            sightings.append(cameras.sightings(part))
            yield
        if not sightings:
            return
        found = yield from track(Sightings.join(sightings), window_start)
        for group, seen in cameras.seen(found.camera, found.form):
            by_group.setdefault(group, _Group()).add(seen)

    def forget(self, open_from: int) -> None:
        """Drop the pictures before windows that have closed."""
        self._open = {number: kept for number, kept in self._open.items() if number >= open_from}

    def _put(self, pictures: PictureColumns, number: NDArray[np.int64]) -> None:
        """Add the pictures to the windows of these numbers, -1 for none. Parts are copies: views keep all rows."""
        for window in np.unique(number[number >= 0]).tolist():
            part = pictures.take(np.flatnonzero(number == window))
            kept = self._open.get(window)
            if kept is None:
                kept = self._open[window] = OpenRows(self._kind, self._memory)
            kept.append(part, int(part.rows.offset[0]))


@dataclass(frozen=True, slots=True)
class _Seen:
    """What one camera contributes to its group's cells: the passes of each form, and its pictures in the window."""

    contributor: int
    passes: dict[int, int]
    readings: int
    covered_ms: int
    first_offset: int
    last_offset: int


class _Cameras:
    """The pictures of the cameras that have one in the window, each camera's in the order of time.

    `which` are the places in `pictures` of those that count. Cameras are numbered from 0 on.
    """

    def __init__(self, pictures: PictureColumns, which: NDArray[np.intp], window_start: int) -> None:
        rows = pictures.rows
        start, source, group = rows.start[which], rows.source[which], rows.group[which]
        order = np.lexsort((start, source, group))
        start, source, group, which = start[order], source[order], group[order], which[order]
        begins = np.r_[True, (source[1:] != source[:-1]) | (group[1:] != group[:-1])]
        number = np.cumsum(begins) - 1
        last = np.flatnonzero(np.r_[begins[1:], True])
        looked = start[last] >= window_start
        self._window_start = window_start
        self.pictures = pictures.take(which[looked[number]])
        self._number = (np.cumsum(looked) - 1)[number[looked[number]]]

    def sightings(self, part: slice) -> Sightings:
        """The boxes of the pictures in this part of all."""
        counts = self.pictures.counts
        first = int(counts[: part.start].sum())
        counts = counts[part]
        boxes = self.pictures.boxes[first : first + int(counts.sum())]
        frame = np.repeat(np.arange(len(counts)), counts)
        since = self._window_start - TAIL_MS
        return sightings_since(self._number[part], self.pictures.rows.start[part], frame, boxes, since, part.start)

    def seen(self, camera: NDArray[np.int64], form: NDArray[np.uint8]) -> list[tuple[int, _Seen]]:
        """The group of each camera and what it contributes. `camera` and `form` (n,): those of each pass."""
        rows = self.pictures.rows
        begins = np.flatnonzero(np.r_[True, self._number[1:] != self._number[:-1]])
        ends = np.r_[begins[1:], len(rows)]
        own = rows.start >= self._window_start
        passes = [np.bincount(camera[form == kind], minlength=len(begins)).tolist() for kind in FORMS]
        columns = (
            rows.group[begins],
            rows.contributor[ends - 1],
            np.add.reduceat(own, begins, dtype=np.int64),
            np.add.reduceat(np.where(own, rows.interval, 0), begins, dtype=np.int64),
            np.minimum.reduceat(rows.offset, begins),
            np.maximum.reduceat(rows.offset, begins),
        )
        facts = zip(*(column.tolist() for column in columns), zip(*passes, strict=True), strict=True)
        return [
            (group, _Seen(contributor, dict(zip(FORMS, counts, strict=True)), readings, covered, first, last))
            for group, contributor, readings, covered, first, last, counts in facts
        ]


class _Group:
    """The passes of the cameras of one group."""

    def __init__(self) -> None:
        self._passes: dict[int, dict[int, int]] = {}
        self._readings = self._covered_ms = self._last = 0
        self._first: int | None = None

    def add(self, camera: _Seen) -> None:
        """Add what one camera has counted."""
        counted = self._passes.setdefault(camera.contributor, dict.fromkeys(FORMS, 0))
        for form, passes in camera.passes.items():
            counted[form] += passes
        self._readings += camera.readings
        self._covered_ms += camera.covered_ms
        self._first = camera.first_offset if self._first is None else min(self._first, camera.first_offset)
        self._last = max(self._last, camera.last_offset)

    def amounts(self, form: int) -> Amounts:
        counts = [counted[form] for counted in self._passes.values()]
        total, first = sum(counts), self._first or 0
        cameras = sum(count > 0 for count in counts)
        return Amounts(total, self._readings, cameras, max(counts), total, self._covered_ms, first, self._last)


def _source(pictures: PictureColumns) -> NDArray[np.uint32]:
    return pictures.rows.source


def _kind() -> RowKind[PictureColumns]:
    """Pictures are tracked camera by camera."""
    return RowKind(
        join=PictureColumns.join,
        key=_source,
        winners=lambda pictures: winning(pictures.rows),
        apart=lambda pictures: [*pictures.rows.columns(), pictures.counts, pictures.boxes],
        together=lambda columns: PictureColumns(Rows.of_columns(columns[:-2]), *columns[-2:]),
        dtypes=(*ROW_TYPES, np.dtype(np.int64), REGION),
    )


def _by_camera(parts: list[PictureColumns]) -> Pieces[list[list[PictureColumns]]]:
    """The pictures in divisions, those of a camera together; a single camera is not divided. Empties `parts`."""
    pictures, boxes = sum(len(part) for part in parts), sum(len(part.boxes) for part in parts)
    divisions = max(-(-pictures // _MOST_PICTURES), -(-boxes // (2 * _MOST_PICTURES)))
    return divided(parts, PictureColumns.join, _source, divisions, _MOST_BOXES)


def _cut(counts: NDArray[np.int64], most: int) -> list[slice]:
    """Parts of some pictures that together have about `most` boxes and pictures, by how many boxes each has."""
    size = np.cumsum(counts + 1) // most
    edges = np.flatnonzero(np.r_[True, size[1:] != size[:-1]]) if len(size) else np.empty(0, np.int64)
    return [slice(begin, end) for begin, end in zip(edges.tolist(), [*edges[1:].tolist(), len(size)], strict=True)]
