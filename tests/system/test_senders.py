"""One contract for every adapter: what a sender was told is taken comes to the cells once, whatever happens between.

A folder, HTTP, MQTT, a polled server and a topic of another Kafka with one process, which is killed again and again;
the node's Kafka is away for a while; every sender repeats everything, stalls while Kafka is away, and jumps ahead in
time. The senders' own sums are the cells' sums.
"""

import csv
import hashlib
import io
import json
import re
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import httpx
import psycopg
import pytest
from confluent_kafka import Producer
from kafka import KafkaConsumer
from kafka import TopicPartition as KafkaPartition

from eventlog.kafka import KafkaLog
from schemas.batch import decode
from schemas.topics import live
from tests.mosquitto import mosquitto, needs_mosquitto, publishing
from tests.polled_server import PolledServer, polled_server
from tests.ports import free_port
from tests.soak import amount, soak
from tests.system.command import Command
from tests.system.own_kafka import own_kafka
from tests.system.streams import city_file, everything_in
from tests.waiting import until

pytestmark = [pytest.mark.services, needs_mosquitto]

KILLS = amount(2, soak=20)
AWAY_S = amount(1, soak=30)
METERS = 30
"""Of each sender."""
SLOTS = amount(16, soak=50)
"""Minutes, so that all before the jump is less than the lateness: the folder's files wait until they are whole."""
JUMP = SLOTS * KILLS // (KILLS + 1) + 2
LIST = """
[listen]
port = {port}
[[folder]]
name = "folder"
path = "drop"
readings = "energy.readings"
settle_s = 1
[[http]]
name = "http"
readings = "energy.readings"
token_sha256 = "{digest}"
[[mqtt]]
name = "mqtt"
host = "127.0.0.1"
port = {broker}
topics = ["meters"]
readings = "energy.readings"
[[poll]]
name = "poll"
url = "{polled}readings"
every_s = 1
readings = "energy.readings"
[[topic]]
name = "topic"
bootstrap = "{foreign}"
topic = "{topic}"
group = "{topic}"
readings = "energy.readings"
"""
SENDERS = ("folder", "http", "mqtt", "poll", "topic")


class Senders:
    """What each sender has sent, slot by slot; `begin` is the first slot."""

    def __init__(
        self, folder: Path, port: int, broker: int, polled: PolledServer, topic: "ForeignTopic", begin: datetime
    ) -> None:
        self._topic_sent = topic
        self._drop = folder / "drop"
        self._port = port
        self._broker = broker
        self._polled = polled
        self._begin = begin
        self._polled_so_far: list[dict[str, str | int]] = []
        self.sums: dict[str, int] = defaultdict(int)

    def start(self, slot: int) -> datetime:
        """When a slot begins: some of them hours later than the others, and the last one later still."""
        jump = 4 * (slot >= JUMP) + 3 * (slot == SLOTS)
        return self._begin + timedelta(minutes=slot, hours=jump)

    def send(self, slot: int) -> None:
        """Every sender's readings of a slot, twice; returns when the sender was told that they are taken.

        The folder tells nobody, and keeps its files; a polled server answers with all that it has sent so far.
        """
        bodies = {sender: self._readings(sender, slot) for sender in SENDERS}
        threads = [
            threading.Thread(target=getattr(self, f"_{sender}"), args=(slot, readings))
            for sender, readings in bodies.items()
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for readings in bodies.values():
            hour = self.start(slot).replace(minute=0).isoformat()
            self.sums[hour] += sum(int(reading["value"]) for reading in readings) * 3_600_000

    def _readings(self, sender: str, slot: int) -> list[dict[str, str | int]]:
        start = self.start(slot).isoformat()
        return [
            {
                **{"source": f"{sender}-{meter}", "metric": "energy.import", "start": start, "interval_s": 60},
                **{"value": meter * 31 + slot * 7 + len(sender), "unit": "Wh"},
            }
            for meter in range(METERS)
        ]

    def _folder(self, slot: int, readings: list[dict[str, str | int]]) -> None:
        for number in range(2):
            part = self._drop / f"{slot}-{number}.json.part"
            part.write_text(json.dumps(readings[:: -1 if number else 1]))
            part.rename(part.with_suffix(""))

    def _http(self, slot: int, readings: list[dict[str, str | int]]) -> None:
        headers = {"Authorization": "Bearer secret", "Idempotency-Key": str(slot)}
        for _ in range(2):
            until(lambda: self._posted(readings, headers), "HTTP takes it", pause_s=0.2)

    def _posted(self, readings: list[dict[str, str | int]], headers: dict[str, str]) -> bool:
        try:
            found = httpx.post(f"http://127.0.0.1:{self._port}/v1/readings", json=readings, headers=headers, timeout=90)
        except httpx.TransportError:
            return False
        assert found.status_code in (202, 429, 503), found.text
        assert found.status_code != 202 or found.json()["refused_count"] == 0
        return found.status_code == 202

    def _mqtt(self, slot: int, readings: list[dict[str, str | int]]) -> None:
        with publishing(self._broker) as client:
            for info in [client.publish("meters", json.dumps(reading), qos=1) for reading in readings * 2]:
                info.wait_for_publish(60)

    def _poll(self, slot: int, readings: list[dict[str, str | int]]) -> None:
        if slot in (JUMP, SLOTS):  # what came before is late by now, and it does not repeat that
            self._polled_so_far = []
        self._polled_so_far += readings
        self._polled.serve("readings", json.dumps(self._polled_so_far), headers={"ETag": f'"{slot}"'})

    def _topic(self, slot: int, readings: list[dict[str, str | int]]) -> None:
        for reading in readings * 2:
            self._topic_sent.write(str(reading["source"]).encode(), json.dumps(reading).encode())
        self._topic_sent.write(f"topic-{slot}".encode(), None)
        self._topic_sent.flush()

    def poll_is_done(self, slots: int) -> bool:
        """Whether the last answer of the first slots was acknowledged: its ETag came back."""
        return f'"{slots - 1}"' in [asked.headers.get("if-none-match") for asked in self._polled.requests()]


class ForeignTopic:
    """A topic of another Kafka, whose group keeps its positions there."""

    def __init__(self, bootstrap: str, name: str) -> None:
        self.bootstrap, self.name = bootstrap, name
        self._partitions = [KafkaPartition(name, number) for number in range(2)]
        self._producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 20})
        self._asked = KafkaConsumer(bootstrap_servers=bootstrap, group_id=name, enable_auto_commit=False)

    def write(self, key: bytes, value: bytes | None) -> None:
        self._producer.produce(self.name, value, key)

    def flush(self) -> None:
        assert self._producer.flush(60) == 0

    def is_done(self) -> bool:
        """Whether the group has committed all that there is."""
        ends = self._asked.end_offsets(self._partitions)
        return all((self._asked.committed(at) or 0) == end for at, end in ends.items())

    def close(self) -> None:
        self._asked.close()


@pytest.fixture
def topic(kafka: str, kafka_log: KafkaLog, city: str) -> Iterator[ForeignTopic]:
    kafka_log.create(f"{city}.meters", 2, {})
    found = ForeignTopic(kafka, f"{city}.meters")
    yield found
    found.close()


@pytest.fixture
def polled(tmp_path: Path) -> Iterator[PolledServer]:
    with polled_server(tmp_path / "polled") as running:
        running.serve("readings", "[]")
        yield running


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "mosquitto").mkdir()
    with mosquitto(tmp_path / "mosquitto") as running:
        yield running.port


def cells(command: Command) -> dict[str, int]:
    """Millijoules of each hour that the database has."""
    command("process", "--until-caught-up")
    found: dict[str, int] = defaultdict(int)
    for row in csv.DictReader(io.StringIO(command("query", "energy.import"))):
        found[row["window_start"]] += int(row["value"])
    return {hour: value for hour, value in found.items() if value}


def folder_is_done(database_url: str, slots: int) -> bool:
    """Whether all files of the first slots are recorded as done."""
    with psycopg.connect(database_url) as connection:
        found = connection.execute("SELECT count(*) FROM arrivals WHERE source = 'folder'").fetchone()
    return found is not None and found[0] == 2 * slots


def all_is_taken(kafka: str, city: str, slots: int) -> bool:
    """Whether Kafka has every reading of the first slots: a meter's readings all have other values."""
    records = everything_in(KafkaLog(kafka), live(city, "energy.readings"))
    rows = [row for record in records for row in decode(record.value).array()[["source", "value"]].tolist()]
    return len(set(rows)) == slots * METERS * len(SENDERS)


def write_list(folder: Path, port: int, broker: int, polled: PolledServer, topic: ForeignTopic) -> Path:
    """The list of the sources."""
    path, digest = folder / "sources.toml", hashlib.sha256(b"secret").hexdigest()
    told = {"port": port, "digest": digest, "broker": broker, "polled": polled.url}
    path.write_text(LIST.format(**told, foreign=topic.bootstrap, topic=topic.name))
    return path


def write_register(folder: Path) -> Path:
    """Meters of each sender."""
    path = folder / "register.csv"
    lines = [
        f"{sender}-{meter},energy.import,a,{sender}-{meter},residential,2020-01-01,"
        for sender in SENDERS
        for meter in range(METERS)
    ]
    path.write_text("\n".join(["source,metric,district,contributor,class,valid_from,valid_to", *lines, ""]))
    return path


@soak(minutes=8)
def test_what_senders_were_told_is_taken_comes_to_the_cells_once(tmp_path, database_url, city, broker, polled, topic):
    path, port, log = city_file(tmp_path, city), free_port(), tmp_path / "run.log"
    path.write_text(re.sub(r'zone = ".*"', 'zone = "UTC"', path.read_text()))
    (tmp_path / "drop").mkdir()
    sources, register = write_list(tmp_path, port, broker, polled, topic), write_register(tmp_path)
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    senders = Senders(tmp_path, port, broker, polled, topic, now - timedelta(hours=14))
    (tmp_path / "kafka").mkdir()
    with own_kafka(tmp_path / "kafka") as kafka:
        command = Command(path, kafka.bootstrap, database_url, tmp_path)
        command("register", "load", str(register))
        for number in range(KILLS):
            with command.running(log, "ingest", "run", str(sources)):  # killed at the end of the block
                # Before it has subscribed once, the broker keeps nothing for it.
                until(lambda: "mqtt: connected" in log.read_text(), "the topic is subscribed")
                for slot in range(SLOTS * number // (KILLS + 1), SLOTS * (number + 1) // (KILLS + 1)):
                    senders.send(slot)
        with command.running(log, "ingest", "run", str(sources)) as process:
            first = SLOTS * KILLS // (KILLS + 1)
            senders.send(first)
            kafka.stop()
            end = time.monotonic() + AWAY_S
            stalled = threading.Thread(target=senders.send, args=(first + 1,))
            stalled.start()
            until(lambda: time.monotonic() > end, "Kafka was away")
            kafka.start()
            stalled.join()
            for slot in range(JUMP, SLOTS + 1):
                if slot in (JUMP, SLOTS):  # what comes after time has jumped would be late
                    until(partial(folder_is_done, database_url, slot), "the folder's files are taken", pause_s=0.5)
                    until(partial(senders.poll_is_done, slot), "the poll says what it has", pause_s=0.5)
                    until(topic.is_done, "the topic's positions are kept", pause_s=0.5)
                    until(
                        partial(all_is_taken, kafka.bootstrap, city, slot), "Kafka has what MQTT brought", pause_s=0.5
                    )
                senders.send(slot)
            wanted = dict(senders.sums)
            wanted.pop(senders.start(SLOTS).replace(minute=0).isoformat())  # its window is open
            until(lambda: cells(command) == wanted, "the cells are the senders' sums", pause_s=1)
            process.terminate()
            assert process.wait(60) == 0
        streams = json.loads(command("status", "--json"))["streams"]
    [account] = [stream["account"] for stream in streams if stream["topic"] == live(city, "energy.readings")]
    assert account["readings"] == sum(account[kind] for kind in ("aggregated", "duplicate", "late", "rejected", "open"))
    assert account["late"] == account["rejected"] == 0
    assert account["duplicate"] > 0
