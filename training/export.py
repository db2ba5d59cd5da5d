"""The trained network as ONNX for OpenCV: pictures 0 to 255, normalisation folded into the convolutions."""

import copy
from pathlib import Path

import torch

from training.net import CHANNELS_IN, FOLD, PlateNet

_HEIGHT, _WIDTH = 384, 640
_OPSET = 11
NAMES = ("stride8", "stride16", "stride32")


def export(net: PlateNet, path: Path) -> None:
    """Write the network to `path`. The file names the size of a usual frame; OpenCV takes any multiple of 32."""
    ready = copy.deepcopy(net).eval()
    with torch.no_grad():
        ready.stem[0][0].weight.div_(255)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = torch.zeros(1, CHANNELS_IN, _HEIGHT // FOLD, _WIDTH // FOLD)
    torch.onnx.export(
        ready, picture, str(path), opset_version=_OPSET, input_names=["picture"], output_names=list(NAMES)
    )
