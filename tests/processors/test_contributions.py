"""What contributors come to is the same whether their numbers fit into one of 64 bits or not."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from processors.contributions import contributions
from processors.rows import Rows
from processors.winners import numbered_groups

SMALL = st.tuples(st.sampled_from([3, 4, 9]), st.integers(0, 4), st.integers(-5, 5))
LARGE = st.tuples(
    st.sampled_from([0, 2**31]),
    st.sampled_from([0, 7, 2**32 - 1]),
    st.sampled_from([-(2**63), -1, 0, 1, 2**62, 2**63 - 1]),
)


@given(st.one_of(st.lists(SMALL, min_size=1, max_size=30), st.lists(LARGE, min_size=1, max_size=30)), st.data())
def test_a_contributor_comes_to_the_sum_of_its_values_that_count(rows, data):
    """Rows of group, contributor and value; some do not count. Sums wrap around at 64 bits."""
    left_out = sorted(data.draw(st.sets(st.integers(0, len(rows) - 1))))
    sums: dict[tuple[int, int], int] = {}
    for place, (group, contributor, value) in enumerate(rows):
        if place not in left_out:
            sums[group, contributor] = sums.get((group, contributor), 0) + value
    group, contributor, value = np.array(rows, np.int64).T
    zero = np.zeros(len(rows))
    given_rows = Rows.one_by_one(
        group=group, source=zero, contributor=contributor, start=zero, value=value, quality=zero, interval=zero,
        offset=np.arange(len(rows)), row=zero,
    )  # fmt: skip
    names, of_message = numbered_groups(given_rows)
    of_each, net = contributions(given_rows, of_message, np.array(left_out, np.intp))
    expected = [(key[0], (sums[key] + 2**63) % 2**64 - 2**63) for key in sorted(sums)]
    assert list(zip(names[of_each].tolist(), net.tolist(), strict=True)) == expected
