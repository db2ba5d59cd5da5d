"""From a reading to a partner's table: two nodes, while meters report on a schedule that waits for nobody (open loop).

Node one processes, publishes and serves; node two pulls and verifies: each role is the product's own, in a process of
its own, on one Kafka and one PostgreSQL with a database for each node. City time runs faster than the clock, `--hour-s`
seconds an hour, so that many windows close in a minute; the publisher is given that time.

Most of a reading's way is waiting that the catalogue prescribes: for the end of its window, its lateness (60 minutes)
and the margin (75 minutes). That is left out. Measured for each window, by the database's clock where a row is written:

* `cells`: from the due time of the readings whose time closes the window, to its last cell in PostgreSQL;
* `published`: from the window's slot to its publication;
* `pulled`: from its publication to its verified body in the partner's database;
* `slot to partner`: from its slot to there.

Looking for what is new happens every `--publish-s` and `--pull-s` seconds, by default more often than the commands do
(5 and 30): with their defaults the last three figures are longer by half of that in the middle.

The result is checked: every publication arrived with the same bytes, and every cell is right. A window whose cells come
later than its slot leaves incomplete: these are counted, and have no times here.
"""

import argparse
import asyncio
import multiprocessing
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from multiprocessing.context import SpawnContext, SpawnProcess
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.pull import CITY, areas_of, know, served, signed_city
from benchmarks.readings import HOUR_MS, SEED, ZONE, SourceStream, Written, cut, energy, steps, stored
from benchmarks.result import Measuring, ResultTable
from benchmarks.timed import own_services
from benchmarks.workers import CLIENTS
from embedded.services import Services
from eventlog.kafka import KafkaLog
from federation.identity.keys import read_key, write_key
from federation.partners.limits import Network
from federation.partners.pulling import Pulling, follow
from federation.publications.publisher import Publisher
from federation.publications.schedule import Since, Stream
from federation.publications.signing import Signer
from federation.publications.slots import slot
from ingest.batches import Message, tick
from processors.plan import Plan
from processors.reading_fold import ReadingFoldFactory
from processors.runner import Runner
from schemas.catalogue import catalogue, metrics_of
from schemas.topics import settings
from store.database import connect, create_database
from store.migrations import migrate
from store.partner_role import partner_login
from store.processing_postgres import PostgresStore
from store.publications import Window

WARMING = 3
"""Windows at the beginning that are not counted."""
_METRIC = catalogue()["energy.import"]
_STARTING_S = 10.0
"""From the start of the roles to the first readings."""
_PATIENCE_S = 30.0
_WRITTEN_AT = "ALTER TABLE {} ADD COLUMN written_at timestamptz NOT NULL DEFAULT clock_timestamp()"


@dataclass(frozen=True, slots=True)
class CityTime:
    """City time that runs faster than the clock: `start_ms` was at `began_s` of the clock, an hour takes `hour_s`."""

    start_ms: int
    began_s: float
    hour_s: float

    def now_ms(self) -> int:
        """City time now, milliseconds since 1970, UTC."""
        return self.start_ms + round((time.time() - self.began_s) / self.hour_s * HOUR_MS)

    def clock_s(self, at_ms: int) -> float:
        """When it is that time in the city, by the clock in seconds."""
        return self.began_s + (at_ms - self.start_ms) / HOUR_MS * self.hour_s


def _process(kafka: str, client: str, url: str, topic: str, dataset: str) -> None:
    folds = ReadingFoldFactory({topic: metrics_of(dataset)}, ZONE)
    Runner(CLIENTS[client](kafka), PostgresStore(url), folds, Plan("latency")).run(threading.Event())


def _publish(url: str, folder: Path, topic: str, dataset: str, city_time: CityTime, every_s: float) -> None:
    key = read_key(folder / "publish.key", "publish")
    Publisher(
        *(url, folder / "ledger.jsonl", CITY.id, ZONE, lambda connection: [Stream(topic, metrics_of(dataset))]),
        since=Since(city_time.start_ms),
        clock=city_time.now_ms,
        poll_s=every_s,
        stop=threading.Event(),
        signer=Signer(lambda: [key]),
    ).run()


def _pull(url: str, folder: Path, every_s: float) -> None:
    pulling = Pulling(url, [read_key(folder / "access.key", "access")], network=Network(private_addresses=True))
    asyncio.run(follow(pulling, asyncio.Event(), poll_s=every_s))


def _databases(running: Services, stream: SourceStream, start_ms: int) -> tuple[str, str]:
    """Of both nodes, migrated; rows of what is measured note when they are written."""
    giving, taking = (create_database(running.database_url, f"latency_{name}") for name in ("giving", "taking"))
    for url, tables in ((giving, ("cells", "publications")), (taking, ("partner_bodies",))):
        migrate(url)
        with connect(url) as connection:
            for table in tables:
                connection.execute(_WRITTEN_AT.format(table))
    with connect(giving) as connection:
        numbers = areas_of(connection, catalogue()[stream.metric], stream.areas, start_ms)
    if numbers != list(range(1, stream.areas + 1)):
        sys.exit(f"the areas have other numbers than the readings: {numbers}")
    return giving, taking


class _Roles:
    """The processes of both nodes; they end with the block, and the program if one of them ends before."""

    def __init__(self) -> None:
        self._context: SpawnContext = multiprocessing.get_context("spawn")
        self._processes: list[SpawnProcess] = []

    def __enter__(self) -> "_Roles":
        return self

    def start(self, role: Callable[..., None], *given: object) -> None:
        process = self._context.Process(target=role, args=given, daemon=True)
        process.start()
        self._processes.append(process)

    def check(self) -> None:
        if any(process.exitcode is not None for process in self._processes):
            sys.exit("a role has ended")

    def __exit__(self, *error: object) -> None:
        for process in self._processes:
            process.terminate()
            process.join()


def _feed(log: KafkaLog, stream: SourceStream, parts: Sequence[Sequence[Message]], city_time: CityTime) -> float:
    """Send each quarter hour when it is due, whatever became of those before; the most seconds that it was late."""
    writer, late_s = log.writer(), 0.0
    for number, part in enumerate(parts):
        due_ms = stream.start_ms + number * stream.step_ms
        time.sleep(max(0.0, city_time.clock_s(due_ms) - time.time()))
        for message in part:
            writer.send(stream.topic, message.key, message.value, message.readings)
        for partition in range(stream.partitions):
            writer.send_to(stream.topic, partition, tick(stream.dataset, due_ms))
        writer.flush()
        late_s = max(late_s, time.time() - city_time.clock_s(due_ms))
    writer.close()
    return late_s


def run(running: Services, hours: int, meters: int, chosen: argparse.Namespace) -> tuple[ResultTable, str]:
    """Let meters report for so many hours of city time; how long the windows took, and what was verified."""
    start_ms = time.time_ns() // 1_000_000 // HOUR_MS * HOUR_MS - (hours + 4) * HOUR_MS
    stream = replace(energy(meters, 4 * hours, partitions=8), start_ms=start_ms)
    giving, taking = _databases(running, stream, start_ms)
    giver, taker = (signed_city(name, start_ms - 24 * HOUR_MS) for name in (CITY.id, "taker"))
    with connect(giving) as connection:
        know(connection, giver, taker, ())
        role_url = partner_login(connection, giving)
    log, written = CLIENTS[chosen.client](running.kafka), Written()
    log.create(stream.topic, stream.partitions, settings(stream.dataset))
    parts = [list(cut(readings, stream.rows)) for readings in steps(stream, written)]
    whole = [Window(at, at + HOUR_MS) for at in range(start_ms, start_ms + (hours - 3) * HOUR_MS, HOUR_MS)]
    with TemporaryDirectory() as name, served(role_url) as address, _Roles() as roles:
        folder = Path(name)
        with connect(taking) as connection:
            know(connection, taker, giver, (address,))
        write_key(folder / "publish.key", giver.publish, "publish", giver.city)
        write_key(folder / "access.key", taker.access, "access", taker.city)
        city_time = CityTime(start_ms, time.time() + _STARTING_S, chosen.hour_s)
        roles.start(_process, running.kafka, chosen.client, giving, stream.topic, stream.dataset)
        roles.start(_publish, giving, folder, stream.topic, stream.dataset, city_time, chosen.publish_s)
        roles.start(_pull, taking, folder, chosen.pull_s)
        late_s = _feed(log, stream, parts, city_time)
        roles.check()
        _await_bodies(taking, len(whole), city_time.clock_s(slot(_METRIC, whole[-1])) + _PATIENCE_S)
        roles.check()
    print(f"a quarter hour was sent {late_s:.2f} s late at most", flush=True)
    counted = whole[WARMING:]
    found = _moments(giving, taking, counted)
    _check(giving, stream, written, counted)
    verified = "each publication has the same bytes at the partner; every cell"
    return _table(found, len(counted), city_time), verified


def _await_bodies(url: str, count: int, until_s: float) -> None:
    with connect(url) as connection:
        while True:
            [(found,)] = connection.execute(
                "SELECT count(*) FROM partner_bodies JOIN partner_entries USING (thumbprint, metric, sequence)"
                " WHERE revision = 0"
            ).fetchall()
            if found >= count:
                return
            if time.time() > until_s:
                sys.exit(f"{found} of {count} publications have arrived")
            time.sleep(0.2)


def _moments(giving: str, taking: str, windows: Sequence[Window]) -> Mapping[Window, tuple[float, float, float]]:
    """When the last cell, the publication and the partner's body of each window were written, seconds by the clock.

    Without those that left incomplete, because not all of their cells were there in time. Ends the program where a body
    arrived with other bytes, or if more than one window in ten left incomplete.
    """
    seconds = "extract(epoch FROM {})::double precision"
    start = "(extract(epoch FROM window_start) * 1000)::bigint"
    with connect(giving) as connection:
        cells: Mapping[int, float] = dict(
            connection.execute(f"SELECT {start}, {seconds.format('max(written_at)')} FROM cells GROUP BY 1").fetchall()
        )
        published = connection.execute(
            f"SELECT {start}, {seconds.format('written_at')}, sequence, body FROM publications"
            " WHERE metric = %s AND revision = 0 AND whole",
            (_METRIC.name,),
        ).fetchall()
    with connect(taking) as connection:
        arrived = {
            sequence: (written_at, bytes(body))
            for sequence, written_at, body in connection.execute(
                f"SELECT sequence, {seconds.format('written_at')}, body FROM partner_bodies"
            )
        }
    found = {}
    for at, published_at, sequence, body in published:
        arrived_at, same = arrived.get(sequence, (0.0, b""))
        if same != bytes(body):
            sys.exit("a body at the partner is another one")
        found[Window(at, at + HOUR_MS)] = (cells[at], published_at, arrived_at)
    whole = {window: found[window] for window in windows if window in found}
    if len(whole) < 0.9 * len(windows):
        sys.exit(f"{len(windows) - len(whole)} of {len(windows)} windows left incomplete; give more --hour-s")
    return whole


def _check(giving: str, stream: SourceStream, written: Written, windows: Sequence[Window]) -> None:
    starts = {window.start for window in windows}
    with connect(giving) as connection:
        found = {key: amounts for key, amounts in stored(connection, stream) if key.window in starts}
    if found != {key: amounts for key, amounts in written.cells.items() if key.window in starts}:
        sys.exit("the cells are wrong")


def _table(found: Mapping[Window, tuple[float, float, float]], windows: int, city_time: CityTime) -> ResultTable:
    ways: dict[str, list[float]] = {"cells": [], "published": [], "pulled": [], "slot to partner": []}
    for window, (cells_at, published_at, arrived_at) in found.items():
        slot_s = city_time.clock_s(slot(_METRIC, window))
        ways["cells"].append(cells_at - city_time.clock_s(window.end + _METRIC.lateness_ms))
        ways["published"].append(published_at - slot_s)
        ways["pulled"].append(arrived_at - published_at)
        ways["slot to partner"].append(arrived_at - slot_s)
    rows = [
        {
            "way": name,
            **{f"p{percent}, ms": round(1000 * float(np.percentile(each, percent))) for percent in (50, 95, 99)},
            "longest, ms": round(1000 * max(each)),
        }
        for name, each in ways.items()
    ]
    return ResultTable.of(f"{len(found)} windows of {windows}; the others left incomplete", rows)


def main() -> None:
    """Measure, print the result, and write it to `--output`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=int, default=44, help="of city time")
    parser.add_argument("--hour-s", type=float, default=2.0, help="seconds that an hour of city time takes")
    parser.add_argument("--meters", type=int, default=20_000)
    parser.add_argument("--publish-s", type=float, default=0.5)
    parser.add_argument("--pull-s", type=float, default=1.0)
    parser.add_argument("--client", choices=CLIENTS, default="kafka-python")
    parser.add_argument("--installed", type=Path, default=Path(".sistercity"))
    parser.add_argument("--output", type=Path)
    chosen = parser.parse_args()
    names = ("hours", "hour_s", "meters", "publish_s", "pull_s", "client")
    terms = {name: getattr(chosen, name) for name in names}
    measuring = Measuring("latency", "From a reading to a partner's table", "window", terms, SEED)
    with own_services(chosen.installed) as running:
        table, verified = run(running, chosen.hours, chosen.meters, chosen)
    measuring.tables.append(table)
    measuring.set("verified", verified)
    measuring.write(chosen.output)


if __name__ == "__main__":
    main()
