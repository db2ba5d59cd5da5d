"""The handlers of what a city says in small: entries of its chains, and the signed head over them."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from api.caching import conditional, etag
from api.cursors import BadCursor, cursor, place
from api.dependencies import Snapshots
from api.exchange.access import LIMITED, WITHOUT_TOKEN, Granted
from api.exchange.pages import JOSE, JSON_LINES, Limit, answers, page
from api.openapi import NO_DATABASE, REFUSED_PARAMETER
from api.problems import ApiProblem, documented, problem
from store import agreed

router = APIRouter(tags=["publications"])

BAD_CURSOR = problem(
    400, "bad-cursor", "Not a cursor", "this is not a cursor: use the `Sistercity-Next` of an earlier answer as it was"
)
LOG_CHANGED = problem(
    410,
    "log-changed",
    "This cursor's log is gone",
    "Start again without `after`: the log that the cursor belongs to is not the one that is served.",
)
NO_HEAD = problem(404, "no-head", "No head yet", "This city has not signed a head yet.")


@router.get(
    "/v1/head",
    operation_id="get_head",
    summary="The signed head over all chains",
    response_class=Response,
    responses=answers(JOSE, "A head as compact JWS, see docs/wire.md.")
    | documented(WITHOUT_TOKEN, (404, "Nothing was signed yet.", NO_HEAD), LIMITED, NO_DATABASE),
)
def get_head(request: Request, granted: Granted, snapshots: Snapshots) -> Response:
    """The newest head: it names the last entry of every metric, and vouches for all before it."""
    with snapshots.snapshot() as connection:
        head = agreed.newest_head(connection)
    if head is None:
        raise ApiProblem(404, "no-head", "No head yet", NO_HEAD.detail or "")
    granted.gives(None)
    return conditional(request, etag("head", head), head.encode, media_type=JOSE)


@router.get(
    "/v1/entries",
    operation_id="list_entries",
    summary="Follow everything that the city publishes",
    response_class=Response,
    responses=answers(JSON_LINES, "Entries of the agreed metrics, as their hashes were made.", paged=True)
    | documented(
        WITHOUT_TOKEN,
        (400, "`after` is not a cursor.", BAD_CURSOR),
        (410, "The cursor belongs to another log: start again without `after`.", LOG_CHANGED),
        LIMITED,
        REFUSED_PARAMETER,
        NO_DATABASE,
    ),
)
def list_entries(
    request: Request,
    granted: Granted,
    snapshots: Snapshots,
    after: Annotated[
        str | None, Query(description="The `Sistercity-Next` of the last page. Without it, from the start.")
    ] = None,
    limit: Limit = 100,
) -> Response:
    """One line for each publication of an agreed metric, in the order in which they were made; none comes in later.

    Keep `Sistercity-Next` together with what you store, and ask again with `after`: you miss nothing and get nothing
    twice. At the end of the log the page is empty.
    """
    with snapshots.snapshot() as connection:
        log = agreed.log_state(connection)
        lines, position = agreed.entries(connection, granted.agreement, _position(after, log.id), limit)
    granted.gives(None)
    return page(request, etag("entries", log.id, *lines), lambda: lines, cursor(log.id, position))


def _position(after: str | None, log: str) -> int:
    if after is None:
        return 0
    try:
        identity, position = place(after)
    except BadCursor:
        raise ApiProblem(400, "bad-cursor", "Not a cursor", BAD_CURSOR.detail or "") from None
    if identity != log:
        raise ApiProblem(410, "log-changed", "This cursor's log is gone", LOG_CHANGED.detail or "")
    return min(position, 2**63 - 1)
