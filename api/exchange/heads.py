"""The handler by which partners learn what this city has seen of another."""

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from api.caching import etag
from api.dependencies import Snapshots
from api.exchange.access import LIMITED, WITHOUT_TOKEN, Granted
from api.exchange.pages import JSON_LINES, answers, lines
from api.openapi import NO_DATABASE, REFUSED_PARAMETER
from api.problems import ApiProblem, documented, problem
from store import agreed

router = APIRouter(tags=["publications"])

NO_WITNESS = problem(403, "no-witness", "Not agreed", "The agreement does not make the two cities witnesses.")


@router.get(
    "/v1/heads/{thumbprint}",
    operation_id="list_seen_heads",
    summary="Heads that were seen of another city",
    response_class=Response,
    responses=answers(JSON_LINES, "Heads as compact JWS, one a line, the newest first, at most 10.")
    | documented(
        WITHOUT_TOKEN,
        (403, "`witness` is not agreed.", NO_WITNESS),
        LIMITED,
        REFUSED_PARAMETER,
        NO_DATABASE,
    ),
)
def list_seen_heads(
    request: Request,
    granted: Granted,
    snapshots: Snapshots,
    thumbprint: Annotated[
        str, Path(pattern="^[A-Za-z0-9_-]{43}$", description="Thumbprint of the other city's identity key.")
    ],
) -> Response:
    """Compare them with the heads that you have: a city that tells two stories has signed both."""
    if not granted.witness:
        raise ApiProblem(403, "no-witness", "Not agreed", NO_WITNESS.detail or "")
    with snapshots.snapshot() as connection:
        seen = agreed.seen_heads(connection, granted.agreement, thumbprint)
    granted.gives(None)
    return lines(request, etag("seen", thumbprint, *seen), lambda: (head.encode() for head in seen))
