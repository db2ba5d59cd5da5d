"""When the windows of a metric are published: a lattice in time that nothing that comes in can change (R12). Pure.

Times are milliseconds since 1970, UTC. The present is always given, never read.
"""

from collections.abc import Iterator
from datetime import datetime, time
from zoneinfo import ZoneInfo

from schemas.catalogue import Metric
from schemas.windows import Windows
from store.moments import milliseconds
from store.publications import Window

_HOUR_MS = 3_600_000

REVISIONS_MS = (_HOUR_MS, 24 * _HOUR_MS, 7 * 24 * _HOUR_MS)
"""How long after its slot a window may be published again, milliseconds: what was missing, or came late (R13)."""


def slot(metric: Metric, window: Window) -> int:
    """When the window is published: at its end, plus the metric's lateness, plus its margin."""
    return window.end + metric.delay_ms


def revision_times(slot_ms: int, left_ms: int) -> tuple[int, ...]:
    """When the values of a window that left incomplete may follow; `left_ms` is when it did leave.

    They count from the slot. A publisher that was away for more than an hour publishes what it missed before anything
    else can catch up: then they count from when the window left.
    """
    base = slot_ms if left_ms < slot_ms + _HOUR_MS else left_ms
    return tuple(base + later for later in REVISIONS_MS)


def due_windows(metric: Metric, zone: str, published_until: int, now_ms: int) -> Iterator[Window]:
    """The windows that begin at or after `published_until` and whose slots have passed, in order.

    `published_until` is the end of the last window that was published or, before the first, when publishing begins.
    """
    for window in windows_from(metric, zone, published_until):
        if slot(metric, window) > now_ms:
            return
        yield window


def windows_from(metric: Metric, zone: str, begin_ms: int) -> Iterator[Window]:
    """The metric's windows that begin at or after `begin_ms`, in order, without end."""
    windows = Windows(zone, metric.window)
    start, end = windows.bounds(windows.number(begin_ms))
    if start < begin_ms:
        start, end = windows.bounds(windows.number(end))
    while True:
        yield Window(start, end)
        start, end = windows.bounds(windows.number(end))


def local_midnight(zone: str, at_ms: int) -> int:
    """The beginning of the local day that `at_ms` lies in."""
    place = ZoneInfo(zone)
    return milliseconds(datetime.combine(datetime.fromtimestamp(at_ms / 1000, place).date(), time(), place))
