"""The register file: reading, checking and loading it, and drawing the first areas of its metrics from it.

A CSV file in UTF-8 with the columns source, metric, district, contributor, class, valid_from, valid_to in any order.
Times are RFC 3339: a date (midnight on the city's clock) or a date with time and offset; valid_to may be empty.
"""

import csv
import gc
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate, islice
from operator import itemgetter
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from ingest.cities import City
from ingest.redraw import Drawn, draw_first, refuse_dropped
from ingest.register import LONGEST_ID
from ingest.register_changes import changes_hold_from
from schemas.batch import LAST_MS
from schemas.catalogue import catalogue
from store import areas as stored
from store import register as store
from store.database import Connection
from store.moments import milliseconds, moment
from store.register import Loaded, RegisterColumns, RegisterError
from store.source_history import BEGINNING_MS

COLUMNS = ("source", "metric", "district", "contributor", "class", "valid_from", "valid_to")

BLOCK = 2_000
"""Rows that are checked and copied at once."""
TIMES_KEPT = 100_000
"""Times that are not parsed again in the next blocks."""

Row = Sequence[str]
"""The fields of a line."""

_LINE_BREAK = re.compile(r"\r\n|\r|\n")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)")


@dataclass(frozen=True, slots=True)
class Block:
    """Rows, and the line of each; `columns` are those of `COLUMNS`, in that order."""

    lines: Sequence[int]
    columns: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What a load changed."""

    rows: Loaded
    drawn: tuple[Drawn, ...]


def load_register(
    connection: Connection,
    city: City,
    path_or_rows: Path | Iterable[Mapping[str, str]],
    clock: Callable[[], int],
    people: int | None = None,
) -> LoadReport:
    """Load a register file, or its rows, in one transaction, and draw areas for metrics of the rows that have none.

    They begin with the current quarter. Areas that a metric has never change by a load, but only by
    `ingest.redraw.redraw`. Loads wait for each other. `clock` gives milliseconds since 1970: a change of a known source
    must hold from late enough on (`ingest.register_changes`). `people` is how many people the sources serve (default:
    the whole city); the populations of areas that are drawn add up to it. Raises `RegisterError`, and loads nothing on
    any error.
    """
    rows = _Rows(city)
    with connection.transaction(), _without_collection():
        if isinstance(path_or_rows, Path):
            with path_or_rows.open(encoding="utf-8-sig", newline="") as file:
                loaded = _load(connection, _read(file), rows)
        else:
            loaded = _load(connection, _mapped(path_or_rows), rows)
        total = city.population if people is None else people
        metrics = [metric for metric in catalogue().values() if metric.name in rows.districts]
        drawn = [draw_first(connection, city, metric, clock(), total) for metric in metrics]
        for metric in metrics:
            refuse_dropped(connection, city, metric.name, clock())
            _refuse_without_area(connection, city, metric.name, rows.districts[metric.name])
        _refuse_begun(loaded, clock(), city.zone)  # last, so that little lies between the clock and the commit
    return LoadReport(loaded, tuple(item for item in drawn if item is not None))


@contextmanager
def _without_collection() -> Iterator[None]:
    """Blocks are many small lists and no cycles; Python's collector would go through them over and over."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def write_register(path: Path, rows: Iterable[Mapping[str, str]]) -> None:
    """Write rows, by `COLUMNS`, as a file that `load_register` reads."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _refuse_begun(loaded: Loaded, now_ms: int, zone: str) -> None:
    for name, change in loaded.changes.items():
        earliest = changes_hold_from(catalogue()[name], now_ms, zone)
        if change.from_ms < earliest:
            when = moment(earliest).astimezone(ZoneInfo(zone)).isoformat()
            problem = (
                f"the source is registered already, and readings may have been counted: a change of it may hold from "
                f"{when} on, the start of a window that has not begun"
            )
            raise RegisterError(problem, change.line, change.column)


def _refuse_without_area(connection: Connection, city: City, metric: str, districts: Set[str]) -> None:
    """Refuse sources in a new district of the city while areas hold that have begun without it."""
    versions = stored.versions(connection, metric)
    for index, version in enumerate(versions):
        absent = districts - {district for area in version.areas.values() for district in area.districts}
        begins_ms = version.valid_from_ms if index else BEGINNING_MS  # the earliest also serves all times before it
        ends_ms = versions[index + 1].valid_from_ms if index + 1 < len(versions) else None
        if absent and (district := stored.occupied(connection, metric, absent, begins_ms, ends_ms)):
            until = "" if ends_ms is None else f" until {moment(ends_ms).astimezone(ZoneInfo(city.zone)).isoformat()}"
            raise RegisterError(
                f"a source of {metric} is in {district}, which lies in no area{until}: register it from a time on "
                f"at which it does; `sistercity areas redraw {metric}` draws areas for the next quarter"
            )


def _load(connection: Connection, blocks: "Iterable[Block]", rows: "_Rows") -> Loaded:
    return store.load(connection, map(rows.columns, blocks))


def _mapped(rows: Iterable[Mapping[str, str]]) -> Iterator[Block]:
    """The rows, with the lines that they would have in a file."""
    remaining, line = iter(rows), 2
    while block := list(islice(remaining, BLOCK)):
        for number, row in enumerate(block, start=line):
            for column in COLUMNS:
                if column not in row:
                    raise RegisterError("is missing", number, column)
        yield Block(range(line, line + len(block)), [[row[column] for row in block] for column in COLUMNS])
        line += len(block)


def _read(file: Iterable[str]) -> Iterator[Block]:
    """The rows of an open file. Raises `RegisterError`, also for a header that isn't the register's.

    What comes before a line that can't be read is a block, too: the first error is the one to name.
    """
    reader = csv.reader(file, strict=True)
    rows: list[Row] = []
    before = 0
    try:
        header = next(reader, [])
        if sorted(header) != sorted(COLUMNS):
            raise RegisterError(f"the header must name the columns {', '.join(COLUMNS)}, each once", 1)
        in_order = itemgetter(*(header.index(column) for column in COLUMNS))
        while True:
            before, rows = reader.line_num, []
            rows.extend(islice(reader, BLOCK))  # keeps what it has got if a line can't be read
            if not rows:
                return
            yield from _whole(_lines(rows, before, reader.line_num), rows, in_order)
    except (csv.Error, UnicodeDecodeError) as error:
        line = reader.line_num
        if rows:
            yield from _whole(_lines(rows, before, None), rows, in_order)
        if isinstance(error, csv.Error):
            raise RegisterError(f"not CSV: {error}", line) from error
        raise RegisterError("not UTF-8 on this line or soon after it", line + 1) from error


def _lines(rows: Sequence[Row], before: int, last: int | None) -> Sequence[int]:
    """The line on which each row ends, where `before` is that of the row before, and `last` that of the last if known.

    A quoted field may hold line breaks.
    """
    if last == before + len(rows):
        return range(before + 1, last + 1)
    return list(accumulate((1 + sum(_breaks(field) for field in row) for row in rows), initial=before))[1:]


def _breaks(field: str) -> int:
    return len(_LINE_BREAK.findall(field))


def _whole(lines: Sequence[int], rows: Sequence[Row], in_order: "itemgetter[Any]") -> Iterator[Block]:
    """The rows as a block; those before a row with another number of fields are one, too, before it is an error."""
    for index, row in enumerate(rows) if set(map(len, rows)) != {len(COLUMNS)} else ():
        if len(row) != len(COLUMNS):
            if index:
                yield Block(lines[:index], in_order(list(zip(*rows[:index], strict=True))))
            raise RegisterError(f"{len(row)} fields instead of {len(COLUMNS)}", lines[index])
    yield Block(lines, in_order(list(zip(*rows, strict=True))))


class _Rows:
    """Checks rows by blocks.

    A block is checked column by column, as far as possible by different values. If anything is wrong, it is checked
    again row by row, which finds the first line and its column.
    """

    def __init__(self, city: City) -> None:
        self._city = city
        self._districts = frozenset(district.id for district in city.districts)
        self._times: dict[str, int] = {}
        self.districts: dict[str, set[str]] = defaultdict(set)
        """By metric, the districts that the rows named."""

    def columns(self, block: Block) -> RegisterColumns:
        """The rows of a block as they are stored. Raises `RegisterError` if one is wrong."""
        lines = block.lines
        source, metric, district, contributor, class_, valid_from, valid_to = block.columns
        try:
            _check_ids(source, lines[0], "source")
            _check_ids(contributor, lines[0], "contributor")
            places = set(zip(metric, district, class_, strict=True))
            for place in places:
                self._check_place(lines[0], *place)
            begins = {text: self._time(text, lines[0], "valid_from") for text in set(valid_from)}
            ends = {text: self._end(text, lines[0]) for text in set(valid_to)}
            if set(ends) != {""}:
                for begin, end in set(zip(valid_from, valid_to, strict=True)):
                    _check_span(begins[begin], ends[end], lines[0])
        except RegisterError:
            for line, *row in zip(lines, *block.columns, strict=True):
                self._check_row(line, *row)
            raise
        for name, of_source, _ in places:
            self.districts[name].add(of_source)
        return RegisterColumns(
            line=lines,
            source=source,
            metric=metric,
            district=district,
            contributor=contributor,
            class_=class_,
            valid_from_ms=list(map(begins.__getitem__, valid_from)),
            valid_to_ms=list(map(ends.__getitem__, valid_to)),
        )

    def _check_row(
        self,
        line: int,
        source: str,
        metric: str,
        district: str,
        contributor: str,
        class_: str,
        valid_from: str,
        valid_to: str,
    ) -> None:
        _check_ids([source], line, "source")
        _check_ids([contributor], line, "contributor")
        self._check_place(line, metric, district, class_)
        _check_span(self._time(valid_from, line, "valid_from"), self._end(valid_to, line), line)

    def _check_place(self, line: int, name: str, district: str, class_: str) -> None:
        metric = catalogue().get(name)
        if metric is None:
            raise RegisterError(f"no such metric; there are {', '.join(catalogue())}", line, "metric")
        if metric.derived_from is not None:
            problem = f"{metric.name} is computed from {metric.derived_from}: register the source for that one"
            raise RegisterError(problem, line, "metric")
        if class_ not in metric.classes:
            raise RegisterError(f"{metric.name} has the classes {', '.join(metric.classes)}", line, "class")
        if district not in self._districts:
            raise RegisterError(f"{self._city.name} has no such district", line, "district")

    def _end(self, text: str, line: int) -> int | None:
        return self._time(text, line, "valid_to") if text else None

    def _time(self, text: str, line: int, column: str) -> int:
        """Milliseconds since 1970, UTC."""
        if text not in self._times:
            if len(self._times) == TIMES_KEPT:
                self._times.clear()
            self._times[text] = _parsed(text, self._city.zone, line, column)
        return self._times[text]


def _check_span(begins_ms: int, ends_ms: int | None, line: int) -> None:
    if ends_ms is not None and ends_ms <= begins_ms:
        raise RegisterError("must be later than valid_from", line, "valid_to")


def _check_ids(ids: Sequence[str], line: int, column: str) -> None:
    """Check that all of these can be ids; `line` is the one that an error names."""
    if not all(map(str.strip, ids)):
        raise RegisterError("is empty", line, column)
    if max(map(len, ids)) > LONGEST_ID:
        raise RegisterError(f"is longer than {LONGEST_ID} characters", line, column)
    if not "".join(ids).isprintable():
        raise RegisterError("holds a character that can't be printed", line, column)


def _parsed(text: str, zone: str, line: int, column: str) -> int:
    try:
        if _DATE.fullmatch(text):
            when = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))
        elif _DATE_TIME.fullmatch(text):
            when = datetime.fromisoformat(text.upper())
        else:
            raise ValueError
        time_ms = milliseconds(when.astimezone(UTC))
    except (ValueError, OverflowError):
        problem = "is neither a date (2026-07-01) nor a time with offset (2026-07-01T00:00:00+03:30)"
        raise RegisterError(problem, line, column) from None
    if not 0 <= time_ms < LAST_MS:
        raise RegisterError("lies before 1970 or after 9999", line, column)
    return time_ms
