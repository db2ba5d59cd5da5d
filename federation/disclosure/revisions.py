"""Which cells of a published window may show what late readings have made of them (P6). Pure.

Two figures of one cell tell their difference: the net change of those who changed between them. So a cell shows a new
figure only if those who changed since *every* content of it that was ever released pass the rule among themselves.
Comparing with the newest released content alone is not enough: changes may cancel out.

Otherwise the cell keeps the figure and the coverage that it shows. So it looks the same whether nothing changed, the
rounded figure stayed the same, or too few have changed. A cell never changes between released and suppressed by late
readings: that would tell that a few of them took it over a threshold. If no cell changes, there is no revision.
"""

from collections.abc import Callable, Iterable, Mapping, Set

from federation.disclosure.standing import PassesRule
from store.corrections import CorrectedCell, Place

_AS_FIRST_REDUCED = frozenset((0,))


def revised(
    shown: Mapping[Place, int],
    corrected: Iterable[CorrectedCell],
    released: Mapping[Place, Set[int]],
    passes: PassesRule,
    figure: Callable[[CorrectedCell], int | None],
) -> list[CorrectedCell]:
    """The cells that show a new figure in the next revision of a window; without any there is none.

    `shown` are the figures of the newest revision, of the released cells alone. `released`: by cell, the steps whose
    contents were released so far; without an entry, step 0. `figure` is what a cell would show,
    rounded.
    """
    return [
        cell
        for cell in corrected
        if (cell.area, cell.class_) in shown
        and figure(cell) != shown[cell.area, cell.class_]
        and may_follow(cell, released.get((cell.area, cell.class_), _AS_FIRST_REDUCED), passes)
    ]


def may_follow(cell: CorrectedCell, released: Set[int], passes: PassesRule) -> bool:
    """Whether a cell may be released again, after its contents of these steps were."""
    if cell.incomplete or not passes(cell.class_, cell.amounts):
        return False
    return all(step in cell.changes and passes(cell.class_, cell.changes[step]) for step in released)
