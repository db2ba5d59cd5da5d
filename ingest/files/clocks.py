"""From local times, as files write them, to milliseconds since 1970, UTC."""

from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

from schemas.batch import LAST_MS
from store.moments import milliseconds


def instant(local: datetime, zone: ZoneInfo) -> int | None:
    """The moment of a local time; None if the clock skipped it, or if it is before 1970 or after 9999.

    A time in an hour that the clock repeated is taken as the first of its two moments.
    """
    try:
        when = local.replace(tzinfo=zone).astimezone(UTC)
        # A time that the clock skipped returns from UTC as another local time.
        skipped = when.astimezone(zone).replace(tzinfo=None) != local
    except (ValueError, OverflowError):
        return None
    return None if skipped else within(milliseconds(when))


def day_start(day: date, zone: ZoneInfo) -> int | None:
    """The first moment of a local day, as for windows: where the clock skips midnight, the moment of the skip."""
    try:
        return within(milliseconds(datetime.combine(day, time(), zone).astimezone(UTC)))
    except (ValueError, OverflowError):
        return None


def within(moment_ms: int) -> int | None:
    """The moment itself, or None if it is before 1970 or after 9999."""
    return moment_ms if 0 <= moment_ms < LAST_MS else None
