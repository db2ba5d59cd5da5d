"""Of what a source answers, the readings that its last answer did not have: many list the same states again and again.

What is repeated would count once all the same (R6), but after its window has closed it would be late each time.
"""

from collections.abc import Collection, Iterator
from itertools import repeat
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ingest.files.pieces import MOST_OUTCOMES, FilePiece, Readings, outcomes_of, pieces
from ingest.files.reading import FileFormat, Note, NotSuchFile, Outcome

REPEATED = "repeated"
"""Why a place is empty: the last answer had the same reading."""
MOST_REMEMBERED = 200_000
"""Readings of an answer; more than that are sent with each answer that has them."""

_Reading = tuple[str, str | None, int, int, int, int]
"""Metric, source, start, interval, value, quality."""


class LastAnswer:
    """The readings of the last answer that the log has, by its pages, and those of the answer that is on its way."""

    def __init__(self) -> None:
        self._pages: dict[str, set[_Reading]] = {}
        self._coming: dict[str, set[_Reading]] = {}
        self._every: frozenset[_Reading] = frozenset()

    def accept(self, pages: Collection[str]) -> None:
        """The log has the answer of these pages; those that were not read are as before."""
        self._pages = {page: self._coming.get(page, self._pages.get(page, set())) for page in pages}
        self._every = frozenset().union(*self._pages.values())
        self._coming = {}

    def forget(self) -> None:
        """The answer that was on its way comes again."""
        self._coming = {}

    def begin(self, page: str) -> set[_Reading]:
        """Where the readings of a page go; those of an earlier reading of it are void."""
        self._coming[page] = set()
        return self._coming[page]

    def has(self, reading: _Reading) -> bool:
        """Whether the last answer had a reading."""
        return reading in self._every

    @property
    def is_full(self) -> bool:
        """Whether no more readings are remembered."""
        return sum(map(len, self._coming.values())) >= MOST_REMEMBERED


class Unrepeated:
    """Implements `FileFormat` and `ColumnFormat`: a format's readings without those that the last answer had."""

    def __init__(self, form: FileFormat, last: LastAnswer) -> None:
        self._form = form
        self._last = last
        self.dataset = form.dataset
        self.noun = form.noun

    def read(self, path: Path) -> Iterator[Outcome]:
        """The outcomes one by one. Raises `NotSuchFile`."""
        return outcomes_of(self.pieces(path))

    def pieces(self, path: Path) -> Iterator[FilePiece | Note]:
        """The outcomes as columns. Raises `NotSuchFile`."""
        coming = self._last.begin(path.name)
        try:
            for piece in pieces(self._form, path, MOST_OUTCOMES):
                yield piece if isinstance(piece, Note) else self._without_repeated(piece, coming)
        except NotSuchFile:  # nothing of it is sent, so nothing of it is a repetition
            coming.clear()
            raise

    def _without_repeated(self, piece: FilePiece, coming: set[_Reading]) -> FilePiece:
        fresh, count = [], 0
        for readings in piece.readings:
            keys = list(_keys(readings))
            if not self._last.is_full:
                coming.update(keys)
            repeated = np.array([self._last.has(key) for key in keys], np.bool_)
            count += int(repeated.sum())
            fresh.append(_chosen(readings, ~repeated) if repeated.any() else readings)
        empty = {**piece.empty, REPEATED: count} if count else piece.empty
        return FilePiece(fresh, piece.refused, empty)


def _keys(readings: Readings) -> Iterator[_Reading]:
    return zip(
        repeat(readings.metric, len(readings)),
        readings.source if readings.source is not None else repeat(None, len(readings)),
        *(column.tolist() for column in (readings.start, readings.interval, readings.value, readings.quality)),
        strict=True,
    )


def _chosen(readings: Readings, rows: NDArray[np.bool_]) -> Readings:
    places = np.flatnonzero(rows)
    source, line = readings.source, readings.line
    return Readings(
        readings.metric,
        readings.position[places],
        None if source is None else [source[place] for place in places.tolist()],
        readings.start[places],
        readings.interval[places],
        readings.value[places],
        readings.quality[places],
        readings.original if line is not None else [readings.original[place] for place in places.tolist()],
        None if line is None else line[places],
    )
