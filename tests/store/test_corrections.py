"""What late readings make of windows, as PostgreSQL keeps it between the processor and the publisher (R13)."""

from dataclasses import replace

import psycopg
import pytest

from store.corrections import (
    Content,
    CorrectedCell,
    Correction,
    LateWindow,
    known_contents,
    late_windows,
    note_decided,
    note_release,
    proposal,
    prune_corrections,
    record_corrections,
    undecided,
)
from store.database import connect
from store.processing import Account, Amounts, Cell, LateReadings, PartitionCommit, Position, Step
from store.processing_postgres import PostgresStore
from store.publications import Window
from tests.publishing import publish

pytestmark = pytest.mark.services

HOUR = 3_600_000
TOPIC = "isfahan.energy.readings.v1"
HERE = (TOPIC, 1)
IMPORT = "energy.import"
WINDOW = Window(7 * HOUR, 8 * HOUR)
HOME, SHOP = (1, "residential"), (1, "commercial")


def amounts(value: int, first: int = 2, last: int = 9) -> Amounts:
    return Amounts(value, 3, 3, value, value, HOUR, first, last)


def late(first: int, last: int) -> LateReadings:
    return LateReadings(IMPORT, WINDOW.start, WINDOW.end, 10**13, first, last, 1)


@pytest.fixture
def connection(database_url):
    """A database in which one window is reduced, closed at offset 10, and readings for it came late at 12 and 15."""
    store = PostgresStore(database_url)
    store.register_topic(TOPIC, "cluster", "topic-id", 2)
    store.claim([HERE])
    cells = [Cell(IMPORT, WINDOW.start, WINDOW.end, *place, amounts(100), incomplete=False) for place in (HOME, SHOP)]
    move(store, 0, 16, cells=cells, late=[late(12, 15)])
    store.close()
    with connect(database_url) as opened:
        yield opened


def move(store: PostgresStore, expected: int, following: int, **content) -> None:
    step = Step(Position(following, following, 0, account=Account(following, following)), **{"cells": (), **content},
                dead_letters=())  # fmt: skip
    store.commit([PartitionCommit(HERE, 1, expected, step)])


def corrected(step: int, bound: int, *changed: tuple[tuple[int, str], int], since: tuple[int, ...] = (0,)):
    cells = [
        CorrectedCell(*place, amounts(value), False, {before: amounts(before + 1) for before in since})
        for place, value in changed
    ]
    return Correction(HERE, IMPORT, WINDOW, step, bound, "corrected", cells)


def more_late(connection, last: int) -> None:
    connection.execute("UPDATE late_readings SET last_offset = %s", (last,))
    connection.execute("UPDATE stream_offsets SET next_offset = %s WHERE partition = 1", (last + 1,))


def test_a_window_is_due_while_it_has_late_readings_above_its_last_bound(connection):
    expected = LateWindow(HERE, IMPORT, WINDOW, first_late=12, bound=16, step=0)
    assert late_windows(connection, TOPIC, [IMPORT]) == [expected]
    assert late_windows(connection, TOPIC, ["energy.solar"]) == []
    record_corrections(connection, [corrected(1, 16, (HOME, 120))])
    assert late_windows(connection, TOPIC, [IMPORT]) == []
    more_late(connection, 20)
    assert late_windows(connection, TOPIC, [IMPORT]) == [replace(expected, bound=21, step=1)]


def test_a_window_that_could_not_be_read_again_is_not_tried_again(connection):
    record_corrections(connection, [replace(corrected(1, 16), outcome="gone")])
    more_late(connection, 20)
    assert late_windows(connection, TOPIC, [IMPORT]) == []


def test_nothing_is_read_above_where_processing_has_come(connection):
    connection.execute("UPDATE stream_offsets SET next_offset = 14, resume_offset = 14 WHERE partition = 1")
    assert [found.bound for found in late_windows(connection, TOPIC, [IMPORT])] == [14]


def test_each_content_is_the_one_before_with_the_cells_that_changed(connection):
    record_corrections(connection, [corrected(1, 16, (HOME, 120))])
    more_late(connection, 20)
    record_corrections(connection, [corrected(2, 21, (SHOP, 130), since=(0, 1))])
    more_late(connection, 30)
    record_corrections(connection, [replace(corrected(3, 31), outcome="unchanged")])
    more_late(connection, 40)
    [found] = late_windows(connection, TOPIC, [IMPORT])
    known = known_contents(connection, found)
    assert (known.first_offset, known.incomplete, found.step) == (2, False, 3)
    assert known.contents == [
        Content(0, 12, {HOME: amounts(100), SHOP: amounts(100)}),
        Content(1, 16, {HOME: amounts(120), SHOP: amounts(100)}),
        Content(2, 21, {HOME: amounts(120), SHOP: amounts(130)}),
    ]


def test_the_publisher_decides_once_on_the_newest_content_of_each_cell(connection):
    record_corrections(connection, [corrected(1, 16, (HOME, 120), (SHOP, 105))])
    record_corrections(connection, [corrected(2, 21, (SHOP, 130), since=(0, 1))])
    assert undecided(connection, TOPIC, IMPORT) == []  # it was not published, or a skip covers it
    publish(connection, IMPORT, WINDOW, TOPIC, [])
    assert undecided(connection, TOPIC, IMPORT) == [WINDOW]
    found = proposal(connection, TOPIC, IMPORT, WINDOW)
    assert found.steps == ((1, 1), (1, 2))
    assert {(cell.area, cell.class_): (step, cell.amounts.value) for step, cell in found.cells} == {
        SHOP: (2, 130),
        HOME: (1, 120),
    }
    assert {(cell.area, cell.class_): set(cell.changes) for _, cell in found.cells} == {SHOP: {0, 1}, HOME: {0}}
    assert found.released == {}
    note_release(connection, IMPORT, WINDOW, [(SHOP, 2)])
    assert proposal(connection, TOPIC, IMPORT, WINDOW) == found  # as after a crash before it left
    note_release(connection, IMPORT, WINDOW, [(SHOP, 2)])
    note_decided(connection, TOPIC, IMPORT, WINDOW, found)
    assert undecided(connection, TOPIC, IMPORT) == []
    record_corrections(connection, [corrected(3, 31, (SHOP, 140), (HOME, 121), since=(0, 1, 2))])
    again = proposal(connection, TOPIC, IMPORT, WINDOW)
    assert again.released == {SHOP: {0, 2}}  # what was refused at step 1 was never released
    assert [step for step, _ in again.cells] == [3, 3]


def test_a_step_is_made_once(connection):
    record_corrections(connection, [corrected(1, 16, (HOME, 120))])
    with pytest.raises(psycopg.errors.UniqueViolation):
        record_corrections(connection, [corrected(1, 16, (HOME, 121))])


def test_what_can_no_longer_be_corrected_is_dropped(connection):
    record_corrections(connection, [corrected(1, 16, (HOME, 120))])
    note_release(connection, IMPORT, WINDOW, [(HOME, 1)])
    assert prune_corrections(connection, IMPORT, WINDOW.end - 1) == 0
    assert prune_corrections(connection, IMPORT, WINDOW.end) == 1
    for table in ("corrections", "corrected_cells", "corrected_changes", "released_steps"):
        assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
