"""Pages of bodies, for a request that is plainly right: answered without the framework.

Its middleware, its reading of parameters and its dependencies take longer than finding the page. So a query that can be
read in one way only is read here; every other one goes the framework's way, which ends in the same answer.
"""

import re
from collections.abc import Awaitable, Callable

from fastapi import FastAPI, Request, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from api.problems import refusal

_PLAIN = re.compile(rb"metric=([a-z0-9.-]{1,200})(?:&after=([0-9]{1,18}))?(?:&limit=([1-9][0-9]{0,2}|1000))?")
_AFTER, _LIMIT = 0, 100
"""What the handler takes where nothing is said."""


def plain_query(query: bytes) -> tuple[str, int, int] | None:
    """Metric, `after` and `limit` of a query that has them in this order, unescaped and in range; else None."""
    found = _PLAIN.fullmatch(query)
    if found is None:
        return None
    metric, after, limit = found.groups()
    return metric.decode(), _AFTER if after is None else int(after), _LIMIT if limit is None else int(limit)


def plainly_asked(scope: Scope, path: str) -> tuple[str, int, int] | None:
    """The same of a GET of this path; else None."""
    if scope["type"] != "http" or scope["path"] != path or scope["method"] != "GET":
        return None
    return plain_query(scope["query_string"])


class PlainPages:
    """Middleware around the framework's `app`. `answer` takes the request, metric, `after` and `limit`; the problems
    that it raises are answered as by `app`.
    """

    def __init__(
        self, inside: ASGIApp, app: FastAPI, path: str, answer: Callable[[Request, str, int, int], Awaitable[Response]]
    ) -> None:
        self._inside = inside
        self._app = app
        self._path = path
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a GET of the path with a plain query; pass on everything else."""
        query = plainly_asked(scope, self._path)
        if query is None:
            await self._inside(scope, receive, send)
            return
        scope["app"] = self._app
        request = Request(scope, receive)
        try:
            answer = await self._answer(request, *query)
        except Exception as error:
            answer = refusal(request, error)
        await answer(scope, receive, send)
