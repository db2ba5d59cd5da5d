"""What a restart costs: processor time to read the readings of all open windows again, in the city of 15 million.

Five million meters send every quarter of an hour, and a window of an hour stays open for an hour of lateness: at most
two and a quarter hours of readings are read again, shared by the processes. Each partition replays the same messages,
as they come from the log's reader, into a fold of its own; the folds share the memory of one process, with its limit.
A round in which another number of readings than was open is buffered ends with an error.

Measured is processor time of this process, which other work on the machine disturbs little. It does not measure Kafka,
nor decoding its batches, nor PostgreSQL (one look-up of dead letters a poll).
"""

import argparse
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.result import Measuring, ResultTable
from benchmarks.timed import now
from eventlog.memory import MemoryRecord
from ingest.batches import ReadingColumns, messages
from processors.open_memory import OpenMemory
from processors.reading_fold import ReadingFoldFactory
from processors.spilling import SpillFolder
from schemas.batch import ACTUAL
from schemas.catalogue import catalogue, metrics_of
from store.processing import Account, Position

DATASET = "energy.readings"
TOPIC = f"bench.{DATASET}.v1"
METERS = 5_000_000
PARTITIONS = 32
QUARTER_MS = 900_000
HOUR_MS = 3_600_000
OPEN_QUARTERS = 8
"""How many quarters of an hour are open just before the ninth closes the oldest window."""
AREAS = 3
"""Areas of a partition: messages of about 500 readings."""
POLL = 500
START_MS = 1_790_000_000_000 // HOUR_MS * HOUR_MS


def open_messages(meters: int, areas: int) -> tuple[Sequence[MemoryRecord], int]:
    """The messages of the open windows of `meters` in one partition, and how many readings they hold."""
    rng, metric = np.random.default_rng(1), catalogue()["energy.import"]
    number = rng.permutation(meters).astype(np.uint32)
    area = rng.integers(1, areas + 1, meters).astype(np.int32)
    class_ = (rng.random(meters) < 0.13).astype(np.uint8)
    records: list[MemoryRecord] = []
    for quarter in range(OPEN_QUARTERS):
        which, start = rng.permutation(meters), START_MS + quarter * QUARTER_MS
        readings = ReadingColumns(
            metric=metric,
            interval=QUARTER_MS,
            area=area[which],
            class_=class_[which],
            source=number[which],
            contributor=number[which],
            start=np.full(meters, start, np.int64),
            value=rng.integers(0, 2_000, meters).astype(np.float64) * 900_000,
            quality=np.full(meters, ACTUAL, np.uint8),
        )
        for message in messages(readings):
            records.append(MemoryRecord(len(records), start + QUARTER_MS, message.key, message.value))
    return records, OPEN_QUARTERS * meters


def replay(records: Sequence[MemoryRecord], readings: int, partitions: int, memory_mb: int) -> tuple[float, float]:
    """Replay the messages in each partition of one process; returns seconds of processor time, and by the clock.

    Raises `processors.fold.ReplayDiffers` if a partition does not come out with what was open.
    """
    account = Account(messages=len(records), decoded=len(records), readings=readings, open=readings)
    latest = START_MS + (OPEN_QUARTERS - 1) * QUARTER_MS
    position = Position(len(records), 0, latest, account=account)
    with tempfile.TemporaryDirectory() as folder:
        memory = OpenMemory(memory_mb << 20, SpillFolder(Path(folder)))
        factory = ReadingFoldFactory({TOPIC: metrics_of(DATASET)}, "Asia/Ho_Chi_Minh", memory=memory)
        folds = [
            factory.create(TOPIC, position, lambda first, until: frozenset(), gap=False) for _ in range(partitions)
        ]
        began = now()
        for first in range(0, len(records), POLL):
            for fold in folds:
                fold.feed(records[first : first + POLL])
        for fold in folds:
            fold.pass_over(len(records))
        spent = now() - began
    return spent.cpu, spent.wall


def _nothing_settled(first: int, until: int) -> frozenset[tuple[int, int]]:
    """A log without dead letters."""
    del first, until
    return frozenset()


def main() -> None:
    """Measure, print the result, and write it to `--output`."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--partitions", type=int, nargs="+", default=[4, 8, 32], help="of one process")
    options.add_argument("--memory", type=int, default=1024, help="MB for open windows; what is above goes to disk")
    options.add_argument("--areas", type=int, default=AREAS)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--output", type=Path)
    chosen = options.parse_args()
    measuring = Measuring(
        "replay",
        "A restart: the open windows of the largest city are read again",
        "reading",
        {"meters": METERS, "memory_mb": chosen.memory, "areas": chosen.areas, "rounds": chosen.rounds},
    )
    records, readings = open_messages(METERS // PARTITIONS, chosen.areas)
    result = []
    for partitions in chosen.partitions:
        rounds = [replay(records, readings, partitions, chosen.memory) for _ in range(chosen.rounds)]
        cpu = statistics.median(spent for spent, _ in rounds)
        result.append({
            "partitions": partitions,
            "readings": readings * partitions,
            "cpu_s": round(cpu, 2),
            "wall_s": round(statistics.median(wall for _, wall in rounds), 2),
            "readings_per_cpu_s": round(readings * partitions / cpu),
        })  # fmt: skip
        print(result[-1], flush=True)
    measuring.tables.append(ResultTable.of("One process, by its partitions", result))
    measuring.write(chosen.output)


if __name__ == "__main__":
    main()
