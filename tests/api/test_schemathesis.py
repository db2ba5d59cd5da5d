"""Requests that schemathesis makes up from each app's description: no answer is one that the description lacks."""

from collections.abc import Iterator

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings

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
PARTS = 6
"""The operations are tried in so many tests, for several workers."""


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


def tried(app: FastAPI, part: int, url: str, headers: dict[str, str]) -> None:
    """Try the operations of a part of the app's description.

    Schemathesis is imported and reads the description here: at the top, every worker would do both at its start.
    """
    import schemathesis  # noqa: PLC0415

    schema = schemathesis.openapi.from_dict(app.openapi())
    found = [operation.ok() for operation in schema.get_all_operations()]
    assert len(found) > PARTS
    # Whether a name, a hash or a cursor exists is not in the description: 400, 404, 410 and 422 are right answers.
    not_for_us = [schemathesis.checks.positive_data_acceptance]
    for operation in found[part::PARTS]:
        strategies = [operation.as_strategy(generation_mode=mode) for mode in schemathesis.GenerationMode]
        validated(strategies, url, headers, not_for_us)


def validated(strategies: list, url: str, headers: dict[str, str], not_for_us: list) -> None:
    """Try requests that fit the description of an operation, and requests that don't."""

    @settings(PROFILE, max_examples=amount(4, soak=80), suppress_health_check=list(HealthCheck))
    @given(case=strategies[0] | strategies[1])
    def try_it(case) -> None:
        case.call_and_validate(base_url=url, headers=headers, excluded_checks=not_for_us)

    try_it()


@pytest.mark.parametrize("part", range(PARTS))
@soak
def test_the_partner_api_answers_as_described(part, city, partners, token):
    tried(create_partner_api(ISFAHAN, city), part, partners, token)


@pytest.mark.parametrize("part", range(PARTS))
@soak
def test_the_own_side_answers_as_described(part, city, own):
    tried(create_own_api(ISFAHAN, city), part, own, {})
