"""Partners' publications are stored page by page with the cursor, none twice or out of order."""

from collections.abc import Sequence

import pytest

from store.database import Connection, connect
from store.partners import (
    ReceivedPublication,
    partner_at,
    partner_named,
    partners,
    save_catalog,
    start_over,
    store_page,
)
from store.publication_log import CellColumns
from store.publications import Window
from store.received import Conflict
from tests.federation.city import HOUR, T0

pytestmark = pytest.mark.services

METRIC = "energy.import"
URL = "http://127.0.0.1:1/"


def received(
    sequence: int, hour: int, value: int | None = 5, *, revision: int = 0, metric: str = METRIC
) -> ReceivedPublication:
    window = Window(T0 + hour * HOUR, T0 + (hour + 1) * HOUR)
    coverage = None if value is None else "high"
    statuses = ["suppressed" if value is None else "released", "suppressed"]
    columns = CellColumns(
        [1, 2], ["residential"] * 2, statuses, [value, None], [coverage, None], ["customers-100-15"] * 2
    )
    return ReceivedPublication(metric, sequence, window, revision, T0, columns)


def meet(connection: Connection, city: str = "hue", log: str = "log") -> None:
    areas = [{"number": 1, "population": 10}, {"number": 2, "population": 30}]
    save_catalog(
        connection, city, URL, log, {"metrics": [{"name": METRIC, "areas": areas}, {"name": "x", "areas": []}]}
    )


def keep(
    connection: Connection, before: str | None, following: str, page: Sequence[ReceivedPublication], log: str = "log"
) -> None:
    store_page(connection, "hue", log, before=before, following=following, page=page)


def rows(connection: Connection) -> list[tuple[object, ...]]:
    return connection.execute(
        "SELECT p.sequence, c.area, c.status, c.value, c.coverage FROM partner_publications AS p"
        " JOIN partner_cells AS c USING (city, metric, window_start, revision) ORDER BY p.sequence, c.area"
    ).fetchall()


def test_a_page_and_its_cursor_are_stored_together(database_url: str) -> None:
    with connect(database_url) as connection:
        meet(connection)
        keep(connection, None, "a", [received(1, 0), received(2, 1)])
        keep(connection, "a", "b", [received(3, 2)])
        assert [row[:4] for row in rows(connection)] == [
            (1, 1, "released", 5),
            (1, 2, "suppressed", None),
            (2, 1, "released", 5),
            (2, 2, "suppressed", None),
            (3, 1, "released", 5),
            (3, 2, "suppressed", None),
        ]
        known = partner_named(connection, "hue")
        assert known is not None and known.cursor == "b"
        assert partner_at(connection, URL) == known
        assert partners(connection) == [known]


@pytest.mark.parametrize(
    ("before", "log", "page", "words"),
    [
        ("other", "log", [received(2, 1)], "moved the cursor"),
        (None, "log", [received(2, 1)], "moved the cursor"),
        ("a", "other", [received(2, 1)], "moved the cursor"),
        ("a", "log", [received(2, 1), received(4, 2)], "3 of energy.import"),
        ("a", "log", [received(1, 1)], "2 of energy.import"),
        ("a", "log", [received(2, 1, metric="energy.solar")], "1 of energy.solar"),
        ("a", "log", [received(2, 1), received(3, 0)], "received before"),
    ],
)
def test_a_page_that_does_not_continue_the_log_is_refused_whole(
    database_url: str, before: str | None, log: str, page: list[ReceivedPublication], words: str
) -> None:
    with connect(database_url) as connection:
        meet(connection)
        keep(connection, None, "a", [received(1, 0)])
        stored = rows(connection)
        with pytest.raises(Conflict, match=words):
            keep(connection, before, "b", page, log)
        assert rows(connection) == stored
        known = partner_named(connection, "hue")
        assert known is not None and known.cursor == "a"


def test_a_new_log_is_read_from_its_start_and_replaces_what_is_stored(database_url: str) -> None:
    with connect(database_url) as connection:
        meet(connection)
        keep(connection, None, "a", [received(1, 0), received(2, 1), received(3, 2)])
        start_over(connection, "hue", "new")
        assert len(rows(connection)) == 6
        keep(connection, None, "n", [received(1, 0, 7), received(2, 2, None)], "new")
        found = {(row[0], row[3]) for row in rows(connection) if row[1] == 1}
        assert found == {(1, 7), (2, None), (2, 5)}  # hour 1 stays until the new log repeats it


def test_a_known_partner_keeps_cursor_and_log_when_its_catalogue_changes(database_url: str) -> None:
    with connect(database_url) as connection:
        meet(connection)
        keep(connection, None, "a", [received(1, 0)])
        save_catalog(connection, "hue", "http://127.0.0.1:2/", "another", {"metrics": []})
        known = partner_named(connection, "hue")
        assert known is not None
        assert (known.url, known.log_id, known.cursor, known.catalog) == (
            "http://127.0.0.1:2/",
            "log",
            "a",
            {"metrics": []},
        )
