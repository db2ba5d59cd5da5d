"""Shapes that vehicles and clutter are drawn from. Pictures are BGR, shape (h, w, 3), and are drawn on in place."""

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Colour = tuple[int, int, int]


def colour(rng: np.random.Generator) -> Colour:
    """A random colour for a body or a sign, BGR; grey more often than not, as cars are."""
    if rng.random() < 0.55:
        grey = float(rng.choice([25, 60, 120, 180, 225])) + float(rng.normal(0, 14))
        b, g, r = np.clip(grey + rng.normal(0, 5, 3), 0, 255).astype(int).tolist()
    else:
        b, g, r = rng.integers(0, 256, 3).tolist()
    return b, g, r


def shade(ink: Colour, by: float) -> Colour:
    """The colour, brighter or darker by a factor."""
    b, g, r = np.clip(np.array(ink) * by, 0, 255).astype(int).tolist()
    return b, g, r


def rectangle(picture: Picture, x: float, y: float, w: float, h: float, ink: Colour, round_by: float = 0.0) -> None:
    """A filled rectangle centred on x, y. `round_by`, 0 to 1, rounds its corners."""
    left, top, right, bottom = round(x - w / 2), round(y - h / 2), round(x + w / 2), round(y + h / 2)
    radius = round(round_by * min(w, h) / 2)
    if radius < 1:
        cv2.rectangle(picture, (left, top), (right, bottom), ink, -1)
        return
    cv2.rectangle(picture, (left + radius, top), (right - radius, bottom), ink, -1)
    cv2.rectangle(picture, (left, top + radius), (right, bottom - radius), ink, -1)
    for place in (
        (left + radius, top + radius),
        (right - radius, top + radius),
        (left + radius, bottom - radius),
        (right - radius, bottom - radius),
    ):
        cv2.circle(picture, place, radius, ink, -1, cv2.LINE_AA)


def gradient(rng: np.random.Generator, picture: Picture, x: float, y: float, w: float, h: float) -> None:
    """Shade a rectangle centred on x, y from top to bottom."""
    left, top, right, bottom = (max(round(v), 0) for v in (x - w / 2, y - h / 2, x + w / 2, y + h / 2))
    part = picture[top:bottom, left:right]
    if part.size:
        share = np.linspace(float(rng.uniform(0.9, 1.4)), float(rng.uniform(0.4, 1.0)), part.shape[0], dtype=np.float32)
        part[:] = np.clip(part * share[:, None, None], 0, 255).astype(np.uint8)
