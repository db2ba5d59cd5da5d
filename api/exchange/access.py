"""Who may read: a handler that reads for a partner has `Granted` in its signature."""

from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

from fastapi import Depends, Request, Response
from prometheus_client import Counter

from api.building import CityAPI
from api.exchange.accounting import PASSAGE, Accounting
from api.exchange.gate import Crowded, Gate, Passage
from api.problems import RETRY_AFTER_S, answer, problem
from federation.access.quotas import LimitReached
from store.access import Access

UNAUTHORIZED = problem(401, "invalid-token", "Get another token", "The token is missing, unknown, over or revoked.")
TOO_MUCH = problem(429, "limit-reached", "A limit of the agreement is reached", "Try again after `Retry-After`.")
CROWDED = problem(503, "crowded", "Try again later", "Too many are waiting whose tokens are not known yet.")
WITHOUT_TOKEN = (401, "The token is missing, unknown, over, or its agreement is not in force.", UNAUTHORIZED)
LIMITED = (429, "A limit of the agreement is reached; `Retry-After` holds the seconds to wait.", TOO_MUCH)
_CHALLENGE = {"WWW-Authenticate": 'Bearer error="invalid_token"'}


REQUESTS = Counter(
    "sistercity_exchange_requests", "Requests under an agreement: granted, without a valid token, limited.", ["outcome"]
)


GRANTED = REQUESTS.labels("granted")
T = TypeVar("T")


class NotGranted(Exception):
    """No token, or one that opens nothing."""


class Grant:
    """What a handler knows of whom it reads for: the hash of the token, the id of the agreement, the other city's
    thumbprint, and whether they witness each other's heads.
    """

    def __init__(self, passage: Passage) -> None:
        self._passage = passage
        self.key = passage.key
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
    passage = await gate.enter(_token(request))
    if passage is None:
        raise NotGranted
    grant = _granted(request, passage)
    await passage.take_turn()
    return grant


async def grant_asking(request: Request, ask: Callable[[bytes], Awaitable[tuple[Access, T] | None]]) -> tuple[Grant, T]:
    """The same, and what `ask` gives for the token's hash beside its agreement, in one statement."""
    gate: Gate = request.app.state.gate
    entered = await gate.enter_asking(_token(request), ask)
    if entered is None:
        raise NotGranted
    passage, found = entered
    return _granted(request, passage), found


def bearer(authorization: str) -> str | None:
    """The token in this header's value; None if there is none."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token else None


def _token(request: Request) -> str:
    token = bearer(request.headers.get("authorization", ""))
    if token is None:
        raise NotGranted
    return token


def _granted(request: Request, passage: Passage) -> Grant:
    request.scope[PASSAGE] = passage
    GRANTED.inc()
    return Grant(passage)


Granted = Annotated[Grant, Depends(grant_of)]
"""The agreement that this request reads under. 401 without one, 429 where a limit is reached."""


def install(app: CityAPI, gate: Gate) -> None:
    """Make `Granted` ask this gate, its refusals problems, and every answer accounted for."""
    app.state.gate = gate
    app.wrap(lambda inside: Accounting(inside, gate))

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
