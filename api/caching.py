"""Conditional answers: an ETag from the state that an answer depends on, before the answer is made."""

import hashlib
from collections.abc import Callable

from fastapi import Request, Response
from pydantic_core import to_json

_FORMAT = 1
"""Part of every ETag: raise it when the same state is told in another form."""


def etag(*state: object) -> str:
    """A weak ETag of everything that an answer depends on."""
    digest = hashlib.sha256(repr((_FORMAT, *state)).encode()).hexdigest()
    return f'W/"{digest[:32]}"'


def conditional(
    request: Request,
    tag: str,
    body: Callable[[], object],
    *,
    media_type: str = "application/json",
    cache_control: str = "no-cache",
) -> Response:
    """304 if the client has this state already, else `body()` as JSON.

    Caches may keep it; unless `cache_control` says otherwise they must ask each time.
    """
    headers = {"ETag": tag, "Cache-Control": cache_control}
    if _matches(request.headers.get("if-none-match", ""), tag):
        return Response(status_code=304, headers=headers)
    return Response(to_json(body()), headers=headers, media_type=media_type)


def _matches(wanted: str, tag: str) -> bool:
    opaque = tag.removeprefix("W/")
    return any(one.strip() == "*" or one.strip().removeprefix("W/") == opaque for one in wanted.split(","))
