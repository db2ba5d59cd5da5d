"""Number plates of many countries, drawn flat and clean: the general styles, not the exact rules of one country."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from training.glyphs import DIGITS, FONTS, LETTERS, OWN, PERSIAN_DIGITS, PERSIAN_LETTERS, written
from training.shapes import Colour, Picture

ONE_LINE = 1
TWO_LINES = 2
"""As `schemas.batch` numbers the forms."""

_HEIGHT = 96
_BLACK: Colour = (20, 18, 18)
_WHITE: Colour = (238, 238, 238)
_YELLOW: Colour = (30, 195, 240)
_BLUE: Colour = (150, 60, 20)
_RED: Colour = (40, 30, 170)
_GREEN: Colour = (70, 120, 30)


@dataclass(frozen=True, slots=True, eq=False)
class DrawnPlate:
    """A plate as seen from the front: BGR pixels and the number of its lines of characters."""

    picture: Picture
    form: int


def draw_plate(rng: np.random.Generator, form: int | None = None) -> DrawnPlate:
    """A plate of some style, of the given form, or of any form."""
    styles = _ONE_LINE_STYLES if form == ONE_LINE else _TWO_LINES_STYLES if form == TWO_LINES else _ALL_STYLES
    draw, weights = zip(*styles, strict=True)
    plate: DrawnPlate = draw[rng.choice(len(draw), p=np.array(weights) / sum(weights))](rng)
    return plate


def _pick(rng: np.random.Generator, text: str, count: int) -> str:
    return "".join(text[i] for i in rng.integers(0, len(text), count))


def _some(rng: np.random.Generator, *colours: Colour) -> Colour:
    """One of the colours, slightly changed."""
    base = np.array(colours[int(rng.integers(len(colours)))]) + rng.normal(0, 12, 3)
    b, g, r = np.clip(base, 0, 255).astype(int).tolist()
    return b, g, r


def _ground(aspect: float, colour: Colour) -> Picture:
    return np.full((_HEIGHT, round(_HEIGHT * aspect), 3), colour, np.uint8)


def _write(
    rng: np.random.Generator,
    plate: Picture,
    text: str,
    box: tuple[float, float, float, float],
    ink: Colour,
    font: int | None = None,
) -> None:
    """Text into a box given as shares of the plate: left, top, right, bottom."""
    height, width = plate.shape[:2]
    left, top, right, bottom = (
        round(box[0] * width),
        round(box[1] * height),
        round(box[2] * width),
        round(box[3] * height),
    )
    if font is None:
        font = FONTS[int(rng.integers(len(FONTS)))]
    mask = written(rng, text, right - left, bottom - top, font, int(rng.integers(1, 4)))
    part = plate[top:bottom, left:right]
    share = mask[..., None].astype(np.float32) / 255
    part[:] = (part * (1 - share) + np.array(ink, np.float32) * share).astype(np.uint8)


def _edge(rng: np.random.Generator, plate: Picture, ink: Colour, chance: float = 0.6) -> None:
    if rng.random() < chance:
        inset = int(rng.integers(1, 5))
        cv2.rectangle(
            plate,
            (inset, inset),
            (plate.shape[1] - 1 - inset, plate.shape[0] - 1 - inset),
            ink,
            int(rng.integers(1, 4)),
        )


def _strip(rng: np.random.Generator, plate: Picture, width: float, text: str) -> None:
    """The blue country strip on the left, with a mark above its letters."""
    height, edge = plate.shape[0], round(width * plate.shape[1])
    plate[:, :edge] = _some(rng, _BLUE)
    cv2.circle(plate, (edge // 2, height // 3), max(edge // 4, 2), _some(rng, _YELLOW, _WHITE, _GREEN), 2)
    _write(rng, plate, text, (0.15 * width, 0.65, 0.85 * width, 0.88), _WHITE)


def _european(rng: np.random.Generator) -> DrawnPlate:
    plate = _ground(rng.uniform(4.0, 5.0), _some(rng, _WHITE, _WHITE, _WHITE, _YELLOW))
    ink = _some(rng, _BLACK, _BLACK, _BLACK, _RED, _BLUE)
    left = 0.04
    if rng.random() < 0.75:
        left = float(rng.uniform(0.07, 0.11))
        _strip(rng, plate, left, _pick(rng, LETTERS, int(rng.integers(1, 3))))
    right = 0.97
    if rng.random() < 0.15:
        right = 0.91
        plate[:, round(0.92 * plate.shape[1]) :] = _some(rng, _BLUE)
    text = _pick(rng, LETTERS, int(rng.integers(1, 4)))
    text += str(rng.choice(["", " ", "-", " "])) + _pick(rng, DIGITS, int(rng.integers(2, 5)))
    if rng.random() < 0.6:
        text += " " + _pick(rng, LETTERS, int(rng.integers(1, 4)))
    top = float(rng.uniform(0.1, 0.2))
    _write(rng, plate, text, (left + 0.025, top, right, 1 - top), ink)
    _edge(rng, plate, ink)
    return DrawnPlate(plate, ONE_LINE)


def _american(rng: np.random.Generator) -> DrawnPlate:
    """A pale picture, large characters in the middle, the state above, a motto or nothing below."""
    plate = _ground(
        rng.uniform(1.85, 2.15), _some(rng, _WHITE, _WHITE, (225, 235, 200), (200, 225, 245), (235, 215, 190))
    )
    _wash(rng, plate)
    ink = _some(rng, _BLACK, (90, 40, 20), _BLUE, _RED, _GREEN, (60, 20, 60))
    second = _some(rng, ink, _RED, _BLUE, _GREEN)
    count = int(rng.integers(5, 8))
    text = "".join(str(rng.choice(list(LETTERS + DIGITS * 2))) for _ in range(count))
    if rng.random() < 0.6:
        cut = int(rng.integers(2, 5))
        text = text[:cut] + str(rng.choice([" ", "-", ".", " "])) + text[cut:]
    top = float(rng.uniform(0.22, 0.3))
    bottom = float(rng.uniform(0.74, 0.84))
    inset = float(rng.uniform(0.04, 0.1))
    _write(rng, plate, text, (inset, top, 1 - inset, bottom), ink)
    if rng.random() < 0.85:
        margin = float(rng.uniform(0.15, 0.35))
        _write(
            rng, plate, _pick(rng, LETTERS, int(rng.integers(5, 12))), (margin, 0.06, 1 - margin, top - 0.05), second
        )
    if rng.random() < 0.65:
        margin = float(rng.uniform(0.1, 0.3))
        _write(
            rng, plate, _pick(rng, LETTERS, int(rng.integers(8, 16))), (margin, bottom + 0.05, 1 - margin, 0.95), second
        )
    if rng.random() < 0.3:  # month and year
        _patch(rng, plate, (0.03, 0.04, 0.13, 0.2))
        _patch(rng, plate, (0.87, 0.04, 0.97, 0.2))
    _edge(rng, plate, second, 0.3)
    return DrawnPlate(plate, ONE_LINE)


def _wash(rng: np.random.Generator, plate: Picture) -> None:
    """A pale gradient or scene behind the characters."""
    height = plate.shape[0]
    chance = rng.random()
    if chance < 0.5:
        other = np.array(
            _some(rng, _WHITE, (255, 220, 170), (190, 230, 255), (210, 190, 255), (190, 235, 190)), np.float32
        )
        share = np.linspace(0, float(rng.uniform(0.3, 1)), height, dtype=np.float32)[:: rng.choice([-1, 1]), None, None]
        plate[:] = (plate * (1 - share) + other * share).astype(np.uint8)
    elif chance < 0.7:
        band = round(float(rng.uniform(0.18, 0.28)) * height)
        plate[:band] = _some(rng, _BLUE, _RED, _YELLOW, _GREEN)
        if rng.random() < 0.5:
            plate[-band // 2 :] = _some(rng, _BLUE, _RED, _YELLOW, _GREEN)
    elif chance < 0.85:
        points = rng.uniform(0, 1, (6, 2)) * [plate.shape[1], height]
        cv2.fillPoly(plate, [points.astype(np.int32)], _some(rng, (230, 210, 190), (200, 220, 200), (190, 210, 240)))


def _patch(rng: np.random.Generator, plate: Picture, box: tuple[float, float, float, float]) -> None:
    height, width = plate.shape[:2]
    begin, end = (round(box[0] * width), round(box[1] * height)), (round(box[2] * width), round(box[3] * height))
    cv2.rectangle(plate, begin, end, _some(rng, _RED, _BLUE, _YELLOW, _GREEN), -1)


def _brazilian(rng: np.random.Generator) -> DrawnPlate:
    """Grey with the town above, or the later white one with a blue band."""
    if rng.random() < 0.7:
        ground, ink = ((165, 165, 165), _BLACK) if rng.random() < 0.75 else (_RED, _WHITE)
        plate = _ground(rng.uniform(2.9, 3.25), _some(rng, ground))
        _write(
            rng,
            plate,
            _pick(rng, LETTERS, 2) + "-" + _pick(rng, LETTERS, int(rng.integers(4, 12))),
            (0.2, 0.07, 0.8, 0.23),
            ink,
        )
        text = _pick(rng, LETTERS, 3) + str(rng.choice([" ", "-", "."])) + _pick(rng, DIGITS, 4)
    else:
        ink = _some(rng, _BLACK)
        plate = _ground(rng.uniform(2.9, 3.25), _some(rng, _WHITE))
        plate[: round(0.26 * _HEIGHT)] = _some(rng, _BLUE)
        _write(rng, plate, _pick(rng, LETTERS, 6), (0.35, 0.07, 0.65, 0.2), _WHITE)
        text = _pick(rng, LETTERS, 3) + _pick(rng, DIGITS, 1) + _pick(rng, LETTERS, 1) + _pick(rng, DIGITS, 2)
    _write(rng, plate, text, (0.05, 0.32, 0.95, 0.9), ink)
    _edge(rng, plate, ink, 0.4)
    return DrawnPlate(plate, ONE_LINE)


def _vietnamese_colours(rng: np.random.Generator) -> tuple[Colour, Colour]:
    chance = rng.random()
    if chance < 0.7:
        return _some(rng, _WHITE), _some(rng, _BLACK)
    return (_some(rng, _YELLOW), _some(rng, _BLACK)) if chance < 0.87 else (_some(rng, _BLUE), _WHITE)


def _vietnamese_long(rng: np.random.Generator) -> DrawnPlate:
    ground, ink = _vietnamese_colours(rng)
    plate = _ground(rng.uniform(4.0, 4.8), ground)
    text = _pick(rng, DIGITS, 2) + _pick(rng, LETTERS, 1) + "-" + _pick(rng, DIGITS, 3) + "." + _pick(rng, DIGITS, 2)
    _write(rng, plate, text, (0.04, 0.16, 0.96, 0.84), ink)
    _edge(rng, plate, ink)
    return DrawnPlate(plate, ONE_LINE)


def _vietnamese_two(rng: np.random.Generator) -> DrawnPlate:
    ground, ink = _vietnamese_colours(rng)
    plate = _ground(rng.uniform(1.2, 1.45) if rng.random() < 0.7 else rng.uniform(1.8, 2.1), ground)
    above = _pick(rng, DIGITS, 2) + "-" + _pick(rng, LETTERS, 1) + _pick(rng, DIGITS, int(rng.integers(0, 2)))
    below = _pick(rng, DIGITS, 3) + "." + _pick(rng, DIGITS, 2) if rng.random() < 0.7 else _pick(rng, DIGITS, 4)
    margin = float(rng.uniform(0.08, 0.18))
    _write(rng, plate, above, (margin, 0.09, 1 - margin, 0.46), ink)
    _write(rng, plate, below, (0.07, 0.54, 0.93, 0.92), ink)
    _edge(rng, plate, ink)
    return DrawnPlate(plate, TWO_LINES)


def _iranian(rng: np.random.Generator) -> DrawnPlate:
    ground = _some(rng, _WHITE, _WHITE, _WHITE, _YELLOW, _GREEN, _RED)
    ink = _WHITE if sum(ground) < 330 else _some(rng, _BLACK)
    plate = _ground(rng.uniform(4.3, 4.8), ground)
    _strip(rng, plate, 0.085, "IR")
    text = _pick(rng, PERSIAN_DIGITS, 2) + _pick(rng, PERSIAN_LETTERS, 1) + _pick(rng, PERSIAN_DIGITS, 3)
    _write(rng, plate, text, (0.11, 0.15, 0.76, 0.85), ink)
    line = round(0.8 * plate.shape[1])
    cv2.line(plate, (line, 0), (line, _HEIGHT), ink, 2)
    _write(rng, plate, _pick(rng, PERSIAN_DIGITS, 2), (0.84, 0.38, 0.96, 0.9), ink)
    _write(rng, plate, "ان", (0.85, 0.1, 0.95, 0.27), ink, OWN)
    _edge(rng, plate, ink)
    return DrawnPlate(plate, ONE_LINE)


def _iranian_motorcycle(rng: np.random.Generator) -> DrawnPlate:
    plate = _ground(rng.uniform(1.1, 1.45), _some(rng, _WHITE))
    ink = _some(rng, _BLACK)
    _strip(rng, plate, 0.16, "IR")
    _write(rng, plate, _pick(rng, PERSIAN_DIGITS, 3), (0.25, 0.08, 0.92, 0.45), ink)
    _write(rng, plate, _pick(rng, PERSIAN_DIGITS, 5), (0.2, 0.53, 0.93, 0.93), ink)
    _edge(rng, plate, ink)
    return DrawnPlate(plate, TWO_LINES)


def _banded(rng: np.random.Generator) -> DrawnPlate:
    """A coloured band above one or two lines in another script."""
    form = ONE_LINE if rng.random() < 0.4 else TWO_LINES
    plate = _ground(rng.uniform(1.8, 2.2) if form == ONE_LINE else rng.uniform(0.8, 1.3), _some(rng, _WHITE))
    ink = _some(rng, _BLACK)
    band = float(rng.uniform(0.18, 0.3))
    plate[: round(band * _HEIGHT)] = _some(rng, _BLUE, (200, 150, 60), _RED, _GREEN, (0, 110, 230))
    signs = PERSIAN_DIGITS + PERSIAN_LETTERS
    if form == ONE_LINE:
        _write(rng, plate, _pick(rng, signs, int(rng.integers(5, 8))), (0.06, band + 0.1, 0.94, 0.9), ink)
    else:
        middle = (1 + band) / 2
        _write(rng, plate, _pick(rng, signs, int(rng.integers(2, 4))), (0.1, band + 0.06, 0.9, middle), ink)
        _write(rng, plate, _pick(rng, PERSIAN_DIGITS, int(rng.integers(3, 5))), (0.1, middle + 0.05, 0.9, 0.94), ink)
    return DrawnPlate(plate, form)


def _any(rng: np.random.Generator) -> DrawnPlate:
    """Any colours, any shape, any characters."""
    light = _some(rng, _WHITE, _YELLOW, (180, 220, 160), (210, 200, 190))
    dark = _some(rng, _BLACK, _BLUE, _RED, _GREEN)
    ground, ink = (light, dark) if rng.random() < 0.65 else (dark, light)
    form = ONE_LINE if rng.random() < 0.6 else TWO_LINES
    plate = _ground(rng.uniform(1.7, 5) if form == ONE_LINE else rng.uniform(0.9, 2.1), ground)
    font = OWN if rng.random() < 0.3 else None
    signs = LETTERS + DIGITS * 3
    if form == ONE_LINE:
        _write(rng, plate, _pick(rng, signs, int(rng.integers(4, 9))), (0.06, 0.17, 0.94, 0.83), ink, font)
    else:
        _write(rng, plate, _pick(rng, signs, int(rng.integers(2, 5))), (0.12, 0.08, 0.88, 0.46), ink, font)
        _write(rng, plate, _pick(rng, signs, int(rng.integers(3, 7))), (0.07, 0.54, 0.93, 0.92), ink, font)
    _edge(rng, plate, ink)
    return DrawnPlate(plate, form)


_Style = tuple[Callable[[np.random.Generator], DrawnPlate], float]
_ONE_LINE_STYLES: tuple[_Style, ...] = (
    (_european, 3), (_american, 4), (_brazilian, 3), (_vietnamese_long, 1.5), (_iranian, 2),
)  # fmt: skip
_TWO_LINES_STYLES: tuple[_Style, ...] = ((_vietnamese_two, 4), (_iranian_motorcycle, 1))
_ALL_STYLES: tuple[_Style, ...] = (*_ONE_LINE_STYLES, *_TWO_LINES_STYLES, (_banded, 1.5), (_any, 2))
