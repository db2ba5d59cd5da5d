"""The plate network of this project, run by OpenCV: boxes of plates, their scores, and whether they have two lines.

It was trained by `training/`; docs/plates.md describes its training data and its measured precision.
"""

import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from errors import OperatorError
from schemas.batch import ONE_LINE, REGION, TWO_LINES

Picture = NDArray[np.uint8]
Candidates = NDArray[np.float64]
"""Boxes on their way to regions: x0, y0, x1, y1, score, form; shape (n, 6)."""

LONGEST_SIDE = 960
_USUAL_SIDE = 640
_LARGEST_SCALE = 2.0
_HALF = 0.5
"""Below this scale, averaging keeps what linear sampling would jump over."""

_OUTPUTS = (("stride8", 8), ("stride16", 16), ("stride32", 32))
_WIDTH_UNIT, _HEIGHT_UNIT = 4.0, 2.0
_FOLD = 4
_MULTIPLE = 32
_LARGEST_LOG = 5.0

_SAME_IOU = 0.45
_SAME_SHARE = 0.8
_MOST_CANDIDATES = 400
_MOST_REGIONS = 200
_MOST_AT_ONCE = 8
_TILE_OVERLAP = 0.25
_LARGEST_COORDINATE = 65535


class BrokenWeights(OperatorError):
    """The weights in this installation are not those that their card describes."""


@dataclass(frozen=True, slots=True)
class Card:
    """The properties of the weights, from `weights/card.toml`.

    `threshold` is the score from which a region counts; `precision` and `recall` were measured there, on all evaluated
    images. `blur_threshold` and `blur_margin` are the setting for blurring: what scores lower is covered, too, and each
    region grows by this share of its width and height on every side.
    """

    sha256: str
    threshold: float
    precision: float
    recall: float
    blur_threshold: float
    blur_margin: float

    @property
    def version(self) -> str:
        """The first digits of the weights' hash: different weights have different versions."""
        return self.sha256[:8]


@cache
def card() -> Card:
    """The card of the weights in this installation."""
    table: dict[str, Any] = tomllib.loads(_file("card.toml").decode())["weights"]
    return Card(**{name: table[name] for name in Card.__dataclass_fields__})


def _file(name: str) -> bytes:
    return (files("processors.plates") / "weights" / name).read_bytes()


@cache
def _weights() -> bytes:
    """Raises `BrokenWeights`."""
    data = _file("plates.onnx")
    if sha256(data).hexdigest() != card().sha256:
        raise BrokenWeights("plates.onnx is not the file that card.toml describes; install the package anew")
    return data


class NetworkDetector:
    """Finds plates by the network. Not for several threads: OpenCV's networks keep state while they run.

    `threshold` is the least score of a region, the card's by default. A picture with a side longer than `longest_side`
    is scaled down, one below 640 pixels up; a smaller `longest_side` takes less time and misses more small plates.
    `weights` are an ONNX file's bytes, the installed ones by default. The process sets how many threads OpenCV uses
    (`cv2.setNumThreads`).
    """

    def __init__(
        self, threshold: float | None = None, longest_side: int = LONGEST_SIDE, weights: bytes | None = None
    ) -> None:
        if threshold is None:
            threshold = card().threshold
        if not 0 < threshold < 1:
            raise ValueError(f"a threshold lies between 0 and 1: {threshold}")
        if longest_side < _MULTIPLE:
            raise ValueError(f"the longest side must be {_MULTIPLE} pixels or more: {longest_side}")
        self._threshold, self._side = threshold, longest_side
        data = _weights() if weights is None else weights
        self._net = cv2.dnn.readNetFromONNX(np.frombuffer(data, np.uint8))

    @property
    def longest_side(self) -> int:
        """Pixels: a picture with a longer side is scaled down to this."""
        return self._side

    def detect(self, picture: Picture, full: tuple[int, int] | None = None) -> NDArray[np.void]:
        """The regions of a picture, shape (h, w, 3), BGR, of any size; none for one that is too small.

        Dtype `schemas.batch.REGION`, shape (n,), in order of y, then x. If the picture is scaled down from
        another, `full` is the other's height and width, and the regions are in its pixels.
        """
        if not picture.size:
            return np.empty(0, REGION)
        height, width = full or picture.shape[:2]
        back = [width / picture.shape[1], height / picture.shape[0]] * 2 + [1, 1]
        return _regions(_best(self._rows([picture])[0]) * back, (height, width))

    def detect_all(self, pictures: Sequence[Picture]) -> list[NDArray[np.void]]:
        """Each picture's regions, as from `detect`. Pictures of one shape are batched."""
        found: list[NDArray[np.void]] = [np.empty(0, REGION)] * len(pictures)
        for places in _alike(pictures):
            for place, rows in zip(places, self._rows([pictures[i] for i in places]), strict=True):
                found[place] = _regions(_best(rows), pictures[place].shape)
        return found

    def detect_tiled(self, picture: Picture) -> NDArray[np.void]:
        """As `detect`, with the regions that only show at the picture's own scale: small far plates.

        Detects in the whole picture and in overlapping tiles of the longest side; the time grows with its pixels.
        """
        height, width = picture.shape[:2]
        if max(height, width) <= self._side:
            return self.detect(picture)
        places = [(x, y) for y in _starts(height, self._side) for x in _starts(width, self._side)]
        tiles = [picture[y : y + self._side, x : x + self._side] for x, y in places]
        found = [self._rows([picture])[0]]
        for begin in range(0, len(tiles), _MOST_AT_ONCE):
            some = slice(begin, begin + _MOST_AT_ONCE)
            for (x, y), tile, rows in zip(places[some], tiles[some], self._rows(tiles[some]), strict=True):
                found.append(_whole(rows, tile.shape, (x, y), (height, width)))
        return _regions(_best(np.concatenate(found)), picture.shape)

    def _rows(self, pictures: Sequence[Picture]) -> list[Candidates]:
        """The network's candidates for pictures of one shape, in their own pixels, with duplicates."""
        height, width = pictures[0].shape[:2]
        scale = self._scale(max(height, width))
        size = (max(round(width * scale), 1), max(round(height * scale), 1))
        padded = (-(-size[1] // _MULTIPLE) * _MULTIPLE, -(-size[0] // _MULTIPLE) * _MULTIPLE)
        blob = np.empty((len(pictures), 3 * _FOLD * _FOLD, padded[0] // _FOLD, padded[1] // _FOLD), np.uint8)
        for picture, into in zip(pictures, blob, strict=True):
            _fold(_scaled(picture, size, padded), into)
        self._net.setInput(blob)
        answers = self._net.forward([name for name, _ in _OUTPUTS])
        back = np.array([width / size[0], height / size[1]] * 2 + [1, 1])
        return [self._read([level[i] for level in answers]) * back for i in range(len(pictures))]

    def _scale(self, longest: int) -> float:
        if longest >= min(self._side, _USUAL_SIDE):
            return min(self._side / longest, 1.0)
        return min(min(self._side, _USUAL_SIDE) / longest, _LARGEST_SCALE)

    def _read(self, answers: Sequence[NDArray[np.float32]]) -> Candidates:
        """One picture's answers of all levels, each shape (6, h, w), as rows in the network's pixels."""
        least = float(np.log(self._threshold / (1 - self._threshold)))
        levels = [_level(level, stride, least) for level, (_, stride) in zip(answers, _OUTPUTS, strict=True)]
        return np.concatenate(levels)


def _alike(pictures: Sequence[Picture]) -> Iterable[list[int]]:
    """Indexes of pictures of one shape, a few at a time, without empty pictures."""
    shapes: dict[tuple[int, ...], list[int]] = {}
    for place, picture in enumerate(pictures):
        if picture.size:
            shapes.setdefault(picture.shape[:2], []).append(place)
    for places in shapes.values():
        for begin in range(0, len(places), _MOST_AT_ONCE):
            yield places[begin : begin + _MOST_AT_ONCE]


def _scaled(picture: Picture, size: tuple[int, int], padded: tuple[int, int]) -> Picture:
    """The picture at this width and height in the upper left corner of a black one of this height and width."""
    if picture.shape[1::-1] != size:
        how = cv2.INTER_AREA if size[0] < _HALF * picture.shape[1] else cv2.INTER_LINEAR
        picture = np.asarray(cv2.resize(picture, size, interpolation=how), np.uint8)
    if size == padded[::-1]:
        return np.ascontiguousarray(picture)
    canvas = np.zeros((*padded, 3), np.uint8)
    canvas[: size[1], : size[0]] = picture
    return canvas


def _fold(picture: Picture, into: NDArray[np.uint8]) -> None:
    """Blocks of 4 by 4 pixels become channels, in the order row, column, colour, as `training.net.folded` does it."""
    height, width = picture.shape[0] // _FOLD, picture.shape[1] // _FOLD
    blocks = picture.reshape(height, _FOLD, width, _FOLD * 3)
    for row in range(_FOLD):
        line = np.ascontiguousarray(blocks[:, row]).reshape(-1, _FOLD * 3)
        into[row * _FOLD * 3 : (row + 1) * _FOLD * 3] = cv2.transpose(line).reshape(-1, height, width)


def _level(answers: NDArray[np.float32], stride: int, least: float) -> Candidates:
    """Cells with at least this logit, decoded as in `training.layout`: logit, two lines, dx, dy, log w, log h."""
    y, x = np.nonzero(answers[0] >= least)
    columns: list[NDArray[np.float64]] = list(answers[:, y, x].astype(np.float64))
    logit, two, dx, dy, log_w, log_h = columns
    cx, cy = (x + 0.5 + dx) * stride, (y + 0.5 + dy) * stride
    score = 1 / (1 + np.exp(-logit))
    w = np.exp(np.clip(log_w, -_LARGEST_LOG, _LARGEST_LOG)) * (stride * _WIDTH_UNIT / 2)
    h = np.exp(np.clip(log_h, -_LARGEST_LOG, _LARGEST_LOG)) * (stride * _HEIGHT_UNIT / 2)
    form = np.where(two > 0, TWO_LINES, ONE_LINE)
    return np.stack((cx - w, cy - h, cx + w, cy + h, score, form), 1)


def _starts(length: int, tile: int) -> list[int]:
    """The first pixel of each tile along a side; they overlap by a quarter or more, and the last ends at the end."""
    if length <= tile:
        return [0]
    count = int(np.ceil((length - tile) / (tile * (1 - _TILE_OVERLAP)))) + 1
    return [round(i * (length - tile) / (count - 1)) for i in range(count)]


def _whole(rows: Candidates, tile: Sequence[int], place: tuple[int, int], shape: tuple[int, int]) -> Candidates:
    """A tile's rows in the picture's pixels, without those cut by an inner edge: a neighbouring tile has them whole."""
    (x, y), (height, width), edge = place, shape, 2.0
    cut = (rows[:, 0] < edge) & (x > 0) | (rows[:, 1] < edge) & (y > 0)
    cut |= (rows[:, 2] > tile[1] - edge) & (x + tile[1] < width) | (rows[:, 3] > tile[0] - edge) & (
        y + tile[0] < height
    )
    kept: Candidates = rows[~cut] + [x, y, x, y, 0, 0]
    return kept


def _best(rows: Candidates) -> Candidates:
    """Non-maximum suppression: from the highest score down, without candidates for the same plate as a better one."""
    rows = rows[np.lexsort((rows[:, 0], rows[:, 1], -rows[:, 4]))][:_MOST_CANDIDATES]
    area = (rows[:, 2] - rows[:, 0]) * (rows[:, 3] - rows[:, 1])
    alive, kept = np.ones(len(rows), bool), []
    for row in range(len(rows)):
        if not alive[row]:
            continue
        kept.append(row)
        shared = np.clip(
            np.minimum(rows[:, 2:4], rows[row, 2:4]) - np.maximum(rows[:, :2], rows[row, :2]), 0, None
        ).prod(1)
        joint = area + area[row] - shared
        alive &= (shared <= _SAME_IOU * joint) & (shared <= _SAME_SHARE * np.minimum(area, area[row]))
    return rows[kept[:_MOST_REGIONS]]


def _regions(rows: Candidates, shape: Sequence[int]) -> NDArray[np.void]:
    """Candidates as regions in whole pixels inside a picture of this shape, in order of y, then x."""
    limits = np.minimum([shape[1], shape[0]] * 2, _LARGEST_COORDINATE)
    left, top, right, bottom = np.clip(np.rint(rows[:, :4]), 0, limits).T
    out = np.zeros(len(rows), REGION)
    out["x"], out["y"], out["w"], out["h"] = left, top, right - left, bottom - top
    out["score"], out["form"] = rows[:, 4], rows[:, 5]
    out = out[(out["w"] > 0) & (out["h"] > 0)]
    return out[np.lexsort((-out["score"], out["x"], out["y"]))]
