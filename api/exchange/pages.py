"""Answers to partners, made of stored bytes, and how OpenAPI describes them."""

from collections.abc import Callable, Iterable
from typing import Annotated, Any

from fastapi import Query, Request, Response

from api.caching import conditional
from api.exchange.access import Grant
from api.problems import ApiProblem, problem

JSON_LINES = "application/jsonl"
JOSE = "application/jose"
MOST_LINES = 1000

NOT_AGREED = (
    403,
    "The agreement does not hold this.",
    problem(403, "not-agreed", "Not in the agreement", "'energy.import' is not given under this agreement"),
)

Limit = Annotated[
    int,
    Query(
        ge=1, le=MOST_LINES, description="How many lines at most. A page ends before 8 MiB, unless it is a single line."
    ),
]


def lines(request: Request, tag: str, stored: Callable[[], Iterable[bytes]]) -> Response:
    """Stored lines as JSON Lines, or 304."""
    return conditional(request, tag, lambda: b"".join(line + b"\n" for line in stored()), media_type=JSON_LINES)


def page(request: Request, tag: str, stored: Callable[[], Iterable[bytes]], following: str | int) -> Response:
    """The same, with the `after` of the next request."""
    answer = lines(request, tag, stored)
    answer.headers["Sistercity-Next"] = str(following)
    return answer


def check_agreed(grant: Grant, metric: str, agreed: frozenset[str]) -> None:
    """Raise a 403 unless the metric is among those that the agreement gives."""
    if metric not in agreed:
        raise ApiProblem(
            403, "not-agreed", "Not in the agreement", f"{metric!r} is not given under agreement {grant.agreement}"
        )


def answers(media_type: str, words: str, *, paged: bool = False) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's `responses` for stored bytes of this type, with an ETag, or 304."""
    headers = {"ETag": {"description": "Send it as `If-None-Match`.", "schema": {"type": "string"}}}
    if paged:
        headers["Sistercity-Next"] = {
            "description": "The `after` of the next request, now or later.",
            "schema": {"type": "string"},
        }
    return {
        200: {"description": words, "content": {media_type: {"schema": {"type": "string"}}}, "headers": headers},
        304: {"description": "Nothing has changed since the state that `If-None-Match` names."},
    }
