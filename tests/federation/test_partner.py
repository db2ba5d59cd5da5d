"""Following a partner: what it has signed is stored whole and once, whatever fails meanwhile."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest

from federation.compare import comparisons
from federation.partners.partner import PullResult
from federation.partners.pulling import Pulled, pull
from schemas.catalogue import catalogue
from store.database import connect
from tests.federation.city import ISFAHAN, a_published_city
from tests.federation.handing import hand_over
from tests.federation.talking import AGREEMENT, TalkingCity, agree, agreed, pulling, talking

pytestmark = pytest.mark.services

HOURS = 5
Rows = list[tuple[object, ...]]


@pytest.fixture
def hue() -> TalkingCity:
    city = TalkingCity()
    city.say(*range(HOURS))
    return city


@pytest.fixture
def ours(hue: TalkingCity, database_url: str) -> Iterator[str]:
    """Our database, with the agreement with Huế, which answers."""
    with talking(hue) as [address]:
        agree(database_url, agreed(hue, address))
        yield database_url


def run(database_url: str) -> Pulled:
    [pulled] = asyncio.run(pull(pulling(database_url)))
    return pulled


def stored(database_url: str) -> Rows:
    with connect(database_url) as connection:
        return connection.execute(
            "SELECT sequence, status, value FROM partner_publications JOIN partner_cells"
            " USING (city, metric, window_start, revision) WHERE area = 1 ORDER BY 1"
        ).fetchall()


def test_everything_is_pulled_once(hue: TalkingCity, ours: str) -> None:
    assert run(ours) == Pulled("hue", AGREEMENT, PullResult("hue", HOURS, HOURS, {}), None)
    assert stored(ours) == [(number, "released", 500) for number in range(1, HOURS + 1)]
    with connect(ours) as connection:
        lines = connection.execute("SELECT line FROM partner_entries ORDER BY sequence").fetchall()
        bodies = connection.execute("SELECT body FROM partner_bodies ORDER BY sequence").fetchall()
    assert [bytes(line) for (line,) in lines] == [each.line for each in hue.published]
    assert [bytes(body) for (body,) in bodies] == [each.body for each in hue.published]
    assert run(ours).result == PullResult("hue", 0, 0, {})


def test_both_cities_are_compared_by_the_same_arithmetic(database_url: str, second_database_url: str) -> None:
    with a_published_city(second_database_url, HOURS):
        hand_over(second_database_url, replace(ISFAHAN, zone="UTC"), database_url, "da-nang")
    with connect(second_database_url) as theirs, connect(database_url) as ours_:
        own = comparisons(theirs, "isfahan", catalogue())
        assert own[0].figure and own[0].metric == "energy.import"
        assert comparisons(ours_, "da-nang", catalogue()) == own
