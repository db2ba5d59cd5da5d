"""The handlers of bodies: the cells of publications, as their hashes were made."""

from functools import lru_cache
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from api.caching import conditional, etag, matches, tagged
from api.dependencies import Snapshots
from api.exchange.access import LIMITED, WITHOUT_TOKEN, Grant, Granted, NotGranted, grant_asking
from api.exchange.pages import JSON_LINES, NOT_AGREED, Limit, answers, check_agreed
from api.exchange.stored_pages import PageReader, StoredPages
from api.openapi import NO_DATABASE, REFUSED_PARAMETER
from api.problems import ApiProblem, documented, problem
from api.snapshots import SnapshotPool
from api.texts import Named
from store import agreed
from store.agreed import BodiesAsked, BodyPage, PageAsked

router = APIRouter(tags=["publications"])

UNKNOWN = problem(404, "unknown-body", "No such body", "No body with this hash may be read under this agreement.")
GONE = problem(410, "gone", "Withdrawn or lost", "This body was withdrawn or lost; its entry stays.")


@router.get(
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
    found = await stored.find(PageAsked(granted.key, metric, after, limit))
    if found is None:
        raise NotGranted
    return await _answer(
        request, granted, snapshots, stored, BodiesAsked(granted.agreement, metric, after, limit), found[1]
    )


async def plain_bodies(request: Request, metric: str, after: int, limit: int) -> Response:
    """The same for a query that was read already; token and page are asked for in one statement."""
    state = request.app.state
    stored: PageReader = state.bodies
    granted, found = await grant_asking(request, lambda key: stored.find(PageAsked(key, metric, after, limit)))
    asked = BodiesAsked(granted.agreement, metric, after, limit)
    return await _answer(request, granted, state.snapshots, stored, asked, found)


async def _answer(
    request: Request,
    granted: Grant,
    snapshots: SnapshotPool,
    stored: PageReader,
    asked: BodiesAsked,
    found: BodyPage,
) -> Response:
    """The page that was found: 304, or its bytes."""
    _check(granted, asked, found)
    tag, content = page_tag(asked, found), None
    if not matches(request, tag):
        page, kept = await stored.read(snapshots, asked, found)
        if page is not found:
            _check(granted, asked, page)
            found, tag = page, page_tag(asked, page)
        content = kept.content
        granted.hashed(content, kept.hash)
    granted.gives(asked.metric, found.first, found.last)
    return told(asked, found, tag, content)


def told(asked: BodiesAsked, page: BodyPage, tag: str, content: bytes | None) -> Response:
    """The answer with a page; None is the content that the client has: 304."""
    following = str(asked.after if page.last is None else page.last).encode()
    return tagged(tag, content, media_type=JSON_LINES, headers=[(b"sistercity-next", following)])


def _check(granted: Grant, asked: BodiesAsked, found: BodyPage) -> None:
    check_agreed(granted, asked.metric, frozenset([asked.metric] if found.agreed else []))


def page_tag(asked: BodiesAsked, found: BodyPage) -> str:
    """The ETag of a page."""
    return _tag(found.log, asked.metric, asked.after, found.content)


@lru_cache(maxsize=10_000)
def _tag(log: str, metric: str, after: int, content: str) -> str:
    return etag("bodies", log, metric, after, content)


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
