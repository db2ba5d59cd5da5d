"""The linear-programming attacker: the least and the greatest that an unknown amount can be, by all that is published.

The unknowns are amounts of at least zero, one for every contributor and part of a window. An attacker writes down what
he knows of them: a released figure lies within its rounding; nobody has more of a released figure than its rule lets
pass; nobody uses more than his capacity. HiGHS then finds the least and the greatest value of any unknown. Status and
coverage tell how many amounts are above zero, which bounds none of them further.

Contributors of whom the same is known are exchangeable, and the set of all solutions is convex. So it is enough to tell
one of them apart from the sum of the others, and its bounds are those of each of them. Systems without a common unknown
are solved together, as one sparse program, whose optimum is that of every system.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf

import numpy as np

from tests.attacks.differences import Row, components
from tests.attacks.figures import Figure, Knowledge, Unknown

_SYSTEMS_AT_ONCE = 3_000

_Inequality = tuple[Mapping[int, float], float]
"""Columns with their factors, and what their sum is at most."""


@dataclass(frozen=True, slots=True)
class Interval:
    """What an attacker knows of `of`: it is at least `lower` and at most `upper`; in truth it is `truth`."""

    of: Unknown | Figure
    lower: float
    upper: float
    truth: int

    @property
    def ratio(self) -> float:
        """The width of the interval, by the true value: what must be at least 1."""
        return (self.upper - self.lower) / self.truth if self.truth else inf


@dataclass(frozen=True, slots=True)
class _Alike:
    """Contributors of whom the same is known: what each has in which figures, and its capacity."""

    members: tuple[int, ...]
    unknowns: tuple[tuple[Unknown, ...], ...]
    """Of each part: the unknowns of all members, in the order of `members`."""

    most: float
    own: bool


def intervals(figures: Sequence[Figure], knowledge: Knowledge, amounts: Mapping[Unknown, int]) -> Iterator[Interval]:
    """The bounds of every amount in a released figure, one for each set of exchangeable ones, the greatest of them in
    truth; and of the total of every suppressed cell of which some amount is in a released figure."""
    shown = {figure: knowledge.members[figure.place, figure.revision] for figure in figures}
    systems = list(_systems(shown, knowledge, amounts))
    for first in range(0, len(systems), _SYSTEMS_AT_ONCE):
        yield from _solved(systems[first : first + _SYSTEMS_AT_ONCE])


@dataclass(frozen=True, slots=True)
class _System:
    """A program of its own: what it asks for, the number of its columns, and its rows."""

    of: Unknown | Figure
    truth: int
    scale: float
    asked: Mapping[int, float]
    columns: int
    rows: Sequence[_Inequality]


def _systems(shown: Mapping[Figure, Row], knowledge: Knowledge, amounts: Mapping[Unknown, int]) -> Iterator[_System]:
    by_row: dict[Row, list[Figure]] = defaultdict(list)
    for figure, row in shown.items():
        by_row[row].append(figure)
    for component in components({row for row in by_row if row}):
        of_component = {figure: row for row in component for figure in by_row[row]}
        seen = {figure: row for figure, row in of_component.items() if figure.status == "released"}
        if not seen:
            continue
        everyone = _alike(of_component, knowledge)
        for alike in everyone:
            for part in () if alike.own else alike.unknowns:
                target = max(part, key=lambda unknown: amounts[unknown])
                yield _system(everyone, seen, knowledge, alike, target, amounts[target], frozenset(part))
        for figure, row in of_component.items():
            if figure.status == "suppressed" and len(of_component) > 1:
                total = sum(amounts[unknown] for unknown in row)
                yield _system(everyone, seen, knowledge, None, figure, total, row)


def _alike(shown: Mapping[Figure, Row], knowledge: Knowledge) -> list[_Alike]:
    figures_of: dict[Unknown, list[int]] = defaultdict(list)
    for index, row in enumerate(shown.values()):
        for unknown in row:
            figures_of[unknown].append(index)
    parts_of: dict[int, list[Unknown]] = defaultdict(list)
    for unknown in sorted(figures_of):
        parts_of[unknown.contributor].append(unknown)
    grouped: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for contributor, parts in parts_of.items():
        own = any(unknown in knowledge.own for unknown in parts)
        where = tuple((unknown[1:], tuple(figures_of[unknown])) for unknown in parts)
        most = knowledge.most.get(contributor, inf)
        grouped[where, most, contributor if own else None].append(contributor)
    return [
        _Alike(
            tuple(members),
            tuple(zip(*(parts_of[contributor] for contributor in members), strict=True)),
            knowledge.most.get(members[0], inf),
            any(unknown in knowledge.own for unknown in parts_of[members[0]]),
        )
        for members in grouped.values()
    ]


@dataclass(frozen=True, slots=True)
class _Held:
    """The columns of `count` exchangeable contributors, and the unknown of one of them that each stands for."""

    count: int
    most: float
    unknowns: Mapping[int, Unknown]
    asked: bool


def _held(everyone: Sequence[_Alike], apart: _Alike | None) -> Iterator[_Held]:
    """A column for every part of all exchangeable contributors; one of those in `apart` has columns of its own."""
    first = 0
    for alike in everyone:
        count = len(alike.members)
        for number, size in enumerate((1, count - 1) if alike is apart else (count,)):
            if size:
                unknowns = {first + index: part[0] for index, part in enumerate(alike.unknowns)}
                yield _Held(size, alike.most, unknowns, asked=alike is apart and number == 0)
                first += len(unknowns)


def _system(
    everyone: Sequence[_Alike],
    seen: Mapping[Figure, Row],
    knowledge: Knowledge,
    apart: _Alike | None,
    of: Unknown | Figure,
    truth: int,
    asked_for: Row,
) -> _System:
    """The program that asks for the sum of the row `asked_for`: of one member of `apart`, or of everybody."""
    scale = float(max(abs(figure.value or 0) for figure in seen) or 1)
    holders = list(_held(everyone, apart))
    asked: dict[int, float] = {}
    rows: list[_Inequality] = []
    for held in holders:
        if held.asked or apart is None:
            asked |= {column: 1.0 for column, unknown in held.unknowns.items() if unknown in asked_for}
        for column, unknown in held.unknowns.items():
            if unknown in knowledge.own:
                rows.append(({column: 1.0}, knowledge.own[unknown] / scale))
                rows.append(({column: -1.0}, -knowledge.own[unknown] / scale))
        if held.most < inf:
            rows += [(of_window, held.count * held.most / scale) for of_window in _by_window(held.unknowns)]
    for figure, row in seen.items():
        rows += _of_figure(figure, row, holders, knowledge, scale)
    for earlier, later in _revised(seen) if knowledge.changes_pass else ():
        percent = knowledge.percent(later.place.metric, later.place.class_)
        rows += _shares(seen[later] - seen[earlier], holders, percent)
    return _System(of, truth, scale, asked, sum(len(held.unknowns) for held in holders), rows)


def _by_window(held: Mapping[int, Unknown]) -> Iterator[dict[int, float]]:
    """The columns of each window, for a sum."""
    found: dict[tuple[str, int], dict[int, float]] = defaultdict(dict)
    for column, unknown in held.items():
        found[unknown.flow, unknown.start][column] = 1.0
    yield from found.values()


def _of_figure(
    figure: Figure,
    row: Row,
    holders: Sequence[_Held],
    knowledge: Knowledge,
    scale: float,
) -> Iterator[_Inequality]:
    assert figure.value is not None
    half = rounding(figure.value, knowledge.base[figure.place.metric]) / 2
    total = {column: 1.0 for held in holders for column, unknown in held.unknowns.items() if unknown in row}
    yield total, (figure.value + half) / scale
    yield dict.fromkeys(total, -1.0), -(figure.value - half) / scale
    yield from _shares(row, holders, knowledge.percent(figure.place.metric, figure.place.class_))


def _shares(row: Row, holders: Sequence[_Held], percent: int | None) -> Iterator[_Inequality]:
    """Nobody has more than `percent` of the sum of this row."""
    if percent is None or not row:
        return
    total = {column for held in holders for column, unknown in held.unknowns.items() if unknown in row}
    for held in holders:
        mine = {column for column, unknown in held.unknowns.items() if unknown in row}
        if mine:
            share = held.count * percent / 100
            yield {column: (1.0 if column in mine else 0.0) - share for column in total}, 0.0


def _revised(seen: Mapping[Figure, Row]) -> Iterator[tuple[Figure, Figure]]:
    """Every figure, and each later revision of it."""
    for earlier in seen:
        for later in seen:
            if earlier.place == later.place and earlier.revision < later.revision:
                yield earlier, later


def rounding(value: int, base: int) -> int:
    """The distance between two values like this one: four significant digits, and a multiple of the base."""
    digits = 10 ** max(0, len(str(abs(value))) - 4)
    return int(np.lcm(digits, base))


def _solved(systems: Sequence[_System]) -> Iterator[Interval]:
    """All of these systems in one program."""
    first = [0]
    data: list[float] = []
    row_of: list[int] = []
    column_of: list[int] = []
    bounds: list[float] = []
    cost: list[float] = []
    for system in systems:
        for terms, bound in system.rows:
            row_of += [len(bounds)] * len(terms)
            column_of += [first[-1] + column for column in terms]
            data += terms.values()
            bounds.append(bound)
        cost += [system.asked.get(column, 0.0) for column in range(system.columns)]
        first.append(len(cost))
    # Every process of the suite collects this module, and few of them solve a program.
    from scipy.sparse import coo_matrix  # noqa: PLC0415

    matrix = coo_matrix((data, (row_of, column_of)), shape=(len(bounds), len(cost))).tocsr()
    least, most = (_optimum(np.array(cost) * sign, matrix, bounds) for sign in (1, -1))
    for system, begin, end in zip(systems, first, first[1:], strict=False):
        lower, upper = (system.scale * float(np.dot(cost[begin:end], found[begin:end])) for found in (least, most))
        yield Interval(system.of, lower, upper, system.truth)


def _optimum(cost: np.ndarray, matrix: object, bounds: Sequence[float]) -> np.ndarray:
    from scipy.optimize import linprog  # noqa: PLC0415

    found = linprog(cost, A_ub=matrix, b_ub=bounds, bounds=(0, None), method="highs")
    if found.status != 0:
        raise ArithmeticError(f"what is published contradicts what is known: {found.message}")
    return np.asarray(found.x)
