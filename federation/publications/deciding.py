"""What the cells of a window show: released or suppressed, or incomplete, all of them. Pure."""

from collections.abc import Sequence, Set

from federation.disclosure.precision import coverage_band, rounded
from federation.disclosure.rules import passes, rule_in_force
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


def published_cell(metric: Metric, window: Window, cell: LatticeCell, reduced: Cell | None) -> PublishedCell:
    """One cell of the lattice under the metric's rule alone. Raises `UnknownRule`."""
    if reduced is None:
        return PublishedCell(cell.area, cell.class_, None, None, metric.rule)
    amounts = reduced.amounts
    if not passes(rule_in_force(metric), cell.class_, amounts):
        return PublishedCell(cell.area, cell.class_, None, None, metric.rule)
    covered = coverage_band(amounts.covered_ms, cell.sources, window)
    return PublishedCell(cell.area, cell.class_, rounded(amounts.value, metric.base), covered, metric.rule)
