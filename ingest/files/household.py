"""UCI data set 235: the power of one dwelling, minute by minute, with gaps.

`Date;Time;Global_active_power;...`: D/M/YYYY, kilowatts averaged over the minute that begins at the time, `?` or an
empty field where a value is missing. The publisher's extracts with quotes and a column of line numbers are read, too.

The file does not name its time zone. By its description it has every minute of the calendar, which no clock with
summer time has. So the default is the winter time of Paris all year (`Etc/GMT-1` is one hour east of Greenwich): under
`Europe/Paris` an hour of each March would not exist, and one of each October would be double.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import ClassVar
from zoneinfo import ZoneInfo

from ingest.files.clocks import instant
from ingest.files.reading import MISSING, UNREADABLE, Outcome, Parsed
from ingest.files.tables import TableRow, rows
from schemas.batch import ACTUAL
from store.deliveries import Refused

METRIC = "energy.import"
INTERVAL_MS = 60_000
WINTER_TIME_OF_PARIS = "Etc/GMT-1"
MILLIJOULES_PER_KILOWATT_MINUTE = 60_000_000

_COLUMNS = ("Date", "Time", "Global_active_power")
_DATE = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})", re.ASCII)
_TIME = re.compile(r"(\d{1,2}):(\d{2}):(\d{2})", re.ASCII)
_POWER = re.compile(r"\d{1,12}(\.\d{1,12})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Household:
    """Implements `FileFormat`: readings of the source that the command names; times in this zone.

    Positions are the lines' numbers; the header is line 1.
    """

    zone: ZoneInfo

    dataset: ClassVar[str] = "energy.readings"
    noun: ClassVar[str] = "lines"

    def read(self, path: Path) -> Iterator[Outcome]:
        for row in rows(path, _COLUMNS, ";"):
            yield self._outcome(row)

    def _outcome(self, row: TableRow) -> Outcome:
        line = row.line
        if row.fields is None:
            return Refused(line.number, UNREADABLE, line.kept)
        date, time, power = row.fields
        start = _start(date, time, self.zone)
        if start is None:
            return Refused(line.number, UNREADABLE, line.kept)
        if power in ("?", ""):
            return Refused(line.number, MISSING, line.kept)
        value = Decimal(power) * MILLIJOULES_PER_KILOWATT_MINUTE if _POWER.fullmatch(power) else Decimal("NaN")
        if value.is_nan() or value != int(value):
            return Refused(line.number, UNREADABLE, line.kept)
        return Parsed(line.number, None, METRIC, start, INTERVAL_MS, int(value), ACTUAL, line.kept)


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
