"""The labelled images that training may use. Validation images and kinds kept for evaluation are never loaded."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from processors.plates.evaluation import held_out, read_labels
from training.plates import ONE_LINE, TWO_LINES

KINDS = ("ro-car", "eg-moto", "vn-mix")
"""Kinds with a licence that permits training weights for distribution."""

_TWO_LINES_BELOW = 2.0
_SHARES = {"ro-car": 0.46, "eg-moto": 0.46, "vn-mix": 0.08}


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """A picture, BGR; `plates` x, y, w, h, form, shape (n, 5); `ignored` x, y, w, h, shape (m, 4)."""

    picture: NDArray[np.uint8]
    plates: NDArray[np.float64]
    ignored: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class TrainingPictures:
    """All examples, and the probability of drawing each, shape (n,), sum 1."""

    examples: Sequence[Example]
    chances: NDArray[np.float64]


def load(folder: Path) -> TrainingPictures:
    """Decode every image of `folder` that training may use. Raises `ValueError` if an image can't be read."""
    truth = read_labels(folder / "labels.csv", folder / "ignore.csv")
    names = [name for name in sorted(truth) if truth[name].kind in KINDS and not held_out(name)]
    kinds = [truth[name].kind for name in names]
    chances = np.array([_SHARES[kind] / kinds.count(kind) for kind in kinds])
    examples = []
    for name in names:
        picture = cv2.imread(str(folder / "images" / name))
        if picture is None:
            raise ValueError(f"{name} can't be decoded as a picture")
        boxes = truth[name].plates
        forms = [_form(truth[name].kind, w / h) for w, h in boxes[:, 2:]]
        plates = np.column_stack((boxes, forms)) if len(boxes) else np.empty((0, 5))
        examples.append(Example(np.asarray(picture, np.uint8), plates, truth[name].ignored))
    return TrainingPictures(examples, chances / chances.sum())


def _form(kind: str, aspect: float) -> int:
    if kind == "vn-mix":
        return TWO_LINES if aspect < _TWO_LINES_BELOW else ONE_LINE
    return TWO_LINES if kind == "eg-moto" else ONE_LINE
