"""Standing decisions in the database: kept as they were made, closed once, and read through an index."""

import pytest

from store.database import Connection, connect
from store.processing import Amounts, Cell
from store.publications import Window
from store.standing import (
    DecidedCell,
    Decision,
    NoDecision,
    close,
    kept_decisions,
    record,
    reduced_windows,
    registered_contributors,
    standing,
    store_measurement,
)
from tests.federation.city import HOUR, IMPORT, T0, TOPIC, add_cell, found_areas, open_topic, register

MONTH = Window(T0, T0 + 720 * HOUR)


TIMES = {"commercial": frozenset({8, 9}), "residential": frozenset(range(24))}


def hour(number: int) -> Window:
    return Window(T0 + number * HOUR, T0 + (number + 1) * HOUR)


def decision(period: Window, area: int, *, open_: bool = True) -> Decision:
    cells = tuple(DecidedCell(area, class_, open_, 99, 100, None) for class_ in ("commercial", "residential"))
    return Decision(IMPORT.name, T0, period, "measurement", period, 100, TIMES, cells)


@pytest.mark.services
def test_a_decision_is_kept_and_a_cell_that_closed_stays_closed_to_the_end_of_its_month(database_url: str) -> None:
    with connect(database_url) as connection:
        [area] = found_areas(connection, [1000])
        assert standing(connection, IMPORT.name, hour(0)) is None
        with pytest.raises(NoDecision, match=r"energy\.import"):
            close(connection, IMPORT.name, area, "commercial", hour(0))
        record(connection, decision(MONTH, area))
        record(connection, decision(MONTH, area, open_=False))  # whoever comes second, after a crash perhaps
        both = {(area, "commercial"), (area, "residential")}
        for window in (hour(5), hour(9), hour(5)):
            close(connection, IMPORT.name, area, "commercial", window)
        assert [len(_open(connection, hour(number))) for number in (0, 4, 5, 6, 719)] == [2, 2, 1, 1, 1]
        later = Window(hour(168).start, MONTH.end)
        record(connection, decision(later, area))
        assert _open(connection, hour(167)) == _open(connection, hour(168)) == both - {(area, "commercial")}
        assert standing(connection, IMPORT.name, hour(720)) is None
        [kept] = kept_decisions(connection, hour(200).start)
        assert kept.decision == decision(later, area)
        assert kept.closed == {(area, "commercial"): hour(5).start}
        assert kept.decided_by


@pytest.mark.services
def test_only_the_streams_own_windows_and_the_measurement_are_read_and_not_all_cells(database_url: str) -> None:
    with connect(database_url) as connection:
        [area] = found_areas(connection, [1000])
        open_topic(connection)
        open_topic(connection, "isfahan.energy.readings.history.old.v1")
        for number in range(3):
            add_cell(connection, number, area)
        add_cell(connection, 5, area, topic="isfahan.energy.readings.history.old.v1")
        measured = Cell(
            IMPORT.name, hour(-24).start, hour(-24).end, area, "residential", Amounts(7, 1, 1, 7, 7, 0, 0, 0), False
        )
        store_measurement(connection, [measured])
        store_measurement(connection, [measured])  # a second start of the same simulator
        found = list(reduced_windows(connection, IMPORT.name, [TOPIC], T0 - 30 * 24 * HOUR, T0 + 2 * HOUR))
        assert [window for window, _ in found] == [hour(-24), hour(0), hour(1)]
        assert found[0][1] == [measured]
        connection.execute("ANALYZE cells")
        connection.execute("SET enable_seqscan = off")  # the table is small: what matters is that there is an index
        plan = connection.execute(
            "EXPLAIN SELECT value FROM cells WHERE metric = 'm' AND window_start >= now() AND window_start < now()"
            " AND topic = ANY('{a,b}')"
        ).fetchall()
        assert "Seq Scan" not in str(plan)
        assert "window_start" in str(plan)


@pytest.mark.services
def test_contributors_are_counted_by_area_and_class_at_a_time(database_url: str) -> None:
    with connect(database_url) as connection:
        first, second = found_areas(connection, [1000, 1000])
        register(connection, 0, "residential", 3)
        register(connection, 0, "residential", 4, to=T0)
        register(connection, 1, "commercial", 2, since=T0 + HOUR)
        assert registered_contributors(connection, IMPORT.name, T0) == {(first, "residential"): 3}
        after = registered_contributors(connection, IMPORT.name, T0 + HOUR)
        assert after == {(first, "residential"): 3, (second, "commercial"): 2}


def _open(connection: Connection, window: Window) -> frozenset[tuple[int, str]]:
    found = standing(connection, IMPORT.name, window)
    assert found is not None
    return found.open
