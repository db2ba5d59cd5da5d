"""The event time of a partition, a function of its log alone (R1)."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from processors.decoding import Decoded
from processors.readings import CheckedReadings


class EventTime:
    """The latest event time in a partition's records so far, `latest`: milliseconds since 1970, None without one.

    A metric's watermark is that time minus the metric's lateness.
    """

    def __init__(self, latest: int | None) -> None:
        self.latest = latest

    def advance(self, records: int, decoded: Decoded, checked: Mapping[str, CheckedReadings]) -> NDArray[np.int64]:
        """Take in the readings and ticks of some records.

        Returns the latest event time before each of them, -1 without one: shape (records,).
        """
        times = np.full(records + 1, -1, np.int64)
        times[0] = -1 if self.latest is None else self.latest
        for metric, messages in decoded.messages.items():
            times[np.array(messages.sequence) + 1] = checked[metric].latest
        for sequence, time in decoded.ticks.items():
            times[sequence + 1] = time
        running = np.maximum.accumulate(times)
        self.latest = int(running[-1]) if running[-1] >= 0 else None
        return running[:-1]
