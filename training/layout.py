"""How the network's answers lie: three levels of cells, each cell answering for plates around its middle.

A cell answers six numbers: the score's logit, the logit of two lines, and dx, dy, log w, log h of the box, measured in
the level's own units. `processors.plates.network` reads them back; the two must agree.
"""

import numpy as np
from numpy.typing import NDArray

STRIDES = (8, 16, 32)
WIDTH_UNIT, HEIGHT_UNIT = 4.0, 2.0
"""A level's usual box, in strides."""

_SIZES = ((0.0, 72.0), (48.0, 160.0), (112.0, 1e9))
"""Which level answers for a plate, by its width or 1.6 times its height; at the borders, two do."""

NEGATIVE, POSITIVE, SKIPPED = 0, 1, -1

Boxes = NDArray[np.float64]


def cells(height: int, width: int) -> NDArray[np.float32]:
    """Middle x, y and stride of all cells of a picture of this size, level after level, row by row: shape (n, 3)."""
    found = []
    for stride in STRIDES:
        y, x = np.mgrid[: height // stride, : width // stride].reshape(2, -1)
        found.append(np.stack((x * stride + stride / 2, y * stride + stride / 2, np.full(len(x), stride)), 1))
    return np.concatenate(found).astype(np.float32)


def targets(plates: Boxes, ignored: Boxes, size: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """What each cell of a square picture should say: its role, shape (n,), and x, y, w, h, form, shape (n, 5)."""
    grid = cells(size, size)
    role = np.zeros(len(grid), np.int8)
    aim = np.zeros((len(grid), 5), np.float32)
    for x, y, w, h in ignored:
        role[_within(grid, x, y, w, h)] = SKIPPED
    for plate in plates[np.argsort(-plates[:, 2] * plates[:, 3])]:  # the smaller takes a cell that two claim
        x, y, w, h = plate[:4].tolist()
        if min(w, h) < 1:
            continue
        length = max(w, 1.6 * h)
        for stride, (least, most) in zip(STRIDES, _SIZES, strict=True):
            if least <= length < most:
                mine = _answers(grid, stride, x + w / 2, y + h / 2, w, h)
                role[mine] = POSITIVE
                aim[mine] = plate
    return role, aim


def _within(grid: NDArray[np.float32], x: float, y: float, w: float, h: float) -> NDArray[np.bool_]:
    near = grid[:, 2] / 2
    inside: NDArray[np.bool_] = (grid[:, 0] > x - near) & (grid[:, 0] < x + w + near)
    inside &= (grid[:, 1] > y - near) & (grid[:, 1] < y + h + near)
    return inside


def _answers(grid: NDArray[np.float32], stride: int, cx: float, cy: float, w: float, h: float) -> NDArray[np.bool_]:
    """The cells of a level near the plate's middle; always at least the nearest."""
    reach_x, reach_y = (float(np.clip(0.35 * side, 0.51 * stride, 1.5 * stride)) for side in (w, h))
    level: NDArray[np.bool_] = grid[:, 2] == stride
    level &= (np.abs(grid[:, 0] - cx) <= reach_x) & (np.abs(grid[:, 1] - cy) <= reach_y)
    return level
