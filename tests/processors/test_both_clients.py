"""The same topic gives the same cells and the same account, whichever client of Kafka reads it or has written it."""

from threading import Event

import numpy as np
import pytest

from processors.plan import Plan
from processors.reading_fold import ReadingFoldFactory
from processors.runner import Runner
from schemas.batch import ROW, encode
from schemas.catalogue import metrics_of
from schemas.topics import live, settings
from store.processing_memory import MemoryStore
from tests.eventlog.test_contract import CLIENTS
from tests.processors.logs import MINUTE
from tests.processors.test_reading_fold import ENERGY, ZONE

pytestmark = pytest.mark.services

BEGIN = 1_600_000_000_000 // 3_600_000 * 3_600_000


def send(writer, topic: str) -> None:
    """Four hours of 300 meters in 12 areas, some of them twice, one message spoiled."""
    draw = np.random.default_rng(1)
    for step in range(16):
        for area in range(12):
            rows = np.array([(area * 25 + of, of, draw.integers(0, 900), 1_000 * step, 1) for of in range(25)], ROW)
            value = encode(1, metric="energy.import", area=area, class_="residential", interval=15 * MINUTE,
                           start=BEGIN + 15 * MINUTE * step, rows=np.r_[rows, rows[:3]])  # fmt: skip
            writer.send(topic, b"%d" % area, value, 28)
    writer.send(topic, b"1", b"spoiled")
    writer.flush()
    ended = encode(1, metric="energy.import", area=0, class_="residential", interval=0,
                   start=BEGIN + 2 * 24 * 60 * MINUTE, rows=rows[:0])  # fmt: skip
    for partition in range(writer.partitions(topic)):
        writer.send_to(topic, partition, ended)
    writer.close()


def processed(log, topic: str, group: str, at_once: int) -> list:
    store = MemoryStore()
    folds = ReadingFoldFactory({topic: metrics_of(ENERGY)}, ZONE)
    Runner(log, store, folds, Plan(group, commit_s=0.1, until_caught_up=True, at_once=at_once)).run(Event())
    claims = store.claim([(topic, number) for number in range(8)])
    return [
        sorted(map(repr, store.cells.values())),
        [claims[at].position for at in sorted(claims)],
        sorted(map(repr, store.dead_letters.items())),
    ]


def test_both_clients_give_the_same_cells_and_accounts(kafka, city):
    logs = {name: client(kafka, session_timeout_ms=3_000) for name, client in CLIENTS.items()}
    results, written = [], []
    for by, log in logs.items():
        topic = live(f"{city}-{by}", ENERGY)
        log.create(topic, 8, settings(ENERGY))
        writer = log.writer()
        send(writer, topic)
        written.append({at.partition: counts for at, counts in writer.acknowledged().items()})
        results += [
            processed(reader, topic, f"{by}-{name}-{at_once}", at_once)
            for name, reader in logs.items()
            for at_once in (7, 2_000)
        ]
    assert written[0] == written[1]  # the same messages at the same offsets
    assert results[0][0]
    assert all(of_topic == results[0] for of_topic in results[1 : len(results) // 2])
    assert all(of_topic == results[-1] for of_topic in results[len(results) // 2 : -1])
