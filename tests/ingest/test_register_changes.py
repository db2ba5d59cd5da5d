from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from ingest.register_changes import SETTLING_MS, areas_hold_from, changes_hold_from, quarter_starts
from schemas.catalogue import catalogue
from schemas.windows import Windows

ZONES = st.sampled_from(["Asia/Tehran", "Asia/Ho_Chi_Minh", "Europe/Berlin", "America/Asuncion"])
TIMES = st.datetimes(datetime(1975, 1, 1), datetime(2100, 1, 1)).map(
    lambda when: int(when.replace(tzinfo=UTC).timestamp() * 1000)
)
REGISTERED = st.sampled_from([metric for metric in catalogue().values() if metric.derived_from is None])


@given(TIMES, ZONES, REGISTERED)
def test_a_change_holds_from_the_first_window_that_begins_late_enough(now: int, zone: str, metric) -> None:
    windows, late_enough = Windows(zone, metric.window), now + SETTLING_MS
    holds_from = changes_hold_from(metric, now, zone)
    assert holds_from == windows.bounds(windows.number(holds_from))[0]
    assert windows.number(holds_from - 1) == windows.number(late_enough - 1)


@given(TIMES, ZONES, REGISTERED)
def test_areas_hold_from_a_quarter_that_begins_late_enough_and_with_a_window(now: int, zone: str, metric) -> None:
    holds_from = areas_hold_from(now, zone)
    assert holds_from - now >= SETTLING_MS
    assert quarter_starts(holds_from - 1, zone)[0] <= now + SETTLING_MS - 1
    windows = Windows(zone, metric.window)
    assert windows.bounds(windows.number(holds_from))[0] == holds_from


@given(TIMES, ZONES)
def test_quarters_are_adjacent_and_contain_every_moment(now: int, zone: str) -> None:
    begins, ends = quarter_starts(now, zone)
    assert begins <= now < ends
    assert quarter_starts(ends, zone)[0] == ends
    assert quarter_starts(ends - 1, zone) == (begins, ends)
