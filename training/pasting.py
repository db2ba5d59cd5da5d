"""Puts a plate into a picture as a camera would see it there: small, weathered, turned, and with soft edges."""

import cv2
import numpy as np
from numpy.typing import NDArray

from training.degrade import weathered
from training.layout import Boxes
from training.plates import DrawnPlate
from training.shapes import Picture

_FINER = 4
_SEEN_FROM_ASIDE = 0.1


def paste(
    rng: np.random.Generator,
    picture: Picture,
    plate: DrawnPlate,
    x: float,
    y: float,
    w: float,
    tilt: float = 0.12,
    light: float | None = None,
) -> Boxes:
    """Put a plate of width `w` with its centre at x, y into the picture; its bounding box and form, shape (5,).

    `tilt` bounds how far its corners move, as a share of its height; `light` is its brightness, random if None.
    """
    height, width = plate.picture.shape[:2]
    h = w * height / width
    light = float(rng.uniform(0.55, 1.0)) if light is None else light
    small = cv2.resize(plate.picture, (max(round(w), 4), max(round(h), 3)), interpolation=cv2.INTER_AREA)
    seen = weathered(rng, np.asarray(small, np.uint8), light)
    corners = np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float64)
    turn = float(rng.normal(0, tilt * 0.5))
    rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    squeezed = float(rng.uniform(0.55, 1.0)) if tilt >= _SEEN_FROM_ASIDE and rng.random() < 0.3 else 1.0
    placed = (corners - [w / 2, h / 2]) * [squeezed, float(rng.uniform(0.88, 1.1))]
    placed[:, 1] += placed[:, 0] * float(rng.uniform(-0.6, 0.6)) * (1 - squeezed)
    placed = placed @ rotation
    placed += rng.uniform(-tilt, tilt, (4, 2)) * [h * 0.5, h * 0.5] + [x, y]
    _warp(picture, seen, placed)
    low, high = placed.min(0), placed.max(0)
    return np.concatenate((low, high - low, [plate.form]))


def _warp(picture: Picture, part: Picture, corners: Boxes) -> None:
    """Draw `part` so that its corners lie on these, with soft edges."""
    height, width = picture.shape[:2]
    low = np.floor(corners.min(0)).astype(int) - 2
    high = np.ceil(corners.max(0)).astype(int) + 2
    left, top, right, bottom = max(low[0], 0), max(low[1], 0), min(high[0], width), min(high[1], height)
    if right <= left or bottom <= top:
        return
    ph, pw = part.shape[:2]
    source = np.array([[0, 0], [pw, 0], [pw, ph], [0, ph]], np.float32) - 0.5
    matrix = cv2.getPerspectiveTransform(source, (corners - [left, top] - 0.5).astype(np.float32))
    size = (int(right - left), int(bottom - top))
    drawn = cv2.warpPerspective(part, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    share = _coverage(corners - [left, top], size)[..., None]
    under = picture[top:bottom, left:right]
    under[:] = (under * (1 - share) + drawn * share).astype(np.uint8)


def _coverage(corners: Boxes, size: tuple[int, int]) -> NDArray[np.float32]:
    """How much of each pixel lies inside these corners, 0 to 1; OpenCV's own soft edges would make a plate larger."""
    mask = np.zeros((size[1] * _FINER, size[0] * _FINER), np.uint8)
    shifted = np.round((corners * _FINER - 0.5) * 16).astype(np.int32)
    cv2.fillConvexPoly(mask, shifted, 255, cv2.LINE_8, 4)
    return np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_AREA), np.float32) / np.float32(255)
