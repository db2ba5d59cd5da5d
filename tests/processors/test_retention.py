"""The watch over unread messages whose retention runs out. With the log and the store in memory."""

from threading import Event

import pytest

from eventlog.memory import MemoryLog
from eventlog.protocol import TopicPartition
from processors import telemetry
from processors.plan import Plan
from processors.reading_fold import ReadingFoldFactory
from processors.retention import RetentionWatch
from processors.runner import Runner
from processors.stopping import Stopped
from schemas.catalogue import metrics_of
from store.processing_memory import MemoryStore
from tests.processors.test_runner import Idle

TOPIC = "isfahan.energy.readings.v1"
HERE = TopicPartition(TOPIC, 0)
HOUR = 3_600_000
NOW = 1_790_000_000_000
RETENTION = {TOPIC: 160 * HOUR}


class Watched:
    """A partition to which a message is appended every hour up to `NOW`, and a watch over it."""

    def __init__(self, hours: int) -> None:
        self.log = log_of([NOW - ago * HOUR for ago in reversed(range(hours))])
        self.reader = self.log.reader("group", [TOPIC], Idle())
        self.store = MemoryStore()
        self.seconds = 0.0
        self.watch = RetentionWatch(self.store, RETENTION, lambda: NOW, lambda: self.seconds)

    def look(self, following: int) -> float:
        """Look half a minute later, with all below `following` accounted for; returns the margin."""
        self.seconds += 30
        self.watch.moved({HERE: following})
        self.watch.look(self.reader, self.reader.ends([HERE]))
        return margin()


def log_of(appended: list[int]) -> MemoryLog:
    clock = [0]
    log = MemoryLog(lambda: clock[0])
    log.create(TOPIC, 1, {})
    for clock[0] in appended:
        log.append(HERE, b"1", b"broken")
    return log


def margin() -> float:
    return telemetry.RETENTION.labels("energy.readings", "0")._value.get()


def test_the_margin_is_what_the_oldest_unread_message_has_left_of_its_retention():
    watched = Watched(hours=200)
    shares = [watched.look(200 - unread) for unread in (0, 1, 40, 50, 82, 150, 161, 200)]
    assert shares == [1.0, 1.0, 13 / 16, 12 / 16, 8 / 16, 2 / 16, 1 / 16, 0.0]


def test_from_half_of_the_retention_on_the_operator_is_warned_until_it_is_read():
    watched = Watched(hours=200)
    watched.look(200 - 80)
    assert watched.store.alarms == {}
    watched.look(200 - 90)
    assert watched.store.alarms == {
        HERE: "the oldest unread message has used 50 % of its retention of 6.7 days: within 3.3 days it is deleted"
        " unread, if processing does not catch up"
    }
    watched.look(200 - 180)
    assert "it can be deleted now" in watched.store.alarms[HERE]
    watched.look(200)
    assert watched.store.alarms == {}


def test_a_partition_that_another_process_reads_is_shown_no_longer():
    watched = Watched(hours=200)
    assert watched.look(0) == 0.0
    watched.watch.forget([HERE])
    shown = {tuple(sample.labels.values()) for metric in telemetry.RETENTION.collect() for sample in metric.samples}
    assert ("energy.readings", "0") not in shown


def test_a_stopped_partition_is_watched():
    log, store = log_of([NOW - 101 * HOUR] * 200), MemoryStore()
    folds = ReadingFoldFactory({TOPIC: metrics_of("energy.readings")}, "Asia/Tehran", dead_limit=100)
    plan = Plan("group", commit_s=0.0, until_caught_up=True, retention_ms=RETENTION)
    with pytest.raises(Stopped, match="dead messages"):
        Runner(log, store, folds, plan, now_ms=lambda: NOW).run(Event())
    assert "has used 62 % of its retention" in store.alarms[HERE]
