"""Readings that came after their window had closed, window by window: where they lie in the log. Pure.

A correction (R13) reads them again from there. Readings that are later than `HORIZON_MS`, in event time, are counted
only, so a partition has as many entries as windows in that time, whatever is sent.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from schemas.catalogue import Metric
from schemas.topics import CORRECTED_FOR_MS, HORIZON_MS
from schemas.windows import Windows
from store.processing import LateReadings


def late_readings(
    metric: Metric,
    windows: Windows,
    number: NDArray[np.int64],
    offset: NDArray[np.int64],
    watermark: NDArray[np.int64],
) -> Iterator[LateReadings]:
    """Late readings in the order of the log, shape (n,): their windows' numbers, offsets, and the watermark of each.

    Yields the windows that had not been closed for longer than `HORIZON_MS`.
    """
    kept = number >= windows.numbers(np.maximum(watermark - HORIZON_MS, 0))
    number, offset = number[kept], offset[kept]
    for window in np.unique(number).tolist():
        places = np.flatnonzero(number == window)
        start, end = windows.bounds(window)
        until = end + metric.lateness_ms + CORRECTED_FOR_MS
        first, last = int(offset[places[0]]), int(offset[places[-1]])
        yield LateReadings(metric.name, start, end, until, first, last, len(places))
