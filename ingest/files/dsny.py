"""New York's Department of Sanitation: collected tons by month, community district and stream.

`MONTH,BOROUGH,COMMUNITYDISTRICT`, then a column for each stream, in capital or small letters. A month is `2021 / 01`;
tons are short tons unless the command says otherwise. A district's stream is a source: `Queens 08/REFUSE`. An empty
field means that the stream is not collected there, which is no fault. The city adds streams: every other column that
ends with `TONS` or `TONSCOLLECTED` is one, too.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import ClassVar
from zoneinfo import ZoneInfo

from ingest.files.clocks import day_start
from ingest.files.reading import Empty, Note, NotSuchFile, Outcome, Parsed
from ingest.files.reasons import CUT, NOT_COLLECTED, NUMBER, TIME, UNREADABLE
from ingest.files.tables import TableRow, column_names, not_read, rows
from ingest.files.weights import Ton, grams
from schemas.batch import ACTUAL
from store.deliveries import Refused

METRIC = "waste.tonnage"

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
"""A position is the line's number times this, plus the stream's index, from 1; 0 is the whole line. `STREAMS` come
first."""

_PLACE = ("MONTH", "BOROUGH", "COMMUNITYDISTRICT")
_OF_NO_INTEREST = ("BOROUGH_ID",)
_STREAM = re.compile(r"(\w+?)TONS(COLLECTED)?", re.ASCII)
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
        names = column_names(path)
        streams = _streams(path, names)
        yield Note(f"{path.name}: tons are {self.ton} tons (--ton)")
        if added := [name for column, name in streams.items() if column not in STREAMS]:
            yield Note(f"{path.name}: streams besides the known ones: {', '.join(added)}")
        yield from not_read(path, names, (*_PLACE, *streams, *_OF_NO_INTEREST))
        may_be_cut = bool(names) and names[-1].upper() in (*_PLACE, *streams)
        for row in rows(path, (*_PLACE, *streams)):
            if may_be_cut and not row.line.ended and row.fields is not None:
                yield Refused(row.line.number * PLACES_A_LINE, CUT, row.line.kept)
            else:
                yield from self._outcomes(row, tuple(streams.values()))

    def _outcomes(self, row: TableRow, streams: Sequence[str]) -> Iterator[Outcome]:
        first = row.line.number * PLACES_A_LINE
        if row.fields is None:
            yield Refused(first, UNREADABLE, row.line.kept)
            return
        month, borough, district, *amounts = (field.strip() for field in row.fields)
        span = _span(month, self.zone)
        if span is None or not borough or not district:
            yield Refused(first, TIME if span is None else UNREADABLE, row.line.kept)
            return
        start, end = span
        for position, (stream, tons) in enumerate(zip(streams, amounts, strict=True), first + 1):
            value = grams(tons, self.ton)
            if not tons:
                yield Empty(NOT_COLLECTED)
            elif value is None:
                yield Refused(position, NUMBER, row.line.kept)
            else:
                source = f"{borough} {district}/{stream}"
                yield Parsed(position, source, METRIC, start, end - start, value, ACTUAL, row.line.kept)


def _streams(path: Path, names: Sequence[str]) -> Mapping[str, str]:
    """The columns of tons, in capital letters, with the names of their streams in the register."""
    streams = dict(STREAMS)
    for column in (name.upper() for name in names):
        match = _STREAM.fullmatch(column)
        if match is not None:
            streams.setdefault(column, match[1])
    if len(streams) >= PLACES_A_LINE or len(set(streams.values())) < len(streams):
        raise NotSuchFile(
            f"{path.name}: has more streams than {PLACES_A_LINE - 1}, or two of one name: {', '.join(streams)}"
        )
    return streams


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
