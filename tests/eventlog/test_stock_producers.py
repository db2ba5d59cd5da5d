"""What stock producers write into a topic: compressed batches, transactions, and batches that a disk has damaged."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from confluent_kafka import Producer

from eventlog.kafka import KafkaLog
from eventlog.protocol import Reader, TopicPartition, Unreadable
from schemas.topics import live, settings
from tests.eventlog.test_contract import CLIENTS, Membership
from tests.waiting import until

pytestmark = pytest.mark.services


@pytest.fixture
def topic(kafka_log: KafkaLog, city: str) -> str:
    name = live(city, "energy.readings")
    kafka_log.create(name, 2, settings("energy.readings"))
    return name


@pytest.fixture(params=CLIENTS)
def reader(request, kafka: str, city: str, topic: str) -> Iterator[Reader]:
    reader = CLIENTS[request.param](kafka, session_timeout_ms=3_000).reader(city, [topic], Membership())
    yield reader
    reader.close()


def produce(kafka: str, topic: str, partition: int, values: Sequence[bytes], **options: object) -> None:
    """Append the values as one batch or several, as librdkafka does with these options."""
    producer = Producer({"bootstrap.servers": kafka, "linger.ms": 100, "log_level": 0, **options})
    for value in values:
        producer.produce(topic, value, partition=partition)
    assert producer.flush(30) == 0


def read_values(reader: Reader, count: int) -> list[tuple[int, bytes | None]]:
    """The next `count` values, each with its partition's number."""
    found: list[tuple[int, bytes | None]] = []

    def complete() -> bool:
        for partition, records in reader.poll(100).items():
            found.extend((partition.partition, record.value) for record in records)
        return len(found) >= count

    until(complete, f"{count} records were read", pause_s=0)
    return found


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_every_codec_of_kafka_can_be_read(codec, kafka, topic, reader):
    values = [b"%d" % number * 100 for number in range(200)]
    produce(kafka, topic, 0, values, **{"compression.type": codec})
    assert [value for _, value in read_values(reader, 200)] == values


def test_a_batch_with_a_wrong_checksum_stops_its_partition_and_no_other(kafka, topic, reader, services_home):
    for number in range(3):
        produce(kafka, topic, 0, [b"batch %d, record %d" % (number, record) for record in range(10)])
    damage(services_home, topic, 0, b"batch 1, record 4")
    produce(kafka, topic, 1, [b"%d" % number for number in range(50)])
    found, unreadable = read_past_an_error(reader, 60)
    assert sorted(found) == sorted(
        [(0, b"batch 0, record %d" % n) for n in range(10)] + [(1, b"%d" % n) for n in range(50)]
    )
    assert unreadable.partition == TopicPartition(topic, 0)
    assert (unreadable.offset, unreadable.next_offset) == (10, 20)
    assert "crc" in str(unreadable)
    produce(kafka, topic, 1, [b"later"])
    assert read_values(reader, 1) == [(1, b"later")]  # the damaged partition is not read again

    reader.seek(unreadable.partition, unreadable.next_offset)
    reader.resume(unreadable.partition)
    assert read_values(reader, 10) == [(0, b"batch 2, record %d" % record) for record in range(10)]


def test_aborted_messages_are_not_read_and_a_marker_at_the_end_is_passed(kafka, topic, reader, city):
    produce(kafka, topic, 0, [b"before"])
    in_transactions(kafka, topic, city, [(b"aborted", False), (b"committed", True), (b"aborted too", False)])
    assert [value for _, value in read_values(reader, 2)] == [b"before", b"committed"]
    partition = TopicPartition(topic, 0)
    end = 7  # four messages, three markers; Kafka writes the last one after it has answered
    until(lambda: reader.ends([partition])[partition] == end, "the last marker is written")

    def at_the_end() -> bool:
        assert reader.poll(100) == {}
        return reader.position(partition) == end

    until(at_the_end, "the reader is past the last marker", pause_s=0)


def test_an_open_transaction_is_not_the_end_of_the_log(kafka, topic, reader, city):
    produce(kafka, topic, 0, [b"before"])
    producer = transactional(kafka, city)
    producer.begin_transaction()
    producer.produce(topic, b"open", partition=0)
    assert producer.flush(30) == 0
    assert read_values(reader, 1) == [(0, b"before")]
    partition = TopicPartition(topic, 0)
    assert reader.ends([partition]) == {partition: 1}
    producer.commit_transaction(30)
    assert read_values(reader, 1) == [(0, b"open")]


def test_reading_backwards_leaves_out_what_was_aborted(kafka, kafka_log, topic, city):
    producer = transactional(kafka, city, partitioner="murmur2_random")
    for value, commits in [(b"first", True), (b"aborted", False), (b"second", True), (b"aborted too", False)]:
        producer.begin_transaction()
        producer.produce(topic, value, key=b"7")
        assert producer.flush(30) == 0
        (producer.commit_transaction if commits else producer.abort_transaction)(30)
    assert [record.value for record in kafka_log.backwards(topic, b"7")] == [b"second", b"first"]


def transactional(kafka: str, city: str, **options: object) -> Producer:
    producer = Producer({"bootstrap.servers": kafka, "transactional.id": city, "log_level": 0, **options})
    producer.init_transactions(30)
    return producer


def in_transactions(kafka: str, topic: str, city: str, messages: Sequence[tuple[bytes, bool]]) -> None:
    """Append each message in a transaction of its own, committed or aborted."""
    producer = transactional(kafka, city)
    for value, commits in messages:
        producer.begin_transaction()
        producer.produce(topic, value, partition=0)
        assert producer.flush(30) == 0
        (producer.commit_transaction if commits else producer.abort_transaction)(30)


def read_past_an_error(reader: Reader, count: int) -> tuple[list[tuple[int, bytes | None]], Unreadable]:
    """`count` values, and the one error that comes out of a poll meanwhile."""
    found: list[tuple[int, bytes | None]] = []
    raised: list[Unreadable] = []

    def complete() -> bool:
        try:
            for partition, records in reader.poll(100).items():
                found.extend((partition.partition, record.value) for record in records)
        except Unreadable as error:
            raised.append(error)
        return len(found) >= count and bool(raised)

    until(complete, f"{count} records and an error were read", pause_s=0)
    [unreadable] = raised
    return found, unreadable


def damage(services_home: Path, topic: str, partition: int, value: bytes) -> None:
    """Flip a bit of a stored message, as a failing disk does; the broker serves what its files hold."""
    [segment] = services_home.glob(f"**/{topic}-{partition}/00000000000000000000.log")
    data = bytearray(segment.read_bytes())
    data[data.index(value)] ^= 1
    with segment.open("r+b") as file:
        file.write(data)
