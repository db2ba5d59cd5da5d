"""A series as a table: a row for each cell of each window."""

from collections.abc import Iterable, Iterator, Mapping

from api.tables import Value, table
from federation.wire import rfc3339
from store.publication_log import CellColumns
from store.publications import Header

COLUMNS = (
    *("city", "metric", "unit", "window_start", "window_end", "revision", "kind", "area", "area_name", "class"),
    *("status", "value", "coverage", "rule", "published_at"),
)


def series_table(
    city: str, metric: str, unit: str, areas: Mapping[int, str], windows: Iterable[tuple[Header, CellColumns]]
) -> bytes:
    """The table as CSV. `areas` has names by number; amounts are whole numbers of `unit`."""
    first = (city, metric, unit)
    return table(COLUMNS, ((*first, *row) for header, cells in windows for row in _rows(areas, header, cells)))


def _rows(areas: Mapping[int, str], header: Header, cells: CellColumns) -> Iterator[tuple[Value, ...]]:
    start, end, at = rfc3339(header.window.start), rfc3339(header.window.end), rfc3339(header.published_at)
    for area, class_, status, value, coverage, rule in zip(
        cells.area, cells.class_, cells.status, cells.value, cells.coverage, cells.rule, strict=True
    ):
        place = (area, areas.get(area), class_)
        yield (start, end, header.revision, header.kind, *place, status, value, coverage, rule, at)
