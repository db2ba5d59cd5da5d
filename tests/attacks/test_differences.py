"""The search for set differences finds what can be computed, and nothing else."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.attacks.differences import elementary_differences
from tests.attacks.figures import Unknown


def unknowns(*contributors: int, part: int = 0) -> frozenset[Unknown]:
    return frozenset(Unknown(contributor, "energy", 0, part) for contributor in contributors)


def sizes(*rows: frozenset[Unknown]) -> list[int]:
    return sorted(difference.contributors for difference in elementary_differences(rows))


def test_figures_without_a_common_amount_give_nothing_but_themselves():
    assert sizes(unknowns(*range(100)), unknowns(*range(100, 115))) == [15, 100]


def test_a_window_published_again_without_one_customer_is_that_customer():
    everybody = unknowns(*range(120))
    assert sizes(everybody, everybody - unknowns(7)) == [1, 119]


def test_a_total_beside_its_parts_shows_the_part_that_is_hidden():
    parts = [unknowns(*range(100)), unknowns(*range(100, 200)), unknowns(*range(200, 203))]
    assert sizes(parts[0], parts[1], frozenset().union(*parts)) == [3, 100, 100]


def test_a_piece_of_two_partitions_comes_out_of_four_figures_of_three():
    """Old areas {a b} {c d}, new ones {a c} {b d}: no piece; with {a} {b c d}, each is there alone."""
    a, b, c, d = (unknowns(*range(first, first + 40)) for first in (0, 40, 80, 120))
    assert min(sizes(a | b, c | d, a | c, b | d)) == 80
    assert min(sizes(a | b, c | d, a, b | c | d)) == 40


def test_a_revision_is_the_change_of_those_that_changed():
    first, late = unknowns(*range(300)), unknowns(*range(12), part=1)
    assert sizes(first, first | late) == [12, 300]


def test_the_share_is_that_of_the_greatest_in_the_difference():
    first, late = unknowns(*range(300)), unknowns(1, 2, part=1)
    amounts = dict.fromkeys(first, 5) | dict(zip(sorted(late), (30, 10), strict=True))
    [change] = [found for found in elementary_differences([first, first | late]) if found.contributors == 2]
    assert change.share(amounts) == 30 / 40


@given(
    st.lists(st.frozensets(st.integers(0, 5), min_size=1), min_size=1, max_size=5),
    st.lists(st.integers(-3, 3), min_size=5, max_size=5),
)
def test_no_combination_has_fewer_contributors_than_an_elementary_one(rows, factors):
    matrix = np.array([[int(column in row) for column in range(6)] for row in rows])
    combined = np.array(factors[: len(rows)]) @ matrix
    support = set(np.flatnonzero(combined).tolist())
    found = list(elementary_differences(unknowns(*row) for row in rows))
    for difference in found:  # each one is a combination of the rows
        vector = np.zeros(6)
        for unknown, coefficient in difference.coefficients.items():
            vector[unknown.contributor] = coefficient
        assert np.linalg.matrix_rank(np.vstack([matrix, vector])) == np.linalg.matrix_rank(matrix)
    if support:
        assert any({unknown.contributor for unknown in difference.coefficients} <= support for difference in found)


def test_a_system_too_large_to_look_at_all_is_refused():
    rng = np.random.default_rng(0)
    rows = [unknowns(*np.flatnonzero(rng.random(60) < 0.5).tolist()) for _ in range(15)]
    with pytest.raises(ValueError, match="too many"):
        list(elementary_differences(rows))
