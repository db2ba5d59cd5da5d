"""`sistercity serve`: the federated API of the city."""

from typing import Annotated

import typer

from node import lifecycle, wiring
from node.settings import settings


def serve(
    host: Annotated[str, typer.Option(help="a loopback address; signatures and agreements come later")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8080,
) -> None:
    """Serve the city's publications to partners, until stopped. Binds to loopback only.

    In a container (SISTERCITY_SERVE_IN_CONTAINER=true) 0.0.0.0 and :: are allowed: whoever reaches the port reads all.
    """
    import uvicorn

    from api.own.app import create_own_api
    from api.own.binding import check_host
    from federation.city import CityFacts

    check_host(host, contained=settings().serve_in_container)
    stop = lifecycle.start("serve")
    city = wiring.city()
    facts = CityFacts(
        id=city.id,
        name=city.name,
        names=dict(city.names),
        country=city.country,
        zone=city.zone,
        population=city.population,
        sources=city.sources,
        districts=len(city.districts),
    )
    app = create_own_api(facts, wiring.database_url())
    config = uvicorn.Config(app, host=host, port=port, log_level=settings().log_level.lower(), access_log=False)
    server = uvicorn.Server(config)
    lifecycle.stop_when(stop, lambda: setattr(server, "should_exit", True))
    server.run()
