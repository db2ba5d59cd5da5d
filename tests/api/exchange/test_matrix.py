"""Everything that a partner can ask for, against an oracle of what its agreement opens: never more, and all of it.

Tokens are made for every agreement, whether it is in force or not: as if it had been when they were issued.
"""

import csv
import io
import random
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from api.exchange.app import create_partner_api
from federation.wire import instant
from store.access import issue
from store.database import connect
from store.partner_role import partner_login
from tests.federation.agreements.matrix import METRICS, Agreed, Publication, World, clear, generated
from tests.federation.city import ISFAHAN
from tests.soak import amount, soak

pytestmark = pytest.mark.services

AGREEMENTS = 10
HASHES = 6
"""Bodies that each agreement is asked for one by one."""
CASES_OF_ONE = 1 + 3 * len(METRICS) + HASHES

Window = tuple[int, int, tuple[tuple[int, int | None], ...]]
"""A window of a series: its start, its revision, and the value of each area."""


class Asking:
    """A partner, its token, and what it must get."""

    def __init__(self, api: TestClient, token: str, world: World, agreed: Agreed) -> None:
        self._api, self._token, self._world, self._agreed = api, token, world, agreed
        self._holds = world.holds(agreed) is not None

    def _get(self, path: str, **parameters):
        return self._api.get(path, params=parameters, headers={"Authorization": f"Bearer {self._token}"})

    def _allowed(self, answer, metric: str | None = None) -> bool:
        """Whether the answer gives anything; it must give a refusal where nothing is agreed."""
        given = metric is None or self._world.given(self._agreed, metric) is not None
        assert answer.status_code == (401 if not self._holds else 200 if given else 403)
        return answer.status_code == 200

    def entries(self) -> None:
        answer = self._get("/v1/entries", limit=1000)
        if self._allowed(answer):
            wanted = [each for metric in METRICS for each in self._world.entries(self._agreed, metric)]
            wanted.sort(key=lambda each: each.header.position)
            assert answer.content.splitlines() == [each.entry for each in wanted]

    def bodies(self, metric: str) -> None:
        answer = self._get("/v1/bodies", metric=metric, limit=1000)
        if self._allowed(answer, metric):
            wanted = [each.body for each in self._before_the_first_that_is_not_due(metric) if not each.erased]
            assert answer.content.splitlines() == wanted

    def _before_the_first_that_is_not_due(self, metric: str) -> Iterator[Publication]:
        grant = self._world.given(self._agreed, metric)
        assert grant is not None
        opened = [each.header.position for each in self._world.bodies(self._agreed, metric)]
        for each in self._world.entries(self._agreed, metric):
            if each.header.position in opened:
                yield each
            elif each.header.window.start >= grant.since:
                return

    def body(self, publication: Publication) -> None:
        answer = self._get(f"/v1/bodies/{publication.hash}")
        opened = [each.header.position for each in self._world.bodies(self._agreed, publication.header.metric)]
        if not self._holds:
            assert answer.status_code == 401
        elif publication.header.position not in opened:
            assert answer.status_code == 404
        elif publication.erased:
            assert answer.status_code == 410
        else:
            assert answer.content == publication.body

    def series_as_json(self, metric: str) -> None:
        answer = self._get(f"/v1/series/{metric}", **{"from": "1971-01-01T00:00:00Z", "to": "2999-01-01T00:00:00Z"})
        if self._allowed(answer, metric):
            assert [
                (instant(window["window"]["start"]), window["revision"], tuple(map(_figure, window["cells"])))
                for window in answer.json()["windows"]
            ] == self._series(metric)

    def series_as_csv(self, metric: str) -> None:
        asked = {"from": "1971-01-01T00:00:00Z", "to": "2999-01-01T00:00:00Z", "format": "csv"}
        answer = self._get(f"/v1/series/{metric}", **asked)
        if self._allowed(answer, metric):
            rows = list(csv.DictReader(io.StringIO(answer.text)))
            found = [(instant(row["window_start"]), int(row["revision"]), _figure(row)) for row in rows]
            wanted = [(start, revision, cell) for start, revision, cells in self._series(metric) for cell in cells]
            assert found == wanted

    def _series(self, metric: str) -> list[Window]:
        """The newest of what is open of each window."""
        newest = {each.header.window.start: each for each in self._world.bodies(self._agreed, metric)}
        return [
            (start, each.header.revision, tuple((area, each.shown(area)) for area in sorted(each.figures)))
            for start, each in sorted(newest.items())
        ]


def _figure(cell: dict) -> tuple[int, int | None]:
    value = cell.get("value")
    return int(cell["area"]), None if value in (None, "") else int(value)


@pytest.fixture(scope="module")
def api(module_database_url: str) -> Iterator[TestClient]:
    with connect(module_database_url) as connection:
        role_url = partner_login(connection, module_database_url)
    with TestClient(create_partner_api(ISFAHAN, role_url)) as client:
        yield client


@soak(minutes=4.5)
def test_a_partner_gets_what_its_agreement_opens_on_every_route_in_every_format_and_never_more(
    api: TestClient, module_database_url: str
):
    cases, first = 0, amount(19, soak=random.randrange(2**32))
    print(f"the first seed is {first}")
    with connect(module_database_url) as connection:
        for seed in range(first, first + amount(1, soak=53)):
            clear(connection)
            world = generated(connection, seed, AGREEMENTS)
            for agreed in world.agreements:
                token = issue(connection, agreement=agreed.id, issuer="", jti=agreed.id, assertion="", life_s=900)
                asking = Asking(api, token, world, agreed)
                asking.entries()
                for metric in METRICS:
                    asking.bodies(metric)
                    asking.series_as_json(metric)
                    asking.series_as_csv(metric)
                published = [each for each in world.publications if each.body is not None]
                for publication in random.Random(seed).sample(published, HASHES):
                    asking.body(publication)
                cases += CASES_OF_ONE
    assert cases == amount(1, soak=53) * AGREEMENTS * CASES_OF_ONE
