from collections.abc import Iterator

import pytest

from store.arrivals import FinishedArrival, is_done, last_arrivals, prune_arrivals, record_arrivals
from store.database import Connection, connect

pytestmark = pytest.mark.services


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with connect(database_url) as opened:
        yield opened


def test_old_arrivals_are_forgotten_except_for_what_is_still_there_and_the_latest(connection: Connection) -> None:
    names = ["old", "kept", "older", "latest"]
    arrivals = [FinishedArrival(bytes([n]) * 32, name, 1_000 * (n + 1)) for n, name in enumerate(names)]
    for source in ("drop", "other"):
        record_arrivals(connection, source, arrivals)
    connection.execute("UPDATE arrivals SET done_at = now() - interval '401 days' WHERE name <> 'older'")
    assert prune_arrivals(connection, "drop", ["kept"], 400, 10) == 1
    assert [is_done(connection, "drop", arrival.checksum) for arrival in arrivals] == [False, True, True, True]
    assert all(is_done(connection, "other", arrival.checksum) for arrival in arrivals)
    connection.execute("UPDATE arrivals SET done_at = now() - interval '401 days'")
    assert prune_arrivals(connection, "other", [], 400, 2) == 2
    assert prune_arrivals(connection, "other", [], 400, 2) == 1
    assert last_arrivals(connection) == {"drop": 4_000, "other": 4_000}
