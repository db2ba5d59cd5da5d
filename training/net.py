"""The network: a small convolutional one on three scales, built from what OpenCV runs fast on one core.

OpenCV runs 3x3 convolutions without stride several times faster per operation than strided or depthwise ones. The
picture is therefore fed in as 4x4 blocks folded into 48 channels, and reduced by pooling, not by strides.
"""

import torch
from torch import Tensor, nn

FOLD = 4
CHANNELS_IN = 3 * FOLD * FOLD
ANSWERS = 6

_BLOCK = 32
_WIDTHS = (24, 48, 96, 128)
_NECK = 48
_RARE = -4.0
"""Initial bias of the score: most cells contain no plate."""


def _conv(inputs: int, outputs: int, kernel: int = 3) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _conv(width, width)
        self.second = nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.second(self.first(x)))


class PlateNet(nn.Module):
    """From folded pictures, shape (n, 48, h/4, w/4), 0 to 1, to answers at strides 8, 16 and 32: (n, 6, h/s, w/s)."""

    def __init__(self) -> None:
        super().__init__()
        a, b, c, d = _WIDTHS
        self.stem = nn.Sequential(_conv(CHANNELS_IN, _BLOCK, 1), _conv(_BLOCK, a))
        self.eighth = nn.Sequential(nn.MaxPool2d(2), _conv(a, b), _Residual(b))
        self.sixteenth = nn.Sequential(nn.MaxPool2d(2), _conv(b, c), _Residual(c), _Residual(c))
        self.last = nn.Sequential(nn.MaxPool2d(2), _conv(c, d), _Residual(d))
        self.from_last, self.from_sixteenth, self.from_eighth = (_conv(width, _NECK, 1) for width in (d, c, b))
        self.mix_sixteenth, self.mix_eighth = _conv(_NECK, _NECK), _conv(_NECK, _NECK)
        self.head_last = _conv(_NECK, _NECK)
        self.heads = nn.ModuleList([self._answer() for _ in range(3)])

    @staticmethod
    def _answer() -> nn.Conv2d:
        answer = nn.Conv2d(_NECK, ANSWERS, 1)
        nn.init.zeros_(answer.bias)
        nn.init.normal_(answer.weight, 0, 0.01)
        with torch.no_grad():
            answer.bias[0] = _RARE
        return answer

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        eighth = self.eighth(self.stem(x))
        sixteenth = self.sixteenth(eighth)
        low = self.from_last(self.last(sixteenth))
        middle = self.mix_sixteenth(self.from_sixteenth(sixteenth) + nn.functional.interpolate(low, scale_factor=2.0))
        high = self.mix_eighth(self.from_eighth(eighth) + nn.functional.interpolate(middle, scale_factor=2.0))
        return self.heads[0](high), self.heads[1](middle), self.heads[2](self.head_last(low))


def folded(pictures: Tensor) -> Tensor:
    """Fold pictures, uint8, shape (n, h, w, 3), into the network's input: float, 0 to 1, shape (n, 48, h/4, w/4).

    Channel (row * 4 + column) * 3 + colour holds that pixel of each 4x4 block."""
    n, h, w, _ = pictures.shape
    blocks = pictures.view(n, h // FOLD, FOLD, w // FOLD, FOLD, 3).permute(0, 2, 4, 5, 1, 3)
    return blocks.reshape(n, CHANNELS_IN, h // FOLD, w // FOLD).float() / 255
