"""Dependencies of handlers, as named types: a handler's signature lists what it may use.

A handler receives the pool, not a connection. It takes a connection after its parameters were checked, and returns it
before the answer is sent, so that a slow client holds none. A dependency that yields a connection would take it on one
thread of the framework's forty and use it on another: under load, requests that wait for a connection would occupy the
threads that requests with a connection need.
"""

from typing import Annotated

from fastapi import Depends, FastAPI, Request

from api.snapshots import SnapshotPool
from federation.city import CityFacts


def provide(app: FastAPI, city: CityFacts, snapshots: SnapshotPool) -> None:
    """Set what the types below resolve to in this app."""
    app.state.city = city
    app.state.snapshots = snapshots


# Coroutines, because the framework would run a plain function on a thread of its own.
async def _city(request: Request) -> CityFacts:
    city: CityFacts = request.app.state.city
    return city


async def _snapshots(request: Request) -> SnapshotPool:
    snapshots: SnapshotPool = request.app.state.snapshots
    return snapshots


OwnCity = Annotated[CityFacts, Depends(_city)]
"""The city that this node serves."""

Snapshots = Annotated[SnapshotPool, Depends(_snapshots)]
"""Read-only snapshots of everything in the city's database."""
