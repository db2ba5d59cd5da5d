"""An attacker who knows that all but one contributor stand still: the sum is that one's amount (finding 2).

From readings to the decision: what is reduced from them, and whether it may leave. The broken twin has the rules of
release 0.1.0: it counts everyone who reported, and tests dominance of businesses alone.
"""

from dataclasses import replace

import numpy as np
import pytest

from federation.disclosure.rules import Rule, passes, rule_in_force
from processors.reduce import reduce_window
from processors.rows import Rows
from schemas.catalogue import catalogue
from schemas.rules import OTHERS, Threshold
from store.processing import Amounts

HOUR = 3_600_000


def reduced(metric: str, values: list[int]) -> Amounts:
    """A cell of contributors that report one value each."""
    each = np.arange(len(values))
    rows = Rows.one_by_one(
        group=np.zeros(len(values), np.uint32),
        source=each.astype(np.uint32),
        contributor=each.astype(np.uint32),
        start=np.zeros(len(values), np.int64),
        value=np.array(values, np.int64),
        quality=np.ones(len(values), np.uint8),
        interval=np.full(len(values), HOUR, np.uint32),
        offset=each.astype(np.int64),
        row=np.zeros(len(values), np.int32),
    )
    return reduce_window(rows, catalogue()[metric], HOUR).groups[0]


def leaves(metric: str, class_: str, amounts: Amounts) -> bool:
    return passes(rule_in_force(catalogue()[metric]), class_, amounts)


BROKEN = Rule("broken", "", "", {"residential": Threshold(100), "commercial": Threshold(15, 15), OTHERS: Threshold(11)})

ALONE = [
    ("energy.import", "residential", [0] * 99 + [7_200_000]),
    ("energy.solar", "residential", [0] * 99 + [3_600_000]),
    ("energy.solar", "residential", [0] * 60 + [-36] * 40),  # forty inverters that draw at night
    ("energy.import", "commercial", [0] * 8 + [3_600_000] * 7),
    ("waste.collected", "residual", [0] * 10 + [240_000]),
    ("waste.tonnage", "residual", [0] * 10 + [240_000]),
]

DOMINATED = [
    ("energy.import", "residential", [1_000] * 100 + [1_566_667]),  # 94 % of all
    ("energy.import", "commercial", [1_000] * 15 + [2_648]),
    ("waste.collected", "organic", [1_000] * 11 + [1_942]),
    ("waste.tonnage", "organic", [1_000] * 11 + [200_000]),
]

CROWDS = [
    ("energy.import", "residential", [1_000] * 100),
    ("energy.solar", "residential", [-36] * 100),
    ("energy.import", "commercial", [1_000] * 15 + [2_647]),
    ("waste.collected", "organic", [1_000] * 11 + [1_941]),
    ("waste.fill", "residual", [0] * 10 + [10_000]),  # states: an empty container reports like any other
]


@pytest.mark.parametrize(("metric", "class_", "values"), ALONE)
def test_whoever_runs_among_those_that_stand_still_is_not_released(metric, class_, values):
    assert not leaves(metric, class_, reduced(metric, values))


@pytest.mark.parametrize(("metric", "class_", "values"), DOMINATED)
def test_whoever_dominates_a_cell_closes_it_in_every_class(metric, class_, values):
    assert not leaves(metric, class_, reduced(metric, values))


@pytest.mark.parametrize(("metric", "class_", "values"), CROWDS)
def test_a_crowd_is_released(metric, class_, values):
    assert leaves(metric, class_, reduced(metric, values))


@pytest.mark.parametrize(("metric", "class_", "values"), [*ALONE, *DOMINATED[:1], *DOMINATED[2:]])
def test_the_broken_twin_lets_each_of_them_out(metric, class_, values):
    amounts = reduced(metric, values)
    assert passes(BROKEN, class_, replace(amounts, contributors=amounts.readings))


def test_whoever_nets_to_zero_does_not_count():
    """A customer with two meters that cancel each other adds nothing to the sum, so nobody hides in it."""
    amounts = reduced("energy.solar", [10, -10, 30])
    assert amounts.contributors == 3
    rows_of_one = [1_000] * 14 + [500, -500]
    each = [*range(14), 14, 14]
    rows = Rows.one_by_one(
        group=np.zeros(16, np.uint32),
        source=np.arange(16, dtype=np.uint32),
        contributor=np.array(each, np.uint32),
        start=np.zeros(16, np.int64),
        value=np.array(rows_of_one, np.int64),
        quality=np.ones(16, np.uint8),
        interval=np.full(16, HOUR, np.uint32),
        offset=np.arange(16, dtype=np.int64),
        row=np.zeros(16, np.int32),
    )
    netted = reduce_window(rows, catalogue()["energy.solar"], HOUR).groups[0]
    assert netted.contributors == 14
    assert not leaves("energy.solar", "commercial", netted)
