"""Which cells may be released: the rule's boundary, computed with fractions instead of the product's integers."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.disclosure.rules import RULES, UnknownRule, released
from schemas.catalogue import catalogue
from store.processing import Amounts

RULE = "cpuc-2014"
LIMIT = Fraction(15, 100)

amounts = st.integers(0, 2**62)
customers = st.lists(amounts, min_size=1, max_size=40)


def counted(contributors: int, largest: int, absolute: int) -> Amounts:
    return Amounts(absolute, contributors, contributors, largest, absolute, covered_ms=0, first_offset=0, last_offset=0)


def of_customers(values: list[int]) -> Amounts:
    return counted(len(values), max(map(abs, values)), sum(map(abs, values)))


@given(amounts.filter(bool), amounts)
def test_a_residential_cell_needs_a_hundred_customers(absolute: int, largest: int) -> None:
    assert not released(RULE, "residential", counted(99, largest, absolute))
    assert released(RULE, "residential", counted(100, largest, absolute))


@pytest.mark.parametrize("class_", ["commercial", "industrial", ""])
def test_any_other_cell_needs_fifteen_customers(class_: str) -> None:
    assert not released(RULE, class_, counted(14, 1, 1000))
    assert released(RULE, class_, counted(15, 1, 1000))
    assert not released(RULE, class_, counted(99, 151, 1000))


@given(st.integers(1, 2**60))
def test_fifteen_percent_exactly_is_released_and_one_unit_more_is_not(step: int) -> None:
    absolute, largest = 20 * step, 3 * step
    assert Fraction(largest, absolute) == LIMIT
    assert released(RULE, "commercial", counted(15, largest, absolute))
    assert not released(RULE, "commercial", counted(15, largest + 1, absolute))
    assert not released(RULE, "commercial", counted(15, largest, absolute - 1))


@given(customers)
def test_a_commercial_cell_is_released_iff_enough_take_part_and_none_exceeds_15_percent(values: list[int]) -> None:
    total = sum(values)
    allowed = len(values) >= 15 and total > 0 and all(Fraction(value, total) <= LIMIT for value in values)
    assert released(RULE, "commercial", of_customers(values)) == allowed


@given(st.lists(st.integers(1, 1000), min_size=15, max_size=40), st.randoms(use_true_random=False))
def test_order_and_scale_and_sign_change_nothing(values: list[int], random: object) -> None:
    expected = released(RULE, "commercial", of_customers(values))
    shuffled = list(values)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert released(RULE, "commercial", of_customers(shuffled)) == expected
    assert released(RULE, "commercial", of_customers([value * 3_600_000 for value in values])) == expected
    assert released(RULE, "commercial", of_customers([-value for value in values])) == expected


@given(st.lists(st.integers(0, 10**6), min_size=14, max_size=60))
def test_a_commercial_cell_that_one_customer_dominates_is_never_released(others: list[int]) -> None:
    dominant = sum(others) + 1
    assert not released(RULE, "commercial", of_customers([*others, dominant]))


@pytest.mark.parametrize("class_", ["residential", "commercial"])
@pytest.mark.parametrize("contributors", [0, 15, 100, 1_000_000])
def test_a_cell_of_zeros_or_without_contributors_is_never_released(class_: str, contributors: int) -> None:
    assert not released(RULE, class_, counted(contributors, 0, 0))
    assert not released(RULE, class_, counted(0, 1, 1000))


def test_an_unknown_rule_is_an_error() -> None:
    with pytest.raises(UnknownRule, match="cpuc-2015"):
        released("cpuc-2015", "residential", counted(100, 1, 1000))


def test_every_metric_has_a_rule_that_exists_and_names_its_source() -> None:
    for metric in catalogue().values():
        assert RULES[metric.rule].words
        assert RULES[metric.rule].source
    assert "D.14-05-016" in RULES["cpuc-2014"].source


@pytest.mark.parametrize(("contributors", "absolute", "expected"), [(10, 500, False), (11, 1, True), (11, 0, False)])
def test_waste_needs_eleven_contributors_and_a_nonzero_amount(contributors, absolute, expected) -> None:
    assert released("waste-11", "residual", counted(contributors, absolute, absolute)) == expected


@pytest.mark.parametrize(
    ("contributors", "largest", "absolute", "expected"),
    [(1, 11, 11, True), (1, 10, 10, False), (3, 10, 30, False), (2, 11, 12, True), (0, 0, 0, False)],
)
def test_traffic_needs_eleven_at_one_camera(contributors, largest, absolute, expected) -> None:
    assert released("traffic-11", "any", counted(contributors, largest, absolute)) == expected
    hundredths = counted(contributors, 100 * largest, 100 * absolute)
    assert released("traffic-11", "any", hundredths, unit=100) == expected
