"""The handlers of bodies: the cells of publications, as their hashes were made."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from api.caching import conditional, etag, matches
from api.dependencies import Snapshots
from api.exchange.access import LIMITED, WITHOUT_TOKEN, Granted
from api.exchange.pages import JSON_LINES, NOT_AGREED, Limit, answers, check_agreed
from api.exchange.plain_pages import PlainPageRoute
from api.exchange.stored_pages import StoredPages
from api.openapi import NO_DATABASE, REFUSED_PARAMETER
from api.problems import ApiProblem, documented, problem
from api.texts import Named
from store import agreed
from store.agreed import BodiesAsked, BodyPage

router = APIRouter(tags=["publications"])
pages = APIRouter(route_class=PlainPageRoute)

UNKNOWN = problem(404, "unknown-body", "No such body", "No body with this hash may be read under this agreement.")
GONE = problem(410, "gone", "Withdrawn or lost", "This body was withdrawn or lost; its entry stays.")


@pages.get(
    "/v1/bodies",
    operation_id="list_bodies",
    summary="The cells of one metric",
    response_class=Response,
    responses=answers(JSON_LINES, "Bodies, as their hashes were made, in the order of `sequence`.", paged=True)
    | documented(WITHOUT_TOKEN, NOT_AGREED, LIMITED, REFUSED_PARAMETER, NO_DATABASE),
)
async def list_bodies(
    request: Request,
    granted: Granted,
    snapshots: Snapshots,
    stored: StoredPages,
    metric: Annotated[Named, Query(description="Name of a metric that the agreement gives.")],
    after: Annotated[int, Query(ge=0, lt=2**63, description="Bodies after this sequence.")] = 0,
    limit: Limit = 100,
) -> Response:
    """One line for each body that is due, in the order of `sequence`.

    Bodies that were withdrawn or lost are left out, and so are windows from before the agreement's `since`; the page
    stops before the first body that is not due yet.
    """
    asked = BodiesAsked(granted.agreement, metric, after, limit)
    found = await stored.find(asked)
    check_agreed(granted, metric, frozenset([metric] if found.agreed else []))
    kept = None
    if not matches(request, _tag(asked, found)):
        found, kept = await stored.read(snapshots, asked, found)
        check_agreed(granted, metric, frozenset([metric] if found.agreed else []))
    granted.gives(metric, found.first, found.last)
    if kept is not None:
        granted.hashed(kept.content, kept.hash)
    answer = conditional(
        request, _tag(asked, found), lambda: b"" if kept is None else kept.content, media_type=JSON_LINES
    )
    answer.headers["Sistercity-Next"] = str(after if found.last is None else found.last)
    return answer


def _tag(asked: BodiesAsked, found: BodyPage) -> str:
    return etag("bodies", found.log, asked.metric, asked.after, found.content)


router.include_router(pages)


@router.get(
    "/v1/bodies/{hash}",
    operation_id="get_body",
    summary="One body",
    response_class=Response,
    responses=answers("application/json", "The body, as its hash was made.")
    | documented(
        WITHOUT_TOKEN,
        (404, "There is no such body under this agreement.", UNKNOWN),
        (410, "It was withdrawn or lost.", GONE),
        LIMITED,
        REFUSED_PARAMETER,
        NO_DATABASE,
    ),
)
def get_body(
    request: Request,
    granted: Granted,
    snapshots: Snapshots,
    hash_: Annotated[str, Path(alias="hash", pattern="^[0-9a-f]{64}$", description="The entry's `body`.")],
) -> Response:
    """A body by its SHA-256, which never changes."""
    with snapshots.snapshot() as connection:
        found = agreed.body(connection, granted.agreement, hash_)
    if found is None:
        raise ApiProblem(404, "unknown-body", "No such body", UNKNOWN.detail or "")
    granted.gives(found.metric, found.sequence, found.sequence)
    content = found.content
    if content is None:
        raise ApiProblem(410, "gone", "Withdrawn or lost", GONE.detail or "")
    return conditional(request, etag("body", hash_), lambda: content)
