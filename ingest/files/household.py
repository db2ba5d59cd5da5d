"""UCI data set 235: the power of one dwelling with gaps, as published minute by minute.

`Date;Time;Global_active_power;...`: D/M/YYYY, power averaged over the interval that begins at the time, `?` or an empty
field where a value is missing. The publisher's extracts with quotes and a column of line numbers are read, too, and
files of the same form with other intervals: an interval is the spacing of the times.

The publisher writes kW. Its columns Voltage and Global_intensity tell whether a file does: their product is the
apparent power, in VA. Without them the operator must say the unit.

The file does not name its time zone. By its description it has every minute of the calendar, which no clock with
summer time has. So the default is the winter time of Paris all year (`Etc/GMT-1` is one hour east of Greenwich): under
`Europe/Paris` an hour of each March would not exist, and one of each October would be double.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import ClassVar
from zoneinfo import ZoneInfo

from ingest.files.clocks import instant
from ingest.files.power import PowerUnit, millijoules
from ingest.files.reading import Note, NotSuchFile, Outcome, Parsed
from ingest.files.reasons import CUT, MISSING, NUMBER, SPACING, TIME, UNREADABLE
from ingest.files.spacing import Spacing, Times, UnclearInterval
from ingest.files.tables import TableRow, column_names, not_read, rows
from schemas.batch import ACTUAL
from store.deliveries import Refused

METRIC = "energy.import"
WINTER_TIME_OF_PARIS = "Etc/GMT-1"

_COLUMNS = ("Date", "Time", "Global_active_power")
_APPARENT = ("Voltage", "Global_intensity")
_KNOWN = (*_COLUMNS, *_APPARENT, "Global_reactive_power", *(f"Sub_metering_{number}" for number in (1, 2, 3)))
_DATE = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})", re.ASCII)
_TIME = re.compile(r"(\d{1,2}):(\d{2}):(\d{2})", re.ASCII)
_POWER = re.compile(r"-?\d{1,12}(\.\d{1,24})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Household:
    """Implements `FileFormat`: readings of the source that the command names; times in this zone.

    `unit` and `interval_ms` are what the operator says; None leaves them to the file. Positions are the lines' numbers;
    the header is line 1.
    """

    zone: ZoneInfo
    unit: PowerUnit | None = None
    interval_ms: int | None = None

    dataset: ClassVar[str] = "energy.readings"
    noun: ClassVar[str] = "lines"

    def read(self, path: Path) -> Iterator[Outcome]:
        names = column_names(path, ";")
        unit, spacing = self._survey(path, names)
        yield Note(f"{path.name}: power is in {unit}; {spacing.words}")
        yield from not_read(path, names, _KNOWN)
        last = names[-1].casefold() if names else ""
        may_be_cut = last in {name.casefold() for name in _COLUMNS}
        for row in rows(path, _COLUMNS, ";"):
            if may_be_cut and not row.line.ended and row.fields is not None:
                yield Refused(row.line.number, CUT, row.line.kept)
            else:
                yield self._outcome(row, unit, spacing)

    def _survey(self, path: Path, names: Sequence[str]) -> tuple[PowerUnit, Spacing]:
        """The unit and the intervals of the whole file. Raises `NotSuchFile` where they are not clear."""
        folded = {name.casefold() for name in names}
        apparent = _APPARENT if folded.issuperset(name.casefold() for name in _APPARENT) else ()
        times, active, complex_ = Times(), 0.0, 0.0
        try:
            for row in rows(path, (*_COLUMNS, *apparent), ";"):
                date, time, power, *factors = row.fields or ("", "", "")
                start = _start(date, time, self.zone)
                if start is None:
                    continue
                times.add(start)
                if factors and all(_POWER.fullmatch(text) for text in (power, *factors)):
                    active += float(power)
                    complex_ += float(factors[0]) * float(factors[1])
            spacing = times.spacing(self.interval_ms)
        except UnclearInterval as error:
            raise NotSuchFile(f"{path.name}: {error}") from None
        return self._unit(path, _unit_of(active, complex_)), spacing

    def _unit(self, path: Path, found: PowerUnit | None) -> PowerUnit:
        if found is not None and self.unit is not None and found != self.unit:
            raise NotSuchFile(
                f"{path.name}: Voltage and Global_intensity say {found}, which contradicts --unit {self.unit}"
            )
        unit = found or self.unit
        if unit is None:
            raise NotSuchFile(f"{path.name}: does not say whether the power is in W or in kW: say it with --unit")
        return unit

    def _outcome(self, row: TableRow, unit: PowerUnit, spacing: Spacing) -> Outcome:
        line = row.line
        if row.fields is None:
            return Refused(line.number, UNREADABLE, line.kept)
        date, time, power = row.fields
        start = _start(date, time, self.zone)
        if start is None:
            return Refused(line.number, TIME, line.kept)
        if power in ("?", ""):
            return Refused(line.number, MISSING, line.kept)
        if not _POWER.fullmatch(power):
            return Refused(line.number, NUMBER, line.kept)
        if spacing.contradicts(start):
            return Refused(line.number, SPACING, line.kept)
        value = millijoules(Fraction(power), unit, spacing.interval_ms)
        return Parsed(line.number, None, METRIC, start, spacing.interval_ms, value, ACTUAL, line.kept)


def _unit_of(active: float, apparent: float) -> PowerUnit | None:
    """The unit in which the sum of active power fits the sum of voltage times current, if one does.

    Active power is no more than apparent power, and a dwelling's is far more than a thirtieth of it.
    """
    units: tuple[tuple[PowerUnit, int], ...] = (("kW", 1_000), ("W", 1))
    fitting = [unit for unit, watts in units if apparent > 0 and 1 / 30 < active * watts / apparent < 3]
    return fitting[0] if fitting else None


def _start(date: str, time: str, zone: ZoneInfo) -> int | None:
    """Milliseconds since 1970, UTC; None for what is no time, or was skipped by this clock."""
    day, clock = _DATE.fullmatch(date), _TIME.fullmatch(time)
    if day is None or clock is None:
        return None
    try:
        local = datetime(int(day[3]), int(day[2]), int(day[1]), int(clock[1]), int(clock[2]), int(clock[3]))
    except ValueError:
        return None
    return instant(local, zone)
