"""JSON of unknown origin, with limits on the memory that it can take."""

import json
import os
from typing import BinaryIO

MOST_VALUES = 4_000_000
"""Values in one document: each takes up to a hundred bytes of memory, however short it is in the file."""


def read_bounded(file: BinaryIO, largest: int) -> bytes | None:
    """The whole of a file; None if it has more than `largest` bytes.

    Reading takes the memory for as many bytes as are asked for, so no more are asked for than the file has.
    """
    content = file.read(min(os.fstat(file.fileno()).st_size, largest) + 1)
    return content if len(content) <= largest else None


def load(content: bytes) -> object:
    """The document's value. Raises `ValueError` for what is not JSON, or is nested too deeply, or has too many values.

    Numbers must be finite. The charset is UTF-8, or UTF-16 or UTF-32 if its first bytes say so.
    """
    # Every value follows a comma, or a bracket if it is the first of its container.
    if content.count(b",") + content.count(b"[") + content.count(b"{") >= MOST_VALUES:
        raise ValueError(f"more than {MOST_VALUES} values")
    try:
        return json.loads(content, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _refuse(name: str) -> object:
    raise ValueError(f"{name} is no number")
