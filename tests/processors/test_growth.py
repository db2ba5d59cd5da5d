"""A stream that grows into a topic with more partitions gives the cells and the account of one that does not (R5)."""

from collections import Counter
from dataclasses import asdict, replace
from threading import Event

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from eventlog.memory import MemoryLog
from ingest.feed import Feed
from ingest.journal import NoJournal
from ingest.routes import Route, Routes
from ingest.simulated.faults import FaultRates
from ingest.simulated.fleet import Fleet
from processors.plan import Plan
from processors.reading_fold import ReadingFoldFactory
from processors.readings import OTHER_TOPIC, TimeSpan
from processors.runner import Runner
from schemas.batch import LAST_MS, ROW, encode
from schemas.catalogue import metrics_of
from schemas.topics import live
from store.processing import Account
from store.processing_memory import MemoryStore
from tests.ingest.growth import Clock, TwoProcesses, feeds, replay
from tests.ingest.small_city import END, HOUR, city
from tests.soak import examples

ENERGY = "energy.readings"
OLD, NEW = live("town", ENERGY), live("town", ENERGY, 2)
ZONE = "Asia/Tehran"
HALF = HOUR // 2
START = END - 12 * HOUR + HALF
"""A full hour on the clock of Tehran."""
RATES = FaultRates(repeated=0.1, broken=0.005, estimated=0.1, late=0.05, future=0.01, too_long=0.01, invalid=0.01)


def log_with(**topics: int) -> MemoryLog:
    log = MemoryLog(lambda: END)
    for topic, partitions in topics.items():
        log.create(live("town", ENERGY, int(topic[1:])), partitions, {})
    return log


def process(log, spans) -> MemoryStore:
    store = MemoryStore()
    folds = ReadingFoldFactory({topic: metrics_of(ENERGY) for topic in spans}, ZONE, dead_limit=10_000, spans=spans)
    Runner(log, store, folds, Plan("group", commit_s=0.0, until_caught_up=True)).run(Event())
    return store


def cells(store: MemoryStore) -> Counter:
    """The cells without where they lie in the log. A window that two topics reduced would be there twice."""
    return Counter(without_offsets(cell) for _, cell in store.cells.values())


def without_offsets(cell):
    return replace(cell, amounts=replace(cell.amounts, first_offset=0, last_offset=0))


def readings(store: MemoryStore, *topics: str) -> dict[str, int]:
    """The outcomes of readings in all partitions of some topics."""
    whole = Account()
    for topic in topics:
        for partition in range(8):
            if (topic, partition) in store._positions:
                whole += store.position((topic, partition)).account
    counts = ("readings", "aggregated", "duplicate", "late", "rejected", "open", "dead")
    return {name: count for name, count in asdict(whole).items() if name in counts}


@examples(4, soak=60)
@given(st.integers(0, 1_000), st.integers(3, 9), st.integers(1, 3), st.integers(4, 8))
def test_the_cells_and_the_account_with_a_cut_over_are_those_without(seed, hours, before, after):
    cut, clock, stored = START + hours * HOUR, Clock(), [Route(OLD)]
    fleet = Fleet(city(), 60, seed)

    def reached(time_ms: int) -> None:
        clock.now = time_ms
        if time_ms >= cut - 2 * HOUR and len(stored) == 1:
            stored.append(Route(NEW, cut))

    plain, grown = log_with(v1=before), log_with(v1=before, v2=after)
    replay(Feed(plain.writer(), OLD, NoJournal(), "tests"), fleet, (START, END - HALF), END, RATES)
    ingesting = feeds([grown.writer(), grown.writer()], OLD, lambda: Routes(lambda: list(stored), clock))
    replay(TwoProcesses(ingesting, reached), fleet, (START, END - HALF), END, RATES)

    one = process(plain, {OLD: TimeSpan()})
    two = process(grown, {OLD: TimeSpan(ends=cut), NEW: TimeSpan(begins=cut)})
    assert {cell.window_start < cut for _, cell in one.cells.values()} == {True, False}
    assert readings(one, OLD)["late"] > 0
    assert cells(two) == cells(one)
    assert readings(two, OLD, NEW) == readings(one, OLD)
    for (topic, _), cell in two.cells.values():
        assert (cell.window_start >= cut) == (topic == NEW)


def test_readings_that_belong_to_the_other_topic_are_rejected():
    log = log_with(v1=1, v2=1)
    rows = np.array([(1, 1, 0, 5, 1), (2, 1, 900_000, 5, 1)], ROW)
    batch = encode(1, metric="energy.import", area=1, class_="residential", interval=900_000, start=START, rows=rows)
    for topic in (OLD, NEW):
        log.writer().send(topic, b"1", batch)
    cut = START + 900_000
    store = process(log, {OLD: TimeSpan(0, cut), NEW: TimeSpan(cut, LAST_MS)})
    reasons = {(at[0], row): letter.reason for (at, _, row), letter in store.dead_letters.items()}
    assert reasons == {(OLD, 1): OTHER_TOPIC, (NEW, 0): OTHER_TOPIC}
