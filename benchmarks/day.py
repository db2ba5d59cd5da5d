"""A day of the city of 15 million after a night's outage: 480 million readings, from the first poll to the last commit.

The topic is filled beforehand, as the product's writer does, which takes longer than reading it and about 10.5 GB of
disk in the temporary folder (`TMPDIR`). Then the workers, processes of one group, catch up. Every few seconds the
program prints how many readings are committed, and notes the memory of each worker: the curve says whether it is flat.

    nice .venv/bin/python -m benchmarks.day --clients confluent-kafka --workers 2 --output benchmarks/results/day.json
    nice .venv/bin/python -m benchmarks.day --meters 500000        # a tenth of it
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from benchmarks.energy import described
from benchmarks.readings import SEED, SourceStream, Written, check, energy, fill
from benchmarks.result import Curve, MeasuredSystem, Measuring
from benchmarks.timed import own_services
from benchmarks.workers import CLIENTS, Work, process
from embedded.services import Services
from eventlog.confluent import ConfluentLog
from store.accounts import stream_accounts
from store.database import connect, create_database
from store.migrations import migrate

QUARTERS = 96
_BYTES = 23
"""On the broker's disk for each reading: 21 in its row, and its share of the message and of the index."""


class _Watch:
    """Prints the progress; keeps the memory of the workers, in MB, by seconds since the beginning."""

    def __init__(self, url: str, readings: int) -> None:
        self._url, self._readings, self._began = url, readings, time.monotonic()
        self.memory: dict[str, list[tuple[float, float]]] = {}

    def look(self, processes: Sequence[int]) -> None:
        """Called every few seconds while the workers run."""
        seconds = round(time.monotonic() - self._began)
        sizes = []
        for number, pid in enumerate(processes, 1):
            try:
                sizes.append(round(psutil.Process(pid).memory_info().rss / 1e6))
            except psutil.NoSuchProcess:  # it has ended since
                continue
            self.memory.setdefault(f"worker {number}", []).append((seconds, sizes[-1]))
        with connect(self._url) as connection:
            done = sum(stream.account.readings for stream in stream_accounts(connection))
        print(f"{seconds:5} s: {done / 1e6:6.1f} of {self._readings / 1e6:.1f} M readings, MB {sizes}", flush=True)


def filled_aloud(running: Services, stream: SourceStream) -> tuple[Written, float]:
    """Fill the topic, saying how far it is; also the seconds that it took."""
    began, written = time.monotonic(), Written()
    whole = stream.sources * stream.steps
    for _ in fill(ConfluentLog(running.kafka), stream, written):
        seconds = time.monotonic() - began
        print(f"filling: {written.readings / 1e6:.1f} of {whole / 1e6:.1f} M, {seconds:.0f} s", flush=True)
    return written, time.monotonic() - began


def caught_up(
    running: Services, stream: SourceStream, written: Written, client: str, workers: int
) -> tuple[MeasuredSystem, Curve]:
    """Let workers catch up once, and check the result."""
    name = f"{client}, {workers} workers"
    url = create_database(running.database_url, f"day_{client}_{workers}".replace("-", "_"))
    migrate(url)
    watch = _Watch(url, written.readings)
    run = process(Work(running.kafka, client, url, name, [stream.topic]), workers, watch.look)
    with connect(url) as connection:
        verified = check(connection, stream, written)
    system = MeasuredSystem(name, written.readings, [run], verified, stated={"minutes": round(run.wall_s / 60, 2)})
    return system, Curve(f"Memory while catching up, {name}", "seconds since the start", "MB", watch.memory)


def main() -> None:
    """Fill, catch up, print the result, and write it to `--output`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--meters", type=int, default=5_000_000)
    parser.add_argument("--steps", type=int, default=QUARTERS, help="quarter hours")
    parser.add_argument("--clients", nargs="+", choices=CLIENTS, default=["confluent-kafka"])
    parser.add_argument("--workers", type=int, nargs="+", default=[2])
    parser.add_argument("--installed", type=Path, default=Path(".sistercity"))
    parser.add_argument("--output", type=Path)
    chosen = parser.parse_args()
    stream = energy(chosen.meters, chosen.steps)
    needed, free = stream.sources * stream.steps * _BYTES, shutil.disk_usage(tempfile.gettempdir()).free
    if needed > 0.9 * free:
        sys.exit(f"{needed / 1e9:.1f} GB are needed in {tempfile.gettempdir()}, {free / 1e9:.1f} GB are free")
    measuring = Measuring("day", "A day of the largest city, caught up", "reading", described(stream), SEED)
    with own_services(chosen.installed) as running:
        written, seconds = filled_aloud(running, stream)
        for client in chosen.clients:
            for workers in chosen.workers:
                system, memory = caught_up(running, stream, written, client, workers)
                measuring.systems.append(system)
                measuring.curves.append(memory)
    measuring.set("filling, s", round(seconds))
    measuring.set("in the topic, MB", round(written.bytes / 1e6))
    measuring.write(chosen.output)


if __name__ == "__main__":
    main()
