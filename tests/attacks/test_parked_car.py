"""Finding 1: whoever sees all that is published of a street's traffic can't tell whether a car was parked there.

The car stands for 95 s before one camera that films and one that takes pictures. The streets are those of all hours,
from a night with nobody else to the rush hour, and every cell is open, which is the worst that a city can decide.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache

import pytest

from federation.publications.deciding import published_cell
from schemas.catalogue import Metric, metrics_of
from schemas.topics import REGIONS
from store.processing import Cell
from store.publications import LatticeCell, Window
from tests.attacks.streets import CAMERAS, T0, Street, cells_of, streets
from tests.soak import amount, soak

STREETS = amount(12, soak=200)

Shown = Mapping[tuple[str, int, str], int | None]
"""What is published of a street: (metric, window, class) -> the value, None for a suppressed cell."""

Decide = Callable[[Metric, Cell], int | None]
"""The value of a cell that may be shown, or None."""


def by_the_product(metric: Metric, cell: Cell) -> int | None:
    if not metric.published:
        return None
    window = Window(cell.window_start, cell.window_end)
    return published_cell(metric, window, LatticeCell(cell.area, cell.class_, CAMERAS), cell).value


def by_sightings(metric: Metric, cell: Cell) -> int | None:
    """The rule of before: eleven sightings at one camera, of one car or of eleven."""
    return cell.amounts.value if cell.amounts.largest >= 11 * metric.smallest_per_unit else None


@cache
def measured(count: int) -> Mapping[Street, Sequence[Cell]]:
    found = streets(count)
    cells = cells_of(found)
    return {street: cells[street.area] for street in found}


def shown(cells: Sequence[Cell], decide: Decide) -> Shown:
    metrics = {metric.name: metric for metric in metrics_of(REGIONS)}
    return {(cell.metric, cell.window_start, cell.class_): decide(metrics[cell.metric], cell) for cell in cells}


def auc(without: Sequence[float], with_car: Sequence[float]) -> float:
    """How often a street with the car has the greater number than one without it; half of the ties count."""
    greater = sum((b > a) + (b == a) / 2 for a in without for b in with_car) / (len(without) * len(with_car))
    return max(greater, 1 - greater)


def best_auc(published: Mapping[Street, Shown]) -> float:
    """The attacker: of every number that a street's figures give, the one that tells best."""
    places = {place for figures in published.values() for place in figures}
    numbers: list[Callable[[Shown], float]] = [
        lambda figures: sum(value is not None for value in figures.values()),
        lambda figures: sum(value or 0 for value in figures.values()),
        *(lambda figures, place=place: -1 if (value := figures.get(place)) is None else value for place in places),
        *(lambda figures, place=place: figures.get(place) is not None for place in places),
    ]
    return max(
        auc(*([number(of) for street, of in published.items() if street.parked == parked] for parked in (False, True)))
        for number in numbers
    )


@soak(minutes=1.5)
def test_all_that_is_published_of_traffic_does_not_tell_of_a_parked_car():
    published = {street: shown(cells, by_the_product) for street, cells in measured(STREETS).items()}
    found = best_auc(published)
    assert found <= 0.55
    busy = [of for street, of in published.items() if street.busy and not street.parked]
    released = sum(of["traffic.passes", T0, "one-line"] is not None for of in busy)
    assert len(busy) >= STREETS // 5
    assert released >= len(busy) / 2


def test_a_rule_that_counts_sightings_is_noticed():
    published = {street: shown(cells, by_sightings) for street, cells in measured(STREETS).items()}
    assert best_auc(published) > 0.6


@pytest.mark.parametrize("shift", [0, 1, 100])
def test_the_attacker_tells_what_can_be_told(shift):
    ranks = list(range(100))
    assert auc(ranks, [rank + shift for rank in ranks]) == pytest.approx({0: 0.5, 1: 0.51, 100: 1.0}[shift], abs=0.006)
