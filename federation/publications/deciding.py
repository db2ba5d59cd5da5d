"""What the cells of a window show: released or suppressed, or incomplete, all of them. Pure."""

from collections.abc import Sequence, Set

from federation.disclosure.rules import released
from schemas.catalogue import Metric
from store.processing import Cell
from store.publications import Lattice, LatticeCell, PublishedCell, Window
from store.standing import Place


def decide(
    metric: Metric, window: Window, cells: Lattice, reduced: Sequence[Cell], released: Set[Place]
) -> tuple[PublishedCell, ...]:
    """Every cell of the lattice; those in `released`, which are open and pass, as they were reduced, the others
    suppressed. Raises `UnknownRule`."""
    by_place = {(cell.area, cell.class_): cell for cell in reduced}
    places = ((cell, (cell.area, cell.class_)) for cell in cells.cells)
    return tuple(
        published_cell(metric, window, cell, by_place.get(place) if place in released else None)
        for cell, place in places
    )


def withhold(metric: Metric, cells: Lattice) -> tuple[PublishedCell, ...]:
    """Every cell of the lattice as incomplete: of a window that is not whole, nothing leaves (P8)."""
    return tuple(
        PublishedCell(cell.area, cell.class_, None, None, metric.rule, incomplete=True) for cell in cells.cells
    )


def coverage(covered_ms: int, sources: int, window: Window) -> int:
    """The share of the window that a cell's sources reported, in whole percent, rounded down and at most 100.

    0 where no source is registered: the complete amount of time is then unknown.
    """
    whole = sources * (window.end - window.start)
    return max(0, min(100, 100 * covered_ms // whole)) if whole else 0


def published_cell(metric: Metric, window: Window, cell: LatticeCell, reduced: Cell | None) -> PublishedCell:
    """One cell of the lattice under the metric's rule alone. Raises `UnknownRule`."""
    if reduced is None:
        return PublishedCell(cell.area, cell.class_, None, None, metric.rule)
    amounts = reduced.amounts
    if not released(metric.rule, cell.class_, amounts, metric.smallest_per_unit):
        return PublishedCell(cell.area, cell.class_, None, None, metric.rule)
    covered = coverage(amounts.covered_ms, cell.sources, window)
    return PublishedCell(cell.area, cell.class_, amounts.value, covered, metric.rule)
