"""Equal rows are found whatever their numbers are, and few others are compared with them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.rows import Rows
from processors.winners import alike, by_time, runs_of, winning

MINUTE = 60_000
COLLIDING = [0, 1 << 16, 1 << 31, 2**32 - 1, 7, 7 + (1 << 20)]

numbers = st.one_of(st.sampled_from(COLLIDING), st.integers(0, 2**32 - 1), st.integers(0, 5))


def readings(rows: list[tuple[int, int, int, int]], interval: int) -> Rows:
    """Rows of group, source, start and quality."""
    group, source, start, quality = np.array(rows, np.int64).reshape(-1, 4).T
    count = len(rows)
    return Rows.one_by_one(
        group=group, source=source, contributor=source, start=start, value=np.arange(count), quality=quality,
        interval=np.full(count, interval), offset=np.arange(count), row=np.zeros(count),
    )  # fmt: skip


def modelled(rows: list[tuple[int, int, int, int]]) -> list[int]:
    best: dict[tuple[int, int, int], tuple[int, int]] = {}
    for place, (group, source, start, quality) in enumerate(rows):
        key = (group, source, start)
        best[key] = max(best.get(key, (-1, -1)), (quality, place))
    return sorted(place for _, place in best.values())


@given(st.lists(st.tuples(st.sampled_from([0, 1, 2, 2**31]), numbers, st.integers(0, 3)), max_size=40))
def test_rows_of_a_group_and_a_number_follow_each_other_in_the_order_of_time(rows):
    group, number, start = np.array(rows, np.int64).reshape(-1, 3).T
    for runs, rank in (
        (runs_of(group.astype(np.uint32), number.astype(np.uint32)), lambda place: (*rows[place][:2], place)),
        (by_time(group.astype(np.uint32), number.astype(np.uint32), start), lambda place: (*rows[place], place)),
    ):
        order = runs.order.tolist()
        assert order == sorted(range(len(rows)), key=rank)
        keys = [rows[place][:2] for place in order]
        assert runs.begins.tolist() == [at for at, key in enumerate(keys) if at == 0 or key != keys[at - 1]]
        assert sum(runs.lengths.tolist()) == len(rows)


@given(st.lists(st.tuples(st.integers(0, 2), numbers, st.integers(0, 70 * MINUTE), st.integers(0, 1)), max_size=40),
       st.sampled_from([0, MINUTE, 15 * MINUTE]))  # fmt: skip
def test_the_winner_is_that_of_its_own_start_whatever_the_grid(rows, interval):
    assert winning(readings(rows, interval)).tolist() == modelled(rows)


@pytest.mark.parametrize("steps", [4, 96])
def test_few_rows_of_many_sources_with_drifted_clocks_are_compared_one_by_one(steps):
    """Five million sources, each with a clock of its own, some readings twice; a scattered few thousand of them."""
    draw = np.random.default_rng(1)
    sources = draw.choice(5_000_000, 80_000 // steps, replace=False)
    off = draw.integers(-MINUTE, MINUTE, len(sources))
    rows = [
        (source % 3, source, 10_000_000 + step * 15 * MINUTE + late, 1)
        for step in range(steps)
        for source, late in zip(sources.tolist(), off.tolist(), strict=True)
    ]
    rows += rows[::100]
    given_rows = readings(rows, 15 * MINUTE)
    assert winning(given_rows).tolist() == modelled(rows)
    compared, _ = alike(given_rows)
    assert 2 * len(rows) // 101 <= len(compared) < len(rows) / 20
