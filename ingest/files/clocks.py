"""Times on a city's clock, as files write them, in milliseconds since 1970, UTC."""

from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

from schemas.batch import LAST_MS
from store.moments import milliseconds


def instant(local: datetime, zone: ZoneInfo) -> int | None:
    """The moment of a local time; None if the clock skipped it, or if it lies before 1970 or after 9999.

    Of the two moments of an hour that the clock repeated, it is the first.
    """
    try:
        when = local.replace(tzinfo=zone).astimezone(UTC)
        # An hour that the clock skipped comes back from UTC as another one.
        skipped = when.astimezone(zone).replace(tzinfo=None) != local
    except (ValueError, OverflowError):
        return None
    return None if skipped else within(milliseconds(when))


def day_start(day: date, zone: ZoneInfo) -> int | None:
    """The first moment of a local day, as the windows have it: where clocks skip midnight, that of the skip."""
    try:
        return within(milliseconds(datetime.combine(day, time(), zone).astimezone(UTC)))
    except (ValueError, OverflowError):
        return None


def within(moment_ms: int) -> int | None:
    """The moment itself, or None if it lies before 1970 or after 9999."""
    return moment_ms if 0 <= moment_ms < LAST_MS else None
