"""`sistercity serve`: the city's own side."""

from typing import Annotated

import typer

from node import lifecycle, serving, wiring
from node.health import RoleHealth
from node.settings import settings


def serve(
    host: Annotated[str, typer.Option(help="a loopback address")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8080,
) -> None:
    """Serve the city's own side, until stopped: its page, figures, schemas. Binds to loopback only.

    In a container (SISTERCITY_SERVE_IN_CONTAINER=true) 0.0.0.0 and :: are allowed: whoever reaches the port reads all.
    Partners are served by `serve-partners`.
    """
    from api.door import LOOPBACK_HOSTS
    from api.own.app import create_own_api
    from api.own.binding import check_host
    from api.serving import Listening

    check_host(host, contained=settings().serve_in_container)
    health = RoleHealth("serve")
    served = serving.Served(health, lifecycle.start("serve", health))
    hosts = (*LOOPBACK_HOSTS, *serving.named(settings().own_hosts))
    app = create_own_api(serving.facts(), wiring.database_url(), hosts, served)
    serving.run(app, Listening(host, port), served)
