"""Readings a second that `ingest run` fetches by itself: from a topic of another Kafka, and from a server that it asks.

A message holds one reading, in JSON or in Avro by a schema file; an answer holds 25,000 on each of its pages, in JSON.
The topic is one of the same broker. Time runs from before the messages are written, or the answer is served, to the
last reading that Kafka has acknowledged, as the database says: their number is compared with what was offered. Starting
and joining the group are not measured, and neither are the processes that write and serve.
"""

import argparse
import io
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import fastavro
import psutil
from confluent_kafka import Producer

from benchmarks.pushes import BATCH, METERS, acknowledged, bodies, node, serving
from benchmarks.result import MeasuredRun, MeasuredSystem, Measuring, peak_mb
from benchmarks.timed import own_services
from eventlog.kafka import KafkaLog
from tests.polled_server import PolledServer, polled_server

LONGEST_S = 120
PARTITIONS = 4
SCHEMA = {
    "type": "record",
    "name": "Telemetry",
    "fields": [
        {"name": "meter", "type": "string"},
        {"name": "begin", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "kwh", "type": "double"},
    ],
}
PROFILE = """
title = "Telemetry"
metric = "energy.import"
[json]
lines = true
[source]
text = "{meter}"
[time]
columns = "begin"
formats = "%Y-%m-%dT%H:%M:%S.%f%z"
zone = "text"
[value]
column = "kwh"
unit = "kWh"
[interval]
seconds = 900
"""
TOPIC = '[[topic]]\nname = "bench"\nbootstrap = "{kafka}"\ntopic = "{topic}"\ngroup = "{topic}"\n'
POLL = '[[poll]]\nname = "bench"\nurl = "{url}page-0"\nevery_s = 1\npaging = "link"\nmost_mb = 1024\n'
JSON = 'readings = "energy.readings"\n'
AVRO = 'profile = "telemetry.toml"\nvalues = "avro"\nschema_file = "telemetry.avsc"\n'

Item = Mapping[str, str | int | float]
Offering = Callable[[Sequence[Item]], None]
"""Makes readings ready, to be fetched from then on."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """One way to fetch readings: the source of the list, and how readings are offered."""

    name: str
    source: str
    offer: Offering


def writing(kafka: str, topic: str, encode: Callable[[Item], bytes]) -> Offering:
    """Write to a topic, a message for each reading, with the meter as the key."""
    producer = Producer({"bootstrap.servers": kafka, "linger.ms": 20, "queue.buffering.max.messages": 1_000_000})

    def offer(items: Sequence[Item]) -> None:
        for item in items:
            producer.produce(topic, encode(item), key=str(item["source"]))
        if producer.flush(LONGEST_S):
            sys.exit("Kafka did not take all messages")

    return offer


def in_json(item: Item) -> bytes:
    """A reading in the JSON of docs/push.md."""
    return json.dumps(item).encode()


def in_avro(item: Item) -> bytes:
    """A reading by `SCHEMA`."""
    out = io.BytesIO()
    begin = datetime.fromisoformat(str(item["start"]))
    fastavro.schemaless_writer(out, SCHEMA, {"meter": item["source"], "begin": begin, "kwh": item["value"]})
    return out.getvalue()


def answering(server: PolledServer) -> Offering:
    """Serve readings as pages, of which each names the next."""

    def offer(items: Sequence[Item]) -> None:
        pages = [items[begin : begin + METERS] for begin in range(0, len(items), METERS)]
        for number in reversed(range(len(pages))):  # the first page, which is asked for, comes last
            following = {"Link": f'<{server.url}page-{number + 1}>; rel="next"'} if number + 1 < len(pages) else {}
            server.serve(f"page-{number}", json.dumps(pages[number]), headers=following)

    return offer


def rounds_of(count: int, rounds: int) -> Iterator[Sequence[Item]]:
    """Readings for each round, which are later than those of the round before."""
    items = [item for body in bodies(-(-count * rounds // BATCH)) for item in json.loads(body)]
    for begin in range(0, count * rounds, count):
        yield items[begin : begin + count]


def measure(url: str, process: psutil.Process, offer: Offering, items: Sequence[Item]) -> MeasuredRun:
    """One run. Ends the program if Kafka comes to have another number of readings than was offered."""
    before, used, began = acknowledged(url), sum(process.cpu_times()[:2]), time.perf_counter()
    offer(items)
    while (found := acknowledged(url) - before) < len(items):
        if time.perf_counter() - began > LONGEST_S:
            sys.exit(f"Kafka has {found} readings of {len(items)}")
        time.sleep(0.05)
    if found != len(items):
        sys.exit(f"Kafka has {found} readings of {len(items)}")
    return MeasuredRun(time.perf_counter() - began, sum(process.cpu_times()[:2]) - used, peak_mb(process.pid))


@contextmanager
def ways(kafka: str, folder: Path) -> Iterator[Sequence[Fetched]]:
    """All ways to fetch, with topics and a server of their own."""
    (folder / "telemetry.toml").write_text(PROFILE)
    (folder / "telemetry.avsc").write_text(json.dumps(SCHEMA))
    log = KafkaLog(kafka)
    for topic in ("json", "avro"):
        log.create(f"bench.{topic}", PARTITIONS, {})
    sources = {topic: TOPIC.format(kafka=kafka, topic=f"bench.{topic}") for topic in ("json", "avro")}
    with polled_server(folder / "served") as server:
        server.serve("page-0", "[]")
        yield [
            Fetched("a topic, JSON", sources["json"] + JSON, writing(kafka, "bench.json", in_json)),
            Fetched("a topic, Avro", sources["avro"] + AVRO, writing(kafka, "bench.avro", in_avro)),
            Fetched("polls, JSON", POLL.format(url=server.url) + JSON, answering(server)),
        ]


def main() -> None:
    """Measure and print; write the figures to `--output` as JSON."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--readings", type=int, default=100_000)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--installed", type=Path, default=Path(".sistercity"))
    options.add_argument("--output", type=Path)
    chosen = options.parse_args()
    measuring = Measuring("fetched", "Readings that are fetched", "reading", {"pages of": METERS})
    with (
        own_services(chosen.installed) as running,
        tempfile.TemporaryDirectory() as name,
        tempfile.TemporaryDirectory() as beside,
        ways(running.kafka, Path(beside)) as found,
    ):
        url, environment = node(running, Path(name))
        for way in found:
            with serving(environment, Path(beside), way.source) as process:
                watched = psutil.Process(process.pid)
                # The first round is not counted: it reads the register, and waits for the group to form.
                runs = [
                    measure(url, watched, way.offer, items) for items in rounds_of(chosen.readings, chosen.rounds + 1)
                ][1:]
            verified = "the readings that Kafka acknowledged, with those that were offered"
            measuring.systems.append(MeasuredSystem(way.name, chosen.readings, runs, verified))
    measuring.write(chosen.output)


if __name__ == "__main__":
    main()
