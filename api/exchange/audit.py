"""The handler by which a partner reads what was recorded of its own requests."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from api.caching import conditional, etag
from api.dependencies import Snapshots
from api.exchange.access import LIMITED, WITHOUT_TOKEN, Granted
from api.openapi import NO_DATABASE, REFUSED_PARAMETER
from api.problems import documented
from store.audit import audit_checkpoint, audit_head, audit_page

router = APIRouter()

_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "Audit lines: the very bytes that were hashed.", "content": {"application/jsonl": {}}},
    304: {"description": "No line has come since the state that `If-None-Match` names."},
}


@router.get(
    "/v1/audit",
    operation_id="list_audit",
    tags=["access"],
    summary="What was given under your agreement",
    response_class=Response,
    responses=_ANSWERS | documented(WITHOUT_TOKEN, LIMITED, REFUSED_PARAMETER, NO_DATABASE),
)
def list_audit(
    request: Request,
    granted: Granted,
    snapshots: Snapshots,
    after: Annotated[int, Query(ge=0, lt=2**63, description="Lines after this sequence.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000, description="How many lines at most.")] = 1000,
) -> Response:
    """One line for each answer to you, each naming the hash of the line before, so that none can be changed unseen.

    Where old lines were removed by their age, `Sistercity-Audit-Begins` names the last of them, from whose hash the
    chain goes on. Keep `Sistercity-Audit` of the answers that you got: what it names must be here, or removed. Requests
    for the audit itself, and those that were refused by their token or a limit, are not recorded.
    """
    with snapshots.snapshot() as connection:
        head = audit_head(connection, granted.agreement)
        checkpoint = audit_checkpoint(connection, granted.agreement)
        lines = audit_page(connection, granted.agreement, after, limit)
    begins = 0 if checkpoint is None else checkpoint.sequence
    headers = {"Sistercity-Next": str((max(after, begins) if lines else after) + len(lines))}
    if checkpoint is not None:
        headers["Sistercity-Audit-Begins"] = f"{checkpoint.sequence} {checkpoint.hash}"
    if head is not None:
        headers["Sistercity-Audit"] = f"{head.sequence} {head.hash}"
    tag = etag("audit", granted.agreement, head, begins, after, limit)
    answer = conditional(
        request,
        tag,
        lambda: b"".join(line + b"\n" for line in lines),
        media_type="application/jsonl",
        cache_control="private, no-cache",
    )
    answer.headers.update(headers)
    return answer
