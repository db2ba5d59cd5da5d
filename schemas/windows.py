"""A city's windows: numbered, in the city's own zone, with its clock changes since 1970.

Every local day is cut into windows from its local midnight on, by elapsed time; a day that is not a whole number of
windows long ends with a shorter one. So boundaries follow the zone (Tehran's hours begin at half past, UTC), and a day
of 23 or 25 hours has 23 or 25 of them. A window of a day or a month is the whole local day or month. Numbers rise with
time but are not gap-free.
"""

from functools import cache
from typing import Literal
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from schemas.catalogue import LONGEST_MS, WindowLength

_LONGEST_DAY_MS = 26 * 3_600_000  # clocks have moved by two hours at most

Moments = NDArray[np.int64]


class Windows:
    """The windows of one kind in one zone. Times are milliseconds since 1970, UTC.

    Raises `zoneinfo.ZoneInfoNotFoundError` for an unknown zone.
    """

    def __init__(self, zone: str, window: WindowLength) -> None:
        whole = window in ("day", "month")
        self._starts = _starts(zone, "month" if window == "month" else "day")
        self._width = None if whole else LONGEST_MS[window]
        self._per_period = 1 if self._width is None else -(-_LONGEST_DAY_MS // self._width)

    def numbers(self, times: Moments) -> Moments:
        """The number of the window that each time lies in. Times must lie in the years 1970 to 2199."""
        if not len(times):
            return np.zeros(0, np.int64)
        first = int(np.searchsorted(self._starts, times.min(), "right")) - 1
        last = int(np.searchsorted(self._starts, times.max(), "right")) - 1
        # Most polls lie within a day or two: a search among these few beats one among all days since 1970.
        periods = first + np.searchsorted(self._starts[first + 1 : last + 1], times, "right")
        if self._width is None:
            return periods
        return periods * self._per_period + (times - self._starts[periods]) // self._width

    def number(self, moment: int) -> int:
        """The number of the window that one time lies in."""
        return int(self.numbers(np.array([moment], np.int64))[0])

    def bounds(self, number: int) -> tuple[int, int]:
        """First millisecond of a window, and the first one after it."""
        period, index = divmod(number, self._per_period)
        end = int(self._starts[period + 1])
        if self._width is None:
            return int(self._starts[period]), end
        start = int(self._starts[period]) + index * self._width
        return start, min(start + self._width, end)


@cache
def _starts(zone: str, period: Literal["day", "month"]) -> Moments:
    """The first moment of each local day from 1969-12-30 to 2200, or month from 1969-12; where clocks skip midnight,
    that of the skip."""
    if period == "month":
        midnights = np.arange("1969-12", "2200-12", dtype="datetime64[M]").astype("datetime64[ms]")
    else:
        midnights = np.arange("1969-12-30", "2200-01-03", dtype="datetime64[D]").astype("datetime64[ms]")
    # Every process that knows windows asks for 84,000 days: a call of the zone for each, and nothing else.
    utc_offset = ZoneInfo(zone).utcoffset
    offsets = np.array([utc_offset(midnight) for midnight in midnights.tolist()], "timedelta64[ms]")
    starts: Moments = (midnights - offsets).astype(np.int64)
    return starts
