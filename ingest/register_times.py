"""Times of the register file, as people and spreadsheets write them, where they can be read in one way only."""

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from ingest.identity import normal
from schemas.batch import LAST_MS
from store.moments import milliseconds

DateOrder = Literal["day-first", "month-first"]

_ACCEPTED = "a date (2026-07-01) nor a time with offset (2026-07-01T00:00:00+03:30)"
_MIDNIGHT = r"(?: 0?0:00(?::00(?:[.,]0+)?)?)?"
_YEAR_FIRST = re.compile(rf"(\d{{4}})([-/]|\. ?)(\d{{1,2}})\2(\d{{1,2}})\.?{_MIDNIGHT}", re.ASCII)
_YEAR_LAST = re.compile(rf"(\d{{1,2}})([-/]|\. ?)(\d{{1,2}})\2(\d{{4}})\.?{_MIDNIGHT}", re.ASCII)
_SHORT_YEAR = re.compile(r"\d{1,2}([-/]|\. ?)\d{1,2}\1\d{2}\.?(?: .*)?", re.ASCII)
_WITHOUT_OFFSET = re.compile(
    r"\d{1,4}([-/.])\d{1,2}\1\d{1,4}[Tt ]\d{1,2}:\d\d(:\d\d)?([.,]\d+)?( ?[AaPp][Mm])?", re.ASCII
)
_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_DAY_NUMBER = re.compile(r"\d{5}([.,]\d+)?", re.ASCII)

_PERSIAN_YEARS = range(1304, 1473)
"""Years of the Iranian calendar for which its leap years follow the cycle below; 1304 is when it became official."""
_NOWRUZ_1400 = date(2021, 3, 21)
_LEAP_OF_33 = frozenset({1, 5, 9, 13, 17, 22, 26, 30})
_LONG_MONTHS = 6


def register_time(text: str, zone: str, order: DateOrder | None) -> int:
    """Milliseconds since 1970, UTC, of a date (midnight in `zone`) or a time with offset.

    `order` says how a date is meant whose first two numbers may be day and month. A year from 1304 to 1472 is one of
    the Iranian calendar. Raises `ValueError` with what is wrong.
    """
    written = normal(text)
    try:
        if _DATE_TIME.fullmatch(written):
            when = datetime.fromisoformat(written.upper())
        else:
            when = datetime.combine(_date(written, order), time(), ZoneInfo(zone))
        time_ms = milliseconds(when.astimezone(UTC))
    except OverflowError:
        raise ValueError(f"is neither {_ACCEPTED}") from None
    if not 0 <= time_ms < LAST_MS:
        raise ValueError("lies before 1970 or after 9999")
    return time_ms


def _date(text: str, order: DateOrder | None) -> date:
    if match := _YEAR_FIRST.fullmatch(text):
        return _day(int(match[1]), int(match[3]), int(match[4]))
    if match := _YEAR_LAST.fullmatch(text):
        first, second, year = int(match[1]), int(match[3]), int(match[4])
        day_first = "." in match[2] or (order == "day-first" if order else _day_first(first, second))
        day, month = (first, second) if day_first else (second, first)
        return _day(year, month, day)
    if _SHORT_YEAR.fullmatch(text):
        raise ValueError("has a year of two digits: write it with four (2026-07-01)")
    if _WITHOUT_OFFSET.fullmatch(text):
        raise ValueError("is a time without its offset: write 2026-07-01T00:00:00+03:30, or the date alone")
    if _DAY_NUMBER.fullmatch(text):
        raise ValueError("is a spreadsheet's number of a day: format the column as a date (2026-07-01)")
    raise ValueError(f"is neither {_ACCEPTED}")


def _day_first(first: int, second: int) -> bool:
    if first <= 12 and second <= 12 and first != second:
        raise ValueError(
            "may be day and month or month and day: write 2026-07-01, or give --dates day-first or month-first"
        )
    return first > 12


def _day(year: int, month: int, day: int) -> date:
    try:
        return _from_persian(year, month, day) if year in _PERSIAN_YEARS else date(year, month, day)
    except ValueError:
        raise ValueError(f"is no day of the calendar, so neither {_ACCEPTED}") from None


def _from_persian(year: int, month: int, day: int) -> date:
    """A day of the Iranian calendar (solar Hijri): six months of 31 days, five of 30, and Esfand of 29 or 30.

    Leap years are 8 of 33, which agrees with the vernal equinox for the years of `_PERSIAN_YEARS`. Raises `ValueError`.
    """
    leap = year % 33 in _LEAP_OF_33
    lengths: Sequence[int] = [31] * _LONG_MONTHS + [30] * 5 + [30 if leap else 29]
    if not 1 <= month <= len(lengths) or not 1 <= day <= lengths[month - 1]:
        raise ValueError
    years = range(1400, year) if year >= 1400 else range(year, 1400)
    days = sum(366 if passed % 33 in _LEAP_OF_33 else 365 for passed in years)
    begins = _NOWRUZ_1400 + timedelta(days=days if year >= 1400 else -days)
    return begins + timedelta(days=sum(lengths[: month - 1]) + day - 1)
