"""Windows are closed in pieces, with polls in between (R15). The pieces do not show in the result."""

import time
from collections.abc import Sequence
from itertools import count
from threading import Event

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventlog.kafka import KafkaLog
from eventlog.memory import MemoryLog, MemoryReader, MemoryRecord
from eventlog.protocol import TopicPartition
from processors import open_windows, traffic
from processors.plan import Plan
from processors.reading_fold import ReadingFoldFactory
from processors.runner import Runner
from processors.tracking import lanes
from schemas.batch import REGION, ROW, encode
from schemas.catalogue import metrics_of
from schemas.registry import schema_named
from schemas.topics import REGIONS, live, settings
from store.processing import Position, Step
from store.processing_memory import MemoryStore
from tests.processors.logs import STEPS, logs, messages, splits
from tests.processors.test_reading_fold import assert_as_modelled, fold
from tests.processors.test_runner import Clock
from tests.soak import examples

ZONE = "Asia/Tehran"
TOPIC = live("isfahan", REGIONS)
FIRST, SECOND = TopicPartition(TOPIC, 0), TopicPartition(TOPIC, 1)
POLL_TIMEOUT_S = 2.0


def shrink_pieces(patch: pytest.MonkeyPatch) -> None:
    """Pieces so small that the windows of a test have many."""
    patch.setattr(traffic, "_MOST_PICTURES", 2)
    patch.setattr(traffic, "_MOST_BOXES", 2)
    patch.setattr(open_windows, "_MOST_ROWS", 4)
    patch.setattr(lanes, "_MOST_AT_ONCE", 2)


@pytest.mark.parametrize("dataset", sorted(STEPS))
@examples(6, soak=200, minutes=0.5)
@given(data=st.data())
def test_the_pieces_in_which_windows_are_closed_do_not_show(dataset, data):
    records = data.draw(logs(dataset))
    subject, steps = fold(dataset=dataset), []
    with pytest.MonkeyPatch.context() as patch:
        shrink_pieces(patch)
        for first, last in data.draw(splits(len(records))):
            subject.feed(records[first:last])
            for _ in range(data.draw(st.integers(0, 4))):
                subject.close_some()
            if not subject.closing and data.draw(st.booleans()) and (step := subject.step()):
                steps.append(step)
            if data.draw(st.booleans()):  # a crash, maybe in the middle of closing
                position = steps[-1].position if steps else Position()
                subject = fold(position, dataset)
                subject.feed([record for record in records[:last] if record.offset >= position.resume_offset])
        if step := subject.step():
            steps.append(step)
    assert_as_modelled(steps, records, dataset)


class Turns:
    """A clock on which a piece takes longer than windows are closed between two polls."""

    def __init__(self) -> None:
        self._seconds = count()

    def __call__(self) -> float:
        return float(next(self._seconds))


def log_of(entries) -> MemoryLog:
    clock = Clock()
    log = MemoryLog(clock)
    log.create(TOPIC, 2, {})
    for key, body, appended in entries:
        clock.now = appended
        log.append(TopicPartition(TOPIC, int(key) % 2), key, body)
    return log


def process(log, store, clock=time.monotonic, **options) -> None:
    folds = ReadingFoldFactory({TOPIC: metrics_of(REGIONS)}, ZONE, dead_limit=10_000)
    plan = Plan("group", commit_s=0.0, until_caught_up=True, **options)
    Runner(log, store, folds, plan, clock=clock).run(Event())


@examples(6, soak=200, minutes=1)
@given(st.lists(messages(REGIONS), max_size=40), st.integers(1, 9), st.integers(1, 9))
def test_polls_between_the_pieces_change_nothing(entries, at_once, piece):
    log, whole, pieces = log_of(entries), MemoryStore(), MemoryStore()
    process(log, whole)
    with pytest.MonkeyPatch.context() as patch:
        shrink_pieces(patch)
        process(log, pieces, Turns(), at_once=at_once, piece=piece)
    assert {key: cell for key, (_, cell) in pieces.cells.items()} == {
        key: cell for key, (_, cell) in whole.cells.items()
    }
    for partition in (FIRST, SECOND):
        assert pieces.position(partition) == whole.position(partition)


def picture(camera: int, start: int, boxes: np.ndarray) -> bytes:
    return encode(
        schema_named(f"{REGIONS}.v1").id,
        metric="traffic.regions",
        area=camera,
        class_="any",
        interval=200,
        start=start,
        rows=np.array([(camera, camera, 0, len(boxes), 1)], ROW),
        regions=boxes,
    )


def tick(time_ms: int) -> bytes:
    return encode(
        schema_named(f"{REGIONS}.v1").id,
        metric="traffic.regions",
        area=0,
        class_="any",
        interval=0,
        start=time_ms,
        rows=np.empty(0, ROW),
        regions=np.empty(0, REGION),
    )


def crowded(pictures: int, start: int) -> Sequence[bytes]:
    """Pictures of one camera with so many false regions that each takes milliseconds to track."""
    rng = np.random.default_rng(1)
    bodies = []
    for number in range(pictures):
        boxes = np.zeros(100, REGION)
        for name, most in (("x", 1_000), ("y", 600), ("w", 60), ("h", 20)):
            boxes[name] = rng.integers(1, most, len(boxes))
        bodies.append(picture(1, start + 200 * number, boxes))
    return bodies


def test_a_partition_is_polled_while_windows_close_and_read_on_afterwards(monkeypatch):
    shrink_pieces(monkeypatch)
    begin = 1_790_001_000_000 // 900_000 * 900_000
    long_after = begin + 36_000_000
    bodies = [*crowded(10, begin), tick(begin + 7_200_000), picture(1, begin + 7_200_000, np.empty(0, REGION))]
    log, store = log_of([(b"1", body, long_after) for body in bodies]), MemoryStore()
    polls = []
    poll = MemoryReader.poll
    monkeypatch.setattr(MemoryReader, "poll", lambda reader, timeout_ms: polls.append(1) or poll(reader, timeout_ms))
    process(log, store, Turns(), at_once=11)
    assert len(polls) > 10
    assert store.position(SECOND).account.messages == len(bodies)
    assert store.position(SECOND).account.open == 1


def test_a_partition_given_up_while_its_windows_close_is_closed_by_its_next_owner(monkeypatch):
    shrink_pieces(monkeypatch)
    begin = 1_790_001_000_000 // 900_000 * 900_000
    bodies = [*crowded(10, begin), tick(begin + 7_200_000)]
    entries = [(b"1", body, begin + 36_000_000) for body in bodies]
    undisturbed, log, store = MemoryStore(), log_of(entries), MemoryStore()
    process(log_of(entries), undisturbed)
    store.register_topic(TOPIC, "memory", log.describe(TOPIC).topic_id, 2)
    first = Runner(log, store, ReadingFoldFactory({TOPIC: metrics_of(REGIONS)}, ZONE), Plan("group"), clock=Turns())
    reader = log.reader("group", [TOPIC], first)
    first._turn(reader)
    assert first._busy() == [SECOND]
    first._commit()
    assert store.position(SECOND).next_offset == 0
    process(log, store)  # joins the group and takes the partition over
    assert first._busy() == []
    assert [cell.amounts for _, cell in store.cells.values()] == [
        cell.amounts for _, cell in undisturbed.cells.values()
    ]
    assert store.position(SECOND) == undisturbed.position(SECOND)


class Member(Runner):
    """A processor that records when its membership changes."""

    def __init__(self, *args, **options) -> None:
        super().__init__(*args, **options)
        self.changes: list[str] = []

    def assigned(self, partitions):
        self.changes.append("assigned")
        return super().assigned(partitions)

    def lost(self, partitions):
        if partitions:
            self.changes.append("left")
        super().lost(partitions)


def costly(now: int) -> tuple[Sequence[bytes], Step]:
    """Messages whose window takes longer to close than a member may go without a poll, and what comes out of them."""
    begin, pictures = now // 900_000 * 900_000 - 7_200_000, 250
    while True:
        bodies = [*crowded(pictures, begin), tick(now)]
        *records, last = [MemoryRecord(offset, now, b"1", body) for offset, body in enumerate(bodies)]
        subject = fold(dataset=REGIONS)
        subject.feed(records)
        started = time.monotonic()
        subject.feed([last])
        step = subject.step()
        taken = time.monotonic() - started
        if taken > 1.3 * POLL_TIMEOUT_S:
            return bodies, step
        pictures = round(pictures * max(1.2, 1.6 * POLL_TIMEOUT_S / taken))


@pytest.mark.services
def test_no_member_leaves_its_group_by_closing_windows(kafka, city):
    bodies, expected = costly(time.time_ns() // 1_000_000)
    log, store = KafkaLog(kafka, poll_timeout_ms=round(1_000 * POLL_TIMEOUT_S)), MemoryStore()
    topic = live(city, REGIONS)
    log.create(topic, 1, settings(REGIONS))
    writer = log.writer()
    for body in bodies:
        writer.send(topic, b"1", body)
    writer.close()
    folds = ReadingFoldFactory({topic: metrics_of(REGIONS)}, ZONE)
    member = Member(log, store, folds, Plan(city, until_caught_up=True, at_once=200))
    member.run(Event())
    assert member.changes == ["assigned", "left"]  # at the end, and not before
    assert store.position(TopicPartition(topic, 0)).account == expected.position.account
    assert [cell.amounts for _, cell in store.cells.values()] == [cell.amounts for cell in expected.cells]
