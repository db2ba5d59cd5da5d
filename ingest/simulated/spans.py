"""The span of time that a simulated city replays, so that whole windows close. Times are milliseconds since 1970."""

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from ingest.simulated.simulator import PACE_MS, STEP_MS
from store.moments import milliseconds

_DAY_MS = 86_400_000
_HOUR_MS = 3_600_000


def last_hours(now_ms: int, zone: str, lateness_ms: int) -> tuple[int, int]:
    """The span whose replay closes the last 24 whole hours: up to the last full quarter hour on the city's clock."""
    end = _quarter(now_ms, zone)
    closed = end - lateness_ms
    closed -= (closed + _shift(now_ms, zone)) % _HOUR_MS
    return closed - _DAY_MS, end


def last_day(now_ms: int, zone: str, lateness_ms: int) -> tuple[int, int]:
    """The shortest span that closes a whole local day, with a step of the simulator left in which something is late.

    It ends with the last full quarter hour on the city's clock.
    """
    end = _quarter(now_ms, zone)
    closed = datetime.fromtimestamp((end - lateness_ms - STEP_MS) / 1000, ZoneInfo(zone)).date()
    return _midnight(closed - timedelta(days=1), zone), end


def _quarter(now_ms: int, zone: str) -> int:
    return now_ms - (now_ms + _shift(now_ms, zone)) % PACE_MS


def _shift(now_ms: int, zone: str) -> int:
    """How far the city's clock is ahead of UTC, milliseconds."""
    offset = datetime.fromtimestamp(now_ms / 1000, ZoneInfo(zone)).utcoffset()
    return round(offset.total_seconds() * 1000) if offset else 0


def _midnight(day: date, zone: str) -> int:
    return milliseconds(datetime.combine(day, time(), ZoneInfo(zone)))
