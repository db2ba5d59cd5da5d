"""The layout of the network's output: three levels of cells, each responsible for plates around its centre.

A cell gives six numbers: the score's logit, the logit of two lines, and dx, dy, log w, log h of the box, measured in
the level's own units. `processors.plates.network` reads them back; both must agree.
"""

import numpy as np
from numpy.typing import NDArray

STRIDES = (8, 16, 32)
WIDTH_UNIT, HEIGHT_UNIT = 4.0, 2.0
"""A level's usual box, in strides."""

_SIZES = ((0.0, 72.0), (48.0, 160.0), (112.0, 1e9))
"""The level that a plate belongs to, by the larger of its width and 1.6 times its height, in pixels. Ranges overlap."""

NEGATIVE, POSITIVE, SKIPPED = 0, 1, -1

Boxes = NDArray[np.float64]


def cells(height: int, width: int) -> NDArray[np.float32]:
    """Centre x, y and stride of all cells of a picture of this size, level by level and row by row. Shape (n, 3)."""
    found = []
    for stride in STRIDES:
        y, x = np.mgrid[: height // stride, : width // stride].reshape(2, -1)
        found.append(np.stack((x * stride + stride / 2, y * stride + stride / 2, np.full(len(x), stride)), 1))
    return np.concatenate(found).astype(np.float32)


def targets(plates: Boxes, ignored: Boxes, size: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """The target of each cell of a square picture: its role, shape (n,), and x, y, w, h, form, shape (n, 5).

    `plates` holds x, y, w, h, form, shape (p, 5), and `ignored` x, y, w, h, shape (i, 4), all in pixels."""
    grid = cells(size, size)
    role = np.zeros(len(grid), np.int8)
    aim = np.zeros((len(grid), 5), np.float32)
    for x, y, w, h in ignored:
        role[_within(grid, x, y, w, h)] = SKIPPED
    for plate in plates[np.argsort(-plates[:, 2] * plates[:, 3])]:  # a cell that two plates claim goes to the smaller
        x, y, w, h = plate[:4].tolist()
        if min(w, h) < 1:
            continue
        length = max(w, 1.6 * h)
        for stride, (least, most) in zip(STRIDES, _SIZES, strict=True):
            if least <= length < most:
                own = _answers(grid, stride, x + w / 2, y + h / 2, w, h)
                role[own] = POSITIVE
                aim[own] = plate
    return role, aim


def _within(grid: NDArray[np.float32], x: float, y: float, w: float, h: float) -> NDArray[np.bool_]:
    near = grid[:, 2] / 2
    inside: NDArray[np.bool_] = (grid[:, 0] > x - near) & (grid[:, 0] < x + w + near)
    inside &= (grid[:, 1] > y - near) & (grid[:, 1] < y + h + near)
    return inside


def _answers(grid: NDArray[np.float32], stride: int, cx: float, cy: float, w: float, h: float) -> NDArray[np.bool_]:
    """The cells of a level near the plate's centre; at least the nearest one."""
    reach_x, reach_y = (float(np.clip(0.35 * side, 0.51 * stride, 1.5 * stride)) for side in (w, h))
    level: NDArray[np.bool_] = grid[:, 2] == stride
    level &= (np.abs(grid[:, 0] - cx) <= reach_x) & (np.abs(grid[:, 1] - cy) <= reach_y)
    return level
