"""Two workers count the vehicles of 400 cameras, and neither leaves its group while windows close (R15).

The regions are sent directly, not found in pictures. On the real Kafka and PostgreSQL.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import count
from multiprocessing.connection import Connection
from threading import Event
from time import process_time, time
from typing import Any

import numpy as np
import psycopg
import pytest
from confluent_kafka import Producer
from numpy.typing import NDArray

from eventlog.kafka import KafkaLog
from processors.plan import Plan
from processors.reading_fold import ReadingFoldFactory
from processors.runner import Runner
from schemas.batch import REGION
from schemas.catalogue import catalogue, metrics_of
from schemas.frames import Frame
from schemas.regions import encode_regions, encode_tick
from schemas.topics import REGIONS, live, settings
from store.processing import Account
from store.processing_postgres import PostgresStore
from tests.soak import soak_only
from tests.system.days import ZONE
from tests.system.processes import forkserver
from tests.system.streams import positions, shares
from tests.waiting import until

pytestmark = [pytest.mark.services, soak_only(minutes=4.5)]

CAMERAS = 400
RATE = 5
SECONDS = int(os.environ.get("SISTERCITY_CAMERA_SECONDS", "900"))
"""How much the cameras see. The bar of thirty minutes takes ten minutes on two quiet cores."""
FALSE_REGIONS = 0.1
"""In a picture, on average."""
WORKERS = PARTITIONS = 2
POLL_TIMEOUT_MS = 15_000
"""A worker that does not poll for so long leaves its group. Closing the windows of 200 cameras takes longer."""
STREETS = 16
"""Several cameras see the same street; those beyond the first add to the work, and their passes are known."""
FILM = 300
"""Pictures after which a street begins again."""
WINDOW_MS = 900_000
SENT_AT_ONCE = 50_000


def street(seed: int) -> Sequence[NDArray[np.void]]:
    """The regions in each picture of a film: vehicles in view for 1.6 s, a tenth of their plates missed."""
    rng = np.random.default_rng(seed)
    film: list[list[tuple[float, ...]]] = [[] for _ in range(FILM)]
    for vehicle, first in enumerate(range(seed % RATE, FILM - 8, 3 * RATE)):
        for since in np.flatnonzero(rng.random(8) >= 0.1).tolist():
            film[first + since].append((100 + 200 * (vehicle % 3), 50 + 20 * since, 60, 20, 0.9, 1 + vehicle % 2))
    for boxes in film:
        places = rng.integers((1, 1, 15), (1_000, 600, 90), (rng.poisson(FALSE_REGIONS), 3)).tolist()
        boxes += [(x, y, width, 20, 0.3, 1) for x, y, width in places]
    return [np.array(boxes, REGION).reshape(-1) for boxes in film]


def pictures(begin: int, cameras: int, seconds: int) -> Iterator[tuple[int, bytes]]:
    """The messages of cameras in the order of time, each with its partition; `begin`: milliseconds since 1970."""
    films, metric = [street(seed) for seed in range(STREETS)], catalogue()["traffic.regions"]
    for number in range(seconds * RATE):
        for camera in range(cameras):
            start = begin + number * 1000 // RATE + camera % 200
            area = camera % PARTITIONS + 1
            frame = Frame(metric.name, area, metric.classes[0], 1000 // RATE, start, camera, camera, b"")
            yield camera % PARTITIONS, encode_regions(frame, films[camera % STREETS][number % FILM])


def send(kafka: str, topic: str, messages: Iterable[tuple[int, bytes]], time_ms: int) -> None:
    """Send messages to their partitions, and then every partition a tick of that time."""
    producer = Producer({"bootstrap.servers": kafka, "acks": "all", "linger.ms": 50, "compression.type": "lz4"})
    for sent, (partition, value) in zip(count(1), messages, strict=False):
        producer.produce(topic, value, b"%d" % (partition + 1), partition)
        if sent % SENT_AT_ONCE == 0:
            assert producer.flush(120) == 0
    for partition in range(PARTITIONS):
        producer.produce(topic, encode_tick(time_ms), None, partition)
    assert producer.flush(120) == 0


def work(kafka: str, database_url: str, topic: str, stop: Any, spent: Connection) -> None:
    """A worker in a process of its own. Sends the processor time that it spent, seconds."""
    log = KafkaLog(kafka, poll_timeout_ms=POLL_TIMEOUT_MS)
    store = PostgresStore(database_url)
    begun = process_time()
    Runner(log, store, ReadingFoldFactory({topic: metrics_of(REGIONS)}, ZONE), Plan(topic)).run(stop)
    spent.send(process_time() - begun)
    store.close()


@contextmanager
def worker(kafka: str, database_url: str, topic: str, stop: Any) -> Iterator[Connection]:
    """Yields where the worker will send the processor time that it spent."""
    spent, sends = forkserver.Pipe(duplex=False)
    process = forkserver.Process(target=work, args=(kafka, database_url, topic, stop, sends), daemon=True)
    process.start()
    try:
        yield spent
    finally:
        process.kill()
        process.join()


def epochs(database_url: str) -> dict[tuple[str, int], int]:
    """How often each partition was taken over."""
    return {partition: epoch for partition, (epoch, _) in positions(database_url).items()}


def accounts(database_url: str) -> Account:
    columns = ("messages", "decoded", "readings", "aggregated")
    with psycopg.connect(database_url) as connection:
        sums = connection.execute(f"SELECT {', '.join(f'sum({name})' for name in columns)} FROM stream_offsets")
        return Account(**dict(zip(columns, map(int, sums.fetchone()), strict=True)))


def cells(database_url: str) -> dict[str, int]:
    with psycopg.connect(database_url) as connection:
        query = "SELECT metric, sum(value)::bigint FROM cells GROUP BY metric"
        return dict(connection.execute(query).fetchall())


def test_no_worker_leaves_its_group_while_the_windows_of_400_cameras_close(
    kafka, city, database_url, second_database_url, record_property
):
    log, topic, alone = KafkaLog(kafka), live(city, REGIONS), live(f"{city}-alone", REGIONS)
    now = round(time() * 1000)
    begin = now // WINDOW_MS * WINDOW_MS - 8 * WINDOW_MS
    for name in (topic, alone):
        log.create(name, PARTITIONS, settings(REGIONS))
    send(kafka, alone, pictures(begin, STREETS, SECONDS), now)
    folds = ReadingFoldFactory({alone: metrics_of(REGIONS)}, ZONE)
    Runner(log, PostgresStore(second_database_url), folds, Plan(alone, until_caught_up=True)).run(Event())
    stop = forkserver.Event()
    with ExitStack() as workers:
        spent = [workers.enter_context(worker(kafka, database_url, topic, stop)) for _ in range(WORKERS)]
        until(
            lambda: shares(kafka, topic) == [PARTITIONS // WORKERS] * WORKERS,
            "the workers share the partitions",
            seconds=300,
            pause_s=1,
        )
        send(kafka, topic, (), begin)
        until(lambda: all(offset == 1 for _, offset in positions(database_url).values()), "they have taken them over")
        joined, total = epochs(database_url), CAMERAS * SECONDS * RATE

        def counted() -> bool:
            assert epochs(database_url) == joined, "a worker has left its group"
            return accounts(database_url).aggregated == total

        send(kafka, topic, pictures(begin, CAMERAS, SECONDS), now)
        until(counted, "every picture is counted", 4 * SECONDS, pause_s=1)
        stop.set()
        seconds = sum(pipe.recv() for pipe in spent)
    assert accounts(database_url) == Account(
        messages=total + 2 * PARTITIONS, decoded=total + 2 * PARTITIONS, readings=total, aggregated=total
    )
    expected = {metric: value * CAMERAS // STREETS for metric, value in cells(second_database_url).items()}
    assert cells(database_url) == expected
    assert expected["traffic.passes"] > 0
    record_property("processor_us_a_picture", round(seconds / total * 1e6, 1))
    print(f"{seconds / total * 1e6:.1f} us of processor time a picture")
