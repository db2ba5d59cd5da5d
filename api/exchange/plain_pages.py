"""The route of pages of bodies: a request that is plainly right is answered without the framework's reading of it.

Reading parameters and resolving dependencies takes the framework as long as finding the page. So a query that can be
read in one way only is read here; every other one, and all that is refused, goes the framework's way. Both end in the
same handler, with what its signature asks for.
"""

import re
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from api.exchange.access import grant_of

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


class PlainPageRoute(APIRoute):
    """A route whose handler takes the request, a grant, the app's snapshots and stored pages, and a plain query."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """What answers a request."""
        by_the_framework = super().get_route_handler()

        async def answering(request: Request) -> Response:
            asked = plain_query(request.scope["query_string"])
            if asked is None:
                return await by_the_framework(request)
            granted, state = await grant_of(request), request.app.state
            answer: Response = await self.endpoint(request, granted, state.snapshots, state.bodies, *asked)
            return answer

        return answering
