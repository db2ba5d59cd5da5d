"""The door of both apps: what every request and every answer passes, whatever its route.

A request for another host, with a body that is too long or comes too slowly is refused before its route. Answers leave
in parts, each after the client took the one before: a slow reader holds its answer's bytes once, and its request lasts
as long as its reading.
"""

import asyncio
import re
from collections.abc import Collection
from functools import partial

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import answer, problem

LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "[::1]")
"""Names under which a server on loopback is reached."""

_BODY_S = 10
_PART = 1 << 20
_LAST_PART = 3 << 19
"""Most bytes that are copied for a reader that takes nothing. Smaller parts, or a small one at the end, make answers of
megabytes slow."""
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]]+)(?::\d{0,5})?")

BAD_HOST = problem(400, "unknown-host", "No such host", "This server does not answer under the name in `Host`.")
TOO_LONG = problem(413, "too-long", "The request's body is too long", "See docs/wire.md for what this route takes.")
TOO_SLOW = problem(408, "too-slow", "The request's body came too slowly", "Send it at once.")


class Door:
    """Middleware around the routes. `hosts`: names without a port; an empty collection allows every name.

    `longest_body` in bytes. `/healthz` answers under every name: load balancers ask by address.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str], longest_body: int) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts)
        self._longest = longest_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        leave = partial(_send_in_parts, send)
        if self._hosts and scope["path"] != "/healthz" and _host(scope) not in self._hosts:
            await answer(BAD_HOST)(scope, receive, leave)
            return
        if not _has_body(scope):
            await self._app(scope, receive, leave)
            return
        try:
            async with asyncio.timeout(_BODY_S):
                body = await _read(receive, self._longest)
        except TimeoutError:
            await answer(TOO_SLOW, {"Connection": "close"})(scope, receive, leave)
            return
        if body is None:
            await answer(TOO_LONG, {"Connection": "close"})(scope, receive, leave)
            return
        await self._app(scope, _Replayed(body, receive), leave)


class _Replayed:
    """The body that was read, once; then what the server says next, which is that the client has gone."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is None:
            return await self._receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}


async def _read(receive: Receive, longest: int) -> bytes | None:
    """The request's body; None if it is longer than this, and what came of it if the client has gone."""
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > longest:
            return None
        if message["type"] != "http.request" or not message.get("more_body"):
            return bytes(body)


async def _send_in_parts(send: Send, message: Message) -> None:
    if message["type"] == "http.response.start":
        message["headers"] = [*message["headers"], (b"x-content-type-options", b"nosniff")]
        await send(message)
        return
    body = message.get("body", b"")
    if message["type"] != "http.response.body" or len(body) <= _LAST_PART:
        await send(message)
        return
    rest = memoryview(body)
    while rest:
        size = _PART if len(rest) > _LAST_PART else len(rest)
        part, rest = rest[:size], rest[size:]
        await send({"type": message["type"], "body": part, "more_body": bool(rest) or message.get("more_body", False)})


def _host(scope: Scope) -> str:
    """The name that the request is for, without its port; empty if there is none, or more than one."""
    values = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
    named = _HOST.fullmatch(values[0]) if len(values) == 1 else None
    return named[1].lower() if named else ""


def _has_body(scope: Scope) -> bool:
    return any(name in (b"content-length", b"transfer-encoding") for name, _ in scope["headers"])
