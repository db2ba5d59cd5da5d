"""The loop around the fold: a failure leaves no trace in the tables. With the log and the store in memory."""

from threading import Event
from time import monotonic

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventlog.memory import MemoryLog
from eventlog.protocol import TopicPartition
from processors.plan import Plan
from processors.reading_fold import ReadingFoldFactory
from processors.runner import Runner
from processors.stopping import Stopped
from schemas.batch import encode
from schemas.catalogue import metrics_of
from schemas.registry import schema_named
from store.processing import Account, TopicChanged
from store.processing_memory import MemoryStore
from tests.oracle import outcome
from tests.processors.logs import T0, messages, rows_of
from tests.processors.stores import FailingStore
from tests.soak import examples

TOPIC = "isfahan.energy.readings.v1"
METRICS = metrics_of("energy.readings")
MESSAGES = messages("energy.readings")
ZONE = "Asia/Tehran"
HERE = TopicPartition(TOPIC, 0)


class Clock:
    """The log's clock, set by hand."""

    now = 0

    def __call__(self) -> int:
        return self.now


def log_of(entries, partitions: int = 1, clock: Clock | None = None) -> MemoryLog:
    clock = clock or Clock()
    log = MemoryLog(clock)
    log.create(TOPIC, partitions, {})
    for key, body, appended in entries:
        clock.now = appended
        log.append(TopicPartition(TOPIC, int(key) % partitions), key, body)
    return log


def process(log, store, clock=monotonic, **plan) -> None:
    given = {name: plan.pop(name) for name in ("dead_limit", "rejected_limit") if name in plan}
    limits = {"dead_limit": 10_000, **given}
    folds = ReadingFoldFactory({TOPIC: METRICS}, ZONE, **limits)
    options = {"commit_s": 0.0, "until_caught_up": True, "backoff_s": (0.0,), **plan}
    Runner(log, store, folds, Plan("group", **options), clock=clock).run(Event())


@examples(8, soak=200)
@given(
    st.lists(MESSAGES, max_size=60),
    st.lists(st.sampled_from([None, None, "before", "after"]), max_size=4),
)
def test_a_store_that_fails_around_its_commits_counts_nothing_twice(entries, failures):
    log = log_of(entries)
    undisturbed, disturbed = MemoryStore(), FailingStore(failures)
    process(log, undisturbed)
    process(log, disturbed)
    assert disturbed.cells == undisturbed.cells
    assert disturbed.dead_letters == undisturbed.dead_letters
    assert disturbed.position(HERE) == undisturbed.position(HERE)
    expected = outcome(log.fetch(HERE, 0, 1000), {metric.name: metric for metric in METRICS}, ZONE)
    assert len(undisturbed.cells) == len(expected.cells)


@examples(8, soak=200)
@given(st.lists(MESSAGES, max_size=60), st.integers(1, 5))
def test_where_a_run_ends_and_the_next_begins_does_not_show(entries, runs):
    whole, pieces = MemoryStore(), MemoryStore()
    log = log_of(entries, partitions=2)
    process(log, whole)
    clock = Clock()
    growing = log_of([], partitions=2, clock=clock)
    # The same topic, filled bit by bit, with a processor of its own for each bit.
    for part in range(runs):
        for number in range(2):
            partition = TopicPartition(TOPIC, number)
            records = log.fetch(partition, 0, 1000)
            for record in records[len(records) * part // runs : len(records) * (part + 1) // runs]:
                clock.now = record.timestamp
                growing.append(partition, record.key, record.value)
        process(growing, pieces)
    assert pieces.cells == whole.cells
    for number in range(2):
        assert pieces.position((TOPIC, number)) == whole.position((TOPIC, number))


def test_a_frozen_member_is_fenced_and_the_result_of_the_other_is_kept():
    entries = [(b"1", b"broken", 1_790_000_000_000)] * 5
    log, store = log_of(entries), MemoryStore()
    store.register_topic(TOPIC, "memory", log.describe(TOPIC).topic_id, 1)
    folds = ReadingFoldFactory({TOPIC: METRICS}, ZONE)
    frozen = Runner(log, store, folds, Plan("group", commit_s=0.0, until_caught_up=True))
    reader = log.reader("group", [TOPIC], frozen)
    frozen._turn(reader)
    log.expel(reader)
    process(log, store)
    after = store.position(HERE)
    frozen._commit()
    assert store.position(HERE) == after
    assert after.account == Account(messages=5, dead=5)


def test_a_partition_with_too_many_dead_messages_stops_and_commits_none_of_them():
    log, store = log_of([(b"1", b"broken", 1_790_000_000_000)] * 200), MemoryStore()
    with pytest.raises(Stopped, match="dead messages"):
        process(log, store, dead_limit=100)
    assert store.position(HERE).account == Account()


def test_a_partition_with_too_many_rejected_rows_stops_and_commits_none_of_them():
    body = encode(
        schema_named("energy.readings.v1").id,
        metric="energy.import",
        area=2,
        class_="residential",
        interval=900_000,
        start=T0,
        rows=rows_of([(1, 1, 0.0, 0.5, 1)] * 500),  # half of a smallest unit
    )
    log, store = log_of([(b"2", body, T0 + 900_000)] * 3), MemoryStore()
    with pytest.raises(Stopped, match="--accept-rejected"):
        process(log, store)
    assert store.position(HERE).account == Account()
    assert "1500 rejected rows within 100000 rows, the last at offset 2: not-whole" in store.stopped[HERE]
    process(log, store, rejected_limit=10_000)
    assert store.position(HERE).account.rejected == 1_500


def test_retention_that_overtook_the_processor_stops_it_until_the_gap_is_accepted():
    log, store = log_of([(b"1", b"broken", 1_790_000_000_000)] * 10), MemoryStore()
    process(log_of([]), MemoryStore())
    log.forget(HERE, 4)
    with pytest.raises(Stopped, match="--accept-gap"):
        process(log, store)
    process(log, store, accept_gap=True)
    assert store.position(HERE).account == Account(messages=10, dead=6, lost_messages=4)


def test_a_log_that_was_cut_short_stops_the_processor():
    log, store = log_of([(b"1", b"broken", 1_790_000_000_000)] * 10), MemoryStore()
    process(log, store)
    log.truncate(HERE, 0)
    with pytest.raises(Stopped, match="cut short"):
        process(log, store, accept_gap=True)


def test_a_topic_that_was_made_anew_stops_the_processor():
    store = MemoryStore()
    process(log_of([(b"1", b"broken", 0)]), store)
    with pytest.raises(TopicChanged):
        process(log_of([(b"1", b"broken", 0)]), store)


def test_a_fenced_commit_keeps_the_other_partitions():
    entries = [(b"1", b"broken", 0), (b"2", b"broken", 0)]
    log, store = log_of(entries, partitions=2), MemoryStore()
    store.register_topic(TOPIC, "memory", log.describe(TOPIC).topic_id, 2)
    runner = Runner(log, store, ReadingFoldFactory({TOPIC: METRICS}, ZONE), Plan("group"))
    reader = log.reader("group", [TOPIC], runner)
    runner._turn(reader)
    store.claim([(TOPIC, 0)])
    runner._commit()
    assert store.position((TOPIC, 0)).account == Account()
    assert store.position((TOPIC, 1)).account == Account(messages=1, dead=1)


def test_a_caught_up_run_with_a_stopped_partition_is_no_success():
    log = log_of([(b"1", b"broken", 0)] * 200 + [(b"2", b"broken", 0)], partitions=2)
    with pytest.raises(Stopped, match="partitions were stopped"):
        process(log, MemoryStore(), dead_limit=100)


def test_a_gap_to_the_very_end_of_the_log_is_passed_without_another_message():
    log, store = log_of([(b"1", b"broken", 0)] * 10), MemoryStore()
    log.forget(HERE, 10)
    process(log, store, accept_gap=True)
    assert store.position(HERE).account == Account(messages=10, lost_messages=10)


class StealingStore(MemoryStore):
    """Another process takes the partition over just before the first commit."""

    stolen = False

    def commit(self, commits):
        if not self.stolen:
            self.stolen = True
            self.claim([commit.partition for commit in commits])
        super().commit(commits)


def test_a_fenced_processor_joins_the_group_again():
    log, store = log_of([(b"1", b"broken", 0)] * 5), StealingStore()
    process(log, store)
    assert store.position(HERE).account == Account(messages=5, dead=5)


class Idle:
    """A member of a group that processes nothing."""

    def assigned(self, partitions):
        return dict.fromkeys(partitions, 0)

    def revoked(self, partitions):
        pass

    lost = revoked


def test_a_member_that_is_caught_up_waits_for_the_rest_of_its_group():
    log, store = log_of([(b"1", b"broken", 0), (b"2", b"broken", 0)], partitions=2), MemoryStore()
    folds = ReadingFoldFactory({TOPIC: METRICS}, ZONE, dead_limit=10)
    turns = 0

    def leave() -> None:
        nonlocal turns
        turns += 1
        if turns == 3:
            log.leave(other)

    plan = Plan("group", commit_s=0.0, until_caught_up=True)
    runner = Runner(log, store, folds, plan, after_commit=leave)
    store.register_topic(TOPIC, "memory", log.describe(TOPIC).topic_id, 2)
    other = log.reader("group", [TOPIC], Idle())
    runner.run(Event())
    assert [store.position((TOPIC, number)).next_offset for number in range(2)] == [1, 1]
