"""Rows of the register as columns, and what becomes of a load of them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from errors import OperatorError
from store.source_history import NEVER_MS
from store.texts import Texts, joined

NOT_SAID = -1
"""The fact of a row about which the file says nothing."""

RegisteredPlace = tuple[str, str, str]
"""Metric, district, class."""


class RegisterError(OperatorError):
    """A register that can't be loaded or used. `line` and `column` are the place in the file; ids are not repeated."""

    def __init__(self, problem: str, line: int | None = None, column: str | None = None) -> None:
        where = "" if line is None else f"line {line}" + (f", column {column}" if column else "") + ": "
        super().__init__(where + problem)
        self.line = line
        self.column = column


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class RegisterColumns:
    """Rows of the register as columns of equal length. A row is a source of a metric for a span of time.

    Arrays are int64 of shape (n,). `place` is an index into `places`. Times are ms since 1970, UTC; `valid_to_ms` is
    the first time after the span, `NEVER_MS` for an open end. `line` is the row's place in the file, for errors.
    `fact` is what is known of a source in the unit of its metric, 0 if nothing is, `NOT_SAID` where the file says
    nothing about it; None if it has no column of facts. Texts are packed (`Texts.packed`).
    """

    line: NDArray[np.int64]
    source: Texts
    contributor: Texts
    places: Sequence[RegisteredPlace]
    place: NDArray[np.int64]
    valid_from_ms: NDArray[np.int64]
    valid_to_ms: NDArray[np.int64]
    fact: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.line)

    def metrics(self) -> NDArray[np.int64]:
        """A number for the metric of each row: shape (n,)."""
        names = list(dict.fromkeys(place[0] for place in self.places))
        of_place = np.array([names.index(place[0]) for place in self.places], np.int64)
        return of_place[self.place]

    def take(self, rows: NDArray[np.int64]) -> "RegisterColumns":
        """These rows, in this order; their texts are not packed."""
        return RegisterColumns(
            self.line[rows],
            self.source.take(rows),
            self.contributor.take(rows),
            self.places,
            self.place[rows],
            self.valid_from_ms[rows],
            self.valid_to_ms[rows],
            None if self.fact is None else self.fact[rows],
        )

    @classmethod
    def of(
        cls,
        *,
        line: Sequence[int],
        source: Sequence[str],
        metric: Sequence[str],
        district: Sequence[str],
        contributor: Sequence[str],
        class_: Sequence[str],
        valid_from_ms: Sequence[int],
        valid_to_ms: Sequence[int | None],
        fact: Sequence[int | None] | None = None,
    ) -> "RegisterColumns":
        """The rows from columns of Python's objects, in which None stands for an open end, and for `NOT_SAID`."""
        count = len(line)
        rows = list(zip(metric, district, class_, strict=True))
        places = list(dict.fromkeys(rows))
        index = {place: number for number, place in enumerate(places)}
        ends = (NEVER_MS if end is None else end for end in valid_to_ms)
        facts = None if fact is None else (NOT_SAID if each is None else each for each in fact)
        return cls(
            np.array(line, np.int64),
            Texts.of(source),
            Texts.of(contributor),
            places,
            np.fromiter(map(index.__getitem__, rows), np.int64, count),
            np.array(valid_from_ms, np.int64),
            np.fromiter(ends, np.int64, count),
            None if facts is None else np.fromiter(facts, np.int64, count),
        )


@dataclass(frozen=True, slots=True)
class EarliestChange:
    """Of all changes of known sources that a load brings, the one that holds from the earliest time on.

    A new row, or an end that has moved, by `column`. `from_ms` is milliseconds since 1970; `line` is that of the row.
    """

    from_ms: int
    line: int
    column: Literal["valid_from", "valid_to"]


@dataclass(frozen=True, slots=True)
class Loaded:
    """The outcome of a load: numbers of rows, and by metric the earliest change of sources that were known before."""

    sources_new: int
    sources_updated: int
    sources_unchanged: int
    contributors_new: int
    changes: Mapping[str, EarliestChange] = field(default_factory=dict, repr=False, compare=False)


def in_one(blocks: Sequence[RegisterColumns]) -> RegisterColumns:
    """All rows of these blocks; either all of them have facts or none has."""
    places = {place: number for number, place in enumerate(dict.fromkeys(p for b in blocks for p in b.places))}
    index = [np.array([places[place] for place in block.places], np.int64)[block.place] for block in blocks]
    facts = [block.fact for block in blocks if block.fact is not None]
    return RegisterColumns(
        _after_another(block.line for block in blocks),
        joined([block.source for block in blocks]),
        joined([block.contributor for block in blocks]),
        list(places),
        _after_another(index),
        _after_another(block.valid_from_ms for block in blocks),
        _after_another(block.valid_to_ms for block in blocks),
        _after_another(facts) if facts else None,
    )


def _after_another(parts: Iterable[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.concatenate([np.zeros(0, np.int64), *parts])
