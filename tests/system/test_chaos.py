"""Processors are killed, frozen and cut off from PostgreSQL; another consumer of the same topic is left alone.

Both must come to the same tables and the same account. On the real Kafka and PostgreSQL.
"""

import random
from threading import Event

import pytest

from schemas.topics import live
from store.processing_postgres import PostgresStore
from tests.system.proxy import CuttingProxy
from tests.system.streams import (
    DATASET,
    Processor,
    Topic,
    Trickle,
    city_file,
    day,
    positions,
    process_undisturbed,
    table,
    until,
)

pytestmark = pytest.mark.services

KILLS = 20


@pytest.fixture
def messages():
    return day()


@pytest.fixture
def topic(kafka_log, city):
    return Topic(kafka_log, live(city, DATASET))


def caught_up(database_url: str, topic: Topic) -> bool:
    reached = positions(database_url)
    return all(reached.get(partition, (0, -1))[1] == end for partition, end in topic.ends().items())


def assert_same_as_undisturbed(kafka_log, topic, database_url, other_url) -> None:
    process_undisturbed(kafka_log, topic.name, other_url, f"alone-{topic.name}")
    disturbed, alone = table(database_url), table(other_url)
    assert len(alone["cells"]) > 100
    assert len(alone["dead"]) > 10
    for name, rows in alone.items():
        assert disturbed[name] == rows, name


def test_killed_twenty_times_at_random_moments(
    kafka, kafka_log, topic, messages, city, database_url, second_database_url, tmp_path
):
    chance, config = random.Random(20), city_file(tmp_path, city)
    log = tmp_path / "process.log"
    with Trickle(topic, messages) as source:  # so that there is always something under way
        for _ in range(KILLS):
            processor = Processor(config, kafka, database_url, log)
            Event().wait(chance.uniform(0.2, 3.0))
            processor.kill()
        source.pour_out_the_rest()
    claims = max(epoch for epoch, _ in positions(database_url).values())
    assert claims >= KILLS // 4, "most were killed before they had taken anything over"
    processor = Processor(config, kafka, database_url, log)
    until(lambda: log.read_bytes().count(b"took over") > claims, "the last processor took over")
    until(lambda: caught_up(database_url, topic), "the last processor read everything")
    assert processor.stop() == 0
    assert_same_as_undisturbed(kafka_log, topic, database_url, second_database_url)


def test_of_two_processors_one_is_frozen_past_its_session_and_woken(
    kafka, kafka_log, topic, messages, city, database_url, second_database_url, tmp_path
):
    config, half = city_file(tmp_path, city), len(messages) // 2
    logs = (tmp_path / "one.log", tmp_path / "two.log")
    one, two = (Processor(config, kafka, database_url, log) for log in logs)
    until(lambda: all(b"took over 2 partitions" in log.read_bytes() for log in logs), "both share the partitions")
    topic.send(messages[:half])
    until(lambda: any(offset for _, offset in positions(database_url).values()), "they have begun")
    one.freeze()
    topic.send(messages[half:])
    until(lambda: caught_up(database_url, topic), "the other one took everything over")
    epochs = positions(database_url)
    one.wake()
    until(lambda: positions(database_url) != epochs, "the woken one joined again")
    assert one.stop() == 0
    assert two.stop() == 0
    assert_same_as_undisturbed(kafka_log, topic, database_url, second_database_url)


def test_the_connection_is_cut_before_and_after_commit(kafka_log, topic, messages, database_url, second_database_url):
    proxy = CuttingProxy(database_url, [None, None, "before", None, "after", None, "after", "before"])
    topic.send(messages)
    process_undisturbed(kafka_log, topic.name, proxy.url, f"cut-{topic.name}", PostgresStore(proxy.url))
    assert proxy.made == ["before", "after", "after", "before"]
    proxy.close()
    assert_same_as_undisturbed(kafka_log, topic, database_url, second_database_url)
