"""`python -m training IMAGES`: from the allowed images and nothing else to the weights of the plate network."""

import argparse
import copy
import math
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from training.card import describe
from training.examples import example
from training.export import export
from training.layout import cells, targets
from training.loss import flat, loss
from training.net import PlateNet, folded
from training.pictures import TrainingPictures, load

WEIGHTS = Path(__file__).parents[1] / "processors" / "plates" / "weights" / "plates.onnx"

_BATCH = 8
_SIZES = (256, 320, 320, 384)
_RATE, _DECAY = 2.5e-3, 1e-3
_WARMUP = 200
_AVERAGED = 0.998
_REPORT = 50


class _Batches(IterableDataset):
    """Endless batches. Each worker draws its own; the same seed gives the same batches."""

    def __init__(self, pictures: TrainingPictures, seed: int) -> None:
        self.pictures, self.seed = pictures, seed

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        cv2.setNumThreads(1)
        worker = get_worker_info()
        rng = np.random.default_rng((self.seed, worker.id if worker else 0))
        while True:
            size = int(rng.choice(_SIZES))
            made = [example(rng, self.pictures, size) for _ in range(_BATCH)]
            roles, aims = zip(*(targets(drawn.plates, drawn.ignored, size) for drawn in made), strict=True)
            arrays = (np.stack([drawn.picture for drawn in made]), np.stack(roles), np.stack(aims))
            yield torch.from_numpy(arrays[0]), torch.from_numpy(arrays[1]), torch.from_numpy(arrays[2])


def train(pictures: TrainingPictures, steps: int, seed: int, workers: int, keep: Path, half: bool = True) -> PlateNet:
    """Train from scratch, and return the network with its weights averaged over the last steps.

    Saves the averaged weights to `keep` at intervals. `half` computes convolutions in bfloat16: more than twice as fast
    on processors that support it, slower on others.
    """
    torch.manual_seed(seed)
    net = PlateNet().train()
    averaged = copy.deepcopy(net).eval()
    decayed = [parameter for parameter in net.parameters() if parameter.dim() > 1]
    plain = [parameter for parameter in net.parameters() if parameter.dim() <= 1]
    optimiser = torch.optim.AdamW(
        [{"params": decayed}, {"params": plain, "weight_decay": 0.0}], _RATE, weight_decay=_DECAY
    )
    rate = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _share_of_rate(step, steps))
    batches = iter(DataLoader(_Batches(pictures, seed), batch_size=None, num_workers=workers, prefetch_factor=4))
    begun, lost = time.monotonic(), 0.0
    for step in range(1, steps + 1):
        picture, role, aim = next(batches)
        size = picture.shape[1]
        grid = torch.from_numpy(cells(size, size))
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            answers = net(folded(picture).to(memory_format=torch.channels_last))
        value = loss(flat(answers).float(), role, aim, grid)
        optimiser.zero_grad(set_to_none=True)
        value.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 10.0)
        optimiser.step()
        rate.step()
        _average(averaged, net, min(_AVERAGED, step / (step + 20)))
        lost += float(value)
        if step % _REPORT == 0:
            print(f"step {step} of {steps}: loss {lost / _REPORT:.3f}, {time.monotonic() - begun:.0f} s", flush=True)
            lost = 0.0
        if step % (20 * _REPORT) == 0:
            torch.save(averaged.state_dict(), keep)
    return averaged


def _share_of_rate(step: int, steps: int) -> float:
    return min(step / _WARMUP, 1.0) * (0.01 + 0.99 * (1 + math.cos(math.pi * min(step / steps, 1.0))) / 2)


def _average(averaged: PlateNet, net: PlateNet, share: float) -> None:
    with torch.no_grad():
        for kept, new in zip(averaged.state_dict().values(), net.state_dict().values(), strict=True):
            if kept.is_floating_point():
                kept.mul_(share).add_(new, alpha=1 - share)
            else:
                kept.copy_(new)


def main() -> None:
    parser = argparse.ArgumentParser(prog="training", description=__doc__)
    parser.add_argument("images", type=Path, help="folder with labels.csv, ignore.csv and images/")
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="where the weights go (%(default)s)")
    parser.add_argument("--steps", type=int, default=12000)
    parser.add_argument("--seed", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1, help="threads that compute (%(default)s)")
    parser.add_argument("--workers", type=int, default=1, help="processes that make examples (%(default)s)")
    parser.add_argument("--full", action="store_true", help="no bfloat16, for processors without it")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    cv2.setNumThreads(1)
    net = train(
        load(arguments.images),
        arguments.steps,
        arguments.seed,
        arguments.workers,
        arguments.out.with_suffix(".pt"),
        not arguments.full,
    )
    export(net, arguments.out)
    arguments.out.with_suffix(".pt").unlink(missing_ok=True)
    print(f"weights: {arguments.out}, {arguments.out.stat().st_size / 1e6:.1f} MB")
    if arguments.out == WEIGHTS:
        describe(arguments.out, arguments.out.with_name("card.toml"))
        print("the card now holds their hash; measure its thresholds and figures again")


if __name__ == "__main__":
    main()
