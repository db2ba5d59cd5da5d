"""Which topic takes a reading, and how often that is read anew."""

import numpy as np

from eventlog.memory import MemoryLog
from eventlog.protocol import TopicPartition
from ingest.batches import Message, ReadingColumns, messages
from ingest.feed import Feed
from ingest.journal import NoJournal
from ingest.routes import FRESH_MS, Route, Routes, topic_at
from schemas.batch import decode
from schemas.catalogue import catalogue
from schemas.topics import generation_of, is_live, live
from tests.ingest.growth import Clock

OLD, NEW = live("town", "energy.readings"), live("town", "energy.readings", 2)
CUT = 1_790_000_000_000
ROUTES = [Route(OLD), Route(NEW, CUT)]


def test_a_reading_goes_to_the_topic_of_its_own_time():
    assert [topic_at(ROUTES, time) for time in (0, CUT - 1, CUT, CUT + 1)] == [OLD, OLD, NEW, NEW]


def test_topics_are_read_again_after_a_minute_and_when_the_clock_was_set_back():
    clock, reads = Clock(), []

    def read():
        reads.append(clock.now)
        return ROUTES

    routes = Routes(read, clock)
    for clock.now in (5, 6, FRESH_MS + 4, FRESH_MS + 5, 2 * FRESH_MS, 1):
        routes.current()
    assert reads == [5, FRESH_MS + 5, 1]


def test_no_message_holds_readings_of_two_topics():
    start = np.array([CUT - 2, CUT - 1, CUT, CUT + 1], np.int64)
    none = np.zeros(4, np.uint32)
    columns = ReadingColumns(
        catalogue()["energy.import"], 900_000, none.astype(np.int32), none.astype(np.uint8), none, none, start,
        none.astype(np.float64), none.astype(np.uint8),
    )  # fmt: skip
    assert [(m.start, m.readings) for m in messages(columns)] == [(CUT - 2, 4)]
    assert [(m.start, m.readings) for m in messages(columns, cuts=[CUT])] == [(CUT - 2, 2), (CUT, 2)]


def test_a_feed_sends_by_time_and_ticks_every_partition_of_every_topic():
    log, known = MemoryLog(lambda: CUT), ROUTES[:1]
    log.create(OLD, 1, {})
    log.create(NEW, 2, {})
    feed = Feed(log.writer(), OLD, NoJournal(), "tests", Routes(lambda: list(known), lambda: len(known) * FRESH_MS))
    feed.tick(CUT - 10)
    known.append(ROUTES[1])
    feed.send([Message(b"1", b"late", 1, CUT - 1), Message(b"1", b"new", 1, CUT)])
    feed.tick(CUT)
    old, *new = (log.fetch(TopicPartition(topic, n), 0, 9) for topic, n in ((OLD, 0), (NEW, 0), (NEW, 1)))
    assert [decode(record.value).start for record in (old[0], old[2])] == [CUT - 10, CUT]
    assert old[1].value == b"late"
    assert [record.value for partition in new for record in partition].count(b"new") == 1
    assert [decode(partition[-1].value).start for partition in new] == [CUT, CUT]
    assert feed.messages == 6


def test_the_topics_of_a_stream_are_told_from_imports_and_others():
    assert [generation_of(topic) for topic in (OLD, NEW, "town.energy.readings.history.v7.v1")] == [1, 2, 1]
    assert is_live("town", OLD)
    assert is_live("town", NEW)
    for topic in ("town.energy.readings.history.x.v1", "city.energy.readings.v2", "town.energy.readings.v02", "x"):
        assert not is_live("town", topic)
