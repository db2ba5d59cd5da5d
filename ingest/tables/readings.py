"""What a piece of a table yields: columns of readings, and what became none."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ingest.files.reading import KEPT_BYTES, Empty, Outcome, Parsed
from store.deliveries import Refused


@dataclass(frozen=True, slots=True, eq=False)
class Readings:
    """Readings of one metric, not yet looked up, as columns of shape (n,).

    `position`, `start`, `interval` (milliseconds) and `value` (smallest units) are int64, `quality` is uint8; `source`
    is None where the command names it. Times are milliseconds since 1970, UTC.
    """

    metric: str
    position: NDArray[np.int64]
    source: Sequence[str] | None
    start: NDArray[np.int64]
    interval: NDArray[np.int64]
    value: NDArray[np.int64]
    quality: NDArray[np.uint8]
    original: Sequence[bytes]

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
            self.original,
            strict=True,
        )
        for position, source, start, interval, value, quality, original in columns:
            yield Parsed(
                position, source, self.metric, start, interval, value, quality, original[:KEPT_BYTES].rstrip(b"\r")
            )


@dataclass(frozen=True, slots=True, eq=False)
class TablePiece:
    """The outcomes of some lines: `readings`, `refused`, and `empty` places by reason."""

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
