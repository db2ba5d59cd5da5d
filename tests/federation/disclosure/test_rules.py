"""Which cells may be released: golden tables at each boundary, and properties computed with fractions (P5)."""

from collections import Counter
from dataclasses import replace
from fractions import Fraction
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.disclosure.rules import RULES, Rule, UnknownRule, passes, rule_in_force, rule_of
from schemas.catalogue import catalogue
from schemas.rules import OTHERS, THRESHOLDS, Threshold, minimum_contributors
from store.processing import Amounts

MANY = 10**6
AMOUNT_RULES = [rule for rule in RULES.values() if all(of.dominance for of in rule.thresholds.values())]

nets = st.lists(st.integers(-(2**50), 2**50), max_size=40)


def counted(contributors: int, largest: int, absolute: int, value: int = 0) -> Amounts:
    return Amounts(value, 7, contributors, largest, absolute, covered_ms=0, first_offset=0, last_offset=0)


def of_nets(values: list[int]) -> Amounts:
    """What contributors with these net amounts are reduced to."""
    absolute = [abs(value) for value in values if value]
    return counted(len(absolute), max(absolute, default=0), sum(absolute), sum(values))


@pytest.mark.parametrize(
    ("rule", "class_", "contributors", "expected"),
    [
        ("customers-100-15", "residential", 99, False),
        ("customers-100-15", "residential", 100, True),
        ("customers-100-15", "residential", 101, True),
        ("customers-100-15", "commercial", 14, False),
        ("customers-100-15", "commercial", 15, True),
        ("customers-100-15", "commercial", 16, True),
        ("customers-100-15", "industrial", 14, False),
        ("customers-100-15", "", 15, True),
        ("waste-11-15", "residual", 10, False),
        ("waste-11-15", "residual", 11, True),
        ("waste-11-15", "organic", 12, True),
        ("containers-11", "recycling", 10, False),
        ("containers-11", "recycling", 11, True),
        ("cameras-11-15", "any", 10, False),
        ("cameras-11-15", "any", 11, True),
        ("cpuc-2014", "residential", 99, False),
        ("cpuc-2014", "residential", 100, True),
        ("cpuc-2014", "commercial", 14, False),
        ("cpuc-2014", "commercial", 15, True),
        ("il-15-15", "residential", 14, False),
        ("il-15-15", "residential", 15, True),
        ("il-15-15", "commercial", 14, False),
        ("il-15-15", "commercial", 15, True),
        ("ny-uer-2018", "residential", 14, False),
        ("ny-uer-2018", "residential", 15, True),
        ("ny-uer-2018", "commercial", 5, False),
        ("ny-uer-2018", "commercial", 6, True),
        ("co-4-50", "residential", 3, False),
        ("co-4-50", "commercial", 4, True),
    ],
)
def test_how_many_contributors_a_cell_needs(rule, class_, contributors, expected):
    assert passes(RULES[rule], class_, counted(contributors, 1, 1000)) == expected


@pytest.mark.parametrize(
    ("rule", "class_", "largest", "expected"),
    [  # of an absolute sum of one million: 15.0 % and 15.0001 %
        ("customers-100-15", "residential", 150_000, True),
        ("customers-100-15", "residential", 150_001, False),
        ("customers-100-15", "commercial", 149_999, True),
        ("customers-100-15", "commercial", 150_000, True),
        ("customers-100-15", "commercial", 150_001, False),
        ("waste-11-15", "residual", 150_000, True),
        ("waste-11-15", "residual", 150_001, False),
        ("waste-11-15", "organic", 940_000, False),
        ("cameras-11-15", "any", 150_000, True),
        ("cameras-11-15", "any", 150_001, False),
        ("cpuc-2014", "residential", 150_000, True),
        ("cpuc-2014", "residential", 150_001, False),
        ("cpuc-2014", "commercial", 150_001, False),
        ("il-15-15", "residential", 150_000, True),
        ("il-15-15", "commercial", 150_001, False),
        ("ny-uer-2018", "residential", 150_001, False),
        ("ny-uer-2018", "commercial", 400_000, True),
        ("ny-uer-2018", "commercial", 400_001, False),
        ("co-4-50", "any", 500_000, True),
        ("co-4-50", "any", 500_001, False),
        ("containers-11", "residual", 1_000_000, True),  # states: nobody dominates a mean of them
    ],
)
def test_how_much_the_largest_contributor_may_have(rule, class_, largest, expected):
    assert passes(RULES[rule], class_, counted(MANY, largest, 1_000_000)) == expected


@pytest.mark.parametrize(
    ("cameras", "largest", "absolute", "expected"),
    [
        (1, 10, 10, False),
        (1, 11, 11, True),
        (1, 12, 12, True),
        (3, 10, 30, False),  # thirty, and yet three cameras may have seen the same ten
        (11, 1, 11, False),  # one vehicle that passed eleven cameras
        (2, 11, 12, True),
        (0, 0, 0, False),
    ],
)
def test_vehicles_are_counted_where_one_camera_saw_eleven(cameras, largest, absolute, expected):
    assert passes(RULES["vehicles-11"], "one-line", counted(cameras, largest, absolute, absolute)) == expected
    assert catalogue()["traffic.passes"].smallest_per_unit == 1  # `largest` is a number of vehicles


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.id)
@pytest.mark.parametrize("contributors", [0, 15, 100, MANY])
def test_a_cell_of_zeros_or_without_contributors_never_passes(rule, contributors):
    for class_ in ("residential", "commercial"):
        assert not passes(rule, class_, counted(contributors, 0, 0))
        assert not passes(rule, class_, counted(0, 1, 1000))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([-10] * 15, True),  # solar plants that draw at night
        ([10] * 8 + [-10] * 7, True),
        ([10] * 7 + [-10] * 7 + [0], False),  # fourteen
        ([10] * 8 + [-10] * 8, True),  # the sum is zero, the amounts are not
        ([0] * 99 + [10], False),
        ([0] * 93 + [10] * 7, False),
        ([10] * 14 + [-25], False),  # 25 of 165
        ([10] * 14 + [-24], True),  # 24 of 164
    ],
)
def test_negative_and_zero_net_amounts(values, expected):
    assert passes(RULES["customers-100-15"], "commercial", of_nets(values)) == expected


@pytest.mark.parametrize("rule", AMOUNT_RULES, ids=lambda rule: rule.id)
@given(values=nets)
def test_a_cell_passes_iff_enough_take_part_and_none_dominates(rule, values):
    needed = rule.of_class("commercial")
    total = sum(map(abs, values))
    allowed = (
        len([value for value in values if value]) >= needed.contributors
        and total > 0
        and all(Fraction(abs(value), total) <= Fraction(needed.dominance or 100, 100) for value in values)
    )
    assert passes(rule, "commercial", of_nets(values)) == allowed


@given(nets, st.integers(1, 10**6), st.integers(0, 2**31))
def test_order_and_scale_and_sign_and_those_who_add_nothing_change_nothing(values, scale, seed):
    rule = RULES["customers-100-15"]
    expected = passes(rule, "commercial", of_nets(values))
    shuffled = Random(seed).sample(values, len(values))
    for same in (shuffled, [value * scale for value in values], [-value for value in values], [*values, 0, 0]):
        assert passes(rule, "commercial", of_nets(same)) == expected


@given(
    st.dictionaries(st.integers(0, 60), st.tuples(st.integers(0, 1000), st.integers(0, 1000)), min_size=15),
    st.sampled_from([rule for rule in AMOUNT_RULES if len({of.dominance for of in rule.thresholds.values()}) == 1]),
)
def test_the_sum_of_two_classes_that_pass_passes_too_whoever_is_in_both(customers, rule):
    """An attacker adds the classes of an area up. With amounts of one sign, the sum hides each customer as well."""
    home, shop = ([of[class_] for of in customers.values()] for class_ in (0, 1))
    if not (passes(rule, "residential", of_nets(home)) or passes(rule, "commercial", of_nets(home))):
        return
    if passes(rule, "commercial", of_nets(shop)):
        both = Counter({customer: sum(of) for customer, of in customers.items()})
        assert passes(rule, "commercial", of_nets(list(both.values())))


def test_an_unknown_rule_is_an_error():
    with pytest.raises(UnknownRule, match="cpuc-2015"):
        rule_of("cpuc-2015")


def test_a_rule_for_sums_of_a_month_is_refused_for_an_hour():
    energy = catalogue()["energy.import"]
    assert rule_in_force(replace(energy, rule="cpuc-2014", window="month")) is RULES["cpuc-2014"]
    with pytest.raises(UnknownRule, match="for windows of a month"):
        rule_in_force(replace(energy, rule="cpuc-2014"))


def test_every_metric_has_a_rule_with_words_source_and_numbers():
    for metric in catalogue().values():
        rule = rule_in_force(metric)
        assert rule.words and rule.source
        for class_ in metric.classes:
            assert rule.of_class(class_).contributors == minimum_contributors(rule.id, class_)
    assert set(RULES) == set(THRESHOLDS)
    assert "D.14-05-016" in RULES["cpuc-2014"].source


def test_one_contributor_that_dominates_closes_a_cell_of_every_metric_of_amounts():
    for metric in catalogue().values():
        if metric.kind == "sum":
            assert all(rule_in_force(metric).of_class(class_).dominance == 15 for class_ in metric.classes)


def test_a_class_that_a_rule_does_not_name_has_what_holds_for_the_others():
    rule = Rule("broken", "", "", {"residential": Threshold(3), OTHERS: Threshold(2)})
    assert passes(rule, "residential", of_nets([1, 1, 1]))
    assert not passes(rule, "residential", of_nets([1, 1]))
    assert passes(rule, "commercial", of_nets([1, 1]))
