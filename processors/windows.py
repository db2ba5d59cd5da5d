"""A city's windows: numbered, in the city's own zone, with whatever its clocks have done since 1970.

Every local day is cut into windows from its local midnight on, by elapsed time; a day that is not a whole number of
windows long ends with a shorter one. So boundaries follow the zone (Tehran's hours begin at half past, UTC), and a day
of 23 or 25 hours has 23 or 25 of them. Numbers rise with time but are not gap-free.
"""

from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

DAY_MS = 86_400_000
_LONGEST_DAY_MS = 26 * 3_600_000  # clocks have moved by two hours at most

Moments = NDArray[np.int64]


class Windows:
    """The windows of one width in one zone. Times are milliseconds since 1970, UTC.

    `width_ms` must be positive. Raises `zoneinfo.ZoneInfoNotFoundError` for a zone that nobody knows.
    """

    def __init__(self, zone: str, width_ms: int) -> None:
        self._midnights = _midnights(zone)
        self._width = width_ms
        self._per_day = -(-_LONGEST_DAY_MS // width_ms)

    def numbers(self, times: Moments) -> Moments:
        """The number of the window that each time lies in. Times must lie in the years 1970 to 2199."""
        if not len(times):
            return np.zeros(0, np.int64)
        first = int(np.searchsorted(self._midnights, times.min(), "right")) - 1
        last = int(np.searchsorted(self._midnights, times.max(), "right")) - 1
        # Most polls lie within a day or two: a search among these few beats one among all days since 1970.
        days = first + np.searchsorted(self._midnights[first + 1 : last + 1], times, "right")
        return days * self._per_day + (times - self._midnights[days]) // self._width

    def number(self, moment: int) -> int:
        """The number of the window that one time lies in."""
        return int(self.numbers(np.array([moment], np.int64))[0])

    def bounds(self, number: int) -> tuple[int, int]:
        """First millisecond of a window, and the first one behind it."""
        day, index = divmod(number, self._per_day)
        start = int(self._midnights[day]) + index * self._width
        return start, min(start + self._width, int(self._midnights[day + 1]))


@cache
def _midnights(zone: str) -> Moments:
    """The first moment of each local day from 1969-12-30 to 2200; where clocks skip midnight, that of the skip."""
    place = ZoneInfo(zone)
    first, last = date(1969, 12, 30), date(2200, 1, 3)
    days = (last - first).days
    starts = (datetime.combine(first + timedelta(days=n), time(), place).astimezone(UTC) for n in range(days))
    return np.array([round(start.timestamp()) * 1000 for start in starts], np.int64)
