"""The register file: reading, checking and loading it, and drawing the first areas of its metrics from it.

How a file may be written is said in `ingest.register_table`, `ingest.register_times` and `ingest.facts`.
"""

import csv
import gc
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

from ingest.cities import City
from ingest.identity import comparable
from ingest.redraw import Drawn, draw_first, refuse_dropped
from ingest.register_changes import changes_hold_from
from ingest.register_rows import RegisterRows
from ingest.register_table import COLUMNS, blocks_of_file, blocks_of_rows
from ingest.register_times import DateOrder
from schemas.catalogue import catalogue
from store import areas as stored
from store import register as store
from store.database import Connection
from store.moments import moment
from store.register_columns import Loaded, RegisterError
from store.source_history import BEGINNING_MS


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
    dates: DateOrder | None = None,
) -> LoadReport:
    """Load a register file, or its rows, in one transaction, and draw areas for metrics of the rows that have none.

    They begin with the current quarter. Areas that a metric has never change by a load, but only by
    `ingest.redraw.redraw`. Loads wait for each other. `clock` gives milliseconds since 1970: a change of a known source
    must hold from late enough on (`ingest.register_changes`). `people` is how many people the sources serve (default:
    the whole city); the populations of areas that are drawn add up to it. `dates` is the order of day and month in
    dates that can be read in two ways. Raises `RegisterError`, and loads nothing on any error.
    """
    rows = RegisterRows(city, dates)
    with connection.transaction(), _without_collection():
        blocks = blocks_of_file(path_or_rows) if isinstance(path_or_rows, Path) else blocks_of_rows(path_or_rows)
        loaded = store.load(connection, map(rows.columns, blocks), comparable=comparable)
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
