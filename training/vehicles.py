"""Cars and motorcycles, drawn roughly around the place of their plate."""

import cv2
import numpy as np

from training.clutter import badge, grille, lettering, sticker
from training.layout import Boxes
from training.pasting import paste
from training.plates import TWO_LINES, DrawnPlate
from training.shapes import Colour, Picture, colour, gradient, rectangle, shade


def vehicle(
    rng: np.random.Generator, picture: Picture, x: float, y: float, w: float, plate: DrawnPlate | None
) -> Boxes | None:
    """Draw the front or rear of a vehicle around the place of its plate, x, y, `w` pixels wide.

    Draws the plate too, if there is one, and returns its box and form, shape (5,).
    """
    aspect = plate.picture.shape[1] / plate.picture.shape[0] if plate else 3.0
    if plate is not None and plate.form == TWO_LINES and rng.random() < 0.7:
        _motorcycle(rng, picture, x, y, w)
    else:
        _car(rng, picture, x, y, w, w / aspect)
    if plate is None:
        return None
    if rng.random() < 0.25:
        _frame(rng, picture, x, y, w, w / aspect)
    return paste(rng, picture, plate, x, y, w)


def _car(rng: np.random.Generator, picture: Picture, x: float, y: float, w: float, h: float) -> None:
    """A car around a plate of w by h pixels at x, y."""
    unit = max(w, 2.0 * h) / float(rng.uniform(0.2, 0.34))  # the car's width
    body = colour(rng)
    centre = y - float(rng.uniform(0.05, 0.3)) * unit
    _body(rng, picture, x, y, unit, centre, body)
    if rng.random() < 0.5:  # the bumper
        high = h * float(rng.uniform(1.6, 3.0))
        ink = (28, 26, 26) if rng.random() < 0.5 else shade(body, 0.8)
        rectangle(picture, x, y + h * 0.2, unit * 1.02, high, ink, 0.4)
    _lamps(rng, picture, x, centre, unit)
    if rng.random() < 0.4:
        above = y - h * float(rng.uniform(1.2, 2.5))
        grille(rng, picture, x, above, w * float(rng.uniform(1.0, 2.2)), h * float(rng.uniform(0.8, 2.0)))
    if rng.random() < 0.6:  # the recess of the plate
        wide, high = w * float(rng.uniform(1.1, 1.7)), h * float(rng.uniform(1.15, 1.9))
        rectangle(picture, x, y, wide, high, shade(body, float(rng.uniform(0.35, 1.15))), 0.3)
    _marks(rng, picture, x, y, w, h)
    if rng.random() < 0.3:
        aside = x + float(rng.uniform(-0.3, 0.3)) * unit
        sticker(rng, picture, aside, centre - 0.3 * unit, w * float(rng.uniform(0.2, 0.5)))


def _body(
    rng: np.random.Generator, picture: Picture, x: float, y: float, unit: float, centre: float, body: Colour
) -> None:
    """Shadow, wheels, body, window and creases of a car that is `unit` wide."""
    rectangle(picture, x, y + 0.3 * unit, unit * 1.05, 0.25 * unit, (22, 22, 24), 0.3)  # shadow and wheels
    rectangle(picture, x, centre - 0.1 * unit, unit, 0.75 * unit, body, float(rng.uniform(0.1, 0.5)))
    gradient(rng, picture, x, centre - 0.1 * unit, unit, 0.75 * unit)
    glass = np.array([[-0.4, -0.18], [0.4, -0.18], [0.3, -0.43], [-0.3, -0.43]]) * unit + [x, centre]
    cv2.fillPoly(picture, [glass.astype(np.int32)], shade((70, 66, 60), float(rng.uniform(0.3, 2.2))), cv2.LINE_AA)
    for at in rng.uniform(-0.12, 0.3, int(rng.integers(1, 5))):
        left, right = (round(x - unit / 2), round(centre + at * unit)), (round(x + unit / 2), round(centre + at * unit))
        ink = shade(body, float(rng.uniform(0.4, 1.4)))
        cv2.line(picture, left, right, ink, max(round(unit / 160), 1), cv2.LINE_AA)


def _marks(rng: np.random.Generator, picture: Picture, x: float, y: float, w: float, h: float) -> None:
    """Badge and lettering around a plate of w by h pixels."""
    if rng.random() < 0.7:
        badge(rng, picture, x, y - h * float(rng.uniform(1.3, 2.8)), h * float(rng.uniform(0.5, 1.1)))
    for _ in range(int(rng.integers(0, 4))):
        side = float(rng.choice([-1, 1])) * float(rng.uniform(0.8, 1.6)) * w
        lettering(rng, picture, x + side, y - h * float(rng.uniform(-0.8, 2.2)), w * float(rng.uniform(0.3, 0.8)))


def _lamps(rng: np.random.Generator, picture: Picture, x: float, y: float, unit: float) -> None:
    rear = rng.random() < 0.6
    ink = (30, 25, int(rng.integers(120, 235))) if rear else (215, 215, 210)
    away, w, h = float(rng.uniform(0.33, 0.44)), float(rng.uniform(0.1, 0.22)), float(rng.uniform(0.06, 0.2))
    up = float(rng.uniform(-0.05, 0.15))
    for side in (-1, 1):
        at, level = x + side * away * unit, y - up * unit
        rectangle(picture, at, level, w * unit, h * unit, ink, float(rng.uniform(0, 0.9)))
        if rng.random() < 0.8:
            inner = (235, 235, 235) if rng.random() < 0.5 else (30, 140, 240)
            rectangle(picture, at, level + 0.2 * h * unit, 0.6 * w * unit, 0.3 * h * unit, inner, 0.3)
        if rng.random() < 0.3:
            cv2.circle(
                picture, (round(at), round(level)), max(round(0.4 * h * unit), 1), (250, 250, 255), -1, cv2.LINE_AA
            )


def _motorcycle(rng: np.random.Generator, picture: Picture, x: float, y: float, w: float) -> None:
    """The rear of a motorcycle around a plate `w` pixels wide at x, y."""
    dark, body = (30, 28, 28), colour(rng)
    rectangle(picture, x, y + 1.6 * w, w * float(rng.uniform(0.6, 0.9)), 2.4 * w, (25, 25, 27), 0.8)
    rectangle(picture, x, y - 0.2 * w, w * float(rng.uniform(1.0, 1.3)), 1.6 * w, dark, 0.5)
    rectangle(picture, x, y - 1.5 * w, w * float(rng.uniform(1.2, 2.2)), 1.5 * w, body, 0.6)
    gradient(rng, picture, x, y - 1.5 * w, 2 * w, 1.5 * w)
    rectangle(
        picture,
        x,
        y - w * float(rng.uniform(0.8, 1.2)),
        w * float(rng.uniform(0.5, 1.2)),
        0.4 * w,
        (30, 25, int(rng.integers(130, 240))),
        0.5,
    )
    for side in (-1, 1):
        lamp = (round(x + side * w * float(rng.uniform(0.8, 1.1))), round(y - 0.7 * w))
        cv2.circle(picture, lamp, max(round(0.15 * w), 1), (30, 120, 235), -1, cv2.LINE_AA)
    if rng.random() < 0.6:
        cv2.line(
            picture,
            (round(x + 0.9 * w), round(y - 0.2 * w)),
            (round(x + 1.2 * w), round(y + 1.2 * w)),
            (170, 170, 170),
            max(round(0.3 * w), 2),
            cv2.LINE_AA,
        )
    if rng.random() < 0.5:
        lettering(rng, picture, x, y - 1.7 * w, w * float(rng.uniform(0.5, 1.0)))


def _frame(rng: np.random.Generator, picture: Picture, x: float, y: float, w: float, h: float) -> None:
    """A dealer's frame, with the dealer's name below or above the plate."""
    wide = h * float(rng.uniform(0.06, 0.16))
    rectangle(picture, x, y, w + 2 * wide, h + 2.4 * wide, colour(rng), 0.1)
    if wide > 4 and rng.random() < 0.6:
        lettering(rng, picture, x, y + h / 2 + 0.6 * wide, 0.6 * w, height=wide)
