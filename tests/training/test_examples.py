"""What the network is shown while it learns, and what it is asked to answer."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from processors.plates.evaluation import held_out
from training import examples
from training.examples import example
from training.layout import NEGATIVE, POSITIVE, SKIPPED, STRIDES, cells, targets
from training.pictures import Example, TrainingPictures, load
from training.plates import ONE_LINE, TWO_LINES

NONE = np.empty((0, 4))


def plates(*rows: tuple[float, ...]) -> np.ndarray:
    return np.array(rows, np.float64).reshape(-1, 5)


def test_only_kinds_that_may_train_are_loaded_and_never_validation(tmp_path: Path) -> None:
    kinds = ("ro-car", "eg-moto", "vn-mix", "eu-car", "us-car", "br-car", "vn-moto")
    (tmp_path / "images").mkdir()
    rows = ["image,x,y,w,h,kind"]
    shades: dict[int, str] = {}
    for number, name in enumerate(f"{kind}_{i}.png" for kind in kinds for i in range(8)):
        cv2.imwrite(str(tmp_path / "images" / name), np.full((20, 30, 3), number * 3, np.uint8))
        shades[number * 3] = name
        rows.append(f"{name},1,2,12,4,{name.split('_')[0]}")
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "ignore.csv").write_text("image,x,y,w,h,kind\n")
    pictures = load(tmp_path)
    names = {shades[int(loaded.picture[0, 0, 0])] for loaded in pictures.examples}
    wanted = {name for name in shades.values() if name.split("_")[0] in kinds[:3] and not held_out(name)}
    assert names == wanted
    assert 0 < len(wanted) < 24
    assert pictures.chances.sum() == pytest.approx(1)


def test_an_image_that_is_no_image_is_named(tmp_path: Path) -> None:
    name = next(name for name in map("ro-car_{}.png".format, range(9)) if not held_out(name))
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / name).write_bytes(b"nothing")
    (tmp_path / "labels.csv").write_text(f"image,x,y,w,h,kind\n{name},1,2,3,4,ro-car\n")
    (tmp_path / "ignore.csv").write_text("image,x,y,w,h,kind\n")
    with pytest.raises(ValueError, match=name):
        load(tmp_path)


def some_pictures() -> TrainingPictures:
    rng = np.random.default_rng(0)
    road = rng.integers(0, 80, (240, 400, 3), np.uint8)
    road[100:120, 150:230] = 250
    one = Example(road, plates((150, 100, 80, 20, ONE_LINE)), np.array([[300.0, 50, 30, 10]]))
    return TrainingPictures([one], np.ones(1))


def test_examples_keep_their_boxes_inside_and_repeat_with_the_seed() -> None:
    pictures = some_pictures()
    before = pictures.examples[0].picture.copy()
    seen = 0
    for seed in range(60):
        one, again = (example(np.random.default_rng(seed), pictures, 192) for _ in range(2))
        assert one.picture.shape == (192, 192, 3)
        assert (one.picture.tobytes(), one.plates.tobytes()) == (again.picture.tobytes(), again.plates.tobytes())
        for boxes in (one.plates, one.ignored):
            assert (boxes[:, :2] >= 0).all()
            assert (boxes[:, :2] + boxes[:, 2:4] <= 192 + 1e-6).all()
        assert set(one.plates[:, 4]) <= {ONE_LINE, TWO_LINES}
        seen += len(one.plates)
    assert seen > 30
    assert np.array_equal(pictures.examples[0].picture, before), "the pictures themselves stay as they are"


def test_a_mirrored_example_keeps_its_plate_under_its_box() -> None:
    one = some_pictures().examples[0]
    square = Example(np.ascontiguousarray(one.picture[:, :240]), one.plates, one.ignored)
    mirrored = examples._mirrored(square, 240)
    x, y, w, h = mirrored.plates[0, :4].astype(int)
    assert (mirrored.picture[y : y + h, x : x + w] == 250).all()
    assert np.array_equal(examples._mirrored(mirrored, 240).ignored, one.ignored)


@pytest.mark.parametrize(
    ("box", "strides"),
    [
        ((100, 100, 12, 4), {8}),
        ((97, 33, 60, 15), {8, 16}),
        ((60, 90, 150, 40), {16, 32}),
        ((10, 10, 300, 80), {32}),
        ((100, 60, 40, 34), {8, 16}),
    ],
)
def test_a_plate_is_answered_for_on_the_levels_of_its_size(box: tuple[float, ...], strides: set[int]) -> None:
    role, aim = targets(plates((*box, TWO_LINES)), NONE, 320)
    grid = cells(320, 320)
    mine = role == POSITIVE
    assert {int(stride) for stride in grid[mine, 2]} == strides
    assert (aim[mine] == [*box, TWO_LINES]).all()
    assert (role[~mine] == NEGATIVE).all()


def test_ignored_regions_are_skipped_but_not_where_a_plate_is() -> None:
    region = np.array([[40.0, 40, 60, 30]])
    role, _ = targets(plates(), region, 128)
    grid = cells(128, 128)
    inside = (np.abs(grid[:, 0] - 70) < 30) & (np.abs(grid[:, 1] - 55) < 15)
    assert (role[inside] == SKIPPED).all()
    assert (role == NEGATIVE).any()
    role, _ = targets(plates((50, 50, 30, 10, ONE_LINE)), region, 128)
    assert (role == POSITIVE).any()


def test_of_two_plates_the_smaller_takes_the_cell() -> None:
    large, small = (40, 40, 64, 32, ONE_LINE), (66, 50, 12, 12, TWO_LINES)
    for order in ((large, small), (small, large)):
        role, aim = targets(plates(*order), NONE, 128)
        grid = cells(128, 128)
        nearest = int(np.argmin(np.abs(grid[:, 0] - 72) + np.abs(grid[:, 1] - 56) + 100 * (grid[:, 2] != 8)))
        assert (role[nearest], aim[nearest, 4]) == (POSITIVE, TWO_LINES)


def test_cells_lie_in_the_order_of_the_levels() -> None:
    grid = cells(64, 96)
    assert [int((grid[:, 2] == stride).sum()) for stride in STRIDES] == [96, 24, 6]
    assert grid[:2].tolist() == [[4, 4, 8], [12, 4, 8]]
