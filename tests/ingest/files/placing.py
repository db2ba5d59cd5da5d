"""Readings as an import holds them between its files and the log, for tests of its parts."""

from collections.abc import Sequence

import numpy as np

from ingest.files.ordering import PLACED, Placed
from ingest.files.reading import Parsed
from ingest.files.source_codes import SourceCodes


def placed(codes: SourceCodes, readings: Sequence[Parsed], file: int = 0) -> Placed:
    """Readings with the codes of their sources."""
    rows = np.zeros(len(readings), PLACED)
    for row, reading in enumerate(readings):
        [code] = codes.codes(reading.metric, [reading.source], 1)
        rows[row] = (
            *(reading.start_ms, reading.interval_ms, reading.value, reading.position, 0),
            *(code, file, 0, reading.quality),
        )
    return rows
