"""Streets with cameras, with and without a parked car, through the product's own fold and tracker."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from eventlog.memory import MemoryRecord
from processors.reading_fold import ReadingFold
from schemas.batch import ONE_LINE, REGION, ROW, TWO_LINES, encode
from schemas.catalogue import Metric, metrics_of
from schemas.registry import schema_named
from schemas.topics import REGIONS
from schemas.windows import Windows
from store.processing import Cell, Position

HOUR = 3_600_000
QUARTER = HOUR // 4
T0 = 1_790_001_000_000 // HOUR * HOUR + HOUR // 2
"""The beginning of an hour in Tehran."""

VIDEO_CAMERAS, STILL_CAMERAS = 2, 11
CAMERAS = VIDEO_CAMERAS + STILL_CAMERAS

_VIDEO_STEP, _STILL_STEP = 2_000, 60_000
_IN_VIEW = 12_000
_STAY = 95_000
_SCHEMA = schema_named(f"{REGIONS}.v1").id
_LONG_AFTER = T0 + 20 * HOUR


@dataclass(frozen=True, slots=True)
class Street:
    """A street in one hour: `area` is its number, `rate` how many vehicles a camera sees in a quarter of an hour."""

    area: int
    seed: int
    rate: float
    parked: bool

    @property
    def busy(self) -> bool:
        """Whether so many pass in a quarter that the rule's minimum of 11 is no matter of chance."""
        return self.rate * VIDEO_CAMERAS >= 40


def streets(count: int) -> list[Street]:
    """Pairs: the same street, from night to rush hour, without and with a car that parks in front of its cameras."""
    rates = 10 ** np.random.default_rng(0).uniform(-1, 2, count)  # vehicles a camera and quarter: 0.1 to 100
    return [
        Street(2 * seed + parked, seed, float(rates[seed]), bool(parked)) for seed in range(count) for parked in (0, 1)
    ]


def cells_of(found: Sequence[Street]) -> Mapping[int, list[Cell]]:
    """Area -> the cells of its hour, whatever may leave of them. The passes are those of the first quarter."""
    metrics = metrics_of(REGIONS)
    fold = ReadingFold(metrics, {metric.name: Windows("Asia/Tehran", metric.window) for metric in metrics}, Position())
    messages = [message for street in found for message in _messages(street, metrics)]
    messages.sort(key=lambda message: message[0])
    messages.append((_LONG_AFTER, b"1", _encoded(1, _LONG_AFTER, "traffic.regions", None)))
    fold.feed([MemoryRecord(offset, _LONG_AFTER, key, body) for offset, (_, key, body) in enumerate(messages)])
    step = fold.step()
    assert step is not None
    assert step.position.account.late == step.position.account.rejected == 0
    cells: dict[int, list[Cell]] = {street.area: [] for street in found}
    for cell in step.cells:
        cells[cell.area].append(cell)
    return cells


def _messages(street: Street, metrics: Sequence[Metric]) -> list[tuple[int, bytes, bytes]]:
    """When each picture of the street was taken, and the key and body of its message."""
    rng = np.random.default_rng([street.seed, 1])
    [still] = [metric for metric in metrics if metric.kind == "mean"]
    parked_from = int(rng.integers(QUARTER - _STAY))
    found = []
    for camera in range(CAMERAS):
        video = camera < VIDEO_CAMERAS
        span, step = (QUARTER, _VIDEO_STEP) if video else (HOUR, _STILL_STEP)
        count = rng.poisson(street.rate * span / QUARTER)
        vehicles = np.sort(rng.integers(-_IN_VIEW, span, count))
        forms = rng.choice([ONE_LINE, TWO_LINES], count, p=[0.7, 0.3])
        stands = parked_from if street.parked and camera in (0, VIDEO_CAMERAS) else None
        for after in range(int(rng.integers(step)), span, step):
            boxes = _boxes(vehicles, forms, after, stands)
            name, unit = ("traffic.regions", 1) if video else (still.name, still.smallest_per_unit)
            row = (street.area * CAMERAS + camera, street.area * CAMERAS + camera, 0, len(boxes) * unit, 1)
            body = _encoded(street.area, T0 + after, name, row, boxes, step)
            found.append((T0 + after, b"%d" % street.area, body))
    return found


def _boxes(
    vehicles: np.ndarray, forms: np.ndarray, after: int, stands: int | None
) -> list[tuple[int, int, int, int, float, int]]:
    first, end = np.searchsorted(vehicles, [after - _IN_VIEW, after], "right")
    boxes = [
        (200 + 150 * (index % 12), 50 + (after - int(vehicles[index])) // 100, 60, 20, 0.9, int(forms[index]))
        for index in range(first, end)
    ]
    if stands is not None and stands <= after < stands + _STAY:
        boxes.append((20, 400, 60, 20, 0.9, ONE_LINE))
    return boxes


def _encoded(
    area: int,
    start: int,
    metric: str,
    row: tuple[int, int, int, int, int] | None,
    boxes: Sequence[tuple[int, int, int, int, float, int]] = (),
    interval: int = _VIDEO_STEP,
) -> bytes:
    rows = np.array([] if row is None else [row], ROW)
    regions = np.array(list(boxes), REGION)
    return encode(
        _SCHEMA, metric=metric, area=area, class_="any", interval=interval, start=start, rows=rows, regions=regions
    )
