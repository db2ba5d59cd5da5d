"""Corrections: what late readings have made of a published window leaves as its next revision, if P6 allows (R13).

`sistercity correct` stores what a window has become; here is decided which of its cells show it. A window whose values
have not left waits until they have. One that was withdrawn, or whose publication the city has lost, is not corrected.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from federation.disclosure.revisions import revised
from federation.disclosure.rules import passes, rule_in_force
from federation.publications.deciding import published_cell
from federation.publications.slots import REVISIONS_MS, slot
from schemas.catalogue import Metric
from store.corrections import CorrectedCell, Place, Proposal
from store.processing import Cell
from store.publication_log import CellColumns
from store.publications import Header, Lattice, PublishedCell, Window

_NEVER_AGAIN = ("withdrawal", "lost")


@dataclass(frozen=True, slots=True)
class NextRevision:
    """The next revision of a window: when it was due, its cells, and the steps of those whose figures are new."""

    revision: int
    due_at: int
    cells: Sequence[PublishedCell]
    released: Sequence[tuple[Place, int]]


def next_revision(
    metric: Metric, window: Window, lattice: Lattice, entries: Sequence[tuple[Header, CellColumns]], found: Proposal
) -> NextRevision | Literal["wait", "none"]:
    """What a proposal makes of a window: its next revision, or none; or it has to wait for the window's values. Pure.

    `entries` are all of the window that were published, in order.
    """
    if not entries:
        return "wait"
    if any(header.kind in _NEVER_AGAIN for header, _ in entries):
        return "none"
    newest, cells = entries[-1]
    if "incomplete" in cells.status:
        return "wait"
    shown = _published(cells)
    steps = {(cell.area, cell.class_): step for step, cell in found.cells}
    new = _as_published(metric, window, lattice, [cell for _, cell in found.cells])
    rule = rule_in_force(metric)
    changed = revised(
        {(cell.area, cell.class_): cell.value for cell in shown if cell.value is not None},
        [cell for _, cell in found.cells if (cell.area, cell.class_) in new],
        found.released,
        lambda class_, amounts: passes(rule, class_, amounts),
        lambda cell: new[cell.area, cell.class_].value,
    )
    if not changed:
        return "none"
    places = {(cell.area, cell.class_) for cell in changed}
    return NextRevision(
        newest.revision + 1,
        slot(metric, window) + REVISIONS_MS[max(steps[place] for place in places) - 1],
        [new[place] if (place := (cell.area, cell.class_)) in places else cell for cell in shown],
        [(place, steps[place]) for place in sorted(places)],
    )


def _as_published(
    metric: Metric, window: Window, lattice: Lattice, corrected: Sequence[CorrectedCell]
) -> Mapping[Place, PublishedCell]:
    """The corrected cells that the lattice has, as they would leave."""
    of_lattice = {(cell.area, cell.class_): cell for cell in lattice.cells}
    found = {}
    for cell in corrected:
        place = (cell.area, cell.class_)
        if place in of_lattice:
            reduced = Cell(metric.name, window.start, window.end, *place, cell.amounts, cell.incomplete)
            found[place] = published_cell(metric, window, of_lattice[place], reduced)
    return found


def _published(cells: CellColumns) -> list[PublishedCell]:
    return [
        PublishedCell(area, class_, value, coverage, rule)
        for area, class_, value, coverage, rule in zip(
            cells.area, cells.class_, cells.value, cells.coverage, cells.rule, strict=True
        )
    ]
