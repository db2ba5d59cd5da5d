"""What a reading costs, from Kafka to committed cells, and how much of that are the poll and the fold.

The city of 15 million: 5 million meters that report quarter hours in batches of 500, every clock off by up to
`--drift-ms`, one reading in a hundred twice. For each client: a bare poll of the topic; the whole, which is the
product's own Runner, fold and store in processes of their own, as one worker and as several in one group. Beside them
the fold alone, over records in memory as they were polled.

The result is checked outside the timed part: the account, and the sum and readings of every cell. Processor time is
that of all threads of the workers; Kafka and PostgreSQL are apart.

It doesn't measure a network, a disk that is slower than this one, or replication.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.readings import SEED, ZONE, SourceStream, Written, check, energy, filled
from benchmarks.result import MeasuredRun, MeasuredSystem, Measuring, peak_mb
from benchmarks.timed import Spent, bare_poll, now, own_services, polls
from benchmarks.workers import CLIENTS, Work, process
from embedded.services import Services
from eventlog.confluent import ConfluentLog
from eventlog.protocol import Record, TopicPartition
from processors.fold import Fold
from processors.process_memory import prepare_memory
from processors.reading_fold import ReadingFoldFactory
from schemas.catalogue import metrics_of
from store.database import connect, create_database
from store.migrations import migrate
from store.processing import Position

_UNCHECKED = "the messages were counted"


def whole(
    running: Services, name: str, streams: Sequence[tuple[SourceStream, Written]], client: str, workers: int = 1
) -> tuple[MeasuredRun, str]:
    """Process these topics once under a new `name`; the run, and what was verified."""
    url = create_database(running.database_url, name.replace("-", "_"))
    migrate(url)
    topics = [stream.topic for stream, _ in streams]
    run = process(Work(running.kafka, client, url, name, topics), workers)
    with connect(url) as connection:
        verified = [check(connection, stream, written) for stream, written in streams]
    return run, "; ".join(verified)


def measure(
    running: Services, stream: SourceStream, clients: Sequence[str], workers: Sequence[int], rounds: int
) -> list[MeasuredSystem]:
    """Fill the topic, then let everything that is compared go over it in turns."""
    written = filled(ConfluentLog(running.kafka), stream)
    print(f"{written.readings:,} readings in {written.messages:,} messages, {written.bytes / 1e6:,.0f} MB", flush=True)
    systems: dict[str, tuple[list[MeasuredRun], str]] = {}

    def note(name: str, run: MeasuredRun, verified: str) -> None:
        systems.setdefault(name, ([], verified))[0].append(run)
        print(f"{name}: {run.cpu_s * 1e9 / written.readings:,.0f} ns of CPU a reading", flush=True)

    # As a processor does: the bare polls and the fold alone run in this process.
    prepare_memory()
    for number in range(rounds):
        for client in clients:
            log = CLIENTS[client](running.kafka)
            spent = bare_poll(log, f"bare-{client}-{number}", stream.topic, written.messages)
            note(f"bare poll, {client}", MeasuredRun(spent.wall, spent.cpu), _UNCHECKED)
            for count in workers:
                name = f"sistercity, {client}" + (f", {count} workers" if count > 1 else "")
                note(name, *whole(running, f"whole-{client}-{count}-{number}", [(stream, written)], client, count))
    polled = polls(ConfluentLog(running.kafka), "kept", stream.topic, written.messages)
    for _ in range(rounds):
        spent = fold_alone(stream, polled)
        note("the fold alone, from memory", MeasuredRun(spent.wall, spent.cpu, peak_mb()), "every window was closed")
    return [MeasuredSystem(name, written.readings, runs, verified) for name, (runs, verified) in systems.items()]


def fold_alone(stream: SourceStream, polled: Sequence[tuple[TopicPartition, Sequence[Record]]]) -> Spent:
    """Time to fold these records, poll by poll, until every window is closed."""
    factory = ReadingFoldFactory({stream.topic: metrics_of(stream.dataset)}, ZONE)
    folds: dict[TopicPartition, Fold] = {}
    began = now()
    for partition, records in polled:
        fold = folds.get(partition)
        if fold is None:
            fold = factory.create(stream.topic, Position(), lambda first, until: frozenset(), gap=False)
            folds[partition] = fold
        fold.feed(records)
    for fold in folds.values():
        fold.step()
    spent = now() - began
    if any(fold.buffered for fold in folds.values()):
        sys.exit("the fold has left windows open")
    return spent


def options(description: str | None, workers: Sequence[int] = (1,)) -> argparse.ArgumentParser:
    """What every benchmark of a stream can be given."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", nargs="+", choices=CLIENTS, default=list(CLIENTS))
    parser.add_argument("--workers", type=int, nargs="+", default=list(workers), help="processes of one group")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--partitions", type=int, default=32)
    parser.add_argument("--installed", type=Path, default=Path(".sistercity"))
    parser.add_argument("--output", type=Path)
    return parser


def described(stream: SourceStream) -> dict[str, object]:
    """A stream as the settings of a result."""
    return {
        "metric": stream.metric,
        "sources": stream.sources,
        "steps": stream.steps,
        "drift, ms": stream.drift_ms,
        "twice, %": 100 * stream.twice,
        "rows a message, at most": stream.rows,
        "areas": stream.areas,
        "partitions": stream.partitions,
    }


def run(name: str, title: str, stream: SourceStream, chosen: argparse.Namespace) -> None:
    """Measure a stream and write the result."""
    measuring = Measuring(name, title, "reading", described(stream), SEED)
    with own_services(chosen.installed) as running:
        measuring.systems += measure(running, stream, chosen.clients, chosen.workers, chosen.rounds)
    measuring.write(chosen.output)


def main() -> None:
    """Measure, print the result, and write it to `--output`."""
    parser = options(__doc__, workers=(1, 2))
    parser.add_argument("--meters", type=int, default=5_000_000)
    parser.add_argument("--steps", type=int, default=2, help="quarter hours")
    parser.add_argument("--drift-ms", type=int, default=60_000)
    chosen = parser.parse_args()
    stream = energy(chosen.meters, chosen.steps, drift_ms=chosen.drift_ms, partitions=chosen.partitions)
    run("energy", "Energy, in batches of 500", stream, chosen)


if __name__ == "__main__":
    main()
