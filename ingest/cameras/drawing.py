"""Drawings for a rendered camera: plates with made-up characters, cars, motorcycles, a street.

They are cartoons: flat colours, no perspective within a vehicle, characters in one stroke font. They exercise the path
of a picture through the platform, and are no measure of how well real plates are found.
"""

from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from schemas.batch import ONE_LINE, TWO_LINES

Picture: TypeAlias = NDArray[np.uint8]

FINENESS = 2
"""Vehicles are drawn with so many pixels per pixel of their largest size in a frame of 640x360."""
CAR_SIZE = (250, 200)
MOTORCYCLE_SIZE = (110, 168)
"""Width and height of vehicles in such a frame."""

_WHITE = (236, 240, 240)
_YELLOW = (70, 200, 236)
_INK = (28, 24, 24)
_FONT = cv2.FONT_HERSHEY_DUPLEX
_LETTERS = "ABCDEFGHKLMNPSTUVXYZ"
_ONE_LINE_SIZE = (376, 84)
_TWO_LINES_SIZE = (208, 156)
_PAINTS = ((60, 60, 66), (150, 152, 156), (120, 60, 40), (40, 40, 130), (70, 90, 60), (96, 110, 120), (30, 30, 34))


@dataclass(frozen=True, slots=True, eq=False)
class Sprite:
    """A vehicle to paste into a frame: `pixels` (h, w, 3) BGR, `mask` (h, w) 255 where the vehicle is opaque.

    `plate` is x, y, width and height in its pixels; `form` (`schemas.batch.ONE_LINE` or `TWO_LINES`) and `text` are
    the plate's.
    """

    pixels: Picture
    mask: Picture
    plate: tuple[int, int, int, int]
    form: int
    text: str


def car(rng: np.random.Generator, country: str) -> Sprite:
    """A car from the front, with a plate of one line."""
    width, height = (side * FINENESS for side in CAR_SIZE)
    pixels, mask = _canvas(width, height)
    paint = _paint(rng)
    dark = tuple(int(part * 0.55) for part in paint)
    f = FINENESS
    _box(pixels, mask, 12 * f, 70 * f, width - 12 * f, height - 22 * f, paint)
    cabin = np.array([(52 * f, 4 * f), (width - 52 * f, 4 * f), (width - 18 * f, 74 * f), (18 * f, 74 * f)])
    for canvas, colour in ((pixels, paint), (mask, 255)):
        cv2.fillConvexPoly(canvas, cabin, colour, cv2.LINE_AA)
    glass = np.array([(60 * f, 14 * f), (width - 60 * f, 14 * f), (width - 34 * f, 66 * f), (34 * f, 66 * f)])
    cv2.fillConvexPoly(pixels, glass, (92, 84, 70), cv2.LINE_AA)
    for left in (24 * f, width - 60 * f):  # tyres, then lamps
        _box(pixels, mask, left, height - 24 * f, left + 36 * f, height - 2 * f, (22, 22, 22))
        cv2.ellipse(pixels, (left + 18 * f, 104 * f), (18 * f, 10 * f), 0, 0, 360, (216, 226, 230), -1, cv2.LINE_AA)
    for row in range(4):
        top = (96 + 7 * row) * f
        cv2.rectangle(pixels, (78 * f, top), (width - 78 * f, top + 3 * f), dark, -1)
    cv2.rectangle(pixels, (12 * f, 134 * f), (width - 12 * f, 174 * f), dark, -1)
    text = _one_line(rng, country)
    plate = _plate(text, ONE_LINE, _background(rng, 0.12), country)
    box = _put(pixels, plate, 88 * f, height - 47 * f)
    return Sprite(pixels, mask, box, ONE_LINE, text)


def motorcycle(rng: np.random.Generator, country: str) -> Sprite:
    """A motorcycle and its rider, seen from the back, with a plate of two lines."""
    width, height = (side * FINENESS for side in MOTORCYCLE_SIZE)
    pixels, mask = _canvas(width, height)
    paint, f, middle = _paint(rng), FINENESS, width // 2
    jacket = tuple(int(part) for part in rng.integers(40, 190, 3))
    for canvas, value in ((pixels, jacket), (mask, 255)):
        cv2.ellipse(canvas, (middle, 74 * f), (34 * f, 44 * f), 0, 0, 360, value, -1, cv2.LINE_AA)
    for canvas, value in ((pixels, tuple(255 - part for part in jacket)), (mask, 255)):
        cv2.circle(canvas, (middle, 24 * f), 20 * f, value, -1, cv2.LINE_AA)
    _box(pixels, mask, middle - 8 * f, 120 * f, middle + 8 * f, height - 2 * f, (20, 20, 20))
    _box(pixels, mask, middle - 32 * f, 92 * f, middle + 32 * f, 112 * f, paint)
    _box(pixels, mask, middle - 30 * f, 106 * f, middle + 30 * f, 154 * f, (38, 38, 42))
    cv2.ellipse(pixels, (middle, 102 * f), (14 * f, 5 * f), 0, 0, 360, (40, 40, 200), -1, cv2.LINE_AA)
    text = _two_lines(rng, country)
    plate = _plate(text, TWO_LINES, _background(rng, 0.05), country)
    box = _put(pixels, plate, 50 * f, 130 * f)
    return Sprite(pixels, mask, box, TWO_LINES, text)


def street(rng: np.random.Generator, width: int, height: int, markings: tuple[float, ...]) -> Picture:
    """A road seen from above, shape (height, width, 3), BGR: asphalt, pavements, dashed lines at `markings`.

    `markings` are distances from the middle, in frame widths at the lower edge; lines converge towards the upper one.
    """
    grain = rng.normal(0, 1, (height, width)).astype(np.float32)
    coarse = np.asarray(cv2.GaussianBlur(np.roll(grain, 7), (0, 0), width / 40), np.float32)
    coarse = coarse * np.float32(9) / np.abs(coarse).max()
    road = np.asarray(92 + 5 * cv2.GaussianBlur(grain, (0, 0), 0.8) + coarse, np.float32)
    picture = cv2.merge([road + 3, road, road - 2])
    paving = _paving(width, height) + 3 * grain[..., None]
    for side in (-1, 1):
        edge = np.array([_on_road(side * 0.5, row, width, height) for row in (0, height)])
        border = np.array([(width if side > 0 else 0, height), (width if side > 0 else 0, 0)])
        shape = np.zeros((height, width), np.uint8)
        cv2.fillPoly(shape, [np.vstack((edge, border)).astype(np.int32)], 1)
        picture[shape > 0] = paving[shape > 0]
    for marking in markings:
        for dash in range(0, height, max(height // 5, 2)):
            ends = [_on_road(marking, row, width, height) for row in (dash, dash + height // 10)]
            cv2.line(picture, ends[0], ends[1], (186, 190, 190), max(width // 160, 1), cv2.LINE_AA)
    light = float(rng.uniform(0.8, 1.15))
    return np.asarray(np.clip(picture * light, 0, 255), np.uint8)


def nearness(row: float, height: int) -> float:
    """Size at a row of the frame, 1 at its lower edge."""
    return 0.6 + 0.4 * row / height


def _on_road(offset: float, row: int, width: int, height: int) -> tuple[int, int]:
    return round(width * (0.5 + offset * nearness(row, height))), row


def _paving(width: int, height: int) -> NDArray[np.float32]:
    """Slabs, shape (height, width, 3)."""
    slabs = np.full((height, width, 3), (128, 132, 136), np.float32)
    side = max(width // 26, 4)
    slabs[::side] -= 26
    slabs[:, ::side] -= 26
    return slabs


def _canvas(width: int, height: int) -> tuple[Picture, Picture]:
    return np.zeros((height, width, 3), np.uint8), np.zeros((height, width), np.uint8)


def _box(pixels: Picture, mask: Picture, left: int, top: int, right: int, bottom: int, colour: tuple[int, ...]) -> None:
    cv2.rectangle(pixels, (left, top), (right, bottom), colour, -1)
    cv2.rectangle(mask, (left, top), (right, bottom), 255, -1)


def _paint(rng: np.random.Generator) -> tuple[int, ...]:
    return _PAINTS[int(rng.integers(len(_PAINTS)))]


def _background(rng: np.random.Generator, yellow: float) -> tuple[int, int, int]:
    return _YELLOW if rng.random() < yellow else _WHITE


def _put(pixels: Picture, plate: Picture, width: int, middle: int) -> tuple[int, int, int, int]:
    """Paste a plate in the horizontal middle, its own middle at the row `middle`. Returns where it is."""
    height = round(plate.shape[0] * width / plate.shape[1])
    left, top = (pixels.shape[1] - width) // 2, middle - height // 2
    pixels[top : top + height, left : left + width] = cv2.resize(plate, (width, height), interpolation=cv2.INTER_AREA)
    return left, top, width, height


def _digits(rng: np.random.Generator, count: int) -> str:
    return "".join(str(digit) for digit in rng.integers(0, 10, count))


def _letter(rng: np.random.Generator) -> str:
    return _LETTERS[int(rng.integers(len(_LETTERS)))]


def _one_line(rng: np.random.Generator, country: str) -> str:
    if country == "VN":
        return f"{_digits(rng, 2)}{_letter(rng)}-{_digits(rng, 3)}.{_digits(rng, 2)}"
    return f"{_digits(rng, 2)} {_letter(rng)} {_digits(rng, 3)} {_digits(rng, 2)}"


def _two_lines(rng: np.random.Generator, country: str) -> str:
    if country == "VN":
        return f"{_digits(rng, 2)}-{_letter(rng)}{_digits(rng, 1)} {_digits(rng, 3)}.{_digits(rng, 2)}"
    return f"{_digits(rng, 3)} {_digits(rng, 5)}"


def _plate(text: str, form: int, background: tuple[int, int, int], country: str) -> Picture:
    width, height = _ONE_LINE_SIZE if form == ONE_LINE else _TWO_LINES_SIZE
    plate = np.full((height, width, 3), background, np.uint8)
    left = 0
    if country == "IR" and form == ONE_LINE:
        left = 30
        cv2.rectangle(plate, (0, 0), (left, height), (150, 60, 20), -1)
    lines = [text] if form == ONE_LINE else text.split(" ")
    row = (height - 12) // len(lines)
    for index, line in enumerate(lines):
        _write(plate, line, left + 12, 8 + index * row, width - 12, 4 + (index + 1) * row)
    cv2.rectangle(plate, (0, 0), (width - 1, height - 1), _INK, 5)
    return plate


def _write(plate: Picture, text: str, left: int, top: int, right: int, bottom: int) -> None:
    """Draw text so that its ink fills a box, which has the one colour of its upper left pixel."""
    (width, height), below = cv2.getTextSize(text, _FONT, 2.0, 7)
    ink = np.full((height + below + 8, width + 8), 255, np.uint8)
    cv2.putText(ink, text, (4, height + 4), _FONT, 2.0, 0, 7, cv2.LINE_AA)
    rows, columns = np.flatnonzero((ink < 128).any(1)), np.flatnonzero((ink < 128).any(0))
    cut = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    fitted = cv2.resize(cut, (right - left, bottom - top), interpolation=cv2.INTER_AREA)
    ground = np.arange(256)[:, None] / 255.0
    colours = np.rint(plate[top, left] * ground + np.array(_INK) * (1 - ground)).astype(np.uint8)
    plate[top:bottom, left:right] = colours[fitted]
