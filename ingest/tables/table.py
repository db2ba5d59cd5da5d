"""A table as a source: its lines, by its profile, become readings or refusals. Implements `FileFormat`."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from ingest.files.pieces import FilePiece, Readings, outcomes_of
from ingest.files.reading import KEPT_BYTES, Note, NotSuchFile, Outcome
from ingest.files.reasons import CUT, INTERVAL, SPACING, TIME, UNREADABLE
from ingest.files.spacing import Spacing
from ingest.tables import subtables
from ingest.tables.columns import (
    AmountColumns,
    Sources,
    TimeColumns,
    accepted,
    intervals,
    mark,
    qualities,
    zone_of,
)
from ingest.tables.differences import Differences
from ingest.tables.faults import LEAST, Memo, Numbers, fault, numbers, reason_of
from ingest.tables.fields import Fields
from ingest.tables.json_rows import json_rows
from ingest.tables.layout import Survey, TableLayout, joined, other_order, unit_of, value_column
from ingest.tables.profile import JsonPart, Profile, RepeatedColumn, Said
from ingest.tables.streams import stream_columns
from ingest.tables.telegrams import telegram_rows
from ingest.tables.text import TableRows, folded, header, rows
from ingest.tables.times import Clock, month_span
from ingest.tables.wide import WideLines
from ingest.tables.xml_rows import xml_rows
from schemas.batch import ACTUAL
from schemas.catalogue import Metric, catalogue
from store.deliveries import Refused

_CHANGE_MS = 3_600_000
_BLANK = 1
"""Among faults: a place that may be empty."""


class Table:
    """Implements `FileFormat` for files of one profile; `city` is the zone of times that name none.

    Positions are the lines' numbers; for several readings in a line, see `StreamsPart` and `WidePart`. With `each_line`
    a file is JSON documents, one on each line, that have nothing to do with each other.
    """

    def __init__(self, profile: Profile, said: Said, city: ZoneInfo, *, each_line: bool = False) -> None:
        each = profile.json.each if profile.json is not None else ()
        self.profile = replace(profile, json=JsonPart(lines=True, each=each)) if each_line else profile
        self._each_line = each_line
        self.metric = catalogue()[profile.metric]
        self.dataset = self.metric.dataset
        self.noun = profile.noun
        self._said = said
        self._zone = zone_of(said.zone or profile.time.zone, city)

    def read(self, path: Path) -> Iterator[Outcome]:
        """The outcomes of a file one by one. Raises `NotSuchFile`."""
        return outcomes_of(self.pieces(path))

    def pieces(self, path: Path) -> Iterator[FilePiece | Note]:
        """The outcomes of a file as columns, in its order and in bounded memory. Raises `NotSuchFile`."""
        yield from _Reader(self.profile, self.metric, self._said, self._zone, path, each_line=self._each_line).pieces()


class _Reader:
    """Reads one file."""

    def __init__(
        self, profile: Profile, metric: Metric, said: Said, zone: ZoneInfo, path: Path, *, each_line: bool
    ) -> None:
        self._profile = profile
        self._each_line = each_line
        self._metric = metric
        self._said = said
        self._zone = zone
        self._path = path
        self._clock = clock_of(profile, zone)
        where = "the first line" if profile.shape.skip == 0 else f"line {profile.shape.skip + 1}"
        self._layout = TableLayout(path.name, self._named(), where)
        self._column = value_column(self._layout, profile, said)
        self._streams = stream_columns(self._layout, profile)
        self._layout.require(self._used())
        self._spacing: Spacing | None = None
        self._unit = ""

    def pieces(self) -> Iterator[FilePiece | Note]:
        yield from self._pieces()
        if self._clock.swapped:
            raise NotSuchFile(other_order(self._layout, self._profile, self._clock))

    def _pieces(self) -> Iterator[FilePiece | Note]:
        survey = Survey(self._layout, self._profile, self._said, self._clock)
        measured = None
        if not survey.measures:  # what the header leaves open is asked for before the lines are read
            self._unit = unit_of(self._layout, self._profile, self._said, self._column, measured)
        self._spacing, measured = survey.run(self._rows(), self._column)
        self._unit = unit_of(self._layout, self._profile, self._said, self._column, measured)
        yield from self._notes()
        self._prepare()
        if self._profile.records is not None:
            wide = self._wide()
            for piece, ranges in subtables.SubTables(self._profile.records).rows(self._rows()):
                yield wide.piece(piece, ranges.of)
        elif self._profile.wide is not None:
            wide = self._wide()
            for piece in self._rows():
                yield wide.piece(self._without_cut(piece)[0], None)
        else:
            differences = Differences()
            for piece in self._rows():
                found = self._piece(piece)
                yield differences.of(found) if self._profile.value.cumulative else found

    def _named(self) -> Sequence[str]:
        """The columns of the file: for JSON and XML, those that are read."""
        profile = self._profile
        if profile.records is not None:
            return subtables.names(profile.records)
        if not profile.names_columns:
            return header(self._path, profile.shape)
        return json_columns(profile, self._said)

    def _rows(self) -> Iterator[TableRows]:
        if self._profile.json is not None:
            return json_rows(self._path, self._profile.json, self._layout.names, each_alone=self._each_line)
        if self._profile.xml is not None:
            optional = frozenset(part.column for part in self._profile.only)
            return xml_rows(self._path, self._profile.xml, self._layout.names, optional)
        if self._profile.telegrams:
            return telegram_rows(self._path, self._layout.names)
        width = None if self._profile.records else len(self._layout.names)
        return rows(self._path, self._profile.shape, width)

    def _used(self) -> Sequence[str]:
        """The columns that are read."""
        profile = self._profile
        values = self._streams if profile.streams else [] if profile.wide else [self._column]
        return [*columns_of(profile), *values]

    def _notes(self) -> Iterator[Note]:
        name, profile = self._path.name, self._profile
        column = "amounts are" if profile.streams or profile.wide else f"{self._column} is"
        unit = f"{column} in {self._unit}" if self._unit else f"{profile.value.unit_column} names the unit"
        zone = "" if profile.time.zone == "text" else f"; times are of {self._zone.key}"
        yield Note(f"{name}: {unit}" + (f"; {self._spacing.words}" if self._spacing else "") + zone)
        if profile.streams is not None:
            added = [stream for column, stream in self._streams.items() if column not in profile.streams.names]
            if added:
                yield Note(f"{name}: streams besides the known ones: {', '.join(added)}")
        if not (profile.records or profile.wide or profile.names_columns) and profile.shape.header:
            read = {folded(column) for column in (*self._used(), *profile.shape.of_no_interest)}
            read |= {folded(column) for column in profile.value.volts_amperes}
            if others := [column for column in self._layout.names if column and folded(column) not in read]:
                yield Note(f"{name}: columns that are not read: {', '.join(others)}"[:1_000])

    def _prepare(self) -> None:
        profile, layout = self._profile, self._layout
        self._sources = Sources(profile, layout)
        self._moments = TimeColumns(profile, layout, self._clock)
        self._amounts = AmountColumns(profile, self._metric)
        self._lengths = Memo(intervals(profile))
        self._only = [(layout.place(part.column), Memo(accepted(part))) for part in profile.only]
        quality = profile.quality
        self._quality = None if quality is None else (layout.place(quality.column), Memo(qualities(quality)))
        self._months = self._clock, self._zone
        last = folded(layout.names[-1]) if layout.names else ""
        self._may_be_cut = not profile.names_columns and last in {folded(column) for column in self._used()}
        self._added = [layout.place(name) for name in profile.value.plus]
        self._values = {stream: layout.place(column) for column, stream in self._streams.items()}
        self._value = layout.place(self._column) if not profile.streams and not profile.wide else -1

    def _wide(self) -> WideLines:
        return WideLines(self._profile, self._metric, self._layout, self._clock, self._zone, self._unit)

    def _without_cut(self, piece: TableRows) -> tuple[TableRows, list[Refused]]:
        """The lines that are whole, and those that are refused whole: a last one may have lost digits."""
        places = self._profile.streams.places if self._profile.streams else 1
        refused = [Refused(number * places, UNREADABLE, line) for number, line in piece.unreadable]
        if piece.cut is None or not piece.numbers or piece.numbers[-1] != piece.cut or not self._may_be_cut:
            return piece, refused
        refused.append(Refused(piece.cut * places, CUT, piece.originals[-1].rstrip(b"\r")[:KEPT_BYTES]))
        return _but_last(piece), refused

    def _piece(self, piece: TableRows) -> FilePiece:
        whole, refused = self._without_cut(piece)
        if not len(whole.numbers):
            return FilePiece([], refused)
        streams = self._profile.streams
        if streams is None:
            readings = self._readings(whole, "", self._value, 0, 1, refused, {})
            return FilePiece([readings], refused)
        empty: dict[str, int] = {}
        readings_of = [
            self._readings(whole, stream, place, number, streams.places, refused, empty)
            for number, (stream, place) in enumerate(self._values.items(), 1)
        ]
        return FilePiece(readings_of, refused, empty)

    def _readings(
        self,
        piece: TableRows,
        stream: str,
        value_place: int,
        number: int,
        places: int,
        refused: list[Refused],
        empty: dict[str, int],
    ) -> Readings:
        """The readings of one column of amounts. What is wrong with a whole line is refused with the first column."""
        fields = piece.fields
        sources, of_sources = self._sources.of(fields, stream)
        others = np.zeros(len(fields), np.int64)
        for place, memo in self._only:
            mark(others, numbers(memo, fields.column(place)))
        start, length = self._times(fields, sources, others)
        faults = np.zeros(len(fields), np.int64)
        mark(faults, np.where(start == fault(UNREADABLE), start, 0))
        for column in (start, of_sources, others, length):
            if column is not None:
                mark(faults, column)
        whole_line = faults.copy()
        value = self._values_of(fields, value_place, length, faults, empty)
        mark(faults, value)
        if self._spacing is not None:
            mark(faults, np.where(np.isin(start, self._spacing.contradicting), fault(SPACING), 0))
        mark(faults, np.where(length > self._metric.longest_window_ms, fault(INTERVAL), 0))
        quality = np.full(len(fields), ACTUAL, np.int64)
        if self._quality is not None:
            place, memo = self._quality
            quality = numbers(memo, fields.column(place))
            mark(faults, quality)
        positions = np.fromiter(piece.numbers, np.int64, len(fields)) * places
        for row in np.flatnonzero(faults < 0).tolist():
            of_line = whole_line[row] != 0
            if not of_line or number <= 1:
                position = int(positions[row]) + (0 if of_line else number)
                original = piece.originals[row].rstrip(b"\r")[:KEPT_BYTES]
                refused.append(Refused(position, reason_of(int(faults[row])), original))
        return _taken(self._metric.name, piece, sources, positions + number, start, length, value, quality, faults == 0)

    def _values_of(
        self, fields: Fields, place: int, length: Numbers, faults: Numbers, empty: dict[str, int]
    ) -> Numbers:
        """The amounts of a column with those that are added, or faults; blank places of a stream are noted as such."""
        texts = fields.column(place)
        lengths = np.where(length > LEAST, length, 0)
        value = self._valued(texts, fields, lengths)
        for added in self._added:
            more = self._valued(fields.column(added), fields, lengths)
            value = np.where(value < LEAST, value, np.where(more < LEAST, more, value + more))
        if self._profile.streams is not None:
            blank = np.array([not text.strip() for text in texts]) & (faults == 0)
            reason = self._profile.streams.empty
            empty[reason] = empty.get(reason, 0) + int(blank.sum())
            faults[blank] = _BLANK
        return value

    def _times(self, fields: Fields, sources: Sequence[str] | None, others: Numbers) -> tuple[Numbers, Numbers]:
        """Start and length of each line's interval, or faults."""
        part, count = self._profile.interval, len(fields)
        if part.kind == "month":
            spans = [month_span(text, *self._months) for text in self._moments.texts(fields)]
            start = np.array([fault(TIME) if span is None else span[0] for span in spans], np.int64)
            return start, np.array([0 if span is None else span[1] - span[0] for span in spans], np.int64)
        start = self._moments.of(fields, sources, others)
        if part.kind == "column":
            place = self._layout.place(part.column)
            length = numbers(self._lengths, fields.column(place))
        else:
            fixed = self._spacing.interval_ms if self._spacing is not None else part.fixed_ms
            length = np.full(count, fixed, np.int64)
        if part.until:
            self._compare_ends(start, length, joined(fields, [self._layout.place(name) for name in part.until]))
        if self._profile.time.ends:
            start = np.where((start > LEAST) & (length > LEAST), start - length, start)
            start[(start > LEAST) & (start < 0)] = fault(TIME)
        return start, length

    def _compare_ends(self, start: Numbers, length: Numbers, texts: Sequence[str]) -> None:
        """Refuse intervals that end at another time than the line says, or may say where the clock changes."""
        ends = self._clock.many(texts)
        start[(start > LEAST) & (ends == fault(TIME))] = fault(TIME)
        off = np.abs(ends - start - length)
        wrong = (start > LEAST) & (ends > LEAST) & (length > LEAST) & (off != 0)
        for begin, end in self._clock.changing if wrong.any() else ():
            wrong &= ~((start >= begin) & (start < end) & (off <= _CHANGE_MS))
        start[wrong] = fault(INTERVAL)

    def _valued(self, texts: Sequence[str], fields: Fields, length: Numbers) -> Numbers:
        """The amounts, or faults."""
        if self._unit and self._profile.interval.kind not in ("column", "month"):
            return self._amounts.of(self._unit, int(length[0])).many(texts)
        column = self._profile.value.unit_column
        units = fields.column(self._layout.place(column)) if column else [self._unit] * len(fields)
        return self._amounts.each(texts, units, length.tolist())


def json_columns(profile: Profile, said: Said) -> Sequence[str]:
    """The columns of a profile of JSON that are read."""
    values = list(profile.streams.names) if profile.streams else [said.column or profile.value.column]
    return list(dict.fromkeys((*columns_of(profile), *values)))


def columns_of(profile: Profile) -> Sequence[str]:
    """The columns that a profile names, besides those of the amounts."""
    time, repeated = profile.time, profile.time.repeated
    columns = [
        *(profile.source.columns if profile.source else ()),
        *time.columns,
        *(time.sequence, time.month, time.year, profile.value.unit_column, profile.interval.column),
        *profile.interval.until,
        *profile.value.plus,
        *([profile.wide.first, profile.wide.stop] if profile.wide else []),
        *([repeated.column] if isinstance(repeated, RepeatedColumn) else []),
        *([profile.quality.column] if profile.quality else []),
        *(part.column for part in profile.only),
    ]
    return [column for column in columns if column and column != "stream"]


def _but_last(piece: TableRows) -> TableRows:
    count = len(piece.numbers) - 1
    return TableRows(piece.numbers[:count], piece.fields.first(count), piece.originals[:count], piece.unreadable, None)


def clock_of(profile: Profile, zone: ZoneInfo) -> Clock:
    """The clock of a profile's times in a zone."""
    repeated = profile.time.repeated
    return Clock(
        [f"{form} %H:%M" for form in profile.time.formats]
        if profile.wide is not None and profile.wide.by_clock
        else profile.time.formats,
        zone,
        "order" if isinstance(repeated, RepeatedColumn) else repeated,
        ends=profile.time.ends,
    )


def _taken(
    metric: str,
    piece: TableRows,
    sources: Sequence[str] | None,
    positions: Numbers,
    start: Numbers,
    length: Numbers,
    value: Numbers,
    quality: Numbers,
    good: "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]",
) -> Readings:
    """The readings of the rows that are good."""
    if good.all():
        return Readings(metric, positions, sources, start, length, value, quality.astype(np.uint8), piece.originals)
    at = np.flatnonzero(good)
    places = at.tolist()
    return Readings(
        metric,
        positions[at],
        None if sources is None else [sources[place] for place in places],
        start[at],
        length[at],
        value[at],
        quality[at].astype(np.uint8),
        [piece.originals[place] for place in places],
    )
