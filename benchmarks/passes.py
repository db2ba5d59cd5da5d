"""Processor time a picture of counting vehicles: from messages of plate regions to the cells of their window.

Rendered cameras at five pictures a second, with plates missed and false regions as a detector has them; a few streets,
each shifted in time for many cameras. The messages are in memory, in polls of 2,000, picture by picture of all cameras
in turn. `fold` is decoding, checking and buffering them, `close` reducing the window, with the tracker. `before` is the
tracker of one camera at a time that the tests keep as a reference, on the streets alone: what `close` was made of.
Times are processor time of this process, so that other work on the machine falsifies them least. `longest_ms` is the
longest piece of closing, of which a processor does at least one between two polls.

The result is checked outside the timed part: every reading must be accounted for, and the passes of the cameras of one
street must be what the reference finds there.

It doesn't measure Kafka and PostgreSQL (see `benchmarks.energy`), more than one process, nor how well passes are found.
"""

import argparse
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import process_time

import numpy as np
from numpy.typing import NDArray

from benchmarks.result import Measuring, ResultTable
from eventlog.memory import MemoryRecord
from ingest.cameras.rendered import RenderedCamera, RenderedPlate
from processors.reading_fold import ReadingFoldFactory
from schemas.batch import REGION
from schemas.catalogue import metrics_of, sent_in
from schemas.frames import Frame
from schemas.regions import encode_regions, encode_tick
from schemas.topics import REGIONS, live
from store.processing import Position
from tests.reference_tracker.passes import passes as reference_passes

RATE = 5
STREETS = 16
COUNTRIES = ("VN", "IR")
POLL = 2_000
ZONE = "Asia/Tehran"
WINDOW_MS = 900_000
BEGIN = 1_790_001_000_000 // WINDOW_MS * WINDOW_MS
TOPIC = live("bench", REGIONS)
TARGET = 10_000 * RATE
"""Pictures a second of the largest city."""

Street = Sequence[NDArray[np.void]]
"""The regions of each picture, dtype `REGION`."""


@dataclass(frozen=True, slots=True)
class PassesRound:
    """Microseconds of processor time a picture, and the longest piece of closing in milliseconds."""

    fold: float
    close: float
    longest_ms: float


def street(seed: int, pictures: int) -> Street:
    """What a detector finds in a rendered camera's pictures: a tenth of the plates missed, some false regions."""
    camera, rng = RenderedCamera(seed, COUNTRIES[seed % len(COUNTRIES)], rate=RATE), np.random.default_rng(seed)
    return [
        np.array([*_found(camera.truth(number), rng), *_false(rng)], REGION).reshape(-1) for number in range(pictures)
    ]


def _found(plates: Sequence[RenderedPlate], rng: np.random.Generator) -> Iterator[tuple[float, ...]]:
    for plate in plates:
        if rng.random() >= 0.1:
            x, y, w, h = np.rint(rng.normal((plate.x, plate.y, plate.w, plate.h), 1)).clip(1).tolist()
            yield x, y, w, h, 0.6, plate.form


def _false(rng: np.random.Generator) -> Iterator[tuple[float, ...]]:
    for _ in range(rng.poisson(0.1)):
        yield int(rng.integers(0, 550)), int(rng.integers(0, 320)), int(rng.integers(15, 90)), 20, 0.3, 1


def records(streets: Sequence[Street], cameras: int, partitions: int) -> Sequence[Sequence[MemoryRecord]]:
    """The messages of all cameras, partition by partition, and a tick in each that closes the window."""
    metric = sent_in(REGIONS)[0]
    after = BEGIN + 20 * WINDOW_MS
    kept: list[list[MemoryRecord]] = [[] for _ in range(partitions)]
    for number in range(len(streets[0])):
        for camera in range(cameras):
            into, film = kept[camera % partitions], streets[camera % len(streets)]
            area = camera % partitions + 1
            # Cameras of a street don't take their pictures in the same millisecond.
            start = BEGIN + number * 1000 // RATE + camera % 200
            frame = Frame(metric.name, area, metric.classes[0], 1000 // RATE, start, camera, camera, b"")
            into.append(MemoryRecord(len(into), after, b"%d" % area, encode_regions(frame, film[number])))
    for into in kept:
        into.append(MemoryRecord(len(into), after, b"0", encode_tick(after)))
    return kept


def measure_round(partitions: Sequence[Sequence[MemoryRecord]], expected: int) -> PassesRound:
    """Fold every partition and close its window."""
    folds = ReadingFoldFactory({TOPIC: metrics_of(REGIONS)}, ZONE)
    pictures = sum(len(of_partition) - 1 for of_partition in partitions)
    folding = closing = longest = 0.0
    found = 0
    for of_partition in partitions:
        fold = folds.create(TOPIC, Position(), lambda first, until: frozenset(), gap=False)
        begun = process_time()
        for first in range(0, len(of_partition) - 1, POLL):
            fold.feed(of_partition[first : min(first + POLL, len(of_partition) - 1)])
        folding += process_time() - begun
        begun = process_time()
        fold.feed(of_partition[-1:])
        longest = max(longest, process_time() - begun)
        while fold.closing:
            piece = process_time()
            fold.close_some()
            longest = max(longest, process_time() - piece)
        step = fold.step()
        closing += process_time() - begun
        if step is None or not step.position.account.balanced() or step.position.account.open:
            sys.exit(f"the account is wrong: {step}")
        found += sum(cell.amounts.value for cell in step.cells if cell.metric == "traffic.passes")
    if found != expected:
        sys.exit(f"{found} passes instead of {expected}")
    return PassesRound(folding / pictures * 1e6, closing / pictures * 1e6, longest * 1e3)


def before(streets: Sequence[Street]) -> tuple[float, Sequence[int]]:
    """The reference: microseconds of processor time a picture, and the passes of each street."""
    begun, found = process_time(), []
    for film in streets:
        start = BEGIN + np.arange(len(film)) * 1000 // RATE
        frame = np.repeat(np.arange(len(film)), [len(boxes) for boxes in film])
        found.append(len(reference_passes(start, frame, np.concatenate(film), window_start=BEGIN)))
    return (process_time() - begun) / sum(len(film) for film in streets) * 1e6, found


def measure(
    seconds: int, sizes: Sequence[tuple[int, int]], rounds: int
) -> tuple[Sequence[Mapping[str, object]], Mapping[str, object]]:
    """Go through cameras and partitions `sizes` in turns with the reference. Returns a row for each, and what holds for
    all of them."""
    streets = [street(seed, seconds * RATE) for seed in range(STREETS)]
    boxes = sum(len(regions) for film in streets for regions in film) / (STREETS * seconds * RATE)
    reference: list[float] = []
    rows = []
    for cameras, partitions in sizes:
        cost, passes = before(streets)
        reference.append(cost)
        expected = sum(passes[camera % STREETS] for camera in range(cameras))
        messages = records(streets, cameras, partitions)
        measured = [measure_round(messages, expected) for _ in range(rounds + 1)][1:]  # the first one warms up
        rows.append(_row(cameras, partitions, measured))
        print(rows[-1], flush=True)
    return rows, {
        "regions a picture": round(boxes, 2),
        "one camera at a time, us": round(statistics.median(reference), 1),
    }


def _row(cameras: int, partitions: int, measured: Sequence[PassesRound]) -> Mapping[str, object]:
    fold = statistics.median(figures.fold for figures in measured)
    close = statistics.median(figures.close for figures in measured)
    return {
        "cameras": cameras,
        "partitions": partitions,
        "fold_us": round(fold, 1),
        "close_us": round(close, 1),
        "longest_ms": round(max(figures.longest_ms for figures in measured), 1),
        "cores_for_10000_cameras": round((fold + close) * TARGET / 1e6, 2),
    }


def main() -> None:
    """Measure, print, and write the numbers to a file if one is named."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seconds", type=int, default=60, help="of the window that have pictures")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--output", type=Path)
    chosen = options.parse_args()
    sizes = [(100, 1), (200, 1), (400, 1), (400, 32)]
    measuring = Measuring(
        "passes",
        "Vehicle passes from plate regions",
        "picture",
        {"seconds": chosen.seconds, "rounds": chosen.rounds},
        seed=None,
    )
    rows, common = measure(chosen.seconds, sizes, chosen.rounds)
    measuring.tables += [ResultTable.of("By cameras and partitions", rows), ResultTable.of("Of all", [common])]
    measuring.write(chosen.output)


if __name__ == "__main__":
    main()
