"""Evaluation of a detector: average precision, precision, recall and coverage per kind of image.

Boxes are rows x, y, w, h in pixels, float64, shape (n, 4). A detection is a hit if it overlaps a plate that no better
detection has taken. A detection without a hit on an ignored region (too small, cut or blurred to label) is not counted;
every other one is false, duplicates included.
"""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha1
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from errors import OperatorError

Boxes = NDArray[np.float64]

HIT = 1
FALSE = 0
IGNORED = -1

IGNORED_IOU = 0.3
IGNORED_SHARE = 0.5
"""A detection is on an ignored region from this IoU on, or with more than this share of its area inside."""

FALSE_IOU = 0.3
"""Below this IoU a region does not match the plate, for `Score.false_per_image`."""

COVERED = 0.8
"""The share of a plate's area that must be covered for it to be unreadable once blurred."""


class LabelError(OperatorError):
    """A table of labels that can't be read; the text says which line and why."""


def _no_boxes() -> Boxes:
    return np.empty((0, 4))


@dataclass(slots=True, eq=False)
class Labelled:
    """An image's truth: its kind, its plates and its ignored regions, boxes of shape (n, 4)."""

    kind: str
    plates: Boxes = field(default_factory=_no_boxes)
    ignored: Boxes = field(default_factory=_no_boxes)


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """The detections in one image: `boxes` (n, 4) and `scores` (n,)."""

    boxes: Boxes
    scores: NDArray[np.float64]

    def from_score(self, least: float) -> "Found":
        """The detections with at least this score."""
        keep = self.scores >= least
        return Found(self.boxes[keep], self.scores[keep])


@dataclass(frozen=True, slots=True)
class Score:
    """One kind's figures, or their mean over kinds.

    `ap50` and `ap30` at IoU .5 and .3 over all scores; the rest at one threshold: `precision` and `recall` at IoU .5,
    `covered` the share of plates with at least 80 % of their area under detections, `false_per_image` what matches no
    plate at IoU .3.
    """

    kind: str
    images: int
    plates: int
    ap50: float
    ap30: float
    precision: float
    recall: float
    covered: float
    false_per_image: float


def held_out(name: str) -> bool:
    """Whether an image of this file name is for validation only: it is never used for training."""
    return int(sha1(name.encode()).hexdigest(), 16) % 4 == 0


def read_labels(labels: Path, ignored: Path | None = None) -> dict[str, Labelled]:
    """Labels by image name from tables `image,x,y,w,h,kind`; a row without numbers is an image without a plate.

    Raises `LabelError` for a missing column, a box that is no box, or an image of two kinds.
    """
    truth: dict[str, Labelled] = {}
    plates: dict[str, list[tuple[float, ...]]] = {}
    for line, name, kind, box in _rows(labels):
        image = truth.setdefault(name, Labelled(kind))
        if image.kind != kind:
            raise LabelError(f"{labels.name}, line {line}: {name} is {kind} here and {image.kind} before")
        plates.setdefault(name, []).extend(box)
    masked: dict[str, list[tuple[float, ...]]] = {}
    for _, name, _, box in _rows(ignored) if ignored else ():
        masked.setdefault(name, []).extend(box)
    for name, image in truth.items():
        image.plates = _array(plates[name])
        image.ignored = _array(masked.get(name, []))
    return truth


def _rows(path: Path) -> Iterable[tuple[int, str, str, list[tuple[float, ...]]]]:
    with path.open(newline="", encoding="utf-8") as lines:
        table = csv.DictReader(lines)
        missing = {"image", "x", "y", "w", "h", "kind"} - set(table.fieldnames or ())
        if missing:
            raise LabelError(f"{path.name} has no column {', '.join(sorted(missing))}")
        for row in table:
            yield table.line_num, row["image"], row["kind"], _box(row, f"{path.name}, line {table.line_num}")


def _box(row: Mapping[str, str | None], place: str) -> list[tuple[float, ...]]:
    numbers = [row[name] or "" for name in ("x", "y", "w", "h")]
    if not any(numbers):
        return []
    try:
        x, y, w, h = map(float, numbers)
    except ValueError:
        raise LabelError(f"{place}: {','.join(numbers)} are not four numbers") from None
    if not (np.isfinite([x, y, w, h]).all() and w > 0 and h > 0):
        raise LabelError(f"{place}: a box must have a width and a height")
    return [(x, y, w, h)]


def _array(boxes: Sequence[tuple[float, ...]]) -> Boxes:
    return np.array(boxes, np.float64).reshape(-1, 4)


def shared_area(first: Boxes, second: Boxes) -> NDArray[np.float64]:
    """Area that each box of `first` (n) shares with each of `second` (m): shape (n, m), square pixels."""
    begin = np.maximum(first[:, None, :2], second[None, :, :2])
    end = np.minimum(first[:, None, :2] + first[:, None, 2:], second[None, :, :2] + second[None, :, 2:])
    sides: NDArray[np.float64] = np.clip(end - begin, 0, None)
    return sides[..., 0] * sides[..., 1]


def iou(first: Boxes, second: Boxes) -> NDArray[np.float64]:
    """Shared area over joint area, shape (n, m); 0 where both boxes are empty."""
    shared = shared_area(first, second)
    joint = first[:, 2:].prod(1)[:, None] + second[:, 2:].prod(1)[None] - shared
    result: NDArray[np.float64] = np.divide(shared, joint, out=np.zeros_like(shared), where=joint > 0)
    return result


def outcomes(found: Found, truth: Labelled, least_iou: float) -> NDArray[np.int8]:
    """`HIT`, `FALSE` or `IGNORED` for every detection, shape (n,).

    From the highest score down (the earlier first where scores are equal), each takes the free plate that it overlaps
    most, if by `least_iou` or more.
    """
    result = np.full(len(found.scores), FALSE, np.int8)
    overlap = iou(found.boxes, truth.plates)
    for detection in np.argsort(-found.scores, kind="stable"):
        if overlap.shape[1] and overlap[detection].max() >= least_iou:
            overlap[:, overlap[detection].argmax()] = -1
            result[detection] = HIT
    result[(result == FALSE) & on_ignored(found.boxes, truth.ignored)] = IGNORED
    return result


def on_ignored(boxes: Boxes, ignored: Boxes) -> NDArray[np.bool_]:
    """Which boxes lie on an ignored region, shape (n,)."""
    shared, area = shared_area(boxes, ignored), boxes[:, 2:].prod(1)[:, None]
    on = (iou(boxes, ignored) >= IGNORED_IOU) | (shared > IGNORED_SHARE * area)
    inside: NDArray[np.bool_] = on.any(1)
    return inside


def average_precision(scores: NDArray[np.float64], results: NDArray[np.int8], plates: int) -> float:
    """Area under precision over recall, made non-increasing (as in Pascal VOC since 2010); NaN without plates.

    Detections of equal score count together, since their order is arbitrary.
    """
    if not plates:
        return float("nan")
    counted = results != IGNORED
    order = np.argsort(-scores[counted], kind="stable")
    ranked, hits = scores[counted][order], np.cumsum(results[counted][order] == HIT)
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)) if len(ranked) else np.empty(0, np.int64)
    recall, precision = hits[ends] / plates, hits[ends] / (ends + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * envelope))


def covered_shares(boxes: Boxes, plates: Boxes) -> NDArray[np.float64]:
    """The share of each plate's area that lies under any of the boxes, shape (plates,)."""
    return np.array([_covered(boxes, plate) for plate in plates], np.float64)


def _covered(boxes: Boxes, plate: NDArray[np.float64]) -> float:
    """Exact: summed over the cells of the grid that all edges make."""
    low, high = plate[:2], plate[:2] + plate[2:]
    begin = np.clip(boxes[:, :2], low, high)
    end = np.clip(boxes[:, :2] + boxes[:, 2:], low, high)
    xs = np.unique(np.concatenate((begin[:, 0], end[:, 0], [low[0], high[0]])))
    ys = np.unique(np.concatenate((begin[:, 1], end[:, 1], [low[1], high[1]])))
    x, y = (xs[1:] + xs[:-1]) / 2, (ys[1:] + ys[:-1]) / 2
    across = (begin[:, 0, None] < x) & (x < end[:, 0, None])
    down = (begin[:, 1, None] < y) & (y < end[:, 1, None])
    under = (down[:, :, None] & across[:, None, :]).any(0)
    return float((under * np.diff(ys)[:, None] * np.diff(xs)[None]).sum() / plate[2:].prod())


def score(
    truth: Mapping[str, Labelled],
    found: Mapping[str, Found],
    threshold: float,
    covering: Mapping[str, Found] | None = None,
) -> list[Score]:
    """Each kind's figures, by name. `found` holds an entry for every image of `truth`, at as low scores as it has.

    `covering` holds the same detections grown as for blurring, which decide what is covered; by default `found`.
    """
    kinds: dict[str, dict[str, Labelled]] = {}
    for name, image in truth.items():
        kinds.setdefault(image.kind, {})[name] = image
    return [together(kind, kinds[kind], found, threshold, covering) for kind in sorted(kinds)]


def together(
    kind: str,
    truth: Mapping[str, Labelled],
    found: Mapping[str, Found],
    threshold: float,
    covering: Mapping[str, Found] | None = None,
) -> Score:
    """The figures of all these images as one kind, so that each kind is weighted by its images."""
    names = list(truth)
    plates = sum(len(truth[name].plates) for name in names)
    scores = np.concatenate([found[name].scores for name in names])
    at50, at30 = (np.concatenate([outcomes(found[name], truth[name], least) for name in names]) for least in (0.5, 0.3))
    passed = {name: found[name].from_score(threshold) for name in names}
    hits, false = _counts(passed, truth, 0.5)
    grown = passed if covering is None else {name: covering[name].from_score(threshold) for name in names}
    shares = np.concatenate([covered_shares(grown[name].boxes, truth[name].plates) for name in names])
    return Score(
        kind=kind,
        images=len(names),
        plates=plates,
        ap50=average_precision(scores, at50, plates),
        ap30=average_precision(scores, at30, plates),
        precision=_share(hits, hits + false),
        recall=_share(hits, plates),
        covered=_share(int((shares >= COVERED).sum()), plates),
        false_per_image=_counts(passed, truth, FALSE_IOU)[1] / len(names),
    )


def _counts(found: Mapping[str, Found], truth: Mapping[str, Labelled], least_iou: float) -> tuple[int, int]:
    """Hits and false detections."""
    results = [outcomes(detections, truth[name], least_iou) for name, detections in found.items()]
    return tuple(sum(int((result == which).sum()) for result in results) for which in (HIT, FALSE))  # type: ignore[return-value]


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


def macro(scores: Sequence[Score]) -> Score:
    """The unweighted mean over kinds; counts are sums. NaN, of a kind without plates, is left out."""
    names = ("ap50", "ap30", "precision", "recall", "covered", "false_per_image")
    means = {}
    for name in names:
        values = [value for score in scores if not np.isnan(value := getattr(score, name))]
        means[name] = float(np.mean(values)) if values else float("nan")
    return Score("macro", sum(score.images for score in scores), sum(score.plates for score in scores), **means)
