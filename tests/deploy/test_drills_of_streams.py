"""Drills: what may go wrong on the way to the cells is done to the real parts, and the alert fires and clears."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from prometheus_client import REGISTRY

from eventlog.memory import MemoryLog
from eventlog.protocol import TopicPartition
from ingest.feed import Feed
from ingest.journal import NoJournal
from ingest.live.heard import LastHeard
from ingest.simulated.faults import NO_FAULTS
from ingest.simulated.fleet import Fleet
from ingest.simulated.simulator import Simulator
from node.health import FAILING_S, RoleHealth
from node.machine import show_machine
from processors.plan import Plan
from processors.reading_fold import ReadingFoldFactory
from processors.runner import Runner
from processors.stopping import Stopped
from schemas.catalogue import metrics_of
from schemas.topics import live
from store.processing_memory import MemoryStore
from tests.deploy.drill import Scrape, assert_fires_and_clears, scrape
from tests.ingest.cameras.live.servers import Asked, camera_server
from tests.ingest.cameras.live.test_running import address, running, streaming
from tests.ingest.cameras.logs import register, sending
from tests.ingest.small_city import city as small_city
from tests.ingest.small_city import registered
from tests.processors.logs import T0
from tests.processors.test_edges import FIRST, HOUR, SECOND, TOPIC, log_of_readings
from tests.processors.test_runner import ZONE, Clock
from tests.system.days import ENERGY, Recorder
from tests.waiting import until

APPENDED = T0 + 6 * HOUR
"""After the messages of five hours."""


class Processing:
    """A processor that reads a log in small polls, and what its /metrics say after each commit."""

    def __init__(
        self, log: MemoryLog, store: MemoryStore, meanwhile: Callable[[int], None] = lambda number: None
    ) -> None:
        self.log, self.store, self.meanwhile = log, store, meanwhile
        self.scraped: list[Scrape] = []

    def run(
        self, *, dead_limit: int = 10_000, at_once: int = 20, now_ms: int = APPENDED, **plan: Any
    ) -> Sequence[Scrape]:
        """Read until the end, or until no partition goes on. The newest scrapes are the last."""
        folds = ReadingFoldFactory({TOPIC: metrics_of(ENERGY)}, ZONE, dead_limit=dead_limit)
        kept = {TOPIC: 160 * HOUR}
        whole = Plan("group", commit_s=0.0, until_caught_up=True, retention_ms=kept, at_once=at_once, **plan)
        Runner(self.log, self.store, folds, whole, now_ms=lambda: now_ms, after_commit=self._committed).run(Event())
        return self.scraped

    def _committed(self) -> None:
        self.scraped.append(scrape(ENERGY))
        self.meanwhile(len(self.scraped))


def send(log: MemoryLog, partition: TopicPartition, count: int) -> None:
    for number in range(count):
        log.append(partition, str(2 + partition.partition).encode(), b"broken %d" % number)


def test_messages_that_cant_be_read_stop_a_partition_until_they_are_accepted(tmp_path: Path) -> None:
    clock, store = Clock(), MemoryStore()
    log = log_of_readings(5, partitions=2, clock=clock)
    well = Processing(log, store).run()[-1]
    send(log, FIRST, 600)
    send(log, SECOND, 80)  # so that the processor goes on
    found, later = Processing(log, store), APPENDED + 101 * HOUR
    with pytest.raises(Stopped, match="dead messages"):
        found.run(dead_limit=100, now_ms=later)
    clock.now = later

    def come(number: int) -> None:
        if number == 1:
            send(log, SECOND, 1)

    mended = Processing(log, store, come).run(at_once=1_000, now_ms=later)[-1]
    for alert in ("SistercityPartitionStopped", "SistercityRetentionNear", "SistercityDeadLetters"):
        assert_fires_and_clears(alert, well, found.scraped[-1:], mended, tmp_path)


def test_more_messages_come_with_every_minute_than_are_processed(tmp_path: Path) -> None:
    log, store = log_of_readings(5), MemoryStore()
    well = Processing(log, store).run()[-1]

    def come(number: int) -> None:
        if number < 6:
            send(log, FIRST, 1_500)

    found = Processing(log, store, come).run(at_once=500)
    assert_fires_and_clears("SistercityLagGrowing", well, found[2:6], found[-1], tmp_path)


def test_messages_that_an_operator_gives_up(tmp_path: Path) -> None:
    log, store = log_of_readings(10), MemoryStore()
    well = scrape(ENERGY)
    log.damage(FIRST, 4)
    found = Processing(log, store).run(skip={FIRST: 4})[-1]
    assert_fires_and_clears("SistercityMessagesLost", well, [found], found, tmp_path)


def test_sources_that_come_no_further(tmp_path: Path) -> None:
    fleet = Fleet(small_city(ZONE), 20, 1)
    feed = Feed(Recorder(), live("day", ENERGY), NoJournal(), "tests")

    def replay(now: int) -> None:
        Simulator(fleet, feed, NoJournal(), registered(fleet), lambda: now, NO_FAULTS).replay(now - 2 * HOUR, now)

    replay(APPENDED)
    well, later = scrape(ENERGY, at_ms=APPENDED), APPENDED + 3 * HOUR
    wrong = scrape(ENERGY, at_ms=later)
    replay(later)
    assert_fires_and_clears("SistercitySourceSilent", well, [wrong], scrape(ENERGY, at_ms=later), tmp_path)


def test_a_camera_that_is_away_for_a_while(tmp_path: Path) -> None:
    away = threading.Event()

    def script(asked: Asked) -> None:
        if not away.is_set():
            streaming(asked, most=20)

    def silent() -> float | None:
        return REGISTRY.get_sample_value("sistercity_cameras", {"state": "silent"})

    with camera_server(script) as server, running(sending(register("a")), [address(1, "a", server.url)]):
        until(lambda: silent() == 0, "the camera delivers")
        well = scrape("sistercity_cameras")
        away.set()
        until(lambda: silent() == 1, "the camera is silent")
        wrong = scrape("sistercity_cameras")
        away.clear()
        until(lambda: silent() == 0, "the camera delivers again")
        assert_fires_and_clears("SistercityCameraSilent", well, [wrong], scrape("sistercity_cameras"), tmp_path)


def test_a_role_that_succeeds_at_nothing(tmp_path: Path) -> None:
    seconds = [0.0]
    health = RoleHealth("drilled", clock=lambda: seconds[0])
    health.report(None)
    well = scrape("drilled")
    health.report("the database did not answer")
    seconds[0] += FAILING_S + 1
    wrong = scrape("drilled")
    health.report(None)
    assert_fires_and_clears("SistercityRoleNotSucceeding", well, [wrong], scrape("drilled"), tmp_path)


def test_a_clock_that_is_not_that_of_prometheus(tmp_path: Path) -> None:
    show_machine({})
    well = scrape()
    wrong = scrape(at_ms=1000 * (well.at_s - 90))
    assert_fires_and_clears("SistercityClockOff", well, [wrong], scrape(), tmp_path)


def test_a_listed_source_that_delivers_nothing_any_more(tmp_path: Path) -> None:
    heard = LastHeard({"head-end": 48 * HOUR, "rare": 0}, {"head-end": T0}, T0)
    well = scrape("sistercity_live")
    heard.show(T0 + 49 * HOUR)
    wrong = scrape("sistercity_live")
    heard.hear("head-end", T0 + 50 * HOUR)
    heard.show(T0 + 50 * HOUR)
    assert_fires_and_clears("SistercityDeliveryMissing", well, [wrong], scrape("sistercity_live"), tmp_path)
