"""The numbers of the disclosure rules: how many contributors a cell must have before it may leave the city.

They are here because two rooms need them and neither may import the other: ingest draws areas that satisfy a rule,
federation decides what is released.
"""

from collections.abc import Mapping

OTHERS = "*"
"""Key of the minimum for every class that a rule does not name."""

MINIMUM_CONTRIBUTORS: Mapping[str, Mapping[str, int]] = {
    "cpuc-2014": {"residential": 100, OTHERS: 15},
    "waste-11": {OTHERS: 11},
    "traffic-11": {OTHERS: 1},
}
"""Rule -> class -> least number of distinct contributors. `cpuc-2014`: California PUC, decision 14-05-016; the others
are this project's own (`federation.disclosure.rules`)."""


def minimum_contributors(rule: str, class_: str) -> int:
    """The least number of distinct contributors of a class under a rule. Raises `KeyError` for an unknown rule."""
    minimums = MINIMUM_CONTRIBUTORS[rule]
    return minimums.get(class_, minimums[OTHERS])
