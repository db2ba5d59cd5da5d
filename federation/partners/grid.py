"""Whether a window lies on a metric's grid: every local day of the city is cut into windows from its midnight on. Pure.

The same arithmetic as `schemas.windows`, which needs numpy, for single windows.
"""

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from store.publications import Window

_WIDTHS_MS = {"quarter-hour": 900_000, "hour": 3_600_000}


def on_grid(zone: str, window_length: str, window: Window) -> bool:
    """Whether `window` (ms since 1970, UTC) is one of the windows of this length in this zone."""
    try:
        day = datetime.fromtimestamp(window.start / 1000, ZoneInfo(zone)).date()
        if window_length == "month":
            first = day.replace(day=1)
            return (window.start, window.end) == (_begin(zone, first), _begin(zone, _next_month(first)))
        start, end = _begin(zone, day), _begin(zone, day + timedelta(days=1))
    except (OverflowError, ValueError, OSError):
        return False
    if window_length == "day":
        return (window.start, window.end) == (start, end)
    width = _WIDTHS_MS.get(window_length)
    if width is None or (window.start - start) % width:
        return False
    return start <= window.start and window.end == min(window.start + width, end)


@lru_cache(maxsize=4096)
def _begin(zone: str, day: date) -> int:
    """The first moment of a local day; where clocks skip midnight, that of the skip."""
    return round(datetime.combine(day, time(), ZoneInfo(zone)).astimezone(UTC).timestamp()) * 1000


def _next_month(first: date) -> date:
    return date(first.year + first.month // 12, first.month % 12 + 1, 1)
