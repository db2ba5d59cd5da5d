"""A stream grows from 4 to 8 partitions while it is ingested and processed. On the real Kafka and PostgreSQL."""

import json
import time
from contextlib import ExitStack

import psycopg
import pytest

from ingest.feed import Feed
from ingest.journal import NoJournal
from ingest.routes import stored_routes
from ingest.simulated.fleet import Fleet
from schemas.catalogue import metrics_of
from schemas.topics import live, settings
from store.database import connect
from store.moments import milliseconds
from store.publications import Window
from store.publishing import topic_state
from tests.ingest.growth import Clock, TwoProcesses, feeds, replay
from tests.ingest.small_city import city as small_city
from tests.system.command import Command
from tests.system.days import ENERGY, FAULTS, HOUR, PARTITIONS, ZONE
from tests.system.streams import Processor, city_file, positions, process_undisturbed
from tests.waiting import until

pytestmark = pytest.mark.services

HOURS = 20


class Stream:
    """One stream of a city in Kafka, the processors at work on it, and the time at which it grows."""

    def __init__(self, folder, kafka, kafka_log, city, database_url) -> None:
        self.old, self.new = live(city, ENERGY), live(city, ENERGY, 2)
        self._start = lambda: Processor(city_file(folder, city), kafka, database_url, folder / "process.log")
        self._log = kafka_log
        self._url = database_url
        self._clock = Clock()
        now = round(time.time() * 1000)
        end = now // HOUR * HOUR - HOUR // 2  # a full hour on the clock of Tehran
        self.span, self.now, self.cut = (end - HOURS * HOUR, end), now, end - HOURS // 2 * HOUR
        self.processors = [self._start(), self._start()]

    def reached(self, time_ms: int) -> None:
        """What happens when the sources have come as far as a time."""
        self._clock.now = time_ms
        if time_ms == self.cut - 2 * HOUR:
            self._grow()
            until(lambda: self.new in {topic for topic, _ in positions(self._url)}, "running processors have noticed")
        if time_ms in (self.cut, self.cut + 2 * HOUR):  # with windows of both topics open
            self.processors.pop(0).kill()
            self.processors.append(self._start())

    def _grow(self) -> None:
        """As `sistercity topics grow` does, in the past: a replay is over in seconds."""
        self._log.create(self.new, 2 * PARTITIONS, settings(ENERGY))
        with psycopg.connect(self._url) as connection:
            connection.execute(
                "INSERT INTO stream_generations VALUES (%s, 2, to_timestamp(%s), %s)",
                (ENERGY, self.cut / 1000, 2 * PARTITIONS),
            )

    def ingest(self, fleet: Fleet) -> dict[tuple[str, int], int]:
        """Send through two writers, each with a connection of its own; returns the end of each partition."""
        with ExitStack() as open_:
            connections = [open_.enter_context(connect(self._url)) for _ in range(2)]
            writers = [self._log.writer() for _ in connections]
            city = self.old.partition(".")[0]
            both = feeds(writers, self.old, lambda: stored_routes(connections.pop(), city, ENERGY, self._clock))
            replay(TwoProcesses(both, self.reached), fleet, self.span, self.now, FAULTS)
            ends: dict[tuple[str, int], int] = {}
            for writer in writers:
                writer.close()
                for partition, sent in writer.acknowledged().items():
                    ends[partition] = max(ends.get(partition, 0), sent.last_offset + 1)
            return ends


def test_a_stream_grows_while_two_processes_ingest_and_processors_are_killed(
    kafka, kafka_log, city, database_url, second_database_url, tmp_path
):
    for topic in (live(city, ENERGY), live(f"{city}-plain", ENERGY)):
        kafka_log.create(topic, PARTITIONS, settings(ENERGY))
    stream, fleet = Stream(tmp_path, kafka, kafka_log, city, database_url), Fleet(small_city(ZONE), 300, 7)
    ends = stream.ingest(fleet)
    assert {topic for topic, _ in ends} == {stream.old, stream.new}
    assert len(ends) == 3 * PARTITIONS

    def caught_up() -> bool:
        reached = positions(database_url)
        return all(reached.get(partition, (0, -1))[1] == end for partition, end in ends.items())

    until(caught_up, "both topics are processed")
    assert [processor.stop() for processor in stream.processors] == [0, 0]

    plain, writer = live(f"{city}-plain", ENERGY), kafka_log.writer()
    replay(Feed(writer, plain, NoJournal(), "tests"), fleet, stream.span, stream.now, FAULTS)
    writer.close()
    process_undisturbed(kafka_log, plain, second_database_url, f"alone-{city}")
    grown, whole = cells(database_url), cells(second_database_url)
    assert len(whole) > 60
    assert grown == whole
    assert account(database_url) == account(second_database_url)
    before, after = ready(database_url, stream.old), ready(database_url, stream.new)
    assert before
    assert after
    assert max(window.end for window in before) == stream.cut == min(window.start for window in after)
    assert before + after == ready(second_database_url, plain)


def test_the_command_makes_the_topic_and_doctor_knows_it(kafka, kafka_log, database_url, city, tmp_path):
    command = Command(city_file(tmp_path, city), kafka, database_url, tmp_path)
    old, new = live(city, ENERGY), live(city, ENERGY, 2)
    command("topics", "create")
    assert "has 4 partitions already" in command.fails("topics", "grow", ENERGY, "--partitions", "4")
    assert "can't grow" in command.fails("topics", "grow", "traffic.frames", "--partitions", "8")
    said = command("topics", "grow", ENERGY, "--partitions", "8")
    assert said.endswith(f"on go to {new}, 8 partitions\n")
    assert kafka_log.describe(new).partitions == 8
    assert "has 8 partitions already" in command.fails("topics", "grow", ENERGY, "--partitions", "8")
    command("process", "--until-caught-up")
    assert sum(topic == new for topic, _ in positions(database_url)) == 8
    findings = {
        finding["what"]: finding for finding in json.loads(command.outcome("doctor", "--json").stdout)["findings"]
    }
    for topic, partitions in ((old, 4), (new, 8)):
        assert findings[topic]["words"] == f"{partitions} partitions, settings as planned"
        assert findings[f"stream {topic}"]["level"] == "ok"


def cells(database_url: str) -> list[tuple[object, ...]]:
    """All cells, without where they lie in the log."""
    with psycopg.connect(database_url) as connection:
        return connection.execute(
            "SELECT metric, window_start, window_end, area, class, value, readings, contributors, largest, absolute,"
            " covered_ms, incomplete FROM cells ORDER BY metric, window_start, area, class"
        ).fetchall()


def account(database_url: str) -> tuple[object, ...] | None:
    """The outcomes of the readings of all topics."""
    with psycopg.connect(database_url) as connection:
        return connection.execute(
            "SELECT sum(readings), sum(aggregated), sum(duplicate), sum(late), sum(rejected), sum(open), sum(dead)"
            " FROM stream_offsets"
        ).fetchone()


def ready(database_url: str, topic: str) -> list[Window]:
    """The windows of the first metric that have cells of a topic and that all of its partitions have passed."""
    metric = metrics_of(ENERGY)[0]
    with connect(database_url) as connection:
        reached = topic_state(connection, topic).event_time
        rows = connection.execute(
            "SELECT DISTINCT window_start, window_end FROM cells WHERE topic = %s AND metric = %s ORDER BY 1",
            (topic, metric.name),
        ).fetchall()
    windows = [Window(milliseconds(start), milliseconds(end)) for start, end in rows]
    return [window for window in windows if reached is not None and window.end <= reached - metric.lateness_ms]
