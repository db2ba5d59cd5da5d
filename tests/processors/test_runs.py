"""Rows are told apart by a label in their order, whether their runs are few or many."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.dividing import divided_groups
from processors.open_windows import by_window
from processors.pieces import finish
from processors.rows import Rows
from processors.runs import LabelledRuns

MANY = 500


def numbered(group: list[int]) -> Rows:
    """Rows that are told apart by their sources."""
    count, zero = len(group), np.zeros(len(group))
    return Rows.one_by_one(
        group=np.array(group), source=np.arange(count), contributor=zero, start=zero, value=zero, quality=zero,
        interval=zero, offset=np.arange(count), row=zero,
    )  # fmt: skip


@given(st.one_of(st.lists(st.sampled_from([-1, 4, 5, 10**12]), max_size=30),
                 st.lists(st.integers(0, 3), min_size=MANY, max_size=MANY),
                 st.lists(st.sampled_from([-3, 10**12]), min_size=MANY, max_size=MANY)))  # fmt: skip
def test_each_label_has_its_rows_in_order_and_none_is_a_view(labels):
    rows = numbered([0] * len(labels))
    runs = LabelledRuns.of(np.array(labels, np.int64))
    assert runs.labels(len(rows)).tolist() == labels
    found = {}
    for label, part in by_window(runs, rows):
        assert len(part) == len(rows) or not np.shares_memory(part.source, rows.source)
        found[label] = part.source.tolist()
    expected = {label: [at for at, of in enumerate(labels) if of == label] for label in sorted(set(labels))}
    assert found == expected
    assert list(found) == list(expected)


@pytest.mark.parametrize("groups", [[5] * 90, [1, 2, 3] * 30, [7] * 50 + [8] * 40, list(range(90))])
@pytest.mark.parametrize("size", [7, 90])
def test_a_group_lies_in_one_division_in_its_order(groups, size):
    whole = numbered(groups)
    parts = [whole.between(begin, min(begin + size, 90)) for begin in range(0, 90, size)]
    divisions = [Rows.join(division) for division in finish(divided_groups(parts, 30))]
    assert not parts
    assert sorted(source for division in divisions for source in division.source.tolist()) == list(range(90))
    for division in divisions:
        assert division.source.tolist() == sorted(division.source.tolist())
    held = [set(division.group.tolist()) for division in divisions]
    assert sum(map(len, held)) == len(set(groups))
