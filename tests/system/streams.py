"""A day of a small simulated city as messages, so that a test can decide when each goes to Kafka."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Event

import psycopg

from eventlog.kafka import KafkaLog
from eventlog.memory import MemoryLog
from ingest.faults import FaultRates
from ingest.feed import Feed
from ingest.fleet import Fleet
from ingest.journal import NoJournal
from ingest.simulator import Simulator
from processors.metric_folds import MetricFolds
from processors.runner import Plan, Runner
from schemas.catalogue import metrics_of
from schemas.topics import dataset_of, settings
from store.processing_postgres import PostgresStore
from tests.ingest.small_city import city as small_city
from tests.ingest.small_city import registered

DATASET = "energy.readings"
DAY = "day.energy.readings.v1"
ZONE = "Asia/Tehran"
PARTITIONS = 4
FAULTS = FaultRates(repeated=0.05, broken=0.002, estimated=0.05, late=0.02, future=0.005, too_long=0.005, invalid=0.005)
HOUR = 3_600_000


def day(meters: int = 2_500, hours: int = 26, seed: int = 7) -> list[tuple[bytes | None, int, bytes]]:
    """Key, partition and value of every message of a simulated day with faults, in the order of sending."""
    fleet = Fleet(small_city(ZONE), meters, seed)
    now = round(time.time() * 1000)
    end = now // HOUR * HOUR - HOUR // 2  # a full hour on the clock of Tehran
    log = MemoryLog(lambda: now)
    log.create(DAY, PARTITIONS, {})
    sent: list[tuple[bytes | None, int, bytes]] = []

    class Recording:
        """Keeps every message with the partition that the log in memory chose."""

        def __init__(self) -> None:
            self._writer = log.writer()

        def send(self, topic: str, key: bytes, value: bytes, readings: int = 0) -> None:
            self._writer.send(topic, key, value, readings)
            sent.append((key, int(key) % PARTITIONS, value))

        def send_to(self, topic: str, partition: int, value: bytes) -> None:
            sent.append((None, partition, value))

        def flush(self) -> None:
            pass

        def partitions(self, topic: str) -> int:
            return PARTITIONS

        def acknowledged(self):
            return {}

        def close(self) -> None:
            pass

    feed = Feed(Recording(), DAY, NoJournal())
    Simulator(fleet, feed, NoJournal(), registered(fleet), lambda: now, FAULTS).replay(end - hours * HOUR, end)
    return sent


class Topic:
    """One topic of a test's own, filled as the test wants."""

    def __init__(self, log: KafkaLog, name: str) -> None:
        self.name = name
        self._log = log
        log.create(name, PARTITIONS, settings(DATASET))
        self._writer = log.writer()

    def send(self, messages) -> None:
        """Append messages and wait until Kafka has them."""
        for key, partition, value in messages:
            self._writer._send(len(value), 0, self.name, value=value, key=key, partition=partition)
        self._writer.flush()

    def ends(self) -> dict[int, int]:
        return {where[1]: counts.last_offset + 1 for where, counts in self._writer.acknowledged().items()}


def process_undisturbed(
    log: KafkaLog, topic: str, database_url: str, group: str, store: PostgresStore | None = None
) -> None:
    """Read the topic from beginning to end with a processor of its own."""
    store = store or PostgresStore(database_url)
    folds = MetricFolds({topic: metrics_of(dataset_of(topic))}, ZONE, dead_limit=10_000)
    plan = Plan(group, commit_s=0.0, until_caught_up=True)
    try:
        Runner(log, store, folds, plan).run(Event())
    finally:
        store.close()


def table(database_url: str) -> Mapping[str, list]:
    """All that a processor has left: cells, dead letters, positions and accounts."""
    queries = {
        "cells": "SELECT * FROM cells ORDER BY metric, window_start, area, class, topic",
        "dead": 'SELECT topic, partition, "offset", row, reason, original FROM dead_letters ORDER BY 1, 2, 3, 4',
        "account": "SELECT partition, next_offset, resume_offset, max_event_time, messages, decoded, dead, converted,"
        " readings, aggregated, duplicate, late, rejected, open, lost FROM stream_offsets ORDER BY partition",
    }
    with psycopg.connect(database_url) as connection:
        return {name: connection.execute(query).fetchall() for name, query in queries.items()}


def positions(database_url: str) -> dict[int, tuple[int, int]]:
    """Epoch and next offset of every partition."""
    with psycopg.connect(database_url) as connection:
        return {
            partition: (epoch, offset)
            for partition, epoch, offset in connection.execute(
                "SELECT partition, epoch, next_offset FROM stream_offsets"
            )
        }


def until(condition: Callable[[], bool], what: str, seconds: float = 90) -> None:
    """Wait until the condition holds."""
    pause, deadline = Event(), time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"after {seconds} s: {what}"
        pause.wait(0.05)


class Trickle:
    """Sends messages little by little in the background, until told to send all that is left."""

    PAUSE_S = 0.05
    AT_ONCE = 3

    def __init__(self, topic: Topic, messages) -> None:
        self._topic = topic
        self._left = list(messages)
        self._hurry = Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Trickle":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.pour_out_the_rest()

    def pour_out_the_rest(self) -> None:
        self._hurry.set()
        self._thread.join()

    def _run(self) -> None:
        while self._left:
            count = len(self._left) if self._hurry.wait(self.PAUSE_S) else self.AT_ONCE
            self._topic.send(self._left[:count])
            del self._left[:count]


class Processor:
    """`sistercity process` as a process of its own."""

    def __init__(self, city_file: Path, kafka: str, database_url: str, log: Path, **settings: str) -> None:
        environment = {
            "SISTERCITY_CITY": str(city_file),
            "SISTERCITY_KAFKA": kafka,
            "SISTERCITY_DATABASE_URL": database_url,
            "SISTERCITY_SESSION_TIMEOUT_MS": "1500",
            "SISTERCITY_COMMIT_SECONDS": "0.05",
            "SISTERCITY_STOP_WITH_STDIN": "true",  # it must not outlive the test
        }
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "node", "process", "--accept-dead"],
                env={**os.environ, **environment, **settings},
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> int:
        """SIGTERM, as an operator or an orchestrator sends it; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


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
