"""New York's Department of Sanitation: collected tons by month, community district and stream.

`MONTH,BOROUGH,COMMUNITYDISTRICT`, then a column for each stream. A month is `2021 / 01`; tons are short tons unless
the command says otherwise. A district's stream is a source: `Queens 08/REFUSE`. An empty field means that the stream
is not collected there, which is no fault.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import ClassVar
from zoneinfo import ZoneInfo

from ingest.files.clocks import day_start
from ingest.files.reading import UNREADABLE, Empty, Outcome, Parsed
from ingest.files.tables import TableRow, rows
from ingest.files.weights import Ton, grams
from schemas.batch import ACTUAL
from store.deliveries import Refused

METRIC = "waste.tonnage"

NOT_COLLECTED = "not-collected"

STREAMS: Mapping[str, str] = {
    "REFUSETONSCOLLECTED": "REFUSE",
    "PAPERTONSCOLLECTED": "PAPER",
    "MGPTONSCOLLECTED": "MGP",
    "RESORGANICSTONS": "RESORGANICS",
    "SCHOOLORGANICTONS": "SCHOOLORGANIC",
    "LEAVESORGANICTONS": "LEAVESORGANIC",
    "XMASTREETONS": "XMASTREE",
}
"""Column -> name of the stream in the register."""

PLACES_A_LINE = 10
"""A position is the line's number times this, plus the stream's index among `STREAMS`, from 1; 0 is the whole line."""

_PLACE = ("MONTH", "BOROUGH", "COMMUNITYDISTRICT")
_MONTH = re.compile(r"(\d{4}) ?/ ?(\d\d)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Dsny:
    """Implements `FileFormat`: one reading for each stream of a line; months in this zone, this kind of tons.

    For positions see `PLACES_A_LINE`.
    """

    zone: ZoneInfo
    ton: Ton = "short"

    dataset: ClassVar[str] = "waste.collections"
    noun: ClassVar[str] = "amounts"

    def read(self, path: Path) -> Iterator[Outcome]:
        for row in rows(path, (*_PLACE, *STREAMS)):
            yield from self._outcomes(row)

    def _outcomes(self, row: TableRow) -> Iterator[Outcome]:
        first = row.line.number * PLACES_A_LINE
        month, borough, district, *amounts = row.fields or ("", "", "")
        span = _span(month, self.zone)
        if span is None or not borough.strip() or not district.strip():
            yield Refused(first, UNREADABLE, row.line.kept)
            return
        place = f"{borough.strip()} {district.strip()}"
        start, end = span
        for position, (stream, tons) in enumerate(zip(STREAMS.values(), amounts, strict=True), first + 1):
            value = grams(tons.strip(), self.ton)
            if not tons.strip():
                yield Empty(NOT_COLLECTED)
            elif value is None:
                yield Refused(position, UNREADABLE, row.line.kept)
            else:
                yield Parsed(position, f"{place}/{stream}", METRIC, start, end - start, value, ACTUAL, row.line.kept)


def _span(text: str, zone: ZoneInfo) -> tuple[int, int] | None:
    """First millisecond of a local month, and of the next."""
    match = _MONTH.fullmatch(text.strip())
    if match is None:
        return None
    year, month = int(match[1]), int(match[2])
    try:
        start = day_start(date(year, month, 1), zone)
        end = day_start(date(year + month // 12, month % 12 + 1, 1), zone)
    except ValueError:
        return None
    return None if start is None or end is None else (start, end)
