"""The handler that says whether the node can answer."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from api.openapi import NO_DATABASE, shown
from api.problems import RETRY_AFTER_S, UNAVAILABLE, answer, documented
from federation.wire import Health
from store.heartbeat import Heartbeat

router = APIRouter()


async def _heartbeat(request: Request) -> Heartbeat:
    heartbeat: Heartbeat = request.app.state.heartbeat
    return heartbeat


# A coroutine, so that it waits for no thread and for no connection that other requests hold.
@router.get(
    "/healthz",
    operation_id="health",
    tags=["node"],
    summary="Whether the node can answer",
    response_model=Health,
    responses=shown({"status": "ok"}) | documented(NO_DATABASE),
)
async def health(heartbeat: Annotated[Heartbeat, Depends(_heartbeat)]) -> Response:
    """For containers and load balancers: 200 if the database answered when it was asked last, else 503.

    It is asked every 2 seconds, whoever asks for this.
    """
    if not await heartbeat.alive():
        return answer(UNAVAILABLE, {"Retry-After": str(RETRY_AFTER_S)})
    return Response('{"status":"ok"}', headers={"Cache-Control": "no-store"}, media_type="application/json")
