"""When a picture was taken, by what a camera says, and whether that can be believed.

Nothing a camera says moves a picture into the future (R4), or further back than it may have waited on its way. Whatever
is not believed counts as taken when it came.
"""

import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

LONGEST_WAY_MS = 60_000
"""A picture waits for no longer between the camera and here, but for the interval in which a still one is shown."""

COARSE_MS = 2_000
"""Dates of HTTP are whole seconds: of use to a camera that gives no more than a picture in so many milliseconds."""

_SECONDS = re.compile(r"\d{1,12}(\.\d{1,9})?", re.ASCII)
_LONGEST_DATE = 64


def said_by_part(headers: Mapping[str, str]) -> int | None:
    """Milliseconds since 1970 by `X-Timestamp`, seconds since 1970, as senders of MJPEG write it; None without one."""
    text = headers.get("x-timestamp", "").strip()
    return round(float(text) * 1000) if _SECONDS.fullmatch(text) else None


def said_by_answer(headers: Mapping[str, str], arrived_ms: int) -> int | None:
    """Milliseconds since 1970 by `Last-Modified`; None without one.

    Where the answer has a `Date`, it tells how old the picture is by the camera's own clock, whatever that shows.
    """
    modified, answered = (_seconds(headers.get(name, "")) for name in ("last-modified", "date"))
    if modified is None:
        return None
    return modified * 1000 if answered is None else arrived_ms - (answered - modified) * 1000


def believed(said_ms: int | None, arrived_ms: int, interval_ms: int, latest_ms: int) -> int:
    """When a picture that came at `arrived_ms` was taken; the camera's one before was taken at `latest_ms`, earlier.

    A camera whose time stands still shows the same picture again: that counts as taken when it came.
    """
    earliest = max(arrived_ms - LONGEST_WAY_MS - interval_ms, latest_ms + (interval_ms + 1) // 2)
    if said_ms is not None and earliest <= said_ms <= arrived_ms:
        return said_ms
    return arrived_ms


def _seconds(text: str) -> int | None:
    if not 0 < len(text) <= _LONGEST_DATE:
        return None
    try:
        moment = parsedate_to_datetime(text)
        return round((moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError, IndexError, TypeError):  # the parser raises what it ran into
        return None
