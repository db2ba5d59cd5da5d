"""The Protocols of `eventlog.protocol`, tested with the log in memory and with Kafka."""

import time
from collections.abc import Callable

import pytest

from eventlog.confluent import ConfluentLog
from eventlog.kafka import KafkaLog
from eventlog.memory import MemoryLog
from eventlog.protocol import DeliveryFailed, InstanceTaken, OffsetGone, ProducersTime, TopicPartition, UnknownTopic
from schemas.topics import live, settings
from tests.waiting import until

CLIENTS = {"kafka": KafkaLog, "confluent": ConfluentLog}


class Membership:
    """A listener that starts at `start` and records the calls."""

    def __init__(self, start: int = 0) -> None:
        self.start = start
        self.owned: set[TopicPartition] = set()
        self.calls: list[str] = []

    def assigned(self, partitions):
        self.calls.append("assigned")
        self.owned |= set(partitions)
        return dict.fromkeys(partitions, self.start)

    def revoked(self, partitions):
        self.calls.append("revoked")
        self.owned -= set(partitions)

    def lost(self, partitions):
        self.calls.append("lost")
        self.owned -= set(partitions)


@pytest.fixture(params=["memory", *(pytest.param(client, marks=pytest.mark.services) for client in CLIENTS)])
def log(request):
    if request.param == "memory":
        return MemoryLog(lambda: 1_790_000_000_000)
    return CLIENTS[request.param](request.getfixturevalue("kafka"), session_timeout_ms=3_000)


@pytest.fixture(params=CLIENTS)
def cluster(request, kafka):
    """The cluster by each client."""
    return CLIENTS[request.param](kafka, session_timeout_ms=3_000)


@pytest.fixture
def topic(log, city):
    name = live(city, "energy.readings")
    log.create(name, 4, settings("energy.readings"))
    return name


def poll_until(condition: Callable[[], bool], what: str, *readers) -> None:
    """Poll the readers in turn, as their owners would, until the condition holds."""

    def holds() -> bool:
        for reader in readers:
            reader.poll(100)
        return condition()

    until(holds, what, pause_s=0)


def read(reader, count: int) -> list:
    """The next `count` records, with their partitions."""
    records = []

    def complete() -> bool:
        for partition, found in reader.poll(100).items():
            records.extend((partition, record) for record in found)
        return len(records) >= count

    until(complete, f"{count} records were read", pause_s=0)
    return records


def test_a_topic_is_made_once_and_described(log, topic):
    before = log.describe(topic)
    log.create(topic, 8, settings("energy.readings"))
    assert log.describe(topic) == before
    assert before.partitions == 4
    assert topic in log.topics()


def test_an_unknown_topic_is_an_error(log, city):
    with pytest.raises(UnknownTopic):
        log.describe(live(city, "no.such"))


def test_messages_of_one_key_come_back_in_order_from_one_partition(log, topic, city):
    writer = log.writer()
    for number in range(50):
        writer.send(topic, b"17", b"%d" % number, readings=2)
    writer.flush()
    reader = log.reader(city, [topic], Membership())
    records = read(reader, 50)
    assert len({partition for partition, _ in records}) == 1
    assert [(record.key, record.value) for _, record in records] == [(b"17", b"%d" % number) for number in range(50)]
    assert [record.offset for _, record in records] == list(range(50))
    [(where, counts)] = writer.acknowledged().items()
    assert where == records[0][0]
    assert (counts.messages, counts.readings, counts.first_offset, counts.last_offset) == (50, 100, 0, 49)
    reader.close()


def test_the_logs_own_clock_stamps_every_record(log, topic, city):
    writer = log.writer()
    writer.send_to(topic, 3, b"tick")
    writer.flush()
    reader = log.reader(city, [topic], Membership())
    [(partition, record)] = read(reader, 1)
    assert partition == TopicPartition(topic, 3)
    assert (record.key, record.value) == (None, b"tick")
    assert record.timestamp > 1_700_000_000_000
    reader.close()


def test_headers_come_back_with_their_message(log, topic, city):
    writer = log.writer()
    writer.send_to(topic, 0, b"with", [("name", b"\x00\xff"), ("name", b"again")])
    writer.flush()
    reader = log.reader(city, [topic], Membership())
    [(_, record)] = read(reader, 1)
    assert list(record.headers) == [("name", b"\x00\xff"), ("name", b"again")]
    reader.close()


def test_reading_starts_at_the_listeners_offset_and_can_be_moved(log, topic, city):
    writer = log.writer()
    for number in range(10):
        writer.send_to(topic, 0, b"%d" % number)
    writer.flush()
    reader = log.reader(city, [topic], Membership(start=0))
    read(reader, 10)
    reader.seek(TopicPartition(topic, 0), 7)
    assert [record.value for _, record in read(reader, 3)] == [b"7", b"8", b"9"]
    assert reader.ends([TopicPartition(topic, 0)]) == {TopicPartition(topic, 0): 10}
    reader.close()


def test_a_partition_without_a_start_is_paused_until_it_is_sought_and_resumed(log, topic, city):
    class Waiting(Membership):
        def assigned(self, partitions):
            super().assigned(partitions)
            return {}

    writer, listener, here = log.writer(), Waiting(), TopicPartition(topic, 0)
    for number in range(10):
        writer.send_to(topic, 0, b"%d" % number)
    writer.flush()
    reader = log.reader(city, [topic], listener)
    poll_until(lambda: len(listener.owned) == 4, "the reader has all partitions", reader)
    assert not reader.poll(500)
    reader.seek(here, 8)
    reader.resume(here)
    assert [record.value for _, record in read(reader, 2)] == [b"8", b"9"]
    reader.close()


def test_a_named_member_that_comes_back_gets_its_partitions_and_the_others_notice_nothing(log, topic, city):
    first, second, again = Membership(), Membership(), Membership()
    one = log.reader(city, [topic], first, instance="one")
    poll_until(lambda: len(first.owned) == 4, "one reader has all partitions", one)
    two = log.reader(city, [topic], second, instance="two")
    poll_until(lambda: len(first.owned) == len(second.owned) == 2, "the readers share the partitions", one, two)
    before, calls = set(second.owned), list(first.calls)
    two.close()
    assert second.owned == set()
    back = log.reader(city, [topic], again, instance="two")
    poll_until(lambda: bool(again.owned), "the named member is back", one, back)
    assert again.owned == before
    one.poll(100)
    assert first.calls == calls
    for reader in (one, back):
        reader.close()


@pytest.mark.services
def test_a_named_member_that_comes_back_for_other_topics_gets_their_partitions(cluster, city):
    names = [live(city, dataset) for dataset in ("energy.readings", "waste.fill-levels")]
    for name in names:
        cluster.create(name, 2, settings("energy.readings"))
    before, after = Membership(), Membership()
    reader = cluster.reader(city, names[:1], before, instance="one")
    poll_until(lambda: len(before.owned) == 2, "one topic is assigned", reader)
    reader.close()
    reader = cluster.reader(city, names, after, instance="one")
    poll_until(lambda: len(after.owned) == 4, "both topics are assigned", reader)
    reader.close()


def test_of_two_members_with_one_name_the_first_ends_with_an_error_and_the_second_has_its_partitions(log, topic, city):
    first, second = Membership(), Membership()
    one = log.reader(city, [topic], first, instance="same")
    poll_until(lambda: len(first.owned) == 4, "one reader has all partitions", one)
    two = log.reader(city, [topic], second, instance="same")
    poll_until(lambda: len(second.owned) == 4, "the second has all partitions", two)

    def refused() -> bool:
        one.note({TopicPartition(topic, 0): 0})
        try:
            one.poll(100)
        except InstanceTaken as error:
            return "SISTERCITY_INSTANCE" in str(error)
        return False

    until(refused, "the first learns of it")
    assert not two.poll(100)
    one.close()
    assert not two.poll(100)
    assert len(second.owned) == 4
    two.close()


@pytest.mark.services
@pytest.mark.parametrize("client", CLIENTS.values())
def test_a_name_that_a_client_of_another_machine_has_is_refused_before_it_is_taken(client, kafka, city):
    name = live(city, "energy.readings")
    here, there = (client(kafka, client_id=f"sistercity-{machine}") for machine in ("here", "there"))
    here.create(name, 1, settings("energy.readings"))
    held = Membership()
    reader = here.reader(city, [name], held, instance="same")
    poll_until(lambda: bool(held.owned), "the first has its partition", reader)
    before = list(held.calls)
    with pytest.raises(InstanceTaken, match="sistercity-here"):
        there.reader(city, [name], Membership(), instance="same")
    reader.note({TopicPartition(name, 0): 0})
    assert not reader.poll(500)
    assert held.calls == before
    reader.close()


@pytest.mark.services
def test_a_partition_that_was_paused_between_two_records_is_read_on_after_the_others_have_ended(cluster, city):
    topic = live(city, "energy.readings")
    cluster.create(topic, 2, settings("energy.readings"))
    writer = cluster.writer()
    for number in range(20):
        writer.send_to(topic, number % 2, b"%d" % number)
    writer.flush()
    reader = cluster.reader(city, [topic], Membership(), at_once=1)
    [(paused, _)] = read(reader, 1)
    reader.pause(paused)
    assert {partition for partition, _ in read(reader, 10)} == {TopicPartition(topic, 1 - paused.partition)}
    reader.resume(paused)
    assert [record.offset for _, record in read(reader, 9)] == list(range(1, 10))
    reader.close()


def test_the_first_offset_since_a_time_is_found_or_the_end(log, topic, city):
    here, empty = TopicPartition(topic, 0), TopicPartition(topic, 1)
    writer = log.writer()
    for number in range(3):
        writer.send_to(topic, 0, b"%d" % number)
    writer.flush()
    reader = log.reader(city, [topic], Membership(start=0))
    appended = read(reader, 3)[-1][1].timestamp
    assert reader.first_since({here: appended - 3_600_000, empty: appended - 3_600_000}) == {here: 0, empty: 0}
    assert reader.first_since({here: appended + 1, empty: appended + 1}) == {here: 3, empty: 0}
    reader.close()


def test_an_offset_that_the_log_does_not_hold_is_an_error(log, topic, city):
    reader = log.reader(city, [topic], Membership(start=5))
    deadline = time.monotonic() + 30
    with pytest.raises(OffsetGone) as gone:
        while time.monotonic() < deadline:
            reader.poll(100)
    assert (gone.value.offset, gone.value.earliest, gone.value.end) == (5, 0, 0)
    reader.close()


def test_what_the_listener_raises_comes_out_of_poll(log, topic, city):
    class Refusing(Membership):
        def assigned(self, partitions):
            raise LookupError("no position")

    deadline = time.monotonic() + 30
    with pytest.raises(LookupError):
        reader = log.reader(city, [topic], Refusing())
        while time.monotonic() < deadline:
            reader.poll(100)


def test_two_members_share_the_partitions_and_one_takes_over_when_the_other_leaves(log, topic, city):
    first, second = Membership(), Membership()
    one = log.reader(city, [topic], first)
    poll_until(lambda: len(first.owned) == 4, "one reader has all partitions", one)
    two = log.reader(city, [topic], second)
    poll_until(lambda: len(first.owned) == len(second.owned) == 2, "the readers share the partitions", one, two)
    assert not first.owned & second.owned
    two.close()
    poll_until(lambda: len(first.owned) == 4, "one reader has all partitions", one)
    assert second.calls[-1] == "revoked"
    one.close()


def test_the_messages_of_a_key_are_read_backwards_without_a_group(log, topic):
    writer = log.writer()
    for number in range(100):  # more than are fetched at once
        writer.send(topic, b"%d" % (number % 20), b"%d" % number)
    writer.flush()
    for key in range(20):
        assert [record.value for record in log.backwards(topic, b"%d" % key)] == [
            b"%d" % (n + key) for n in (80, 60, 40, 20, 0)
        ]
    latest = log.backwards(topic, b"7")
    writer.send(topic, b"7", b"the first one")
    writer.flush()
    assert next(latest).value in (b"87", b"the first one")
    writer.send(topic, b"7", b"the second one")
    writer.flush()
    assert b"the second one" not in [record.value for record in latest]
    assert next(log.backwards(topic, b"7")).value == b"the second one"
    assert list(log.backwards(topic, b"nobody")) == []


def test_reading_an_unknown_topic_backwards_is_an_error(log, city):
    with pytest.raises(UnknownTopic):
        next(log.backwards(live(city, "no.such"), b"7"))


@pytest.mark.services
@pytest.mark.parametrize("megabytes", [2, 6])  # too much for the topic, too much for the client itself
def test_a_message_that_kafka_refuses_is_an_error_and_not_a_loss(megabytes, cluster, city):
    name = live(city, "energy.readings")
    cluster.create(name, 1, settings("energy.readings"))
    writer = cluster.writer()
    writer.send(name, b"1", b"good", readings=1)
    writer.flush()
    with pytest.raises(DeliveryFailed):
        writer.send(name, b"1", bytes(megabytes << 20), readings=1)
        writer.flush()
    assert [counts.messages for counts in writer.acknowledged().values()] == [1]


@pytest.mark.services
def test_a_topic_with_the_time_of_its_producers_is_refused(cluster, city):
    name = live(city, "energy.readings")
    cluster.create(name, 1, {"message.timestamp.type": "CreateTime"})
    writer = cluster.writer()
    writer.send_to(name, 0, b"anything")
    writer.flush()
    reader = cluster.reader(city, [name], Membership())
    with pytest.raises(ProducersTime, match="LogAppendTime"):
        read(reader, 1)
    reader.close()


def test_a_pause_ends_with_the_next_assignment(log, topic, city):
    writer, first, second = log.writer(), Membership(), Membership()
    one = log.reader(city, [topic], first)
    poll_until(lambda: len(first.owned) == 4, "one reader has all partitions", one)
    for partition in first.owned:
        one.pause(partition)
    two = log.reader(city, [topic], second)
    poll_until(lambda: len(first.owned) == len(second.owned) == 2, "the readers share the partitions", one, two)
    for number in range(4):
        writer.send_to(topic, number, b"tick")
    writer.flush()
    assert len(read(one, 2)) == 2
    for reader in (one, two):
        reader.close()


def test_a_range_of_offsets_is_read_without_a_group(log, topic):
    here, writer = TopicPartition(topic, 0), log.writer()
    for number in range(10):
        writer.send_to(topic, 0, b"%d" % number)
    writer.flush()
    pieces = list(log.between(here, 3, 8, at_once=2))
    assert [record.value for piece in pieces for record in piece] == [b"3", b"4", b"5", b"6", b"7"]
    assert max(map(len, pieces)) <= 2
    assert [record for piece in log.between(here, 4, 4) for record in piece] == []
    with pytest.raises(OffsetGone) as gone:
        list(log.between(here, 8, 11))
    assert (gone.value.earliest, gone.value.end) == (0, 10)
    with pytest.raises(UnknownTopic):
        list(log.between(TopicPartition(topic + ".no", 0), 0, 1))
