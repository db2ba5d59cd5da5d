"""When windows are published: a lattice in time, by the wall clock alone."""

from datetime import datetime
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.publications.slots import due_windows, local_midnight, revision_times, slot, windows_from
from schemas.catalogue import catalogue
from store.publications import Window

HOUR = 3_600_000
DAY = 24 * HOUR
ZONES = ("Asia/Tehran", "Asia/Ho_Chi_Minh", "Europe/Paris", "Australia/Lord_Howe")
METRICS = tuple(catalogue().values())

moments = st.integers(1_700_000_000_000, 1_800_000_000_000)


@given(st.sampled_from(METRICS), st.sampled_from(ZONES), moments)
def test_windows_follow_one_another_without_a_gap_from_the_first_that_begins_in_time(metric, zone, begin) -> None:
    found = list(islice(windows_from(metric, zone, begin), 60))
    assert begin <= found[0].start < begin + metric.longest_window_ms + HOUR
    assert all(before.end == after.start and before.start < before.end for before, after in pairwise(found))


@given(st.sampled_from(METRICS), st.sampled_from(ZONES), moments, st.integers(0, 5 * DAY))
def test_exactly_the_windows_whose_slots_have_passed_are_due(metric, zone, begin, later) -> None:
    now = begin + later
    found = list(due_windows(metric, zone, begin, now))
    following = next(windows_from(metric, zone, found[-1].end if found else begin))
    assert all(slot(metric, window) <= now for window in found)
    assert slot(metric, following) > now


def test_a_slot_is_a_fixed_time_after_the_end_of_its_window() -> None:
    energy = catalogue()["energy.import"]
    assert slot(energy, Window(0, HOUR)) == HOUR + 60 * 60_000 + 75 * 60_000


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_the_margin_is_longer_than_the_intervals_of_the_readings_so_that_a_stream_in_time_has_passed(metric) -> None:
    assert metric.margin_ms >= 15 * 60_000
    if metric.dataset == "energy.readings":  # meters report by the hour at most (R7)
        assert metric.margin_ms > HOUR


def test_values_follow_an_hour_a_day_and_a_week_after_the_slot() -> None:
    assert (
        revision_times(1000, 1000) == revision_times(1000, 1000 + HOUR - 1) == (1000 + HOUR, 1000 + DAY, 1000 + 7 * DAY)
    )


def test_after_a_downtime_the_times_count_from_when_the_window_left() -> None:
    left = 1000 + 3 * HOUR
    assert revision_times(1000, left) == (left + HOUR, left + DAY, left + 7 * DAY)


@given(st.sampled_from(ZONES), moments)
def test_a_day_begins_at_the_citys_own_midnight(zone, moment) -> None:
    begin = local_midnight(zone, moment)
    at = datetime.fromtimestamp(begin / 1000, ZoneInfo(zone))
    assert begin <= moment < begin + 26 * HOUR
    assert at.date() == datetime.fromtimestamp(moment / 1000, ZoneInfo(zone)).date()
    assert (at.hour, at.minute) == (0, 0)
