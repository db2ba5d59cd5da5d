"""What a file format yields: readings, refused readings, empty places, and notes."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from errors import OperatorError
from store.deliveries import Refused

KEPT_BYTES = 1_000
"""The most bytes of an original that are kept if its reading is refused."""


class NotSuchFile(OperatorError):
    """The file is not of this format, or not whole; the text says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """A reading of a file, before its source is looked up.

    `position` identifies it in the file, `source` is its id in the register (None where the command names it), `metric`
    a name in the catalogue. `start_ms` is milliseconds since 1970, UTC; `interval_ms` is 0 for a moment; `value` is a
    whole number of the metric's smallest unit, in or out of its range. `original` is its bytes in the file, at most
    `KEPT_BYTES`.
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
    """A place that may be empty in this format: counted by its reason, and not kept."""

    reason: str


@dataclass(frozen=True, slots=True)
class Note:
    """What the operator must know of a file: what was concluded from it, or is not read. Not counted."""

    text: str


Outcome = Parsed | Refused | Empty | Note


class FileFormat(Protocol):
    """A file format.

    `dataset` is the dataset of all its metrics; `noun` names the outcomes in the plural, such as "lines".
    """

    @property
    def dataset(self) -> str: ...

    @property
    def noun(self) -> str: ...

    def read(self, path: Path) -> Iterator[Outcome]:
        """The outcomes of a file, in its order and in bounded memory. Raises `NotSuchFile`."""
