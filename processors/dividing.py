"""Dividing what a window holds, so that a piece of its reduction stays short however large the window is."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from processors.pieces import Pieces
from processors.rows import Rows
from processors.runs import LabelledRuns

_SPREAD = np.uint64(0x9E3779B97F4A7C15)
"""A large odd number: multiplied by it, numbers with even steps between them fall into different divisions."""


class Columns(Protocol):
    """Rows as columns."""

    def __len__(self) -> int: ...
    def take(self, which: NDArray[np.intp]) -> Self:
        """The rows at these places, in that order."""


Divisible = TypeVar("Divisible", bound=Columns)


def spread(key: NDArray[Any]) -> NDArray[np.uint64]:
    """Numbers of 32 bits that look like drawn by chance, the same for the same key (an unsigned number). Shape (n,)."""
    return (key.astype(np.uint64) * _SPREAD) >> np.uint64(32)


def divided(
    parts: list[Divisible],
    join: Callable[[Sequence[Divisible]], Divisible],
    key: Callable[[Divisible], NDArray[Any]],
    divisions: int,
    at_once: int,
) -> Pieces[list[list[Divisible]]]:
    """All rows in about so many divisions, those of the same `key` (an unsigned number) together and in their order.

    A piece takes up to `at_once` rows and one part. Empties `parts`, so that rows are not kept twice.
    """
    if divisions <= 1:
        return [parts]
    found: list[list[Divisible]] = [[] for _ in range(divisions)]
    parts.reverse()
    while parts:
        some, size = [], 0
        while parts and size < at_once:
            some.append(parts.pop())
            size += len(some[-1])
        joined = join(some)
        number = spread(key(joined)) % np.uint64(divisions)
        for chosen in np.flatnonzero(np.bincount(number.astype(np.intp))).tolist():
            found[chosen].append(joined.take(np.flatnonzero(number == chosen)))
        yield
    return [division for division in found if division]


def divided_groups(parts: list[Rows], most: int) -> Pieces[list[list[Rows]]]:
    """All rows in divisions of about `most`, those of a group together and in their order.

    A group is that of whole messages, so most rows are not copied: what is found are views of the parts. A piece takes
    a sixteenth of a division, or one part. Empties `parts`.
    """
    divisions = -(-sum(len(part) for part in parts) // most)
    if divisions <= 1:
        return [parts]
    found: list[list[Rows]] = [[] for _ in range(divisions)]
    parts.reverse()
    while parts:
        some, size = [], 0
        while parts and size < most // 16 + 1:
            some.append(parts.pop())
            size += len(some[-1])
        joined = Rows.join(some)
        number = spread(joined.messages.group) % np.uint64(divisions)
        for chosen, of_division in LabelledRuns(joined.begins, number.astype(np.int64)).split(joined):
            found[chosen] += of_division
        yield
    return [division for division in found if division]
