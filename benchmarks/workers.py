"""Processors as a node has them, one process each, in one group: what the work from Kafka to committed cells costs.

A worker is the product's own Runner, folds and store. Its time runs from the moment when it took its partitions over to
its last commit: starting, joining the group and waiting for others are not counted. With several workers the first
claim waits until all are in the group, so that none of them reads what another does.
"""

import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event as Gate
from pathlib import Path
from threading import Event

from benchmarks.readings import ZONE
from benchmarks.result import MeasuredRun, peak_mb
from benchmarks.timed import Spent, TimedStore, end_at_sigterm
from eventlog.confluent import ConfluentLog
from eventlog.kafka import KafkaLog
from node.settings import Settings
from processors.open_memory import OpenMemory
from processors.plan import Plan
from processors.process_memory import prepare_memory
from processors.reading_fold import ReadingFoldFactory
from processors.runner import Runner
from processors.spilling import SpillFolder
from schemas.catalogue import metrics_of
from schemas.topics import dataset_of
from store.processing import Claim, Partition, PartitionCommit

CLIENTS: Mapping[str, type[KafkaLog]] = {"kafka-python": KafkaLog, "confluent-kafka": ConfluentLog}
OPEN_MEMORY_MB = int(Settings.model_fields["open_memory_mb"].default)
_REJOINED_S = 4.0
"""A member learns that another one has come by its next heartbeat, which it sends every three seconds."""


@dataclass(frozen=True, slots=True)
class Work:
    """What workers need to know; `group` must be new, `database_url` of a migrated database of this run alone."""

    kafka: str
    client: str
    database_url: str
    group: str
    topics: Sequence[str]


@dataclass(frozen=True, slots=True)
class _Share:
    """What a worker did: moments by the clock that all processes of a machine share, processor time, memory."""

    began: Spent
    ended: Spent
    peak_mb: float
    claimed_again: bool


class _GatedStore(TimedStore):
    """Waits before the first claim until the gate is open; notes a claim after a commit, which means a replay."""

    def __init__(self, url: str, gate: Gate) -> None:
        super().__init__(url)
        self._gate = gate
        self._committed = self.claimed_again = False

    def claim(self, partitions: Sequence[Partition]) -> Mapping[Partition, Claim]:
        self._gate.wait()
        self.claimed_again |= self._committed
        return super().claim(partitions)

    def commit(self, commits: Sequence[PartitionCommit]) -> None:
        super().commit(commits)
        self._committed = True


def _work(work: Work, gate: Gate, answer: Connection) -> None:
    end_at_sigterm()
    log = CLIENTS[work.client](work.kafka)
    with (
        tempfile.TemporaryDirectory(prefix="sistercity-bench-") as folder,
        closing(SpillFolder(Path(folder))) as spill,
        closing(_GatedStore(work.database_url, gate)) as store,
    ):
        metrics = {topic: metrics_of(dataset_of(topic)) for topic in work.topics}
        folds = ReadingFoldFactory(metrics, ZONE, memory=OpenMemory(OPEN_MEMORY_MB << 20, spill))
        prepare_memory()
        Runner(log, store, folds, Plan(work.group, until_caught_up=True)).run(Event())
        answer.send(_Share(store.began, store.ended, peak_mb(), store.claimed_again))


def process(work: Work, workers: int = 1, watch: Callable[[Sequence[int]], None] | None = None) -> MeasuredRun:
    """Process all that is in the topics. `watch` is called every few seconds with the workers' process ids.

    Ends the program if a worker fails, or if the group changed in the middle.
    """
    context = multiprocessing.get_context("spawn")
    gate = context.Event()
    pipes = [context.Pipe(duplex=False) for _ in range(workers)]
    processes = [context.Process(target=_work, args=(work, gate, answer), daemon=True) for _, answer in pipes]
    for each in processes:
        each.start()
    for _, answer in pipes:
        answer.close()
    if workers > 1:
        _all_joined(work, workers)
    gate.set()
    shares = []
    for reading, _ in pipes:
        while watch is not None and not reading.poll(5):
            watch([each.pid or 0 for each in processes])
        with suppress(EOFError):
            shares.append(reading.recv())
    for each in processes:
        each.join()
    if len(shares) < workers or any(each.exitcode for each in processes):
        sys.exit("a worker has failed")
    if any(share.claimed_again for share in shares):
        sys.exit("the group has changed while it worked; run it again on a quieter machine")
    return MeasuredRun(
        wall_s=max(share.ended.wall for share in shares) - min(share.began.wall for share in shares),
        cpu_s=sum((share.ended - share.began).cpu for share in shares),
        peak_mb=sum(share.peak_mb for share in shares),
    )


def _all_joined(work: Work, workers: int) -> None:
    log, until = KafkaLog(work.kafka), time.monotonic() + 60
    while (log.inspect([], [work.group]).members[work.group] or 0) < workers:
        if time.monotonic() > until:
            sys.exit(f"{workers} workers did not join the group within a minute")
        time.sleep(0.1)
    time.sleep(_REJOINED_S)
