from collections import Counter

import cv2
import numpy as np
import pytest

from ingest.cameras.jpeg import encoded
from ingest.cameras.rendered import Plate, RenderedCamera
from processors.plates.classical import ClassicalDetector
from processors.plates.detector import Detector
from processors.plates.pictures import decode_picture
from schemas.batch import ONE_LINE, REGION, TWO_LINES

DETECTOR: Detector = ClassicalDetector()
IOU = 0.3


def overlap(region: np.void, plate: Plate) -> float:
    """Intersection over union."""
    left, top = max(int(region["x"]), plate.x), max(int(region["y"]), plate.y)
    right = min(int(region["x"]) + int(region["w"]), plate.x + plate.w)
    bottom = min(int(region["y"]) + int(region["h"]), plate.y + plate.h)
    shared = max(right - left, 0) * max(bottom - top, 0)
    return shared / (int(region["w"]) * int(region["h"]) + plate.w * plate.h - shared)


def score(camera: RenderedCamera, frames: range) -> Counter[str]:
    """Plates, regions, matches, and matches of the right form, as another program sees them: through JPEG."""
    counts: Counter[str] = Counter()
    for number in frames:
        regions = DETECTOR.detect(decode_picture(encoded(camera.frame(number))))
        left = camera.truth(number)
        counts.update(plates=len(left), regions=len(regions))
        for region in regions:
            match = max(left, key=lambda plate: overlap(region, plate), default=None)
            if match is not None and overlap(region, match) >= IOU:
                left.remove(match)
                counts.update(found=1, right_form=int(region["form"] == match.form))
    return counts


@pytest.mark.parametrize("country", ["IR", "VN"])
@pytest.mark.parametrize("size", [(640, 360), (1280, 720)])
def test_it_finds_nearly_all_rendered_plates_and_little_else(country, size):
    total: Counter[str] = Counter()
    for seed in (1, 2, 11):
        total += score(RenderedCamera(seed, country, *size), range(0, 60, 2))
    assert total["plates"] > 100
    assert total["found"] >= 0.9 * total["plates"]
    assert total["found"] >= 0.8 * total["regions"]
    assert total["right_form"] >= 0.95 * total["found"]


@pytest.mark.parametrize(("country", "form"), [("IR", ONE_LINE), ("VN", TWO_LINES)])
def test_the_form_follows_the_country(country, form):
    camera = RenderedCamera(3, country)
    found = np.concatenate([DETECTOR.detect(camera.frame(number)) for number in range(0, 60, 3)])
    assert (found["form"] == form).mean() > 0.6


def test_regions_are_in_order_within_the_picture_and_the_same_again():
    camera = RenderedCamera(5, "VN")
    found = [DETECTOR.detect(camera.frame(number)) for number in range(20)]
    assert max(len(regions) for regions in found) > 1
    for number, regions in enumerate(found):
        assert regions.dtype == REGION
        places = [(int(region["y"]), int(region["x"])) for region in regions]
        assert places == sorted(places)
        assert (regions["x"].astype(int) + regions["w"] <= 640).all()
        assert (regions["y"].astype(int) + regions["h"] <= 360).all()
        assert (regions["w"] > 0).all()
        assert ((regions["score"] > 0) & (regions["score"] <= 1)).all()
        assert np.array_equal(ClassicalDetector().detect(camera.frame(number)), regions)


def test_the_number_of_threads_changes_nothing():
    frame = RenderedCamera(5, "VN").frame(4)
    before = cv2.getNumThreads()
    try:
        cv2.setNumThreads(1)
        alone = DETECTOR.detect(frame)
        cv2.setNumThreads(4)
        assert np.array_equal(DETECTOR.detect(frame), alone)
    finally:
        cv2.setNumThreads(before)


NOISE = np.random.default_rng(0).integers(0, 256, (1080, 1920, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((360, 640, 3), np.uint8),
        np.full((360, 640, 3), 255, np.uint8),
        np.zeros((1, 1, 3), np.uint8),
        np.zeros((0, 0, 3), np.uint8),
        np.zeros((11, 400, 3), np.uint8),
        np.zeros((65_500, 2, 3), np.uint8),
        np.zeros((2, 65_500, 3), np.uint8),
        NOISE[:40, :40],
        NOISE,
        np.resize(NOISE, (5000, 8000, 3)),
    ],
    ids=["black", "white", "1x1", "0x0", "low", "tall", "wide", "small noise", "noise", "40 megapixels"],
)
def test_where_nothing_is_nothing_is_found(picture):
    assert len(DETECTOR.detect(picture)) == 0


def test_a_picture_full_of_plates_gives_some_hundred_at_most():
    wall = np.full((960, 960, 3), 235, np.uint8)
    for row in range(20, 960, 26):
        for column in range(4, 900, 96):
            cv2.putText(wall, "51F23456", (column, row), cv2.FONT_HERSHEY_DUPLEX, 0.45, (20, 20, 20), 1)
    assert len(DETECTOR.detect(wall)) == 200
