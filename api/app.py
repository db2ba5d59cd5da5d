"""The federated API of one city, as an ASGI app."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api import handlers, problems
from api.dependencies import provide
from api.page import routes as page
from api.registry import routes as registry
from api.snapshots import SnapshotPool
from federation.city import CityFacts
from federation.wire import Problem

_DESCRIPTION = """
What a city publishes to its partners: aggregates that passed a disclosure rule, and nothing else.

Begin with the catalogue, then follow the log of publications. Times are RFC 3339 in UTC. Amounts are exact whole
numbers of a metric's smallest unit; they need 64 bits. Every error is an RFC 9457 problem: tell them apart by `type`.
Only the schema registry has its own protocol, with its own errors, for stock clients.
Fields may be added to answers (never to a cell): ignore those that you don't know.
"""

_TAGS = [
    {"name": "catalogue", "description": "What the city publishes, and what it means."},
    {"name": "publications", "description": "Everything, in the order in which it was published."},
    {"name": "series", "description": "One metric over time."},
    {"name": "schemas", "description": "The schemas of the city's topics, as a read-only Confluent schema registry."},
    {"name": "node", "description": "For those who run the node."},
]


def create_app(city: CityFacts, database_url: str) -> FastAPI:
    """The API of `city`, reading the database at `database_url` (migrated before).

    Starts without the database too, and answers 503 until that is there. Bind it to loopback only, see `api.binding`.
    """
    snapshots = SnapshotPool(database_url)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        snapshots.open()
        try:
            yield
        finally:
            snapshots.close()

    # The interactive pages would load scripts from other servers.
    app = FastAPI(title=f"sistercity: {city.name}", version="1", lifespan=lifespan, docs_url=None, redoc_url=None)
    provide(app, city, snapshots)
    for router in (handlers.router, registry.router, page.router):
        app.include_router(router)
    problems.install(app)
    _describe(app)
    return app


def _describe(app: FastAPI) -> None:
    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(
                title=app.title, version=app.version, description=_DESCRIPTION, routes=app.routes, tags=_TAGS
            )
            schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
            document["components"]["schemas"] |= {**schema.pop("$defs"), "Problem": schema}
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = described  # type: ignore[method-assign]
