"""Tables as text whose first line names the columns, read line by line with a limit on a line's length."""

import csv
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ingest.files.reading import KEPT_BYTES, Note, NotSuchFile

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


def column_names(path: Path, delimiter: str = ",") -> Sequence[str]:
    """The columns that the first line names, without blanks around them. Raises `NotSuchFile` for one named twice."""
    with path.open("rb") as file:
        return _names(path, next(lines(file), None), delimiter)


def rows(path: Path, columns: Sequence[str], delimiter: str = ",") -> Iterator[TableRow]:
    """Every line after the header, in UTF-8. Raises `NotSuchFile` if the first line does not name the columns.

    Capital and small letters in the names of columns are the same.
    """
    with path.open("rb") as file:
        numbered = lines(file)
        names = [name.casefold() for name in _names(path, next(numbered, None), delimiter)]
        if missing := [name for name in columns if name.casefold() not in names]:
            raise NotSuchFile(f"{path.name}: the first line must name the columns {', '.join(missing)}")
        places = [names.index(name.casefold()) for name in columns]
        for line in numbered:
            fields = _fields(line, delimiter)
            fits = len(fields) == len(names)
            yield TableRow(line, tuple(fields[place] for place in places) if fits else None)


def not_read(path: Path, names: Sequence[str], read: Collection[str]) -> Iterator[Note]:
    """A note of the columns that are neither read nor known to be of no interest, if there are any."""
    known = {name.casefold() for name in read}
    if others := [name for name in names if name and name.casefold() not in known]:
        yield Note(f"{path.name}: columns that are not read: {', '.join(others)}"[:1_000])


def _names(path: Path, first: TableLine | None, delimiter: str) -> list[str]:
    names = [name.removeprefix("\ufeff").strip() for name in _fields(first, delimiter)] if first is not None else []
    folded = [name.casefold() for name in names if name]
    if twice := {name for name in folded if folded.count(name) > 1}:
        raise NotSuchFile(f"{path.name}: the first line names {', '.join(sorted(twice))} twice")
    return names


def _fields(line: TableLine, delimiter: str) -> list[str]:
    """The fields of a line; none if it is invalid."""
    if not line.whole:
        return []
    try:
        return next(csv.reader([line.content.decode("utf-8")], delimiter=delimiter, strict=True), [])
    except (UnicodeDecodeError, csv.Error):
        return []
