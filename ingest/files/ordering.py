"""External merge sort: readings in the order of their times, more of them than memory holds.

A topic's windows close as its readings' times go on (R1), so readings out of order would be late. Files are often
ordered by source, or hold months in any order. Sorted runs are written to an unnamed temporary file and merged.
"""

import os
import pickle
from collections.abc import Iterator
from heapq import merge
from tempfile import TemporaryFile
from types import TracebackType
from typing import IO, NamedTuple

from ingest.files.reading import Parsed

RUN = 100_000
"""The most readings in memory, about 50 MB."""

_BLOCK = 500


class Placed(NamedTuple):
    """A reading, and the number of the file that it came from."""

    file: int
    parsed: Parsed


class TimeOrder:
    """Takes readings in any order; iteration yields all of them by time, equal times in the order of `add`."""

    def __init__(self, run: int = RUN) -> None:
        self._run = run
        self._held: list[Placed] = []
        self._spilled: IO[bytes] | None = None
        self._runs: list[tuple[int, int]] = []
        """Offset of each run in the file, and its number of blocks."""

    def __enter__(self) -> "TimeOrder":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._spilled is not None:
            self._spilled.close()

    def add(self, placed: Placed) -> None:
        """Add a reading."""
        self._held.append(placed)
        if len(self._held) == self._run:
            self._spill()

    def __iter__(self) -> Iterator[Placed]:
        held = sorted(self._held, key=_time)
        if self._spilled is None:
            return iter(held)
        runs = (_read(self._spilled, begin, blocks) for begin, blocks in self._runs)
        return merge(*runs, held, key=_time)

    def _spill(self) -> None:
        if self._spilled is None:
            self._spilled = TemporaryFile()  # noqa: SIM115 (closed by __exit__)
        held = sorted(self._held, key=_time)
        begin = self._spilled.seek(0, os.SEEK_END)
        starts = range(0, len(held), _BLOCK)
        for start in starts:
            pickle.dump(held[start : start + _BLOCK], self._spilled, pickle.HIGHEST_PROTOCOL)
        self._runs.append((begin, len(starts)))
        self._held = []


def _read(spilled: IO[bytes], at: int, blocks: int) -> Iterator[Placed]:
    """One run. Other runs are read from the same file meanwhile, so each block is sought anew."""
    for _ in range(blocks):
        spilled.seek(at)
        block: list[Placed] = pickle.load(spilled)
        at = spilled.tell()
        yield from block


def _time(placed: Placed) -> int:
    return placed.parsed.start_ms
