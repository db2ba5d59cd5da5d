"""Old dead letters are removed a part at a time, and at once again while there are more."""

import pytest

from federation.access.pruning import AuditPruning
from federation.publications.publisher import publish_due
from federation.publications.schedule import Since, Stream
from node.housekeeping import PRUNE_AT_ONCE, Housekeeping
from node.publisher_housekeeping import PublisherHousekeeping
from store.database import connect
from store.pruning import database_size
from tests.federation.city import HOUR, IMPORT, T0, TOPIC
from tests.federation.restoring import CITY, at_work, due_at, twelve_hours


class Letters:
    """Counts how often it is asked to remove some."""

    def __init__(self, old: int) -> None:
        self.old = old
        self.asked = 0

    def prune(self, days: int, most: int) -> int:
        self.asked += 1
        removed = min(self.old, most)
        self.old -= removed
        return removed


def test_parts_follow_each_other_until_none_is_left_and_then_once_a_minute():
    letters, now = Letters(PRUNE_AT_ONCE + 1), [0.0]
    tidy = Housekeeping(letters.prune, 30, clock=lambda: now[0])
    for _ in range(5):
        tidy()
    assert (letters.old, letters.asked) == (0, 2)
    now[0] = 61.0
    tidy()
    assert letters.asked == 3


def test_nothing_is_removed_with_0_days():
    letters = Letters(5)
    Housekeeping(letters.prune, 0)()
    assert (letters.old, letters.asked) == (5, 0)


@pytest.mark.services
def test_the_publisher_removes_old_cells_once_an_hour_and_notes_the_size(database_url, tmp_path):
    """Those of six hours that were published, and of two before, which never will be; four hours are to come."""

    def cells() -> int:
        return connection.execute("SELECT count(*) FROM cells").fetchone()[0]

    twelve_hours(database_url)
    with at_work(database_url, tmp_path / "ledger.jsonl", due_at(7)) as appender:
        publish_due(appender, [Stream(TOPIC, [IMPORT])], "UTC", due_at(7), Since(T0 + 2 * HOUR))
    late = due_at(7) + 101 * 24 * HOUR
    with connect(database_url) as connection:
        connection.execute("UPDATE stream_offsets SET resume_offset = 2, next_offset = 2, messages = 2, decoded = 2")
        PublisherHousekeeping(AuditPruning(0), 0, CITY)(connection, late)
        assert cells() == 12
        tidy = PublisherHousekeeping(AuditPruning(0), 100, CITY)
        tidy(connection, late - 2 * 24 * HOUR)
        assert cells() == 12
        tidy(connection, late)
        assert cells() == 4
        assert database_size(connection, late + 24 * HOUR).earlier_at == late - 2 * 24 * HOUR
