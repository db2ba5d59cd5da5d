"""Numbers that stand for reasons, in columns of numbers: what could not be read of a field."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ingest.files.reasons import (
    ACCUMULATION,
    CONTRADICTION,
    FLOW_DIRECTION,
    INTERVAL,
    MISSING,
    NO_INTERVAL,
    NOT_ELECTRICITY,
    NUMBER,
    OTHER_METER,
    QUALITY,
    REPEATED_HOUR,
    SENSOR_FAULT,
    SPACING,
    TIME,
    UNIT,
    UNREADABLE,
)

REASONS = (
    *(UNREADABLE, TIME, CONTRADICTION, REPEATED_HOUR, UNIT, QUALITY, NO_INTERVAL, MISSING, NUMBER, SPACING, INTERVAL),
    *(FLOW_DIRECTION, NOT_ELECTRICITY, OTHER_METER, ACCUMULATION, SENSOR_FAULT),
)
LEAST = -(2**62)
"""No number of a table is as low: those below stand for a reason."""
MOST = 2**62 - 1

MOST_KEPT = 50_000


def fault(reason: str) -> int:
    """The number that stands for a reason."""
    return LEAST - 1 - REASONS.index(reason)


def reason_of(number: int) -> str:
    """The reason that a number stands for."""
    return REASONS[LEAST - 1 - number]


def clamped(number: int) -> int:
    """A number as a column holds it: one beyond what any metric has stays beyond it."""
    return min(max(number, LEAST), MOST)


Numbers = NDArray[np.int64]


def numbers(decoded: Mapping[str, int], texts: Sequence[str]) -> Numbers:
    """The number of each text, shape (len(texts),)."""
    return np.fromiter(map(decoded.__getitem__, texts), np.int64, len(texts))


def repeat_enough(texts: Sequence[str]) -> bool:
    """Whether a column repeats its texts so much that it pays to look each one up."""
    return len(texts) < 100 or len(set(texts)) * 4 < len(texts)


class Memo(dict[str, int]):
    """What `decode` says of a text; the texts of a table repeat. Holds `MOST_KEPT` of them."""

    def __init__(self, decode: Callable[[str], int]) -> None:
        super().__init__()
        self._decode = decode

    def __missing__(self, text: str) -> int:
        if len(self) >= MOST_KEPT:
            self.clear()
        number = self[text] = self._decode(text)
        return number
