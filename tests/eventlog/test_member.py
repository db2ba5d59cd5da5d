"""Topics that others write: positions that the cluster keeps, and what a topic may do to its readers."""

import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from confluent_kafka import Producer
from kafka import KafkaAdminClient, KafkaConsumer
from kafka import TopicPartition as KafkaPartition
from kafka.admin import MemberToRemove
from kafka.structs import OffsetAndMetadata

from eventlog.kafka import KafkaLog
from eventlog.kafka.bounds import KEPT_OF_LONG, LONGEST_VALUE, MOST_UNPACKED
from eventlog.kafka.member import GroupMember, SkippedOffsets, Start
from eventlog.protocol import TopicPartition, UnknownTopic
from tests.waiting import until

pytestmark = pytest.mark.services

Opening = Callable[..., "Follower"]


class Follower:
    """A member and all that it was given."""

    def __init__(self, member: GroupMember) -> None:
        self.member = member
        self.values: list[bytes | None] = []
        self.skipped: list[SkippedOffsets] = []
        self.cut = 0
        self.next: dict[TopicPartition, int] = {}

    def poll(self) -> None:
        polled = self.member.poll(100)
        for at, records in polled.records.items():
            self.values += [record.value for record in records]
            self.next[at] = records[-1].offset + 1
        self.skipped += polled.skipped
        self.cut += len(polled.cut)

    def until(self, condition: Callable[[], object], what: str, seconds: float = 60) -> None:
        until(lambda: self.poll() or condition(), what, seconds, pause_s=0)


@pytest.fixture
def topic(kafka_log: KafkaLog, city: str) -> str:
    name = f"{city}.meters"
    kafka_log.create(name, 1, {"max.message.bytes": str(8 << 20)})
    return name


@pytest.fixture
def join(kafka_log: KafkaLog, topic: str) -> Iterator[Opening]:
    with ExitStack() as stack:

        def joined(start: Start = "earliest") -> Follower:
            member = kafka_log.member(topic, topic, start)
            stack.callback(member.close)
            return Follower(member)

        yield joined


def produce(kafka: str, topic: str, values: list[bytes | None], partition: int = 0, **options: object) -> None:
    settings = {"bootstrap.servers": kafka, "linger.ms": 50, "message.max.bytes": 100 << 20, "log_level": 0, **options}
    producer = Producer(settings)
    for value in values:
        producer.produce(topic, value, key=b"k", partition=partition)
    assert producer.flush(30) == 0


def test_what_is_not_committed_comes_again_and_what_is_committed_does_not(kafka, topic, join):
    produce(kafka, topic, [b"1", b"2"])
    first = join()
    first.until(lambda: first.values == [b"1", b"2"], "both came")
    [at] = first.next
    first.member.rewind({at: 1})
    first.until(lambda: first.values == [b"1", b"2", b"2"], "the second came again")
    first.member.commit({at: 1})
    first.member.close()
    second = join()
    second.until(lambda: second.values == [b"2"], "what was not committed came")


def test_what_a_member_takes_that_the_group_has_put_out_comes_again_and_is_committed(kafka, topic, join):
    produce(kafka, topic, [b"1", b"2"])
    first = join()
    first.until(lambda: first.values == [b"1", b"2"], "both came")
    admin = KafkaAdminClient(bootstrap_servers=kafka)
    admin.remove_group_members(topic, [MemberToRemove(first.member._consumer._coordinator._generation.member_id)])
    admin.close()
    first.member.commit(first.next)  # refused: the group goes on without it
    first.until(lambda: first.values == [b"1", b"2"] * 2, "both came again")
    first.member.commit(first.next)
    first.member.close()
    produce(kafka, topic, [b"3"])
    second = join()
    second.until(lambda: second.values, "something came")
    assert second.values == [b"3"]


def test_a_group_that_begins_at_the_end_misses_nothing_of_what_comes_before_it_is_started_again(kafka, topic, join):
    produce(kafka, topic, [b"before"])
    first = join("latest")
    first.until(first.member._reader.assignment, "it is assigned")
    first.poll()
    first.poll()
    first.member.close()
    produce(kafka, topic, [b"after"])
    second = join("latest")
    second.until(lambda: second.values, "something came", 20)
    assert (first.values, second.values) == ([], [b"after"])


def test_of_two_members_each_has_partitions_and_the_one_that_stays_gets_all(kafka, kafka_log, city, join):
    admin = KafkaAdminClient(bootstrap_servers=kafka)
    admin.create_partitions({f"{city}.meters": 2})
    admin.close()
    first, second = join(), join()
    until(
        lambda: (
            first.poll() or second.poll() or (first.member._reader.assignment() and second.member._reader.assignment())
        ),
        "both have a partition",
        pause_s=0,
    )
    second.member.close()
    produce(kafka, f"{city}.meters", [b"a"], 0)
    produce(kafka, f"{city}.meters", [b"b"], 1)
    first.until(lambda: set(first.values) == {b"a", b"b"}, "the first has both")


def test_what_retention_took_is_said_with_its_number(kafka, topic, join):
    produce(kafka, topic, [b"1", b"2", b"3"])
    first = join()
    first.until(lambda: len(first.values) == 3, "all came")
    first.member.commit({TopicPartition(topic, 0): 1})
    first.member.close()
    admin = KafkaAdminClient(bootstrap_servers=kafka)
    admin.delete_records({KafkaPartition(topic, 0): 2})
    admin.close()
    second = join()
    second.until(lambda: second.values == [b"3"], "what is left came")
    [gap] = second.skipped
    assert (gap.first, gap.until) == (1, 2)
    assert "did not keep them" in gap.words


def test_a_topic_that_is_made_anew_is_read_from_its_beginning(kafka, kafka_log, topic, join):
    produce(kafka, topic, [b"1", b"2"])
    first = join()
    first.until(lambda: len(first.values) == 2, "all came")
    first.member.commit(first.next)
    first.member.close()
    made_anew(kafka, kafka_log, topic)
    produce(kafka, topic, [b"3", b"4", b"5"])
    second = join()
    second.until(lambda: second.values == [b"3", b"4", b"5"], "all of the new one came")
    assert second.skipped == []  # Kafka has forgotten the positions with the topic


def test_a_position_of_another_topic_of_the_same_name_is_not_gone_on_from(kafka, topic, join):
    produce(kafka, topic, [b"1", b"2"])
    consumer = KafkaConsumer(bootstrap_servers=kafka, group_id=topic, enable_auto_commit=False)
    consumer.assign([KafkaPartition(topic, 0)])
    consumer.commit({KafkaPartition(topic, 0): OffsetAndMetadata(1, "an-older-topic", -1)})
    consumer.close()
    member = join()
    member.until(lambda: member.values == [b"1", b"2"], "all of it came")
    [gap] = set(member.skipped)  # said again if the group forms anew before anything was committed
    assert "made anew" in gap.words


def test_a_topic_that_is_made_anew_under_a_running_member_loses_nothing_of_the_new_one(kafka, kafka_log, topic, join):
    produce(kafka, topic, [b"1"])
    member = join()
    member.until(lambda: member.values == [b"1"], "it came")
    member.member.commit(member.next)
    made_anew(kafka, kafka_log, topic)
    produce(kafka, topic, [b"2", b"3"])
    member.member.note_topic(kafka_log.describe(topic).topic_id)
    member.until(lambda: {b"2", b"3"} <= set(member.values), "all of the new one came")
    [gap] = member.skipped
    assert "made anew" in gap.words


def made_anew(kafka: str, kafka_log: KafkaLog, topic: str) -> None:
    admin = KafkaAdminClient(bootstrap_servers=kafka)
    admin.delete_topics([topic])
    admin.close()
    until(lambda: topic not in kafka_log.topics(), "it is deleted")
    kafka_log.create(topic, 1, {})


def test_without_the_topic_there_is_no_member(kafka_log, city):
    with pytest.raises(UnknownTopic):
        kafka_log.member(city, f"{city}.nowhere", "earliest")


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_a_batch_that_unpacks_to_too_much_is_passed_over_and_said(codec, kafka, topic, join):
    bomb = bytes(MOST_UNPACKED + 1)
    produce(kafka, topic, [bomb], **{"compression.type": codec})
    produce(kafka, topic, [b"good", b"better" * 1_000], **{"compression.type": codec})
    del bomb
    member = join()
    tracemalloc.start()
    member.until(lambda: member.values == [b"good", b"better" * 1_000], "what follows came")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    [gap] = member.skipped
    assert (gap.first, gap.until) == (0, 1)
    assert peak < 3 * MOST_UNPACKED


def test_of_a_huge_value_the_beginning_is_kept_and_a_tombstone_is_none(kafka, topic, join):
    produce(kafka, topic, [b"x" * (LONGEST_VALUE + 1), None, b"y" * LONGEST_VALUE])
    member = join()
    member.until(lambda: len(member.values) == 3, "all came")
    assert member.values == [b"x" * KEPT_OF_LONG, None, b"y" * LONGEST_VALUE]
    assert member.cut == 1


def test_a_join_that_a_short_poll_did_not_wait_for_is_finished_by_the_next(kafka, topic, join):
    """kafka-python 3.0.12 forgets such a join, if new partitions were why: the member then gets nothing more."""
    produce(kafka, topic, [b"1"])
    follower = join()
    follower.until(lambda: follower.values == [b"1"], "it came")
    admin = KafkaAdminClient(bootstrap_servers=kafka)
    admin.create_partitions({topic: 2})
    admin.close()
    consumer = follower.member._consumer
    until(lambda: consumer._cluster.request_update() and len(consumer.partitions_for_topic(topic)) == 2, "it is known")
    produce(kafka, topic, [b"2"], 1)

    def is_there() -> bool:
        return any(record.value == b"2" for some in follower.member.poll(0).records.values() for record in some)

    until(is_there, "what is in the new partition came", 30)
