"""Nodes of small cities on real sockets: an honest one, and one for each lie, side by side under their names."""

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp

from federation.agreements.document import Agreement, countersign, open_agreement
from federation.conformance.lies import LIES
from federation.conformance.node import TellingNode
from federation.conformance.offering import offer
from federation.conformance.story import CityKeys, SmallCity
from federation.conformance.visit import Guest, Visit
from federation.identity.document import Identity, open_identity
from tests.waiting import until

HONEST = "honest"
NOW = time.time_ns() // 1_000_000 // 1000 * 1000
GUEST = SmallCity("guestville", "https://guestville.example", NOW, CityKeys())


def identity_of(city: SmallCity) -> Identity:
    return open_identity(city.identity(), pinned=None, now_ms=NOW)


def agreement_of(city: SmallCity, guest: SmallCity = GUEST) -> Agreement:
    """What the city has offered and the guest accepted."""
    proposal, _ = offer(city, identity_of(guest), NOW)
    return open_agreement(countersign(proposal, guest.keys.identity, now_ms=NOW), now_ms=NOW)


@dataclass
class Clock:
    """The real time, and what was waited for without waiting."""

    passed_ms: int = 0

    def __call__(self) -> int:
        return time.time_ns() // 1_000_000 + self.passed_ms

    async def wait(self, seconds: float) -> None:
        self.passed_ms += round(seconds * 1000)


@dataclass
class Place:
    """A node, and the agreement that the guest has with its city."""

    name: str
    url: str = ""
    city: SmallCity = field(init=False)
    agreement: Agreement = field(init=False)
    node: TellingNode = field(init=False)
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.city = SmallCity(f"town-of-{self.name}", f"https://{self.name}.example", NOW)
        self.agreement = agreement_of(self.city)
        self.node = TellingNode(self.city, identity_of(GUEST), {self.agreement.id}, LIES.get(self.name), self.clock)

    def visit(self, http: httpx.AsyncClient) -> Visit:
        guest = Guest(GUEST.keys.access, GUEST.keys.thumbprint, self.agreement)
        return Visit(http, self.url, self.clock, guest, most_bytes=2**20, deadline_s=3, wait=self.clock.wait)


@contextmanager
def serving(app: ASGIApp) -> Iterator[str]:
    """The app on a free port of loopback; yields its URL."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", timeout_graceful_shutdown=0))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until(lambda: server.started, "the server answers")
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def every_node(names: Iterable[str] = (HONEST, *LIES)) -> Iterator[dict[str, Place]]:
    """The honest node and every lying one, or those of these names."""
    places = {name: Place(name) for name in names}
    with serving(Starlette(routes=[Mount(f"/{name}", place.node.app()) for name, place in places.items()])) as url:
        for name, place in places.items():
            place.url = f"{url}{name}/"
        yield places
