"""How exact a figure leaves: golden values at each boundary, and what holds of all (P2)."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.disclosure.precision import coverage_band, rounded
from schemas.catalogue import catalogue
from store.publications import Window

WH = 3_600_000
HOUR = 3_600_000
WINDOW = Window(0, HOUR)

values = st.integers(-(2**62), 2**62)
bases = st.sampled_from(sorted({metric.base for metric in catalogue().values()} | {1, 2, 5, 20, 100}))


@pytest.mark.parametrize(
    ("value", "base", "expected"),
    [
        (0, 5, 0),
        (2, 5, 0),
        (3, 5, 5),
        (11, 5, 10),
        (-3, 5, -5),
        (5, 10, 0),  # halves to the even multiple
        (15, 10, 20),
        (25, 10, 20),
        (-15, 10, -20),
        (9_999, 1, 9_999),
        (10_000, 1, 10_000),
        (10_001, 1, 10_000),
        (10_005, 1, 10_000),
        (10_015, 1, 10_020),
        (99_995, 1, 100_000),
        (123_456, 1, 123_500),
        (9_997, 5, 9_995),
        (9_998, 5, 10_000),
        (10_020, 5, 10_000),
        (10_030, 5, 10_050),
        (49 * WH, 100 * WH, 0),
        (50 * WH, 100 * WH, 0),
        (51 * WH, 100 * WH, 100 * WH),
        (411_762 * WH, 100 * WH, 411_800 * WH),
        (123_456_789 * WH, 100 * WH, 123_500_000 * WH),
        (-411_762 * WH, 100 * WH, -411_800 * WH),
    ],
)
def test_values_are_rounded_to_four_digits_and_to_the_base(value, base, expected):
    assert rounded(value, base) == expected


@given(values, bases)
def test_a_rounded_value_is_a_multiple_of_its_base_and_lies_within_half_a_step(value, base):
    result = rounded(value, base)
    assert result % base == 0
    assert rounded(result, base) == result
    assert rounded(-value, base) == -result
    least = max(Fraction(base, 2), Fraction(abs(value), 400))  # in steps of five, 200 to 2,000 of them
    assert abs(result - value) <= least


@given(values, bases.filter(lambda base: base in (1, 2, 5, 10, 20, 100, 10_000, 100_000)))
def test_a_rounded_value_has_four_significant_digits(value, base):
    assert len(str(abs(rounded(value, base))).rstrip("0")) <= 4


@given(values, values, bases)
def test_rounding_keeps_the_order(one, other, base):
    assert (rounded(one, base) <= rounded(other, base)) or one > other


@pytest.mark.parametrize(
    ("covered_ms", "sources", "band"),
    [
        (0, 0, "low"),
        (HOUR, 0, "low"),
        (0, 1, "low"),
        (HOUR // 2 - 1, 1, "low"),
        (HOUR // 2, 1, "medium"),
        (HOUR * 9 // 10 - 1, 1, "medium"),
        (HOUR * 9 // 10, 1, "high"),
        (HOUR, 1, "high"),
        (3 * HOUR, 1, "high"),
        (99 * HOUR, 100, "high"),
        (89 * HOUR, 100, "medium"),
        (49 * HOUR, 100, "low"),
    ],
)
def test_coverage_has_three_bands(covered_ms, sources, band):
    assert coverage_band(covered_ms, sources, WINDOW) == band
