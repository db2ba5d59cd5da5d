"""Readings a second of one process that imports tables, from the file to what Kafka has acknowledged.

The files are those of `tables.py`: many meters by the quarter hour, and one plant by the minute. What is timed is the
product's own import: parsed by the profile, checked, put in the order of time, compared with each other, looked up,
cut into batches, sent, acknowledged and recorded in PostgreSQL. The register is in memory; its sources are in 24
areas. Beside it, in turns in the same run: the reader alone, and a bare parse of the same file by `pyarrow` and
`polars`, where they are installed; neither belongs to what is installed with sistercity.

CPU is user and system time of all threads of this process; Kafka and PostgreSQL are processes of their own. The
readings and their sum are counted in what was sent, outside the timed part.
"""

import argparse
import importlib
import random
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from benchmarks.result import MeasuredRun, MeasuredSystem, Measuring, peak_mb
from benchmarks.tables import METERS, read_whole, write_meters, write_plant
from benchmarks.timed import Spent, now, own_services
from benchmarks.workers import CLIENTS
from eventlog.kafka import KafkaLog
from ingest.batches import Message
from ingest.feed import Feed
from ingest.files.importing import FileImport
from ingest.journal import StoreJournal
from ingest.register import Register, SourceColumns
from ingest.tables.profile import Said
from ingest.tables.profile_file import load_profile, parse_profile
from ingest.tables.table import Table
from schemas.batch import decode
from schemas.topics import history, settings
from store.database import connect, create_database
from store.migrations import migrate
from store.source_history import BEGINNING_MS, NEVER_MS

AREAS = 24
PARTITIONS = 32
DATASET = "energy.readings"


@dataclass(frozen=True, slots=True)
class EverySource:
    """Implements `MetricSources`: every id is registered, with numbers from its digits."""

    holds_from_ms: int = BEGINNING_MS
    holds_until_ms: int = NEVER_MS

    def look_up(self, ids: Sequence[str]) -> SourceColumns:
        number = np.array([int(source[1:]) for source in ids], np.uint32)
        zeros = np.zeros(len(ids), np.uint32)
        area = (number % AREAS + 1).astype(np.int32)
        return SourceColumns(np.ones(len(ids), np.bool_), number, number, area, zeros.astype(np.uint8), zeros)


class CountedFeed(Feed):
    """A feed that keeps what is sent, for the check afterwards."""

    kept: list[bytes]

    def send(self, messages: Iterable[Message]) -> None:
        some = list(messages)
        self.kept += [message.value for message in some]
        super().send(some)


def run_import(url: str, log: KafkaLog, table: Table, path: Path, wanted: int) -> Spent:
    """Import a file into a topic of its own; ends the program if the sum is wrong."""
    topic = history("bench", DATASET, f"import-{uuid.uuid4().hex[:12]}")
    log.create(topic, PARTITIONS, settings(DATASET))
    with connect(url) as connection:
        journal = StoreJournal(connection, uuid.uuid4())
        writer = log.writer()
        feed = CountedFeed(writer, topic, journal, "bench")
        feed.kept = []
        register = Register(lambda metric, time_ms: EverySource(), lambda: 0)
        clock = 1_900_000_000_000
        began = now()
        imported = FileImport(feed, journal, register, lambda: clock, "P1").run(table, [path])
        writer.close()
        spent = now() - began
        acknowledged = sum(counts.readings for counts in writer.acknowledged().values())
    total = sum(int(decode(value).array()["value"].sum()) for value in feed.kept)
    if total != wanted or imported.readings != acknowledged or imported.refused:
        sys.exit(f"{imported}: the sum is {total}, but {wanted} was written; {acknowledged} are acknowledged")
    return spent


def bare(path: Path, delimiter: str) -> Mapping[str, Callable[[], object]]:
    """Parsers of others, where they are installed. The decimal comma is left in the text: a bare parse."""
    found: dict[str, Callable[[], object]] = {}
    try:
        arrow = importlib.import_module("pyarrow.csv")
        options = arrow.ParseOptions(delimiter=delimiter)
        found["pyarrow"] = lambda: arrow.read_csv(path, parse_options=options)
    except ImportError:
        pass
    try:
        polars = importlib.import_module("polars")
        found["polars"] = lambda: polars.read_csv(path, separator=delimiter)
    except ImportError:
        pass
    return found


def measure(
    url: str, log: KafkaLog, what: str, table: Table, path: Path, delimiter: str, wanted: int, rounds: int
) -> list[MeasuredSystem]:
    """The import of a file, and what is beside it, in turns. `what`: the file, in words."""
    runs: dict[str, list[MeasuredRun]] = {}

    def note(name: str, spent: Spent) -> None:
        runs.setdefault(name, []).append(MeasuredRun(spent.wall, spent.cpu, peak_mb()))

    readings = 0
    for _ in range(rounds):
        note("import", run_import(url, log, table, path, wanted))
        began = now()
        readings = read_whole(table, path, wanted)
        note("reader alone", now() - began)
        for name, parse in bare(path, delimiter).items():
            began = now()
            parse()
            note(name, now() - began)
    verified = {"import": "every reading acknowledged, their sum", "reader alone": "the sum of all amounts"}
    return [
        MeasuredSystem(f"{name}, {what}", readings, taken, verified.get(name, "nothing"))
        for name, taken in runs.items()
    ]


def main() -> None:
    """Measure and print; write the figures to `--output` as JSON."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--readings", type=int, default=1_000_000)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--client", choices=CLIENTS, default="kafka-python")
    options.add_argument("--installed", type=Path, default=Path(".sistercity"))
    options.add_argument("--output", type=Path)
    chosen = options.parse_args()
    terms = {"readings": chosen.readings, "client": chosen.client, "rounds": chosen.rounds}
    measuring = Measuring("importing", "Imports of tables", "reading", terms)
    zone, dice = ZoneInfo("UTC"), random.Random(1)
    with own_services(chosen.installed) as running, tempfile.TemporaryDirectory() as folder:
        url = create_database(running.database_url, "bench")
        migrate(url)
        log = CLIENTS[chosen.client](running.kafka)
        path = Path(folder, "table.csv")
        wanted = write_meters(path, chosen.readings, dice)
        table = Table(parse_profile(METERS, "meters", "meters"), Said(), zone)
        measuring.systems += measure(url, log, "many meters", table, path, ";", wanted, chosen.rounds)
        wanted = write_plant(path, chosen.readings, dice)
        table = Table(load_profile("solar"), Said(unit="W"), zone)
        measuring.systems += measure(url, log, "one plant", table, path, ",", wanted, chosen.rounds)
    measuring.write(chosen.output)


if __name__ == "__main__":
    main()
