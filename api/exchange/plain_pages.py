"""The route of pages of bodies: a request that is plainly right is answered without the framework's reading of it.

Reading parameters and resolving dependencies takes the framework as long as finding the page. So a query that can be
read in one way only is read here; every other one, and all that is refused, goes the framework's way, which ends in the
same answer.
"""

import re
from collections.abc import Awaitable, Callable

from fastapi import Request, Response
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

_PLAIN = re.compile(rb"metric=([a-z0-9.-]{1,200})(?:&after=([0-9]{1,18}))?(?:&limit=([1-9][0-9]{0,2}|1000))?")
_AFTER, _LIMIT = 0, 100
"""What the handler takes where nothing is said."""
_QUERY = "sistercity.plain_query"


def plain_query(query: bytes) -> tuple[str, int, int] | None:
    """Metric, `after` and `limit` of a query that has them in this order, unescaped and in range; else None."""
    found = _PLAIN.fullmatch(query)
    if found is None:
        return None
    metric, after, limit = found.groups()
    return metric.decode(), _AFTER if after is None else int(after), _LIMIT if limit is None else int(limit)


class PlainPages(BaseRoute):
    """A route to be looked at before all others. `answer` takes the request, metric, `after` and `limit`."""

    def __init__(self, path: str, answer: Callable[[Request, str, int, int], Awaitable[Response]]) -> None:
        self._path = path
        self._answer = answer

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Whether this is a GET of the path, with a plain query."""
        if scope["type"] != "http" or scope["method"] != "GET" or scope["path"] != self._path:
            return Match.NONE, {}
        query = plain_query(scope["query_string"])
        return (Match.NONE, {}) if query is None else (Match.FULL, {_QUERY: query})

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that matches."""
        answer = await self._answer(Request(scope, receive, send), *scope[_QUERY])
        await answer(scope, receive, send)
