"""The handler that says whether the node can answer."""

from fastapi import APIRouter, Response

from api.dependencies import Snapshots
from api.openapi import NO_DATABASE, shown
from api.problems import documented
from federation.wire import Health
from store import publication_log

router = APIRouter()


@router.get(
    "/healthz",
    operation_id="health",
    tags=["node"],
    summary="Whether the node can answer",
    response_model=Health,
    responses=shown({"status": "ok"}) | documented(NO_DATABASE),
)
def health(response: Response, snapshots: Snapshots) -> Health:
    """For containers and load balancers: 200 if the database answers, else 503."""
    with snapshots.snapshot() as connection:
        publication_log.log_state(connection)
    response.headers["Cache-Control"] = "no-store"
    return Health(status="ok")
