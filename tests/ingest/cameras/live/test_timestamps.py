import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.cameras.live.timestamps import said_by_answer, said_by_part, taken_ms

NOW = 1_790_000_000_000
MOMENT = "Mon, 21 Sep 2026 14:13:10 GMT"  # ten seconds before NOW
ANSWERED = "Mon, 21 Sep 2026 14:13:20 GMT"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1790000000", NOW),
        (" 1790000000.123456 ", NOW + 123),
        ("12.5", 12_500),
        ("", None),
        ("nan", None),
        ("-5", None),
        ("1e300", None),
        ("9" * 5000, None),
        ("today", None),
    ],
)
def test_x_timestamp_holds_seconds(text, said):
    assert said_by_part({"x-timestamp": text}) == said
    assert said_by_part({}) is None


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({"last-modified": MOMENT}, NOW - 10_000),
        ({"last-modified": MOMENT, "date": ANSWERED}, NOW + 700 - 10_000),
        # A clock that is years off tells the picture's age all the same.
        (
            {"last-modified": "Thu, 01 Jan 1970 00:00:10 GMT", "date": "Thu, 01 Jan 1970 00:00:12 GMT"},
            NOW + 700 - 2_000,
        ),
        ({"last-modified": MOMENT, "date": "yesterday"}, NOW - 10_000),
        ({"last-modified": "Mon, 21 Sep 2026 14:13:10 -0000"}, NOW - 10_000),
        ({"date": ANSWERED}, None),
        ({"last-modified": "yesterday", "date": ANSWERED}, None),
        ({"last-modified": "Mon, 99 Sep 2026 14:13:10 GMT"}, None),
        ({"last-modified": "Mon, 21 Sep 99999 14:13:10 GMT"}, None),
        ({"last-modified": "x" * 5000}, None),
        ({}, None),
    ],
)
def test_date_minus_last_modified_is_the_age_of_the_picture(headers, said):
    assert said_by_answer(headers, NOW + 700) == said


@pytest.mark.parametrize(
    ("said", "taken"),
    [
        (None, NOW),
        (NOW, NOW),
        (NOW - 400, NOW - 400),
        (NOW + 1, NOW),  # never in the future
        (NOW + 10**9, NOW),
        (NOW - 61_000, NOW - 61_000),
        (NOW - 61_001, NOW),  # longer than it can have been on its way
        (12_500, NOW),  # since the camera was switched on
    ],
)
def test_a_cameras_time_is_used_if_it_is_plausible(said, taken):
    assert taken_ms(said, NOW, 1000, 0) == taken


def test_a_cameras_time_that_stands_still_is_not_used():
    assert taken_ms(NOW - 10_000, NOW, 10_000, NOW - 10_000) == NOW
    assert taken_ms(NOW - 6_000, NOW, 10_000, NOW - 10_000) == NOW
    assert taken_ms(NOW - 5_000, NOW, 10_000, NOW - 10_000) == NOW - 5_000


@given(
    st.lists(st.tuples(st.none() | st.integers(NOW - 10**6, NOW + 10**6), st.integers(0, 3_000)), max_size=30),
    st.integers(1, 500_000),
)
def test_times_increase_and_are_not_ahead_of_the_clock(arrivals, interval):
    latest, now = 0, NOW
    for said, later in arrivals:
        now += later + 1
        taken = taken_ms(said, now, interval, latest)
        assert latest < taken <= now
        latest = taken
