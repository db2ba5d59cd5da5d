"""The linear-programming attacker finds the bounds that follow from what is published, and no narrower ones."""

import pytest

from tests.attacks.figures import Figure, Knowledge, Place, Unknown
from tests.attacks.linear_program import Interval, intervals, rounding

Used = dict[Unknown, int]


def used(first: int, *amounts: int, part: int = 0) -> Used:
    """What customers numbered from `first` on have used."""
    return {Unknown(first + index, "energy", 0, part): amount for index, amount in enumerate(amounts)}


def figure(of: Used, area: int, revision: int = 0, *, status="released", base: int = 1) -> tuple[Figure, Used]:
    value = round(sum(of.values()) / base) * base if status == "released" else None
    return Figure(Place("energy", 0, area, "residential"), revision, status, value), of


def found(*figures: tuple[Figure, Used], most=None, own=None, base: int = 1, percent: int | None = 15):
    """The intervals by what they are of."""
    members = {(each.place, each.revision): frozenset(of) for each, of in figures}
    knowledge = Knowledge(members, most or {}, own or {}, {"energy": base}, lambda metric, class_: percent)
    amounts = {unknown: amount for _, of in figures for unknown, amount in of.items()}
    return {interval.of: interval for interval in intervals([each for each, _ in figures], knowledge, amounts)}


def bounds(interval: Interval) -> object:
    return pytest.approx([interval.lower, interval.upper], abs=1e-3)


def test_of_a_crowd_nothing_is_known_but_that_nobody_dominates_it():
    [interval] = found(figure(used(0, *range(1, 101)), 1)).values()
    assert bounds(interval) == [0, 0.15 * 5_050.5]
    assert interval.truth == 100


def test_a_window_published_again_without_one_customer_tells_its_use():
    everybody = used(0, *[40] * 119, 47)
    one = Unknown(119, "energy", 0)
    without = {unknown: amount for unknown, amount in everybody.items() if unknown != one}
    assert bounds(found(figure(everybody, 1), figure(without, 1, 1))[one]) == [46, 48]


def test_rounding_alone_does_not_hide_one_customer_of_a_hundred():
    everybody = used(0, *[400] * 119, 470)
    one = Unknown(119, "energy", 0)
    without = {unknown: amount for unknown, amount in everybody.items() if unknown != one}
    interval = found(figure(everybody, 1, base=100), figure(without, 1, 1, base=100), base=100)[one]
    assert bounds(interval) == [400, 600]


def test_who_has_a_part_of_a_figure_himself_knows_the_others_better():
    """He takes his own use off the total; that nobody has more than 15 % of it is all that is left for the others."""
    shops = used(0, 150, 140, *[71] * 10)
    fuses = dict.fromkeys(range(12), 90) | {0: 600, 1: 600}
    one, own = Unknown(1, "energy", 0), {Unknown(0, "energy", 0): 150}
    assert bounds(found(figure(shops, 1), own=own, percent=None)[one]) == [0, 1_000.5 - 150]
    assert bounds(found(figure(shops, 1), own=own)[one]) == [0, 0.15 * 1_000.5]
    assert bounds(found(figure(shops, 1), most=fuses, own=own)[one]) == [0, 0.15 * 1_000.5]


def test_a_factory_among_shops_with_small_fuses_is_known_where_it_may_dominate():
    customers = used(0, 9_000, *[60] * 20)
    fuses = {0: 20_000, **dict.fromkeys(range(1, 21), 100)}
    interval = found(figure(customers, 1), most=fuses, percent=None)[Unknown(0, "energy", 0)]
    assert bounds(interval) == [8_195, 10_205]
    assert interval.ratio < 0.25


def test_a_suppressed_cell_beside_a_total_is_known():
    shown, hidden = used(0, *range(1, 101)), used(100, 30, 40)
    total, _ = figure(shown | hidden, 0)
    cell, _ = figure(hidden, 2, status="suppressed")
    seen = found(figure(shown, 1), (total, shown | hidden), (cell, hidden), percent=None)
    assert bounds(seen[cell]) == [69, 71]


@pytest.mark.parametrize(
    ("value", "base", "distance"), [(0, 5, 5), (995, 5, 5), (12_345, 5, 10), (1_234_500, 25, 1_000), (12_340, 15, 30)]
)
def test_a_value_stands_for_those_as_far_from_it_as_the_rounding_goes(value, base, distance):
    assert rounding(value, base) == distance
