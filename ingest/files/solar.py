"""The output of a solar plant as NREL publishes it: `measured_on,ac_power`, a line for every interval.

The time, with its offset from UTC, begins the interval. The power is averaged over it, a little below zero at night,
when the inverter draws power. NREL's files are in W or in kW, and by the minute, the quarter hour or the hour: the unit
is that of the column's name (`ac_power_kw`) or that of the operator, the interval the spacing of the times. An empty
line is not counted. A last line without a line end may have been cut within its number, so it is refused.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import ClassVar

from ingest.files.clocks import within
from ingest.files.power import PowerUnit, millijoules, unit_in
from ingest.files.reading import Note, NotSuchFile, Outcome, Parsed
from ingest.files.reasons import CUT, MISSING, NUMBER, SPACING, TIME, UNREADABLE
from ingest.files.spacing import Spacing, Times, UnclearInterval
from ingest.files.tables import TableRow, column_names, not_read, rows
from schemas.batch import ACTUAL
from store.deliveries import Refused
from store.moments import milliseconds

METRIC = "energy.solar"

_WHEN = "measured_on"
_POWER_COLUMN = "ac_power"
_TIME = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d([+-]\d\d:\d\d|Z)", re.ASCII)
_POWER = re.compile(r"[+-]?\d{1,12}(\.\d{1,24})?([eE][+-]?\d{1,2})?", re.ASCII)
_MISSING = frozenset({"", "nan", "NaN"})


@dataclass(frozen=True, slots=True)
class Solar:
    """Implements `FileFormat`: readings of the source that the command names.

    `unit`, `interval_ms` and the `column` of the power are what the operator says; None leaves them to the file.
    Positions are the lines' numbers; the header is line 1.
    """

    unit: PowerUnit | None = None
    interval_ms: int | None = None
    column: str | None = None

    dataset: ClassVar[str] = "energy.readings"
    noun: ClassVar[str] = "lines"

    def read(self, path: Path) -> Iterator[Outcome]:
        names = column_names(path)
        column = _power_column(path, names, self.column)
        unit = _unit(path, column, self.unit)
        spacing = _spacing(path, column, self.interval_ms)
        yield Note(f"{path.name}: {column} is in {unit}; {spacing.words}")
        yield from not_read(path, names, (_WHEN, column))
        for row in rows(path, (_WHEN, column)):
            if row.line.content.strip():
                yield _outcome(row, unit, spacing)


def _power_column(path: Path, names: Sequence[str], chosen: str | None) -> str:
    """The column that is named, or the only one whose name begins with `ac_power`."""
    if chosen is not None:
        return chosen
    found = [name for name in names if name.casefold().startswith(_POWER_COLUMN)]
    if len(found) > 1:
        raise NotSuchFile(f"{path.name}: has several columns of power ({', '.join(found)}): choose one with --column")
    return found[0] if found else _POWER_COLUMN


def _unit(path: Path, column: str, given: PowerUnit | None) -> PowerUnit:
    named = unit_in(column)
    if named is None and given is None:
        raise NotSuchFile(f"{path.name}: does not say whether {column} is in W or in kW: say it with --unit")
    if named is not None and given is not None and named != given:
        raise NotSuchFile(f"{path.name}: the column {column} contradicts --unit {given}")
    unit = named or given
    assert unit is not None
    return unit


def _spacing(path: Path, column: str, given_ms: int | None) -> Spacing:
    times = Times()
    try:
        for row in rows(path, (_WHEN, column)):
            start = _start(row.fields[0]) if row.fields is not None else None
            if start is not None:
                times.add(start)
        return times.spacing(given_ms)
    except UnclearInterval as error:
        raise NotSuchFile(f"{path.name}: {error}") from None


def _outcome(row: TableRow, unit: PowerUnit, spacing: Spacing) -> Outcome:
    line = row.line
    if row.fields is None:
        return Refused(line.number, UNREADABLE, line.kept)
    if not line.ended:
        return Refused(line.number, CUT, line.kept)
    start, power = _start(row.fields[0]), row.fields[1]
    if start is None:
        return Refused(line.number, TIME, line.kept)
    if not _POWER.fullmatch(power):
        return Refused(line.number, MISSING if power in _MISSING else NUMBER, line.kept)
    if spacing.contradicts(start):
        return Refused(line.number, SPACING, line.kept)
    value = millijoules(Fraction(power), unit, spacing.interval_ms)
    return Parsed(line.number, None, METRIC, start, spacing.interval_ms, value, ACTUAL, line.kept)


def _start(text: str) -> int | None:
    if not _TIME.fullmatch(text):
        return None
    try:
        return within(milliseconds(datetime.fromisoformat(text).astimezone(UTC)))
    except (ValueError, OverflowError):
        return None
