"""What both apps are built on: the city, its database, problems instead of errors, and the description."""

from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from typing import Any, Protocol

from fastapi import APIRouter, FastAPI

from api import problems
from api.dependencies import provide
from api.openapi import describe
from api.snapshots import SnapshotPool
from federation.city import CityFacts


class AppResource(Protocol):
    """What an app opens when it starts and closes when it stops."""

    def open(self) -> None:
        """Begin, without waiting for the database."""

    def close(self) -> None:
        """End."""


def build(
    city: CityFacts,
    database_url: str,
    routers: Sequence[APIRouter],
    description: str,
    tags: list[dict[str, Any]],
    resources: Sequence[AppResource] = (),
) -> FastAPI:
    """An app of these routes for `city`, reading the database at `database_url` (migrated before).

    Starts without the database too, and answers 503 until that is there.
    """
    snapshots = SnapshotPool(database_url)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        with ExitStack() as opened:
            for resource in (snapshots, *resources):
                resource.open()
                opened.callback(resource.close)
            yield

    # The interactive pages would load scripts from other servers.
    app = FastAPI(title=f"sistercity: {city.name}", version="1", lifespan=lifespan, docs_url=None, redoc_url=None)
    provide(app, city, snapshots)
    for router in routers:
        app.include_router(router)
    problems.install(app)
    describe(app, description, tags)
    return app
