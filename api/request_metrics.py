"""How many requests a server answered, how, and how long that took. Health checks do not count."""

from functools import cache
from time import perf_counter

from prometheus_client import Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

REQUESTS = Counter("sistercity_http_requests", "Requests answered, by the status of the answer.", ["status"])
SECONDS = Histogram("sistercity_http_request_seconds", "From a request's head to the last byte of its answer.")


@cache
def _answered(status: int) -> Counter:
    return REQUESTS.labels(str(status))


class Counted:
    """Middleware around everything: counts each request under the status with which it was answered."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http" or scope["path"] == "/healthz":
            await self._app(scope, receive, send)
            return

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                _answered(message["status"]).inc()
            await send(message)

        began = perf_counter()
        try:
            await self._app(scope, receive, counted)
        finally:
            SECONDS.observe(perf_counter() - began)
