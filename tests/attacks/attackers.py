"""The attackers: each is given what was published and what is known besides, and reports the best that it found."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from tests.attacks.differences import Difference, Row, elementary_differences
from tests.attacks.figures import Figure, Knowledge, Unknown, released
from tests.attacks.linear_program import Interval, intervals
from tests.attacks.simulated_city import METRIC, Published
from tests.attacks.simulated_town import Town


@dataclass(frozen=True, slots=True)
class Weakest:
    """The worst of some figures that can be computed: the fewest contributors, and the greatest share of one."""

    looked_at: int
    contributors: int
    share: Fraction


def weakest_difference(
    figures: Sequence[Figure], knowledge: Knowledge, amounts: Mapping[Unknown, int]
) -> Mapping[str, Weakest]:
    """By class, what can be computed from released figures of the same hours, with all revisions ever published."""
    rows: dict[str, list[Row]] = defaultdict(list)
    for figure in released(figures):
        rows[figure.place.class_].append(knowledge.members[figure.place, figure.revision])
    return {class_: _weakest(elementary_differences(of_class), amounts) for class_, of_class in rows.items()}


def weakest_piece(town: Town, published: Published, hour: int) -> Mapping[str, Weakest]:
    """By class, what can be computed from figures of different versions of areas, if everybody's use stays the same.

    `hour`: that in which the last version begins; those who were there in the hour before count.
    """
    shown = {(figure.place.area, figure.place.class_) for figure in released(published.figures)}
    ids = [district.id for district in town.city.districts]
    there = town.active(hour - 1)
    rows: dict[str, list[Row]] = defaultdict(list)
    number = 0
    for version in published.versions:
        for area in version.areas:
            number += 1
            for class_ in METRIC.classes:
                if (number, class_) in shown:
                    rows[class_].append(
                        frozenset(
                            Unknown(customer, METRIC.name, 0)
                            for customer in range(town.customers)
                            if there[customer]
                            and town.class_[customer] == class_
                            and ids[town.district[customer]] in area.districts
                            and town.mean[customer]
                        )
                    )
    usual = {Unknown(customer, METRIC.name, 0): round(mean) for customer, mean in enumerate(town.mean.tolist())}
    return {class_: _weakest(elementary_differences(of_class), usual) for class_, of_class in rows.items()}


def narrowest_interval(
    figures: Sequence[Figure], knowledge: Knowledge, amounts: Mapping[Unknown, int]
) -> tuple[int, Interval]:
    """How many intervals were computed, and the one that is narrowest by the true value."""
    found = list(intervals(figures, knowledge, amounts))
    return len(found), min(found, key=lambda interval: interval.ratio)


def changes_of_status(figures: Iterable[Figure]) -> int:
    """How often a cell was released and then suppressed, or the other way round, from window to window."""
    first = sorted(
        (figure.place.start, figure.status)
        for figure in figures
        if figure.revision == 0 and figure.status != "incomplete"
    )
    return sum(before != after for (_, before), (_, after) in pairwise(first))


def _weakest(differences: Iterable[Difference], amounts: Mapping[Unknown, int]) -> Weakest:
    found = list(differences)
    return Weakest(
        len(found),
        min(difference.contributors for difference in found),
        max(difference.share(amounts) for difference in found),
    )
