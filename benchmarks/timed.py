"""Timing for the benchmarks: seconds between two moments, a bare poll, a store that records when it is used."""

import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time

from embedded.remove import remove
from embedded.services import Services, services
from eventlog.kafka import KafkaLog
from eventlog.protocol import Record, TopicPartition
from store.processing import Claim, Partition, PartitionCommit
from store.processing_postgres import PostgresStore


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds by the clock (`wall`), and of processor time, user and system, of all threads of this process (`cpu`)."""

    wall: float = 0.0
    cpu: float = 0.0

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(self.wall + other.wall, self.cpu + other.cpu)

    def __sub__(self, other: "Spent") -> "Spent":
        return Spent(self.wall - other.wall, self.cpu - other.cpu)


def now() -> Spent:
    """A moment. Only the difference between two has a meaning."""
    return Spent(perf_counter(), process_time())


class _FromTheBeginning:
    """A listener that reads every partition from its beginning, and records when it was assigned them."""

    began = Spent()

    def assigned(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        self.began = now()
        return dict.fromkeys(partitions, 0)

    def revoked(self, partitions: Sequence[TopicPartition]) -> None: ...

    def lost(self, partitions: Sequence[TopicPartition]) -> None: ...


def bare_poll(log: KafkaLog, group: str, topic: str, messages: int, at_once: int = 2_000) -> Spent:
    """Time to poll every message of a topic without decoding any, from the assignment of the partitions on.

    `at_once`: most messages of a poll.
    """
    listener = _FromTheBeginning()
    for _ in _polls(log, group, topic, messages, at_once, listener):
        ended = now()
    return ended - listener.began


def polls(log: KafkaLog, group: str, topic: str, messages: int) -> list[tuple[TopicPartition, Sequence[Record]]]:
    """Every message of a topic as it is polled: the records of one partition each."""
    every = _polls(log, group, topic, messages, 2_000, _FromTheBeginning())
    return [part for polled in every for part in polled.items()]


def _polls(
    log: KafkaLog, group: str, topic: str, messages: int, at_once: int, listener: _FromTheBeginning
) -> Iterator[Mapping[TopicPartition, Sequence[Record]]]:
    reader = log.reader(group, [topic], listener, at_once)
    left = messages
    while left:
        polled = reader.poll(1000)
        left -= sum(len(records) for records in polled.values())
        yield polled
    reader.close()


class TimedStore(PostgresStore):
    """Records when the partitions were taken over and when the last commit was done."""

    began = ended = Spent()

    def claim(self, partitions: Sequence[Partition]) -> Mapping[Partition, Claim]:
        claimed = super().claim(partitions)
        self.began = now()
        return claimed

    def commit(self, commits: Sequence[PartitionCommit]) -> None:
        super().commit(commits)
        self.ended = now()

    @property
    def spent(self) -> Spent:
        """Time from taking over the partitions to the last commit."""
        return self.ended - self.began


def end_at_sigterm() -> None:
    """From now on SIGTERM ends this process as an error does, so that what it has made is removed."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))


@contextmanager
def own_services(installed: Path) -> Iterator[Services]:
    """A Kafka and a PostgreSQL of the benchmark's own; their data is removed at the end, also if that is a SIGTERM."""
    end_at_sigterm()
    home = Path(tempfile.mkdtemp(prefix="sistercity-bench-"))
    home.chmod(0o755)
    try:
        with services(home, installed=installed) as running:
            yield running
    finally:
        remove(home)
        with suppress(OSError):  # not if it holds other files
            home.rmdir()
