"""Conditional answers: the ETag is made from the state that an answer depends on, before the answer itself."""

import hashlib
from collections.abc import Callable

from fastapi import Request, Response
from pydantic_core import to_json

_FORMAT = 1
"""Part of every ETag: raise it when the form of answers changes."""


def etag(*state: object) -> str:
    """A weak ETag of everything that an answer depends on."""
    digest = hashlib.sha256(repr((_FORMAT, *state)).encode()).hexdigest()
    return f'W/"{digest[:32]}"'


def conditional(
    request: Request,
    tag: str,
    body: Callable[[], bytes | object],
    *,
    media_type: str = "application/json",
    cache_control: str = "private, no-cache",
) -> Response:
    """304 if the request's `If-None-Match` has this tag, else `body()`: bytes as they are, all else as JSON.

    By default only the client's own cache may keep the answer, and must revalidate it each time.
    """
    headers = {"ETag": tag, "Cache-Control": cache_control}
    if matches(request, tag):
        return Response(status_code=304, headers=headers)
    content = body()
    raw = content if isinstance(content, bytes) else to_json(content)
    return Response(raw, headers=headers, media_type=media_type)


def matches(request: Request, tag: str) -> bool:
    """Whether the request's `If-None-Match` has this tag."""
    opaque = tag.removeprefix("W/")
    header = request.headers.get("if-none-match", "")
    return any(candidate.strip().removeprefix("W/") in ("*", opaque) for candidate in header.split(","))
