"""The adapter of topics against a real Kafka; the node's log is in memory, so that it can fail as a test likes."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from threading import Event

import pytest
from confluent_kafka import Producer
from kafka import KafkaAdminClient, KafkaConsumer
from kafka import TopicPartition as KafkaPartition

from eventlog.kafka import KafkaLog
from eventlog.protocol import DeliveryFailed, LogUnavailable
from ingest.feed import Feed
from ingest.journal import NoArrivals
from ingest.live.readings import SentReadings
from ingest.live.sending import LiveSource, SourceSender
from ingest.live.topics.inbox import LOST, MESSAGES, TOMBSTONE, TopicInbox
from ingest.live.topics.messages import TopicMessages, json_line
from schemas.topics import live
from tests.ingest.account import RecordingWriter
from tests.ingest.files.imports import NOW, PARTITIONS, Journal, register, rows
from tests.soak import soak_only
from tests.system.own_kafka import own_kafka
from tests.waiting import until

pytestmark = pytest.mark.services

SOURCES = [f"m-{number}" for number in range(20)]
Receiving = Callable[..., "Receiver"]


class Log(RecordingWriter):
    """A log that can be away."""

    away = False

    def flush(self) -> None:
        if self.away:
            raise DeliveryFailed("the log is away")


class Receiver:
    """An inbox with what sends from it; `turn` takes what has come, as `ingest run` does."""

    def __init__(self, foreign: KafkaLog, topic: str, spool: Path, log: Log, journal: Journal) -> None:
        spool.mkdir()
        self.inbox = TopicInbox("meters", foreign, topic, topic, "earliest", spool, lambda: NOW)
        form = TopicMessages(SentReadings("energy.readings", each_line=True), json_line)
        source = LiveSource(self.inbox, form, None, each_line=True)

        def feed(told) -> Feed:
            return Feed(log, live("town", form.dataset), told, "tests")

        self.sender = SourceSender(source, feed, journal, NoArrivals(), register(*SOURCES), lambda: NOW)
        self.failures: list[Exception] = []

    def turn(self) -> None:
        try:
            self.sender.turn(Event())
            self.inbox.wait(0.1)
        except (DeliveryFailed, LogUnavailable) as error:
            self.failures.append(error)
            self.inbox.forget()


@pytest.fixture
def topic(kafka_log: KafkaLog, city: str) -> str:
    kafka_log.create(f"{city}.meters", 2, {})
    return f"{city}.meters"


@pytest.fixture
def log() -> Log:
    return Log(PARTITIONS, NOW)


@pytest.fixture
def journal() -> Journal:
    return Journal()


@pytest.fixture
def receive(kafka_log: KafkaLog, topic: str, tmp_path: Path, log: Log, journal: Journal) -> Iterator[Receiving]:
    with ExitStack() as stack:

        def received(foreign: KafkaLog = kafka_log) -> Receiver:
            receiver = Receiver(foreign, topic, tmp_path / str(len(list(tmp_path.iterdir()))), log, journal)
            stack.callback(receiver.inbox.stop)
            return receiver

        yield received


def reading(number: int) -> bytes:
    start = NOW - 9_000_000 - number // len(SOURCES) * 900_000
    named = {"source": SOURCES[number % len(SOURCES)], "metric": "energy.import", "start": start, "interval_s": 900}
    return json.dumps({**named, "value": number + 1, "unit": "Wh"}).encode()


def values(log: Log) -> set[int]:
    """The values in the log, in Wh."""
    return {value // 3_600_000 for _, value in rows(log)}


def taken(receiver: Receiver, log: Log, count: int) -> bool:
    """Whether the log has the first readings, after a turn."""
    receiver.turn()
    return values(log) == set(range(1, count + 1))


def write(kafka: str, topic: str, contents: list[bytes | None]) -> None:
    producer = Producer({"bootstrap.servers": kafka, "linger.ms": 20, "log_level": 0})
    for number, content in enumerate(contents):
        producer.produce(topic, content, key=b"k", partition=number % 2)
    assert producer.flush(60) == 0


def kept(kafka: str, topic: str) -> int:
    """How many messages are before the positions that the cluster keeps."""
    consumer = KafkaConsumer(bootstrap_servers=kafka, group_id=topic, enable_auto_commit=False)
    try:
        return sum(consumer.committed(KafkaPartition(topic, number)) or 0 for number in range(2))
    finally:
        consumer.close()


def test_what_the_log_has_not_comes_again_also_to_another_process(kafka, topic, log, journal, receive) -> None:
    write(kafka, topic, [reading(number) for number in range(20)])
    log.away = True
    first = receive()
    until(lambda: first.turn() or len(first.failures) > 1, "it is taken, and taken again", pause_s=0)
    first.inbox.stop()
    log.away, log.sent = False, []
    second = receive()
    until(lambda: second.turn() or values(log) == set(range(1, 21)), "all are there", pause_s=0)
    # The commit of a member whose session has ended is refused: then all comes again, and is committed.
    until(lambda: second.turn() or kept(kafka, topic) == 20, "the cluster keeps the positions", pause_s=0)
    second.inbox.stop()
    log.sent = []
    write(kafka, topic, [reading(30), b"rubbish", None])
    third = receive()
    tombstones = MESSAGES.labels(TOMBSTONE)._value.get()
    until(lambda: third.turn() or (values(log) and journal.kept), "the newest are there", pause_s=0)
    assert values(log) == {31}  # nothing that was committed came again
    [(origin, position)] = journal.kept
    assert (origin.startswith(f"meters/{topic}-1 "), position) == (True, 10)
    assert journal.kept[origin, position].original == b"rubbish"
    until(lambda: third.turn() or MESSAGES.labels(TOMBSTONE)._value.get() > tombstones, "it is counted", pause_s=0)


def test_what_the_topic_did_not_keep_is_counted_and_a_dead_letter(kafka, topic, log, journal, receive) -> None:
    write(kafka, topic, [reading(number) for number in range(20)])
    first = receive()
    until(lambda: first.turn() or len(values(log)) == 20, "all are there", pause_s=0)
    first.inbox.stop()
    write(kafka, topic, [reading(number) for number in range(20, 30)])
    admin = KafkaAdminClient(bootstrap_servers=kafka)
    admin.delete_records({KafkaPartition(topic, 0): 13})
    admin.close()
    before = MESSAGES.labels(LOST)._value.get()
    second = receive()
    until(lambda: second.turn() or len(values(log)) == 27, "what is left is there", pause_s=0)
    until(lambda: second.turn() or journal.kept, "what is gone is kept", pause_s=0)
    [((_, position), lost)] = journal.kept.items()
    assert (position, lost.reason) == (10, "lost")
    assert b"offsets 10 to 12 are gone" in lost.original
    assert MESSAGES.labels(LOST)._value.get() == before + 3


def test_a_topic_that_is_not_there_ends_nothing_and_is_read_when_it_is(kafka, kafka_log, topic, log, receive) -> None:
    admin = KafkaAdminClient(bootstrap_servers=kafka)
    admin.delete_topics([topic])
    admin.close()
    receiver = receive(KafkaLog(kafka, session_timeout_ms=3_000, patience_s=5))
    until(lambda: receiver.turn() or receiver.failures, "it is said", pause_s=0)
    assert str(receiver.failures[0]) == f"there is no topic {topic}"
    kafka_log.create(topic, 2, {})
    write(kafka, topic, [reading(0)])
    until(lambda: receiver.turn() or values(log) == {1}, "it is there", pause_s=0)


@soak_only
def test_a_cluster_that_is_gone_is_said_and_found_again(tmp_path: Path, log: Log, journal: Journal) -> None:
    (tmp_path / "kafka").mkdir()
    with own_kafka(tmp_path / "kafka") as broker:
        foreign = KafkaLog(broker.bootstrap, session_timeout_ms=3_000, patience_s=5)
        foreign.create("meters", 2, {})
        receiver = Receiver(foreign, "meters", tmp_path / "spool", log, journal)
        for number in range(5):
            write(broker.bootstrap, "meters", [reading(n) for n in range(20 * number, 20 * number + 20)])
            until(partial(taken, receiver, log, 20 * number + 20), "they are there", pause_s=0)
            broker.stop()
            receiver.failures.clear()
            until(lambda: receiver.turn() or receiver.failures, "it is said", pause_s=0)
            broker.start()
        receiver.inbox.stop()
    assert journal.kept == {}
