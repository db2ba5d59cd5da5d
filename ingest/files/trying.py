"""What an import of a file would send, and why not the rest, without a register, a log or a database."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ingest.files.clashes import Clashes
from ingest.files.importing import in_range
from ingest.files.ordering import Placed, TimeOrder
from ingest.files.reading import Empty, FileFormat, Note, Parsed
from ingest.files.reasons import OUT_OF_RANGE
from ingest.files.unpacking import unpacked
from store.deliveries import Refused

MOST_SOURCES = 10_000
"""Sources whose sums are kept apart."""


@dataclass(slots=True)
class SourceSum:
    """The readings of one source: their number and sum (smallest units), and the span of their times (ms, UTC)."""

    readings: int = 0
    value: int = 0
    first_ms: int = 0
    until_ms: int = 0

    def add(self, parsed: Parsed) -> None:
        self.first_ms = min(self.first_ms, parsed.start_ms) if self.readings else parsed.start_ms
        self.until_ms = max(self.until_ms, parsed.start_ms + parsed.interval_ms)
        self.readings += 1
        self.value += parsed.value


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

    def refuse(self, refused: Refused, most: int) -> None:
        self.refused[refused.reason] += 1
        if self.refused[refused.reason] <= most:
            self.refusals.append(refused)


def tried(form: FileFormat, path: Path, most: int) -> Tried:
    """Read a file as an import does; `most` readings, and refusals of each reason, are kept. Raises `NotSuchFile`.

    Sources are not looked up, so what only the register knows (sources, rated power) is not checked.
    """
    found = Tried()
    with TimeOrder() as order, unpacked(path) as plain:
        for outcome in form.read(plain):
            if isinstance(outcome, Note):
                found.notes.append(outcome.text)
                continue
            found.read += 1
            if isinstance(outcome, Empty):
                found.empty[outcome.reason] += 1
            elif isinstance(outcome, Refused):
                found.refuse(outcome, most)
            elif in_range(outcome):
                order.add(Placed(0, outcome))
            else:
                found.refuse(Refused(outcome.position, OUT_OF_RANGE, outcome.original), most)
        clashes = Clashes(placed.parsed for placed in order)
        for _, parsed in order:
            reason = clashes.reason(parsed)
            if reason is not None:
                found.refuse(Refused(parsed.position, reason, parsed.original), most)
                continue
            found.sent += 1
            if len(found.first) < most:
                found.first.append(parsed)
            key = parsed.metric, parsed.source or ""
            if key not in found.sums and len(found.sums) >= MOST_SOURCES:
                key = parsed.metric, "all others"
            found.sums.setdefault(key, SourceSum()).add(parsed)
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
