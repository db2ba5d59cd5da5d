"""Requests that schemathesis makes up from each app's description: no answer is one that the description lacks."""

from collections.abc import Iterator

import httpx
import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.core.result import Ok

from api.exchange.app import create_partner_api
from api.own.app import create_own_api
from store.database import connect
from store.heads import StoredHead, save_head
from store.inspection import clock
from tests.api.exchange.agreed import Agreed
from tests.api.running import running
from tests.federation.city import HOUR, ISFAHAN, a_published_city
from tests.soak import PROFILE, amount, soak

pytestmark = pytest.mark.services

HOURS = 3
NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing"
NOT_FOR_US = [
    # Whether a name, a hash or a cursor exists is not in the description: 400, 404, 410 and 422 are right answers.
    schemathesis.checks.positive_data_acceptance,
]
"""Checks of schemathesis that don't hold of this API."""


@pytest.fixture(scope="module")
def city(module_database_url: str) -> Iterator[str]:
    with a_published_city(module_database_url, HOURS):
        yield module_database_url


@pytest.fixture(scope="module")
def partners(city: str) -> Iterator[str]:
    with running(create_partner_api(ISFAHAN, city)) as url:
        yield url


@pytest.fixture(scope="module")
def token(city: str, partners: str) -> dict[str, str]:
    with connect(city) as connection:
        partner = Agreed()
        partner.install(connection, requests_per_minute=1_000_000, bytes_per_hour=2**50, concurrent_requests=100)
        now = clock(connection)
        save_head(connection, StoredHead(1, now, now + HOUR, "head"))
        answer = httpx.post(f"{partners}/v1/token", data=partner.asks(now), trust_env=False)
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


@pytest.fixture(scope="module")
def own(city: str) -> Iterator[str]:
    with running(create_own_api(ISFAHAN, city)) as url:
        yield url


def operations(app: FastAPI) -> list:
    """Every operation that the app's description has, one parameter of a test each."""
    schema = schemathesis.openapi.from_dict(app.openapi())
    found = [operation.ok() for operation in schema.get_all_operations() if isinstance(operation, Ok)]
    return [pytest.param(operation, id=operation.label) for operation in found]


def tried(operation, url: str, headers: dict[str, str]) -> None:
    """Try requests that fit the description, and requests that don't."""
    strategies = [operation.as_strategy(generation_mode=mode) for mode in GenerationMode]

    @settings(PROFILE, max_examples=amount(4, soak=80), suppress_health_check=list(HealthCheck))
    @given(case=strategies[0] | strategies[1])
    def try_it(case) -> None:
        case.call_and_validate(base_url=url, headers=headers, excluded_checks=NOT_FOR_US)

    try_it()


@pytest.mark.parametrize("operation", operations(create_partner_api(ISFAHAN, NOWHERE)))
@soak
def test_the_partner_api_answers_as_described(operation, partners, token):
    tried(operation, partners, token)


@pytest.mark.parametrize("operation", operations(create_own_api(ISFAHAN, NOWHERE)))
@soak
def test_the_own_side_answers_as_described(operation, own):
    tried(operation, own, {})
