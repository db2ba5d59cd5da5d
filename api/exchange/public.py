"""The handlers of what everyone may read: who the city is, and its catalogues by their hash."""

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from api.caching import conditional, etag
from api.dependencies import Snapshots
from api.exchange.pages import JOSE, answers
from api.openapi import NO_DATABASE, REFUSED_PARAMETER
from api.problems import ApiProblem, documented, problem
from store import agreed

router = APIRouter(tags=["catalogue"])

NO_IDENTITY = problem(404, "no-identity", "No identity yet", "This city has not published its identity yet.")
UNKNOWN_CATALOGUE = problem(404, "unknown-catalogue", "No such catalogue", "No entry names a catalogue of this hash.")


@router.get(
    "/v1/identity",
    operation_id="get_identity",
    summary="Who the city is",
    response_class=Response,
    responses=answers(JOSE, "The identity document, or its revocation, as compact JWS.")
    | documented((404, "There is none yet.", NO_IDENTITY), NO_DATABASE),
)
def get_identity(request: Request, snapshots: Snapshots) -> Response:
    """The city's identity document: its names, addresses and online keys, signed by its identity key. Public."""
    with snapshots.snapshot() as connection:
        document = agreed.own_identity(connection)
    if document is None:
        raise ApiProblem(404, "no-identity", "No identity yet", NO_IDENTITY.detail or "")
    return conditional(request, etag("identity", document), document.encode, media_type=JOSE)


@router.get(
    "/v1/catalogues/{hash}",
    operation_id="get_catalogue",
    summary="A metric's definition by its hash",
    response_class=Response,
    responses=answers("application/json", "The definition, as its hash was made.")
    | documented((404, "There is none.", UNKNOWN_CATALOGUE), REFUSED_PARAMETER, NO_DATABASE),
)
def get_catalogue(
    request: Request,
    snapshots: Snapshots,
    hash_: Annotated[str, Path(alias="hash", pattern="^[0-9a-f]{64}$", description="The entry's `catalogue`.")],
) -> Response:
    """The definition that was in force when an entry was made. It never changes. Public."""
    with snapshots.snapshot() as connection:
        content = agreed.catalogue(connection, hash_)
    if content is None:
        raise ApiProblem(404, "unknown-catalogue", "No such catalogue", UNKNOWN_CATALOGUE.detail or "")
    return conditional(request, etag("catalogue", hash_), lambda: content)
