"""Findings 4 and 5: that publications of an import exist told when a household was silent, and an import took the place
of the city's own window. Nothing of an import opens a window, and none of it stands in the running streams' time."""

import pytest

from federation.publications.history import NotPublishable, publish_history
from federation.publications.publisher import publish_due
from federation.publications.schedule import Since, Stream
from schemas.catalogue import Metric
from store.database import Connection, connect
from store.publications import Window
from tests.federation.city import HOUR, IMPORT, T0, TOPIC, add_cell, found_areas, open_topic, pass_time, register
from tests.federation.restoring import due_at
from tests.published_log import published_log
from tests.publishing import appender

pytestmark = pytest.mark.services

HOUSE = "isfahan.energy.readings.history.house.v1"
WEEK = 7 * 24 * HOUR
PAST = T0 - WEEK
SILENT = (3, 7, 8, 9, 20, 21, 40)
"""Hours in which the household was away."""


def a_city(connection: Connection, customers: int) -> int:
    """A city with so many customers in its register of last week, and an import of one household's 48 hours then."""
    (area,) = found_areas(connection, [1000])
    register(connection, 0, "residential", customers)
    open_topic(connection)
    open_topic(connection, HOUSE)
    for hour in range(48):
        if hour not in SILENT:
            start = (PAST - T0) // HOUR + hour
            add_cell(connection, start, area, contributors=1, value=500, largest=500, absolute=500, topic=HOUSE)
    pass_time(connection, PAST + WEEK, topic=HOUSE)
    return area


def publish_the_import(connection: Connection, span: Window, metric: Metric = IMPORT, now: int = T0 + WEEK) -> None:
    for _ in publish_history(appender(connection), HOUSE, metric, span, "UTC", now):
        pass


def windows(connection: Connection) -> list[int]:
    """The starts of all windows that were published: what an attacker sees without a single value."""
    return [header.window.start for header, _ in published_log(connection)]


def test_an_import_of_one_household_makes_no_publication_at_all(database_url) -> None:
    with connect(database_url) as connection:
        a_city(connection, customers=1)
        with pytest.raises(NotPublishable, match="as many contributors in the register"):
            publish_the_import(connection, Window(PAST, PAST + 48 * HOUR))
        assert windows(connection) == []


def test_where_an_import_is_published_its_silence_is_a_window_like_any_other(database_url) -> None:
    with connect(database_url) as connection:
        a_city(connection, customers=200)
        publish_the_import(connection, Window(PAST, PAST + 48 * HOUR))
        assert windows(connection) == [PAST + hour * HOUR for hour in range(48)]
        statuses = {status for _, columns in published_log(connection) for status in columns.status}
        assert statuses == {"suppressed"}
        publish_the_import(connection, Window(PAST, PAST + 49 * HOUR))  # once more, and an hour further
        assert len(windows(connection)) == 49


def test_publishing_only_what_came_in_tells_the_silence(database_url) -> None:
    """The attack works against a rule that publishes the windows that have a cell."""
    with connect(database_url) as connection:
        a_city(connection, customers=200)
        rows = connection.execute("SELECT DISTINCT window_start FROM cells WHERE topic = %s", (HOUSE,)).fetchall()
        seen = {round(start.timestamp() * 1000) for (start,) in rows}
        silent = [hour for hour in range(48) if PAST + hour * HOUR not in seen]
        assert tuple(silent) == SILENT


def test_an_import_never_takes_the_place_of_the_citys_own_window(database_url) -> None:
    with connect(database_url) as connection:
        area = a_city(connection, customers=200)
        add_cell(connection, 0, area, contributors=150, value=3_600_000_000_000, absolute=3_600_000_000_000)
        add_cell(connection, 0, area, contributors=1, value=500, largest=500, absolute=500, topic=HOUSE)
        pass_time(connection, T0 + WEEK)
        streams = [Stream(TOPIC, [IMPORT])]
        publish_due(appender(connection), streams, "UTC", due_at(-1), Since(T0))
        with pytest.raises(NotPublishable, match="can't be published in place of them"):
            publish_the_import(connection, Window(T0 - HOUR, T0 + HOUR))
        assert windows(connection) == []
        made = publish_due(appender(connection), streams, "UTC", due_at(0), Since(T0))
        assert [(published.header.window.start, published.released) for published in made] == [(T0, 1)]


def test_an_import_of_today_waits_for_nobody_to_begin(database_url) -> None:
    """Before the city publishes the metric, an import can't be of the day with which that will begin."""
    with connect(database_url) as connection:
        a_city(connection, customers=200)
        pass_time(connection, T0 + WEEK, topic=HOUSE)
        with pytest.raises(NotPublishable, match="can't be published in place of them"):
            publish_the_import(connection, Window(T0 - HOUR, T0 + HOUR), now=T0 + 5 * HOUR)


def test_an_import_that_is_still_processed_is_refused(database_url) -> None:
    with connect(database_url) as connection:
        a_city(connection, customers=200)
        pass_time(connection, PAST + 47 * HOUR, partition=1, topic=HOUSE)
        with pytest.raises(NotPublishable, match="not processed up to"):
            publish_the_import(connection, Window(PAST, PAST + 48 * HOUR))
