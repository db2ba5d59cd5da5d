"""Text files of lines whose first line names the columns, read line by line however long a line is."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ingest.files.reading import KEPT_BYTES, NotSuchFile

LONGEST_LINE = 4_096


@dataclass(frozen=True, slots=True)
class TableLine:
    """A line without its end. Of one that is longer than the limit only the beginning is there, and `whole` is false.

    `ended` is false for a last line that no line's end follows: it may have been cut.
    """

    number: int
    content: bytes
    whole: bool
    ended: bool

    @property
    def kept(self) -> bytes:
        """The part of it that is kept with a reading."""
        return self.content[:KEPT_BYTES]


@dataclass(frozen=True, slots=True)
class TableRow:
    """A line behind the header. `fields` are those of the columns that were asked for, in that order.

    They are None where the line is none of the file's kind: too long, not UTF-8, broken quotes, too few or too many.
    """

    line: TableLine
    fields: tuple[str, ...] | None


def lines(file: BinaryIO, longest: int = LONGEST_LINE) -> Iterator[TableLine]:
    """Every line; the first is number 1."""
    number = 0
    while line := file.readline(longest):
        number += 1
        rest = line
        while not rest.endswith(b"\n") and (more := file.readline(longest)):
            rest = more
        yield TableLine(number, line.rstrip(b"\r\n"), rest is line, rest.endswith(b"\n"))


def rows(path: Path, columns: Sequence[str], delimiter: str = ",") -> Iterator[TableRow]:
    """Every line behind the header, in UTF-8. Raises `NotSuchFile` if the first line does not name the columns."""
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
    """The fields of a line; none if it can't be divided into any."""
    if not line.whole:
        return []
    try:
        return next(csv.reader([line.content.decode("utf-8")], delimiter=delimiter, strict=True), [])
    except (UnicodeDecodeError, csv.Error):
        return []
