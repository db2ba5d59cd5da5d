"""The store does not answer for a while: partitions and what was read of them are kept, and nothing more is read.

With the log and the store in memory; tests/system/test_chaos.py does the same to processes.
"""

from threading import Event

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventlog.memory import MemoryLog
from eventlog.protocol import TopicPartition
from processors.plan import Plan
from processors.reading_fold import ReadingFoldFactory
from processors.runner import Runner
from processors.stopping import Stopped
from store.processing import Account, StoreUnavailable
from store.processing_memory import MemoryStore
from tests.processors.stores import AwayStore, FailingStore
from tests.processors.test_edges import FIRST, SECOND, append_readings, log_of_readings
from tests.processors.test_runner import HERE, MESSAGES, METRICS, TOPIC, ZONE, Clock, log_of, process
from tests.soak import examples


def runner_on(log, store, **plan) -> Runner:
    options = {"commit_s": 0.0, "until_caught_up": True, "backoff_s": (0.0,), "at_once": 2, **plan}
    return Runner(log, store, ReadingFoldFactory({TOPIC: METRICS}, ZONE), Plan("group", **options))


def epoch(store: MemoryStore, partition: TopicPartition = HERE) -> int:
    return store.stored([partition])[partition][0]


@examples(12, soak=200)
@given(
    st.lists(MESSAGES, min_size=1, max_size=60),
    st.lists(st.sampled_from([None, "before", "after"]), max_size=6),
)
def test_a_commit_that_fails_or_is_in_doubt_takes_no_partition_over_again(entries, failures):
    log, undisturbed, disturbed = log_of(entries), MemoryStore(), FailingStore(failures)
    process(log, undisturbed, at_once=7)
    process(log, disturbed, at_once=7)
    assert epoch(disturbed) == 1
    assert disturbed.cells == undisturbed.cells
    assert disturbed.dead_letters == undisturbed.dead_letters
    assert disturbed.position(HERE) == undisturbed.position(HERE)


def test_while_the_store_is_away_no_more_is_read_however_much_arrives():
    clock = Clock()
    log = log_of_readings(10, clock=clock)
    hours = iter(range(10, 100))

    def arrive() -> int:
        append_readings(log, clock, [next(hours)])
        return runner._owned[FIRST].fold.next_offset

    store, alone = AwayStore(2, attempts=20, meanwhile=arrive), MemoryStore()
    runner = runner_on(log, store)
    runner.run(Event())
    assert store.seen == [4] * 20
    assert epoch(store) == 1
    process(log, alone)
    assert store.cells == alone.cells
    assert store.position(FIRST) == alone.position(FIRST)
    assert store.position(FIRST).next_offset == 30


def test_what_the_group_assigns_while_the_store_is_away_is_claimed_when_it_is_back():
    log = log_of([(b"1", b"broken", 0), (b"2", b"broken", 0)] * 5, partitions=2)
    store = AwayStore(1, attempts=3, meanwhile=lambda: log.expel(only_reader(log)) if not store.seen else None)
    runner_on(log, store).run(Event())
    assert [epoch(store, partition) for partition in (FIRST, SECOND)] == [2, 2]
    assert [store.position(partition).account.dead for partition in (FIRST, SECOND)] == [5, 5]


def only_reader(log: MemoryLog):
    [reader] = log._groups["group"]
    return reader


class StealingStore(AwayStore):
    """Before it answers again, another process takes one partition over."""

    stolen = False

    def stored(self, partitions):
        if not self.stolen:
            self.stolen = True
            self.claim([SECOND])
        return super().stored(partitions)


def test_a_partition_that_another_process_took_meanwhile_is_dropped_and_read_anew():
    log = log_of([(b"1", b"broken", 0), (b"2", b"broken", 0)] * 5, partitions=2)
    store = StealingStore(1, attempts=3)
    runner_on(log, store).run(Event())
    assert [store.position(partition).account.dead for partition in (FIRST, SECOND)] == [5, 5]


def test_a_stop_while_the_store_is_away_ends_the_process_and_commits_nothing():
    log, stop = log_of_readings(10), Event()
    store = AwayStore(2, attempts=1_000_000, meanwhile=stop.set)
    runner_on(log, store).run(stop)
    assert MemoryStore.stored(store, [FIRST])[FIRST][1].next_offset == 2


def test_a_partition_that_stopped_while_the_store_was_away_is_recorded_when_it_is_back():
    log = log_of([(b"1", b"broken", 0)] * 5, partitions=2)
    log.damage(SECOND, 2)
    store = AwayStore(1, attempts=3)
    with pytest.raises(Stopped, match="--skip"):
        runner_on(log, store).run(Event())
    assert "--skip" in store.stopped[SECOND]
    assert store.position(SECOND).account == Account(messages=2, dead=2)


def test_without_a_store_no_process_joins_the_group():
    log, stop = log_of_readings(1), Event()

    class Nothing(MemoryStore):
        def register_topic(self, *facts):
            stop.set()
            raise StoreUnavailable("no answer")

    runner_on(log, Nothing()).run(stop)
    assert "group" not in log._groups
