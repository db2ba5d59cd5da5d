"""Processors are killed, frozen and cut off from PostgreSQL; an undisturbed processor reads the same topics.

Both must give the same tables and the same account. On the real Kafka and PostgreSQL.
"""

import random
from threading import Event

import psycopg
import pytest

from schemas.batch import decode
from schemas.topics import FRAMES, REGIONS
from store.processing_postgres import PostgresStore
from tests.soak import amount, soak
from tests.system.days import ENERGY, Sent, energy_day, mixed, pictures, regions_day, waste_day
from tests.system.own_postgres import own_postgres
from tests.system.proxy import CuttingProxy
from tests.system.streams import (
    DETECT,
    Processor,
    Topics,
    Trickle,
    city_file,
    everything_in,
    look_undisturbed,
    members,
    positions,
    process_undisturbed,
    shares,
    table,
)
from tests.waiting import until

pytestmark = [pytest.mark.services, soak]

PROCESSOR_KILLS = amount(4, soak=30)
DETECTOR_KILLS = amount(2, soak=12)
PICTURE_SECONDS = amount(80, soak=300)
SECONDS_AWAY = amount(5, soak=300)
MOST_GROWTH = 64 << 20
"""Bytes that a processor may take more while PostgreSQL is away: what Kafka was sending already."""

METRICS = {"energy.import", "energy.solar", "waste.fill", "waste.collected", "waste.tonnage"} | {
    "traffic.regions", "traffic.passes", "traffic.density",
}  # fmt: skip
STREAMS = (ENERGY, "waste.fill-levels", "waste.collections", REGIONS)


@pytest.fixture(scope="module")
def messages() -> list[Sent]:
    return mixed([energy_day(), *waste_day(), regions_day()])


@pytest.fixture
def topics(kafka_log, kafka, city):
    return Topics(kafka_log, kafka, city, STREAMS)


@pytest.fixture
def postgres(tmp_path_factory):
    with own_postgres(tmp_path_factory.mktemp("postgres") / "home") as server:
        yield server


def kill_at_random(processor: Processor, chance: random.Random, *, at_work: bool) -> None:
    """Kill it at a random moment: of its start, or after it has claimed partitions."""
    if at_work:
        processor.wait_to_take_over()
    Event().wait(chance.uniform(0.1, 2.0))
    processor.kill()


def caught_up(database_url: str, topics: Topics) -> bool:
    committed = positions(database_url)
    return all(committed.get(partition, (0, -1))[1] == end for partition, end in topics.ends().items())


def assert_same_as_undisturbed(kafka_log, topics, database_url, undisturbed_url) -> None:
    process_undisturbed(kafka_log, topics.names, undisturbed_url, f"alone-{topics.names[0]}")
    disturbed, alone = table(database_url), table(undisturbed_url)
    assert {cell[0] for cell in alone["cells"]} == METRICS
    with psycopg.connect(undisturbed_url) as connection:
        passed = connection.execute("SELECT sum(value) FROM cells WHERE metric = 'traffic.passes'").fetchone()
    assert passed[0] > 50
    assert len(alone["dead"]) > 10
    for name, rows in alone.items():
        assert disturbed[name] == rows, name


def test_a_processor_is_killed_at_random_moments(
    kafka, kafka_log, topics, messages, city, database_url, second_database_url, tmp_path
):
    chance, config = random.Random(20), city_file(tmp_path, city)
    log = tmp_path / "process.log"
    with Trickle(topics, messages) as source:  # so that messages are always in flight
        for number in range(PROCESSOR_KILLS):
            kill_at_random(Processor(config, kafka, database_url, log), chance, at_work=number % 2 == 1)
        source.send_the_rest()
    processor = Processor(config, kafka, database_url, log)
    processor.wait_to_take_over()
    until(lambda: caught_up(database_url, topics), "the last processor read everything")
    assert processor.stop() == 0
    assert_same_as_undisturbed(kafka_log, topics, database_url, second_database_url)


def test_of_two_processors_one_is_frozen_past_its_session_and_woken(
    kafka, kafka_log, topics, messages, city, database_url, second_database_url, tmp_path
):
    config, half = city_file(tmp_path, city), len(messages) // 2
    frozen, steady = (Processor(config, kafka, database_url, tmp_path / f"{name}.log") for name in ("frozen", "steady"))
    until(lambda: shares(kafka, f"{city}.process") == [8, 8], "both share the partitions")
    topics.send(messages[:half])
    until(lambda: any(offset for _, offset in positions(database_url).values()), "they have begun")
    frozen.freeze()
    topics.send(messages[half:])
    until(lambda: caught_up(database_url, topics), "the steady processor has processed everything")
    before = positions(database_url)
    frozen.wake()
    until(lambda: positions(database_url) != before, "the woken processor has claimed partitions again")
    assert frozen.stop() == 0
    assert steady.stop() == 0
    assert_same_as_undisturbed(kafka_log, topics, database_url, second_database_url)


def test_the_connection_is_cut_before_and_after_commit(kafka_log, topics, messages, database_url, second_database_url):
    """The partitions are taken over once: what was read is kept, and committed over the next connection."""
    proxy = CuttingProxy(database_url, [None, "before", None, "after", "after", "before"])
    topics.send(messages)
    process_undisturbed(kafka_log, topics.names, proxy.url, f"cut-{topics.names[0]}", PostgresStore(proxy.url))
    assert proxy.made == ["before", "after", "after", "before"]
    proxy.close()
    assert {epoch for epoch, _ in positions(database_url).values()} == {1}
    assert_same_as_undisturbed(kafka_log, topics, database_url, second_database_url)


def test_postgresql_is_stopped_for_a_while_and_no_member_leaves_the_group(
    kafka, kafka_log, topics, messages, city, postgres, second_database_url, tmp_path
):
    """Both processors keep their partitions and what they have read, and read no more until PostgreSQL is back."""
    config, group = city_file(tmp_path, city), f"{city}.process"
    logs = [tmp_path / f"{name}.log" for name in ("one", "other")]
    with Trickle(topics, messages) as source:
        processors = [Processor(config, kafka, postgres.url, log) for log in logs]
        until(lambda: shares(kafka, group) == [8, 8], "both share the partitions")
        until(lambda: all("took over 8 partitions" in log.read_text() for log in logs), "both have claimed their share")
        until(lambda: any(offset for _, offset in positions(postgres.url).values()), "they have begun")
        joined, owners = members(kafka, group), epochs(postgres.url)
        postgres.stop()
        until(lambda: all("trying again" in log.read_text() for log in logs), "both have noticed")
        taken = [processor.resident_bytes() for processor in processors]
        Event().wait(SECONDS_AWAY)
        assert members(kafka, group) == joined
        for processor, before in zip(processors, taken, strict=True):
            assert processor.resident_bytes() < before + MOST_GROWTH
        postgres.start()
        source.send_the_rest()
    until(lambda: caught_up(postgres.url, topics), "everything is processed")
    assert members(kafka, group) == joined
    assert epochs(postgres.url) == owners
    assert [processor.stop() for processor in processors] == [0, 0]
    assert_same_as_undisturbed(kafka_log, topics, postgres.url, second_database_url)


def epochs(database_url: str) -> dict[tuple[str, int], int]:
    """How often each partition was taken over."""
    return {partition: epoch for partition, (epoch, _) in positions(database_url).items()}


def test_detectors_are_killed_and_frozen_and_every_picture_counts_once(
    kafka, kafka_log, city, database_url, second_database_url, tmp_path
):
    """A picture may be processed twice, but its regions are the same, and so is every camera's account."""
    chance, config = random.Random(21), city_file(tmp_path, city)
    frames, regions = Topics(kafka_log, kafka, city, [FRAMES]), Topics(kafka_log, kafka, city, [REGIONS])
    log = tmp_path / "detect.log"
    with Trickle(frames, pictures(seconds=PICTURE_SECONDS), a_second=20, held_back=60) as source:
        for number in range(DETECTOR_KILLS):
            kill_at_random(Processor(config, kafka, database_url, log, DETECT), chance, at_work=number % 2 == 1)
        frozen = Processor(config, kafka, database_url, log, DETECT)
        frozen.wait_to_take_over()
        frozen.freeze()
        source.send_the_rest()
    steady = Processor(config, kafka, database_url, log, DETECT)
    until(lambda: caught_up(database_url, frames), "the steady detector has processed every picture")
    frozen.wake()
    assert frozen.stop() == 0
    assert steady.stop() == 0
    alone_regions = Topics(kafka_log, kafka, f"{city}-alone", [REGIONS])
    look_undisturbed(kafka_log, frames.names[0], alone_regions.names[0], second_database_url)
    disturbed, alone = table(database_url), table(second_database_url)
    assert len(alone["cameras"]) > 2
    assert disturbed == alone
    expected, expected_ticks = batches_and_ticks(kafka_log, alone_regions.names[0])
    assert len(expected) > 100
    batches, ticks = batches_and_ticks(kafka_log, regions.names[0])
    assert batches == expected
    assert max(ticks) == max(expected_ticks)


def batches_and_ticks(kafka_log, topic: str) -> tuple[set[bytes | None], set[int]]:
    """The different batches of regions in a topic, and the times of its ticks."""
    decoded = [(record.value, decode(record.value)) for record in everything_in(kafka_log, topic)]
    return {value for value, batch in decoded if batch.count}, {batch.start for _, batch in decoded if not batch.count}
