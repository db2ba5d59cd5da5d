"""Old cells and runs go by age; what is still needed stays, and the account stays what it was."""

from collections.abc import Iterator
from functools import partial
from uuid import UUID, uuid4

import pytest

from eventlog.protocol import Acknowledged
from federation.publications.publisher import publish_due
from federation.publications.schedule import Since, Stream
from schemas.topics import history
from store.database import Connection, connect
from store.deliveries import DeliveryTotals, record_deliveries, totals
from store.moments import moment
from store.pruning import database_size, fold_deliveries, note_size, prune_cells, prune_unpublished_cells
from tests.federation.city import HOUR, IMPORT, T0, TOPIC, add_cell, open_topic
from tests.federation.restoring import at_work, due_at, publish_hours_until, twelve_hours

pytestmark = pytest.mark.services

DAY = 24 * HOUR
IMPORTED = history("isfahan", "energy.readings", "of-before")


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with connect(database_url) as opened:
        yield opened


def left(connection: Connection) -> list[int]:
    """The hours after T0 whose cells are there."""
    rows = connection.execute("SELECT (extract(epoch FROM window_start) * 1000)::bigint FROM cells ORDER BY 1")
    return [(start - T0) // HOUR for (start,) in rows]


def correct(connection: Connection, hour: int, outcome: str) -> None:
    """An hour to which readings came late has been read again; the publisher has not decided on it."""
    start, end = moment(T0 + hour * HOUR), moment(T0 + (hour + 1) * HOUR)
    connection.execute(
        "INSERT INTO corrections (topic, partition, metric, window_start, step, window_end, bound, outcome)"
        " VALUES (%s, 0, %s, %s, 1, %s, 1, %s)",
        (TOPIC, IMPORT.name, start, end, outcome),
    )


def test_cells_go_when_their_publications_left_long_ago_and_those_that_are_needed_stay(
    connection, database_url, tmp_path
) -> None:
    twelve_hours(database_url)
    publish_hours_until(database_url, tmp_path / "ledger.jsonl", 7)
    connection.execute("UPDATE publications SET left_at = published_at")
    connection.execute("UPDATE stream_offsets SET resume_offset = 2, next_offset = 2, messages = 2, decoded = 2")
    connection.execute("UPDATE cells SET last_offset = 2 WHERE window_start = %s", (moment(T0 + HOUR),))
    connection.execute(
        "UPDATE publications SET left_at = %s WHERE window_start = %s", (moment(due_at(9)), moment(T0 + 2 * HOUR))
    )
    correct(connection, 3, "unchanged")
    correct(connection, 7, "corrected")
    assert prune_cells(connection, due_at(0), 100) == 0
    assert prune_cells(connection, due_at(5), 1) == 1
    assert prune_cells(connection, due_at(5), 100) == 2
    assert left(connection) == [1, 2, *range(5, 12)]
    assert prune_cells(connection, due_at(99), 100) == 3
    assert left(connection) == [1, *range(7, 12)]


def test_cells_of_windows_that_will_not_be_published_go_by_age_and_those_that_still_may_be_stay(
    connection, database_url, tmp_path
) -> None:
    """Published are hours 4 to 7: those before began before publishing did, those after are still to come."""
    twelve_hours(database_url)
    with at_work(database_url, tmp_path / "ledger.jsonl", due_at(7)) as appender:
        publish_due(appender, [Stream(TOPIC, [IMPORT])], "UTC", due_at(7), Since(T0 + 4 * HOUR))
    connection.execute("UPDATE stream_offsets SET resume_offset = 2, next_offset = 2, messages = 2, decoded = 2")
    connection.execute("UPDATE cells SET last_offset = 2 WHERE window_start = %s", (moment(T0),))
    correct(connection, 1, "corrected")
    open_topic(connection, IMPORTED)
    [area] = connection.execute("SELECT DISTINCT area FROM cells").fetchone()
    add_cell(connection, -5, area, value=1, topic=IMPORTED)
    pruned = partial(prune_unpublished_cells, connection, [TOPIC], [])
    assert pruned(T0 + HOUR, 100) == 0
    assert pruned(T0 + 3 * HOUR, 1) == 1
    assert pruned(T0 + 3 * HOUR, 100) == 1
    assert left(connection) == [-5, 0, *range(3, 12)]
    assert pruned(T0 + 999 * HOUR, 100) == 1
    assert left(connection) == [-5, 0, *range(4, 12)]
    connection.execute("UPDATE cells SET metric = 'inside' WHERE window_start >= %s", (moment(T0 + 10 * HOUR),))
    assert prune_unpublished_cells(connection, [TOPIC], ["inside"], T0 + 11 * HOUR, 100) == 1
    assert left(connection) == [-5, 0, *range(4, 10), 11]


def test_of_old_runs_the_sum_stays(connection) -> None:
    for partition in (0, 0, 1):
        record_deliveries(connection, uuid4(), [(("t", partition), Acknowledged(2, 10, 3, 4))])
    connection.execute("UPDATE deliveries SET updated_at = %s", (moment(T0),))
    record_deliveries(connection, uuid4(), [(("t", 0), Acknowledged(1, 5, 9, 9))])
    for _ in range(2):
        fold_deliveries(connection, T0 + 1)
        assert totals(connection) == {"t": DeliveryTotals(7, 35)}
    rows = connection.execute(
        "SELECT run, partition, messages FROM deliveries WHERE run = %s ORDER BY 2", (UUID(int=0),)
    )
    assert rows.fetchall() == [(UUID(int=0), 0, 4), (UUID(int=0), 1, 2)]


def test_the_size_is_compared_with_that_of_a_day_of_the_last_week(connection) -> None:
    assert database_size(connection, T0).earlier_at is None
    for day in range(40):
        note_size(connection, T0 + day * DAY)
    found = database_size(connection, T0 + 40 * DAY)
    assert (found.earlier_at, found.earlier_bytes) == (T0 + 33 * DAY, pytest.approx(found.bytes, rel=0.1))
    assert connection.execute("SELECT count(*) FROM database_sizes").fetchone() == (31,)
