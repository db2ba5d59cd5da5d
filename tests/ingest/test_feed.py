"""A feeder is the same in every run of one source and names nothing; a log that is away is no success."""

import socket

import pytest

from eventlog.kafka import KafkaLog
from eventlog.memory import MemoryLog
from eventlog.protocol import TopicPartition
from ingest.feed import Feed, feeder_named
from ingest.journal import NoJournal
from schemas.batch import LONGEST_FEEDER, decode
from schemas.frames import decode_frame
from schemas.topics import FRAMES, dataset_of, live

READINGS, PICTURES = live("town", "energy.readings"), live("town", FRAMES)


def test_a_feeder_is_the_same_in_every_run_and_another_for_another_source():
    assert feeder_named("files", "a.csv") == feeder_named("files", "a.csv") != feeder_named("files", "b.csv")
    assert len(feeder_named("cameras", "x" * 1_000)) <= LONGEST_FEEDER


def test_a_file_is_not_named_in_its_feeder():
    assert "khadije" not in feeder_named("files", "khadije.xml")
    assert feeder_named("files", "\udcff.xml").isprintable()


@pytest.mark.parametrize("topic", [READINGS, PICTURES])
def test_ticks_say_who_sends_them(topic):
    log = MemoryLog(lambda: 1_790_000_000_000)
    log.create(topic, 2, {})
    feed = Feed(log.writer(), topic, NoJournal(), "meters")
    feed.tick(1_790_000_000_000)
    feed.flush()
    read = decode_frame if dataset_of(topic) == FRAMES else decode
    records = [record for partition in (0, 1) for record in log.fetch(TopicPartition(topic, partition), 0, 9)]
    assert [read(record.value).feeder for record in records] == ["meters", "meters"]


def test_with_nothing_to_send_it_is_reported_whether_the_log_answers():
    log, reported = MemoryLog(lambda: 1_790_000_000_000), []
    log.create(READINGS, 1, {})
    feed = Feed(log.writer(), READINGS, NoJournal(), "meters", report=reported.append)
    feed.idle(log)
    assert reported == [None]
    with socket.socket() as closed:  # bound, and not listening: nobody else can take the port meanwhile
        closed.bind(("127.0.0.1", 0))
        feed.idle(KafkaLog(f"127.0.0.1:{closed.getsockname()[1]}", patience_s=0.2))
    [_, failure] = reported
    assert failure is not None and "Kafka" in failure
