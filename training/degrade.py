"""What weather, optics and cameras do to a plate and to a whole picture."""

import cv2
import numpy as np
from numpy.typing import NDArray

from training.shapes import Picture

Real = NDArray[np.float32]


def weathered(rng: np.random.Generator, plate: Picture, light: float) -> Picture:
    """A plate with bolts, dirt, shadow and glare, as bright as its scene: `light` 0 to 1."""
    plate = plate.copy()
    height, width = plate.shape[:2]
    if rng.random() < 0.35:
        for x in (0.2, 0.8) if rng.random() < 0.6 else (0.06, 0.94):
            y = 0.08 if rng.random() < 0.6 else 0.5
            place = (round(x * width), round(y * height))
            cv2.circle(plate, place, max(height // 30, 1), (110, 110, 110), -1, cv2.LINE_AA)
    real = plate.astype(np.float32)
    if rng.random() < 0.3:
        share = _clouds(rng, height, width) * float(rng.uniform(0.2, 0.7))
        real += (np.array([70, 90, 105], np.float32) - real) * share[..., None]
    if rng.random() < 0.35:
        real *= _slope(rng, height, width, float(rng.uniform(0.35, 0.9)))[..., None]
    if rng.random() < 0.12:
        real += _spot(rng, height, width)[..., None] * 255
    gain = float(np.clip(light * rng.uniform(0.75, 1.3), 0.12, 1.6))
    fade = float(rng.uniform(0, 0.3)) if rng.random() < 0.4 else 0.0
    real = real * (1 - fade) + 128 * fade
    real *= gain * (1 + rng.normal(0, 0.04, 3).astype(np.float32))
    return np.clip(real, 0, 255).astype(np.uint8)


def _clouds(rng: np.random.Generator, height: int, width: int) -> Real:
    coarse = rng.uniform(0, 1, (4, 8)).astype(np.float32) ** 2
    return np.clip(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), 0, 1)


def _slope(rng: np.random.Generator, height: int, width: int, dark: float) -> Real:
    """A shadow's edge at any angle, hard or soft: `dark` on one side, 1 on the other."""
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    along = (x - width * rng.uniform(0.2, 0.8)) * np.cos(angle) + (y - height * rng.uniform(0.2, 0.8)) * np.sin(angle)
    share = np.clip(along / (height * rng.uniform(0.02, 1.0)) + 0.5, 0, 1)
    return np.asarray(dark + (1 - dark) * share, np.float32)


def _spot(rng: np.random.Generator, height: int, width: int) -> Real:
    y, x = np.mgrid[:height, :width].astype(np.float32)
    far = ((x - rng.uniform(0, width)) ** 2 + (y - rng.uniform(0, height)) ** 2) / (
        height * rng.uniform(0.15, 0.8)
    ) ** 2
    return np.asarray(np.exp(-far) * rng.uniform(0.3, 1.0), np.float32)


def as_camera(rng: np.random.Generator, picture: Picture, harsh: float = 1.0) -> Picture:
    """A picture with a camera's colours, exposure, blur, noise and JPEG artefacts, drawn at random.

    `harsh` scales the chance of the severe ones.
    """
    real = picture.astype(np.float32)
    if rng.random() < 0.6:
        real *= np.exp(rng.normal(0, 0.12, 3)).astype(np.float32)
    if rng.random() < 0.12:
        real = np.repeat(real.mean(2, keepdims=True), 3, 2)
    if rng.random() < 0.7:
        real = 128 + (real - 128) * float(rng.uniform(0.65, 1.3)) + float(rng.normal(0, 18))
    if rng.random() < 0.15 * harsh:  # night: dark, a lamp's haze, more noise
        real *= float(rng.uniform(0.2, 0.6))
        real += _spot(rng, *real.shape[:2])[..., None] * np.array([60, 90, 140], np.float32)
    real = np.clip(real, 0, 255)
    if rng.random() < 0.3 * harsh:
        real = blurred(rng, real)
    if rng.random() < 0.35 * harsh:
        coarse = rng.normal(0, rng.uniform(2, 12), (*real.shape[:2], 1 if rng.random() < 0.5 else 3)).astype(np.float32)
        real = real + coarse
    picture = np.clip(real, 0, 255).astype(np.uint8)
    if rng.random() < 0.4 * harsh:
        quality = int(rng.integers(25, 85))
        picture = np.asarray(cv2.imdecode(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], 1))
    return picture


def blurred(rng: np.random.Generator, real: Real) -> Real:
    """Out of focus, or moved along a line."""
    if rng.random() < 0.6:
        return np.asarray(cv2.GaussianBlur(real, (0, 0), float(rng.uniform(0.4, 1.4))), np.float32)
    size = int(rng.integers(3, 8))
    kernel = np.zeros((size, size), np.float32)
    kernel[size // 2] = 1 / size
    turn = cv2.getRotationMatrix2D((size / 2 - 0.5, size / 2 - 0.5), float(rng.uniform(0, 180)), 1)
    kernel = np.asarray(cv2.warpAffine(kernel, turn, (size, size)), np.float32)
    return np.asarray(cv2.filter2D(real, -1, kernel / max(float(kernel.sum()), 1e-3)), np.float32)
