"""The API that partner cities read, as an ASGI app."""

from collections.abc import Callable, Collection

from fastapi import FastAPI

from api import catalog, health
from api.building import build
from api.exchange import access, audit, bodies, entries, heads, public, series, token
from api.exchange.gate import Gate, now_ms
from api.exchange.plain_pages import PlainPages
from api.exchange.repeated_pages import RepeatedPages
from api.exchange.stored_pages import PageReader
from federation.city import CityFacts
from store.database import DatabaseUrl
from store.heartbeat import HeartbeatListener

_DESCRIPTION = """
What a city gives to the cities that it has an agreement with: aggregates that passed a disclosure rule, and nothing
else. `docs/wire.md` describes every object and its signature.

Identity and catalogue are public; for the rest, get a token. Times are RFC 3339 in UTC. Amounts are exact whole numbers
of a metric's smallest unit; they need 64 bits. Every error but those of `/v1/token` is an RFC 9457 problem: tell them
apart by `type`. Fields may be added to answers (never to a cell): ignore those that you don't know.
"""

_TAGS = [
    {"name": "catalogue", "description": "Who the city is, what it publishes, and what that means."},
    {"name": "access", "description": "Tokens, and what was given for them."},
    {"name": "publications", "description": "Everything, in the order in which it was published, to verify and keep."},
    {"name": "series", "description": "One metric over time."},
    {"name": "node", "description": "For those who run the node."},
]
ROUTERS = (
    *(public.router, catalog.router, token.router, entries.router, bodies.router, heads.router),
    *(series.router, audit.router, health.router),
)
_LONGEST_BODY = 1 << 15


def create_partner_api(
    city: CityFacts,
    database_url: DatabaseUrl,
    hosts: Collection[str] = (),
    listener: HeartbeatListener | None = None,
    clock: Callable[[], int] = now_ms,
) -> FastAPI:
    """The API for the partners of `city`, reading the database at `database_url` (migrated before).

    Starts without the database too, and answers 503 until that is there. `hosts`: the names under which partners reach
    it; none: every name. `listener` is that of `Heartbeat`. `clock` gives milliseconds since 1970, UTC.
    """
    gate, reader = Gate(database_url, clock), PageReader(database_url)
    app = build(
        *(city, database_url, ROUTERS, _DESCRIPTION, _TAGS),
        [gate, reader],
        hosts=hosts,
        longest_body=_LONGEST_BODY,
        listener=listener,
    )
    app.state.bodies = reader
    app.wrap(lambda inside: PlainPages(inside, app, "/v1/bodies", bodies.plain_bodies))
    access.install(app, gate)
    app.wrap(lambda inside: RepeatedPages(inside, gate, reader, "/v1/bodies"))
    return app
