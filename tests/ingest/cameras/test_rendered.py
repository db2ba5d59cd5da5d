from collections import Counter

import numpy as np
import pytest

from ingest.cameras.rendered import RenderedCamera
from schemas.batch import ONE_LINE, TWO_LINES
from tests.soak import amount, soak, soak_only

FRAMES = range(60)
"""Half a minute at two frames a second."""
SMALL = (160, 90)
"""A size for cameras of which no frame is looked at: the street is drawn at once."""


@pytest.mark.parametrize("country", ["IR", "VN"])
def test_a_seed_makes_the_same_frames_in_any_order(country):
    first, second = RenderedCamera(7, country), RenderedCamera(7, country)
    backwards = {number: (second.frame(number), second.truth(number)) for number in reversed(FRAMES[::7])}
    for number in FRAMES[::7]:
        frame, truth = backwards[number]
        assert np.array_equal(first.frame(number), frame)
        assert first.truth(number) == truth
        assert frame.shape == (360, 640, 3)
        assert frame.dtype == np.uint8
    assert not np.array_equal(RenderedCamera(8, country).frame(0), first.frame(0))


@pytest.mark.parametrize("country", ["IR", "VN"])
@soak
@pytest.mark.parametrize("seed", range(amount(2, soak=8)))
def test_there_is_traffic_most_of_the_time(country, seed):
    camera = RenderedCamera(seed, country, *SMALL)
    counts = [len(camera.truth(number)) for number in FRAMES]
    assert sum(counts) > 30
    assert sum(count > 0 for count in counts) > 0.6 * len(counts)
    assert max(counts) <= 5


@soak
@pytest.mark.parametrize(("country", "form", "share"), [("IR", ONE_LINE, 0.7), ("VN", TWO_LINES, 0.6)])
def test_the_country_sets_the_mix(country, form, share):
    cameras = [RenderedCamera(seed, country, *SMALL) for seed in range(amount(3, soak=6))]
    forms = Counter(plate.form for camera in cameras for number in FRAMES for plate in camera.truth(number))
    assert set(forms) == {ONE_LINE, TWO_LINES}
    assert forms[form] > share * forms.total()


@pytest.mark.parametrize("size", [(640, 360), pytest.param((1280, 720), marks=soak_only), (320, 240), (360, 640)])
def test_plates_are_where_truth_has_them(size):
    camera = RenderedCamera(2, "IR", *size)
    seen = [(camera.frame(number), camera.truth(number)) for number in FRAMES[::3]]
    plates = [(frame, plate) for frame, found in seen for plate in found]
    widths = {plate.w for _, plate in plates}
    assert len(widths) > 5  # near and far
    for frame, plate in plates:
        assert 0 <= plate.x <= plate.x + plate.w <= size[0]
        assert 0 <= plate.y <= plate.y + plate.h <= size[1]
        inside = frame[plate.y : plate.y + plate.h, plate.x : plate.x + plate.w]
        assert np.percentile(inside, 90) > 150  # its ground
        assert np.percentile(inside, 10) < 110  # its characters


def test_every_vehicle_has_characters_of_its_own():
    camera = RenderedCamera(1, "VN", *SMALL)
    texts = {plate.text for number in range(400) for plate in camera.truth(number)}
    assert len(texts) > 60


def test_no_frame_repeats_the_one_before_not_even_of_an_empty_street():
    camera = RenderedCamera(1, "VN", *SMALL, rate=10)
    empty = [n for n in range(400) if not camera.truth(n) and not camera.truth(n + 1)]
    assert empty
    for number in (*empty[:20], *range(20)):
        assert not np.array_equal(camera.frame(number), camera.frame(number + 1))


@pytest.mark.parametrize(
    "wrong", [{"width": 10}, {"height": 10}, {"width": 10_000}, {"height": 10_000}, {"rate": 0.0}, {"rate": -1.0}]
)
def test_sizes_and_rates_that_can_not_be_drawn_are_refused(wrong):
    with pytest.raises(ValueError, match=r"pixels|frames a second"):
        RenderedCamera(1, "IR", **wrong)
