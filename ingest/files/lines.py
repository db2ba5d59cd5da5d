"""The lines of a file, with a limit on a line's length."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from ingest.files.reading import KEPT_BYTES

LONGEST_LINE = 4_096


@dataclass(frozen=True, slots=True)
class FileLine:
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


def lines(file: BinaryIO, longest: int = LONGEST_LINE) -> Iterator[FileLine]:
    """Every line; the first has the number 1."""
    number = 0
    while line := file.readline(longest):
        number += 1
        rest = line
        while not rest.endswith(b"\n") and (more := file.readline(longest)):
            rest = more
        yield FileLine(number, line.rstrip(b"\r\n"), rest is line, rest.endswith(b"\n"))
