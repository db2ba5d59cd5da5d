"""When a picture was taken: by the camera's own statement if that is plausible, otherwise when it arrived.

A statement is plausible if it is not in the future (R4), and not further back than a picture may take to arrive.
"""

import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

LONGEST_WAY_MS = 60_000
"""The longest time from camera to here; a still picture may be as old as its interval on top of it."""

COARSE_MS = 2_000
"""Dates of HTTP are whole seconds: they are used only for cameras with at least this interval."""

_SECONDS = re.compile(r"\d{1,12}(\.\d{1,9})?", re.ASCII)
_LONGEST_DATE = 64


def said_by_part(headers: Mapping[str, str]) -> int | None:
    """The time in `X-Timestamp`, which holds seconds since 1970, in milliseconds; None without one."""
    text = headers.get("x-timestamp", "").strip()
    return round(float(text) * 1000) if _SECONDS.fullmatch(text) else None


def said_by_answer(headers: Mapping[str, str], arrived_ms: int) -> int | None:
    """The time in `Last-Modified`, milliseconds since 1970; None without one.

    With a `Date`, the picture's age is the difference of the two, so that the camera's clock may be wrong.
    """
    modified, answered = (_seconds(headers.get(name, "")) for name in ("last-modified", "date"))
    if modified is None:
        return None
    return modified * 1000 if answered is None else arrived_ms - (answered - modified) * 1000


def taken_ms(said_ms: int | None, arrived_ms: int, interval_ms: int, latest_ms: int) -> int:
    """When a picture that arrived at `arrived_ms` was taken, after the camera's previous one, taken at `latest_ms`.

    `said_ms` is the camera's statement. One that does not move on from picture to picture is not plausible.
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
