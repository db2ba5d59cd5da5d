"""A small city in a database: its register, its topic, its cells; and a server of its API."""

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import uvicorn

from api.own.app import create_own_api
from federation.city import CityFacts
from federation.publications.slots import slot
from schemas.catalogue import catalogue
from store.database import Connection, connect
from store.moments import moment
from store.publications import Window
from tests.publishing import publish_until
from tests.waiting import until

HOUR = 3_600_000
T0 = 1_748_736_000_000
"""2025-06-01T00:00:00Z."""

IMPORT = catalogue()["energy.import"]
SOLAR = catalogue()["energy.solar"]
TOPIC = "isfahan.energy.readings.v1"
PARTITIONS = 2

LOCAL = "http://localhost"
"""The own side's address for clients within the test."""

ISFAHAN = CityFacts("isfahan", "Isfahan", {"fa": "اصفهان"}, "IR", "Asia/Tehran", 1_961_260, ("Census of 2016",), 15)


def found_areas(
    connection: Connection, populations: Sequence[int], metric: str = IMPORT.name, since: int = T0 - 1000 * HOUR
) -> list[int]:
    """Create a version of areas with these populations, a district each; returns their numbers."""
    version = connection.execute(
        "INSERT INTO area_versions (metric, valid_from) VALUES (%s, %s) RETURNING version", (metric, moment(since))
    ).fetchone()
    assert version
    numbers = []
    for index, population in enumerate(populations):
        row = connection.execute(
            "INSERT INTO areas (version, name, population) VALUES (%s, %s, %s) RETURNING number",
            (version[0], f"Area {index}", population),
        ).fetchone()
        assert row
        connection.execute("INSERT INTO area_districts VALUES (%s, %s)", (row[0], f"district {index}"))
        numbers.append(row[0])
    return numbers


def register(
    connection: Connection,
    district: int,
    class_: str,
    count: int,
    metric: str = IMPORT.name,
    since: int = T0 - 1000 * HOUR,
    to: int | None = None,
) -> None:
    """`count` sources, each of a contributor of its own."""
    first = connection.execute("SELECT coalesce(max(number) + 1, 0) FROM contributors").fetchone()
    assert first
    numbers = [first[0] + index for index in range(count)]
    connection.execute("INSERT INTO contributors SELECT n, 'c' || n FROM unnest(%s::bigint[]) AS n", (numbers,))
    connection.execute(
        "INSERT INTO sources SELECT n, 's' || n, %s, %s, n, %s, %s, %s FROM unnest(%s::bigint[]) AS n",
        (metric, f"district {district}", class_, moment(since), None if to is None else moment(to), numbers),
    )


def open_topic(connection: Connection, topic: str = TOPIC, partitions: int = PARTITIONS) -> None:
    """A topic whose processing has begun, without messages."""
    connection.execute("INSERT INTO stream_topics VALUES (%s, 'cluster', 'id', %s)", (topic, partitions))
    connection.execute(
        "INSERT INTO stream_offsets (topic, partition) SELECT %s, generate_series(0, %s - 1)", (topic, partitions)
    )


def pass_time(connection: Connection, when: int, partition: int | None = None, topic: str = TOPIC) -> None:
    """Move the newest event time of one partition, or of all, to `when`."""
    connection.execute(
        "UPDATE stream_offsets SET event_time = %s WHERE topic = %s AND (%s::integer IS NULL OR partition = %s)",
        (when, topic, partition, partition),
    )


def add_cell(
    connection: Connection,
    hour: int,
    area: int,
    class_: str = "residential",
    *,
    metric: str = IMPORT.name,
    value: int = 1000,
    contributors: int = 100,
    largest: int = 10,
    absolute: int = 1000,
    covered_ms: int = 0,
    topic: str = TOPIC,
) -> None:
    """A reduced cell of the hour that begins `hour` hours after T0."""
    start, end = moment(T0 + hour * HOUR), moment(T0 + (hour + 1) * HOUR)
    connection.execute(
        "INSERT INTO cells VALUES (%s, %s, %s, %s, %s, %s, 0, %s, 7, %s, %s, %s, %s, 0, 1, false)",
        (metric, start, end, area, class_, topic, value, contributors, largest, absolute, covered_ms),
    )


def publish_hours(connection: Connection, areas: Sequence[int], hours: range) -> None:
    """Cells of every area in these hours, residential ones released and commercial ones not, and their publication."""
    for hour in hours:
        for area in areas:
            add_cell(connection, hour, area, value=(1000 * hour + area) * IMPORT.base, covered_ms=HOUR)
            add_cell(connection, hour, area, "commercial", contributors=14)
    pass_time(connection, T0 + hours.stop * HOUR + IMPORT.lateness_ms)
    if hours:
        last = Window(T0 + (hours.stop - 1) * HOUR, T0 + hours.stop * HOUR)
        assert len(publish_until(connection, [IMPORT], TOPIC, slot(IMPORT, last), T0)) == len(hours)


@contextmanager
def a_published_city(database_url: str, hours: int, populations: Sequence[int] = (1000, 3000)) -> Iterator[list[int]]:
    """A city that has published its first hours; yields the numbers of its areas."""
    with connect(database_url) as connection:
        areas = found_areas(connection, populations)
        open_topic(connection)
        publish_hours(connection, areas, range(hours))
    yield areas


@contextmanager
def serving(database_url: str, city: CityFacts = ISFAHAN, port: int = 0) -> Iterator[str]:
    """The city's API on this port of loopback, or on a free one; yields its URL."""
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # it may have been served there a moment ago
        listening.bind(("127.0.0.1", port))
        listening.listen()  # from here on a client's connection waits until the server accepts it
        server = uvicorn.Server(uvicorn.Config(create_own_api(city, database_url), log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            until(lambda: server.started, "the API listens", pause_s=0.01)
            server.should_exit = True
            thread.join()
