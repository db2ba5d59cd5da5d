"""Finding 8: what a figure tells by being exact. Which odd meter reported, how many contributors did, a second flow.

Each attack is run against a broken twin as well: what release 0.1.0 published.
"""

from random import Random

import pytest

from federation.publications.deciding import published_cell
from schemas.catalogue import catalogue, leaving, metrics_of
from store.processing import Amounts, Cell
from store.publications import LatticeCell, PublishedCell, Window

HOUR = 3_600_000
WH = 3_600_000
IMPORT = catalogue()["energy.import"]
SEEDS = range(200)
METERS = 120


def published(values: list[int], covered_ms: int = METERS * HOUR, sources: int = METERS) -> PublishedCell:
    """The cell of residential customers who drew these amounts in an hour."""
    amounts = Amounts(sum(values), len(values), len(values), max(values), sum(values), covered_ms, 0, 0)
    cell = Cell(IMPORT.name, 0, HOUR, 1, "residential", amounts, incomplete=False)
    return published_cell(IMPORT, Window(0, HOUR), LatticeCell(1, "residential", sources), cell)


def drawn(seed: int, meters: int) -> list[int]:
    """Meters that count in whole watt-hours, as most do."""
    return [Random(seed * 1000 + meter).randrange(20, 900) * WH for meter in range(meters)]


def odd_meter_shows(value: int) -> bool:
    """All meters but one count in whole watt-hours: what is left over is that one's."""
    return value % WH != 0


def test_a_value_does_not_tell_whether_the_one_odd_meter_reported():
    """With and without it, what is published is a multiple of one and the same step."""
    for seed in SEEDS:
        without = drawn(seed, METERS)
        for values in (without, [*without[:-1], without[-1] + WH // 7]):
            value = published(values).value
            assert value is not None and not odd_meter_shows(value)
            assert value % IMPORT.base == 0


def test_the_broken_twin_shows_the_odd_meter():
    without = drawn(1, METERS)
    assert odd_meter_shows(sum([*without[:-1], without[-1] + WH // 7]))
    assert not odd_meter_shows(sum(without))


@pytest.mark.parametrize("reported", range(108, METERS + 1))
def test_coverage_does_not_tell_how_many_of_a_few_meters_reported(reported):
    cell = published(drawn(reported, reported), covered_ms=reported * HOUR)
    assert cell.coverage == "high"


def test_the_broken_twin_tells_each_count_of_a_hundred_meters():
    percents = {reported: 100 * reported // 100 for reported in range(51)}
    assert len(set(percents.values())) == len(percents)
    bands = {published(drawn(1, METERS), covered_ms=reported * HOUR).coverage for reported in range(METERS + 1)}
    assert bands == {"high", "medium", "low"}


def test_no_second_metric_of_a_flow_can_be_subtracted():
    """A round's weight less what its premises were weighed at is that of the premises that were suppressed."""
    of_waste = metrics_of("waste.collections")
    both = [metric.name for metric in of_waste]
    assert [metric.name for metric in leaving(of_waste, both)] == ["waste.collected"]
    assert [metric.name for metric in of_waste if metric.published] == both  # the broken twin: each by itself


def test_a_figure_outside_has_no_more_than_ten_thousand_steps():
    for seed in SEEDS:
        value = published([1 + amount * seed for amount in drawn(seed, METERS)]).value
        assert value is not None
        steps = value // IMPORT.base
        assert len(str(steps).rstrip("0")) <= 4
