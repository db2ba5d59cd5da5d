from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.cameras.jpeg import LARGEST_PICTURE
from ingest.cameras.live.owed import MOST_WAITING, Owed
from ingest.cameras.sources import Shot

BEGIN = 1_790_000_000_000


def watched(owed: Owed, arrivals: list[int], until: int) -> list[Shot]:
    """What becomes of pictures that come at these times, milliseconds from the beginning; someone looks each 100 ms."""
    shots: list[Shot] = []
    events = sorted([(BEGIN + at, True) for at in arrivals] + [(BEGIN + at, False) for at in range(0, until + 1, 100)])
    for now, came in events:
        if came:
            if owed.wanted(now) and (shot := owed.take(None, now, b"p%d" % now)):
                owed.sent(shot)
                shots.append(shot)
        else:
            shots += owed.missing(now)
    return sorted(shots, key=lambda shot: shot.number)


@given(
    rate=st.floats(0.5, 30),
    arrivals=st.lists(st.integers(0, 20_000), max_size=300, unique=True),
)
def test_there_is_one_picture_an_interval_whatever_arrives(rate, arrivals):
    owed = Owed(rate, BEGIN)
    shots = watched(owed, arrivals, 20_000)
    assert [shot.number for shot in shots] == list(range(len(shots)))
    starts = [shot.start_ms for shot in shots]
    assert all(before < after for before, after in pairwise(starts))
    assert not starts or (starts[0] >= BEGIN and starts[-1] <= BEGIN + 20_000)
    assert abs(len(shots) - 20 * rate) <= 2.5
    assert sum(bool(shot.picture) for shot in shots) + owed.extra == len(arrivals)


@given(st.lists(st.integers(-95, 95), min_size=100, max_size=100))
def test_an_uneven_camera_of_the_right_rate_misses_nothing(jitter):
    owed = Owed(5.0, BEGIN)
    shots = watched(owed, [200 * number + 100 + late for number, late in enumerate(jitter)], 20_000)
    assert [bool(shot.picture) for shot in shots] == [True] * 100
    assert owed.extra == 0


@pytest.mark.parametrize(("fps", "rate", "sent"), [(25, 2.0, 41), (25, 10.0, 201), (30, 25.0, 500), (60, 0.1, 3)])
def test_the_pictures_of_a_faster_camera_are_thinned_out_evenly(fps, rate, sent):
    owed = Owed(rate, BEGIN)
    shots = watched(owed, [round(number * 1000 / fps) for number in range(20 * fps)], 19_990)
    assert sum(bool(shot.picture) for shot in shots) == len(shots) == sent
    for before, after in pairwise(shots[1:]):  # from the second on, which may come early
        assert abs(after.start_ms - before.start_ms - owed.interval_ms) <= 1000 / fps + 1
    assert owed.extra == 20 * fps - sent


def test_a_slower_camera_misses_the_difference():
    shots = watched(Owed(5.0, BEGIN), list(range(0, 20_000, 250)), 20_000)
    assert sum(bool(shot.picture) for shot in shots) == 80
    assert sum(not shot.picture for shot in shots) in (18, 19, 20)


def test_a_missing_picture_has_the_time_at_which_it_was_due():
    shots = watched(Owed(2.0, BEGIN), [0, 500, 4010, 4510], 5_000)
    assert [(shot.start_ms - BEGIN, bool(shot.picture)) for shot in shots] == [
        (0, True),
        (500, True),
        *((at, False) for at in range(1000, 3500, 500)),
        (4010, True),  # late by no more than one interval, and half of another
        (4510, True),
    ]


def test_a_burst_after_a_stall_counts_as_what_is_still_owed():
    owed = Owed(2.0, BEGIN)
    shots = watched(owed, [0, 500, *range(3_050, 3_065)], 3_100)
    assert [(shot.start_ms - BEGIN, bool(shot.picture)) for shot in shots] == [
        (0, True),
        (500, True),
        *((at, False) for at in (1000, 1500, 2000)),
        *((at, True) for at in (3050, 3051)),  # for 2500 and 3000; that of 3500 is not due yet
    ]
    assert owed.extra == 13


def test_a_cameras_plausible_time_is_the_pictures_time():
    owed = Owed(2.0, BEGIN)
    shot = owed.take(BEGIN - 300, BEGIN + 50, b"p")
    assert shot == Shot(0, BEGIN - 300, b"p")
    assert owed.take(BEGIN - 300, BEGIN + 510, b"p") == Shot(1, BEGIN + 510, b"p")


def test_no_two_pictures_have_the_same_time():
    owed = Owed(2.0, BEGIN)
    assert owed.take(None, BEGIN + 740, b"p") == Shot(0, BEGIN + 740, b"p")
    assert owed.take(None, BEGIN + 740, b"q") is None
    assert owed.take(None, BEGIN + 741, b"r") == Shot(1, BEGIN + 741, b"r")


@pytest.mark.parametrize(("size", "most"), [(1, MOST_WAITING), (LARGEST_PICTURE, 1), (LARGEST_PICTURE - 1, 2)])
def test_pictures_that_wait_to_be_sent_are_bounded(size, most):
    owed = Owed(2.0, BEGIN)
    taken = [owed.take(None, BEGIN + 500 * number, bytes(size)) for number in range(most)]
    assert None not in taken
    assert owed.take(None, BEGIN + 500 * most, bytes(size)) is None
    assert not owed.wanted(BEGIN + 500 * most)
    assert (owed.crowded, owed.extra) == (2, 0)
    for shot in taken:
        assert shot is not None
        owed.sent(shot)
    assert owed.wanted(BEGIN + 500 * most)


@pytest.mark.parametrize("rate", [0.1, 2.0])
def test_after_the_clock_is_set_the_schedule_restarts(rate):
    for jump in (-86_400_000, -60_000, 700_000, 86_400_000):
        owed = Owed(rate, BEGIN)
        assert owed.take(None, BEGIN, b"p") is not None
        now = BEGIN + jump
        assert owed.wanted(now)
        assert owed.take(None, now, b"q") == Shot(1, now, b"q")
        assert not owed.missing(now)
        assert [owed.restarted(), owed.restarted()] == [True, False]


def test_minutes_in_which_nothing_could_be_sent_are_still_owed():
    owed = Owed(2.0, BEGIN)
    now = BEGIN + 300_000
    assert len(owed.missing(now)) == 599
    assert not owed.restarted()
