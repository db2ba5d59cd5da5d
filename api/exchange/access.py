"""Who may read: a handler that reads for a partner has `Granted` in its signature."""

from typing import Annotated

from fastapi import Depends, FastAPI, Request, Response
from prometheus_client import Counter

from api.exchange.accounting import PASSAGE, Accounting
from api.exchange.gate import Crowded, Gate, Passage
from api.problems import RETRY_AFTER_S, answer, problem
from federation.access.quotas import LimitReached

UNAUTHORIZED = problem(401, "invalid-token", "Get another token", "The token is missing, unknown, over or revoked.")
TOO_MUCH = problem(429, "limit-reached", "A limit of the agreement is reached", "Try again after `Retry-After`.")
CROWDED = problem(503, "crowded", "Try again later", "Too many are waiting whose tokens are not known yet.")
WITHOUT_TOKEN = (401, "The token is missing, unknown, over, or its agreement is not in force.", UNAUTHORIZED)
LIMITED = (429, "A limit of the agreement is reached; `Retry-After` holds the seconds to wait.", TOO_MUCH)
_CHALLENGE = {"WWW-Authenticate": 'Bearer error="invalid_token"'}


REQUESTS = Counter(
    "sistercity_exchange_requests", "Requests under an agreement: granted, without a valid token, limited.", ["outcome"]
)


class NotGranted(Exception):
    """No token, or one that opens nothing."""


class Grant:
    """What a handler knows of whom it reads for: the id of the agreement, the other city's thumbprint, and whether they
    witness each other's heads.
    """

    def __init__(self, passage: Passage) -> None:
        self._passage = passage
        self.agreement = passage.access.agreement
        self.partner = passage.access.partner
        self.witness = passage.access.witness

    def gives(self, metric: str | None, first: int | None = None, last: int | None = None) -> None:
        """Tell the audit what the answer holds: sequences `first` to `last` of a metric."""
        self._passage.metric, self._passage.first, self._passage.last = metric, first, last

    def hashed(self, content: bytes, hash_: str) -> None:
        """Tell the audit the SHA-256 of an answer's content, for an answer that holds this very object."""
        self._passage.hashed = (content, hash_)


async def grant_of(request: Request) -> Grant:
    """What this request may read under. Raises `NotGranted`, `LimitReached`, `Crowded`, `psycopg.OperationalError`."""
    gate: Gate = request.app.state.gate
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise NotGranted
    passage = await gate.enter(token.strip())
    if passage is None:
        raise NotGranted
    request.scope[PASSAGE] = passage
    REQUESTS.labels("granted").inc()
    await passage.take_turn()
    return Grant(passage)


Granted = Annotated[Grant, Depends(grant_of)]
"""The agreement that this request reads under. 401 without one, 429 where a limit is reached."""


def install(app: FastAPI, gate: Gate) -> None:
    """Make `Granted` ask this gate, its refusals problems, and every answer accounted for."""
    app.state.gate = gate
    app.add_middleware(Accounting, gate=gate)

    @app.exception_handler(NotGranted)
    def without_a_token(request: Request, _: NotGranted) -> Response:
        REQUESTS.labels("without a valid token").inc()
        # RFC 6750: who sent none is not told of an error.
        sent = "authorization" in request.headers
        return answer(UNAUTHORIZED, _CHALLENGE if sent else {"WWW-Authenticate": "Bearer"})

    @app.exception_handler(LimitReached)
    def beyond_a_limit(_: Request, error: LimitReached) -> Response:
        REQUESTS.labels("limited").inc()
        told = TOO_MUCH.model_copy(update={"detail": str(error)})
        return answer(told, {"Retry-After": str(error.retry_after_s)})

    @app.exception_handler(Crowded)
    def in_a_crowd(_: Request, error: Crowded) -> Response:
        return answer(CROWDED, {"Retry-After": str(RETRY_AFTER_S)})
