"""Handlers: top-level functions that take a connection only after their parameters were checked."""

import ast
from collections.abc import Iterator
from inspect import iscoroutinefunction
from pathlib import Path

import pytest
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient

from api.exchange import app as exchange
from api.own import app as own
from api.own.registry import lookup, refusals, schemas, settings, versions
from tests.federation.city import ISFAHAN, LOCAL

PUBLIC = {"/v1/identity", "/v1/catalog", "/v1/catalogues/{hash}", "/v1/token", "/healthz"}
REGISTRY = tuple(part.router for part in (lookup, refusals, schemas, settings, versions))
ON_THE_LOOP = {"/healthz", "/v1/token", "/v1/bodies"}


@pytest.fixture
def away() -> Iterator[TestClient]:
    with TestClient(own.create_own_api(ISFAHAN, "postgresql://nobody@127.0.0.1:1/nothing"), base_url=LOCAL) as client:
        yield client


def endpoints(routers):
    return {route.path: route.endpoint for router in routers for route in router.routes if isinstance(route, APIRoute)}


@pytest.mark.parametrize("routers", [exchange.ROUTERS, own.ROUTERS + REGISTRY])
def test_every_handler_is_a_plain_function_at_the_top_of_its_module(routers) -> None:
    found = endpoints(routers)
    assert len(found) > 8
    for path, endpoint in found.items():
        assert endpoint.__qualname__ == endpoint.__name__
        # A plain one may wait for the database: the framework gives it a thread.
        assert iscoroutinefunction(endpoint) == (path in ON_THE_LOOP), path


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/series/energy.import?from=yesterday", 422),
        ("/v1/series/nothing", 404),
        ("/v1/series/energy.import?class=nobody", 400),
        ("/v1/catalog", 503),
    ],
)
def test_wrong_parameters_are_refused_without_a_connection(away: TestClient, path: str, status: int) -> None:
    assert away.get(path).status_code == status


READ_BY_THE_EXCHANGE = {
    *("store.agreed", "store.given_pages", "store.access", "store.audit", "store.database", "store.heartbeat")
}


def test_the_partner_api_reads_the_database_through_what_is_agreed_and_nothing_else() -> None:
    """`store.given_pages` asks by the query of `store.agreed` whether a page may be read, and reads none.
    `store.access` and `store.audit` hold what the server itself writes: tokens and the record of what was given.
    `store.heartbeat` asks whether the database answers, and reads no table.
    """
    found = set()
    for file in Path(exchange.__file__).parent.glob("**/*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names if alias.name.split(".")[0] in ("store", "psycopg")}
            elif isinstance(node, ast.ImportFrom) and node.module is not None:
                if node.module == "store":
                    found |= {f"store.{alias.name}" for alias in node.names}
                elif node.module.split(".")[0] in ("store", "psycopg"):
                    found.add(node.module)
    assert found - {"psycopg"} == READ_BY_THE_EXCHANGE
    sources = [file.read_text() for file in Path(exchange.__file__).parent.glob("**/*.py")]
    assert not [word for text in sources for word in (".execute(", ".cursor(") if word in text]
