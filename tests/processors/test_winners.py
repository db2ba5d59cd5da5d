"""Equal rows are found whatever their numbers are, and without sorting where that is not needed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors import winners
from processors.rows import Rows
from processors.winners import Scratch, representatives, winning

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


@given(st.lists(st.tuples(numbers, st.integers(0, 2)), max_size=40))
def test_a_representative_is_the_same_for_equal_rows_and_for_no_others(rows):
    key, apart = np.array(rows, np.int64).reshape(-1, 2).T
    found = representatives(key.astype(np.uint32), apart, Scratch()).tolist()
    assert [rows[place] for place in found] == rows
    assert len(set(found)) == len(set(rows))


@given(st.lists(st.tuples(st.integers(0, 2), numbers, st.integers(0, 70 * MINUTE), st.integers(0, 1)), max_size=40),
       st.sampled_from([0, MINUTE, 15 * MINUTE]))  # fmt: skip
def test_the_winner_is_that_of_its_own_start_whatever_the_grid(rows, interval):
    assert winning(readings(rows, interval), Scratch()).tolist() == modelled(rows)


@pytest.mark.parametrize("interval", [0, 15 * MINUTE])
def test_drifted_clocks_of_many_sources_need_no_sort(interval, monkeypatch):
    """Five million sources, each with a clock of its own, some readings twice; a scattered hundred thousand of them."""
    draw = np.random.default_rng(1)
    sources = draw.choice(5_000_000, 20_000, replace=False)
    off = draw.integers(-MINUTE, MINUTE, len(sources))
    rows = [
        (source % 3, source, 10_000_000 + step * 15 * MINUTE + late, 1)
        for step in range(4)
        for source, late in zip(sources.tolist(), off.tolist(), strict=True)
    ]
    rows += rows[::100]
    sorted_rows = []
    by_sorting = winners._sorted_representatives
    monkeypatch.setattr(
        winners,
        "_sorted_representatives",
        lambda key, apart: sorted_rows.append(len(key)) or by_sorting(key, apart),
    )
    assert winning(readings(rows, interval), Scratch()).tolist() == modelled(rows)
    assert sum(sorted_rows) < len(rows) / 50
