"""Handlers: top-level functions that take a connection only after their parameters were checked."""

from collections.abc import Iterator
from inspect import iscoroutinefunction

import pytest
from fastapi.testclient import TestClient

from api import catalog, health, series
from api.exchange import publications
from api.own.app import create_own_api
from api.own.page import routes as page
from api.own.registry import lookup, refusals, schemas, settings, versions
from tests.federation.city import ISFAHAN

ROUTERS = [
    part.router for part in (catalog, publications, series, health, page, lookup, refusals, schemas, settings, versions)
]


@pytest.fixture
def away() -> Iterator[TestClient]:
    with TestClient(create_own_api(ISFAHAN, "postgresql://nobody@127.0.0.1:1/nothing")) as client:
        yield client


def test_every_handler_is_a_plain_function_at_the_top_of_its_module() -> None:
    endpoints = [route.endpoint for router in ROUTERS for route in router.routes]
    assert len(endpoints) > 15
    for endpoint in endpoints:
        assert endpoint.__qualname__ == endpoint.__name__
        assert not iscoroutinefunction(endpoint)  # it may wait for the database: the framework gives it a thread


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/publications?limit=0", 422),
        ("/v1/series/energy.import?from=yesterday", 422),
        ("/v1/series/nothing", 404),
        ("/v1/series/energy.import?class=nobody", 400),
        ("/v1/catalog", 503),
    ],
)
def test_wrong_parameters_are_refused_without_a_connection(away: TestClient, path: str, status: int) -> None:
    assert away.get(path).status_code == status
