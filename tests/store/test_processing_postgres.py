"""What only the store in PostgreSQL does."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from store.database import connect
from store.feeders import SlowestFeeder, slowest_feeders
from store.processing import Cell, Claim, FeederTime, Fenced, Partition, Position, StoreUnavailable
from store.processing_postgres import PostgresStore
from tests.store.test_processing import HERE, THERE, TOPIC, cell, commit
from tests.waiting import until

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


def test_a_commit_of_all_partitions_takes_as_many_statements_as_that_of_one(database_url, tmp_path):
    store = PostgresStore(database_url)
    store.register_topic(TOPIC, "cluster", "topic-id", 32)
    partitions = [(TOPIC, number) for number in range(32)]
    store.claim(partitions)

    def statements(some: list[Partition], expected: int) -> int:
        trace = tmp_path / f"{len(some)}-{expected}"
        steps = [
            commit(at, 1, expected, expected + 5, cells=[cell(3_600_000 * (at[1] + 100 * expected))]) for at in some
        ]
        with trace.open("w") as file:
            store._open().pgconn.trace(file.fileno())
            store.commit(steps)
            store._open().pgconn.untrace()
        return len(re.findall(r"\t(?:Execute|Query)\t", trace.read_text()))

    assert statements(partitions[:1], 0) == statements(partitions[1:], 0) > 0
    assert {at: epoch_and_position[1].next_offset for at, epoch_and_position in store.stored(partitions).items()} == (
        dict.fromkeys(partitions, 5)
    )
    store.close()


def test_a_commit_that_waits_for_a_new_owner_is_refused(database_url):
    """The new owner's epoch is not committed yet when the commit begins: it must count all the same."""
    old, new = PostgresStore(database_url), connect(database_url)
    old.register_topic(TOPIC, "cluster", "topic-id", 2)
    old.claim([HERE, THERE])
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    with ThreadPoolExecutor(1) as beside, connect(database_url) as watching:
        with new.transaction():
            new.execute("UPDATE stream_offsets SET epoch = epoch + 1 WHERE topic = %s AND partition = %s", THERE)
            done = beside.submit(old.commit, [commit(HERE, 1, 0, 5), commit(THERE, 1, 0, 5)])
            until(lambda: watching.execute(waiting).fetchone()[0], "the commit waits for the row")
        with pytest.raises(Fenced) as fenced:
            done.result()
    assert fenced.value.partitions == (THERE,)
    assert old.stored([HERE]) == {HERE: (1, Position())}
    old.close()
    new.close()
