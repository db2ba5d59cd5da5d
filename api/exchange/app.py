"""The API that partner cities read, as an ASGI app."""

from fastapi import FastAPI

from api import catalog, health, series
from api.building import build
from api.exchange import access, audit, publications, token
from api.exchange.gate import Gate
from federation.city import CityFacts

_DESCRIPTION = """
What a city publishes to its partners: aggregates that passed a disclosure rule, and nothing else.

Begin with the catalogue, then follow the log of publications. Times are RFC 3339 in UTC. Amounts are exact whole
numbers of a metric's smallest unit; they need 64 bits. Every error is an RFC 9457 problem: tell them apart by `type`.
Fields may be added to answers (never to a cell): ignore those that you don't know.
"""

_TAGS = [
    {"name": "catalogue", "description": "What the city publishes, and what it means."},
    {"name": "publications", "description": "Everything, in the order in which it was published."},
    {"name": "series", "description": "One metric over time."},
    {"name": "access", "description": "Tokens, and what was given for them."},
    {"name": "node", "description": "For those who run the node."},
]
ROUTERS = (catalog.router, publications.router, series.router, token.router, audit.router, health.router)


def create_partner_api(city: CityFacts, database_url: str) -> FastAPI:
    """The API for the partners of `city`, reading the database at `database_url` (migrated before).

    Starts without the database too, and answers 503 until that is there.
    """
    gate = Gate(database_url)
    app = build(city, database_url, ROUTERS, _DESCRIPTION, _TAGS, [gate])
    access.install(app, gate)
    return app
