"""Readings per second of one process, from Kafka to committed rows, beside a bare poll of the same topic.

Both go through the same reader with the same settings, in turns, on topics of the same messages; time runs from the
assignment of the partitions to the last record (bare poll) or the last commit (processor). Starting up, joining the
group and producing are not measured. The result is checked outside the timed part: every reading must be accounted for.

It doesn't measure a network, a disk that is slower than this one, replication, or more than one process.
"""

import argparse
import json
import os
import platform
import statistics
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import numpy as np

from benchmarks.timed import TimedStore, bare_poll, own_services
from embedded.services import Services
from eventlog.kafka import KafkaLog
from ingest.batches import ReadingColumns, messages, tick
from processors.plan import Plan
from processors.reading_fold import ReadingFoldFactory
from processors.runner import Runner
from schemas.batch import ACTUAL
from schemas.catalogue import catalogue, metrics_of
from schemas.topics import settings
from store.accounts import stream_accounts
from store.database import connect, create_database
from store.migrations import migrate

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


def fill(log: KafkaLog, sources: int, hours: int) -> EnergyWorkload:
    """Write hours of 15-minute readings of `sources` meters in random order, some twice, and a closing tick."""
    log.create(TOPIC, PARTITIONS, settings(DATASET))
    writer, rng = log.writer(), np.random.default_rng(1)
    metric = catalogue()["energy.import"]
    number = rng.permutation(sources).astype(np.uint32)
    area = rng.integers(1, AREAS + 1, sources).astype(np.int32)
    class_ = (rng.random(sources) < 0.13).astype(np.uint8)
    sent = count = size = 0
    for step in range(hours * HOUR_MS // INTERVAL_MS):
        again = rng.choice(sources, int(sources * DUPLICATES), replace=False)
        which = np.concatenate((rng.permutation(sources), again))
        readings = ReadingColumns(
            metric=metric,
            interval=INTERVAL_MS,
            area=area[which],
            class_=class_[which],
            source=number[which],
            contributor=number[which],
            start=np.full(len(which), START_MS + step * INTERVAL_MS, np.int64),
            value=rng.integers(0, 2_000, len(which)).astype(np.float64) * 900_000,
            quality=np.full(len(which), ACTUAL, np.uint8),
        )
        for message in messages(readings):
            writer.send(TOPIC, message.key, message.value, message.readings)
            sent, count, size = sent + message.readings, count + 1, size + len(message.value)
    for partition in range(PARTITIONS):
        writer.send_to(TOPIC, partition, tick(DATASET, START_MS + (hours + 2) * HOUR_MS))
    writer.close()
    return EnergyWorkload(sent, count + PARTITIONS, size)


def process(log: KafkaLog, group: str, database_url: str) -> float:
    """Seconds by the clock to process every message into committed rows."""
    store = TimedStore(database_url)
    folds = ReadingFoldFactory({TOPIC: metrics_of(DATASET)}, "Asia/Ho_Chi_Minh")
    Runner(log, store, folds, Plan(group, until_caught_up=True)).run(Event())
    store.close()
    return store.spent.wall


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


def measure(running: Services, sources: int, hours: int, rounds: int) -> Mapping[str, object]:
    """Fill the topic once, then poll it and process it in turns. Returns what is printed as JSON."""
    log = KafkaLog(running.kafka)
    workload = fill(log, sources, hours)
    print(f"{workload.readings:,} readings in {workload.messages:,} messages, {workload.bytes / 1e6:,.0f} MB")
    pairs = []
    for number in range(rounds + 1):
        url = create_database(running.database_url, f"bench_{number}")
        migrate(url)
        bare = bare_poll(log, f"bare-{number}", TOPIC, workload.messages).wall
        processed = process(log, f"process-{number}", url)
        check(url, workload)
        if number:  # not the first pair, which warms up
            pairs.append((workload.readings / bare, workload.readings / processed))
            print(f"bare poll {pairs[-1][0] / 1e6:6.2f} M/s   processed {pairs[-1][1] / 1e6:6.2f} M/s", flush=True)
    return {
        "readings": workload.readings,
        "sources": sources,
        "bare_poll_per_s": round(statistics.median(bare for bare, _ in pairs)),
        "processed_per_s": round(statistics.median(done for _, done in pairs)),
        "ratio": round(statistics.median(done / bare for bare, done in pairs), 3),
        "rounds": rounds,
        "python": platform.python_version(),
        "cores": os.cpu_count(),
    }


def main() -> None:
    """Measure, print the result, and write it to `--output`."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--sources", type=int, default=500_000)
    options.add_argument("--hours", type=int, default=4)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--installed", type=Path, default=Path(".sistercity"))
    options.add_argument("--output", type=Path)
    chosen = options.parse_args()
    with own_services(chosen.installed) as running:
        result = measure(running, chosen.sources, chosen.hours, chosen.rounds)
    print(json.dumps(result, indent=2))
    if chosen.output is not None:
        chosen.output.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
