import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.files.spacing import Spacing, Times, UnclearInterval

MINUTE = 60_000


def spacing(*minutes: int, given: int | None = None) -> Spacing:
    times = Times()
    for minute in minutes:
        times.add(minute * MINUTE)
    return times.spacing(None if given is None else given * MINUTE)


@given(st.permutations([0, 15, 30, 45, 45, 90, 105, 200]))
def test_the_interval_is_the_spacing_of_most_times_in_whatever_order(minutes: list[int]) -> None:
    assert spacing(*minutes).interval_ms == 15 * MINUTE


@pytest.mark.parametrize("minutes", [(), (5,), (5, 5), (0, 15, 75), (0, 10, 30, 60)])
def test_without_an_even_spacing_the_operator_must_say_it(minutes: tuple[int, ...]) -> None:
    with pytest.raises(UnclearInterval, match="--interval-s"):
        spacing(*minutes)
    assert spacing(*minutes, given=10).interval_ms == 10 * MINUTE


@pytest.mark.parametrize(("minutes", "given"), [((0, 60, 120), 15), ((0, 15), 60), ((0, 15, 30), 60)])
def test_what_the_operator_says_must_not_contradict_the_times(minutes: tuple[int, ...], given: int) -> None:
    with pytest.raises(UnclearInterval, match="contradicts"):
        spacing(*minutes, given=given)


def test_gaps_contradict_nothing_but_runs_of_longer_spacings_do() -> None:
    assert len(spacing(0, 15, 30, 90, 105, 165, 180).contradicting) == 0
    mixed = spacing(*range(0, 105, 15), 150, 210, 270)
    assert np.array_equal(mixed.contradicting, np.array([150, 210, 270]) * MINUTE)
    assert [mixed.contradicts(minute * MINUTE) for minute in (90, 150, 151, 270)] == [False, True, False, True]
