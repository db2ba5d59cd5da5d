"""Readings in the order of their times, more of them than memory holds.

A topic's windows close as its readings' times go on (R1), so what a file holds out of order would be late. Files do:
one source behind the other, one month here and there. What is more than one run goes into a nameless
temporary file, run by run, each sorted, and the runs are merged.
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
"""Readings in memory at most, about 50 MB."""

_BLOCK = 500


class Placed(NamedTuple):
    """A reading, and the number of the file that it came from."""

    file: int
    parsed: Parsed


class TimeOrder:
    """Takes readings in any order; then an iteration gives all of them by time, equal times as they came."""

    def __init__(self, run: int = RUN) -> None:
        self._run = run
        self._held: list[Placed] = []
        self._spilled: IO[bytes] | None = None
        self._runs: list[tuple[int, int]] = []
        """Where each run begins in the file, and in how many blocks it lies there."""

    def __enter__(self) -> "TimeOrder":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._spilled is not None:
            self._spilled.close()

    def add(self, placed: Placed) -> None:
        """Take one reading."""
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
    """One run; others are read from the same file between two of its blocks."""
    for _ in range(blocks):
        spilled.seek(at)
        block: list[Placed] = pickle.load(spilled)
        at = spilled.tell()
        yield from block


def _time(placed: Placed) -> int:
    return placed.parsed.start_ms
