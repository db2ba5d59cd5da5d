"""A first detector without anything learned: dark strokes, side by side, on a bright ground."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from schemas.batch import ONE_LINE, REGION, TWO_LINES

_LONGEST_SIDE = 960
"""Pixels. Larger pictures are made smaller, those of at most half of it twice as large."""
_SMALLEST_SIDE = 24
_LEVELS = 3
_MOST_CANDIDATES = 400
"""Of one form in one level: a picture full of strokes costs no more than so many looks."""
_MOST_REGIONS = 200

_STROKE = 9
"""Strokes of characters are narrower than this, in pixels of a level."""
_LEAST_STROKE = 28.0
_LEAST_CONTRAST = 45.0
_FULL_CONTRAST = 160.0
"""Differences of brightness, of 255."""
_SPECK = (7, 4)
_LEAST_FILL = 0.55
_INKED = (0.15, 0.68)
_DARKEST_GAP = 0.6
_MOST_OVERLAP = 0.35


@dataclass(frozen=True, slots=True)
class _Form:
    """What one form of plate looks like in a level.

    `join` (width, height) closes the gaps between its characters, in pixels; `heights` are pixels, `aspects` width by
    height; `pad` (beside, above) is what the plate has around its characters, in heights of them; `changes` is how
    often a row of pixels through the characters changes between dark and bright, at least.
    """

    form: int
    join: tuple[int, int]
    heights: tuple[int, int]
    aspects: tuple[float, float]
    pad: tuple[float, float]
    changes: float


_FORMS = (
    _Form(ONE_LINE, (13, 3), (6, 34), (2.3, 8.5), (0.25, 0.22), 7.0),
    _Form(TWO_LINES, (9, 9), (14, 60), (0.9, 2.2), (0.06, 0.08), 4.5),
)

_Grey = NDArray[np.uint8]
_Found = tuple[float, float, float, float, float, int]
"""Left, top, width, height, score, form."""


class ClassicalDetector:
    """Keeps the promises of `processors.plates.detector.Detector`, with OpenCV's filters alone.

    It is weak. On the simulator's drawn streets it finds nearly every plate. On photographs (IoU 0.3, the development
    set of this project) it found 72 % of the plates of Brazilian cars, 71 % of European and 50 % of US ones, 18 % of
    Romanian ones filmed from a moving car, 76 % of Vietnamese and 12 % of Egyptian motorcycles', and about 30 to 70 %
    of what it found there were plates (11 % on the Egyptian ones). It misses plates that are tilted, small (characters
    under about 6 pixels), worn, lit from one side, or written bright on dark, and takes grilles, lettering and fences
    for plates. Its counts show that a stream runs, not how much traffic there is. `score` orders its findings and is
    no probability.
    """

    name = "classical"
    version = "1"

    def detect(self, picture: NDArray[np.uint8]) -> NDArray[np.void]:
        """See `Detector`. At most `_MOST_REGIONS` regions."""
        height, width = picture.shape[:2]
        if not min(height, width):
            return np.empty(0, REGION)
        level = _sized(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY))
        found = [np.empty((0, 6))]
        for _ in range(_LEVELS):
            if min(level.shape) < _SMALLEST_SIDE:
                break
            boxes = np.array(list(_in_level(level)), np.float64).reshape(-1, 6)
            boxes[:, :4] *= [width / level.shape[1], height / level.shape[0]] * 2
            found.append(boxes)
            level = _typed(cv2.pyrDown(level))
        return _regions(np.concatenate(found), width, height)


def _sized(grey: object) -> _Grey:
    """The picture at the size of the first level."""
    picture = _typed(grey)
    height, width = picture.shape
    scale = _LONGEST_SIDE / max(height, width)
    scale = 2.0 if scale >= 2.0 else min(scale, 1.0)
    if scale == 1.0:
        return picture
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    return _typed(cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1.0 else cv2.INTER_CUBIC))


def _typed(picture: object) -> _Grey:
    return np.asarray(picture, np.uint8)


def _in_level(level: _Grey) -> Iterator[_Found]:
    """What looks like a plate in one level, in its pixels."""
    strokes = cv2.morphologyEx(level, cv2.MORPH_BLACKHAT, _rectangle(_STROKE, _STROKE))
    usual, _ = cv2.threshold(strokes, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    _, marked = cv2.threshold(strokes, max(usual, _LEAST_STROKE), 255, cv2.THRESH_BINARY)
    for form in _FORMS:
        joined = cv2.morphologyEx(marked, cv2.MORPH_CLOSE, _rectangle(*form.join))
        joined = cv2.morphologyEx(joined, cv2.MORPH_OPEN, _rectangle(*_SPECK))
        _, _, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=4)
        for x, y, w, h in _plausible(np.asarray(stats[1:], np.int64), form):
            score = _score(level[y : y + h, x : x + w], form)
            if score > 0:
                beside, above = form.pad[0] * h, form.pad[1] * h
                yield x - beside, y - above, w + 2 * beside, h + 2 * above, score, form.form


def _rectangle(width: int, height: int) -> NDArray[np.uint8]:
    return np.ones((height, width), np.uint8)


def _plausible(stats: NDArray[np.int64], form: _Form) -> list[list[int]]:
    """Boxes (x, y, w, h) of the right size and shape, the largest; `stats` are those of OpenCV's components."""
    w, h, area = stats[:, 2], stats[:, 3], stats[:, 4]
    aspect = w / np.maximum(h, 1)
    good = (h >= form.heights[0]) & (h <= form.heights[1]) & (area >= _LEAST_FILL * w * h)
    rows = np.flatnonzero(good & (aspect >= form.aspects[0]) & (aspect <= form.aspects[1]))
    rows = rows[np.argsort(-area[rows], kind="stable")][:_MOST_CANDIDATES]
    boxes: list[list[int]] = stats[rows, :4].tolist()
    return boxes


def _score(part: _Grey, form: _Form) -> float:
    """How much a cut-out looks like the characters of a plate: 0 not at all, at most 1."""
    _, binary = cv2.threshold(part, 0, 1, cv2.THRESH_BINARY_INV | cv2.THRESH_OTSU)
    dark = np.asarray(binary, np.bool_)
    inked = float(dark.mean())
    if not _INKED[0] <= inked <= _INKED[1]:
        return 0.0
    contrast = float(part[~dark].mean()) - float(part[dark].mean())
    if contrast < _LEAST_CONTRAST:
        return 0.0
    height, edge = len(dark), len(dark) // 5
    changes = (dark[:, 1:] != dark[:, :-1]).sum(1)
    lines = [changes[edge : height - edge]]
    if form.form == TWO_LINES:
        between = dark.mean(1)[height // 3 : height - height // 3].min()
        if between > _DARKEST_GAP * inked:
            return 0.0
        lines = [changes[edge // 2 : height // 2 - 1], changes[height // 2 + 2 : height - edge // 2]]
    fewest = min(float(np.median(line)) for line in lines)
    if fewest < form.changes:
        return 0.0
    return min(contrast / _FULL_CONTRAST, 1.0) * math.sqrt(min(fewest / (2 * form.changes), 1.0))


def _regions(boxes: NDArray[np.float64], width: int, height: int) -> NDArray[np.void]:
    """Found boxes, shape (n, 6), as regions within the picture, without those that overlap a better one."""
    left, top = (np.clip(np.rint(boxes[:, axis]), 0, limit) for axis, limit in ((0, width), (1, height)))
    right = np.clip(np.rint(boxes[:, 0] + boxes[:, 2]), 0, width)
    bottom = np.clip(np.rint(boxes[:, 1] + boxes[:, 3]), 0, height)
    best = _best(left, top, right, bottom, boxes[:, 4])
    regions = np.zeros(len(best), REGION)
    regions["x"], regions["y"] = left[best], top[best]
    regions["w"], regions["h"] = (right - left)[best], (bottom - top)[best]
    regions["score"], regions["form"] = boxes[best, 4], boxes[best, 5]
    return regions[np.lexsort((regions["x"], regions["y"]))]


def _best(
    left: NDArray[np.float64],
    top: NDArray[np.float64],
    right: NDArray[np.float64],
    bottom: NDArray[np.float64],
    score: NDArray[np.float64],
) -> NDArray[np.intp]:
    """Which boxes stay. Large ones go before small: a part of a plate must not stand for all of it."""
    area = (right - left) * (bottom - top)
    alive = area > 0
    kept: list[int] = []
    for one in np.lexsort((left, top, -area * score)).tolist():
        if not alive[one] or len(kept) == _MOST_REGIONS:
            continue
        kept.append(one)
        across = np.minimum(right[one], right) - np.maximum(left[one], left)
        down = np.minimum(bottom[one], bottom) - np.maximum(top[one], top)
        alive &= np.clip(across, 0, None) * np.clip(down, 0, None) < _MOST_OVERLAP * np.minimum(area[one], area)
    return np.array(kept, np.intp)
