"""Asking where a reader stands costs the same for each partition, however many the reader has."""

from contextlib import closing

import pytest

from eventlog.kafka import KafkaLog
from eventlog.protocol import TopicPartition
from schemas.topics import live, settings
from tests.calls import calls
from tests.eventlog.test_contract import Membership
from tests.waiting import until

pytestmark = pytest.mark.services


def calls_of_positions(log: KafkaLog, topic: str, partitions: int) -> float:
    """Calls from Python that the positions of a reader which has read everything take, for each partition."""
    log.create(topic, partitions, settings("energy.readings"))
    wanted = [TopicPartition(topic, number) for number in range(partitions)]
    with closing(log.writer()) as writer:
        for _, number in wanted:
            writer.send_to(topic, number, b"value")
        writer.flush()
    reader, seen = log.reader(topic, [topic], Membership()), set()

    def read() -> bool:
        seen.update(reader.poll(100))
        return len(seen) == partitions

    until(read, "every partition was read", pause_s=0)
    try:
        assert [reader.position(partition) for partition in wanted] == [1] * partitions
        return calls(lambda: [reader.position(partition) for partition in wanted]) / partitions
    finally:
        reader.close()


def test_positions_take_as_many_calls_of_each_of_64_partitions_as_of_each_of_8(kafka_log, city):
    few = calls_of_positions(kafka_log, live(f"{city}-few", "energy.readings"), 8)
    assert calls_of_positions(kafka_log, live(f"{city}-many", "energy.readings"), 64) < 1.5 * few
