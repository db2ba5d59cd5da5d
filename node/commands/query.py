"""`sistercity query`: the operator's own view of the cells, suppression off. It is never served over HTTP."""

import csv
import sys
from datetime import UTC, datetime
from typing import Annotated

import typer

from node import wiring

COLUMNS = (
    "window_start", "window_end", "area", "area_name", "class", "value", "unit", "readings", "contributors", "largest",
    "absolute", "covered_ms", "incomplete", "topic",
)  # fmt: skip


def query(
    metric: Annotated[str, typer.Argument(help="a metric of the catalogue, energy.import")],
    start: Annotated[datetime, typer.Option("--from", help="first window's start, UTC")] = datetime(1970, 1, 2),
    end: Annotated[datetime, typer.Option("--to", help="end of the windows' starts, UTC")] = datetime(2199, 1, 1),
) -> None:
    """Print this city's own cells as CSV: exact amounts in the metric's smallest unit, nothing suppressed."""
    from schemas.catalogue import catalogue
    from store.cells import cells_between
    from store.moments import milliseconds, moment

    entry = catalogue().get(metric)
    if entry is None:
        raise wiring.CommandError(f"{metric!r} is no metric; the catalogue has {', '.join(catalogue())}")
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(COLUMNS)
    with wiring.database("query") as connection:
        first, until = (milliseconds(time.replace(tzinfo=UTC)) for time in (start, end))
        for topic, name, cell in cells_between(connection, metric, first, until):
            of = cell.amounts
            window = (moment(cell.window_start).isoformat(), moment(cell.window_end).isoformat())
            amounts = (of.value, entry.smallest_unit, of.readings, of.contributors, of.largest, of.absolute)
            rest = (of.covered_ms, cell.incomplete, topic)
            out.writerow((*window, cell.area, name, cell.class_, *amounts, *rest))
