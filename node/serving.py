"""What the two servers of a node have in common: the city's facts, and running until they are stopped."""

import threading
from ipaddress import ip_network
from typing import TYPE_CHECKING

from node import lifecycle, wiring
from node.settings import settings
from node.wiring import CommandError

if TYPE_CHECKING:
    from fastapi import FastAPI

    from api.serving import Listening, ProxyNetwork
    from errors import OperatorError
    from federation.city import CityFacts
    from node.health import RoleHealth


def facts() -> "CityFacts":
    """The city as its API shows it."""
    from federation.city import CityFacts

    city = wiring.city()
    return CityFacts(
        id=city.id,
        name=city.name,
        names=dict(city.names),
        country=city.country,
        zone=city.zone,
        population=city.population,
        sources=city.sources,
        districts=len(city.districts),
    )


class Served:
    """Implements `store.heartbeat.HeartbeatListener`: tells the role's health, and stops it when the database refuses.

    Who starts it anew reads the password again.
    """

    def __init__(self, health: "RoleHealth", stop: threading.Event) -> None:
        self.stop = stop
        self.refusal: OperatorError | None = None
        self._health = health

    def report(self, failure: str | None) -> None:
        self._health.report(failure)

    def refused(self, error: "OperatorError") -> None:
        self.refusal = error
        self.stop.set()


def run(app: "FastAPI", listening: "Listening", served: Served) -> None:
    """Serve until it is stopped. Raises `store.database.DatabaseRefused`."""
    from api.serving import BoundedServer

    server = BoundedServer(app, listening, log_level=settings().log_level.lower())
    lifecycle.stop_when(served.stop, lambda: setattr(server, "should_exit", True))
    server.run()
    if served.refusal is not None:
        raise served.refusal


def named(text: str | None) -> tuple[str, ...]:
    """The names in a setting that lists them with commas."""
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


def networks(text: str | None) -> "tuple[ProxyNetwork, ...]":
    """The networks in a setting that lists addresses or networks with commas. Raises `CommandError`."""
    try:
        return tuple(ip_network(name) for name in named(text))
    except ValueError as error:
        raise CommandError(f"SISTERCITY_EXCHANGE_PROXIES: {error}; use addresses or networks (10.0.0.0/8)") from None
