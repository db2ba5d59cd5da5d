"""Late readings change what was published, if enough have changed: from Kafka to a partner's copy (R13, P6)."""

from collections.abc import Iterator, Sequence
from threading import Event

import pytest

from eventlog.kafka import KafkaLog
from federation.publications.entries import cells_of
from federation.publications.slots import REVISIONS_MS, slot
from federation.publications.withdrawing import withdraw
from node.clock import now_ms
from node.correcting import Corrector
from processors.open_memory import OpenMemory
from processors.plan import Plan
from processors.reading_fold import ReadingFoldFactory
from processors.runner import Runner
from schemas.batch import encode
from schemas.catalogue import metrics_of
from schemas.topics import live, settings
from store.database import Connection, connect
from store.processing_postgres import PostgresStore
from store.publications import Window
from tests.federation.city import HOUR, IMPORT, found_areas, register
from tests.processors.logs import rows_of
from tests.publishing import appender, publish_until

pytestmark = pytest.mark.services

ENERGY = "energy.readings"
WH = IMPORT.smallest_per_unit


class Hour:
    """An hour of one area of a city, in which 300 homes are registered, processed and published by the steps' times."""

    def __init__(self, log: KafkaLog, database_url: str, connection: Connection, city: str) -> None:
        self._log, self._url, self._city = log, database_url, city
        self.connection = connection
        self.topic = live(city, ENERGY)
        log.create(self.topic, 2, settings(ENERGY))
        [self.area] = found_areas(connection, [50_000])
        register(connection, 0, "residential", 300)
        begin = (now_ms() - 9 * HOUR) // HOUR * HOUR
        self.window = Window(begin, begin + HOUR)
        self.slot = slot(IMPORT, self.window)

    def send(self, customers: Sequence[int], watt_hours: int, quality: int = 1) -> "Hour":
        rows = rows_of([(who, who, 0, watt_hours * WH, quality) for who in customers])
        return self._send(b"%d" % self.area, rows, self.window.start)

    def pass_time(self) -> "Hour":
        """Say in both partitions that all readings of the hour were sent; and process."""
        for partition in range(2):
            writer = self._log.writer()
            writer.send_to(self.topic, partition, self._batch(rows_of([]), self.window.end + 2 * HOUR))
            writer.close()
        return self.process()

    def process(self) -> "Hour":
        store = PostgresStore(self._url)
        folds = ReadingFoldFactory({self.topic: metrics_of(ENERGY)}, "UTC")
        Runner(self._log, store, folds, Plan(f"{self._city}.process", until_caught_up=True)).run(Event())
        store.close()
        return self

    def correct(self, step: int) -> dict[str, int]:
        corrector = Corrector(self._log, self._city, "UTC", OpenMemory(), Event())
        return dict(corrector.correct_due(self.connection, self.slot + REVISIONS_MS[step - 1]))

    def publish(self, at: int) -> list[tuple[int, str, int]]:
        """What leaves of the hour until `at`: revision, kind, and when it was due."""
        found = []
        while made := publish_until(self.connection, [IMPORT], self.topic, at, self.window.start):
            found += [of.header for of in made if of.header.window == self.window]
        return [(header.revision, header.kind, header.published_at) for header in found]

    def _send(self, key: bytes, rows, start: int) -> "Hour":
        writer = self._log.writer()
        writer.send(self.topic, key, self._batch(rows, start), readings=len(rows))
        writer.close()
        return self

    def _batch(self, rows, start: int) -> bytes:
        return encode(
            1, metric=IMPORT.name, area=self.area, class_="residential", interval=HOUR, start=start, rows=rows
        )


@pytest.fixture
def hour(kafka_log: KafkaLog, database_url: str, city: str) -> Iterator[Hour]:
    """An hour with 200 homes of 100 Wh, of which four are estimates; it has left with 20 kWh."""
    with connect(database_url) as connection:
        made = Hour(kafka_log, database_url, connection, city)
        made.send(range(196), 100).send(range(196, 200), 100, quality=0).pass_time()
        assert made.publish(made.slot) == [(0, "publication", made.slot)]
        yield made


def shown(database_url: str, start: int) -> list[int | None]:
    """What partners are given of the hour, revision by revision; None for a body that is erased."""
    with connect(database_url) as connection:
        rows = connection.execute(
            "SELECT body FROM publications WHERE metric = %s AND window_start = to_timestamp(%s / 1000.0)"
            " ORDER BY sequence",
            (IMPORT.name, start),
        ).fetchall()
    return [None if body is None else _residential(body) for (body,) in rows]


def _residential(body: bytes) -> int | None:
    [value] = [cell.value for cell in cells_of(body) if cell.class_ == "residential"]
    return None if value is None else value // WH


def test_late_readings_of_many_leave_and_those_of_a_few_do_not(hour, database_url):
    hour.send(range(200, 300), 50).process()
    assert hour.correct(1) == {"corrected": 1}
    assert hour.publish(hour.slot + REVISIONS_MS[0]) == [(1, "correction", hour.slot + REVISIONS_MS[0])]
    hour.send([196, 197], 900).process()
    assert hour.correct(1) == {}  # the step was made
    assert hour.correct(2) == {"corrected": 1}
    assert hour.publish(hour.slot + REVISIONS_MS[1]) == []
    assert hour.publish(hour.slot + REVISIONS_MS[1]) == []
    hour.send(range(120), 400).process()  # 120 since the first revision, 120 and two since the publication
    assert hour.correct(3) == {"corrected": 1}
    assert hour.publish(hour.slot + REVISIONS_MS[2]) == [(2, "correction", hour.slot + REVISIONS_MS[2])]
    assert shown(database_url, hour.window.start) == [20_000, 25_000, 62_600]
    withdraw(appender(hour.connection), IMPORT, hour.window.start, "A test.", hour.slot + REVISIONS_MS[2])
    assert shown(database_url, hour.window.start) == [None] * 4
    tables = hour.connection.execute("SELECT count(*) FROM corrections WHERE NOT decided").fetchone()
    assert tables == (0,)


def test_what_changes_nothing_is_no_revision_and_nothing_is_read_twice(hour):
    hour.send(range(50), 70, quality=0).process()  # estimates for what was measured
    assert hour.correct(1) == {"unchanged": 1}
    assert hour.correct(2) == {}
    assert hour.publish(hour.slot + REVISIONS_MS[1]) == []


def test_one_corrector_at_a_time(hour, database_url):
    hour.send(range(200, 300), 50).process()
    with connect(database_url) as other:
        other.execute("SELECT pg_advisory_lock(%s)", (0x5157E2CC1,))
        assert hour.correct(1) == {}
        other.execute("SELECT pg_advisory_unlock(%s)", (0x5157E2CC1,))
    assert hour.correct(1) == {"corrected": 1}
