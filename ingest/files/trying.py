"""What an import of a file would send, and why not the rest, without a register, a log or a database."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ingest.files.ordering import Placed, TimeOrder
from ingest.files.reading import FileFormat, Parsed
from ingest.files.sieve import Sieve
from ingest.files.unpacking import unpacked
from schemas.catalogue import catalogue
from store.deliveries import Refused

MOST_SOURCES = 10_000
"""Sources that are kept apart."""
MOST_VALUES = 1_000_000
"""Different values of sources that are kept for their medians."""
_STEP = 20_000
_LOW = (1 << 32) - 1


@dataclass(slots=True)
class SourceSummary:
    """The readings of one source: their number, and what their values come to (smallest units), by the metric's kind.

    Amounts and numbers add up to `total`. A total of levels means nothing, so of these there are `least`, `most` and
    `median`: `values` counts the different ones, and is None where there were too many. The times (ms, UTC) are those
    of the first beginning and the latest end.
    """

    readings: int = 0
    total: int = 0
    values: dict[int, int] | None = field(default_factory=dict)
    least: int = 0
    most: int = 0
    first_ms: int = 0
    until_ms: int = 0

    def add(self, readings: int, values: "_Values", first_ms: int, until_ms: int) -> None:
        self.first_ms = min(self.first_ms, first_ms) if self.readings else first_ms
        self.least = min(self.least, values.least) if self.readings else values.least
        self.most = max(self.most, values.most) if self.readings else values.most
        self.until_ms = max(self.until_ms, until_ms)
        self.readings += readings
        self.total += values.total

    @property
    def median(self) -> Fraction | None:
        """The value in the middle, or half-way between two; None if there were too many different ones."""
        if not self.values:
            return None
        ordered = sorted(self.values)
        ends = list(accumulate(self.values[value] for value in ordered))
        lower, upper = (ordered[bisect_right(ends, place)] for place in ((ends[-1] - 1) // 2, ends[-1] // 2))
        return Fraction(lower + upper, 2)


class _Values(NamedTuple):
    """Of values of one source: the sum, and the ends."""

    total: int
    least: int
    most: int


@dataclass(slots=True)
class Tried:
    """What became of a file: `read` = `sent` + all of `refused` and `empty`.

    `first` are the earliest readings, `refusals` the first of each reason by their position; `sources` are by metric
    and source ("" where the command names it).
    """

    read: int = 0
    sent: int = 0
    first: list[Parsed] = field(default_factory=list)
    sources: dict[tuple[str, str], SourceSummary] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)
    refusals: list[Refused] = field(default_factory=list)
    empty: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    _different: int = 0

    def add(self, rows: Placed, sieve: Sieve, most: int) -> None:
        """Count readings that would be sent, which are in the order of time."""
        self.sent += len(rows)
        self.first += sieve.parsed(rows[: most - len(self.first)])
        rows = rows[np.lexsort((rows["value"], rows["source"]))]
        codes, begins = np.unique(rows["source"], return_index=True)
        high, low = (np.add.reduceat(part, begins).tolist() for part in (rows["value"] >> 32, rows["value"] & _LOW))
        ends = np.append(begins[1:], len(rows)).tolist()
        first = np.minimum.reduceat(rows["start"], begins).tolist()
        until = np.maximum.reduceat(rows["start"] + rows["interval"], begins).tolist()
        for place, (code, begin, end) in enumerate(zip(codes.tolist(), begins.tolist(), ends, strict=True)):
            key = sieve.sources.metric(code), sieve.sources.ids[code] or ""
            if key not in self.sources and len(self.sources) >= MOST_SOURCES:
                key = key[0], "all others"
            summary = self.sources.setdefault(key, SourceSummary())
            ordered = rows["value"][begin:end]
            total = (high[place] << 32) + low[place]  # 64 bits may be too few for a sum
            summary.add(end - begin, _Values(total, int(ordered[0]), int(ordered[-1])), first[place], until[place])
            if not catalogue()[key[0]].adds_up:
                self._count(summary, ordered)

    def _count(self, summary: SourceSummary, ordered: NDArray[np.int64]) -> None:
        if summary.values is None:
            return
        before = len(summary.values)
        different, counts = np.unique(ordered, return_counts=True)
        for value, count in zip(different.tolist(), counts.tolist(), strict=True):
            summary.values[value] = summary.values.get(value, 0) + count
        self._different += len(summary.values) - before
        if self._different > MOST_VALUES:
            self._different -= len(summary.values)
            summary.values = None


def tried(form: FileFormat, path: Path, most: int) -> Tried:
    """Read a file as an import does; `most` readings, and refusals of each reason, are kept. Raises `NotSuchFile`.

    Sources are not looked up, so what only the register knows (sources, rated power) is not checked.
    """
    found = Tried()

    def refuse(file: int, refused: Sequence[Refused]) -> None:
        del file
        for item in refused:
            found.refused[item.reason] += 1
            if found.refused[item.reason] <= most:
                found.refusals.append(item)

    with TimeOrder() as order, unpacked(path) as plain:
        sieve = Sieve(order, refuse)
        for _ in sieve.take(form, plain, 0, _STEP):
            pass
        for rows in sieve.ordered(_STEP):
            if len(rows):
                found.add(rows, sieve, most)
    found.read, found.empty, found.notes = sieve.read, sieve.empty, sieve.notes
    found.refusals.sort(key=lambda refused: refused.position)
    return found


def in_columns(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> Sequence[str]:
    """Rows as lines with columns as wide as their longest text; those in `right` are set to the right."""
    if not rows:
        return []
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    sides: Mapping[bool, str] = {True: ">", False: "<"}
    return [
        "  ".join(
            f"{text:{sides[place in right]}{width}}"
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
