"""The cells of a stream in which a reading that was sent twice counts twice, as in systems that find no winners."""

import numpy as np

from benchmarks.readings import ZONE, CellAmounts, CellKey, SourceStream, Written, steps
from schemas.windows import Windows


def every_reading(stream: SourceStream) -> dict[CellKey, CellAmounts]:
    """Sum and number of all readings of each cell, from what generates the stream: no message is read."""
    cells: dict[CellKey, CellAmounts] = {}
    for readings in steps(stream, Written()):
        windows, classes = Windows(ZONE, readings.metric.window), readings.metric.classes
        number = windows.numbers(readings.start)
        group = readings.area.astype(np.int64) * len(classes) + readings.class_
        for window in np.unique(number).tolist():
            here = number == window
            # A step's sums are below 2^53, and so exact in doubles.
            sums, counts = np.bincount(group[here], readings.value[here]), np.bincount(group[here])
            for each in np.flatnonzero(counts).tolist():
                area, class_ = divmod(each, len(classes))
                key = CellKey(windows.bounds(window)[0], area, classes[class_])
                before = cells.get(key, CellAmounts(0, 0))
                cells[key] = CellAmounts(before.value + int(sums[each]), before.readings + int(counts[each]))
    return cells
