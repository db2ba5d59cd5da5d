"""Processors are killed, frozen and cut off from PostgreSQL; another consumer of the same topic is left alone.

Both must come to the same tables and the same account. On the real Kafka and PostgreSQL.
"""

import random
from threading import Event

import psycopg
import pytest

from schemas.batch import decode
from schemas.topics import FRAMES, REGIONS
from store.processing_postgres import PostgresStore
from tests.system.days import ENERGY, Sent, energy_day, mixed, pictures, regions_day, waste_day
from tests.system.proxy import CuttingProxy
from tests.system.streams import (
    DETECT,
    Processor,
    Topics,
    Trickle,
    city_file,
    everything_in,
    look_undisturbed,
    positions,
    process_undisturbed,
    table,
    until,
)

pytestmark = pytest.mark.services

KILLS = 20


METRICS = {"energy.import", "energy.solar", "waste.fill", "waste.collected", "waste.tonnage"} | {
    "traffic.regions", "traffic.passes", "traffic.density",
}  # fmt: skip
STREAMS = (ENERGY, "waste.fill-levels", "waste.collections", REGIONS)


@pytest.fixture(scope="module")
def messages() -> list[Sent]:
    return mixed([energy_day(), *waste_day(), regions_day()])


@pytest.fixture
def topics(kafka_log, city):
    return Topics(kafka_log, city, STREAMS)


def kill_at_random(processor: Processor, chance: random.Random, *, at_work: bool) -> None:
    """Kill it at some moment: of its start, or once it is at work."""
    if at_work:
        processor.wait_to_take_over()
    Event().wait(chance.uniform(0.1, 2.0))
    processor.kill()


def caught_up(database_url: str, topics: Topics) -> bool:
    reached = positions(database_url)
    return all(reached.get(place, (0, -1))[1] == end for place, end in topics.ends().items())


def assert_same_as_undisturbed(kafka_log, topics, database_url, other_url) -> None:
    process_undisturbed(kafka_log, topics.names, other_url, f"alone-{topics.names[0]}")
    disturbed, alone = table(database_url), table(other_url)
    assert {cell[0] for cell in alone["cells"]} == METRICS
    with psycopg.connect(other_url) as connection:
        passed = connection.execute("SELECT sum(value) FROM cells WHERE metric = 'traffic.passes'").fetchone()
    assert passed[0] > 50
    assert len(alone["dead"]) > 10
    for name, rows in alone.items():
        assert disturbed[name] == rows, name


def test_killed_twenty_times_at_random_moments(
    kafka, kafka_log, topics, messages, city, database_url, second_database_url, tmp_path
):
    chance, config = random.Random(20), city_file(tmp_path, city)
    log = tmp_path / "process.log"
    with Trickle(topics, messages) as source:  # so that there is always something under way
        for number in range(KILLS):
            kill_at_random(Processor(config, kafka, database_url, log), chance, at_work=number % 2 == 1)
        source.pour_out_the_rest()
    processor = Processor(config, kafka, database_url, log)
    processor.wait_to_take_over()
    until(lambda: caught_up(database_url, topics), "the last processor read everything")
    assert processor.stop() == 0
    assert_same_as_undisturbed(kafka_log, topics, database_url, second_database_url)


def test_of_two_processors_one_is_frozen_past_its_session_and_woken(
    kafka, kafka_log, topics, messages, city, database_url, second_database_url, tmp_path
):
    config, half = city_file(tmp_path, city), len(messages) // 2
    logs = (tmp_path / "one.log", tmp_path / "two.log")
    one, two = (Processor(config, kafka, database_url, log) for log in logs)
    until(lambda: all(b"took over 8 partitions" in log.read_bytes() for log in logs), "both share the partitions")
    topics.send(messages[:half])
    until(lambda: any(offset for _, offset in positions(database_url).values()), "they have begun")
    one.freeze()
    topics.send(messages[half:])
    until(lambda: caught_up(database_url, topics), "the other one took everything over")
    epochs = positions(database_url)
    one.wake()
    until(lambda: positions(database_url) != epochs, "the woken one joined again")
    assert one.stop() == 0
    assert two.stop() == 0
    assert_same_as_undisturbed(kafka_log, topics, database_url, second_database_url)


def test_the_connection_is_cut_before_and_after_commit(kafka_log, topics, messages, database_url, second_database_url):
    proxy = CuttingProxy(database_url, [None, None, "before", None, "after", None, "after", "before"])
    topics.send(messages)
    process_undisturbed(kafka_log, topics.names, proxy.url, f"cut-{topics.names[0]}", PostgresStore(proxy.url))
    assert proxy.made == ["before", "after", "after", "before"]
    proxy.close()
    assert_same_as_undisturbed(kafka_log, topics, database_url, second_database_url)


def test_detectors_are_killed_and_frozen_and_every_picture_counts_once(
    kafka, kafka_log, city, database_url, second_database_url, tmp_path
):
    """Pictures may be looked at twice, but what comes of them is the same, and so is every camera's account."""
    chance, config = random.Random(21), city_file(tmp_path, city)
    taken, found = Topics(kafka_log, city, [FRAMES]), Topics(kafka_log, city, [REGIONS])
    log = tmp_path / "detect.log"
    with Trickle(taken, pictures(seconds=200), a_second=20) as source:
        for number in range(KILLS // 3):
            kill_at_random(Processor(config, kafka, database_url, log, DETECT), chance, at_work=number % 2 == 1)
        frozen = Processor(config, kafka, database_url, log, DETECT)
        frozen.wait_to_take_over()
        frozen.freeze()
        assert source.pour_out_the_rest() > 50, "there was too little left to do"
    other = Processor(config, kafka, database_url, log, DETECT)
    until(lambda: caught_up(database_url, taken), "the other one looked at everything")
    frozen.wake()
    assert frozen.stop() == 0
    assert other.stop() == 0
    alone_found = Topics(kafka_log, f"{city}-alone", [REGIONS])
    look_undisturbed(kafka_log, taken.names[0], alone_found.names[0], second_database_url)
    disturbed, alone = table(database_url), table(second_database_url)
    assert len(alone["cameras"]) > 2
    assert disturbed == alone
    looked_at, ticks = came_out(kafka_log, alone_found.names[0])
    assert len(looked_at) > 100
    found_at_last, ticks_at_last = came_out(kafka_log, found.names[0])
    assert found_at_last == looked_at
    assert max(ticks_at_last) == max(ticks)


def came_out(kafka_log, topic: str) -> tuple[set[bytes | None], set[int]]:
    """What was found in pictures, each once, and the times of ticks."""
    records = everything_in(kafka_log, topic)
    batches = [(record.value, decode(record.value)) for record in records]
    return {value for value, batch in batches if batch.count}, {one.start for _, one in batches if not one.count}
