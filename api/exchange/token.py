"""The handler that issues tokens (RFC 6749 section 4.4 with assertions of RFC 7523 section 2.2)."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import Counter

from api.exchange.gate import Gate
from federation.access.assertion import BadAssertion
from federation.access.quotas import LimitReached
from federation.access.tokens import TOKEN_LIFE_S, UnknownAgreement

_FORM = "application/x-www-form-urlencoded"
_LONGEST_BODY = 16_384
_MOST_FIELDS = 16
_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_NOT_KEPT = {"Cache-Control": "no-store", "Pragma": "no-cache"}

TOKENS = Counter(
    "sistercity_exchange_token_requests", "Requests for a token, by the status of the answer.", ["outcome"]
)

router = APIRouter()


class TokenRefused(Exception):
    """The request for a token is answered with an error of RFC 6749 section 5.2."""

    def __init__(self, error: str, description: str, status: int = 400) -> None:
        super().__init__(description)
        self.error = error
        self.status = status


def _example(content: Mapping[str, object]) -> dict[str, Any]:
    return {"application/json": {"example": content}}


@router.post(
    "/v1/token",
    operation_id="issue_token",
    tags=["access"],
    summary="A token, for an assertion that a city has signed",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                _FORM: {
                    "schema": {
                        "type": "object",
                        "required": ["grant_type", "client_assertion_type", "client_assertion", "scope"],
                        "properties": {
                            "grant_type": {"const": "client_credentials"},
                            "client_assertion_type": {"const": _ASSERTION_TYPE},
                            "client_assertion": {"type": "string", "description": "The signed assertion, used once."},
                            "scope": {"type": "string", "description": "The id of the agreement."},
                        },
                    }
                }
            },
        }
    },
    responses={
        200: {
            "content": _example({"access_token": "...", "token_type": "Bearer", "expires_in": 900, "scope": "..."}),
        },
        400: {"description": "The request or its scope.", "content": _example({"error": "invalid_scope"})},
        401: {"description": "The assertion proves nothing.", "content": _example({"error": "invalid_client"})},
        413: {"description": "The form is too long.", "content": _example({"error": "invalid_request"})},
        429: {"description": "Too many tokens.", "content": _example({"error": "temporarily_unavailable"})},
        503: {"description": "The node's database does not answer; `Retry-After` holds the seconds to wait."},
    },
)
async def issue_token(request: Request) -> Response:
    """Ask with an assertion that your `access` key has signed for this city's thumbprint; it is taken once.

    The token reads what the agreement in `scope` gives, for 15 minutes, unless the agreement is revoked before.
    """
    answer = await _answer(request)
    TOKENS.labels(str(answer.status_code)).inc()
    return answer


async def _answer(request: Request) -> Response:
    gate: Gate = request.app.state.gate
    try:
        form = _form(request, await _body(request))
        agreement = form["scope"]
        token = await gate.token(form["client_assertion"], agreement)
    except TokenRefused as error:
        return _refused(error.status, error.error, str(error))
    except BadAssertion as error:
        return _refused(401, "invalid_client", f"{error.reason}: {error}", {"WWW-Authenticate": "Bearer"})
    except UnknownAgreement:
        return _refused(400, "invalid_scope", "there is no agreement of this id with you in force")
    except LimitReached as error:
        after = {"Retry-After": str(error.retry_after_s)}
        return _refused(429, "temporarily_unavailable", str(error), after)
    content = {"access_token": token, "token_type": "Bearer", "expires_in": TOKEN_LIFE_S, "scope": agreement}
    return JSONResponse(content, headers=_NOT_KEPT)


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > _LONGEST_BODY:
            raise TokenRefused("invalid_request", f"the form is longer than {_LONGEST_BODY} bytes", 413)
    return bytes(body)


def _form(request: Request, body: bytes) -> dict[str, str]:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        raise TokenRefused("invalid_request", f"send the fields as {_FORM}")
    try:
        pairs = parse_qsl(body.decode("ascii"), strict_parsing=True, errors="strict", max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise TokenRefused("invalid_request", "the form can't be read") from None
    form = dict(pairs)
    if len(form) != len(pairs):
        raise TokenRefused("invalid_request", "a field is there twice")
    if "grant_type" in form and form["grant_type"] != "client_credentials":
        raise TokenRefused("unsupported_grant_type", "grant_type must be client_credentials")
    if form.get("client_assertion_type") != _ASSERTION_TYPE:
        raise TokenRefused("invalid_request", f"client_assertion_type must be {_ASSERTION_TYPE}")
    missing = {"grant_type", "client_assertion", "scope"} - form.keys()
    if missing:
        raise TokenRefused("invalid_request", f"{', '.join(sorted(missing))} must be there")
    if not form["scope"].isascii() or not form["scope"].isprintable():
        raise TokenRefused("invalid_scope", "scope must be the id of an agreement")
    return form


def _refused(status: int, error: str, description: str, headers: Mapping[str, str] | None = None) -> Response:
    content = {"error": error, "error_description": description}
    return JSONResponse(content, status, {**_NOT_KEPT, **(headers or {})})
