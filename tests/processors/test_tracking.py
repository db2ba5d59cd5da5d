"""Many cameras tracked together: each gets the passes that the tracker of one camera finds in its pictures."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.tracking import lanes
from processors.tracking.passes import TAIL_MS, Passes, passes
from schemas.batch import REGION
from tests.reference_tracker.passes import passes as passes_of_reference
from tests.soak import examples

Pictures = Sequence[tuple[int, np.ndarray]]
"""The pictures of one camera: the time of each in milliseconds, and its boxes, dtype `REGION`."""

COLUMNS = ("first", "form", "seen")


def columns(pictures: Pictures) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    start = np.array([time for time, _ in pictures], np.int64)
    frame = np.repeat(np.arange(len(pictures)), [len(boxes) for _, boxes in pictures])
    return start, frame, np.concatenate([np.empty(0, REGION), *(boxes for _, boxes in pictures)])


def together(cameras: Sequence[Pictures], window_start: int) -> Passes:
    camera = np.repeat(np.arange(len(cameras)), [len(pictures) for pictures in cameras])
    every = [picture for pictures in cameras for picture in pictures]
    return passes(camera, *columns(every), window_start=window_start)


def assert_as_each_alone(cameras: Sequence[Pictures], window_start: int) -> int:
    """Returns how many passes there were."""
    found = together(cameras, window_start)
    for number, pictures in enumerate(cameras):
        expected = passes_of_reference(*columns(pictures), window_start=window_start)
        of_camera = found.take(np.flatnonzero(found.camera == number))
        for column in COLUMNS:
            assert getattr(of_camera, column).tolist() == getattr(expected, column).tolist()
    assert set(found.camera.tolist()) <= set(range(len(cameras)))
    return len(found)


def drawn_camera(rng: np.random.Generator, *, pictures: int, false: float) -> Pictures:
    """A camera with its own pace, gaps of up to ten seconds, vehicles, parked ones among them, and false regions."""
    gaps = rng.choice([66, 200, 201, 500, 1_100, 2_399, 6_000, 6_001, 10_000], pictures, p=[0.1, 0.6] + 7 * [0.3 / 7])
    times = np.cumsum(gaps)
    vehicles = [
        (rng.integers(0, times[-1]), *rng.uniform(0, 600, 2), *rng.normal(0, rng.choice([0, 60]), 2), *_plate(rng))
        for _ in range(pictures // 6)
    ]
    film = []
    for time in times.tolist():
        boxes = [
            (
                *(np.array((x, y)) + (time - since) / 1000 * np.array((dx, dy)) + rng.normal(0, 1, 2)).clip(0, 2_000),
                *(np.array((w, h)) * (1 + (time - since) / 8_000) + rng.normal(0, 0.5, 2)).clip(1, 300),
                rng.random(),
                form,
            )
            for since, x, y, dx, dy, w, h, form in vehicles
            if since <= time < since + 4_000 and rng.random() > 0.1
        ]
        for _ in range(rng.poisson(false)):
            boxes.append((*rng.integers(0, 700, 2), *rng.integers(10, 90, 2), rng.random(), rng.integers(0, 3)))
        film.append((time, np.array(boxes, REGION)))
    return film


def _plate(rng: np.random.Generator) -> tuple[int, int, int]:
    return int(rng.integers(20, 80)), int(rng.integers(10, 40)), int(rng.integers(0, 3))


@pytest.mark.parametrize("seed", range(4))
def test_each_of_many_cameras_has_the_passes_that_it_has_alone(seed):
    rng = np.random.default_rng(seed)
    cameras = [
        drawn_camera(rng, pictures=int(rng.integers(1, 150)), false=float(rng.choice([0, 0.2, 2]))) for _ in range(24)
    ]
    assert assert_as_each_alone(cameras, window_start=int(rng.choice([0, 20_000]))) > 50


def test_cameras_with_more_false_regions_than_are_kept_forget_each_for_itself():
    rng = np.random.default_rng(5)
    cameras = [drawn_camera(rng, pictures=30, false=false) for false in (90, 30, 0.1, 60)]
    assert assert_as_each_alone(cameras, window_start=0) > 0


@pytest.mark.parametrize("at_once", [1, 7, 40])
def test_how_many_lanes_are_tracked_at_once_does_not_matter(at_once, monkeypatch):
    rng = np.random.default_rng(6)
    cameras = [drawn_camera(rng, pictures=60, false=0.3) for _ in range(6)]
    whole = together(cameras, 0)
    monkeypatch.setattr(lanes, "_MOST_AT_ONCE", at_once)
    pieces = together(cameras, 0)
    for column in ("camera", *COLUMNS):
        assert getattr(pieces, column).tolist() == getattr(whole, column).tolist()


near = st.tuples(
    *[st.integers(0, 60)] * 2, *[st.integers(0, 30)] * 2, st.sampled_from([0.0, 0.5, 0.9]), st.integers(0, 3)
)
films = st.lists(
    st.tuples(st.integers(0, 60).map(lambda step: 200 * step), st.lists(near, max_size=5)), max_size=25
).map(lambda film: [(time, np.array(boxes, REGION)) for time, boxes in film])


@examples(25, soak=500)
@given(st.lists(films, max_size=5), st.sampled_from([0, 2_000, TAIL_MS + 1_000]))
def test_whatever_boxes_there_are_cameras_do_not_meet(cameras, window_start):
    assert_as_each_alone(cameras, window_start)
