"""What the trainer draws: plates of both forms, and boxes that lie where the plates are."""

import cv2
import numpy as np
import pytest

from training.glyphs import DIGITS, FONTS, LETTERS, PERSIAN_DIGITS, PERSIAN_LETTERS, glyph, written
from training.pasting import paste
from training.plates import ONE_LINE, TWO_LINES, DrawnPlate, draw_plate
from training.scenes import drawn_scene, surface


def test_every_character_has_a_form_of_its_own() -> None:
    for signs, fonts in ((LETTERS + DIGITS, FONTS), (PERSIAN_DIGITS + PERSIAN_LETTERS, (FONTS[0],))):
        for font in fonts:
            forms = {cv2.resize(glyph(sign, font, 2), (24, 24)).tobytes() for sign in signs}
            assert len(forms) == len(signs)


def test_text_fills_its_mask_from_end_to_end() -> None:
    mask = written(np.random.default_rng(0), "AB 12", 200, 40, FONTS[0], 2)
    columns = np.flatnonzero(mask.any(0))
    assert mask.shape == (40, 200)
    assert (columns[0] <= 4, columns[-1] >= 195) == (True, True)
    gaps = np.sort(np.diff(columns))
    assert 30 < gaps[-1] < 50, "the space between the words"
    assert gaps[-3] < 20, "and between characters less"


@pytest.mark.parametrize(("form", "shapes"), [(ONE_LINE, (1.7, 5.1)), (TWO_LINES, (1.0, 2.2))])
def test_plates_have_the_form_that_was_asked_for(form: int, shapes: tuple[float, float]) -> None:
    rng = np.random.default_rng(1)
    for _ in range(60):
        plate = draw_plate(rng, form)
        height, width = plate.picture.shape[:2]
        assert plate.form == form
        assert shapes[0] <= width / height <= shapes[1]
        assert plate.picture.std() > 10, "something stands on it"


def test_the_same_seed_draws_the_same_plates() -> None:
    one, other = ([draw_plate(np.random.default_rng(seed)).picture.tobytes() for seed in range(9)] for _ in range(2))
    assert one == other
    assert len(set(one)) == 9


def test_a_pasted_plate_lies_inside_its_box_and_fills_it() -> None:
    rng = np.random.default_rng(2)
    for _ in range(40):
        picture = np.full((200, 300, 3), 128, np.uint8)
        plate = DrawnPlate(np.full((96, 300, 3), (0, 0, 250), np.uint8), ONE_LINE)
        x, y, w, h, form = paste(rng, picture, plate, 150, 100, float(rng.uniform(30, 200)), light=1.0)
        ys, xs = np.nonzero((picture != 128).any(2))
        assert form == ONE_LINE
        assert np.abs([xs.min() - x, ys.min() - y, xs.max() + 1 - x - w, ys.max() + 1 - y - h]).max() < 1.3


def test_a_plate_outside_the_picture_changes_nothing() -> None:
    picture = surface(np.random.default_rng(3), 64, 64)
    before = picture.copy()
    paste(np.random.default_rng(3), picture, draw_plate(np.random.default_rng(3)), 500, 500, 40)
    assert np.array_equal(picture, before)


def test_scenes_have_plates_of_both_forms_and_some_have_none() -> None:
    rng = np.random.default_rng(4)
    scenes = [drawn_scene(rng, surface(rng, 256, 256)) for _ in range(40)]
    forms = {int(box[4]) for scene in scenes for box in scene}
    assert forms == {ONE_LINE, TWO_LINES}
    assert min(map(len, scenes)) == 0
    assert all(scene.shape[1] == 5 and (scene[:, 2:4] > 0).all() for scene in scenes)
