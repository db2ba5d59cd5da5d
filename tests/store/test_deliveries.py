from collections.abc import Iterator
from uuid import uuid4

import pytest

from eventlog.protocol import Acknowledged
from store.database import Connection, connect
from store.deliveries import DeliveryTotals, Refused, record_deliveries, refusals, refuse, totals

pytestmark = pytest.mark.services


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with connect(database_url) as opened:
        yield opened


def test_a_run_counts_once_however_often_it_is_recorded(connection: Connection) -> None:
    run = uuid4()
    other = [(("t", 1), Acknowledged(1, 7, 4, 4)), (("u", 0), Acknowledged(1, 1, 0, 0))]
    record_deliveries(connection, run, [(("t", 0), Acknowledged(2, 500, 0, 1)), *other])
    record_deliveries(connection, run, [(("t", 0), Acknowledged(3, 900, 0, 2))])
    record_deliveries(connection, run, [])
    assert totals(connection) == {"t": DeliveryTotals(4, 907), "u": DeliveryTotals(1, 1)}
    assert connection.execute("SELECT last_offset FROM deliveries WHERE partition = 0 AND topic = 't'").fetchone() == (
        2,
    )


def test_runs_add_up(connection: Connection) -> None:
    for _ in range(3):
        record_deliveries(connection, uuid4(), [(("t", 0), Acknowledged(2, 10, 0, 1))])
    assert totals(connection) == {"t": DeliveryTotals(6, 30)}


def test_a_refusal_is_kept_once_as_it_first_was(connection: Connection) -> None:
    refuse(
        connection, "file", [Refused(1, "missing", b"\x00\xff"), Refused(2, "missing", b""), Refused(3, "odd", b"z")]
    )
    refuse(connection, "file", [Refused(1, "odd", b"changed"), Refused(4, "odd", b"")])
    refuse(connection, "other", [Refused(1, "odd", b"")])
    assert refusals(connection, "file") == {"missing": 2, "odd": 2}
    query = "SELECT reason, original FROM source_dead_letters WHERE origin = 'file' AND position = 1"
    assert connection.execute(query).fetchone() == ("missing", b"\x00\xff")
