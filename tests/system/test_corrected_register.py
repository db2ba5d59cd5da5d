"""Two feeds send the same intervals, an estimate and its actual value, while the register is corrected between them.

On the real Kafka and PostgreSQL. The register's clock is some hours behind, so that a change can take effect in a test.
"""

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

import numpy as np
import psycopg
import pytest

from ingest.batches import ReadingColumns, messages
from ingest.feed import Feed
from ingest.journal import StoreJournal
from ingest.register import stored_register
from ingest.register_file import load_register
from ingest.register_table import COLUMNS
from schemas.batch import ACTUAL, ESTIMATED
from schemas.catalogue import catalogue
from schemas.topics import live, settings
from store.database import connect
from store.register_columns import RegisterError
from tests.ingest.small_city import city as small_city
from tests.system.streams import process_undisturbed, table

pytestmark = pytest.mark.services

METRIC = catalogue()["energy.import"]
MINUTE = 60_000
HOUR = 60 * MINUTE
QUARTER = 15 * MINUTE
ESTIMATE, VALUE = 5_000, 7_000
CORRECTED = "meter-a-0"


class Clock:
    def __init__(self, now_ms: int) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        return self.now_ms


class Feeder:
    """Sends readings of one source as it is registered at their time; what it reads of the register it keeps."""

    def __init__(self, connection, writer, topic: str, clock: Clock) -> None:
        self._register = stored_register(connection, clock)
        self._feed = Feed(writer, topic, StoreJournal(connection, uuid.uuid4()), "meters")

    def send(self, source: str, starts: Sequence[int], value: int, quality: int) -> None:
        for start in starts:
            columns = self._register.at(METRIC, start).look_up([source])
            assert columns.known.all()
            times, values = np.array([start], np.int64), np.array([value], np.float64)
            readings = ReadingColumns.of(METRIC, QUARTER, columns, times, values, np.array([quality], np.uint8))
            self._feed.send(messages(readings, self._feed.feeder))
        self._feed.flush()

    def tick(self, time_ms: int) -> None:
        self._feed.tick(time_ms)
        self._feed.flush()


def row(source: str, district: str, contributor: str, begins: str, ends: str = "") -> Mapping[str, str]:
    fields = (source, METRIC.name, district, contributor, "residential", begins, ends)
    return dict(zip(COLUMNS, fields, strict=True))


def registered() -> list[Mapping[str, str]]:
    """Enough sources for an area of each district."""
    return [
        row(f"meter-{letter}-{n}", f"town-{letter}", f"customer-{letter}-{n}", "2020-01-01")
        for letter in "abcdef"
        for n in range(150)
    ]


def corrected(begins_ms: int) -> list[Mapping[str, str]]:
    """The source is in another district from a time on."""
    begins = datetime.fromtimestamp(begins_ms / 1000, UTC).isoformat()
    return [
        row(CORRECTED, "town-a", "customer-a-0", "2020-01-01", begins),
        row(CORRECTED, "town-f", "customer-a-0", begins),
    ]


@pytest.fixture
def clock() -> Clock:
    """A full hour, UTC, in the middle of a window in Tehran."""
    return Clock(round(time.time() * 1000) // HOUR * HOUR - 4 * HOUR)


@contextmanager
def feeders(kafka_log, database_url: str, topic: str, clock: Clock) -> Iterator[tuple[Feeder, Feeder]]:
    with connect(database_url) as one, connect(database_url) as other:
        writers = kafka_log.writer(), kafka_log.writer()
        yield Feeder(one, writers[0], topic, clock), Feeder(other, writers[1], topic, clock)
        for writer in writers:
            writer.close()


@pytest.fixture
def topic(kafka_log, city) -> str:
    name = live(city, METRIC.dataset)
    kafka_log.create(name, 4, settings(METRIC.dataset))
    return name


@pytest.fixture
def connection(database_url, clock):
    with connect(database_url) as opened:
        load_register(opened, small_city(), registered(), clock)
        yield opened


def value_by_area(database_url: str) -> dict[tuple[int, datetime], tuple[int, int]]:
    """Value and number of readings by area and window."""
    with psycopg.connect(database_url) as reader:
        found = reader.execute(
            "SELECT area, window_start, value, readings FROM cells WHERE metric = %s", (METRIC.name,)
        )
        return {(area, start): (value, readings) for area, start, value, readings in found.fetchall()}


def test_an_interval_that_was_sent_before_a_back_dated_correction_counts_once(
    kafka_log, database_url, connection, topic, clock
):
    intervals = [clock.now_ms - QUARTER, clock.now_ms]
    with feeders(kafka_log, database_url, topic, clock) as (one, other):
        one.send(CORRECTED, intervals, ESTIMATE, ESTIMATED)
        with suppress(RegisterError):
            load_register(connection, small_city(), corrected(clock.now_ms - QUARTER), clock)
        other.send(CORRECTED, intervals, VALUE, ACTUAL)
        other.tick(clock.now_ms + 3 * HOUR)
    process_undisturbed(kafka_log, topic, database_url, f"process-{topic}")
    assert list(value_by_area(database_url).values()) == [(2 * VALUE, 2)]


def test_a_feed_that_has_the_register_in_memory_follows_a_change_before_it_holds(
    kafka_log, database_url, second_database_url, connection, topic, clock
):
    loaded_ms, change_ms = clock.now_ms, clock.now_ms + HOUR // 2
    with feeders(kafka_log, database_url, topic, clock) as (one, other):
        one.send(CORRECTED, [loaded_ms - QUARTER], ESTIMATE, ESTIMATED)
        load_register(connection, small_city(), corrected(change_ms), clock)
        one.send(CORRECTED, [loaded_ms], ESTIMATE, ESTIMATED)
        clock.now_ms = change_ms + HOUR
        one.send(CORRECTED, range(loaded_ms + QUARTER, change_ms + HOUR, QUARTER), ESTIMATE, ESTIMATED)
        other.send(CORRECTED, range(loaded_ms - QUARTER, change_ms + HOUR, QUARTER), VALUE, ACTUAL)
        one.send(CORRECTED, range(change_ms, change_ms + HOUR, QUARTER), ESTIMATE, ESTIMATED)
        other.tick(change_ms + 3 * HOUR)
    process_undisturbed(kafka_log, topic, database_url, f"process-{topic}")
    found = value_by_area(database_url)
    assert sorted((start.timestamp() * 1000, *amounts) for (_, start), amounts in found.items()) == [
        (change_ms - HOUR, 3 * VALUE, 3),
        (change_ms, 4 * VALUE, 4),
    ]
    assert len({area for area, _ in found}) == 2
    process_undisturbed(kafka_log, topic, second_database_url, f"again-{topic}")
    assert table(second_database_url)["cells"] == table(database_url)["cells"]
