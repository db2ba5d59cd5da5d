"""From readings to messages: they are grouped, sorted, cut into batches and encoded, as arrays. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ingest.register import SourceColumns
from schemas.batch import ACTUAL, ROW, encode
from schemas.catalogue import Metric, metrics_of
from schemas.frames import encode_frame_tick
from schemas.regions import encode_tick
from schemas.registry import newest
from schemas.topics import FRAMES, REGIONS

LARGEST_BATCH = 500
TOO_LONG_AFTER = 2**31
"""Milliseconds since a batch's first row from which on processors reject a row."""


@dataclass(frozen=True, slots=True, eq=False)
class ReadingColumns:
    """Readings of one metric and one interval length (milliseconds, 0 for moments), as columns of shape (n,).

    `area` int32; `class_` uint8, an index into `metric.classes`; `source` and `contributor` uint32; `start` int64,
    milliseconds since 1970, UTC; `value` float64, whole numbers of the metric's smallest unit; `quality` uint8.
    """

    metric: Metric
    interval: int
    area: NDArray[np.int32]
    class_: NDArray[np.uint8]
    source: NDArray[np.uint32]
    contributor: NDArray[np.uint32]
    start: NDArray[np.int64]
    value: NDArray[np.float64]
    quality: NDArray[np.uint8]

    @classmethod
    def of(
        cls,
        metric: Metric,
        interval: int,
        sources: SourceColumns,
        start: NDArray[np.int64],
        value: NDArray[np.float64],
        quality: NDArray[np.uint8] | None = None,
    ) -> "ReadingColumns":
        """Readings of these sources, row by row; all of them `schemas.batch.ACTUAL` without `quality`."""
        if quality is None:
            quality = np.full(len(start), ACTUAL, np.uint8)
        return cls(
            metric, interval, sources.area, sources.class_, sources.number, sources.contributor, start, value, quality
        )

    def __len__(self) -> int:
        return len(self.start)

    def take(self, rows: NDArray[np.integer]) -> "ReadingColumns":
        """The readings at these rows, in this order."""
        return ReadingColumns(
            self.metric,
            self.interval,
            self.area[rows],
            self.class_[rows],
            self.source[rows],
            self.contributor[rows],
            self.start[rows],
            self.value[rows],
            self.quality[rows],
        )


@dataclass(frozen=True, slots=True)
class Message:
    """A batch as the log takes it.

    `key` is an area or a camera in decimal digits; `readings` is the number of rows; `start` the time of the first,
    milliseconds since 1970, UTC, which decides where the log has several topics.
    """

    key: bytes
    value: bytes
    readings: int
    start: int = 0


def messages(readings: ReadingColumns, feeder: str = "", cuts: Sequence[int] = ()) -> Iterator[Message]:
    """The readings as messages of `feeder`, of at most `LARGEST_BATCH` rows, each of one area and one class.

    Rows are in the order of their times, those of the same time in the order of the input. A batch ends before the
    first row at one of the times `cuts` or later (milliseconds since 1970, UTC, rising), and early where the
    milliseconds since its first row don't fit: where they are no exact float32, which the wire format has for them, or
    `TOO_LONG_AFTER`.
    """
    if not len(readings):
        return
    readings = _sorted(readings)
    edges = _edges(readings, cuts)
    begins = readings.start[edges[:-1]]
    rows = np.empty(len(readings), ROW)
    rows["source"] = readings.source
    rows["contributor"] = readings.contributor
    rows["after"] = readings.start - np.repeat(begins, np.diff(edges))
    rows["value"] = readings.value
    rows["quality"] = readings.quality
    metric, classes = readings.metric.name, readings.metric.classes
    schema = newest(readings.metric.dataset).id
    first = edges[:-1]
    heads = zip(readings.area[first].tolist(), readings.class_[first].tolist(), begins.tolist(), strict=True)
    places = edges.tolist()
    for index, (area, class_, start) in enumerate(heads):
        batch = rows[places[index] : places[index + 1]]
        value = encode(
            schema,
            metric=metric,
            area=area,
            class_=classes[class_],
            interval=readings.interval,
            start=start,
            rows=batch,
            feeder=feeder,
        )
        yield Message(b"%d" % area, value, len(batch), start)


def tick(dataset: str, time_ms: int, feeder: str = "") -> bytes:
    """A batch without rows: the feeder's time has come as far as `time_ms`. It is for every metric of the topic."""
    if dataset == REGIONS:
        return encode_tick(time_ms, feeder)
    if dataset == FRAMES:
        return encode_frame_tick(time_ms, feeder)
    metric = metrics_of(dataset)[0]
    return encode(
        newest(dataset).id,
        metric=metric.name,
        area=0,
        class_=metric.classes[0],
        interval=0,
        start=time_ms,
        rows=np.empty(0, ROW),
        feeder=feeder,
    )


def _group(readings: ReadingColumns) -> NDArray[np.int64]:
    return readings.area.astype(np.int64) * len(readings.metric.classes) + readings.class_


def _sorted(readings: ReadingColumns) -> ReadingColumns:
    """Ordered by area, class and time; the same object if it is in order already, as readings of a file often are."""
    group = _group(readings)
    group_step, time_step = np.diff(group), np.diff(readings.start)
    if not ((group_step < 0) | ((group_step == 0) & (time_step < 0))).any():
        return readings
    earliest, lowest = int(readings.start.min()), int(group.min())
    span = int(readings.start.max()) - earliest + 1
    if (int(group.max()) - lowest + 1) * span < 2**62:  # one sort instead of two
        packed = (group - lowest) * span + (readings.start - earliest)
        return readings.take(np.argsort(packed, kind="stable"))
    return readings.take(np.lexsort((readings.start, group)))


def _edges(readings: ReadingColumns, cuts: Sequence[int]) -> NDArray[np.int64]:
    """The first row of each batch, and the end of the last: shape (batches + 1,)."""
    count = len(readings)
    changed = np.diff(_group(readings)) != 0
    if len(cuts):
        changed |= np.diff(np.searchsorted(np.array(cuts, np.int64), readings.start, "right")) != 0
    changes = np.flatnonzero(changed) + 1
    groups = np.concatenate(([0], changes, [count]))
    sizes = np.diff(groups)
    pieces = -(-sizes // LARGEST_BATCH)
    piece = np.arange(pieces.sum()) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    edges = np.append(np.repeat(groups[:-1], pieces) + piece * LARGEST_BATCH, count)
    after = readings.start - np.repeat(readings.start[edges[:-1]], np.diff(edges))
    unfit = _unfit(after)
    if not unfit.any():
        return edges
    extra: list[int] = []
    for batch in np.unique(np.searchsorted(edges, np.flatnonzero(unfit), side="right") - 1).tolist():
        extra += _cuts(readings.start, int(edges[batch]), int(edges[batch + 1]))
    return np.sort(np.concatenate((edges, extra)).astype(np.int64))


def _unfit(after: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Where a batch can't hold a row with so many milliseconds since its first one."""
    unfit: NDArray[np.bool_] = (after != after.astype(np.float32).astype(np.int64)) | (after >= TOO_LONG_AFTER)
    return unfit


def _cuts(start: NDArray[np.int64], begin: int, end: int) -> list[int]:
    """The rows at which a batch must be cut so that every row's time fits."""
    cuts: list[int] = []
    while True:
        after = start[begin:end] - start[begin]
        unfit = np.flatnonzero(_unfit(after))
        if not len(unfit):
            return cuts
        begin += int(unfit[0])
        cuts.append(begin)
