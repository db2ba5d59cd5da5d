"""The training loss: score, box and form."""

import torch
from torch import Tensor
from torch.nn import functional

from training.layout import HEIGHT_UNIT, POSITIVE, SKIPPED, WIDTH_UNIT

_LEAST_QUALITY = 0.2
_BOX, _SIZE, _FORM = 2.0, 0.3, 0.25
_TWO_LINES = 2


def flat(answers: tuple[Tensor, ...]) -> Tensor:
    """All levels' answers in the order of `layout.cells`: shape (n, cells, 6)."""
    return torch.cat([level.flatten(2).transpose(1, 2) for level in answers], 1)


def boxes(answers: Tensor, grid: Tensor) -> Tensor:
    """Answers (..., 6) of cells `grid` (..., 3) as x0, y0, x1, y1, shape (..., 4)."""
    stride = grid[..., 2]
    cx, cy = grid[..., 0] + answers[..., 2] * stride, grid[..., 1] + answers[..., 3] * stride
    w = answers[..., 4].clamp(-5, 5).exp() * stride * WIDTH_UNIT / 2
    h = answers[..., 5].clamp(-5, 5).exp() * stride * HEIGHT_UNIT / 2
    return torch.stack((cx - w, cy - h, cx + w, cy + h), -1)


def overlap(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """IoU and generalised IoU (Rezatofighi et al. 2019) of boxes pair by pair.

    Both arguments hold x0, y0, x1, y1, shape (n, 4); both results have shape (n,).
    """
    sides = (torch.minimum(first[:, 2:], second[:, 2:]) - torch.maximum(first[:, :2], second[:, :2])).clamp(min=0)
    hull = torch.maximum(first[:, 2:], second[:, 2:]) - torch.minimum(first[:, :2], second[:, :2])
    shared, around = sides.prod(1), hull.prod(1)
    joint = (first[:, 2:] - first[:, :2]).prod(1) + (second[:, 2:] - second[:, :2]).prod(1) - shared
    iou = shared / joint.clamp(min=1e-6)
    return iou, iou - (around - joint) / around.clamp(min=1e-6)


def loss(answers: Tensor, role: Tensor, aim: Tensor, grid: Tensor) -> Tensor:
    """The loss of a batch: the score (quality focal loss, Li et al. 2020), the box and the form.

    `answers` (n, cells, 6) are the network's; `role` (n, cells) and `aim` (n, cells, 5) come from `layout.targets`, and
    `grid` (cells, 3) from `layout.cells`. Returns a scalar.
    """
    positive = role == POSITIVE
    count = positive.sum().clamp(min=1).float()
    given, wanted = answers[positive], aim[positive]
    place = grid.expand(len(answers), -1, -1)[positive]
    corners = torch.cat((wanted[:, :2], wanted[:, :2] + wanted[:, 2:4]), 1)
    iou, giou = overlap(boxes(given, place), corners)

    quality = torch.zeros_like(answers[..., 0])
    quality[positive] = iou.detach().clamp(min=_LEAST_QUALITY)
    logit = answers[..., 0]
    focal = (quality - logit.sigmoid()).abs() ** 2 * functional.binary_cross_entropy_with_logits(
        logit, quality, reduction="none"
    )
    scores = (focal * (role != SKIPPED)).sum()

    unit = torch.stack((place[:, 2] * WIDTH_UNIT, place[:, 2] * HEIGHT_UNIT), 1)
    sizes = functional.smooth_l1_loss(given[:, 4:6], (wanted[:, 2:4] / unit).log(), reduction="sum", beta=0.2)
    two = (wanted[:, 4] == _TWO_LINES).float()
    form = functional.binary_cross_entropy_with_logits(given[:, 1], two, reduction="sum")
    total: Tensor = (scores + _BOX * (1 - giou).sum() + _SIZE * sizes + _FORM * form) / count
    return total
