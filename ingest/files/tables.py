"""Tables as text whose first line names the columns, read line by line with a limit on a line's length."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ingest.files.reading import KEPT_BYTES, NotSuchFile

LONGEST_LINE = 4_096


@dataclass(frozen=True, slots=True)
class TableLine:
    """A line without its line end. Only the beginning of a line above the limit is kept, and `whole` is false.

    `ended` is false for a last line without a line end: it may have been cut.
    """

    number: int
    content: bytes
    whole: bool
    ended: bool

    @property
    def kept(self) -> bytes:
        """The part that is kept with a reading."""
        return self.content[:KEPT_BYTES]


@dataclass(frozen=True, slots=True)
class TableRow:
    """A line after the header. `fields` are those of the requested columns, in that order.

    They are None for an invalid line: too long, not UTF-8, broken quotes, too few or too many fields.
    """

    line: TableLine
    fields: tuple[str, ...] | None


def lines(file: BinaryIO, longest: int = LONGEST_LINE) -> Iterator[TableLine]:
    """Every line; the first has the number 1."""
    number = 0
    while line := file.readline(longest):
        number += 1
        rest = line
        while not rest.endswith(b"\n") and (more := file.readline(longest)):
            rest = more
        yield TableLine(number, line.rstrip(b"\r\n"), rest is line, rest.endswith(b"\n"))


def rows(path: Path, columns: Sequence[str], delimiter: str = ",") -> Iterator[TableRow]:
    """Every line after the header, in UTF-8. Raises `NotSuchFile` if the first line does not name the columns."""
    with path.open("rb") as file:
        numbered = lines(file)
        first = next(numbered, None)
        header = _fields(first, delimiter) if first is not None else []
        header[:1] = [name.removeprefix("\ufeff") for name in header[:1]]
        if missing := [name for name in columns if name not in header]:
            raise NotSuchFile(f"{path.name}: the first line must name the columns {', '.join(missing)}")
        places = [header.index(name) for name in columns]
        for line in numbered:
            fields = _fields(line, delimiter)
            fits = len(fields) == len(header)
            yield TableRow(line, tuple(fields[place] for place in places) if fits else None)


def _fields(line: TableLine, delimiter: str) -> list[str]:
    """The fields of a line; none if it is invalid."""
    if not line.whole:
        return []
    try:
        return next(csv.reader([line.content.decode("utf-8")], delimiter=delimiter, strict=True), [])
    except (UnicodeDecodeError, csv.Error):
        return []
