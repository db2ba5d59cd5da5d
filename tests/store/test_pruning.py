"""Old cells and runs go by age; what is still needed stays, and the account stays what it was."""

from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest

from eventlog.protocol import Acknowledged
from store.database import Connection, connect
from store.deliveries import DeliveryTotals, record_deliveries, totals
from store.moments import moment
from store.pruning import database_size, fold_deliveries, note_size, prune_cells
from tests.federation.city import HOUR, T0
from tests.federation.restoring import due_at, publish_hours_until, twelve_hours

pytestmark = pytest.mark.services

DAY = 24 * HOUR


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with connect(database_url) as opened:
        yield opened


def left(connection: Connection) -> list[int]:
    """The hours after T0 whose cells are there."""
    rows = connection.execute("SELECT (extract(epoch FROM window_start) * 1000)::bigint FROM cells ORDER BY 1")
    return [(start - T0) // HOUR for (start,) in rows]


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
    assert prune_cells(connection, due_at(0), 100) == 0
    assert prune_cells(connection, due_at(5), 1) == 1
    assert prune_cells(connection, due_at(5), 100) == 2
    assert left(connection) == [1, 2, *range(5, 12)]
    assert prune_cells(connection, due_at(99), 100) == 4
    assert left(connection) == [1, *range(8, 12)]


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
