"""What partners' figures are compared by is computed when they are stored, from the newest revision of each window."""

import pytest

from store.database import connect
from store.partner_figures import (
    PartnerMetric,
    partner_cities,
    partner_metrics,
    partner_window_totals,
)
from tests.federation.city import HOUR
from tests.store.taking import METRIC, definition, keep, received, take

pytestmark = pytest.mark.services

CLASSES = ("residential",)
LARGEST = 2**63 - 1


def test_totals_take_the_newest_revision_and_the_population_of_the_catalogue(database_url: str) -> None:
    with connect(database_url) as connection:
        take(connection, "hue", definition(METRIC, 10, 30), definition("x"))
        page = [received(1, 0), received(2, 1, LARGEST), received(3, 24), received(4, 24, 6, revision=1)]
        keep(connection, "hue", *page, received(1, 30, metric="x"))
        found = partner_window_totals(connection, METRIC, CLASSES, 24 * HOUR)["hue"]
        assert [(t.value, t.released, t.cells, t.released_population, t.population, t.weighted) for t in found] == [
            (LARGEST, 1, 2, 10, 40, 10 * LARGEST),
            (6, 1, 2, 10, 40, 60),
        ]
        [unpopulated] = partner_window_totals(connection, "x", CLASSES, HOUR)["hue"]
        assert unpopulated.population == 0
        assert not partner_window_totals(connection, METRIC, ("commercial",), HOUR)


def test_a_later_page_with_a_revision_or_a_withdrawal_changes_the_totals_of_its_window_alone(database_url: str) -> None:
    with connect(database_url) as connection:
        take(connection, "hue", definition(METRIC, 10, 30))
        keep(connection, "hue", received(1, 0), received(2, 1))
        keep(connection, "hue", received(3, 1, 9, revision=1))
        assert [t.value for t in partner_window_totals(connection, METRIC, CLASSES, 24 * HOUR)["hue"]] == [5, 9]
        taken_back = received(4, 0, None, revision=1, kind="withdrawal")
        keep(connection, "hue", taken_back)
        found = partner_window_totals(connection, METRIC, CLASSES, 24 * HOUR)["hue"]
        assert [(t.value, t.withdrawn) for t in found] == [(0, 2), (9, 0)]


def test_every_partner_has_its_own_newest_windows_and_definitions(database_url: str) -> None:
    with connect(database_url) as connection:
        for city, hour in (("hue", 40), ("jena", 2)):
            take(connection, city, definition(METRIC, 10, 30))
            keep(connection, city, received(1, 0), received(2, hour))
        found = partner_window_totals(connection, METRIC, CLASSES, 24 * HOUR)
        assert {city: len(totals) for city, totals in found.items()} == {"hue": 1, "jena": 2}
        known = PartnerMetric("Wh", "mJ", 3_600_000, "sum", "hour")
        assert partner_metrics(connection, [METRIC, "other"]) == {("hue", METRIC): known, ("jena", METRIC): known}
        assert [(city.id, city.name, city.names) for city in partner_cities(connection)] == [
            ("hue", "Hue", {"vi": "hue"}),
            ("jena", "Jena", {"vi": "jena"}),
        ]
