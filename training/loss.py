"""What the network is asked to make small."""

import torch
from torch import Tensor
from torch.nn import functional

from training.layout import HEIGHT_UNIT, POSITIVE, SKIPPED, WIDTH_UNIT

_LEAST_QUALITY = 0.2
_BOX, _SIZE, _FORM = 2.0, 0.3, 0.25
_TWO_LINES = 2


def flat(answers: tuple[Tensor, ...]) -> Tensor:
    """All levels' answers in the order of `layout.cells`: shape (n, cells, 6)."""
    return torch.cat([one.flatten(2).transpose(1, 2) for one in answers], 1)


def boxes(answers: Tensor, grid: Tensor) -> Tensor:
    """Answers (..., 6) of cells `grid` (..., 3) as x0, y0, x1, y1, shape (..., 4)."""
    stride = grid[..., 2]
    cx, cy = grid[..., 0] + answers[..., 2] * stride, grid[..., 1] + answers[..., 3] * stride
    w = answers[..., 4].clamp(-5, 5).exp() * stride * WIDTH_UNIT / 2
    h = answers[..., 5].clamp(-5, 5).exp() * stride * HEIGHT_UNIT / 2
    return torch.stack((cx - w, cy - h, cx + w, cy + h), -1)


def overlap(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """IoU and generalised IoU (Rezatofighi et al. 2019) of boxes pair by pair."""
    sides = (torch.minimum(one[:, 2:], other[:, 2:]) - torch.maximum(one[:, :2], other[:, :2])).clamp(min=0)
    hull = torch.maximum(one[:, 2:], other[:, 2:]) - torch.minimum(one[:, :2], other[:, :2])
    shared, around = sides.prod(1), hull.prod(1)
    joint = (one[:, 2:] - one[:, :2]).prod(1) + (other[:, 2:] - other[:, :2]).prod(1) - shared
    iou = shared / joint.clamp(min=1e-6)
    return iou, iou - (around - joint) / around.clamp(min=1e-6)


def loss(answers: Tensor, role: Tensor, aim: Tensor, grid: Tensor) -> Tensor:
    """A score that says how well the box fits (quality focal loss, Li et al. 2020), the box, and the form.

    `answers` (n, cells, 6), `role` (n, cells), `aim` (n, cells, 5), `grid` (cells, 3).
    """
    positive = role == POSITIVE
    count = positive.sum().clamp(min=1).float()
    mine, wanted = answers[positive], aim[positive]
    place = grid.expand(len(answers), -1, -1)[positive]
    corners = torch.cat((wanted[:, :2], wanted[:, :2] + wanted[:, 2:4]), 1)
    iou, giou = overlap(boxes(mine, place), corners)

    quality = torch.zeros_like(answers[..., 0])
    quality[positive] = iou.detach().clamp(min=_LEAST_QUALITY)
    logit = answers[..., 0]
    focal = (quality - logit.sigmoid()).abs() ** 2 * functional.binary_cross_entropy_with_logits(
        logit, quality, reduction="none"
    )
    scores = (focal * (role != SKIPPED)).sum()

    unit = torch.stack((place[:, 2] * WIDTH_UNIT, place[:, 2] * HEIGHT_UNIT), 1)
    sizes = functional.smooth_l1_loss(mine[:, 4:6], (wanted[:, 2:4] / unit).log(), reduction="sum", beta=0.2)
    two = (wanted[:, 4] == _TWO_LINES).float()
    form = functional.binary_cross_entropy_with_logits(mine[:, 1], two, reduction="sum")
    total: Tensor = (scores + _BOX * (1 - giou).sum() + _SIZE * sizes + _FORM * form) / count
    return total
