"""What an import of a file would send, and why not the rest, without a register, a log or a database."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ingest.files.ordering import Placed, TimeOrder
from ingest.files.reading import FileFormat, Parsed
from ingest.files.sieve import Sieve
from ingest.files.unpacking import unpacked
from store.deliveries import Refused

MOST_SOURCES = 10_000
"""Sources whose sums are kept apart."""
_STEP = 20_000
_LOW = (1 << 32) - 1


@dataclass(slots=True)
class SourceSum:
    """The readings of one source: their number and sum (smallest units), and the span of their times (ms, UTC)."""

    readings: int = 0
    value: int = 0
    first_ms: int = 0
    until_ms: int = 0

    def add(self, readings: int, value: int, first_ms: int, until_ms: int) -> None:
        self.first_ms = min(self.first_ms, first_ms) if self.readings else first_ms
        self.until_ms = max(self.until_ms, until_ms)
        self.readings += readings
        self.value += value


@dataclass(slots=True)
class Tried:
    """What became of a file: `read` = `sent` + all of `refused` and `empty`.

    `first` are the earliest readings, `refusals` the first of each reason by their position; `sums` are by metric and
    source ("" where the command names it).
    """

    read: int = 0
    sent: int = 0
    first: list[Parsed] = field(default_factory=list)
    sums: dict[tuple[str, str], SourceSum] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)
    refusals: list[Refused] = field(default_factory=list)
    empty: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

    def add(self, rows: Placed, sieve: Sieve, most: int) -> None:
        """Count readings that would be sent, which are in the order of time."""
        self.sent += len(rows)
        self.first += sieve.parsed(rows[: most - len(self.first)])
        rows = rows[np.argsort(rows["source"], kind="stable")]
        codes, begins = np.unique(rows["source"], return_index=True)
        high, low = (np.add.reduceat(part, begins).tolist() for part in (rows["value"] >> 32, rows["value"] & _LOW))
        counts = np.diff(np.append(begins, len(rows))).tolist()
        first = rows["start"][begins].tolist()
        until = np.maximum.reduceat(rows["start"] + rows["interval"], begins).tolist()
        for place, code in enumerate(codes.tolist()):
            key = sieve.sources.metric(code), sieve.sources.ids[code] or ""
            if key not in self.sums and len(self.sums) >= MOST_SOURCES:
                key = key[0], "all others"
            value = (high[place] << 32) + low[place]  # 64 bits may be too few for a sum
            self.sums.setdefault(key, SourceSum()).add(counts[place], value, first[place], until[place])


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
