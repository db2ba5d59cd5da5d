"""The numbers of the disclosure rules: what a cell must have before it may leave the city.

They are here because two rooms need them and neither may import the other: ingest draws areas that satisfy a rule,
federation decides what is released (`federation.disclosure.rules`, which says where the numbers come from).
"""

from collections.abc import Mapping
from dataclasses import dataclass

OTHERS = "*"
"""Key of what holds for every class that a rule does not name."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """What a cell of one class must have.

    At least `contributors` of them count (`store.processing.Amounts`); the largest has at most `dominance` percent of
    the sum of all absolute net amounts, where that is tested; and the largest alone has at least `largest` of the
    metric's smallest unit.
    """

    contributors: int
    dominance: int | None = None
    largest: int = 0


THRESHOLDS: Mapping[str, Mapping[str, Threshold]] = {
    "customers-100-15": {"residential": Threshold(100, 15), OTHERS: Threshold(15, 15)},
    "waste-11-15": {OTHERS: Threshold(11, 15)},
    "containers-11": {OTHERS: Threshold(11)},
    "vehicles-11": {OTHERS: Threshold(1, largest=11)},
    "cameras-11-15": {OTHERS: Threshold(11, 15)},
    "cpuc-2014": {"residential": Threshold(100, 15), OTHERS: Threshold(15, 15)},
    "il-15-15": {OTHERS: Threshold(15, 15)},
    "ny-uer-2018": {"residential": Threshold(15, 15), OTHERS: Threshold(6, 40)},
    "co-4-50": {OTHERS: Threshold(4, 50)},
}
"""Rule -> class -> what its cells must have."""


def threshold(rule: str, class_: str) -> Threshold:
    """What a cell of a class must have under a rule. Raises `KeyError` for an unknown rule."""
    thresholds = THRESHOLDS[rule]
    return thresholds.get(class_, thresholds[OTHERS])


def minimum_contributors(rule: str, class_: str) -> int:
    """The least number of contributors of a class under a rule. Raises `KeyError` for an unknown rule."""
    return threshold(rule, class_).contributors
