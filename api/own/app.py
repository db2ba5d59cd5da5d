"""The city's own side, as an ASGI app: its page, its figures, and the registry of its schemas."""

from collections.abc import Collection

from fastapi import FastAPI

from api import catalog, health
from api.building import build
from api.door import LOOPBACK_HOSTS
from api.own import compare, received, series
from api.own.page import routes as page
from api.own.registry import routes as registry
from api.own.registry.subjects import Subjects
from federation.city import CityFacts
from store.database import DatabaseUrl
from store.heartbeat import HeartbeatListener

_DESCRIPTION = """
What a city publishes to its partners: aggregates that passed a disclosure rule, and nothing else.

Begin with the catalogue, then read the series of a metric. Partners follow all that is published, signed, at the other
door. Times are RFC 3339 in UTC. Amounts are exact whole
numbers of a metric's smallest unit; they need 64 bits. Every error is an RFC 9457 problem: tell them apart by `type`.
Only the schema registry has its own protocol, with its own errors, for stock clients.
Fields may be added to answers (never to a cell): ignore those that you don't know.
"""

_TAGS = [
    {"name": "catalogue", "description": "What the city publishes, and what it means."},
    {"name": "series", "description": "One metric over time."},
    {"name": "compare", "description": "This city and its partners, from the copies that are stored here."},
    {"name": "schemas", "description": "The schemas of the city's topics, as a read-only Confluent schema registry."},
    {"name": "node", "description": "For those who run the node."},
]
ROUTERS = (
    *(catalog.router, series.router, health.router),
    *(compare.router, received.router, registry.router, page.router),
)


_LONGEST_BODY = 1 << 21
"""Longer than the longest schema that the registry looks at, which answers in its own words."""


def create_own_api(
    city: CityFacts,
    database_url: DatabaseUrl,
    hosts: Collection[str] = LOOPBACK_HOSTS,
    listener: HeartbeatListener | None = None,
) -> FastAPI:
    """The own side of `city`, reading the database at `database_url` (migrated before).

    Starts without the database too, and answers 503 until that is there. Bind it to loopback only, see
    `api.own.binding`. `hosts`: the names under which it is reached; a page of another site can't read it under its own.
    `listener` is that of `Heartbeat`.
    """
    app = build(
        city, database_url, ROUTERS, _DESCRIPTION, _TAGS, hosts=hosts, longest_body=_LONGEST_BODY, listener=listener
    )
    app.state.subjects = Subjects(city.id)
    return app
