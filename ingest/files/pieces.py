"""What a part of a file yields, as columns: readings, and what became none."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ingest.files.reading import KEPT_BYTES, Empty, FileFormat, Note, Outcome, Parsed
from store.deliveries import Refused

MOST_OUTCOMES = 20_000
_MOST = 2**62
"""No metric has a value as large: one beyond it stays out of range."""


@dataclass(frozen=True, slots=True, eq=False)
class Readings:
    """Readings of one metric, not yet looked up, as columns of shape (n,).

    `position`, `start`, `interval` (milliseconds) and `value` (smallest units) are int64, `quality` is uint8; `source`
    is None where the command names it. Times are milliseconds since 1970, UTC. `original` are the bytes of each, or of
    the lines that `line` refers to by their places.
    """

    metric: str
    position: NDArray[np.int64]
    source: Sequence[str | None] | None
    start: NDArray[np.int64]
    interval: NDArray[np.int64]
    value: NDArray[np.int64]
    quality: NDArray[np.uint8]
    original: Sequence[bytes]
    line: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.start)

    def parsed(self) -> Iterator[Parsed]:
        """The readings one by one."""
        columns = zip(
            self.position.tolist(),
            self.source if self.source is not None else [None] * len(self),
            self.start.tolist(),
            self.interval.tolist(),
            self.value.tolist(),
            self.quality.tolist(),
            self.original if self.line is None else [self.original[place] for place in self.line.tolist()],
            strict=True,
        )
        for position, source, start, interval, value, quality, original in columns:
            yield Parsed(position, source, self.metric, start, interval, value, quality, kept(original))


@dataclass(frozen=True, slots=True, eq=False)
class FilePiece:
    """The outcomes of a part of a file: `readings`, `refused`, and `empty` places by reason."""

    readings: Sequence[Readings]
    refused: Sequence[Refused]
    empty: Mapping[str, int] = field(default_factory=dict)

    def outcomes(self) -> Iterator[Outcome]:
        """All of them one by one, in the order of their positions; empty places come last."""
        kept: list[Parsed | Refused] = [parsed for readings in self.readings for parsed in readings.parsed()]
        kept += self.refused
        kept.sort(key=lambda outcome: outcome.position)
        yield from kept
        for reason, count in self.empty.items():
            yield from [Empty(reason)] * count


@runtime_checkable
class ColumnFormat(Protocol):
    """A file format that yields columns."""

    def pieces(self, path: Path) -> Iterator[FilePiece | Note]:
        """The outcomes of a file, in its order and in bounded memory. Raises `NotSuchFile`."""


def pieces(form: FileFormat, path: Path, most: int) -> Iterator[FilePiece | Note]:
    """A file in pieces: the format's own, or else of at most `most` outcomes. Raises `NotSuchFile`."""
    if isinstance(form, ColumnFormat):
        yield from form.pieces(path)
        return
    outcomes = form.read(path)
    while step := list(islice(outcomes, most)):
        yield from (outcome for outcome in step if isinstance(outcome, Note))
        yield _piece(step)


def outcomes_of(pieces: Iterable[FilePiece | Note]) -> Iterator[Outcome]:
    """What pieces hold, one by one. Raises what making them raises."""
    for piece in pieces:
        if isinstance(piece, Note):
            yield piece
        else:
            yield from piece.outcomes()


def kept(original: bytes) -> bytes:
    """What is kept of an original."""
    return original[:KEPT_BYTES].rstrip(b"\r")


def _piece(outcomes: Sequence[Outcome]) -> FilePiece:
    metrics: dict[str, list[Parsed]] = {}
    refused: list[Refused] = []
    empty: dict[str, int] = {}
    for outcome in outcomes:
        if isinstance(outcome, Parsed):
            metrics.setdefault(outcome.metric, []).append(outcome)
        elif isinstance(outcome, Refused):
            refused.append(outcome)
        elif isinstance(outcome, Empty):
            empty[outcome.reason] = empty.get(outcome.reason, 0) + 1
    return FilePiece([_columns(metric, some) for metric, some in metrics.items()], refused, empty)


def _columns(metric: str, some: Sequence[Parsed]) -> Readings:
    return Readings(
        metric,
        np.array([parsed.position for parsed in some], np.int64),
        [parsed.source for parsed in some],
        np.array([parsed.start_ms for parsed in some], np.int64),
        np.array([parsed.interval_ms for parsed in some], np.int64),
        np.array([min(max(parsed.value, -_MOST), _MOST) for parsed in some], np.int64),
        np.array([parsed.quality for parsed in some], np.uint8),
        [parsed.original for parsed in some],
    )
