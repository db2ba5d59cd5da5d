"""The handler of the log of publications."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from api import examples, rendering
from api.caching import conditional, etag
from api.cursors import BadCursor, cursor, place
from api.dependencies import OwnCity, Snapshots
from api.openapi import NO_DATABASE, REFUSED_PARAMETER, conditionally
from api.problems import ApiProblem, documented
from federation.city import CityFacts
from federation.wire import MOST_CELLS, MOST_PUBLICATIONS, PublicationPage
from schemas.catalogue import catalogue
from store import publication_log
from store.database import Connection
from store.publication_log import LogState

After = Annotated[
    str | None,
    Query(description="The `next` of the last page that was read. Without it, the log is read from its start."),
]
Limit = Annotated[
    int,
    Query(
        ge=1,
        le=MOST_PUBLICATIONS,
        description="How many publications at most. A page may hold fewer, to stay below 100,000 cells; the log ends"
        " with an empty page.",
    ),
]

router = APIRouter()


@router.get(
    "/v1/publications",
    operation_id="list_publications",
    tags=["publications"],
    summary="Follow everything that the city publishes",
    response_model=PublicationPage,
    responses=conditionally(examples.PAGE)
    | documented(
        (400, "`after` is not a cursor.", examples.BAD_CURSOR),
        (410, "The cursor belongs to another log: start again without `after`.", examples.LOG_CHANGED),
        REFUSED_PARAMETER,
        NO_DATABASE,
    ),
)
def list_publications(
    request: Request, city: OwnCity, snapshots: Snapshots, after: After = None, limit: Limit = 100
) -> Response:
    """Publications in the order in which they were made; nothing is ever inserted before what you have read.

    Keep `next` together with what you store, and ask again with `after=<next>`: you miss nothing and get nothing
    twice. At the end of the log the page is empty; ask again with its ETag in `If-None-Match`: 304 means that
    nothing is new. Per metric, `sequence` has no gap: if one is missing, a publication was lost on the way.
    """
    with snapshots.snapshot() as connection:
        log = publication_log.log_state(connection)
        position = _position(after, log)
        tag = etag("publications", city.id, log, position, limit)
        return conditional(request, tag, lambda: _page(city, connection, log, position, limit))


def _position(after: str | None, log: LogState) -> int:
    if after is None:
        return 0
    try:
        identity, position = place(after)
    except BadCursor as error:
        raise ApiProblem(400, "bad-cursor", "Not a cursor", str(error)) from None
    if identity != log.id:
        raise ApiProblem(410, "log-changed", "This cursor's log is gone", examples.LOG_CHANGED.detail or "")
    return position


def _page(city: CityFacts, connection: Connection, log: LogState, position: int, limit: int) -> rendering.Json:
    publications = publication_log.after(connection, position, limit, MOST_CELLS)
    return {
        "city": city.id,
        "log": log.id,
        "publications": [
            rendering.publication(header, columns, catalogue()[header.metric].smallest_unit)
            for header, columns in publications
        ],
        "next": cursor(log.id, publications[-1][0].position if publications else position),
    }
