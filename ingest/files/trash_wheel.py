"""Dumpsters that Baltimore's trash wheels filled, weighed one by one: `ID,Dumpster,Month,Year,Date,Weight,...`.

A date is M/D/YYYY or M/D/YY (of this century); the weight is short tons unless the command says otherwise. The hour is
not recorded. So that the dumpsters of one day are distinct weighings, the time of each is the first moment of its local
day plus as many milliseconds as its number.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import ClassVar
from zoneinfo import ZoneInfo

from ingest.files.clocks import day_start
from ingest.files.reading import Note, Outcome, Parsed
from ingest.files.reasons import CONTRADICTION, CUT, MISSING, NUMBER, TIME, UNREADABLE
from ingest.files.tables import TableRow, column_names, not_read, rows
from ingest.files.weights import Ton, grams
from schemas.batch import ACTUAL
from store.deliveries import Refused

METRIC = "waste.collected"

_COLUMNS = ("ID", "Dumpster", "Month", "Year", "Date", "Weight")
_OF_NO_INTEREST = (
    *("Name", "Volume", "PlasticBottles", "Polystyrene", "CigaretteButts"),
    *("GlassBottles", "PlasticBags", "Wrappers", "SportsBalls", "HomesPowered"),
)
_MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
_DATE = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4}|\d\d)", re.ASCII)
_YEAR = re.compile(r"\d{4}", re.ASCII)
_DUMPSTER = re.compile(r"\d{1,6}", re.ASCII)


@dataclass(frozen=True, slots=True)
class TrashWheel:
    """Implements `FileFormat`: dates in this zone, this kind of tons; a line's source is its ID.

    Positions are the lines' numbers; the header is line 1.
    """

    zone: ZoneInfo
    ton: Ton = "short"

    dataset: ClassVar[str] = "waste.collections"
    noun: ClassVar[str] = "lines"

    def read(self, path: Path) -> Iterator[Outcome]:
        names = column_names(path)
        yield Note(f"{path.name}: weights are {self.ton} tons (--ton)")
        yield from not_read(path, names, (*_COLUMNS, *_OF_NO_INTEREST))
        may_be_cut = bool(names) and names[-1].casefold() in {name.casefold() for name in _COLUMNS}
        for row in rows(path, _COLUMNS):
            if may_be_cut and not row.line.ended and row.fields is not None:
                yield Refused(row.line.number, CUT, row.line.kept)
            else:
                yield self._outcome(row)

    def _outcome(self, row: TableRow) -> Outcome:
        line = row.line
        if row.fields is None:
            return Refused(line.number, UNREADABLE, line.kept)
        source, dumpster, month, year, written, weight = (field.strip() for field in row.fields)
        day = _day(written)
        midnight = None if day is None else day_start(day, self.zone)
        value = grams(weight, self.ton)
        readable = source and _DUMPSTER.fullmatch(dumpster) and month.lower() in _MONTHS and _YEAR.fullmatch(year)
        if not readable or day is None or midnight is None:
            return Refused(line.number, TIME if readable else UNREADABLE, line.kept)
        if (_MONTHS[day.month - 1], day.year) != (month.lower(), int(year)):
            return Refused(line.number, CONTRADICTION, line.kept)
        if value is None:
            return Refused(line.number, MISSING if weight in ("", "NA") else NUMBER, line.kept)
        return Parsed(line.number, source, METRIC, midnight + int(dumpster), 0, value, ACTUAL, line.kept)


def _day(text: str) -> date | None:
    match = _DATE.fullmatch(text)
    if match is None:
        return None
    year = int(match[3]) + (2000 if len(match[3]) == 2 else 0)
    try:
        return date(year, int(match[1]), int(match[2]))
    except ValueError:
        return None
