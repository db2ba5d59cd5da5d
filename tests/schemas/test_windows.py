"""Windows follow the city's zone, whatever its clocks do."""

from datetime import datetime
from functools import cache
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.catalogue import WindowLength
from schemas.windows import Windows
from tests.oracle import window

HOUR = 3_600_000
ZONES = (
    "Asia/Tehran",
    "Asia/Ho_Chi_Minh",
    "Europe/Paris",
    "Australia/Lord_Howe",
    "America/Sao_Paulo",
    "Asia/Kathmandu",
)
KINDS: tuple[WindowLength, ...] = ("quarter-hour", "hour", "day", "month")
grid_of = cache(Windows)
moments = st.integers(0, 4_000_000_000_000)


@given(st.sampled_from(ZONES), st.sampled_from(KINDS), st.lists(moments, min_size=1, max_size=20))
def test_a_time_lies_in_its_window_and_in_the_one_that_stepping_finds(zone, kind, times):
    grid = grid_of(zone, kind)
    for time, number in zip(times, grid.numbers(np.array(times)).tolist(), strict=True):
        start, end = grid.bounds(number)
        assert start <= time < end
        assert (start, end) == window(zone, time, kind)


@given(st.sampled_from(ZONES), st.sampled_from(KINDS), moments, moments)
def test_numbers_rise_with_time(zone, kind, first, second):
    low, high = sorted((first, second))
    assert grid_of(zone, kind).number(low) <= grid_of(zone, kind).number(high)


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [("Europe/Paris", "2026-03-29", 23), ("Europe/Paris", "2026-10-25", 25), ("Asia/Tehran", "2026-03-22", 24)],
)
def test_a_local_day_has_as_many_hours_as_the_clocks_give_it(zone, day, hours):
    start = np.datetime64(day).astype("datetime64[ms]").astype(np.int64) - 24 * HOUR
    minutes = np.arange(start, start + 72 * HOUR, HOUR // 4)
    per_day = {}
    for number in set(grid_of(zone, "hour").numbers(minutes).tolist()):
        begin, _ = grid_of(zone, "hour").bounds(number)
        per_day.setdefault(_local_day(zone, begin), set()).add(number)
    assert len(per_day[day]) == hours


def _local_day(zone: str, ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, ZoneInfo(zone)).date().isoformat()


def test_tehrans_hours_begin_at_half_past_utc():
    start, end = grid_of("Asia/Tehran", "hour").bounds(grid_of("Asia/Tehran", "hour").number(1_790_000_000_000))
    assert (start % HOUR, end - start) == (HOUR // 2, HOUR)
