"""A rendered camera: a street with cars and motorcycles, drawn from a seed. A frame is the same every time."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from zlib import crc32

import cv2
import numpy as np
from numpy.typing import NDArray

from ingest.cameras.drawing import CAR_SIZE, MOTORCYCLE_SIZE, Picture, Sprite, car, motorcycle, nearness, street

_DRAWN_AT = (640, 360)
_LARGEST_SIDE = 4096
_SLOT_S = 3.0
"""A lane has at most one vehicle that begins in each slot; with the jitter, none ever covers another's plate."""
_JITTER_S = 0.5
_SPEED = (0.30, 0.34)
"""Frame heights a second; all vehicles of a lane go at one speed."""
_LONGEST_S = 5.5
"""The longest time in which a vehicle passes."""
_NOISE = 3.0
_SHIFT = 64
_KEPT = 24


@dataclass(frozen=True, slots=True)
class RenderedPlate:
    """A plate in a frame, in pixels; `form` is `schemas.batch.ONE_LINE` or `TWO_LINES`. `text` is for tests alone."""

    x: int
    y: int
    w: int
    h: int
    form: int
    text: str


@dataclass(frozen=True, slots=True)
class _Lane:
    """`offset` from the middle in frame widths at the lower edge; `share` of slots that hold a vehicle."""

    cars: bool
    offset: float
    share: float


_LANES = {
    "IR": (_Lane(True, -0.30, 0.75), _Lane(True, 0.10, 0.75), _Lane(False, 0.40, 0.15)),
    "VN": (_Lane(True, -0.28, 0.30), _Lane(False, 0.02, 0.55), _Lane(False, 0.21, 0.55), _Lane(False, 0.40, 0.55)),
}
"""Isfahan's cameras see mostly cars, Ho Chi Minh City's mostly motorcycles; other countries get the first mix."""


@dataclass(frozen=True, slots=True, eq=False)
class _Placed:
    """A vehicle in a frame, at its size there; `left` and `top` may lie outside."""

    sprite: Sprite
    left: int
    top: int
    width: int
    height: int


class RenderedCamera:
    """Frames of a street at `rate` frames a second, shape (height, width, 3), BGR; any frame at any time.

    `country` (ISO 3166, two letters) sets plates and the mix of vehicles. The same arguments give the same frames.
    Raises `ValueError` for a size or a rate that can't be drawn.
    """

    def __init__(self, seed: int, country: str, width: int = 640, height: int = 360, rate: float = 2.0) -> None:
        if not (64 <= width <= _LARGEST_SIDE and 36 <= height <= _LARGEST_SIDE):
            raise ValueError(f"a frame must have 64x36 to {_LARGEST_SIDE}x{_LARGEST_SIDE} pixels")
        if not 0 < rate <= 1000:
            raise ValueError("a rendered camera gives more than 0 and at most 1000 frames a second")
        self.width, self.height, self.rate = width, height, rate
        self._country = country
        self._entropy = (seed % 2**63, crc32(country.encode()))
        self._unit = min(width / _DRAWN_AT[0], height / _DRAWN_AT[1])
        self._lanes = _LANES.get(country, _LANES["IR"])
        rng = np.random.default_rng(self._entropy)
        self._speeds = rng.uniform(*_SPEED, len(self._lanes)).tolist()
        self._phases = rng.uniform(0, _SLOT_S, len(self._lanes)).tolist()
        between = tuple((a.offset + b.offset) / 2 for a, b in zip(self._lanes, self._lanes[1:], strict=False))
        self._street = street(rng, width, height, between)
        self._noise = _noise(width, height)
        self._begins = lru_cache(_KEPT)(self._begin)
        self._vehicle = lru_cache(_KEPT)(self._draw)

    def frame(self, number: int) -> Picture:
        """The frame of this number, from 0."""
        picture = self._street.copy()
        for placed in self._placed(number):
            _paste(picture, placed)
        # Like a sensor's noise, it makes every frame differ from the one before, even of an empty street.
        down, right = number * 17 % _SHIFT, number * 29 % _SHIFT
        noise = self._noise[down : down + self.height, right : right + self.width]
        return cv2.add(picture, noise, dtype=cv2.CV_8U).astype(np.uint8, copy=False)

    def truth(self, number: int) -> list[RenderedPlate]:
        """The plates that are fully in view in the frame of this number."""
        plates = []
        for placed in self._placed(number):
            x, y, w, h = placed.sprite.plate
            scale = placed.width / placed.sprite.pixels.shape[1]
            left, top = placed.left + round(x * scale), placed.top + round(y * scale)
            width, height = round(w * scale), round(h * scale)
            if left >= 0 and top >= 0 and left + width <= self.width and top + height <= self.height:
                plates.append(RenderedPlate(left, top, width, height, placed.sprite.form, placed.sprite.text))
        return plates

    def _placed(self, number: int) -> list[_Placed]:
        """The vehicles of a frame, far ones first."""
        at = number / self.rate
        placed = [vehicle for lane in range(len(self._lanes)) for vehicle in self._in_lane(lane, at)]
        return sorted(placed, key=lambda vehicle: (vehicle.top + vehicle.height, vehicle.left))

    def _in_lane(self, lane: int, at: float) -> Iterator[_Placed]:
        size = CAR_SIZE if self._lanes[lane].cars else MOTORCYCLE_SIZE
        for slot in range(int((at - _LONGEST_S) // _SLOT_S) - 1, int(at // _SLOT_S) + 1):
            begins = self._begins(lane, slot)
            if begins is None or at < begins:
                continue
            bottom = self.height * self._speeds[lane] * (at - begins)
            scale = self._unit * nearness(bottom, self.height)
            width, height = (round(side * scale) for side in size)
            middle = self.width * (0.5 + self._lanes[lane].offset * nearness(bottom, self.height))
            left, top = round(middle - width / 2), round(bottom - height)
            if top < self.height:  # drawing costs far more than all else, so only what is in view is drawn
                yield _Placed(self._vehicle(lane, slot), left, top, width, height)

    def _begin(self, lane: int, slot: int) -> float | None:
        """When the vehicle of a slot comes into view, in seconds; None if there is none."""
        _, begins, present = self._lot(lane, slot)
        return begins if present else None

    def _draw(self, lane: int, slot: int) -> Sprite:
        """The vehicle of a slot."""
        rng, _, _ = self._lot(lane, slot)
        return (car if self._lanes[lane].cars else motorcycle)(rng, self._country)

    def _lot(self, lane: int, slot: int) -> tuple[np.random.Generator, float, bool]:
        """What chance gives to a slot: the generator to draw its vehicle with, when it begins, whether there is one."""
        rng = np.random.default_rng((*self._entropy, lane, slot % 2**32))
        begins = slot * _SLOT_S + self._phases[lane] + float(rng.uniform(0, _JITTER_S))
        return rng, begins, rng.random() < self._lanes[lane].share


@lru_cache(4)
def _noise(width: int, height: int) -> NDArray[np.int16]:
    """Noise for all cameras of one size, shape (height + _SHIFT, width + _SHIFT, 3)."""
    noise = np.random.default_rng(0).normal(0, _NOISE, (height + _SHIFT, width + _SHIFT, 3))
    return np.rint(noise).astype(np.int16)


def _paste(picture: Picture, placed: _Placed) -> None:
    """Draw a vehicle where it is, as far as it is in the frame."""
    top, left = max(placed.top, 0), max(placed.left, 0)
    bottom = min(placed.top + placed.height, picture.shape[0])
    right = min(placed.left + placed.width, picture.shape[1])
    if top >= bottom or left >= right:
        return
    size = (placed.width, placed.height)
    rows = slice(top - placed.top, bottom - placed.top)
    columns = slice(left - placed.left, right - placed.left)
    pixels = cv2.resize(placed.sprite.pixels, size, interpolation=cv2.INTER_AREA)[rows, columns]
    mask = cv2.resize(placed.sprite.mask, size, interpolation=cv2.INTER_AREA)[rows, columns]
    cv2.copyTo(pixels, (mask > 127).astype(np.uint8), picture[top:bottom, left:right])
