"""Sub-tables: lines whose first field says which they are of, as rows of one table with the columns of both."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ingest.files.reading import KEPT_BYTES
from ingest.tables.fields import UnevenFields
from ingest.tables.profile import Records
from ingest.tables.text import TableRows

MOST_CONTEXT = 20
MOST_DATA = 400
MOST_RANGES = 1_000
"""Fields of a line of context and of data, and ranges of quality of one data line."""


@dataclass(slots=True)
class Ranges:
    """For each row, the intervals (first and last, from 1) whose quality a line of its own says."""

    of: list[Sequence[tuple[int, int, str]]] = field(default_factory=list)


@dataclass(slots=True)
class _Held:
    number: int
    original: bytes
    fields: list[str]
    ranges: list[tuple[int, int, str]] = field(default_factory=list)


def names(records: Records) -> Sequence[str]:
    """The columns of the rows."""
    return [
        *(f"{records.context}.{place}" for place in range(1, MOST_CONTEXT + 1)),
        *(f"{records.data}.{place}" for place in range(1, MOST_DATA + 1)),
    ]


class SubTables:
    """Joins each line of data with the line of context above it, and holds it until its lines of quality are known."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._context: list[str] | None = None
        self._held: _Held | None = None

    def rows(self, pieces: Iterator[TableRows]) -> Iterator[tuple[TableRows, Ranges]]:
        """The data of each piece. A line that is of no known sub-table, or out of place, is unreadable."""
        for piece in pieces:
            yield self._piece(piece)
        out: list[_Held] = []
        self._release(out)
        if out:
            yield _rows(out, [], None)

    def _piece(self, piece: TableRows) -> tuple[TableRows, Ranges]:
        out: list[_Held] = []
        unreadable = list(piece.unreadable)
        if unreadable:  # what it was of, nobody knows: data after it may belong to another context
            self._release(out)
        bad = iter([number for number, _ in unreadable])
        next_bad = next(bad, None)
        for number, fields, original in zip(piece.numbers, piece.fields, piece.originals, strict=True):
            while next_bad is not None and next_bad < number:
                self._release(out)
                self._context = None
                next_bad = next(bad, None)
            if not self._line(number, fields, original, out):
                unreadable.append((number, original[:KEPT_BYTES]))
        if next_bad is not None:
            self._context = None
        return _rows(out, unreadable, piece.cut)

    def _line(self, number: int, fields: Sequence[str], original: bytes, out: list[_Held]) -> bool:
        """Whether the line is in its place."""
        records, kind = self._records, fields[0].strip()
        fields = fields[: next((place for place in range(len(fields), 1, -1) if fields[place - 1].strip()), 1)]
        if records.quality and kind == records.quality:
            return self._quality(fields)
        self._release(out)
        if kind == records.data:
            if self._context is None or len(fields) > MOST_DATA:
                return False
            padded = [*fields, *[""] * (MOST_DATA - len(fields))]
            self._held = _Held(number, original, self._context + padded)
            return True
        if kind == records.context:
            fits = len(fields) <= MOST_CONTEXT
            self._context = [*fields, *[""] * (MOST_CONTEXT - len(fields))] if fits else None
            return fits
        return kind in records.known

    def _quality(self, fields: Sequence[str]) -> bool:
        held = self._held
        if held is None or len(fields) < 4 or len(held.ranges) >= MOST_RANGES:
            return False
        first, last = fields[1].strip(), fields[2].strip()
        if not (first.isascii() and first.isdigit() and last.isascii() and last.isdigit()):
            return False
        if not 1 <= int(first) <= int(last) <= MOST_DATA:
            return False
        held.ranges.append((int(first), int(last), fields[3]))
        return True

    def _release(self, out: list[_Held]) -> None:
        if self._held is not None:
            out.append(self._held)
        self._held = None


def _rows(held: Sequence[_Held], unreadable: Sequence[tuple[int, bytes]], cut: int | None) -> tuple[TableRows, Ranges]:
    rows = TableRows(
        [line.number for line in held],
        UnevenFields([line.fields for line in held]),
        [line.original for line in held],
        unreadable,
        cut,
    )
    return rows, Ranges([line.ranges for line in held])
