"""What both apps are built on: the city, its database, problems instead of errors, the door, and the description."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from typing import Any

from fastapi import APIRouter, FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from api import problems
from api.dependencies import provide
from api.door import Door
from api.openapi import describe
from api.request_metrics import Counted
from api.snapshots import SnapshotPool
from federation.city import CityFacts
from store.database import DatabaseUrl
from store.heartbeat import Heartbeat, HeartbeatListener


class CityAPI(FastAPI):
    """An app whose every request and answer passes its door, those of unforeseen errors among them."""

    def __init__(self, hosts: Collection[str], longest_body: int, **options: Any) -> None:
        super().__init__(**options)
        self._inside: ASGIApp = super().__call__
        self._limits = hosts, longest_body
        self._door = Counted(Door(self._inside, *self._limits))

    def wrap(self, middleware: Callable[[ASGIApp], ASGIApp]) -> None:
        """Let requests pass `middleware` between the door and the framework, before what was wrapped until now."""
        self._inside = middleware(self._inside)
        self._door = Counted(Door(self._inside, *self._limits))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        await self._door(scope, receive, send)


def build(
    city: CityFacts,
    database_url: DatabaseUrl,
    routers: Sequence[APIRouter],
    description: str,
    tags: list[dict[str, Any]],
    resources: Sequence[AbstractAsyncContextManager[object]] = (),
    *,
    hosts: Collection[str] = (),
    longest_body: int = 1 << 16,
    listener: HeartbeatListener | None = None,
) -> CityAPI:
    """An app of these routes for `city`, reading the database at `database_url` (migrated before).

    Starts without the database too, and answers 503 until that is there. `resources` are open while the
    app runs. For `hosts` and `longest_body` see `Door`, for `listener` see `Heartbeat`.
    """
    snapshots = SnapshotPool(database_url)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.heartbeat = heartbeat = Heartbeat(database_url, listener)
        async with AsyncExitStack() as opened:
            snapshots.open()
            opened.callback(snapshots.close)
            for resource in resources:
                await opened.enter_async_context(resource)
            beating = asyncio.create_task(heartbeat.beat())
            yield
            beating.cancel()
            with suppress(asyncio.CancelledError):
                await beating

    # The interactive pages would load scripts from other servers.
    app = CityAPI(
        hosts,
        longest_body,
        **{"title": f"sistercity: {city.name}", "version": "1", "lifespan": lifespan},
        docs_url=None,
        redoc_url=None,
    )
    provide(app, city, snapshots)
    for router in routers:
        app.include_router(router)
    problems.install(app)
    describe(app, description, tags)
    return app
