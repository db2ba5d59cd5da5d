"""What a file gives: readings, places where one could not be used, and places where none is expected."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

from errors import OperatorError
from store.deliveries import Refused

MISSING = "missing"
UNREADABLE = "unreadable"

KEPT_BYTES = 1_000
"""How much of an original goes with its reading, and is kept if the reading is refused."""


class NotSuchFile(OperatorError):
    """The file is not of the kind that it was given as, or not whole; the text says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """One reading of a file, before the register is asked.

    `position` is its place in the file, `source` its id in the register (None where the command names it), `metric` a
    name in the catalogue. `start_ms` counts from 1970, UTC; `interval_ms` is 0 for a moment; `value` is a whole number
    of the metric's smallest unit, in or out of its range. `original` is what the file says, `KEPT_BYTES` of it at most.
    """

    position: int
    source: str | None
    metric: str
    start_ms: int
    interval_ms: int
    value: int
    quality: int
    original: bytes


@dataclass(frozen=True, slots=True)
class Empty:
    """A place where a file of this kind may well say nothing: counted by its reason, and not kept."""

    reason: str


Outcome = Parsed | Refused | Empty


class FileFormat(Protocol):
    """A kind of file.

    `dataset` is that of all its metrics; `noun` says what the outcomes are, in the plural: lines.
    """

    dataset: ClassVar[str]
    noun: ClassVar[str]

    def read(self, path: Path) -> Iterator[Outcome]:
        """Every place of the file in its order, in bounded memory. Raises `NotSuchFile`."""
