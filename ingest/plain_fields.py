"""The fields of delimited lines that need no parser: printable ASCII without quotes, as many fields in every line.

Millions of lines are mostly written like that. Their fields are found by where the delimiters are, all at once.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from store.texts import Texts

LONGEST_FIELD = 1_000
"""Longer fields are left to the parser, which has a limit, too."""

_LINE_FEED = ord("\n")
_PRINTABLE = bytes(set(range(0x20, 0x7F)) - {ord('"')})


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class PlainFields:
    """Fields by line: field k of line n is `data[start[n, k] : end[n, k]]`. Shapes (lines, width)."""

    data: NDArray[np.uint8]
    start: NDArray[np.int64]
    end: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.end)

    def column(self, k: int) -> Texts:
        """Field k of each line."""
        start = self.start[:, k]
        return Texts(self.data, start, self.end[:, k] - start)


def plain_fields(lines: bytes, delimiter: str, width: int) -> PlainFields | None:
    """The fields of whole lines, at least two in each; None if they are not plain.

    Lines end with LF or CR LF, the last one perhaps with nothing. In plain lines, `csv.reader` finds the same fields.
    """
    if b"\r" in lines:
        lines = lines.replace(b"\r\n", b"\n")
    if not lines.endswith(b"\n"):
        lines += b"\n"
    if not delimiter.isascii() or lines.translate(None, _PRINTABLE + b"\n" + delimiter.encode()):
        return None
    data = np.frombuffer(lines, np.uint8)
    ends = np.flatnonzero((data == ord(delimiter)) | (data == _LINE_FEED))
    if len(ends) != lines.count(b"\n") * width:
        return None
    start = np.concatenate([np.zeros(1, np.int64), ends[:-1] + 1]).reshape(-1, width)
    end = ends.reshape(-1, width)
    plain = (data[end[:, -1]] == _LINE_FEED).all() and (end - start).max() <= LONGEST_FIELD
    return PlainFields(data, start, end) if plain else None
