"""The publisher and what is open: decided before the first window leaves, kept, and closed by what fails."""

import pytest

from federation.publications.publisher import publish_due
from federation.publications.schedule import Since, Stream
from store.database import connect
from store.publications import Header, Window, append, next_numbers
from store.standing import kept_decisions, standing
from tests.federation.city import HOUR, IMPORT, T0, TOPIC, add_cell, register
from tests.federation.test_publisher import SLOT, WINDOW, a_city
from tests.publishing import appender, publish_until


@pytest.mark.services
def test_what_is_open_is_decided_before_the_first_window_and_what_fails_closes(database_url: str) -> None:
    areas = a_city(database_url, 4)
    with connect(database_url) as connection:
        connection.execute("UPDATE cells SET contributors = 99 WHERE metric = %s AND value = 1", (IMPORT.name,))
        add_cell(connection, 0, areas[1])  # passes, and is not open: nobody is registered there
        shown = []
        for hour in range(4):
            made = publish_due(appender(connection), [Stream(TOPIC, [IMPORT])], "UTC", SLOT + hour * HOUR, Since(T0))
            shown += [(published.released, published.suppressed) for published in made or ()]
            register(connection, 1, "residential", 200)  # too late: what is open was decided
        assert shown == [(1, 3), (0, 4), (0, 4), (0, 4)]
        [kept] = kept_decisions(connection, T0)
        assert kept.decision.basis == "register"
        assert kept.closed == {(areas[0], "residential"): T0 + HOUR}


@pytest.mark.services
def test_what_failed_in_a_window_that_a_restore_has_lost_stays_closed(database_url: str) -> None:
    areas = a_city(database_url, 4)
    with connect(database_url) as connection:
        connection.execute("UPDATE cells SET contributors = 99 WHERE metric = %s AND value = 1", (IMPORT.name,))
        publish_until(connection, [IMPORT], TOPIC, SLOT, T0)
        position, sequence = next_numbers(connection, IMPORT.name)
        second = Window(WINDOW.end, WINDOW.end + HOUR)
        lost = Header(position, IMPORT.name, sequence, second, 0, SLOT, "lost")
        append(connection, lost, "", [], left_at=SLOT)  # published after the backup, and its closing is not in it
        [third] = publish_until(connection, [IMPORT], TOPIC, SLOT + 2 * HOUR, T0)
        assert (third.header.window.start, third.released) == (T0 + 2 * HOUR, 0)
        found = standing(connection, IMPORT.name, third.header.window)
        assert found is not None
        assert (areas[0], "residential") not in found.open
