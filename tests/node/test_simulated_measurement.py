"""The measurement of simulated sources, and the decisions that are made from it and kept."""

from functools import partial

import pytest

from federation.disclosure import rules
from federation.disclosure.standing import times_of
from federation.publications.standing import standing_for
from ingest.cities import load_city
from ingest.register import stored_register
from ingest.register_file import load_register
from ingest.simulated.fleet import Fleet
from node.commands.ingest.simulated_measurement import measure_simulated
from schemas.catalogue import Metric, catalogue
from store.database import Connection, connect
from store.moments import moment
from store.publications import Window, lattice
from store.standing import Standing, kept_decisions

CITY = load_city("isfahan")
HOUR = 3_600_000
DAY = 24 * HOUR
START = 1_749_717_000_000
"""12 June 2025, 12:00 in Isfahan."""

IMPORT, SOLAR = catalogue()["energy.import"], catalogue()["energy.solar"]


def standing_at(connection: Connection, metric: Metric, start: int) -> Standing:
    window = Window(start, start + HOUR)
    cells = lattice(connection, metric.name, metric.classes, window)
    passes = partial(rules.passes, rules.rule_in_force(metric))
    return standing_for(connection, metric, window, cells, topics=[], passes=passes, zone=CITY.zone)


@pytest.mark.services
def test_seven_measured_days_open_a_simulated_city_and_the_decision_is_kept(database_url: str) -> None:
    fleet = Fleet(CITY, 1500, seed=1)
    with connect(database_url) as connection:
        load_register(connection, CITY, fleet.register(), lambda: START, fleet.people)
        first = standing_at(connection, IMPORT, START - 9 * DAY)
        assert first.basis == "register"
        assert {class_ for _, class_ in first.open} == {"residential"}
        measure_simulated(connection, fleet, stored_register(connection, lambda: START), START, days=8)
        assert standing_at(connection, IMPORT, START) == first  # until a local day begins
        begins = START + 12 * HOUR
        found = standing_at(connection, IMPORT, begins)
        assert (found.basis, found.times) == ("measurement", dict.fromkeys(IMPORT.classes, times_of(IMPORT)))
        cells = lattice(connection, IMPORT.name, IMPORT.classes, Window(begins, begins + HOUR)).cells
        assert found.open == {(cell.area, cell.class_) for cell in cells}
        assert standing_at(connection, SOLAR, begins).basis == "measurement"
        assert [kept.decision.windows for kept in kept_decisions(connection, begins)] == [191, 191]

        connection.execute("DELETE FROM measured_cells")  # whatever is known later decides nothing anew
        assert standing_at(connection, IMPORT, begins) == standing_at(connection, IMPORT, begins + 48 * HOUR) == found
        assert standing_at(connection, IMPORT, START) == first


@pytest.mark.services
def test_the_measured_cells_are_the_sums_of_what_the_sources_read(database_url: str) -> None:
    fleet = Fleet(CITY, 500, seed=1, strays=0)
    with connect(database_url) as connection:
        load_register(connection, CITY, fleet.register(), lambda: START, fleet.people)
        measure_simulated(connection, fleet, stored_register(connection, lambda: START), START, days=1)
        hour = START - 5 * HOUR
        row = connection.execute(
            "SELECT sum(value), sum(readings) FROM measured_cells WHERE metric = %s AND window_start = %s",
            (IMPORT.name, moment(hour)),
        ).fetchone()
        assert row == (round(fleet.values(fleet.imports, hour).sum()), 500)
