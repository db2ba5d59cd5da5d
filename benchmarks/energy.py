"""What a reading costs one process, from Kafka to committed rows, and how much of that are the poll and the fold.

Three things are timed in turns on the same messages: a bare poll of the topic, the fold alone over records that lie in
memory as they were polled, and the whole, which is the product's own Runner, fold and store. Poll and whole use the
same reader with the same settings; their time runs from the assignment of the partitions to the last record or the last
commit. Starting up, joining the group and producing are not measured. The result is checked outside the timed part:
every reading must be accounted for.

CPU is user and system time of all threads of this process; Kafka and PostgreSQL are processes of their own. The meters'
clocks are off by up to `--drift-ms`, each by the same in every reading, and one reading in a hundred comes twice.

It doesn't measure a network, a disk that is slower than this one, replication, or more than one process.
"""

import argparse
import json
import os
import platform
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import numpy as np

from benchmarks.timed import Spent, TimedStore, bare_poll, now, own_services, polls
from embedded.services import Services
from eventlog.confluent import ConfluentLog
from eventlog.kafka import KafkaLog
from eventlog.protocol import Record, TopicPartition
from ingest.batches import Message, ReadingColumns, messages, tick
from processors.fold import Fold
from processors.plan import Plan
from processors.reading_fold import ReadingFoldFactory
from processors.runner import Runner
from schemas.batch import ACTUAL, ROW, encode
from schemas.catalogue import catalogue, metrics_of
from schemas.registry import newest
from schemas.topics import settings
from store.accounts import stream_accounts
from store.database import connect, create_database
from store.migrations import migrate
from store.processing import Position

CLIENTS: Mapping[str, type[KafkaLog]] = {"kafka-python": KafkaLog, "confluent-kafka": ConfluentLog}
DATASET = "energy.readings"
TOPIC = f"bench.{DATASET}.v1"
INTERVAL_MS = 900_000
HOUR_MS = 3_600_000
AREAS = 24
PARTITIONS = 32
DUPLICATES = 0.01
START_MS = 1_790_000_000_000 // HOUR_MS * HOUR_MS


@dataclass(frozen=True, slots=True)
class EnergyWorkload:
    """Readings, messages and bytes in the topic."""

    readings: int
    messages: int
    bytes: int


@dataclass(frozen=True, slots=True)
class EnergyRound:
    """What each of the three took."""

    poll: Spent
    fold: Spent
    whole: Spent


def simulated(sources: int, hours: int, drift_ms: int) -> Iterator[ReadingColumns]:
    """Hours of 15-minute readings of `sources` meters, one quarter at a time, in random order, some twice.

    Every meter's clock is off by up to `drift_ms`, always by the same. The same arguments give the same readings.
    """
    rng, metric = np.random.default_rng(1), catalogue()["energy.import"]
    number, contributor = (rng.permutation(sources).astype(np.uint32) for _ in range(2))
    off = rng.integers(-drift_ms, drift_ms + 1, sources)
    area = rng.integers(1, AREAS + 1, sources).astype(np.int32)
    class_ = (rng.random(sources) < 0.13).astype(np.uint8)
    for step in range(hours * HOUR_MS // INTERVAL_MS):
        again = rng.choice(sources, int(sources * DUPLICATES), replace=False)
        which = np.concatenate((rng.permutation(sources), again))
        yield ReadingColumns(
            metric=metric,
            interval=INTERVAL_MS,
            area=area[which],
            class_=class_[which],
            source=number[which],
            contributor=contributor[which],
            start=START_MS + step * INTERVAL_MS + off[which],
            value=rng.integers(0, 2_000, len(which)).astype(np.float64) * 900_000,
            quality=np.full(len(which), ACTUAL, np.uint8),
        )


def fill(
    log: KafkaLog, sources: int, hours: int, drift_ms: int, *, topic: str = TOPIC, one_each: bool = False
) -> EnergyWorkload:
    """Write what `simulated` gives for the same arguments to a new topic, and a closing tick.

    Batches are the product's, or, with `one_each`, have one reading each.
    """
    log.create(topic, PARTITIONS, settings(DATASET))
    writer = log.writer()
    sent = count = size = 0
    for readings in simulated(sources, hours, drift_ms):
        for message in single_messages(readings) if one_each else messages(readings):
            writer.send(topic, message.key, message.value, message.readings)
            sent, count, size = sent + message.readings, count + 1, size + len(message.value)
    for partition in range(PARTITIONS):
        writer.send_to(topic, partition, tick(DATASET, START_MS + (hours + 2) * HOUR_MS))
    writer.close()
    return EnergyWorkload(sent, count + PARTITIONS, size)


def single_messages(readings: ReadingColumns) -> Iterator[Message]:
    """The readings as messages of one row each, in their order."""
    rows = np.zeros(len(readings), ROW)
    rows["source"], rows["contributor"] = readings.source, readings.contributor
    rows["value"], rows["quality"] = readings.value, readings.quality
    schema, metric = newest(DATASET).id, readings.metric
    heads = zip(readings.area.tolist(), readings.class_.tolist(), readings.start.tolist(), strict=True)
    for row, (area, class_, start) in enumerate(heads):
        value = encode(
            schema,
            metric=metric.name,
            area=area,
            class_=metric.classes[class_],
            interval=readings.interval,
            start=start,
            rows=rows[row : row + 1],
            feeder="",
        )
        yield Message(b"%d" % area, value, 1, start)


def process(log: KafkaLog, group: str, database_url: str, topic: str = TOPIC) -> Spent:
    """Time to process every message into committed rows."""
    store = TimedStore(database_url)
    Runner(log, store, _folds(topic), Plan(group, until_caught_up=True)).run(Event())
    store.close()
    return store.spent


def fold_alone(polled: Sequence[tuple[TopicPartition, Sequence[Record]]]) -> Spent:
    """Time to fold these records, poll by poll, until every window is closed."""
    factory = _folds(TOPIC)
    folds: dict[TopicPartition, Fold] = {}
    began = now()
    for partition, records in polled:
        fold = folds.get(partition)
        if fold is None:
            fold = folds[partition] = factory.create(TOPIC, Position(), lambda first, until: frozenset(), gap=False)
        fold.feed(records)
    for fold in folds.values():
        fold.step()
    spent = now() - began
    if any(fold.buffered for fold in folds.values()):
        sys.exit("the fold has left windows open")
    return spent


def _folds(topic: str) -> ReadingFoldFactory:
    return ReadingFoldFactory({topic: metrics_of(DATASET)}, "Asia/Ho_Chi_Minh")


def check(database_url: str, workload: EnergyWorkload) -> None:
    """Exit unless every reading is accounted for, every window is closed and the duplicates were found."""
    with connect(database_url) as connection:
        [stream] = stream_accounts(connection)
    account = stream.account
    duplicates = workload.readings - round(workload.readings / (1 + DUPLICATES))
    if not account.balanced() or account.readings != workload.readings or account.open:
        sys.exit(f"the account is wrong: {account}")
    if abs(account.duplicate - duplicates) > AREAS:
        sys.exit(f"{account.duplicate} duplicates were found, about {duplicates} were sent")


def measure(
    running: Services, client: str, sources: int, hours: int, rounds: int, drift_ms: int
) -> Mapping[str, object]:
    """Fill the topic once, then poll it, fold it and process it in turns. Returns what is printed as JSON."""
    log = CLIENTS[client](running.kafka)
    workload = fill(log, sources, hours, drift_ms)
    print(f"{workload.readings:,} readings in {workload.messages:,} messages, {workload.bytes / 1e6:,.0f} MB")
    polled = polls(log, "kept", TOPIC, workload.messages)
    done = []
    for number in range(rounds + 1):
        url = create_database(running.database_url, f"bench_{number}")
        migrate(url)
        turn = EnergyRound(
            bare_poll(log, f"bare-{number}", TOPIC, workload.messages),
            fold_alone(polled),
            process(log, f"process-{number}", url),
        )
        check(url, workload)
        if number:  # not the first round, which warms up
            done.append(turn)
            print(_line(turn, workload.readings), flush=True)
    return {
        "readings": workload.readings,
        "client": client,
        "sources": sources,
        "drift_ms": drift_ms,
        "cpu_ns": {name: _median(done, name, "cpu", workload.readings) for name in EnergyRound.__slots__},
        "wall_ns": {name: _median(done, name, "wall", workload.readings) for name in EnergyRound.__slots__},
        "rounds": rounds,
        "python": platform.python_version(),
        "cores": os.cpu_count(),
    }


def _line(turn: EnergyRound, readings: int) -> str:
    """What each took, in nanoseconds of CPU a reading."""
    parts = (f"{name} {getattr(turn, name).cpu * 1e9 / readings:5.0f}" for name in EnergyRound.__slots__)
    return "   ".join(parts) + "   ns of CPU a reading"


def _median(done: Sequence[EnergyRound], name: str, clock: str, readings: int) -> float:
    """Nanoseconds a reading: the median of all rounds."""
    seconds: float = statistics.median(getattr(getattr(turn, name), clock) for turn in done)
    return round(seconds * 1e9 / readings, 1)


def main() -> None:
    """Measure, print the result, and write it to `--output`."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--sources", type=int, default=5_000_000)
    options.add_argument("--hours", type=int, default=2)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--drift-ms", type=int, default=60_000)
    options.add_argument("--client", choices=CLIENTS, default="kafka-python")
    options.add_argument("--installed", type=Path, default=Path(".sistercity"))
    options.add_argument("--output", type=Path)
    chosen = options.parse_args()
    with own_services(chosen.installed) as running:
        result = measure(running, chosen.client, chosen.sources, chosen.hours, chosen.rounds, chosen.drift_ms)
    print(json.dumps(result, indent=2))
    if chosen.output is not None:
        chosen.output.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
