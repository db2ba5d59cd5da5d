"""What only the store in PostgreSQL does."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from store.database import connect
from store.feeders import SlowestFeeder, slowest_feeders
from store.processing import Cell, Claim, FeederTime, Position, StoreUnavailable
from store.processing_postgres import PostgresStore
from tests.store.test_processing import HERE, THERE, TOPIC, cell, commit

pytestmark = pytest.mark.services


def test_an_owner_that_froze_between_copy_and_commit_does_not_keep_its_partition(database_url):
    """Its row is locked, and PostgreSQL ends no session for waiting in the middle of a COPY."""
    frozen, other = PostgresStore(database_url), PostgresStore(database_url)
    frozen.register_topic(TOPIC, "cluster", "topic-id", 2)
    frozen.claim([HERE])
    copying, woken = Event(), Event()

    def cells() -> Iterator[Cell]:
        copying.set()
        assert woken.wait(60)
        yield cell(0)

    with ThreadPoolExecutor(1) as beside:
        try:
            done = beside.submit(frozen.commit, [commit(HERE, 1, 0, 5, cells=cells())])
            assert copying.wait(60)
            assert other.claim([HERE, THERE]) == {HERE: Claim(2, Position()), THERE: Claim(1, Position())}
        finally:
            woken.set()
        with pytest.raises(StoreUnavailable):
            done.result()
    assert other.stored([HERE]) == {HERE: (2, Position())}
    frozen.close()
    other.close()


def test_the_operator_sees_which_feeder_is_waited_for(database_url):
    store = PostgresStore(database_url)
    store.register_topic(TOPIC, "cluster", "topic-id", 2)
    store.claim([HERE, THERE])
    moved = [
        commit(HERE, 1, 0, 5, feeders=(FeederTime("fast", 90, 1), FeederTime("slow", 50, 1))),
        commit(THERE, 1, 0, 5, feeders=(FeederTime("", 60, 1),)),
    ]
    store.commit(moved)
    with connect(database_url) as connection:
        assert slowest_feeders(connection) == {TOPIC: SlowestFeeder(0, "slow", 50, 90)}
    store.close()
