"""Pictures become readings of another topic, at least once; nothing of a picture is kept anywhere else."""

from contextlib import closing
from itertools import pairwise
from threading import Event
from time import monotonic

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventlog.memory import MemoryLog, MemoryReader
from eventlog.protocol import TopicPartition
from processors.frame_fold import FrameFoldFactory
from processors.plan import Plan
from processors.region_output import RegionOutput
from processors.runner import Runner
from schemas.batch import REGION, decode
from schemas.frames import Frame, encode_frame
from schemas.pictures import BadPicture, Detect
from schemas.topics import FRAMES, REGIONS, live
from store.detectors import Detector
from store.processing import Account, CameraCount
from store.processing_memory import MemoryStore
from tests.processors.stores import FailingStore
from tests.soak import examples

TAKEN, FOUND = live("isfahan", FRAMES), live("isfahan", REGIONS)
NOW = 1_790_000_000_000
HOUR = NOW // 3_600_000 * 3_600_000
SECRET = b"51A 123.45"
DETECTOR = Detector("bytes", "1", 0.9, 0.8)


class Clock:
    """The log's clock, set by hand."""

    now = NOW

    def __call__(self) -> int:
        return self.now


def frame(camera: int, number: int, picture: bytes | None, **changes) -> Frame:
    start = NOW - 60_000 + 500 * number
    fields = {"metric": "traffic.regions", "area": 7, "class_": "any", "interval": 500, "start": start}
    return Frame(**{**fields, **changes}, camera=camera, contributor=camera, picture=picture)


def detect(picture: bytes) -> np.ndarray:
    """As many regions as the picture has bytes after its first; `!` can't be decoded."""
    if picture.startswith(b"!"):
        raise BadPicture("cut")
    return np.array([(n, n, 20, 8, 0.5, 1) for n in range(len(picture) - 1)], REGION)


def new_log(partitions: int = 1, found: int = 1) -> tuple[MemoryLog, Clock]:
    clock = Clock()
    log = MemoryLog(clock)
    log.create(TAKEN, partitions, {})
    log.create(FOUND, found, {})
    return log, clock


def put(log: MemoryLog, frame: Frame, partition: int = 0) -> None:
    key = None if frame.picture is None else str(frame.camera).encode()
    log.append(TopicPartition(TAKEN, partition), key, encode_frame(frame))


def run(log: MemoryLog, store: MemoryStore, find: Detect = detect, clock=monotonic, **options) -> None:
    plan = Plan("detect", **{"commit_s": 0.0, "until_caught_up": True, "at_once": 3, "accept_gap": True, **options})
    with closing(RegionOutput(log, store, TAKEN, FOUND, DETECTOR)) as output:
        folds = FrameFoldFactory(TAKEN, output, find)
        Runner(log, store, folds, plan, after_commit=output.send_ticks, clock=clock).run(Event())


def found(log: MemoryLog, partition: int = 0) -> list:
    """What was sent: time and number of regions of every picture, None for a tick."""
    batches = [decode(record.value) for record in log.fetch(TopicPartition(FOUND, partition), 0, 10_000)]
    return [(batch.start, int(batch.array()["value"][0]) if batch.count else None) for batch in batches]


def examined(log: MemoryLog) -> list:
    """Time and number of regions of every picture."""
    return [(start, regions) for start, regions in found(log) if regions is not None]


def test_every_picture_has_one_outcome():
    log, _ = new_log()
    for picture in (
        frame(1, 0, b"xab"),
        frame(1, 1, b"x"),
        frame(2, 1, b"x"),  # another camera may see the same
        frame(1, 2, b"x"),  # stale
        frame(1, 3, b""),  # missing
        frame(1, 4, b"!" + SECRET),  # undecodable
        frame(1, 5, b"xyz", start=NOW + 3_600_000),  # of the future
        frame(1, 6, b"xyz", interval=0),
    ):
        put(log, picture)
    store = MemoryStore()
    run(log, store)
    assert examined(log) == [(NOW - 60_000, 2), (NOW - 59_500, 0), (NOW - 59_500, 0)]
    account = store.position((TAKEN, 0)).account
    assert account.balanced()
    assert account == Account(messages=8, decoded=8, readings=8, aggregated=3, duplicate=1, rejected=4)
    assert store.cameras[1, HOUR] == CameraCount(1, HOUR, 5, 2, 1, 1, 1)
    assert store.cameras[2, HOUR] == CameraCount(2, HOUR, 1, 1, 0, 0, 0)
    reasons = [letter.reason for letter in store.dead_letters.values()]
    assert reasons == ["missing", "cut", "future", "interval"]
    [((_, partition), delivery)] = store.deliveries.items()
    assert (partition, delivery.messages, delivery.readings) == ((FOUND, 0), len(found(log)), 3)


def test_a_message_that_is_no_frame_is_dead_and_nothing_of_a_picture_is_kept():
    log, _ = new_log()
    whole = encode_frame(frame(1, 0, SECRET))
    here = TopicPartition(TAKEN, 0)
    log.append(here, b"1", whole[:-2])
    log.append(here, b"1", whole + b"x")
    log.append(here, b"2", whole)  # another camera's key
    put(log, frame(1, 0, SECRET, metric="energy.import"))
    put(log, frame(1, 0, SECRET, class_="lorries"))
    put(log, frame(1, 0, b"!" + SECRET))
    log.append(here, None, encode_frame(frame(0, 0, None, start=NOW + 3_600_000)))
    store = MemoryStore()
    run(log, store)
    letters = list(store.dead_letters.values())
    assert [letter.reason for letter in letters] == [
        *("cut", "trailing", "wrong-key", "unknown-metric", "unknown-class", "cut", "future-tick"),
    ]
    assert not any(SECRET in letter.original for letter in letters)
    assert letters[0].original.startswith(b"%d bytes, sha256 " % (len(whole) - 2))
    assert examined(log) == []


def test_every_partition_of_regions_gets_the_common_time_of_all_cameras():
    log, _ = new_log(partitions=2, found=5)
    put(log, frame(0, 40, None), 0)
    put(log, frame(0, 20, None), 1)
    run(log, MemoryStore())
    sent = [found(log, partition) for partition in range(5)]
    assert all(ticks[-1] == (NOW - 50_000, None) for ticks in sent)
    assert sent == [sent[0]] * 5


def test_a_partition_that_lags_holds_the_time_back():
    """A replay's last tick jumps ahead of the pictures that another partition still holds."""
    log, _ = new_log(partitions=2, found=1)
    put(log, frame(0, 100, None), 0)
    for number in range(20):
        put(log, frame(1, number, b"x%d" % number), 1)
    put(log, frame(0, 100, None), 1)
    run(log, MemoryStore())
    assert len(examined(log)) == 20
    latest = 0
    for start, value in found(log):
        if value is None:
            latest = max(latest, start)
        assert start >= latest, "a picture follows a tick that is ahead of it"
    assert found(log)[-1] == (NOW - 10_000, None)


def test_a_partition_without_any_time_gives_no_tick():
    log, _ = new_log(partitions=2)
    put(log, frame(0, 0, None), 0)
    run(log, MemoryStore())
    assert found(log) == []


def test_a_picture_is_stale_for_a_minute_of_the_log():
    log, clock = new_log()
    put(log, frame(1, 0, b"x"))
    clock.now += 60_001
    put(log, frame(1, 1, b"x"))
    clock.now += 60_000
    put(log, frame(1, 2, b"x"))
    store = MemoryStore()
    run(log, store)
    assert store.cameras[1, HOUR] == CameraCount(1, HOUR, 3, 2, 0, 1, 0)


pictures = st.sampled_from([b"x", b"xa", b"xab", b"", b"!"])
cameras = st.tuples(st.integers(1, 3), pictures, st.integers(0, 40_000))


@examples(20, soak=800)
@given(st.lists(cameras, max_size=25), st.lists(st.sampled_from([None, "before", "after"]), max_size=5))
def test_failures_around_commits_count_nothing_twice_and_send_again_at_most(taken, failures):
    def filled() -> MemoryLog:
        log, clock = new_log()
        for number, (camera, picture, pause) in enumerate(taken):
            clock.now += pause
            put(log, frame(camera, number, picture))
        return log

    calm, disturbed = filled(), filled()
    undisturbed, failing = MemoryStore(), FailingStore(failures)
    run(calm, undisturbed)
    run(disturbed, failing, accept_gap=False, backoff_s=(0.0,))
    assert failing.cameras == undisturbed.cameras
    assert failing.dead_letters == undisturbed.dead_letters
    assert failing.position((TAKEN, 0)) == undisturbed.position((TAKEN, 0))
    assert set(examined(disturbed)) == set(examined(calm))
    assert len(examined(disturbed)) >= len(examined(calm))
    assert found(disturbed)[-1:] == found(calm)[-1:], "the same time was announced in the end"


def test_pictures_that_retention_took_are_counted_as_lost():
    log, _ = new_log()
    store = MemoryStore()
    put(log, frame(1, 0, b"x"))
    run(log, store)
    for number in range(1, 6):
        put(log, frame(1, number, b"x%d" % number))
    log.forget(TopicPartition(TAKEN, 0), 4)
    run(log, store)
    account = store.position((TAKEN, 0)).account
    assert account.balanced()
    assert (account.messages, account.lost_messages, account.aggregated) == (6, 3, 3)


def test_a_detector_that_fails_is_an_error_and_no_picture_is_passed_over():
    log, _ = new_log()
    put(log, frame(1, 0, b"x"))
    store = MemoryStore()

    def broken(picture: bytes) -> np.ndarray:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(log, store, broken)
    assert store.position((TAKEN, 0)).next_offset == 0


class Slow:
    """A detector that takes `seconds` a picture on a clock of its own, which nothing else moves."""

    def __init__(self, seconds: float) -> None:
        self.now = 0.0
        self.examined: list[bytes] = []
        self._seconds = seconds

    def clock(self) -> float:
        return self.now

    def __call__(self, picture: bytes) -> np.ndarray:
        self.now += self._seconds
        self.examined.append(picture)
        return detect(picture)


def test_slow_pictures_are_examined_with_polls_in_between(monkeypatch):
    log, _ = new_log()
    for number in range(40):
        put(log, frame(1, number, b"x%d" % number))
    slow, polls, store = Slow(0.1), [], MemoryStore()
    poll = MemoryReader.poll
    monkeypatch.setattr(
        MemoryReader, "poll", lambda reader, timeout_ms: polls.append(slow.now) or poll(reader, timeout_ms)
    )
    run(log, store, slow, slow.clock, at_once=50, piece=1)
    assert max(after - before for before, after in pairwise([*polls, slow.now])) < 0.5
    assert store.position((TAKEN, 0)).account == Account(messages=40, decoded=40, readings=40, aggregated=40)


def test_pictures_are_committed_while_others_of_their_poll_wait():
    log, _ = new_log()
    for number in range(4):
        put(log, frame(1, number, b"x%d" % number))
    slow, store, committed = Slow(1.0), MemoryStore(), []

    def watched(picture: bytes) -> np.ndarray:
        committed.append(store.position((TAKEN, 0)).next_offset)
        return slow(picture)

    run(log, store, watched, slow.clock, at_once=50, piece=1)
    assert committed == [0, 1, 2, 3]


def test_a_partition_does_not_wait_until_another_has_no_more_pictures():
    log, _ = new_log(partitions=2)
    for partition, name in ((0, b"a"), (1, b"b")):
        for number in range(9):
            put(log, frame(1 + partition, number, b"%b%d" % (name, number)), partition)
    slow = Slow(1.0)
    run(log, MemoryStore(), slow, slow.clock, piece=1)
    assert [sum(picture.startswith(b"b") for picture in slow.examined[:end]) for end in (6, 12, 18)] == [3, 6, 9]
