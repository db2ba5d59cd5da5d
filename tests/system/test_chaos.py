"""Processors are killed, frozen, added and cut off from Kafka and PostgreSQL; an undisturbed one reads the same topics.

Both must give the same tables and the same account. On the real Kafka and PostgreSQL.
"""

import random
import time
from functools import partial
from pathlib import Path
from threading import Event, Thread

import psycopg
import pytest

from eventlog.kafka import KafkaLog
from ingest.register_file import load_register
from ingest.simulated.fleet import Fleet
from schemas.batch import decode
from schemas.topics import FRAMES, REGIONS
from store.database import connect
from store.processing_postgres import PostgresStore
from tests.ingest.small_city import city as small_city
from tests.soak import amount, soak
from tests.system.days import ENERGY, ZONE, Sent, energy_day, mixed, pictures, regions_day, waste_day
from tests.system.own_kafka import own_kafka
from tests.system.own_postgres import own_postgres
from tests.system.proxy import CuttingProxy
from tests.system.streams import (
    ASKING_S,
    DETECT,
    SHARE,
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

METERS = amount(300, soak=1_500)
REGION_HOURS = amount(2, soak=3)
LOADED_METERS = amount(100, soak=300)
PROCESSOR_KILLS = amount(2, soak=20)
DETECTOR_KILLS = amount(2, soak=8)
PICTURE_SECONDS = amount(50, soak=150)
EXAMINED_S = amount(90, soak=300)
"""How long a detector may take for the pictures that are left, on a machine with other work."""
SECONDS_AWAY = amount(5, soak=300)
BROKER_SECONDS = amount(5, soak=30)
BROKER_STOPS = amount(1, soak=3)
ADDED = amount(2, soak=8)
LONG_SESSION = {"SISTERCITY_SESSION_TIMEOUT_MS": "20000"}
"""Where a test claims that no member leaves: a broker that comes to nothing for 1.5 s would end the other sessions."""
MOST_GROWTH = 64 << 20
"""Bytes that a processor may take more while PostgreSQL is away: what Kafka was sending already."""

METRICS = {"energy.import", "energy.solar", "waste.fill", "waste.collected", "waste.tonnage"} | {
    "traffic.regions", "traffic.passes", "traffic.occupancy",
}  # fmt: skip
STREAMS = (ENERGY, "waste.fill-levels", "waste.collections", REGIONS, "traffic.counts")


@pytest.fixture(scope="module")
def messages() -> list[Sent]:
    return mixed([energy_day(METERS), *waste_day(), regions_day(hours=REGION_HOURS)])


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


@soak(minutes=2.5)
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
    until(lambda: caught_up(database_url, topics), "the last processor read everything", pause_s=ASKING_S)
    assert processor.stop() == 0
    assert_same_as_undisturbed(kafka_log, topics, database_url, second_database_url)


def test_of_two_processors_one_is_frozen_past_its_session_and_woken(
    kafka, kafka_log, topics, messages, city, database_url, second_database_url, tmp_path
):
    config, half = city_file(tmp_path, city), len(messages) // 2
    frozen, steady = (Processor(config, kafka, database_url, tmp_path / f"{name}.log") for name in ("frozen", "steady"))
    until(lambda: shares(kafka, f"{city}.process") == [SHARE, SHARE], "both share the partitions", pause_s=ASKING_S)
    topics.send(messages[:half])
    until(lambda: any(offset for _, offset in positions(database_url).values()), "they have begun")
    frozen.freeze()
    topics.send(messages[half:])
    until(lambda: caught_up(database_url, topics), "the steady processor has processed everything", pause_s=ASKING_S)
    before = positions(database_url)
    frozen.wake()
    until(lambda: positions(database_url) != before, "the woken processor has claimed partitions again")
    assert frozen.stop() == 0
    assert steady.stop() == 0
    assert_same_as_undisturbed(kafka_log, topics, database_url, second_database_url)


def test_a_processor_that_is_killed_or_stopped_and_started_gets_its_partitions_and_the_other_keeps_its_own(
    kafka, topics, messages, city, database_url, tmp_path
):
    config, group = city_file(tmp_path, city), f"{city}.process"
    logs = [tmp_path / f"{name}.log" for name in ("one", "other", "killed", "stopped")]

    def start(log: Path) -> Processor:
        return Processor(config, kafka, database_url, log, further={"SISTERCITY_SESSION_TIMEOUT_MS": "60000"})

    def claimed(log: Path) -> bool:
        return f"took over {SHARE} partitions" in log.read_text()

    one, other = start(logs[0]), start(logs[1])
    until(
        lambda: shares(kafka, group) == [SHARE, SHARE] and all(map(claimed, logs[:2])),
        "both have claimed their share",
        pause_s=ASKING_S,
    )
    topics.send(messages[: len(messages) // 2])
    for log in logs[2:]:
        before = epochs(database_url)
        if log == logs[2]:
            other.kill()
        else:
            assert other.stop() == 0
        other = start(log)
        until(partial(claimed, log), "the process that came back has its share")
        gained = [epoch - before[partition] for partition, epoch in epochs(database_url).items()]
        assert sorted(gained) == [0] * SHARE + [1] * SHARE
        assert shares(kafka, group) == [SHARE, SHARE]
    topics.send(messages[len(messages) // 2 :])
    until(lambda: caught_up(database_url, topics), "everything is processed", pause_s=ASKING_S)
    assert logs[0].read_text().count("took over") <= 2  # alone at first, then with the other
    assert [one.stop(), other.stop()] == [0, 0]


def test_the_connection_is_cut_before_and_after_commit(kafka_log, topics, messages, database_url, second_database_url):
    """The partitions are taken over once: what was read is kept, and committed over the next connection."""
    proxy = CuttingProxy(database_url, [None, "before", None, "after", "after", "before"])
    topics.send(messages)
    group, store = f"cut-{topics.names[0]}", PostgresStore(proxy.url)
    process_undisturbed(kafka_log, topics.names, proxy.url, group, store, at_once=100)  # so that commits are many
    assert proxy.made == ["before", "after", "after", "before"]
    proxy.close()
    assert {epoch for epoch, _ in positions(database_url).values()} == {1}
    assert_same_as_undisturbed(kafka_log, topics, database_url, second_database_url)


@soak(minutes=5.5)
def test_postgresql_is_stopped_for_a_while_and_no_member_leaves_the_group(
    kafka, kafka_log, topics, messages, city, postgres, second_database_url, tmp_path
):
    """Both processors keep their partitions and what they have read, and read no more until PostgreSQL is back."""
    config, group = city_file(tmp_path, city), f"{city}.process"
    logs = [tmp_path / f"{name}.log" for name in ("one", "other")]
    with Trickle(topics, messages) as source:
        processors = [Processor(config, kafka, postgres.url, log, further=LONG_SESSION) for log in logs]
        until(lambda: shares(kafka, group) == [SHARE, SHARE], "both share the partitions", pause_s=ASKING_S)
        until(
            lambda: all(f"took over {SHARE} partitions" in log.read_text() for log in logs),
            "both have claimed their share",
        )
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
    until(lambda: caught_up(postgres.url, topics), "everything is processed", pause_s=ASKING_S)
    assert members(kafka, group) == joined
    assert epochs(postgres.url) == owners
    assert [processor.stop() for processor in processors] == [0, 0]
    assert_same_as_undisturbed(kafka_log, topics, postgres.url, second_database_url)


def epochs(database_url: str) -> dict[tuple[str, int], int]:
    """How often each partition was taken over."""
    return {partition: epoch for partition, (epoch, _) in positions(database_url).items()}


@soak(minutes=2.5)
def test_the_broker_is_stopped_for_a_while(messages, city, database_url, second_database_url, tmp_path):
    config, log = city_file(tmp_path, city), tmp_path / "process.log"
    with own_kafka(tmp_path / "kafka") as broker:
        kafka_log = KafkaLog(broker.bootstrap)
        topics = Topics(kafka_log, broker.bootstrap, city, STREAMS)
        processor = Processor(config, broker.bootstrap, database_url, log)
        for number in range(BROKER_STOPS):
            share = len(messages) // (BROKER_STOPS + 1)
            before = positions(database_url)
            topics.send(messages[share * number : share * (number + 1)])
            await_progress(database_url, before)
            broker.stop()
            Event().wait(BROKER_SECONDS)
            assert processor.process.poll() is None
            broker.start()
        topics.send(messages[share * BROKER_STOPS :])
        until(lambda: caught_up(database_url, topics), "everything is processed", pause_s=ASKING_S)
        assert processor.stop() == 0
        assert_same_as_undisturbed(kafka_log, topics, database_url, second_database_url)


def test_processors_are_added_and_killed_while_the_register_is_loaded_again(
    kafka, kafka_log, topics, messages, city, database_url, second_database_url, tmp_path
):
    chance, config = random.Random(22), city_file(tmp_path, city)
    loading = RegisterLoads(database_url)
    running = [Processor(config, kafka, database_url, tmp_path / "first.log")]
    with loading, Trickle(topics, messages) as source:
        for number in range(ADDED):
            log = tmp_path / f"added-{number}.log"
            running.append(Processor(config, kafka, database_url, log))
            until(partial(has_taken_over, log), "the added processor has partitions")
            if len(running) > 2:
                running.pop(chance.randrange(len(running))).kill()
        source.send_the_rest()
    until(lambda: caught_up(database_url, topics), "everything is processed", pause_s=ASKING_S)
    assert loading.loads > 1
    assert [processor.stop() for processor in running] == [0] * len(running)
    assert_same_as_undisturbed(kafka_log, topics, database_url, second_database_url)


def test_a_poisoned_partition_stops_alone_and_is_accepted_by_the_next_processor(
    kafka, kafka_log, topics, messages, city, database_url, second_database_url, tmp_path
):
    """A careful processor stops at the partition, however often it is started; the others come to their end."""
    config, careful = city_file(tmp_path, city), ("process", "--accept-rejected")
    poison = [Sent(ENERGY, b"0", 0, b"no message %d" % number) for number in range(300)]
    half = len(messages) // 2
    topics.send([*messages[:half], *poison, *messages[half:]])
    poisoned = (topics.names[0], 0)

    def others_caught_up() -> bool:
        committed, ends = positions(database_url), topics.ends()
        return all(committed.get(at, (0, -1))[1] == end for at, end in ends.items() if at != poisoned)

    chance, log = random.Random(23), tmp_path / "careful.log"
    kill_at_random(Processor(config, kafka, database_url, log, careful), chance, at_work=True)
    processor = Processor(config, kafka, database_url, log, careful)
    processor.wait_to_take_over()
    until(others_caught_up, "all other partitions are processed")
    until(lambda: stopped(database_url) == [poisoned], "the poisoned partition is stopped, and no other")
    assert positions(database_url)[poisoned][1] < topics.ends()[poisoned]
    assert processor.stop() == 0
    accepting = Processor(config, kafka, database_url, tmp_path / "accepting.log")
    accepting.wait_to_take_over()
    until(lambda: caught_up(database_url, topics), "the poisoned partition is processed, too", pause_s=ASKING_S)
    assert accepting.stop() == 0
    assert stopped(database_url) == []
    assert_same_as_undisturbed(kafka_log, topics, database_url, second_database_url)


def has_taken_over(log: Path) -> bool:
    """Whether the processor with this log has claimed partitions. A killed member may still be counted in the group."""
    return "took over" in log.read_text()


class RegisterLoads:
    """While the block runs, loads one register of meters after the other, each with other meters."""

    def __init__(self, database_url: str) -> None:
        self.loads = 0
        self._url = database_url
        self._stop = Event()
        self._thread = Thread(target=self._run)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        with connect(self._url, name="register loads") as connection:
            while not self._stop.wait(0.2):
                fleet = Fleet(small_city(ZONE), LOADED_METERS, seed=self.loads)
                load_register(connection, small_city(ZONE), fleet.register(), lambda: round(time.time() * 1000))
                self.loads += 1


def await_progress(database_url: str, before: dict[tuple[str, int], tuple[int, int]]) -> None:
    """Wait until a partition has moved on from these positions."""
    offsets = {partition: offset for partition, (_, offset) in before.items()}

    def moved() -> bool:
        return any(offset > offsets.get(at, 0) for at, (_, offset) in positions(database_url).items())

    until(moved, "a partition has moved on")


def stopped(database_url: str) -> list[tuple[str, int]]:
    """The partitions that a processor has stopped."""
    with psycopg.connect(database_url) as connection:
        rows = connection.execute("SELECT topic, partition FROM stream_offsets WHERE stopped IS NOT NULL")
        return rows.fetchall()


@soak(minutes=2)
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
    until(lambda: caught_up(database_url, frames), "the steady detector has processed every picture", EXAMINED_S)
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
