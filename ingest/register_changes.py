"""From when on a change of the register may hold.

Readings are resolved by the beginning of their interval. What an interval was resolved to must stay: otherwise its
estimate and its actual value would count under two numbers (R6). So a change holds from a window on that has not begun
when the last process that may not know of it resolves a reading.
"""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from schemas.catalogue import LONGEST_MS, MINUTE_MS, Metric, catalogue
from store.moments import milliseconds, moment

FRESH_MS = MINUTE_MS
"""How long a process uses what it has read of the register."""
SETTLING_MS = 10 * MINUTE_MS
"""The least time from a load to a change that it brings: `FRESH_MS`; two minutes in which a message may wait for Kafka;
five minutes that a reading may be ahead of the log's clock (R4); the rest for the commit and for clocks that differ."""


def changes_hold_from(metric: Metric, now_ms: int, zone: str) -> int:
    """The earliest time from which a source of `metric` may change if that is loaded at `now_ms`.

    It is the start of the first window that begins `SETTLING_MS` later, of `metric` and of the metrics derived from it.
    Times are milliseconds since 1970, UTC.
    """
    metrics = (other for other in catalogue().values() if other.registered_as == metric.name)
    return max(_first_window(each, now_ms + SETTLING_MS, ZoneInfo(zone)) for each in metrics)


def areas_hold_from(now_ms: int, zone: str) -> int:
    """The earliest time from which the areas of a metric may change if that is loaded at `now_ms`: a quarter's start.

    A quarter begins with a window of every metric.
    """
    return quarter_starts(now_ms + SETTLING_MS - 1, zone)[1]


def quarter_starts(now_ms: int, zone: str) -> tuple[int, int]:
    """The start of the calendar quarter of `now_ms` and of the next, in a time zone, in milliseconds since 1970."""
    clock = ZoneInfo(zone)
    now = moment(now_ms).astimezone(clock).date()
    first = date(now.year, now.month - (now.month - 1) % 3, 1)
    return _midnight(first, clock), _midnight(_month_after(first, 3), clock)


def _first_window(metric: Metric, from_ms: int, zone: ZoneInfo) -> int:
    """The start of the first window at or after `from_ms`, as `schemas.windows` cuts them."""
    day = moment(from_ms).astimezone(zone).date()
    if metric.window == "month":
        first = day.replace(day=1)
        starts = [_midnight(_month_after(first, months), zone) for months in (0, 1)]
    else:
        begins, ends = _midnight(day, zone), _midnight(day + timedelta(days=1), zone)
        width = ends - begins if metric.window == "day" else LONGEST_MS[metric.window]
        starts = [*range(begins, ends, width), ends]
    return next(start for start in starts if start >= from_ms)


def _midnight(day: date, zone: ZoneInfo) -> int:
    return milliseconds(datetime.combine(day, time(), zone).astimezone(UTC))


def _month_after(first: date, months: int) -> date:
    number = first.year * 12 + first.month - 1 + months
    return date(number // 12, number % 12 + 1, 1)
