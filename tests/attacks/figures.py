"""What an attacker of a city sees, and what he may know besides."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

Status = Literal["released", "suppressed", "incomplete", "withdrawn"]


class Unknown(NamedTuple):
    """One amount that an attacker would like to know: what `contributor` gave to a flow at a time.

    `part` tells apart what was counted at first and what came later: revision 2 of a window holds the parts 0, 1 and 2.
    """

    contributor: int
    flow: str
    start: int
    part: int = 0


@dataclass(frozen=True, slots=True)
class Place:
    """A cell of one window: where a figure stands. `start` is that of its window, ms since 1970."""

    metric: str
    start: int
    area: int
    class_: str


@dataclass(frozen=True, slots=True)
class Figure:
    """One cell of one publication, as everybody outside sees it. `value` and `coverage` are those of a released one."""

    place: Place
    revision: int
    status: Status
    value: int | None = None
    coverage: str | None = None


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What an attacker knows from elsewhere. All of it is exact and more than a real one has.

    `members`: the amounts that are in a figure, of those that are not zero: the register, who moved, whose readings
    came late. `most` and `least`: the capacity and the standing load of a contributor in one window. `own`: what he
    gave himself. `base` is that of a metric, `percent` the greatest share of one contributor that the rule of a metric
    lets pass in a class; both are in the catalogue. `changes_pass`: the rule also holds for what changes from one
    revision to another.
    """

    members: Mapping[tuple[Place, int], frozenset[Unknown]]
    most: Mapping[int, int]
    own: Mapping[Unknown, int]
    base: Mapping[str, int]
    percent: Callable[[str, str], int | None]
    changes_pass: bool = True


def released(figures: Iterable[Figure]) -> list[Figure]:
    """Those with a value."""
    return [figure for figure in figures if figure.status == "released"]
