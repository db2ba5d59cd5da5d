"""Exact set differences: what can be computed from released figures by adding and subtracting them.

A released figure is a sum of unknown amounts. Sums and differences of such figures form a linear space. Its
*elementary* figures are those in which as few amounts take part as possible: no other figure that isn't zero is made of
only some of them. It is enough to look at these. Every figure in the space is a sum of elementary ones in which no
amount cancels another (R. T. Rockafellar, "The elementary vectors of a subspace of R^N", 1969), so it has at least as
many contributors as one of them, and the greatest share of a contributor in it is at most the greatest in one of them.

All arithmetic is in whole numbers.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
from math import comb, gcd

from tests.attacks.figures import Unknown

_MOST_CHOICES = 200_000

Row = frozenset[Unknown]
"""The amounts that a figure is the sum of."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A figure that an attacker can compute: how often each amount goes into it."""

    coefficients: Mapping[Unknown, int]

    @property
    def contributors(self) -> int:
        """How many contributors' amounts are in it."""
        return len({unknown.contributor for unknown in self.coefficients})

    def share(self, amounts: Mapping[Unknown, int]) -> Fraction:
        """The greatest share of one contributor: its absolute amounts in those of all."""
        absolute: dict[int, int] = defaultdict(int)
        for unknown, coefficient in self.coefficients.items():
            absolute[unknown.contributor] += abs(coefficient * amounts[unknown])
        total = sum(absolute.values())
        return Fraction(max(absolute.values()), total) if total else Fraction(1)


def elementary_differences(rows: Iterable[Row]) -> Iterator[Difference]:
    """Every elementary figure that these released ones span. Raises `ValueError` for systems that are too large.

    Amounts that are always released together are one column. Figures that share no amount are looked at apart.
    """
    for component in components({row for row in rows if row}):
        yield from _elementary(component)


def components(rows: Set[Row]) -> Iterator[list[Row]]:
    """The rows in groups that have no amount in common."""
    of_unknown: dict[Unknown, list[Row]] = defaultdict(list)
    for row in rows:
        for unknown in row:
            of_unknown[unknown].append(row)
    left = set(rows)
    while left:
        reached, border = set(), [left.pop()]
        while border:
            row = border.pop()
            reached.add(row)
            near = {other for unknown in row if len(of_unknown[unknown]) > 1 for other in of_unknown[unknown]}
            border += near & left
            left -= near
        yield sorted(reached, key=lambda row: (len(row), sorted(row)))


def _elementary(rows: Sequence[Row]) -> Iterator[Difference]:
    columns: dict[tuple[int, ...], list[Unknown]] = defaultdict(list)
    for unknown in sorted(frozenset().union(*rows)):
        columns[tuple(int(unknown in row) for row in rows)].append(unknown)
    patterns = list(columns)
    matrix = _reduced([list(row) for row in zip(*patterns, strict=True)])
    found: set[tuple[int, ...]] = set()
    if comb(len(patterns), len(matrix) - 1) > _MOST_CHOICES:
        raise ValueError(f"{len(matrix)} figures of {len(patterns)} kinds of amounts are too many to look at all")
    for zeros in combinations(range(len(patterns)), len(matrix) - 1):
        vector = _vanishing_at(matrix, zeros)
        if vector is not None and vector not in found:
            found.add(vector)
            yield Difference(
                {
                    unknown: coefficient
                    for pattern, coefficient in zip(patterns, vector, strict=True)
                    if coefficient
                    for unknown in columns[pattern]
                }
            )


def _reduced(matrix: list[list[int]]) -> list[list[int]]:
    """A basis of the rows, in echelon form, in whole numbers."""
    basis: list[list[int]] = []
    for column in range(len(matrix[0])):
        pivot = next((row for row in matrix if row[column]), None)
        if pivot is None:
            continue
        matrix = [_without(row, pivot, column) for row in matrix if row is not pivot]
        basis = [_without(row, pivot, column) for row in basis]
        basis.append(pivot)
    return basis


def _without(row: list[int], pivot: list[int], column: int) -> list[int]:
    """The row with a zero in `column`, by adding multiples of `pivot`; a row that has one is given back."""
    if not row[column]:
        return row
    mixed = [value * pivot[column] - other * row[column] for value, other in zip(row, pivot, strict=True)]
    divisor = gcd(*mixed) or 1
    return [value // divisor for value in mixed]


def _vanishing_at(basis: list[list[int]], zeros: Sequence[int]) -> tuple[int, ...] | None:
    """The one combination of the basis, up to its scale, that is zero in these columns; None if there are several."""
    rows = basis
    for column in zeros:
        pivot = next((row for row in rows if row[column]), None)
        if pivot is None:
            return None  # this column is zero already, so the others leave more than one combination
        rows = [_without(row, pivot, column) for row in rows if row is not pivot]
    [vector] = rows
    sign = 1 if next(value for value in vector if value) > 0 else -1
    divisor = sign * gcd(*vector)
    return tuple(value // divisor for value in vector)
