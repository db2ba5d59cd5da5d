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
    from federation.city import CityFacts


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


def run(app: "FastAPI", listening: "Listening", stop: threading.Event) -> None:
    """Serve until `stop` is set."""
    from api.serving import BoundedServer

    server = BoundedServer(app, listening, log_level=settings().log_level.lower())
    lifecycle.stop_when(stop, lambda: setattr(server, "should_exit", True))
    server.run()


def named(text: str | None) -> tuple[str, ...]:
    """The names in a setting that lists them with commas."""
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


def networks(text: str | None) -> "tuple[ProxyNetwork, ...]":
    """The networks in a setting that lists addresses or networks with commas. Raises `CommandError`."""
    try:
        return tuple(ip_network(name) for name in named(text))
    except ValueError as error:
        raise CommandError(f"SISTERCITY_EXCHANGE_PROXIES: {error}; use addresses or networks (10.0.0.0/8)") from None
