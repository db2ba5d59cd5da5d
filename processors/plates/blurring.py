"""Making plates unreadable in pictures that people may see."""

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]

_CELLS = (3, 2)
"""Columns and rows of averages to which a region is reduced: too few to recover a character from."""


def grown(regions: NDArray[np.void], margin: float, shape: tuple[int, ...]) -> NDArray[np.void]:
    """Regions, each grown by this share of its width and height on every side, inside a picture of this shape."""
    out = regions.copy()
    for begin, length, limit in (("x", "w", shape[1]), ("y", "h", shape[0])):
        low, side = regions[begin].astype(np.float64), regions[length].astype(np.float64)
        first = np.clip(np.floor(low - margin * side), 0, limit)
        last = np.clip(np.ceil(low + side + margin * side), 0, limit)
        out[begin], out[length] = first, last - first
    return out


def blurred(picture: Picture, regions: NDArray[np.void], margin: float) -> Picture:
    """A copy of a picture, shape (h, w, 3), with its regions (grown by `margin`) reduced to a few shades."""
    out = picture.copy()
    for region in grown(regions, margin, picture.shape):
        x, y, w, h = (int(region[name]) for name in ("x", "y", "w", "h"))
        part = out[y : y + h, x : x + w]
        if part.size:
            few = cv2.resize(part, _CELLS, interpolation=cv2.INTER_AREA)
            part[:] = cv2.resize(few, (w, h), interpolation=cv2.INTER_LINEAR)
    return out
