"""Topics and processors for one test, and what the processors leave in the tables."""

import os
import signal
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from threading import Event
from typing import Any

import psycopg
from kafka import KafkaAdminClient, KafkaProducer, errors

from eventlog.kafka import KafkaLog
from eventlog.protocol import Record, TopicPartition
from node.plate_detection import detect_function, detector_record
from processors.frame_fold import FrameFoldFactory
from processors.plan import Plan
from processors.reading_fold import ReadingFoldFactory
from processors.region_output import RegionOutput
from processors.runner import Runner
from schemas.catalogue import datasets, metrics_of
from schemas.topics import dataset_of, live, settings
from store.processing_postgres import PostgresStore
from tests.system.days import PARTITIONS, ZONE, Sent
from tests.system.processes import SistercityProcess
from tests.waiting import until

PROCESS = ("process", "--accept-dead", "--accept-rejected")
DETECT = ("detect",)
SHARE = len(datasets()) * PARTITIONS // 2
"""Partitions of each of two processors."""
ASKING_S = 0.25
"""Between two questions that make a connection each to Kafka or PostgreSQL, which would take the time of a core."""


class Topic:
    """One topic, filled by a stock client: a test chooses key, partition and value of each message."""

    def __init__(self, log: KafkaLog, kafka: str, name: str) -> None:
        self.name = name
        log.create(name, PARTITIONS, settings(dataset_of(name)))
        # After an outage of minutes it would wait for half a minute before it tries again.
        self._producer = KafkaProducer(
            bootstrap_servers=kafka, acks="all", linger_ms=20, reconnect_backoff_max_ms=1_000
        )
        self._unacknowledged: list[Any] = []
        self._ends: dict[tuple[str, int], int] = {}

    def send(self, messages: Iterable[tuple[bytes | None, int, bytes]]) -> None:
        """Append messages (key, partition, value) and wait until Kafka has acknowledged them."""
        for key, partition, value in messages:
            self.append(key, partition, value)
        self.flush()

    def append(self, key: bytes | None, partition: int, value: bytes) -> None:
        """Append a message without waiting."""
        self._unacknowledged.append(self._producer.send(self.name, value, key, partition=partition))

    def flush(self) -> None:
        """Wait until Kafka has acknowledged everything; raises what it refused."""
        for future in self._unacknowledged:
            acknowledged = future.get(60)
            self._ends[self.name, acknowledged.partition] = acknowledged.offset + 1
        self._unacknowledged.clear()

    def ends(self) -> dict[tuple[str, int], int]:
        """The offset after the last acknowledged message, by topic and partition."""
        return dict(self._ends)


class Topics:
    """A city's topics of several datasets, filled with a day of all of them."""

    def __init__(self, log: KafkaLog, kafka: str, city: str, datasets: Sequence[str]) -> None:
        self._by_dataset = {dataset: Topic(log, kafka, live(city, dataset)) for dataset in datasets}

    @property
    def names(self) -> list[str]:
        return [topic.name for topic in self._by_dataset.values()]

    def send(self, messages: Sequence[Sent]) -> None:
        """Append messages and wait until Kafka has acknowledged them."""
        for message in messages:
            self._by_dataset[message.dataset].append(message.key, message.partition, message.value)
        for topic in self._by_dataset.values():
            topic.flush()

    def ends(self) -> dict[tuple[str, int], int]:
        return {where: end for topic in self._by_dataset.values() for where, end in topic.ends().items()}


def process_undisturbed(
    log: KafkaLog,
    topics: str | Sequence[str],
    database_url: str,
    group: str,
    store: PostgresStore | None = None,
    *,
    accept_cut: bool = False,
    at_once: int = 2_000,
) -> None:
    """Read one or several topics from beginning to end with a separate processor, in polls of `at_once` messages."""
    store = store or PostgresStore(database_url)
    names = [topics] if isinstance(topics, str) else topics
    metrics = {topic: metrics_of(dataset_of(topic)) for topic in names}
    folds = ReadingFoldFactory(metrics, ZONE, dead_limit=10_000, rejected_limit=10**9)
    plan = Plan(group, commit_s=0.0, accept_cut=accept_cut, until_caught_up=True, at_once=at_once)
    try:
        Runner(log, store, folds, plan).run(Event())
    finally:
        store.close()


def look_undisturbed(log: KafkaLog, frames: str, regions: str, database_url: str) -> None:
    """Detect in a topic's pictures from beginning to end; the regions go to another topic."""
    plan = Plan(f"alone-{frames}", commit_s=0.0, until_caught_up=True, at_once=20)
    with (
        closing(PostgresStore(database_url)) as store,
        closing(RegionOutput(log, store, frames, regions, detector_record())) as output,
    ):
        folds = FrameFoldFactory(frames, output, detect_function())
        Runner(log, store, folds, plan, after_commit=output.send_ticks).run(Event())


def everything_in(log: KafkaLog, topic: str) -> list[Record]:
    """All messages of a topic, partition by partition."""
    found = by_partition(log, topic)
    return [record for partition in sorted(found) for record in found[partition]]


def by_partition(log: KafkaLog, topic: str) -> dict[TopicPartition, list[Record]]:
    """All messages of each partition of a topic, in the order of their offsets."""
    reader = log.reader(f"read-{topic}", [topic], _FromTheBeginning())
    found: dict[TopicPartition, list[Record]] = {}
    ends: Mapping[TopicPartition, int] = {}

    def complete() -> bool:
        nonlocal ends
        for partition, records in reader.poll(200).items():
            found.setdefault(partition, []).extend(records)
        ends = ends or reader.ends(sorted(reader.assignment()))
        return bool(ends) and all(len(found.get(partition, ())) >= end for partition, end in ends.items())

    try:
        until(complete, f"all of {topic} is read")
    finally:
        reader.close()
    return found


class _FromTheBeginning:
    """A listener that starts every partition at offset 0."""

    def assigned(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        return dict.fromkeys(partitions, 0)

    def revoked(self, partitions: Sequence[TopicPartition]) -> None:
        pass

    def lost(self, partitions: Sequence[TopicPartition]) -> None:
        pass


def table(database_url: str) -> Mapping[str, list]:
    """All that a processor has left: cells, dead letters, positions and accounts."""
    queries = {
        "cells": "SELECT * FROM cells ORDER BY metric, window_start, area, class, topic",
        "dead": 'SELECT topic, partition, "offset", row, reason, original FROM dead_letters ORDER BY 1, 2, 3, 4',
        "account": "SELECT topic, partition, next_offset, resume_offset, event_time, messages, decoded, dead,"
        " converted, readings, aggregated, duplicate, late, rejected, open, lost FROM stream_offsets"
        " ORDER BY topic, partition",
        "cameras": "SELECT * FROM camera_pictures ORDER BY camera, hour",
        "detectors": "SELECT * FROM detectors ORDER BY dataset, name, version",
    }
    with psycopg.connect(database_url) as connection:
        return {name: connection.execute(query).fetchall() for name, query in queries.items()}


def positions(database_url: str) -> dict[tuple[str, int], tuple[int, int]]:
    """Epoch and next offset of every partition."""
    with psycopg.connect(database_url) as connection:
        rows = connection.execute("SELECT topic, partition, epoch, next_offset FROM stream_offsets")
        return {(topic, partition): (epoch, offset) for topic, partition, epoch, offset in rows}


def shares(kafka: str, group: str) -> list[int]:
    """How many partitions each member of a stable consumer group has; nothing while the group rebalances."""
    return sorted(members(kafka, group).values())


def members(kafka: str, group: str) -> dict[str, int]:
    """How many partitions each member of a stable consumer group has, by the id that Kafka gave it when it joined."""
    admin = KafkaAdminClient(bootstrap_servers=kafka)
    try:
        found = admin.describe_groups([group])[group]
    except errors.CoordinatorNotAvailableError:  # the first group of a new cluster
        return {}
    finally:
        admin.close()
    if found["group_state"] != "Stable":
        return {}
    return {
        member["member_id"]: sum(len(of["partitions"]) for of in member["member_assignment"]["assigned_partitions"])
        for member in found["members"]
    }


class Trickle:
    """Sends messages little by little in the background, but the last `held_back` only when the block ends."""

    PAUSE_S = 0.05

    def __init__(self, topics: Topics, messages: Sequence[Sent], *, a_second: int = 60, held_back: int = 0) -> None:
        self._at_once = max(1, round(a_second * self.PAUSE_S))
        self._topics = topics
        self._left = list(messages[: len(messages) - held_back])
        self._held_back = list(messages[len(messages) - held_back :])
        self._hurry = Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Trickle":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.send_the_rest()

    def send_the_rest(self) -> None:
        """Send everything that is left, at once."""
        self._hurry.set()
        self._thread.join()
        self._topics.send(self._held_back)
        self._held_back.clear()

    def _run(self) -> None:
        while self._left:
            count = len(self._left) if self._hurry.wait(self.PAUSE_S) else self._at_once
            self._topics.send(self._left[:count])
            del self._left[:count]


class Processor:
    """`sistercity process`, or another role, as a process of its own. Its output goes to `log`."""

    def __init__(
        self,
        city_file: Path,
        kafka: str,
        database_url: str,
        log: Path,
        role: tuple[str, ...] = PROCESS,
        further: Mapping[str, str] | None = None,
    ) -> None:
        environment = {
            "SISTERCITY_CITY": str(city_file),
            "SISTERCITY_KAFKA": kafka,
            "SISTERCITY_DATABASE_URL": database_url,
            "SISTERCITY_SESSION_TIMEOUT_MS": "1500",
            "SISTERCITY_COMMIT_SECONDS": "0.05",
            "SISTERCITY_PARTITIONS": str(PARTITIONS),
            "SISTERCITY_STOP_WITH_STDIN": "true",  # it must not outlive the test
            **(further or {}),
        }
        self._database_url = database_url
        self._before = self._claims()
        self.process = SistercityProcess(role, {**os.environ, **environment}, log, log)

    def _claims(self) -> int:
        return sum(epoch for epoch, _ in positions(self._database_url).values())

    def wait_to_take_over(self) -> None:
        """Wait until it has claimed partitions (each claim raises an epoch); no other processor may start meanwhile."""
        until(lambda: self._claims() > self._before or self.process.poll() is not None, "it has claimed partitions")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def resident_bytes(self) -> int:
        """The memory that the process takes."""
        resident = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(resident) * os.sysconf("SC_PAGE_SIZE")

    def stop(self) -> int:
        """SIGTERM, as an operator or an orchestrator sends it; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(90)


def city_file(folder: Path, city: str) -> Path:
    """A city file for the command; processors need nothing of it but id and zone."""
    path = folder / "city.toml"
    district = (
        '{{ id = "{id}", name = "{id}", kind = "ward", population = 1, population_quality = "estimated",'
        ' latitude = 32.6, longitude = 51.6, neighbours = ["{beside}"] }}'
    )
    path.write_text(
        f"""
id = "{city}"
name = "Test"
names = {{ en = "Test" }}
country = "IR"
zone = "{ZONE}"
latitude = 32.6
longitude = 51.6
population = 2
sources = ["made up"]
neighbours_from = "list"
districts = [{district.format(id="a", beside="b")}, {district.format(id="b", beside="a")}]
"""
    )
    return path
