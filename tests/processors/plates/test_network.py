"""The network as it ships: what it finds in drawn scenes, in which order, at which sizes."""

from hashlib import sha256

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from processors.plates import network
from processors.plates.evaluation import iou
from processors.plates.network import BrokenWeights, NetworkDetector, card
from schemas.batch import ONE_LINE, REGION, TWO_LINES
from training.layout import HEIGHT_UNIT, STRIDES, WIDTH_UNIT, cells

Picture = NDArray[np.uint8]


@pytest.fixture(scope="module")
def detector() -> NetworkDetector:
    """A little below the shipped threshold: these vehicles are drawn more roughly than any it was shown."""
    cv2.setNumThreads(1)
    return NetworkDetector(0.4)


def street(height: int = 384, width: int = 640) -> Picture:
    """A grey road under a brighter sky, with some grain."""
    shade = np.linspace(170, 80, height)[:, None, None] + np.random.default_rng(1).normal(0, 4, (height, width, 1))
    return np.repeat(np.clip(shade, 0, 255), 3, 2).astype(np.uint8)


def with_car(picture: Picture, x: int, y: int, w: int) -> tuple[int, int, int, int]:
    """Draw a dark car whose one-line plate, `w` wide, has its upper left corner here; the plate's box."""
    h = round(w / 4.6)
    car = (x - int(1.2 * w), y - int(1.6 * w), int(3.4 * w), int(2.2 * w))
    cv2.rectangle(picture, car, (90, 50, 40), -1)
    cv2.rectangle(picture, (x - int(0.8 * w), y - int(1.4 * w), int(2.6 * w), int(0.7 * w)), (50, 45, 40), -1)
    for lamp in (x - int(1.1 * w), x + int(1.8 * w)):
        cv2.rectangle(picture, (lamp, y - int(0.5 * w), int(0.3 * w), int(0.3 * w)), (30, 30, 190), -1)
    picture[y : y + h, x : x + w] = cv2.resize(plate(("B 345 KLM",), 4.6), (w, h), interpolation=cv2.INTER_AREA)
    return x, y, w, h


def with_motorcycle(picture: Picture, x: int, y: int, w: int) -> tuple[int, int, int, int]:
    """The same for a motorcycle's plate of two lines."""
    h = round(w / 1.36)
    cv2.rectangle(picture, (x + w // 4, y + h, w // 2, int(1.5 * w)), (25, 25, 25), -1)
    cv2.rectangle(picture, (x - w // 8, y - w, int(1.25 * w), int(1.2 * w) + h // 2), (35, 30, 30), -1)
    cv2.rectangle(picture, (x + w // 4, y - w // 2, w // 2, w // 4), (30, 30, 200), -1)
    picture[y : y + h, x : x + w] = cv2.resize(plate(("59-X1", "123.45"), 1.36), (w, h), interpolation=cv2.INTER_AREA)
    return x, y, w, h


def plate(lines: tuple[str, ...], aspect: float) -> Picture:
    height = 120 * len(lines)
    drawn = np.full((height, round(height * aspect), 3), 235, np.uint8)
    wide, high = round(0.88 * drawn.shape[1]), 84
    for number, line in enumerate(lines):
        (width, rise), drop = cv2.getTextSize(line, cv2.FONT_HERSHEY_SIMPLEX, 3, 12)
        text = np.full((rise + drop, width, 3), 235, np.uint8)
        cv2.putText(text, line, (0, rise + drop // 3), cv2.FONT_HERSHEY_SIMPLEX, 3, (20, 20, 20), 14, cv2.LINE_AA)
        top, left = 120 * number + 18, (drawn.shape[1] - wide) // 2
        drawn[top : top + high, left : left + wide] = cv2.resize(text, (wide, high), interpolation=cv2.INTER_AREA)
    cv2.rectangle(drawn, (2, 2), (drawn.shape[1] - 3, height - 3), (20, 20, 20), 3)
    return drawn


def boxes(regions: NDArray[np.void]) -> NDArray[np.float64]:
    return np.stack([regions[name].astype(float) for name in ("x", "y", "w", "h")], 1)


def overlaps(regions: NDArray[np.void], box: tuple[int, int, int, int]) -> NDArray[np.float64]:
    return iou(boxes(regions), np.array([box], float))[:, 0]


def test_plates_of_one_and_two_lines_are_found(detector: NetworkDetector) -> None:
    picture = street()
    car, motorcycle = with_car(picture, 120, 250, 80), with_motorcycle(picture, 450, 240, 54)
    regions = detector.detect(picture)
    assert regions.dtype == REGION
    assert len(regions) == 2
    for box, form in ((car, ONE_LINE), (motorcycle, TWO_LINES)):
        best = int(overlaps(regions, box).argmax())
        assert overlaps(regions, box)[best] > 0.5
        assert regions["form"][best] == form


def test_a_road_without_vehicles_has_no_plates(detector: NetworkDetector) -> None:
    assert len(detector.detect(street())) == 0
    assert len(detector.detect(np.zeros((384, 640, 3), np.uint8))) == 0


@pytest.mark.parametrize(
    "shape", [(0, 0), (0, 5), (1, 1), (1, 3000), (3000, 1), (7, 9), (33, 65), (1000, 300), (2160, 3840)]
)
def test_pictures_of_any_size_are_accepted(detector: NetworkDetector, shape: tuple[int, int]) -> None:
    picture = np.random.default_rng(2).integers(0, 256, (*shape, 3), np.uint8)
    least = NetworkDetector(0.01)
    for regions in (detector.detect(picture), least.detect(picture)):
        assert regions.dtype == REGION
        assert (regions["x"].astype(int) + regions["w"] <= shape[1]).all()
        assert (regions["y"].astype(int) + regions["h"] <= shape[0]).all()
        assert ((regions["w"] > 0) & (regions["h"] > 0)).all()


@pytest.mark.parametrize("scale", [0.5, 1.6, 3.0])
def test_regions_are_in_the_pixels_of_the_picture(detector: NetworkDetector, scale: float) -> None:
    picture = street()
    box = with_car(picture, 300, 250, 90)
    resized = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    regions = detector.detect(np.asarray(resized, np.uint8))
    x, y, w, h = (round(value * scale) for value in box)
    assert overlaps(regions, (x, y, w, h)).max() > 0.5


def test_regions_come_in_order_of_y_then_x_each_plate_once(detector: NetworkDetector) -> None:
    picture = street(576, 1024)
    places = [with_car(picture, x, y, 70) for x, y in ((780, 180), (150, 190), (420, 470))]
    regions = detector.detect(picture)
    keys = [(int(region["y"]), int(region["x"])) for region in regions]
    assert keys == sorted(keys)
    assert [(overlaps(regions, place) > 0.3).sum() for place in places] == [1, 1, 1]


def test_the_same_picture_gives_the_same_regions_alone_and_in_a_batch(detector: NetworkDetector) -> None:
    pictures = [street(), street(200, 300), street(), np.zeros((0, 0, 3), np.uint8)]
    with_car(pictures[0], 120, 250, 80)
    with_motorcycle(pictures[2], 400, 220, 60)
    with_car(pictures[1], 120, 120, 50)
    alone = [detector.detect(picture) for picture in pictures]
    together = detector.detect_all(pictures)
    assert [len(regions) for regions in alone] == [1, 1, 1, 0]
    for regions, batched in zip(alone, together, strict=True):
        assert boxes(regions).tolist() == boxes(batched).tolist()
        assert regions["form"].tolist() == batched["form"].tolist()
        assert np.allclose(regions["score"], batched["score"], atol=1e-4)


def test_detection_does_not_change_the_picture(detector: NetworkDetector) -> None:
    picture = street()
    with_car(picture, 120, 250, 80)
    before = picture.copy()
    detector.detect(picture)
    assert np.array_equal(picture, before)


def test_tiles_find_what_is_too_small_in_the_whole(detector: NetworkDetector) -> None:
    picture = street(1440, 2560)
    small, large = with_car(picture, 1000, 700, 50), with_car(picture, 2000, 900, 150)
    whole, tiled = detector.detect(picture), detector.detect_tiled(picture)
    assert (overlaps(whole, small) > 0.5).sum() == 0
    assert [(overlaps(tiled, box) > 0.5).sum() for box in (small, large)] == [1, 1]
    keys = [(int(region["y"]), int(region["x"])) for region in tiled]
    assert keys == sorted(keys)


def test_a_plate_larger_than_a_tile_is_found_in_the_whole(detector: NetworkDetector) -> None:
    picture = street(1440, 2560)
    box = with_car(picture, 900, 700, 700)
    small = NetworkDetector(0.4, longest_side=640)
    assert (overlaps(small.detect_tiled(picture), box) > 0.5).sum() == 1


def test_a_region_that_a_tile_cuts_is_taken_from_its_neighbour() -> None:
    rows = np.array([[0.0, 40, 30, 50, 0.9, 1], [30, 40, 60, 50, 0.8, 1], [70, 40, 100, 50, 0.7, 1]])
    inner = network._whole(rows, (100, 100), (50, 0), (100, 200))
    assert inner[:, 4].tolist() == [0.8]
    assert inner[0, :4].tolist() == [80, 40, 110, 50]
    assert network._whole(rows, (100, 100), (0, 0), (100, 200))[:, 4].tolist() == [0.9, 0.8]
    assert network._whole(rows, (100, 100), (100, 0), (100, 200))[:, 4].tolist() == [0.8, 0.7]


@pytest.mark.parametrize(
    ("longest", "side", "scale"),
    [
        (640, 960, 1),
        (960, 960, 1),
        (1920, 960, 0.5),
        (400, 960, 1.6),
        (40, 960, 2),
        (1920, 640, 1 / 3),
        (200, 320, 1.6),
    ],
)
def test_pictures_are_scaled_towards_the_networks_usual_size(longest: int, side: int, scale: float) -> None:
    assert NetworkDetector(longest_side=side)._scale(longest) == pytest.approx(scale)


def test_tiles_of_a_small_picture_are_the_picture(detector: NetworkDetector) -> None:
    picture = street()
    with_car(picture, 120, 250, 80)
    assert detector.detect_tiled(picture).tolist() == detector.detect(picture).tolist()


@pytest.mark.parametrize(("length", "tile"), [(640, 640), (641, 640), (1280, 640), (3840, 640), (1000, 640)])
def test_tiles_reach_from_end_to_end_and_overlap(length: int, tile: int) -> None:
    starts = network._starts(length, tile)
    assert starts[0] == 0
    assert starts[-1] + tile >= length
    assert all(0 < step <= 0.75 * tile + 1 for step in np.diff(starts))


def test_blocks_are_folded_as_the_trainer_folds_them() -> None:
    """Channel (row * 4 + column) * 3 + colour, as `training.net.folded` says it."""
    picture = np.random.default_rng(3).integers(0, 256, (32, 64, 3), np.uint8)
    into = np.empty((48, 8, 16), np.uint8)
    network._fold(picture, into)
    for row, column, colour in ((0, 0, 0), (1, 2, 0), (3, 3, 2)):
        assert np.array_equal(into[(row * 4 + column) * 3 + colour], picture[row::4, column::4, colour])


@pytest.mark.parametrize("level", [0, 1, 2])
def test_outputs_are_decoded_as_the_trainer_encodes_them(level: int) -> None:
    """A cell that answers with a box, in the units of `training.layout`, gives that box."""
    stride, shape = STRIDES[level], (128 // STRIDES[level], 192 // STRIDES[level])
    grid = cells(128, 192)
    grid = grid[grid[:, 2] == stride]
    cell = len(grid) // 2 + 1
    cx, cy, w, h = 70.0, 61.0, 53.0, 17.0
    answers = np.full((6, *shape), -9.0, np.float32)
    answers.reshape(6, -1)[:, cell] = (
        0.0, -1.0, (cx - grid[cell, 0]) / stride, (cy - grid[cell, 1]) / stride,
        np.log(w / stride / WIDTH_UNIT), np.log(h / stride / HEIGHT_UNIT),
    )  # fmt: skip
    (row,) = network._level(answers, stride, -1.0)
    assert row == pytest.approx([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2, 0.5, ONE_LINE], abs=1e-4)


def test_the_weights_are_those_of_the_card(monkeypatch: pytest.MonkeyPatch) -> None:
    network._weights.cache_clear()
    assert sha256(network._weights()).hexdigest() == card().sha256
    assert len(network._weights()) < 6_000_000
    network._weights.cache_clear()
    real = network._file
    monkeypatch.setattr(network, "_file", lambda name: real(name) if name == "card.toml" else b"other")
    with pytest.raises(BrokenWeights, match="install"):
        NetworkDetector()


@pytest.mark.parametrize("threshold", [0.0, 1.0, -1.0, float("nan")])
def test_a_threshold_outside_of_0_to_1_is_refused(threshold: float) -> None:
    with pytest.raises(ValueError, match="threshold"):
        NetworkDetector(threshold)
