"""A partner's series is the newest revision of each window that was received, within limits."""

import pytest

from store.database import Connection, connect
from store.partner_series import newest_received, partner_series
from store.publications import Window
from tests.federation.city import HOUR, T0
from tests.store.taking import METRIC, definition, keep, received, take

pytestmark = pytest.mark.services


def read(
    connection: Connection,
    hours: tuple[int, int] = (0, 100),
    *,
    area: int | None = None,
    limit: int = 9,
    most: int = 99,
) -> tuple[list[tuple[int, int, int]], int | None]:
    """(hour, revision, number of cells) of each window, and the hour of the first one that was left out."""
    span = (T0 + hour * HOUR for hour in hours)
    found, following = partner_series(
        connection, "hue", METRIC, *span, area=area, class_="residential", limit=limit, most_cells=most
    )
    rows = [((header.window.start - T0) // HOUR, header.revision, len(cells.area)) for header, cells in found]
    return rows, None if following is None else (following - T0) // HOUR


def test_the_newest_revision_of_each_window_is_given_within_the_limits(database_url: str) -> None:
    with connect(database_url) as connection:
        take(connection, "hue", definition(METRIC, 10, 30))
        assert newest_received(connection, "hue", METRIC) is None
        keep(connection, "hue", *(received(hour + 1, hour) for hour in range(4)))
        keep(connection, "hue", received(5, 1, 7, revision=1))
        assert read(connection) == ([(0, 0, 2), (1, 1, 2), (2, 0, 2), (3, 0, 2)], None)
        assert read(connection, (1, 3), area=1) == ([(1, 1, 1), (2, 0, 1)], None)
        assert read(connection, limit=2) == ([(0, 0, 2), (1, 1, 2)], 2)
        assert read(connection, most=5) == ([(0, 0, 2), (1, 1, 2)], 2)
        assert read(connection, most=1) == ([(0, 0, 2)], 1)
        assert newest_received(connection, "hue", METRIC) == Window(T0 + 3 * HOUR, T0 + 4 * HOUR)
        [(changed, cells)], _ = partner_series(
            connection, "hue", METRIC, T0 + HOUR, T0 + 2 * HOUR, area=1, class_=None, limit=1, most_cells=1
        )
        assert (changed.sequence, cells.value, cells.status) == (5, [7], ["released"])
