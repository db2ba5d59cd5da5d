"""External merge sort: readings in the order of their times, more of them than memory holds.

A topic's windows close as its readings' times go on (R1), so readings out of order would be late. Files are often
ordered by source, or hold months in any order. Sorted runs are written to an unnamed temporary file and merged; the
originals go to another in the order of the files, and are read again only where a reading is refused.
"""

import os
from collections.abc import Iterator, Sequence
from itertools import pairwise
from tempfile import TemporaryFile
from types import TracebackType
from typing import IO

import numpy as np
from numpy.typing import NDArray

from ingest.files.reading import KEPT_BYTES

RUN = 250_000
"""The most readings in memory, and with them 64 bytes of each original: about 40 MB."""
_ORIGINAL_BYTES = 64
_LOADED = 400_000
"""Readings in memory while runs are merged, over all of them, unless there are more than 400 runs."""
_LEAST_BLOCK = 1_000

PLACED = np.dtype(
    [
        ("start", np.int64),
        ("interval", np.int64),
        ("value", np.int64),
        ("position", np.int64),
        ("original", np.int64),
        ("source", np.int32),
        ("file", np.int32),
        ("length", np.uint16),
        ("quality", np.uint8),
    ]
)
"""A reading, and where it came from: the number of its file, and offset and length of its original.

`source` is a code of `SourceCodes`; all else is as in `Readings`.
"""
Placed = NDArray[np.void]


class TimeOrder:
    """Takes readings in any order, and gives all of them by time, equal times in the order of `add`."""

    def __init__(self, run: int = RUN) -> None:
        self._run = run
        self._held: list[Placed] = []
        self._count = 0
        self._texts = bytearray()
        self._rows: IO[bytes] | None = None
        self._originals: IO[bytes] | None = None
        self._ends: list[int] = [0]
        """Rows in the file up to the end of each run."""
        self._written = 0
        """Bytes of originals in the file."""

    def __enter__(self) -> "TimeOrder":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for file in (self._rows, self._originals):
            if file is not None:
                file.close()

    def add(self, placed: Placed, originals: Sequence[bytes], line: NDArray[np.int64] | None = None) -> None:
        """Add readings of dtype `PLACED`, with the originals of each, or of the lines at the places `line`.

        Their `original` and `length` are set here.
        """
        lengths = np.fromiter(map(len, originals), np.int64, len(originals))
        if len(lengths) and lengths.max() > KEPT_BYTES:
            originals = [original[:KEPT_BYTES] for original in originals]
            lengths = np.minimum(lengths, KEPT_BYTES)
        offsets = np.cumsum(lengths) - lengths + (self._written + len(self._texts))
        self._texts += b"".join(originals)
        placed["original"] = offsets if line is None else offsets[line]
        placed["length"] = lengths if line is None else lengths[line]
        self._held.append(placed)
        self._count += len(placed)
        if self._count >= self._run or len(self._texts) >= self._run * _ORIGINAL_BYTES:
            self._spill()

    def steps(self, most: int) -> Iterator[Placed]:
        """All readings in order, at most `most` in a step."""
        pieces = self._merged() if self._rows is not None else iter([self._sorted()])
        waiting: list[Placed] = []
        count = 0
        for piece in pieces:
            waiting.append(piece)
            count += len(piece)
            if count < most:
                continue
            joined = np.concatenate(waiting) if len(waiting) > 1 else piece
            whole = count - count % most
            for begin in range(0, whole, most):
                yield joined[begin : begin + most]
            waiting, count = [joined[whole:]], count - whole
        if count:
            yield np.concatenate(waiting)

    def original(self, at: int, length: int) -> bytes:
        """The original at an offset."""
        if at >= self._written:
            return bytes(self._texts[at - self._written : at - self._written + length]).rstrip(b"\r")
        assert self._originals is not None
        return os.pread(self._originals.fileno(), length, at).rstrip(b"\r")

    def _sorted(self) -> Placed:
        if not self._held:
            return np.empty(0, PLACED)
        held = np.concatenate(self._held) if len(self._held) > 1 else self._held[0]
        start = np.ascontiguousarray(held["start"])
        return held if (start[1:] >= start[:-1]).all() else held[np.argsort(start, kind="stable")]

    def _spill(self) -> None:
        if self._rows is None or self._originals is None:
            self._rows, self._originals = TemporaryFile(), TemporaryFile()  # noqa: SIM115 (closed by __exit__)
        _write(self._rows, self._sorted().view(np.uint8).data)
        _write(self._originals, self._texts)
        self._written += len(self._texts)
        self._ends.append(self._ends[-1] + self._count)
        self._held, self._count, self._texts = [], 0, bytearray()

    def _merged(self) -> Iterator[Placed]:
        assert self._rows is not None
        spans = list(pairwise(self._ends))
        block = max(_LEAST_BLOCK, _LOADED // (len(spans) + 1))
        runs = [_Run(self._rows.fileno(), begin, end, block) for begin, end in spans]
        held = self._sorted()
        if len(held):
            runs.append(_Run.loaded_of(held))
        while runs := [run for run in runs if run.fill()]:
            yield _earliest(runs)


class _Run:
    """A sorted run, of which the next rows are loaded: those of the file from `begin` to `end`."""

    def __init__(self, file: int, begin: int, end: int, block: int) -> None:
        self._file, self._begin, self._end, self._block = file, begin, end, block
        self._loaded = np.empty(0, PLACED)
        self.start = np.empty(0, np.int64)

    @classmethod
    def loaded_of(cls, rows: Placed) -> "_Run":
        run = cls(-1, 0, 0, 0)
        run._load(rows)
        return run

    @property
    def whole(self) -> bool:
        """Whether no row is left in the file."""
        return self._begin == self._end

    def fill(self) -> bool:
        """Load rows if none is left; whether there are any."""
        if not len(self._loaded) and not self.whole:
            count = min(self._block, self._end - self._begin)
            size = PLACED.itemsize
            self._load(np.frombuffer(os.pread(self._file, count * size, self._begin * size), PLACED))
            self._begin += count
        return len(self._loaded) > 0

    def take(self, count: int) -> Placed:
        taken = self._loaded[:count]
        self._load(self._loaded[count:])
        return taken

    def _load(self, rows: Placed) -> None:
        self._loaded = rows
        self.start = np.ascontiguousarray(rows["start"])


def _earliest(runs: Sequence[_Run]) -> Placed:
    """The rows of which it is certain that no other comes before them, in order.

    They are bounded by the earliest end of what is loaded of a run that has more rows. Of the rows at that time, those
    of earlier runs come first.
    """
    bounds = [(int(run.start[-1]), number) for number, run in enumerate(runs) if not run.whole]
    if not bounds:
        taken = [run.take(len(run.start)) for run in runs]
    else:
        last, bounding = min(bounds)
        taken = [
            run.take(int(np.searchsorted(run.start, last, "right" if number <= bounding else "left")))
            for number, run in enumerate(runs)
        ]
    taken = [rows for rows in taken if len(rows)]
    if len(taken) == 1:
        return taken[0]
    joined = np.concatenate(taken)
    return joined[np.argsort(joined["start"], kind="stable")]


def _write(file: IO[bytes], content: bytearray | memoryview) -> None:
    file.write(content)
    file.flush()
