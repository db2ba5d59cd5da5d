"""What a person may see: plates reduced to a few shades."""

import numpy as np

from processors.plates.blurring import blurred, grown
from schemas.batch import REGION


def regions(*rows: tuple[int, int, int, int]) -> np.ndarray:
    return np.array([(*row, 0.9, 1) for row in rows], REGION)


def test_a_region_keeps_no_more_than_six_shades_and_the_rest_is_untouched() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (60, 100, 3), np.uint8)
    out = blurred(picture, regions((20, 10, 30, 12)), 0.0)
    inside = out[10:22, 20:50].astype(float)
    assert inside.std() < picture[10:22, 20:50].std() / 4
    steps = np.abs(np.diff(inside, axis=1)).max()
    assert steps < 16, "nothing but slow slopes between averages"
    out[10:22, 20:50] = picture[10:22, 20:50]
    assert np.array_equal(out, picture)


def test_the_original_picture_is_not_changed() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (60, 100, 3), np.uint8)
    before = picture.copy()
    blurred(picture, regions((0, 0, 100, 60)), 0.5)
    assert np.array_equal(picture, before)


def test_regions_grow_on_every_side_up_to_the_edges() -> None:
    out = grown(regions((20, 10, 30, 12), (0, 0, 10, 10), (95, 55, 5, 5)), 0.1, (60, 100, 3))
    assert [tuple(region)[:4] for region in out.tolist()] == [(17, 8, 36, 16), (0, 0, 11, 11), (94, 54, 6, 6)]


def test_without_regions_the_picture_is_unchanged() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    assert np.array_equal(blurred(picture, np.empty(0, REGION), 0.1), picture)
    outside = regions((20, 20, 5, 5))
    assert np.array_equal(blurred(picture, outside, 0.0), picture)
    assert blurred(np.empty((0, 0, 3), np.uint8), np.empty(0, REGION), 0.1).size == 0
