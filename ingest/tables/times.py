"""Times as tables write them, to milliseconds since 1970, UTC."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from ingest.files.clocks import day_start, instant, within
from ingest.files.reasons import REPEATED_HOUR, TIME
from ingest.tables.faults import LEAST, Memo, Numbers, fault, numbers, repeat_enough
from ingest.tables.numbers import BLANKS
from ingest.tables.profile import Repeated
from schemas.batch import LAST_MS

EPOCHS: Mapping[str, int] = {"epoch-s": 1_000, "epoch-ms": 1}
_DIRECTIVES: Mapping[str, str] = {
    **{"Y": r"(?P<Y>\d{4})", "y": r"(?P<y>\d\d)", "m": r"(?P<m>\d{1,2})", "d": r"(?P<d>\d{1,2})"},
    **{"H": r"(?P<H>\d{1,2})", "M": r"(?P<M>\d\d)", "S": r"(?P<S>\d\d)", "f": r"(?P<f>\d{1,9})"},
    **{"I": r"(?P<I>\d{1,2})", "p": r"(?P<p>[AaPp]\.?[Mm]\.?)", "b": r"(?P<b>[A-Za-z]{3,9})"},
    **{"z": r"(?P<z>Z|[+-]\d\d:?\d\d)", "%": "%"},
}
_RUN_TOGETHER: Mapping[str, str] = {"m": r"(?P<m>\d\d)", "d": r"(?P<d>\d\d)", "H": r"(?P<H>\d\d)"}
MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
_TIME, _REPEATED = fault(TIME), fault(REPEATED_HOUR)
DAY_MS = 86_400_000
MOST_KEPT = 20_000
"""Days, and texts of hours that the clock repeated, that a `Clock` holds."""
_EPOCH = date(1970, 1, 1)
UTC_ZONE = ZoneInfo("UTC")


class WrongFormat(ValueError):
    """A format of times that can't be used; the text says why."""


class _Local(NamedTuple):
    """A time as it is written: a day, milliseconds of it, and its distance from UTC in milliseconds, if given."""

    year: int
    month: int
    day: int
    clock_ms: int
    offset_ms: int | None


class Form:
    """A format in the manner of `strptime`: `%Y %y %m %d %b %H %I %p %M %S %f %z`, all else stands for itself.

    Days, months and hours may have one digit or two, except in a format without signs between them. Raises
    `WrongFormat`.
    """

    def __init__(self, text: str, *, clock_only: bool = False) -> None:
        parts = re.split(r"%(.)", text)
        known = [name for name in parts[1::2] if name != "%"]
        if unknown := [name for name in known if name not in _DIRECTIVES]:
            allowed = " ".join(f"%{name}" for name in _DIRECTIVES)
            raise WrongFormat(f"{text!r} has %{unknown[0]}; it may have {allowed}")
        if twice := [name for name in known if known.count(name) > 1]:
            raise WrongFormat(f"{text!r} has %{twice[0]} twice")
        self.names = frozenset(known)
        if clock_only:
            self.names |= {"Y", "m", "d"}
        if len(self.names & {"Y", "y"}) != 1 or len(self.names & {"m", "b"}) != 1:
            raise WrongFormat(f"{text!r} needs one year (%Y or %y) and one month (%m or %b)")
        if "d" not in self.names and self.names - {"Y", "y", "m", "b"}:
            raise WrongFormat(f"{text!r} has a time of day without a day (%d)")
        if ("I" in self.names) != ("p" in self.names):
            raise WrongFormat(f"{text!r} needs both %I and %p, or neither")
        joined = "".join(
            self._pattern(part, parts[number + 1 : number + 2]) if number % 2 else re.escape(part)
            for number, part in enumerate(parts)
        )
        self._match = re.compile(joined, re.ASCII).fullmatch
        self.has_clock = bool(self.names & {"H", "I"})

    @staticmethod
    def _pattern(name: str, after: Sequence[str]) -> str:
        if name in _RUN_TOGETHER and after == [""]:
            return _RUN_TOGETHER[name]
        return _DIRECTIVES[name]

    def local(self, text: str) -> _Local | None:
        """What the text says; None if it is not in this format, or has no such month or hour."""
        match = self._match(text)
        if match is None:
            return None
        said = match.groupdict()
        year = int(said["Y"]) if "Y" in said else 2_000 + int(said.get("y") or 0)
        month = _month(said["b"]) if "b" in said else int(said.get("m") or 1)
        hour = int(said.get("H") or 0)
        if "p" in said:
            hour = int(said["I"])
            if not 1 <= hour <= 12:
                return None
            hour = hour % 12 + (12 if said["p"][0] in "Pp" else 0)
        minute, second = int(said.get("M") or 0), int(said.get("S") or 0)
        part = int((said.get("f") or "0").ljust(3, "0")[:3])
        if month is None or minute > 59 or second > 59 or hour > 24 or (hour == 24 and (minute or second or part)):
            return None
        offset = _offset(said["z"]) if "z" in said else None
        return _Local(year, month, int(said.get("d") or 1), ((hour * 60 + minute) * 60 + second) * 1_000 + part, offset)


def _month(name: str) -> int | None:
    name = name.lower()
    return next((n for n, month in enumerate(MONTHS, 1) if name in (month, month[:3])), None)


def _offset(text: str) -> int:
    if text == "Z":
        return 0
    minutes = int(text[1:3]) * 60 + int(text[-2:])
    return (-minutes if text[0] == "-" else minutes) * 60_000


class Clock:
    """Decodes times of one table: text -> milliseconds, or a fault. `ends`: 24:00 is the day's end.

    A time that the clock repeats is `repeated`; with "order" it is the first of the two, and `both` tells which.
    """

    def __init__(self, formats: Sequence[str], zone: ZoneInfo, repeated: Repeated, *, ends: bool) -> None:
        self._unit = EPOCHS.get(formats[0])
        self._forms = [] if self._unit else [Form(text) for text in formats]
        self._zone = zone
        self._repeated = repeated
        self._ends = ends
        self._days: dict[tuple[int, int, int], int | None] = {}
        self.both: dict[str, tuple[int, int]] = {}
        """Texts in an hour that the clock repeated -> the two moments."""
        self.changing: set[tuple[int, int]] = set()
        """Spans of milliseconds around the days met on which the clock changes: only there a time may be repeated."""
        self._swapped, self._ordered = "", False
        self.texts = Memo(self._decode)
        self._between, self._halves = _halves(formats[0]) if not self._unit else ("", None)
        self._heads, self._tails = Memo(self._head), Memo(self._tail)

    def many(self, texts: Sequence[str]) -> Numbers:
        """The moments of a column, or faults, shape (len(texts),)."""
        if self._halves is None or repeat_enough(texts):
            return numbers(self.texts, texts)
        heads, tails = _split(texts, self._between)
        base, after = numbers(self._heads, heads), numbers(self._tails, tails)
        sure = (base > LEAST) & (after > LEAST)
        found = np.where(sure, base, 0) + np.where(sure, after, 0)
        for row in np.flatnonzero(~sure | (found < 0) | (found >= LAST_MS)).tolist():
            found[row] = self.texts[texts[row]]
        return found

    def local(self, text: str) -> _Local | None:
        """What a text says, in the first format that it is in."""
        text = text.strip(BLANKS)
        return next((local for form in self._forms if (local := form.local(text)) is not None), None)

    def _decode(self, text: str) -> int:
        moment = self._moment(text)
        if not self._ordered:
            local = self.local(text)
            if local is not None and moment != _TIME:
                self._ordered = local.day > 12
            elif local is not None and local.month > 12 and 1 <= local.day <= 12:
                self._swapped = self._swapped or text.strip(BLANKS)
        return moment

    @property
    def swapped(self) -> str:
        """A text that is no time, but would be one if its day were its month, where no text shows that it is not."""
        return "" if self._ordered else self._swapped

    def _moment(self, text: str) -> int:
        text = text.strip(BLANKS)
        if self._unit is not None:
            return _since_1970(text, self._unit)
        if self._halves is not None:
            day, found, clock = text.partition(self._between)
            if found:
                base, after = self._heads[day], self._tails[clock]
                if base > LEAST and after > LEAST:
                    return base + after if 0 <= base + after < LAST_MS else _TIME
        local = self.local(text)
        if local is None or (local.clock_ms >= DAY_MS and not self._ends):
            return _TIME
        moment: int | None
        if local.offset_ms is not None:
            moment = _by_offset(local)
        elif not any(form.has_clock for form in self._forms):
            moment = _day_of(local, self._zone)
        else:
            base_ms = self._day(local.year, local.month, local.day)
            if base_ms is None:
                return self._changing(text, local)
            moment = within(base_ms + local.clock_ms)
        return _TIME if moment is None else moment

    def _head(self, text: str) -> int:
        """The midnight of a regular day: in UTC if the time of day holds its distance from it."""
        assert self._halves is not None
        local = self._halves[0].local(text)
        if local is None:
            return _TIME
        key = local.year, local.month, local.day
        base = _regular(key, UTC_ZONE) if "z" in self._halves[1].names else self._day(*key)
        self._ordered |= base is not None and local.day > 12
        return _TIME if base is None else base

    def _tail(self, text: str) -> int:
        """Milliseconds after that midnight."""
        assert self._halves is not None
        local = self._halves[1].local(text)
        if local is None or (local.clock_ms >= DAY_MS and not self._ends):
            return _TIME
        return local.clock_ms - (local.offset_ms or 0)

    def _day(self, year: int, month: int, day: int) -> int | None:
        """A local day's midnight, milliseconds; None if the clock changes on that day, or if there is no such day."""
        key = year, month, day
        if key not in self._days:
            if len(self._days) >= MOST_KEPT:
                self._days.clear()
            self._days[key] = _regular(key, self._zone)
        return self._days[key]

    def _changing(self, text: str, local: _Local) -> int:
        """A time of a day on which the clock changes, or that is none."""
        try:
            when = datetime(local.year, local.month, local.day) + timedelta(milliseconds=local.clock_ms)
            first = instant(when, self._zone)
            second = instant(when.replace(fold=1), self._zone)
            midnight = (date(local.year, local.month, local.day) - _EPOCH).days * DAY_MS
            self.changing.add((midnight - DAY_MS, midnight + 2 * DAY_MS))
        except (ValueError, OverflowError):
            return _TIME
        if first is None or second is None:
            return _TIME
        if first == second or self._repeated == "first":
            return first
        if self._repeated == "refuse":
            return _REPEATED
        if len(self.both) >= MOST_KEPT:
            self.both.clear()
        self.both[text] = first, second
        return first


def _halves(text: str) -> "tuple[str, tuple[Form, Form] | None]":
    """What stands between day and time of day, and a form for each: files repeat both more than the whole."""
    for between in (" ", "T"):
        day, found, clock = text.partition(between)
        if found and between not in clock and re.search("%[HI]", clock) and not re.search("%[HIMSfpz]", day):
            if "%p" in clock or re.search("%[Yymdb]", clock):
                break
            return between, (Form(day), Form(clock, clock_only=True))
    return "", None


def _split(texts: Sequence[str], between: str) -> tuple[Sequence[str], Sequence[str]]:
    """What stands before and after the first sign `between` in each text."""
    place, length = texts[0].find(between), len(texts[0])
    # Times of one form have it at one place, where slices are faster than a search in each.
    if place > 0 and set(map(len, texts)) == {length} and {text[place] for text in texts} == {between}:
        heads, tails = [text[:place] for text in texts], [text[place + 1 :] for text in texts]
        if between not in "".join(heads):
            return heads, tails
    parts = [text.partition(between) for text in texts]
    return [part[0] for part in parts], [part[2] for part in parts]


def _since_1970(text: str, unit_ms: int) -> int:
    if not re.fullmatch(r"\d{1,15}", text, re.ASCII):
        return _TIME
    moment = within(int(text) * unit_ms)
    return _TIME if moment is None else moment


def _by_offset(local: _Local) -> int | None:
    try:
        days = (date(local.year, local.month, local.day) - _EPOCH).days
    except ValueError:
        return None
    return within(days * DAY_MS + local.clock_ms - (local.offset_ms or 0))


def _day_of(local: _Local, zone: ZoneInfo) -> int | None:
    try:
        return day_start(date(local.year, local.month, local.day), zone)
    except ValueError:
        return None


def _regular(key: tuple[int, int, int], zone: ZoneInfo) -> int | None:
    try:
        day = datetime(*key)
        offsets = {(day + timedelta(hours=hour)).replace(tzinfo=zone).utcoffset() for hour in range(-1, 26)}
        if len(offsets) != 1:
            return None
        return int((day.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1_000) - round(
            (offsets.pop() or timedelta()).total_seconds() * 1_000
        )
    except (ValueError, OverflowError):
        return None


def month_span(text: str, clock: Clock, zone: ZoneInfo) -> tuple[int, int] | None:
    """The first millisecond of a local month, and of the next; None for what is none."""
    local = clock.local(text)
    if local is None:
        return None
    try:
        start = day_start(date(local.year, local.month, 1), zone)
        end = day_start(date(local.year + local.month // 12, local.month % 12 + 1, 1), zone)
    except ValueError:
        return None
    return None if start is None or end is None else (start, end)
