"""The output of a solar plant as NREL publishes it: `measured_on,ac_power`, a line for every quarter of an hour.

The time, with its offset from UTC, begins the quarter. The power is watts averaged over it, a little below zero at
night, when the inverter draws power. An empty line is not counted. A last line without a line end may have been cut
within its number, so it is refused.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import ClassVar

from ingest.files.clocks import within
from ingest.files.reading import MISSING, UNREADABLE, Outcome, Parsed
from ingest.files.tables import TableRow, rows
from schemas.batch import ACTUAL
from store.deliveries import Refused
from store.moments import milliseconds

METRIC = "energy.solar"
INTERVAL_MS = 900_000
MILLIJOULES_PER_WATT_QUARTER = 900_000

CUT = "cut"

_COLUMNS = ("measured_on", "ac_power")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d([+-]\d\d:\d\d|Z)", re.ASCII)
_POWER = re.compile(r"-?\d{1,12}(\.\d{1,12})?([eE][+-]?\d{1,2})?", re.ASCII)
_MISSING = frozenset({"", "nan", "NaN"})


@dataclass(frozen=True, slots=True)
class Solar:
    """Implements `FileFormat`: readings of the source that the command names.

    Positions are the lines' numbers; the header is line 1.
    """

    dataset: ClassVar[str] = "energy.readings"
    noun: ClassVar[str] = "lines"

    def read(self, path: Path) -> Iterator[Outcome]:
        for row in rows(path, _COLUMNS):
            if row.line.content.strip():
                yield _outcome(row)


def _outcome(row: TableRow) -> Outcome:
    line = row.line
    if row.fields is None:
        return Refused(line.number, UNREADABLE, line.kept)
    if not line.ended:
        return Refused(line.number, CUT, line.kept)
    start, power = _start(row.fields[0]), row.fields[1]
    if start is None:
        return Refused(line.number, UNREADABLE, line.kept)
    if power in _MISSING:
        return Refused(line.number, MISSING, line.kept)
    value = Fraction(power) * MILLIJOULES_PER_WATT_QUARTER if _POWER.fullmatch(power) else None
    if value is None or value.denominator != 1:
        return Refused(line.number, UNREADABLE, line.kept)
    return Parsed(line.number, None, METRIC, start, INTERVAL_MS, value.numerator, ACTUAL, line.kept)


def _start(text: str) -> int | None:
    if not _TIME.fullmatch(text):
        return None
    try:
        return within(milliseconds(datetime.fromisoformat(text).astimezone(UTC)))
    except (ValueError, OverflowError):
        return None
