"""Which cells may leave the city: disclosure rules in exact integer arithmetic (P5). Pure.

`cpuc-2014` are the aggregation rules of the California Public Utilities Commission, decision D.14-05-016 of 1 May 2014
("15/15" and "100") for the energy use of the customers of an area. The others are this project's own (P5).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from schemas.rules import minimum_contributors
from store.processing import Amounts

RESIDENTIAL = "residential"
_LARGEST_PERCENT = 15


@dataclass(frozen=True, slots=True)
class Rule:
    """A disclosure rule as partners see it: its id, its text, and its source."""

    id: str
    words: str
    source: str


class UnknownRule(ValueError):
    """There is no disclosure rule of this id: nothing may be released under it."""


CPUC_2014 = Rule(
    id="cpuc-2014",
    words=(
        "A residential cell is released if at least 100 customers contributed to it. A cell of any other class is"
        " released if at least 15 customers contributed and none of them accounts for more than 15 % of the sum of all"
        " customers' absolute net amounts. A cell without any contributor, or in which every customer's amount is"
        " zero, is not released."
    ),
    source="California Public Utilities Commission, decision D.14-05-016, 1 May 2014",
)

WASTE_11 = Rule(
    id="waste-11",
    words=(
        "A cell is released if at least 11 premises, containers or collection rounds contributed to it. A cell without"
        " any contributor, or in which everyone's amount is zero, is not released."
    ),
    source="This project: a threshold of eleven, as health statistics use it for small cells",
)
TRAFFIC_11 = Rule(
    id="traffic-11",
    words=(
        "A cell is released if one of its cameras alone counted at least 11. A cell without any camera, or with smaller"
        " counts, zero among them, is not released."
    ),
    source="This project: a threshold of eleven, as health statistics use it for small cells",
)

RULES: Mapping[str, Rule] = {rule.id: rule for rule in (CPUC_2014, WASTE_11, TRAFFIC_11)}

_LEAST_AT_ONE_CAMERA = 11


def rule_of(rule: str) -> Rule:
    """The rule with this id. Raises `UnknownRule` if there is none."""
    try:
        return RULES[rule]
    except KeyError:
        raise UnknownRule(f"{rule!r} is no disclosure rule; these are: {', '.join(RULES)}") from None


def released(rule: str, class_: str, amounts: Amounts, unit: int = 1) -> bool:
    """Whether a cell of `class_` with these amounts may leave the city under `rule`. Raises `UnknownRule`.

    `unit` is the number of the metric's smallest units in one unit, for rules that compare with a number of things. A
    cell with an absolute sum of zero is suppressed whatever its size: it would reveal that everyone's amount is zero.
    """
    rule_of(rule)
    if amounts.absolute <= 0 or amounts.contributors < minimum_contributors(rule, class_):
        return False
    if rule == TRAFFIC_11.id:
        return amounts.largest >= _LEAST_AT_ONE_CAMERA * unit
    if rule == CPUC_2014.id and class_ != RESIDENTIAL:
        return amounts.largest * 100 <= _LARGEST_PERCENT * amounts.absolute
    return True
