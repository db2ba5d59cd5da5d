"""The register file: reading, checking and loading it, and drawing the metrics' areas from it.

A CSV file in UTF-8 with the columns source, metric, district, contributor, class, valid_from, valid_to in any order.
Times are RFC 3339: a date (midnight on the city's clock) or a date with time and offset; valid_to may be empty.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from ingest.areas import partition
from ingest.cities import City
from ingest.register import LONGEST_ID
from schemas.batch import LAST_MS
from schemas.catalogue import Metric, catalogue
from schemas.rules import minimum_contributors
from store import areas as stored
from store import register as store
from store.areas import Area
from store.database import Connection
from store.moments import milliseconds
from store.register import Loaded, RegisterError, RegisterRow

COLUMNS = ("source", "metric", "district", "contributor", "class", "valid_from", "valid_to")

_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)")


@dataclass(frozen=True, slots=True)
class Drawn:
    """Areas that a load created or replaced; they are valid from `valid_from_ms`, milliseconds since 1970."""

    metric: str
    valid_from_ms: int
    areas: int


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What a load changed."""

    rows: Loaded
    drawn: tuple[Drawn, ...]


def load_register(
    connection: Connection,
    city: City,
    path_or_rows: Path | Iterable[Mapping[str, str]],
    now_ms: int,
    people: int | None = None,
) -> LoadReport:
    """Load a register file, or its rows, in one transaction, and draw areas where they are missing or have changed.

    Areas are drawn for the metrics that the rows name, and for all metrics if there is no row: another register's
    sources may serve other people. A metric without areas gets them from the start of the current quarter; otherwise
    changed areas begin with the next quarter, since areas that have begun never change. Loads wait for each other.
    `people` is how many people the sources serve (default: the whole city); the areas' populations add up to it.
    Raises `RegisterError`, and loads nothing on any error.
    """
    named: set[str] = set()
    with connection.transaction():
        if isinstance(path_or_rows, Path):
            with path_or_rows.open(encoding="utf-8-sig", newline="") as file:
                loaded = store.load(connection, _naming(named, _read(file, city)))
        else:
            numbered = enumerate(path_or_rows, start=2)
            loaded = store.load(connection, _naming(named, _checked(numbered, city)))
        total = city.population if people is None else people
        metrics = [metric for metric in catalogue().values() if metric.name in named or not named]
        drawn = [_draw(connection, city, metric, now_ms, total) for metric in metrics]
    return LoadReport(loaded, tuple(item for item in drawn if item is not None))


def write_register(path: Path, rows: Iterable[Mapping[str, str]]) -> None:
    """Write rows, by `COLUMNS`, as a file that `load_register` reads."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def quarter_starts(now_ms: int, zone: str) -> tuple[int, int]:
    """The start of the calendar quarter of `now_ms` and of the next, in a time zone, in milliseconds since 1970."""
    clock = ZoneInfo(zone)
    now = datetime.fromtimestamp(now_ms / 1000, clock)
    month = now.month - (now.month - 1) % 3
    next_year, next_month = (now.year + 1, 1) if month == 10 else (now.year, month + 3)
    starts = (datetime(now.year, month, 1, tzinfo=clock), datetime(next_year, next_month, 1, tzinfo=clock))
    return milliseconds(starts[0]), milliseconds(starts[1])


def scaled(areas: Iterable[Area], people: int) -> tuple[Area, ...]:
    """The areas with populations in the same proportions that add up to `people` (largest remainders rounded up)."""
    areas = tuple(areas)
    total = sum(area.population for area in areas)
    shares = [divmod(area.population * people, total) for area in areas]
    missing = people - sum(whole for whole, _ in shares)
    up = set(sorted(range(len(areas)), key=lambda index: (-shares[index][1], index))[:missing])
    return tuple(replace(area, population=shares[i][0] + (i in up)) for i, area in enumerate(areas))


def _draw(connection: Connection, city: City, metric: Metric, now_ms: int, people: int) -> Drawn | None:
    """Create or replace a version of the metric's areas if it needs one."""
    current, following = quarter_starts(now_ms, city.zone)
    versions = stored.versions(connection, metric.name)
    begins, counted_at = (following, following) if versions else (current, now_ms)
    contributors = stored.contributors(connection, metric.name, counted_at)
    if not contributors:
        return None
    minimums = {class_: minimum_contributors(metric.rule, class_) for class_ in metric.classes}
    areas = scaled(partition(city, contributors, minimums), people)
    # The version that the next quarter would have without a new one: the latest that has begun by then.
    begun = [version for version in versions if version.valid_from_ms <= following]
    if begun and sorted(begun[-1].areas.values(), key=lambda area: area.districts) == list(areas):
        return None
    stored.create_version(connection, metric.name, begins, areas)
    return Drawn(metric.name, begins, len(areas))


def _naming(named: set[str], rows: Iterable[RegisterRow]) -> Iterator[RegisterRow]:
    """The rows, unchanged; the metrics that they name are added to `named`."""
    for row in rows:
        named.add(row.metric)
        yield row


def _read(file: Iterable[str], city: City) -> Iterator[RegisterRow]:
    """The rows of an open file. Raises `RegisterError`, also for a header that isn't the register's."""
    reader = csv.reader(file, strict=True)
    try:
        header = next(reader, [])
        if sorted(header) != sorted(COLUMNS):
            raise RegisterError(f"the header must name the columns {', '.join(COLUMNS)}, each once", 1)
        yield from _checked(((reader.line_num, _fields(header, row, reader.line_num)) for row in reader), city)
    except csv.Error as error:
        raise RegisterError(f"not CSV: {error}", reader.line_num) from error
    except UnicodeDecodeError as error:
        raise RegisterError("not UTF-8 on this line or soon after it", reader.line_num + 1) from error


def _fields(header: list[str], row: list[str], line: int) -> Mapping[str, str]:
    if len(row) != len(header):
        raise RegisterError(f"{len(row)} fields instead of {len(header)}", line)
    return dict(zip(header, row, strict=True))


def _checked(rows: Iterable[tuple[int, Mapping[str, str]]], city: City) -> Iterator[RegisterRow]:
    districts = frozenset(district.id for district in city.districts)
    times: dict[
        str, int
    ] = {}  # a register has few different times, and parsing a time costs more than all other checks
    for line, row in rows:
        for column in COLUMNS:
            if column not in row:
                raise RegisterError("is missing", line, column)
        for column in ("source", "contributor"):
            _check_id(row[column], line, column)
        metric = catalogue().get(row["metric"])
        if metric is None:
            raise RegisterError(f"no such metric; there are {', '.join(catalogue())}", line, "metric")
        if metric.derived_from is not None:
            problem = f"{metric.name} is computed from {metric.derived_from}: register the source for that one"
            raise RegisterError(problem, line, "metric")
        if row["class"] not in metric.classes:
            raise RegisterError(f"{metric.name} has the classes {', '.join(metric.classes)}", line, "class")
        if row["district"] not in districts:
            raise RegisterError(f"{city.name} has no such district", line, "district")
        begins = _time(row["valid_from"], city.zone, times, line, "valid_from")
        ends = _time(row["valid_to"], city.zone, times, line, "valid_to") if row["valid_to"] else None
        if ends is not None and ends <= begins:
            raise RegisterError("must be later than valid_from", line, "valid_to")
        yield RegisterRow(
            line, row["source"], metric.name, row["district"], row["contributor"], row["class"], begins, ends
        )


def _check_id(text: str, line: int, column: str) -> None:
    if not text.strip():
        raise RegisterError("is empty", line, column)
    if len(text) > LONGEST_ID:
        raise RegisterError(f"is longer than {LONGEST_ID} characters", line, column)
    if not text.isprintable():
        raise RegisterError("holds a character that can't be printed", line, column)


def _time(text: str, zone: str, known: dict[str, int], line: int, column: str) -> int:
    """Milliseconds since 1970, UTC."""
    if text in known:
        return known[text]
    try:
        if _DATE.fullmatch(text):
            when = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))
        elif _DATE_TIME.fullmatch(text):
            when = datetime.fromisoformat(text.upper())
        else:
            raise ValueError
        known[text] = milliseconds(when.astimezone(UTC))
    except (ValueError, OverflowError):
        problem = "is neither a date (2026-07-01) nor a time with offset (2026-07-01T00:00:00+03:30)"
        raise RegisterError(problem, line, column) from None
    if not 0 <= known[text] < LAST_MS:
        del known[text]
        raise RegisterError("lies before 1970 or after 9999", line, column)
    return known[text]
