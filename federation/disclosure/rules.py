"""Which cells may leave the city: one family of disclosure rules, in exact integer arithmetic (P5). Pure.

A rule is data: per class, how many contributors must count and how much the largest may have. Contributors with a net
amount of zero do not count: 99 meters that stand still hide nothing of the one that runs. Only in a mean of states (how
full a container is) does everyone that reported count, because empty is a state like any other.

Some rules are those of a regulator. Each says what was taken and what this project adds; where the regulator decided on
sums of a month, `window` keeps the rule to such sums.

Whoever reads two classes of one area may add them up. If no contributor has more than p % of the sum of either, none
has more than p % of both sums together, also one that is in both classes.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from schemas.catalogue import Metric, WindowLength
from schemas.rules import OTHERS, THRESHOLDS, Threshold
from store.processing import Amounts


@dataclass(frozen=True, slots=True)
class Rule:
    """A disclosure rule: its id, its text and its source, as partners see them, and its thresholds by class.

    `window`: the only windows that it may be used for, None for all. Where a class is missing, `schemas.rules.OTHERS`
    holds.
    """

    id: str
    words: str
    source: str
    thresholds: Mapping[str, Threshold]
    window: WindowLength | None = None

    def of_class(self, class_: str) -> Threshold:
        """What a cell of this class must have."""
        return self.thresholds.get(class_, self.thresholds[OTHERS])


class UnknownRule(ValueError):
    """There is no disclosure rule of this id, or it is not made for the metric: nothing may be released under it."""


def passes(rule: Rule, class_: str, amounts: Amounts) -> bool:
    """Whether a cell of `class_` with these amounts may leave the city.

    Exact: the largest may have 15 % and not one smallest unit more. A cell whose absolute sum is zero never passes: it
    would tell of everyone that the amount is zero.
    """
    needed = rule.of_class(class_)
    if amounts.absolute <= 0 or amounts.contributors < needed.contributors or amounts.largest < needed.largest:
        return False
    return needed.dominance is None or amounts.largest * 100 <= needed.dominance * amounts.absolute


def rule_of(rule: str) -> Rule:
    """The rule with this id. Raises `UnknownRule` if there is none."""
    try:
        return RULES[rule]
    except KeyError:
        raise UnknownRule(f"{rule!r} is no disclosure rule; these are: {', '.join(RULES)}") from None


def rule_in_force(metric: Metric) -> Rule:
    """The rule under which a metric's cells are decided. Raises `UnknownRule`, also if it is made for other windows."""
    rule = rule_of(metric.rule)
    if rule.window not in (None, metric.window):
        raise UnknownRule(f"{rule.id} is for windows of a {rule.window}, not for {metric.name} by the {metric.window}")
    return rule


def _rule(id_: str, words: str, source: str, window: WindowLength | None = None) -> Rule:
    return Rule(id_, words, source, THRESHOLDS[id_], window)


_ELEVEN = "This project: a threshold of eleven, as health statistics use it for small cells"
_NOT_ZERO = "Contributors whose net amount is zero do not count."

_OWN = (
    _rule(
        "customers-100-15",
        "A residential cell is released if the net amounts of at least 100 customers are not zero, a cell of any other"
        " class if those of at least 15 are not. In every class, no customer may account for more than 15 % of the sum"
        " of all customers' absolute net amounts.",
        "This project, for windows of an hour. The numbers are those of cpuc-2014, which holds for sums of a month",
    ),
    _rule(
        "waste-11-15",
        "A cell is released if the weights of at least 11 premises or collection rounds are not zero, and none of them"
        " accounts for more than 15 % of the sum.",
        _ELEVEN,
    ),
    _rule(
        "containers-11",
        "A cell is released if at least 11 containers reported, empty ones included, and not all of them were empty. It"
        " is a mean of states: no container dominates it.",
        _ELEVEN,
    ),
    _rule(
        "vehicles-11",
        "A cell is released if at least 11 vehicles passed one of its cameras; a vehicle that passes several cameras is"
        " counted at each, and must not fill the cell alone. Vehicles count, never how often one was seen. How much of"
        " the sum one camera has is not tested: it tells where traffic is, and no vehicle is more than one of eleven.",
        _ELEVEN,
    ),
    _rule(
        "cameras-11-15",
        "A cell is released if at least 11 cameras saw a plate region, and none of them more than 15 % of all regions.",
        _ELEVEN,
    ),
)

_OF_REGULATORS = (
    _rule(
        "cpuc-2014",
        "A sum of a month is released if at least 100 residential customers contributed, or at least 15 of any other"
        " class of which none accounts for more than 15 % of the sum. Added here: no customer may account for more than"
        f" 15 % in the residential class either. {_NOT_ZERO} It is used for windows of a month alone.",
        "California Public Utilities Commission, decision D.14-05-016 (rulemaking 08-12-009), 1 May 2014: monthly sums"
        " of a class of customers in a postal area",
        "month",
    ),
    _rule(
        "il-15-15",
        "A cell is released if at least 15 customers contributed and none accounts for more than 15 % of the sum. Added"
        f" here: {_NOT_ZERO}",
        "Illinois Commerce Commission, docket 13-0506, order of 28 January 2014 (15/15)",
    ),
    _rule(
        "ny-uer-2018",
        "A residential sum of a month is released if at least 15 customers contributed and none accounts for more than"
        " 15 %, one of any other class if at least 6 contributed and none accounts for more than 40 %. Added here:"
        f" {_NOT_ZERO} It is used for windows of a month alone.",
        "New York Public Service Commission, case 17-M-0315, order of 20 April 2018: Utility Energy Registry (15/15"
        " and 6/40)",
        "month",
    ),
    _rule(
        "co-4-50",
        "A cell is released if at least 4 customers contributed and none accounts for more than 50 % of the sum. It was"
        " made for what a building's owner learns under an agreement of non-disclosure, not for publication. Added"
        f" here: {_NOT_ZERO}",
        "Colorado Public Utilities Commission, 4 CCR 723-3, rule 3034: energy use of a whole building",
    ),
)

RULES: Mapping[str, Rule] = {rule.id: rule for rule in (*_OWN, *_OF_REGULATORS)}
"""Every rule by id: those of the catalogue's metrics, and regulators' rules that a metric may be given instead."""
