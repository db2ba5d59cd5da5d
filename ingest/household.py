"""The measurements of one dwelling, minute by minute: the file of UCI data set 235, a real source with real gaps.

`Date;Time;Global_active_power;...`: D/M/YYYY, kilowatts averaged over the minute that begins at the time, `?` or
nothing where a value is missing. The publisher's extracts with quotes and a column of line numbers are read as well.

The file does not say which clock it follows. Its publisher describes it as having every minute of the calendar, which
no clock with summer time has, so the default is the winter time of Paris all year (`Etc/GMT-1` is one hour east of
Greenwich): under `Europe/Paris` an hour of each March would never have been, and one of each October would be double.
"""

import csv
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from threading import Event
from typing import BinaryIO
from zoneinfo import ZoneInfo

import numpy as np

from ingest.batches import Readings, messages
from ingest.feed import Feed
from ingest.journal import Journal
from schemas.batch import ACTUAL, LAST_MS
from schemas.catalogue import Metric, catalogue
from store.deliveries import Refused
from store.moments import milliseconds
from store.resolution import Resolved

METRIC = "energy.import"
INTERVAL_MS = 60_000
WINTER_TIME_OF_PARIS = "Etc/GMT-1"
MILLIJOULES_PER_KILOWATT_MINUTE = 60_000_000

MISSING = "missing"
UNREADABLE = "unreadable"
UNKNOWN_SOURCE = "unknown-source"

_LINES_PER_STEP = 20_000
_LONGEST_LINE = 4_096
_KEPT_BYTES = 1_000
_COLUMNS = ("Date", "Time", "Global_active_power")
_DATE = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})")
_TIME = re.compile(r"(\d{1,2}):(\d{2}):(\d{2})")
_POWER = re.compile(r"\d{1,12}(\.\d{1,12})?")


class NoHouseholdFile(ValueError):
    """The file's first line does not name the columns of the data set."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of a file: `lines` (the header not counted) = `readings` + all of `refused` (reason -> lines)."""

    lines: int
    readings: int
    refused: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class _Parsed:
    line: int
    original: bytes
    start_ms: int
    value: int


@dataclass(slots=True)
class _Tally:
    lines: int = 0
    readings: int = 0
    latest_ms: int | None = None
    refused: dict[str, int] = field(default_factory=dict)


class HouseholdImport:
    """Brings such files into a topic of history (R11) as readings of one registered source.

    `resolve(metric, at_ms)` finds the source in the register at a time: no row or one. `clock` gives milliseconds.
    """

    def __init__(
        self,
        feed: Feed,
        journal: Journal,
        resolve: Callable[[Metric, int], Resolved],
        clock: Callable[[], int],
        zone: str = WINTER_TIME_OF_PARIS,
    ) -> None:
        self._feed = feed
        self._journal = journal
        self._resolve = resolve
        self._clock = clock
        self._zone = ZoneInfo(zone)
        self._metric = catalogue()[METRIC]
        self._resolved: Resolved | None = None

    def run(self, path: Path, stop: Event | None = None) -> Imported:
        """Read the file as a stream, send what is readable and known, keep the rest, and close all windows by ticks.

        `stop` ends it early, and then no window is closed. Importing a file again refuses nothing twice: what is kept
        goes by the file's name and the line's number. Raises `NoHouseholdFile` before anything is sent;
        `eventlog.protocol.DeliveryFailed` if the log fails.
        """
        tally = _Tally()
        with path.open("rb") as file:
            columns = _columns(file)
            parsed: list[_Parsed] = []
            refused: list[Refused] = []
            for line, original in _lines(file):
                tally.lines += 1
                outcome = _parse(line, original, columns, self._zone, self._metric)
                if isinstance(outcome, _Parsed):
                    parsed.append(outcome)
                else:
                    refused.append(outcome)
                if len(parsed) + len(refused) == _LINES_PER_STEP:
                    self._step(path.name, parsed, refused, tally)
                    parsed, refused = [], []
                    if stop is not None and stop.is_set():
                        return Imported(tally.lines, tally.readings, tally.refused)
            self._step(path.name, parsed, refused, tally)
        if tally.latest_ms is not None:
            # The last window ends within a window of the latest reading. The log's clock limits a tick, as all (R4).
            closed = tally.latest_ms + self._metric.longest_window_ms + self._metric.lateness_ms
            self._feed.tick(min(closed, self._clock()))
        self._feed.flush()
        return Imported(tally.lines, tally.readings, tally.refused)

    def _step(self, origin: str, parsed: Sequence[_Parsed], refused: list[Refused], tally: _Tally) -> None:
        """Send what was read of some lines, and keep what was not."""
        begin = 0
        while begin < len(parsed):
            resolved = self._at(parsed[begin].start_ms)
            end = begin
            while end < len(parsed) and resolved.holds(parsed[end].start_ms):
                end += 1
            self._send(parsed[begin:end], resolved, refused, tally)
            begin = end
        self._journal.refuse(origin, refused)
        for item in refused:
            tally.refused[item.reason] = tally.refused.get(item.reason, 0) + 1
        self._feed.flush()

    def _at(self, at_ms: int) -> Resolved:
        if self._resolved is None or not self._resolved.holds(at_ms):
            self._resolved = self._resolve(self._metric, at_ms)
        return self._resolved

    def _send(self, parsed: Sequence[_Parsed], resolved: Resolved, refused: list[Refused], tally: _Tally) -> None:
        """Send readings of a time in which the source stays the same."""
        if not len(resolved.number):
            refused += [Refused(item.line, UNKNOWN_SOURCE, item.original) for item in parsed]
            return
        count = len(parsed)
        readings = Readings(
            metric=self._metric,
            interval=INTERVAL_MS,
            area=np.repeat(resolved.area[:1], count),
            class_=np.repeat(resolved.class_[:1], count),
            source=np.repeat(resolved.number[:1], count),
            contributor=np.repeat(resolved.contributor[:1], count),
            start=np.array([item.start_ms for item in parsed], np.int64),
            value=np.array([item.value for item in parsed], np.float64),
            quality=np.full(count, ACTUAL, np.uint8),
        )
        self._feed.send(messages(readings))
        tally.readings += count
        latest = max(item.start_ms for item in parsed)
        tally.latest_ms = latest if tally.latest_ms is None else max(tally.latest_ms, latest)


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Number (the header is 1) and bytes of every line behind the header; of a very long one only its beginning."""
    number = 1
    while line := file.readline(_LONGEST_LINE):
        number += 1
        rest = line
        while not rest.endswith(b"\n") and (rest := file.readline(_LONGEST_LINE)):
            pass
        yield number, line.rstrip(b"\r\n")


def _columns(file: BinaryIO) -> tuple[int, int, int]:
    """Where date, time and power stand in a line."""
    header = _fields(file.readline(_LONGEST_LINE).rstrip(b"\r\n"))
    try:
        date, time, power = (header.index(name) for name in _COLUMNS)
    except ValueError:
        raise NoHouseholdFile(f"the first line must name the columns {', '.join(_COLUMNS)}") from None
    return date, time, power


def _fields(line: bytes) -> list[str]:
    """The fields of a line; none if it is not one of the file's kind."""
    try:
        return next(csv.reader([line.decode("ascii")], delimiter=";", strict=True), [])
    except (UnicodeDecodeError, csv.Error):
        return []


def _parse(
    line: int, original: bytes, columns: tuple[int, int, int], zone: ZoneInfo, metric: Metric
) -> _Parsed | Refused:
    fields = _fields(original)
    kept = original[:_KEPT_BYTES]
    if len(fields) <= max(columns):
        return Refused(line, UNREADABLE, kept)
    date, time, power = (fields[column] for column in columns)
    start = _start(date, time, zone)
    if start is None:
        return Refused(line, UNREADABLE, kept)
    if power in ("?", ""):
        return Refused(line, MISSING, kept)
    value = Decimal(power) * MILLIJOULES_PER_KILOWATT_MINUTE if _POWER.fullmatch(power) else Decimal("NaN")
    if value.is_nan() or value != int(value) or not metric.minimum <= value <= metric.maximum:
        return Refused(line, UNREADABLE, kept)
    return _Parsed(line, kept, start, int(value))


def _start(date: str, time: str, zone: ZoneInfo) -> int | None:
    """Milliseconds since 1970, UTC; None for what is no time, or was none on this clock."""
    day, clock = _DATE.fullmatch(date), _TIME.fullmatch(time)
    if day is None or clock is None:
        return None
    try:
        local = datetime(int(day[3]), int(day[2]), int(day[1]), int(clock[1]), int(clock[2]), int(clock[3]))
        when = local.replace(tzinfo=zone).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    # An hour that the clock skipped comes back from UTC as another one.
    skipped = when.astimezone(zone).replace(tzinfo=None) != local
    start = milliseconds(when)
    return None if skipped or not 0 <= start < LAST_MS else start
