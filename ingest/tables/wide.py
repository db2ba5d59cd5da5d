"""Lines that hold the readings of a whole day, a column for each interval."""

import re
from collections.abc import Sequence
from datetime import date, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np

from ingest.files.clocks import day_start
from ingest.files.pieces import FilePiece, Readings
from ingest.files.reading import KEPT_BYTES, NotSuchFile
from ingest.files.reasons import INTERVAL, QUALITY, TIME, UNIT, UNREADABLE
from ingest.tables.columns import AmountColumns, Sources, accepted, intervals, qualities
from ingest.tables.faults import LEAST, Memo, fault, reason_of
from ingest.tables.layout import TableLayout
from ingest.tables.profile import Profile
from ingest.tables.text import TableRows
from ingest.tables.times import DAY_MS, Clock
from ingest.tables.units import known
from schemas.batch import ACTUAL
from schemas.catalogue import Metric
from store.deliveries import Refused

PLACES = 1_000
_CLOCK = re.compile(r"(\d{1,2}):(\d\d)(?::00)?", re.ASCII)
_DAY_MINUTES = 24 * 60
_HOUR_MS = 3_600_000
Spans = Sequence[tuple[int, int] | None]


class WideLines:
    """Takes lines apart into the readings of their intervals."""

    def __init__(
        self, profile: Profile, metric: Metric, layout: TableLayout, clock: Clock, zone: ZoneInfo, unit: str
    ) -> None:
        assert profile.wide is not None
        self._profile, self._metric, self._layout = profile, metric, layout
        self._clock, self._zone, self._unit = clock, zone, unit
        self._part = profile.wide
        self._sources = Sources(profile, layout)
        self._amounts = AmountColumns(profile, metric)
        self._lengths = Memo(intervals(profile))
        self._only = [(layout.place(part.column), Memo(accepted(part))) for part in profile.only]
        self._meaning = Memo(qualities(profile.quality)) if profile.quality else None
        self._when = [layout.place(name) for name in profile.time.columns]
        self._named = _clocks(profile, layout) if profile.wide.by_clock else []
        self._numbered = _numbers(profile, layout) if profile.wide.numbered else []

    def piece(self, rows: TableRows, ranges: Sequence[Sequence[tuple[int, int, str]]] | None) -> FilePiece:
        """The readings of some lines; `ranges` are the qualities that lines of their own say of each."""
        refused = [Refused(number * PLACES, UNREADABLE, line) for number, line in rows.unreadable]
        empty: dict[str, int] = {}
        found: list[tuple[int, str | None, int, int, int, int, int]] = []
        sources, faults = self._sources.of(rows.fields) if len(rows.fields) else (None, None)
        for row, fields in enumerate(rows.fields):
            number, original = rows.numbers[row], rows.originals[row].rstrip(b"\r")[:KEPT_BYTES]
            source = None if sources is None else sources[row]
            reason = None if faults is None or not faults[row] else UNREADABLE
            line = reason or self._line(fields, ranges[row] if ranges else ())
            if isinstance(line, str):
                refused.append(Refused(number * PLACES, line, original))
                continue
            for place, start, length, value, quality in line:
                worst = min(value, quality, start)
                if worst < LEAST:
                    refused.append(Refused(number * PLACES + place, reason_of(worst), original))
                else:
                    found.append((number * PLACES + place, source, start, length, value, quality, row))
        return FilePiece([_columns(self._metric.name, found, rows.originals, sources is not None)], refused, empty)

    def _line(
        self, fields: Sequence[str], ranges: Sequence[tuple[int, int, str]]
    ) -> str | list[tuple[int, int, int, int, int]]:
        """(Place, start, length, value, quality) of each interval, faults among them; or why the line is refused."""
        for place, memo in self._only:
            if memo[fields[place]]:
                return reason_of(memo[fields[place]])
        part = self._profile.interval
        length = self._lengths[fields[self._layout.place(part.column)]] if part.kind == "column" else part.fixed_ms
        if length < LEAST:
            return reason_of(length)
        if length > self._metric.longest_window_ms or DAY_MS % length:
            return INTERVAL
        column = self._profile.value.unit_column
        unit = known(fields[self._layout.place(column)], self._metric) if column else self._unit
        if unit is None:
            return UNIT
        cells = self._cells(fields, length)
        if isinstance(cells, str):
            return cells
        amounts = self._amounts.of(unit, length).texts
        texts = [text for _, text, _ in cells]
        quality = self._qualities(fields, len(cells), ranges)
        return [
            (place, start, length, amounts[text], mark)
            for (place, _, start), text, mark in zip(cells, texts, quality, strict=True)
        ]

    def _cells(self, fields: Sequence[str], length: int) -> str | list[tuple[int, str, int]]:
        """(Place from 1, text, start) of each interval, without blank ones after the end of a short day."""
        text = " ".join(fields[place] for place in self._when)
        if self._part.by_clock:
            ends = length if self._profile.time.ends else 0
            starts = [self._clock.texts[f"{text} {name}"] for _, name in self._named]
            return [
                (number, fields[place], start - ends if start > LEAST else start)
                for number, ((place, _), start) in enumerate(zip(self._named, starts, strict=True), 1)
                if start > LEAST or fields[place].strip()
            ]
        local = self._clock.local(text)
        if local is None:
            return TIME
        try:
            day = date(local.year, local.month, local.day)
            begin, end = day_start(day, self._zone), day_start(day + timedelta(days=1), self._zone)
        except (ValueError, OverflowError):
            return TIME
        if begin is None or end is None:
            return TIME
        if self._numbered:
            cells = [fields[place] for place in self._numbered]
        else:
            first = self._layout.place(self._part.first)
            stop = self._layout.place(self._part.stop) if self._part.stop else first + DAY_MS // length
            cells = list(fields[first:stop])
        starts = [begin + number * length for number in range(len(cells))]
        return [
            (number, field, start if start < end else fault(TIME))
            for number, (field, start) in enumerate(zip(cells, starts, strict=True), 1)
            if start < end or field.strip()
        ]

    def _qualities(self, fields: Sequence[str], count: int, ranges: Sequence[tuple[int, int, str]]) -> Sequence[int]:
        part = self._profile.quality
        if part is None or self._meaning is None:
            return [ACTUAL] * count
        place = self._layout.place(part.column) + (count if part.after_values else 0)
        text = fields[place] if place < len(fields) else ""
        if not part.varies or text.strip() != part.varies:
            return [self._meaning[text]] * count
        marks = [fault(QUALITY)] * count
        for first, last, mark in ranges:
            marks[first - 1 : last] = [self._meaning[mark]] * len(marks[first - 1 : last])
        return marks


def _clocks(profile: Profile, layout: TableLayout) -> Sequence[tuple[int, str]]:
    """The places of the columns that are times of day, and these; at an end of an interval, 00:00 is 24:00.

    Raises `NotSuchFile` unless they are the times of intervals that follow each other.
    """
    found = [(place, match) for place, name in enumerate(layout.names) if (match := _CLOCK.fullmatch(name.strip()))]
    minutes = [int(match[1]) * 60 + int(match[2]) for _, match in found]
    if len(minutes) > 1 and minutes[-1] == 0:
        minutes[-1] = _DAY_MINUTES
    if minutes and (profile.time.ends, True) in ((False, minutes[-1] == _DAY_MINUTES), (True, minutes[0] == 0)):
        which, mark = ("beginnings", "beginning") if profile.time.ends else ("ends", "end")
        raise NotSuchFile(f'{layout.name}: its columns name {which} of intervals: say marks = "{mark}" in the profile')
    apart = {later - sooner for sooner, later in pairwise(minutes)}
    step = profile.interval.fixed_ms // 60_000
    if not minutes or len(apart) > 1 or min(apart, default=1) <= 0 or (step and apart not in ({step}, set())):
        raise NotSuchFile(
            f"{layout.name}: the profile {profile.name} needs a column for each interval, in order, named by its time "
            f"of day; the file has {len(found)} such columns, which are not {step or 'equally many'} minutes apart"
        )
    return [(place, f"{minute // 60:02}:{minute % 60:02}") for (place, _), minute in zip(found, minutes, strict=True)]


def _numbers(profile: Profile, layout: TableLayout) -> Sequence[int]:
    """The places of the columns with numbers from 1 on. Raises `NotSuchFile` unless they make 24 hours or 25."""
    assert profile.wide is not None
    first = profile.wide.first
    begins = first.rstrip("0123456789")
    found = [
        (int(match[1]), place)
        for place, name in enumerate(layout.names)
        if (match := re.fullmatch(rf"{re.escape(begins)}(\d{{1,3}})", name.strip(), re.ASCII | re.IGNORECASE))
    ]
    length = profile.interval.fixed_ms
    if [number for number, _ in found] not in [list(range(1, hours * _HOUR_MS // length + 1)) for hours in (24, 25)]:
        raise NotSuchFile(
            f"{layout.name}: the profile {profile.name} needs the columns {first} to {begins}{DAY_MS // length} in "
            f"order; the file has {len(found)} such columns"
        )
    return [place for _, place in found]


def _columns(
    metric: str,
    found: Sequence[tuple[int, str | None, int, int, int, int, int]],
    originals: Sequence[bytes],
    named: bool,
) -> Readings:
    position, source, start, length, value, quality, row = zip(*found, strict=True) if found else ((),) * 7
    return Readings(
        metric,
        np.array(position, np.int64),
        list(source) if named else None,
        np.array(start, np.int64),
        np.array(length, np.int64),
        np.array(value, np.int64),
        np.array(quality, np.uint8),
        originals,
        np.array(row, np.int64),
    )
