"""Finding 6, its words: no city says that a regulator allowed what it publishes by the hour."""

from dataclasses import replace

import pytest

from federation.disclosure.rules import RULES, UnknownRule, rule_in_force
from schemas.catalogue import catalogue

REGULATORS = {"cpuc-2014": "California", "il-15-15": "Illinois", "ny-uer-2018": "New York", "co-4-50": "Colorado"}


def test_no_metric_is_decided_under_a_regulators_name():
    for metric in catalogue().values():
        rule = rule_in_force(metric)
        assert rule.id not in REGULATORS
        assert rule.source.startswith("This project")
        assert not any(place in rule.source + rule.words for place in REGULATORS.values())


@pytest.mark.parametrize("rule", ["cpuc-2014", "ny-uer-2018"])
def test_a_rule_for_sums_of_a_month_can_not_be_given_to_hours_or_days(rule):
    energy = replace(catalogue()["energy.import"], rule=rule)
    for window in ("quarter-hour", "hour", "day"):
        with pytest.raises(UnknownRule):
            rule_in_force(replace(energy, window=window))
    assert rule_in_force(replace(energy, window="month")).id == rule


@pytest.mark.parametrize(("rule", "place"), REGULATORS.items())
def test_a_regulators_rule_names_its_decision_and_says_what_is_added(rule, place):
    assert place in RULES[rule].source
    assert "Added here" in RULES[rule].words


def test_the_broken_twin_calls_an_hour_the_regulators():
    """The rule of release 0.1.0: its name on hours, its source that of monthly sums."""
    broken = replace(RULES["cpuc-2014"], window=None)
    assert broken.id in REGULATORS and "monthly sums" in broken.source
