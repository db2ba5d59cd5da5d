"""Conditional answers: the ETag is made from the state that an answer depends on, before the answer itself."""

import hashlib
from collections.abc import Callable, Sequence

from fastapi import Request, Response
from pydantic_core import to_json

_FORMAT = 1
"""Part of every ETag: raise it when the form of answers changes."""
_PRIVATE = "private, no-cache"


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
    cache_control: str = _PRIVATE,
) -> Response:
    """304 if the request's `If-None-Match` has this tag, else `body()`: bytes as they are, all else as JSON.

    By default only the client's own cache may keep the answer, and must revalidate it each time.
    """
    if matches(request, tag):
        return tagged(tag, None, cache_control=cache_control)
    content = body()
    raw = content if isinstance(content, bytes) else to_json(content)
    return tagged(tag, raw, media_type=media_type, cache_control=cache_control)


def tagged(
    tag: str,
    content: bytes | None,
    *,
    media_type: str = "application/json",
    cache_control: str = _PRIVATE,
    headers: Sequence[tuple[bytes, bytes]] = (),
) -> Response:
    """An answer with this ETag; None is the content that the client has: 304. Names of `headers` in lower case."""
    answer = Response(status_code=304) if content is None else Response(content, media_type=media_type)
    answer.raw_headers += [(b"etag", tag.encode()), (b"cache-control", cache_control.encode()), *headers]
    return answer


def matches(request: Request, tag: str) -> bool:
    """Whether the request's `If-None-Match` has this tag."""
    return names(request.headers.get("if-none-match", ""), tag)


def names(if_none_match: str, tag: str) -> bool:
    """Whether the value of an `If-None-Match` has this tag."""
    opaque = tag.removeprefix("W/")
    return any(candidate.strip().removeprefix("W/") in ("*", opaque) for candidate in if_none_match.split(","))
