"""Drawn scenes: a surface, clutter, and vehicles with plates."""

import cv2
import numpy as np

from training.clutter import clutter
from training.layout import Boxes
from training.plates import TWO_LINES, draw_plate
from training.shapes import Picture, colour
from training.vehicles import vehicle


def surface(rng: np.random.Generator, height: int, width: int) -> Picture:
    """An empty background, BGR: a gradient with grain, sometimes with rows of tiles."""
    low, high = np.array(colour(rng), np.float32), np.array(colour(rng), np.float32)
    share = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    real = np.repeat(low * (1 - share) + high * share, width, 1)
    coarse = rng.normal(0, rng.uniform(5, 40), (height // 16 + 2, width // 16 + 2, 1)).astype(np.float32)
    real = real + cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)[..., None]
    real += rng.normal(0, rng.uniform(1, 14), (height, width, 1)).astype(np.float32)
    picture: Picture = np.clip(real, 0, 255).astype(np.uint8)
    if rng.random() < 0.3:
        step, line = int(rng.integers(12, 60)), colour(rng)
        for at in range(int(rng.integers(step)), max(height, width), step):
            cv2.line(picture, (0, at), (width, at), line, 1)
            if rng.random() < 0.7:
                cv2.line(picture, (at, 0), (at, height), line, 1)
    return picture


def drawn_scene(rng: np.random.Generator, picture: Picture, form: int | None = None) -> Boxes:
    """Draw vehicles and clutter over a background, plates last; the plates' boxes and forms, shape (n, 5)."""
    height, width = picture.shape[:2]
    clutter(rng, picture, int(rng.integers(0, 6)))
    boxes: list[Boxes] = []
    for _ in range(1 if rng.random() < 0.7 else 2):
        w = float(np.exp(rng.uniform(np.log(20), np.log(width * 0.75))))
        x, y = float(rng.uniform(0.15, 0.85) * width), float(rng.uniform(0.2, 0.9) * height)
        if any(abs(x - b[0] - b[2] / 2) < 3.5 * max(w, b[2]) for b in boxes):
            continue  # a vehicle would hide the other's plate
        plate = draw_plate(rng, form) if rng.random() < 0.85 else None
        if plate is not None and plate.form == TWO_LINES:
            w *= 0.7
        box = vehicle(rng, picture, x, y, w, plate)
        if box is not None:
            boxes.append(box)
    return np.array(boxes).reshape(-1, 5)
